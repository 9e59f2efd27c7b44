//! Terms, leases and places, one rule at a time. What no single sequence shows is walked at random in `tests/groups`.

use std::collections::{BTreeMap, BTreeSet};

use super::holder::Holder;
use super::message::{GROUPS_MAX, GroupPlaces, GroupReport};
use super::*;
use crate::ids::{AttemptId, TaskId};

const SETTINGS: Settings = Settings {
    lease_ms: 1200,
    heartbeat_ms: 400,
    resend_ms: 60,
    alive_ms: 50,
    suspect_ms: 60,
    grace_ms: 100,
    missing_ms: 1500,
    drift_permille: 5,
    freeze_ms: 20,
    lost_keep_ms: 5000,
};

fn did(n: usize) -> NodeDid {
    NodeDid(format!("did:key:{n}"))
}

fn group(limit: u32) -> BTreeMap<String, Group> {
    [("g".to_owned(), Group { limit, frees_when_blocked: false })].into()
}

fn attempt(n: u32) -> AttemptId {
    AttemptId { run: RunId::from_parts(1, 1), task: TaskId::new(&format!("t{n}")).unwrap(), number: 1 }
}

fn using(attempts: &[u32], waiting: u32) -> BTreeMap<String, GroupUse> {
    let attempts = attempts.iter().map(|n| (attempt(*n), true)).collect();
    [("g".to_owned(), GroupUse { attempts, waiting })].into()
}

/// Coordinators that hear each other at once, and a room.
struct Bench {
    now: BootMs,
    nodes: Vec<RoomGroups>,
    term: Option<Term>,
    ids: u128,
    /// Messages to these are lost.
    cut: BTreeSet<usize>,
    sent: Vec<GroupMessage>,
}

impl Bench {
    fn new(count: usize, limit: u32) -> Self {
        let mut bench =
            Self { now: 1000, nodes: Vec::new(), term: None, ids: 0, cut: BTreeSet::new(), sent: Vec::new() };
        for at in 0..count {
            let node = bench.node(at, count, limit);
            bench.nodes.push(node);
        }
        bench
    }

    fn node(&self, at: usize, count: usize, limit: u32) -> RoomGroups {
        let mut node = RoomGroups::new(SETTINGS, did(at), self.now as u64, self.now);
        node.set_voters((0..count).map(did).collect(), count == 1, self.now);
        node.set_groups(&group(limit), self.now, &mut Vec::new());
        node
    }

    fn perform(&mut self, at: usize, out: Vec<Effect>) {
        for effect in out {
            match effect {
                Effect::Send { to, message } => {
                    self.sent.push(message.clone());
                    let to = (0..self.nodes.len()).find(|n| did(*n) == to).unwrap();
                    if !self.cut.contains(&to) && !self.cut.contains(&at) {
                        let mut out = Vec::new();
                        self.nodes[to].receive(&did(at), message, self.now, &mut out).unwrap();
                        self.perform(to, out);
                    }
                }
                Effect::Claim { epoch } => {
                    self.ids += 1;
                    let id = ulid::Ulid(self.ids);
                    self.nodes[at].claimed(id);
                    self.term = Some(Term { epoch, keeper: did(at), id });
                }
            }
        }
    }

    /// Lets time pass, with the room read in each moment.
    fn pass(&mut self, ms: BootMs) {
        for _ in 0..ms / 10 {
            self.now += 10;
            for at in 0..self.nodes.len() {
                let mut out = Vec::new();
                if !self.cut.contains(&at) {
                    self.nodes[at].read(self.term.as_ref(), self.now, &mut out);
                    self.nodes[at].witnessed(self.now);
                }
                self.nodes[at].tick(self.now, &mut out);
                self.perform(at, out);
            }
        }
    }

    fn places(&self, at: usize) -> u32 {
        match self.nodes[at].share(self.now) {
            RoomShare::Whole => u32::MAX,
            RoomShare::Part { quotas, .. } => quotas.get("g").map_or(0, |quota| quota.places),
        }
    }

    fn uses(&mut self, at: usize, attempts: &[u32], waiting: u32) {
        self.nodes[at].set_using(using(attempts, waiting), self.now);
    }

    fn lets(&self, at: usize, n: u32) -> bool {
        self.nodes[at].gate().lets(&attempt(n), self.now)
    }
}

