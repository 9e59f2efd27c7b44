use std::collections::{BTreeMap, BTreeSet};

use super::{EXCEPT_MAX, Heard, Kept, Knowledge, PROMISES_MAX, Promise, VoterEffect, VoterMessage, Voters};
use crate::federation::link::Position;
use crate::federation::protocol::Settings;
use crate::ids::{Epoch, NodeDid, RunId};

fn run() -> RunId {
    RunId::from_parts(1, 1)
}

fn did(name: &str) -> NodeDid {
    NodeDid(name.to_owned())
}

/// The entry `n` of the first term.
fn entry(n: u64) -> Position {
    (0..n).fold(Position::start(run()), |at, _| at.after(run(), 0, "an entry"))
}

struct Knows {
    read: Position,
    coordinator: NodeDid,
    open: bool,
}

impl Knowledge for Knows {
    fn read(&self, _: RunId) -> Option<Position> {
        Some(self.read)
    }

    fn coordinator(&self, _: RunId) -> Option<&NodeDid> {
        Some(&self.coordinator)
    }

    fn is_open_to(&self, _: RunId, _: &NodeDid) -> bool {
        self.open
    }
}

/// The coordinator `a` is silent, and this was read of its run.
fn silent(n: u64) -> Knows {
    Knows { read: entry(n), coordinator: did("a"), open: true }
}

/// One of the voters `a`, `b` and `c`, which use several homeservers.
fn voter(own: &str) -> Voters {
    let mut voters = Voters::new(did(own), 1, Kept::default(), &Settings::default());
    voters.set_others(Some(["a", "b", "c"].map(did).into_iter().filter(|other| other.0 != own).collect()));
    voters
}

fn candidate(n: u64, trial: bool) -> VoterMessage {
    VoterMessage::Candidate { run: run(), epoch: 1, after: entry(n), of: did("a"), trial }
}

fn handle(voter: &mut Voters, from: &str, message: VoterMessage, knows: &Knows) -> Vec<VoterEffect> {
    let mut out = Vec::new();
    voter.handle(&did(from), message, knows, 7, &mut out);
    out
}

/// Whether a candidate got the vote.
fn vote(effects: &[VoterEffect]) -> bool {
    let message = match effects {
        [VoterEffect::Send(_, message)] => message,
        [VoterEffect::Keep(then)] => &then[0].1,
        other => panic!("{other:?}"),
    };
    let VoterMessage::Vote { granted, .. } = message else { panic!("{message:?}") };
    *granted
}

#[test]
fn nobody_votes_where_one_timeline_decides() {
    let mut voter = Voters::new(did("b"), 1, Kept::default(), &Settings::default());
    let mut out = Vec::new();
    voter.ask(&BTreeMap::from([(run(), (0, None))]), 1, &mut out);
    voter.stand(run(), entry(1), &did("a"), &mut out);
    out.extend(handle(&mut voter, "c", candidate(1, true), &silent(1)));
    assert_eq!(out, []);
    assert!(!voter.decide());
}

#[test]
fn a_candidate_asks_before_it_promises_and_begins_its_term_once() {
    let (mut b, mut c) = (voter("b"), voter("c"));
    let mut asked = Vec::new();
    b.stand(run(), entry(3), &did("a"), &mut asked);
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(b.kept().is_empty(), "nothing is promised for a trial");
    let VoterEffect::Send(_, trial) = asked.remove(1) else { panic!() };
    let mut answer = handle(&mut c, "b", trial, &silent(3));
    assert!(c.kept().is_empty());
    let VoterEffect::Send(_, yes) = answer.remove(0) else { panic!("{answer:?}") };
    let mut real = handle(&mut b, "c", yes, &silent(3));
    let VoterEffect::Keep(mut questions) = real.remove(0) else { panic!("{real:?}") };
    assert_eq!(b.kept().promises[&run()].to, did("b"));
    let mut answer = handle(&mut c, "b", questions.remove(1).1, &silent(3));
    assert_eq!(c.kept().promises[&run()].to, did("b"));
    let VoterEffect::Keep(mut yes) = answer.remove(0) else { panic!("{answer:?}") };
    let begun = handle(&mut b, "c", yes.remove(0).1, &silent(3));
    let [VoterEffect::Begin(_, mandate)] = begun[..] else { panic!("{begun:?}") };
    assert_eq!((mandate.epoch, mandate.after, mandate.at_ms), (1, entry(3), 7));
    // It may have read more since, also in its next life: the entry is the same one.
    let mut next = Voters::new(did("b"), 2, b.kept().clone(), &Settings::default());
    next.set_others(Some(BTreeSet::from([did("a"), did("c")])));
    let mut again = Vec::new();
    next.stand(run(), entry(4), &did("a"), &mut again);
    assert_eq!(again, begun);
    assert!(!next.forget(run(), 0), "the term may have begun");
    assert!(next.forget(run(), 1) && next.kept().is_empty());
}

