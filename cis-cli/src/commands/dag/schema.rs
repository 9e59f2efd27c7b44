//! `cis dag schema`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Prints the JSON Schema of DAG files, for editors; needs no node
///
/// Draft-07, which editors' TOML plugins read. `cis dag validate` checks more: names, templates, cycles.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag schema > cis-dag.schema.json
  (then, as the first line of a DAG file:  #:schema ./cis-dag.schema.json)")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _: &Args) -> Result<Exit, CliError> {
    let schema = cis_core::dag::schema();
    output::show(context.json, &schema, |schema| format!("{schema:#}\n"))?;
    Ok(Exit::OK)
}
