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

/// Between two bytes of a secret so much may be left out of plain text, bytes.
const ESCAPES_BYTES: u64 = 4 << 10;

/// Chunks on their way to a slow reader.
const CHUNKS_AHEAD: usize = 4;

/// The redactor of a log whose session is not known any more; none where it is not known any more,
/// either, what must not be shown: then nothing is.
fn redactor_of(log: &Path) -> Option<Arc<Redactor>> {
    let kept = secret_file::try_load(log).map_err(|e| e.to_string());
    let made =
        kept.and_then(|kept| Redactor::new(kept.unwrap_or_default().values()).map_err(|e| e.to_string()));
    match made {
        Ok(redactor) => Some(Arc::new(redactor)),
        Err(error) => {
            tracing::warn!(log = %log.display(), error, "a log is withheld: the secrets kept beside it cannot be read");
            None
        }
    }
}

/// What is shown in place of a log that must not be.
const WITHHELD: &str =
    "[cis: this log is withheld: the secrets kept beside it cannot be read, so they could not be hidden]\n";

/// What is in the file.
pub(super) fn stored(log: PathBuf, query: &ReadLog) -> BoxStream<'static, Bytes> {
    let (to_reader, chunks) = mpsc::channel(CHUNKS_AHEAD);
    let (from, plain) = (query.from.unwrap_or(0), query.plain);
    tokio::task::spawn_blocking(move || {
        let Some(redactor) = redactor_of(&log) else {
            let _ = to_reader.blocking_send(Bytes::from_static(WITHHELD.as_bytes()));
            return;
        };
        // A session without output has no file.
        let Ok(reader) = LogReader::open(&log) else { return };
        let mut file = Stored::new(reader, &redactor, from, plain);
        loop {
            let (bytes, more) = file.next(&log);
            if to_reader.blocking_send(bytes).is_err() || !more {
                return;
            }
        }
    });
    stream::unfold(chunks, |mut chunks| async { chunks.recv().await.map(|bytes| (bytes, chunks)) }).boxed()
}

/// The last `bytes` of what a session wrote, `total` bytes in all (none: not known), as plain text without
/// secrets, in at most as many bytes. None: it must not be shown.
pub(super) fn tail(log: &Path, total: Option<u64>, bytes: usize) -> Option<String> {
    let redactor = redactor_of(log)?;
    let Ok(mut reader) = LogReader::open(log) else { return Some(String::new()) };
    let total = total.or_else(|| reader.total().ok()).unwrap_or(0);
    let from = total.saturating_sub(bytes as u64);
    let mut file = Stored::new(reader, &redactor, from, true);
    let mut all = Vec::new();
    loop {
        let (piece, more) = file.next(log);
        all.extend_from_slice(&piece);
        // What is cut is named in the text, so it may be longer than what was asked for; never by much.
        if !more || all.len() > 2 * bytes {
            break;
        }
    }
    // A character may have begun before `from`.
    let begins =
        if from > 0 { all.iter().take(3).take_while(|byte| (**byte & 0xC0) == 0x80).count() } else { 0 };
    let text = String::from_utf8_lossy(&all[begins..]);
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    Some(text[start..].to_owned())
}

/// A log that is read from its file.
struct Stored {
    reader: LogReader,
    shape: Shape,
    /// First byte that is wanted.
    from: u64,
    /// The next byte that is read; at first one before `from`, as a secret may have begun there.
    at: u64,
    /// Bytes before this one are read and not shown.
    show_from: u64,
    /// Bytes from `from` on that were not shown since the last that was.
    cut: u64,
    /// After a cut so many bytes may be the end of a secret whose beginning is gone.
    unsure: u64,
}

impl Stored {
    fn new(reader: LogReader, redactor: &Arc<Redactor>, from: u64, plain: bool) -> Self {
        let at = from.saturating_sub(context_bytes(redactor, plain));
        let unsure = (redactor.longest() as u64).saturating_sub(1);
        let shape = Shape::new(Arc::clone(redactor), plain);
        Self { reader, shape, from, at, show_from: from, cut: 0, unsure }
    }

    /// The next bytes for the reader, and whether more may come.
    fn next(&mut self, log: &Path) -> (Bytes, bool) {
        let mut out = Vec::new();
        match self.reader.read(self.at, CHUNK_BYTES) {
            Ok(Chunk::Data { offset, bytes: raw }) => {
                self.at = offset + raw.len() as u64;
                let hidden = self.show_from.saturating_sub(offset).min(raw.len() as u64);
                self.cut += (offset + hidden).saturating_sub(self.from.max(offset));
                let (hidden, shown) = raw.split_at(usize::try_from(hidden).unwrap_or(raw.len()));
                self.shape.prime(hidden);
                if !shown.is_empty() {
                    self.mark(&mut out);
                    self.shape.push(shown, &mut out);
                }
                return (out.into(), true);
            }
            Ok(Chunk::Cut { from, to }) => {
                self.at = to;
                self.shape.restart(&mut out);
                self.cut += to.saturating_sub(self.from.max(from));
                self.show_from = self.show_from.max(to.saturating_add(self.unsure));
                return (out.into(), true);
            }
            Ok(Chunk::End) => {}
            Err(error) => tracing::warn!(log = %log.display(), %error, "a log cannot be read on"),
        }
        self.shape.restart(&mut out);
        self.mark(&mut out);
        (out.into(), false)
    }

