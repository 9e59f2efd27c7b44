//! Draining: what sessions write is taken at once, whoever looks, and whatever the disk says.

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::poll::Source;
use super::session::{Descriptors, Flow};
use super::state::{Host, OUTPUT_PER_TURN};
use crate::protocol::FromHost;

/// A read that brings less has most likely emptied it; the next look would cost a call for nothing.
const SHORT_READ: usize = 2048;

/// How a draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// There may be more.
    Enough,
    /// There was nothing more.
    Empty,
    /// A terminal that nobody has open.
    HungUp,
    /// No writer is left.
    End,
}

impl Host {
    /// Takes what there is without looking twice.
    pub(super) fn drain_once(&mut self, slot: usize) {
        self.drain_some(slot, false);
    }

    /// Takes all there is, up to a turn's worth. True where nothing more can be had now.
    pub(super) fn drain_dry(&mut self, slot: usize) -> bool {
        self.drain_some(slot, true) != Some(Stop::Enough)
    }

    fn drain_some(&mut self, slot: usize, to_the_end: bool) -> Option<Stop> {
        let session = self.sessions.get_mut(slot)?;
        let output = session.descriptors.output()?;
        let mut filled = 0;
        let stop = loop {
            match rustix::io::read(output, &mut self.buffer[filled..]) {
                Ok(0) => break Stop::End,
                Ok(read) => {
                    filled += read;
                    let short = read < SHORT_READ && !to_the_end;
                    if short || OUTPUT_PER_TURN - filled < SHORT_READ {
                        break Stop::Enough;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break Stop::Empty,
                Err(Errno::IO) if session.descriptors.terminal().is_some() => break Stop::HungUp,
                Err(_) => break Stop::End,
            }
        };
        if filled > 0 {
            self.took_output(slot, filled);
        }
        self.note_flow(slot, stop);
        Some(stop)
    }

    /// The first `length` bytes of the buffer are output of this session.
    fn took_output(&mut self, slot: usize, length: usize) {
        let buffer = std::mem::take(&mut self.buffer);
        if let Some(session) = self.sessions.get_mut(slot) {
            let (id, offset) = (session.id, session.log.total());
            let trouble = session.log.append(&buffer[..length], self.now_unix);
            session.last_output = self.now;
            session.forget_read_line();
            if !session.watchers.is_empty() {
                self.show(slot, offset, &buffer[..length]);
            }
            if let Some(trouble) = trouble {
                let detail = trouble.to_string();
                self.peers.say_to_control(&FromHost::LogTrouble { session: id, detail });
            }
        }
        self.buffer = buffer;
    }

    fn note_flow(&mut self, slot: usize, stop: Stop) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let flow = match stop {
            Stop::Enough | Stop::Empty => Flow::Open,
            Stop::HungUp => Flow::HungUp,
            Stop::End => Flow::Ended,
        };
        let before = std::mem::replace(&mut session.flow, flow);
        if flow == Flow::Ended {
            match &mut session.descriptors {
                Descriptors::Pipes { output, .. } => {
                    let polled = std::mem::take(&mut session.polled);
                    if let Some(output) = output.take().filter(|_| polled) {
                        self.poll.remove(output);
                    }
                }
                Descriptors::Pty(master) => self.poll.remove(master),
                Descriptors::Closed => {}
            }
        } else if flow != before && session.stays_open() {
            self.poll_output(slot);
        }
    }

    /// Asks epoll for output, and for room where input waits. A terminal that nobody has open is asked
    /// for edge-triggered: otherwise epoll would tell of its end for ever, and so it tells of what comes
    /// when a process opens it again.
    pub(super) fn poll_output(&mut self, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Some(output) = session.descriptors.output() else { return };
        let mut flags = EventFlags::IN;
        if session.inputs.polled && session.descriptors.terminal().is_some() {
            flags |= EventFlags::OUT;
        }
        if session.flow == Flow::HungUp {
            flags |= EventFlags::ET;
        }
        let source = Source::Output(slot);
        if session.polled {
            let _ = self.poll.change(output, source, flags);
        } else {
            session.polled = self.poll.add(output, source, flags).is_ok();
        }
    }
}
