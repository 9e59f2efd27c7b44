//! What is to be done about files of tasks on their way between nodes, and what came of it.
//!
//! Plain values between the driver and those who move files (`transfers`).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, oneshot, watch};

use cis_core::event::{ArtifactRecord, OutputRecord, Uploaded, UploadedLog};
use cis_core::federation::direct::TaskPayload;
use cis_core::federation::protocol::message::{Granted, Message};
use cis_core::federation::transfer::FileList;
use cis_core::ids::{BlobId, NodeDid, RunId, SessionId};

use crate::cache::{Entry, RoomKey, RoomRecipe};
use crate::files::Stop;

/// What a task left that another one needs.
#[derive(Debug)]
pub(crate) struct Gift {
    /// Contents that are not named are in the list alone.
    pub(crate) files: Vec<ArtifactRecord>,
    /// The list, where the files were uploaded.
    pub(crate) uploaded: Option<Uploaded>,
    /// What its worker was to leave: a list with anything else is not used. None: nothing is to be checked.
    pub(crate) globs: Option<Result<Vec<String>, String>>,
}

/// Files of the submitter that a task gets.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) dir: PathBuf,
    pub(crate) globs: Vec<String>,
}

/// How a task that goes to a node of a room uses the cache.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) recipe: RoomRecipe,
    /// What the task is to leave.
    pub(crate) globs: Vec<String>,
    /// Older results are not used, ms.
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) wants: Wants,
    /// Texts of other tasks refer to its output.
    pub(crate) reads_output: bool,
}

/// What a task wants of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// An earlier result; without one, its own is kept.
    Result,
    /// That its own is kept.
    Nothing,
}

/// What an attempt has before it starts.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// The list of its files; none: it gets none. Its result is kept under the key.
    Files(Option<Uploaded>, Option<RoomKey>),
    /// It need not start.
    Cached(Box<CachedResult>),
}

/// A result of an earlier attempt. The contents of its files are here.
#[derive(Debug)]
pub(crate) struct CachedResult {
    /// That attempt.
    pub(crate) from: String,
    pub(crate) outputs: BTreeMap<String, OutputRecord>,
    pub(crate) artifacts: Vec<ArtifactRecord>,
    pub(crate) files: Option<Uploaded>,
    pub(crate) log: Option<UploadedLog>,
}

/// A content that is being read into the blobs. Its parts go up as they are written.
#[derive(Debug)]
pub(crate) struct GrowingContent {
    pub(crate) room: String,
    /// The file of the blob.
    pub(crate) file: File,
    /// Its bytes so far. All of them are there when the sender is gone.
    pub(crate) written: watch::Receiver<u64>,
    pub(crate) whole: oneshot::Receiver<WholeContent>,
    pub(crate) stop: Stop,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// What such a content has become.
#[derive(Debug)]
pub(crate) struct WholeContent {
    pub(crate) blob: BlobId,
    pub(crate) size: u64,
    /// Nobody else uploads it.
    pub(crate) turn: OwnedMutexGuard<()>,
}

/// What is wanted. Each is stopped by its [`Stop`], and answered by the [`Done`] of its name if there is one.
#[derive(Debug)]
pub(crate) enum Job {
    /// A list of what a task gets, with its contents where the task runs on another node; or an earlier result.
    Give {
        granted: Granted,
        room: String,
        gifts: Vec<Gift>,
        inputs: Option<Inputs>,
        lookup: Option<Box<Lookup>>,
        stays: bool,
        stop: Stop,
    },
    /// The result of a task for later ones. Nobody waits for it.
    Keep(Box<Entry>),
    /// The files of a list, in an empty directory.
    Take { granted: Granted, room: String, uploaded: Uploaded, dir: PathBuf, staging: String, stop: Stop },
    /// The same of what tasks on other nodes left, in the directory of the submitter.
    Place { granted: Granted, room: String, gifts: Vec<Gift>, dir: PathBuf, staging: String, stop: Stop },
    /// Logs of other nodes, in the blobs.
    FetchLogs { granted: Granted, logs: Vec<UploadedLog>, stop: Stop },
    /// The list of what a task left, with its contents.
    Share { granted: Granted, room: String, files: Vec<ArtifactRecord>, stop: Stop },
    /// A content of files that are being collected. Nobody waits for it.
    Ahead(GrowingContent),
    /// The logs of attempts of a run that ended here. It does not take long, whatever happens.
    Logs { room: String, run: RunId, ended: Vec<(Granted, SessionId)> },
    /// Logs of ended attempts of another node's run, without the secrets that they show.
    Hide { run: RunId, logs: Vec<PathBuf> },
    /// Which files the result of a worker tells of.
    List {
        room: String,
        from: NodeDid,
        message: Box<Message<TaskPayload>>,
        uploaded: Uploaded,
        globs: Result<Vec<String>, String>,
    },
}

/// Why a job was not done.
#[derive(Debug)]
pub(crate) enum Undone {
    Stopped,
    /// The task asked for what cannot be.
    Task(String),
    /// This node is short of something.
    Resources(String),
    /// It may go well at another time.
    Passing(String),
    /// The files cannot be had. It is no fault of the task.
    Other(String),
}

/// What came of a job.
#[derive(Debug)]
pub(crate) enum Done {
    Given(Granted, Result<Prepared, Undone>),
    Taken(Granted, Result<(), Undone>),
    LogsFetched(Granted, Result<(), Undone>),
    Placed(Granted, Result<(), Undone>),
    Shared(Granted, Result<Uploaded, Undone>),
    Logged {
        room: String,
        run: RunId,
        logs: Vec<(Granted, Option<UploadedLog>)>,
    },
    Hidden {
        run: RunId,
        is_done: bool,
    },
    Listed {
        room: String,
        from: NodeDid,
        message: Box<Message<TaskPayload>>,
        list: Result<Arc<FileList>, Undone>,
    },
}
