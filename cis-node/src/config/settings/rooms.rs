//! `[dag]` and `[matrix]`: whether rooms follow runs, which ones, and who may do what there.

use std::path::PathBuf;

use cis_core::event::ExecutionMode;
use cis_core::people::{Carriers, Roles};

/// `[dag]`: how runs are executed where nobody says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DagSettings {
    /// Local, or hybrid: a room follows them.
    pub default_mode: ExecutionMode,
    /// The room that follows them: an id, an alias or a link.
    pub room_id: Option<String>,
    /// `[dag.matrix]`.
    pub matrix: DagMatrix,
}

impl Default for DagSettings {
    fn default() -> Self {
        Self { default_mode: ExecutionMode::Local, room_id: None, matrix: DagMatrix::default() }
    }
}

/// `[dag.matrix]`: how rooms follow runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DagMatrix {
    /// Rooms may follow runs at all.
    pub enabled: bool,
    /// A room is made where none is named.
    pub auto_create_room: bool,
    /// Changes within so long are told together, ms.
    pub broadcast_interval_ms: u32,
    /// Name of that room.
    pub room_name: String,
    /// Users who are invited to it.
    pub invite: Vec<String>,
    /// What is said in it is encrypted.
    pub encrypted: bool,
    /// Types of small events that are sent beside the journal.
    pub events: Vec<String>,
    /// Whom a failed run rings for.
    pub failure_mentions: Vec<String>,
}

/// `[matrix]`: what people in rooms can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatrixSettings {
    /// `[matrix.roles]`.
    pub roles: Roles,
    /// Rooms whose runs are only read.
    pub observe: Vec<String>,
    /// `!cis run` knows the DAG files below these.
    pub run_dirs: Vec<PathBuf>,
    /// Older commands do nothing, ms.
    pub command_age_ms: u64,
    /// The same of answers.
    pub answer_age_ms: u64,
    /// So long after its end a run is followed by its room, ms.
    pub ended_age_ms: u64,
    /// Admins may let nodes into an encrypted room by a command there.
    pub trust_in_rooms: bool,
    /// What counts in encrypted rooms.
    pub carriers: Carriers,
}
