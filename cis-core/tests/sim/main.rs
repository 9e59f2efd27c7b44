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
mod view;
mod world;

use std::collections::BTreeSet;

use rng::Rng;
use world::World;

/// Seeds of each test, unless the environment says otherwise.
const SEEDS: u64 = 90;

/// Steps with faults; then the world gets quiet and every run has to end.
const STEPS: u32 = 160;

/// Says on any panic, the machine's own too, which seed it was.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay: CIS_SIM_SEED={} cargo nextest run -p cis-core --test sim", self.0);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds(first: u64) -> Vec<u64> {
    match number("CIS_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (first..first + number("CIS_SIM_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

/// What a world is like follows from its seed, so that one number replays it.
fn simulate(seed: u64) -> World {
    let _guard = Seed(seed);
    let mut world = World::new(Rng::new(seed));
    for step in 0..STEPS {
        if let Err(wrong) = faults::step(&mut world) {
            panic!("seed {seed}, step {step}: {wrong}\n{}", world.history());
        }
    }
    if let Err(wrong) = faults::quiet_until_all_end(&mut world) {
        panic!("seed {seed}, after the faults: {wrong}\n{}", world.history());
    }
    world
}

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

/// Whoever folds a run's events into what the node showed of it has what the node would show now, at every point.
#[test]
fn what_clients_fold_of_a_run_is_what_the_store_shows_of_it() {
    let mut seen = view::Folded::default();
    for seed in seeds(6_000_000).into_iter().step_by(4) {
        let world = simulate(seed);
        let _guard = Seed(seed);
        if let Err(wrong) = view::check(&world, &mut seen) {
            panic!("seed {seed}: {wrong}");
        }
    }
    if number("CIS_SIM_SEED").is_none() {
        // A fold that always asks would prove nothing.
        let asked: usize = seen.asked.values().sum();
        assert!(asked * 2 < seen.events, "{seen:?}");
        for name in
            ["run.paused", "run.cancelled", "task.assigned", "task.result", "task.status", "session.blocked"]
        {
            assert!(seen.folded.contains(&format!("cis.dag.{name}")), "{name}: {seen:?}");
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
