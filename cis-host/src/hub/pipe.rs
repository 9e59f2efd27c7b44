//! Attaching to a session without a terminal: the end of its output, and what comes, read-only.

use tokio::sync::mpsc;

use super::follow::{Follow, FollowChunk};
use super::{AttachOutput, Attached, Ended, Hub, HubError, Marked, Redactors};
use cis_core::api::{Attach, AttachNotice, TermSize};
use cis_core::ids::SessionId;
use cis_core::terminal::sanitizer::Form;
use cis_core::terminal::screen::Screen;

/// So much of the output before the attach is shown, bytes.
const TAIL_BYTES: u64 = 8 << 10;
/// So many pieces wait for the viewer; then its connection to the host waits.
const PIECES: usize = 8;

pub(super) async fn attach(
    hub: &Hub,
    id: SessionId,
    how: Attach,
    redactors: Redactors,
) -> Result<Attached, HubError> {
    let mut follow = Follow::connect(&hub.host, id, Form::Screen, redactors).await?;
    let total = follow.probe().await?.unwrap_or(0);
    let tail = total.saturating_sub(TAIL_BYTES);
    let resumed = how.from.filter(|from| *from <= total);
    let from = resumed.unwrap_or(tail);
    follow.watch(from).await?;
    let (sender, output) = mpsc::channel(PIECES);
    let size = TermSize::default();
    let size = TermSize { cols: how.cols.unwrap_or(size.cols), rows: how.rows.unwrap_or(size.rows) };
    let hello = AttachNotice::Attached {
        session: id.to_string(),
        size,
        read_only: true,
        offset: Some(total),
        resumed: resumed.is_some(),
    };
    let _ = sender.send((AttachOutput::Notice(hello), None)).await;
    let task = tokio::spawn(show(follow, sender, size, resumed.is_none() && from > 0));
    Ok(Attached::pipe(id, output, task.abort_handle()))
}

/// The end of the output that a viewer got.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 2 * TAIL_BYTES as usize {
            self.0.drain(..self.0.len() - TAIL_BYTES as usize);
        }
    }

    /// Returns what a terminal of this size shows of it. `None`: nothing.
    fn screen(&self, size: TermSize) -> Option<String> {
        let mut screen = Screen::new(size);
        screen.replay(&self.0);
        Some(screen.text()).filter(|text| !text.is_empty())
    }
}

/// Passes output on to a terminal of this size; `partial`: the output begins in the middle of a line, which is
/// skipped.
async fn show(mut follow: Follow, sender: mpsc::Sender<Marked>, size: TermSize, mut partial: bool) {
    let (mut after_cr, mut tail) = (false, Tail::default());
    while let Some(chunk) = follow.next().await {
        let item = match chunk {
            FollowChunk::Data { mut bytes, next, .. } => {
                if partial {
                    let Some(line) = memchr::memchr(b'\n', &bytes) else { continue };
                    bytes.drain(..=line);
                    partial = false;
                }
                let bytes = with_returns(&bytes, &mut after_cr);
                tail.add(&bytes);
                (AttachOutput::Bytes(bytes), next)
            }
            FollowChunk::Gap { from, to } => {
                partial = false;
                let words = format!("\r\n[{} bytes are in no log]\r\n", to - from);
                (AttachOutput::Bytes(words.into_bytes()), Some(to))
            }
            FollowChunk::End(ended) => {
                let Ended { detail, exit_code } = ended;
                let ended = AttachNotice::Ended { detail, exit_code, screen: tail.screen(size) };
                (AttachOutput::Notice(ended), None)
            }
            FollowChunk::Lost(error) => (AttachOutput::Lost(error), None),
        };
        if sender.send(item).await.is_err() {
            return;
        }
    }
}

/// Line ends as a terminal in raw mode needs them.
fn with_returns(bytes: &[u8], after_cr: &mut bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for byte in bytes {
        if *byte == b'\n' && !*after_cr {
            out.push(b'\r');
        }
        out.push(*byte);
        *after_cr = *byte == b'\r';
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_end_as_terminals_need_it() {
        let mut after_cr = false;
        let out: Vec<u8> = [b"a\nb\r".as_slice(), b"\nc\r\n\n"]
            .iter()
            .flat_map(|part| super::with_returns(part, &mut after_cr))
            .collect();
        assert_eq!(out, b"a\r\nb\r\nc\r\n\r\n");
    }
}
