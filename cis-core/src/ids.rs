//! Names of things: runs, sessions, tasks, attempts, and the counters that order them.
//!
//! Owns how each is written and parsed, and nothing else: ids are made by whoever has a clock
//! and randomness, and are passed in.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use ulid::Ulid;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A ULID: Crockford's base 32, of 128 bits.
const ULID_PATTERN: &str = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$";

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not a ULID (26 characters of Crockford's base 32).
    #[error("`{0}` is not an id: expected 26 characters such as 01JD0V3Z8K6T9W2B5N7Q4R1XEC")]
    NotUlid(String),
    /// The text is not a task id.
    #[error("`{0}` is not a task id: use 1 to 64 of a-z, 0-9, `_` and `-`")]
    NotTask(String),
    /// The text is not `run:task#n`.
    #[error("`{0}` is not an attempt id: expected RUN:TASK#N")]
    NotAttempt(String),
}

/// How an id that is a text stands in the API's description: what it is, its pattern, one of its kind.
macro_rules! text_id {
    ($name:ident, $words:expr, $pattern:expr, $example:expr) => {
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some($words));
                text.pattern(Some($pattern)).examples([$example]).into()
            }
        }

        impl ToSchema for $name {}
    };
}

macro_rules! ulid_id {
    ($(#[doc = $doc:literal])* $name:ident) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Ulid);

        impl $name {
            /// The id made of a time (Unix, ms) and 80 random bits.
            #[must_use]
            pub fn from_parts(at_ms: u64, random: u128) -> Self {
                Self(Ulid::from_parts(at_ms, random))
            }

            /// The last six characters, in lower case: enough for a person to tell two apart.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string()[20..].to_ascii_lowercase()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Ulid::from_string(text).map(Self).map_err(|_| IdError::NotUlid(text.to_owned()))
            }
        }

        text_id!($name, concat!($($doc),*, " A ULID.").trim(), ULID_PATTERN, "01JD0V3Z8K6T9W2B5N7Q4R1XEC");
    };
}

ulid_id!(
    /// One execution of a DAG.
    RunId
);
ulid_id!(
    /// The process of an attempt with its whole tree, or one that was created alone.
    SessionId
);
ulid_id!(
    /// One input to the system: a request, an answer. The same id counts once.
    InputId
);
ulid_id!(
    /// One life of a session host: sessions of another instance are gone.
    HostInstance
);
ulid_id!(
    /// A token of the API over TCP: what is told of it, in place of the token itself.
    TokenId
);

impl InputId {
    /// None was given: the request counts each time that it is sent.
    pub const NONE: Self = Self(Ulid(0));

    /// The same for the same text, for ever. It names no time.
    #[must_use]
    pub fn hashed(text: &str) -> Self {
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::digest(text.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self(Ulid::from_bytes(id))
    }
}

impl Default for InputId {
    fn default() -> Self {
        Self::NONE
    }
}

/// The name of a task: 1 to 64 of `a-z`, `0-9`, `_`, `-`; a foreach item adds `.N`, a spawned child `_tN`.
/// Copies share their text: a task is named in many places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// Checks and takes the name.
    ///
    /// # Errors
    /// [`IdError::NotTask`] where it is empty, too long, or has another character.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) || text.starts_with('.') {
            return Err(IdError::NotTask(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `task`, or an item of it (`task.1`, `task.2` …).
    #[must_use]
    pub fn is_or_is_item_of(&self, task: &Self) -> bool {
        match self.0.strip_prefix(&*task.0) {
            Some("") => true,
            Some(rest) => {
                let number = rest.strip_prefix('.').unwrap_or_default();
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            }
            None => false,
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for TaskId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

/// It is ordered and hashed as its text.
impl Borrow<str> for TaskId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl TryFrom<String> for TaskId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.as_str().to_owned()
    }
}

/// One try of a task, written `RUN:TASK#N` with N from 1. Starting is idempotent by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttemptId {
    /// The run.
    pub run: RunId,
    /// The task in it.
    pub task: TaskId,
    /// Which try, from 1. Lost tries count here, though not against `retries`.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}#{}", self.run, self.task, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::NotAttempt(text.to_owned());
        let (run, rest) = text.split_once(':').ok_or_else(bad)?;
        let (task, number) = rest.rsplit_once('#').ok_or_else(bad)?;
        let number = number.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?;
        Ok(Self { run: run.parse().map_err(|_| bad())?, task: TaskId::new(task)?, number })
    }
}

impl TryFrom<String> for AttemptId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<AttemptId> for String {
    fn from(id: AttemptId) -> Self {
        id.to_string()
    }
}

/// A DID, such as `did:key:z6Mk…`: who a node is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeDid(pub String);

impl fmt::Display for NodeDid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Row of an event in this store. It never leaves the machine; streams resume by it.
pub type Offset = u64;

/// Raised by each grant of a task; a result under an older fence changes nothing.
pub type Fence = u64;

/// An item of the inbox, as people type it: six letters. Made of what the item is about, so that every
/// node calls it the same. Two of the many at a time may share one, rarely; then more must be said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InboxId(pub String);

impl InboxId {
    /// How long one is, letters.
    pub const LETTERS: usize = 6;

