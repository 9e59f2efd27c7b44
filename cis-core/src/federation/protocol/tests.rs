//! Halves alone: what each of them does with one message.

use std::collections::BTreeMap;

use super::coordinator::{self, CoordinatorHalf, KnownGrant};
use super::groups::holder::Gate;
use super::message::{Grant, Granted, HeldRecord, HeldState, Message, Payload};
use super::suspicion::Suspicion;
use super::worker::{self, WorkerHalf};
use super::{BootMs, Settings};
use crate::federation::recovery::Extent;
use crate::fence;
use crate::ids::{AttemptId, NodeDid, RunId, SessionId, TaskId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text;

/// Progress from this number on is routine.
const ROUTINE: u32 = 1_000_000;

impl Payload for Text {
    type Spec = &'static str;
    type Report = &'static str;
    /// Sessions of other coordinators.
    type Status = u32;
    type Progress = u32;

    fn told(_: &u32, others: u32) -> u32 {
        others
    }

    fn is_routine(piece: &u32) -> bool {
        *piece >= ROUTINE
    }

    /// Of many pieces, hundreds are needed.
    fn shorten(progress: &mut Vec<(u32, u32)>) {
        progress.retain(|(_, piece)| piece % 100 == 0);
    }
}

pub(super) fn did(name: &str) -> NodeDid {
    NodeDid(name.to_owned())
}

pub(super) fn run() -> RunId {
    RunId::from_parts(1, 1)
}

fn granted(number: u32, fence: u64) -> Granted {
    let attempt = AttemptId { run: run(), task: TaskId::new("t").unwrap(), number };
    Granted { attempt, fence }
}

fn grant(granted: &Granted) -> Grant<&'static str> {
    Grant { granted: granted.clone(), session: SessionId::from_parts(1, 1), spec: "true" }
}

fn worker() -> (WorkerHalf<Text>, Vec<worker::Effect<Text>>) {
    let mut half = WorkerHalf::new(Settings::default(), 0, 0);
    let mut out = Vec::new();
    half.tick(0, Some(&0), &[did("c"), did("d")], &mut out);
    out.clear();
    (half, out)
}

fn given(epoch: u32, granted: &Granted, nonce: u64) -> Message<Text> {
    Message::Grant { epoch, nonce, lease_ms: 60_000, grant: grant(granted) }
}

fn sent(out: &[coordinator::Effect<Text>]) -> Vec<&Message<Text>> {
    out.iter()
        .filter_map(|effect| match effect {
            coordinator::Effect::Send { message, .. } => Some(message),
            _ => None,
        })
        .collect()
}

#[test]
fn a_coordinator_of_an_earlier_term_is_not_obeyed() {
    let (mut half, mut out) = worker();
    let first = granted(1, fence::next(0, 0));
    half.receive(&did("c"), given(0, &first, 1), 1, &mut out).unwrap();
    half.receive(&did("d"), Message::Recover { run: run(), epoch: 1 }, 2, &mut out).unwrap();
    out.clear();
    let stale = [
        given(0, &granted(2, 9), 1),
        Message::Forget { epoch: 0, granted: first.clone() },
        Message::Cancel { epoch: 0, granted: first.clone(), grace_ms: 1, keep: false },
        Message::Renew { run: run(), epoch: 0, nonce: 1, lease_ms: 60_000, grants: vec![first.clone()] },
    ];
    for message in stale {
        assert!(half.receive(&did("c"), message.clone(), 3, &mut out).is_err(), "{message:?}");
    }
    assert!(out.is_empty(), "{out:?}");
    // Another one that claims the same term is not obeyed either.
    let forget = Message::Forget { epoch: 1, granted: first };
    assert!(half.receive(&did("c"), forget, 3, &mut out).is_err());
}

