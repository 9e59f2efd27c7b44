//! A stream whose set of secrets can change while it runs.

use std::sync::Arc;

use super::{Mask, RedactStream, Redactor, SECRET_BYTES_MAX};

/// Number of bytes that are kept after they were taken: a secret that becomes known may have begun in them.
const BEFORE_BYTES: usize = SECRET_BYTES_MAX;

/// A [`RedactStream`] whose redactor can be replaced.
#[derive(Debug)]
pub struct ChangingStream {
    stream: RedactStream,
    /// The last bytes taken.
    taken: Vec<u8>,
}

impl ChangingStream {
    /// Returns a stream at its beginning.
    #[must_use]
    pub fn new(redactor: Arc<Redactor>, mask: Mask) -> Self {
        Self { stream: RedactStream::new(redactor, mask), taken: Vec::new() }
    }

    /// Its present redactor.
    #[must_use]
    pub fn redactor(&self) -> &Arc<Redactor> {
        &self.stream.redactor
    }

    /// Replaces the redactor. Bytes that are held back and cannot begin one of its secrets go to `out`.
    pub fn change(&mut self, redactor: &Arc<Redactor>, out: &mut Vec<u8>) {
        if Arc::ptr_eq(redactor, self.redactor()) {
            return;
        }
        let held = self.stream.held().min(self.taken.len());
        let (before, held) = self.taken.split_at(self.taken.len() - held);
        let next = RedactStream::new(Arc::clone(redactor), self.stream.mask);
        let old = std::mem::replace(&mut self.stream, next).search;
        self.stream.prime(before);
        let mut from = 0;
        for (at, bytes) in old.carried {
            let to = usize::try_from(at - old.base).unwrap_or(held.len()).min(held.len());
            self.stream.push_into(&held[from..to], out);
            self.stream.carry(&bytes, out);
            from = to;
        }
        self.stream.push_into(&held[from..], out);
    }

    /// The same as [`RedactStream::prime`].
    pub fn prime(&mut self, before: &[u8]) {
        self.stream.prime(before);
        self.note(before);
    }

    /// The same as [`RedactStream::push_into`].
    pub fn push_into(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.stream.push_into(bytes, out);
        self.note(bytes);
    }

    /// The same as [`RedactStream::carry`].
    pub fn carry(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.stream.carry(bytes, out);
    }

    /// The same as [`RedactStream::flush_idle`].
    pub fn flush_idle(&mut self, most: u64, out: &mut Vec<u8>) {
        self.stream.flush_idle(most, out);
    }

    /// Releases the rest. Bytes after that begin a new stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.stream.finish(out);
        *self = Self::new(Arc::clone(self.redactor()), self.stream.mask);
    }

    /// The same as [`RedactStream::held`].
    #[must_use]
    pub fn held(&self) -> usize {
        self.stream.held()
    }

    fn note(&mut self, bytes: &[u8]) {
        // All bytes that are held back are among them.
        let most = BEFORE_BYTES + self.stream.held();
        self.taken.extend_from_slice(bytes);
        if self.taken.len() > 2 * most {
            self.taken.drain(..self.taken.len() - most);
        }
    }
}
