//! Random damage to the files of a store: nothing panics, intact events are saved, and `check`, `rebuild` and the node
//! agree.
//!
//! To repeat one case: `CIS_CORRUPTION_SEED=… cargo test -p cis-store random_damage --
//! --include-ignored`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::support::{Home, assigned, draft, facts, run_id, seeds_of_dag, session_id, succeeded, turn, ulid};
use crate::maintenance::{Verdict, check, rebuild};
use crate::{Readers, Writer};
use cis_core::event::{Event, EventBody, TaskState};
use cis_core::ids::{InputId, Offset};

const PAGE: usize = 4096;
const SEED: &str = "CIS_CORRUPTION_SEED";

/// The random number generator SplitMix64: short, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }
}

/// A store as a killed node leaves it: half of it in the file, half in the write-ahead log.
struct Sample {
    database: Vec<u8>,
    log: Vec<u8>,
    /// The index of the log.
    index: Vec<u8>,
    /// Each event by its offset.
    events: BTreeMap<Offset, String>,
    /// The pages of each event in the file.
    pages: BTreeMap<Offset, Vec<usize>>,
    /// The store as one file, without a log.
    closed: Vec<u8>,
    /// The same as an earlier version wrote it: no event has a checksum.
    without_sums: Vec<u8>,
    /// Where the row of each event is in `closed`, and in `without_sums`.
    rows: [BTreeMap<Offset, usize>; 2],
}

fn sample() -> Sample {
    let home = Home::new();
    let mut writer = home.writer();
    let fill = |writer: &mut Writer, turns: std::ops::RangeInclusive<u64>| {
        for n in turns {
            turn(writer, n).unwrap();
            let number = u128::from(n);
            // A run that stays open with an ended task, and rows that cannot be restored from events.
            let run = Some(run_id(1000 + number));
            let session = session_id(number);
            let mut created = draft(run, 4, super::support::created("open", 3));
            created.cause = Some(InputId(ulid(number)));
            writer.append_run(&created, ulid(90_000 + number), &seeds_of_dag()).unwrap();
            writer.append(&draft(run, 5, EventBody::RunStarted {}), ulid(91_000 + number)).unwrap();
            let grant = draft(run, 6, assigned("a", 1, session));
            writer.append_session(&grant, ulid(92_000 + number), &facts("true")).unwrap();
            writer.append(&draft(run, 7, succeeded("a", 1, session, 7)), ulid(93_000 + number)).unwrap();
            let long = EventBody::NodeStopped { reason: "long ".repeat(usize::try_from(n).unwrap() * 97) };
            writer.append(&draft(None, 8, long), ulid(94_000 + number)).unwrap();
            writer.remember_input(InputId(ulid(number)), &format!("run number {n}")).unwrap();
            writer.set_meta(&format!("key {n}"), "value").unwrap();
            writer.commit().unwrap();
        }
    };
    fill(&mut writer, 1..=30);
    writer.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    fill(&mut writer, 31..=60);
    let reader = home.readers().get().unwrap();
    let text = |event: Event| (event.offset, serde_json::to_string(&event).unwrap());
    let events = reader.events(0, None, usize::MAX).unwrap().into_iter().map(text).collect();
    let database = fs::read(home.path()).unwrap();
    let log = fs::read(with_suffix(&home.path(), "-wal")).unwrap();
    let index = fs::read(with_suffix(&home.path(), "-shm")).unwrap();
    assert!(!log.is_empty());
    let mut sample = Sample {
        database,
        log,
        index,
        events,
        pages: BTreeMap::new(),
        closed: Vec::new(),
        without_sums: Vec::new(),
        rows: <[BTreeMap<Offset, usize>; 2]>::default(),
    };
    sample.pages = pages_of_events(&sample);
    sample.closed = without_log(&sample);
    sample.without_sums = without_sums(&sample.closed);
    sample.rows =
        [&sample.closed, &sample.without_sums].map(|database| rows_of_events(&sample.events, database));
    sample
}

