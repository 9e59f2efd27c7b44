//! `cis config`: what is configured. Starts no node.

mod check;
mod default;
mod path;
mod show;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Show(show::Args),
    Check(check::Args),
    Path(path::Args),
    Default(default::Args),
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<Exit, CliError> {
    match command {
        Command::Show(args) => show::run(context, args),
        Command::Check(_) => check::run(context),
        Command::Path(_) => path::run(context),
        Command::Default(_) => default::run(),
    }
}
