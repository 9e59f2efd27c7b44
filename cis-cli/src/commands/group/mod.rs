//! `cis group`: concurrency groups.

mod list;
mod remove;
mod set;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What can be done with groups.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(list::Args),
    Set(set::Args),
    Remove(remove::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::List(args) => list::run(context, &args),
        Command::Set(args) => set::run(context, &args),
        Command::Remove(args) => remove::run(context, &args),
    }
}