#[test]
fn a_vote_goes_to_one_candidate_that_has_read_as_far_while_nobody_coordinates() {
    let mut c = voter("c");
    assert!(!vote(&handle(&mut c, "b", candidate(2, true), &silent(3))), "it lacks an entry");
    let heard = Knows { open: false, ..silent(3) };
    assert!(!vote(&handle(&mut c, "b", candidate(3, true), &heard)), "`a` is heard");
    let other = Knows { coordinator: did("x"), ..silent(3) };
    assert!(!vote(&handle(&mut c, "b", candidate(3, true), &other)), "`x` does not vote");
    assert!(vote(&handle(&mut c, "b", candidate(3, false), &silent(3))));
    assert!(vote(&handle(&mut c, "b", candidate(3, false), &silent(3))), "asked again");
    assert!(!vote(&handle(&mut c, "a", candidate(3, false), &silent(3))), "it is promised");
    assert_eq!(c.kept().promises[&run()], Promise { epoch: 1, to: did("b") });
    let mut out = Vec::new();
    c.stand(run(), entry(3), &did("a"), &mut out);
    assert_eq!(out, [], "to itself, too");
    // A term that was begun is over for candidates.
    let begun = Knows { read: entry(3).after(run(), 1, "taken over"), ..silent(3) };
    assert!(!vote(&handle(&mut c, "b", candidate(3, false), &begun)));
    assert_eq!(handle(&mut c, "x", candidate(3, false), &silent(3)), [], "`x` does not vote");
}

#[test]
fn of_two_that_stand_at_once_one_gives_way() {
    let stands = |own: &str, other: &str| {
        let mut voter = voter(own);
        let mut out = Vec::new();
        voter.stand(run(), entry(3), &did("a"), &mut out);
        let yes = VoterMessage::Vote { run: run(), epoch: 1, trial: true, granted: true };
        handle(&mut voter, other, yes, &silent(3));
        assert_eq!(voter.kept().promises[&run()].to, did(own));
        voter
    };
    let (mut b, mut c) = (stands("b", "c"), stands("c", "b"));
    assert!(!vote(&handle(&mut b, "c", candidate(3, false), &silent(3))));
    assert!(vote(&handle(&mut c, "b", candidate(3, false), &silent(3))));
    // What was promised to it is free, and it does not stand again.
    let mut a = voter("a");
    assert!(vote(&handle(&mut a, "c", candidate(3, false), &silent(3))));
    assert!(!vote(&handle(&mut a, "b", candidate(3, false), &silent(3))));
    let mut told = Vec::new();
    c.stand(run(), entry(3), &did("a"), &mut told);
    let VoterEffect::Send(to, gave_way) = told.remove(0) else { panic!("{told:?}") };
    assert_eq!((to, &gave_way), (did("a"), &VoterMessage::GaveWay { run: run(), epoch: 1 }));
    handle(&mut a, "c", gave_way, &silent(3));
    assert!(vote(&handle(&mut a, "b", candidate(3, false), &silent(3))));
    // What it asked for itself counts no more.
    let late = VoterMessage::Vote { run: run(), epoch: 1, trial: false, granted: true };
    assert_eq!(handle(&mut c, "a", late.clone(), &silent(3)), []);
    let [VoterEffect::Begin(..)] = handle(&mut b, "c", late, &silent(3))[..] else { panic!() };
    assert!(!vote(&handle(&mut b, "a", candidate(3, false), &silent(3))), "its takeover is on its way");
}

/// The answer of a voter to the newest question.
fn follow(a: &mut Voters, from: &str, nonce: u64, except: &[(RunId, Epoch)]) -> Option<Heard> {
    let (except, read) = (except.to_vec(), vec![(run(), entry(2))]);
    let message = VoterMessage::Follow { nonce, except, read };
    a.handle(&did(from), message, &silent(2), 7, &mut Vec::new())
}

fn ask(a: &mut Voters, now: i64) -> (u64, Vec<RunId>) {
    let mut out = Vec::new();
    a.ask(&BTreeMap::from([(run(), (0, Some(entry(2))))]), now, &mut out);
    let VoterEffect::Send(_, VoterMessage::Ask { nonce, lost, runs }) = &out[0] else { panic!("{out:?}") };
    assert_eq!(runs, &[(run(), entry(2))]);
    (*nonce, lost.clone())
}

