//! Attaching to a session without a terminal: the end of its output, and what comes, read-only.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::follow::{Follow, FollowChunk};
use super::{AttachOutput, Attached, Hub, HubError, Marked};
use crate::api::{Attach, AttachNotice, TermSize};
use crate::ids::SessionId;
use crate::policy::redact::Redactor;

/// So much of the output before the attach is shown, bytes.
const TAIL_BYTES: u64 = 8 << 10;
/// So many pieces wait for the viewer; then its connection to the host waits.
const PIECES: usize = 8;

pub(super) async fn attach(
    hub: &Hub,
    id: SessionId,
    how: Attach,
    redactor: Arc<Redactor>,
) -> Result<Attached, HubError> {
    let mut follow = Follow::connect(&hub.host, id, redactor).await?;
    follow.for_terminal();
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
    let task = tokio::spawn(show(follow, sender, resumed.is_none() && from > 0));
    Ok(Attached::pipe(id, output, task.abort_handle()))
}

/// Passes output on; `partial`: it begins in the midst of a line, which is left out.
async fn show(mut follow: Follow, sender: mpsc::Sender<Marked>, mut partial: bool) {
    let mut after_cr = false;
    while let Some(chunk) = follow.next().await {
        let item = match chunk {
            FollowChunk::Data { mut bytes, next, .. } => {
                if partial {
                    let Some(line) = memchr::memchr(b'\n', &bytes) else { continue };
                    bytes.drain(..=line);
                    partial = false;
                }
                (AttachOutput::Bytes(with_returns(&bytes, &mut after_cr)), Some(next))
            }
            FollowChunk::Gap { from, to } => {
                partial = false;
                let words = format!("\r\n[{} bytes are in no log]\r\n", to - from);
                (AttachOutput::Bytes(words.into_bytes()), Some(to))
            }
            FollowChunk::End(ended) => {
                let ended = AttachNotice::Ended { detail: ended.detail, exit_code: ended.exit_code };
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