    fn mark(&mut self, out: &mut Vec<u8>) {
        if self.cut > 0 {
            out.extend_from_slice(self.shape.line(&cut_text(self.cut)).as_bytes());
            self.cut = 0;
        }
    }
}

/// So many bytes before the first that is wanted are read as well: a secret, or for plain text an
/// escape sequence, may have begun in them.
fn context_bytes(redactor: &Redactor, plain: bool) -> u64 {
    redactor.longest() as u64 + if plain { ESCAPES_BYTES } else { 0 }
}

/// What is in the file and what comes, until the session ends.
pub(super) async fn followed(
    hub: &Hub,
    session: SessionId,
    log: PathBuf,
    query: &ReadLog,
) -> Result<BoxStream<'static, Bytes>, HubError> {
    let (from, plain) = (query.from.unwrap_or(0), query.plain);
    let chunks = hub.follow(session, from).await?;
    // The hub gives bytes whose secrets are replaced already. Those of plain text are looked at a second
    // time: what stood apart may stand together once the escape sequences are gone.
    let mut shape = if plain {
        let made = tokio::task::spawn_blocking(move || primed(&log, from)).await;
        match made.map_err(|_| HubError::Stopped)? {
            Some(shape) => shape,
            None => return Ok(stream::iter([Bytes::from_static(WITHHELD.as_bytes())]).boxed()),
        }
    } else {
        Shape::new(Arc::default(), false)
    };
    let bytes = chunks.map(move |chunk| {
        let mut out = Vec::new();
        match chunk {
            FollowChunk::Data { bytes, .. } => {
                shape.push(&bytes, &mut out);
                shape.flush_idle(&mut out);
            }
            FollowChunk::Gap { from, to } => {
                shape.restart(&mut out);
                out.extend_from_slice(shape.line(&cut_text(to - from)).as_bytes());
            }
            FollowChunk::End(_) => shape.restart(&mut out),
            FollowChunk::Lost(error) => {
                shape.restart(&mut out);
                out.extend_from_slice(shape.line(&format!("[cis: {error}]")).as_bytes());
            }
        }
        out.into()
    });
    Ok(bytes.boxed())
}

