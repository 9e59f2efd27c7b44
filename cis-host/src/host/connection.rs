//! One connection: what came and is not handled, what is to be sent and did not fit.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::inputs::Named;
use super::poll::{Poll, Source};
use crate::frames::{self, Decoder, put_json};
use crate::log::LogReader;
use crate::protocol::{FromHost, Role};
use cis_core::ids::SessionId;

/// With so much to be sent, bytes: no more requests are taken. Draining sessions never waits for it.
pub(super) const OUTGOING_HIGH: usize = 1 << 20;

/// With so much to be sent, bytes, output waits in the logs; and that which comes from there with so much. A flood
/// must not lie before what the others write, and before what the kernel shows of them.
const OUTPUT_HIGH: usize = 128 << 10;
const REPLAY_HIGH: usize = 32 << 10;
/// What the system takes at a time, for the same reason.
const SOCKET_BYTES: usize = 64 << 10;

/// What a connection wants of a session.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) slot: usize,
    pub(super) session: SessionId,
    /// The next byte it gets.
    pub(super) cursor: u64,
    /// Open while it is behind.
    pub(super) reader: Option<LogReader>,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Connection {
    stream: OwnedFd,
    /// Set by its hello.
    pub(super) role: Option<Role>,
    pub(super) decoder: Decoder,
    outgoing: Vec<u8>,
    sent: usize,
    /// What epoll was asked for.
    interest: epoll::EventFlags,
    /// The next input frame of this session has this name.
    pub(super) named_input: Option<(SessionId, Named)>,
    pub(super) watches: Vec<Watch>,
    /// Some of them may have more to be told than what was just shown: what is in a log, or an exit.
    pub(super) is_behind: bool,
    /// Which watch gets the next room.
    pub(super) next_watch: usize,
    /// To be closed once all is sent.
    pub(super) closing: bool,
    /// It stands in the list of those that have something to do at the end of a turn.
    pub(super) listed: bool,
}

/// What reading brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The peer is gone.
    Gone,
}

impl Connection {
    pub(super) fn new(stream: OwnedFd) -> Self {
        // Where that fails it is only larger.
        let _ = set_socket_send_buffer_size(&stream, SOCKET_BYTES);
        Self {
            stream,
            role: None,
            decoder: Decoder::default(),
            outgoing: Vec::new(),
            sent: 0,
            interest: epoll::EventFlags::IN,
            named_input: None,
            watches: Vec::new(),
            is_behind: false,
            next_watch: 0,
            closing: false,
            listed: false,
        }
    }

    /// Whether it can take more of what may wait.
    pub(super) fn has_room(&self) -> bool {
        self.outgoing.len() - self.sent < OUTGOING_HIGH
    }

    /// Whether it can take more output of sessions.
    pub(super) fn has_room_for_output(&self) -> bool {
        self.outgoing.len() - self.sent < OUTPUT_HIGH
    }

    /// Whether it can take more output that waits in logs.
    pub(super) fn has_room_for_replay(&self) -> bool {
        self.outgoing.len() - self.sent < REPLAY_HIGH
    }

    /// All that was said is with the system.
    pub(super) fn is_drained(&self) -> bool {
        self.sent == self.outgoing.len()
    }

    /// Reads once into `buffer`, and from there into the decoder.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        match recv(&self.stream, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Read::Gone,
            Ok((read, _)) => {
                self.decoder.feed(&buffer[..read]);
                Read::Bytes(read)
            }
            Err(Errno::AGAIN | Errno::INTR) => Read::Nothing,
            Err(_) => Read::Gone,
        }
    }

    /// Puts a message behind what is to be sent.
    pub(super) fn say(&mut self, message: &FromHost) {
        // Of what a host says only a `Welcome` of a hundred thousand sessions would be too long.
        if put_json(&mut self.outgoing, message).is_err() {
            self.closing = true;
        }
    }

    /// Puts output of a session behind what is to be sent.
    pub(super) fn say_output(&mut self, session: SessionId, offset: u64, data: &[u8]) {
        frames::put_bytes(&mut self.outgoing, crate::protocol::frame::OUTPUT, session, offset, data);
    }

    /// Drops what is to be sent: nobody takes it any more.
    pub(super) fn forget_outgoing(&mut self) {
        self.outgoing.clear();
        self.sent = 0;
    }

    /// Sends what the socket takes. False where the peer is gone.
    pub(super) fn flush(&mut self) -> bool {
        while self.sent < self.outgoing.len() {
            match send(&self.stream, &self.outgoing[self.sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => self.sent += sent,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return false,
            }
        }
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.outgoing.shrink_to(OUTGOING_HIGH / 4);
            self.sent = 0;
        } else if self.sent > OUTGOING_HIGH / 2 {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
        !(self.closing && self.outgoing.is_empty())
    }

    /// Asks epoll for what is needed now: requests while there is room for replies, and room while
    /// something waits for it.
    pub(super) fn poll(&mut self, poll: &Poll, at: usize) {
        let mut wanted = epoll::EventFlags::empty();
        if self.has_room() && !self.closing {
            wanted |= epoll::EventFlags::IN;
        }
        if self.sent < self.outgoing.len() {
            wanted |= epoll::EventFlags::OUT;
        }
        if wanted != self.interest && poll.change(&self.stream, Source::Connection(at), wanted).is_ok() {
            self.interest = wanted;
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
