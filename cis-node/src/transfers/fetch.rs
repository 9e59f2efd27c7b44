//! Fetching lists of files and their contents into the blobs of this node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

use cis_core::event::ArtifactRecord;
use cis_core::event::Uploaded;
use cis_core::federation::transfer::{FileList, LIST_BYTES_MAX, Part, Progress, Taken};
use cis_core::ids::BlobId;
use cis_store::{BlobWriter, Blobs, Safety, StoreError};

use super::media::{Chunks, MediaStore};
use super::{AT_ONCE, TransferError};
use crate::artifacts::{Filling, Restore};
use crate::files::{PIECE_BYTES, Stop};
use crate::node::Node;

/// The next part is asked for when all but so many bytes of those before it have come. The thread that writes takes one part after the other: what comes
/// of later ones meanwhile is memory, and work that is left after the last byte.
const AHEAD_BYTES: u64 = 4 << 20;

/// It is also asked for when nothing has come for so long: the homeserver may have to get a part from another one, and an encrypted part comes all at
/// once.
const QUIET_MAX: Duration = Duration::from_millis(100);

/// It does not wait longer than this: two downloads at a time are faster where the distance, or a limit of each connection, makes them slow.
const TURN_WAIT_MAX: Duration = Duration::from_secs(1);

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
        let list = Arc::new(self.download_list(uploaded, stop).await?);
        self.uploads.learn_list(room, uploaded, Arc::clone(&list));
        Ok(list)
    }

    /// The same as it was told, or from the homeserver, whatever is remembered of it.
    pub(super) async fn download_list(
        &self,
        uploaded: &Uploaded,
        stop: &Stop,
    ) -> Result<FileList, TransferError> {
        if let Some(bytes) = FileList::inline(uploaded) {
            return Ok(FileList::open(uploaded, bytes)?);
        }
        let bytes_max = uploaded.size.min(LIST_BYTES_MAX);
        let bytes = MediaStore::open(self).await?.download(&uploaded.media, bytes_max, stop).await?;
        let told = uploaded.clone();
        let opened = tokio::task::spawn_blocking(move || FileList::open(&told, &bytes));
        Ok(opened.await.map_err(|_| TransferError::Panicked)??)
    }

    /// Fetches those contents of a list that are not here. Each is also written to a file of `restore` that is missing it: what arrives is
    /// hashed once. `arrived` is called whenever something came.
    pub(super) async fn fetch(
        &self,
        room: &str,
        list: &FileList,
        restore: Option<Restore>,
        stop: &Stop,
        arrived: impl Fn() + Send + Sync + 'static,
    ) -> Result<Option<Restore>, TransferError> {
        if list.files.iter().any(|file| file.size == 0) {
            self.blobs.put(b"", Safety::Processes)?;
        }
        if missing(&self.blobs, list)?.is_empty() {
            return Ok(restore);
        }
        // Others may want the same parts. They are told apart by where they are.
        let places: Vec<String> =
            needed(&missing(&self.blobs, list)?, list).map(|part| part.media.value().to_string()).collect();
        let turns = self.uploads.fetching.lock_all(places.iter().map(String::as_str).collect());
        let _by_nobody_else = stop.or(turns).await?;
        let missing = missing(&self.blobs, list)?;
        let parts: Vec<Part> = needed(&missing, list).cloned().collect();
        if parts.is_empty() {
            whole(&missing)?;
            return Ok(restore);
        }
        let store = MediaStore::open(self).await?;
        let (to_disk, mut came) = unbounded_channel::<(Part, UnboundedReceiver<Bytes>)>();
        let (blobs, wanted) = (Arc::clone(&self.blobs), missing.clone());
        let writing = tokio::task::spawn_blocking(move || {
            let mut arrival = Arrival::new(&blobs, wanted, restore);
            while let Some((part, chunks)) = came.blocking_recv() {
                arrival.take(&part, Incoming::new(chunks))?;
            }
            arrival.whole()
        });
        let (received, received_bytes) = watch::channel(0);
        let arrived: Arc<dyn Fn(u64) + Send + Sync> = Arc::new(move |bytes| {
            received.send_modify(|all| *all += bytes);
            arrived();
        });
        let mut before = 0;
        let download = |part: Part| {
            let (to, chunks) = unbounded_channel();
            let (media, size, to) = (part.media.value(), part.size(), Chunks::new(to, Arc::clone(&arrived)));
            let turn = wait_for_turn(received_bytes.clone(), before);
            before += size;
            let cut_short = altered(&missing, part.pieces.iter().filter_map(|piece| piece.blob.as_ref()));
            // Sent now, not in the future below: the thread writes the parts in the order of the list.
            let _ = to_disk.send((part, chunks));
            let store = &store;
            async move {
                stop.or(turn).await?;
                store.download_in_chunks(&media, size, stop, &to).await?;
                // The thread would wait for the rest, and the wait below for the thread.
                if to.sent_bytes() != size {
                    return Err(cut_short);
                }
                // Keeps its place until the thread has taken it all: at most `AT_ONCE` parts are in memory.
                to.closed().await;
                Ok(())
            }
        };
        let mut downloads = Box::pin(stream::iter(parts).map(download).buffered(AT_ONCE));
        let mut failed = None;
        loop {
            let next = tokio::select! {
                biased;
                // The thread that writes has failed, and says why.
                () = to_disk.closed() => break,
                next = downloads.next() => next,
            };
            match next {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    failed = Some(error);
                    break;
                }
                None => break,
            }
        }
        drop(downloads);
        drop(to_disk);
        // Also after a failure: nothing may be written to the directory of a task after its job.
        let written = writing.await.map_err(|_| TransferError::Panicked)?;
        if let Some(error) = failed {
            return Err(error);
        }
        let restore = written?;
        let whole = missing.iter().map(|(blob, (size, _))| (blob, *size)).collect();
        self.uploads.learn_parts(room, &whole, &list.parts);
        Ok(restore)
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
        if !blobs.refresh_whole(blob, file.size)? {
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

/// Waits until the part after so many bytes is to be asked for.
async fn wait_for_turn(mut received: watch::Receiver<u64>, before: u64) {
    let is_due = async {
        while received.borrow_and_update().saturating_add(AHEAD_BYTES) < before {
            let Ok(Ok(())) = timeout(QUIET_MAX, received.changed()).await else { return };
        }
    };
    let _ = timeout(TURN_WAIT_MAX, is_due).await;
}

fn whole(missing: &Missing) -> Result<(), TransferError> {
    match missing.values().next() {
        Some((_, path)) => Err(TransferError::Missing { path: path.clone() }),
        None => Ok(()),
    }
}

/// Other bytes came than those of some of these contents.
fn altered<'a>(missing: &Missing, blobs: impl IntoIterator<Item = &'a BlobId>) -> TransferError {
    let path = blobs.into_iter().find_map(|blob| missing.get(blob)).map(|(_, path)| path.clone());
    TransferError::Altered { path: path.unwrap_or_else(|| "a file".to_owned()) }
}

