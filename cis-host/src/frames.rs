//! Frames of the host protocol: encoding, and decoding of whatever a socket hands out.
//!
//! Owns the byte layout of [`super::protocol`]. Does no IO and knows no message.

use serde::Serialize;
use ulid::Ulid;

use super::protocol::{FRAME_BYTES_MAX, frame};
use cis_core::ids::SessionId;

/// Bytes before the payload: length and kind.
const PREFIX: usize = 5;
/// Longer data is split into several frames, so that a reader never waits for a large one.
const DATA_PER_FRAME_MAX: usize = 1 << 20;
/// A decoder that is empty gives memory above this back.
const KEEP_BYTES: usize = 256 << 10;

/// Why bytes are not frames; the connection they came from cannot be used further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The announced length is more than a frame may have.
    #[error(
        "a frame of {length} bytes is announced, {FRAME_BYTES_MAX} are allowed: the peer speaks another protocol"
    )]
    TooLong {
        /// What was announced, or was to be sent.
        length: usize,
    },
    /// No room for a kind, or for the header of bytes.
    #[error("a frame of {length} bytes is too short for its kind: the peer speaks another protocol")]
    TooShort {
        /// What was announced.
        length: usize,
    },
    /// The message could not be written as JSON.
    #[error("a message cannot be written as JSON: {detail}")]
    Json {
        /// What serde says.
        detail: String,
    },
}

/// One frame, borrowed from the decoder.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Kind 0: a JSON message, not yet parsed.
    Json(&'a [u8]),
    /// Kinds 1 and 2: bytes of a session.
    Bytes {
        /// [`frame::OUTPUT`] or [`frame::INPUT`].
        kind: u8,
        /// Whose.
        session: SessionId,
        /// Of the first byte in the session's output; for input 0, or [`frame::REPORT`].
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// A kind of a later version: to be skipped.
    Unknown {
        /// Its number.
        kind: u8,
    },
}

/// Cuts a stream of bytes into frames. Holds at most one frame and what was fed beyond it.
#[derive(Debug, Default)]
pub struct Decoder {
    held: Vec<u8>,
    at: usize,
}

impl Decoder {
    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).extend_from_slice(bytes);
    }

    /// Where what is read next is to be appended, with room for so many bytes at least.
    pub fn room(&mut self, bytes: usize) -> &mut Vec<u8> {
        if self.at == self.held.len() {
            self.held.clear();
            self.at = 0;
            self.held.shrink_to(KEEP_BYTES);
        } else if self.at > KEEP_BYTES {
            self.held.drain(..self.at);
            self.at = 0;
        }
        self.held.reserve(bytes);
        &mut self.held
    }

    /// The next whole frame; none where more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`] where the bytes are not of this protocol; so are all that follow.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let rest = &self.held[self.at..];
        let Some(length) = rest.first_chunk::<4>().map(|b| u32::from_le_bytes(*b) as usize) else {
            return Ok(None);
        };
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong { length });
        }
        if length == 0 {
            return Err(FrameError::TooShort { length });
        }
        let Some(body) = rest.get(4..4 + length) else { return Ok(None) };
        self.at += 4 + length;
        let (kind, payload) = (body[0], &body[1..]);
        match kind {
            frame::JSON => Ok(Some(Frame::Json(payload))),
            frame::OUTPUT | frame::INPUT => bytes_frame(kind, payload).map(Some),
            kind => Ok(Some(Frame::Unknown { kind })),
        }
    }

    /// Bytes that are held and not yet handed out.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.held.len() - self.at
    }
}

fn bytes_frame(kind: u8, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    let short = || FrameError::TooShort { length: payload.len() + 1 };
    let (session, rest) = payload.split_first_chunk::<16>().ok_or_else(short)?;
    let (offset, data) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let session = SessionId(Ulid::from_bytes(*session));
    Ok(Frame::Bytes { kind, session, offset: u64::from_le_bytes(*offset), data })
}

/// Appends a JSON frame to `out`, which is as before where it fails.
///
/// # Errors
/// [`FrameError::TooLong`], [`FrameError::Json`].
pub fn put_json(out: &mut Vec<u8>, message: &impl Serialize) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, frame::JSON]);
    let written = serde_json::to_writer(&mut *out, message);
    let length = out.len() - start - 4;
    let problem = match written {
        Err(error) => Some(FrameError::Json { detail: error.to_string() }),
        Ok(()) if length > FRAME_BYTES_MAX => Some(FrameError::TooLong { length }),
        Ok(()) => None,
    };
    if let Some(problem) = problem {
        out.truncate(start);
        return Err(problem);
    }
    #[allow(clippy::cast_possible_truncation, reason = "checked against FRAME_BYTES_MAX above")]
    out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

