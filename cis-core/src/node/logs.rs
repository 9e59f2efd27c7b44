//! Logs as people get them: from the file, or from the file and then live; redacted; as bytes or text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstream::adapter::StripBytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc;

use super::{redactors, secret_file};
use crate::api::ReadLog;
use crate::api::log_pieces::LogPiece;
use crate::config::Home;
use crate::ids::{RunId, SessionId, TaskId};
use crate::policy::redact::{ChangingStream, Mask, Redactor};
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
    let kept = || {
        let of_run = log.parent().map_or(Ok(None), secret_file::load_run).map_err(|e| e.to_string())?;
        let own = secret_file::try_load(log).map_err(|e| e.to_string())?.unwrap_or_default();
        redactors::of(&of_run.unwrap_or_default(), own.values()).map_err(|e| e.to_string())
    };
    match kept() {
        Ok(redactor) => Some(redactor),
        Err(error) => {
            tracing::warn!(log = %log.display(), error, "a log is withheld: the secrets kept beside it cannot be read");
            None
        }
    }
}

/// What is shown in place of a log that must not be.
const WITHHELD: &str =
    "[cis: this log is withheld: the secrets kept beside it cannot be read, so they could not be hidden]\n";

fn withheld() -> LogPiece {
    LogPiece { bytes: WITHHELD.into(), next: None, last: true }
}

