//! Runs out of their room, into a store that does not have them.
//!
//! Reads the room from its beginning, fetches what envelopes name, and gives each run to the driver as one piece. What
//! counts and what follows from what is `federation::recovery`'s matter.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::timeline::Timeline;
use super::whole::Whole;
use crate::account::Opened;
use crate::commands::{Command, RunToKeep};
use crate::matrix::matrix_problem;
use crate::node::Node;
use crate::problems::{blocking, store_problem};
use crate::restore;
use cis_core::api::{Problem, RecoverReport, RecoveredRunView, UnknownNode};
use cis_core::event::{EventBody, EventDraft, RunCreated};
use cis_core::federation::canonical::Fold;
use cis_core::federation::journal::Fact;
use cis_core::federation::recovery::{RecoveredRun, Recovery};
use cis_core::identity::Standing;
use cis_core::ids::{Epoch, NodeDid, RunId};
use cis_core::scheduler::Run;
use cis_matrix::MatrixError;
use cis_store::{Safety, TaskSeed};

impl Node {
    /// Takes the runs that a room tells of into the store, as far as it tells them.
    pub(crate) async fn runs_out_of(
        &self,
        opened: &Opened,
        room: String,
        workdir: &str,
    ) -> Result<RecoverReport, Problem> {
        let problem = |error: MatrixError| matrix_problem(&error);
        let mut whole = Whole::begin(opened, &room).await.map_err(problem)?;
        let mut timeline = Timeline::open(self, opened, &room, &whole).await.map_err(problem)?;
        let mut recovery = Recovery::new(room.clone(), timeline.coordinators());
        while let Some(events) = whole.next().await.map_err(problem)? {
            timeline.read_into(self, &whole, &mut recovery, &events).await.map_err(problem)?;
        }
        let (events, unreadable) = (whole.events, whole.unreadable);
        let mut report =
            RecoverReport { events, unreadable, room_id: room.clone(), ..RecoverReport::default() };
        report.refused = recovery.refused();
        let unknown = |(did, count): (&NodeDid, &u64)| UnknownNode { did: did.clone(), envelopes: *count };
        report.unknown = recovery.strangers().iter().map(unknown).collect();
        for mut run in recovery.runs() {
            if let Some(EventBody::RunCreated(created)) = run.facts.first_mut().map(|fact| &mut fact.body) {
                // Those of the machine where it was are not in the room.
                workdir.clone_into(&mut created.workdir);
                created.source = source_of(&room);
            }
            report.runs.push(self.keep_run(run).await?);
        }
        Ok(report)
    }

    /// Keeps a run that is not known here.
    async fn keep_run(&self, run: RecoveredRun) -> Result<RecoveredRunView, Problem> {
        let node = self.clone();
        let made = blocking(move || node.prepare(run)).await??;
        let (mut view, Some(kept)) = made else { return Ok(made.0) };
        view.recovered =
            self.driver.ask(|reply| Command::Recover { run: Box::new(kept), replaces: false, reply }).await?;
        Ok(view)
    }

    /// What is to be kept of a run, and what is said of it.
    fn prepare(&self, mut run: RecoveredRun) -> Result<(RecoveredRunView, Option<RunToKeep>), Problem> {
        let mut view = RecoveredRunView {
            run: run.run,
            dag: String::new(),
            node: run.by.clone(),
            state: None,
            recovered: false,
            lacks: std::mem::take(&mut run.lacks),
        };
        if let Some(EventBody::RunCreated(created)) = run.facts.first().map(|fact| &fact.body) {
            view.dag.clone_from(&created.dag);
        }
        let begun = self.begun(run.run, (&run.keys, run.at.epoch), run.text.as_deref(), &run.facts);
        let Begun { run: begun, tasks, created } = match begun {
            Ok(begun) => begun,
            Err(why) => {
                view.lacks.push(why);
                return Ok((view, None));
            }
        };
        let fold = run.fold(begun);
        if let Err(why) = is_of(&fold, &run.keys) {
            view.lacks.push(why);
            return Ok((view, None));
        }
        view.state = Some(fold.run().state());
        view.lacks.append(&mut run.lacks);
        let ours = self.identity.standing(&run.by) == Standing::Own;
        // Where secrets are hidden in the text, it is another file: the run cannot be tried again.
        let text = run.text.as_deref().unwrap_or_default();
        let blob = self.blobs.put(text.as_bytes(), Safety::Processes).map_err(|e| store_problem(&e))?;
        if blob != created.spec {
            view.lacks.push("secrets are hidden in its file, so it cannot be tried again".to_owned());
        }
        let journal = if ours && view.lacks.is_empty() { serde_json::to_string(&run.at).ok() } else { None };
        let kept = RunToKeep { run: run.run, drafts: drafts(run.run, run.facts), tasks, journal };
        Ok((view, Some(kept)))
    }

    /// A run at its beginning, as a room tells of it; why it cannot be made. `by`: the keys of who wrote its journal, and in which term.
    pub(super) fn begun(
        &self,
        run: RunId,
        by: (&BTreeSet<NodeDid>, Epoch),
        text: Option<&str>,
        facts: &[Fact],
    ) -> Result<Begun, String> {
        let Some(Fact { body: EventBody::RunCreated(created), at_ms, .. }) = facts.first() else {
            return Err("how it began is not in the room".to_owned());
        };
        // Nobody makes a run for somebody else: it would be executed there.
        let (keys, epoch) = by;
        if created.epoch == 0 && epoch == 0 && !keys.contains(&created.owner) {
            return Err(format!("it says to be of {}, who did not write it", created.owner));
        }
        let text = text.ok_or("its file is not in the room")?;
        let agents = &self.config.settings.agents;
        let dag = restore::dag_of(text.as_bytes(), agents, run, created).map_err(|e| e.to_string())?;
        let tasks = TaskSeed::all_of(&dag);
        let begun = Run::new(run, created, Arc::new(dag), *at_ms).map_err(|e| e.to_string())?;
        Ok(Begun { run: begun, tasks, created: (**created).clone() })
    }
}

/// A run is its writer's, by all that is told of it: whoever could make somebody else's of it could have it executed
/// there. `keys`: of who wrote its newest entry, and of who began.
pub(super) fn is_of(fold: &Fold, keys: &BTreeSet<NodeDid>) -> Result<(), String> {
    let owner = &fold.run().facts().owner;
    if keys.contains(owner) {
        return Ok(());
    }
    Err(format!("it says to be of {owner}, who did not write it"))
}

/// The source of a run that was read from a room.
pub(super) fn source_of(room: &str) -> String {
    format!("room {room}")
}

/// A run at its beginning.
pub(super) struct Begun {
    pub(super) run: Run,
    pub(super) tasks: Vec<TaskSeed>,
    pub(super) created: RunCreated,
}

/// Events of the store of what happened to a run.
pub(super) fn drafts(run: RunId, facts: Vec<Fact>) -> Vec<EventDraft> {
    let draft = |fact: Fact| EventDraft {
        run: Some(run),
        at_ms: fact.at_ms,
        actor: fact.actor,
        cause: fact.cause,
        body: fact.body,
    };
    facts.into_iter().map(draft).collect()
}
