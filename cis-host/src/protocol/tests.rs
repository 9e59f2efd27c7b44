use std::collections::BTreeMap;

use super::*;
use cis_core::api::TermSize;
use cis_core::event::{ExitStatus, SessionLimit};
use cis_core::ids::{HostInstance, InputId, RunId, SessionId};
use cis_core::monitor::{KernelEvidence, Modes, Reader, ReaderHow};
use serde_json::Value;

fn session() -> SessionId {
    SessionId::from_parts(1_700_000_000_000, 5)
}

fn exit() -> Exit {
    Exit { status: ExitStatus::Signal(9), timed_out: true, output_bytes: 3, ..Exit::with_code(0) }
}

fn to_host() -> Vec<ToHost> {
    let session = session();
    let start = Start {
        session,
        label: "label".to_owned(),
        argv: vec!["sh".to_owned()],
        cwd: "/".to_owned(),
        env_base: Some("base".to_owned()),
        env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        umask: Some(0o027),
        line: Some(Line { of: RunId::from_parts(1, 2), at_once: 3, lazy_above: 4 }),
        io: Io::Pty(TermSize::default()),
        log: "/log".to_owned(),
        log_limit_bytes: 1,
        timeout_ms: None,
        idle_ms: Some(2),
        warn_ms: Some(1),
        grace_ms: 2,
        files: BTreeMap::from([("/f".to_owned(), "text".to_owned())]),
        stdin: Some("/f".to_owned()),
        lease: None,
    };
    let pipes = Start {
        io: Io::Pipes { stdin: true },
        files: BTreeMap::new(),
        stdin: None,
        lease: None,
        line: None,
        ..start.clone()
    };
    vec![
        ToHost::Hello { version: VERSION, role: Role::Control },
        ToHost::Env { name: "base".to_owned(), vars: BTreeMap::new() },
        ToHost::DropEnv { name: "base".to_owned() },
        ToHost::Start(Box::new(start)),
        ToHost::Start(Box::new(pipes)),
        ToHost::Withdraw { session },
        ToHost::Input { session, input: InputId::from_parts(1, 2) },
        ToHost::InputAt { session, input: InputId::from_parts(1, 2), output_bytes: 3, input_bytes: Some(4) },
        ToHost::InputAt { session, input: InputId::from_parts(1, 2), output_bytes: 3, input_bytes: None },
        ToHost::CloseStdin { session },
        ToHost::Resize { session, size: TermSize::default() },
        ToHost::Signal { session, signal: 2 },
        ToHost::Kill { session, grace_ms: None },
        ToHost::Freeze { session },
        ToHost::Thaw { session },
        ToHost::Deadline {
            session,
            after_ms: Some(1),
            action: AtDeadline::Kill { grace_ms: 1 },
            keep_ms: None,
            until_ms: None,
        },
        ToHost::Deadline {
            session,
            after_ms: None,
            action: AtDeadline::Freeze,
            keep_ms: None,
            until_ms: None,
        },
        ToHost::Probe { session },
        ToHost::Waits { session, waits: true },
        ToHost::Watch { session, from: u64::MAX },
        ToHost::Unwatch { session },
        ToHost::AckExit { session },
        ToHost::Supervise { restart: None, receives_environment: false },
        ToHost::Supervise { restart: Some(vec!["cis".to_owned()]), receives_environment: true },
        ToHost::Renew { command: vec!["/cis".to_owned(), "session-host".to_owned()] },
        ToHost::Shutdown {},
    ]
}

