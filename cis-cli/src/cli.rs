//! The tree of commands. What each verb takes and says of itself stands in its own file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    answer, api, completions, config, dag, doctor, group, gui, identity, inbox, init, man, matrix, monitor,
    node, session, session_host, status, store, task,
};

/// How commands end, for their help.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 done or succeeded, 1 the run failed, 2 bad input, 3 error, 4 cancelled,
128+N left because of signal N.";

/// Runs DAGs of commands and agents in sessions that survive.
///
/// Work is written as tasks in a TOML file; every task runs in a terminal session of its own, to which you can
/// attach from anywhere, and which goes on when the node or this command ends.
#[derive(Debug, Parser)]
#[command(name = "cis", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = format!(
    "{EXIT_CODES}\n\nStart with `cis init --sample`, then `cis dag run hello.toml`."
))]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// Sets a setting for this call, before variables and the file (`cis config show` lists them)
    #[arg(short = 'c', long = "config", value_name = "KEY=VALUE", help_heading = "Global options")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) elsewhere: Elsewhere,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// Print JSON: one document, or one line per item for streams
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Directory of the node's files [default: ~/.cis] [env: CIS_HOME]
    // The variable is read where the home is found: as clap's own it would stand in every usage line.
    #[arg(long, global = true, value_name = "DIR")]
    #[arg(help_heading = "Global options")]
    pub(crate) home: Option<PathBuf>,
    /// No colours; NO_COLOR in the environment does the same
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_color: bool,
}

/// Which node is meant, where it is not this machine's; before the command.
#[derive(Debug, Default, Args)]
pub(crate) struct Elsewhere {
    /// Uses the node at this URL, with a token, instead of the one of this machine [env: CIS_URL]
    #[arg(long, value_name = "URL", help_heading = "Global options")]
    pub(crate) url: Option<String>,
    /// File with the token for --url, one line [env: CIS_TOKEN_FILE, or the token itself in CIS_API_TOKEN]
    #[arg(long, value_name = "FILE", help_heading = "Global options")]
    pub(crate) token_file: Option<PathBuf>,
    /// SHA-256 of the certificate that --url must show [env: CIS_FINGERPRINT] [default: any for its name by an
    /// authority that this machine trusts]
    #[arg(long, value_name = "HEX", help_heading = "Global options")]
    pub(crate) fingerprint: Option<String>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs, their tasks and sessions
    #[command(subcommand)]
    Dag(dag::Command),
    /// Sessions without a run
    #[command(subcommand)]
    Session(session::Command),
    Inbox(inbox::Args),
    Answer(answer::Args),
    /// From inside a session: ask people, tell them something, hand in results
    #[command(subcommand)]
    Task(task::Command),
    /// The node: the process that does the work
    #[command(subcommand)]
    Node(node::Command),
    /// The database of the node and its files: check, clean, back up
    #[command(subcommand)]
    Store(store::Command),
    /// Recordings of terminals, and what the monitor makes of them
    #[command(subcommand)]
    Monitor(monitor::Command),
    /// Concurrency groups: how many tasks of a kind may work at a time
    #[command(subcommand)]
    Group(group::Command),
    /// Who the node is to others, and whom it trusts
    #[command(subcommand)]
    Identity(identity::Command),
    /// The Matrix account of the node, and its rooms
    #[command(subcommand)]
    Matrix(matrix::Command),
    /// The API itself, for programs and the curious
    #[command(subcommand)]
    Api(api::Command),
    Gui(gui::Args),
    Status(status::Args),
    Init(init::Args),
    Doctor(doctor::Args),
    /// What is configured, and from where
    #[command(subcommand)]
    Config(config::Command),
    Completions(completions::Args),
    Man(man::Args),
    #[command(hide = true)]
    SessionHost(session_host::Args),
}

#[cfg(test)]
mod tests;
