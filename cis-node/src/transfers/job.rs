//! Doing what the driver wants about files of tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cis_core::event::{ArtifactRecord, Uploaded};
use cis_core::federation::transfer::{BadList, FileList};
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::TransferError;
use super::share::all_here;
use crate::account::Backoff;
use crate::artifacts::{self, Restore};
use crate::commands::Command;
use crate::file_jobs::{Done, Gift, Inputs, Job, Lookup, Prepared, Undone, Wants};
use crate::files::{FilesError, Stop};
use crate::logs;
use crate::node::Node;

/// A list is looked up no longer: its worker repeats its result.
const LIST_TIME_MAX: Duration = Duration::from_secs(60);

/// Shorter than blobs are kept that no run names.
const KEPT_FOR: Duration = Duration::from_secs(240);

/// Files of tasks of other nodes, and those that nodes get, are made as with this mask.
const UMASK: u32 = 0o022;

impl From<TransferError> for Undone {
    fn from(error: TransferError) -> Self {
        let detail = error.to_string();
        match error {
            TransferError::Files(FilesError::Stopped) => Self::Stopped,
            TransferError::Files(error) if error.is_shortage() => Self::Resources(detail),
            TransferError::Files(FilesError::Store(_)) => Self::Other(detail),
            // No other node could do what its lists ask for.
            TransferError::Files(_)
            | TransferError::List(BadList::TooLarge | BadList::Clash(_))
            | TransferError::ListTooLarge { .. } => Self::Task(detail),
            TransferError::Upload(error) | TransferError::Download(error) if error.is_passing() => {
                Self::Passing(detail)
            }
            TransferError::Account(_) | TransferError::Panicked | TransferError::Late => {
                Self::Passing(detail)
            }
            _ => Self::Other(detail),
        }
    }
}

impl Node {
    /// Does a job, and tells the driver if it waits for that.
    pub(crate) async fn carry(self: Arc<Self>, job: Job) {
        let done = match job {
            Job::Give { granted, room, gifts, inputs, lookup, stays, stop } => {
                let again = granted.attempt.number > 1;
                let given = async {
                    let _permit = self.job_permit(&stop).await?;
                    self.give(&room, (gifts, inputs), lookup.as_deref(), (stays, again), &stop).await
                };
                Done::Given(granted, given.await.map_err(Undone::from))
            }
            Job::Take { granted, room, uploaded, dir, staging, stop } => {
                let taken = async {
                    let _permit = self.job_permit(&stop).await?;
                    let list = self.list_of(&room, &uploaded, &stop).await?;
                    let placed = self.place(&room, &list, dir, staging, &stop).await;
                    if let Err(TransferError::Gone | TransferError::Download(_)) = &placed {
                        self.uploads.forget(&room, &uploaded);
                    }
                    placed
                };
                Done::Taken(granted, taken.await.map_err(Undone::from))
            }
            Job::Place { granted, room, gifts, dir, staging, stop } => {
                let again = granted.attempt.number > 1;
                let placed = async {
                    let _permit = self.job_permit(&stop).await?;
                    let list = Arc::new(self.merged(&room, gifts, again, &stop).await?);
                    self.place(&room, &list, dir, staging, &stop).await
                };
                Done::Placed(granted, placed.await.map_err(Undone::from))
            }
            Job::FetchLogs { granted, logs, stop } => {
                let fetched = async {
                    let _permit = self.job_permit(&stop).await?;
                    for log in &logs {
                        self.fetch_log(log, &stop).await?;
                    }
                    Ok::<_, TransferError>(())
                };
                Done::LogsFetched(granted, fetched.await.map_err(Undone::from))
            }
            Job::Share { granted, room, files, stop } => {
                let list = FileList { files, parts: Vec::new() };
                let shared = async {
                    let mut backoff = Backoff::default();
                    loop {
                        let shared = async {
                            let _permit = self.job_permit(&stop).await?;
                            let list = self.share(&room, list.clone(), &stop).await?;
                            self.announce(&room, list, &stop).await
                        };
                        match shared.await.map_err(Undone::from) {
                            // The task has done its work.
                            Err(Undone::Passing(why) | Undone::Resources(why)) => {
                                tracing::debug!(attempt = %granted.attempt, why, "files cannot be uploaded yet");
                                if stop.or(tokio::time::sleep(backoff.after_own_failure())).await.is_err() {
                                    return Err(Undone::Stopped);
                                }
                            }
                            done => return done,
                        }
                    }
                };
                let shared = self.keeping(list.files.clone(), shared).await;
                Done::Shared(granted, shared)
            }
            Job::Keep(entry) => {
                let node = Arc::clone(&self);
                // What a thread that panics leaves out is a miss later.
                let _ = tokio::task::spawn_blocking(move || node.keep_results(&[*entry])).await;
                return;
            }
            Job::Ahead(content) => {
                if let Err(error) = self.upload_ahead(content).await {
                    tracing::debug!(%error, "a file is not uploaded while it is read");
                }
                return;
            }
            Job::Logs { room, run, ended } => {
                let without = ended.iter().map(|(granted, _)| (granted.clone(), None)).collect();
                let (node, to) = (Arc::clone(&self), room.clone());
                let shared = tokio::spawn(async move { node.share_logs(&to, ended).await }).await;
                let logs = shared.unwrap_or(without);
                Done::Logged { room, run, logs }
            }
            Job::Hide { run, logs } => {
                let hidden = tokio::task::spawn_blocking(move || {
                    logs.iter().try_for_each(|log| logs::hide_secrets(log))
                });
                let is_done = match hidden.await {
                    Ok(Ok(())) => true,
                    Ok(Err(error)) => {
                        tracing::warn!(%run, %error, "the secrets in the logs of another node's run are not removed yet");
                        false
                    }
                    Err(_) => false,
                };
                Done::Hidden { run, is_done }
            }
            Job::List { room, from, message, uploaded, globs } => {
                let listing = async {
                    let _permit = self.uploads.look_ups.acquire().await;
                    let list = self.list_of(&room, &uploaded, &Stop::default()).await?;
                    self.check_declared(Arc::clone(&list), globs).await?;
                    Ok(list)
                };
                let listed = timeout(LIST_TIME_MAX, listing).await;
                let list = listed.unwrap_or(Err(TransferError::Late)).map_err(Undone::from);
                Done::Listed { room, from, message, list }
            }
        };
        self.driver.tell(Command::Files(Box::new(done)));
    }

