//! `cis identity`: who the node is, and whom it trusts.

mod revoke;
mod rotate;
mod show;
mod trust;
mod untrust;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What can be done about it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Show(show::Args),
    Rotate(rotate::Args),
    Trust(trust::Args),
    Untrust(untrust::Args),
    Revoke(revoke::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Show(args) => show::run(context, &args),
        Command::Rotate(args) => rotate::run(context, &args),
        Command::Trust(args) => trust::run(context, &args),
        Command::Untrust(args) => untrust::run(context, &args),
        Command::Revoke(args) => revoke::run(context, &args),
    }
}
