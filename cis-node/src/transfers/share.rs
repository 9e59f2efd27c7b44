//! Uploading the contents of files for a room, and the list that tells of them.

use std::collections::HashSet;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use cis_core::event::ArtifactRecord;
use cis_core::event::Uploaded;
use cis_core::federation::transfer::{FileList, Part, PartMedia, Piece, Progress, cut};
use cis_matrix::{Content, FilePart};
use cis_store::{Blobs, StoreError};

use super::media::MediaStore;
use super::{AT_ONCE, TransferError};
use crate::files::Stop;
use crate::node::Node;

impl Node {
    /// Uploads those contents of a list that are neither in its parts nor known to be in the room, and gives the list with parts for all.
    pub(super) async fn share(
        &self,
        room: &str,
        list: FileList,
        stop: &Stop,
    ) -> Result<FileList, TransferError> {
        let mut parts = list.parts.clone();
        let mut there = Progress::default();
        for piece in parts.iter().flat_map(|part| &part.pieces) {
            there.take(piece);
        }
        let wanted = list.contents().into_iter().filter(|(blob, size)| there.of(blob) != *size);
        let wanted: Vec<_> = wanted.map(|(blob, size)| (blob.clone(), size)).collect();
        let (_, new) = self.uploads.parts_of(room, wanted.clone());
        // Another job may upload some of them at this moment. They are known when it is done.
        let turns = self.uploads.uploading.lock_all(new.iter().map(|(blob, _)| &*blob.0).collect());
        let _by_nobody_else = stop.or(turns).await?;
        let (known, new) = self.uploads.parts_of(room, wanted);
        parts.extend(known);
        if !new.is_empty() {
            let store = MediaStore::open(self).await?;
            let part_max = store.part_bytes_max(room, stop).await?;
            let cut = cut(new.iter().map(|(blob, size)| (blob, *size)), part_max);
            let uploads = stream::iter(cut).map(|pieces| self.upload_part(&store, room, pieces, stop));
            let uploaded = uploads.buffered(AT_ONCE).try_collect::<Vec<Part>>().await?;
            let contents = new.iter().map(|(blob, size)| (blob, *size)).collect();
            self.uploads.learn_parts(room, &contents, &uploaded);
            parts.extend(uploaded);
        }
        Ok(FileList::merged([FileList { files: list.files, parts }])?)
    }

    async fn upload_part(
        &self,
        store: &MediaStore,
        room: &str,
        pieces: Vec<Piece>,
        stop: &Stop,
    ) -> Result<Part, TransferError> {
        stop.check()?;
        let (blobs, read) = (Arc::clone(&self.blobs), pieces.clone());
        let content = tokio::task::spawn_blocking(move || content_of(&blobs, &read));
        let content = content.await.map_err(|_| TransferError::Panicked)??;
        let media = store.upload(room, content, stop).await?;
        Ok(Part { media: PartMedia::from(&media), pieces })
    }

    /// Tells of a list: uploads it for a room, once, unless it is so short that it is told whole.
    pub(super) async fn announce(
        &self,
        room: &str,
        list: FileList,
        stop: &Stop,
    ) -> Result<Uploaded, TransferError> {
        let (mut uploaded, bytes) = list.pack()?;
        if FileList::inline(&uploaded).is_some() {
            self.uploads.learn_list(room, &uploaded, Arc::new(list));
            return Ok(uploaded);
        }
        // Otherwise two tasks with the same files would name two places, and each node would fetch the list from both.
        let _by_nobody_else = stop.or(self.uploads.uploading.lock(&uploaded.sha256.0)).await?;
        if let Some(there) = self.uploads.place_of_list(room, &uploaded.sha256) {
            return Ok(there);
        }
        let store = MediaStore::open(self).await?;
        let bytes_max = store.bytes_max(stop).await?;
        if uploaded.size > bytes_max {
            return Err(TransferError::ListTooLarge { bytes: uploaded.size, bytes_max });
        }
        uploaded.media = store.upload(room, bytes, stop).await?;
        self.uploads.learn_list(room, &uploaded, Arc::new(list));
        self.uploads.learn_place_of_list(room, &uploaded);
        Ok(uploaded)
    }

    /// The same for a list that only this node reads: all contents are here.
    pub(super) fn announce_here(
        &self,
        room: &str,
        files: Vec<ArtifactRecord>,
    ) -> Result<Uploaded, TransferError> {
        let list = FileList::merged([FileList { files, parts: Vec::new() }])?;
        let (uploaded, _) = list.pack()?;
        self.uploads.learn_list(room, &uploaded, Arc::new(list));
        Ok(uploaded)
    }
}

/// Whether each content of `files` is in the blobs. Those that are stay there for a while.
pub(super) fn all_here(blobs: &Blobs, files: &[ArtifactRecord]) -> Result<bool, StoreError> {
    let mut seen = HashSet::new();
    for file in files.iter().filter(|file| file.size > 0) {
        if seen.insert(&file.blob) && !blobs.refresh_whole(&file.blob, file.size)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn content_of(blobs: &Blobs, pieces: &[Piece]) -> Result<Content, TransferError> {
    if let [Piece { blob: Some(blob), start, size }] = pieces {
        let file = blobs.open(blob)?.ok_or_else(|| TransferError::Missing { path: blob.0.clone() })?;
        if file.metadata().map_or(0, |file| file.len()) < start.saturating_add(*size) {
            return Err(StoreError::BlobDamaged { id: blob.0.clone() }.into());
        }
        return Ok(FilePart { file: Arc::new(file), start: *start, size: *size }.into());
    }
    bytes_of(blobs, pieces).map(Content::from)
}

fn bytes_of(blobs: &Blobs, pieces: &[Piece]) -> Result<Vec<u8>, TransferError> {
    let size = pieces.iter().map(|piece| piece.size).sum::<u64>();
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    for piece in pieces {
        let Some(blob) = &piece.blob else { continue };
        let gone = || TransferError::Missing { path: blob.0.clone() };
        let mut file = blobs.open(blob)?.ok_or_else(gone)?;
        let before = bytes.len() as u64;
        let read = file
            .seek(SeekFrom::Start(piece.start))
            .and_then(|_| file.take(piece.size).read_to_end(&mut bytes));
        if read.is_err() || bytes.len() as u64 - before != piece.size {
            return Err(StoreError::BlobDamaged { id: blob.0.clone() }.into());
        }
    }
    Ok(bytes)
}
