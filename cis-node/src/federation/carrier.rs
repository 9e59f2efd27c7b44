//! What carries the signed envelopes of nodes: to all of a room, or to one of them.
//!
//! Owns the seam between the task that talks to other nodes and what it talks through. A carrier may lose, repeat and reorder
//! what it carries; whether an envelope counts is not its matter.

use std::pin::Pin;

use cis_matrix::MatrixError;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::account::AccountError;
use crate::node::Node;

/// Why nothing is heard for a while.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    #[error("the homeserver does not answer: {0}")]
    Away(String),
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) user: String,
    pub(super) device: String,
}

/// What a node says of itself to a room. Its sender is the carrier's word, its content anybody's.
#[derive(Debug, Clone)]
pub(super) struct Announcement {
    pub(super) sender: String,
    pub(super) content: Box<RawValue>,
}

/// An envelope to this node. Its sender is the carrier's word, its content anybody's.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) sender: String,
    /// The device that sent it, where the carrier knows.
    pub(super) device: Option<String>,
    pub(super) kind: String,
    pub(super) content: Box<RawValue>,
}

/// What came.
#[derive(Debug, Clone)]
pub(super) enum Heard {
    /// In this room.
    Announced(String, Announcement),
    Letter(Letter),
}

/// Something that is under way.
pub(super) type Sending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether something is so, once that is known.
pub(super) type Asking = Pin<Box<dyn Future<Output = bool> + Send>>;

/// See the module. Futures without an error are those of things that may be lost.
pub(super) trait Carrier: Sized + Send + Sync {
    /// Hears from now on.
    fn open(node: &Node) -> impl Future<Output = Result<Self, Trouble>> + Send;

    /// Where others send to.
    fn own(&self) -> &Device;

    /// Whether leases depend on how soon something is heard.
    fn be_urgent(&self, is_urgent: bool);

    /// The id of a room by its name.
    fn resolve(&self, name: &str) -> impl Future<Output = Result<String, Trouble>> + Send;

    /// Tells a room what this node says of itself, in place of what it said before. `id`: the same one is said once. Gives
    /// whether the room keeps it for those who come later.
    fn announce(
        &self,
        room: &str,
        id: &str,
        content: Value,
    ) -> impl Future<Output = Result<bool, Trouble>> + Send;

    /// What nodes said of themselves to a room.
    fn announced(&self, room: &str) -> impl Future<Output = Result<Vec<Announcement>, Trouble>> + Send;

    /// Whether an account has joined a room.
    fn is_member(&self, room: &str, user: &str) -> Asking;

    /// What comes next, in all rooms. Loses nothing where it is dropped before it is ready.
    fn hear(&mut self) -> impl Future<Output = Result<Vec<Heard>, Trouble>> + Send;

    /// Sends an envelope to a node. It may be lost.
    fn send(&self, to: Device, kind: String, content: Value) -> Sending;
}
