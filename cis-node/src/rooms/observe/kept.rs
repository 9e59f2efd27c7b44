//! What the store gets of a run that another node tells of in a room.
//!
//! Owns how that follows what the store has. Reads the store; the driver writes.

use super::super::recover::{Begun, drafts, is_of, source_of};
use super::super::results;
use super::recorded::Recorded;
use crate::cache::Entry;
use crate::commands::RunToKeep;
use crate::node::Node;
use crate::problems::store_problem;
use crate::restore;
use cis_core::api::Problem;
use cis_core::event::{EventBody, EventDraft, ReadBack, RunCreated};
use cis_core::federation::canonical::Fold;
use cis_core::federation::journal::Fact;
use cis_core::federation::recovery::Fresh;
use cis_core::identity::Standing;
use cis_core::ids::{Epoch, RunId};
use cis_store::{Safety, StoreError};

/// A run that a room tells of.
pub(super) enum Known {
    /// This node's own: the store knows it before the room does.
    Own,
    /// So many facts of it are in the store, and this follows from them.
    Kept { facts: usize, fold: Box<Fold> },
    /// Not followed: `lost` says why.
    Lost,
}

/// What is to be kept of news.
pub(super) enum Keep {
    Run(RunToKeep),
    More(Vec<EventDraft>),
    /// The store has what does not count.
    Nothing,
}

/// What the store has of a run of another node, or of this one.
enum Stored {
    /// What is told follows from it.
    Known(Known),
    /// A part of it does not count any more.
    Void,
    /// Why it is not gone on with.
    Another(String),
}

impl Node {
    /// What is to be kept of news of a run, and why nothing of it can be from here on.
    pub(super) fn take_fresh(
        &self,
        room: &str,
        known: Option<Known>,
        fresh: Fresh,
    ) -> Result<(Known, Option<Keep>, Option<String>), Problem> {
        let lost = |why: String| Ok((Known::Lost, None, Some(why)));
        // A part of what was read does not count: the whole is read again.
        let void = Ok((Known::Lost, Some(Keep::Nothing), None));
        let known = match known {
            Some(known) => known,
            None => match self.in_store(room, &fresh)? {
                Some(Stored::Known(known)) => known,
                Some(Stored::Void) => return void,
                Some(Stored::Another(why)) => return lost(why),
                None if self.identity.standing(&fresh.by) == Standing::Own => Known::Own,
                None => return self.begin(room, fresh),
            },
        };
        let (facts, mut fold) = match known {
            Known::Own => {
                let keep = self.is_overtaken(room, &fresh)?.then_some(Keep::Nothing);
                return Ok((Known::Own, keep, None));
            }
            Known::Lost => return Ok((Known::Lost, None, None)),
            Known::Kept { facts, fold } => (facts, fold),
        };
        if fresh.void && fresh.from < facts {
            return void;
        }
        if fresh.from > facts {
            return lost("a part of what happened is not in the store".to_owned());
        }
        let new: Vec<Fact> = fresh.facts.into_iter().skip(facts - fresh.from).collect();
        let (new, results, wrong) = follow(&mut fold, facts, new);
        if !new.is_empty()
            && let Err(why) = is_of(&fold, &fresh.keys)
        {
            return lost(why);
        }
        // The room has them, signed: they need not be in the store first.
        self.keep_told(room, &results);
        let known = match &wrong {
            None if self.identity.is_or_was(&fold.run().facts().owner) => Known::Own,
            None => Known::Kept { facts: facts + new.len(), fold },
            Some(_) => Known::Lost,
        };
        let keep = (!new.is_empty()).then(|| Keep::More(drafts(fresh.run, new)));
        Ok((known, keep, wrong))
    }

