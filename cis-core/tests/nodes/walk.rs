//! A walk: what people do and what goes wrong, drawn at random; then all is healed, and the run has to end.

use std::collections::BTreeMap;

use cis_core::api::Decide;
use cis_core::dag::Task;
use cis_core::event::{AttemptOutcome, EventBody, RetryScope};
use cis_core::federation::canonical::Fold;
use cis_core::federation::control::Verb;
use cis_core::fence::epoch_of;
use cis_core::ids::TaskId;
use cis_core::scheduler::InputKind;

use crate::linear;
use crate::node::{Crash, Node};
use crate::plan::{did, number, run};
use crate::reference;
use crate::room::{Item, Members, folded};
use crate::seeds::{has_forks, has_inputs, has_lost_files, has_prompts, keeps_revocations};
use crate::world::{Step, World};

const STEPS: u32 = 400;
/// After the faults the run ends within so many steps.
const QUIET_STEPS_MAX: u32 = 6000;
/// The same where a clock may have been set back: what is due at a time of the day comes later by minutes.
const QUIET_STEPS_OF_CLOCKS_MAX: u32 = 60_000;

/// How often each step is taken: those without a fault, then faults.
const USUAL: [u64; 7] = [50, 14, 25, 12, 30, 14, 3];
const FAULTS: [u64; 14] = [2, 3, 1, 2, 1, 2, 2, 1, 3, 1, 1, 3, 0, 0];

/// How often clocks are set and journals are forked, where that is done.
const CLOCKS_AND_FORKS: [u64; 2] = [2, 3];

/// How often a file of entries is lost, where that is done.
const LOST_FILES: u64 = 20;

/// How often people ask, where that is what is checked.
const PEOPLE: u64 = 12;

/// The same where owners change rights and people move runs all the time, and little is published.
const USUAL_OF_RESTLESS: [u64; 7] = [70, 6, 40, 2, 50, 4, 1];
const FAULTS_OF_RESTLESS: [u64; 14] = [0, 0, 0, 0, 0, 12, 0, 12, 0, 0, 0, 0, 0, 0];

pub(crate) fn walk(world: &mut World, is_restless: bool) -> Step {
    let is_calm = !is_restless && world.rng.percent(10);
    let weights: Vec<u64> = if is_restless {
        USUAL_OF_RESTLESS.iter().chain(&FAULTS_OF_RESTLESS).copied().collect()
    } else {
        // Each walk has faults of its own: some often, some never.
        let mut weights: Vec<u64> = USUAL.iter().chain(&FAULTS).copied().collect();
        // What only some walks have is drawn in those alone: the others stay what they are.
        let count =
            if has_forks(world.plan.seed) { FAULTS.len() } else { FAULTS.len() - CLOCKS_AND_FORKS.len() };
        for weight in &mut weights[USUAL.len()..][..count] {
            *weight *= if is_calm { 0 } else { *world.rng.pick(&[0, 1, 1, 2, 6]).unwrap() };
        }
        weights
    };
    let mut weights = weights;
    if world.users.is_some() {
        weights[6] = PEOPLE;
        if !is_calm {
            // What people were told is at stake then: crashes and forced takeovers.
            weights[8] += 4;
            weights[12] += 2;
        }
    }
    if has_forks(world.plan.seed) && !is_calm {
        weights[19..].copy_from_slice(&CLOCKS_AND_FORKS);
    }
    if has_lost_files(world.plan.seed) && !is_calm {
        weights.push(LOST_FILES);
    }
    for _ in 0..STEPS {
        step(world, &weights, is_calm)?;
        if world.users.is_none() && world.room.is_ended() && world.rng.percent(20) {
            break;
        }
    }
    heal(world)?;
    let steps = if has_forks(world.plan.seed) { QUIET_STEPS_OF_CLOCKS_MAX } else { QUIET_STEPS_MAX };
    for _ in 0..steps {
        if is_over(world) {
            return at_the_end(world);
        }
        quiet_step(world)?;
    }
    Err(format!("I5: after {steps} quiet steps the run goes on: {}", stands(world)))
}

fn any_node(world: &mut World) -> usize {
    usize::try_from(world.rng.below(world.nodes.len() as u64)).unwrap()
}

fn any_voter(world: &mut World) -> usize {
    usize::try_from(world.rng.below(world.plan.voters as u64)).unwrap()
}

