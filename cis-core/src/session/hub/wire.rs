//! The hub's end of a stream connection to the session host: frames in and out, and the greeting.
//!
//! Knows the layout of [`crate::session::protocol`], nothing of what sessions are.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::net::UnixStream;
use ulid::Ulid;

use super::HubError;
use crate::ids::{HostInstance, SessionId};
use crate::session::protocol::{FRAME_BYTES_MAX, FromHost, Role, ToHost, VERSION, frame};

/// Read at once, bytes.
const READ_BYTES: usize = 64 << 10;
/// More input in one frame is cut into several, bytes.
const INPUT_BYTES: usize = 64 << 10;
/// A host that does not greet in this time is none.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// One frame of the host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A message, not parsed.
    Json(&'a [u8]),
    /// Bytes of a session.
    Bytes { session: SessionId, offset: u64, data: &'a [u8] },
    /// Of a later version.
    Unknown,
}

/// Cuts what was read into frames.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: Vec<u8>,
    /// Where the next frame begins.
    start: usize,
}

impl Decoder {
    /// Where the next bytes go.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * READ_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// The next whole frame. An error is the text of what is wrong; nothing can be read any more then.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, String> {
        let rest = &self.buffer[self.start..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 || length > FRAME_BYTES_MAX {
            return Err(format!("it announced a frame of {length} bytes"));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        self.start += 4 + length;
        let (kind, payload) = (body[0], &body[1..]);
        match kind {
            frame::JSON => Ok(Some(Frame::Json(payload))),
            frame::OUTPUT | frame::INPUT => {
                let split = payload
                    .split_first_chunk::<16>()
                    .and_then(|(session, rest)| Some((session, rest.split_first_chunk::<8>()?)));
                let Some((session, (offset, data))) = split else {
                    return Err(format!("it sent {} bytes without saying whose", payload.len()));
                };
                let session = SessionId(Ulid::from_bytes(*session));
                Ok(Some(Frame::Bytes { session, offset: u64::from_le_bytes(*offset), data }))
            }
            _ => Ok(Some(Frame::Unknown)),
        }
    }
}

/// Parses a message; none where it is of a type that this version does not know.
pub(super) fn message(json: &[u8]) -> Option<FromHost> {
    serde_json::from_slice(json)
        .inspect_err(|error| tracing::debug!(%error, "a message of the session host is not understood"))
        .ok()
}

/// Appends a message.
pub(super) fn put_json(out: &mut Vec<u8>, message: &impl Serialize) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, frame::JSON]);
    if serde_json::to_writer(&mut *out, message).is_err() {
        // No message of the protocol has what JSON lacks.
        out.truncate(start);
        return;
    }
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Appends bytes of a session: one frame at least, several where they are many.
pub(super) fn put_bytes(out: &mut Vec<u8>, kind: u8, session: SessionId, offset: u64, data: &[u8]) {
    let length = (1 + frame::BYTES_HEADER + data.len()) as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&session.0.to_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(data);
}

/// Appends what is typed.
pub(super) fn put_typed(out: &mut Vec<u8>, session: SessionId, data: &[u8]) {
    for piece in data.chunks(INPUT_BYTES) {
        put_bytes(out, frame::INPUT, session, 0, piece);
    }
}

/// A connection after its greeting.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: UnixStream,
    pub(super) decoder: Decoder,
    pub(super) instance: HostInstance,
}

/// What a read brought.
pub(super) enum Filled {
    Bytes,
    NotNow,
}

impl Wire {
    /// Connects and greets.
    pub(super) async fn connect(path: &Path) -> Result<Self, HubError> {
        tokio::time::timeout(GREETING_TIMEOUT, Self::greet(path))
            .await
            .unwrap_or_else(|_| Err(lost(path, "it does not answer")))
    }

    async fn greet(path: &Path) -> Result<Self, HubError> {
        let stream = UnixStream::connect(path).await.map_err(|error| lost(path, error))?;
        let mut wire = Self { stream, decoder: Decoder::default(), instance: HostInstance(Ulid::nil()) };
        let mut hello = Vec::new();
        put_json(&mut hello, &ToHost::Hello { version: VERSION, role: Role::Stream });
        wire.send(&hello).await.map_err(|error| lost(path, error))?;
        loop {
            if let Some(Frame::Json(json)) = wire.decoder.next().map_err(|error| lost(path, error))?
                && let Some(FromHost::Welcome { version, instance, .. }) = message(json)
            {
                if version != VERSION {
                    return Err(HubError::OtherVersion { version });
                }
                wire.instance = instance;
                return Ok(wire);
            }
            wire.stream.readable().await.map_err(|error| lost(path, error))?;
            wire.fill().map_err(|error| lost(path, error))?;
        }
    }

    /// Reads once. The end of the stream is an error.
    pub(super) fn fill(&mut self) -> io::Result<Filled> {
        match self.stream.try_read_buf(self.decoder.room()) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
            Ok(_) => Ok(Filled::Bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::NotNow),
            Err(error) => Err(error),
        }
    }

    /// Sends all of it.
    pub(super) async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The error of a connection that broke, or was not made.
pub(super) fn lost(path: &Path, why: impl std::fmt::Display) -> HubError {
    HubError::HostLost { socket: path.display().to_string(), detail: why.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_are_read_back_wherever_the_stream_is_cut(
            frames in prop::collection::vec((any::<u128>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..50)), 1..8),
            step in 1..40_usize,
        ) {
            let mut bytes = Vec::new();
            for (session, offset, data) in &frames {
                put_bytes(&mut bytes, frame::OUTPUT, SessionId(Ulid(*session)), *offset, data);
                put_json(&mut bytes, &ToHost::Unwatch { session: SessionId(Ulid(*session)) });
            }
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for piece in bytes.chunks(step) {
                decoder.room().extend_from_slice(piece);
                while let Some(frame) = decoder.next().unwrap() {
                    match frame {
                        Frame::Bytes { session, offset, data } => got.push((session.0.0, offset, data.to_vec())),
                        Frame::Json(json) => {
                            let said: ToHost = serde_json::from_slice(json).unwrap();
                            let session = SessionId(Ulid(got.last().unwrap().0));
                            prop_assert_eq!(said, ToHost::Unwatch { session });
                        }
                        Frame::Unknown => prop_assert!(false),
                    }
                }
            }
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.room().extend_from_slice(&bytes);
            while let Ok(Some(_)) = decoder.next() {}
        }
    }
}
