//! What the host says beside output.

use std::ops::RangeInclusive;
use std::time::Instant;

use super::super::HubError;
use super::super::session::Watch;
use super::Task;
use crate::hub::Ended;
use crate::protocol::FromHost;
use cis_core::api::InputReceipt;
use cis_core::ids::{InputId, SessionId};

impl Task {
    pub(super) fn message(&mut self, message: FromHost) {
        match message {
            FromHost::Written { session, input, output_bytes } => {
                let receipt = InputReceipt { output_offset: output_bytes };
                self.tell_asked(session, input, true);
                if let Some(known) = self.sessions.get_mut(&session)
                    && known.answer_taken(input, &Ok(receipt.clone()), &mut self.env)
                {
                    return;
                }
                for reply in self.inputs.remove(&(session, input)).into_iter().flatten() {
                    let _ = reply.send(Ok(receipt.clone()));
                }
            }
            FromHost::Exited { session: id, exit } => {
                self.fail_inputs(id);
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.end(Ended::from(&exit));
                    if session.closing.is_some() {
                        self.forget(id);
                    }
                }
            }
            FromHost::Gap { session, from, to } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.gap(from, to, &mut self.env);
                }
            }
            FromHost::Probed { session, evidence, input_bytes, line_begun } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.probed(evidence.output_bytes, &mut self.env);
                    session.evidence(evidence, input_bytes, line_begun, &mut self.env);
                }
            }
            FromHost::InputMoved { session, input, output_bytes, input_bytes } => {
                self.tell_asked(session, input, false);
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.answer_moved(input, output_bytes, input_bytes.is_some(), &mut self.env);
                }
            }
            FromHost::NoSuchSession { session } => self.no_such_session(session),
            FromHost::InputRefused { session: id, input: Some(input), waiting_bytes } => {
                let detail = format!("{waiting_bytes} bytes wait that its program does not read");
                let refused = HubError::InputRefused { id, detail };
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.answer_taken(input, &Err(refused.clone()), &mut self.env);
                }
                for reply in self.inputs.remove(&(id, input)).into_iter().flatten() {
                    let _ = reply.send(Err(refused.clone()));
                }
            }
            FromHost::Refused { detail } => self.broken(detail),
            // What is typed at a terminal is lost when nobody reads it, as at every terminal.
            FromHost::InputRefused { input: None, .. }
            | FromHost::Welcome { .. }
            | FromHost::NotRenewed { .. }
            | FromHost::Started { .. }
            | FromHost::StartFailed { .. }
            | FromHost::LogTrouble { .. }
            | FromHost::Expiring { .. } => {}
        }
    }

    /// It ended, or is forgotten, or takes no input. The host tells the end of a session that it
    /// streams; where nothing has come of this one, it was the watch that failed.
    fn no_such_session(&mut self, id: SessionId) {
        self.fail_inputs(id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match session.watch {
            Watch::Probing => session.probed(u64::MAX, &mut self.env),
            Watch::On if !session.is_confirmed() => self.expect_end(id),
            Watch::On | Watch::Off => {}
        }
    }

    /// Ends a session after a while if the host does not say more about it.
    pub(super) fn expect_end(&mut self, id: SessionId) {
        if !self.endings.iter().any(|(_, ending)| *ending == id) {
            self.endings.push((Instant::now() + self.env.limits.last_output, id));
        }
    }

    /// The host has taken an input, or not.
    fn tell_asked(&mut self, id: SessionId, input: InputId, has_typed: bool) {
        for reply in self.asked.remove(&(id, input)).into_iter().flatten() {
            let _ = reply.send(Ok(has_typed));
        }
    }

    /// Whether somebody waits for what became of an input.
    pub(super) fn has_inputs(&self, id: SessionId) -> bool {
        self.inputs.range(inputs_of(id)).next().is_some()
    }

    pub(super) fn fail_inputs(&mut self, id: SessionId) {
        let keys: Vec<_> = self.inputs.range(inputs_of(id)).map(|(key, _)| *key).collect();
        for reply in keys.iter().filter_map(|key| self.inputs.remove(key)).flatten() {
            let _ = reply.send(Err(HubError::NoSuchSession { id }));
        }
        let keys: Vec<_> = self.asked.range(inputs_of(id)).map(|(key, _)| *key).collect();
        for reply in keys.iter().filter_map(|key| self.asked.remove(key)).flatten() {
            let _ = reply.send(Err(HubError::NoSuchSession { id }));
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.fail_answers(&HubError::NoSuchSession { id });
        }
    }
}

/// The keys of a session's inputs.
fn inputs_of(id: SessionId) -> RangeInclusive<(SessionId, InputId)> {
    (id, InputId(ulid::Ulid(0)))..=(id, InputId(ulid::Ulid(u128::MAX)))
}