/// The shape of plain text that knows what stands before `from`.
fn primed(log: &Path, from: u64) -> Option<Shape> {
    let redactor = redactor_of(log)?;
    let mut at = from.saturating_sub(context_bytes(&redactor, true));
    let mut shape = Shape::new(redactor, true);
    let Ok(mut reader) = LogReader::open(log) else { return Some(shape) };
    while at < from {
        let wanted = usize::try_from(from - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        match reader.read(at, wanted) {
            Ok(Chunk::Data { offset, bytes }) => {
                shape.prime(&bytes);
                at = offset + bytes.len() as u64;
            }
            Ok(Chunk::Cut { to, .. }) => {
                shape.restart(&mut Vec::new());
                at = to;
            }
            Ok(Chunk::End) | Err(_) => break,
        }
    }
    Some(shape)
}

fn cut_text(bytes: u64) -> String {
    format!("[cis: {} of output were cut here]", text::bytes(bytes))
}

/// Bytes as they are, or as plain text; either way without secrets. What is redacted is what is shown:
/// text is made plain first, as escape sequences may stand between the bytes of a secret.
struct Shape {
    plain: Option<Plain>,
    redactor: Arc<Redactor>,
    redact: RedactStream,
}

impl Shape {
    fn new(redactor: Arc<Redactor>, plain: bool) -> Self {
        let redact = RedactStream::new(Arc::clone(&redactor), Mask::Stars);
        Self { plain: plain.then(Plain::default), redactor, redact }
    }

    /// Takes bytes that are not shown, but may hold the beginning of what is.
    fn prime(&mut self, raw: &[u8]) {
        match &mut self.plain {
            Some(plain) => self.redact.prime(&plain.strip(raw)),
            None => self.redact.prime(raw),
        }
    }

    fn push(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        match &mut self.plain {
            Some(plain) => self.redact.push_into(&plain.strip(raw), out),
            None => self.redact.push_into(raw, out),
        }
    }

    fn flush_idle(&mut self, out: &mut Vec<u8>) {
        self.redact.flush_idle(out);
    }

    /// What was held back goes out; what comes next does not follow directly.
    fn restart(&mut self, out: &mut Vec<u8>) {
        self.redact.finish(out);
        *self = Self::new(Arc::clone(&self.redactor), self.plain.is_some());
    }

    /// A line of our own.
    fn line(&self, text: &str) -> String {
        let end = if self.plain.is_some() { "\n" } else { "\r\n" };
        format!("{end}{text}{end}")
    }
}

/// Makes text plain.
#[derive(Default)]
struct Plain {
    strip: StripBytes,
    after_cr: bool,
}

impl Plain {
    fn strip(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for part in self.strip.strip_next(bytes) {
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
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::log::LogWriter;

    const SECRET: &str = "hunter2SECRETvalue";

    #[test]
    fn plain_text_has_no_escapes_whatever_the_splits() {
        let raw = b"\x1b[31mred\x1b[0m\r\n10%\r20%\r\n\x07end";
        let mut whole = Plain::default();
        assert_eq!(whole.strip(raw), b"red\n10%\n20%\nend");
        let mut split = Plain::default();
        let out: Vec<u8> = raw.iter().flat_map(|byte| split.strip(&[*byte])).collect();
        assert_eq!(String::from_utf8(out).unwrap(), "red\n10%\n20%\nend");
    }

    /// A log of these bytes with its secret beside it.
    fn log(limit: u64, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = LogWriter::new(path.clone(), limit);
        assert!(writer.append(bytes, 0).is_none());
        writer.finish();
        let named = [("T".to_owned(), SECRET.to_owned())].into();
        secret_file::keep(&path, &secret_file::Secrets { named, sensitive: Vec::new() }).unwrap();
        (dir, path)
    }

    async fn read(path: &Path, from: u64, plain: bool) -> String {
        let query = ReadLog { from: Some(from), plain, ..ReadLog::default() };
        let parts: Vec<Bytes> = stored(path.to_owned(), &query).collect().await;
        String::from_utf8(parts.concat()).unwrap()
    }

    #[tokio::test]
    async fn a_log_read_from_within_a_secret_shows_nothing_of_it() {
        let (_dir, path) = log(1 << 20, format!("plain {SECRET} end").as_bytes());
        for plain in [false, true] {
            for from in 0..6u64 {
                let before = "plain ".get(usize::try_from(from).unwrap()..).unwrap();
                assert_eq!(read(&path, from, plain).await, format!("{before}*** end"));
            }
            for from in 6..24 {
                assert_eq!(read(&path, from, plain).await, "*** end", "from {from}");
            }
            assert_eq!(read(&path, 24, plain).await, " end");
            assert_eq!(read(&path, 28, plain).await, "");
            assert_eq!(read(&path, 99, plain).await, "");
        }
    }

    #[tokio::test]
    async fn plain_text_is_redacted_as_it_is_shown() {
        let (_dir, path) = log(1 << 20, b"a \x1b[1mhunter2\x1b[0mSECRET\x1b[31mvalue b");
        assert_eq!(read(&path, 0, true).await, "a *** b");
        for from in 2..33 {
            assert_eq!(read(&path, from, true).await, "*** b", "from {from}");
        }
        assert_eq!(read(&path, 33, true).await, " b");
        // Bytes as they are hide it from us, and from whoever searches for it.
        assert!(read(&path, 0, false).await.contains("hunter2\x1b[0mSECRET"));
    }

    #[tokio::test]
    async fn the_end_of_a_secret_that_was_cut_is_cut_as_well() {
        let all: String = std::iter::repeat_n(SECRET, 40_000).collect();
        let (_dir, path) = log(1 << 18, all.as_bytes());
        for plain in [false, true] {
            let text = read(&path, 0, plain).await;
            assert!(text.contains("were cut here]"), "{text}");
            assert!(!text.contains("value"), "the end of a secret is shown: {text}");
        }
    }

    #[test]
    fn the_end_of_a_log_is_plain_and_begins_with_a_whole_character() {
        let text = format!("first line\n\x1b[31mgr\u{fc}n {SECRET} \u{fc}\u{fc}\x1b[0m\r\n");
        let (_dir, path) = log(1 << 20, text.as_bytes());
        let whole = "first line\ngr\u{fc}n *** \u{fc}\u{fc}\n";
        assert_eq!(tail(&path, None, 1000).unwrap(), whole);
        let total = Some(text.len() as u64);
        for bytes in 0..=text.len() {
            let end = tail(&path, total, bytes).unwrap();
            assert!(end.len() <= bytes && whole.ends_with(&end), "{bytes}: {end:?}");
        }
        assert_eq!(tail(&path.with_extension("none"), total, 10).unwrap(), "");
    }

    #[tokio::test]
    async fn a_log_whose_secrets_cannot_be_read_is_withheld() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.1.log");
        std::fs::write(&log, "the value is hunter2-secret\n").unwrap();
        std::fs::write(dir.path().join("a.1.log.secrets"), "{ damaged").unwrap();
        let shown: Vec<Bytes> = stored(log, &ReadLog::default()).collect().await;
        assert_eq!(shown, [WITHHELD]);
    }
}
