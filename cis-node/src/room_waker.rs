//! Wakes the tasks of rooms.

use std::sync::Arc;

use tokio::sync::Notify;

/// Tells the tasks that something changed which events do not say: a room follows a run, somebody logged in.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoomWaker {
    pub(crate) tells: Arc<Notify>,
    pub(crate) listens: Arc<Notify>,
    pub(crate) observes: Arc<Notify>,
}

impl RoomWaker {
    pub(crate) fn wake(&self) {
        self.tells.notify_one();
        self.listens.notify_one();
        self.observes.notify_one();
    }
}
