//! Random histories: what appends make of them, what a rebuild makes of them, and what a check says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::types::Value;

use super::support::{
    Home, assert_sound, assigned, created, draft, facts, run_id, seeds_of_dag, session_id, succeeded, task,
    ulid,
};
use crate::Writer;
use crate::maintenance::{PROJECTED, check, rebuild};
use cis_core::dag::{Action, Group, Task};
use cis_core::event::{
    ArtifactRecord, AttemptOutcome, EndReason, EventBody, ExecutionMode, ExitStatus, FileReaders, LostBy,
    NodeRule, OutputRecord, PromptKind, PromptRecord, QueueReason, RetryScope, RuleEffect, TaskChange,
    TaskState,
};
use cis_core::ids::{HostInstance, NodeDid, TaskId};

/// Every projected row, facts beside events included.
pub(super) fn tables(home: &Home) -> BTreeMap<&'static str, Vec<Vec<Value>>> {
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    let mut all = BTreeMap::new();
    let names = PROJECTED.iter().map(|(table, _)| *table).chain([
        "meta",
        "inputs",
        "outbox",
        "room_runs",
        "room_messages",
        "rooms",
        "held",
        "room_sealed",
    ]);
    for table in names {
        let mut read = conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = read.column_count();
        let rows = read
            .query_map((), |row| (0..columns).map(|n| row.get::<_, Value>(n)).collect::<Result<Vec<_>, _>>())
            .unwrap();
        all.insert(table, rows.map(Result::unwrap).collect());
    }
    all
}

/// One step of a history. The numbers choose runs, tasks, sessions, outcomes.
type Step = (u8, u8, u8, u8);

const TASKS: [&str; 4] = ["a", "b", "c", "d"];

fn name(n: u8) -> &'static str {
    TASKS[usize::from(n) % TASKS.len()]
}

fn change(n: u8, kind: u8) -> TaskChange {
    let state = TaskState::ALL[usize::from(kind) % TaskState::ALL.len()];
    let end = state.is_terminal().then(|| EndReason::Attempt { detail: "x".to_owned() });
    let queued = match kind % 5 {
        0 => Some(QueueReason::Slot),
        3 => Some(QueueReason::Approval { prompt: "?".to_owned(), until_ms: Some(i64::from(kind)) }),
        4 => Some(QueueReason::Group { name: "g".to_owned() }),
        1 => Some(QueueReason::RetryAt { at_ms: i64::from(kind) * 1000, after: "exit code 1".to_owned() }),
        _ => None,
    };
    TaskChange { task: task(name(n)), state, end, queued }
}

fn child(n: u8) -> Task {
    let id = TaskId::new(&format!("a_t{n}")).unwrap();
    let action = Action::Command(vec!["true".to_owned()]);
    Task { needs: vec![task("a"), task("d")], ..Task::new(id, action) }
}

fn result(n: u8, attempt: u8, kind: u8, at: i64) -> EventBody {
    let session = session_id(u128::from(n) * 16 + u128::from(attempt));
    let EventBody::TaskResult(mut result) = succeeded(name(n), u32::from(attempt), session, at) else {
        unreachable!()
    };
    match kind % 4 {
        0 => {
            let value = OutputRecord { value: kind.into(), hash: "h".to_owned(), blob: None, hidden: false };
            result.outputs.insert("o".to_owned(), value);
            let blob = cis_core::ids::BlobId("b".to_owned());
            result.artifacts = vec![ArtifactRecord {
                path: "p".to_owned(),
                blob,
                size: 1,
                executable: false,
                readers: FileReaders::default(),
            }];
        }
        1 => {
            result.outcome = AttemptOutcome::Lost { detail: "gone".to_owned() };
            result.exit = None;
            result.state = TaskState::Queued;
            result.queued = Some(QueueReason::Lost { detail: "gone".to_owned() });
        }
        2 => {
            result.outcome = AttemptOutcome::Cancelled;
            result.exit = Some(ExitStatus::Signal(15));
            result.state = TaskState::Cancelled;
        }
        _ => {}
    }
    EventBody::TaskResult(result)
}

