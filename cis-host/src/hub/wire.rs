//! The hub's end of a stream connection to the session host: its greeting, what is read and sent.
//!
//! Knows the messages of [`crate::protocol`], nothing of what sessions are.

use std::io;
use std::time::Duration;

use tokio::net::UnixStream;
use ulid::Ulid;

use super::HubError;
use crate::frames::{Decoder, Frame, put_bytes, put_json};
use crate::protocol::{FromHost, Role, ToHost, VERSION, frame};
use cis_core::ids::{HostInstance, SessionId};
use cis_local::Place;

/// Read at once, bytes.
const READ_BYTES: usize = 64 << 10;
/// More input in one frame is cut into several, bytes.
const INPUT_BYTES: usize = 64 << 10;
/// A host that does not greet in this time is none.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// Parses a message; none where it is of a type that this version does not know.
pub(super) fn message(json: &[u8]) -> Option<FromHost> {
    serde_json::from_slice(json)
        .inspect_err(|error| tracing::debug!(%error, "a message of the session host is not understood"))
        .ok()
}

/// Appends a message.
pub(super) fn put_message(out: &mut Vec<u8>, message: &ToHost) {
    // No message of the hub is too long, or has what JSON lacks.
    if let Err(error) = put_json(out, message) {
        tracing::error!(%error, "a message to the session host was not sent");
    }
}

/// Appends what is typed.
pub(super) fn put_typed(out: &mut Vec<u8>, session: SessionId, data: &[u8]) {
    put_input(out, session, 0, data);
}

/// Appends what a terminal sends by itself.
pub(super) fn put_report(out: &mut Vec<u8>, session: SessionId, data: &[u8]) {
    put_input(out, session, frame::REPORT, data);
}

fn put_input(out: &mut Vec<u8>, session: SessionId, origin: u64, data: &[u8]) {
    for piece in data.chunks(INPUT_BYTES) {
        put_bytes(out, frame::INPUT, session, origin, piece);
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
    pub(super) async fn connect(host: &Place) -> Result<Self, HubError> {
        tokio::time::timeout(GREETING_TIMEOUT, Self::greet(host))
            .await
            .unwrap_or_else(|_| Err(lost(host, "it does not answer")))
    }

    async fn greet(host: &Place) -> Result<Self, HubError> {
        let stream = host.connect_async().await.map_err(|error| lost(host, error))?;
        let mut wire = Self { stream, decoder: Decoder::default(), instance: HostInstance(Ulid::nil()) };
        let mut hello = Vec::new();
        put_message(&mut hello, &ToHost::Hello { version: VERSION, role: Role::Stream });
        wire.send(&hello).await.map_err(|error| lost(host, error))?;
        loop {
            if let Some(Frame::Json(json)) = wire.decoder.next_frame().map_err(|error| lost(host, error))?
                && let Some(FromHost::Welcome { version, instance, .. }) = message(json)
            {
                if version != VERSION {
                    return Err(HubError::OtherVersion { version });
                }
                wire.instance = instance;
                return Ok(wire);
            }
            wire.stream.readable().await.map_err(|error| lost(host, error))?;
            wire.fill().map_err(|error| lost(host, error))?;
        }
    }

    /// Reads once. The end of the stream is an error.
    pub(super) fn fill(&mut self) -> io::Result<Filled> {
        match self.stream.try_read_buf(self.decoder.room(READ_BYTES)) {
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
pub(super) fn lost(host: &Place, why: impl std::fmt::Display) -> HubError {
    HubError::HostLost { socket: host.socket().display().to_string(), detail: why.to_string() }
}
