//! Many at once: readers beside the writer, and the log between them.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::{
    Home, assert_sound, assigned, created, draft, run_id, seeds, session_id, succeeded, task, turn, ulid,
    with_checkpointer,
};
use crate::pulse::Pace;
use crate::reader::LIVE;
use crate::schema::beside;
use crate::{Checkpointer, Readers};
use cis_core::api::ListRuns;
use cis_core::event::{EventBody, TaskState};

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
    let pulse = writer.pulse();
    let (mut longest, mut passes) = (0, 0);
    for n in 1..=600 {
        turn(&mut writer, n).unwrap();
        // What is due is waited for: this machine may give the other thread no time.
        if n % 20 == 0 {
            until("the log is copied", || pulse.passes() > passes);
            passes = pulse.passes();
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

#[test]
fn what_is_not_on_the_disk_yet_is_waited_for_while_the_log_is_cut() {
    let home = Home::new();
    let mut writer = home.writer();
    turn(&mut writer, 1).unwrap();
    let unsynced = writer.unsynced().unwrap();
    turn(&mut writer, 2).unwrap();
    let cut: i64 =
        writer.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0)).unwrap();
    assert_eq!(cut, 0);
    turn(&mut writer, 3).unwrap();
    unsynced.wait().unwrap();
    writer.unsynced().unwrap().wait().unwrap();
    drop(writer);
    assert_sound(&home.path());
}

#[test]
fn live_sessions_are_found_without_a_look_at_ended_runs() {
    let home = Home::new();
    let writer = home.writer();
    let mut plan = writer.connection().prepare(&format!("EXPLAIN QUERY PLAN {LIVE}")).unwrap();
    let lines = plan.query_map((), |row| row.get::<_, String>(3)).unwrap();
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(lines.iter().any(|line| line.contains("SEARCH x USING PRIMARY KEY (run=?)")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("SCAN") && !line.contains("USING INDEX")), "{lines:?}");
}
