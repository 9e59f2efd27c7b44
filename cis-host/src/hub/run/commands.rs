//! What the handle and the viewers ask of the hub, one command after the other.

use super::super::session::{Session, Tell, Watch};
use super::super::{Answer, Attached, Attaching, Command, Counts, Ended, HubError, Reach, saved};
use super::{OUT_BYTES_MAX, Reply, Task};
use crate::frames;
use crate::protocol::{INPUT_BYTES_MAX, ToHost, frame};
use cis_core::api::{Attach, InputReceipt};
use cis_core::ids::{InputId, SessionId};

/// So many commands are taken in a row.
const COMMANDS_MAX: usize = 256;

impl Task {
    pub(super) fn take_commands(&mut self) {
        for _ in 0..COMMANDS_MAX {
            if self.env.out.len() >= OUT_BYTES_MAX {
                return;
            }
            let Ok(command) = self.commands.try_recv() else { return };
            self.command(command);
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        let env = &mut self.env;
        match command {
            Command::Open(info) => {
                let connected = self.link.is_some();
                self.sessions.entry(info.id).or_insert_with(|| {
                    let mut session = Session::new(*info, env);
                    if connected {
                        session.connect(env);
                    }
                    session
                });
            }
            Command::Close { id, ended } => self.close(id, ended),
            Command::Attach { id, how, reach, reply } => {
                let _ = reply.send(self.attach(id, how, reach));
            }
            Command::Detach { id, viewer } => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.detach(viewer, env);
                }
            }
            Command::Typed { id, viewer, bytes, .. } => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.typed(viewer, &bytes, env);
                }
            }
            Command::Control { id, viewer, control } => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.control(viewer, control, env);
                }
            }
            Command::Redact { id, redactor } => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.redact(redactor, env);
                }
            }
            Command::Ask { id } => env.dirty.push(id),
            Command::Input { id, input, bytes, reply } => self.input(id, input, &bytes, reply),
            Command::HasTyped { id, input, reply } => self.has_typed(id, input, reply),
            Command::Answer { answer, tell } => self.answer(answer, tell),
            Command::Explain { id, reply } => {
                let now = env.clock.now();
                let session = self.sessions.get(&id).ok_or(HubError::NoSuchSession { id });
                let _ = reply.send(
                    session.and_then(|session| session.explain(now).ok_or(HubError::NotATerminal { id })),
                );
            }
            Command::Still { id, reply } => {
                let session = self.sessions.get_mut(&id).ok_or(HubError::NoSuchSession { id });
                let still =
                    session.and_then(|session| session.still(env).ok_or(HubError::NotATerminal { id }));
                let _ = reply.send(still);
            }
            Command::ScreenText { id, reply } => {
                let session = self.sessions.get_mut(&id).ok_or(HubError::NoSuchSession { id });
                let _ = reply.send(session.and_then(|session| session.text(env)));
            }
            Command::Lookup { id, reply } => {
                let session = self.sessions.get_mut(&id).ok_or(HubError::NoSuchSession { id });
                let _ = reply.send(session.map(Session::redactors));
            }
            Command::Saved { id, log, offset, worked } => match self.sessions.get_mut(&id) {
                Some(session) => session.saved(offset, worked, env),
                // It was closed meanwhile.
                None => drop(tokio::task::spawn_blocking(move || saved::remove(&log))),
            },
            Command::Counts { reply } => {
                let mut counts = Counts { sessions: self.sessions.len(), ..Counts::default() };
                for session in self.sessions.values() {
                    counts.models += usize::from(session.has_model());
                    counts.viewers += session.viewers();
                }
                let _ = reply.send(Ok(counts));
            }
            Command::Reconnect { reply } => self.reconnects.push(reply),
        }
    }

    fn attach(&mut self, id: SessionId, how: Attach, reach: Reach) -> Result<Attaching, HubError> {
        let session = self.sessions.get_mut(&id).ok_or(HubError::NoSuchSession { id })?;
        if !session.tty {
            return Ok(Attaching::Pipes { redactors: session.redactors() });
        }
        if self.link.is_none() && session.ended.is_none() {
            return Err(self.lost.clone());
        }
        let own = self.env.own.upgrade().ok_or(HubError::Stopped)?;
        self.viewers += 1;
        let queue = session.attach(self.viewers, how, reach, &mut self.env);
        Ok(Attaching::Terminal(Attached::terminal(own, id, self.viewers, queue, how.read_only)))
    }

    /// Why nothing can be typed into this session now.
    fn refusal(&self, id: SessionId, bytes: &[u8]) -> Option<HubError> {
        match self.sessions.get(&id) {
            _ if bytes.len() > INPUT_BYTES_MAX => {
                Some(HubError::InputRefused { id, detail: format!("it has {} bytes", bytes.len()) })
            }
            None => Some(HubError::NoSuchSession { id }),
            Some(session) if session.ended.is_some() => Some(HubError::NoSuchSession { id }),
            Some(_) if self.link.is_none() => Some(self.lost.clone()),
            Some(_) => None,
        }
    }

    fn answer(&mut self, answer: Answer, tell: Tell) {
        if let Some(error) = self.refusal(answer.session, &answer.bytes) {
            return tell.tell(Err(error));
        }
        if let Some(session) = self.sessions.get_mut(&answer.session) {
            session.answer(answer, tell, &mut self.env);
        }
    }

    fn input(&mut self, id: SessionId, input: InputId, bytes: &[u8], reply: Reply<InputReceipt>) {
        if let Some(error) = self.refusal(id, bytes) {
            let _ = reply.send(Err(error));
            return;
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.note_typed(bytes, &mut self.env);
            session.typing.sent(bytes);
        }
        self.env.say(&ToHost::Input { session: id, input });
        // One frame: the id is of the next frame alone.
        frames::put_bytes(&mut self.env.out, frame::INPUT, id, 0, bytes);
        self.inputs.entry((id, input)).or_default().push(reply);
    }

    fn has_typed(&mut self, id: SessionId, input: InputId, reply: Reply<bool>) {
        if let Some(error) = self.refusal(id, &[]) {
            let _ = reply.send(Err(error));
            return;
        }
        // Each host that knows `InputAt` answers this: no session has so much output, so an id that it does not know gives `InputMoved`.
        self.env.say(&ToHost::InputAt { session: id, input, output_bytes: u64::MAX, input_bytes: None });
        frames::put_bytes(&mut self.env.out, frame::INPUT, id, 0, &[]);
        self.asked.entry((id, input)).or_default().push(reply);
    }

    fn close(&mut self, id: SessionId, ended: Ended) {
        let inputs = self.has_inputs(id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // What the host has typed, and what the session wrote last, may not have been read here yet.
        let owed = inputs || session.has_answers();
        if (session.viewers() > 0 && session.watch == Watch::On) || (owed && self.link.is_some()) {
            session.closing = Some(ended);
            return self.expect_end(id);
        }
        if session.watch == Watch::On {
            self.env.say(&ToHost::Unwatch { session: id });
        }
        session.end(ended);
        self.fail_inputs(id);
        self.forget(id);
    }

    pub(super) fn forget(&mut self, id: SessionId) {
        if let Some(mut session) = self.sessions.remove(&id) {
            session.sleep(&mut self.env);
            session.forget();
        }
        self.endings.retain(|(_, ending)| *ending != id);
    }
}
