//! What waits for one viewer: bounded, and never waited for by the hub.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::AttachOutput;
use cis_core::api::AttachNotice;

/// Chunks are joined up to this size, bytes.
const JOIN_BYTES: usize = 32 << 10;

#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// With the first byte of the session's output that it and all before it do not stand for, where that is known.
    items: VecDeque<(AttachOutput, Option<u64>)>,
    bytes: usize,
    /// Once it is empty, the viewer asks for a picture.
    ask: bool,
    closed: bool,
}

/// What the viewer finds.
#[derive(Debug)]
pub(super) enum Next {
    Item(AttachOutput, Option<u64>),
    /// It is to ask for a picture, and to wait.
    Ask,
    Wait,
    Closed,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that holds it can panic half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds bytes. False where they would be more than `limit` together: then all that wait are
    /// dropped, and the viewer asks for a picture instead.
    pub(super) fn push(&self, bytes: Vec<u8>, limit: usize, next: Option<u64>) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let mut inner = self.lock();
        if inner.bytes + bytes.len() > limit {
            inner.items.retain(|(item, _)| !matches!(item, AttachOutput::Bytes(_)));
            inner.bytes = 0;
            inner.ask = true;
            drop(inner);
            self.wake.notify_one();
            return false;
        }
        inner.bytes += bytes.len();
        match inner.items.back_mut() {
            Some((AttachOutput::Bytes(last), until)) if last.len() + bytes.len() <= JOIN_BYTES => {
                last.extend_from_slice(&bytes);
                *until = next;
            }
            _ => inner.items.push_back((AttachOutput::Bytes(bytes), next)),
        }
        drop(inner);
        self.wake.notify_one();
        true
    }

    /// Adds a word.
    pub(super) fn notice(&self, notice: AttachNotice) {
        self.last_word(AttachOutput::Notice(notice), false);
    }

    /// Adds the last word.
    pub(super) fn close(&self, word: AttachOutput) {
        self.last_word(word, true);
    }

    fn last_word(&self, word: AttachOutput, last: bool) {
        let mut inner = self.lock();
        inner.items.push_back((word, None));
        inner.closed |= last;
        inner.ask &= !last;
        drop(inner);
        self.wake.notify_one();
    }

    /// Whether a picture can be added now. Where it cannot, the viewer asks for it when it is through.
    pub(super) fn is_ready(&self) -> bool {
        let mut inner = self.lock();
        inner.ask |= inner.bytes > 0;
        !inner.ask
    }

    pub(super) fn next(&self) -> Next {
        let mut inner = self.lock();
        if let Some((item, next)) = inner.items.pop_front() {
            if let AttachOutput::Bytes(bytes) = &item {
                inner.bytes -= bytes.len();
            }
            return Next::Item(item, next);
        }
        if inner.closed {
            Next::Closed
        } else if std::mem::take(&mut inner.ask) {
            Next::Ask
        } else {
            Next::Wait
        }
    }

    /// Until there is something new. One viewer waits at a time.
    pub(super) async fn changed(&self) {
        self.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(next: Next) -> Vec<u8> {
        match next {
            Next::Item(AttachOutput::Bytes(bytes), _) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bytes_are_joined_and_an_overflow_asks_for_a_picture_once() {
        let queue = Queue::default();
        assert!(queue.push(b"ab".to_vec(), 5, Some(2)) && queue.push(b"cd".to_vec(), 5, Some(4)));
        assert!(matches!(queue.next(), Next::Item(AttachOutput::Bytes(bytes), Some(4)) if bytes == b"abcd"));
        assert!(queue.push(b"abcd".to_vec(), 5, None));
        queue.notice(AttachNotice::Resized(cis_core::api::TermSize::default()));
        assert!(!queue.push(b"ef".to_vec(), 5, None));
        assert!(matches!(queue.next(), Next::Item(AttachOutput::Notice(_), None)));
        assert!(matches!(queue.next(), Next::Ask));
        assert!(matches!(queue.next(), Next::Wait));
        assert!(queue.is_ready());
        assert!(queue.push(b"picture".to_vec(), usize::MAX, None));
        assert!(!queue.is_ready());
        assert_eq!(bytes(queue.next()), b"picture");
        assert!(matches!(queue.next(), Next::Ask));
    }
}
