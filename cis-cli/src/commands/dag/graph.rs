//! `cis dag graph`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anstyle::Style;
use cis_core::api::TaskView;
use cis_core::dag::drawing::{Drawn, Look, Net, layers, lines, svg};
use cis_core::dag::{Action, Dag, Handlers};
use cis_core::event::TaskState;
use cis_core::text::cells;
use serde_json::json;

use super::run_or_newest;
use crate::context::Context;
use crate::dag_file;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean, style};

/// Names in words beside a task.
const NEEDS_NAMED: usize = 4;

/// Draw the graph of a DAG file or a run
///
/// Each line is a task, below the tasks that it needs. Tasks with the same needs are in the same column. The graph of
/// a run includes the states of its tasks.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag graph ship.toml
  cis dag graph 4r1xec
  cis dag graph ship.toml --svg=ship.svg
  cis dag graph --svg > newest.svg")]
pub(crate) struct Args {
    /// A DAG file, `-` for standard input, or a run [default: the newest run]
    #[arg(value_name = "FILE|RUN")]
    of: Option<String>,
    /// Print SVG to this file or to standard output
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    svg: Option<PathBuf>,
}

/// What is drawn.
struct Picture {
    title: String,
    tasks: Vec<Task>,
}

struct Task {
    name: String,
    needs: Vec<String>,
    state: Option<TaskState>,
    /// What else is to be said.
    note: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let picture = match args.of.as_deref().filter(|of| is_file(of)) {
        Some(file) => of_file(file)?,
        None => of_run(context, args.of.as_deref())?,
    };
    let net = Net::new(
        picture
            .tasks
            .iter()
            .map(|task| (task.name.as_str(), task.needs.iter().map(String::as_str).collect())),
    );
    if let Some(to) = &args.svg {
        let tasks: Vec<Drawn<'_>> = picture.tasks.iter().map(Task::drawn).collect();
        let text = svg(&net, &picture.title, &tasks).map_err(|e| CliError::bad_input(e.to_string()))?;
        write_svg(to, &text)?;
        return Ok(Exit::OK);
    }
    if context.json {
        output::json_line(&as_json(&picture, &net))?;
    } else {
        output::print(&as_text(&picture, &net))?;
    }
    Ok(Exit::OK)
}

/// Runs have no such names, but a file may have that of a run: then its path tells it apart.
fn is_file(of: &str) -> bool {
    of == "-" || of.contains('/') || of.ends_with(".toml") || Path::new(of).is_file()
}

fn of_file(name: &str) -> Result<Picture, CliError> {
    let file = dag_file::read(name)?;
    let dag = dag_file::parse(&file)?;
    let tasks = dag.tasks.iter().map(|task| Task {
        name: task.id.to_string(),
        needs: task.needs.iter().map(ToString::to_string).collect(),
        state: None,
        note: note(task, &dag),
    });
    Ok(Picture { title: dag.id.clone(), tasks: tasks.collect() })
}

/// The agent that works on it.
fn agent_of(task: &cis_core::dag::Task) -> Option<&str> {
    match &task.action {
        Action::Agent { agent, .. } => Some(agent),
        _ => None,
    }
}

/// What a task is besides its needs.
fn note(task: &cis_core::dag::Task, dag: &Dag) -> Option<String> {
    let Handlers { success, failure, blocked, cancel, always } = &dag.on;
    let on = [
        ("success", success),
        ("failure", failure),
        ("blocked", blocked),
        ("cancel", cancel),
        ("always", always),
    ];
    let mut notes: Vec<String> = on
        .into_iter()
        .filter(|(_, handler)| handler.as_ref() == Some(&task.id))
        .map(|(kind, _)| format!("on {kind}"))
        .collect();
    notes.extend(agent_of(task).map(|agent| format!("agent {agent}")));
    notes.extend(task.foreach.as_ref().map(|_| "foreach".to_owned()));
    notes.extend(task.condition.as_ref().map(|_| "if".to_owned()));
    notes.extend(task.approval.as_ref().map(|_| "approval".to_owned()));
    (!notes.is_empty()).then(|| notes.join(", "))
}

fn of_run(context: &Context, name: Option<&str>) -> Result<Picture, CliError> {
    let client = context.client()?;
    let detail = context.block_on(async {
        let run = run_or_newest(&client, name).await?;
        Ok(client.run(&run).await?)
    })?;
    let names: BTreeMap<String, ()> = detail.tasks.iter().map(|task| (task.id.to_string(), ())).collect();
    let title = format!("{} {} ({})", detail.run.dag, detail.run.id.short(), detail.run.state);
    let tasks = detail.tasks.iter().map(|task| Task {
        name: task.id.to_string(),
        needs: needs_of(task, &names),
        state: Some(task.state),
        note: note_of(task),
    });
    Ok(Picture { title, tasks: tasks.collect() })
}

/// Who works on it, and why it is in its state.
fn note_of(task: &TaskView) -> Option<String> {
    let agent = task.agent.as_ref().map(|agent| format!("agent {agent}"));
    let notes: Vec<String> = agent.into_iter().chain(task.reason.clone()).collect();
    (!notes.is_empty()).then(|| notes.join(", "))
}

