//! The end of a log, as text.
//!
//! No answer says how long a log is, but from its end on nothing comes, or a line that says how much was lost: of a long one, later and
//! later places are asked for, and little of it is read.

use std::time::Duration;

use cis_client::{Client, ClientError, LogStream};
use cis_core::api::ReadLog;

use super::{Shared, problem};
use crate::command::Slot;

/// Of a log its end is shown, bytes.
const SHOWN_BYTES: usize = 256 * 1024;
/// A log with no more text is read whole, and of a longer one at least so much, bytes: some of it is no text.
const PART_BYTES: u64 = 1 << 20;
/// No log is so long, bytes.
const LOG_BYTES_MAX: u64 = 1 << 50;
/// What a line of the node about lost output begins with.
const CUT: &[u8] = b"[cis: ";
/// No line about lost output is so long, bytes.
const CUT_BYTES_MAX: usize = 4096;
/// Whether somebody still waits is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whose log it is.
#[derive(Debug)]
pub(super) enum Of {
    /// A session.
    Session(String),
    /// An attempt: its run, its task, its number.
    Attempt(String, String, u32),
}

/// Reads the end of a log into a slot, for as long as somebody else holds that.
pub(super) async fn fill(client: &Client, shared: &Shared, of: &Of, slot: &Slot<String>) {
    let left = async {
        let mut look = tokio::time::interval(LOOK_EVERY);
        while !slot.is_left() {
            look.tick().await;
        }
    };
    tokio::select! {
        end = of.end(client) => {
            slot.fill(end.map_err(problem));
            shared.wake();
        }
        () = left => {}
    }
}

impl Of {
    async fn end(&self, client: &Client) -> Result<String, ClientError> {
        if let Some(whole) = self.text(client, 0, PART_BYTES).await? {
            return Ok(whole);
        }
        let from = self.near_end(client).await?;
        Ok(self.text(client, from, u64::MAX).await?.unwrap_or_default())
    }

    /// The last part of the text from this byte of the log on. None: it is longer than `most` bytes.
    async fn text(&self, client: &Client, from: u64, most: u64) -> Result<Option<String>, ClientError> {
        let mut stream = self.open(client, from).await?;
        let (mut all, mut read) = (Vec::new(), 0);
        while let Some(bytes) = stream.next().await? {
            read += bytes.len() as u64;
            if read > most {
                return Ok(None);
            }
            all.extend_from_slice(&bytes);
            if all.len() > 2 * SHOWN_BYTES {
                all.drain(..all.len() - SHOWN_BYTES);
            }
        }
        let shown = all.len().saturating_sub(SHOWN_BYTES);
        Ok(Some(String::from_utf8_lossy(&all[shown..]).into_owned()))
    }

    /// A byte of a log that is longer than a part: at least one part and at most two before the end of what was not lost.
    async fn near_end(&self, client: &Client) -> Result<u64, ClientError> {
        let (mut from, mut step) = (0, PART_BYTES);
        while step < LOG_BYTES_MAX && self.has(client, from + step).await? {
            from += step;
            step *= 2;
        }
        while step > PART_BYTES {
            step /= 2;
            if self.has(client, from + step).await? {
                from += step;
            }
        }
        Ok(from.saturating_sub(PART_BYTES))
    }

    /// Whether there is text from this byte of the log on. If the end of the output was lost, a place in it has only a line that says so.
    async fn has(&self, client: &Client, from: u64) -> Result<bool, ClientError> {
        let mut stream = self.open(client, from).await?;
        let mut begin = Vec::new();
        while let Some(bytes) = stream.next().await? {
            begin.extend_from_slice(&bytes);
            if !is_cut(&begin) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn open<'a>(&self, client: &'a Client, from: u64) -> Result<LogStream<'a>, ClientError> {
        let how = ReadLog { from: Some(from).filter(|from| *from > 0), plain: true, ..ReadLog::default() };
        match self {
            Self::Session(session) => client.session_log(session, &how).await,
            Self::Attempt(run, task, number) => {
                client.task_log(run, task, &ReadLog { attempt: Some(*number), ..how }).await
            }
        }
    }
}

