//! Random walks through a world: loss, repetition, reordering, partitions, crashes, lost machines, clocks that drift,
//! machines that sleep, an absent homeserver, takeovers at any time. Then all is healed, and the run has to end.

use cis_core::federation::protocol::Settings;

use crate::rng::{Rng, seeds};
use crate::world::{Packet, Shape, World};

const SEEDS: u64 = 300;
const STEPS: u32 = 600;

pub(crate) fn settings() -> Settings {
    Settings {
        lease_ms: 1000,
        heartbeat_ms: 300,
        resend_ms: 100,
        alive_ms: 50,
        suspect_ms: 200,
        grace_ms: 100,
        missing_ms: 1500,
        drift_permille: 5,
        freeze_ms: 20,
        lost_keep_ms: 5000,
    }
}

pub(crate) fn explore_all(first: u64) {
    for seed in seeds(first, SEEDS) {
        if let Err(wrong) = explore(seed, false) {
            let history = explore(seed, true).err().map(|(_, history)| history).unwrap_or_default();
            panic!(
                "seed {seed}: {}\nreplay: CIS_SIM_SEED={seed} cargo nextest run -p cis-core --test federation\n{history}",
                wrong.0
            );
        }
    }
}

fn explore(seed: u64, log: bool) -> Result<(), (String, String)> {
    let mut rng = Rng::new(seed);
    let voters = rng.between(1, 3) as usize;
    let voters_only_coordinate = rng.percent(30);
    let nodes = voters + rng.between(u64::from(voters_only_coordinate), 4) as usize;
    let tasks = rng.between(1, 6) as usize;
    let mut world = World::new(Shape { settings: settings(), voters, nodes, voters_only_coordinate, tasks });
    world.log.0 = log.then(String::new);
    for at in 0..nodes {
        let drift = rng.between(0, 10) as i64 - 5;
        world.set_clock(at, rng.below(1_000_000) as i64, drift);
    }
    let result = walk(&mut world, &mut rng);
    result.map_err(|wrong| (wrong, world.log.0.unwrap_or_default()))
}

fn walk(world: &mut World, rng: &mut Rng) -> Result<(), String> {
    let calm = rng.percent(20);
    for _ in 0..STEPS {
        step(world, rng, calm)?;
        world.check()?;
        if world.truth()?.is_done() {
            break;
        }
    }
    heal(world)?;
    let deadline = world.now + 20 * world.shape.settings.lease_bound_ms();
    while !world.truth()?.is_done() {
        quiet_step(world)?;
        world.check()?;
        if world.now > deadline {
            return Err("the run did not end although nothing fails any more".to_owned());
        }
    }
    Ok(())
}

fn any_node(world: &World, rng: &mut Rng) -> usize {
    rng.below(world.nodes.len() as u64) as usize
}

fn step(world: &mut World, rng: &mut Rng, calm: bool) -> Result<(), String> {
    let faults = if calm { 0 } else { 1 };
    let weights =
        [40, 12, 25, 6, 14, 14, 2 * faults, 3 * faults, faults, 2 * faults, faults, 2 * faults, faults];
    match rng.weighted(&weights) {
        0 => {
            let packets: Vec<Packet> = world.net.keys().cloned().collect();
            if let Some(packet) = rng.pick(&packets) {
                if !calm && rng.percent(10) {
                    world.net.remove(packet);
                } else {
                    let again = !calm && rng.percent(15);
                    world.deliver(packet, again)?;
                }
            }
        }
        1 => {
            let by = if rng.percent(10) { rng.between(1, 600) } else { rng.between(1, 40) };
            world.advance(by as i64);
        }
        2 => world.tick(any_node(world, rng))?,
        3 => finish_some(world, rng),
        4 => world.sync(any_node(world, rng))?,
        5 => world.publish(any_node(world, rng)),
        6 => {
            let (a, b) = (any_node(world, rng), any_node(world, rng));
            if a != b {
                let pair = (a.min(b), a.max(b));
                if !world.cut.remove(&pair) {
                    world.cut.insert(pair);
                }
            }
        }
        7 => {
            let at = any_node(world, rng);
            if world.nodes[at].up { world.crash(at) } else { world.restart(at)? }
        }
        8 => {
            let at = any_node(world, rng);
            if rng.percent(30) {
                world.lose_machine(at);
            }
        }
        9 => {
            let at = any_node(world, rng);
            if world.nodes[at].asleep { world.awake(at) } else { world.sleep(at) }
        }
        10 => world.server_up = !world.server_up,
        11 => {
            let at = rng.below(world.shape.voters as u64) as usize;
            if world.is_running(at) {
                let epoch = world.nodes[at].fold.epoch() + 1;
                world.take_over(at, epoch);
            }
        }
        _ => {
            // A packet is forgotten for long and comes then.
            world.advance(rng.between(200, 1500) as i64);
        }
    }
    Ok(())
}

fn finish_some(world: &mut World, rng: &mut Rng) {
    let trees: Vec<_> = world
        .trees
        .iter()
        .filter(|((at, _), tree)| world.may_end(*at, tree))
        .map(|(k, _)| k.clone())
        .collect();
    if let Some((at, granted)) = rng.pick(&trees).cloned() {
        world.finish(at, &granted);
    }
}

fn heal(world: &mut World) -> Result<(), String> {
    world.note(format_args!("all is healed"));
    world.cut.clear();
    world.server_up = true;
    for at in 0..world.nodes.len() {
        if world.nodes[at].asleep {
            world.awake(at);
        }
        if !world.nodes[at].up {
            world.restart(at)?;
        }
    }
    Ok(())
}

/// Everything arrives at once, and time goes to what is due next.
fn quiet_step(world: &mut World) -> Result<(), String> {
    for at in 0..world.nodes.len() {
        world.publish(at);
        world.sync(at)?;
        world.tick(at)?;
    }
    let packets: Vec<Packet> = world.net.keys().cloned().collect();
    for packet in packets {
        world.deliver(&packet, false)?;
    }
    let ready: Vec<_> = world
        .trees
        .iter()
        .filter(|((at, _), tree)| world.may_end(*at, tree))
        .map(|(k, _)| k.clone())
        .collect();
    for (at, granted) in ready {
        world.finish(at, &granted);
    }
    world.check()?;
    if world.net.is_empty() {
        let due = world.next_due();
        world.advance((due - world.now).max(1));
    } else {
        world.advance(1);
    }
    Ok(())
}
