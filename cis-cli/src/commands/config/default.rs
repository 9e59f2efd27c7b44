//! `cis config default`.

use cis_node::config::default_file;

use crate::error::{CliError, Exit};
use crate::output;

/// Print a configuration file with every setting, its default and its meaning
///
/// Every value is commented out, so the file changes nothing until you edit it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis config default
  cis config default > ~/.cis/config.toml")]
pub(crate) struct Args {}

pub(super) fn run() -> Result<Exit, CliError> {
    output::bytes(default_file().as_bytes())?;
    Ok(Exit::OK)
}
