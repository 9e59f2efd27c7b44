//! The scheduler in a simulated world: random DAGs, random faults, owned time, and checks after every step.
//!
//! `CIS_SIM_SEED=N cargo nextest run -p cis-core --test sim` replays one seed; `CIS_SIM_SEEDS=N` runs more of them.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test: its seed comes from the environment and is printed, and a panic is its way to fail"
)]

mod dags;
mod faults;
mod host;
mod journal;
mod laws;
mod lines;
mod reference;
mod rng;
mod seeds;
#[allow(dead_code, reason = "the store's tests use all of it")]
mod world;

use std::collections::BTreeSet;

use rng::Rng;
use seeds::{STEPS, Seed, seeds, simulate};
use world::World;

fn simulate_all(first: u64) {
    for seed in seeds(first) {
        simulate(seed);
    }
}

#[test]
fn every_run_ends_as_it_should_first() {
    simulate_all(0);
}

#[test]
fn every_run_ends_as_it_should_second() {
    simulate_all(1_000_000);
}

#[test]
fn every_run_ends_as_it_should_third() {
    simulate_all(2_000_000);
}

#[test]
fn every_run_ends_as_it_should_fourth() {
    simulate_all(3_000_000);
}

/// What a room is told of a run, merged, leads to the state that the run had.
#[test]
fn the_journal_of_every_run_folds_to_its_state() {
    for seed in seeds(5_000_000) {
        let world = simulate(seed);
        let _guard = Seed(seed);
        if let Err(wrong) = journal::check(&world, &mut Rng::new(seed)) {
            panic!("seed {seed}: {wrong}\n{}", world.history());
        }
    }
}

/// A simulation that no longer gets anywhere would find nothing.
#[test]
fn the_faults_reach_every_event_and_every_outcome() {
    let reached: BTreeSet<String> =
        (0..60).flat_map(|n| simulate(4_000_000 + n).kinds().collect::<Vec<_>>()).collect();
    let runs = [
        "created",
        "started",
        "paused",
        "resumed",
        "cancelling",
        "completed",
        "failed",
        "error",
        "cancelled",
    ];
    let others = [
        "run.retried",
        "run.mode",
        "task.status",
        "task.assigned",
        "task.added",
        "task.expanded",
        "task.approved",
        "node.lost",
        "node.group",
        "approval",
        "items",
        "group",
        "rejected",
        "approval_timeout",
        "expression",
        "skipped",
        "ahead",
        "withdrawn",
        "processing",
    ];
    let sessions = ["session.started", "session.blocked", "session.recovered", "session.escalated"];
    let stopped = ["task.handed_in", "stopped: killed", "stopped: skipped", "stopped: blocked", "account"]
        .into_iter()
        .chain(["stopped: logged_out", "blocked makes queued", "blocked makes failed"])
        .chain(["login makes queued", "login makes failed"])
        .map(str::to_owned);
    let results = [
        "succeeded makes succeeded",
        "succeeded makes completed",
        "failed makes queued",
        "failed makes failed",
        "failed makes completed",
        "failed makes cancelled",
        "error makes queued",
        "error makes error",
        "error makes cancelled",
        "cancelled makes cancelled",
    ];
    let all = runs.iter().map(|name| format!("run.{name}"));
    let all = all.chain(others.iter().chain(&sessions).chain(&results).map(ToString::to_string));
    let missing: Vec<String> = all.chain(stopped).filter(|kind| !reached.contains(kind)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

#[test]
fn a_seed_is_a_whole_story() {
    let story = |seed| {
        let mut world = World::new(Rng::new(seed));
        for _ in 0..STEPS {
            faults::step(&mut world).unwrap();
        }
        world.history()
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}