/// An item stands after the task that it is of.
fn needs_of(task: &TaskView, names: &BTreeMap<String, ()>) -> Vec<String> {
    let mut needs: Vec<String> = task.needs.iter().map(ToString::to_string).collect();
    if let Some((of, number)) = task.id.as_str().rsplit_once('.')
        && needs.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && names.contains_key(of)
    {
        needs.push(of.to_owned());
    }
    needs
}

impl Task {
    fn look(&self) -> Look {
        match self.state {
            None => Look::Plain,
            Some(TaskState::Pending | TaskState::Queued) => Look::Waiting,
            Some(TaskState::Running | TaskState::Processing) => Look::Running,
            Some(TaskState::Succeeded) => Look::Good,
            Some(TaskState::Completed) => Look::Done,
            Some(TaskState::Failed | TaskState::Error) => Look::Bad,
            Some(TaskState::Cancelled) => Look::Cancelled,
        }
    }

    fn style(&self) -> Style {
        self.state.map_or(style::PLAIN, style::task)
    }

    fn drawn(&self) -> Drawn<'_> {
        let state = self.state.map(|state| state.to_string());
        let detail: Vec<&str> = state.as_deref().into_iter().chain(self.note.as_deref()).collect();
        Drawn { name: &self.name, look: self.look(), detail: detail.join(", ") }
    }
}

fn as_text(picture: &Picture, net: &Net) -> String {
    let mut text = format!("{}\n", clean(&picture.title));
    let states = picture.tasks.iter().any(|task| task.state.is_some());
    let width = picture.tasks.iter().map(|task| cells(&clean(&task.name))).max().unwrap_or(0);
    let dim = style::DIM;
    for line in lines(net) {
        let task = &picture.tasks[line.task];
        let (mark, of_state) = (task.look().mark(), task.style());
        let _ = write!(
            text,
            "{dim}{}{dim:#}{of_state}{mark}{of_state:#}{dim}{}{dim:#} ",
            line.before, line.after
        );
        let name = clean(&task.name);
        let mut rest = format!("{name}{:fill$}", "", fill = width - cells(&name));
        if states {
            let state = task.state.map(|state| state.to_string()).unwrap_or_default();
            let _ = write!(rest, "  {of_state}{state:10}{of_state:#}");
        }
        if let Some(note) = &task.note {
            let _ = write!(rest, "  {}", clean(note));
        }
        if !task.needs.is_empty() {
            let _ = write!(rest, "  {dim}← {}{dim:#}", clean(&named(&task.needs)));
        }
        text.push_str(rest.trim_end());
        text.push('\n');
    }
    text
}

/// The first names, and how many more there are.
fn named(names: &[String]) -> String {
    let shown = names.get(..NEEDS_NAMED).unwrap_or(names).join(", ");
    match names.len().saturating_sub(NEEDS_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn as_json(picture: &Picture, net: &Net) -> serde_json::Value {
    let layers = layers(net);
    let tasks = picture.tasks.iter().zip(layers).map(
        |(task, layer)| json!({ "id": task.name, "needs": task.needs, "layer": layer, "state": task.state }),
    );
    json!({ "title": picture.title, "tasks": tasks.collect::<Vec<_>>() })
}

fn write_svg(to: &Path, text: &str) -> Result<(), CliError> {
    if to.as_os_str() == "-" {
        return output::bytes(text.as_bytes());
    }
    std::fs::write(to, text).map_err(|e| CliError::bad_input(format!("cannot write {}: {e}", to.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(states: bool) -> (Picture, Net) {
        let tasks = [("fetch", ""), ("lint", "fetch"), ("unit", "fetch"), ("ship", "lint unit")];
        let state = [TaskState::Succeeded, TaskState::Failed, TaskState::Running, TaskState::Pending];
        let tasks = tasks.iter().zip(state).map(|((name, needs), state)| Task {
            name: (*name).to_owned(),
            needs: needs.split_whitespace().map(str::to_owned).collect(),
            state: states.then_some(state),
            note: (states && *name == "lint").then(|| "exit code 1\u{1b}[2J".to_owned()),
        });
        let picture = Picture { title: "x".to_owned(), tasks: tasks.collect() };
        let net = Net::new(
            picture
                .tasks
                .iter()
                .map(|task| (task.name.as_str(), task.needs.iter().map(String::as_str).collect())),
        );
        (picture, net)
    }

    #[test]
    fn a_file_and_a_run_as_text() {
        let text = |states| {
            let (picture, net) = picture(states);
            anstream::adapter::strip_str(&as_text(&picture, &net)).to_string()
        };
        insta::assert_snapshot!("graph_of_a_file", text(false));
        insta::assert_snapshot!("graph_of_a_run", text(true));
    }

    #[test]
    fn many_needs_are_counted() {
        let names: Vec<String> = (0..6).map(|n| n.to_string()).collect();
        assert_eq!(named(&names), "0, 1, 2, 3 and 2 more");
        assert_eq!(named(&names[..4]), "0, 1, 2, 3");
    }
}
