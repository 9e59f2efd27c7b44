//! `cis node`: the process that does the work.

mod drain;
mod force;
mod invite;
mod join;
mod list;
mod pause;
mod policy;
pub(super) mod probe;
mod schema;
mod serve;
mod show;
mod start;
mod status;
mod stop;
mod token;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Exit};

pub(crate) use start::ensure_observer;
pub(crate) use status::view;

/// What can be done with a node.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Start(start::Args),
    Stop(stop::Args),
    Status(status::Args),
    Invite(invite::Args),
    Join(join::Args),
    List(list::Args),
    Show(show::Args),
    Drain(drain::Args),
    Undrain(drain::UndrainArgs),
    Pause(pause::Args),
    Resume(pause::ResumeArgs),
    /// Which tasks of other nodes this node executes
    #[command(subcommand)]
    Policy(policy::Command),
    Schema(schema::Args),
    /// Tokens for using the node over TCP
    #[command(subcommand)]
    Token(token::Command),
    #[command(hide = true)]
    Serve(serve::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Start(args) => start::run(context, &args),
        Command::Stop(args) => stop::run(context, &args),
        Command::Serve(args) => serve::run(context, &args),
        Command::Invite(args) => invite::run(context, &args),
        Command::Join(args) => join::run(context, &args),
        Command::List(args) => list::run(context, &args),
        Command::Show(args) => show::run(context, &args),
        Command::Drain(_) => drain::run(context, true),
        Command::Undrain(_) => drain::run(context, false),
        Command::Pause(_) => pause::run(context, true),
        Command::Resume(_) => pause::run(context, false),
        Command::Policy(command) => policy::run(context, &command),
        Command::Schema(args) => schema::run(&args),
        Command::Status(_) => status::run(context),
        Command::Token(command) => token::run(context, &command),
    }
}
