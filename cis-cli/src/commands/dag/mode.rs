//! `cis dag mode`.

use cis_core::api::{ModeView, SetMode};
use cis_core::event::ExecutionMode;

use super::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::clean::clean;
use crate::output::{self, human};

/// Change a run's mode: local, hybrid (a room follows it), or matrix (the nodes of a room share it)
///
/// The run must not have ended. The room first gets the run's history. A room that no longer follows the run keeps
/// the messages that it has.
///
/// With `matrix`, tasks that have started finish on this node, and the others run on any node of the room. Those that need something of
/// this node are listed.
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
        let changed = client.set_mode(&args.run, &SetMode { mode, room: args.room.clone() }).await?;
        output::show(context.json, &changed, |ModeView { run, bound }| {
            let said = match (&run.room, run.mode) {
                (Some(room), ExecutionMode::Matrix) => {
                    format!("is {} now: nodes of {} share it", run.mode, clean(room))
                }
                (Some(room), _) => format!("is {} now: {} follows it", run.mode, clean(room)),
                (None, _) => format!("is {} now", run.mode),
            };
            super::said(run, &said) + human::bound_tasks(bound).as_str()
        })?;
        // The mode has changed, whatever else cannot be asked.
        if let (ExecutionMode::Matrix, Some(room)) = (changed.run.mode, &changed.run.room)
            && let Ok(nodes) = client.nodes(Some(room)).await
            && nodes.items.iter().all(|node| node.slots == 0)
        {
            output::note(
                "No node of the room offers to execute tasks yet: `cis node list` shows the nodes.\n",
            );
        }
        Ok(Exit::OK)
    })
}
