//! All worlds that small bounds allow, one after the other: messages in any order, late, repeated or lost, crashes, and
//! takeovers at any time. The halves of the protocol are the real ones.
//!
//! A message that is never delivered is a lost one, and a partition is several of them; what the homeserver does not give out is a
//! timeline that is not read. So none of these needs an action of its own.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use cis_core::federation::protocol::Settings;

use crate::world::{Packet, Shape, World};

/// What may happen at most.
#[derive(Debug, Clone)]
struct Bounds {
    shape: Shape,
    /// Time ends here.
    until: i64,
    takeovers: u8,
    crashes: u8,
    repeats: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    world: World,
    takeovers: u8,
    crashes: u8,
    repeats: u8,
    wrong: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Action {
    Deliver(Packet),
    Repeat(Packet),
    Advance,
    Sync(usize),
    Publish(usize),
    Finish(usize),
    Crash(usize),
    Restart(usize),
    TakeOver(usize),
}

impl Bounds {
    fn first(&self) -> State {
        let mut world = World::new(self.shape.clone());
        world.merge_equal_messages();
        let mut wrong = None;
        for at in 0..self.shape.nodes {
            wrong = wrong.or(world.sync(at).and_then(|()| world.tick(at)).err());
        }
        State { world, takeovers: 0, crashes: 0, repeats: 0, wrong }
    }

    fn actions(&self, state: &State) -> Vec<Action> {
        let world = &state.world;
        let mut actions = Vec::new();
        if state.wrong.is_some() {
            return actions;
        }
        for packet in world.net.keys() {
            actions.push(Action::Deliver(packet.clone()));
            if state.repeats < self.repeats {
                actions.push(Action::Repeat(packet.clone()));
            }
        }
        if world.now < self.until {
            actions.push(Action::Advance);
        }
        for at in 0..self.shape.nodes {
            if !world.nodes[at].up {
                actions.push(Action::Restart(at));
                continue;
            }
            if at < self.shape.voters {
                if world.is_behind(at) {
                    actions.push(Action::Sync(at));
                }
                if world.has_unsent(at) {
                    actions.push(Action::Publish(at));
                }
                if state.takeovers < self.takeovers {
                    actions.push(Action::TakeOver(at));
                }
            }
            if state.crashes < self.crashes {
                actions.push(Action::Crash(at));
            }
        }
        for (number, ((at, _), tree)) in world.trees.iter().enumerate() {
            if world.may_end(*at, tree) {
                actions.push(Action::Finish(number));
            }
        }
        actions
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let world = &mut next.world;
        let done = match action {
            Action::Deliver(packet) => world.deliver(&packet, false).and_then(|()| world.tick(packet.to)),
            Action::Repeat(packet) => {
                next.repeats += 1;
                world.deliver(&packet, true).and_then(|()| world.tick(packet.to))
            }
            Action::Advance => {
                world.advance(1);
                (0..self.shape.nodes).try_for_each(|at| {
                    if at < self.shape.voters && !world.is_behind(at) && world.is_running(at) {
                        // Whoever has read all of the timeline knows that it has.
                        world.sync(at)?;
                    }
                    world.tick(at)
                })
            }
            Action::Sync(at) => world.sync(at).and_then(|()| world.tick(at)),
            Action::Publish(at) => {
                world.publish(at);
                Ok(())
            }
            Action::Finish(number) => {
                let (at, granted) = world.trees.keys().nth(number)?.clone();
                world.finish(at, &granted);
                world.tick(at)
            }
            Action::Crash(at) => {
                next.crashes += 1;
                world.crash(at);
                Ok(())
            }
            Action::Restart(at) => world.restart(at),
            Action::TakeOver(at) => {
                next.takeovers += 1;
                let epoch = world.nodes[at].fold.epoch() + 1;
                world.take_over(at, epoch);
                Ok(())
            }
        };
        next.wrong =
            done.and_then(|()| next.world.check()).and_then(|()| next.world.truth().map(|_| ())).err();
        (next != *state).then_some(next)
    }

