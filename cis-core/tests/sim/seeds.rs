//! Which seeds a test simulates, and how one is replayed.

use crate::faults;
use crate::rng::{self, Rng};
use crate::world::World;

/// Seeds of each test, unless the environment says otherwise.
pub(crate) const SEEDS: u64 = 90;

/// Steps with faults; then the world gets quiet and every run has to end.
pub(crate) const STEPS: u32 = 160;

/// Says on any panic, the machine's own too, which seed it was.
pub(crate) struct Seed(pub(crate) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "replay: CIS_SIM_SEED={} cargo nextest run -p cis-core -p cis-store --test sim --test fold",
                self.0
            );
        }
    }
}

pub(crate) fn seeds(first: u64) -> Vec<u64> {
    rng::seeds(first, SEEDS)
}

/// What a world is like follows from its seed, so that one number replays it.
pub(crate) fn simulate(seed: u64) -> World {
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
