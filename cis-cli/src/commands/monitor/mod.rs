//! `cis monitor`: recordings of terminals, and what the monitor makes of them. `report` alone needs a node.

mod corpus;
mod files;
mod record;
mod report;
mod test;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What can be done with the monitor.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Record(record::Args),
    Test(test::Args),
    Report(report::Args),
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<Exit, CliError> {
    match command {
        Command::Record(args) => record::run(context, args),
        Command::Test(args) => test::run(context, args),
        Command::Report(args) => report::run(context, args),
    }
}