/// The event of a step: of any kind, in any order, whether it makes sense or not.
fn body((kind, a, b, c): Step, at: i64) -> EventBody {
    let session = session_id(u128::from(a) * 16 + u128::from(b));
    let host = HostInstance(ulid(u128::from(c % 2)));
    match kind % 24 {
        20 => EventBody::TaskExpanded { task: task(name(a)), items: vec![1.into(); usize::from(b % 4)] },
        21 => EventBody::TaskApproved { task: task(name(a)), by: "x".to_owned(), comment: None },
        22 => {
            let group = (b % 3 > 0).then(|| Group { limit: u32::from(c), frees_when_blocked: b % 2 == 0 });
            EventBody::NodeGroup { name: name(a).to_owned(), group }
        }
        23 => {
            let mut rule = NodeRule::new(RuleEffect::Deny);
            rule.command = Some(format!("rm {c}"));
            let rule = (b % 3 > 0).then(|| Box::new(rule));
            EventBody::NodePolicy { number: u32::from(a), rule, by: "uid:1000".to_owned() }
        }
        0 => EventBody::RunStarted {},
        1 => EventBody::RunPaused {},
        2 => EventBody::RunResumed {},
        3 => EventBody::RunCancelling { reason: EndReason::RunCancelled },
        4 => EventBody::RunCompleted {},
        5 => EventBody::RunFailed { detail: "f".to_owned() },
        6 => EventBody::RunCancelled {},
        7 => EventBody::RunRetried { scope: RetryScope::Failed, changes: vec![change(a, b)] },
        8 => EventBody::RunModeChanged { mode: ExecutionMode::Hybrid, room: Some("!r".to_owned()) },
        9 => EventBody::RunTakenOver {
            owner: NodeDid("did:key:z2".to_owned()),
            epoch: 2,
            cut: 1,
            forced: false,
            voted: false,
            lost: false,
        },
        10 | 11 => EventBody::TaskStatus { changes: vec![change(a, b), change(b, c)] },
        12 => EventBody::TasksAdded { parent: task("a"), tasks: vec![child(a), child(b)] },
        13 | 14 => assigned(name(a), u32::from(b), session),
        15 | 16 => result(a, b, c, at),
        17 => EventBody::SessionStarted { session, task: Some(task(name(a))), pid: 9 },
        18 => EventBody::SessionCreated {
            session,
            argv: vec!["x".to_owned()],
            name: Some("n".to_owned()),
            host,
        },
        _ => match c % 4 {
            0 => {
                let prompt = Box::new(PromptRecord::bare(session, 1, PromptKind::Question));
                EventBody::SessionBlocked { session, task: None, prompt }
            }
            1 => EventBody::SessionRecovered { session, task: None, episode: 1 },
            2 => EventBody::NodeLost { did: NodeDid("d".to_owned()), by: LostBy::Host, host: None },
            _ => EventBody::SessionEnded {
                session,
                exit: a.is_multiple_of(2).then_some(ExitStatus::Code(1)),
                detail: b.is_multiple_of(2).then(|| "killed".to_owned()),
                ended_ms: at,
                log_bytes: 3,
            },
        },
    }
}

fn write(writer: &mut Writer, n: usize, step: Step) {
    let at = 1_000 + n as i64;
    let id = ulid(n as u128);
    let run = Some(run_id(u128::from(step.3 % 3)));
    match step.0 {
        200..220 => writer.append_run(&draft(run, at, created("ship", 3)), id, &seeds_of_dag()).map(|_| ()),
        220..225 => writer.append(&draft(run, at, created("ship", 3)), id).map(|_| ()),
        225..245 => writer.commit().map(|_| ()),
        245..250 => {
            writer.rollback();
            Ok(())
        }
        250.. => writer.set_meta(name(step.1), name(step.2)),
        _ => {
            let body = body(step, at);
            let draft = draft(run, at, body);
            if step.1.is_multiple_of(2) {
                writer.append_session(&draft, id, &facts("cmd")).map(|_| ())
            } else {
                writer.append(&draft, id).map(|_| ())
            }
        }
    }
    .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_rebuild_gives_what_the_appends_gave(steps in prop::collection::vec(any::<Step>(), 1..120)) {
        let home = Home::new();
        let mut writer = home.writer();
        for n in 0..3_u8 {
            write(&mut writer, usize::from(n), (200, 0, 0, n));
        }
        for (n, step) in steps.iter().enumerate() {
            write(&mut writer, n + 3, *step);
        }
        writer.commit().unwrap();
        let events = writer.last_offset();
        drop(writer);
        prop_assert_eq!(check(&home.path(), false).unwrap().findings, Vec::<String>::new());
        let before = tables(&home);

        let report = rebuild(&home.path(), |_| None).unwrap();
        prop_assert_eq!((report.events, report.silent_events), (events, 0));
        prop_assert!(report.lost.is_empty() && report.torn_tables.is_empty());
        prop_assert_eq!(&tables(&home), &before);
        prop_assert_eq!(check(&home.path(), true).unwrap().findings, Vec::<String>::new());
    }
}

