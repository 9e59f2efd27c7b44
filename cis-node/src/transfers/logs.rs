//! Logs of ended attempts, from the node that ran them to those who read them in the room.
//!
//! Owns what of a log goes up, and how several share a file. Secrets are replaced before anything leaves this node.

use std::sync::Arc;
use std::time::Duration;

use cis_core::api::ReadLog;
use cis_core::event::UploadedLog;
use cis_core::federation::protocol::message::Granted;
use cis_core::ids::{AttemptId, BlobId, SessionId};
use cis_core::text;
use cis_store::Safety;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::TransferError;
use super::media::MediaStore;
use crate::files::Stop;
use crate::logs::kept_copy;
use crate::node::Node;

/// Results wait no longer for a log to be read, or for the homeserver to begin,
const TIME_MAX: Duration = Duration::from_secs(10);
/// and not for uploads that are slower than this, bytes per second.
const RATE_MIN: usize = 64 << 10;

/// Of a longer log the beginning and the end go up, bytes.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// The end.
const TAIL_BYTES_MAX: usize = 3 << 20;

impl Node {
    /// Uploads the logs of attempts of a run that have ended here; none: that log cannot be uploaded. What comes after the first one that takes
    /// too long is not tried.
    pub(super) async fn share_logs(
        &self,
        room: &str,
        ended: Vec<(Granted, SessionId)>,
    ) -> Vec<(Granted, Option<UploadedLog>)> {
        let (mut shared, mut file, mut logs) = (Vec::with_capacity(ended.len()), Vec::new(), Vec::new());
        let opened = async {
            let store = MediaStore::open(self).await?;
            let bytes_max = store.bytes_max(&Stop::default()).await?.min(UploadedLog::FILE_BYTES_MAX);
            Ok::<_, TransferError>((store, usize::try_from(bytes_max).unwrap_or(usize::MAX)))
        };
        let (store, bytes_max) = match in_time(0, opened).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, logs = ended.len(), "logs for other nodes cannot be uploaded");
                return ended.into_iter().map(|(granted, _)| (granted, None)).collect();
            }
        };
        let mut is_late = false;
        for (granted, session) in ended {
            let log = if is_late {
                None
            } else {
                let read = timeout(TIME_MAX, self.log_to_share(&granted.attempt, session)).await;
                is_late = read.is_err();
                read.ok().flatten()
            };
            let Some(log) = log.filter(|log| log.len() <= bytes_max) else {
                shared.push((granted, None));
                continue;
            };
            if file.len() + log.len() > bytes_max {
                let full = (std::mem::take(&mut file), std::mem::take(&mut logs));
                let told = share_file_of_logs(&store, room, full).await;
                is_late = told.iter().any(|(_, log)| log.is_none());
                shared.extend(told);
            }
            logs.push((granted, BlobId::of(&log), log.len() as u64));
            file.extend_from_slice(&log);
        }
        shared.extend(share_file_of_logs(&store, room, (file, logs)).await);
        shared
    }

    /// What others may see of a log; none where there is nothing.
    async fn log_to_share(&self, attempt: &AttemptId, session: SessionId) -> Option<Vec<u8>> {
        let of = (attempt.run, attempt.task.clone(), attempt.number);
        let mut pieces = match self.own_log(session, Some(of), false, &ReadLog::default()).await {
            Ok(pieces) => pieces,
            Err(problem) => {
                tracing::debug!(%attempt, detail = problem.detail, "a log cannot be read");
                return None;
            }
        };
        let mut kept = HeadAndTail::default();
        while let Some(piece) = pieces.next().await {
            kept.push(&piece.bytes);
            if piece.last {
                break;
            }
        }
        Some(kept.whole()).filter(|bytes| !bytes.is_empty())
    }

    /// The bytes of a log that another node uploaded.
    pub(crate) async fn fetch_log(&self, log: &UploadedLog, stop: &Stop) -> Result<Vec<u8>, TransferError> {
        let altered = || TransferError::Altered { path: "the log".to_owned() };
        if !log.is_sound() {
            return Err(altered());
        }
        let (blobs, wanted) = (Arc::clone(&self.blobs), log.clone());
        let kept = tokio::task::spawn_blocking(move || kept_copy(&blobs, &wanted));
        if let Some(bytes) = kept.await.map_err(|_| TransferError::Panicked)?? {
            return Ok(bytes);
        }
        // Logs of one file are read one after the other.
        let _by_nobody_else = stop.or(self.uploads.fetching.lock(&log.media.to_string())).await?;
        let file = MediaStore::open(self).await?.download(&log.media, log.of, stop).await?;
        let bounds = usize::try_from(log.start).ok().zip(usize::try_from(log.start + log.size).ok());
        let bytes = bounds.and_then(|(start, end)| file.get(start..end)).ok_or_else(altered)?;
        if BlobId::of(bytes) != log.sha256 {
            return Err(altered());
        }
        self.blobs.put(bytes, Safety::Processes)?;
        Ok(bytes.to_vec())
    }
}

