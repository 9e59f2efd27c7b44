//! `cis gui`.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::dag::place;
use super::node::ensure_observer;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::remote::Elsewhere;

/// The dashboard's program.
const PROGRAM: &str = "cis-gui";

/// Open the dashboard: items that wait for you, runs with their graphs, terminals
///
/// Starts a node if none is running. With --url, the dashboard shows the node of another machine. With --room, it
/// shows the runs that other nodes publish in a Matrix room; the node of this machine reads them as an observer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis gui
  cis gui --room '#builds:example.org'
  cis --url https://build.example.org:8443 --token-file ~/token gui")]
pub(crate) struct Args {
    /// Show the runs that nodes publish in this room; may be repeated
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Vec<String>,
}

pub(crate) fn run(context: &Context, elsewhere: &Elsewhere, args: &Args) -> Result<Exit, CliError> {
    let mut command = Command::new(program());
    if context.is_remote() {
        if !args.room.is_empty() {
            return Err(CliError::bad_input("--room needs the node of this machine")
                .hint("omit --url and CIS_URL, or start the node there with `cis node start --room`"));
        }
        // What is not given stands in the environment, which it has as well.
        for (flag, value) in [
            ("--url", elsewhere.url.as_ref().map(Into::into)),
            ("--token-file", elsewhere.token_file.as_ref().map(|path| path.clone().into_os_string())),
            ("--fingerprint", elsewhere.fingerprint.as_ref().map(Into::into)),
        ] {
            if let Some(value) = value {
                command.arg(flag).arg(value);
            }
        }
    } else {
        if !args.room.is_empty() {
            ensure_observer(context, &args.room)?;
        }
        let client = context.client()?;
        context.block_on(async { Ok(client.node().await?) })?;
        if context.in_session() {
            command.arg("--socket").arg(context.socket());
        } else {
            command.env("CIS_HOME", &context.home.dir);
        }
    }
    // It takes this process's place: what ends the one ends the other.
    let error = command.exec();
    Err(CliError::unavailable(format!("cannot start {PROGRAM}: {error}"))
        .hint("build it with `cargo build --release --bin cis-gui`, and put it next to `cis` or into PATH"))
}

/// Beside this program, else in PATH.
fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(PROGRAM));
    beside.filter(|path| path.exists()).unwrap_or_else(|| PROGRAM.into())
}
