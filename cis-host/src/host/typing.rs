//! Input on its way into a session.

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::inputs::Named;
use super::poll::Source;
use super::session::{Descriptors, Flow, Session};
use super::state::Host;
use crate::os;
use crate::protocol::FromHost;
use cis_core::ids::SessionId;

impl Host {
    /// epoll tells of a session's output, or of room for input.
    pub(super) fn output_ready(&mut self, slot: usize, flags: EventFlags) {
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.drain_once(slot);
            if self.sessions.get(slot).is_some_and(|session| !session.life.leader_lives()) {
                self.sessions.ended.push(slot);
            }
        }
        if flags.contains(EventFlags::OUT) {
            self.write_input(slot);
        }
    }

    /// Bytes that a peer wants typed. With an id that was taken before, nothing is typed. `is_report`: the terminal sends them by itself.
    pub(super) fn take_input(
        &mut self,
        at: usize,
        id: SessionId,
        named: Option<Named>,
        is_report: bool,
        data: &[u8],
    ) {
        let input = named.map(|named| named.input);
        let slot = self.sessions.slot_of(id);
        let came = slot.and_then(|slot| self.count_input(slot, data));
        if let Some((slot, judged)) = slot.zip(named.and_then(|named| named.only_at)) {
            // What it wrote until now counts, also what nobody has read yet.
            self.drain_dry(slot);
            if let Some((session, named)) = self.sessions.get(slot).zip(named)
                && session.inputs.taken_at(named.input).is_none()
            {
                let (input, output_bytes) = (named.input, session.log.total());
                let input_bytes = came.filter(|came| judged.input_bytes.is_some_and(|known| known != *came));
                if output_bytes != judged.output_bytes || input_bytes.is_some() {
                    let moved = FromHost::InputMoved { session: id, input, output_bytes, input_bytes };
                    return self.peers.say(at, &moved);
                }
            }
        }
        let Some((slot, session)) = slot.and_then(|slot| Some((slot, self.sessions.get_mut(slot)?))) else {
            return self.peers.say(at, &FromHost::NoSuchSession { session: id });
        };
        if let Some(input) = input
            && let Some(output_bytes) = session.inputs.taken_at(input)
        {
            return self.peers.say(at, &FromHost::Written { session: id, input, output_bytes });
        }
        if session.descriptors.input().is_none() || session.inputs.close {
            return self.peers.say(at, &FromHost::NoSuchSession { session: id });
        }
        // What is typed only now must not wait behind what nobody reads: it would be typed at another time.
        let waits = named.is_some_and(|named| named.only_at.is_some()) && session.inputs.waiting() > 0;
        if waits || !session.inputs.has_room(data.len()) {
            let waiting_bytes = session.inputs.waiting() as u64;
            return self.peers.say(at, &FromHost::InputRefused { session: id, input, waiting_bytes });
        }
        session.forget_read_line();
        let lines = session.descriptors.terminal().and_then(os::modes).is_some_and(|modes| modes.canonical);
        if let Some(named) = named.filter(|named| lines && named.only_at.is_some()) {
            let kill = session.descriptors.terminal().and_then(os::line_kill);
            if !session.inputs.remove_reports(kill) {
                let (input, output_bytes) = (named.input, session.log.total());
                let moved = FromHost::InputMoved { session: id, input, output_bytes, input_bytes: came };
                return self.peers.say(at, &moved);
            }
        }
        session.last_input = self.now;
        if is_report {
            session.inputs.push_report(data, lines);
        } else {
            session.inputs.push(data, lines);
        }
        if let Some(input) = input {
            let output_bytes = session.log.total();
            session.inputs.remember(input, output_bytes);
            self.peers.say(at, &FromHost::Written { session: id, input, output_bytes });
        }
        self.write_input(slot);
    }

    /// Gives how many bytes came before these.
    fn count_input(&mut self, slot: usize, data: &[u8]) -> Option<u64> {
        let inputs = &mut self.sessions.get_mut(slot)?.inputs;
        let before = inputs.came;
        inputs.came += data.len() as u64;
        Some(before)
    }

    /// End of file on stdin, once what waits is written. A terminal has none.
    pub(super) fn close_input(&mut self, slot: usize) {
        if let Some(session) = self.sessions.get_mut(slot) {
            session.inputs.close = matches!(session.descriptors, Descriptors::Pipes { .. });
        }
        self.write_input(slot);
    }

    /// Writes what waits, as far as it is taken; epoll tells when to go on.
    pub(super) fn write_input(&mut self, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Some(stdin) = session.descriptors.input() else { return };
        let mut gone = false;
        while !session.inputs.front().is_empty() {
            match rustix::io::write(stdin, session.inputs.front()) {
                Ok(written) => session.inputs.written(written),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    gone = true;
                    break;
                }
            }
        }
        if gone {
            session.inputs.discard();
        }
        let waits = session.inputs.waiting() > 0;
        let changed = waits != session.inputs.polled;
        session.inputs.polled = waits;
        match &mut session.descriptors {
            Descriptors::Pty(_) if changed => self.poll_output(slot),
            Descriptors::Pipes { stdin, .. } if gone || session.inputs.close && !waits => {
                if let Some(stdin) = stdin.take() {
                    self.poll.remove(stdin);
                }
            }
            Descriptors::Pipes { stdin: Some(stdin), .. } if changed && waits => {
                let _ = self.poll.add(&*stdin, Source::Input(slot), EventFlags::OUT);
            }
            Descriptors::Pipes { stdin: Some(stdin), .. } if changed => {
                self.poll.remove(&*stdin);
            }
            _ => {}
        }
    }
}

impl Session {
    /// Forgets a begun line that a program took key by key. What is unread stays: it begins a line again when the terminal collects
    /// lines again. The kernel tells nobody of a change of modes, so this is looked at whenever something comes or goes.
    pub(super) fn forget_read_line(&mut self) {
        if self.inputs.is_in_line()
            && self.flow == Flow::Open
            && let Some(master) = self.descriptors.terminal()
            && os::is_read_up(master)
        {
            self.inputs.were_read();
        }
    }
}