fn step(world: &mut World, weights: &[u64], is_calm: bool) -> Step {
    let at = any_node(world);
    match world.rng.weighted(weights) {
        0 if world.users.is_some() && world.rng.percent(35) => world.some_letter(is_calm)?,
        0 => some_message(world, is_calm)?,
        1 => {
            let most = if world.rng.percent(10) { 600 } else { 40 };
            let by = world.rng.between(1, most);
            world.advance(i64::try_from(by).unwrap());
        }
        2 => world.at(at, Node::tick)?,
        3 => go_on_some(world, if is_calm { 3 } else { 12 })?,
        4 => world.sync(at)?,
        5 => {
            let body_max = if world.rng.percent(80) { 50_000 } else { 3_000 };
            world.at(at, |node| node.write_journal(body_max))?;
            let again = !is_calm && world.rng.percent(10);
            world.publish(at, again)?;
        }
        6 if world.users.is_some() => world.people_ask()?,
        6 => person(world)?,
        7 => {
            let other = any_node(world);
            let pair = (at.min(other), at.max(other));
            if at != other && !world.cut.remove(&pair) {
                world.reached.insert("partition");
                world.cut.insert(pair);
            }
        }
        8 => {
            if world.nodes[at].is_gone {
            } else if world.nodes[at].life.is_none() {
                world.at(at, Node::start)?;
            } else {
                let crashes = [Crash::BeforeStore, Crash::BeforeEffects, Crash::BetweenEffects(1)];
                world.nodes[at].crash = world.rng.pick(&crashes).copied();
                if world.rng.percent(50) {
                    world.at(at, Node::die)?;
                }
                world.reached.insert("crash");
            }
        }
        9 => lose_machine(world, at)?,
        10 => sleep_or_wake(world, at),
        11 => world.room.is_up = !world.room.is_up,
        12 => {
            let at = any_voter(world);
            if world.nodes[at].is_ready() {
                world.reached.insert("forced takeover");
                world.at(at, Node::take_over)?;
            }
        }
        13 => {
            let by = world.rng.between(200, 1500);
            world.advance(i64::try_from(by).unwrap());
        }
        14 => trust(world)?,
        15 => {
            if world.nodes[at].is_slow {
                world.at(at, Node::disk_done)?;
            } else {
                world.reached.insert("slow disk");
                world.nodes[at].is_slow = true;
            }
        }
        16 => {
            world.reached.insert("lost session host");
            world.at(at, |node| {
                if !node.is_gone && !node.life.as_ref().is_some_and(|life| life.is_stuck) {
                    node.host_lost();
                }
            })?;
        }
        17 => usurp(world)?,
        18 => {
            if let Some(index) = some_packet(world) {
                world.reached.insert("forgery");
                world.forge(index, at)?;
            }
        }
        19 => world.set_clock(at),
        20 => world.fork(at)?,
        21 => world.lose_entries(at)?,
        _ => {}
    }
    Ok(())
}

/// A machine is lost. A worker may come back with its key alone; whoever had more comes back as somebody else, if at all.
fn lose_machine(world: &mut World, at: usize) -> Step {
    let others = world.voters_left();
    let is_voter = at < world.plan.voters;
    let goes = is_voter || world.rng.percent(50);
    let is_missed = world.plan.is_needed(at) || world.room.fold.is_none() || (is_voter && others < 2);
    if goes && is_missed && world.doomed != Some(at) {
        return Ok(());
    }
    world.reached.insert("lost machine");
    lose(world, at, goes)
}

/// A machine loses its disk. `goes`: it does not come back.
fn lose(world: &mut World, at: usize, goes: bool) -> Step {
    world.nodes[at].is_gone = goes;
    world.forget_begun(at);
    world.at(at, Node::lose_disk)
}

fn some_packet(world: &mut World) -> Option<usize> {
    let count = world.net.len() as u64;
    (count > 0).then(|| usize::try_from(world.rng.below(count)).unwrap())
}

fn some_message(world: &mut World, is_calm: bool) -> Step {
    let Some(index) = some_packet(world) else { return Ok(()) };
    if !is_calm && world.rng.percent(8) {
        world.net.swap_remove(index);
        return Ok(());
    }
    let again = !is_calm && world.rng.percent(12);
    world.deliver(index, again)
}

