//! Envelopes in the memory of a process that runs several nodes, for measurements without a homeserver.
//!
//! Owns rooms in which nothing is kept but what nodes say of themselves. What is sent to a node that is not there is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc;

use super::carrier::{Announcement, Asking, Carrier, Device, Heard, Letter, Sending, Trouble};
use crate::node::Node;

/// The rooms of a process. Copies are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Rooms(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By room and user.
    announced: BTreeMap<String, BTreeMap<String, Box<RawValue>>>,
    /// Files by their names.
    files: BTreeMap<String, Vec<u8>>,
    /// By user.
    inboxes: BTreeMap<String, mpsc::UnboundedSender<Heard>>,
}

impl Rooms {
    /// Keeps a file, and gives its name.
    pub(crate) fn keep(&self, bytes: Vec<u8>) -> String {
        let mut state = self.state();
        let name = format!("memory:{}", state.files.len());
        state.files.insert(name.clone(), bytes);
        name
    }

    /// A file by its name.
    pub(crate) fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.state().files.get(name).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One node's end.
pub(super) struct Memory {
    rooms: Rooms,
    own: Device,
    inbox: mpsc::UnboundedReceiver<Heard>,
}

impl Carrier for Memory {
    async fn open(node: &Node) -> Result<Self, Trouble> {
        let rooms = node.rooms_in_memory.clone().unwrap_or_default();
        // Nobody else has its key.
        let own = Device { user: node.did.0.clone(), device: String::new() };
        let (to_own, inbox) = mpsc::unbounded_channel();
        rooms.state().inboxes.insert(own.user.clone(), to_own);
        Ok(Self { rooms, own, inbox })
    }

    fn own(&self) -> &Device {
        &self.own
    }

    fn be_urgent(&self, _: bool) {}

    async fn resolve(&self, name: &str) -> Result<String, Trouble> {
        Ok(name.to_owned())
    }

    async fn announce(&self, room: &str, _: &str, content: Value) -> Result<bool, Trouble> {
        let Ok(content) = to_raw_value(&content) else { return Ok(true) };
        let mut state = self.rooms.state();
        let of_room = state.announced.entry(room.to_owned()).or_default();
        of_room.insert(self.own.user.clone(), content.clone());
        let announcement = Announcement { sender: self.own.user.clone(), content };
        for inbox in state.inboxes.values() {
            let _ = inbox.send(Heard::Announced(room.to_owned(), announcement.clone()));
        }
        Ok(true)
    }

    async fn announced(&self, room: &str) -> Result<Vec<Announcement>, Trouble> {
        let state = self.rooms.state();
        let of_room = state.announced.get(room).into_iter().flatten();
        Ok(of_room
            .map(|(sender, content)| Announcement { sender: sender.clone(), content: content.clone() })
            .collect())
    }

    fn is_member(&self, room: &str, user: &str) -> Asking {
        let is_member = self.rooms.state().announced.get(room).is_some_and(|of| of.contains_key(user));
        Box::pin(std::future::ready(is_member))
    }

    async fn hear(&mut self) -> Result<Vec<Heard>, Trouble> {
        let first =
            self.inbox.recv().await.ok_or_else(|| Trouble::Away("another node has its key".to_owned()))?;
        let mut heard = vec![first];
        while let Ok(next) = self.inbox.try_recv() {
            heard.push(next);
        }
        Ok(heard)
    }

    fn send(&self, to: Device, kind: String, content: Value) -> Sending {
        let (rooms, sender) = (self.rooms.clone(), self.own.user.clone());
        Box::pin(async move {
            let Ok(content) = to_raw_value(&content) else { return };
            let letter = Letter { sender, device: Some(String::new()), kind, content };
            if let Some(inbox) = rooms.state().inboxes.get(&to.user) {
                let _ = inbox.send(Heard::Letter(letter));
            }
        })
    }
}
