//! The coordinators of a room, and how they share the places of its groups, under random faults by seed.
//!
//! `CIS_SIM_SEED=N cargo nextest run -p cis-core --test groups` replays one seed; `CIS_SIM_SEEDS=N` runs more of them.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: its seed comes from the environment, and a panic is its way to fail"
)]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../sim/rng.rs"]
mod rng;
mod walk;
mod world;

#[test]
fn a_limit_holds_over_all_nodes_whatever_fails_first() {
    walk::explore_all(0);
}

#[test]
fn a_limit_holds_over_all_nodes_whatever_fails_second() {
    walk::explore_all(1_000_000);
}
