//! Templates whose values others can read: arguments of a program, which all users of the machine can read, and names of
//! files and directories, which stand in events.

use std::collections::BTreeSet;

use super::expr::Name;
use super::scan::{Form, Site, has_template, scan};
use crate::dag::model::{Action, Task};
use crate::ids::TaskId;

/// The values of a task that hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretValues {
    /// Outputs of other tasks, as [`super::referenced_outputs`] names them.
    pub outputs: BTreeSet<(TaskId, String)>,
    /// The task's `item`.
    pub item: bool,
}

impl SecretValues {
    fn has(&self, name: &Name) -> bool {
        match name {
            Name::Output { task, output } => {
                TaskId::new(task).is_ok_and(|task| self.outputs.contains(&(task, output.clone())))
            }
            Name::Item => self.item,
            Name::Param(_) | Name::Tail(_) | Name::RunId | Name::DagId | Name::TaskId | Name::Attempt => {
                false
            }
        }
    }

    /// The first template of a text that refers to one of these values.
    #[must_use]
    pub fn used_in(&self, text: &str) -> Option<String> {
        let found = if has_template(text) { scan(text, Site::Plain).found } else { Vec::new() };
        let secret =
            found.into_iter().find(|found| found.expr.references.iter().any(|of| self.has(&of.name)));
        secret.map(|found| text[found.expr.range].to_owned())
    }
}

/// Where the file has the program that a task's action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramOf {
    /// `command` or `script`.
    Task,
    /// `on_blocked.run`.
    OnBlocked,
}

/// An argument or a name that refers to a value with a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} uses a value that holds a secret ({expression}), and {why}: {hint}")]
pub struct SecretArgument {
    place: String,
    expression: String,
    why: &'static str,
    hint: &'static str,
}

/// Checks that no argument of the task's action, and neither `cwd` nor `artifacts`, refers to a value in `secrets`. What a template makes of the value does
/// not matter: a part of it, or another form of it, is as secret. The prompt of an agent is not checked: the agent's
/// profile says whether it is an argument.
///
/// # Errors
/// The first argument that does.
pub fn check_arguments(task: &Task, of: ProgramOf, secrets: &SecretValues) -> Result<(), SecretArgument> {
    // The variables of a script are no arguments.
    let secret_in = |text: &str, site: Site<'_>| {
        let found = if has_template(text) { scan(text, site).found } else { Vec::new() };
        let secret = found.into_iter().find(|found| {
            found.form == Form::Text && found.expr.references.iter().any(|of| secrets.has(&of.name))
        });
        secret.map(|found| text[found.expr.range].to_owned())
    };
    let found = match &task.action {
        Action::Command(argv) => {
            let mut found = argv.iter().enumerate();
            found.find_map(|(index, text)| Some((Some(index), secret_in(text, Site::Plain)?)))
        }
        Action::Script { text, shell } => secret_in(text, Site::Script(shell)).map(|found| (None, found)),
        Action::Agent { .. } => None,
    };
    let Some((index, expression)) = found else { return check_names(task, secret_in) };
    let place = match (of, index) {
        (ProgramOf::Task, Some(index)) => format!("`command[{index}]`"),
        (ProgramOf::Task, None) => "a `raw` value in `script`".to_owned(),
        (ProgramOf::OnBlocked, Some(index)) => format!("`on_blocked.run[{index}]`"),
        (ProgramOf::OnBlocked, None) => "a `raw` value in `on_blocked.run`".to_owned(),
    };
    let hint = match of {
        ProgramOf::Task => "pass it in `env`, or use it in `script` without `raw`",
        ProgramOf::OnBlocked => {
            "pass it in the `env` of the task, or write `run` as one text (a script) and use it there without `raw`"
        }
    };
    let why = "other users of this machine can read the arguments of programs";
    Err(SecretArgument { place, expression, why, hint })
}