/// Some program goes on. Of 100 that wait for an answer so many give up.
fn go_on_some(world: &mut World, gives_up_percent: u64) -> Step {
    let can_go_on: Vec<_> = world
        .nodes
        .iter()
        .filter(|node| !node.is_asleep)
        .flat_map(|node| {
            node.host.trees.iter().filter(|(_, tree)| tree.can_end()).map(move |(id, _)| (node.at, *id))
        })
        .collect();
    let Some((at, session)) = world.rng.pick(&can_go_on).copied() else { return Ok(()) };
    world.type_late(at, session)?;
    let gives_up = has_prompts(world.plan.seed) && world.rng.percent(gives_up_percent);
    let plan = std::sync::Arc::clone(&world.plan);
    let wall = world.nodes[at].wall_ms();
    world.nodes[at].host.go_on(&plan, session, wall, gives_up);
    world.look_at_screens()
}

fn sleep_or_wake(world: &mut World, at: usize) {
    let node = &mut world.nodes[at];
    node.is_asleep = !node.is_asleep;
    world.reached.insert("sleep");
    world.advance(0);
}

/// The owners of the room change who may do what. There is always somebody left who may.
fn trust(world: &mut World) -> Step {
    let mut members: Members = world.room.members().clone();
    let at = any_node(world);
    let name = did(at);
    if at < world.plan.voters && world.rng.percent(50) {
        match members.coordinate.iter().position(|known| *known == name) {
            Some(place) if members.coordinate.len() > 1 => drop(members.coordinate.remove(place)),
            Some(_) => {}
            None => members.coordinate.push(name),
        }
    } else if world.plan.works(at) {
        if members.execute.remove(&name) {
            members.executed.insert(name);
        } else {
            members.executed.remove(&name);
            members.execute.insert(name);
        }
    }
    if members.execute.is_empty() || members == *world.room.members() {
        return Ok(());
    }
    world.reached.insert("trust");
    world.note(format_args!("the owners say: {members:?}"));
    world.room.append(Item::Members(members))
}

/// A node takes the run over that may not.
fn usurp(world: &mut World) -> Step {
    let Some(head) =
        world.nodes.iter().find_map(|node| node.life.as_ref()?.head.as_ref()).map(|head| head.at)
    else {
        return Ok(());
    };
    let strangers: Vec<usize> =
        (0..world.plan.nodes).filter(|at| !world.room.members().coordinate.contains(&did(*at))).collect();
    let Some(at) = world.rng.pick(&strangers).copied() else { return Ok(()) };
    let before = world.room.facts.len();
    let mut ids = u128::from(world.rng.next()) << 20;
    for item in crate::reading::takeover(at, (head, false), 1, &mut ids) {
        world.room.append(item)?;
    }
    world.reached.insert("usurper");
    if world.room.facts.len() == before {
        Ok(())
    } else {
        Err(format!("I4: node {at} took the run over, and may not"))
    }
}

/// Somebody asks something of the run, at a node that coordinates it or any other.
fn person(world: &mut World) -> Step {
    let at = match world.nodes.iter().find(|node| node.is_ready() && node.leads()).map(|node| node.at) {
        Some(at) if world.rng.percent(85) => at,
        _ => any_node(world),
    };
    if !world.nodes[at].is_ready() {
        return Ok(());
    }
    let disturbs = u64::from(!world.plan.is_certain);
    let kind = match world.rng.weighted(&[30, 20, 30, 4, 4 * disturbs, 6 * disturbs]) {
        0 => match asked(world, at) {
            Some(task) => decide(world, task),
            None => return Ok(()),
        },
        1 => InputKind::Pause { run: run() },
        2 => InputKind::Resume { run: run() },
        3 => {
            let scope = if world.rng.percent(50) { RetryScope::Failed } else { RetryScope::All };
            InputKind::Retry { run: run(), scope }
        }
        4 => InputKind::Cancel { run: run(), now: false },
        _ => {
            let life = world.nodes[at].life.as_ref().unwrap();
            let live: Vec<_> = life.machine.live_attempts().map(|live| live.attempt).collect();
            let Some(attempt) = world.rng.pick(&live).cloned() else { return Ok(()) };
            InputKind::KillTask { attempt, grace_ms: None }
        }
    };
    world.note(format_args!("a person asks {at}: {kind:?}"));
    world.at(at, |node| node.ask(kind))
}

