//! Whether a history of people is linearizable: each request took effect at one moment between its beginning and its response.
//!
//! A term of a run is one object, and a history of several objects is linearizable where that of each of them is (Herlihy and
//! Wing). So each term is searched alone (`search`); it begins with what the room kept of those before it.

use std::collections::{BTreeMap, BTreeSet};

use cis_core::event::EventBody;
use cis_core::federation::control::{ControlOutcome, Verb};
use cis_core::federation::journal::Fact;
use cis_core::ids::{Epoch, Fence, TaskId};

use crate::answered;
use crate::history::{History, Op, Seen, gates, seen_in_all};
use crate::model::Stand;
use crate::plan::did;
use crate::search::{Search, Step, What};
use crate::serving::name_of;
use crate::world::World;

/// Checks the history of a walk that is over.
pub(crate) fn check(world: &mut World) -> Result<(), String> {
    let Some(users) = world.users.take() else { return Ok(()) };
    let found = all_terms(world, &users.history).and_then(|()| answered::check(world, &users.history));
    count(world, &users.history);
    if found.is_err() {
        world.note(format_args!("what people did: {:#?}", users.history.ops));
        world.note(format_args!("what happened at prompts: {:#?}", users.history.prompts));
    }
    world.users = Some(users);
    found
}

/// For the test that what is checked does happen.
fn count(world: &mut World, history: &History) {
    for op in history.ops.iter().filter(|op| !matches!(op.verb, Verb::Answer { .. })) {
        let reached = match &op.reply {
            None => "no response",
            Some(_) if op.epoch.is_none() => "another node coordinates it",
            Some((_, ControlOutcome::Refused { .. })) => "refused",
            Some(_) if op.at == op.to => "done here",
            Some(_) => "done by another node",
        };
        world.reached.insert(reached);
    }
    if history.terms.len() > 1 {
        world.reached.insert("several terms");
    }
    // What a coordinator showed and the room does not.
    let of = |seen: &Seen| !matches!(seen, Seen::Begun(..));
    let shown = history.terms.values().flat_map(|term| &term.seen).filter(|(_, seen)| of(seen)).count();
    let gates = gates(&world.plan.dag);
    let kept = seen_in_room(world, &gates).into_iter().flat_map(|(_, seen)| seen).filter(of).count();
    if kept < shown {
        world.reached.insert("void");
    }
}

fn seen_in_room<'a>(world: &'a World, gates: &BTreeSet<TaskId>) -> Vec<(&'a EventBody, Vec<Seen>)> {
    let facts: Vec<&Fact> = world.room.facts.iter().collect();
    let seen = seen_in_all(gates, &facts);
    facts.into_iter().map(|fact| &fact.body).zip(seen).collect()
}

fn all_terms(world: &World, history: &History) -> Result<(), String> {
    let gates = gates(&world.plan.dag);
    let mut kept: BTreeMap<Epoch, Vec<Seen>> = BTreeMap::new();
    // A journal tells of a try at its end, so these stand in another order there.
    let mut begun: BTreeSet<(Epoch, TaskId, Fence)> = BTreeSet::new();
    let mut epoch = 0;
    for (body, seen) in seen_in_room(world, &gates) {
        if let EventBody::RunTakenOver { epoch: next, .. } = body {
            epoch = *next;
        }
        let kept = kept.entry(epoch).or_default();
        for seen in seen {
            match seen {
                Seen::Begun(task, fence) => drop(begun.insert((epoch, task, fence))),
                seen => kept.push(seen),
            }
        }
    }
    let mut stand = Stand::new(gates);
    for (epoch, kept) in &kept {
        let Some(term) = history.terms.get(epoch) else {
            if kept.is_empty() {
                continue;
            }
            return Err(format!("the room shows of term {epoch} what its coordinator never had: {kept:?}"));
        };
        let is_ordered = |seen: &&Seen| !matches!(seen, Seen::Begun(..));
        let had: Vec<&Seen> = term.seen.iter().map(|(_, seen)| seen).filter(is_ordered).collect();
        if kept.len() > had.len() || kept.iter().zip(&had).any(|(kept, had)| kept != *had) {
            return Err(format!("of term {epoch} the room shows {kept:?}, and its coordinator had {had:?}"));
        }
        // What was acknowledged is lost where another node took the run over before it was in the room, or with the
        // coordinator's machine.
        let is_last = world.room.fold.as_ref().is_some_and(|fold| fold.run().facts().epoch == *epoch);
        if kept.len() < had.len() && is_last && !world.nodes[term.owner].is_gone {
            return Err(format!("nobody took term {epoch} over, and it lost {:?}", &had[kept.len()..]));
        }
        let mut steps = Vec::new();
        for op in &history.ops {
            steps_of(op, (*epoch, term.owner), &mut steps);
        }
        Search::new(&term.seen, steps)
            .from(stand.clone())
            .map_err(|wrong| format!("linearizability: term {epoch}: {wrong}"))?;
        let mut left = kept.len();
        for (_, seen) in &term.seen {
            let is_kept = match seen {
                Seen::Begun(task, fence) => begun.contains(&(*epoch, task.clone(), *fence)),
                _ => left > 0,
            };
            left -= usize::from(is_kept && is_ordered(&seen));
            if is_kept {
                stand.apply(seen).map_err(|why| format!("term {epoch}: {seen:?}: {why}"))?;
            } else {
                stand.is_void(seen);
            }
        }
    }
    Ok(())
}

/// What of a request has, or may have, a place in a term of the node `owner`.
fn steps_of<'a>(op: &'a Op, (epoch, owner): (Epoch, usize), steps: &mut Vec<Step<'a>>) {
    // Answers change no run: `answered` checks them.
    if op.to != owner || matches!(op.verb, Verb::Answer { .. }) {
        return;
    }
    let by = name_of(op.uid, &did(op.at), &did(owner));
    let step = |until, what| Step { from: op.invoked, until, what };
    let done = || What::Done(&op.verb, by.clone());
    match &op.reply {
        None => steps.push(step(None, done())),
        Some((at, ControlOutcome::Refused { why })) if op.epoch == Some(epoch) => {
            steps.push(step(Some(*at), What::Refused(&op.verb, &why.detail)));
        }
        Some((at, ControlOutcome::Done { .. })) if op.epoch == Some(epoch) => {
            steps.push(step(Some(*at), done()));
        }
        Some(_) => {}
    }
    if let Some((at, ControlOutcome::Done { run })) = &op.reply
        && op.view_of == Some(epoch)
        && op.epoch == Some(epoch)
    {
        let after = steps.len() - 1;
        steps.push(step(Some(*at), What::View(run, after)));
    }
}
