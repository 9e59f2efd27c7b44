//! How much was typed into a session, as its host counts it: what this hub sent, and what came otherwise.
//!
//! A connection keeps its order, so the host had all that was sent before a question when it answers that.
//! Knows no terminal, no prompt.

use std::collections::VecDeque;

/// Input of one session.
#[derive(Debug, Default)]
pub(super) struct Typing {
    /// Sent over this connection, bytes.
    sent: u64,
    /// As much was sent when the host was asked, for each question that it has not answered.
    asked: VecDeque<u64>,
    /// What came to the host over other connections; none: it has not said so yet.
    others: Option<u64>,
}

impl Typing {
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        self.sent += bytes.len() as u64;
    }

    /// The host is asked how much there is.
    pub(super) fn asked(&mut self) {
        self.asked.push_back(self.sent);
    }

    /// Its answer. True where somebody else typed since the last one.
    pub(super) fn told(&mut self, input_bytes: Option<u64>) -> bool {
        let sent = self.asked.pop_front();
        let others = input_bytes.zip(sent).and_then(|(all, sent)| all.checked_sub(sent));
        let more = self.others.zip(others).is_some_and(|(known, now)| now > known);
        self.others = others;
        more
    }

    /// What the host has counted when it comes to what is sent next; none: not known.
    pub(super) fn expected(&self) -> Option<u64> {
        self.others.map(|others| others + self.sent)
    }

    /// The connection is another one.
    pub(super) fn lost(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_typed_is_told_from_what_was_sent() {
        let mut typing = Typing::default();
        typing.sent(b"early");
        assert_eq!(typing.expected(), None);
        typing.asked();
        typing.sent(b"on");
        typing.asked();
        // Ten bytes are of an earlier life of the node.
        assert!(!typing.told(Some(15)));
        assert_eq!(typing.expected(), Some(17));
        assert!(!typing.told(Some(17)));
        typing.asked();
        assert!(typing.told(Some(18)));
        assert_eq!(typing.expected(), Some(18));
        typing.lost();
        typing.asked();
        assert!(!typing.told(None));
        assert_eq!(typing.expected(), None);
    }
}
