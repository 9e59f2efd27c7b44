//! A file whose tasks an agent works on: `cis dag execute --use-agent`.
//!
//! Owns what becomes of the tasks of a file that was read. Which agents there are is known elsewhere.

use super::model::{Action, Dag, Prompt};

/// Gives every command a terminal, so that it is looked at whether it waits for a human. With a `profile`, the
/// tasks without an agent of their own are given to that one: what they would run is its prompt.
pub fn with_agent(dag: &mut Dag, profile: Option<&str>) {
    for task in &mut dag.tasks {
        task.tty = true;
        let Some(profile) = profile else { continue };
        let text = match &mut task.action {
            Action::Agent { .. } => continue,
            Action::Script { text, .. } => std::mem::take(text),
            Action::Command(argv) => {
                argv.iter().map(|argument| shown(argument)).collect::<Vec<_>>().join(" ")
            }
        };
        task.action = Action::Agent { agent: profile.to_owned(), prompt: Prompt::Text(text) };
    }
}

/// An argument as a shell would have to be told it, where that can be said before its templates have values.
fn shown(argument: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_@%+=:,./-{}".contains(&b);
    if argument.contains("{{") || !argument.is_empty() && argument.bytes().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
version = 1
[dag]
id = \"d\"
[[tasks]]
id = \"lint\"
script = \"cargo clippy\\ncargo fmt\"
tty = false
[[tasks]]
id = \"test\"
command = [\"cargo\", \"test\", \"it's here\", \"{{ run.id }}\"]
needs = [\"lint\"]
[[tasks]]
id = \"review\"
agent = \"claude\"
prompt = \"Look.\"
";

    fn file(profile: Option<&str>) -> Dag {
        let mut dag =
            super::super::parse(FILE.as_bytes(), "d.toml").unwrap_or_else(|wrong| panic!("{wrong}"));
        with_agent(&mut dag, profile);
        dag
    }

    #[test]
    fn without_a_name_every_command_has_a_terminal() {
        let dag = file(None);
        assert!(dag.tasks.iter().all(|task| task.tty));
        assert!(
            matches!(&dag.tasks[0].action, Action::Script { text, .. } if text.starts_with("cargo clippy"))
        );
    }

    #[test]
    fn with_a_name_commands_are_prompts_and_agents_stay() {
        let dag = file(Some("codex"));
        let told: Vec<(&str, &str)> = dag
            .tasks
            .iter()
            .map(|task| match &task.action {
                Action::Agent { agent, prompt: Prompt::Text(text) } => (agent.as_str(), text.as_str()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                ("codex", "cargo clippy\ncargo fmt"),
                ("codex", r"cargo test 'it'\''s here' {{ run.id }}"),
                ("claude", "Look."),
            ]
        );
    }
}