/// Returns a store as a version without checksums of events wrote it.
fn without_sums(database: &[u8]) -> Vec<u8> {
    let home = Home::new();
    fs::write(home.path(), database).unwrap();
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    conn.execute_batch("UPDATE events SET sum = NULL; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(conn);
    fs::read(home.path()).unwrap()
}

/// Finds the id of each event, which is at the beginning of its row.
fn rows_of_events(events: &BTreeMap<Offset, String>, database: &[u8]) -> BTreeMap<Offset, usize> {
    let id = |text: &String| serde_json::from_str::<Event>(text).unwrap().id.to_bytes();
    let offsets: HashMap<[u8; 16], Offset> =
        events.iter().map(|(offset, text)| (id(text), *offset)).collect();
    let of = |(at, part): (usize, &[u8])| {
        offsets.get(<&[u8; 16]>::try_from(part).unwrap()).map(|offset| (*offset, at))
    };
    let rows: BTreeMap<Offset, usize> = database.windows(16).enumerate().filter_map(of).collect();
    assert_eq!(rows.len(), events.len());
    rows
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// Damages one of the two files. Returns what was done, and the damaged pages of the database.
fn damage(random: &mut Random, database: &mut Vec<u8>, log: &mut Vec<u8>) -> (String, Vec<usize>) {
    let in_log = random.below(4) == 0;
    let mut pages = Vec::new();
    let what = damage_bytes(random, if in_log { log } else { database }, &mut pages);
    let name = if in_log { "log" } else { "database" };
    if in_log {
        pages.clear();
    }
    (format!("{what} in the {name}"), pages)
}

fn damage_bytes(random: &mut Random, bytes: &mut Vec<u8>, pages: &mut Vec<usize>) -> &'static str {
    let length = bytes.len();
    match random.below(6) {
        0 => {
            for _ in 0..=random.below(40) {
                let at = random.below(length);
                bytes[at] = u8::try_from(random.below(256)).unwrap();
                pages.push(at / PAGE);
            }
            "single bytes"
        }
        1 => {
            let at = random.below(length);
            let end = (at + 1 + random.below(3 * PAGE)).min(length);
            bytes[at..end].fill(0);
            pages.extend(at / PAGE..=(end - 1) / PAGE);
            "zeros"
        }
        2 => {
            let at = random.below(length);
            let end = (at + 1 + random.below(600)).min(length);
            bytes[at..end].fill_with(|| u8::try_from(random.below(256)).unwrap());
            pages.extend(at / PAGE..=(end - 1) / PAGE);
            "random bytes"
        }
        3 => {
            let end = random.below(length);
            bytes.truncate(end);
            pages.extend(end / PAGE..=length / PAGE);
            "cut off"
        }
        4 => {
            let (one, other) = (random.below(length / PAGE), random.below(length / PAGE));
            for n in 0..PAGE {
                bytes.swap(one * PAGE + n, other * PAGE + n);
            }
            pages.extend([one, other]);
            "pages swapped"
        }
        _ => {
            // A letter in the middle of a text becomes a byte that is invalid in UTF-8.
            let letters: Vec<usize> = (0..length).filter(|at| bytes[*at].is_ascii_lowercase()).collect();
            for _ in 0..=random.below(8) {
                let at = letters[random.below(letters.len())];
                bytes[at] = 0xFF;
                pages.push(at / PAGE);
            }
            "invalid UTF-8"
        }
    }
}

/// Returns the pages of each event in the file of an intact store.
fn pages_of_events(sample: &Sample) -> BTreeMap<Offset, Vec<usize>> {
    let home = Home::new();
    fs::write(home.path(), &sample.database).unwrap();
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    // A leaf `/00a/` with its cells in the order of their offsets; `/00a/01f+000000` is what cell 0x1f has elsewhere.
    let sql = "SELECT path, pageno, pagetype, ncell FROM dbstat WHERE name = 'events' ORDER BY path";
    let mut read = conn.prepare(sql).unwrap();
    let mut rows = read.query(()).unwrap();
    let (mut pages, mut next) = (BTreeMap::<Offset, Vec<usize>>::new(), 1);
    let (mut first_of, mut elsewhere) = (BTreeMap::new(), Vec::new());
    while let Some(row) = rows.next().unwrap() {
        let (path, page): (String, usize) = (row.get(0).unwrap(), row.get(1).unwrap());
        match row.get::<_, String>(2).unwrap().as_str() {
            "leaf" => {
                first_of.insert(path, next);
                for _ in 0..row.get::<_, u64>(3).unwrap() {
                    pages.entry(next).or_default().push(page - 1);
                    next += 1;
                }
            }
            "overflow" => elsewhere.push((path, page - 1)),
            _ => {}
        }
    }
    for (path, page) in elsewhere {
        let (leaf, cell) = path.split_once('+').unwrap().0.rsplit_once('/').unwrap();
        let first = first_of[&format!("{leaf}/")];
        pages.get_mut(&(first + u64::from_str_radix(cell, 16).unwrap())).unwrap().push(page);
    }
    assert!(next > 200, "{next}");
    pages
}

/// Returns a sample as one file, without a write-ahead log.
fn without_log(sample: &Sample) -> Vec<u8> {
    let home = Home::new();
    write(&home.path(), &sample.database, &sample.log);
    drop(home.writer());
    assert!(!with_suffix(&home.path(), "-wal").exists());
    fs::read(home.path()).unwrap()
}

fn write(path: &Path, database: &[u8], log: &[u8]) {
    fs::write(path, database).unwrap();
    fs::write(with_suffix(path, "-wal"), log).unwrap();
    let _ = fs::remove_file(with_suffix(path, "-shm"));
}

/// Reads what a node reads. Errors are allowed, panics are not.
fn read_everything(path: &Path) {
    let Ok(reader) = Readers::open(path).and_then(|readers| readers.get()) else { return };
    let _ = reader.events(0, None, usize::MAX);
    let _ = reader.audit(None, 1000);
    let _ = reader.node_groups();
    let _ = reader.node_rules();
    let _ = reader.open_runs();
    let _ = reader.list_runs(&cis_core::api::ListRuns::default());
    for n in [1, 30, 60, 1001, 1060] {
        let _ = reader.run_detail(run_id(n));
        let _ = reader.find_run(&run_id(n).to_string());
        let _ = reader.session(session_id(n));
    }
    let _ = crate::maintenance::Census::take(path);
    let _ = crate::maintenance::logs(path);
}

/// Tests one damaged store.
fn case(sample: &Sample, seed: u64) {
    let mut random = Random(seed);
    let (mut database, mut log) = (sample.database.clone(), sample.log.clone());
    let (what, touched) = damage(&mut random, &mut database, &mut log);
    eprintln!("seed {seed}: {what}");

    // A node opens the damaged store.
    let home = Home::new();
    write(&home.path(), &database, &log);
    read_everything(&home.path());
    let wrote = Writer::open(&home.path()).and_then(|mut writer| {
        let next = writer.last_offset() + 1_000_000;
        let written = turn(&mut writer, next);
        writer.rollback();
        written
    });

    let home = Home::new();
    write(&home.path(), &database, &log);
    let checked = check(&home.path(), false).unwrap();
    let changed = fs::read(home.path()).unwrap() != database
        || fs::read(with_suffix(&home.path(), "-wal")).unwrap() != log;
    assert!(!changed, "a check changed the store");
    check(&home.path(), true).unwrap();
    let lost = match &checked.verdict {
        Verdict::Sound => {
            assert!(wrote.is_ok(), "a sound store is one that a node can write: {wrote:?}");
            None
        }
        Verdict::Damaged { lost, .. } => Some(lost.clone().expect("no node runs")),
    };

    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    assert!(fs::read(&report.kept).unwrap() == database, "the old file is kept as it was");
    if let Some(lost) = lost {
        let told = (&lost.events, lost.end, &lost.tables);
        assert_eq!(told, (&report.lost, report.end_lost, &report.torn_tables), "the check reported the same");
    } else {
        assert!(report.lost.is_empty() && report.torn_tables.is_empty(), "{:?}", report.lost);
    }
    let reader = home.readers().get().unwrap();
    let found = reader.events(0, None, usize::MAX).unwrap();
    let found: BTreeMap<Offset, String> =
        found.into_iter().map(|event| (event.offset, serde_json::to_string(&event).unwrap())).collect();
    for (offset, pages) in &sample.pages {
        // A leaf page is found wherever it is, but its overflow pages are only found where it says.
        let found_anywhere = usize::from(what.starts_with("pages swapped"));
        let intact = !pages[found_anywhere..].iter().any(|page| touched.contains(page));
        assert!(
            !intact || found.get(offset) == sample.events.get(offset),
            "event {offset} is not what it was"
        );
    }
    let newest = found.keys().filter(|offset| sample.events.contains_key(offset)).max().copied();
    for offset in
        sample.events.keys().filter(|offset| Some(**offset) <= newest && !found.contains_key(offset))
    {
        let told = report.lost.iter().any(|lost| (lost.from..=lost.to).contains(offset));
        assert!(told, "event {offset} is lost, but is not reported: {:?}", report.lost);
    }
    drop(reader);
    open_runs_are_complete(sample, &home, newest.unwrap_or(0));
    assert_eq!(check(&home.path(), false).unwrap().findings, Vec::<String>::new());
    let mut writer = home.writer();
    let next = writer.last_offset() + 1_000_000;
    turn(&mut writer, next).unwrap();
}

/// A run that goes on has all its events up to `newest`: without a result, a finished task would run again.
fn open_runs_are_complete(sample: &Sample, home: &Home, newest: Offset) {
    let reader = home.readers().get().unwrap();
    for open in reader.open_runs().unwrap() {
        let had = format!("\"run\":\"{}\"", open.run);
        let had: Vec<&String> =
            sample.events.range(..=newest).map(|(_, text)| text).filter(|text| text.contains(&had)).collect();
        let has: Vec<String> =
            reader.events(0, Some(open.run), usize::MAX).unwrap().iter().map(text_of).collect();
        assert_eq!(has.iter().collect::<Vec<_>>(), had, "run {} goes on", open.run);
    }
}

fn text_of(event: &Event) -> String {
    serde_json::to_string(event).unwrap()
}

/// Damages a column of an event of an open run.
fn column_case(sample: &Sample, seed: u64) {
    for (which, database) in [&sample.closed, &sample.without_sums].into_iter().enumerate() {
        let mut random = Random(seed);
        let mut database = database.clone();
        let events: Vec<_> =
            sample.events.iter().filter(|(_, text)| !text.contains("\"run\":null")).collect();
        let (offset, text) = events[random.below(events.len())];
        let event: Event = serde_json::from_str(text).unwrap();
        let at = sample.rows[which][offset];
        let kind = at + if event.run.is_some() { 32 } else { 16 };
        let body = kind + event.type_name.len();
        let mut columns = vec![("run", at + 16..kind), ("type", kind..body), ("id", at..at + 16)];
        if which == 0 {
            // Without a checksum nothing shows that a text was changed to another valid one.
            columns.extend([("body", body..body + event.body.get().len().min(300)), ("header", at - 12..at)]);
        }
        let (name, range) = columns.swap_remove(random.below(columns.len()));
        let byte = range.start + random.below(range.len());
        let by = u8::try_from(1 + random.below(255)).unwrap();
        if range.is_empty() {
            continue;
        }
        database[byte] ^= by;
        eprintln!("seed {seed}: column {name} of event {offset} ({}), sums: {}", event.type_name, which == 0);
        let home = Home::new();
        fs::write(home.path(), &database).unwrap();
        read_everything(&home.path());
        let checked = check(&home.path(), false).unwrap();
        let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
        let found = events_of(&home);
        let is_lost = |offset| report.lost.iter().any(|lost| (lost.from..=lost.to).contains(&offset));
        match checked.verdict {
            Verdict::Sound => assert!(report.lost.is_empty() && report.ended.is_empty(), "{report:?}"),
            Verdict::Damaged { lost, .. } => {
                let lost = lost.unwrap();
                assert_eq!((&lost.events, &lost.ended), (&report.lost, &report.ended));
            }
        }
        if which == 0 {
            for (offset, text) in &sample.events {
                assert!(is_lost(*offset) || found.get(offset) == Some(text), "event {offset} was changed");
            }
            open_runs_are_complete(sample, &home, Offset::MAX);
        }
        let reader = home.readers().get().unwrap();
        let open = reader.open_runs().unwrap();
        for run in &open {
            let tasks = reader.run_detail(run.run).unwrap().tasks;
            assert_eq!(tasks[0].state, TaskState::Succeeded, "a task of run {} would run twice", run.run);
        }
        // Where it is known whose the event was, no other run ends.
        assert!(open.len() >= 59, "{} of 60 runs are open: {:?}", open.len(), report.lost);
        drop(reader);
        assert_eq!(check(&home.path(), false).unwrap().findings, Vec::<String>::new());
    }
}

/// Returns the events of a store, each by its offset.
fn events_of(home: &Home) -> BTreeMap<Offset, String> {
    let events = home.readers().get().unwrap().events(0, None, usize::MAX).unwrap();
    events.into_iter().map(|event| (event.offset, serde_json::to_string(&event).unwrap())).collect()
}

/// Whether an intact commit stands behind a damaged frame.
fn commits_after_damage(sample: &Sample, log: &[u8]) -> bool {
    const FRAME: usize = PAGE + 24;
    let frame = |bytes: &[u8], n: usize| bytes.get(32 + n * FRAME..32 + (n + 1) * FRAME).map(<[u8]>::to_vec);
    let frames = (sample.log.len() - 32) / FRAME;
    let intact: Vec<bool> = (0..frames).map(|n| frame(&sample.log, n) == frame(log, n)).collect();
    let header = log.get(..24) == sample.log.get(..24);
    let first = intact.iter().position(|intact| !intact).filter(|_| header).unwrap_or(0);
    (first + 1..frames).any(|n| {
        let commits = frame(&sample.log, n).is_some_and(|frame| frame[4..8] != [0; 4]);
        commits && intact[n] && intact[n - 1] && !(header && intact.iter().all(|intact| *intact))
    })
}

/// Starts a node on a damaged log. `crashed`: only the processes were killed, so the index of the log is there.
fn start_case(sample: &Sample, log: &[u8], crashed: bool) {
    let home = Home::new();
    write(&home.path(), &sample.database, log);
    if crashed {
        fs::write(with_suffix(&home.path(), "-shm"), &sample.index).unwrap();
    }
    let checked = check(&home.path(), false).unwrap();
    assert_eq!(check(&home.path(), false).unwrap(), checked, "a second check says the same");
    let can_start = !matches!(checked.verdict, Verdict::Damaged { node: Err(_), .. });
    match Writer::open(&home.path()) {
        Ok(writer) => {
            assert!(can_start, "the check said that no node can start: {:?}", checked.findings);
            assert!(!commits_after_damage(sample, log), "transactions are dropped without an error");
            drop(writer);
            let found = events_of(&home);
            assert!(found.iter().all(|(offset, event)| sample.events.get(offset) == Some(event)));
            assert_eq!(
                found.keys().next_back().map(|newest| usize::try_from(*newest).unwrap()),
                Some(found.len())
            );
            assert!(!crashed || found.len() == sample.events.len(), "events are lost without an error");
            assert_eq!(check(&home.path(), false).unwrap().findings, Vec::<String>::new());
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains("`cis store check`") && said.contains("`cis store rebuild`"), "{said}");
            assert!(!can_start, "the check said that a node can start, but: {said}");
            let unchanged = fs::read(home.path()).unwrap() == sample.database
                && fs::read(with_suffix(&home.path(), "-wal")).unwrap() == log;
            assert!(unchanged, "a refused start changed the store");
            assert_eq!(check(&home.path(), false).unwrap(), checked, "a refused start changes no verdict");
            let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
            assert!(report.end_lost, "the loss is reported");
            assert!(events_of(&home).len() >= sample.pages.len());
            drop(home.writer());
        }
    }
}

