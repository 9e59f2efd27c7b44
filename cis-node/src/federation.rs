//! The link to the other nodes of a room: messages to their devices, and theirs to ours.
//!
//! Owns this node's announcement in its rooms (`cis.dag.node.info`), at which devices the others are, and signatures. What is said is
//! the driver's matter. It may lose messages, as the protocol repeats what matters: nothing here is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cis_matrix::{DeviceMessage, MatrixError, RoomName};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, broadcast, mpsc};

use crate::account::{AccountError, Backoff, News, Opened};
use crate::commands::Command;
use crate::node::Node;
use crate::shared::Announced;
use cis_core::federation::direct::{self, TaskPayload};
use cis_core::federation::envelope::{Carrier, Draft, SIZE_MAX, Verified, verify};
use cis_core::federation::protocol::message::Message;
use cis_core::federation::steering::Steering;
use cis_core::identity::Standing;
use cis_core::ids::NodeDid;

/// Type of the state by which a node says at which device it is.
const INFO: &str = "cis.dag.node.info";

/// Characters of a name or a version.
const WORD_MAX: usize = 64;

/// Messages that wait to be sent; more are dropped, and repeated by those who need an answer.
const WAITING_MAX: usize = 4096;

/// Messages in one envelope, and bytes of them, at most. More than these wait for each other only while others are sent.
const TOGETHER_MAX: usize = 32;
const TOGETHER_BYTES_MAX: usize = 24 << 10;

/// Envelopes that are sent at a time.
const SENDING_MAX: usize = 8;

/// What the driver wants.
#[derive(Debug)]
enum Wish {
    /// This room, by its id or a name, is served from now on.
    Serve(String),
    /// Leases depend on what is known of a room, or do not any more.
    Urgent(bool),
    Send {
        room: String,
        to: NodeDid,
        message: Box<Message<TaskPayload>>,
    },
    Steer {
        room: String,
        to: NodeDid,
        said: Box<Steering>,
    },
}

/// The driver's end.
#[derive(Debug, Clone)]
pub(crate) struct Link(mpsc::Sender<Wish>);

/// The task's end.
pub(crate) struct LinkEnd(mpsc::Receiver<Wish>);

/// Both ends.
pub(crate) fn link() -> (Link, LinkEnd) {
    let (to_task, wishes) = mpsc::channel(WAITING_MAX);
    (Link(to_task), LinkEnd(wishes))
}

impl Link {
    /// Announces this node in a room, and hears the other nodes there. The driver is told once it does.
    pub(crate) fn serve(&self, room: &str) {
        // Full: nothing is sent for long, and the driver asks again with its next start.
        let _ = self.0.try_send(Wish::Serve(room.to_owned()));
    }

    /// Says whether leases depend on what is known of a room.
    pub(crate) fn be_urgent(&self, is_urgent: bool) {
        let _ = self.0.try_send(Wish::Urgent(is_urgent));
    }

    /// Sends a message. It may be lost.
    pub(crate) fn send(&self, room: &str, to: NodeDid, message: Message<TaskPayload>) {
        let _ = self.0.try_send(Wish::Send { room: room.to_owned(), to, message: Box::new(message) });
    }

    /// Sends something about steering. It may be lost.
    pub(crate) fn steer(&self, room: &str, to: NodeDid, said: Steering) {
        let _ = self.0.try_send(Wish::Steer { room: room.to_owned(), to, said: Box::new(said) });
    }
}

/// Why nothing is heard for a while.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    #[error("the homeserver does not answer: {0}")]
    Away(String),
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Device {
    user: String,
    device: String,
}

struct Task {
    node: Arc<Node>,
    wishes: mpsc::Receiver<Wish>,
    /// As they were named.
    named: BTreeSet<String>,
    /// Their ids.
    rooms: BTreeSet<String>,
    devices: BTreeMap<NodeDid, Device>,
    sending: Arc<Semaphore>,
    is_urgent: bool,
    /// Rooms, by their ids, for which this node executes tasks.
    works_in: BTreeSet<String>,
}