#[test]
fn a_fence_is_of_the_term_in_which_it_is_granted() {
    let (mut half, mut out) = worker();
    let forged = granted(1, fence::next(0, 7));
    assert!(half.receive(&did("c"), given(0, &forged, 1), 1, &mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn a_lease_counts_from_the_heartbeat_that_it_echoes() {
    let (mut half, mut out) = worker();
    let one = granted(1, 1);
    half.receive(&did("c"), given(0, &one, 99), 1, &mut out).unwrap();
    assert!(out.is_empty(), "an unknown heartbeat gives no lease");
    half.receive(&did("c"), given(0, &one, 1), 50_000, &mut out).unwrap();
    let ends = out.iter().find_map(|effect| match effect {
        worker::Effect::Start { lease_end, .. } => Some(*lease_end),
        _ => None,
    });
    assert_eq!(ends, Some(60_000), "the heartbeat was sent at 0");
    out.clear();
    half.tick(60_000, None, &[], &mut out);
    assert!(out.contains(&worker::Effect::Freeze(one.clone())));
    out.clear();
    let renewal = Message::Renew { run: run(), epoch: 0, nonce: 1, lease_ms: 60_000, grants: vec![one] };
    half.receive(&did("c"), renewal, 60_001, &mut out).unwrap();
    assert!(out.is_empty(), "a delayed renewal revives nothing: {out:?}");
}

/// Another node may coordinate by now. Its worker on the same machine sends a new heartbeat before the room is read.
#[test]
fn after_the_machine_stood_still_a_coordinator_renews_when_it_has_read_the_room() {
    let mut half = CoordinatorHalf::<Text>::new(Settings::default(), false);
    half.begin(run(), 0);
    half.witnessed(1_000);
    let mut out = Vec::new();
    let mut beat = |half: &mut CoordinatorHalf<Text>, nonce, now| {
        out.clear();
        half.receive(&did("w"), Message::Heartbeat { nonce, status: 0 }, now, &mut out).unwrap();
        half.tick(now, &mut out);
        sent(&out).iter().any(|message| matches!(message, Message::Renew { .. }))
    };
    beat(&mut half, 1, 1_000);
    half.grant(did("w"), grant(&granted(1, 1)), 1_001);
    let mut claimed = Vec::new();
    half.receive(&did("w"), Message::Claimed { granted: granted(1, 1) }, 1_002, &mut claimed).unwrap();
    assert!(beat(&mut half, 2, 1_003));
    half.stood_still();
    assert!(!beat(&mut half, 3, 1_004));
    half.witnessed(1_005);
    assert!(beat(&mut half, 4, 1_006));
}

#[test]
fn a_coordinator_at_another_homeserver_is_not_replaced() {
    let mut half = Suspicion::new(Settings::default());
    half.watch(run(), 3, &did("c"), 0);
    half.set_far([did("c")].into());
    assert_eq!((half.due(Some(&[]), 100_000), half.poll_timeout(Some(&[]))), (vec![], None));
    assert_eq!(half.stranded(&[], 1_000).next(), None, "it may just be slow");
    assert_eq!(half.stranded(&[], 100_000).collect::<Vec<_>>(), [(run(), &did("c"))]);
    half.heard(&did("c"), 99_999);
    assert_eq!(half.stranded(&[], 100_000).next(), None);
    half.set_far([did("d")].into());
    assert_eq!(half.due(Some(&[]), 200_000), [(run(), 4)]);
}

/// Another node may read more of its journal: that one takes it over earlier.
#[test]
fn a_run_of_which_something_is_missing_is_taken_over_later() {
    let mut half = Suspicion::new(Settings::default());
    half.watch(run(), 3, &did("c"), 0);
    half.reads(run(), Extent::Part, 0);
    half.heard(&did("c"), 50_000);
    assert_eq!((half.due(Some(&[]), 649_999), half.poll_timeout(Some(&[]))), (vec![], Some(650_000)));
    assert_eq!(half.due(Some(&[]), 650_000), [(run(), 4)]);
    half.reads(run(), Extent::Unknown, 660_000);
    assert_eq!((half.due(Some(&[]), 9_000_000), half.poll_timeout(Some(&[]))), (vec![], None));
    half.reads(run(), Extent::Whole, 9_000_000);
    assert_eq!(half.due(Some(&[]), 9_000_000), [(run(), 4)]);
}

#[test]
fn nobody_waits_for_the_coordinator_that_is_silent() {
    let mut half = Suspicion::new(Settings::default());
    half.watch(run(), 3, &did("c"), 0);
    let once = Settings::default().suspect_ms;
    for (before, waits) in [("", 1), ("c", 1), ("d", 2), ("cd", 2), ("dce", 3)] {
        let before: Vec<NodeDid> = before.chars().map(|name| did(&name.to_string())).collect();
        assert_eq!(half.clone().poll_timeout(Some(&before)), Some(once * waits), "{before:?}");
        assert_eq!(half.clone().due(Some(&before), once * waits - 1), []);
        assert_eq!(half.clone().due(Some(&before), once * waits), [(run(), 4)]);
        half.set_far([did("c")].into());
        assert_eq!(half.stranded(&before, once * waits - 1).next(), None);
        assert_eq!(half.stranded(&before, once * waits).next(), Some((run(), &did("c"))));
        half.set_far([].into());
    }
}

#[test]
fn a_node_takes_a_run_back_that_cannot_go_on_without_it() {
    let mut half = Suspicion::new(Settings::default());
    half.watch(run(), 3, &did("c"), 1_000);
    half.heard(&did("c"), 2_000);
    assert_eq!(
        (half.due(None, 2_000), half.poll_timeout(None)),
        (vec![], None),
        "it takes over nothing else"
    );
    half.wants(run(), true);
    assert_eq!(half.due(None, 2_000), [(run(), 4)]);
    half.claims(run(), 2_000);
    let again = 2_000 + Settings::default().suspect_ms;
    assert_eq!((half.due(None, again - 1), half.poll_timeout(None)), (vec![], Some(again)));
    assert_eq!(half.due(None, again), [(run(), 4)]);
    half.reads(run(), Extent::Part, again);
    assert_eq!(half.due(None, 9_000_000), [], "what it lacks may be of that task");
    half.reads(run(), Extent::Whole, again);
    half.set_far([did("c")].into());
    assert_eq!(half.due(None, 9_000_000), [], "the order of another homeserver may differ");
    half.set_far([].into());
    half.hears_again(9_000_000);
    assert_eq!(half.due(None, 9_000_000), [], "what happened meanwhile may not be read yet");
    half.watch(run(), 4, &did("d"), 9_000_000);
    assert_eq!(half.due(None, 9_900_000), [], "it is not known yet whether it can go on");
    half.wants(run(), true);
    half.set_takes_back(false);
    assert_eq!(half.due(None, 9_900_000), []);
    half.set_takes_back(true);
    assert_eq!(half.due(None, 9_900_000), [(run(), 5)]);
    half.claims(run(), 9_900_000);
    half.watch(run(), 5, &did("d"), 9_900_001);
    half.wants(run(), true);
    assert_eq!(half.due(None, 9_900_002), [], "they must not take it from each other for ever");
    assert_eq!(half.due(None, 9_990_000), [(run(), 6)]);
}

/// The clock that leases count on stood still too: for the coordinator the lease is over.
#[test]
fn after_the_machine_stood_still_only_a_new_heartbeat_renews_a_lease() {
    let (mut half, mut out) = worker();
    let one = granted(1, 1);
    half.receive(&did("c"), given(0, &one, 1), 1, &mut out).unwrap();
    out.clear();
    half.stood_still(10_000, &mut out);
    assert_eq!(out, [worker::Effect::Freeze(one.clone())]);
    let renewal =
        |nonce| Message::Renew { run: run(), epoch: 0, nonce, lease_ms: 60_000, grants: vec![one.clone()] };
    out.clear();
    half.receive(&did("c"), renewal(1), 10_001, &mut out).unwrap();
    assert!(out.is_empty(), "it was on its way meanwhile: {out:?}");
    half.tick(10_002, Some(&0), &[did("c")], &mut out);
    out.clear();
    half.receive(&did("c"), renewal(2), 10_003, &mut out).unwrap();
    assert!(matches!(&out[..], [worker::Effect::Extend { lease_end: 70_002, .. }]), "{out:?}");
}

#[test]
fn progress_and_result_are_repeated_until_they_are_known() {
    let (mut half, mut out) = worker();
    let one = granted(1, 1);
    half.receive(&did("c"), given(0, &one, 1), 1, &mut out).unwrap();
    half.progress(&one, 7, 2, &mut out);
    half.progress(&one, 8, 3, &mut out);
    half.ended(&one, "done", 4, &mut out);
    let results = |out: &[worker::Effect<Text>]| {
        let is = |e: &&worker::Effect<Text>| {
            matches!(e, worker::Effect::Send { message: Message::Result { .. }, .. })
        };
        out.iter().filter(is).count()
    };
    assert_eq!(results(&out), 0, "what it went through is told first");
    half.receive(&did("c"), Message::Noted { epoch: 0, granted: one.clone(), next: 2 }, 5, &mut out).unwrap();
    out.clear();
    for at in [10_000, 20_000] {
        half.tick(at, None, &[], &mut out);
    }
    assert_eq!(results(&out), 2);
    half.receive(&did("c"), Message::Forget { epoch: 0, granted: one.clone() }, 20_001, &mut out).unwrap();
    assert!(out.contains(&worker::Effect::Drop(one)));
    out.clear();
    half.tick(40_000, None, &[], &mut out);
    assert_eq!(results(&out), 0);
    // A new coordinator knows nothing of it, and a worker that has nothing says so.
    half.receive(&did("d"), Message::Recover { run: run(), epoch: 1 }, 40_001, &mut out).unwrap();
    let held = out.iter().any(|effect| {
        matches!(effect, worker::Effect::Send { message: Message::Holding { held, .. }, .. } if held.is_empty())
    });
    assert!(held, "{out:?}");
}

#[test]
fn routine_is_told_once_and_the_result_does_not_wait_for_it() {
    let (mut half, mut out) = worker();
    let one = granted(1, 1);
    half.receive(&did("c"), given(0, &one, 1), 1, &mut out).unwrap();
    half.progress(&one, ROUTINE, 2, &mut out);
    assert_eq!(sent_progress(&mut out), Some((0, vec![ROUTINE])));
    half.tick(19_000, None, &[], &mut out);
    assert_eq!(sent_progress(&mut out), None, "it is not repeated soon");
    half.tick(20_002, None, &[], &mut out);
    assert_eq!(sent_progress(&mut out), Some((0, vec![ROUTINE])), "it may have been lost");
    half.progress(&one, ROUTINE, 20_003, &mut out);
    out.clear();
    half.ended(&one, "done", 20_004, &mut out);
    let is_result =
        |effect: &_| matches!(effect, worker::Effect::Send { message: Message::Result { .. }, .. });
    assert!(out.iter().any(is_result), "{out:?}");
    for at in [25_000, 50_000] {
        half.tick(at, None, &[], &mut out);
    }
    assert_eq!(sent_progress(&mut out), None, "the result tells as much");
}

#[test]
fn an_outage_of_the_carrier_takes_no_task_from_its_worker() {
    for sole in [true, false] {
        for heard in [true, false] {
            let mut half = CoordinatorHalf::<Text>::new(Settings::default(), sole);
            let it = granted(1, fence::next(0, 0));
            half.begin(run(), 0);
            half.grant(did("w"), grant(&it), 0);
            let tick = |half: &mut CoordinatorHalf<Text>, message: Option<Message<Text>>, now| {
                let mut out = Vec::new();
                half.witnessed(now);
                if let Some(message) = message {
                    half.receive(&did("w"), message, now, &mut out).unwrap();
                }
                half.tick(now, &mut out);
                out.contains(&coordinator::Effect::Lost(it.clone()))
            };
            let beat = |nonce| Some(Message::Heartbeat { nonce, status: 0 });
            tick(&mut half, beat(1), 0);
            tick(&mut half, Some(Message::Claimed { granted: it.clone() }), 10);
            half.hears_nobody();
            assert!(!tick(&mut half, None, 200_000), "nobody is heard");
            half.hears_again(200_000);
            assert!(!tick(&mut half, None, 209_000), "it may be about to be heard");
            assert!(!tick(&mut half, heard.then(|| beat(2).unwrap()), 209_500));
            assert_eq!(tick(&mut half, None, 210_000), !heard, "sole {sole}");
        }
    }
}

#[test]
fn each_coordinator_is_told_how_many_sessions_are_of_others() {
    let (mut half, mut out) = worker();
    let it = granted(1, fence::next(0, 0));
    half.receive(&did("c"), given(0, &it, 1), 1, &mut out).unwrap();
    let told = |half: &mut WorkerHalf<Text>, now| {
        let mut out = Vec::new();
        half.tick(now, Some(&0), &[did("c"), did("d")], &mut out);
        let beats = out.into_iter().filter_map(|effect| match effect {
            worker::Effect::Send { to, message: Message::Heartbeat { status, .. } } => Some((to, status)),
            _ => None,
        });
        beats.collect::<Vec<_>>()
    };
    let beat_ms = Settings::default().heartbeat_ms;
    assert_eq!(told(&mut half, beat_ms), [(did("c"), 0), (did("d"), 1)]);
    // Its coordinator does not count it any more, and its processes are still there.
    half.receive(&did("c"), Message::Forget { epoch: 0, granted: it.clone() }, beat_ms, &mut out).unwrap();
    assert_eq!(told(&mut half, 2 * beat_ms), [(did("c"), 1), (did("d"), 1)]);
    half.ended(&it, "done", 2 * beat_ms, &mut out);
    assert_eq!(told(&mut half, 3 * beat_ms), [(did("c"), 0), (did("d"), 0)]);
}

#[test]
fn routine_is_noted_only_where_it_is_repeated() {
    let mut half = CoordinatorHalf::<Text>::new(Settings::default(), true);
    let it = granted(1, fence::next(0, 0));
    half.begin(run(), 0);
    half.grant(did("w"), grant(&it), 0);
    let mut is_noted = |first, progress: &[u32]| {
        let mut out = Vec::new();
        let message = Message::Progress { granted: it.clone(), first, progress: progress.to_vec() };
        half.receive(&did("w"), message, 1, &mut out).unwrap();
        half.noted(&it, first + progress.len() as u32, &mut out);
        sent(&out).iter().any(|message| matches!(message, Message::Noted { .. }))
    };
    assert!(!is_noted(0, &[ROUTINE]));
    assert!(!is_noted(0, &[ROUTINE, ROUTINE]), "one of them is new");
    assert!(is_noted(0, &[ROUTINE, ROUTINE]));
    assert!(is_noted(2, &[7]));
    assert!(!is_noted(3, &[ROUTINE]));
}

/// The progress that a worker sends last: the number of its first piece, and all of it.
fn sent_progress(out: &mut Vec<worker::Effect<Text>>) -> Option<(u32, Vec<u32>)> {
    let all = std::mem::take(out).into_iter().filter_map(|effect| match effect {
        worker::Effect::Send { message: Message::Progress { first, progress, .. }, .. } => {
            Some((first, progress))
        }
        _ => None,
    });
    all.last()
}

#[test]
fn a_session_may_go_through_much_and_what_is_needed_is_kept_for_another_coordinator() {
    let (mut half, mut out) = worker();
    let it = granted(1, fence::next(0, 0));
    half.receive(&did("c"), given(0, &it, 1), 1, &mut out).unwrap();
    let mut heard = Vec::new();
    for n in 0..1000 {
        half.progress(&it, n, i64::from(n), &mut out);
        let (first, progress) = sent_progress(&mut out).unwrap();
        assert_eq!(first, n, "what was noted is not told again");
        heard.extend(progress);
        let noted = Message::Noted { epoch: 0, granted: it.clone(), next: n + 1 };
        half.receive(&did("c"), noted, i64::from(n), &mut out).unwrap();
    }
    assert_eq!(heard, (0..1000).collect::<Vec<_>>());
    let kept: Vec<u32> = half.progress_of(&it).copied().collect();
    // Nobody needs more of the others than hundreds: these are.
    assert!(kept.len() < 200 && (0..1000).step_by(100).all(|n| kept.contains(&n)), "{kept:?}");
    // What another life of the node remembers is told to a new coordinator, under the same numbers.
    let worker::Change::Keep(remembered) = half.take_changes().remove(0) else { panic!("nothing is kept") };
    let (mut again, mut out) = worker();
    again.restore(*remembered, 0);
    again.enters(run(), 1, &did("d"));
    again.progress(&it, 1000, 2000, &mut out);
    let mut heard = Vec::new();
    for at in 0..1000 {
        again.tick(2000 + at, None, &[], &mut out);
        let Some((first, progress)) = sent_progress(&mut out) else { continue };
        assert_eq!(progress.first(), Some(&first), "pieces have the numbers that they had");
        let next = first + progress.len() as u32;
        heard.extend(progress);
        let noted = Message::Noted { epoch: 1, granted: it.clone(), next };
        again.receive(&did("d"), noted, 2000 + at, &mut out).unwrap();
    }
    heard.dedup();
    assert_eq!(heard, [kept, vec![1000]].concat());
}

#[test]
fn a_coordinator_takes_each_piece_of_progress_once() {
    let mut half = CoordinatorHalf::<Text>::new(Settings::default(), true);
    let it = granted(1, fence::next(0, 0));
    half.begin(run(), 0);
    half.grant(did("w"), grant(&it), 0);
    let mut take = |first, progress: &[u32]| {
        let mut out = Vec::new();
        let message = Message::Progress { granted: it.clone(), first, progress: progress.to_vec() };
        half.receive(&did("w"), message, 1, &mut out).unwrap();
        match out.pop() {
            Some(coordinator::Effect::Progress { first, progress, .. }) => (first, progress),
            other => panic!("{other:?}"),
        }
    };
    // An earlier life of the node had the first three.
    assert_eq!(take(3, &[3, 4]), (3, vec![3, 4]));
    assert_eq!(take(3, &[3, 4, 5]), (5, vec![5]));
    assert_eq!(take(3, &[3, 4]), (6, vec![]), "it is told where the worker goes on");
    assert_eq!(take(u32::MAX, &[9]), (u32::MAX, vec![9]));
    assert_eq!(take(6, &[6]), (u32::MAX, vec![]));
}

fn recovering(at: BootMs) -> CoordinatorHalf<Text> {
    let mut half = CoordinatorHalf::new(Settings::default(), true);
    let known = [KnownGrant { granted: granted(1, 1), worker: did("x"), recorded: false }];
    half.take_over(run(), 1, known, [did("x"), did("y")], at);
    half
}

fn holds(number: u32, fence: u64, state: HeldState) -> HeldRecord {
    HeldRecord { granted: granted(number, fence), session: SessionId::from_parts(1, 1), state }
}

/// The coordinator before this one knew that the first attempt is lost, and granted another, before it died untold.
#[test]
fn of_several_attempts_the_newest_grant_counts() {
    let mut half = recovering(0);
    let mut out = Vec::new();
    let old = Message::Holding { run: run(), epoch: 1, held: vec![holds(1, 1, HeldState::Frozen)] };
    let new = Message::Holding { run: run(), epoch: 1, held: vec![holds(2, 2, HeldState::Working)] };
    half.receive(&did("x"), old, 1, &mut out).unwrap();
    half.receive(&did("y"), new, 2, &mut out).unwrap();
    let without_sent = |out: &[coordinator::Effect<Text>]| {
        let is_sent = |effect: &coordinator::Effect<Text>| matches!(effect, coordinator::Effect::Send { .. });
        out.iter().filter(|effect| !is_sent(effect)).cloned().collect::<Vec<_>>()
    };
    let record = holds(2, 2, HeldState::Working);
    let found = coordinator::Effect::Found { worker: did("y"), record, instead_of: Some(granted(1, 1)) };
    assert_eq!(without_sent(&out), [found], "the first one is not lost: it is over");
    out.clear();
    half.tick(3, &mut out);
    assert_eq!((without_sent(&out), half.is_active(run())), (vec![], false), "nobody counts it yet");
    half.adopt(&granted(2, 2), &did("y"), 4);
    assert_eq!(half.poll_timeout(), Some(BootMs::MIN));
    half.tick(4, &mut out);
    assert_eq!(without_sent(&out), [coordinator::Effect::Ready(run())]);
}

/// The scheduler does not count it, as its task ended, say. Somebody may retry the task at once.
#[test]
fn what_is_at_work_and_does_not_count_keeps_its_lease() {
    let mut half = recovering(0);
    let bound = Settings::default().lease_bound_ms();
    let mut out = Vec::new();
    let works = Message::Holding { run: run(), epoch: 1, held: vec![holds(2, 2, HeldState::Working)] };
    let none = Message::Holding { run: run(), epoch: 1, held: vec![] };
    half.receive(&did("x"), none, 1, &mut out).unwrap();
    half.receive(&did("y"), works, 2, &mut out).unwrap();
    half.release(&granted(2, 2), &did("y"), &mut out);
    half.tick(bound - 1, &mut out);
    assert!(!half.is_active(run()));
    assert_eq!(half.poll_timeout(), Some(bound));
    half.tick(bound, &mut out);
    assert!(half.is_active(run()));
    // What is frozen or over works no more.
    for state in [HeldState::Frozen, HeldState::Ended] {
        let mut half = recovering(0);
        let held = vec![holds(2, 2, state)];
        half.receive(&did("x"), Message::Holding { run: run(), epoch: 1, held }, 1, &mut out).unwrap();
        let held = vec![];
        half.receive(&did("y"), Message::Holding { run: run(), epoch: 1, held }, 2, &mut out).unwrap();
        assert!(half.is_active(run()));
    }
}

#[test]
fn a_silent_worker_is_waited_for_until_its_leases_are_over() {
    let mut half = recovering(0);
    let mut out = Vec::new();
    let held = vec![holds(1, 1, HeldState::Working)];
    half.receive(&did("x"), Message::Holding { run: run(), epoch: 1, held }, 1, &mut out).unwrap();
    let bound = Settings::default().lease_bound_ms();
    half.tick(bound - 1, &mut out);
    assert!(!half.is_active(run()));
    half.tick(bound, &mut out);
    assert!(half.is_active(run()));
}

/// The numbers of heartbeats begin with the time of the day at which a worker's life begins.
#[test]
fn a_worker_whose_clock_was_set_back_is_heard_when_its_leases_are_over() {
    let mut half = CoordinatorHalf::<Text>::new(Settings::default(), true);
    let mut out = Vec::new();
    let mut is_heard = |nonce, now| {
        out.clear();
        half.tick(now, &mut out);
        half.receive(&did("x"), Message::Heartbeat { nonce, status: 0 }, now, &mut out).unwrap();
        out.iter().any(|effect| matches!(effect, coordinator::Effect::Status { .. }))
    };
    let bound = Settings::default().lease_bound_ms();
    assert!(is_heard(1000, 0));
    assert!(!is_heard(7, bound - 1), "it may be delayed");
    assert!(!is_heard(1000, bound), "it is repeated, and its worker silent");
    assert!(is_heard(8, bound));
    assert!(!is_heard(7, bound) && is_heard(9, bound + 1));
}

/// It ended meanwhile, and may run again: what its workers have has to be known before.
#[test]
fn a_run_is_not_left_while_its_workers_are_asked() {
    let mut half = CoordinatorHalf::<Text>::new(Settings::default(), true);
    let mut out = Vec::new();
    half.take_over(run(), 1, [], [did("x")], 0);
    assert_eq!(half.quiet_runs(), []);
    half.receive(&did("x"), Message::Holding { run: run(), epoch: 1, held: vec![] }, 1, &mut out).unwrap();
    assert!(out.contains(&coordinator::Effect::Ready(run())));
    assert_eq!(half.quiet_runs(), [run()]);
}

/// A worker speaks of an attempt that was granted to another one.
#[test]
fn a_worker_cannot_end_what_it_was_not_granted() {
    let mut half = CoordinatorHalf::new(Settings::default(), true);
    let mut out = Vec::new();
    half.begin(run(), 0);
    half.grant(did("x"), grant(&granted(1, 1)), 0);
    let result = || Message::Result { granted: granted(1, 1), report: "mine" };
    assert!(half.receive(&did("y"), result(), 1, &mut out).is_err());
    assert!(!out.iter().any(|effect| matches!(effect, coordinator::Effect::Result { .. })));
    out.clear();
    half.receive(&did("x"), Message::Heartbeat { nonce: 1, status: 0 }, 2, &mut out).unwrap();
    assert!(matches!(sent(&out)[..], [Message::Grant { lease_ms: 60_000, nonce: 1, .. }]), "{out:?}");
    half.receive(&did("x"), result(), 3, &mut out).unwrap();
    assert!(out.iter().any(|effect| matches!(effect, coordinator::Effect::Result { report: "mine", .. })));
}

/// Of a journal that was last read a while ago only the rest of a lease is given.
#[test]
fn leases_are_as_short_as_the_journal_is_old() {
    let mut half = CoordinatorHalf::new(Settings::default(), false);
    let mut out = Vec::new();
    half.begin(run(), 0);
    half.grant(did("x"), grant(&granted(1, 1)), 0);
    half.receive(&did("x"), Message::Heartbeat { nonce: 1, status: 0 }, 0, &mut out).unwrap();
    assert!(sent(&out).is_empty(), "it never read the journal");
    half.witnessed(1_000);
    half.tick(21_000, &mut out);
    assert!(matches!(sent(&out)[..], [Message::Grant { lease_ms: 40_000, .. }]), "{out:?}");
}

/// What waits for a place in a group of the room freezes, and is not lost.
/// Coordinators use several homeservers.
#[test]
fn leases_end_with_what_a_majority_said_to_the_coordinator() {
    let mut half = CoordinatorHalf::<Text>::new(Settings::default(), false);
    half.begin(run(), 0);
    let mut out = Vec::new();
    let first = granted(1, fence::next(0, 0));
    let leases = |out: &[coordinator::Effect<Text>]| {
        let of = |message: &Message<Text>| match message {
            Message::Grant { lease_ms, .. } | Message::Renew { lease_ms, .. } => Some(*lease_ms),
            _ => None,
        };
        sent(out).into_iter().filter_map(of).collect::<Vec<_>>()
    };
    half.witnessed(10_000);
    half.set_followed(Some(BTreeMap::new()));
    half.receive(&did("w"), Message::Heartbeat { nonce: 1, status: 0 }, 10_000, &mut out).unwrap();
    half.grant(did("w"), grant(&first), 10_000);
    half.tick(10_000, &mut out);
    assert!(leases(&out).is_empty(), "no majority follows it");
    half.set_followed(Some([(run(), 8_000)].into()));
    half.tick(12_000, &mut out);
    assert_eq!(leases(&out), [60_000 - 4_000]);
    half.receive(&did("w"), Message::Claimed { granted: first.clone() }, 12_000, &mut out).unwrap();
    out.clear();
    for (nonce, now) in [(2, 60_000), (3, 80_000)] {
        half.witnessed(now);
        half.receive(&did("w"), Message::Heartbeat { nonce, status: 0 }, now, &mut out).unwrap();
    }
    assert_eq!(leases(&out), [60_000 - 52_000], "another one may coordinate it: nothing is renewed");
    half.tick(200_000, &mut out);
    assert!(!out.contains(&coordinator::Effect::Lost(first)), "the other one may have renewed it");
}

#[test]
fn what_has_no_place_in_its_group_is_not_renewed_and_not_lost() {
    let settings = Settings::default();
    let gate = |covered: bool, until| Gate { until, attempts: [(granted(1, 1).attempt, covered)].into() };
    let mut half = CoordinatorHalf::<Text>::new(settings, false);
    half.begin(run(), 0);
    let mut out = Vec::new();
    let beat = |half: &mut CoordinatorHalf<Text>, nonce, at, out: &mut Vec<_>| {
        half.witnessed(at);
        out.clear();
        half.receive(&did("w"), Message::Heartbeat { nonce, status: 0 }, at, out).unwrap();
        sent(out).iter().any(|message| matches!(message, Message::Renew { .. }))
    };
    half.set_gate(gate(false, 100_000), 0, &mut out);
    half.grant(did("w"), grant(&granted(1, 1)), 0);
    beat(&mut half, 1, 10, &mut out);
    assert!(sent(&out).is_empty(), "nor does it start");
    half.set_gate(gate(true, 100_000), 20, &mut out);
    assert!(matches!(sent(&out)[..], [Message::Grant { .. }]));
    half.receive(&did("w"), Message::Claimed { granted: granted(1, 1) }, 30, &mut out).unwrap();
    assert!(beat(&mut half, 2, 40, &mut out));
    half.set_gate(gate(false, 1_000_000), 50, &mut out);
    for n in 1..10 {
        assert!(!beat(&mut half, 2 + n, n.cast_signed() * settings.heartbeat_ms, &mut out));
        half.tick(n.cast_signed() * settings.heartbeat_ms, &mut out);
        assert!(!out.iter().any(|effect| matches!(effect, coordinator::Effect::Lost(_))), "{out:?}");
    }
    let later = 9 * settings.heartbeat_ms;
    out.clear();
    half.set_gate(gate(true, later + 10), later, &mut out);
    assert!(matches!(sent(&out)[..], [Message::Renew { .. }]), "{out:?}");
    assert!(!beat(&mut half, 20, later + 10, &mut out), "the places are over");
    out.clear();
    half.witnessed(later + 10 + settings.lease_bound_ms());
    half.tick(later + 10 + settings.lease_bound_ms(), &mut out);
    assert!(out.iter().any(|effect| matches!(effect, coordinator::Effect::Lost(_))), "its worker is silent");
}

/// Two nodes began the same term at homeservers that were cut off from each other: the journal says which of them counts.
#[test]
fn a_worker_follows_the_coordinator_that_the_journal_names_in_a_term() {
    let (mut half, mut out) = worker();
    let it = granted(1, fence::next(0, 0));
    half.receive(&did("c"), given(0, &it, 1), 1, &mut out).unwrap();
    let asks = |half: &mut WorkerHalf<Text>, by: &str| {
        let mut out = Vec::new();
        let recover = Message::Recover { run: run(), epoch: 1 };
        half.receive(&did(by), recover, 2, &mut out).is_ok()
            && out.iter().any(|effect| matches!(effect, worker::Effect::Send { to, .. } if *to == did(by)))
    };
    half.enters(run(), 1, &did("d"));
    assert!(asks(&mut half, "d") && !asks(&mut half, "e"));
    half.enters(run(), 1, &did("e"));
    assert!(asks(&mut half, "e") && !asks(&mut half, "d"));
    half.enters(run(), 0, &did("c"));
    assert!(asks(&mut half, "e"));
}

fn ticked(half: &mut WorkerHalf<Text>, now: BootMs) -> Vec<worker::Effect<Text>> {
    let mut out = Vec::new();
    half.tick(now, Some(&0), &[did("c")], &mut out);
    out
}

#[test]
fn that_a_session_is_ended_for_what_it_leaves_outlives_the_node() {
    let (mut half, mut out) = worker();
    let one = granted(1, 1);
    half.receive(&did("c"), given(0, &one, 1), 1, &mut out).unwrap();
    let cancel = |keep| Message::Cancel { epoch: 0, granted: one.clone(), grace_ms: 700, keep };
    half.receive(&did("c"), cancel(false), 2, &mut out).unwrap();
    assert_eq!(half.hand_in_grace_ms(&one, 3), None);
    half.receive(&did("c"), cancel(true), 3, &mut out).unwrap();
    half.take_changes();
    for at_ms in [1000, 2000] {
        half.handed_in(&one, at_ms);
    }
    let changes = half.take_changes();
    let Some(worker::Change::Keep(kept)) = changes.last() else { panic!("{changes:?}") };
    let mut next = WorkerHalf::<Text>::new(Settings::default(), 100, 50);
    next.restore((**kept).clone(), 50);
    assert_eq!((next.hand_in_grace_ms(&one, 50), next.hand_in_grace_ms(&one, 70_000)), (Some(700), Some(0)));
    assert_eq!(next.handed_in_ms(&one), Some(1000), "the first time counts");
}

#[test]
fn what_an_ended_session_left_is_shared_for_as_long_as_it_takes() {
    let Settings { lost_keep_ms, lease_ms, .. } = Settings::default();
    let killed = |shares: bool| {
        let (mut half, mut out) = worker();
        let one = granted(1, 1);
        half.receive(&did("c"), given(0, &one, 1), 1, &mut out).unwrap();
        if shares {
            half.shares(&one);
        }
        ticked(&mut half, lease_ms + 1);
        // One that waited in the room for as long as its homeserver was away.
        let cancel = Message::Cancel { epoch: 0, granted: one.clone(), grace_ms: 700, keep: true };
        let mut out = Vec::new();
        half.receive(&did("c"), cancel, lease_ms + 2, &mut out).unwrap();
        assert_eq!(out, [worker::Effect::Cancel { granted: one.clone(), grace_ms: 0, keep: true }]);
        let late = lease_ms + 10 * lost_keep_ms;
        let killed = ticked(&mut half, late).contains(&worker::Effect::Kill(one.clone()));
        let due = half.poll_timeout();
        assert!(due.is_some_and(|due| due > late), "{due:?}");
        let mut out = Vec::new();
        half.ended(&one, "done", late, &mut out);
        let told = out
            .iter()
            .any(|effect| matches!(effect, worker::Effect::Send { message: Message::Result { .. }, .. }));
        (killed, told)
    };
    assert_eq!((killed(true), killed(false)), ((false, true), (true, false)));
}

#[test]
fn a_result_is_repeated_ever_more_rarely_while_its_coordinator_is_away() {
    let (mut half, mut out) = worker();
    let one = granted(1, 1);
    half.receive(&did("c"), given(0, &one, 1), 1, &mut out).unwrap();
    out.clear();
    half.ended(&one, "done", 2, &mut out);
    let results = |out: &[worker::Effect<Text>]| {
        let is_result = |effect: &&worker::Effect<Text>| {
            matches!(effect, worker::Effect::Send { message: Message::Result { .. }, .. })
        };
        out.iter().filter(is_result).count()
    };
    let (mut sent, mut in_first_minute, mut now) = (results(&out), 0, 2);
    while let Some(due) = half.poll_timeout().filter(|due| *due < 12 * 3_600_000) {
        now = due;
        sent += results(&ticked(&mut half, now));
        if now < 60_000 {
            in_first_minute = sent;
        }
    }
    assert!(in_first_minute >= 20, "{in_first_minute}");
    assert!(sent - in_first_minute < 12 * 60, "{sent}");
    // It is back.
    let renew = Message::Renew { run: run(), epoch: 0, nonce: 1, lease_ms: 60_000, grants: Vec::new() };
    half.receive(&did("c"), renew, now, &mut out).unwrap();
    assert_eq!(results(&ticked(&mut half, now + Settings::default().resend_ms)), 1);
}

#[test]
fn results_for_a_revoked_coordinator_are_given_up_unless_another_one_takes_the_run_over() {
    let Settings { lease_ms, lost_keep_ms, .. } = Settings::default();
    let (mut half, mut out) = worker();
    let one = granted(1, 1);
    half.receive(&did("c"), given(0, &one, 1), 1, &mut out).unwrap();
    half.ended(&one, "done", 2, &mut out);
    let late = lease_ms + lost_keep_ms + 1;
    let forsaken = |half: &WorkerHalf<Text>, is_revoked: bool, now: BootMs| {
        let (mut half, mut out) = (half.clone(), Vec::new());
        half.drop_results_for_revoked(|of| is_revoked && *of == did("c"), now, &mut out);
        out == [worker::Effect::Drop(one.clone())]
    };
    assert!(forsaken(&half, true, late) && !forsaken(&half, true, late - 2) && !forsaken(&half, false, late));
    half.enters(run(), 1, &did("d"));
    assert!(!forsaken(&half, true, late));
}
