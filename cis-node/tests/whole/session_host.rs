//! The session host of the nodes in these tests: what `cis session-host` runs.
//!
//! `session-host-of-tests HOME [--can-renew FORMAT | --renewed-from SOCKET]`
//!
//! `session-host-of-tests --end-what-is-left`, with homes on its standard input: ends their session hosts at the end of the input.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stderr, reason = "a program")]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use cis_host::host::{CAN_RENEW, HostConfig, HostError, RENEWED_FROM, check_renewal, run, run_renewed};
use cis_local::Home;
use rustix::process::{Pid, Signal, kill_process};

/// Sent by the process of a test.
const END_LEFT: &str = "--end-what-is-left";

/// A host that nothing needs any more ends after this time.
const LINGER: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(END_LEFT) {
        end_what_is_left();
        return ExitCode::SUCCESS;
    }
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

/// Waits until the process of a test has ended, and ends the session hosts of its homes then, with their sessions.
fn end_what_is_left() {
    let homes: BTreeSet<String> = std::io::stdin().lines().map_while(Result::ok).collect();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(words) = std::fs::read(process.path().join("cmdline")) else { continue };
        let words: Vec<_> = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let [program, home, ..] = &words[..] else { continue };
        if !program.ends_with("session-host-of-tests") || !homes.contains(home.as_ref()) {
            continue;
        }
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
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