/// Reads the log file of a session that wrote `total` bytes. `None`: the session still writes, or the total
/// is unknown.
pub(super) fn stored(log: PathBuf, query: &ReadLog, total: Option<u64>) -> BoxStream<'static, LogPiece> {
    let (to_reader, chunks) = mpsc::channel(CHUNKS_AHEAD);
    let (from, plain) = (query.from.unwrap_or(0), query.plain);
    tokio::task::spawn_blocking(move || {
        let Some(redactor) = redactor_of(&log) else {
            let _ = to_reader.blocking_send(withheld());
            return;
        };
        // A session without output has no file.
        let Ok(reader) = LogReader::open(&log) else {
            let _ = to_reader.blocking_send(LogPiece { last: true, ..LogPiece::default() });
            return;
        };
        let mut file = Stored { total, ..Stored::new(reader, &redactor, from, plain) };
        loop {
            let piece = file.next(&log);
            let last = piece.last;
            if to_reader.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    stream::unfold(chunks, |mut chunks| async { chunks.recv().await.map(|piece| (piece, chunks)) }).boxed()
}

/// The end of the log of a try, as [`tail`]; nothing where there is none (0 is no try), or it must not be shown.
pub(super) async fn of_try(home: &Home, run: RunId, task: &TaskId, number: u32, bytes: usize) -> String {
    if number == 0 {
        return String::new();
    }
    let log = home.attempt_log(run, task, number);
    let tail = tokio::task::spawn_blocking(move || tail(&log, None, bytes)).await;
    tail.ok().flatten().unwrap_or_default()
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
        let piece = file.next(log);
        all.extend_from_slice(&piece.bytes);
        // What is cut is named in the text, so it may be longer than what was asked for; never by much.
        if piece.last || all.len() > 2 * bytes {
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
    /// Total bytes of output, if known.
    total: Option<u64>,
    /// After a cut so many bytes may be the end of a secret whose beginning is gone.
    unsure: u64,
}

impl Stored {
    fn new(reader: LogReader, redactor: &Arc<Redactor>, from: u64, plain: bool) -> Self {
        let at = from.saturating_sub(context_bytes(redactor, plain));
        let unsure = (redactor.longest() as u64).saturating_sub(1);
        let shape = Shape::new(Arc::clone(redactor), plain);
        Self { reader, shape, from, at, show_from: from, cut: 0, total: None, unsure }
    }

    /// The next bytes for the reader.
    fn next(&mut self, log: &Path) -> LogPiece {
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
                let settled = self.cut == 0 && self.shape.is_settled() && self.at >= self.from;
                return LogPiece { bytes: out, next: settled.then_some(self.at), last: false };
            }
            Ok(Chunk::Cut { from, to }) => {
                self.at = to;
                self.shape.restart(&mut out);
                self.cut += to.saturating_sub(self.from.max(from));
                self.show_from = self.show_from.max(to.saturating_add(self.unsure));
                return LogPiece { bytes: out, next: None, last: false };
            }
            Ok(Chunk::End) => {}
            Err(error) => tracing::warn!(log = %log.display(), %error, "a log cannot be read on"),
        }
        self.shape.restart(&mut out);
        // Output that was lost at the end leaves no trace in the file.
        self.cut += self.total.unwrap_or(0).saturating_sub(self.at.max(self.from));
        self.mark(&mut out);
        LogPiece { bytes: out, next: None, last: true }
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
) -> Result<BoxStream<'static, LogPiece>, HubError> {
    let (from, plain, marks) = (query.from.unwrap_or(0), query.plain, query.marks);
    let secrets = hub.redactors(session).await?;
    let chunks = hub.follow(session, from).await?;
    // The hub gives bytes whose secrets are replaced already. Those of plain text are looked at a second
    // time: what stood apart may stand together once the escape sequences are gone.
    let mut shape = if plain {
        let redactor = Arc::clone(&secrets.borrow());
        let made = tokio::task::spawn_blocking(move || primed(&log, from, redactor)).await;
        made.map_err(|_| HubError::Stopped)?
    } else {
        Shape::new(Arc::default(), false)
    };
    let bytes = chunks.map(move |chunk| {
        let (mut out, mut place, mut last) = (Vec::new(), None, false);
        match chunk {
            FollowChunk::Data { bytes, next, .. } => {
                if plain {
                    let redactor = Arc::clone(&secrets.borrow());
                    shape.redact.change(&redactor, &mut out);
                }
                shape.push(&bytes, &mut out);
                shape.flush_idle(&mut out);
                place = shape.is_settled().then_some(next);
            }
            FollowChunk::Gap { from, to } => {
                shape.restart(&mut out);
                out.extend_from_slice(shape.line(&cut_text(to - from)).as_bytes());
                place = Some(to);
            }
            FollowChunk::End(_) => {
                shape.restart(&mut out);
                last = true;
            }
            // Without a last piece the reader comes again: to the next node, or to the file.
            FollowChunk::Lost(HubError::Stopped | HubError::NoSuchSession { .. }) if marks => {}
            FollowChunk::Lost(error) => {
                shape.restart(&mut out);
                out.extend_from_slice(shape.line(&format!("[cis: {error}]")).as_bytes());
                last = true;
            }
        }
        LogPiece { bytes: out, next: place, last }
    });
    Ok(bytes.boxed())
}

/// The shape of plain text that knows what stands before `from`.
fn primed(log: &Path, from: u64, redactor: Arc<Redactor>) -> Shape {
    let mut at = from.saturating_sub(context_bytes(&redactor, true));
    let mut shape = Shape::new(redactor, true);
    let Ok(mut reader) = LogReader::open(log) else { return shape };
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
    shape
}

fn cut_text(bytes: u64) -> String {
    format!("[cis: {} of output were cut here]", text::bytes(bytes))
}

/// Bytes as they are, or as plain text; either way without secrets. What is redacted is what is shown:
/// text is made plain first, as escape sequences may stand between the bytes of a secret.
struct Shape {
    plain: Option<Plain>,
    redact: ChangingStream,
}

impl Shape {
    fn new(redactor: Arc<Redactor>, plain: bool) -> Self {
        Self { plain: plain.then(Plain::default), redact: ChangingStream::new(redactor, Mask::Stars) }
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

    /// Nothing is held back.
    fn is_settled(&self) -> bool {
        self.redact.held() == 0
    }

    fn flush_idle(&mut self, out: &mut Vec<u8>) {
        self.redact.flush_idle(out);
    }

    /// What was held back goes out; what comes next does not follow directly.
    fn restart(&mut self, out: &mut Vec<u8>) {
        self.redact.finish(out);
        self.plain = self.plain.is_some().then(Plain::default);
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
mod tests;