#[test]
fn who_coordinates_alone_takes_what_it_needs_and_says_nothing() {
    let mut bench = Bench::new(1, 1);
    bench.uses(0, &[1], 9);
    bench.pass(2000);
    assert_eq!((bench.places(0), bench.sent.len(), &bench.term), (u32::MAX, 0, &None));
    assert!(bench.lets(0, 1));
}

#[test]
fn places_go_round_and_are_never_more_than_the_limit() {
    let mut bench = Bench::new(2, 1);
    bench.uses(0, &[], 5);
    bench.uses(1, &[], 5);
    assert_eq!((bench.places(0), bench.places(1)), (0, 0));
    bench.pass(100);
    assert_eq!(bench.term.as_ref().map(|term| term.keeper.clone()), Some(did(0)), "the first one in rank");
    let mut starts = [0, 0];
    for n in 0..20 {
        let holder = (0..2).find(|at| bench.places(*at) > 0).unwrap();
        assert_eq!(bench.places(1 - holder), 0);
        starts[holder] += 1;
        bench.uses(holder, &[n], 5);
        bench.pass(30);
        assert!(bench.lets(holder, n) && bench.places(1 - holder) == 0);
        bench.uses(holder, &[], 5);
        bench.pass(30);
    }
    assert!(starts[0].min(starts[1]) >= 9, "each gets its turn: {starts:?}");
}

#[test]
fn a_place_goes_to_others_when_its_leases_are_over() {
    let mut bench = Bench::new(2, 1);
    bench.uses(1, &[], 1);
    bench.pass(400);
    assert_eq!((bench.places(1), bench.nodes[1].is_keeper()), (1, true), "who needs one claims it");
    bench.uses(0, &[], 1);
    bench.uses(1, &[7], 0);
    bench.pass(100);
    let keeper = &mut bench.nodes[1];
    assert!(keeper.is_keeper());
    // The holder of the place is cut off, and it is the keeper as well.
    bench.cut.insert(1);
    bench.pass(SETTINGS.group_lease_ms());
    assert!(!bench.lets(1, 7) || bench.places(0) == 0);
    bench.pass(SETTINGS.lease_bound_ms());
    assert_eq!(bench.places(0), 0, "what it started may still be at work");
    assert!(!bench.lets(1, 7), "it renews nothing");
    bench.pass(SETTINGS.group_bound_ms());
    assert_eq!((bench.places(0), bench.nodes[0].is_keeper()), (1, true));
    bench.uses(0, &[8], 0);
    bench.cut.clear();
    bench.pass(500);
    assert!(bench.lets(0, 8) && !bench.lets(1, 7), "it is frozen until the place is free");
    bench.uses(0, &[], 0);
    bench.pass(200);
    assert!(bench.lets(1, 7), "and goes on then");
}

#[test]
fn another_keeper_leaves_everybody_what_they_have() {
    let mut bench = Bench::new(3, 2);
    bench.uses(0, &[], 1);
    bench.pass(100);
    bench.uses(0, &[1], 0);
    bench.uses(1, &[], 5);
    bench.pass(100);
    bench.uses(1, &[2], 4);
    bench.pass(100);
    assert!(bench.nodes[0].is_keeper());
    let before = bench.term.clone();
    bench.cut.insert(0);
    bench.pass(600);
    assert!(bench.nodes[1].is_keeper() && bench.term != before);
    assert_eq!((bench.lets(1, 2), bench.places(1)), (true, 1), "it keeps its own, and gets no more");
    bench.pass(SETTINGS.group_bound_ms());
    assert_eq!(bench.places(1), 2, "what the old keeper had is over");
}

