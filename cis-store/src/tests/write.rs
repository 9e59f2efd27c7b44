//! Writing: what a transaction is, and what it leaves for readers.

use std::collections::BTreeMap;

use super::support::{
    Home, assigned, created, draft, facts, run_id, seeds, session_id, succeeded, task, ulid,
};
use crate::maintenance::check;
use crate::{SessionFacts, StoreError, Writer};
use cis_core::api::{ListRuns, ListSessions, TermSize};
use cis_core::event::{
    Actor, ActorKind, AttemptOutcome, EndReason, EventBody, ExitStatus, FailureCause, OutputRecord,
    PromptKind, PromptRecord, QueueReason, RetryScope, RunState, SessionState, TaskChange, TaskState, Via,
};
use cis_core::ids::{HostInstance, InputId};

fn change(id: &str, state: TaskState) -> TaskChange {
    TaskChange { task: task(id), state, end: None, queued: None }
}

/// A run of build → test, with `build` granted.
fn started(writer: &mut Writer) {
    let run = Some(run_id(1));
    let tasks = seeds(&[("build", &[]), ("test", &["build"])]);
    writer.append_run(&draft(run, 10, created("ship", 2)), ulid(1), &tasks).unwrap();
    writer.append(&draft(run, 11, EventBody::RunStarted {}), ulid(2)).unwrap();
    let queued = TaskChange { queued: Some(QueueReason::Slot), ..change("build", TaskState::Queued) };
    writer.append(&draft(run, 11, EventBody::TaskStatus { changes: vec![queued] }), ulid(3)).unwrap();
    let command = facts("make\nall");
    writer.append_session(&draft(run, 12, assigned("build", 1, session_id(1))), ulid(4), &command).unwrap();
}

#[test]
fn a_commit_gives_the_events_as_readers_see_them() {
    let home = Home::new();
    let mut writer = home.writer();
    let actor = Actor { kind: ActorKind::Human, name: "uid:1".to_owned(), via: Via::Socket };
    let mut asked = draft(Some(run_id(1)), 5, created("ship", 0));
    asked.actor = Some(actor);
    asked.cause = Some(InputId(ulid(77)));
    assert_eq!(writer.append(&asked, ulid(1)).unwrap(), 1);
    writer.append(&draft(None, 6, EventBody::NodeStopped { reason: "x".to_owned() }), ulid(2)).unwrap();
    let readers = home.readers();
    assert_eq!(readers.get().unwrap().events(0, None, 10).unwrap().len(), 0, "not committed");
    let published = writer.commit().unwrap();
    assert!(writer.commit().unwrap().is_empty());
    let stored = readers.get().unwrap().events(0, None, 10).unwrap();
    let text = |event: &cis_core::event::Event| serde_json::to_string(event).unwrap();
    assert_eq!(
        published.iter().map(|event| text(event)).collect::<Vec<_>>(),
        stored.iter().map(text).collect::<Vec<_>>()
    );
    assert_eq!(stored[0].decode().unwrap(), asked.body);
    assert_eq!((&stored[0].actor, stored[0].cause), (&asked.actor, asked.cause));
    let reader = readers.get().unwrap();
    assert_eq!(reader.events(1, None, 10).unwrap().len(), 1);
    assert_eq!(reader.events(0, Some(run_id(1)), 10).unwrap().len(), 1);
    assert_eq!(reader.events(0, None, 1).unwrap()[0].offset, 1);
    assert_eq!(reader.audit(None, 10).unwrap().len(), 1);
    assert_eq!(reader.audit(Some(1), 10).unwrap().len(), 0);
    assert_eq!(reader.last_offset().unwrap(), 2);
}

