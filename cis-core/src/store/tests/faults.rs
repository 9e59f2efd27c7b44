//! What must not harm a store: kill -9, a full disk, damage, many readers at once.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::events::{seeds_of_dag, tables};
use super::support::{
    Home, assigned, created, draft, run_id, seeds, session_id, succeeded, task, ulid, with_checkpointer,
};
use crate::api::ListRuns;
use crate::event::{EventBody, TaskState};
use crate::store::checkpoint::Pace;
use crate::store::maintenance::{check, rebuild};
use crate::store::schema::beside;
use crate::store::{Checkpointer, Readers, StoreError, Writer};

/// A turn of three events that belong together: a run that is created, started and ended.
fn turn(writer: &mut Writer, n: u64) -> Result<(), StoreError> {
    let n = u128::from(n);
    let run = Some(run_id(n));
    writer.append_run(&draft(run, 1, created("ship", 3)), ulid(3 * n), &seeds_of_dag())?;
    writer.append(&draft(run, 2, EventBody::RunStarted {}), ulid(3 * n + 1))?;
    writer.append(&draft(run, 3, EventBody::RunFailed { detail: "x".repeat(500) }), ulid(3 * n + 2))?;
    writer.commit().map(|events| assert_eq!(events.len(), 3))
}

fn assert_sound(path: &Path) {
    assert_eq!(check(path, false).unwrap().findings, Vec::<String>::new());
}

/// This test binary again, to run one of the tests that are parts of others.
fn part(name: &str) -> Vec<String> {
    let exe = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    [exe.as_str(), "--exact", &format!("store::tests::faults::{name}"), "--ignored", "--nocapture"]
        .map(str::to_owned)
        .into()
}

const PATH: &str = "CIS_TEST_STORE";

#[test]
#[ignore = "the process that is killed by kill_9_leaves_whole_turns"]
fn part_that_writes_until_killed() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let mut writer = Writer::open(Path::new(&path)).unwrap();
    let _checkpointer =
        Checkpointer::start_at(&writer, Pace { events: 30, pages_long: 50, idle: Duration::from_millis(5) });
    loop {
        let next = writer.last_offset() / 3 + 1;
        turn(&mut writer, next).unwrap();
        writer.maintain().unwrap();
        println!("committed {}", writer.last_offset());
    }
}