    pub(super) async fn job_permit(&self, stop: &Stop) -> Result<SemaphorePermit<'_>, TransferError> {
        stop.or(self.uploads.jobs.acquire()).await?.map_err(|_| TransferError::Panicked)
    }

    /// Waits for something, while the contents of these files stay in the blobs although no run names them yet.
    async fn keeping<T>(&self, files: Vec<ArtifactRecord>, work: impl Future<Output = T>) -> T {
        let keep = async {
            let files = Arc::new(files);
            loop {
                tokio::time::sleep(KEPT_FOR).await;
                let (blobs, files) = (Arc::clone(&self.blobs), Arc::clone(&files));
                // One that is missing is missed by the work itself.
                let _ = tokio::task::spawn_blocking(move || all_here(&blobs, &files)).await;
            }
        };
        tokio::select! {
            done = work => done,
            never = keep => never,
        }
    }

    async fn give(
        &self,
        room: &str,
        (gifts, inputs): (Vec<Gift>, Option<Inputs>),
        lookup: Option<&Lookup>,
        (stays, again): (bool, bool),
        stop: &Stop,
    ) -> Result<Prepared, TransferError> {
        let mut lists = Vec::new();
        if let Some(Inputs { dir, globs }) = inputs {
            let (blobs, transfers, stop) = (Arc::clone(&self.blobs), Arc::clone(&self.uploads), stop.clone());
            let read = tokio::task::spawn_blocking(move || {
                artifacts::collect_inputs(&dir, &globs, &blobs, &transfers.inputs, &stop)
            });
            lists.push(FileList {
                files: read.await.map_err(|_| TransferError::Panicked)??,
                parts: Vec::new(),
            });
        }
        let uploaded = gifts.iter().find_map(|gift| gift.uploaded.clone());
        // What a task made is newer than what the submitter has.
        lists.push(self.merged(room, gifts, again, stop).await?);
        let all = FileList::merged(lists)?;
        let key = lookup.map(|lookup| lookup.recipe.finish(&all.files));
        if let (Some(lookup), Some(key)) = (lookup.filter(|lookup| lookup.wants == Wants::Result), &key) {
            let looking = self.cached(key, lookup, stop);
            if let Some(cached) = self.keeping(all.files.clone(), looking).await? {
                return Ok(Prepared::Cached(Box::new(cached)));
            }
        }
        let is_empty = all.files.is_empty();
        let list = if is_empty { None } else { Some(self.given(room, all, uploaded, stays, stop).await?) };
        Ok(Prepared::Files(list, key))
    }

    /// Where a node of a room gets the list of what its task gets.
    async fn given(
        &self,
        room: &str,
        all: FileList,
        uploaded: Option<Uploaded>,
        stays: bool,
        stop: &Stop,
    ) -> Result<Uploaded, TransferError> {
        if stays && all_here(&self.blobs, &all.files)? {
            return self.announce_here(room, all.files);
        }
        // Often a task needs the files of one other task: their list is there.
        if let Some(uploaded) = uploaded
            && all.pack()?.0.sha256 == uploaded.sha256
        {
            return Ok(uploaded);
        }
        // Contents that came from other nodes are in the room already, and need not be here.
        let list = self.keeping(all.files.clone(), self.share(room, all, stop)).await?;
        self.announce(room, list, stop).await
    }

    /// What tasks left as one list. Later ones count. `again`: the homeserver may not have all of it any more.
    async fn merged(
        &self,
        room: &str,
        gifts: Vec<Gift>,
        again: bool,
        stop: &Stop,
    ) -> Result<FileList, TransferError> {
        let mut lists = Vec::new();
        for gift in gifts {
            let is_named = gift.files.iter().all(|file| !file.blob.0.is_empty());
            if again && is_named && all_here(&self.blobs, &gift.files)? {
                let list = FileList { files: gift.files, parts: Vec::new() };
                if let Some(globs) = gift.globs {
                    self.check_declared(Arc::new(list.clone()), globs).await?;
                }
                lists.push(list);
                continue;
            }
            match &gift.uploaded {
                Some(uploaded) => {
                    let list = self.list_of(room, uploaded, stop).await?;
                    if let Some(globs) = gift.globs {
                        self.check_declared(Arc::clone(&list), globs).await?;
                    }
                    lists.push((*list).clone());
                }
                None if is_named => lists.push(FileList { files: gift.files, parts: Vec::new() }),
                None => {
                    let path = gift.files.into_iter().next().map(|file| file.path).unwrap_or_default();
                    return Err(TransferError::Missing { path });
                }
            }
        }
        Ok(FileList::merged(lists)?)
    }

    /// Whether the files of a list are those that its task was to leave.
    pub(super) async fn check_declared(
        &self,
        list: Arc<FileList>,
        globs: Result<Vec<String>, String>,
    ) -> Result<(), TransferError> {
        let globs = globs.map_err(TransferError::Globs)?;
        let checked = tokio::task::spawn_blocking(move || {
            artifacts::undeclared(&list.files, &globs).map(|path| path.map(str::to_owned))
        });
        match checked.await.map_err(|_| TransferError::Panicked)?? {
            Some(path) => Err(TransferError::Undeclared { path }),
            None => Ok(()),
        }
    }

    /// Puts the files of a list below `dir`, all or none, and fetches those contents that are not here.
    async fn place(
        &self,
        room: &str,
        list: &Arc<FileList>,
        dir: PathBuf,
        staging: String,
        stop: &Stop,
    ) -> Result<(), TransferError> {
        let (files, stopped) = (Arc::clone(list), stop.clone());
        let begin = move || Restore::begin(&dir, &files.files, UMASK, staging, &stopped);
        let begun = tokio::task::spawn_blocking(begin).await.map_err(|_| TransferError::Panicked)??;
        let Some(begun) = self.fetch(room, list, Some(begun), stop, || {}).await? else { return Ok(()) };
        let blobs = Arc::clone(&self.blobs);
        let finish = move || begun.finish(&blobs);
        Ok(tokio::task::spawn_blocking(finish).await.map_err(|_| TransferError::Panicked)??)
    }
}
