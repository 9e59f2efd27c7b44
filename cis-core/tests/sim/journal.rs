//! The law of the journal: whatever happened to a run, its merged journal folds to the same canonical state.

use std::sync::Arc;

use cis_core::event::EventBody;
use cis_core::federation::canonical::Fold;
use cis_core::federation::journal::{Coalescer, Fact, Piece};
use cis_core::federation::room_event::{read_entry, to_entry, to_facts};
use cis_core::ids::{NodeDid, RunId};
use cis_core::scheduler::Run;

use crate::rng::Rng;
use crate::world::World;

/// Folds the events of one run as they come.
struct Folding(Option<Fold>);

impl Folding {
    fn take(&mut self, world: &World, run: RunId, fact: &Fact) -> Result<(), String> {
        match (&mut self.0, &fact.body) {
            (None, EventBody::RunCreated(facts)) => {
                let begun = Run::new(run, facts, Arc::clone(world.dag_of(run)), fact.at_ms);
                self.0 = Some(Fold::new(begun.map_err(|e| e.to_string())?));
                Ok(())
            }
            (Some(fold), _) => fold.apply(fact).map_err(|e| format!("{}: {e}", fact.body.type_name())),
            (None, body) => Err(format!("{} before its run", body.type_name())),
        }
    }

    fn canonical(&self) -> Option<String> {
        self.0.as_ref().map(Fold::canonical)
    }
}

/// The way through a room: an entry of its journal, read back.
fn through_a_room(piece: &Piece, by: &NodeDid) -> Result<Vec<Fact>, String> {
    let entry = to_entry(piece, by, None).map_err(|e| e.to_string())?.ok_or("it is not shown")?;
    let read = read_entry(entry).map_err(|e| e.to_string())?;
    to_facts(&read, by).map_err(|e| e.to_string())
}

/// Writes the journals of all runs of a world, with ends of windows at random places, and holds them against
/// the events at each of those.
pub(crate) fn check(world: &World, rng: &mut Rng) -> Result<(), String> {
    // Not the node that worked: its name has to travel.
    let by = NodeDid("did:key:writer".into());
    for run in world.run_ids() {
        let (mut whole, mut told, mut coalescer) = (Folding(None), Folding(None), Coalescer::default());
        let window = rng.between(1, 60);
        let events: Vec<Fact> = world.facts_of(run).collect();
        for (number, fact) in events.iter().enumerate() {
            whole.take(world, run, fact)?;
            coalescer.push(fact.clone());
            if rng.below(window) > 0 && number + 1 < events.len() {
                continue;
            }
            for piece in coalescer.drain() {
                for fact in through_a_room(&piece, &by)? {
                    told.take(world, run, &fact)?;
                }
            }
            let (expected, found) = (whole.canonical(), told.canonical());
            if expected != found {
                return Err(format!("after event {number} of {run}:\n{expected:?}\nis told as\n{found:?}"));
            }
        }
    }
    Ok(())
}