#[test]
fn kill_9_leaves_whole_turns() {
    let home = Home::new();
    let argv = part("part_that_writes_until_killed");
    for round in 1..=12_u64 {
        let mut child = Command::new(&argv[0])
            .args(&argv[1..])
            .env(PATH, home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = 1 + round * 37 % 90;
        let mut said = 0;
        for line in lines.map_while(Result::ok) {
            if let Some((_, offset)) = line.split_once("committed ") {
                said = offset.parse::<u64>().unwrap();
                if said >= round + wanted && said % 7 == round % 7 {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(said > 0, "it wrote something");
        let writer = home.writer();
        assert!(writer.last_offset() >= said, "what was said to be committed is there");
        assert_eq!(writer.last_offset() % 3, 0, "no part of a turn is");
        drop(writer);
        assert_sound(&home.path());
    }
}

/// Writes turns until one fails. Gives the error and how many were written.
fn fill(writer: &mut Writer) -> (StoreError, u64) {
    for n in writer.last_offset() / 3 + 1.. {
        if let Err(error) = turn(writer, n) {
            return (error, n - 1);
        }
    }
    unreachable!()
}

/// After `fill`: nothing is half done, nothing goes on without a rollback, and with room it works again.
fn assert_survives(writer: &mut Writer, written: u64, make_room: impl FnOnce(&Writer)) {
    assert_eq!(writer.last_offset(), written * 3);
    let more = draft(Some(run_id(1)), 9, EventBody::RunStarted {});
    assert!(matches!(writer.append(&more, ulid(1)), Err(StoreError::Undone)));
    assert!(matches!(writer.commit(), Err(StoreError::Undone)));
    assert!(matches!(writer.set_meta("a", "b"), Err(StoreError::Undone)));
    writer.rollback();
    let reader = Readers::open(writer.path()).unwrap().get().unwrap();
    assert_eq!(reader.last_offset().unwrap(), written * 3, "readers go on");
    make_room(writer);
    turn(writer, written + 1).unwrap();
    assert_eq!(reader.last_offset().unwrap(), (written + 1) * 3);
    assert_sound(writer.path());
}

#[test]
fn a_full_database_undoes_the_turn_and_goes_on_with_room() {
    let home = Home::new();
    let mut writer = home.writer();
    let limit = |writer: &Writer, pages: i64| {
        writer
            .connection()
            .query_row(&format!("PRAGMA max_page_count={pages}"), (), |row| row.get::<_, i64>(0))
            .unwrap();
    };
    limit(&writer, 60);
    let (error, written) = fill(&mut writer);
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.may_pass() && written > 0);
    assert_survives(&mut writer, written, |writer| limit(writer, 1_000_000));
}

#[test]
#[ignore = "the process of the two tests that follow"]
fn part_that_fills_its_disk() {
    let Some(path) = std::env::var_os(PATH).map(PathBuf::from) else { return };
    let mut writer = Writer::open(&path).unwrap();
    let ballast = path.with_file_name("ballast");
    if ballast.exists() {
        let (error, written) = fill(&mut writer);
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert_survives(&mut writer, written, |_| fs::remove_file(&ballast).unwrap());
    } else {
        let (error, written) = fill(&mut writer);
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        assert!(error.may_pass());
        assert_survives(&mut writer, written, |_| {
            use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
            let maximum = getrlimit(Resource::Fsize).maximum;
            setrlimit(Resource::Fsize, Rlimit { current: maximum, maximum }).unwrap();
        });
    }
    println!("survived");
}

#[test]
fn a_write_that_the_system_refuses_undoes_the_turn() {
    let home = Home::new();
    let argv = part("part_that_fills_its_disk");
    let out = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -S -f 1000; exec "$@""#, "sh"])
        .args(&argv)
        .env(PATH, home.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("survived"), "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert_sound(&home.path());
}

#[test]
fn a_full_disk_undoes_the_turn_and_goes_on_with_room() {
    let home = Home::new();
    let mount = home.dir.path().join("disk");
    fs::create_dir(&mount).unwrap();
    let argv = part("part_that_fills_its_disk");
    let script = r#"mount -t tmpfs -o size=3m,mode=700 none "$1" || exit 99
        head -c 1000000 /dev/zero > "$1/ballast" || exit 98
        shift; exec "$@""#;
    let out = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(&mount)
        .args(&argv)
        .env(PATH, mount.join("cis.db"))
        .output();
    let out = match out {
        Ok(out) if out.status.success() || out.status.code() == Some(101) => out,
        other => {
            eprintln!("SKIPPED: no mount in a user namespace here ({other:?})");
            return;
        }
    };
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("survived"), "{text}{}", String::from_utf8_lossy(&out.stderr));
}

/// A store of so many turns, closed.
fn store(turns: u64) -> Home {
    let home = Home::new();
    let mut writer = home.writer();
    for n in 1..=turns {
        turn(&mut writer, n).unwrap();
    }
    home
}

/// Overwrites pages of a table.
fn damage(home: &Home, which: &str) -> usize {
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    let mut read = conn.prepare(&format!("SELECT pageno FROM dbstat WHERE {which} ORDER BY pageno")).unwrap();
    let pages: Vec<u64> = read.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(read);
    drop(conn);
    let file = fs::OpenOptions::new().write(true).open(home.path()).unwrap();
    for page in &pages {
        file.write_all_at(&[0xA5; 4096], (page - 1) * 4096).unwrap();
    }
    pages.len()
}

#[test]
fn damaged_pages_are_told_and_what_lies_around_them_is_saved() {
    let home = store(300);
    let before = tables(&home);
    // Two leaves with events between them: what they hold is lost, what lies between is found.
    let leaf = "name = 'events' AND pagetype = 'leaf' AND path IN ('/000/', '/00a/', '/010/')";
    assert!(damage(&home, leaf) >= 2);
    let reader = home.readers().get().unwrap();
    let error = reader.events(0, None, usize::MAX).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("cis store rebuild"));
    drop(reader);
    assert!(!check(&home.path(), false).unwrap().findings.is_empty());
    assert!(!check(&home.path(), true).unwrap().findings.is_empty());

    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    let lost: u64 = report.lost_events.iter().map(|(from, to)| to - from + 1).sum();
    assert!(report.lost_events.len() >= 2, "{report:?}");
    assert_eq!(report.events + lost, 900, "{report:?}");
    assert!(lost < 100 && !report.end_lost && report.torn_tables.is_empty());
    assert!(report.kept.exists());
    assert_sound(&home.path());
    // Runs of which every event is there are as they were.
    let after = tables(&home);
    let whole = after["runs"].iter().filter(|run| before["runs"].contains(run)).count();
    assert!(whole as u64 >= 300 - lost, "{whole} runs are whole");
    // And it goes on, with offsets that were never given.
    let mut writer = home.writer();
    assert_eq!(writer.last_offset(), 900);
    turn(&mut writer, 301).unwrap();
}

#[test]
fn a_store_whose_inner_pages_are_damaged_gives_what_can_be_reached() {
    let home = store(300);
    assert!(damage(&home, "name IN ('runs', 'tasks', 'sqlite_autoindex_runs_1')") > 3);
    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    assert_eq!((report.events, report.lost_events.len()), (900, 0));
    assert_sound(&home.path());
    assert_eq!(home.readers().get().unwrap().run_detail(run_id(7)).unwrap().tasks[2].needs.len(), 2);
}

#[test]
fn a_store_that_is_cut_off_gives_its_beginning() {
    let home = store(300);
    let length = fs::metadata(home.path()).unwrap().len();
    fs::OpenOptions::new().write(true).open(home.path()).unwrap().set_len(length / 2 / 4096 * 4096).unwrap();
    let error = Writer::open(&home.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(!check(&home.path(), true).unwrap().findings.is_empty());
    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    assert!(report.events > 300 && report.events < 900 && report.end_lost, "{report:?}");
    assert_sound(&home.path());
}

#[test]
fn a_file_without_anything_readable_makes_room_for_a_new_store() {
    let home = store(10);
    let file = fs::OpenOptions::new().write(true).open(home.path()).unwrap();
    file.write_all_at(&[0; 4096], 0).unwrap();
    let bytes = fs::read(home.path()).unwrap();
    assert!(matches!(Writer::open(&home.path()), Err(StoreError::Corrupt { .. })));
    assert!(!check(&home.path(), true).unwrap().findings.is_empty());
    let report = rebuild(&home.path(), |_| None).unwrap();
    assert_eq!((report.events, report.torn_tables.as_slice()), (0, ["everything".to_owned()].as_slice()));
    assert_eq!(fs::read(&report.kept).unwrap(), bytes, "the old file is kept as it was");
    turn(&mut home.writer(), 1).unwrap();
    assert_sound(&home.path());
}

#[test]
fn nothing_is_made_anew_under_a_running_node() {
    let home = store(1);
    let writer = home.writer();
    assert!(matches!(rebuild(&home.path(), |_| None), Err(StoreError::InUse { .. })));
    assert_sound(&home.path());
    drop(writer);
    let none = home.dir.path().join("none.db");
    assert!(matches!(rebuild(&none, |_| None), Err(StoreError::NotFound { .. })));
    assert!(check(&none, true).is_err());
    assert!(!none.exists());
}

#[test]
fn readers_are_never_locked_out_and_see_whole_turns() {
    const TASKS: usize = 1500;
    let home = Home::new();
    let (checkpointer, mut writer) = with_checkpointer(&home);
    let names: Vec<String> = (0..TASKS).map(|n| format!("t{n}")).collect();
    let list: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), [].as_slice())).collect();
    let run = Some(run_id(1));
    writer.append_run(&draft(run, 1, created("many", TASKS)), ulid(1), &seeds(&list)).unwrap();
    writer.append(&draft(run, 1, EventBody::RunStarted {}), ulid(2)).unwrap();
    writer.commit().unwrap();
    let readers = home.readers();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for n in 0..8 {
            let (readers, done) = (readers.clone(), &done);
            scope.spawn(move || {
                let mut looks = 0_u64;
                while !done.load(Ordering::Relaxed) || looks == 0 {
                    look(&readers, n, TASKS);
                    looks += 1;
                }
            });
        }
        for (n, name) in names.iter().enumerate() {
            let session = session_id(n as u128);
            writer.append(&draft(run, 2, assigned(name, 1, session)), ulid(n as u128)).unwrap();
            writer.append(&draft(run, 2, succeeded(name, 1, session, 2)), ulid(n as u128)).unwrap();
            writer.commit().unwrap();
            writer.maintain().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    drop((checkpointer, writer));
    assert_sound(&home.path());
}

/// One look of a reader: a turn grants and ends a task, so no task is ever seen running.
fn look(readers: &Readers, n: usize, tasks: usize) {
    let reader = readers.get().unwrap();
    match n % 4 {
        0 => {
            let run = reader.list_runs(&ListRuns::default()).unwrap().items.remove(0);
            let done = run.counts.get(&TaskState::Succeeded).copied().unwrap_or(0) as usize;
            let waiting = run.counts.get(&TaskState::Pending).copied().unwrap_or(0) as usize;
            assert_eq!(done + waiting, tasks, "{:?}", run.counts);
            assert_eq!(run.last_offset as usize, 2 + 2 * done);
        }
        1 => {
            let detail = reader.run_detail(run_id(1)).unwrap();
            assert!(detail.tasks.iter().all(|task| task.session.is_some() == task.ended_ms.is_some()));
        }
        2 => assert_eq!(reader.events(0, Some(run_id(1)), usize::MAX).unwrap().len() % 2, 0),
        _ => {
            reader.find_run("many").unwrap();
            reader.attempts(run_id(1), &task("t0")).unwrap();
        }
    }
}

/// Waits for a condition.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_log_stays_short() {
    let home = Home::new();
    let wal = beside(&home.path(), "-wal");
    let length = || fs::metadata(&wal).map_or(0, |file| file.len());
    let mut writer = home.writer();
    let pace = Pace { events: 60, pages_long: 100, idle: Duration::from_millis(50) };
    let checkpointer = Checkpointer::start_at(&writer, pace).unwrap();
    let mut longest = 0;
    for n in 1..=600 {
        turn(&mut writer, n).unwrap();
        // What is due is waited for: this machine may give the other thread no time.
        if n % 20 == 0 {
            until("a request comes", || writer.pulse_is_idle());
        }
        writer.maintain().unwrap();
        longest = longest.max(length());
    }
    assert!(longest < 4 << 20, "{longest} bytes of log");
    until("the log is cut when nobody writes", || length() == 0);
    turn(&mut writer, 601).unwrap();
    writer.sync().unwrap();
    turn(&mut writer, 602).unwrap();
    writer.sync().unwrap();
    drop((checkpointer, writer));
    assert!(!wal.exists(), "and removed with the last connection");
    assert_sound(&home.path());
}
