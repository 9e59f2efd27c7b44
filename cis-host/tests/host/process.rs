//! A session host by itself: what `cis session-host` runs, for tests and measurements.
//!
//! `session-host-alone SOCKET LOCK HOME [LINGER_MS [UMASK]]`
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stderr, reason = "a program")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cis_host::host::{HostConfig, run};

fn main() -> ExitCode {
    cis_host::receive_environment().expect("its environment");
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next().map(PathBuf::from);
    let (Some(socket), Some(lock), Some(home)) = (next(), next(), next()) else {
        eprintln!("usage: session-host-alone SOCKET LOCK HOME [LINGER_MS [UMASK]]");
        return ExitCode::from(2);
    };
    let linger = next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(5000);
    let umask = next().and_then(|text| u32::from_str_radix(text.to_str()?, 8).ok());
    let config =
        HostConfig { socket, fallback: None, lock, home, umask, linger: Duration::from_millis(linger) };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