    /// Whether another node coordinates a run that the store has as this node's.
    fn is_overtaken(&self, room: &str, fresh: &Fresh) -> Result<bool, Problem> {
        if self.identity.is_or_was(&fresh.by) {
            return Ok(false);
        }
        let reader = self.readers.get().map_err(|e| store_problem(&e))?;
        match reader.term(fresh.run) {
            Ok((owner, epoch, follows)) => {
                // Another room has no say in it.
                let is_here = follows.as_deref() == Some(room);
                // Two nodes may have begun the same term at homeservers that were cut off from each other.
                let is_over = fresh.at.epoch > 0 && epoch <= fresh.at.epoch;
                Ok(is_here && self.identity.is_or_was(&owner) && is_over)
            }
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(store_problem(&error)),
        }
    }

    /// A run that the store has.
    fn in_store(&self, room: &str, fresh: &Fresh) -> Result<Option<Stored>, Problem> {
        let run = fresh.run;
        let reader = self.readers.get().map_err(|e| store_problem(&e))?;
        let (owner, epoch, follows) = match reader.term(run) {
            Ok(term) => term,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(store_problem(&error)),
        };
        if self.identity.is_or_was(&owner) {
            return Ok(Some(Stored::Known(Known::Own)));
        }
        // Nodes of another room have no say in it.
        if let Some(follows) = follows.filter(|follows| follows != room) {
            return Ok(Some(Stored::Another(format!("it is followed in room {follows}"))));
        }
        let facts = reader.event_count(run).map_err(|e| store_problem(&e))?;
        // What was read of the room may end before what the store has: who coordinated the run later is not read yet.
        let is_read = fresh.from + fresh.facts.len() >= facts;
        if is_read && !fresh.was_coordinated_by(&owner) {
            let why = format!("the store has it as a run of {owner}, who did not write this");
            return Ok(Some(Stored::Another(why)));
        }
        if voids(fresh, facts, epoch) {
            return Ok(Some(Stored::Void));
        }
        let loaded = restore::load_run(&self.readers, &self.blobs, &self.config.settings.agents, run);
        Ok(Some(match loaded {
            Ok(run) => Stored::Known(Known::Kept { facts, fold: Box::new(Fold::new(run)) }),
            Err(error) => Stored::Another(error.to_string()),
        }))
    }

    /// How a run began that was submitted here, and the text of its file; none: it was not, or the text is gone.
    fn submitted(&self, run: RunId) -> Result<Option<(RunCreated, String)>, Problem> {
        let reader = self.readers.get().map_err(|e| store_problem(&e))?;
        let first = reader.first_created(run).map_err(|e| store_problem(&e))?;
        let Some(original) = first.filter(|created| {
            self.identity.is_or_was(&created.owner) && created.epoch == 0 && !is_from_room(&created.source)
        }) else {
            return Ok(None);
        };
        let text =
            self.blobs.get(&original.spec).ok().flatten().and_then(|text| String::from_utf8(text).ok());
        Ok(text.map(|text| (original, text)))
    }

    /// Whether the journal of a run was begun by this node: of two nodes, the first one in the room tells the story.
    fn is_by_this_node(&self, fresh: &Fresh) -> bool {
        let created = fresh.facts.first().map(|fact| &fact.body);
        self.identity.is_or_was(&fresh.writer)
            && matches!(created, Some(EventBody::RunCreated(created)) if created.epoch == 0 && self.identity.is_or_was(&created.owner))
    }

    /// Puts back what the room does not have of a run that was submitted here. Notes whether the room lacks
    /// what a person should know of.
    fn give_back(&self, fresh: &mut Fresh, (original, text): (RunCreated, String)) -> Result<(), Problem> {
        let reader = self.readers.get().map_err(|e| store_problem(&e))?;
        let ever = reader.outcomes_ever(fresh.run).map_err(|e| store_problem(&e))?;
        let mut recorded = Recorded::new(&ever, &fresh.facts, |did| self.identity.is_or_was(did));
        for fact in &mut fresh.facts {
            if let EventBody::TaskResult(told) = &mut fact.body {
                recorded.complete(told);
            }
        }
        fresh.text = Some(text);
        let Some(Fact { body: EventBody::RunCreated(created), .. }) = fresh.facts.first_mut() else {
            return Ok(());
        };
        let (owner, epoch, mode, room) =
            (created.owner.clone(), created.epoch, created.mode, created.room.take());
        **created = RunCreated { owner, epoch, mode, room, read_back: Some(ReadBack::Whole), ..original };
        let begun = self.begun(fresh.run, (&fresh.keys, fresh.at.epoch), fresh.text.as_deref(), &fresh.facts);
        let is_cut_off = recorded.lacks_decision
            || begun.is_ok_and(|begun| {
                let mut tasks = recorded.ended_unknown().filter_map(|task| begun.run.find(task));
                tasks.any(|index| begun.run.needs_submitter(index))
            });
        if let (true, Some(Fact { body: EventBody::RunCreated(created), .. })) =
            (is_cut_off, fresh.facts.first_mut())
        {
            created.read_back = Some(ReadBack::CutOff);
        }
        Ok(())
    }

