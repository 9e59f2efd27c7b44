//! The nodes of a room, simulated: random faults by seed.
//!
//! `CIS_SIM_SEED=N cargo nextest run -p cis-core --test federation` replays one seed; `CIS_SIM_SEEDS=N` runs more of them.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test: its seed comes from the environment and is printed, and a panic is its way to fail"
)]

mod model;
mod random;
#[path = "../sim/rng.rs"]
mod rng;
mod sequences;
mod votes;
mod world;

#[test]
fn one_result_of_each_task_counts_whatever_fails_first() {
    random::explore_all(0);
}

#[test]
fn one_result_of_each_task_counts_whatever_fails_second() {
    random::explore_all(1_000_000);
}
