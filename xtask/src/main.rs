//! The everyday commands of this repository: `cargo xtask COMMAND`.
//!
//! Each command has a file of its own in `commands/`. They assume what a fresh Debian machine with
//! Rust has (cargo, cc, make, git, apt-get), install what else they need, and say so.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the terminal: it reads clock, files and environment, and prints"
)]

mod agents;
mod bench;
mod commands;
mod process;
mod reference;
mod tools;
mod workspace;

use std::process::ExitCode;

/// What a command gives: nothing, or what went wrong, ready to be shown.
type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match commands::dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