    /// A run that is new here.
    pub(super) fn begin(
        &self,
        room: &str,
        mut fresh: Fresh,
    ) -> Result<(Known, Option<Keep>, Option<String>), Problem> {
        let run = fresh.run;
        if let Some(original) = self.submitted(run)?.filter(|_| self.is_by_this_node(&fresh)) {
            self.give_back(&mut fresh, original)?;
        } else {
            let text = fresh.text.as_deref().unwrap_or_default();
            let blob = self.blobs.put(text.as_bytes(), Safety::Processes).map_err(|e| store_problem(&e))?;
            if let Some(EventBody::RunCreated(created)) = fresh.facts.first_mut().map(|fact| &mut fact.body) {
                // It is not executed here: where it was is nothing to this machine.
                created.workdir = self.home.dir.display().to_string();
                created.source = source_of(room);
                // Where secrets are hidden in the text, it is another file.
                created.spec = blob;
            }
        }
        let Begun { run: begun, tasks, .. } =
            match self.begun(run, (&fresh.keys, fresh.at.epoch), fresh.text.as_deref(), &fresh.facts) {
                Ok(begun) => begun,
                Err(why) => return Ok((Known::Lost, None, Some(why))),
            };
        let mut fold = Box::new(Fold::new(begun));
        let mut facts: Vec<Fact> = fresh.facts.drain(..1).collect();
        let (more, results, wrong) = follow(&mut fold, 1, fresh.facts);
        facts.extend(more);
        if let Err(why) = is_of(&fold, &fresh.keys) {
            return Ok((Known::Lost, None, Some(why)));
        }
        self.keep_told(room, &results);
        let known = match &wrong {
            None => Known::Kept { facts: facts.len(), fold },
            Some(_) => Known::Lost,
        };
        let kept = RunToKeep { run, drafts: drafts(run, facts), tasks, journal: None };
        Ok((known, Some(Keep::Run(kept)), wrong))
    }
}

fn is_from_room(source: &str) -> bool {
    source.starts_with(&source_of("!"))
}

/// Whether a takeover that the store does not have voids something of it: the first `facts` of a run, up to the term `epoch`.
fn voids(fresh: &Fresh, facts: usize, epoch: Epoch) -> bool {
    let is_new =
        |fact: &Fact| matches!(fact.body, EventBody::RunTakenOver { epoch: begun, .. } if begun > epoch);
    fresh.facts.iter().position(is_new).is_some_and(|at| fresh.from + at < facts)
}

/// Those of the facts that follow, the first of which is number `at`, with results that this node may use; what is wrong with the next
/// one.
fn follow(fold: &mut Fold, at: usize, facts: Vec<Fact>) -> (Vec<Fact>, Vec<Entry>, Option<String>) {
    let (mut good, mut results) = (Vec::with_capacity(facts.len()), Vec::new());
    for fact in facts {
        let result = results::entry_of(fold.run(), &fact);
        if let Err(error) = fold.apply(&fact) {
            let n = at + good.len();
            return (good, results, Some(format!("what happened after event {n} does not follow: {error}")));
        }
        results.extend(result);
        good.push(fact);
    }
    (good, results, None)
}
