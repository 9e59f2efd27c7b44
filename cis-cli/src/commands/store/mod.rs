//! `cis store`: the database of the node.

mod backup;
mod check;
mod gc;
mod lost;
mod meter;
mod rebuild;
mod restore;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::home::refuse_in_session;
use crate::output;

/// What can be done with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(check::Args),
    Rebuild(rebuild::Args),
    Gc(gc::Args),
    Backup(backup::Args),
    Restore(restore::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Check(args) => check::run(context, &args),
        Command::Rebuild(args) => rebuild::run(context, &args),
        Command::Gc(args) => gc::run(context, &args),
        Command::Backup(args) => backup::run(context, &args),
        Command::Restore(args) => restore::run(context, &args),
    }
}

/// What works on the files of the home asks no node who may do it: a session may not.
fn not_in_session(context: &Context, verb: &str) -> Result<(), CliError> {
    // Without its environment it is known by its limit.
    if context.in_session() || refuse_in_session(&context.home.dir).is_err() {
        return Err(CliError::bad_input(format!("`cis {verb}` is not allowed inside a session"))
            .hint("a session only has the rights of its own task: run the command outside of sessions"));
    }
    Ok(())
}

/// Says on stderr that a command waits until a backup or a cleaning has ended, if it will. `alone`: also for a backup.
fn note_waiting(context: &Context, alone: bool) {
    if cis_node::upkeep::is_busy(&context.home.dir, alone) {
        let what = if alone { "a backup or a cleaning" } else { "a cleaning" };
        output::note(&format!("{what} of this home is under way: waiting until it has ended\n"));
    }
}

/// An error of the store as a command reports it.
fn failed(error: &cis_store::StoreError) -> CliError {
    CliError::unavailable(error.to_string())
}

/// An error of looking after the home as a command reports it.
fn upkeep_failed(error: cis_node::upkeep::UpkeepError) -> CliError {
    match error {
        // Somebody at the end of a pipe had enough.
        cis_node::upkeep::UpkeepError::Write(why) if why.kind() == std::io::ErrorKind::BrokenPipe => {
            CliError::OutputClosed
        }
        error => cis_core::api::Problem::from(&error).into(),
    }
}