/// Whether this beginning of a text only says that output was lost, as far as it goes.
fn is_cut(begin: &[u8]) -> bool {
    let mut lines = begin.split(|byte| *byte == b'\n');
    begin.len() < CUT_BYTES_MAX && lines.all(|line| line.starts_with(CUT) || CUT.starts_with(line))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    const CUT_LINE: &str = "[cis: 8.4 MB of output were cut here]\n";

    /// A socket on which a node would be, and its client.
    fn node() -> (tempfile::TempDir, UnixListener, Client) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        (dir, listener, Client::new(&path, None))
    }

    /// Accepts a request for a log. Gives its connection, and the byte from which the log is asked for.
    async fn accept(listener: &UnixListener) -> (UnixStream, u64) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("/log?") && head.contains("plain=true"), "{head}");
        let from = head.split_once("from=").map_or("0", |(_, rest)| rest);
        let digits = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        (stream, from[..digits].parse().unwrap())
    }

    /// What is read of a log, and the bytes from which it is asked for.
    async fn read(log: Vec<u8>) -> (String, Vec<u64>) {
        read_without(0, log).await
    }

    /// The same of a log that lacks so many bytes of output at its end.
    async fn read_without(lost: usize, log: Vec<u8>) -> (String, Vec<u64>) {
        let (_dir, listener, client) = node();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (told, log) = (Arc::clone(&asked), Arc::new(log));
        let serve = tokio::spawn(async move {
            loop {
                let (mut stream, from) = accept(&listener).await;
                told.lock().unwrap().push(from);
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let from = usize::try_from(from).unwrap();
                    let rest = &log[log.len().min(from)..];
                    let cut = match (log.len() + lost).saturating_sub(from.max(log.len())) {
                        0 => String::new(),
                        _ if rest.is_empty() => format!("\n{CUT_LINE}"),
                        _ => CUT_LINE.to_owned(),
                    };
                    let length = rest.len() + cut.len();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                    // A client that has seen enough goes away.
                    for bytes in [head.as_bytes(), rest, cut.as_bytes()] {
                        if stream.write_all(bytes).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let slot = Slot::default();
        let waits = slot.clone();
        let of = Of::Attempt("01JD0V3Z8K6T9W2B5N7Q4R1XEC".to_owned(), "build".to_owned(), 1);
        fill(&client, &Shared::new(Arc::new(|| {})), &of, &slot).await;
        serve.abort();
        let asked = asked.lock().unwrap().clone();
        (waits.take().unwrap().unwrap(), asked)
    }

    #[tokio::test]
    async fn a_short_log_is_asked_for_once() {
        let (text, asked) = read(b"one\ntwo\n".to_vec()).await;
        assert_eq!((text.as_str(), asked.as_slice()), ("one\ntwo\n", &[0][..]));
    }

    #[tokio::test]
    async fn of_a_long_log_only_the_end_is_read() {
        const SIZE: usize = 11 << 20;
        let log: Vec<u8> = (0..SIZE / 16).flat_map(|n| format!("line {n:010}\n").into_bytes()).collect();
        assert_eq!(log.len(), SIZE);
        let end = String::from_utf8(log[SIZE - SHOWN_BYTES..].to_vec()).unwrap();
        let (text, asked) = read(log).await;
        assert!(text == end, "{} bytes that begin with {:?}", text.len(), text.lines().next());
        let last = *asked.last().unwrap();
        assert!((SIZE as u64 - 2 * PART_BYTES..=SIZE as u64 - PART_BYTES).contains(&last), "{asked:?}");
        assert!(asked.len() < 12, "{asked:?}");
    }

    #[tokio::test]
    async fn of_a_log_whose_end_was_lost_the_end_of_what_is_there_is_read() {
        const SIZE: usize = 3 << 20;
        let log: Vec<u8> = (0..SIZE / 16).flat_map(|n| format!("line {n:010}\n").into_bytes()).collect();
        let mut shown = [&log[SIZE - SHOWN_BYTES..], CUT_LINE.as_bytes()].concat();
        shown.drain(..CUT_LINE.len());
        let (text, asked) = read_without(8 << 20, log).await;
        assert!(text.as_bytes() == shown, "{} bytes that begin with {:?}", text.len(), text.lines().next());
        assert!(asked.len() < 12, "{asked:?}");
    }

    #[test]
    fn a_line_about_lost_output_is_no_text_of_the_log() {
        for begin in ["", "\n", "\n[c", CUT_LINE, "\n[cis: 1 B of output were cut here]\n"] {
            assert!(is_cut(begin.as_bytes()), "{begin:?}");
        }
        for begin in ["text", " [cis: ", "\n[cis: 1 B of output were cut here]\ntext", "[cit"] {
            assert!(!is_cut(begin.as_bytes()), "{begin:?}");
        }
        assert!(!is_cut(&[b'\n'; CUT_BYTES_MAX]));
    }

    #[tokio::test]
    async fn a_log_that_nobody_waits_for_is_left() {
        let (_dir, listener, client) = node();
        let slot = Slot::default();
        let waits = slot.clone();
        let reads = tokio::spawn(async move {
            let of = Of::Session("01JD0V3Z8K6T9W2B5N7Q4R1XED".to_owned());
            fill(&client, &Shared::new(Arc::new(|| {})), &of, &slot).await;
        });
        let (mut stream, _) = accept(&listener).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nfirst").await.unwrap();
        drop(waits);
        tokio::time::timeout(Duration::from_secs(5), reads).await.expect("nobody waits for it").unwrap();
    }
}
