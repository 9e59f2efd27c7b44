//! What keys that somebody typed can do at a prompt. Knows nothing of the program that gets them.

/// From the keys that do least to those that may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TypedKeys {
    /// Cursor keys and Tab alone: they move through a list.
    Move,
    /// Space, too: it marks what is chosen of a list.
    Mark,
    /// Anything else may be an answer.
    Answer,
}

/// Cursor keys as terminals send them (xterm control sequences, "PC-style function keys").
const MOVES: [&[u8]; 18] = [
    b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[H", b"\x1b[F", b"\x1bOA", b"\x1bOB", b"\x1bOC",
    b"\x1bOD", b"\x1bOH", b"\x1bOF", b"\x1b[1~", b"\x1b[4~", b"\x1b[5~", b"\x1b[6~", b"\x1b[Z", b"\t",
];

impl TypedKeys {
    /// Judges what was typed at once.
    #[must_use]
    pub fn of(mut bytes: &[u8]) -> Self {
        let mut most = Self::Move;
        while !bytes.is_empty() {
            bytes = if let Some(rest) = MOVES.iter().find_map(|key| bytes.strip_prefix(*key)) {
                rest
            } else if let Some(rest) = bytes.strip_prefix(b" ") {
                most = Self::Mark;
                rest
            } else {
                return Self::Answer;
            };
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_move_and_mark_answer_nothing() {
        assert_eq!(TypedKeys::of(b"\x1b[B\x1bOA\t\x1b[6~"), TypedKeys::Move);
        assert_eq!(TypedKeys::of(b"\x1b[B "), TypedKeys::Mark);
        for answer in [&b"\r"[..], b"y", b"\x1b[B\r", b"\x1b", b"\x1b[", b"\x1b[200~ \x1b[201~", b" x"] {
            assert_eq!(TypedKeys::of(answer), TypedKeys::Answer, "{answer:?}");
        }
    }
}
