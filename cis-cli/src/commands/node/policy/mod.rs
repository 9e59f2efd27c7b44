//! `cis node policy`: which tasks of other nodes this node executes.

mod allow;
mod check;
mod deny;
mod remove;
mod selectors;
mod show;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What can be done with the policy.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Show(show::Args),
    Allow(allow::Args),
    Deny(deny::Args),
    Remove(remove::Args),
    Check(check::Args),
}

pub(super) fn run(context: &Context, command: &Command) -> Result<Exit, CliError> {
    match command {
        Command::Show(args) => show::run(context, args),
        Command::Allow(args) => allow::run(context, args),
        Command::Deny(args) => deny::run(context, args),
        Command::Remove(args) => remove::run(context, args),
        Command::Check(args) => check::run(context, args),
    }
}
