//! Looking after a home: removing what ended runs left, backups and restores, and a deep look.
//!
//! Owns what is more than the store: logs, blobs and leftovers together with the rows that refer to them.
//! Works beside a node or without one; only `auto` is a part of it.

mod archive;
pub(super) mod auto;
mod backup;
mod bring_back;
pub(crate) mod cancels;
mod clean;
mod deep;
mod error;
mod gone;
mod hold;
pub(crate) mod reserve;
mod rules;
mod stock;
mod unknown;

#[cfg(test)]
mod tests;

pub use backup::{BackupReport, backup};
pub use bring_back::{NotInBackup, RestoreReport, restore};
pub use clean::clean_without_node;
pub use deep::{DeepReport, deep_check};
pub use error::UpkeepError;
pub use gone::{HalfRestored, StoreGone, refuse_gone, refuse_half_restored};
pub use hold::is_busy;
pub use unknown::UnknownOwners;

/// How far something is, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// So many are done.
    pub done: u64,
    /// Of so many; none: not known.
    pub total: Option<u64>,
}