#[test]
fn a_run_is_seen_as_it_goes_on() {
    let home = Home::new();
    let mut writer = home.writer();
    started(&mut writer);
    writer.commit().unwrap();
    let reader = home.readers().get().unwrap();

    let detail = reader.run_detail(run_id(1)).unwrap();
    assert_eq!(detail.run.state, RunState::Running);
    assert_eq!((detail.run.created_ms, detail.run.started_ms, detail.run.last_offset), (10, Some(11), 4));
    assert_eq!(detail.run.counts, BTreeMap::from([(TaskState::Pending, 1), (TaskState::Running, 1)]));
    assert_eq!(detail.params["branch"], "main");
    assert_eq!(detail.tasks[1].needs, [task("build")]);
    assert_eq!(detail.tasks[0].session, Some(session_id(1)));
    assert_eq!((detail.tasks[0].attempts, detail.tasks[0].started_ms), (1, Some(12)));
    let live = reader.list_sessions(&ListSessions::default(), None).unwrap().items;
    assert_eq!(live.len(), 1);
    assert_eq!(
        (live[0].run, live[0].task.clone(), live[0].attempt),
        (Some(run_id(1)), Some(task("build")), Some(1))
    );
    assert_eq!(
        (live[0].state, live[0].command.as_str(), live[0].tty),
        (SessionState::Starting, "make all", false)
    );

    let run = Some(run_id(1));
    let body = EventBody::SessionStarted { session: session_id(1), task: Some(task("build")), pid: 4711 };
    writer.append(&draft(run, 13, body), ulid(5)).unwrap();
    let body = EventBody::SessionBlocked {
        session: session_id(1),
        task: None,
        prompt: Box::new(PromptRecord::bare(session_id(1), 1, PromptKind::Question)),
    };
    writer.append(&draft(run, 14, body), ulid(6)).unwrap();
    writer.commit().unwrap();
    let session = reader.session(session_id(1)).unwrap();
    assert_eq!((session.state, session.pid), (SessionState::Blocked, Some(4711)));

    writer.append(&draft(run, 15, succeeded("build", 1, session_id(1), 15)), ulid(7)).unwrap();
    let end = EndReason::NeedFailed { need: "build".to_owned() };
    let skipped = TaskChange { end: Some(end), ..change("test", TaskState::Cancelled) };
    writer.append(&draft(run, 16, EventBody::TaskStatus { changes: vec![skipped] }), ulid(8)).unwrap();
    writer.append(&draft(run, 17, EventBody::RunFailed { detail: "it broke".to_owned() }), ulid(9)).unwrap();
    writer.commit().unwrap();
    let detail = reader.run_detail(run_id(1)).unwrap();
    assert_eq!((detail.run.state, detail.run.ended_ms), (RunState::Failed, Some(17)));
    assert_eq!(detail.run.detail.as_deref(), Some("it broke"));
    assert_eq!(detail.run.counts, BTreeMap::from([(TaskState::Succeeded, 1), (TaskState::Cancelled, 1)]));
    assert_eq!(detail.tasks[0].exit_code, Some(0));
    assert_eq!(detail.tasks[1].reason.as_deref(), Some("needs `build`, which did not succeed"));
    assert!(reader.list_sessions(&ListSessions::default(), None).unwrap().items.is_empty());
    let all = ListSessions { all: true, ..ListSessions::default() };
    for which in [None, run] {
        let ended = reader.list_sessions(&all, which).unwrap().items;
        assert_eq!((ended.len(), ended[0].state, ended[0].pid), (1, SessionState::Exited, None));
    }
    assert!(reader.list_sessions(&all, Some(run_id(2))).unwrap().items.is_empty());
    let standalone = ListSessions { standalone: true, ..all };
    assert!(reader.list_sessions(&standalone, None).unwrap().items.is_empty(), "it is of a run");
    assert!(reader.open_runs().unwrap().is_empty());
}

