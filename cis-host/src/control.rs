//! A node's side of the host protocol: a connection that never blocks, and starting the host.
//!
//! Owns buffering and framing. Knows no session's meaning, and does not decide when to reconnect.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::frames::{self, Decoder, Frame, FrameError};
use super::host::READY;
use super::protocol::{FromHost, Role, ToHost, VERSION, frame};
use super::{hand_environment_over, quick};
use cis_core::ids::{InputId, SessionId};
use cis_local::{ConnectError, Place};

/// Read from the socket at once, bytes.
const READ_BYTES: usize = 256 << 10;
/// Most that is read in one [`HostClient::receive`], so that a flood comes in portions.
const RECEIVE_BYTES_MAX: usize = 4 << 20;
/// What a host that cannot start says is cut after this, bytes.
const COMPLAINT_BYTES_MAX: usize = 4096;

/// Why there is no session host to speak to.
#[derive(Debug, thiserror::Error)]
pub enum HostClientError {
    /// There is no connection.
    #[error("cannot reach the session host: {0}")]
    Connect(#[source] ConnectError),
    /// The host is gone; its sessions are lost unless it answers again.
    #[error("the session host closed the connection")]
    Closed,
    /// Reading or writing failed.
    #[error("the connection to the session host failed: {0}")]
    Io(#[source] io::Error),
    /// What came is not of this protocol.
    #[error("the session host cannot be understood: {0}")]
    Frame(#[from] FrameError),
    /// A message that is not known.
    #[error("the session host sent a message that cannot be understood: {0}")]
    Message(#[source] serde_json::Error),
    /// Another version.
    #[error(
        "the session host speaks version {host} of its protocol and this program {VERSION}; end its sessions and stop it, or use the program that started it"
    )]
    Version {
        /// Of the host.
        host: u32,
    },
    /// It holds its lock, and was stopped by a signal.
    #[error("the session host (pid {pid}) is stopped (SIGSTOP); continue it with `kill -CONT {pid}`")]
    Stopped {
        /// Its pid.
        pid: u32,
    },
    /// What listens has the limit of a session's process: it may not be a host of the node.
    #[error(
        "the session host (pid {pid}) has a hard limit of realtime CPU time (RLIMIT_RTTIME), as processes of sessions have; \
         `cis node stop --kill-sessions` ends it"
    )]
    Limited {
        /// Its pid.
        pid: u32,
    },
    /// The host did not take a request.
    #[error("the session host refused a request: {detail}")]
    Refused {
        /// Why.
        detail: String,
    },
    /// It was started and did not come up.
    #[error("the session host did not start: {detail}")]
    NotReady {
        /// What it said.
        detail: String,
    },
}

impl From<ConnectError> for HostClientError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Limited { pid, .. } => Self::Limited { pid },
            error => Self::Connect(error),
        }
    }
}

/// What came from the host.
#[derive(Debug)]
pub enum Received<'a> {
    /// A message.
    Message(FromHost),
    /// Bytes of a watched session.
    Output {
        /// The session.
        session: SessionId,
        /// Of the first byte.
        offset: u64,
        /// They.
        data: &'a [u8],
    },
}

/// A connection to the host.
///
/// Never blocks once it is made: wait for [`Self::as_fd`] to be readable (and writable where
/// [`Self::wants_write`]), then [`Self::receive`] and [`Self::flush`].
#[derive(Debug)]
pub struct HostClient {
    stream: UnixStream,
    decoder: Decoder,
    outgoing: Vec<u8>,
    sent: usize,
    incoming: Vec<u8>,
}

impl AsFd for HostClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl HostClient {
    /// Connects and says hello; the `Welcome` comes as the first message.
    ///
    /// # Errors
    /// [`HostClientError::Connect`], [`HostClientError::Io`].
    pub fn connect(host: impl Into<Place>, role: Role) -> Result<Self, HostClientError> {
        let stream = host.into().connect()?;
        stream.set_nonblocking(true).map_err(HostClientError::Io)?;
        let mut client = Self {
            stream,
            decoder: Decoder::default(),
            outgoing: Vec::new(),
            sent: 0,
            incoming: vec![0; READ_BYTES],
        };
        client.send(&ToHost::Hello { version: VERSION, role })?;
        client.flush()?;
        Ok(client)
    }

