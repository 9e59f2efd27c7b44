//! `cis dag validate`.

use std::path::Path;

use cis_core::dag::{Action, Task};
use cis_core::event::ExecutionMode;
use cis_node::config::missing_agents;
use serde::Serialize;

use super::run::Params;
use crate::context::{Context, current_dir};
use crate::dag_file::{self, Checked};
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::style::ATTENTION;

/// Check a DAG file without running it; needs no node
///
/// Shows every error with its line and column. With --param, checks the values of parameters as well. Warns about
/// agents that this machine cannot start; a run of the file would be refused here.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag validate ship.toml
  cis dag validate ship.toml --param branch=main
  generate-dag | cis dag validate -")]
pub(crate) struct Args {
    /// The DAG file; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    params: Params,
}

#[derive(Serialize)]
struct Valid {
    valid: bool,
    source: String,
    /// What would keep a run from being started here, though the file is right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(flatten)]
    checked: Checked,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let file = dag_file::read(&args.file)?;
    let checked = dag_file::check(&file, &args.params.by_name()?)?;
    let warnings = agents_missing(context, &checked)?;
    let valid = Valid { valid: true, source: file.source, warnings, checked };
    if !context.json {
        for warning in &valid.warnings {
            output::note(&format!("{ATTENTION}warning{ATTENTION:#}: {}\n", output::clean::clean(warning)));
        }
    }
    output::show(context.json, &valid, |valid| {
        let Checked { dag, tasks, .. } = &valid.checked;
        let s = if *tasks == 1 { "" } else { "s" };
        format!("{} is valid: {dag}, {tasks} task{s}\n", output::clean::clean(&valid.source))
    })?;
    // The process ends here; giving the memory of 100,000 tasks back piece by piece would take longer than its end.
    std::mem::forget(valid);
    Ok(Exit::OK)
}

/// Agents of the file that this machine does not have, by the configuration and the environment of this command.
fn agents_missing(context: &Context, checked: &Checked) -> Result<Vec<String>, CliError> {
    let is_agent = |task: &Task| matches!(task.action, Action::Agent { .. });
    if !checked.file.tasks.iter().any(is_agent) {
        return Ok(Vec::new());
    }
    let (agents, workdir) = (context.config()?.settings.agents, current_dir()?);
    Ok(missing_agents(&checked.file, ExecutionMode::Local, &agents, None, Path::new(&workdir)))
}