#[test]
fn attempts_of_a_task_are_kept_one_by_one() {
    let home = Home::new();
    let mut writer = home.writer();
    started(&mut writer);
    let run = Some(run_id(1));
    let EventBody::TaskResult(mut result) = succeeded("build", 1, session_id(1), 20) else { unreachable!() };
    result.outcome = AttemptOutcome::Failed { cause: FailureCause::Exit { status: ExitStatus::Signal(9) } };
    result.exit = Some(ExitStatus::Signal(9));
    result.state = TaskState::Queued;
    result.queued = Some(QueueReason::RetryAt { at_ms: 1520, after: "signal 9".to_owned() });
    writer.append(&draft(run, 20, EventBody::TaskResult(result)), ulid(10)).unwrap();
    writer.commit().unwrap();
    let reader = home.readers().get().unwrap();
    let waiting = &reader.run_detail(run_id(1)).unwrap().tasks[0];
    assert_eq!(waiting.reason.as_deref(), Some("signal 9; the next try comes 1.5s later"));
    assert_eq!((waiting.exit_code, waiting.attempts), (None, 1));

    writer.append(&draft(run, 1520, assigned("build", 2, session_id(2))), ulid(11)).unwrap();
    let EventBody::TaskResult(mut result) = succeeded("build", 2, session_id(2), 1530) else {
        unreachable!()
    };
    let value = OutputRecord { value: 3.into(), hash: "h".to_owned(), blob: None, hidden: false };
    result.outputs.insert("failed".to_owned(), value);
    writer.append(&draft(run, 1530, EventBody::TaskResult(result)), ulid(12)).unwrap();
    writer.append(&draft(run, 1531, EventBody::RunCompleted {}), ulid(13)).unwrap();
    writer.commit().unwrap();
    let attempts = reader.attempts(run_id(1), &task("build")).unwrap();
    let seen: Vec<_> =
        attempts.iter().map(|a| (a.number, a.session, a.outcome.as_deref(), a.detail.as_deref())).collect();
    assert_eq!(
        seen,
        [(2, session_id(2), Some("succeeded"), None), (1, session_id(1), Some("failed"), Some("signal 9"))]
    );
    assert!(attempts[0].node.starts_with("did:key:"));
    assert!(reader.attempts(run_id(1), &task("test")).unwrap().is_empty());
    assert_eq!(reader.run_detail(run_id(1)).unwrap().tasks[0].outputs["failed"], 3);

    // A retry of an ended run: it is open again, and a success without outputs has none of the old ones.
    let again =
        EventBody::RunRetried { scope: RetryScope::All, changes: vec![change("build", TaskState::Queued)] };
    writer.append(&draft(run, 2000, again), ulid(14)).unwrap();
    writer.append(&draft(run, 2001, assigned("build", 3, session_id(3))), ulid(15)).unwrap();
    writer.commit().unwrap();
    let detail = reader.run_detail(run_id(1)).unwrap();
    assert_eq!((detail.run.state, detail.run.ended_ms), (RunState::Running, None));
    assert_eq!((detail.run.started_ms, detail.run.retried_ms), (Some(11), Some(2000)));
    assert_eq!(detail.run.runs_since_ms(), Some(2000), "the time before the retry does not count");
    assert_eq!(detail.run.counts, BTreeMap::from([(TaskState::Running, 1), (TaskState::Pending, 1)]));
    assert_eq!(reader.open_runs().unwrap()[0].run, run_id(1));
    assert_eq!(detail.tasks[0].outputs["failed"], 3, "of its last success");
    writer.append(&draft(run, 2002, succeeded("build", 3, session_id(3), 2002)), ulid(16)).unwrap();
    writer.commit().unwrap();
    assert!(reader.run_detail(run_id(1)).unwrap().tasks[0].outputs.is_empty());
    assert_eq!(reader.attempts(run_id(1), &task("build")).unwrap().len(), 3);
}