    /// Puts a message behind what is to be sent.
    ///
    /// # Errors
    /// [`HostClientError::Frame`] where it is too long; the connection is as before.
    pub fn send(&mut self, message: &ToHost) -> Result<(), HostClientError> {
        Ok(frames::put_json(&mut self.outgoing, message)?)
    }

    /// Puts input of a session behind what is to be sent. With an id it is typed once, however often
    /// it is sent, and answered with `Written`.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_input(
        &mut self,
        session: SessionId,
        input: Option<InputId>,
        data: &[u8],
    ) -> Result<(), HostClientError> {
        if let Some(input) = input {
            self.send(&ToHost::Input { session, input })?;
        }
        frames::put_bytes(&mut self.outgoing, frame::INPUT, session, 0, data);
        Ok(())
    }

    /// Something waits for the socket to become writable.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// [`HostClientError::Closed`], [`HostClientError::Io`].
    pub fn flush(&mut self) -> Result<(), HostClientError> {
        while self.sent < self.outgoing.len() {
            match self.stream.write(&self.outgoing[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(gone(error)),
            }
        }
        self.outgoing.clear();
        self.outgoing.shrink_to(READ_BYTES);
        self.sent = 0;
        Ok(())
    }

    /// Hands out what came, in order, without waiting. What came before the host went away is handed
    /// out before that is told.
    ///
    /// # Errors
    /// [`HostClientError`]; the connection is then of no further use.
    pub fn receive(&mut self, mut take: impl FnMut(Received<'_>)) -> Result<(), HostClientError> {
        let mut read_in_all = 0;
        loop {
            let read = match self.stream.read(&mut self.incoming) {
                Ok(0) => return Err(HostClientError::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(gone(error)),
            };
            self.decoder.feed(&self.incoming[..read]);
            self.take_frames(&mut take)?;
            read_in_all += read;
            // A read that did not fill the buffer has emptied the socket, most likely.
            if read < READ_BYTES || read_in_all >= RECEIVE_BYTES_MAX {
                return Ok(());
            }
        }
    }

    /// The messages that came; output is left out. For control connections, which watch nothing.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn receive_messages(&mut self) -> Result<Vec<FromHost>, HostClientError> {
        let mut messages = Vec::new();
        self.receive_into(&mut messages).map(|()| messages)
    }

    /// Appends the messages that came to those of the caller, as [`Self::receive_messages`].
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn receive_into(&mut self, messages: &mut Vec<FromHost>) -> Result<(), HostClientError> {
        let outcome = self.receive(|received| {
            if let Received::Message(message) = received {
                messages.push(message);
            }
        });
        match outcome {
            // Told by the next call: a closed socket stays so.
            Err(HostClientError::Closed) if !messages.is_empty() => Ok(()),
            outcome => outcome,
        }
    }

    fn take_frames(&mut self, take: &mut impl FnMut(Received<'_>)) -> Result<(), HostClientError> {
        while let Some(frame) = self.decoder.next_frame()? {
            match frame {
                Frame::Json(text) => match quick::from_host(text).map_err(HostClientError::Message)? {
                    FromHost::Refused { detail } => return Err(HostClientError::Refused { detail }),
                    FromHost::Welcome { version, .. } if version != VERSION => {
                        return Err(HostClientError::Version { host: version });
                    }
                    message => take(Received::Message(message)),
                },
                Frame::Bytes { kind: frame::OUTPUT, session, offset, data } => {
                    take(Received::Output { session, offset, data });
                }
                Frame::Bytes { .. } | Frame::Unknown { .. } => {}
            }
        }
        Ok(())
    }

    /// Waits until something can be read (or written, where [`Self::wants_write`]), at most so long.
    /// For callers without a loop of their own. False where nothing happened.
    ///
    /// # Errors
    /// [`HostClientError::Io`].
    pub fn wait(&self, timeout: Duration) -> Result<bool, HostClientError> {
        let write = if self.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        wait_for(self.stream.as_fd(), PollFlags::IN | write, timeout).map_err(HostClientError::Io)
    }
}

fn gone(error: io::Error) -> HostClientError {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => HostClientError::Closed,
        _ => HostClientError::Io(error),
    }
}

fn wait_for(descriptor: BorrowedFd<'_>, events: PollFlags, timeout: Duration) -> io::Result<bool> {
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, events)];
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    match poll(&mut descriptors, Some(&timeout)) {
        Err(rustix::io::Errno::INTR) => Ok(false),
        outcome => Ok(outcome? > 0),
    }
}

