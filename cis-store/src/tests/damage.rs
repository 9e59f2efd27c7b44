//! Damaged files: they are told, and what can be read of them is saved.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;

use super::events::tables;
use super::support::{
    Home, assert_sound, assigned, created, draft, facts, run_id, seeds_of_dag, session_id, store, succeeded,
    turn, ulid,
};
use crate::maintenance::{Losses, LostEvents, LostOf, NamedRun, Verdict, check, rebuild};
use crate::schema::{self, beside};
use crate::{StoreError, Writer};
use cis_core::event::EventBody;
use cis_core::ids::Offset;

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
    let lost: u64 = report.lost.iter().map(|lost| lost.to - lost.from + 1).sum();
    assert!(report.lost.len() >= 2, "{report:?}");
    let runs: BTreeSet<_> = report.lost.iter().map(|lost| lost.run).collect();
    assert!(runs.iter().all(|run| matches!(run, LostOf::Run(_))), "an index says whose they were: {runs:?}");
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
    // A run whose end is lost has ended with an error.
    assert_eq!(writer.last_offset(), 900 + report.ended.len() as u64);
    turn(&mut writer, 301).unwrap();
}

#[test]
fn a_store_whose_inner_pages_are_damaged_gives_what_can_be_reached() {
    let home = store(300);
    assert!(damage(&home, "name IN ('runs', 'tasks', 'sqlite_autoindex_runs_1')") > 3);
    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    assert_eq!((report.events, report.lost.len()), (900, 0));
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
fn a_file_without_its_first_page_still_gives_its_events() {
    let home = store(10);
    let file = fs::OpenOptions::new().write(true).open(home.path()).unwrap();
    file.write_all_at(&[0; 4096], 0).unwrap();
    let bytes = fs::read(home.path()).unwrap();
    assert!(matches!(Writer::open(&home.path()), Err(StoreError::Corrupt { .. })));
    assert!(!check(&home.path(), true).unwrap().findings.is_empty());
    let report = rebuild(&home.path(), |_| None).unwrap();
    assert_eq!((report.events, report.torn_tables.as_slice()), (30, ["everything".to_owned()].as_slice()));
    assert_eq!(fs::read(&report.kept).unwrap(), bytes, "the old file is kept as it was");
    fs::write(home.path(), vec![0xA5; bytes.len()]).unwrap();
    let report = rebuild(&home.path(), |_| None).unwrap();
    assert_eq!((report.events, report.end_lost), (0, true), "nothing of it can be read");
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

/// Kills a node, as far as its files show it: the log is not copied into the database.
fn killed(home: &Home, first: u64, turns: u64) {
    let mut writer = home.writer();
    for n in first..first + turns {
        turn(&mut writer, n).unwrap();
    }
    let [database, log] = ["", "-wal"].map(|suffix| fs::read(beside(&home.path(), suffix)).unwrap());
    drop(writer);
    fs::write(home.path(), &database).unwrap();
    fs::write(beside(&home.path(), "-wal"), log).unwrap();
}

#[test]
fn a_log_whose_database_is_gone_is_kept_and_used() {
    for empty in [false, true] {
        let home = Home::new();
        killed(&home, 1, 20);
        let before = {
            let copy = Home::new();
            for suffix in ["", "-wal"] {
                fs::copy(beside(&home.path(), suffix), beside(&copy.path(), suffix)).unwrap();
            }
            drop(copy.writer());
            tables(&copy)
        };
        let log = fs::read(beside(&home.path(), "-wal")).unwrap();
        if empty {
            fs::write(home.path(), "").unwrap()
        } else {
            fs::remove_file(home.path()).unwrap()
        }

        let said = Writer::open(&home.path()).unwrap_err().to_string();
        let what = if empty { "the file is empty" } else { "the file is missing" };
        let named = format!("{what}, but its write-ahead log {}-wal has 60 events", home.path().display());
        assert!(said.contains(&named) && said.contains("`cis store rebuild`"), "{said}");
        let report = check(&home.path(), false).unwrap();
        assert_eq!(report.findings, std::slice::from_ref(&named));
        assert_eq!(report.verdict, Verdict::Damaged { node: Err(named), lost: Some(Losses::default()) });
        assert_eq!(home.path().exists(), empty);
        assert_eq!(fs::read(beside(&home.path(), "-wal")).unwrap(), log, "nothing was changed");

        // A rebuild that was interrupted at its beginning makes no difference.
        schema::private(&home.path()).unwrap().set_len(40960).unwrap();
        assert!(Writer::open(&home.path()).unwrap_err().to_string().contains("60 events"));
        let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
        assert_eq!((report.events, report.lost, report.end_lost), (60, vec![], false));
        assert_eq!((report.torn_tables, report.ended), (vec![], vec![]));
        assert_sound(&home.path());
        assert_eq!(tables(&home), before);
        assert_eq!(fs::read(beside(&report.kept, "-wal")).unwrap(), log, "the old log is kept");
    }
}

#[test]
fn a_log_with_the_newest_pages_of_a_lost_database_gives_its_events() {
    let home = store(300);
    killed(&home, 301, 10);
    fs::remove_file(home.path()).unwrap();
    assert!(matches!(Writer::open(&home.path()), Err(StoreError::Corrupt { .. })));
    let Verdict::Damaged { lost: Some(lost), .. } = check(&home.path(), false).unwrap().verdict else {
        panic!("it is not sound");
    };
    assert!(!lost.events.is_empty());
    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    assert!(report.events >= 30 && !report.lost.is_empty(), "{report:?}");
    turn(&mut home.writer(), 311).unwrap();
    assert_sound(&home.path());
}

#[test]
fn a_log_without_events_does_not_prevent_a_start() {
    let home = Home::new();
    killed(&home, 1, 0);
    fs::remove_file(home.path()).unwrap();
    turn(&mut home.writer(), 1).unwrap();
    assert_sound(&home.path());
}

/// A store with ended runs and two open ones, `one` and `other`. In `one` the task `a` has succeeded. Also returns the offset of its
/// result.
fn with_open_runs() -> (Home, i64) {
    let home = store(3);
    let mut writer = home.writer();
    let mut result = 0;
    for (n, dag) in [(100, "one"), (101, "other")] {
        let (run, session) = (Some(run_id(n)), session_id(n));
        writer.append_run(&draft(run, 4, created(dag, 3)), ulid(10 * n), &seeds_of_dag()).unwrap();
        writer.append(&draft(run, 5, EventBody::RunStarted {}), ulid(10 * n + 1)).unwrap();
        if dag == "one" {
            let grant = draft(run, 6, assigned("a", 1, session));
            writer.append_session(&grant, ulid(10 * n + 2), &facts("true")).unwrap();
            writer.append(&draft(run, 7, succeeded("a", 1, session, 7)), ulid(10 * n + 3)).unwrap();
            writer.commit().unwrap();
            result = i64::try_from(writer.last_offset()).unwrap();
        }
        writer.commit().unwrap();
    }
    (home, result)
}

/// Changes the store with SQL, which keeps its indices as they have to be.
fn tamper(home: &Home, sql: &str) {
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    conn.execute_batch(sql).unwrap();
}

/// Returns the names of the open runs.
fn open_runs(home: &Home) -> Vec<String> {
    let open = home.readers().get().unwrap().open_runs().unwrap();
    let name = |run| home.readers().get().unwrap().run(run).unwrap().dag;
    open.into_iter().map(|open| name(open.run)).collect()
}

fn lost(home: &Home) -> Losses {
    match check(&home.path(), false).unwrap().verdict {
        Verdict::Damaged { lost: Some(lost), .. } => lost,
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn the_checksum_says_of_which_run_an_event_is_whose_run_was_changed() {
    let other = run_id(101).0.to_bytes();
    let other = format!("x'{}'", other.map(|byte| format!("{byte:02x}")).concat());
    for run in ["zeroblob(16)", "NULL", "'text'", &other] {
        let (home, result) = with_open_runs();
        let before = tables(&home);
        tamper(
            &home,
            &format!(
                "PRAGMA ignore_check_constraints=ON; UPDATE events SET run = CAST({run} AS BLOB) WHERE offset = {result}"
            ),
        );
        let report = check(&home.path(), false).unwrap();
        let said = format!("event {result} cannot be read");
        assert!(report.findings.iter().any(|finding| finding.starts_with(&said)), "{run}: {report:?}");
        assert_eq!(lost(&home), Losses::default(), "{run}");
        let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
        assert_eq!((report.lost, report.ended), (vec![], vec![]), "{run}");
        assert_eq!(tables(&home), before, "{run}");
        assert_sound(&home.path());
    }
}

#[test]
fn an_event_that_was_removed_is_reported_once_and_its_run_ends() {
    let (home, result) = with_open_runs();
    tamper(&home, &format!("DELETE FROM events WHERE offset = {result}"));
    let report = check(&home.path(), false).unwrap();
    assert!(report.findings.contains(&format!("event {result} is missing")), "{report:?}");
    let told = lost(&home);
    let offset = Offset::try_from(result).unwrap();
    assert_eq!(told.events, [LostEvents { from: offset, to: offset, run: LostOf::Unknown }]);
    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    let named = |n, dag: &str| NamedRun { id: run_id(n), dag: dag.to_owned() };
    assert_eq!(report.ended, [named(100, "one"), named(101, "other")]);
    assert_eq!((told.ended, told.events), (report.ended, report.lost));
    assert_sound(&home.path());
    turn(&mut home.writer(), 9).unwrap();
    assert_sound(&home.path());
    // Of a second loss the first one says nothing.
    tamper(&home, &format!("DELETE FROM events WHERE offset = {}", result + 1));
    let report = check(&home.path(), false).unwrap();
    assert!(report.findings.contains(&format!("event {} is missing", result + 1)), "{report:?}");
    assert_eq!(lost(&home).events.len(), 1);
}

#[test]
fn gaps_that_an_earlier_version_left_are_known() {
    let (home, result) = with_open_runs();
    tamper(
        &home,
        &format!(
            "DELETE FROM events WHERE offset IN (1, 2, {}); DROP TABLE lost_events; DROP TABLE policy_rules; DROP TABLE room_sealed; DROP TABLE left_journals; ALTER TABLE runs DROP COLUMN retried_ms; PRAGMA user_version = 8",
            result + 1
        ),
    );
    drop(home.writer());
    let conn = schema::open_reader(&home.path()).unwrap();
    let gaps = |sql| conn.query_row(sql, (), |row| row.get::<_, String>(0)).unwrap();
    let all = gaps("SELECT group_concat(first || '-' || last) FROM lost_events");
    assert_eq!(all, format!("1-2,{0}-{0}", result + 1));
    let report = check(&home.path(), false).unwrap();
    assert!(!report.findings.iter().any(|finding| finding.contains("missing")), "{report:?}");
}

#[test]
fn a_run_whose_tasks_are_further_than_its_events_ends() {
    let (home, result) = with_open_runs();
    // As an earlier version wrote it: no checksum. The event stays readable, but says nothing.
    tamper(
        &home,
        &format!("UPDATE events SET sum = NULL, type = 'cis.dag.task.resolt' WHERE offset = {result}"),
    );
    assert_eq!(lost(&home).ended.len(), 1, "{:?}", lost(&home));
    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    assert_eq!(report.ended.iter().map(|run| run.dag.as_str()).collect::<Vec<_>>(), ["one"]);
    assert_eq!(open_runs(&home), ["other"]);
    assert_sound(&home.path());
}

#[test]
fn an_offset_far_beyond_the_others_is_no_sign_of_a_gap() {
    let (home, result) = with_open_runs();
    tamper(&home, &format!("UPDATE events SET offset = 9000000000000000 WHERE offset = {result} + 2"));
    assert!(!check(&home.path(), false).unwrap().findings.is_empty());
    let report = rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
    assert!(report.lost.len() <= 1, "{report:?}");
    assert_sound(&home.path());
    tamper(&home, "INSERT OR REPLACE INTO lost_events VALUES (-9000000000000000000, 9000000000000000000)");
    check(&home.path(), false).unwrap();
    rebuild(&home.path(), |_| Some(seeds_of_dag())).unwrap();
}
