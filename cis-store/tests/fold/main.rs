//! What clients fold of simulated runs, held against what the store shows of them. The simulated world is `cis-core`'s.
//!
//! `CIS_SIM_SEED=N cargo nextest run -p cis-store --test fold` replays one seed; `CIS_SIM_SEEDS=N` runs more of them.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    dead_code,
    reason = "a test: its seed comes from the environment and is printed, and a part of the world is for other tests"
)]

#[path = "../../../cis-core/tests/sim/dags.rs"]
mod dags;
#[path = "../../../cis-core/tests/sim/faults.rs"]
mod faults;
#[path = "../../../cis-core/tests/sim/host.rs"]
mod host;
#[path = "../../../cis-core/tests/sim/laws.rs"]
mod laws;
#[path = "../../../cis-core/tests/sim/lines.rs"]
mod lines;
#[path = "../../../cis-core/tests/sim/reference/mod.rs"]
mod reference;
#[path = "../../../cis-core/tests/sim/rng.rs"]
mod rng;
#[path = "../../../cis-core/tests/sim/seeds.rs"]
mod seeds;
mod view;
#[path = "../../../cis-core/tests/sim/world.rs"]
mod world;

use seeds::{Seed, seeds, simulate};

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
    if std::env::var_os("CIS_SIM_SEED").is_none() {
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
