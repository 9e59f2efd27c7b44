//! The error for a task name where a session is expected, if the task has no live session.
//!
//! Owns the wording. Reads the task's state from the node.

use cis_client::Client;
use cis_core::api::{ListRuns, Problem, ProblemKind, RunView, TaskView};
use cis_core::event::TaskState;

use crate::error::CliError;
use crate::output::clean::{clean, in_one_line};
use crate::output::human::span;
use cis_local::now_ms;

/// Returns the error of a command that found no live session called `name`. If `name` is a task of the named or the
/// newest run, the error says what happened to the task and what to do instead; otherwise it is `missing`.
pub(super) async fn explain(client: &Client, name: &str, missing: CliError) -> CliError {
    if !matches!(missing.kind(), Some(ProblemKind::NotFound | ProblemKind::Conflict)) {
        return missing;
    }
    match find(client, name).await {
        Some((run, task)) => of_task(&run, &task).unwrap_or(missing),
        None if missing.kind() == Some(ProblemKind::NotFound) => missing
            .hint("live sessions: cis dag sessions; what an ended one wrote: cis dag logs TASK --run RUN"),
        None => missing,
    }
}

/// Finds the task that `TASK`, `RUN/TASK` or `RUN:TASK` names. RUN defaults to the open run in which the task waits for
/// approval, or to the newest run.
async fn find(client: &Client, name: &str) -> Option<(RunView, TaskView)> {
    let (run, task) = match name.split_once(['/', ':']) {
        Some((run, task)) => (run.to_owned(), task),
        None => {
            let runs = client.runs(&ListRuns::default()).await.ok()?.items;
            let asks = |run: &&RunView| run.approvals.iter().any(|asked| asked.as_str() == name);
            (runs.iter().find(asks).or(runs.first())?.id.to_string(), name)
        }
    };
    let detail = client.run(&run).await.ok()?;
    let task = detail.tasks.into_iter().find(|known| known.id.as_str() == task)?;
    Some((detail.run, task))
}

/// Returns why a task has no session. `None`: it has one.
fn of_task(run: &RunView, task: &TaskView) -> Option<CliError> {
    let (id, short) = (&task.id, run.id.short());
    let said = |detail: String, hint: String| {
        Some(CliError::from(Problem::new(ProblemKind::Conflict, detail)).hint(hint))
    };
    if let Some(approval) = &task.approval {
        return said(
            format!(
                "task `{id}` waits for approval and has no session yet: {}",
                in_one_line(&approval.prompt)
            ),
            format!("cis dag approve {short} {id}, or cis dag reject {short} {id} --reason \"…\""),
        );
    }
    match task.state {
        TaskState::Pending | TaskState::Queued if task.attempts > 0 => said(
            format!("task `{id}` is {} for its next attempt and has no session now", task.state),
            format!(
                "cis dag why {id} --run {short} says when it starts; cis dag cancel {short} ends the run"
            ),
        ),
        TaskState::Pending | TaskState::Queued => said(
            format!("task `{id}` is {} and has no session yet", task.state),
            format!("cis dag why {id} --run {short}"),
        ),
        TaskState::Running | TaskState::Processing => None,
        state => {
            let code = task.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
            let ago = task.ended_ms.map(|at| format!(", {} ago", span(at, now_ms()))).unwrap_or_default();
            let reason = task.reason.as_deref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
            let hint = match task.attempts {
                0 => format!("cis dag why {id} --run {short}"),
                _ => format!(
                    "cis dag logs {id} --run {short} shows what it wrote; cis dag retry {short} --from {id} runs it again"
                ),
            };
            said(format!("task `{id}` has ended ({state}{code}{ago}){reason}"), hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "calls are shorter so")]
    fn text(task: serde_json::Value) -> String {
        let run: RunView = serde_json::from_value(serde_json::json!({
            "id": cis_core::ids::RunId::from_parts(0, 7).to_string(), "dag": "ship", "state": "running",
            "mode": "local", "node": "did:key:z6Mk", "source": "x", "created_ms": 0, "started_ms": 0,
            "ended_ms": null, "counts": {}, "last_offset": 1,
        }))
        .unwrap();
        let mut all = serde_json::json!({
            "id": "deploy", "state": "pending", "needs": [], "attempts": 0, "session": null, "started_ms": null,
            "ended_ms": null, "exit_code": null,
        });
        all.as_object_mut().unwrap().extend(task.as_object().unwrap().clone());
        let task = serde_json::from_value(all).unwrap();
        let Some(CliError::Problem(problem)) = of_task(&run, &task) else { panic!("{task:?}") };
        format!("{}\n  {}", problem.detail, problem.hint.unwrap())
    }

    #[test]
    fn the_error_says_what_happened_to_the_task_and_what_to_do() {
        let all = [
            serde_json::json!({ "state": "queued", "approval": { "prompt": "Go?" } }),
            serde_json::json!({ "state": "pending" }),
            serde_json::json!({ "state": "queued", "attempts": 1 }),
            serde_json::json!({ "state": "failed", "attempts": 1, "exit_code": 3, "reason": "exit code 3" }),
            serde_json::json!({ "state": "completed", "reason": "skipped: its list is empty" }),
        ];
        insta::assert_snapshot!(all.map(text).join("\n"), @r#"
        task `deploy` waits for approval and has no session yet: Go?
          cis dag approve 000007 deploy, or cis dag reject 000007 deploy --reason "…"
        task `deploy` is pending and has no session yet
          cis dag why deploy --run 000007
        task `deploy` is queued for its next attempt and has no session now
          cis dag why deploy --run 000007 says when it starts; cis dag cancel 000007 ends the run
        task `deploy` has ended (failed, exit code 3): exit code 3
          cis dag logs deploy --run 000007 shows what it wrote; cis dag retry 000007 --from deploy runs it again
        task `deploy` has ended (completed): skipped: its list is empty
          cis dag why deploy --run 000007
        "#);
    }
}
