//! Where files lie that are too large for a message: with the homeserver of a room, or in the memory of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use cis_matrix::{MatrixError, Media};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::RoomsInMemory;
use crate::account::{AccountError, Backoff, Opened};
use crate::node::Node;

use super::TransferError;
use crate::files::Stop;
use cis_core::federation::transfer::PART_BYTES_MIN;

/// How often a homeserver that answers is asked for a file that it does not give.
const ANSWERS_MAX: u32 = 5;

/// See the module.
pub(super) enum MediaStore {
    Homeserver(Box<Opened>),
    Memory(RoomsInMemory),
}

impl MediaStore {
    pub(super) async fn open(node: &Node) -> Result<Self, AccountError> {
        match &node.rooms_in_memory {
            Some(rooms) => Ok(Self::Memory(rooms.clone())),
            None => Ok(Self::Homeserver(Box::new(node.matrix.open().await?))),
        }
    }

    /// The largest file that it takes, bytes.
    pub(super) async fn bytes_max(&self, stop: &Stop) -> Result<u64, TransferError> {
        let bytes_max = match self {
            Self::Homeserver(opened) => stop.or(opened.client.upload_bytes_max()).await?.unwrap_or(u64::MAX),
            Self::Memory(_) => u64::MAX,
        };
        if bytes_max < PART_BYTES_MIN {
            Err(TransferError::TakesTooLittle { bytes_max })
        } else {
            Ok(bytes_max)
        }
    }

    /// Uploads bytes, encrypted where the room is. Waits while the homeserver does not answer.
    pub(super) async fn upload(
        &self,
        room: &str,
        bytes: impl Into<Bytes>,
        stop: &Stop,
    ) -> Result<Value, TransferError> {
        let bytes = bytes.into();
        let opened = match self {
            Self::Homeserver(opened) => opened,
            Self::Memory(rooms) => return Ok(json!({ "url": rooms.keep(bytes.into()) })),
        };
        let mut backoff = Backoff::default();
        loop {
            stop.check()?;
            match stop.or(opened.client.upload(room, bytes.clone())).await? {
                Ok(media) => return Ok(to_json(media)),
                Err(error) if error.is_passing() => {
                    stop.or(tokio::time::sleep(backoff.after(&error))).await?;
                }
                Err(error) => return Err(TransferError::Upload(error)),
            }
        }
    }

    /// Downloads a file of at most `bytes_max` bytes. Waits while the homeserver answers nothing.
    pub(super) async fn download(
        &self,
        media: &Value,
        bytes_max: u64,
        stop: &Stop,
    ) -> Result<Vec<u8>, TransferError> {
        let (to, mut came) = unbounded_channel();
        self.download_in_pieces(media, bytes_max, stop, Pieces::to(to)).await?;
        let mut bytes = Vec::new();
        while let Ok(piece) = came.try_recv() {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The same, in pieces as they come.
    pub(super) async fn download_in_pieces(
        &self,
        media: &Value,
        bytes_max: u64,
        stop: &Stop,
        pieces: Pieces,
    ) -> Result<(), TransferError> {
        let wanted = of_json(media).ok_or(TransferError::NoPlace)?;
        let opened = match (self, wanted) {
            (Self::Homeserver(opened), wanted) => (opened, wanted),
            (Self::Memory(rooms), Media::Plain(name)) => {
                let kept = rooms.kept(&name).ok_or(TransferError::Gone)?;
                pieces.attempt()(kept.into());
                return Ok(());
            }
            (Self::Memory(_), Media::Encrypted(_)) => return Err(TransferError::NoPlace),
        };
        let (opened, wanted) = opened;
        let (mut backoff, mut answers) = (Backoff::default(), 0);
        loop {
            stop.check()?;
            let download = opened.client.download_in_pieces(wanted.clone(), bytes_max, pieces.attempt());
            match stop.or(download).await? {
                Ok(()) => return Ok(()),
                Err(error) if error.is_passing() => {
                    stop.or(tokio::time::sleep(backoff.after(&error))).await?;
                    // It answers, but not about this file: another homeserver may have it, which may not exist.
                    let is_there = stop.or(opened.client.whoami()).await?.is_ok();
                    answers += u32::from(is_there && matches!(error, MatrixError::Offline { .. }));
                    if answers >= ANSWERS_MAX {
                        return Err(TransferError::Download(error));
                    }
                }
                Err(MatrixError::NotFound { .. }) => return Err(TransferError::Gone),
                Err(error) => return Err(TransferError::Download(error)),
            }
        }
    }
}

/// Where the pieces of a file go, in order and once. A download that was broken off begins anew, and leaves out what went there before.
#[derive(Clone)]
pub(super) struct Pieces {
    to: UnboundedSender<Bytes>,
    went: Arc<AtomicU64>,
}

impl Pieces {
    pub(super) fn to(to: UnboundedSender<Bytes>) -> Self {
        Self { to, went: Arc::default() }
    }

    /// Bytes that went there.
    pub(super) fn size(&self) -> u64 {
        self.went.load(Ordering::Relaxed)
    }

    /// Waits until nobody takes any more.
    pub(super) async fn closed(&self) {
        self.to.closed().await;
    }

    fn attempt(&self) -> impl FnMut(Bytes) + Send + 'static {
        let (pieces, mut again) = (self.clone(), self.size());
        move |piece| {
            let known = usize::try_from(again).unwrap_or(usize::MAX).min(piece.len());
            again -= known as u64;
            let new = piece.slice(known..);
            if !new.is_empty() {
                pieces.went.fetch_add(new.len() as u64, Ordering::Relaxed);
                // Whoever takes them may have failed, and says why.
                let _ = pieces.to.send(new);
            }
        }
    }
}

/// How an event, or a list, tells where a file is.
pub(crate) fn to_json(media: Media) -> Value {
    match media {
        Media::Plain(url) => json!({ "url": url }),
        Media::Encrypted(file) => json!({ "file": file }),
    }
}

/// The way back; none: it tells of no file.
pub(crate) fn of_json(media: &Value) -> Option<Media> {
    match (media.get("url").and_then(Value::as_str), media.get("file")) {
        (Some(url), _) => Some(Media::Plain(url.to_owned())),
        (None, Some(file)) => Some(Media::Encrypted(file.clone())),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_that_begins_anew_leaves_out_what_came_before() {
        let (to, mut came) = unbounded_channel();
        let pieces = Pieces::to(to);
        let mut first = pieces.attempt();
        first("ab".into());
        first("cd".into());
        let mut second = pieces.attempt();
        for piece in ["a", "bcde", "", "f"] {
            second(piece.into());
        }
        assert_eq!(pieces.size(), 6);
        let mut all = Vec::new();
        while let Ok(piece) = came.try_recv() {
            all.extend_from_slice(&piece);
        }
        assert_eq!(all, b"abcdef");
    }
}