/// Appends bytes of a session: several frames where they are many, one of no bytes where they are none.
pub fn put_bytes(out: &mut Vec<u8>, kind: u8, session: SessionId, offset: u64, data: &[u8]) {
    let mut offset = offset;
    let mut rest = data;
    loop {
        let (now, later) = rest.split_at(rest.len().min(DATA_PER_FRAME_MAX));
        out.reserve(PREFIX + frame::BYTES_HEADER + now.len());
        #[allow(
            clippy::cast_possible_truncation,
            reason = "DATA_PER_FRAME_MAX and a header are far below 4 GiB"
        )]
        let length = (1 + frame::BYTES_HEADER + now.len()) as u32;
        out.extend_from_slice(&length.to_le_bytes());
        out.push(kind);
        out.extend_from_slice(&session.0.to_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(now);
        if kind == frame::OUTPUT {
            offset += now.len() as u64;
        }
        rest = later;
        if rest.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    enum Sent {
        Json(String),
        Bytes(u8, u128, u64, Vec<u8>),
    }

    fn sent() -> impl Strategy<Value = Sent> {
        prop_oneof![
            ".{0,40}".prop_map(Sent::Json),
            (1u8..=2, any::<u128>(), 0u64..1 << 40, proptest::collection::vec(any::<u8>(), 0..300))
                .prop_map(|(kind, id, offset, data)| Sent::Bytes(kind, id, offset, data)),
        ]
    }

    fn read_all(decoder: &mut Decoder, into: &mut Vec<Sent>) -> Result<(), FrameError> {
        while let Some(frame) = decoder.next_frame()? {
            into.push(match frame {
                Frame::Json(text) => Sent::Json(serde_json::from_slice(text).unwrap()),
                Frame::Bytes { kind, session, offset, data } => {
                    Sent::Bytes(kind, session.0.0, offset, data.to_vec())
                }
                Frame::Unknown { kind } => panic!("unknown kind {kind}"),
            });
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn what_was_put_is_read_back_however_it_was_split(
            all in proptest::collection::vec(sent(), 0..12),
            cuts in proptest::collection::vec(1usize..80, 1..60),
        ) {
            let mut wire = Vec::new();
            for one in &all {
                match one {
                    Sent::Json(text) => put_json(&mut wire, text).unwrap(),
                    Sent::Bytes(kind, id, offset, data) => {
                        put_bytes(&mut wire, *kind, SessionId(Ulid(*id)), *offset, data);
                    }
                }
            }
            let (mut decoder, mut got, mut rest) = (Decoder::default(), Vec::new(), &wire[..]);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*cut));
                decoder.feed(now);
                read_all(&mut decoder, &mut got).unwrap();
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(got, all);
            prop_assert_eq!(decoder.waiting(), 0);
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_never_make_it_hold_more_than_was_fed(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20),
        ) {
            let mut decoder = Decoder::default();
            let mut fed = 0;
            'feeding: for chunk in &chunks {
                decoder.feed(chunk);
                fed += chunk.len();
                prop_assert!(decoder.waiting() <= fed);
                loop {
                    match decoder.next_frame() {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'feeding,
                    }
                }
            }
        }
    }

    #[test]
    fn an_announced_length_beyond_the_limit_is_an_error_before_its_bytes_come() {
        let mut decoder = Decoder::default();
        decoder.feed(&u32::MAX.to_le_bytes());
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong { length: u32::MAX as usize }));
        let mut decoder = Decoder::default();
        decoder.feed(&[3, 0, 0, 0, frame::OUTPUT, 1, 2]);
        assert_eq!(decoder.next_frame(), Err(FrameError::TooShort { length: 3 }));
    }

    #[test]
    fn long_output_is_split_with_offsets_that_go_on() {
        let data = vec![7; DATA_PER_FRAME_MAX + 10];
        let mut wire = Vec::new();
        put_bytes(&mut wire, frame::OUTPUT, SessionId(Ulid(1)), 5, &data);
        let (mut decoder, mut got) = (Decoder::default(), Vec::new());
        decoder.feed(&wire);
        read_all(&mut decoder, &mut got).unwrap();
        let whole = [vec![7; DATA_PER_FRAME_MAX], vec![7; 10]];
        let expected = [5, 5 + DATA_PER_FRAME_MAX as u64].into_iter().zip(whole);
        assert_eq!(got, Vec::from_iter(expected.map(|(at, data)| Sent::Bytes(frame::OUTPUT, 1, at, data))));
    }

    #[test]
    fn a_message_that_is_too_long_leaves_no_trace() {
        let mut out = vec![9];
        let huge = "x".repeat(FRAME_BYTES_MAX);
        assert!(matches!(put_json(&mut out, &huge), Err(FrameError::TooLong { .. })));
        assert_eq!(out, [9]);
    }
}