#[test]
fn an_older_store_learns_when_its_runs_were_retried() {
    let home = Home::new();
    let mut writer = home.writer();
    started(&mut writer);
    let run = Some(run_id(1));
    for (at_ms, id) in [(20, 10), (40, 12)] {
        let end = EventBody::RunErrored { detail: "no disk".to_owned() };
        writer.append(&draft(run, at_ms, end), ulid(id)).unwrap();
        let again = EventBody::RunRetried { scope: RetryScope::All, changes: vec![] };
        writer.append(&draft(run, at_ms + 5, again), ulid(id + 1)).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    // As version 11 had it.
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    conn.execute_batch("ALTER TABLE runs DROP COLUMN retried_ms; PRAGMA user_version = 11").unwrap();
    drop(conn);
    drop(home.writer());
    let view = || home.readers().get().unwrap().run(run_id(1)).unwrap();
    assert_eq!((view().started_ms, view().retried_ms), (Some(11), Some(45)));
    // As version 11 leaves it after an update that was taken back.
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    conn.execute_batch("UPDATE runs SET retried_ms = NULL; INSERT INTO meta VALUES ('older_wrote', '11')")
        .unwrap();
    drop(conn);
    let report = check(&home.path(), false).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    drop(home.writer());
    assert_eq!(view().retried_ms, Some(45));
}

#[test]
fn a_grant_that_is_not_taken_leaves_no_live_session() {
    let home = Home::new();
    let mut writer = home.writer();
    started(&mut writer);
    let run = Some(run_id(1));
    let short = QueueReason::Resources { at_ms: 1012, detail: "no PTY is left".to_owned() };
    let back = TaskChange { queued: Some(short), ..change("build", TaskState::Queued) };
    writer.append(&draft(run, 12, EventBody::TaskStatus { changes: vec![back] }), ulid(5)).unwrap();
    writer.append(&draft(run, 1012, assigned("build", 2, session_id(2))), ulid(6)).unwrap();
    let end = Some(EndReason::RunCancelled);
    let stop = TaskChange { end, ..change("build", TaskState::Cancelled) };
    let changes = vec![stop, change("test", TaskState::Cancelled)];
    writer.append(&draft(run, 1013, EventBody::TaskStatus { changes }), ulid(7)).unwrap();
    writer.commit().unwrap();
    let attempts = home.readers().get().unwrap().attempts(run_id(1), &task("build")).unwrap();
    let seen: Vec<_> =
        attempts.iter().map(|a| (a.state, a.outcome.as_deref(), a.detail.as_deref(), a.ended_ms)).collect();
    let gone = SessionState::Terminated;
    assert_eq!(
        seen,
        [
            (gone, Some("cancelled"), Some("the run was cancelled"), Some(1013)),
            (gone, Some("error"), Some("not started: no PTY is left"), Some(12)),
        ]
    );
}

#[test]
fn live_sessions_without_a_run_are_all_read_also_beyond_a_page() {
    let home = Home::new();
    let mut writer = home.writer();
    for n in 1..=1002 {
        let body = EventBody::SessionCreated {
            session: session_id(n),
            argv: vec!["true".to_owned()],
            name: None,
            host: HostInstance(ulid(5)),
        };
        writer.append(&draft(None, 1, body), ulid(n)).unwrap();
    }
    let session = session_id(2);
    let body = EventBody::SessionEnded { session, exit: None, detail: None, ended_ms: 2, log_bytes: 0 };
    writer.append(&draft(None, 2, body), ulid(1 << 15)).unwrap();
    writer.commit().unwrap();
    let live = home.readers().get().unwrap().live_standalone().unwrap();
    assert_eq!(live.len(), 1001);
    assert!(live.iter().any(|view| view.id == session_id(1)), "the oldest one too");
    assert!(live.iter().all(|view| view.id != session), "it has ended");
}

#[test]
fn sessions_alone_have_names_and_facts() {
    let home = Home::new();
    let mut writer = home.writer();
    let body = EventBody::SessionCreated {
        session: session_id(1),
        argv: vec!["bash".to_owned(), "-l".to_owned()],
        name: Some("shell".to_owned()),
        host: HostInstance(ulid(5)),
    };
    writer.append(&draft(None, 1, body), ulid(1)).unwrap();
    let body = EventBody::SessionStarted { session: session_id(1), task: None, pid: 7 };
    writer.append(&draft(None, 2, body), ulid(2)).unwrap();
    writer.commit().unwrap();
    let reader = home.readers().get().unwrap();
    let found = reader.session(session_id(1)).unwrap();
    assert_eq!((found.command.as_str(), found.name.as_deref(), found.size), ("bash -l", Some("shell"), None));
    assert_eq!((found.state, found.tty), (SessionState::Ready, true));
    let facts = SessionFacts {
        tty: true,
        size: Some(TermSize { cols: 100, rows: 30 }),
        command: "bash".to_owned(),
        log: Some("/l".to_owned()),
    };
    writer.session_facts(session_id(1), &facts).unwrap();
    writer.commit().unwrap();
    assert_eq!(reader.session(session_id(1)).unwrap().size, facts.size);
    let size = TermSize { cols: 90, rows: 20 };
    writer.session_resized(session_id(1), size).unwrap();
    writer.session_resized(session_id(9), size).unwrap();
    writer.commit().unwrap();
    assert_eq!(reader.session(session_id(1)).unwrap().size, Some(size));
    assert_eq!(reader.session_log(session_id(1)).unwrap(), facts.log);
    let body = EventBody::SessionEnded {
        session: session_id(1),
        exit: Some(ExitStatus::Code(3)),
        detail: None,
        ended_ms: 9,
        log_bytes: 5,
    };
    writer.append(&draft(None, 9, body), ulid(3)).unwrap();
    // What comes late changes nothing.
    let prompt = Box::new(PromptRecord::bare(session_id(1), 1, PromptKind::Question));
    let body = EventBody::SessionBlocked { session: session_id(1), task: None, prompt };
    writer.append(&draft(None, 10, body), ulid(4)).unwrap();
    writer.commit().unwrap();
    let ended = reader.session(session_id(1)).unwrap();
    assert_eq!((ended.state, ended.exit_code, ended.ended_ms), (SessionState::Exited, Some(3), Some(9)));
    assert!(matches!(reader.session(session_id(2)), Err(StoreError::NotFound { .. })));
}

#[test]
fn what_is_rolled_back_never_was() {
    let home = Home::new();
    let mut writer = home.writer();
    started(&mut writer);
    writer.commit().unwrap();
    let run = Some(run_id(1));
    let new = seeds(&[("extra", &[])]);
    writer.append_run(&draft(Some(run_id(2)), 20, created("other", 1)), ulid(20), &new).unwrap();
    writer.append(&draft(run, 20, succeeded("build", 1, session_id(1), 20)), ulid(21)).unwrap();
    writer.remember_input(InputId(ulid(1)), "x").unwrap();
    writer.set_meta("k", "v").unwrap();
    assert_eq!(writer.get_meta("k").unwrap().as_deref(), Some("v"));
    writer.rollback();
    assert_eq!((writer.get_meta("k").unwrap(), writer.find_input(InputId(ulid(1))).unwrap()), (None, None));
    assert_eq!(writer.last_offset(), 4);
    // The same offsets are given again, and the run that was undone is not remembered.
    let body = EventBody::TaskStatus { changes: vec![change("extra", TaskState::Queued)] };
    assert_eq!(writer.append(&draft(Some(run_id(2)), 21, body), ulid(22)).unwrap(), 5);
    writer.append(&draft(run, 22, succeeded("build", 1, session_id(1), 22)), ulid(23)).unwrap();
    assert_eq!(writer.commit().unwrap().len(), 2);
    let reader = home.readers().get().unwrap();
    assert_eq!(reader.list_runs(&ListRuns::default()).unwrap().items.len(), 1);
    assert_eq!(reader.run_detail(run_id(1)).unwrap().tasks[0].ended_ms, Some(22));
}

#[test]
fn an_input_counts_once() {
    let home = Home::new();
    let mut writer = home.writer();
    let input = InputId(ulid(1));
    writer.remember_input(input, "first").unwrap();
    writer.remember_input(input, "second").unwrap();
    writer.commit().unwrap();
    assert_eq!(writer.find_input(input).unwrap().as_deref(), Some("first"));
    assert_eq!(home.readers().get().unwrap().find_input(input).unwrap().as_deref(), Some("first"));
}

#[test]
fn a_batch_of_10000_changes_is_one_event() {
    let home = Home::new();
    let mut writer = home.writer();
    let names: Vec<String> = (0..10_000).map(|n| format!("t{n}")).collect();
    let list: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), [].as_slice())).collect();
    writer.append_run(&draft(Some(run_id(1)), 1, created("many", 10_000)), ulid(1), &seeds(&list)).unwrap();
    let changes = names.iter().map(|name| change(name, TaskState::Queued)).collect();
    writer.append(&draft(Some(run_id(1)), 2, EventBody::TaskStatus { changes }), ulid(2)).unwrap();
    assert_eq!(writer.commit().unwrap().len(), 2);
    let run = home.readers().get().unwrap().run(run_id(1)).unwrap();
    assert_eq!(run.counts, BTreeMap::from([(TaskState::Queued, 10_000)]));
}