/// Does not wait for more than so many bytes need.
async fn in_time<T>(
    bytes: usize,
    work: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    let limit = TIME_MAX + Duration::from_secs((bytes / RATE_MIN) as u64);
    timeout(limit, work).await.unwrap_or(Err(TransferError::Late))
}

async fn share_file_of_logs(
    store: &MediaStore,
    room: &str,
    (file, logs): (Vec<u8>, Vec<(Granted, BlobId, u64)>),
) -> Vec<(Granted, Option<UploadedLog>)> {
    if logs.is_empty() {
        return Vec::new();
    }
    let of = file.len() as u64;
    let (bytes, stop) = (file.len(), Stop::default());
    let media = in_time(bytes, store.upload(room, file, &stop)).await;
    if let Err(error) = &media {
        tracing::warn!(%error, logs = logs.len(), "logs for other nodes cannot be uploaded");
    }
    let (media, mut start) = (media.ok(), 0);
    let placed = logs.into_iter().map(|(granted, sha256, size)| {
        let log = media.clone().map(|media| UploadedLog { sha256, size, start, of, media });
        start += size;
        (granted, log)
    });
    placed.collect()
}

/// The beginning and the end of what comes.
#[derive(Default)]
struct HeadAndTail {
    head: Vec<u8>,
    tail: Vec<u8>,
    cut: u64,
}

impl HeadAndTail {
    fn push(&mut self, bytes: &[u8]) {
        let (head, tail) = bytes.split_at(bytes.len().min(HEAD_BYTES_MAX - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(tail);
        // Not for each piece: what is kept is moved then.
        if self.tail.len() > 2 * TAIL_BYTES_MAX {
            self.cut_to_limit();
        }
    }

    fn cut_to_limit(&mut self) {
        let over = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..over);
        self.cut += over as u64;
    }

    fn whole(mut self) -> Vec<u8> {
        self.cut_to_limit();
        if self.cut > 0 {
            let cut = text::bytes(self.cut);
            let said = format!(
                "\r\n[cis: {cut} of output are not here: only the node that ran the task has them]\r\n"
            );
            self.head.extend_from_slice(said.as_bytes());
        }
        self.head.extend_from_slice(&self.tail);
        self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_long_log_are_kept_and_a_short_one_is_whole() {
        let mut short = HeadAndTail::default();
        short.push(b"ab");
        short.push(b"");
        short.push(b"c");
        assert_eq!(short.whole(), b"abc");
        let all: Vec<u8> = (0..20_000_000_u32).map(|n| (n / 1000 % 251) as u8).collect();
        for size in [1, 3000, 65_536, 5 << 20] {
            let mut long = HeadAndTail::default();
            // Each piece as one of the reader.
            all.chunks(size.max(7)).for_each(|piece| long.push(piece));
            let kept = long.whole();
            assert!(kept.starts_with(&all[..HEAD_BYTES_MAX]));
            assert!(kept.ends_with(&all[all.len() - TAIL_BYTES_MAX..]));
            let said = &kept[HEAD_BYTES_MAX..kept.len() - TAIL_BYTES_MAX];
            let said = String::from_utf8_lossy(said);
            assert!(
                said.contains("MB of output are not here") || said.contains("MiB of output are not here"),
                "{said}"
            );
        }
        let exact = &all[..HEAD_BYTES_MAX + TAIL_BYTES_MAX];
        let mut kept = HeadAndTail::default();
        kept.push(exact);
        assert_eq!(kept.whole(), exact);
    }
}
