//! `cis dag mode`.

use cis_core::api::SetMode;
use cis_core::event::ExecutionMode;

use super::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::clean::clean;

/// Change a run's mode: local, hybrid (a room follows it), or matrix (the nodes of a room share it)
///
/// The run must not have ended. The room first gets the run's history. A room that no longer follows the run keeps
/// the messages that it has.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag mode 4r1xec hybrid --room '#builds:example.org'
  cis dag mode 4r1xec matrix --room '#builds:example.org'
  cis dag mode 4r1xec local")]
pub(crate) struct Args {
    /// The run: its id, the beginning or the last characters of it
    #[arg(value_name = "RUN")]
    run: String,
    /// `local`: only on this node; `hybrid`: on this node, and a room follows it; `matrix`: on the nodes of the room
    #[arg(value_name = "MODE")]
    mode: Word,
    /// The room: an id, an alias, or a matrix.to link [default: the run's room, or `dag.room_id`]
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Word {
    Local,
    Hybrid,
    Matrix,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let mode = match args.mode {
        Word::Local if args.room.is_some() => {
            return Err(CliError::bad_input("a local run has no room").hint("omit --room, or use `hybrid`"));
        }
        Word::Local => ExecutionMode::Local,
        Word::Hybrid => ExecutionMode::Hybrid,
        Word::Matrix => ExecutionMode::Matrix,
    };
    let client = context.client()?;
    context.block_on(async {
        let run = client.set_mode(&args.run, &SetMode { mode, room: args.room.clone() }).await?;
        output::show(context.json, &run, |run| match &run.room {
            Some(room) => super::said(run, &format!("is {} now: {} follows it", run.mode, clean(room))),
            None => super::said(run, &format!("is {} now", run.mode)),
        })?;
        Ok(Exit::OK)
    })
}
