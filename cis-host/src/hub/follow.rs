//! Output of one session from any byte on, for `logs -f`, on a connection of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;

use super::wire::{self, Filled, Wire};
use super::{Ended, HubError, Redactors};
use crate::frames::Frame;
use crate::protocol::{FromHost, ToHost};
use cis_core::ids::SessionId;
use cis_core::policy::redact::{Mask, Redactor};
use cis_core::terminal::sanitizer::{Form, Sanitizer};
use cis_local::Place;

/// Number of bytes before the first one that are read to know an escape sequence that is open there.
const ESCAPES_BYTES: u64 = 4 << 10;

/// Returns the number of bytes before the first wanted one that are read as well: a secret, or an escape sequence that is left
/// out, may have begun in them.
pub fn context_bytes(redactor: &Redactor, form: Form) -> u64 {
    redactor.longest() as u64 + if form == Form::Bytes { 0 } else { ESCAPES_BYTES }
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowChunk {
    /// Bytes, secrets replaced.
    Data {
        /// First byte of the output that they stand for.
        offset: u64,
        /// First byte of the output that they do not stand for: follow again from there. `None`: not known, because bytes
        /// are held back.
        next: Option<u64>,
        /// As many as that, unless secrets were replaced or sequences left out.
        bytes: Vec<u8>,
    },
    /// Bytes that are in no log.
    Gap {
        /// The first.
        from: u64,
        /// The first one after them.
        to: u64,
    },
    /// The session ended, and this was all.
    End(Ended),
    /// It cannot be followed further; it may still run.
    Lost(HubError),
}

/// State of a follower.
#[derive(Debug)]
pub(super) struct Follow {
    wire: Wire,
    host: Arc<Place>,
    id: SessionId,
    /// First byte that is wanted.
    from: u64,
    /// The next byte that comes.
    at: u64,
    /// Everything before it was handed out.
    done: u64,
    form: Form,
    output: Sanitizer,
    redactors: Redactors,
    ready: VecDeque<FollowChunk>,
    over: bool,
}

impl Follow {
    /// Connects, and asks for the output from `from` on; a bit earlier, to know a secret that stands there.
    pub(super) async fn start(
        host: &Arc<Place>,
        id: SessionId,
        from: u64,
        form: Form,
        redactors: Redactors,
    ) -> Result<Self, HubError> {
        let mut follow = Self::connect(host, id, form, redactors).await?;
        follow.watch(from).await?;
        Ok(follow)
    }

    /// Connects only.
    pub(super) async fn connect(
        host: &Arc<Place>,
        id: SessionId,
        form: Form,
        redactors: Redactors,
    ) -> Result<Self, HubError> {
        let redactor = Arc::clone(&redactors.borrow());
        Ok(Self {
            wire: Wire::connect(host).await?,
            host: Arc::clone(host),
            id,
            from: 0,
            at: 0,
            done: 0,
            form,
            output: Sanitizer::new(form, redactor, Mask::Stars),
            redactors,
            ready: VecDeque::new(),
            over: false,
        })
    }

    /// How much output there is; none where the session has ended.
    pub(super) async fn probe(&mut self) -> Result<Option<u64>, HubError> {
        self.say(&ToHost::Probe { session: self.id }).await?;
        loop {
            if let Some(Frame::Json(json)) =
                self.wire.decoder.next_frame().map_err(|e| wire::lost(&self.host, e))?
            {
                match wire::message(json) {
                    Some(FromHost::Probed { evidence, .. }) => return Ok(Some(evidence.output_bytes)),
                    Some(FromHost::NoSuchSession { .. }) => return Ok(None),
                    _ => continue,
                }
            }
            self.fill().await?;
        }
    }

    pub(super) async fn watch(&mut self, from: u64) -> Result<(), HubError> {
        (self.from, self.done) = (from, from);
        self.at = from.saturating_sub(context_bytes(self.output.redactor(), self.form));
        self.say(&ToHost::Watch { session: self.id, from: self.at }).await
    }

    async fn say(&self, message: &ToHost) -> Result<(), HubError> {
        let mut out = Vec::new();
        wire::put_message(&mut out, message);
        self.wire.send(&out).await.map_err(|error| wire::lost(&self.host, error))
    }

    async fn fill(&mut self) -> Result<(), HubError> {
        loop {
            let ready = self.wire.stream.readable().await;
            match ready.and_then(|()| self.wire.fill()) {
                Ok(Filled::Bytes) => return Ok(()),
                Ok(Filled::NotNow) => {}
                Err(error) => return Err(wire::lost(&self.host, error)),
            }
        }
    }

    /// The next piece; none after the end. May be dropped while it waits without losing anything.
    pub(super) async fn next(&mut self) -> Option<FollowChunk> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                self.over |= matches!(chunk, FollowChunk::End(_) | FollowChunk::Lost(_));
                return Some(chunk);
            }
            if self.over {
                return None;
            }
            if let Err(error) = self.step().await {
                self.ready.push_back(FollowChunk::Lost(error));
            }
        }
    }

    /// Takes one frame, or waits for more bytes.
    async fn step(&mut self) -> Result<(), HubError> {
        let mut decoder = std::mem::take(&mut self.wire.decoder);
        let frame = decoder.next_frame().map_err(|error| wire::lost(&self.host, error));
        let more = match frame {
            Ok(Some(Frame::Bytes { session, offset, data, .. })) if session == self.id => {
                self.bytes(offset, data);
                false
            }
            Ok(Some(Frame::Json(json))) => {
                if let Some(message) = wire::message(json) {
                    self.message(message);
                }
                false
            }
            Ok(Some(Frame::Bytes { .. } | Frame::Unknown { .. })) => false,
            Ok(None) => true,
            Err(error) => return Err(error),
        };
        self.wire.decoder = decoder;
        if more { self.fill().await } else { Ok(()) }
    }

    fn bytes(&mut self, offset: u64, data: &[u8]) {
        if offset != self.at {
            // The host streams without holes but those it tells of.
            return;
        }
        self.at += data.len() as u64;
        let known = self.from.saturating_sub(offset).min(data.len() as u64) as usize;
        let (known, new) = data.split_at(known);
        let mut out = Vec::with_capacity(new.len());
        self.look_at_secrets(&mut out);
        self.output.prime(known);
        self.output.push(new, &mut out);
        let next = match self.form {
            Form::Bytes => Some(self.at - self.output.held() as u64),
            Form::Screen | Form::Colors | Form::Text => self.output.is_settled().then_some(self.at),
        };
        self.give(next, out);
    }

    /// Hides values that have become known in everything that was not given yet.
    fn look_at_secrets(&mut self, out: &mut Vec<u8>) {
        let redactor = Arc::clone(&self.redactors.borrow());
        self.output.change(&redactor, out);
    }

    fn give(&mut self, next: Option<u64>, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            let offset = self.done;
            self.done = next.unwrap_or(offset);
            self.ready.push_back(FollowChunk::Data { offset, next, bytes });
        }
    }

    /// What was held back goes out: what follows is not known, or nothing does.
    fn finish(&mut self) {
        let mut out = Vec::new();
        self.look_at_secrets(&mut out);
        self.output.finish(&mut out);
        self.give(Some(self.at), out);
    }

    fn message(&mut self, message: FromHost) {
        match message {
            FromHost::Gap { session, from, to } if session == self.id && to > self.at => {
                self.finish();
                self.at = to;
                // What comes first may be the end of a secret whose beginning is in the gap.
                let unsure = (self.output.redactor().longest() as u64).saturating_sub(1);
                let shown = to.saturating_add(unsure).max(self.from);
                if shown > self.from {
                    self.ready.push_back(FollowChunk::Gap { from: from.max(self.from), to: shown });
                    (self.from, self.done) = (shown, shown);
                }
            }
            FromHost::Exited { session, exit } if session == self.id => {
                self.finish();
                self.ready.push_back(FollowChunk::End(Ended::from(&exit)));
            }
            FromHost::NoSuchSession { session } if session == self.id => {
                self.ready.push_back(FollowChunk::Lost(HubError::NoSuchSession { id: self.id }));
            }
            _ => {}
        }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = FollowChunk> + Send + use<> {
        unfold(self, |mut follow| async move { Some((follow.next().await?, follow)) })
    }
}
