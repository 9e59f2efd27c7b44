//! `cis api`: the node's API as it is.

mod get;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What can be asked of it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Get(get::Args),
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<Exit, CliError> {
    match command {
        Command::Get(args) => get::run(context, args),
    }
}