fn from_host() -> Vec<FromHost> {
    let session = session();
    let known = Known {
        session,
        label: "label".to_owned(),
        pid: 7,
        started_ms: 1,
        born_ms: Some(2),
        exit: Some(exit()),
    };
    let modes = Some(Modes { canonical: true, echo: false });
    let reader = Reader { nested: true, ..Reader::new(7, "sh", ReaderHow::Read, modes) };
    let evidence = KernelEvidence {
        at_ms: 1,
        output_bytes: 2,
        quiet_ms: 3,
        modes,
        foreground: vec!["sh".to_owned()],
        opaque: true,
        readers: vec![reader],
        beside: 0,
        inside_opaque: false,
        cpu_ms: 4,
        processes: 5,
    };
    let input = InputId::from_parts(1, 2);
    let detail = "why".to_owned();
    vec![
        FromHost::Welcome {
            version: 1,
            instance: HostInstance::from_parts(1, 2),
            pid: 3,
            sessions: vec![known.clone()],
            build: None,
            renewal: None,
        },
        FromHost::Welcome {
            version: 1,
            instance: HostInstance::from_parts(1, 2),
            pid: 3,
            sessions: vec![known],
            build: Some("0.1.0 1:2:3:4".to_owned()),
            renewal: Some(1),
        },
        FromHost::NotRenewed { why: detail.clone() },
        FromHost::Started { session, pid: 7, at_ms: 1, born_ms: Some(2) },
        FromHost::Started { session, pid: 7, at_ms: 1, born_ms: None },
        FromHost::StartFailed { session, why: StartFailure::Withdrawn {} },
        FromHost::StartFailed { session, why: StartFailure::Resources { detail: detail.clone() } },
        FromHost::StartFailed { session, why: StartFailure::Program { detail: detail.clone() } },
        FromHost::Exited { session, exit: exit() },
        FromHost::Expiring { session, limit: SessionLimit::Idle, at_ms: 1 },
        FromHost::Written { session, input, output_bytes: 1 },
        FromHost::InputRefused { session, input: None, waiting_bytes: 1 },
        FromHost::InputMoved { session, input, output_bytes: 2, input_bytes: None },
        FromHost::InputMoved { session, input, output_bytes: 2, input_bytes: Some(3) },
        FromHost::Refused { detail: detail.clone() },
        FromHost::Gap { session, from: 1, to: 2 },
        FromHost::Probed { session, evidence: evidence.clone(), input_bytes: None, line_begun: false },
        FromHost::Probed { session, evidence, input_bytes: Some(1), line_begun: true },
        FromHost::NoSuchSession { session },
        FromHost::LogTrouble { session, detail },
    ]
}

#[test]
fn messages_read_back_as_written() {
    for message in to_host() {
        let text = serde_json::to_vec(&message).unwrap();
        assert_eq!(serde_json::from_slice::<ToHost>(&text).unwrap(), message);
        assert_eq!(crate::quick::to_host(&text).unwrap(), message);
    }
    for message in from_host() {
        let text = serde_json::to_vec(&message).unwrap();
        assert_eq!(serde_json::from_slice::<FromHost>(&text).unwrap(), message);
        assert_eq!(crate::quick::from_host(&text).unwrap(), message);
    }
}

#[test]
fn fields_of_a_later_version_are_ignored() {
    for message in to_host() {
        let mut value = serde_json::to_value(&message).unwrap();
        value["later"] = serde_json::json!({ "x": [1] });
        assert_eq!(serde_json::from_value::<ToHost>(value).unwrap(), message);
    }
    for message in from_host() {
        let mut value = serde_json::to_value(&message).unwrap();
        value["later"] = serde_json::json!({ "x": [1] });
        assert_eq!(serde_json::from_value::<FromHost>(value).unwrap(), message);
    }
}

/// What the first version says, and what later ones added: one message a line, `>` to a host and `<` from one. A file never changes; a
/// later version adds a file.
const GOLDEN: [&str; 2] = [include_str!("golden/v1.txt"), include_str!("golden/renewal.txt")];

#[test]
fn messages_of_earlier_versions_are_read_and_said_as_they_did() {
    let holds = |now: &Value, then: &Value| match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            then.iter().all(|(key, value)| now.get(key) == Some(value))
        }
        _ => now == then,
    };
    let mut count = 0;
    for line in GOLDEN.iter().flat_map(|file| file.lines()) {
        let (way, text) = line.split_once(' ').unwrap();
        let then: Value = serde_json::from_str(text).unwrap();
        let now = match way {
            ">" => {
                let message: ToHost = serde_json::from_str(text).unwrap();
                assert_eq!(crate::quick::to_host(text.as_bytes()).unwrap(), message);
                serde_json::to_value(message).unwrap()
            }
            _ => {
                let message: FromHost = serde_json::from_str(text).unwrap();
                assert_eq!(crate::quick::from_host(text.as_bytes()).unwrap(), message);
                serde_json::to_value(message).unwrap()
            }
        };
        // Fields may be added to a message: an earlier version skips them.
        let same = holds(&now, &then)
            || now.as_object().zip(then.as_object()).is_some_and(|(now, then)| {
                then.iter().all(|(key, value)| now.get(key).is_some_and(|now| holds(now, value)))
            });
        assert!(same, "{text} is said as {now}");
        count += 1;
    }
    assert_eq!(count, to_host().len() + from_host().len());
}
