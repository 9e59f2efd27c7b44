//! Logs as people get them: from the file, or from the file and then live; redacted; as bytes or text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstream::adapter::StripBytes;
use axum::body::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc;

use super::secret_file;
use crate::api::ReadLog;
use crate::ids::SessionId;
use crate::policy::redact::{Mask, RedactStream, Redactor};
use crate::session::hub::{FollowChunk, Hub, HubError};
use crate::session::log::{Chunk, LogReader};
use crate::text;

/// Read from the file at a time, bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks on their way to a slow reader.
const CHUNKS_AHEAD: usize = 4;

/// The redactor of a log whose session is not known any more.
pub(super) fn redactor_of(log: &Path) -> Arc<Redactor> {
    let secrets = secret_file::load(log).unwrap_or_default();
    // Values that were too short were refused when the session was to start.
    Arc::new(Redactor::new(secrets.values()).unwrap_or_default())
}

/// What is in the file.
pub(super) fn stored(log: PathBuf, query: &ReadLog) -> BoxStream<'static, Bytes> {
    let (to_reader, chunks) = mpsc::channel(CHUNKS_AHEAD);
    let from = query.from.unwrap_or(0);
    let mut form = Form::new(query.plain);
    tokio::task::spawn_blocking(move || {
        let mut redact = RedactStream::new(redactor_of(&log), Mask::Stars);
        let mut reader = match LogReader::open(&log) {
            Ok(reader) => reader,
            // A session without output has no file.
            Err(_) => return,
        };
        let mut at = from;
        loop {
            let mut bytes = Vec::new();
            match reader.read(at, CHUNK_BYTES) {
                Ok(Chunk::Data { offset, bytes: raw }) => {
                    at = offset + raw.len() as u64;
                    redact.push_into(&raw, &mut bytes);
                }
                Ok(Chunk::Cut { from, to }) => {
                    at = to;
                    redact.finish(&mut bytes);
                    bytes.extend_from_slice(cut_mark(to - from).as_bytes());
                }
                Ok(Chunk::End) => break,
                Err(error) => {
                    tracing::warn!(log = %log.display(), %error, "a log cannot be read on");
                    break;
                }
            }
            if to_reader.blocking_send(form.shape(&bytes)).is_err() {
                return;
            }
        }
        let mut rest = Vec::new();
        redact.finish(&mut rest);
        let _ = to_reader.blocking_send(form.shape(&rest));
    });
    stream::unfold(chunks, |mut chunks| async { chunks.recv().await.map(|bytes| (bytes, chunks)) }).boxed()
}

/// What is in the file and what comes, until the session ends.
pub(super) async fn followed(
    hub: &Hub,
    session: SessionId,
    query: &ReadLog,
) -> Result<BoxStream<'static, Bytes>, HubError> {
    let mut form = Form::new(query.plain);
    let chunks = hub.follow(session, query.from.unwrap_or(0)).await?;
    let bytes = chunks.map(move |chunk| match chunk {
        FollowChunk::Data { bytes, .. } => form.shape(&bytes),
        FollowChunk::Gap { from, to } => form.shape(cut_mark(to - from).as_bytes()),
        FollowChunk::End(_) => Bytes::new(),
        FollowChunk::Lost(error) => form.shape(format!("\r\n[cis: {error}]\r\n").as_bytes()),
    });
    Ok(bytes.boxed())
}

fn cut_mark(bytes: u64) -> String {
    format!("\r\n[cis: {} of output were cut here]\r\n", text::bytes(bytes))
}

/// Bytes as they are, or as plain text.
struct Form {
    strip: Option<StripBytes>,
    after_cr: bool,
}

impl Form {
    fn new(plain: bool) -> Self {
        Self { strip: plain.then(StripBytes::new), after_cr: false }
    }

    fn shape(&mut self, bytes: &[u8]) -> Bytes {
        let Some(strip) = &mut self.strip else { return Bytes::copy_from_slice(bytes) };
        let mut out = Vec::with_capacity(bytes.len());
        for part in strip.strip_next(bytes) {
            for &byte in part {
                // A terminal's line ends are CR LF; a lone CR is a progress bar's next state.
                match (self.after_cr, byte) {
                    (_, b'\r') => {}
                    (_, b'\n') => out.push(b'\n'),
                    (true, _) => out.extend_from_slice(&[b'\n', byte]),
                    (false, 0..=8 | 11..=31 | 127) => {}
                    (false, _) => out.push(byte),
                }
                self.after_cr = byte == b'\r';
            }
        }
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_no_escapes_whatever_the_splits() {
        let raw = b"\x1b[31mred\x1b[0m\r\n10%\r20%\r\n\x07end";
        let mut whole = Form::new(true);
        assert_eq!(whole.shape(raw), "red\n10%\n20%\nend");
        let mut split = Form::new(true);
        let out: Vec<u8> = raw.iter().flat_map(|byte| split.shape(&[*byte])).collect();
        assert_eq!(String::from_utf8(out).unwrap(), "red\n10%\n20%\nend");
    }
}
