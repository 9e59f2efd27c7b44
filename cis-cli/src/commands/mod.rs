//! The verbs. Each file holds one: its arguments, whose doc comments are the help, and what it does.

pub(crate) mod answer;
pub(crate) mod api;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dag;
pub(crate) mod doctor;
pub(crate) mod group;
pub(crate) mod gui;
pub(crate) mod identity;
pub(crate) mod inbox;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod matrix;
pub(crate) mod monitor;
pub(crate) mod node;
pub(crate) mod session;
pub(crate) mod session_host;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod task;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::error::{CliError, Exit};

/// What works on files or processes of the node, or with rights that no token gives, and cannot be done from afar.
fn needs_this_machine(command: &Command) -> Option<&'static str> {
    match command {
        Command::Node(node::Command::Start(_)) => Some("node start"),
        Command::Node(node::Command::Token(_)) => Some("node token"),
        Command::Store(store::Command::Gc(_)) => None,
        Command::Store(_) => Some("store"),
        Command::Task(_) => Some("task"),
        Command::Init(_) => Some("init"),
        Command::Doctor(_) => Some("doctor"),
        _ => None,
    }
}

/// Runs what was asked for.
pub(crate) fn run(cli: Cli) -> Result<Exit, CliError> {
    // What needs neither a home nor a node.
    match &cli.command {
        Command::Completions(args) => return completions::run(args),
        Command::Man(args) => return man::run(args),
        _ => {}
    }
    let context = Context::new(cli.globals, &cli.elsewhere, cli.overrides)?;
    if !context.is_remote() && !matches!(cli.command, Command::Doctor(_)) {
        context.home.check().map_err(|error| CliError::bad_input(error.to_string()))?;
    }
    let serves = matches!(cli.command, Command::Node(node::Command::Serve(_)) | Command::SessionHost(_));
    if context.in_session() && !serves {
        // A command inside a session has only the session's rights, and the host must see whether it waits
        // for its terminal.
        let _ = cis_local::reveal();
    }
    crate::term::record::restore_left(&context.home.runtime);
    if let Some(verb) = needs_this_machine(&cli.command) {
        context.not_remote(verb)?;
    }
    match cli.command {
        Command::Dag(command) => dag::run(&context, command),
        Command::Session(command) => session::run(&context, command),
        Command::Inbox(args) => inbox::run(&context, &args),
        Command::Gui(args) => gui::run(&context, &cli.elsewhere, &args),
        Command::Answer(args) => answer::run(&context, &args),
        Command::Task(command) => task::run(&context, &command),
        Command::Node(command) => node::run(&context, command),
        Command::Store(command) => store::run(&context, command),
        Command::Monitor(command) => monitor::run(&context, &command),
        Command::Group(command) => group::run(&context, command),
        Command::Identity(command) => identity::run(&context, command),
        Command::Matrix(command) => matrix::run(&context, command),
        Command::Api(command) => api::run(&context, &command),
        Command::Status(args) => status::run(&context, &args),
        Command::Init(args) => init::run(&context, &args),
        Command::Doctor(args) => doctor::run(&context, &args),
        Command::Config(command) => config::run(&context, &command),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::SessionHost(args) => session_host::run(&context, &args),
    }
}
