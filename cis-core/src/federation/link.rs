//! The chain of a journal: what each entry's hash is made of.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{Epoch, RunId};

/// Hash of an entry with all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryHash(pub [u8; 32]);

/// Where a journal is: its newest entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The coordinator's term.
    pub epoch: Epoch,
    /// Number of the entry; goes on across terms.
    pub n: u64,
    /// Its hash.
    pub head: EntryHash,
}

impl Position {
    /// Before the first entry of a run.
    #[must_use]
    pub fn start(run: RunId) -> Self {
        let text = format!(r#"{{"run":"{run}","type":"cis.dag.run.journal"}}"#);
        Self { epoch: 0, n: 0, head: EntryHash(Sha256::digest(text).into()) }
    }

    /// After the entry `n + 1`, whose canonical JSON is `entry`, written in the term `epoch`.
    #[must_use]
    pub fn after(&self, run: RunId, epoch: Epoch, entry: &str) -> Self {
        let n = self.n + 1;
        // Canonical JSON of these five, without a copy of the entry.
        let mut hash = Sha256::new();
        hash.update(r#"{"entry":"#);
        hash.update(entry);
        hash.update(format!(r#","epoch":{epoch},"n":{n},"prev":"{}","run":"{run}"}}"#, self.head));
        Self { epoch, n, head: EntryHash(hash.finalize().into()) }
    }
}

impl std::fmt::Display for EntryHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for EntryHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        let lower = text.bytes().all(|b| !b.is_ascii_uppercase());
        match hex::decode_to_slice(&text, &mut bytes) {
            Ok(()) if lower => Ok(Self(bytes)),
            _ => Err(serde::de::Error::custom("a hash has 64 hex digits in lower case")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::identity::canonical_json;

    #[test]
    fn a_hash_is_that_of_canonical_json() {
        let run = RunId::from_parts(1, 2);
        let start = Position::start(run);
        let first = canonical_json(&json!({"type": "cis.dag.run.journal", "run": run})).unwrap();
        assert_eq!(start.head, EntryHash(Sha256::digest(first).into()));
        let entry = json!({"v": 1, "body": {}});
        let next = start.after(run, 3, &canonical_json(&entry).unwrap());
        let whole = json!({"run": run, "epoch": 3, "n": 1, "prev": start.head, "entry": entry});
        assert_eq!(next.head, EntryHash(Sha256::digest(canonical_json(&whole).unwrap()).into()));
        assert_eq!((next.epoch, next.n), (3, 1));
    }
}
