//! Sequences in which something broke in a draft of the protocol, one for each rule that closes it.

use cis_core::federation::protocol::Settings;
use cis_core::federation::protocol::message::Message;

use crate::random::settings;
use crate::world::{Packet, Shape, World};

/// Coordinators first, then workers.
fn room(voters: usize, workers: usize, tasks: usize) -> World {
    let nodes = voters + workers;
    let mut world =
        World::new(Shape { settings: settings(), voters, nodes, voters_only_coordinate: true, tasks });
    for at in 0..nodes {
        world.sync(at).unwrap();
    }
    world
}

fn all(_: &Packet, _: &Message<crate::world::Nothing>) -> bool {
    true
}

fn running(world: &World) -> Vec<usize> {
    world.trees.iter().filter(|(_, tree)| !tree.frozen).map(|((at, _), _)| *at).collect()
}

fn finish(world: &mut World, at: usize) {
    let (_, granted) = world.trees.keys().find(|(of, _)| *of == at).cloned().unwrap();
    world.finish(at, &granted);
}

/// The carrier repeats a grant after its task is done and forgotten.
#[test]
fn a_repeated_grant_starts_nothing() {
    let mut world = room(1, 1, 1);
    world.settle(|_, message| !matches!(message, Message::Grant { .. })).unwrap();
    let grant = world.net.keys().next().cloned().unwrap();
    world.deliver(&grant, true).unwrap();
    assert_eq!(running(&world), [1]);
    finish(&mut world, 1);
    for _ in 0..3 {
        world.settle(|packet, _| *packet != grant).unwrap();
        world.publish(0);
        world.sync(0).unwrap();
    }
    assert!(world.truth().unwrap().is_done());
    world.deliver(&grant, false).unwrap();
    world.check().unwrap();
    assert!(running(&world).is_empty());
}

/// A coordinator restarts while a grant is under way, learns that its worker has nothing, and grants the task to another.
#[test]
fn a_grant_of_the_coordinators_last_life_starts_nothing() {
    let mut world = room(1, 2, 1);
    world.settle(|_, message| !matches!(message, Message::Grant { .. })).unwrap();
    let grant = world.net.keys().next().cloned().unwrap();
    assert_eq!(grant.to, 1);
    world.crash(0);
    world.restart(0).unwrap();
    world.sync(0).unwrap();
    world.settle(|packet, _| *packet != grant).unwrap();
    assert_eq!(running(&world), [2], "granted anew");
    world.deliver(&grant, false).unwrap();
    world.check().unwrap();
}

/// A coordinator loses sight of a worker and is replaced; the new one renews what that worker has. The old one, which has
/// not read the takeover, must not grant the task to a worker that the new one does not reach.
#[test]
fn a_lease_is_over_when_the_journal_was_read_after_its_end() {
    let mut world = room(2, 2, 1);
    world.settle(all).unwrap();
    assert_eq!(running(&world), [2]);
    for pair in [(0, 2), (1, 3), (0, 1)] {
        world.cut.insert(pair);
    }
    let lease = world.shape.settings.lease_ms;
    while world.now < lease - 50 {
        world.advance(50);
        world.settle(all).unwrap();
        world.sync(0).unwrap();
        world.publish(0);
    }
    world.sync(1).unwrap();
    world.take_over(1, 1);
    world.sync(1).unwrap();
    while world.now < 2 * lease {
        world.settle(all).unwrap();
        world.sync(1).unwrap();
        world.publish(1);
        world.advance(10);
    }
    world.settle(all).unwrap();
    assert_eq!(running(&world), [2], "renewed by the new coordinator");
}

/// The worker's clock is slow and the coordinator's fast.
#[test]
fn a_lease_is_waited_for_on_a_slow_clock() {
    let mut world = room(1, 2, 1);
    let Settings { drift_permille, .. } = world.shape.settings;
    world.set_clock(0, 0, drift_permille);
    world.set_clock(1, 0, -drift_permille);
    world.settle(all).unwrap();
    assert_eq!(running(&world), [1]);
    world.cut.insert((0, 1));
    for _ in 0..2 * world.shape.settings.lease_ms {
        world.advance(1);
        world.settle(all).unwrap();
        world.sync(0).unwrap();
        world.publish(0);
    }
    assert_eq!(running(&world), [2]);
}

/// A worker's lease is over, and a wish to end its session arrives late: the session must not go on to end itself.
#[test]
fn a_frozen_session_is_killed_rather_than_asked_to_end() {
    let mut world = room(1, 2, 1);
    world.settle(all).unwrap();
    world.cancel(0, 0);
    world.settle(|_, message| !matches!(message, Message::Cancel { .. })).unwrap();
    let cancel = world.net.keys().next().cloned().unwrap();
    world.cut.insert((0, 1));
    for _ in 0..60 {
        world.advance(25);
        world.settle(|packet, _| *packet != cancel).unwrap();
        world.sync(0).unwrap();
        world.publish(0);
    }
    assert_eq!(running(&world), [2]);
    world.deliver(&cancel, false).unwrap();
    world.check().unwrap();
    assert_eq!(running(&world), [2]);
}

/// A worker's node dies right after it was told that its grant is void, before it could end the session.
#[test]
fn a_void_grant_stays_void_across_a_restart() {
    let mut world = room(1, 2, 1);
    world.settle(all).unwrap();
    world.cut.insert((0, 1));
    for _ in 0..60 {
        world.advance(25);
        world.settle(all).unwrap();
        world.sync(0).unwrap();
        world.publish(0);
    }
    assert_eq!(running(&world), [2]);
    world.cut.clear();
    world.advance(400);
    world.sync(0).unwrap();
    world.settle(all).unwrap();
    world.crash(1);
    world.restart(1).unwrap();
    world.crash(0);
    world.restart(0).unwrap();
    world.sync(0).unwrap();
    world.settle(all).unwrap();
    assert_eq!(running(&world), [2]);
}

/// A renewal arrives after its lease, when the task was granted to another worker.
#[test]
fn a_delayed_renewal_revives_nothing() {
    let mut world = room(1, 2, 1);
    world.settle(all).unwrap();
    world.advance(300);
    world.sync(0).unwrap();
    world.settle(|_, message| !matches!(message, Message::Renew { .. })).unwrap();
    let renewal = world.net.keys().next().cloned().unwrap();
    world.cut.insert((0, 1));
    for _ in 0..60 {
        world.advance(25);
        world.settle(|packet, _| *packet != renewal).unwrap();
        world.sync(0).unwrap();
        world.publish(0);
    }
    assert_eq!(running(&world), [2]);
    world.deliver(&renewal, false).unwrap();
    world.check().unwrap();
    assert_eq!(running(&world), [2]);
}
