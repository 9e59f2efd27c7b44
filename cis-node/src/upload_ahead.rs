//! Contents that are uploaded while a thread reads them into the blobs.
//!
//! Owns what the thread tells the job that uploads. Files that are not uploaded this way go up when all of them were read: everything here may
//! fail, and nobody waits for it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use crate::file_jobs::{GrowingContent, Job, WholeContent};
use crate::files::Stop;
use crate::known_uploads::KnownUploads;
use crate::link::Link;
use cis_core::federation::transfer::SHARED_BYTES_MAX;
use cis_core::ids::BlobId;
use cis_store::{BlobWriter, Blobs};

/// Compared of two files that may have one content, bytes.
const HEAD_BYTES: usize = 64 << 10;

/// The room that files of an attempt go to.
#[derive(Clone)]
pub(crate) struct UploadAhead {
    link: Link,
    uploads: Arc<KnownUploads>,
    room: String,
}

/// A content that is being read and uploaded. Dropped before [`Self::finish`], it ends its upload.
pub(crate) struct Reading<'a> {
    to: &'a UploadAhead,
    written: watch::Sender<u64>,
    whole: Option<oneshot::Sender<WholeContent>>,
    stop: Stop,
}

impl UploadAhead {
    pub(crate) fn new(link: Link, uploads: Arc<KnownUploads>, room: String) -> Self {
        Self { link, uploads, room }
    }

    /// Begins to upload a file that is about to be read into `blob`. Small files share parts, and known ones are in the room: they are left out, and
    /// so are those that come while others are on their way.
    pub(crate) fn begin(
        &self,
        file: &File,
        size: u64,
        (blobs, blob): (&Blobs, &BlobWriter),
        stop: &Stop,
    ) -> Option<Reading<'_>> {
        if size <= SHARED_BYTES_MAX || self.seems_known(file, size, blobs) {
            return None;
        }
        let permit = Arc::clone(&self.uploads.ahead).try_acquire_owned().ok()?;
        let file = blob.reader().ok()?;
        let (to_job, written) = watch::channel(0);
        let (to_end, whole) = oneshot::channel();
        let (room, stop) = (self.room.clone(), stop.child());
        let content = GrowingContent { room, file, written, whole, stop: stop.clone(), permit };
        let reading = Reading { to: self, written: to_job, whole: Some(to_end), stop };
        self.link.carry(Job::Ahead(content)).then_some(reading)
    }

    /// Whether a file begins as a content of this size that was uploaded before. Only its hash could tell.
    fn seems_known(&self, file: &File, size: u64, blobs: &Blobs) -> bool {
        let known = self.uploads.of_size(&self.room, size);
        let head = if known.is_empty() { None } else { head_of(file) };
        let is_alike = |known: &BlobId| {
            let known = blobs.open(known).ok().flatten();
            known.and_then(|known| head_of(&known)).is_some_and(|other| Some(&other) == head.as_ref())
        };
        known.iter().any(is_alike)
    }
}

impl Reading<'_> {
    /// So many bytes of the content are in the blob's file.
    pub(crate) fn wrote(&self, size: u64) {
        self.written.send_replace(size);
    }

    /// The content is whole, and in the blobs.
    pub(crate) fn finish(mut self, blob: &BlobId, size: u64) {
        let UploadAhead { uploads, room, .. } = self.to;
        uploads.learn_size(room, blob, size);
        // Before the file is known to others: who wants to upload it as well waits for this upload.
        let Some(turn) = uploads.uploading.try_lock(&blob.0) else { return };
        if uploads.parts_of(room, vec![(blob.clone(), size)]).1.is_empty() {
            return;
        }
        if let Some(whole) = self.whole.take() {
            // Its job may have failed.
            let _ = whole.send(WholeContent { blob: blob.clone(), size, turn });
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if self.whole.is_some() {
            self.stop.set();
        }
    }
}

fn head_of(file: &File) -> Option<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0).is_ok().then_some(head)
}

#[cfg(test)]
mod tests;
