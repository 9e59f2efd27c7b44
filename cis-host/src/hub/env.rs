//! What the sessions share of the hub's task: the way to the host, the time, and what is due in this turn.

use tokio::sync::mpsc;

use super::clock::{Clock, Wakes};
use super::sighting::HubNews;
use super::{Command, Limits, wire};
use crate::protocol::ToHost;
use cis_core::ids::SessionId;

/// What a session needs of the hub.
#[derive(Debug)]
pub(super) struct Env {
    /// To the host.
    pub(super) out: Vec<u8>,
    pub(super) limits: Limits,
    pub(super) own: mpsc::WeakUnboundedSender<Command>,
    /// Sessions with viewers that need a picture.
    pub(super) dirty: Vec<SessionId>,
    /// A model is there that is not saved and dropped yet.
    pub(super) models: bool,
    pub(super) clock: Clock,
    /// Sessions that the monitor is to look at in this turn.
    pub(super) judge: Vec<SessionId>,
    pub(super) wakes: Wakes,
    /// Found, and not told yet.
    pub(super) news: Vec<HubNews>,
}

impl Env {
    pub(super) fn say(&mut self, message: &ToHost) {
        wire::put_message(&mut self.out, message);
    }
}
