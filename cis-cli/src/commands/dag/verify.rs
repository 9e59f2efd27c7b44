//! `cis dag verify`.

use std::fs::File;
use std::io::{self, Read as _};

use cis_core::federation::export::verify;
use cis_core::federation::membership::Owners;
use cis_core::ids::NodeDid;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// A longer file is no export.
const BYTES_MAX: u64 = 1 << 30;

/// Check a file of `cis dag export`; needs no node
///
/// Checks all signatures, the chain of the journal, the text of the DAG file, and that the journal leads to the states that it
/// claims. Shows who attests what. --owner says who owns the room of the run; get the DIDs from the owners themselves. For
/// a run in a room without owners, give the DID of the node whose run it is. The exit code is 1 if something was
/// changed or is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag verify ship.jsonl --owner did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK
  cis dag verify ship.jsonl --owner did:key:z6Mk… --json | jq .wrong")]
pub(crate) struct Args {
    /// The file; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// An owner of the room; may be given several times
    #[arg(long = "owner", value_name = "DID", required = true)]
    owners: Vec<String>,
    /// How many owners must sign a statement
    #[arg(long, value_name = "N", default_value_t = 1)]
    threshold: usize,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let owners = args.owners.iter().cloned().map(NodeDid).collect();
    let owners = Owners { owners, threshold: args.threshold };
    owners.check().map_err(CliError::bad_input)?;
    let text = read(&args.file)?;
    let verdict = verify(&text, &owners).map_err(|error| CliError::bad_input(error.to_string()))?;
    output::show(context.json, &verdict, human::verdict)?;
    Ok(if verdict.holds() { Exit::OK } else { Exit::FAILED })
}

fn read(name: &str) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if name == "-" {
        io::stdin().lock().take(BYTES_MAX).read_to_string(&mut text)
    } else {
        File::open(name).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(CliError::bad_input(format!("cannot read {name}: {error}"))),
    }
}
