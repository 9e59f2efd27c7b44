//! `cis store`: the database of the node.

mod check;
mod rebuild;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What can be done with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(check::Args),
    Rebuild(rebuild::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Check(args) => check::run(context, &args),
        Command::Rebuild(args) => rebuild::run(context, &args),
    }
}

/// An error of the store as a command reports it.
fn failed(error: &cis_core::store::StoreError) -> CliError {
    CliError::unavailable(error.to_string())
}
