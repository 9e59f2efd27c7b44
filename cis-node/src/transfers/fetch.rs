//! Fetching lists of files and their contents into the blobs of this node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use cis_core::event::ArtifactRecord;
use cis_core::event::Uploaded;
use cis_core::federation::transfer::{FileList, LIST_BYTES_MAX, Part, Progress, Taken};
use cis_core::ids::BlobId;
use cis_store::{BlobWriter, Blobs, Safety, StoreError};

use super::media::MediaStore;
use super::{AT_ONCE, TransferError};
use crate::files::Stop;
use crate::node::Node;

impl Node {
    /// The list that was uploaded for a room, checked: whoever wrote it may be anybody.
    pub(crate) async fn list_of(
        &self,
        room: &str,
        uploaded: &Uploaded,
        stop: &Stop,
    ) -> Result<Arc<FileList>, TransferError> {
        if let Some(known) = self.uploads.list(room, uploaded) {
            return Ok(known);
        }
        let _by_nobody_else =
            stop.or(self.uploads.fetching.lock(&format!("{} {}", uploaded.sha256, uploaded.media))).await?;
        if let Some(known) = self.uploads.list(room, uploaded) {
            return Ok(known);
        }
        let bytes_max = uploaded.size.min(LIST_BYTES_MAX);
        let bytes = MediaStore::open(self).await?.download(&uploaded.media, bytes_max, stop).await?;
        let told = uploaded.clone();
        let opened = tokio::task::spawn_blocking(move || FileList::open(&told, &bytes));
        let list = Arc::new(opened.await.map_err(|_| TransferError::Panicked)??);
        self.uploads.learn_list(room, uploaded, Arc::clone(&list));
        Ok(list)
    }

    /// Fetches those contents of a list that are not here.
    pub(super) async fn fetch(&self, room: &str, list: &FileList, stop: &Stop) -> Result<(), TransferError> {
        self.fetch_telling(room, list, stop, &|| {}).await
    }

    /// Fetches those contents of a list that are not here. `arrived` is called for each part that came.
    pub(super) async fn fetch_telling(
        &self,
        room: &str,
        list: &FileList,
        stop: &Stop,
        arrived: &(dyn Fn() + Sync),
    ) -> Result<(), TransferError> {
        if list.files.iter().any(|file| file.size == 0) {
            self.blobs.put(b"", Safety::Processes)?;
        }
        if missing(&self.blobs, list)?.is_empty() {
            return Ok(());
        }
        // Others may want the same parts. They are told apart by where they are.
        let places: Vec<String> =
            needed(&missing(&self.blobs, list)?, list).map(|part| part.media.value().to_string()).collect();
        let turns = self.uploads.fetching.lock_all(places.iter().map(String::as_str).collect());
        let _by_nobody_else = stop.or(turns).await?;
        let missing = missing(&self.blobs, list)?;
        let parts: Vec<Part> = needed(&missing, list).cloned().collect();
        if parts.is_empty() {
            return whole(&missing);
        }
        let store = MediaStore::open(self).await?;
        let (to_disk, mut came) = mpsc::channel::<(Part, Vec<u8>)>(1);
        let (blobs, wanted) = (Arc::clone(&self.blobs), missing.clone());
        let writing = tokio::task::spawn_blocking(move || {
            let mut arrival = Arrival { blobs: &blobs, wanted, progress: Progress::default(), open: None };
            while let Some((part, bytes)) = came.blocking_recv() {
                arrival.take(&part, &bytes)?;
            }
            whole(&arrival.wanted)
        });
        let mut downloads = stream::iter(parts)
            .map(|part| async {
                let bytes = store.download(&part.media.value(), part.size(), stop).await?;
                Ok::<_, TransferError>((part, bytes))
            })
            .buffered(AT_ONCE);
        while let Some(next) = downloads.next().await {
            // Whoever writes has failed, and says why.
            if to_disk.send(next?).await.is_err() {
                break;
            }
            arrived();
        }
        drop(to_disk);
        writing.await.map_err(|_| TransferError::Panicked)??;
        let whole = missing.iter().map(|(blob, (size, _))| (blob, *size)).collect();
        self.uploads.learn_parts(room, &whole, &list.parts);
        Ok(())
    }
}

/// Contents that are not here, each with its bytes and the path of a file that has it.
type Missing = HashMap<BlobId, (u64, String)>;

/// Those of a list. Those that are here stay for a while.
fn missing(blobs: &Blobs, list: &FileList) -> Result<Missing, StoreError> {
    let paths: BTreeMap<&BlobId, &ArtifactRecord> =
        list.files.iter().map(|file| (&file.blob, file)).collect();
    let mut missing = Missing::new();
    for (blob, file) in paths.into_iter().filter(|(_, file)| file.size > 0) {
        if !blobs.refresh(blob)? {
            missing.insert(blob.clone(), (file.size, file.path.clone()));
        }
    }
    Ok(missing)
}

/// The parts of a list that hold some of them.
fn needed<'a>(missing: &Missing, list: &'a FileList) -> impl Iterator<Item = &'a Part> {
    let holds = |part: &&Part| {
        part.pieces.iter().any(|piece| piece.blob.as_ref().is_some_and(|blob| missing.contains_key(blob)))
    };
    list.parts.iter().filter(holds)
}

fn whole(missing: &Missing) -> Result<(), TransferError> {
    match missing.values().next() {
        Some((_, path)) => Err(TransferError::Missing { path: path.clone() }),
        None => Ok(()),
    }
}

/// What has come of the missing contents.
struct Arrival<'a> {
    blobs: &'a Blobs,
    wanted: Missing,
    progress: Progress,
    open: Option<(BlobId, u64, BlobWriter<'a>)>,
}

impl Arrival<'_> {
    fn take(&mut self, part: &Part, bytes: &[u8]) -> Result<(), TransferError> {
        let mut rest = bytes;
        for piece in &part.pieces {
            let Some(size) = usize::try_from(piece.size).ok().filter(|size| *size <= rest.len()) else {
                return Err(self.altered(piece.blob.as_ref()));
            };
            let (content, after) = rest.split_at(size);
            rest = after;
            if let Some(blob) = piece.blob.as_ref().filter(|blob| self.wanted.contains_key(blob))
                && self.progress.take(piece) == Taken::Next
            {
                self.write(blob, content)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, blob: &BlobId, content: &[u8]) -> Result<(), TransferError> {
        let Some(size) = self.wanted.get(blob).map(|(size, _)| *size) else { return Ok(()) };
        let open = self.open.take().filter(|(of, ..)| of == blob);
        let (blob, written, mut writer) = match open {
            Some(open) => open,
            None => (blob.clone(), 0, self.blobs.writer()?),
        };
        writer.write(content)?;
        let written = written + content.len() as u64;
        if written < size {
            self.open = Some((blob, written, writer));
            return Ok(());
        }
        if written > size || !writer.is(&blob) {
            return Err(self.altered(Some(&blob)));
        }
        writer.finish()?;
        self.wanted.remove(&blob);
        Ok(())
    }

    fn altered(&self, blob: Option<&BlobId>) -> TransferError {
        let path = blob.and_then(|blob| self.wanted.get(blob)).map(|(_, path)| path.clone());
        TransferError::Altered { path: path.unwrap_or_else(|| "a file".to_owned()) }
    }
}
