//! Logs as people get them: from the file, or from the file and then live; redacted; as bytes or text.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc;

use super::declared::Declared;
use super::{redactors, secret_file};
use cis_core::api::ReadLog;
use cis_core::api::log_pieces::LogPiece;
use cis_core::event::UploadedLog;
use cis_core::ids::{BlobId, RunId, SessionId, TaskId};
use cis_core::policy::redact::{Mask, Redactor};
use cis_core::terminal::sanitizer::{Form, Sanitizer};
use cis_core::text;
use cis_host::hub::{FollowChunk, Hub, HubError, context_bytes};
use cis_host::log::{Chunk, LogReader, replace};
use cis_local::Home;
use cis_store::{Blobs, StoreError};

/// Read from the file at a time, bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks on their way to a slow reader.
const CHUNKS_AHEAD: usize = 4;

/// The redactor of a log whose session is not known any more; none where it is not known any more,
/// either, what must not be shown: then nothing is. `declares`: whether its run declares secrets, which are then kept in
/// its log directory.
fn redactor_of(log: &Path, declares: impl FnOnce() -> bool) -> Option<Arc<Redactor>> {
    let kept = || {
        let of_run = log.parent().map_or(Ok(None), secret_file::load_run).map_err(|e| e.to_string())?;
        let is_empty = || LogReader::open(log).and_then(|mut log| log.total()).is_ok_and(|total| total == 0);
        if of_run.is_none() && !is_empty() && declares() {
            return Err("the file with the secrets of its run is missing".to_owned());
        }
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
/// is unknown. `run`: the session's run, if it has one.
pub(super) fn stored(
    log: PathBuf,
    query: &ReadLog,
    total: Option<u64>,
    run: Option<Declared>,
) -> BoxStream<'static, LogPiece> {
    let (to_reader, chunks) = mpsc::channel(CHUNKS_AHEAD);
    let (from, form) = (query.from.unwrap_or(0), form_of(query));
    tokio::task::spawn_blocking(move || {
        let Some(redactor) = redactor_of(&log, || run.is_some_and(|run| run.any())) else {
            let _ = to_reader.blocking_send(withheld());
            return;
        };
        // A session without output has no file.
        let Ok(reader) = LogReader::open(&log) else {
            let _ = to_reader.blocking_send(LogPiece { last: true, ..LogPiece::default() });
            return;
        };
        let mut file = Stored { total, ..Stored::new(reader, &redactor, from, form) };
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
pub(super) async fn of_try(
    home: &Home,
    of: Declared,
    run: RunId,
    task: &TaskId,
    number: u32,
    bytes: usize,
) -> String {
    tail_of_try(home, of, run, task, number, bytes).await.0
}

/// The same, and whether the log has more.
pub(super) async fn tail_of_try(
    home: &Home,
    of: Declared,
    run: RunId,
    task: &TaskId,
    number: u32,
    bytes: usize,
) -> (String, bool) {
    if number == 0 {
        return (String::new(), false);
    }
    let log = home.attempt_log(run, task, number);
    let read = tokio::task::spawn_blocking(move || {
        let text = tail(&log, None, bytes, || of.any())?;
        let total = LogReader::open(&log).and_then(|mut log| log.total()).unwrap_or(0);
        Some((text, total > bytes as u64))
    });
    read.await.ok().flatten().unwrap_or_default()
}

/// The last `bytes` of what a session wrote, `total` bytes in all (none: not known), as plain text without
/// secrets, in at most as many bytes. `declares`: whether its run declares secrets. None: it must not be shown.
pub(super) fn tail(
    log: &Path,
    total: Option<u64>,
    bytes: usize,
    declares: impl FnOnce() -> bool,
) -> Option<String> {
    let redactor = redactor_of(log, declares)?;
    let Ok(mut reader) = LogReader::open(log) else { return Some(String::new()) };
    let total = total.or_else(|| reader.total().ok()).unwrap_or(0);
    let from = total.saturating_sub(bytes as u64);
    let mut file = Stored::new(reader, &redactor, from, Form::Text);
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
    Some(end_of(&text, bytes).to_owned())
}

/// A copy of another node's log that was fetched before. A coordinator may name any content, but no secret.
pub(super) fn kept_copy(blobs: &Blobs, copy: &UploadedLog) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(file) = blobs.open(&copy.sha256)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = file.take(copy.size.saturating_add(1)).read_to_end(&mut bytes);
    let is_it = read.is_ok() && BlobId::of(&bytes) == copy.sha256;
    Ok(is_it.then_some(bytes).filter(|bytes| bytes.len() as u64 == copy.size))
}

/// At most `bytes` of the end of a copy of another node's log, as plain text. It is filtered once more: its writer may lie.
pub(super) fn tail_of_copy(copy: &[u8], bytes: usize) -> String {
    // Sequences that begin before are not known as such.
    let from = copy.len().saturating_sub(bytes.saturating_mul(2));
    let mut filter = Sanitizer::new(Form::Text, Arc::default(), Mask::Stars);
    let mut text = Vec::new();
    filter.prime(&copy[..from]);
    filter.push(&copy[from..], &mut text);
    filter.finish(&mut text);
    end_of(&String::from_utf8_lossy(&text), bytes).to_owned()
}

/// At most so many bytes of the end of a text, from the beginning of a character.
pub(super) fn end_of(text: &str, bytes: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// Replaces the log of an ended attempt by what everybody may see of it, and removes the values of secrets next to it. Those of the
/// run stay.
pub(super) fn hide_secrets(log: &Path) -> io::Result<()> {
    let of_run = log.parent().map_or(Ok(None), secret_file::load_run)?.unwrap_or_default();
    let own = secret_file::try_load(log)?.unwrap_or_default();
    let redactor = redactors::of(&of_run, own.values()).map_err(io::Error::other)?;
    // Where nothing is to be hidden, the log stays as it is.
    if !redactor.is_empty() && std::fs::exists(log)? {
        let mut shown = Stored::new(LogReader::open(log)?, &redactor, 0, Form::Bytes);
        replace(log, |file| {
            loop {
                let piece = shown.next(log);
                file.write_all(&piece.bytes)?;
                if piece.last {
                    return if shown.is_broken {
                        Err(io::Error::other("the log cannot be read"))
                    } else {
                        Ok(())
                    };
                }
            }
        })?;
    }
    secret_file::remove(log)
}

/// A log that is read from its file.
struct Stored {
    reader: LogReader,
    form: Form,
    output: Sanitizer,
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
    /// It could not be read to its end.
    is_broken: bool,
    /// After a cut so many bytes may be the end of a secret whose beginning is gone.
    unsure: u64,
}

impl Stored {
    fn new(reader: LogReader, redactor: &Arc<Redactor>, from: u64, form: Form) -> Self {
        let at = from.saturating_sub(context_bytes(redactor, form));
        let unsure = (redactor.longest() as u64).saturating_sub(1);
        let output = Sanitizer::new(form, Arc::clone(redactor), Mask::Stars);
        Self {
            reader,
            form,
            output,
            from,
            at,
            show_from: from,
            cut: 0,
            total: None,
            is_broken: false,
            unsure,
        }
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
                self.output.prime(hidden);
                if !shown.is_empty() {
                    self.mark(&mut out);
                    self.output.push(shown, &mut out);
                }
                let settled = self.cut == 0 && self.output.is_settled() && self.at >= self.from;
                return LogPiece { bytes: out, next: settled.then_some(self.at), last: false };
            }
            Ok(Chunk::Cut { from, to }) => {
                self.at = to;
                self.output.finish(&mut out);
                self.cut += to.saturating_sub(self.from.max(from));
                self.show_from = self.show_from.max(to.saturating_add(self.unsure));
                return LogPiece { bytes: out, next: None, last: false };
            }
            Ok(Chunk::End) => {}
            Err(error) => {
                self.is_broken = true;
                tracing::warn!(log = %log.display(), %error, "a log cannot be read on");
            }
        }
        self.output.finish(&mut out);
        // Output that was lost at the end leaves no trace in the file.
        self.cut += self.total.unwrap_or(0).saturating_sub(self.at.max(self.from));
        self.mark(&mut out);
        LogPiece { bytes: out, next: None, last: true }
    }

    fn mark(&mut self, out: &mut Vec<u8>) {
        if self.cut > 0 {
            out.extend_from_slice(&line(self.form, &cut_text(self.cut)));
            self.cut = 0;
        }
    }
}

/// What is in the file and what comes, until the session ends.
pub(super) async fn followed(
    hub: &Hub,
    session: SessionId,
    query: &ReadLog,
) -> Result<BoxStream<'static, LogPiece>, HubError> {
    let (form, marks) = (form_of(query), query.marks);
    let chunks = hub.follow(session, query.from.unwrap_or(0), form).await?;
    let pieces = chunks.map(move |chunk| match chunk {
        FollowChunk::Data { bytes, next, .. } => LogPiece { bytes, next, last: false },
        FollowChunk::Gap { from, to } => {
            LogPiece { bytes: line(form, &cut_text(to - from)), next: Some(to), last: false }
        }
        FollowChunk::End(_) => LogPiece { last: true, ..LogPiece::default() },
        // Without a last piece the reader comes again: to the next node, to the session host, or to the file.
        FollowChunk::Lost(_) if marks => LogPiece::default(),
        FollowChunk::Lost(error) => {
            LogPiece { bytes: line(form, &format!("[cis: {error}]")), next: None, last: true }
        }
    });
    Ok(pieces.boxed())
}

/// The form in which a log is asked for.
pub(super) fn form_of(query: &ReadLog) -> Form {
    match (query.plain, query.colors) {
        (true, _) => Form::Text,
        (false, true) => Form::Colors,
        (false, false) => Form::Bytes,
    }
}

fn cut_text(bytes: u64) -> String {
    format!("[cis: {} of output were cut here]", text::bytes(bytes))
}

/// A line of our own in a log.
pub(super) fn line(form: Form, text: &str) -> Vec<u8> {
    let end = if form == Form::Text { "\n" } else { "\r\n" };
    format!("{end}{text}{end}").into_bytes()
}

#[cfg(test)]
mod tests;
