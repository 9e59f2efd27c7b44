//! From a draft to a task. All names in it are checked by now.

use super::super::super::graph::Edges;
use super::super::super::model::{
    Action, Approval, Cache, CacheKey, DEFAULT_GRACE_MS, Foreach, Placement, Prompt, Task,
};
use super::super::action::{DraftAction, DraftPrompt};
use super::super::extras::Items;
use super::super::task::{Draft, is_id};
use crate::ids::TaskId;

impl Draft {
    /// What a script is for.
    pub(super) fn shell(&self) -> &str {
        self.layer.shell.as_ref().map_or("sh", |shell| shell.value.as_str())
    }
}

impl DraftAction {
    /// What it is once its names are known to be right; `shell` is for scripts.
    pub(in crate::dag::spec) fn finish(self, shell: &str) -> Action {
        match self {
            Self::Command(argv) => Action::Command(argv.into_iter().map(|argument| argument.value).collect()),
            Self::Script(script) => Action::Script { text: script.value, shell: shell.to_owned() },
            Self::Agent { agent, prompt: DraftPrompt::Text(text) } => {
                Action::Agent { agent, prompt: Prompt::Text(text.value) }
            }
            Self::Agent { agent, prompt: DraftPrompt::File(path) } => {
                Action::Agent { agent, prompt: Prompt::File(path.value) }
            }
        }
    }
}

/// The tasks, which share the texts of their ids; none where something in a draft was wrong. `edges`: the needs of all of them.
pub(super) fn all(drafts: Vec<Draft>, edges: &Edges) -> Option<Vec<Task>> {
    let good = |draft: &Draft| TaskId::new(&draft.id.as_ref().filter(|id| is_id(&id.value))?.value).ok();
    let ids = drafts.iter().map(good).collect::<Option<Vec<TaskId>>>()?;
    let mut tasks = Vec::with_capacity(drafts.len());
    for (draft, number) in drafts.into_iter().zip(0u32..) {
        // The edges give the last need first.
        let mut needs: Vec<TaskId> = edges.needs(number).map(|need| ids[need as usize].clone()).collect();
        needs.reverse();
        tasks.push(finished(draft, ids[number as usize].clone(), needs)?);
    }
    Some(tasks)
}

fn finished(draft: Draft, id: TaskId, needs: Vec<TaskId>) -> Option<Task> {
    let shell = draft.shell().to_owned();
    let action = draft.action?.finish(&shell);
    let layer = *draft.layer;
    // What holds for the other tasks of the file does not take an agent's terminal away.
    let needs_tty = matches!(action, Action::Agent { .. });
    let on_blocked = layer.on_blocked.finish(&shell);
    let mut task = Task {
        needs,
        trigger: layer.trigger.map(|trigger| trigger.value).unwrap_or_default(),
        priority: layer.priority.unwrap_or(0),
        group: layer.group,
        placement: placement(layer.tags, layer.nodes),
        env: layer.env.into_iter().map(|(name, placed)| (name, placed.value)).collect(),
        cwd: layer.cwd.map(|cwd| cwd.value),
        tty: needs_tty || layer.tty.unwrap_or(true),
        keeps_log: layer.keeps_log.unwrap_or(false),
        secrets: layer.secrets.into_iter().map(|(name, placed)| (name, placed.value)).collect(),
        timeout_ms: layer.timeout_ms,
        idle_ms: layer.idle_ms,
        grace_ms: layer.grace_ms.unwrap_or(DEFAULT_GRACE_MS),
        retries: layer.retries.policy(),
        allow_failure: layer.allow_failure.unwrap_or(false),
        outputs: draft.outputs,
        retry_lost: layer.retry_lost.unwrap_or(true),
        commit: layer.commit.unwrap_or_default(),
        on_blocked,
        ..Task::new(id, action)
    };
    if let Some(extras) = draft.extras {
        task.condition = extras.condition.map(|condition| condition.value);
        task.foreach = extras.foreach.map(|foreach| match foreach.value {
            Items::List(items) => Foreach::Items(items),
            Items::Expression(text) => Foreach::Expression(text.value),
        });
        task.approval = extras.approval.map(|asked| Approval {
            prompt: asked.prompt.value,
            timeout_ms: asked.timeout_ms,
            allowed: asked.allowed.map(Box::new),
        });
        task.artifacts = extras.artifacts.into_iter().map(|glob| glob.value).collect();
        task.inputs = extras.inputs;
        task.cache = extras.cache.map(|cache| Cache {
            key: cache.key.map_or(CacheKey::Auto, |key| CacheKey::Text(key.value)),
            ttl_ms: cache.ttl_ms,
        });
    }
    Some(task)
}

fn placement(tags: Option<Vec<String>>, nodes: Option<Vec<String>>) -> Option<Box<Placement>> {
    let placement = Placement { tags: tags.unwrap_or_default(), nodes: nodes.unwrap_or_default() };
    (placement != Placement::default()).then(|| Box::new(placement))
}
