//! `cis task output`.

use std::fs::OpenOptions;
use std::io::Write as _;

use cis_core::dag::outputs;

use crate::error::{CliError, Exit};

/// Write outputs of the task, for the tasks that need it
///
/// The same as appending to the file that CIS_OUTPUT names; also writes values of several lines in the correct
/// format.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis task output version=1.4.2 url=https://example.org
  cis task output \"notes=$(cat NOTES.md)\"")]
pub(crate) struct Args {
    /// An output and its value
    #[arg(value_name = "NAME=VALUE", required = true)]
    outputs: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<Exit, CliError> {
    let Some(file) = std::env::var_os("CIS_OUTPUT").filter(|path| !path.is_empty()) else {
        return Err(CliError::bad_input("this session has no outputs: CIS_OUTPUT is not set")
            .hint("tasks of a run have outputs, sessions created alone have none"));
    };
    let mut text = String::new();
    for output in &args.outputs {
        let (name, value) = output.split_once('=').ok_or_else(|| {
            CliError::bad_input(format!("invalid output `{output}`")).hint("for example: version=1.4.2")
        })?;
        text.push_str(&outputs::assignment(name, value).map_err(CliError::bad_input)?);
    }
    let written = OpenOptions::new().append(true).create(true).open(&file).and_then(|mut file| {
        // One write: what several processes append does not mix.
        file.write_all(text.as_bytes())
    });
    written.map_err(|error| {
        CliError::unavailable(format!("cannot write CIS_OUTPUT ({}): {error}", file.display()))
    })?;
    Ok(Exit::OK)
}
