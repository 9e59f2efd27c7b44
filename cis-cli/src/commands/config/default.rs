//! `cis config default`.

use cis_node::config::default_file;

use crate::error::{CliError, Exit};
use crate::output;

/// Prints a configuration file with every setting, its default and what it is for
///
/// As it is it changes nothing: every value is a comment.
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