fn asked(world: &World, at: usize) -> Option<TaskId> {
    let run = world.nodes[at].life.as_ref()?.machine.run(&run())?;
    run.tasks().find(|(_, entry)| entry.waits_for_approval()).map(|(spec, _)| spec.id.clone())
}

fn decide(world: &World, task: TaskId) -> InputKind {
    let approve = world.plan.approves(&task);
    InputKind::Decide { run: run(), task, approve, reason: None }
}

fn heal(world: &mut World) -> Step {
    world.note("all is healed");
    world.cut.clear();
    if let Some(at) = world.doomed.filter(|at| !world.nodes[*at].is_gone) {
        // Nobody else can go on from what it wrote.
        lose(world, at, true)?;
    }
    // The run has to be in the hands of somebody who is there.
    let mut members = world.members_at_first();
    let is_there = |did: &cis_core::ids::NodeDid| !world.nodes[number(did)].is_gone;
    // It has to be able to take its run back.
    let is_kept = !has_inputs(world.plan.seed) || world.room.members().coordinate.contains(&did(0));
    if is_kept && world.room.members().coordinate.iter().any(is_there) && world.rng.percent(40) {
        members.coordinate.clone_from(&world.room.members().coordinate);
    }
    // Workers may have lost their right for good, but for the one that some tasks need.
    let needed = (0..world.plan.nodes).find(|at| world.plan.is_first_worker(*at)).map(did);
    let now = world.room.members();
    let can_go_on = needed.is_some_and(|needed| now.execute.contains(&needed));
    if keeps_revocations(world.plan.seed) && can_go_on && world.rng.percent(50) {
        let now = world.room.members();
        (members.execute, members.executed) = (now.execute.clone(), now.executed.clone());
        if !members.executed.is_empty() {
            world.reached.insert("revoked for good");
        }
    }
    world.room.append(Item::Members(members))?;
    world.room.is_up = true;
    for at in 0..world.nodes.len() {
        world.nodes[at].is_asleep = false;
        (world.nodes[at].crash, world.nodes[at].short_percent) = (None, 0);
        world.advance(0);
        world.at(at, Node::disk_done)?;
        if world.nodes[at].life.is_none() && !world.nodes[at].is_gone {
            world.at(at, Node::start)?;
        }
    }
    Ok(())
}

/// Everything arrives at once, people do what they are asked to, and time goes to what is due next.
fn quiet_step(world: &mut World) -> Step {
    if has_inputs(world.plan.seed) && world.nodes[0].is_ready() && world.rng.percent(2) {
        world.at(0, Node::take_back)?;
    }
    for at in 0..world.nodes.len() {
        if world.nodes[at].is_gone {
            continue;
        }
        world.at(at, |node| node.write_journal(50_000))?;
        world.publish_all(at)?;
        world.sync_whole(at)?;
        world.at(at, Node::tick)?;
        world.answer_open(at)?;
        if let Some(task) = asked(world, at) {
            let approve = world.plan.approves(&task);
            if world.users.is_some() {
                world.ask(at, Verb::Decide { task, decision: Decide { approve, reason: None } })?;
            } else {
                let kind = decide(world, task);
                world.at(at, |node| node.ask(kind))?;
            }
        }
        let owns = |node: &Node| {
            let run = node.life.as_ref()?.machine.run(&run())?;
            (run.facts().owner == node.did).then(|| run.state())
        };
        if owns(&world.nodes[at]) == Some(cis_core::event::RunState::Paused) {
            if world.users.is_some() {
                world.ask(at, Verb::Resume {})?;
            } else {
                world.at(at, |node| node.ask(InputKind::Resume { run: run() }))?;
            }
        }
    }
    world.all_letters()?;
    for _ in 0..world.net.len() {
        world.deliver(0, false)?;
    }
    for _ in 0..4 {
        go_on_some(world, 10)?;
    }
    if world.net.is_empty() {
        let due = world.nodes.iter().filter_map(Node::next_due).min();
        let by = due.map_or(100, |due| due - world.now).max(1);
        world.advance(by);
    } else {
        world.advance(1);
    }
    Ok(())
}