/// Starts the task. It asks no homeserver before a room is to be served.
pub(crate) fn start(node: Arc<Node>, end: LinkEnd) {
    let task = Task {
        node,
        wishes: end.0,
        named: BTreeSet::new(),
        rooms: BTreeSet::new(),
        devices: BTreeMap::new(),
        sending: Arc::new(Semaphore::new(SENDING_MAX)),
        is_urgent: false,
        works_in: BTreeSet::new(),
    };
    tokio::spawn(task.run());
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            while self.named.is_empty() {
                match self.wishes.recv().await {
                    Some(Wish::Serve(room)) => drop(self.named.insert(room)),
                    Some(Wish::Urgent(is_urgent)) => self.is_urgent = is_urgent,
                    Some(Wish::Send { .. } | Wish::Steer { .. }) => {}
                    None => return,
                }
            }
            match self.serve(&mut backoff).await {
                Ok(()) => return,
                Err(trouble) => {
                    tracing::warn!(%trouble, "other nodes are not heard");
                    tokio::time::sleep(backoff.after_own_failure()).await;
                }
            }
        }
    }

    /// Hears and tells until nobody wants it any more.
    async fn serve(&mut self, backoff: &mut Backoff) -> Result<(), Trouble> {
        let opened = self.node.matrix.open().await?;
        opened.feed.be_urgent(self.is_urgent);
        let mut news = opened.feed.subscribe();
        let mut trust = self.node.shared.trust.subscribe();
        trust.mark_unchanged();
        let mut members = self.node.members.subscribe();
        opened.feed.refresh().await?;
        self.rooms.clear();
        for name in self.named.clone() {
            self.enter(&opened, &name).await?;
        }
        loop {
            tokio::select! {
                wish = self.wishes.recv() => match wish {
                    Some(wish @ (Wish::Urgent(_) | Wish::Serve(_) | Wish::Steer { .. })) => self.obey(&opened, wish).await?,
                    Some(Wish::Send { room, to, message }) => {
                        let more = self.send_waiting(&opened, (room, to, *message)).await;
                        if let Some(wish) = more {
                            self.obey(&opened, wish).await?;
                        }
                    }
                    None => return Ok(()),
                },
                Ok(()) = trust.changed() => self.others_changed(&opened).await?,
                Ok(()) = members.changed() => self.others_changed(&opened).await?,
                said = news.recv() => match said {
                    Ok(News::Batch(batch, _)) => {
                        backoff.reset();
                        for said in &batch.rooms {
                            if self.rooms.contains(&said.room) {
                                for event in said.events.iter().filter(|event| event.kind == INFO) {
                                    self.learn(&said.room, &event.sender, event.content.get());
                                }
                            }
                        }
                        batch.messages.iter().for_each(|message| self.hear(message));
                    }
                    // Messages that passed by are repeated.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    // It is asked again, and what is sent meanwhile is repeated.
                    Ok(News::Away(_)) => {}
                    Ok(News::Over(error)) => return Err(error.into()),
                    Err(broadcast::error::RecvError::Closed) => return Err(Trouble::Away("its login ended".to_owned())),
                },
            }
        }
    }

    /// Announces this node in a room, and learns where the others are.
    async fn enter(&mut self, opened: &Opened, name: &str) -> Result<(), Trouble> {
        let parsed: RoomName = name.parse().map_err(|error: cis_matrix::RoomNameError| {
            MatrixError::BadInput { detail: error.to_string() }
        })?;
        let room = opened.client.resolve(parsed).await?;
        let (user, device) = (&opened.session.user, &opened.session.device);
        let own_name = crate::machine::name_in(&self.node.config.settings.federation);
        let settings = &self.node.config.settings.federation;
        if settings.room.as_deref() == Some(name) && settings.role.works() {
            self.works_in.insert(room.clone());
        }
        let body = json!({
            "device": device,
            "version": env!("CARGO_PKG_VERSION"),
            "name": own_name,
            "works": self.works_in.contains(&room),
        });
        let draft = Draft::of_room(INFO, body, ulid::Ulid::new(), &room, user);
        if let Ok(signed) = draft.sign(&self.node.keys.node, SIZE_MAX) {
            let content = signed.content();
            let announced = opened.client.send_state(&room, INFO, user, content.clone()).await;
            if let Err(MatrixError::Forbidden { .. }) = announced {
                // A room where it may not set state: the timeline says the same, to those who read it now.
                opened.client.send(&room, INFO, content, &draft.id.to_string()).await?;
            } else {
                announced?;
            }
        }
        for state in opened.client.state(&room, INFO).await? {
            self.learn(&room, &state.sender, state.content.get());
        }
        self.rooms.insert(room.clone());
        self.node.shared.served.send_if_modified(|served| served.insert(room.clone()));
        self.node.driver.tell(Command::RoomServed { name: name.to_owned(), room });
        Ok(())
    }

    /// Others are trusted than before: where they are was said already.
    async fn others_changed(&mut self, opened: &Opened) -> Result<(), Trouble> {
        for room in self.rooms.clone() {
            for state in opened.client.state(&room, INFO).await? {
                self.learn(&room, &state.sender, state.content.get());
            }
        }
        self.node.driver.tell(Command::NodeFound);
        Ok(())
    }

    /// Notes where a node says that it is.
    fn learn(&mut self, room: &str, sender: &str, content: &str) {
        let carrier = Carrier { room, type_name: INFO, sender: Some(sender) };
        let signed = serde_json::from_str(content).ok();
        if let Some(Ok(envelope)) = signed.map(|content| verify(&content, carrier, |_| Standing::Trusted)) {
            let word = |key| envelope.body().get(key).and_then(Value::as_str).map(short).unwrap_or_default();
            let announced = Announced {
                user: sender.to_owned(),
                name: word("name"),
                version: word("version"),
                is_idle: envelope.body().get("works") == Some(&Value::Bool(false)),
            };
            self.node.shared.announce(room, envelope.did().clone(), announced);
        }
        let Some(envelope) = self.verified(content, carrier) else { return };
        if let Some(device) = envelope.body().get("device").and_then(Value::as_str) {
            self.found(envelope.did(), sender, device);
        }
    }

    fn found(&mut self, did: &NodeDid, user: &str, device: &str) {
        let device = Device { user: user.to_owned(), device: device.to_owned() };
        if self.devices.insert(did.clone(), device.clone()) != Some(device) {
            self.node.driver.tell(Command::NodeFound);
        }
    }

    fn verified(&self, content: &str, carrier: Carrier<'_>) -> Option<Verified> {
        let content: Value = serde_json::from_str(content).ok()?;
        match verify(&content, carrier, |did| self.node.members.standing(carrier.room, did)) {
            Ok(envelope) if envelope.standing().is_obeyed() => Some(envelope),
            Ok(_) => None,
            Err(refused) => {
                tracing::debug!(%refused, "a message of a node is left out");
                None
            }
        }
    }

    fn hear(&mut self, message: &DeviceMessage) {
        let room = serde_json::from_str::<Value>(message.content.get())
            .ok()
            .and_then(|content| content.get("room")?.as_str().map(str::to_owned));
        let Some(room) = room.filter(|room| self.rooms.contains(room)) else { return };
        let carrier = Carrier { room: &room, type_name: &message.kind, sender: Some(&message.sender) };
        let Some(envelope) = self.verified(message.content.get(), carrier) else { return };
        let from = envelope.did().clone();
        if let Some(device) = &message.encryption.device {
            self.found(&from, &message.sender, device);
        }
        match Steering::read(&envelope) {
            Ok(None) => {}
            Ok(Some(said)) => return self.node.steered(&room, from, said),
            Err(why) => return tracing::debug!(%from, why, "a wish of a node cannot be read"),
        }
        match direct::read(&envelope) {
            Ok(messages) => {
                for message in messages {
                    let (room, from, message) = (room.clone(), from.clone(), Box::new(message));
                    self.node.driver.tell(Command::Federated { room, from, message });
                }
            }
            Err(why) => tracing::debug!(%from, why, "a message of a node cannot be read"),
        }
    }

    /// Does what the driver wants beside messages.
    async fn obey(&mut self, opened: &Opened, wish: Wish) -> Result<(), Trouble> {
        match wish {
            Wish::Serve(name) => {
                if self.named.insert(name.clone()) {
                    self.enter(opened, &name).await?;
                }
            }
            Wish::Urgent(is_urgent) => {
                self.is_urgent = is_urgent;
                opened.feed.be_urgent(is_urgent);
            }
            Wish::Send { room, to, message } => self.send(opened, &room, &to, &[*message]).await,
            Wish::Steer { room, to, said } => {
                self.send_draft(opened, &to, said.draft(&room, &opened.session.user)).await;
            }
        }
        Ok(())
    }

    /// Sends a message with all that wait behind it, those for one node together. Gives what waits behind them.
    async fn send_waiting(
        &mut self,
        opened: &Opened,
        (room, to, message): (String, NodeDid, Message<TaskPayload>),
    ) -> Option<Wish> {
        let mut waiting = vec![(room, to, vec![message])];
        let mut behind = None;
        while let Ok(wish) = self.wishes.try_recv() {
            let Wish::Send { room, to, message } = wish else {
                behind = Some(wish);
                break;
            };
            match waiting.iter_mut().find(|(of, whom, _)| *of == room && *whom == to) {
                Some((.., messages)) => messages.push(*message),
                None => waiting.push((room, to, vec![*message])),
            }
        }
        for (room, to, messages) in waiting {
            for part in parts(messages) {
                self.send(opened, &room, &to, &part).await;
            }
        }
        behind
    }

    async fn send(&self, opened: &Opened, room: &str, to: &NodeDid, messages: &[Message<TaskPayload>]) {
        let draft = direct::draft_all(messages, ulid::Ulid::new(), room, &opened.session.user);
        self.send_draft(opened, to, draft).await;
    }

    async fn send_draft(&self, opened: &Opened, to: &NodeDid, draft: Draft) {
        let Some(Device { user, device }) = self.devices.get(to).cloned() else {
            tracing::debug!(%to, "it is not known where a node is");
            return;
        };
        let signed = match draft.sign(&self.node.keys.node, SIZE_MAX) {
            Ok(signed) => signed,
            Err(error) => return tracing::warn!(%error, "a message to a node cannot be signed"),
        };
        let Ok(permit) = Arc::clone(&self.sending).acquire_owned().await else { return };
        let (client, kind) = (opened.client.clone(), draft.type_name);
        tokio::spawn(async move {
            if let Err(error) = client.send_to_device(&user, &device, &kind, &signed.content()).await {
                tracing::debug!(user, device, kind, %error, "a message to a node was not sent");
            }
            drop(permit);
        });
    }
}

/// What somebody says of itself, no longer than anybody reads.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORD_MAX).collect()
}

/// Messages for one node, in parts that go into an envelope each.
fn parts(messages: Vec<Message<TaskPayload>>) -> Vec<Vec<Message<TaskPayload>>> {
    if messages.len() == 1 {
        return vec![messages];
    }
    let mut parts: Vec<(usize, Vec<Message<TaskPayload>>)> = Vec::new();
    for message in messages {
        let size = direct::size_of(&message);
        match parts.last_mut() {
            Some((bytes, part)) if part.len() < TOGETHER_MAX && *bytes + size <= TOGETHER_BYTES_MAX => {
                *bytes += size;
                part.push(message);
            }
            _ => parts.push((size, vec![message])),
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}
