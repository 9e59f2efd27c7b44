//! Where a part of a list was uploaded, as the JSON that its list has.
//!
//! It stays the text that it came as: what a node reads from another one takes no more memory than its text.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::MEDIA_BYTES_MAX;

/// As the media in [`crate::event::Uploaded`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartMedia(Box<RawValue>);

impl PartMedia {
    /// Whether it is longer than any that a node writes.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.0.get().len() > MEDIA_BYTES_MAX
    }

    /// Whether the part is encrypted: its key is there.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.value().get("file").is_some()
    }

    /// What it says; null where that is nothing that can be read.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

impl From<&Value> for PartMedia {
    fn from(value: &Value) -> Self {
        Self(serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl PartialEq for PartMedia {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for PartMedia {}
