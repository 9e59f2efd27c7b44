//! What the rules say of the tasks of a DAG file, before any of them is granted.

use std::collections::BTreeSet;

use super::{Asked, NodeRules, Verdict};
use crate::dag::{Action, Dag, Program, SecretSource, Task, template};
use crate::ids::{NodeDid, TaskId};

/// What a node would do with a task of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forecast {
    /// It stays on the submitting node: no rule is asked.
    Stays,
    /// The node does not lend the agent to other nodes (`federation.agents`).
    AgentNotLent(String),
    /// The rules decide. `by_values`: values that are known only when the task starts can change that.
    Decided {
        /// What they say of the task as it is written.
        verdict: Verdict,
        /// Whether its command or a variable has a template.
        by_values: bool,
    },
}

impl Forecast {
    /// Whether nothing keeps the task from being executed.
    #[must_use]
    pub fn executes(&self) -> bool {
        match self {
            Self::Stays => true,
            Self::AgentNotLent(_) => false,
            Self::Decided { verdict, .. } => verdict.executes(),
        }
    }
}

/// Looks at each task of a file as if another node asked for it. `room` and `by`: the room and the submitting node, if they are
/// known; `lent`: the agents that the node lends.
#[must_use]
pub fn forecast(
    rules: &NodeRules,
    dag: &Dag,
    room: Option<&str>,
    by: Option<&NodeDid>,
    lent: &BTreeSet<String>,
) -> Vec<(TaskId, Forecast)> {
    let of = |task: &Task| (task.id.clone(), of_task(rules, task, room, by, lent));
    dag.tasks.iter().map(of).collect()
}

fn of_task(
    rules: &NodeRules,
    task: &Task,
    room: Option<&str>,
    by: Option<&NodeDid>,
    lent: &BTreeSet<String>,
) -> Forecast {
    if task.stays_home() {
        return Forecast::Stays;
    }
    let program = match &task.action {
        Action::Command(words) => Program::Argv(words.clone()),
        Action::Script { text, shell } => Program::Script { shell: shell.clone(), text: text.clone() },
        Action::Agent { agent, .. } if !lent.contains(agent) => return Forecast::AgentNotLent(agent.clone()),
        Action::Agent { agent, .. } => Program::Agent { agent: agent.clone(), prompt: String::new() },
    };
    let tags = task.placement.as_deref().map_or(&[][..], |placement| &placement.tags);
    // A secret is a variable, and so is the one that it comes from.
    let mut env = task.env.clone();
    for (name, source) in &task.secrets {
        env.entry(name.clone()).or_default();
        if let SecretSource::Env(variable) = source {
            env.entry(variable.clone()).or_default();
        }
    }
    let verdict = rules.decide(&Asked {
        room,
        by: by.map(std::slice::from_ref).unwrap_or_default(),
        // At first, the submitting node coordinates its run.
        coordinator: by,
        tags: Some(tags),
        program: &program,
        env: &env,
    });
    let in_program = match &program {
        Program::Argv(words) => words.iter().any(|word| template::has_template(word)),
        Program::Script { text, .. } => template::has_template(text),
        Program::Agent { .. } => false,
    };
    let by_values = in_program || task.env.values().any(|value| template::has_template(value));
    Forecast::Decided { verdict, by_values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{NodeRule, RuleEffect};

    const TEXT: &[u8] = br#"
version = 1
[dag]
id = "x"
params = { n = { type = "string", default = "1" } }
[dag.defaults]
env = { CC = "gcc" }
[[tasks]]
id = "made"
command = ["make", "-C", "test-{{ params.n }}"]
[[tasks]]
id = "asked"
agent = "claude"
prompt = "do it"
[[tasks]]
id = "here"
cwd = "."
script = "rm -rf x"
[[tasks]]
id = "gone"
script = "rm -rf x"
"#;

    #[test]
    fn each_task_of_a_file_has_its_answer() {
        let dag = crate::dag::parse(TEXT, "x.toml").unwrap();
        let mut rules = NodeRules::default();
        let mut rule = NodeRule::new(RuleEffect::Allow);
        (rule.command, rule.env) = (Some("make *".to_owned()), vec!["CC".to_owned()]);
        rules.apply(1, Some(rule), "uid:1", 1);
        let of = |lent: &[&str]| {
            let lent = lent.iter().map(|name| (*name).to_owned()).collect();
            let all = forecast(&rules, &dag, Some("!r:x"), None, &lent);
            all.into_iter().map(|(_, forecast)| forecast).collect::<Vec<_>>()
        };
        let decided = |verdict, by_values| Forecast::Decided { verdict, by_values };
        let no = || decided(Verdict::NotAllowed(None), false);
        assert_eq!(
            of(&[]),
            [
                decided(Verdict::Allowed(1), true),
                Forecast::AgentNotLent("claude".to_owned()),
                Forecast::Stays,
                no()
            ]
        );
        assert_eq!(of(&["claude"])[1], no());
    }
}