/// What came of a request to a host to become another program.
#[derive(Debug)]
pub enum Renewed {
    /// It is the other program, and has to be connected to again.
    Yes,
    /// It stays what it is; the connection is as before.
    No {
        /// Why.
        why: String,
    },
}

/// Asks a host that was just connected to for control to become this program ([`ToHost::Renew`]), and waits for what comes of it. What it
/// says meanwhile is appended to `behind`.
///
/// # Errors
/// It did not answer in time, or cannot be spoken to; it may still become the other program.
pub fn renew(
    client: &mut HostClient,
    command: Vec<String>,
    behind: &mut Vec<FromHost>,
    timeout: Duration,
) -> Result<Renewed, HostClientError> {
    let until = Instant::now() + timeout;
    client.send(&ToHost::Renew { command })?;
    loop {
        let mut answer = None;
        let flushed = client.flush();
        let received = flushed.and_then(|()| client.receive_messages());
        match received {
            Ok(messages) => {
                for message in messages {
                    match message {
                        FromHost::NotRenewed { why } => answer = Some(Renewed::No { why }),
                        message => behind.push(message),
                    }
                }
            }
            Err(HostClientError::Closed) => return Ok(Renewed::Yes),
            Err(error) => return Err(error),
        }
        if let Some(answer) = answer {
            return Ok(answer);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let detail = "it did not say whether it becomes another program".to_owned();
            return Err(HostClientError::NotReady { detail });
        }
        client.wait(left)?;
    }
}

/// Starts a host by this command and waits until it listens. It makes a session of its own, so that
/// no terminal's end and no Ctrl+C reaches it, and it outlives this process. The caller
/// waits for the returned child, so that no zombie stays where it ends first; dropping it does no harm.
///
/// # Errors
/// [`HostClientError::NotReady`], with what it said.
pub fn spawn_host(argv: &[OsString], timeout: Duration) -> Result<Child, HostClientError> {
    let not_ready = |detail: String| HostClientError::NotReady { detail };
    let Some((program, arguments)) = argv.split_first() else {
        return Err(not_ready("no program is named".to_owned()));
    };
    let (mut said, writer) = io::pipe().map_err(HostClientError::Io)?;
    let errors = writer.try_clone().map_err(HostClientError::Io)?;
    let mut command = Command::new(program);
    command.args(arguments).stdout(writer).stderr(errors);
    hand_environment_over(&mut command).map_err(HostClientError::Io)?;
    let mut child =
        command.spawn().map_err(|error| not_ready(format!("{}: {error}", program.to_string_lossy())))?;
    // The command holds our copies of the pipe's other end: without it the end of the host is seen.
    drop(command);
    let until = Instant::now() + timeout;
    let mut text = Vec::new();
    loop {
        let ready = text.split(|byte| *byte == b'\n').any(|line| line == READY.as_bytes());
        if ready && text.ends_with(b"\n") {
            let said = String::from_utf8_lossy(&text);
            for warning in said.lines().filter(|line| *line != READY) {
                tracing::warn!(warning, "the session host started with a warning");
            }
            return Ok(child);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || text.len() > COMPLAINT_BYTES_MAX {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(not_ready(format!(
                "it was not ready in time; it said: {}",
                String::from_utf8_lossy(&text)
            )));
        }
        if !wait_for(said.as_fd(), PollFlags::IN, left).map_err(HostClientError::Io)? {
            continue;
        }
        let mut part = [0; 512];
        match said.read(&mut part).map_err(HostClientError::Io)? {
            0 => {
                let status = child.wait().map(|status| status.to_string()).unwrap_or_default();
                return Err(not_ready(format!("{} ({status})", String::from_utf8_lossy(&text).trim())));
            }
            read => text.extend_from_slice(&part[..read]),
        }
    }
}

#[cfg(test)]
mod tests;
