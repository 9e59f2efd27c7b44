//! Two to nine nodes of a room that share one run: the real scheduler, the real halves of the protocol and the real journal,
//! with a lossy network, late disks, drifting clocks, crashes and takeovers around them.
//!
//! `CIS_SIM_SEED=N cargo nextest run -p cis-core --test nodes` replays one seed; `CIS_SIM_SEEDS=N` walks more of them in each test.
//! `cargo xtask simulate --seeds N` walks many in several processes. A seed that fails goes to `seeds::REGRESSIONS`.
#![allow(
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test: its seed comes from the environment and is printed, a panic is its way to fail, and what a node does takes what it is given"
)]

mod answered;
mod answering;
#[path = "../sim/dags.rs"]
#[allow(dead_code, reason = "the simulation of one node uses all of it")]
mod dags;
mod history;
mod host;
mod leading;
mod linear;
mod model;
mod node;
mod plan;
mod reading;
mod reference;
#[path = "../sim/rng.rs"]
mod rng;
mod room;
mod search;
mod seeds;
mod serving;
mod slots;
mod users;
mod walk;
mod working;
mod world;

use std::collections::BTreeSet;

use seeds::{
    ANSWERS_FROM, ANSWERS_SEEDS, FORKS_FROM, INPUTS_FROM, INPUTS_SEEDS, LOST_FROM, LOST_SEEDS, RESTLESS_FROM,
    USERS_FROM, USERS_SEEDS, story, walk_all, walk_one, walk_regressions, walk_some,
};

#[test]
fn nodes_agree_on_every_run_first() {
    walk_all(0);
}

#[test]
fn nodes_agree_on_every_run_second() {
    walk_all(1_000_000);
}

#[test]
fn nodes_agree_on_every_run_third() {
    walk_all(2_000_000);
}

#[test]
fn nodes_agree_on_every_run_fourth() {
    walk_all(3_000_000);
}

#[test]
fn nodes_agree_while_people_move_runs_and_rights() {
    walk_all(RESTLESS_FROM);
}

#[test]
fn nodes_agree_while_clocks_are_set_and_journals_are_forked() {
    walk_all(FORKS_FROM);
}

#[test]
fn a_run_goes_on_without_a_file_that_is_lost() {
    walk_some(LOST_FROM, LOST_SEEDS);
}

#[test]
fn a_run_goes_back_to_the_node_that_has_its_files() {
    walk_some(INPUTS_FROM, INPUTS_SEEDS);
}

#[test]
fn people_see_one_run_first() {
    walk_some(USERS_FROM, USERS_SEEDS);
}

#[test]
fn people_see_one_run_second() {
    walk_some(USERS_FROM + 1_000_000, USERS_SEEDS);
}

#[test]
fn people_see_one_answer_of_each_question() {
    walk_some(ANSWERS_FROM, ANSWERS_SEEDS);
}

#[test]
fn seeds_that_failed_once_do_not_again() {
    walk_regressions();
}

/// Nothing follows from histories in which people never meet.
#[test]
fn people_meet() {
    let reached: BTreeSet<&str> = (0..40).flat_map(|n| walk_one(USERS_FROM + 2_000_000 + n)).collect();
    let all = ["done by another node", "done here", "no response", "refused", "several terms", "void"];
    let missing: Vec<&str> = all.into_iter().filter(|name| !reached.contains(name)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

#[test]
fn people_answer_at_the_same_time() {
    let reached: BTreeSet<&str> = (0..40).flat_map(|n| walk_one(ANSWERS_FROM + 1_000_000 + n)).collect();
    let all = [
        "answer void",
        "answered",
        "answered again",
        "forwarded answer",
        "maybe answered",
        "question over",
        "too late",
        "typed late",
    ];
    let missing: Vec<&str> = all.into_iter().filter(|name| !reached.contains(name)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

/// A simulation in which nothing goes wrong would find nothing.
#[test]
fn the_faults_happen() {
    let reached: BTreeSet<&str> = (0..25).flat_map(|n| walk_one(4_000_000 + n)).collect();
    let all = [
        "commit",
        "crash",
        "forced takeover",
        "forgery",
        "lost machine",
        "lost session host",
        "partition",
        "reference",
        "sleep",
        "slow disk",
        "trust",
        "usurper",
    ];
    let missing: Vec<&str> = all.into_iter().filter(|name| !reached.contains(name)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

#[test]
fn rights_are_revoked_for_good() {
    let reached: BTreeSet<&str> = (0..25).flat_map(|n| walk_one(RESTLESS_FROM + 500_000 + n)).collect();
    assert!(reached.contains("revoked for good"), "never happened");
}

#[test]
fn clocks_are_set_and_journals_are_forked() {
    let reached: BTreeSet<&str> = (0..25).flat_map(|n| walk_one(FORKS_FROM + 1_000_000 + n)).collect();
    for name in ["clock backwards", "clock forwards", "fork", "late fork"] {
        assert!(reached.contains(name), "never happened: {name}");
    }
}

#[test]
fn files_are_lost() {
    let reached: BTreeSet<&str> = (0..25).flat_map(|n| walk_one(LOST_FROM + 1_000_000 + n)).collect();
    for name in ["lost file", "went on without a file"] {
        assert!(reached.contains(name), "never happened: {name}");
    }
}

#[test]
fn nodes_take_their_runs_back() {
    let reached: BTreeSet<&str> = (0..25).flat_map(|n| walk_one(INPUTS_FROM + 1_000_000 + n)).collect();
    assert!(reached.contains("went back to its submitter"), "never happened");
}

#[test]
fn a_seed_is_a_whole_story() {
    let log = |seed| story(seed, true).1.unwrap().log;
    assert_eq!(log(7), log(7));
    assert_ne!(log(7), log(8));
}
