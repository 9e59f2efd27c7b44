//! One session on its way to the next program.

use std::io;

use serde::{Deserialize, Serialize};

use crate::evidence::Impatience;
use crate::exits::Promise;
use crate::host::inputs::Inputs;
use crate::host::patience::Patience;
use crate::host::session::{Deadline, Descriptors, Flow, Life, Session};
use crate::log::PassedLog;
use crate::os::{Incoming, Outgoing, PassedNumber, ProcessKey, Stamp, Terminal};
use crate::protocol::Exit;
use cis_core::ids::{RunId, SessionId, TimestampMs};

/// A [`Session`] with numbers for its descriptors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PassedSession {
    id: SessionId,
    label: String,
    queue: Option<RunId>,
    stamp: Option<Stamp>,
    pid: u32,
    started_ms: TimestampMs,
    started: u64,
    born_ms: u64,
    descriptors: PassedDescriptors,
    terminal: Option<Terminal>,
    flow: Flow,
    inputs: Inputs,
    log: PassedLog,
    last_output: u64,
    last_input: u64,
    grace_ms: u64,
    timeout_at: Option<u64>,
    patience: Option<Patience>,
    deadline: Option<Deadline>,
    life: Life,
    seen: Vec<ProcessKey>,
    promise: Promise,
    noted: Option<Exit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum PassedDescriptors {
    Pty(PassedNumber),
    Pipes { output: Option<PassedNumber>, stdin: Option<PassedNumber> },
    Closed,
}

impl PassedSession {
    pub(super) fn of<'a>(session: &'a Session, outgoing: &mut Outgoing<'a>) -> Self {
        let descriptors = match &session.descriptors {
            Descriptors::Pty(master) => PassedDescriptors::Pty(outgoing.put(master)),
            Descriptors::Pipes { output, stdin } => {
                let mut put = |pipe: &'a Option<_>| pipe.as_ref().map(|pipe| outgoing.put(pipe));
                PassedDescriptors::Pipes { output: put(output), stdin: put(stdin) }
            }
            Descriptors::Closed => PassedDescriptors::Closed,
        };
        Self {
            id: session.id,
            label: session.label.to_string(),
            queue: session.queue,
            stamp: session.stamp,
            pid: session.pid,
            started_ms: session.started_ms,
            started: session.started,
            born_ms: session.born_ms,
            descriptors,
            terminal: session.terminal,
            flow: session.flow,
            inputs: session.inputs.clone(),
            log: session.log.put_into(outgoing),
            last_output: session.last_output,
            last_input: session.last_input,
            grace_ms: session.grace_ms,
            timeout_at: session.timeout_at,
            patience: session.patience.as_deref().cloned(),
            deadline: session.deadline,
            life: session.life.clone(),
            seen: session.seen.clone(),
            promise: session.promise.clone(),
            noted: session.noted.as_deref().cloned(),
        }
    }

    /// Gives the session its descriptors. It is not polled yet, and nobody watches it.
    pub(super) fn open(self, incoming: &mut Incoming) -> io::Result<Session> {
        let mut take = |number: Option<PassedNumber>| number.map(|number| incoming.take(number)).transpose();
        let descriptors = match self.descriptors {
            PassedDescriptors::Pty(master) => Descriptors::Pty(incoming.take(master)?),
            PassedDescriptors::Pipes { output, stdin } => {
                Descriptors::Pipes { output: take(output)?, stdin: take(stdin)? }
            }
            PassedDescriptors::Closed => Descriptors::Closed,
        };
        Ok(Session {
            id: self.id,
            label: self.label.into(),
            queue: self.queue,
            // The next node gets it with its welcome.
            told: true,
            stamp: self.stamp,
            pid: self.pid,
            started_ms: self.started_ms,
            started: self.started,
            born_ms: self.born_ms,
            descriptors,
            terminal: self.terminal,
            impatience: Impatience::default(),
            passes_on: false,
            flow: self.flow,
            polled: false,
            inputs: self.inputs,
            log: self.log.take_from(incoming)?,
            last_output: self.last_output,
            last_input: self.last_input,
            grace_ms: self.grace_ms,
            timeout_at: self.timeout_at,
            patience: self.patience.map(Box::new),
            deadline: self.deadline,
            life: self.life,
            seen: self.seen,
            promise: self.promise,
            noted: self.noted.map(Box::new),
            watchers: Vec::new(),
        })
    }
}

#[cfg(test)]
impl PassedSession {
    /// A session whose descriptors are closed.
    pub(super) fn with(id: SessionId, life: Life, inputs: Inputs, patience: Option<Patience>) -> Self {
        let key = ProcessKey { pid: 7, started: 1 };
        Self {
            id,
            label: "label".to_owned(),
            queue: None,
            stamp: None,
            pid: 7,
            started_ms: -1,
            started: 1,
            born_ms: u64::MAX,
            descriptors: PassedDescriptors::Closed,
            terminal: None,
            flow: Flow::HungUp,
            inputs,
            log: crate::log::LogWriter::new("/log".into(), 0).put_into(&mut Outgoing::default()),
            last_output: 1,
            last_input: 2,
            grace_ms: 3,
            timeout_at: None,
            patience,
            deadline: None,
            life,
            seen: vec![key],
            promise: Promise::default(),
            noted: Some(Exit::with_code(1)),
        }
    }
}
