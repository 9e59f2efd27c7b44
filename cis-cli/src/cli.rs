//! The tree of commands, and which verb each one runs. Arguments and help of a verb are in its own file.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    answer, api, completions, config, dag, doctor, group, gui, identity, inbox, init, man, matrix, monitor,
    node, session, session_host, status, store, task,
};
use crate::context::{Context, Globals};
use crate::error::{CliError, EXIT_CODES, Exit};
use crate::remote::Elsewhere;
use crate::term::record;

/// Run DAGs of commands and agents in durable terminal sessions.
///
/// A TOML file describes the work as tasks. Each task runs in its own terminal session. You can attach to a session
/// from anywhere, and it continues when the node or this command ends.
#[derive(Debug, Parser)]
#[command(name = "cis", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = format!(
    "{EXIT_CODES}\n\nStart with `cis init --sample`, then `cis dag run hello.toml`."
))]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// Override a setting for this command; `cis config show` lists the settings
    #[arg(short = 'c', long = "config", value_name = "KEY=VALUE", help_heading = "Global options")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) elsewhere: Elsewhere,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs, their tasks and sessions
    #[command(subcommand)]
    Dag(dag::Command),
    /// Create sessions without a run; list and end any session
    #[command(subcommand)]
    Session(session::Command),
    Inbox(inbox::Args),
    Answer(answer::Args),
    /// For commands inside a session: ask people, notify them, hand in results
    #[command(subcommand)]
    Task(task::Command),
    /// The node: the process that runs DAGs
    #[command(subcommand)]
    Node(node::Command),
    /// The node's database and files: check, clean up, back up
    #[command(subcommand)]
    Store(store::Command),
    /// Terminal recordings, and what the monitor detects in them
    #[command(subcommand)]
    Monitor(monitor::Command),
    /// Concurrency groups: limits on how many tasks run at a time
    #[command(subcommand)]
    Group(group::Command),
    /// The node's identity, and the nodes that it trusts
    #[command(subcommand)]
    Identity(identity::Command),
    /// The node's Matrix account and rooms
    #[command(subcommand)]
    Matrix(matrix::Command),
    /// Direct access to the node's API
    #[command(subcommand)]
    Api(api::Command),
    Gui(gui::Args),
    Status(status::Args),
    Init(init::Args),
    Doctor(doctor::Args),
    /// Settings and where their values come from
    #[command(subcommand)]
    Config(config::Command),
    Completions(completions::Args),
    Man(man::Args),
    #[command(hide = true)]
    SessionHost(session_host::Args),
}

/// Whether `--json` stands among arguments that are not those of any command. What follows `--` belongs to a program.
pub(crate) fn asks_for_json(args: impl Iterator<Item = OsString>) -> bool {
    args.take_while(|arg| arg != "--").any(|arg| arg == "--json")
}

/// Maximum number of commands that are named for an unknown subcommand.
const SUGGESTED_MAX: usize = 6;

/// Adds to the error of an unknown subcommand where a command of that name is: `cis session attach` is `cis dag attach`.
pub(crate) fn suggest(error: &mut clap::Error) {
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return };
    let mut found = Vec::new();
    commands_named(name, &Cli::command(), "cis", &mut found);
    let tip = match &found[..] {
        [] => return,
        [one] => format!("a command with this name exists: {one}"),
        _ if found.len() > SUGGESTED_MAX => return,
        several => format!("commands with this name exist: {}", several.join(", ")),
    };
    let mut tips = match error.remove(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(tips)) => tips,
        _ => Vec::new(),
    };
    tips.push(tip.into());
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
}

/// Finds all commands of this name below `command`, which is called by `path`.
fn commands_named(name: &str, command: &clap::Command, path: &str, found: &mut Vec<String>) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let path = format!("{path} {}", sub.get_name());
        commands_named(name, sub, &path, found);
        if sub.get_name() == name {
            found.push(format!("'{path}'"));
        }
    }
}

impl Cli {
    /// Runs what was asked for.
    pub(crate) fn run(self) -> Result<Exit, CliError> {
        // What needs neither a home nor a node.
        match &self.command {
            Command::Completions(args) => return completions::run(args, &Self::command()),
            Command::Man(args) => return man::run(args, Self::command()),
            _ => {}
        }
        let context = Context::new(self.globals, &self.elsewhere, self.overrides)?;
        if !context.is_remote() && !matches!(self.command, Command::Doctor(_)) {
            context.home.check().map_err(|error| CliError::bad_input(error.to_string()))?;
        }
        let serves = matches!(self.command, Command::Node(node::Command::Serve(_)) | Command::SessionHost(_));
        if context.in_session() && !serves {
            // A command inside a session has only the session's rights, and the host must see whether it waits
            // for its terminal.
            let _ = cis_local::reveal();
        }
        record::restore_left(&context.home.runtime);
        if let Some(verb) = needs_this_machine(&self.command) {
            context.not_remote(verb)?;
        }
        match self.command {
            Command::Dag(command) => dag::run(&context, command),
            Command::Session(command) => session::run(&context, command),
            Command::Inbox(args) => inbox::run(&context, &args),
            Command::Gui(args) => gui::run(&context, &self.elsewhere, &args),
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
            Command::Completions(args) => completions::run(&args, &Self::command()),
            Command::Man(args) => man::run(&args, Self::command()),
            Command::SessionHost(args) => session_host::run(&context, &args),
        }
    }
}

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

#[cfg(test)]
mod tests;
