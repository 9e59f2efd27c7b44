//! Uploading a content while it is being read.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::watch;

use cis_core::federation::transfer::{Part, PartMedia, Piece, part_size};
use cis_matrix::FilePart;

use super::media::MediaStore;
use super::{AT_ONCE, TransferError};
use crate::file_jobs::{GrowingContent, WholeContent};
use crate::files::{FilesError, Stop};
use crate::known_uploads::KnownUploads;
use crate::node::Node;

impl Node {
    /// Uploads the parts of a content as they are written. They are known in the room once all of them are there.
    pub(super) async fn upload_ahead(&self, content: GrowingContent) -> Result<(), TransferError> {
        upload(&MediaStore::open(self).await?, &self.uploads, content).await
    }
}

async fn upload(
    store: &MediaStore,
    uploads: &KnownUploads,
    content: GrowingContent,
) -> Result<(), TransferError> {
    let GrowingContent { room, file, written, whole, stop, permit: _permit } = content;
    let part_max = store.part_bytes_max(&room, &stop).await?;
    let file = Arc::new(file);
    let stopped = stop.clone();
    let parts = stream::unfold((0, written), |so_far| next_part(so_far, part_max, stopped.clone()));
    let uploaded = parts.map(|part| upload_part(store, &room, Arc::clone(&file), part, &stop));
    let uploaded = uploaded.buffered(AT_ONCE).try_collect::<Vec<_>>().await?;
    let Ok(WholeContent { blob, size, turn: _turn }) = stop.or(whole).await? else {
        return Err(FilesError::Stopped.into());
    };
    let part = |(start, size, media)| {
        let piece = Piece { blob: Some(blob.clone()), start, size };
        Part { media, pieces: vec![piece] }
    };
    let parts: Vec<Part> = uploaded.into_iter().map(part).collect();
    if parts.iter().map(Part::size).sum::<u64>() == size {
        uploads.learn_parts(&room, &HashMap::from([(&blob, size)]), &parts);
    }
    Ok(())
}

/// Where a part begins, and its size.
type Range = (u64, u64);

/// Waits until the next part is written, or the rest. None: there is no more, or it was stopped.
async fn next_part(
    (start, mut written): (u64, watch::Receiver<u64>),
    part_max: u64,
    stop: Stop,
) -> Option<(Range, (u64, watch::Receiver<u64>))> {
    let size = part_size(start, part_max);
    // An error means that nothing follows.
    let _ = stop.or(written.wait_for(|written| *written >= start + size)).await.ok()?.map(drop);
    let size = size.min(written.borrow().saturating_sub(start));
    (size > 0).then_some(((start, size), (start + size, written)))
}

async fn upload_part(
    store: &MediaStore,
    room: &str,
    file: Arc<File>,
    (start, size): Range,
    stop: &Stop,
) -> Result<(u64, u64, PartMedia), TransferError> {
    stop.check()?;
    // If it cannot be read, the file is uploaded afterwards, and whatever is wrong with it is said then.
    let media = store.upload(room, FilePart { file, start, size }, stop).await?;
    Ok((start, size, PartMedia::from(&media)))
}

#[cfg(test)]
mod tests;