/// Damages the log and starts a node.
fn log_case(sample: &Sample, seed: u64) {
    let mut random = Random(seed);
    let mut log = sample.log.clone();
    let what = damage_bytes(&mut random, &mut log, &mut Vec::new());
    for crashed in [true, false] {
        eprintln!("seed {seed}: {what} in the log, crashed: {crashed}");
        start_case(sample, &log, crashed);
    }
}

/// Runs the cases of these seeds, or of the seed in the environment, and names all failures.
fn cases(first: u64, count: u64, case: fn(&Sample, u64)) {
    let sample = sample();
    let seeds = match std::env::var(SEED) {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (first..first + count).collect(),
    };
    let failed: Vec<u64> = seeds
        .into_iter()
        .filter(|seed| catch_unwind(AssertUnwindSafe(|| case(&sample, *seed))).is_err())
        .collect();
    assert!(
        failed.is_empty(),
        "{} cases failed; repeat one with {SEED}=SEED, one of {failed:?}",
        failed.len()
    );
}

#[test]
fn random_damage_never_panics_and_intact_events_are_saved() {
    cases(1, 8, case);
}

#[test]
#[ignore = "1,000 cases take minutes: cargo xtask test-all"]
fn random_damage_a_thousand_times() {
    cases(1_000, 1_000, case);
}

