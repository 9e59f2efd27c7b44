//! Where files lie that are too large for a message: with the homeserver of a room, or in the memory of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use cis_matrix::{Answer, Content, MatrixError, Media};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::RoomsInMemory;
use crate::account::{AccountError, Backoff, Opened};
use crate::node::Node;

use super::TransferError;
use crate::files::Stop;
use cis_core::federation::transfer::{PART_BYTES_MAX, PART_BYTES_MIN, WHOLE_PART_BYTES_MAX};

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

    /// The largest part that this node uploads for a room, bytes.
    pub(super) async fn part_bytes_max(&self, room: &str, stop: &Stop) -> Result<u64, TransferError> {
        let is_encrypted = match self {
            Self::Homeserver(opened) => stop.or(opened.client.is_encrypted(room)).await?.unwrap_or(true),
            Self::Memory(_) => false,
        };
        let part_max = if is_encrypted { WHOLE_PART_BYTES_MAX } else { PART_BYTES_MAX };
        Ok(self.bytes_max(stop).await?.min(part_max))
    }

    /// Uploads something, encrypted where the room is. Waits while the homeserver does not answer.
    pub(super) async fn upload(
        &self,
        room: &str,
        content: impl Into<Content>,
        stop: &Stop,
    ) -> Result<Value, TransferError> {
        let content = content.into();
        let opened = match self {
            Self::Homeserver(opened) => opened,
            Self::Memory(rooms) => {
                let bytes = content.into_bytes().await.map_err(TransferError::Upload)?;
                return Ok(json!({ "url": rooms.keep(bytes.into()) }));
            }
        };
        let mut backoff = Backoff::default();
        loop {
            stop.check()?;
            match stop.or(opened.client.upload(room, content.clone())).await? {
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
        match self.find(media)? {
            Found::Kept(bytes) => Ok(bytes),
            Found::Remote(opened, media) => {
                until_answered(opened, stop, || opened.client.download(media.clone(), bytes_max)).await
            }
        }
    }

    /// The same, in chunks as they come.
    pub(super) async fn download_in_chunks(
        &self,
        media: &Value,
        bytes_max: u64,
        stop: &Stop,
        chunks: &Chunks,
    ) -> Result<(), TransferError> {
        match self.find(media)? {
            Found::Kept(bytes) => {
                chunks.attempt()(bytes.into());
                Ok(())
            }
            Found::Remote(opened, media) => {
                let download =
                    || opened.client.download_in_chunks(media.clone(), bytes_max, Box::new(chunks.attempt()));
                until_answered(opened, stop, download).await
            }
        }
    }

    fn find(&self, media: &Value) -> Result<Found<'_>, TransferError> {
        match (self, of_json(media).ok_or(TransferError::NoPlace)?) {
            (Self::Homeserver(opened), media) => Ok(Found::Remote(opened, media)),
            (Self::Memory(rooms), Media::Plain(name)) => {
                rooms.kept(&name).map(Found::Kept).ok_or(TransferError::Gone)
            }
            (Self::Memory(_), Media::Encrypted(_)) => Err(TransferError::NoPlace),
        }
    }
}

/// Where a file is.
enum Found<'a> {
    Kept(Vec<u8>),
    Remote(&'a Opened, Media),
}

/// Repeats a download while the homeserver does not answer.
async fn until_answered<T>(
    opened: &Opened,
    stop: &Stop,
    mut download: impl FnMut() -> Answer<T>,
) -> Result<T, TransferError> {
    let (mut backoff, mut answers) = (Backoff::default(), 0);
    loop {
        stop.check()?;
        match stop.or(download()).await? {
            Ok(done) => return Ok(done),
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

/// Where the bytes of a file go, in order and once. A download that was broken off begins anew, and leaves out what was sent before.
#[derive(Clone)]
pub(super) struct Chunks {
    to: UnboundedSender<Bytes>,
    sent_bytes: Arc<AtomicU64>,
    arrived: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Chunks {
    /// `arrived` is called for each chunk, with its bytes that are new.
    pub(super) fn new(to: UnboundedSender<Bytes>, arrived: Arc<dyn Fn(u64) + Send + Sync>) -> Self {
        Self { to, sent_bytes: Arc::default(), arrived }
    }

    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Waits until nobody takes any more.
    pub(super) async fn closed(&self) {
        self.to.closed().await;
    }

    fn attempt(&self) -> impl FnMut(Bytes) + Send + 'static {
        let (chunks, mut again) = (self.clone(), self.sent_bytes());
        move |chunk| {
            let known = usize::try_from(again).unwrap_or(usize::MAX).min(chunk.len());
            again -= known as u64;
            let new = chunk.slice(known..);
            let bytes = new.len() as u64;
            if bytes > 0 {
                chunks.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
                // The thread that takes them may have failed, and says why.
                let _ = chunks.to.send(new);
                (chunks.arrived)(bytes);
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
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn a_download_that_begins_anew_leaves_out_what_was_sent_before() {
        let (to, mut came) = unbounded_channel();
        let chunks = Chunks::new(to, Arc::new(|_| {}));
        let mut first = chunks.attempt();
        first("ab".into());
        first("cd".into());
        let mut second = chunks.attempt();
        for chunk in ["a", "bcde", "", "f"] {
            second(chunk.into());
        }
        assert_eq!(chunks.sent_bytes(), 6);
        let mut all = Vec::new();
        while let Ok(chunk) = came.try_recv() {
            all.extend_from_slice(&chunk);
        }
        assert_eq!(all, b"abcdef");
    }
}