/// The bytes of a part, as they come.
struct Incoming {
    chunks: UnboundedReceiver<Bytes>,
    rest: Bytes,
}

impl Incoming {
    fn new(chunks: UnboundedReceiver<Bytes>) -> Self {
        Self { chunks, rest: Bytes::new() }
    }

    /// Waits for the next bytes, at most so many. None: there are no more.
    fn next(&mut self, bytes_max: u64) -> Option<Bytes> {
        while self.rest.is_empty() {
            self.rest = self.chunks.blocking_recv()?;
        }
        let here = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(self.rest.len());
        Some(self.rest.split_to(here))
    }
}

/// What has come of the missing contents.
struct Arrival<'a> {
    blobs: &'a Blobs,
    wanted: Missing,
    restore: Option<Restore>,
    progress: Progress,
    open: Option<Open<'a>>,
}

/// A content of which a part has come.
struct Open<'a> {
    blob: BlobId,
    writer: BlobWriter<'a>,
    filling: Option<Filling>,
}

impl<'a> Arrival<'a> {
    fn new(blobs: &'a Blobs, wanted: Missing, restore: Option<Restore>) -> Self {
        Self { blobs, wanted, restore, progress: Progress::default(), open: None }
    }

    /// Takes a part while it comes.
    fn take(&mut self, part: &Part, mut incoming: Incoming) -> Result<(), TransferError> {
        for piece in &part.pieces {
            let wanted = piece.blob.as_ref().filter(|blob| self.wanted.contains_key(blob));
            let wanted = wanted.filter(|_| self.progress.take(piece) == Taken::Next);
            let mut left = piece.size;
            while left > 0 {
                let Some(bytes) = incoming.next(left) else {
                    return Err(altered(&self.wanted, &piece.blob));
                };
                left -= bytes.len() as u64;
                if let Some(blob) = wanted {
                    self.write(blob, &bytes)?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, blob: &BlobId, content: &[u8]) -> Result<(), TransferError> {
        let Some(size) = self.wanted.get(blob).map(|(size, _)| *size) else { return Ok(()) };
        let mut open = match self.open.take().filter(|open| open.blob == *blob) {
            Some(open) => open,
            None => self.begin(blob)?,
        };
        // Small enough that it is still in the processor's cache when it is written to the second file.
        for piece in content.chunks(PIECE_BYTES) {
            open.writer.write(piece)?;
            if let Some(filling) = &mut open.filling {
                filling.write(piece)?;
            }
        }
        let written = open.writer.written();
        if written < size {
            self.open = Some(open);
            return Ok(());
        }
        if written > size || !open.writer.is(blob) {
            return Err(altered(&self.wanted, [blob]));
        }
        open.writer.finish()?;
        if let (Some(restore), Some(filling)) = (&mut self.restore, open.filling) {
            restore.filled(filling)?;
        }
        self.wanted.remove(blob);
        Ok(())
    }

    fn begin(&mut self, blob: &BlobId) -> Result<Open<'a>, TransferError> {
        let filling = match &mut self.restore {
            Some(restore) => restore.fill(blob)?,
            None => None,
        };
        let size = self.wanted.get(blob).map_or(0, |(size, _)| *size);
        Ok(Open { blob: blob.clone(), writer: self.blobs.writer(size)?, filling })
    }

    /// All contents are here. Returns what is to be restored.
    fn whole(self) -> Result<Option<Restore>, TransferError> {
        whole(&self.wanted)?;
        Ok(self.restore)
    }
}

#[cfg(test)]
mod tests;
