//! A session host by itself: what `cis session-host` runs, for tests and measurements.
//!
//! `session-host-alone SOCKET LOCK HOME [LINGER_MS [UMASK]] [--can-renew FORMAT | --renewed-from SOCKET]`
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stderr, reason = "a program")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cis_host::host::{CAN_RENEW, HostConfig, RENEWED_FROM, check_renewal, run, run_renewed};

fn main() -> ExitCode {
    cis_host::receive_environment().expect("its environment");
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let at = arguments.iter().position(|word| word == CAN_RENEW || word == RENEWED_FROM);
    let option = at.map(|at| arguments.split_off(at));
    let option: Vec<&str> = option.iter().flatten().filter_map(|word| word.to_str()).collect();
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next().map(PathBuf::from);
    let (Some(socket), Some(lock), Some(home)) = (next(), next(), next()) else {
        eprintln!("usage: session-host-alone SOCKET LOCK HOME [LINGER_MS [UMASK]]");
        return ExitCode::from(2);
    };
    let linger = next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(5000);
    let umask = next().and_then(|text| u32::from_str_radix(text.to_str()?, 8).ok());
    let config =
        HostConfig { socket, fallback: None, lock, home, umask, linger: Duration::from_millis(linger) };
    let outcome = match option[..] {
        [CAN_RENEW, format] => check_renewal(format.parse().expect("a number")),
        [RENEWED_FROM, socket] => run_renewed(socket.parse().expect("a number")),
        _ => run(config),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
