//! `cis dag validate`.

use serde::Serialize;

use super::run::Params;
use crate::context::Context;
use crate::dag_file::{self, Checked};
use crate::error::{CliError, Exit};
use crate::output;

/// Checks a DAG file without running it; needs no node
///
/// Every mistake is shown with its line and column. With --param, their values are checked as well.
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
    #[serde(flatten)]
    checked: Checked,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let file = dag_file::read(&args.file)?;
    let checked = dag_file::check(&file, &args.params.by_name()?)?;
    let valid = Valid { valid: true, source: file.source, checked };
    output::show(context, &valid, |valid| {
        let Checked { dag, tasks, .. } = &valid.checked;
        let s = if *tasks == 1 { "" } else { "s" };
        format!("{} is valid: {dag}, {tasks} task{s}\n", output::clean::clean(&valid.source))
    })?;
    Ok(Exit::OK)
}
