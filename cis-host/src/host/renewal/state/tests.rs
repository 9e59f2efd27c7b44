use proptest::prelude::*;

use super::*;
use crate::host::inputs::Inputs;
use crate::host::patience::Patience;
use crate::host::session::{EndedBy, Life};
use crate::protocol::{Io, Start};
use cis_core::event::{ExitStatus, SessionLimit};
use cis_core::ids::{InputId, RunId, SessionId};

/// A state of the first format with every kind of field. Never changes: each later program of the format reads it.
const GOLDEN: &str = include_str!("golden/format1.json");

/// What can happen to a session.
#[derive(Debug, Clone)]
enum Step {
    Stop(u8),
    End(u64),
    LeaderEnds(i32),
    TreeEnds,
    Freeze(Option<u64>),
    Thaw,
    Round(u32),
    Input(Vec<u8>),
    Patience(u64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..4).prop_map(Step::Stop),
        (0u64..5000).prop_map(Step::End),
        any::<i32>().prop_map(Step::LeaderEnds),
        Just(Step::TreeEnds),
        any::<Option<u64>>().prop_map(Step::Freeze),
        Just(Step::Thaw),
        (1u32..9).prop_map(Step::Round),
        prop::collection::vec(any::<u8>(), 0..50).prop_map(Step::Input),
        (0u64..1 << 40, any::<bool>()).prop_map(|(now, waits)| Step::Patience(now, waits)),
    ]
}

fn session(n: u128, steps: Vec<Step>) -> PassedSession {
    let start = Start {
        session: SessionId::from_parts(1, n),
        label: "run:task#1".to_owned(),
        argv: Vec::new(),
        cwd: String::new(),
        env_base: None,
        env: BTreeMap::new(),
        umask: None,
        line: None,
        io: Io::Pipes { stdin: false },
        log: String::new(),
        log_limit_bytes: 0,
        timeout_ms: Some(7_200_000),
        idle_ms: Some(600_000),
        warn_ms: Some(1000),
        grace_ms: 0,
        files: BTreeMap::new(),
        stdin: None,
        lease: None,
    };
    let mut life = Life::begin();
    let mut inputs = Inputs::default();
    let mut patience = Patience::of(&start, 5);
    for (at, step) in (10..).zip(steps) {
        match step {
            Step::Stop(by) => {
                let all = [EndedBy::Kill, EndedBy::Timeout, EndedBy::Idle, EndedBy::Shutdown, EndedBy::Lease];
                life.stop(all[usize::from(by)], 1 - i64::try_from(at).unwrap());
            }
            Step::End(grace) => drop(life.end_tree(at, grace)),
            Step::LeaderEnds(code) => life.leader_ended(ExitStatus::Code(code), i64::from(code)),
            Step::TreeEnds => life.tree_ended(),
            Step::Freeze(next) => {
                life.freeze(next);
                if let Some(patience) = &mut patience {
                    patience.freeze(at, life.is_frozen());
                }
            }
            Step::Thaw => life.thaw(),
            Step::Round(pid) => {
                if let Some(kill) = life.kill_mut() {
                    let key = ProcessKey { pid, started: at };
                    kill.wants_term(key);
                    kill.wants_hangup(key, at, || true);
                    kill.beyond.insert(key);
                    kill.asked(at);
                }
            }
            Step::Input(data) => {
                inputs.came += data.len() as u64;
                inputs.remember(InputId::from_parts(1, u128::from(at)), at);
                inputs.push(&data, true);
            }
            Step::Patience(now, waits) => {
                if let Some(patience) = &mut patience {
                    patience.wait(now, waits);
                    patience.saw(now, crate::host::patience::seen(&[]));
                    patience.warned(SessionLimit::Idle, now, now + 1);
                    patience.unsaid = Some((SessionLimit::Lifetime, now));
                }
            }
        }
    }
    PassedSession::with(start.session, life, inputs, patience.map(|patience| *patience))
}

fn golden() -> PassedHost {
    serde_json::from_str(GOLDEN).unwrap()
}

#[test]
fn the_golden_state_is_read_and_written_as_it_was() {
    let then: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    let now = serde_json::to_value(golden()).unwrap();
    fn holds(now: &serde_json::Value, then: &serde_json::Value) -> bool {
        use serde_json::Value::{Array, Object};
        match (now, then) {
            // Fields may be added.
            (Object(now), Object(then)) => {
                then.iter().all(|(key, then)| now.get(key).is_some_and(|now| holds(now, then)))
            }
            (Array(now), Array(then)) => {
                now.len() == then.len() && now.iter().zip(then).all(|(now, then)| holds(now, then))
            }
            (now, then) => now == then,
        }
    }
    assert!(holds(&now, &then), "{now:#}\n{then:#}");
}

#[test]
fn a_state_of_another_format_is_refused_by_its_number() {
    let bytes = golden().to_bytes(3).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let later = text.replacen(&format!("\"format\":{FORMAT},"), "\"format\":77,\"more\":true,", 1);
    assert!(matches!(PassedHost::read(later.as_bytes()), Err(StateError::Format(77))));
    let (read, descriptors) = PassedHost::read(text.as_bytes()).unwrap();
    assert_eq!((read, descriptors), (golden(), 3));
}

#[test]
fn descriptors_that_were_not_passed_are_missed() {
    let bytes = golden().to_bytes(3).unwrap();
    let null = os::null_device().unwrap();
    for count in [0, 2, 3, 4] {
        let mut outgoing = Outgoing::default();
        (0..count).for_each(|_| {
            outgoing.put(&null);
        });
        let socket = os::pass(&bytes, &outgoing).unwrap();
        // With three there are fewer than its sessions need.
        let error = PassedHost::receive(socket).map(drop).unwrap_err();
        assert!(matches!(error, StateError::Descriptors(_)), "{error}");
    }
}

proptest! {
    #[test]
    fn a_state_is_read_as_it_was_written(
        histories in prop::collection::vec(prop::collection::vec(step(), 0..12), 0..5),
        run in any::<u128>(),
    ) {
        let sessions = (0..).zip(histories).map(|(n, steps)| session(n, steps)).collect();
        let run = RunId::from_parts(1, run >> 50);
        let passed = PassedHost { sessions, bases: [(run.to_string(), BTreeMap::new())].into(), ..golden() };
        let bytes = passed.to_bytes(5).unwrap();
        prop_assert_eq!(PassedHost::read(&bytes).unwrap(), (passed, 5));
    }

    #[test]
    fn a_damaged_state_is_refused(at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = golden().to_bytes(5).unwrap();
        let at = at.index(bytes.len());
        let body = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        if cut {
            bytes.truncate(at);
        } else if bytes[at] != to && at > body {
            bytes[at] = to;
        } else {
            return Ok(());
        }
        prop_assert!(matches!(PassedHost::read(&bytes), Err(StateError::Damaged)));
    }
}
