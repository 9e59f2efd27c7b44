//! `cis matrix subscribe`: what is said in a room, as it is said.

use std::pin::pin;

use cis_core::api::{MatrixRoomEvents, ReadMatrixRoom};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use crate::signals::AnyLeaving;

/// The node answers within this time, also where nothing comes: so soon it is known that the homeserver is away.
const WAIT_MS: u64 = 10_000;

/// Show the messages of a room until Ctrl+C
///
/// Starts with the next message, or after the event that --since names, so that none is missed. Continues after a
/// restart of the node or the homeserver. With --json, each event is a line; its contents are not verified.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix subscribe '#builds:example.org'
  cis matrix subscribe '!aGkO9zfA' --json | jq -r 'select(.type == \"m.room.message\") | .content.body'
  cis matrix subscribe '!aGkO9zfA' --since '$Yb2e1' --json")]
pub(crate) struct Args {
    /// The room: its id, an alias, or a matrix.to link
    #[arg(value_name = "ROOM")]
    room: String,
    /// Start after this event
    #[arg(long, value_name = "EVENT")]
    since: Option<String>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        client.node().await?;
        let client = context.follower(client);
        let mut leaving = AnyLeaving::new()?;
        let mut place = Place { room: args.room, since: args.since, is_away: false };
        loop {
            let query = ReadMatrixRoom { since: place.since.clone(), wait_ms: Some(WAIT_MS) };
            let said = {
                let mut said = pin!(client.read_matrix_room(&place.room, &query));
                tokio::select! {
                    biased;
                    number = leaving.recv() => return Ok(Exit::signal(number)),
                    said = &mut said => said.map_err(|error| context.lost(error, &place.again()))?,
                }
            };
            place.tell(context, said)?;
        }
    })
}

/// Where we are.
struct Place {
    room: String,
    since: Option<String>,
    is_away: bool,
}

impl Place {
    /// The command that goes on here.
    fn again(&self) -> String {
        let since = self.since.as_ref().map(|since| format!(" --since '{since}'")).unwrap_or_default();
        format!("cis matrix subscribe '{}'{since}", self.room)
    }

    fn tell(&mut self, context: &Context, said: MatrixRoomEvents) -> Result<(), CliError> {
        if self.since.is_none() {
            output::note(&format!("Following {}. Ctrl+C leaves.\n", said.room_id));
        }
        match &said.away {
            Some(why) if !self.is_away => output::note(&format!("{why}; waiting for it.\n")),
            None if self.is_away => output::note("The homeserver is back.\n"),
            _ => {}
        }
        self.is_away = said.away.is_some();
        for event in &said.items {
            if context.json {
                output::json_line(event)?;
            } else {
                output::print(&human::matrix_event(event))?;
            }
        }
        // An alias may come to mean another room.
        self.room = said.room_id;
        self.since = Some(said.next);
        Ok(())
    }
}
