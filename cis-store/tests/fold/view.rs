//! What a client folds of a run out of its events, held against what the store shows of it after each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use cis_core::api::RunDetail;
use cis_core::event::{Event, EventBody};
use cis_core::ids::RunId;
use cis_core::live::{Applied, LiveRun};
use cis_store::{Readers, TaskSeed, Writer};

use crate::world::{Step, World};

/// How often the fold could say by itself what an event changes, by the event's type.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    pub(crate) folded: BTreeSet<String>,
    pub(crate) asked: BTreeMap<String, usize>,
    pub(crate) events: usize,
}

/// Replays what a world stored, event by event, into a store, and folds every run beside it.
pub(crate) fn check(world: &World, seen: &mut Folded) -> Step {
    let home = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = home.path().join("cis.db");
    let mut writer = Writer::open(&path).map_err(|e| e.to_string())?;
    let readers = Readers::open(&path).map_err(|e| e.to_string())?;
    let mut live: BTreeMap<RunId, LiveRun> = BTreeMap::new();
    let mut wrongs: BTreeMap<String, String> = BTreeMap::new();
    for (n, draft) in world.drafts().iter().enumerate() {
        let id = ulid::Ulid::from_parts(draft.at_ms.unsigned_abs(), n as u128 + 1);
        let seeds = match (&draft.body, draft.run) {
            (EventBody::RunCreated(_), Some(run)) => Some(TaskSeed::all_of(world.dag_of(run))),
            _ => None,
        };
        match &seeds {
            Some(seeds) => writer.append_run(draft, id, seeds),
            None => writer.append(draft, id),
        }
        .map_err(|e| e.to_string())?;
        let events = writer.commit().map_err(|e| e.to_string())?;
        let [event] = events.as_slice() else { return Err(format!("one event was written: {events:?}")) };
        let Some(run) = event.run else { continue };
        let reader = readers.get().map_err(|e| e.to_string())?;
        let shown = reader.run_detail(run).map_err(|e| e.to_string())?;
        let Some(fold) = live.get_mut(&run) else {
            live.insert(run, LiveRun::new(shown));
            continue;
        };
        seen.events += 1;
        if let Err(wrong) = one(fold, event, shown.clone(), seen) {
            wrongs.entry(event.type_name.clone()).or_insert(wrong);
            *fold = LiveRun::new(shown);
        }
    }
    // One of each kind of event tells more than the first alone.
    if wrongs.is_empty() { Ok(()) } else { Err(wrongs.into_values().collect::<Vec<_>>().join("\n\n")) }
}

fn one(fold: &mut LiveRun, event: &Event, shown: RunDetail, seen: &mut Folded) -> Step {
    let applied = fold.apply(event);
    if fold.apply(event) != Applied::Known {
        return Err(format!("an event counts once: {event:?}"));
    }
    if applied == Applied::Ask {
        *seen.asked.entry(event.type_name.clone()).or_default() += 1;
        *fold = LiveRun::new(shown);
        return Ok(());
    }
    if applied == Applied::Folded {
        seen.folded.insert(event.type_name.clone());
    }
    let folded = fold.detail();
    let wrong = |a: &dyn Debug, b: &dyn Debug| {
        Err(format!("{applied:?} of {event:?}\nthe fold has  {a:?}\nthe store has {b:?}"))
    };
    if folded.run != shown.run {
        return wrong(&folded.run, &shown.run);
    }
    if let Some((a, b)) = folded.tasks.iter().zip(&shown.tasks).find(|(a, b)| a != b) {
        return wrong(a, b);
    }
    if *folded == shown { Ok(()) } else { wrong(&"other tasks", &"") }
}
