//! What the file has run for a prompt, and whom it has told.

use std::path::Path;

use super::Driver;
use super::spec::{Moment, completed};
use crate::kept::{self, Place};
use crate::notices::{Notice, OwnCommand};
use crate::{environment, notices};
use cis_core::dag::{BlockedAction, Task};
use cis_core::ids::{AttemptId, InboxId, SessionId};
use cis_core::policy::NodeCommand;

/// A notice of a prompt of an attempt.
pub(super) fn told(
    event: &'static str,
    attempt: &AttemptId,
    session: SessionId,
    item: InboxId,
    notify: Vec<String>,
) -> Notice {
    let (run, task) = (Some(attempt.run), Some(attempt.task.clone()));
    Notice { event, item: Some(item), session: Some(session), run, task, notify, said: None }
}

impl Driver {
    /// Runs the command of `on_blocked` of the task, while its session runs: in the run's directory, with the
    /// run's environment, none of the session's rights or secrets, and at most the rights of the run's
    /// submitter.
    pub(super) fn run_on_blocked(&mut self, attempt: &AttemptId, session: SessionId, item: InboxId) {
        match self.on_blocked_command(attempt) {
            Ok(Some(own)) => self.notices.run(told("blocked", attempt, session, item, Vec::new()), own),
            Ok(None) => {}
            Err(detail) => self.notices.not_run(format!("on_blocked of {attempt} is not run: {detail}")),
        }
    }

    fn on_blocked_command(&mut self, attempt: &AttemptId) -> Result<Option<OwnCommand>, String> {
        let Some(run) = self.parts.machine.run(&attempt.run) else { return Ok(None) };
        // A node that takes a run over was asked to coordinate it, not to execute anything.
        if !run.find(&attempt.task).is_some_and(|index| run.may_use_submitter(index)) {
            return Err("the run was submitted at another node, or was taken over since".to_owned());
        }
        let Some(task) = run.task(&attempt.task).and_then(|(task, _)| of_prompts(task)) else {
            return Ok(None);
        };
        // As its own program would be, with the other action in its place.
        let spec = completed(run, &task, attempt, &self.parts.home, &self.parts.blobs, Moment::Prompt)?;
        let base = self.parts.worker.base_environment(spec.base_env.as_ref())?;
        let mut env = environment::inherited(base.as_ref().clone());
        environment::remove_secrets(&mut env, &spec.run_secrets);
        env.extend(spec.env);
        let facts = run.facts();
        let of = task.item.as_ref().map_or(&task.id, |item| &item.of);
        let named = facts.named.iter().find(|named| named.task == *of);
        let named =
            named.ok_or("what it names was not looked for when the run was submitted: submit it again")?;
        // Nothing here looks at the run's directory: it may not answer.
        let place = Place {
            workdir: Path::new(&facts.workdir),
            cwd: Path::new(&spec.cwd),
            env: &env,
            named,
            kept: &facts.kept,
        };
        let dir = self.parts.home.dir.join(format!("{}{}", notices::ASIDE, self.ids.next()));
        let kept::Prepared { argv, files, cwd, is_exact, path } = kept::prepared(spec.program, place, &dir)?;
        env.extend(path.map(|path| ("PATH".to_owned(), path)));
        let submitter = facts.submitter.clone();
        let of = NodeCommand::OnBlocked { run: attempt.run, task: attempt.task.clone(), submitter };
        Ok(Some(OwnCommand { of, argv, env, cwd, is_exact, dir, files }))
    }
}

/// The task with what is run at its prompts as its action, where something is.
fn of_prompts(task: &Task) -> Option<Task> {
    let rule = task.on_blocked.as_ref()?;
    let BlockedAction::Run(action) = &rule.action else { return None };
    Some(Task { action: action.clone(), ..task.clone() })
}