    /// Of a prompt of a session.
    #[must_use]
    pub fn of_prompt(session: SessionId, episode: u32) -> Self {
        Self::made_of("prompt", &[&session.to_string(), &episode.to_string()])
    }

    /// Of something that a session asked.
    #[must_use]
    pub fn of_ask(session: SessionId, ask: InputId) -> Self {
        Self::made_of("ask", &[&session.to_string(), &ask.to_string()])
    }

    /// Of the approval of a task that has waited for it since then (Unix ms).
    #[must_use]
    pub fn of_approval(run: RunId, task: &TaskId, since_ms: TimestampMs) -> Self {
        Self::made_of("approval", &[&run.to_string(), task.as_str(), &since_ms.to_string()])
    }

    /// The one name that an item shares with no other: its letters, and whose it is (a session, or a run).
    #[must_use]
    pub fn name(&self, of: impl fmt::Display) -> String {
        format!("{self}@{of}")
    }

    fn made_of(what: &str, parts: &[&str]) -> Self {
        use sha2::{Digest as _, Sha256};
        let mut hash = Sha256::new();
        for part in std::iter::once(&what).chain(parts) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let letter = |byte: &u8| char::from(b'a' + byte % 26);
        Self(hash.finalize().iter().take(Self::LETTERS).map(letter).collect())
    }
}

impl fmt::Display for InboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Which coordinator's term of a run it is, from 0.
pub type Epoch = u32;

/// A point in time, Unix milliseconds.
pub type TimestampMs = i64;

/// A content-addressed file of this store: SHA-256 of its bytes, 64 hex characters; or a random
/// id of the same shape for bytes whose hash would tell their content (secret values).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(pub String);

impl BlobId {
    /// The name of this content.
    #[must_use]
    pub fn of(content: impl AsRef<[u8]>) -> Self {
        Self(hex::encode(Sha256::digest(content)))
    }

    /// Whether a text is one: 64 hexadecimal digits, in small letters.
    #[must_use]
    pub fn is_written_as(text: &str) -> bool {
        text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_id!(
    TaskId,
    "The name of a task; an item of `foreach` adds `.N`, a spawned child `_tN`.",
    "^[a-z0-9_-][a-z0-9_.-]{0,63}$",
    "build"
);
text_id!(
    AttemptId,
    "One try of a task: `RUN:TASK#N`, with N from 1.",
    "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}:[a-z0-9_-][a-z0-9_.-]{0,63}#[1-9][0-9]{0,9}$",
    "01JD0V3Z8K6T9W2B5N7Q4R1XEC:build#1"
);

text_id!(
    NodeDid,
    "A DID: who a node is.",
    "^did:[a-z0-9]+:[A-Za-z0-9._:%-]+$",
    "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
);
text_id!(InboxId, "An item of the inbox, as people type it: six letters.", "^[a-z]{6}$", "kqzmwd");
text_id!(
    BlobId,
    "A content-addressed file of this store: the SHA-256 of its bytes, or a random id of the same shape.",
    "^[0-9a-f]{64}$",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempt_ids_read_back_as_written() {
        let id = AttemptId {
            run: RunId::from_parts(1_700_000_000_000, 42),
            task: TaskId::new("build.1").unwrap(),
            number: 2,
        };
        assert_eq!(id.to_string().parse::<AttemptId>().unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<AttemptId>(&json).unwrap(), id);
    }

    #[test]
    fn task_names_refuse_what_a_shell_or_path_could_take_for_something_else() {
        for bad in ["", "A", "a b", "../x", ".hidden", "a/b", "ä", &"x".repeat(65)] {
            assert!(TaskId::new(bad).is_err(), "{bad:?}");
        }
    }
}
