//! What peers ask for.

use rustix::io::Errno;
use rustix::process::{Signal, kill_process_group};
use rustix::termios::tcgetpgrp;

use super::environment::Base;
use super::inputs::{Judged, Named};
use super::renewal::FORMAT;
use super::session::{Deadline, EndedBy, Session};
use super::state::Host;
use crate::frames::Frame;
use crate::os;
use crate::protocol::{AtDeadline, FromHost, Lease, Role, ToHost, VERSION, frame};
use crate::quick;
use cis_core::ids::SessionId;

impl Host {
    /// Deals with the whole frames that came from a peer, as long as there is room for replies. True
    /// where one was dealt with.
    pub(super) fn take_frames(&mut self, at: usize) -> bool {
        let Some(connection) = self.peers.get_mut(at) else { return false };
        let mut decoder = std::mem::take(&mut connection.decoder);
        let mut any = false;
        let refused = loop {
            let open = self.peers.get(at).is_some_and(|peer| peer.has_room() && !peer.closing);
            if !open {
                break None;
            }
            let outcome = match decoder.next_frame() {
                Ok(None) => break None,
                Ok(Some(Frame::Json(text))) => match quick::to_host(text) {
                    Ok(message) => self.request(at, message),
                    Err(error) => Err(format!("a message cannot be understood: {error}")),
                },
                Ok(Some(Frame::Bytes { kind: frame::INPUT, session, offset, data })) => {
                    self.input_frame(at, session, offset == frame::REPORT, data)
                }
                Ok(Some(Frame::Bytes { .. } | Frame::Unknown { .. })) => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            any = true;
            if let Err(detail) = outcome {
                break Some(detail);
            }
        };
        if let Some(connection) = self.peers.get_mut(at) {
            connection.decoder = decoder;
        }
        if let Some(detail) = refused {
            self.refuse(at, detail);
        }
        any
    }

    /// Says why and closes.
    fn refuse(&mut self, at: usize, detail: String) {
        self.peers.say(at, &FromHost::Refused { detail });
        if let Some(connection) = self.peers.get_mut(at) {
            connection.closing = true;
        }
    }

    fn input_frame(
        &mut self,
        at: usize,
        session: SessionId,
        is_report: bool,
        data: &[u8],
    ) -> Result<(), String> {
        let Some(connection) = self.peers.get_mut(at).filter(|peer| peer.role.is_some()) else {
            return Err("input came before a hello".to_owned());
        };
        let named = connection.named_input.take_if(|(of, _)| *of == session);
        self.take_input(at, session, named.map(|(_, named)| named), is_report, data);
        Ok(())
    }

    fn request(&mut self, at: usize, message: ToHost) -> Result<(), String> {
        let Some(connection) = self.peers.get_mut(at) else { return Ok(()) };
        match (connection.role, &message) {
            (None, ToHost::Hello { version, role }) => {
                self.hello(at, *version, *role);
                return Ok(());
            }
            (None, _) => return Err("the first message must be a hello".to_owned()),
            (Some(_), ToHost::Hello { .. }) => return Err("a second hello came".to_owned()),
            (Some(Role::Stream), message) if is_for_control(message) => {
                return Err("this request is for the control connection".to_owned());
            }
            (Some(_), _) => {}
        }
        match message {
            ToHost::Input { session, input } => {
                connection.named_input = Some((session, Named { input, only_at: None }));
            }
            ToHost::InputAt { session, input, output_bytes, input_bytes } => {
                let only_at = Some(Judged { output_bytes, input_bytes });
                connection.named_input = Some((session, Named { input, only_at }));
            }
            ToHost::Env { name, vars } => {
                let base = Base::new(vars).map_err(|why| format!("the environment `{name}`: {why}"))?;
                self.launcher.bases.insert(name, base);
            }
            ToHost::DropEnv { name } => drop(self.launcher.bases.remove(&name)),
            ToHost::Start(start) => self.start(at, *start),
            ToHost::Withdraw { session } => drop(self.withdraw(session)),
            ToHost::Supervise { restart, receives_environment } => {
                self.supervise.set(restart, receives_environment);
            }
            ToHost::Renew { command } => self.renew(at, command),
            ToHost::Shutdown {} => self.shut_down(),
            ToHost::AckExit { session } => self.acknowledge(session),
            ToHost::CloseStdin { session } => self.on_session(at, session, Self::close_input),
            ToHost::Resize { session, size } => self.on_session(at, session, |host, slot| {
                let session = host.sessions.get(slot);
                if let Some(master) = session.and_then(|session| session.descriptors.terminal()) {
                    let _ = os::resize(master, size.cols, size.rows);
                }
            }),
            ToHost::Signal { session, signal } => {
                self.on_session(at, session, |host, slot| host.signal_foreground(slot, signal));
            }
            ToHost::Kill { session, .. } if self.withdraw(session) => {}
            ToHost::Kill { session, grace_ms } => {
                self.on_session(at, session, |host, slot| host.end_session(slot, EndedBy::Kill, grace_ms));
            }
            ToHost::Freeze { session } => self.on_session(at, session, Self::freeze),
            ToHost::Thaw { session } => self.on_session(at, session, Self::thaw),
            ToHost::Deadline { session, after_ms, action, keep_ms, until_ms } => {
                let at_ms = until_ms.or_else(|| after_ms.map(|after| self.now.saturating_add(after)));
                // A session that waits for its turn can only have a lease: a kill would end nothing.
                let until = at_ms.filter(|_| action == AtDeadline::Freeze);
                if self.queues.renew(session, until.map(|until_ms| Lease { until_ms, keep_ms })) {
                    return Ok(());
                }
                let deadline = at_ms.map(|at_ms| Deadline { at_ms, action, keep_ms, ends_lease: false });
                self.on_session(at, session, |host, slot| host.set_deadline(slot, deadline));
            }
            ToHost::Probe { session } => self.on_session(at, session, |host, slot| host.probe(at, slot)),
            ToHost::Waits { session, waits } => {
                self.on_session(at, session, |host, slot| host.hold_idleness(slot, waits));
            }
            ToHost::Watch { session, from } => match self.sessions.slot_of(session) {
                Some(slot) => self.watch_session(at, slot, from),
                None => self.peers.say(at, &FromHost::NoSuchSession { session }),
            },
            ToHost::Unwatch { session } => {
                if let Some(slot) = self.sessions.slot_of(session) {
                    self.unwatch_session(slot, at);
                }
            }
            ToHost::Hello { .. } => {}
        }
        Ok(())
    }

    fn hello(&mut self, at: usize, version: u32, role: Role) {
        let Some(connection) = self.peers.get_mut(at) else { return };
        connection.role = Some(role);
        connection.closing = version != VERSION;
        let mut sessions = Vec::new();
        if role == Role::Control && version == VERSION {
            if let Some(old) = self.peers.control.replace(at) {
                // Not `close`: the node is not lost, it is another one.
                self.drop_connection(old);
            }
            // It was asked for by the node before, which may be of another version.
            self.abandon_renewal();
            // What waits is not among the sessions that this node is told, so it must not begin behind its back: the node has
            // it granted anew, or not.
            drop(self.queues.clear());
            // Each node sends the environments that it uses over each connection. Those of a node that was killed would stay.
            self.launcher.bases.clear();
            self.supervise.connected(self.now);
            // The paths of a node that comes later may be those after a move.
            self.home = self.present_home();
            let open = self.sessions.iter().filter(|(_, session)| !session.is_acknowledged());
            sessions = open.map(|(_, session)| session.known()).collect();
            sessions.extend(self.notes.all_left().cloned());
        }
        let (instance, pid) = (self.instance, self.processes.own_pid);
        let (build, renewal) = (self.build.clone(), Some(FORMAT));
        self.peers.say(at, &FromHost::Welcome { version: VERSION, instance, pid, sessions, build, renewal });
        if self.peers.control == Some(at) {
            self.say_unsaid_warnings();
        }
    }

    /// Does it to a session that lives; says so where it does not.
    fn on_session(&mut self, at: usize, session: SessionId, act: impl FnOnce(&mut Self, usize)) {
        let lives = |slot: &usize| self.sessions.get(*slot).is_some_and(Session::lives);
        match self.sessions.slot_of(session).filter(lives) {
            Some(slot) => {
                act(self, slot);
                self.wish(slot);
            }
            None => self.peers.say(at, &FromHost::NoSuchSession { session }),
        }
    }

    /// To the foreground process group of its terminal; of pipes, to the group of its leader.
    fn signal_foreground(&mut self, slot: usize, signal: i32) {
        let Some(session) = self.sessions.get(slot) else { return };
        let Some(signal) = Signal::from_named_raw(signal) else { return };
        let foreground = session.descriptors.terminal().and_then(|master| tcgetpgrp(master).ok());
        // While the leader is not waited for, no other group can have its number.
        let own = session.leader();
        if let Some(group) = foreground.or(own)
            && let Err(Errno::SRCH) = kill_process_group(group, signal)
            && let Some(own) = own
        {
            let _ = kill_process_group(own, signal);
        }
    }

    fn acknowledge(&mut self, id: SessionId) {
        self.notes.acknowledge(id);
        let Some(slot) = self.sessions.slot_of(id) else { return };
        if let Some(session) = self.sessions.get_mut(slot) {
            session.life.acknowledge();
            self.sessions.forget_if_done(slot);
        }
    }

    /// Ends every session, and then the host.
    pub(super) fn shut_down(&mut self) {
        self.shutting_down = true;
        self.supervise.set(None, false);
        self.empty_queues();
        let living: Vec<usize> = self.sessions.living().map(|(slot, _)| slot).collect();
        for slot in living {
            self.end_session(slot, EndedBy::Shutdown, None);
            self.wish(slot);
        }
    }
}

/// Requests of which two peers could not both be right.
fn is_for_control(message: &ToHost) -> bool {
    matches!(
        message,
        ToHost::Env { .. }
            | ToHost::DropEnv { .. }
            | ToHost::Start(_)
            | ToHost::Withdraw { .. }
            | ToHost::AckExit { .. }
            | ToHost::Supervise { .. }
            | ToHost::Renew { .. }
            | ToHost::Shutdown {}
    )
}
