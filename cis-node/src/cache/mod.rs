//! The cache: results of successful tasks by what they were made from, below `HOME/cache`.
//!
//! Owns the keys of results, the entries, and what is removed when there are too many. `worker` looks up results of tasks that run here,
//! `transfers` those of tasks that go to nodes of a room, which have keys of their own (`room`). An entry names blobs; whoever removes
//! blobs asks [`living_blobs`] first. An entry that is damaged, or whose blobs are, is a miss and goes away: never half a result. One that
//! cannot be read now is a miss and stays.

mod entry;
mod inputs;
mod key;
mod noted;
mod room;
mod sweep;

use std::path::{Path, PathBuf};

pub(super) use entry::{Cache, Entry, EntryError, Vouched};
#[cfg(test)]
pub(super) use key::tests::spec as plain_spec;
pub(super) use key::{GivenPrompt, Recipe, recipe};
pub(super) use noted::NotedKey;
pub(super) use room::{Placed, RoomKey, RoomRecipe, Success};
pub use sweep::{Living, Swept, living_blobs, sweep};

/// Removes an entry that is damaged.
pub(super) fn discard(cache: &Cache, key: &str, why: &str) {
    tracing::warn!(key, why, "a cached result is damaged: it is removed, and the task runs");
    cache.remove(key);
}

/// An entry could not be read: removes it if it is damaged.
pub(super) fn unusable(cache: &Cache, key: &str, error: &EntryError) {
    match error {
        EntryError::Damaged(why) => discard(cache, key, why),
        EntryError::Unreadable(error) => {
            tracing::warn!(key, %error, "a cached result cannot be read now: it stays, and the task runs");
        }
    }
}

/// Where the entries of a home lie.
fn directory(home: &Path) -> PathBuf {
    home.join("cache")
}

#[cfg(test)]
pub(super) mod tests {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// Does `work` while nothing can be opened. (Each test is a process.)
    pub(crate) fn without_descriptors<T>(work: impl FnOnce() -> T) -> T {
        let before = getrlimit(Resource::Nofile);
        let none = Rlimit { current: Some(0), maximum: before.maximum };
        setrlimit(Resource::Nofile, none).unwrap();
        let done = work();
        setrlimit(Resource::Nofile, before).unwrap();
        done
    }
}
