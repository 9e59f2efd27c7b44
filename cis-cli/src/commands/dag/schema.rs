//! `cis dag schema`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Print the JSON Schema of DAG files, for editors; needs no node
///
/// The schema is Draft-07, as TOML plugins of editors expect. `cis dag validate` also checks names, templates and
/// dependency cycles.
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
