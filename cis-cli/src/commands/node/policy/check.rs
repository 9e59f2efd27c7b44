//! `cis node policy check`.

use crate::commands::dag::place;
use crate::context::Context;
use crate::dag_file;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_core::api::CheckPolicy;
use cis_core::ids::NodeDid;

/// Say which tasks of a DAG file this node would execute for another node
///
/// Nothing is run. The file has at most 1 MiB. Exit code 1: the policy is against a task.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node policy check ship.toml
  cis node policy check ship.toml --by did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK
  cis node policy check ship.toml --json | jq '.tasks[] | select(.executes | not)'")]
pub(crate) struct Args {
    /// The DAG file; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Room of the run: an id, an alias, or a matrix.to link [default: `federation.room` of the configuration]
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Option<String>,
    /// Node that submits and coordinates the run [default: not known: of the rules for a node, only deny rules match]
    #[arg(long, value_name = "DID")]
    by: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let file = dag_file::read(&args.file)?;
    // What is wrong with the file is said without a node.
    dag_file::parse(&file)?;
    let text = String::from_utf8(file.text)
        .map_err(|_| CliError::bad_input(format!("{} is not UTF-8", file.source)))?;
    let check =
        CheckPolicy { text, source: file.source, room: args.room.clone(), by: args.by.clone().map(NodeDid) };
    let client = context.client()?;
    context.block_on(async {
        let checked = client.check_policy(&check).await?;
        output::show(context.json, &checked, human::policy_check)?;
        Ok(if checked.executes_all { Exit::OK } else { Exit::FAILED })
    })
}
