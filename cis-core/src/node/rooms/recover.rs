//! Runs out of their room, into a store that does not have them.
//!
//! Reads the room from its beginning, fetches what envelopes name, and gives each run to the driver as one piece. What
//! counts and what follows from what is `federation::recovery`'s matter.

use std::sync::Arc;

use cis_matrix::{Media, RoomEvent};
use serde_json::Value;

use crate::api::{Problem, RecoverReport, RecoveredRunView, UnknownNode};
use crate::event::{EventBody, EventDraft};
use crate::federation::recovery::{File, Found, RecoveredRun, Recovery};
use crate::identity::Standing;
use crate::ids::NodeDid;
use crate::matrix::Opened;
use crate::node::api::{Node, internal, store_problem};
use crate::node::commands::{Command, RunToKeep};
use crate::node::matrix::matrix_problem;
use crate::node::restore;
use crate::scheduler::Run;
use crate::store::{Safety, TaskSeed};

/// Events that are asked for at a time: homeservers give no more.
const PAGE: u32 = 1000;

/// Type of what cannot be decrypted.
const ENCRYPTED: &str = "m.room.encrypted";

impl Node {
    /// Takes the runs that a room tells of into the store, as far as it tells them.
    pub(in crate::node) async fn runs_out_of(
        &self,
        opened: &Opened,
        room: String,
        workdir: &str,
    ) -> Result<RecoverReport, Problem> {
        let mut report = RecoverReport { room_id: room.clone(), ..RecoverReport::default() };
        let mut recovery = Recovery::new(room.clone());
        let mut from: Option<String> = None;
        loop {
            let page = opened.client.forward(&room, from.as_deref(), PAGE).await;
            let page = page.map_err(|error| matrix_problem(&error))?;
            report.events += page.events.len() as u64;
            for event in &page.events {
                report.unreadable += u64::from(event.kind == ENCRYPTED);
                self.hear(opened, &mut recovery, event).await;
            }
            match page.next {
                Some(next) if from.as_ref() != Some(&next) => from = Some(next),
                _ => break,
            }
        }
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

    /// Takes one event of the room, with the file that it names.
    async fn hear(&self, opened: &Opened, recovery: &mut Recovery, event: &RoomEvent) {
        let Ok(content) = serde_json::from_str::<Value>(event.content.get()) else { return };
        let found = Found { type_name: &event.kind, sender: &event.sender, content: &content };
        let Some(file) = recovery.hear(found, |did| self.identity.standing(did)) else { return };
        let bytes = match media(&file) {
            Some(media) => opened.client.download(media).await.map_err(|error| error.to_string()),
            None => Err("a part of its journal is in a file whose place is not told".to_owned()),
        };
        recovery.fetched(file, bytes.as_deref().map_err(Clone::clone));
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
        let agents = &self.config.settings.agents;
        let begun = restore::dag_of(text.as_bytes(), agents, run.run, &created).map_err(|e| e.to_string());
        let begun = begun.and_then(|dag| {
            let tasks =
                dag.tasks.iter().map(|task| TaskSeed { id: task.id.clone(), needs: task.needs.clone() });
            let tasks: Vec<TaskSeed> = tasks.collect();
            let at_ms = run.facts[0].at_ms;
            Run::new(run.run, &created, Arc::new(dag), at_ms)
                .map(|run| (run, tasks))
                .map_err(|e| e.to_string())
        });
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
}

/// Where a file is.
fn media(file: &File) -> Option<Media> {
    let media = file.media();
    match (media.get("url").and_then(Value::as_str), media.get("file")) {
        (Some(url), _) => Some(Media::Plain(url.to_owned())),
        (None, Some(file)) => Some(Media::Encrypted(file.clone())),
        (None, None) => None,
    }
}