fn check_names(
    task: &Task,
    secret_in: impl Fn(&str, Site<'_>) -> Option<String>,
) -> Result<(), SecretArgument> {
    let cwd = task.cwd.iter().map(|text| ("`cwd`".to_owned(), text));
    let artifacts = task.artifacts.iter().enumerate();
    let artifacts = artifacts.map(|(index, text)| (format!("`artifacts[{index}]`"), text));
    let mut named = cwd.chain(artifacts);
    let found = named.find_map(|(place, text)| Some((place, secret_in(text, Site::Plain)?)));
    let Some((place, expression)) = found else { return Ok(()) };
    let why = "names of files and directories stand in events";
    Err(SecretArgument { place, expression, why, hint: "use a name without it" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(action: Action, of: ProgramOf) -> Result<(), String> {
        let task = Task::new(TaskId::new("deploy").unwrap(), action);
        let outputs = BTreeSet::from([(TaskId::new("login").unwrap(), "tok".to_owned())]);
        check_arguments(&task, of, &SecretValues { outputs, item: true }).map_err(|error| error.to_string())
    }

    fn command(argument: &str) -> Result<(), String> {
        of(Action::Command(vec!["send".to_owned(), argument.to_owned()]), ProgramOf::Task)
    }

    fn script(shell: &str, text: &str) -> Result<(), String> {
        of(Action::Script { text: text.to_owned(), shell: shell.to_owned() }, ProgramOf::Task)
    }

    #[test]
    fn a_secret_is_refused_whatever_the_template_makes_of_it() {
        for argument in [
            "{{ tasks.login.outputs.tok }}",
            "--token={{ tasks.login.outputs.tok | upper }}",
            "{{ tasks.login.outputs.tok[:36] }}",
            "{{ tasks.login.outputs.tok[20:] }}",
            "{{ tasks.login.outputs.tok | replace('-', '') }}",
            "{{ 'a' ~ tasks.login.outputs.tok }}",
            "{{ params.a if params.a else tasks.login.outputs.tok }}",
            "{{ tasks.login.outputs.plain }} {{ tasks.login.outputs.tok | default('x') }}",
            "{{ item }}",
            "{{ item.key }}",
        ] {
            let said = command(argument).unwrap_err();
            assert!(
                said.starts_with("`command[1]` uses a value that holds a secret ({{ "),
                "{argument}: {said}"
            );
        }
        for (shell, text) in [
            ("sh", "echo {{ tasks.login.outputs.tok | raw }}"),
            ("bash", "echo {{ tasks.login.outputs.tok | upper | raw }}"),
            ("python3", "print('{{ tasks.login.outputs.tok[:9] | raw }}')"),
        ] {
            let said = script(shell, text).unwrap_err();
            assert!(said.starts_with("a `raw` value in `script` uses a value that holds"), "{text}: {said}");
        }
    }

    #[test]
    fn other_values_and_variables_of_scripts_are_arguments_as_they_are() {
        for argument in
            ["x", "{{ tasks.login.outputs.plain }}", "{{ tasks.other.outputs.tok }}", "{{ params.tok }}"]
        {
            assert_eq!(command(argument), Ok(()), "{argument}");
        }
        assert_eq!(script("sh", "echo {{ tasks.login.outputs.tok }} \"{{ item }}\""), Ok(()));
        assert_eq!(script("sh", "echo {{ tasks.login.outputs.plain | raw }}"), Ok(()));
    }

    #[test]
    fn a_name_of_a_file_or_directory_is_refused_as_well() {
        let mut task = Task::new(TaskId::new("deploy").unwrap(), Action::Command(vec!["true".to_owned()]));
        let outputs = BTreeSet::from([(TaskId::new("login").unwrap(), "tok".to_owned())]);
        let secrets = SecretValues { outputs, item: false };
        let said =
            |task: &Task| check_arguments(task, ProgramOf::Task, &secrets).map_err(|error| error.to_string());
        task.cwd = Some("/tmp/{{ tasks.login.outputs.plain }}".to_owned());
        task.artifacts = vec!["out".to_owned(), "{{ params.tok }}".to_owned()];
        assert_eq!(said(&task), Ok(()));
        task.artifacts.push("n-{{ tasks.login.outputs.tok[:36] }}".to_owned());
        let refused = said(&task).unwrap_err();
        assert!(
            refused.starts_with("`artifacts[2]` uses") && refused.contains("stand in events"),
            "{refused}"
        );
        task.cwd = Some("/tmp/{{ tasks.login.outputs.tok[:36] }}".to_owned());
        assert!(said(&task).unwrap_err().starts_with("`cwd` uses"));
    }

    #[test]
    fn the_same_holds_for_what_runs_at_a_prompt() {
        let list = Action::Command(vec!["{{ tasks.login.outputs.tok | lower }}".to_owned()]);
        let said = of(list, ProgramOf::OnBlocked).unwrap_err();
        assert!(said.starts_with("`on_blocked.run[0]` uses") && said.contains("as one text"), "{said}");
    }
}
