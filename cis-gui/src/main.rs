//! `cis-gui`: the dashboard of a node. `cis gui` starts it, and the node where none runs.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use cis_core::client::Client;
use cis_core::config::Home;
use clap::Parser;

/// Shows what waits for you and how runs go, and lets you answer and steer
#[derive(Debug, Parser)]
#[command(version, after_help = "Examples:\n  cis gui\n  cis-gui --socket /run/user/1000/cis/0123/node.sock")]
struct Args {
    /// Socket of the node (that of the home directory)
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody else to tell.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let socket = match args.socket {
        Some(socket) => socket,
        None => {
            let variable = |name| std::env::var_os(name);
            Home::locate(variable("CIS_HOME"), variable("HOME"), variable("XDG_RUNTIME_DIR"))?.node_socket()
        }
    };
    cis_gui::app::open(Client::new(socket, None), "CIS").map_err(|error| {
        format!("no window can be opened: {error}; is DISPLAY or WAYLAND_DISPLAY set?").into()
    })
}