#[test]
fn a_task_given_ahead_is_seen_queued_until_it_began_and_leaves_no_trace_when_taken_back() {
    let home = Home::new();
    let mut writer = home.writer();
    started(&mut writer);
    let run = Some(run_id(1));
    let ahead = |attempt, session| match assigned("test", attempt, session_id(session)) {
        EventBody::TaskAssigned(grant) => {
            EventBody::TaskAssigned(cis_core::event::GrantRecord { ahead: true, ..grant })
        }
        other => other,
    };
    let mut id = 100;
    let mut tell = |writer: &mut Writer, body: EventBody| {
        id += 1;
        writer.append(&draft(run, 20, body), ulid(id)).unwrap();
        writer.commit().unwrap();
        let reader = home.readers().get().unwrap();
        let task = reader.run_detail(run_id(1)).unwrap().tasks[1].clone();
        (task.state, reader.attempts(run_id(1), &task.id).unwrap().len())
    };
    assert_eq!(tell(&mut writer, ahead(1, 7)), (TaskState::Queued, 1));
    let back = TaskChange { queued: Some(QueueReason::Withdrawn), ..change("test", TaskState::Queued) };
    assert_eq!(tell(&mut writer, EventBody::TaskStatus { changes: vec![back] }), (TaskState::Queued, 0));
    assert_eq!(tell(&mut writer, ahead(1, 8)), (TaskState::Queued, 1));
    let began = EventBody::SessionStarted { session: session_id(8), task: Some(task("test")), pid: 5 };
    assert_eq!(tell(&mut writer, began), (TaskState::Running, 1));
}
