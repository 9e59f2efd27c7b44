//! Runs out of their room, into a store that does not have them.
//!
//! Reads the room from its beginning, fetches what envelopes name, and gives each run to the driver as one piece. What
//! counts and what follows from what is `federation::recovery`'s matter.

use std::sync::Arc;

use super::whole::{Whole, content};
use crate::api::{Problem, RecoverReport, RecoveredRunView, UnknownNode};
use crate::dag::Task;
use crate::event::{EventBody, EventDraft, RunCreated};
use crate::federation::recovery::{Found, RecoveredRun, Recovery};
use crate::identity::Standing;
use crate::ids::NodeDid;
use crate::matrix::Opened;
use crate::node::api::{Node, internal, store_problem};
use crate::node::commands::{Command, RunToKeep};
use crate::node::restore;
use crate::scheduler::Run;
use crate::store::{Safety, TaskSeed};

impl Node {
    /// Takes the runs that a room tells of into the store, as far as it tells them.
    pub(in crate::node) async fn runs_out_of(
        &self,
        opened: &Opened,
        room: String,
        workdir: &str,
    ) -> Result<RecoverReport, Problem> {
        let mut recovery = Recovery::new(room.clone());
        let mut whole = Whole::new(opened, &room);
        while let Some(events) = whole.next().await? {
            for event in &events {
                let Some(content) = content(event) else { continue };
                let found = Found { type_name: &event.kind, sender: &event.sender, content: &content };
                if let Some(file) = recovery.hear(found, |did| self.identity.standing(did)) {
                    let bytes = whole.fetch(&file).await;
                    recovery.fetched(file, bytes.as_deref().map_err(Clone::clone));
                }
            }
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
                created.source = format!("room {room}");
            }
            report.runs.push(self.keep_run(run).await?);
        }
        Ok(report)
    }

    /// Keeps a run that is not known here.
    async fn keep_run(&self, run: RecoveredRun) -> Result<RecoveredRunView, Problem> {
        let node = self.clone();
        let made =
            tokio::task::spawn_blocking(move || node.prepare(run)).await.map_err(|e| internal(&e))??;
        let (mut view, Some(kept)) = made else { return Ok(made.0) };
        view.recovered = self.driver.ask(|reply| Command::Recover { run: Box::new(kept), reply }).await?;
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
        let Some(EventBody::RunCreated(created)) = run.facts.first().map(|fact| fact.body.clone()) else {
            view.lacks.push("how it began is not in the room".to_owned());
            return Ok((view, None));
        };
        view.dag.clone_from(&created.dag);
        // Nobody makes a run for somebody else: it would be executed there.
        if created.epoch == 0 && run.at.epoch == 0 && created.owner != run.by {
            view.lacks.push(format!("it says to be of {}, who did not write it", created.owner));
            return Ok((view, None));
        }
        let Some(text) = run.text.clone() else {
            view.lacks.push("its file is not in the room".to_owned());
            return Ok((view, None));
        };
        let begun = self.begun(&run, &text, &created);
        let (begun, tasks) = match begun {
            Ok(begun) => begun,
            Err(why) => {
                view.lacks.push(why);
                return Ok((view, None));
            }
        };
        let fold = run.fold(begun);
        view.state = Some(fold.run().state());
        view.lacks.append(&mut run.lacks);
        let ours = self.identity.standing(&run.by) == Standing::Own;
        // Where secrets are hidden in the text, it is another file: the run cannot be tried again.
        let blob = self.blobs.put(text.as_bytes(), Safety::Processes).map_err(|e| store_problem(&e))?;
        if blob != created.spec {
            view.lacks.push("secrets are hidden in its file, so it cannot be tried again".to_owned());
        }
        let journal = if ours && view.lacks.is_empty() { serde_json::to_string(&run.at).ok() } else { None };
        let drafts = run.facts.into_iter().map(|fact| EventDraft {
            run: Some(run.run),
            at_ms: fact.at_ms,
            actor: fact.actor,
            cause: fact.cause,
            body: fact.body,
        });
        let kept = RunToKeep { run: run.run, drafts: drafts.collect(), tasks, journal };
        Ok((view, Some(kept)))
    }

    /// A run at its beginning, and its tasks; why it cannot be made.
    pub(super) fn begun(
        &self,
        run: &RecoveredRun,
        text: &str,
        created: &RunCreated,
    ) -> Result<(Run, Vec<TaskSeed>), String> {
        let agents = &self.config.settings.agents;
        let dag = restore::dag_of(text.as_bytes(), agents, run.run, created).map_err(|e| e.to_string())?;
        let seed = |task: &Task| TaskSeed { id: task.id.clone(), needs: task.needs.clone() };
        let tasks = dag.tasks.iter().map(seed).collect();
        let begun = Run::new(run.run, created, Arc::new(dag), run.facts[0].at_ms);
        Ok((begun.map_err(|e| e.to_string())?, tasks))
    }
}
