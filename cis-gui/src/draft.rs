//! A run before it is one: the folder in which somebody looks for a file, what the file says, and what is asked of the
//! node. Values alone; [`crate::feed`] reads and sends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cis_core::dag::Dag;
use cis_core::ids::InputId;

/// A folder, as somebody looks into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its absolute path.
    pub path: PathBuf,
    /// Folders in it, by name.
    pub folders: Vec<String>,
    /// Files in it that may be DAG files (`*.toml`), by name.
    pub files: Vec<String>,
    /// There are more than are shown.
    pub more: bool,
}

/// A DAG file that can be run.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its absolute path.
    pub path: PathBuf,
    /// What it says.
    pub dag: Arc<Dag>,
}

/// A run that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// The file; it is read again when the run is made of it.
    pub path: PathBuf,
    /// Directory in which the tasks start, absolute.
    pub workdir: String,
    /// Values as they were typed.
    pub params: BTreeMap<String, String>,
    /// A room that follows it. None: nobody else hears of it; empty: the configured one.
    pub room: Option<String>,
    /// It is started at once.
    pub start: bool,
    /// No result of an earlier run is taken from the cache.
    pub no_cache: bool,
    /// Sent twice with the same file, it is one run.
    pub input: InputId,
}
