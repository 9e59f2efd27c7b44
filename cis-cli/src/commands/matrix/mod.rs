//! `cis matrix`: the node's account, and its rooms.

mod audit;
mod create_room;
mod invite;
mod join;
mod list_rooms;
mod login;
mod logout;
mod sso;
mod subscribe;
mod verify;
mod whoami;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// What can be done with the account.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Login(login::Args),
    Logout(logout::Args),
    Whoami(whoami::Args),
    Verify(verify::Args),
    CreateRoom(create_room::Args),
    ListRooms(list_rooms::Args),
    Invite(invite::Args),
    Join(join::Args),
    Subscribe(subscribe::Args),
    Audit(audit::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Login(args) => login::run(context, args),
        Command::Logout(args) => logout::run(context, &args),
        Command::Whoami(args) => whoami::run(context, &args),
        Command::Verify(args) => verify::run(context, args),
        Command::CreateRoom(args) => create_room::run(context, args),
        Command::ListRooms(args) => list_rooms::run(context, &args),
        Command::Invite(args) => invite::run(context, args),
        Command::Join(args) => join::run(context, args),
        Command::Subscribe(args) => subscribe::run(context, args),
        Command::Audit(args) => audit::run(context, &args),
    }
}
