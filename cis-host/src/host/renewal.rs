//! The replacement of this program by another one in the same process, which keeps all sessions.
//!
//! A node asks for it when it starts and its program is another one. First the new program is asked, as a child of its own, whether
//! it reads the state of this one. Then, between two turns, the state and all descriptors are put into the queue of a socket, and the
//! process executes the new program. Until that call, everything can be taken back.

mod state;

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use rustix::process::{Pid, Signal, kill_process};

use super::config::HostError;
use super::connection::Read;
use super::renewal_stage::{Renewal, Request};
use super::state::Host;
use super::timers::Wake;
use crate::os::{self, Outgoing};
use crate::protocol::FromHost;

use state::StateError;

pub(super) use state::PassedHost;

/// Format of the state that is left to the next program. Fields with a default may be added to it; what an earlier or later
/// program would misunderstand raises it.
pub const FORMAT: u32 = 1;
/// Option by which a program is asked whether it reads the state of this format, which is in the socket that is its standard output. It
/// exits with 0 if it does ([`check_renewal`]).
pub const CAN_RENEW: &str = "--can-renew";
/// Option of the new program: number of the descriptor of the socket with the state.
pub const RENEWED_FROM: &str = "--renewed-from";

/// The new program answers within this time, and its node reads what it was told, ms.
const PATIENCE_MS: u64 = 5_000;
/// So often a connection is read before it is closed: a peer that never stops must not hold this up.
const LAST_READS_MAX: usize = 64;

/// Whether this program reads states of this format.
#[must_use]
pub fn can_renew(format: u32) -> bool {
    format == FORMAT
}

/// Checks that this program reads the state of this format, which is in the socket that is its standard output.
///
/// # Errors
/// [`HostError::Renewal`].
pub fn check_renewal(format: u32) -> Result<(), HostError> {
    let error = |error: StateError| HostError::Renewal { why: error.to_string() };
    if !can_renew(format) {
        return Err(error(StateError::Format(format)));
    }
    PassedHost::look(rustix::stdio::stdout()).map_err(error)
}

impl Host {
    /// A node wants this process to become another program.
    pub(super) fn renew(&mut self, at: usize, command: Vec<String>) {
        match self.begin_renewal(at, command) {
            Ok(renewal) => self.renewal = renewal,
            Err(why) => self.peers.say(at, &FromHost::NotRenewed { why }),
        }
    }

    fn begin_renewal(&mut self, at: usize, command: Vec<String>) -> Result<Renewal, String> {
        if self.shutting_down {
            return Err("the session host is shutting down".to_owned());
        }
        if !matches!(self.renewal, Renewal::None) {
            return Err("the session host is being renewed already".to_owned());
        }
        if !command.first().is_some_and(|program| program.starts_with('/')) {
            return Err("the command does not begin with the absolute path of a program".to_owned());
        }
        let mut question = command.clone();
        question.extend([CAN_RENEW.to_owned(), FORMAT.to_string()]);
        let state = self.pass(false)?;
        let checker = self.launcher.launch_own(&question, true, Some(state.as_fd()), self.now)?;
        self.processes.drop_snapshot();
        let until = self.now + PATIENCE_MS;
        self.timers.wish(until, Wake::Host);
        Ok(Renewal::Checking { request: Request { at, command, until }, checker })
    }

    /// Who asked for a renewal is not there any more.
    pub(super) fn abandon_renewal(&mut self) {
        if let Some(checker) = std::mem::take(&mut self.renewal).checker() {
            end_checker(checker);
        }
    }

    /// Goes on with a renewal, at the end of a turn. Does not return where the new program takes over.
    pub(super) fn advance_renewal(&mut self) {
        let (at, why) = match std::mem::take(&mut self.renewal) {
            Renewal::None => return,
            Renewal::Checking { request, checker } if self.now < request.until => {
                self.renewal = Renewal::Checking { request, checker };
                return;
            }
            Renewal::Checking { request, checker } => {
                end_checker(checker);
                (request.at, format!("{} did not answer in time", request.command[0]))
            }
            Renewal::Unreadable { request } => {
                (request.at, format!("{} cannot take over the sessions of this one", request.command[0]))
            }
            Renewal::Ready { request } if self.peers.control != Some(request.at) => return,
            Renewal::Ready { request } => match self.take_last_requests(&request) {
                Ok(true) => (request.at, self.execute(&request.command)),
                Ok(false) => {
                    self.renewal = Renewal::Ready { request };
                    return;
                }
                Err(why) => (request.at, why),
            },
        };
        self.peers.say(at, &FromHost::NotRenewed { why });
    }

    /// Handles what peers have sent, because their connections are about to be closed. False: the node has not taken all that it was
    /// told yet.
    fn take_last_requests(&mut self, request: &Request) -> Result<bool, String> {
        for at in self.peers.numbers() {
            for _ in 0..LAST_READS_MAX {
                let Some(connection) = self.peers.get_mut(at).filter(|peer| peer.has_room()) else { break };
                if !matches!(connection.read(&mut self.buffer), Read::Bytes(_)) {
                    break;
                }
                self.take_frames(at);
            }
            self.peers.list(at);
        }
        self.serve_listed();
        if self.shutting_down {
            return Err("the session host is shutting down".to_owned());
        }
        if self.peers.control != Some(request.at) {
            return Err("the node that asked for it is gone".to_owned());
        }
        match self.peers.get(request.at) {
            Some(node) if !node.is_drained() && self.now < request.until => Ok(false),
            Some(node) if !node.is_drained() => Err("the node does not read what it is told".to_owned()),
            _ => Ok(true),
        }
    }

    /// Becomes the new program. Returns why that failed; then everything is as before.
    fn execute(&mut self, command: &[String]) -> String {
        self.write_notes();
        let passed = match self.pass(true) {
            Ok(passed) => passed,
            Err(why) => return why,
        };
        let environment = match os::hand_over(std::env::vars_os()) {
            Ok(environment) => environment,
            Err(error) => return format!("cannot hand its environment over: {error}"),
        };
        let socket = [RENEWED_FROM.to_owned(), passed.as_raw_fd().to_string()];
        let words: Result<Vec<_>, _> =
            command.iter().chain(&socket).map(|word| CString::new(word.as_str())).collect();
        let Ok(words) = words else { return "the command has a null byte in it".to_owned() };
        let error = os::execute(&words[0], &words, environment.as_fd(), passed.as_fd());
        format!("cannot execute {}: {error}", command[0])
    }

    /// Makes a socket from which the next program gets the state, and the descriptors if it takes over.
    pub(super) fn pass(&self, takes_over: bool) -> Result<OwnedFd, String> {
        let (passed, outgoing) = PassedHost::of(self);
        let bytes = passed.to_bytes(outgoing.len())?;
        // What cannot be read back would end all sessions in the next program.
        PassedHost::read(&bytes).map_err(|error| format!("its state cannot be read back: {error}"))?;
        let outgoing = if takes_over { outgoing } else { Outgoing::default() };
        os::pass(&bytes, &outgoing).map_err(|error| format!("cannot pass its state: {error}"))
    }
}

/// Ends a program that was asked and does not answer, or whose answer nobody wants. It is waited for like all children.
fn end_checker(pid: u32) {
    // Not waited for yet, so no other process has its pid.
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = kill_process(pid, Signal::KILL);
    }
}