#[test]
fn a_damaged_column_of_an_event_starts_no_finished_task_again() {
    cases(1, 6, column_case);
}

#[test]
#[ignore = "1,000 cases take minutes: cargo xtask test-all"]
fn a_damaged_column_of_an_event_starts_no_finished_task_again_a_thousand_times() {
    cases(1_000, 1_000, column_case);
}

#[test]
fn a_damaged_log_loses_no_transaction_without_an_error() {
    cases(1, 8, log_case);
}

#[test]
#[ignore = "1,000 cases take minutes: cargo xtask test-all"]
fn a_damaged_log_loses_no_transaction_without_an_error_a_thousand_times() {
    cases(1_000, 1_000, log_case);
}

#[test]
fn invalid_utf_8_in_a_table_loses_only_that_row() {
    let sample = sample();
    let home = Home::new();
    let mut database = without_log(&sample);
    let row = b"run number 7";
    let places: Vec<usize> =
        database.windows(row.len()).enumerate().filter(|(_, part)| part == row).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        database[at + 4] = 0xFF;
    }
    fs::write(home.path(), &database).unwrap();
    let checked = check(&home.path(), false).unwrap();
    let Verdict::Damaged { node: Ok(()), lost: Some(lost) } = checked.verdict else { panic!("{checked:?}") };
    assert_eq!(
        (lost.events.len(), lost.end, lost.tables.as_slice()),
        (0, false, ["inputs".to_owned()].as_slice())
    );
    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    assert_eq!(
        (report.events as usize, report.torn_tables),
        (sample.events.len(), vec!["inputs".to_owned()])
    );
    assert!(report.ended.is_empty());
    let reader = home.readers().get().unwrap();
    assert_eq!(reader.find_input(InputId(ulid(8))).unwrap().unwrap(), "run number 8");
    assert_eq!(reader.find_input(InputId(ulid(7))).unwrap(), None);
}

#[test]
fn an_open_run_that_misses_events_ends_and_the_others_stay_open() {
    let sample = sample();
    let home = Home::new();
    let mut database = without_log(&sample);
    // The result of task `a` in the open run of turn 3. Without it the task would run again.
    let (offset, _) =
        sample.events.iter().filter(|(_, text)| text.contains("cis.dag.task.result")).nth(2).unwrap();
    let id = ulid(93_003).to_bytes();
    let at = database.windows(16).position(|part| part == id).unwrap();
    // Its body follows the id.
    let body = at + database[at..].iter().position(|byte| *byte == b'{').unwrap();
    database[body] = b'#';
    fs::write(home.path(), &database).unwrap();
    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    assert_eq!(report.lost.len(), 1, "{report:?}");
    assert_eq!((report.lost[0].from, report.lost[0].to), (*offset, *offset));
    let ended: Vec<_> = report.ended.iter().map(|run| (run.id, run.dag.as_str())).collect();
    assert_eq!(ended, [(run_id(1003), "open")]);
    let reader = home.readers().get().unwrap();
    assert_eq!(reader.open_runs().unwrap().len(), 59);
    assert!(reader.run(run_id(1003)).unwrap().detail.unwrap().contains("were lost"));
}
