//! The lines of an export: one JSON document each.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::federation::base64_bytes;
use crate::ids::{RunId, TimestampMs};

/// What the first line says that it is.
pub const FORMAT: &str = "cis.dag.export";
/// The version of the format.
pub const VERSION: u32 = 1;

/// A line. The first one is a [`Line::Header`], the last one a [`Line::End`]; between them stand the events of the room in
/// the order of its timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "line")]
pub enum Line {
    /// What the file is about.
    Header {
        /// [`FORMAT`].
        format: String,
        /// [`VERSION`].
        v: u32,
        /// The room.
        room: String,
        /// The run.
        run: RunId,
        /// When the file was made, Unix ms.
        made_ms: TimestampMs,
    },
    /// An event of the room: what owners said, changes of keys, the journal of the run.
    Event {
        /// `$…`.
        id: String,
        /// Its type.
        #[serde(rename = "type")]
        type_name: String,
        /// The account that sent it.
        sender: String,
        /// The signed envelope.
        content: Value,
    },
    /// The file that the event before it names, decrypted.
    File {
        /// Its bytes, base64.
        #[serde(with = "base64_bytes")]
        data: Vec<u8>,
    },
    /// The file that the event before it names could not be read.
    NoFile {
        /// Why.
        why: String,
    },
    /// Nothing is missing at the end of the file.
    End {
        /// How many events stand before it.
        events: u64,
        /// SHA-256 of all lines before it, hexadecimal: it finds damage also where no signature does.
        sha256: String,
    },
}

impl Line {
    /// The end of a file with these lines, and so many events.
    #[must_use]
    pub fn end(lines: &str, events: u64) -> Self {
        Self::End { events, sha256: hex::encode(Sha256::digest(lines)) }
    }

    /// As it stands in the file.
    #[must_use]
    pub fn encode(&self) -> String {
        // Plain structs with text keys: they have JSON.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}
