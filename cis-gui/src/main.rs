//! `cis-gui`: the dashboard of a node. `cis gui` starts it, and the node where none runs.
#![allow(clippy::disallowed_methods, reason = "the edge: files and environment of whoever starts it")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use cis_client::{Client, ServerTrust};
use cis_local::Home;
use clap::Parser;

type Failed = Box<dyn std::error::Error>;

/// Shows what waits for you and how runs go, and lets you answer and steer
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Examples:
  cis gui
  cis-gui --url https://build.example.org:8443 --token-file token --fingerprint HEX

The token may as well stand in CIS_API_TOKEN, the URL in CIS_URL, the fingerprint in CIS_FINGERPRINT."
)]
struct Args {
    /// Socket of the node (that of the home directory)
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    socket: Option<PathBuf>,
    /// Uses the node at this URL
    #[arg(long, value_name = "URL", env = "CIS_URL")]
    url: Option<String>,
    /// File with the token for --url, one line
    #[arg(long, value_name = "FILE", env = "CIS_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// SHA-256 of the certificate that --url must show (any by an authority that this machine trusts)
    #[arg(long, value_name = "HEX", env = "CIS_FINGERPRINT")]
    fingerprint: Option<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody else to tell.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(args: &Args) -> Result<(), Failed> {
    let (client, title) = match (&args.socket, &args.url) {
        (None, Some(url)) => (remote(args, url)?, format!("CIS: {url}")),
        (Some(socket), _) => (Client::new(socket.clone(), None), "CIS".to_owned()),
        (None, None) => {
            let variable = |name| std::env::var_os(name);
            let home = Home::locate(variable("CIS_HOME"), variable("HOME"), variable("XDG_RUNTIME_DIR"))?;
            home.check()?;
            (Client::new(home.node_place(), None), "CIS".to_owned())
        }
    };
    cis_gui::app::open(client, &title).map_err(|error| {
        format!("no window can be opened: {error}; is DISPLAY or WAYLAND_DISPLAY set?").into()
    })
}

fn remote(args: &Args, url: &str) -> Result<Client, Failed> {
    let token = match (std::env::var("CIS_API_TOKEN"), &args.token_file) {
        (_, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read the token in {}: {error}", file.display()))?,
        (Ok(token), None) => token,
        (Err(_), None) => {
            let how =
                "`cis node token create --role …` on that machine makes one; give it by --token-file FILE";
            return Err(format!("there is no token for {url}: {how}").into());
        }
    };
    let trust = match &args.fingerprint {
        Some(text) => ServerTrust::Pinned(text.parse()?),
        None => ServerTrust::System,
    };
    Ok(Client::remote(url, token.trim(), trust)?)
}
