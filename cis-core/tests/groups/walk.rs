//! Random walks: loss, repetition, reordering, delay, nodes that are cut off or crash, clocks that drift, runs that move, keepers that
//! change, members that say what they may not. Then all is healed, and every task has to end.

use cis_core::federation::protocol::Settings;

use crate::rng::{Rng, seeds};
use crate::world::{Counts, World};

const SEEDS: u64 = 150;
const STEPS: u32 = 1500;

fn settings() -> Settings {
    Settings {
        lease_ms: 1200,
        heartbeat_ms: 400,
        resend_ms: 60,
        alive_ms: 50,
        suspect_ms: 150,
        grace_ms: 100,
        missing_ms: 1500,
        drift_permille: 5,
        freeze_ms: 20,
        lost_keep_ms: 5000,
    }
}

pub(crate) fn explore_all(first: u64) {
    let seeds = seeds(first, SEEDS);
    let is_many = seeds.len() > 100;
    let mut all = Counts::default();
    for seed in seeds {
        match explore(seed, false) {
            Ok(counts) => all.add(counts),
            Err((wrong, _)) => {
                let history = explore(seed, true).err().map(|(_, history)| history).unwrap_or_default();
                panic!(
                    "seed {seed}: {wrong}\nreplay: CIS_SIM_SEED={seed} cargo nextest run -p cis-core --test groups\n{history}"
                );
            }
        }
    }
    assert!(!is_many || all.is_rich(), "hardly anything happened: {all:?}");
}

fn explore(seed: u64, log: bool) -> Result<Counts, (String, String)> {
    let mut rng = Rng::new(seed);
    let mut world = World::new(settings(), &mut rng);
    world.log = log.then(String::new);
    let walked = walk(&mut world, &mut rng);
    let counts = world.counts;
    walked.map(|()| counts).map_err(|wrong| (wrong, world.log.unwrap_or_default()))
}

fn walk(world: &mut World, rng: &mut Rng) -> Result<(), String> {
    for _ in 0..STEPS {
        world.fault(rng);
        world.step(rng);
        world.check()?;
    }
    world.heal();
    let until = world.now + 60 * world.settings.group_bound_ms();
    while !world.is_done() {
        world.step(rng);
        world.check()?;
        if world.now > until {
            return Err(format!("tasks do not end although nothing fails any more: {}", world.open()));
        }
    }
    Ok(())
}
