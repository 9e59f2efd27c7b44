//! Which seeds a test walks, and how one is replayed.

use std::collections::BTreeSet;

use crate::rng::seeds;
use crate::walk::walk;
use crate::world::World;

/// Seeds of each test, unless the environment says otherwise.
const SEEDS: u64 = 200;

/// From this seed on, owners and people move everything all the time.
pub(crate) const RESTLESS_FROM: u64 = 5_000_000;

/// From this seed on, people at all nodes ask for much at the same time, and what they see is checked.
pub(crate) const USERS_FROM: u64 = 6_000_000;

/// Seeds of each of its tests.
pub(crate) const USERS_SEEDS: u64 = 250;

/// From this seed on, clocks are set and somebody who has a coordinator's key forks its journal. Nobody's requests are recorded.
pub(crate) const FORKS_FROM: u64 = 10_000_000;

pub(crate) fn has_users(seed: u64) -> bool {
    (USERS_FROM..FORKS_FROM).contains(&seed)
}

pub(crate) fn has_forks(seed: u64) -> bool {
    seed >= FORKS_FROM
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
