//! `cis session`: sessions without a run.

mod create;
mod exec;
mod list;
mod terminate;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What can be done with sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    Exec(exec::Args),
    List(list::Args),
    Terminate(terminate::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Create(args) => create::run(context, args),
        Command::Exec(args) => exec::run(context, &args),
        Command::List(args) => list::run(context, &args),
        Command::Terminate(args) => terminate::run(context, &args),
    }
}