#[test]
fn a_coordinator_is_followed_since_a_majority_was_asked() {
    let mut a = voter("a");
    let (first, _) = ask(&mut a, 100);
    assert_eq!(a.followed_at(run(), 0, 150), None);
    assert_eq!(follow(&mut a, "b", first + 1, &[]), None, "it did not ask that");
    assert_eq!(follow(&mut a, "b", first, &[]), Some(Heard::Followed { read: vec![(run(), entry(2))] }));
    assert_eq!(a.followed_at(run(), 0, 150), Some(100));
    let (second, _) = ask(&mut a, 200);
    follow(&mut a, "c", second, &[]);
    assert_eq!(follow(&mut a, "c", first, &[]), None, "an older answer says nothing");
    assert_eq!((a.followed_at(run(), 0, 250), a.heard_since(150)), (Some(200), 1));
    // Others promised the next term to somebody else: it cannot go on with the run.
    let (third, lost) = ask(&mut a, 300);
    assert_eq!(lost, []);
    follow(&mut a, "b", third, &[(run(), 1)]);
    follow(&mut a, "c", third, &[(run(), 1)]);
    assert_eq!(a.followed_at(run(), 0, 350), None);
    assert_eq!(ask(&mut a, 400).1, [run()]);
    assert_eq!(a.followed_at(run(), 2, 350), Some(300), "in a later term it is followed");
}

#[test]
fn who_promised_a_term_to_another_one_says_so_and_reads_nothing_for_the_coordinator() {
    let mut c = voter("c");
    let question = VoterMessage::Ask { nonce: 5, runs: vec![(run(), entry(2))], lost: Vec::new() };
    let answer = |c: &mut Voters| match &handle(c, "a", question.clone(), &silent(2))[..] {
        [VoterEffect::Send(_, VoterMessage::Follow { nonce: 5, except, read })] => {
            (except.clone(), read.clone())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(answer(&mut c), (vec![], vec![(run(), entry(2))]));
    handle(&mut c, "b", candidate(2, false), &silent(2));
    assert_eq!(answer(&mut c), (vec![(run(), 1)], vec![]));
    // The same for who has read of a later term.
    let later = Knows { read: entry(2).after(run(), 1, "taken over"), coordinator: did("b"), open: false };
    let told = handle(&mut voter("c"), "a", question, &later);
    let except = vec![(run(), 1)];
    assert_eq!(told, [VoterEffect::Send(did("a"), VoterMessage::Follow { nonce: 5, except, read: vec![] })]);
}

#[test]
fn a_coordinator_that_nobody_answers_says_that_it_cannot_go_on() {
    let mut a = voter("a");
    assert_eq!(ask(&mut a, 100).1, []);
    assert_eq!(ask(&mut a, 7099).1, []);
    assert_eq!(ask(&mut a, 7100).1, [run()]);
    let (nonce, _) = ask(&mut a, 7200);
    follow(&mut a, "b", nonce, &[]);
    assert_eq!(ask(&mut a, 7300).1, []);
}

/// Promises to `c` of as many runs as are remembered.
fn many_promises() -> BTreeMap<RunId, Promise> {
    let of = |n| (RunId::from_parts(2, n), Promise { epoch: 1, to: did("c") });
    (0..PROMISES_MAX as u128).map(of).collect()
}

#[test]
fn a_voter_with_too_many_promises_says_so_and_votes_again_when_a_run_has_ended() {
    let kept = Kept { promises: many_promises(), ..Kept::default() };
    let mut b = Voters::new(did("b"), 1, kept, &Settings::default());
    b.set_others(Some(["a", "c"].map(did).into()));
    assert!(b.is_full());
    assert!(!vote(&handle(&mut b, "c", candidate(1, false), &silent(1))));
    assert!(b.forget(RunId::from_parts(2, 0), 1));
    assert!(!b.is_full());
    assert!(vote(&handle(&mut b, "c", candidate(1, false), &silent(1))));
}

#[test]
fn an_answer_counts_as_a_whole_or_not_at_all() {
    let promised: Vec<(RunId, Epoch)> =
        many_promises().into_iter().map(|(run, promise)| (run, promise.epoch)).collect();
    let answers = |except: Vec<(RunId, Epoch)>| {
        let mut a = voter("a");
        a.ask(&BTreeMap::from([(run(), (0, Some(entry(1))))]), 100, &mut Vec::new());
        let follow = VoterMessage::Follow { nonce: a.nonce, except, read: Vec::new() };
        let heard = a.handle(&did("b"), follow, &silent(1), 7, &mut Vec::new());
        (heard, a.followed_at(run(), 0, 100))
    };
    assert_eq!(answers(promised.clone()), (Some(Heard::Followed { read: Vec::new() }), Some(100)));
    // What it reads of the runs that were asked about comes last.
    let except = promised.iter().copied().chain([(run(), 1)]).collect();
    assert_eq!(answers(except), (Some(Heard::Followed { read: Vec::new() }), None));
    let except: Vec<_> = (0..=EXCEPT_MAX as u128).map(|n| (RunId::from_parts(3, n), 1)).collect();
    assert_eq!(answers(except), (Some(Heard::TooLong { runs: EXCEPT_MAX + 1 }), None));
}
