//! What of a run is not in its journal yet, read from the store and made into pages.
//!
//! Owns where reading begins and what a journal begins with: the run's creation, or a snapshot where the room did
//! not follow it from there. Signs and sends nothing.

use std::sync::Arc;

use crate::config::Config;
use crate::problems::{internal, store_problem};
use crate::restore;
use cis_core::api::{FollowedRun, Problem};
use cis_core::event::{EventBody, RunCreated};
use cis_core::federation::announcement::{Announcement, Announcer};
use cis_core::federation::canonical::Fold;
use cis_core::federation::journal::{Fact, Page, Position, Writer};
use cis_core::federation::outgoing::Snapshot;
use cis_core::ids::{BlobId, NodeDid, Offset, RunId};
use cis_core::policy::redact::shapes;
use cis_store::{Blobs, Readers};

/// Events that are read at a time.
const EVENTS_AT_ONCE: usize = 5_000;

/// Where runs are read from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) readers: Readers,
    pub(super) blobs: Arc<Blobs>,
    pub(super) config: Arc<Config>,
    /// Who writes the journal.
    pub(super) by: NodeDid,
}

/// The next part of a journal.
pub(super) struct Part {
    /// What the journal begins with, where the room did not follow the run from its beginning.
    pub(super) snapshot: Option<Snapshot>,
    pub(super) pages: Vec<Page>,
    /// Where the journal stands then.
    pub(super) position: Position,
    /// Everything up to this event is in it.
    pub(super) upto: Offset,
    /// Small events that say the same, each of a type of its own.
    pub(super) announcements: Vec<Announcement>,
}

impl Sources {
    /// What is new of a run. A page's body has at most `body_max` bytes; of more than one page a file is made, as
    /// media cost nothing of an account's allowance.
    pub(super) fn part(&self, kept: &FollowedRun, body_max: usize) -> Result<Part, Problem> {
        let run = kept.run;
        let mut snapshot = None;
        let mut announcer = self.announcer(run)?;
        let mut writer = match restore::position(&kept.journal) {
            Some(position) => Some(Writer::resume(run, self.by.clone(), position)),
            None => self.beginning(run, kept.published)?.map(|(first, created)| {
                let position = first.position();
                announcer.hear(&created, position);
                snapshot = Some(first);
                Writer::resume(run, self.by.clone(), position)
            }),
        }
        .map(|writer| writer.announcing(announcer.clone()));
        let upto = self.each(run, kept.published, Offset::MAX, |fact| {
            let writer = writer.get_or_insert_with(|| {
                let text = match &fact.body {
                    EventBody::RunCreated(created) => self.text(&created.spec),
                    _ => None,
                };
                Writer::begin(run, self.by.clone(), text).announcing(announcer.clone())
            });
            writer.push(fact);
            Ok(())
        })?;
        let Some(mut writer) = writer else {
            let (pages, announcements) = (Vec::new(), Vec::new());
            return Ok(Part { snapshot, pages, position: Position::start(run), upto, announcements });
        };
        let pages = writer.flush(body_max, 1);
        let position = writer.position();
        Ok(Part { snapshot, pages, position, upto, announcements: writer.announcements() })
    }

    fn announcer(&self, run: RunId) -> Result<Announcer, Problem> {
        let view = self.readers.get().and_then(|reader| reader.run(run)).map_err(|e| store_problem(&e))?;
        Ok(Announcer::new(&view.dag, &self.config.settings.dag.matrix.events))
    }

    /// The run as it was when its room began to follow it, and its creation; none: that was before its first event.
    fn beginning(&self, run: RunId, until: Offset) -> Result<Option<(Snapshot, Fact)>, Problem> {
        let mut facts = Vec::new();
        let mut fold: Option<(Fold, BlobId)> = None;
        self.each(run, 0, until, |fact| {
            match (&mut fold, &fact.body) {
                (None, EventBody::RunCreated(created)) => {
                    fold = Some((Fold::new(self.begun(run, created, &fact)?), created.spec.clone()));
                }
                (None, _) => return Err(internal(&format!("run {run} has no beginning"))),
                (Some((fold, _)), _) => fold.apply(&fact).map_err(|error| internal(&error))?,
            }
            facts.push(fact);
            Ok(())
        })?;
        let (Some((fold, spec)), Some(created)) = (fold, facts.first().cloned()) else { return Ok(None) };
        let text = self.text(&spec);
        Ok(Some((Snapshot::first(run, facts, &self.by, text.as_deref(), &fold), created)))
    }

    fn begun(
        &self,
        run: RunId,
        created: &RunCreated,
        fact: &Fact,
    ) -> Result<cis_core::scheduler::Run, Problem> {
        let agents = &self.config.settings.agents;
        restore::begun(&self.blobs, agents, run, created, fact.at_ms).map_err(|error| error.problem())
    }

    /// Gives the events of a run after one offset, up to another, in order; answers with the newest that there is.
    fn each(
        &self,
        run: RunId,
        after: Offset,
        until: Offset,
        mut take: impl FnMut(Fact) -> Result<(), Problem>,
    ) -> Result<Offset, Problem> {
        let mut newest = after;
        loop {
            let read = self.readers.get().and_then(|reader| reader.events(newest, Some(run), EVENTS_AT_ONCE));
            let events = read.map_err(|error| store_problem(&error))?;
            // What is read may lie beyond all that is wanted.
            let is_last =
                events.len() < EVENTS_AT_ONCE || events.last().is_some_and(|event| event.offset >= until);
            for event in events.iter().take_while(|event| event.offset <= until) {
                newest = event.offset;
                if let Some(fact) = Fact::of(event) {
                    take(fact)?;
                }
            }
            if is_last {
                return Ok(newest);
            }
        }
    }

    /// The text of a run's file, with what looks like a secret hidden.
    fn text(&self, spec: &BlobId) -> Option<String> {
        let bytes = self.blobs.get(spec).ok().flatten()?;
        Some(shapes::hide(&String::from_utf8_lossy(&bytes)).into_owned())
    }
}
