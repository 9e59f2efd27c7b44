//! A followed log in pieces that tell where they end, so that a reader whose node went away goes on there.
//!
//! A piece is `flags: u8` (bit 0: the last one), `next: u64 LE`, `length: u32 LE`, and that many bytes.
//! `next` is the first byte of the output that no piece so far stands for; `u64::MAX` where bytes are held
//! back that decide whether they are shown. Secrets are replaced and, in text, escape sequences are left
//! out, so that the bytes themselves do not tell.

/// Flags, next, length.
const HEAD_BYTES: usize = 1 + 8 + 4;
/// No piece is longer; a peer that announces one is not understood.
const PIECE_BYTES_MAX: usize = 32 << 20;
const LAST: u8 = 1;

/// Names the session whose log it is, in the head of the answer.
pub const SESSION_HEADER: &str = "cis-session";

/// A piece of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPiece {
    /// What is shown.
    pub bytes: Vec<u8>,
    /// First byte of the output that was not shown yet, where that is known.
    pub next: Option<u64>,
    /// There is no more: a stream that ends without such a piece was cut off.
    pub last: bool,
}

impl LogPiece {
    /// On its way.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.bytes.len());
        out.push(if self.last { LAST } else { 0 });
        out.extend_from_slice(&self.next.unwrap_or(u64::MAX).to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&self.bytes);
        out
    }
}

/// Takes bytes as they come, gives pieces.
#[derive(Debug, Default)]
pub struct LogPieces {
    waiting: Vec<u8>,
}

impl LogPieces {
    /// Takes what came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next whole piece.
    ///
    /// # Errors
    /// What came is no piece.
    pub fn next_piece(&mut self) -> Result<Option<LogPiece>, String> {
        let Some((head, rest)) = self.waiting.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let [flags, n @ ..] = *head;
        let (next, length) = (
            u64::from_le_bytes([n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]]),
            [n[8], n[9], n[10], n[11]],
        );
        let length = u32::from_le_bytes(length) as usize;
        if length > PIECE_BYTES_MAX {
            return Err(format!("a piece of a log of {length} bytes"));
        }
        let Some(bytes) = rest.get(..length) else { return Ok(None) };
        let next = (next != u64::MAX).then_some(next);
        let piece = LogPiece { bytes: bytes.to_vec(), next, last: flags & LAST != 0 };
        self.waiting.drain(..HEAD_BYTES + length);
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_whatever_the_splits() {
        let pieces = [
            LogPiece { bytes: b"one".to_vec(), next: Some(3), last: false },
            LogPiece { bytes: Vec::new(), next: None, last: false },
            LogPiece { bytes: vec![7; 300], next: Some(u64::MAX - 1), last: true },
        ];
        let all: Vec<u8> = pieces.iter().flat_map(LogPiece::encode).collect();
        for size in [1, 2, 13, 16, all.len()] {
            let (mut decoder, mut found) = (LogPieces::default(), Vec::new());
            for part in all.chunks(size) {
                decoder.feed(part);
                while let Some(piece) = decoder.next_piece().unwrap() {
                    found.push(piece);
                }
            }
            assert_eq!(found, pieces, "{size}");
        }
        let mut hostile = LogPieces::default();
        hostile.feed(&[0xff; HEAD_BYTES]);
        assert!(hostile.next_piece().is_err());
    }
}
