//! Results of the cache in place of attempts on the nodes of a room.
//!
//! Owns when an entry counts: those who vouch for it still have their rights, and all that it names can be had by the nodes that need it.
//! Anything else is a miss: the task runs.

use std::sync::Arc;

use cis_core::event::Uploaded;
use cis_core::federation::transfer::FileList;
use cis_core::identity::Right;
use cis_local::now_ms;

use super::TransferError;
use super::share::all_here;
use crate::cache::{self, Cache, Entry, RoomKey, Vouched};
use crate::file_jobs::{CachedResult, Lookup};
use crate::files::{FilesError, Stop};
use crate::node::Node;

impl Node {
    /// The result that a task of a room may use instead of running.
    ///
    /// # Errors
    /// It was stopped.
    pub(super) async fn cached(
        &self,
        key: &RoomKey,
        lookup: &Lookup,
        stop: &Stop,
    ) -> Result<Option<CachedResult>, TransferError> {
        let (cache, key) = (Cache::new(&self.home.dir), key.entry());
        let (reading, wanted) = (cache.clone(), key.clone());
        let read = tokio::task::spawn_blocking(move || reading.read(&wanted));
        let entry = match read.await.map_err(|_| TransferError::Panicked)? {
            Ok(Some(entry)) if entry.is_fresh(lookup.ttl_ms, now_ms()) => entry,
            Ok(_) => return Ok(None),
            Err(error) => {
                cache::unusable(&cache, &key, &error);
                return Ok(None);
            }
        };
        let Some(vouched) = entry.vouched.as_deref().filter(|vouched| self.is_vouched(vouched)) else {
            return Ok(None);
        };
        match self.revived(&entry, vouched, lookup, stop).await {
            Ok(cached) => {
                let used =
                    tokio::task::spawn_blocking(move || note_use(&cache, entry, &cached).map(|()| cached));
                Ok(used.await.map_err(|_| TransferError::Panicked)?.ok())
            }
            Err(TransferError::Files(FilesError::Stopped)) => Err(FilesError::Stopped.into()),
            Err(error) if is_lost(&error) => {
                cache::discard(&cache, &key, &error.to_string());
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(key, %error, "a cached result cannot be used now: the task runs");
                Ok(None)
            }
        }
    }

    /// Whether the nodes that vouch for a result still may.
    fn is_vouched(&self, vouched: &Vouched) -> bool {
        self.members.may(&vouched.room, &vouched.worker, Right::Execute)
            && self.members.may(&vouched.room, &vouched.coordinator, Right::Coordinate)
    }

    async fn revived(
        &self,
        entry: &Entry,
        vouched: &Vouched,
        lookup: &Lookup,
        stop: &Stop,
    ) -> Result<CachedResult, TransferError> {
        if lookup.reads_output {
            self.fetch_output(vouched, stop).await?;
        }
        let (artifacts, files) = match &vouched.files {
            Some(uploaded) => {
                let list = self.list_at_hand(entry, (&vouched.room, uploaded), stop).await?;
                self.check_declared(Arc::new(list.clone()), Ok(lookup.globs.clone())).await?;
                self.fetch(&vouched.room, &list, None, stop, &|| {}).await?;
                let files = list.files.clone();
                (files, Some(self.shared_again(&vouched.room, list, uploaded, stop).await?))
            }
            None => (Vec::new(), None),
        };
        let (from, outputs, log) = (entry.from.clone(), entry.outputs.clone(), vouched.log.clone());
        Ok(CachedResult { from, outputs, artifacts, files, log })
    }

    /// Makes sure that texts can refer to the output of the task.
    async fn fetch_output(&self, vouched: &Vouched, stop: &Stop) -> Result<(), TransferError> {
        match &vouched.log {
            Some(log) => self.fetch_log(log, stop).await.map(drop),
            None if vouched.log_bytes == 0 => Ok(()),
            None => Err(TransferError::Missing { path: "the log".to_owned() }),
        }
    }

    /// The list of an entry, if the homeserver still has it, whatever is remembered of it: its parts are as old. Otherwise, and where the
    /// list was told whole, which says nothing of its parts, the files alone, if all of them are here.
    async fn list_at_hand(
        &self,
        entry: &Entry,
        (room, uploaded): (&str, &Uploaded),
        stop: &Stop,
    ) -> Result<FileList, TransferError> {
        let told = self.download_list(uploaded, stop).await;
        let is_gone = matches!(told, Err(TransferError::Gone));
        if is_gone {
            self.uploads.forget(room, uploaded);
        } else if FileList::inline(uploaded).is_none() {
            return told;
        }
        let (blobs, files) = (Arc::clone(&self.blobs), entry.artifacts.clone());
        let checked = tokio::task::spawn_blocking(move || {
            all_here(&blobs, &files).map(|here| (here && !files.is_empty(), files))
        });
        match checked.await.map_err(|_| TransferError::Panicked)?? {
            (true, files) => Ok(FileList { files, parts: Vec::new() }),
            (false, _) => told,
        }
    }

    /// The address of a list whose contents are here, for the tasks that need them. Contents that are not known to be in the room go
    /// up again: administrators have old media removed.
    async fn shared_again(
        &self,
        room: &str,
        list: FileList,
        uploaded: &Uploaded,
        stop: &Stop,
    ) -> Result<Uploaded, TransferError> {
        let is_there = !list.parts.is_empty() || list.contents().is_empty();
        let files = FileList { files: list.files, parts: Vec::new() };
        let list = self.share(room, files, stop).await?;
        if is_there && list.pack()?.0.sha256 == uploaded.sha256 {
            return Ok(uploaded.clone());
        }
        self.announce(room, list, stop).await
    }

    /// Keeps results of tasks for later ones. That one cannot be kept is no fault of its task.
    pub(crate) fn keep_results(&self, entries: &[Entry]) {
        let cache = Cache::new(&self.home.dir);
        for entry in entries {
            let is_vouched = entry.vouched.as_deref().is_some_and(|vouched| self.is_vouched(vouched));
            if let Err(error) = if is_vouched { cache.keep(entry) } else { Ok(()) } {
                tracing::warn!(key = entry.key, %error, "a result cannot be kept in the cache");
            }
        }
    }
}

/// The entry was of use. It names the contents from now on, which are here, and where they are in the room.
fn note_use(cache: &Cache, entry: Entry, cached: &CachedResult) -> std::io::Result<()> {
    let known = entry.vouched.as_ref().and_then(|vouched| vouched.files.as_ref());
    if entry.artifacts == cached.artifacts && known == cached.files.as_ref() {
        cache.touch(&entry.key);
        return Ok(());
    }
    let files = cached.files.clone();
    let vouched = entry.vouched.map(|vouched| Box::new(Vouched { files, ..*vouched }));
    cache.keep(&Entry { artifacts: cached.artifacts.clone(), vouched, ..entry })
}

/// Whether an entry is of no use any more: what it names is gone, or is not what it says.
fn is_lost(error: &TransferError) -> bool {
    matches!(
        error,
        TransferError::Gone
            | TransferError::NoPlace
            | TransferError::List(_)
            | TransferError::Undeclared { .. }
            | TransferError::Altered { .. }
            | TransferError::Missing { .. }
    )
}
