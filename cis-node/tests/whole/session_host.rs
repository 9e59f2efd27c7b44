//! The session host of the nodes in these tests: what `cis session-host` runs.
//!
//! `session-host-of-tests HOME [--can-renew FORMAT | --renewed-from SOCKET]`
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stderr, reason = "a program")]

use std::process::ExitCode;
use std::time::Duration;

use cis_host::host::{CAN_RENEW, HostConfig, HostError, RENEWED_FROM, check_renewal, run, run_renewed};
use cis_local::Home;

/// A host that nothing needs any more ends after this time.
const LINGER: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    cis_host::receive_environment().expect("its environment");
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        [_, CAN_RENEW, format] => check_renewal(format.parse().expect("a number")),
        [_, RENEWED_FROM, socket] => run_renewed(socket.parse().expect("a number")),
        [home] => host(home),
        _ => {
            eprintln!("usage: session-host-of-tests HOME");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn host(home: &str) -> Result<(), HostError> {
    let home = Home::locate(Some(home.into()), None, None).expect("its home");
    run(HostConfig {
        socket: home.host_socket(),
        fallback: home.fallback_host_socket(),
        lock: home.host_lock(),
        home: home.dir,
        umask: None,
        linger: LINGER,
    })
}
