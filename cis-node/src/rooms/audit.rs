//! A room held against itself, and against the store: for whoever wants to know whether it can be relied on.
//!
//! Reads, and changes nothing. What is right and what is missing is `federation::audit`'s matter.

use std::collections::BTreeSet;

use super::timeline::Timeline;
use super::whole::{Whole, content};
use crate::account::Opened;
use crate::matrix::matrix_problem;
use crate::node::Node;
use crate::problems::{blocking, store_problem};
use cis_core::api::{AuditReport, AuditedNode, AuditedRun, HereAs, Problem, RefusedView};
use cis_core::event::EventBody;
use cis_core::federation::audit::Audit;
use cis_core::federation::canonical::Fold;
use cis_core::federation::journal::Fact;
use cis_core::federation::recovery::{Found, RecoveredRun};
use cis_core::identity::Standing;
use cis_core::ids::RunId;
use cis_core::scheduler::Run;
use cis_matrix::MatrixError;
use cis_store::StoreError;

/// Events of the store that are read at a time.
const EVENTS_AT_ONCE: usize = 10_000;

impl Node {
    /// Checks all that a room has of nodes and runs.
    pub(crate) async fn audit_of(&self, opened: &Opened, room: String) -> Result<AuditReport, Problem> {
        let problem = |error: MatrixError| matrix_problem(&error);
        let mut whole = Whole::begin(opened, &room).await.map_err(problem)?;
        let mut timeline = Timeline::open(self, opened, &room, &whole).await.map_err(problem)?;
        let mut audit = Audit::new(room.clone(), timeline.coordinators());
        while let Some(events) = whole.next().await.map_err(|error| matrix_problem(&error))? {
            for event in &events {
                if timeline.take(event) {
                    audit.set_coordinators(timeline.coordinators());
                }
                let Some(content) = content(event) else { continue };
                let found = Found { type_name: &event.kind, sender: &event.sender, content: &content };
                if let Some(named) = audit.hear(&event.id, found, |did| timeline.standing(self, did)) {
                    let bytes = whole.fetch(&named.file).await.map_err(|error| matrix_problem(&error))?;
                    audit.fetched(named, bytes.as_deref().map_err(Clone::clone));
                }
            }
        }
        let (events, unreadable) = (whole.events, whole.unreadable);
        let revoked = self.members.revoked(&room);
        let node = self.clone();
        let judged = blocking(move || {
            let found = audit.done();
            let nodes = found.nodes.into_iter().map(|(did, wrote)| AuditedNode {
                standing: if revoked.contains(&did) { Standing::Revoked } else { wrote.standing.clone() }
                    .word()
                    .to_owned(),
                did,
                counts: wrote.standing.counts_in_history(),
                envelopes: wrote.envelopes,
                copies: wrote.copies,
                missing: wrote.missing(),
                doubled: wrote.doubled,
            });
            let nodes = nodes.collect();
            let refused = found.refused.into_iter().map(|refused| RefusedView {
                event: refused.event,
                sender: refused.sender,
                why: refused.why.to_string(),
            });
            let known: BTreeSet<RunId> = found.runs.iter().map(|run| run.run).collect();
            // Whoever is not known here says nothing about runs of those who are.
            let strange = found.strange_runs.into_iter().filter(|run| !known.contains(&run.run));
            let runs = found.runs.into_iter().map(|run| (run, true)).chain(strange.map(|run| (run, false)));
            let runs: Result<Vec<_>, Problem> = runs.map(|(run, counts)| node.judged(run, counts)).collect();
            Ok::<_, Problem>((nodes, refused.collect(), found.refused_count, runs?))
        });
        let (nodes, refused, refused_count, runs) = judged.await??;
        Ok(AuditReport { room_id: room, events, unreadable, nodes, runs, refused, refused_count })
    }

    /// What is said of a run.
    fn judged(&self, mut run: RecoveredRun, counts: bool) -> Result<AuditedRun, Problem> {
        let mut view = AuditedRun {
            run: run.run,
            dag: String::new(),
            node: run.by.clone(),
            counts,
            entries: run.at.n,
            state: None,
            here: None,
            lacks: std::mem::take(&mut run.lacks),
        };
        if let Some(EventBody::RunCreated(created)) = run.facts.first().map(|fact| &fact.body) {
            view.dag.clone_from(&created.dag);
        }
        let begun = match self.begun(run.run, (&run.keys, run.at.epoch), run.text.as_deref(), &run.facts) {
            Ok(begun) => begun.run,
            Err(why) => {
                view.lacks.push(why);
                return Ok(view);
            }
        };
        let fold = run.fold(begun.clone());
        view.lacks.append(&mut run.lacks);
        view.state = Some(fold.run().state());
        view.here = if counts { self.here_as(run.run, begun, &fold)? } else { None };
        Ok(view)
    }

    /// How what the store has of a run stands to what the room has of it; none: the store does not know it.
    fn here_as(&self, run: RunId, begun: Run, room: &Fold) -> Result<Option<HereAs>, Problem> {
        let reader = self.readers.get().map_err(|e| store_problem(&e))?;
        match reader.run(run) {
            Ok(_) => {}
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(store_problem(&error)),
        }
        let mut own = Fold::new(begun);
        let (mut after, mut is_first) = (0, true);
        loop {
            let events = reader.events(after, Some(run), EVENTS_AT_ONCE).map_err(|e| store_problem(&e))?;
            let Some(last) = events.last() else { break };
            after = last.offset;
            for event in &events {
                let Some(fact) = Fact::of(event) else { continue };
                if !std::mem::take(&mut is_first) && own.apply(&fact).is_err() {
                    return Ok(Some(HereAs::Differs));
                }
            }
        }
        Ok(Some(if own.canonical() == room.canonical() {
            HereAs::Same
        } else if own.run().state().is_terminal() && room.run().state().is_terminal() {
            HereAs::Differs
        } else {
            HereAs::Ahead
        }))
    }
}
