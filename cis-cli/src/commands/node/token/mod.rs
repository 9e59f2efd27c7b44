//! `cis node token`: who may use the node over TCP.

mod create;
mod list;
mod revoke;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    List(list::Args),
    Revoke(revoke::Args),
}

pub(super) fn run(context: &Context, command: &Command) -> Result<Exit, CliError> {
    match command {
        Command::Create(args) => create::run(context, args),
        Command::List(args) => list::run(context, args),
        Command::Revoke(args) => revoke::run(context, args),
    }
}