/// The run has ended, everybody has read so, and no worker keeps anything of it.
fn is_over(world: &World) -> bool {
    let Some(owner) = world.room.fold.as_ref().map(|fold| &fold.run().facts().owner) else { return false };
    // Where its last coordinator is gone, or may not be one any more, nobody says what need not be kept.
    let is_answered = world.room.members().coordinate.contains(owner) && !world.nodes[number(owner)].is_gone;
    let rests = |node: &Node| {
        let has_nothing = node.disk.held.is_empty() && node.host.trees.is_empty();
        let has_read = node.life.as_ref().is_some_and(|life| life.read == world.room.timeline.len());
        let is_told = node.disk.is_told() && node.disk.outbox.is_empty();
        // Nobody tells a worker without a right what it need not keep.
        let is_heard = is_answered && world.room.members().execute.contains(&node.did);
        node.is_gone || (is_told && has_read && (has_nothing || !is_heard))
    };
    let is_heard = |at: usize| !world.plan.works(at) || world.room.members().execute.contains(&did(at));
    let is_quiet = !is_answered || world.net.iter().all(|packet| !is_heard(packet.from));
    world.room.is_ended() && is_quiet && world.nodes.iter().all(rests)
}

fn stands(world: &World) -> String {
    let of = |node: &Node| {
        let life = node.life.as_ref().unwrap();
        format!(
            "node {}: finality {:?} coordinates {:?}, knows {:?}, holds {:?}, unsent {}, trees {:?}, run {:?}",
            node.at,
            life.finality,
            life.coordinator,
            life.known,
            node.disk.held,
            node.disk.outbox.len(),
            node.host.trees,
            life.machine.run(&run())
        )
    };
    let nodes: Vec<String> = world.nodes.iter().filter(|node| !node.is_gone).map(of).collect();
    let state = world
        .room
        .fold
        .as_ref()
        .map(|fold| (fold.run().state(), fold.run().facts().owner.clone(), fold.run().facts().epoch));
    format!("{state:?}, {} messages are under way\n{}", world.net.len(), nodes.join("\n"))
}

/// Only the node where the run was submitted gives its files to tasks.
fn with_files_of_the_submitter(world: &mut World) -> Step {
    let submitter = did(0);
    let mut owners = BTreeMap::from([(0, submitter.clone())]);
    for fact in &world.room.facts {
        match &fact.body {
            EventBody::RunTakenOver { owner, epoch, .. } => {
                owners.insert(*epoch, owner.clone());
                if *owner == submitter {
                    world.reached.insert("went back to its submitter");
                }
            }
            // A later coordinator finds what an earlier one granted.
            EventBody::TaskAssigned(grant) => {
                let Some(owner) = owners.get(&epoch_of(grant.fence)).filter(|did| **did != submitter) else {
                    continue;
                };
                let needs_files = |task: &Task| task.id == grant.task && !task.inputs.is_empty();
                if world.plan.dag.tasks.iter().any(needs_files) {
                    return Err(format!(
                        "node {} gave files of another node to `{}`",
                        number(owner),
                        grant.task
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// I3: all nodes come to the same state; and where chance has no part, it is that of one node alone.
fn at_the_end(world: &mut World) -> Step {
    linear::check(world)?;
    if world.shows_fork() != world.room.tells_of_fork() {
        return Err(format!("a journal was forked: {}; readers are told otherwise", world.shows_fork()));
    }
    if world.room.facts.iter().any(|fact| matches!(fact.body, EventBody::RunTakenOver { lost: true, .. })) {
        world.reached.insert("went on without a file");
    }
    if has_inputs(world.plan.seed) {
        with_files_of_the_submitter(world)?;
    }
    let truth = world.room.fold.as_ref().ok_or("no run")?;
    let canonical = truth.canonical();
    for node in world.nodes.iter().filter(|node| !node.is_gone) {
        let stored = folded(&world.plan, node.disk.facts())?;
        let found = stored.as_ref().map(Fold::canonical);
        if found.as_ref() != Some(&canonical) {
            let known = node.life.as_ref().map(|life| life.known.clone());
            return Err(format!(
                "I3: node {} has\n{found:?}\nthe room has\n{canonical}\nand it is {known:?}",
                node.at
            ));
        }
    }
    let was_lost = |body: &EventBody| match body {
        EventBody::TaskResult(result) => {
            result.state.is_terminal() && matches!(result.outcome, AttemptOutcome::Lost { .. })
        }
        _ => false,
    };
    let is_certain = world.plan.is_certain && !world.is_disturbed;
    if !is_certain || world.room.facts.iter().any(|fact| was_lost(&fact.body)) {
        return Ok(());
    }
    world.reached.insert("reference");
    reference::check(&world.plan, truth.run())
}