#[test]
fn a_check_finds_tables_that_are_not_what_the_events_say_and_a_rebuild_mends_them() {
    let home = Home::new();
    let mut writer = home.writer();
    for n in 0..3 {
        write(&mut writer, n, (200, 0, 0, n as u8));
    }
    write(&mut writer, 3, (13, 0, 1, 0));
    writer.commit().unwrap();
    drop(writer);
    let before = tables(&home);
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    conn.execute_batch(
        "UPDATE tasks SET state = 'queued' WHERE idx = 0; DELETE FROM sessions; DELETE FROM task_needs;",
    )
    .unwrap();
    drop(conn);
    let findings = check(&home.path(), true).unwrap().findings;
    // The needs are in no event: a check takes them as they are. The file knows better.
    let expected = [
        "3 rows of table tasks are not what the events say",
        "1 rows of table sessions are not what the events say",
    ];
    assert_eq!(findings, expected);
    let report = rebuild(&home.path(), |facts| (facts.dag == "ship").then(seeds_of_dag)).unwrap();
    let mut after = tables(&home);
    assert!(report.lost.is_empty());
    // What no event holds is lost with the row.
    let sessions = after.insert("sessions", before["sessions"].clone()).unwrap();
    assert_eq!(sessions.len(), 1);
    assert_eq!(after, before);
    assert_eq!(check(&home.path(), true).unwrap().findings, Vec::<String>::new());
}

#[test]
fn a_run_that_another_node_has_told_anew_is_no_damage() {
    let home = Home::new();
    let mut writer = home.writer();
    let run = Some(run_id(1));
    let created = || draft(run, 1, created("ship", 3));
    writer.append_run(&created(), ulid(1), &seeds_of_dag()).unwrap();
    // The events alone give `b` the first place.
    writer.append(&draft(run, 2, assigned("b", 1, session_id(1))), ulid(2)).unwrap();
    writer.append(&draft(run, 3, EventBody::RunVoided {}), ulid(3)).unwrap();
    writer.append_run(&created(), ulid(4), &seeds_of_dag()).unwrap();
    writer.append(&draft(run, 4, assigned("b", 1, session_id(2))), ulid(5)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    assert_sound(&home.path());
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    conn.execute("UPDATE sessions SET attempt = 7", ()).unwrap();
    drop(conn);
    let findings = check(&home.path(), true).unwrap().findings;
    assert_eq!(findings, ["1 rows of table sessions are not what the events say"], "that of the new story");
}

#[test]
fn events_of_a_newer_version_are_kept_and_no_fault() {
    let home = Home::new();
    let mut writer = home.writer();
    write(&mut writer, 0, (200, 0, 0, 0));
    writer.commit().unwrap();
    drop(writer);
    let insert = |kind: &str, body: &str| {
        rusqlite::Connection::open(home.path())
            .unwrap()
            .execute(
                "INSERT INTO events (id, v, type, at_ms, body) VALUES (zeroblob(16), 9, ?1, 5, ?2)",
                [kind, body],
            )
            .unwrap();
    };
    insert("cis.dag.run.celebrated", r#"{"cake":true}"#);
    let report = check(&home.path(), true).unwrap();
    assert_eq!((report.events, report.unknown_events, report.findings.len()), (2, 1, 0));
    let report = rebuild(&home.path(), |_| None).unwrap();
    assert_eq!((report.events, report.silent_events), (2, 1));
    let stored = home.readers().get().unwrap().events(1, None, 10).unwrap();
    assert_eq!((stored[0].v, stored[0].body.get()), (9, r#"{"cake":true}"#));

    insert("cis.dag.task.result", r#"{"task":"a"}"#);
    insert("cis.dag.run.started", "not JSON");
    let findings = check(&home.path(), true).unwrap().findings;
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].starts_with("event 3 cannot be read: cis.dag.task.result"), "{findings:?}");
    assert!(findings[1].starts_with("event 4 cannot be read"), "{findings:?}");
    let report = rebuild(&home.path(), |_| None).unwrap();
    let lost: Vec<_> = report.lost.iter().map(|lost| (lost.from, lost.to)).collect();
    assert_eq!((report.events, report.silent_events, lost), (3, 2, vec![(4, 4)]));
}
