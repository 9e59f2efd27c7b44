//! What a turn costs. Not a gate: run it by hand on the release build, on a quiet machine
//! (`cargo test --release -p cis-store tests::measure -- --ignored --nocapture`).

use std::time::Instant;

use super::support::{
    Home, assigned, created, draft, facts, run_id, seeds, session_id, succeeded, task, ulid,
    with_checkpointer,
};
use crate::{TaskSeed, Writer};
use cis_core::api::{ListRuns, ListSessions};
use cis_core::event::{EventBody, QueueReason, TaskChange, TaskState};

const TASKS: usize = 20_000;

fn per(label: &str, n: usize, since: Instant) {
    let each = since.elapsed().as_secs_f64() * 1e6 / n as f64;
    println!("{label}: {each:.1} µs");
}

/// Turns in which one attempt ends and the next is granted.
fn turns(writer: &mut Writer, names: &[String], commit: bool) -> Vec<f64> {
    let run = Some(run_id(1));
    let facts = facts("sh -c true");
    let mut took = Vec::with_capacity(names.len());
    for (n, name) in names.iter().enumerate() {
        let before = Instant::now();
        let (n, at) = (n as u128, 1_700_000_000_000 + n as i64);
        let session = session_id(n);
        writer.append_session(&draft(run, at, assigned(name, 1, session)), ulid(2 * n), &facts).unwrap();
        writer.append(&draft(run, at, succeeded(name, 1, session, at)), ulid(2 * n + 1)).unwrap();
        if commit {
            assert_eq!(writer.commit().unwrap().len(), 2);
            writer.maintain().unwrap();
        }
        took.push(before.elapsed().as_secs_f64() * 1e6);
    }
    took
}

#[test]
#[ignore = "prints figures; nothing to fail"]
fn a_turn() {
    let before = Instant::now();
    let home = Home::new();
    drop(home.writer());
    println!("making a store: {:?}", before.elapsed());
    let before = Instant::now();
    let (checkpointer, mut writer) = with_checkpointer(&home);
    println!("opening it: {:?}", before.elapsed());

    let names: Vec<String> = (0..TASKS).map(|n| format!("task-{n:05}")).collect();
    let list: Vec<TaskSeed> =
        names.iter().map(|name| TaskSeed { id: task(name), needs: Vec::new() }).collect();
    let before = Instant::now();
    let run = Some(run_id(1));
    writer.append_run(&draft(run, 1, created("many", TASKS)), ulid(1 << 60), &list).unwrap();
    let changes = |state| EventBody::TaskStatus {
        changes: list
            .iter()
            .map(|seed| TaskChange {
                task: seed.id.clone(),
                state,
                end: None,
                queued: Some(QueueReason::Slot),
            })
            .collect(),
    };
    per("inserting a task", TASKS, before);
    let before = Instant::now();
    writer.append(&draft(run, 1, changes(TaskState::Queued)), ulid(1 << 61)).unwrap();
    per("a change in a batch", TASKS, before);
    let before = Instant::now();
    writer.commit().unwrap();
    println!("its commit: {:?}", before.elapsed());

    let before = Instant::now();
    let mut took = turns(&mut writer, &names, true);
    per("turn: assigned + result + commit", TASKS, before);
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!("  p50 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1} µs", at(0.5), at(0.99), at(0.999), at(1.0));

    let reader = home.readers().get().unwrap();
    let before = Instant::now();
    assert_eq!(reader.list_runs(&ListRuns::default()).unwrap().items.len(), 1);
    println!("listing one open run of {TASKS} tasks: {:?}", before.elapsed());
    let before = Instant::now();
    assert_eq!(reader.run_detail(run_id(1)).unwrap().tasks.len(), TASKS);
    println!("its detail: {:?}", before.elapsed());
    let before = Instant::now();
    assert_eq!(reader.list_sessions(&ListSessions::default(), None).unwrap().items.len(), 0);
    println!("listing live sessions: {:?}", before.elapsed());
    let before = Instant::now();
    let events = reader.events(0, Some(run_id(1)), usize::MAX).unwrap();
    println!("reading {} events: {:?}", events.len(), before.elapsed());
    let before = Instant::now();
    assert!(events.iter().all(|event| event.decode().is_ok()));
    println!("decoding them: {:?}", before.elapsed());
    let before = Instant::now();
    drop((reader, checkpointer, writer));
    println!("closing: {:?}", before.elapsed());
}

#[test]
#[ignore = "prints figures; nothing to fail"]
fn without_commits() {
    let home = Home::new();
    let mut writer = home.writer();
    let names: Vec<String> = (0..TASKS).map(|n| format!("task-{n:05}")).collect();
    let list: Vec<TaskSeed> =
        seeds(&[]).into_iter().chain(names.iter().map(|n| TaskSeed { id: task(n), needs: vec![] })).collect();
    writer.append_run(&draft(Some(run_id(1)), 1, created("many", TASKS)), ulid(1 << 60), &list).unwrap();
    let before = Instant::now();
    turns(&mut writer, &names, false);
    per("assigned + result, no commit", TASKS, before);
    writer.commit().unwrap();
}
