//! Which seeds a test walks, and how one is replayed.

use std::collections::BTreeSet;

use crate::rng::seeds;
use crate::walk::walk;
use crate::world::World;

/// Seeds of each test, unless the environment says otherwise. All tests together walk 2,000.
const SEEDS: u64 = 225;

/// Seeds that failed once, and what they showed then. Where a change makes other walks of them, they stay: they cost little.
pub(crate) const REGRESSIONS: [(u64, &str); 20] = [
    (6_001_555, "a decision that was refused counted after a restart of the coordinator"),
    (6_001_958, "a decision that was refused counted after a restart of the coordinator"),
    (6_003_413, "a pause that was refused took effect after a restart of the coordinator"),
    (7_000_098, "a pause was carried out twice"),
    (7_000_238, "a pause was carried out twice"),
    (7_000_355, "a decision counted, and was refused as another node coordinated the run by then"),
    (7_000_537, "a resume was done, and refused as the run was running"),
    (6_004_491, "the search took two ways with the same requests for one, and found no order"),
    (7_000_836, "the same, of a run that took too long while it was paused"),
    (7_002_731, "the same"),
    (10_000_043, "a worker whose clock was set back was not heard after its restart"),
    (10_000_049, "the same, at a coordinator that took the run over"),
    (10_000_137, "a person's request made a coordinator go on in a term whose journal was forked"),
    (10_000_001, "nobody was told of a forked journal"),
    (7_000_297, "a node whose takeover was followed by another one took the run for its own"),
    (8_000_003, "a session that was being killed took an answer, which its node forgot with a restart"),
    (8_000_046, "an answer that came again was said to be answered, and was never typed"),
    (8_000_217, "an answer was typed, and said not to be when it came again after a restart"),
    (10_000_258, "a worker whose clock was set back was not heard after it lost its disk"),
    (
        9_000_010,
        "a run was paused while its workers were asked, and a task at work started again when it was resumed",
    ),
];

/// From this seed on, owners and people move everything all the time.
pub(crate) const RESTLESS_FROM: u64 = 5_000_000;

/// From this seed on, people at all nodes ask for much at the same time, and what they see is checked.
pub(crate) const USERS_FROM: u64 = 6_000_000;

/// Seeds of each of its tests.
pub(crate) const USERS_SEEDS: u64 = 200;

/// From this seed on, clocks are set and somebody who has a coordinator's key forks its journal. Nobody's requests are recorded.
pub(crate) const FORKS_FROM: u64 = 10_000_000;

/// From this seed on, files with entries of journals are lost, and the machines of those that wrote them.
pub(crate) const LOST_FROM: u64 = 12_000_000;

/// Seeds of its test.
pub(crate) const LOST_SEEDS: u64 = 100;

/// From this seed on, some tasks need files of the node where the run was submitted.
pub(crate) const INPUTS_FROM: u64 = 14_000_000;

/// Seeds of its test.
pub(crate) const INPUTS_SEEDS: u64 = 100;

/// From this seed on, sessions ask too, and people answer. The other requests of people are there as well.
pub(crate) const ANSWERS_FROM: u64 = 8_000_000;

/// Seeds of its test.
pub(crate) const ANSWERS_SEEDS: u64 = 250;

pub(crate) fn has_prompts(seed: u64) -> bool {
    (ANSWERS_FROM..FORKS_FROM).contains(&seed)
}

/// Rights that owners took back stay away when all else is healed.
pub(crate) fn keeps_revocations(seed: u64) -> bool {
    (RESTLESS_FROM..USERS_FROM).contains(&seed) || has_prompts(seed)
}

pub(crate) fn has_users(seed: u64) -> bool {
    (USERS_FROM..FORKS_FROM).contains(&seed)
}

/// In a third of the walks tasks wait for the room. Seeds that failed once go as they went.
pub(crate) fn has_commits(seed: u64) -> bool {
    seed.is_multiple_of(3) && !REGRESSIONS.iter().any(|(known, _)| *known == seed)
}

pub(crate) fn has_forks(seed: u64) -> bool {
    (FORKS_FROM..LOST_FROM).contains(&seed)
}

pub(crate) fn has_lost_files(seed: u64) -> bool {
    (LOST_FROM..INPUTS_FROM).contains(&seed)
}

pub(crate) fn has_inputs(seed: u64) -> bool {
    seed >= INPUTS_FROM
}

/// Says of a panic of the product's code, too, which seed it was.
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay: CIS_SIM_SEED={} cargo nextest run -p cis-core --test nodes", self.0);
        }
    }
}

pub(crate) fn walk_all(first: u64) {
    walk_some(first, SEEDS);
}

/// So many seeds, unless the environment says otherwise.
pub(crate) fn walk_some(first: u64, count: u64) {
    for seed in seeds(first, count) {
        drop(walk_one(seed));
    }
}

/// Walks the seeds that failed once; not where a person wants another one.
pub(crate) fn walk_regressions() {
    if std::env::var_os("CIS_SIM_SEED").is_none() {
        REGRESSIONS.iter().for_each(|(seed, _)| drop(walk_one(*seed)));
    }
}

/// Walks one seed. Gives what it went through.
pub(crate) fn walk_one(seed: u64) -> BTreeSet<&'static str> {
    let _guard = Guard(seed);
    match story(seed, false) {
        (Ok(()), world) => world.map(|world| world.reached).unwrap_or_default(),
        (Err(wrong), _) => {
            let log = story(seed, true).1.map(|world| world.history()).unwrap_or_default();
            panic!("seed {seed}: {wrong}\n{log}\nseed {seed}: {}", wrong.lines().next().unwrap_or_default());
        }
    }
}

/// A walk by its seed, with what happened where that is wanted.
pub(crate) fn story(seed: u64, with_log: bool) -> (Result<(), String>, Option<World>) {
    match World::new(seed, with_log) {
        Ok(mut world) => (walk(&mut world, (RESTLESS_FROM..USERS_FROM).contains(&seed)), Some(world)),
        Err(wrong) => (Err(wrong), None),
    }
}