/// The lease is as old as the report, however late the answer comes; and only the newest report is answered.
#[test]
fn a_lease_begins_when_the_report_was_sent() {
    let mut holder = Holder::new(SETTINGS, 5, 0);
    holder.set_groups(&group(3));
    holder.set_using(using(&[], 3), 1000);
    let Some(GroupMessage::Report { nonce, .. }) = holder.tick(1, 1000) else { panic!() };
    let places = |n| BTreeMap::from([("g".to_owned(), GroupPlaces { places: n, taken: n, fair: n })]);
    holder.quotas(nonce - 1, 300, &places(3), 1100);
    assert!(holder.places(1100).is_empty(), "another report");
    holder.quotas(nonce, 1_000_000, &places(2), 1250);
    let end = 1000 + SETTINGS.group_lease_ms();
    assert_eq!((holder.places(end - 1).len(), holder.places(end).len()), (1, 0));
    // Answers to one report in the wrong order: each of them promised less.
    holder.quotas(nonce, 300, &places(1), 1260);
    assert_eq!(holder.places(1299)["g"].places, 2);
    assert!(holder.places(1300).is_empty());
    holder.quotas(nonce, 390, &places(1), 1270);
    assert!(holder.places(1300).is_empty());
}

#[test]
fn a_term_of_an_earlier_life_is_over() {
    let mut bench = Bench::new(2, 1);
    bench.uses(0, &[], 1);
    bench.pass(100);
    assert!(bench.nodes[0].is_keeper());
    let first = bench.term.clone().unwrap();
    bench.nodes[0] = bench.node(0, 2, 1);
    bench.uses(0, &[3], 0);
    let mut out = Vec::new();
    bench.nodes[0].read(Some(&first), bench.now, &mut out);
    assert!(!bench.nodes[0].is_keeper() && bench.places(0) == 0);
    bench.pass(50);
    let second = bench.term.clone().unwrap();
    assert_eq!((second.keeper.clone(), second.epoch), (did(0), first.epoch + 1));
    // What it gave to itself before nobody knows any more.
    assert!(!bench.lets(0, 3));
    bench.pass(SETTINGS.group_bound_ms());
    assert!(bench.lets(0, 3));
}

/// It may have been written before this node came, in a room whose older messages it cannot decrypt.
#[test]
fn a_keeper_that_hears_of_a_later_term_begins_another_one() {
    let mut bench = Bench::new(2, 1);
    bench.uses(0, &[], 1);
    bench.pass(20);
    assert!(bench.nodes[0].is_keeper());
    let later = GroupMessage::Report { epoch: 8, nonce: 1, groups: BTreeMap::new() };
    bench.nodes[0].receive(&did(1), later, bench.now, &mut Vec::new()).unwrap();
    assert!(!bench.nodes[0].is_keeper());
    bench.pass(400);
    assert_eq!(bench.term.as_ref().map(|term| term.epoch), Some(9));
    let ends_all = GroupMessage::Report { epoch: Epoch::MAX, nonce: 1, groups: BTreeMap::new() };
    bench.nodes[0].receive(&did(1), ends_all, bench.now, &mut Vec::new()).unwrap();
    assert!(bench.nodes[0].is_keeper(), "nobody could follow that");
}

/// While not all can go on, those that go on are the ones that did: the others may be frozen already.
#[test]
fn after_a_restart_nothing_goes_on_before_all_is_frozen_that_may_not() {
    let (mut holder, now) = (Holder::new(SETTINGS, 5, 1000), 1000);
    holder.set_groups(&group(1));
    holder.set_using(using(&[1, 2], 0), now);
    let gives = |holder: &mut Holder, now| {
        let Some(GroupMessage::Report { nonce, .. }) = holder.tick(1, now) else { panic!() };
        let one = GroupPlaces { places: 1, taken: 2, fair: 1 };
        holder.quotas(nonce, 400, &[("g".to_owned(), one)].into(), now);
        let gate = holder.gate();
        (gate.lets(&attempt(1), now), gate.lets(&attempt(2), now))
    };
    assert_eq!(gives(&mut holder, now), (false, false));
    let later = now + SETTINGS.lease_bound_ms();
    assert_eq!(gives(&mut holder, later), (true, false));
    holder.set_using(using(&[2], 0), later);
    assert!(holder.gate().lets(&attempt(2), later), "the place is free");
}

