//! The `cis` command. It parses its arguments, hands them to one verb, and turns what comes back
//! into output and an exit code; whatever it does, it does through a node's API.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the binary is all io")]

mod cli;
mod commands;
mod context;
mod ctrl_c;
mod dag_file;
mod error;
mod follow;
mod home;
mod keys;
mod lock_holders;
mod node_start;
mod output;
mod place;
mod progress;
mod quiet_node;
mod remote;
mod restart;
mod settings;
mod signals;
mod term;
mod wait;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    close();
    // After `close`, so that no other process can read it.
    if let Err(error) = cis_host::receive_environment() {
        let error = error::CliError::unavailable(format!("cannot receive the environment: {error}"));
        return output::report(&error, false).into();
    }
    cis_host::fail_large_writes();
    // Version, help and usage errors end here: nothing is read or started before.
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut error) => {
            cli::suggest(&mut error);
            match error::CliError::usage(&error) {
                Some(usage) if cli::asks_for_json(std::env::args_os()) => {
                    return output::report(&usage, true).into();
                }
                _ => error.exit(),
            }
        }
    };
    let json = cli.globals.json;
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) => output::report(&error, json).into(),
    }
}

/// Closes this process to all other processes of its user. A session is one of those, and could act as this
/// process or read its memory. This is the first step, because it does not end a trace that has begun.
fn close() {
    // A failure changes nothing else.
    let closed = cis_local::conceal().is_ok();
    // If /proc hides processes (hidepid), a closed process is hidden from node and host, which then cannot
    // tell whether it belongs to a session.
    if closed && commands::doctor::hides_processes() {
        let _ = cis_local::reveal();
    }
}
