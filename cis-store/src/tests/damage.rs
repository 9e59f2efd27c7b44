//! Damaged files: they are told, and what can be read of them is saved.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;

use super::events::tables;
use super::support::{Home, assert_sound, run_id, seeds_of_dag, store, turn};
use crate::maintenance::{Losses, LostOf, Verdict, check, rebuild};
use crate::schema::{self, beside};
use crate::{StoreError, Writer};

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