    /// What is wrong after these steps, and what they are.
    fn told(&self, steps: &[u16]) -> String {
        let mut state = self.first();
        let mut lines = Vec::new();
        for step in steps {
            let action = self.actions(&state).swap_remove(usize::from(*step));
            lines.push(format!("{action:?}"));
            state = self.next_state(&state, action).expect("the search went there");
        }
        format!("{:?}\n{}", state.wrong, lines.join("\n"))
    }
}

impl State {
    fn is_done(&self) -> bool {
        self.world.truth().is_ok_and(|fold| fold.is_done())
    }

    /// What a search may have to come to, as far as it is so here.
    fn shows(&self) -> impl Iterator<Item = &'static str> {
        let frozen = self.world.trees.values().any(|tree| tree.frozen);
        let another = self.world.truth().is_ok_and(|fold| fold.epoch() > 0);
        let all = [
            ("a run ends", self.is_done()),
            ("a session is frozen", frozen),
            ("another node coordinates", another),
        ];
        all.into_iter().filter_map(|(name, is_so)| is_so.then_some(name))
    }

    /// Stands for it among those that were seen: 30 million states themselves would not go into memory.
    fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

fn settings() -> Settings {
    Settings {
        lease_ms: 2,
        heartbeat_ms: 2,
        resend_ms: 100,
        alive_ms: 1000,
        suspect_ms: 1000,
        grace_ms: 0,
        missing_ms: 1500,
        drift_permille: 0,
        freeze_ms: 0,
        lost_keep_ms: 1000,
    }
}

/// How far a search came.
#[derive(Debug)]
struct Reached {
    states: usize,
    /// Everything that the bounds allow was looked at.
    is_whole: bool,
    steps: usize,
    shown: BTreeSet<&'static str>,
}

/// Looks at everything that the bounds allow, but at no more than about `states_max` states (counted each time that one is come to).
/// `deep`: what was found last is looked at first, which takes little memory; else what was found first. The error: the steps to a state
/// that is wrong.
fn search(
    bounds: &Bounds,
    states_max: usize,
    deep: bool,
    is_wrong: impl Fn(&State) -> bool,
) -> Result<Reached, Vec<u16>> {
    let first = bounds.first();
    let mut seen = HashSet::from([first.print()]);
    let mut open = VecDeque::from([(first, Vec::new())]);
    let mut reached = Reached { states: 0, is_whole: false, steps: 0, shown: BTreeSet::new() };
    let mut found = 1;
    while found < states_max {
        let next = if deep { open.pop_back() } else { open.pop_front() };
        let Some((state, steps)) = next else { break };
        if is_wrong(&state) {
            return Err(steps);
        }
        reached.steps = reached.steps.max(steps.len());
        reached.shown.extend(state.shows());
        for (index, action) in bounds.actions(&state).into_iter().enumerate() {
            let Some(next) = bounds.next_state(&state, action) else { continue };
            found += 1;
            if seen.insert(next.print()) {
                let mut steps = steps.clone();
                steps.push(u16::try_from(index).unwrap());
                open.push_back((next, steps));
            }
        }
    }
    Ok(Reached { states: seen.len(), is_whole: open.is_empty(), ..reached })
}

/// Searches for a rule that is broken. A search that does not reach what it is for would find nothing: each of `reached` has to happen.
/// `whole`: the whole space fits, so the search goes into the depth; else it looks at what takes few steps first.
fn check(bounds: &Bounds, states_max: usize, whole: bool, reached: &[&'static str]) -> Reached {
    let found = match search(bounds, states_max, whole, |state| state.wrong.is_some()) {
        Ok(found) => found,
        Err(steps) => panic!("{}", bounds.told(&steps)),
    };
    let all = if found.is_whole { "all that there are" } else { "of more" };
    eprintln!("{} states, {all}, up to {} steps deep", found.states, found.steps);
    for reached in reached {
        assert!(found.shown.contains(reached), "never: {reached}");
    }
    found
}

/// States that a search looks at which does not come to an end.
fn states(otherwise: usize) -> usize {
    std::env::var("CIS_MODEL_STATES").ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn shape(voters: usize, workers: usize, tasks: usize) -> Shape {
    Shape { settings: settings(), voters, nodes: voters + workers, voters_only_coordinate: true, tasks }
}

/// Looks at everything that the bounds allow: so many states, no more and no less. A change of the protocol changes the number; that a
/// rule holds in all of them is what counts.
fn check_whole(bounds: &Bounds, states: usize, reached: &[&'static str]) {
    let found = check(bounds, usize::MAX, true, reached);
    assert!(found.is_whole, "the search did not come to its end");
    assert_eq!(found.states, states, "other worlds are possible than before: write the new number here");
}

/// A search that finds nothing proves something only if it would find it.
#[test]
fn what_is_wrong_is_found_and_told_with_the_steps_to_it() {
    let bounds = Bounds { shape: shape(1, 2, 1), until: 2, takeovers: 0, crashes: 0, repeats: 0 };
    for deep in [false, true] {
        let steps = search(&bounds, usize::MAX, deep, State::is_done).unwrap_err();
        let told = bounds.told(&steps);
        assert!(told.starts_with("None\n") && told.contains("\nFinish("), "{told}");
        assert_eq!(told.lines().count(), 1 + steps.len());
    }
}

#[test]
fn all_of_two_coordinators_and_a_worker() {
    let bounds = Bounds { shape: shape(2, 1, 1), until: 2, takeovers: 0, crashes: 0, repeats: 0 };
    check_whole(&bounds, 50_366, &["a run ends", "a session is frozen"]);
}

#[test]
fn all_of_a_coordinator_and_two_workers() {
    let bounds = Bounds { shape: shape(1, 2, 1), until: 2, takeovers: 0, crashes: 0, repeats: 0 };
    check_whole(&bounds, 12_939, &["a run ends", "a session is frozen"]);
}

#[test]
fn all_of_a_coordinator_two_workers_and_two_tasks() {
    let bounds = Bounds { shape: shape(1, 2, 2), until: 1, takeovers: 0, crashes: 0, repeats: 0 };
    check_whole(&bounds, 19_714, &["a run ends"]);
}

/// Long enough for a lease that is over, and for a task that is granted again.
#[test]
#[ignore = "takes half a minute: cargo xtask test-all"]
fn all_of_a_coordinator_and_two_workers_for_longer_than_a_lease() {
    let bounds = Bounds { shape: shape(1, 2, 1), until: 3, takeovers: 0, crashes: 0, repeats: 0 };
    check_whole(&bounds, 77_271, &["a run ends", "a session is frozen"]);
}

#[test]
#[ignore = "takes minutes: cargo xtask test-all"]
fn all_of_two_coordinators_a_worker_and_a_takeover() {
    let bounds = Bounds { shape: shape(2, 1, 1), until: 1, takeovers: 1, crashes: 0, repeats: 0 };
    check_whole(&bounds, 1_079_759, &["a run ends", "another node coordinates"]);
}

#[test]
fn two_coordinators_a_worker_and_a_takeover() {
    let bounds = Bounds { shape: shape(2, 1, 1), until: 2, takeovers: 1, crashes: 0, repeats: 0 };
    check(&bounds, states(60_000), false, &["another node coordinates"]);
}

#[test]
fn a_coordinator_two_workers_and_a_crash() {
    let bounds = Bounds { shape: shape(1, 2, 1), until: 4, takeovers: 0, crashes: 1, repeats: 0 };
    check(&bounds, states(60_000), false, &["a run ends"]);
}

#[test]
fn a_coordinator_two_workers_and_a_repeated_message() {
    let bounds = Bounds { shape: shape(1, 2, 1), until: 4, takeovers: 0, crashes: 0, repeats: 1 };
    check(&bounds, states(60_000), false, &["a run ends"]);
}

/// States that these two look at: as many as go into memory a few steps deep would never come to a frozen session.
const DEEP: usize = 30_000_000;

#[test]
#[ignore = "takes an hour: cargo xtask test-all"]
fn deep_into_two_coordinators_a_takeover_a_crash_and_a_repeated_message() {
    let bounds = Bounds { shape: shape(2, 1, 1), until: 4, takeovers: 1, crashes: 1, repeats: 1 };
    check(&bounds, states(DEEP), true, &["a run ends", "a session is frozen"]);
}

#[test]
#[ignore = "takes an hour: cargo xtask test-all"]
fn deep_into_two_workers_two_tasks_a_crash_and_a_repeated_message() {
    let bounds = Bounds { shape: shape(1, 2, 2), until: 4, takeovers: 0, crashes: 1, repeats: 1 };
    check(&bounds, states(DEEP), true, &["a run ends", "a session is frozen"]);
}