/// In the first moments of a term sessions may work that nobody has a place for.
#[test]
fn a_new_keeper_lets_nothing_go_on_beside_what_may_work() {
    let report = |uses, holds| BTreeMap::from([("g".to_owned(), GroupReport { uses, holds, waiting: 0 })]);
    let given = |out: &Sends, to: usize| {
        let of = |(did_of, message): &(NodeDid, GroupMessage)| match message {
            GroupMessage::Quotas { groups, .. } if *did_of == did(to) => Some(groups["g"].places),
            _ => None,
        };
        out.iter().rev().find_map(of)
    };
    let mut keeper = Keeper::new(SETTINGS, 1, [did(0), did(1)], 0);
    let mut out = Sends::new();
    keeper.set_groups(&group(1), 0, &mut out);
    keeper.report(&did(0), 1, report(1, 0), 10, &mut out).unwrap();
    keeper.report(&did(1), 1, report(1, 0), 10, &mut out).unwrap();
    assert_eq!((given(&out, 0), given(&out, 1)), (Some(0), Some(0)));
    let later = 10 + SETTINGS.group_bound_ms();
    keeper.witnessed(later);
    keeper.report(&did(1), 2, report(1, 0), later, &mut out).unwrap();
    assert_eq!(given(&out, 1), Some(1), "all of them are frozen by now");
    keeper.report(&did(0), 2, report(1, 0), later, &mut out).unwrap();
    assert_eq!(given(&out, 0), Some(0));
    // Its lease is over, as it says, but what it started may still be at work.
    keeper.report(&did(1), 3, report(1, 0), later, &mut out).unwrap();
    assert_eq!((given(&out, 0), given(&out, 1)), (Some(0), Some(1)));
    // What is old changes nothing.
    keeper.report(&did(0), 1, report(9, 9), later, &mut out).unwrap();
    assert_eq!((given(&out, 0), given(&out, 1)), (Some(0), Some(1)));
    let many = (0..=GROUPS_MAX).map(|n| (format!("g{n}"), GroupReport::default())).collect();
    assert!(keeper.report(&did(1), 4, many, later, &mut out).is_err());
}

/// It can hold the group up, and no more.
#[test]
fn who_claims_a_million_places_gets_none_of_others() {
    let mut bench = Bench::new(2, 2);
    bench.uses(0, &[], 5);
    bench.pass(50);
    bench.uses(0, &[1], 5);
    bench.pass(50);
    let lies = GroupReport { uses: u32::MAX, holds: u32::MAX, waiting: u32::MAX };
    let epoch = bench.term.as_ref().unwrap().epoch;
    let lie = GroupMessage::Report { epoch, nonce: u64::MAX, groups: [("g".to_owned(), lies)].into() };
    let mut out = Vec::new();
    bench.nodes[0].receive(&did(1), lie, bench.now, &mut out).unwrap();
    bench.perform(0, out);
    bench.pass(100);
    assert!(bench.lets(0, 1), "what has a place goes on");
    for forged in [
        GroupMessage::Quotas { epoch, nonce: 1, lease_ms: BootMs::MAX, groups: BTreeMap::new() },
        GroupMessage::Recover { epoch },
    ] {
        let before = bench.places(0);
        bench.nodes[0].receive(&did(1), forged.clone(), bench.now, &mut Vec::new()).unwrap();
        assert_eq!(bench.places(0), before);
        assert!(
            bench.nodes[0].receive(&did(9), forged, bench.now, &mut Vec::new()).is_err(),
            "no coordinator"
        );
    }
}

#[test]
fn who_coordinated_alone_keeps_what_it_started() {
    let mut bench = Bench::new(2, 1);
    bench.nodes[0] = bench.node(0, 1, 1);
    bench.uses(0, &[1, 2], 1);
    assert_eq!(bench.places(0), u32::MAX);
    bench.nodes[0].set_voters(vec![did(0), did(1)], false, bench.now);
    assert!(bench.lets(0, 1) && bench.lets(0, 2) && bench.places(0) == 2);
    bench.uses(1, &[], 1);
    bench.pass(2000);
    assert!(bench.lets(0, 1) && bench.lets(0, 2), "above the limit, as they began before");
    bench.uses(0, &[2], 1);
    bench.pass(200);
    assert_eq!((bench.places(0), bench.places(1)), (1, 0));
    // Alone again: what the other one has may be at work for a while.
    bench.nodes[0].set_voters(vec![did(0)], true, bench.now);
    assert_ne!(bench.places(0), u32::MAX);
    bench.cut.insert(1);
    bench.pass(SETTINGS.group_bound_ms() + 10);
    assert_eq!(bench.places(0), u32::MAX);
}
