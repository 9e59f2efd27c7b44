//! The link to the other nodes of a room: messages to them, and theirs to us.
//!
//! Owns this node's announcement in its rooms (`cis.dag.node.info`), at which devices the others are, and signatures. What is said is
//! the driver's matter, how it gets there the carrier's. It may lose messages, as the protocol repeats what matters: nothing here is kept.

mod carrier;
mod matrix;
mod memory;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use ulid::Ulid;

use self::carrier::{Announcement, Carrier as Carries, Device, Heard, Letter, Sending, Trouble};
use self::matrix::Matrix;
use self::memory::Memory;
pub use self::memory::Rooms as RoomsInMemory;
use crate::account::{Backoff, boot_ms};
use crate::commands::{Command, DefaultAnswer};
use crate::file_jobs::Job;
use crate::link::{LinkEnd, Wish};
use crate::node::Node;
use crate::shared::Announced;
use crate::wrong::Wrong;
use cis_core::federation::control::Control;
use cis_core::federation::direct::{self, TaskPayload};
use cis_core::federation::envelope::{Carrier, Draft, Refused, SIZE_MAX, Verified, verify};
use cis_core::federation::lanes::{Lanes, Ready, To};
use cis_core::federation::parts::{self, Parts};
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::message::Message;
use cis_core::federation::view::ViewMessage;
use cis_core::identity::Standing;
use cis_core::ids::NodeDid;
use cis_local::now_ms;

/// Type of the state by which a node says at which device it is.
const INFO: &str = "cis.dag.node.info";

/// Announcements that are remembered where rooms keep none.
const HEARD_MAX: usize = 1000;

/// More nodes without trust get no line in the audit: anybody can make keys, and the audit has space for a limited number of lines.
const UNTRUSTED_MAX: usize = 50;

/// So many of them are known.
const TWINS_MAX: usize = 100;

/// Accounts without rights that said in letters where their nodes are, and of which it is not known yet whether they are in the room.
const UNSURE_MAX: usize = 100;

/// Messages that wait until it is known who may say them have at most so many bytes together, and a sender has so many of them. What
/// comes after them is dropped, and repeated by the protocol.
const EARLY_BYTES_MAX: usize = 4 << 20;
const EARLY_OF_SENDER_MAX: usize = 64;

/// So many wishes wait for the homeserver here; what comes after them is dropped, and repeated by the protocol.
const LATE_MAX: usize = 4096;

/// Characters of a name or a version.
const WORD_MAX: usize = 64;

/// An envelope that is not under way any more.
type Sent = (To, u64);

/// A room and an account.
type Place = (String, String);

/// Whether this account is in this room.
type Asked = (Place, bool);

struct Task {
    node: Arc<Node>,
    wishes: mpsc::Receiver<Wish>,
    /// Those that came while no homeserver was there for them.
    late: VecDeque<Wish>,
    /// Messages of nodes that are perhaps members of a room: what its owners said was not read yet.
    early: Vec<(String, Letter)>,
    /// As they were named.
    named: BTreeSet<String>,
    /// Their ids.
    rooms: BTreeSet<String>,
    devices: BTreeMap<NodeDid, Device>,
    /// The newest process of each node that said of itself where it is.
    lives: BTreeMap<NodeDid, Ulid>,
    /// What nodes said of themselves where the room keeps none of it, by room and account.
    heard: BTreeMap<Place, Announcement>,
    /// What nodes without rights said of themselves in letters, until it is known whether their accounts are in the room.
    unsure: BTreeMap<Place, Announcement>,
    /// Says whether they are.
    asked: (mpsc::UnboundedSender<Asked>, mpsc::UnboundedReceiver<Asked>),
    /// What this node says of itself in rooms that do not keep it.
    unkept: BTreeMap<String, Draft>,
    /// Nodes that may not know that, with their rooms.
    to_greet: BTreeSet<To>,
    /// Of this process. When it began is in it.
    life: Ulid,
    /// Lives of other processes that have the key of this node and began, or said something, later.
    twins: BTreeSet<Ulid>,
    /// Nodes without trust that want something, in which room: the driver was told.
    untrusted: BTreeSet<(String, NodeDid)>,
    lanes: Lanes,
    parts: Parts,
    /// Says which lane is free again.
    sent: (mpsc::UnboundedSender<Sent>, mpsc::UnboundedReceiver<Sent>),
    is_urgent: bool,
    /// Rooms, by their ids, for which this node executes tasks, or has some of an earlier life.
    works_in: BTreeSet<String>,
}

/// Starts the task. It asks no homeserver before a room is to be served.
pub(crate) fn start(node: Arc<Node>, end: LinkEnd) {
    let task = Task {
        node,
        wishes: end.0,
        late: VecDeque::new(),
        early: Vec::new(),
        named: BTreeSet::new(),
        rooms: BTreeSet::new(),
        devices: BTreeMap::new(),
        lives: BTreeMap::new(),
        heard: BTreeMap::new(),
        unsure: BTreeMap::new(),
        asked: mpsc::unbounded_channel(),
        unkept: BTreeMap::new(),
        to_greet: BTreeSet::new(),
        life: Ulid::new(),
        twins: BTreeSet::new(),
        untrusted: BTreeSet::new(),
        lanes: Lanes::default(),
        parts: Parts::default(),
        sent: mpsc::unbounded_channel(),
        is_urgent: false,
        works_in: BTreeSet::new(),
    };
    if task.node.rooms_in_memory.is_some() {
        tokio::spawn(task.run::<Memory>());
    } else {
        tokio::spawn(task.run::<Matrix>());
    }
}

impl Task {
    async fn run<C: Carries>(mut self) {
        let mut backoff = Backoff::default();
        loop {
            while self.named.is_empty() {
                match self.wishes.recv().await {
                    Some(Wish::Serve(room)) => drop(self.named.insert(room)),
                    Some(Wish::HasTasks(room)) => drop(self.works_in.insert(room)),
                    Some(Wish::Urgent(is_urgent)) => self.is_urgent = is_urgent,
                    Some(Wish::Files(job)) => self.carry(*job),
                    Some(Wish::Send { .. } | Wish::Control { .. } | Wish::View { .. } | Wish::Answer(_)) => {}
                    None => return,
                }
            }
            match self.serve::<C>(&mut backoff).await {
                Ok(()) => return,
                Err(trouble) => {
                    tracing::warn!(%trouble, "other nodes are not heard");
                    let pause = match &trouble {
                        Trouble::Matrix(error) => backoff.after(error),
                        _ => backoff.after_own_failure(),
                    };
                    if self.wait(pause).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Lets the time pass until the homeserver is asked again. What needs no homeserver is done meanwhile.
    ///
    /// # Errors
    /// The driver has ended.
    async fn wait(&mut self, pause: Duration) -> Result<(), ()> {
        let mut over = pin!(tokio::time::sleep(pause));
        loop {
            let wish = tokio::select! {
                () = &mut over => return Ok(()),
                wish = self.wishes.recv() => wish.ok_or(())?,
            };
            match wish {
                Wish::Files(job) => self.carry(*job),
                Wish::Answer(default) => self.answer(*default),
                wish if self.late.len() < LATE_MAX => self.late.push_back(wish),
                _ => {}
            }
        }
    }

    /// Hears and tells until the driver has ended.
    async fn serve<C: Carries>(&mut self, backoff: &mut Backoff) -> Result<(), Trouble> {
        let mut carrier = C::open(&self.node).await?;
        carrier.be_urgent(self.is_urgent);
        let mut trust = self.node.shared.trust.subscribe();
        trust.mark_unchanged();
        let mut members = self.node.members.subscribe();
        let mut ended = self.node.shared.ended.subscribe();
        self.rooms.clear();
        for name in self.named.clone() {
            self.try_to_enter(&carrier, &name).await?;
        }
        while let Some(wish) = self.late.pop_front() {
            self.obey(&carrier, wish).await?;
        }
        loop {
            self.hear_early(&carrier);
            self.greet(&carrier);
            tokio::select! {
                wish = self.wishes.recv() => match wish {
                    Some(Wish::Send { room, to, message, can_wait }) => {
                        let behind = self.line_up((room, to), *message, can_wait);
                        self.send_ready(&carrier);
                        if let Some(wish) = behind {
                            self.obey(&carrier, wish).await?;
                        }
                    }
                    Some(wish) => self.obey(&carrier, wish).await?,
                    None => return Ok(()),
                },
                () = until(self.lanes.poll_timeout()) => self.send_ready(&carrier),
                Some((to, number)) = self.sent.1.recv() => {
                    self.lanes.sent(&to, number);
                    self.send_ready(&carrier);
                }
                Some((of, is_member)) = self.asked.1.recv() => self.answered(of, is_member),
                true = async { ended.wait_for(|has_ended| *has_ended).await.is_ok() } => {
                    self.flush(&carrier).await;
                    return Ok(());
                }
                Ok(()) = trust.changed() => self.others_changed(&carrier).await?,
                Ok(()) = members.changed() => self.others_changed(&carrier).await?,
                heard = carrier.hear() => {
                    let heard = heard?;
                    backoff.reset();
                    let twins = self.twins.len();
                    heard.into_iter().for_each(|one| self.take(&carrier, one));
                    if self.twins.len() > twins {
                        // The other process is to know, too.
                        for room in self.rooms.clone() {
                            self.announce(&carrier, &room).await?;
                        }
                    }
                }
            }
        }
    }

    fn take(&mut self, through: &impl Carries, heard: Heard) {
        match heard {
            Heard::Announced(room, announcement) if self.rooms.contains(&room) => {
                self.look_for_twin(&room, &announcement);
                self.learn_of(room, announcement);
            }
            Heard::Announced(..) => {}
            Heard::Letter(letter) => self.hear(through, letter, false),
        }
    }

    /// Another process that has the key of this node said something since this one began: a copy of the home runs.
    fn look_for_twin(&mut self, room: &str, Announcement { sender, content }: &Announcement) {
        let carrier = Carrier { room, type_name: INFO, sender: Some(sender) };
        let Ok(content) = serde_json::from_str::<Value>(content.get()) else { return };
        let Ok(envelope) = verify(&content, carrier, |_| Standing::Trusted) else { return };
        let life = life_of(&envelope);
        let is_later = envelope.id().timestamp_ms() > self.life.timestamp_ms();
        let is_own = *envelope.did() == self.node.did;
        if let Some(life) = life.filter(|life| is_own && is_later && *life != self.life)
            && self.twins.len() < TWINS_MAX
            && self.twins.insert(life)
        {
            self.node.driver.tell(Command::Twin { room: room.to_owned() });
        }
    }

    /// Notes what a node says of itself, also for later: it may not be trusted yet.
    fn learn_of(&mut self, room: String, announcement: Announcement) {
        self.learn(&room, &announcement);
        let key = (room, announcement.sender.clone());
        if self.heard.len() < HEARD_MAX || self.heard.contains_key(&key) {
            self.heard.insert(key, announcement);
        }
    }

    /// A node that starts later than this one does not know where it is, if the room keeps nothing.
    fn greet(&mut self, carrier: &impl Carries) {
        for (room, did) in std::mem::take(&mut self.to_greet) {
            if let Some(draft) = self.unkept.get(&room) {
                tokio::spawn(self.sending(carrier, &did, draft));
            }
        }
    }

    /// Enters a room. One that cannot be served keeps nobody from being heard in another: it is left out until it is asked for again.
    async fn try_to_enter(&mut self, carrier: &impl Carries, name: &str) -> Result<(), Trouble> {
        match self.enter(carrier, name).await {
            Err(Trouble::Matrix(error)) if !error.is_passing() => {
                tracing::warn!(room = name, %error, "tasks cannot be shared with the nodes of a room");
                self.named.remove(name);
                Ok(())
            }
            entered => entered,
        }
    }

    /// Announces this node in a room, and learns where the others are.
    async fn enter(&mut self, carrier: &impl Carries, name: &str) -> Result<(), Trouble> {
        let room = carrier.resolve(name).await?;
        let settings = &self.node.config.settings.federation;
        if settings.room.as_deref() == Some(name) && settings.role.works() {
            self.works_in.insert(room.clone());
        }
        self.announce(carrier, &room).await?;
        self.learn_all(carrier, &room).await?;
        self.rooms.insert(room.clone());
        self.node.shared.served.send_if_modified(|served| served.insert(room.clone()));
        self.node.driver.tell(Command::RoomServed { name: name.to_owned(), room });
        Ok(())
    }

    /// Says in a room where this node is.
    async fn announce(&mut self, carrier: &impl Carries, room: &str) -> Result<(), Trouble> {
        let Device { user, device } = carrier.own();
        let body = json!({
            "device": device,
            "version": env!("CARGO_PKG_VERSION"),
            "name": crate::machine::name_in(&self.node.config.settings.federation),
            "works": self.works_in.contains(room),
            "life": self.life.to_string(),
            "votes": true,
            "retries_several": true,
        });
        let draft = Draft::of_room(INFO, body, Ulid::new(), room, user);
        if let Ok(signed) = draft.sign(&self.node.keys.node, SIZE_MAX) {
            let is_kept = carrier.announce(room, &draft.id.to_string(), signed.content().clone()).await?;
            if is_kept {
                self.unkept.remove(room);
            } else {
                self.unkept.insert(room.to_owned(), draft);
            }
        }
        Ok(())
    }

    /// Others are trusted than before: where they are was said already.
    async fn others_changed(&mut self, carrier: &impl Carries) -> Result<(), Trouble> {
        // Rights change at once, whether the homeserver answers or not.
        self.node.driver.tell(Command::NodeFound);
        for room in self.rooms.clone() {
            self.learn_all(carrier, &room).await?;
        }
        self.node.driver.tell(Command::NodeFound);
        Ok(())
    }

    async fn learn_all(&mut self, carrier: &impl Carries, room: &str) -> Result<(), Trouble> {
        carrier.announced(room).await?.iter().for_each(|one| self.learn(room, one));
        let heard: Vec<Announcement> =
            self.heard.iter().filter(|((of, _), _)| of == room).map(|(_, one)| one.clone()).collect();
        heard.iter().for_each(|one| self.learn(room, one));
        Ok(())
    }

    /// Notes where a node says that it is.
    fn learn(&mut self, room: &str, Announcement { sender, content }: &Announcement) {
        let content = content.get();
        let carrier = Carrier { room, type_name: INFO, sender: Some(sender) };
        let Ok(content) = serde_json::from_str::<Value>(content) else { return };
        if let Ok(envelope) = verify(&content, carrier, |_| Standing::Trusted) {
            let word = |key| envelope.body().get(key).and_then(Value::as_str).map(short).unwrap_or_default();
            let is_set = |key| envelope.body().get(key) == Some(&Value::Bool(true));
            let announced = Announced {
                user: sender.clone(),
                name: word("name"),
                version: word("version"),
                is_idle: envelope.body().get("works") == Some(&Value::Bool(false)),
                votes: is_set("votes"),
                retries_several: is_set("retries_several"),
                at_ms: i64::try_from(envelope.id().timestamp_ms()).unwrap_or(i64::MAX),
            };
            // Who votes, and where, follows from that. A node without rights changes nothing by what it says.
            let is_news = self.node.shared.announce(room, envelope.did().clone(), announced, now_ms());
            if is_news && self.node.members.counts(room, envelope.did()) {
                self.node.driver.tell(Command::NodeFound);
            }
        }
        let Some(envelope) = self.verified(&content, carrier) else { return };
        if let Some(device) = envelope.body().get("device").and_then(Value::as_str) {
            let is_found = self.found(envelope.did(), sender, device);
            // A process that began later has forgotten what an earlier one was told.
            let has_begun = self.begins(&envelope);
            if (is_found || has_begun) && *envelope.did() != self.node.did {
                self.to_greet.insert((room.to_owned(), envelope.did().clone()));
            }
            if has_begun && !is_found {
                // Nor does it know what this node offers.
                self.node.driver.tell(Command::NodeFound);
            }
        }
    }

    /// Whether a node says that a process of it began after those that are known.
    fn begins(&mut self, envelope: &Verified) -> bool {
        let Some(life) = life_of(envelope) else { return false };
        let known = self.lives.get(envelope.did());
        let begins = known.is_none_or(|known| *known < life);
        if begins {
            self.lives.insert(envelope.did().clone(), life);
        }
        begins
    }

    /// Gives whether it was not known to be there.
    fn found(&mut self, did: &NodeDid, user: &str, device: &str) -> bool {
        let device = Device { user: user.to_owned(), device: device.to_owned() };
        let is_new = self.devices.insert(did.clone(), device.clone()) != Some(device);
        if is_new {
            self.node.driver.tell(Command::NodeFound);
        }
        is_new
    }

    fn verified(&self, content: &Value, carrier: Carrier<'_>) -> Option<Verified> {
        match verify(content, carrier, |did| self.node.members.standing(carrier.room, did)) {
            Ok(envelope) if envelope.standing().is_obeyed() => Some(envelope),
            Ok(_) => None,
            Err(refused) => {
                tracing::debug!(%refused, "a message of a node is left out");
                None
            }
        }
    }

    /// Keeps a message in a room until it is known who may say it.
    fn keep_early(&mut self, room: String, message: Letter) {
        let of_sender = self.early.iter().filter(|(_, one)| one.sender == message.sender).count();
        let bytes: usize = self.early.iter().map(|(_, one)| one.content.get().len()).sum();
        if of_sender < EARLY_OF_SENDER_MAX && bytes + message.content.get().len() <= EARLY_BYTES_MAX {
            self.early.push((room, message));
        }
    }

    /// Hears the messages that waited for the owners of their rooms to be known.
    fn hear_early(&mut self, through: &impl Carries) {
        let members = &self.node.members;
        let known: Vec<_> = self.early.extract_if(.., |(room, _)| members.is_settled(room)).collect();
        known.into_iter().for_each(|(_, letter)| self.hear(through, letter, true));
    }

    fn hear(&mut self, through: &impl Carries, message: Letter, is_early: bool) {
        let Ok(content) = serde_json::from_str::<Value>(message.content.get()) else { return };
        let room = content.get("room").and_then(Value::as_str);
        let Some(room) = room.filter(|room| self.rooms.contains(*room)) else { return };
        if message.kind == INFO {
            let said = Announcement { sender: message.sender, content: message.content };
            return self.hear_info(through, room, &content, said);
        }
        let carrier = Carrier { room, type_name: &message.kind, sender: Some(&message.sender) };
        let envelope = match verify(&content, carrier, |did| self.node.members.standing(room, did)) {
            Ok(envelope) if envelope.standing().is_obeyed() => envelope,
            Ok(_) | Err(Refused::UnknownKey(_)) if !self.node.members.is_settled(room) => {
                let room = room.to_owned();
                self.keep_early(room, message);
                return;
            }
            Ok(envelope) => return self.disregard(envelope.did().clone(), &content, carrier),
            Err(Refused::UnknownKey(did) | Refused::Revoked(did)) => {
                return self.disregard(did, &content, carrier);
            }
            Err(refused) => return tracing::debug!(%refused, "a message of a node is left out"),
        };
        let from = envelope.did().clone();
        // A node that wrote early may have another device by now.
        if let Some(device) =
            message.device.as_ref().filter(|_| !is_early || !self.devices.contains_key(&from))
        {
            self.found(&from, &message.sender, device);
        }
        match Control::read(&envelope) {
            Ok(None) => {}
            Ok(Some(said)) => return self.node.hear_control(room, from, said),
            Err(why) => return tracing::debug!(%from, why, "a control request of a node cannot be read"),
        }
        match ViewMessage::read(&envelope) {
            Ok(None) => {}
            Ok(Some(message)) => return self.node.hear_view(room, from, message),
            Err(why) => return tracing::debug!(%from, why, "a message of a view cannot be read"),
        }
        let messages = match parts::read(&envelope) {
            Ok(None) => direct::read(envelope),
            Ok(Some(part)) => match self.parts.take(&from, part, boot_ms()) {
                Some(text) => direct::read_joined(&text),
                None => return,
            },
            Err(why) => Err(why),
        };
        match messages {
            Ok(messages) => {
                for message in messages {
                    let (room, from, message) = (room.to_owned(), from.clone(), Box::new(message));
                    self.node.driver.tell(Command::Federated { room, from, message });
                }
            }
            Err(why) => tracing::debug!(%from, why, "a message of a node cannot be read"),
        }
    }

    /// A node says of itself where it is, to this one alone. Any account can write that, also one that is not in the room: of a node
    /// without rights it counts once it is known that its account is there.
    fn hear_info(&mut self, through: &impl Carries, room: &str, content: &Value, said: Announcement) {
        let carrier = Carrier { room, type_name: INFO, sender: Some(&said.sender) };
        let has_rights = match verify(content, carrier, |did| self.node.members.standing(room, did)) {
            Ok(envelope) => envelope.standing().is_obeyed(),
            Err(Refused::UnknownKey(_) | Refused::Revoked(_)) => false,
            Err(refused) => return tracing::debug!(%refused, "a message of a node is left out"),
        };
        if has_rights {
            return self.learn_of(room.to_owned(), said);
        }
        let of = (room.to_owned(), said.sender.clone());
        if self.unsure.len() >= UNSURE_MAX && !self.unsure.contains_key(&of) {
            return;
        }
        if self.unsure.insert(of.clone(), said).is_none() {
            let (is_member, asked) = (through.is_member(&of.0, &of.1), self.asked.0.clone());
            tokio::spawn(async move {
                let is_member = is_member.await;
                let _ = asked.send((of, is_member));
            });
        }
    }

    /// It is known whether an account is in a room.
    fn answered(&mut self, of: Place, is_member: bool) {
        if let Some(said) = self.unsure.remove(&of).filter(|_| is_member) {
            self.learn_of(of.0, said);
        }
    }

    /// A node that no owner of the room trusts says something. That it is there, and what it could do, is nothing wrong.
    fn disregard(&mut self, from: NodeDid, content: &Value, carrier: Carrier<'_>) {
        let room = carrier.room.to_owned();
        let key = (room.clone(), from.clone());
        if self.untrusted.len() >= UNTRUSTED_MAX || self.untrusted.contains(&key) {
            return;
        }
        let Ok(envelope) = verify(content, carrier, |_| Standing::Trusted) else { return };
        let is_request = matches!(Control::read(&envelope), Ok(Some(Control::Request(_))));
        let acts = |said: &Message<TaskPayload>| !matches!(said, Message::Heartbeat { .. });
        if is_request || direct::read(envelope).is_ok_and(|said| said.iter().any(acts)) {
            self.untrusted.insert(key);
            let detail = format!("{from} is not trusted in room {room}");
            self.node.driver.tell(Command::Disregarded { room, from, wrong: Wrong::Untrusted, detail });
        }
    }

    /// Does what the driver wants beside messages.
    async fn obey(&mut self, carrier: &impl Carries, wish: Wish) -> Result<(), Trouble> {
        match wish {
            Wish::Serve(name) => {
                if self.named.insert(name.clone()) {
                    self.try_to_enter(carrier, &name).await?;
                }
            }
            Wish::HasTasks(room) => drop(self.works_in.insert(room)),
            Wish::Urgent(is_urgent) => {
                self.is_urgent = is_urgent;
                carrier.be_urgent(is_urgent);
            }
            Wish::Send { room, to, message, can_wait } => {
                self.lanes.push((room, to), *message, can_wait, boot_ms());
                self.send_ready(carrier);
            }
            Wish::Control { room, to, said } => {
                let draft = said.draft(&room, &carrier.own().user);
                tokio::spawn(self.sending(carrier, &to, &draft));
            }
            Wish::View { room, to, message } => {
                let draft = message.draft(&room, &carrier.own().user);
                tokio::spawn(self.sending(carrier, &to, &draft));
            }
            Wish::Files(job) => self.carry(*job),
            Wish::Answer(default) => self.answer(*default),
        }
        Ok(())
    }

    fn answer(&self, default: DefaultAnswer) {
        let node = Arc::clone(&self.node);
        tokio::spawn(async move { node.answer_by_default(default).await });
    }

    fn carry(&self, job: Job) {
        tokio::spawn(Arc::clone(&self.node).carry(job));
    }

    /// Puts a message, and those that come behind it, into the lanes of their nodes. Gives a wish that is none.
    fn line_up(&mut self, to: To, message: Message<TaskPayload>, can_wait: bool) -> Option<Wish> {
        let now = boot_ms();
        self.lanes.push(to, message, can_wait, now);
        loop {
            match self.wishes.try_recv().ok()? {
                Wish::Send { room, to, message, can_wait } => {
                    self.lanes.push((room, to), *message, can_wait, now);
                }
                behind => return Some(behind),
            }
        }
    }

    /// Sends what waits for nothing any more.
    fn send_ready(&mut self, carrier: &impl Carries) {
        for Ready { to, number, messages, bytes } in self.lanes.take_ready(boot_ms()) {
            let drafts = direct::drafts(&messages, bytes, Ulid::new, &to.0, &carrier.own().user);
            let drafts = drafts.unwrap_or_else(|error| {
                tracing::warn!(to = %to.1, %error, "a message to a node is too large");
                Vec::new()
            });
            let sending: Vec<Sending> =
                drafts.iter().map(|draft| self.sending(carrier, &to.1, draft)).collect();
            let sent = self.sent.0.clone();
            tokio::spawn(async move {
                for part in sending {
                    part.await;
                }
                let _ = sent.send((to, number));
            });
        }
    }

    /// Sends all queued messages before the node stops, which waits for this task for at most 0.5 s. If it waits for an answer of the homeserver at
    /// that moment, it does not come here in time.
    async fn flush(&mut self, carrier: &impl Carries) {
        let mut others = Vec::new();
        while let Ok(wish) = self.wishes.try_recv() {
            let user = &carrier.own().user;
            match wish {
                Wish::Send { room, to, message, can_wait } => {
                    self.lanes.push((room, to), *message, can_wait, boot_ms());
                }
                Wish::Control { room, to, said } => {
                    others.push(self.sending(carrier, &to, &said.draft(&room, user)));
                }
                Wish::View { room, to, message } => {
                    others.push(self.sending(carrier, &to, &message.draft(&room, user)));
                }
                Wish::Serve(_) | Wish::HasTasks(_) | Wish::Urgent(_) | Wish::Files(_) | Wish::Answer(_) => {}
            }
        }
        let others = tokio::spawn(join_all(others));
        self.lanes.make_all_urgent();
        self.send_ready(carrier);
        while !self.lanes.is_empty() {
            if self.lanes.poll_timeout().is_none_or(|at| at > boot_ms())
                && let Some((to, number)) = self.sent.1.recv().await
            {
                self.lanes.sent(&to, number);
            }
            self.send_ready(carrier);
        }
        let _ = others.await;
    }

    /// Sends an envelope to a node. It may be lost.
    fn sending<C: Carries>(&self, carrier: &C, to: &NodeDid, draft: &Draft) -> Sending {
        let Some(device) = self.devices.get(to).cloned() else {
            tracing::debug!(%to, "it is not known where a node is");
            return Box::pin(std::future::ready(()));
        };
        match draft.sign(&self.node.keys.node, SIZE_MAX) {
            Ok(signed) => carrier.send(device, draft.type_name.clone(), signed.into_content()),
            Err(error) => {
                tracing::warn!(%error, "a message to a node cannot be signed");
                Box::pin(std::future::ready(()))
            }
        }
    }
}

/// The process of a node that says something of itself.
fn life_of(envelope: &Verified) -> Option<Ulid> {
    envelope.body().get("life").and_then(Value::as_str).and_then(|life| life.parse().ok())
}

/// Waits until this time of the node's clock, without end where there is none.
async fn until(at: Option<BootMs>) {
    match at.map(|at| u64::try_from(at.saturating_sub(boot_ms())).unwrap_or(0)) {
        Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        None => std::future::pending().await,
    }
}

/// What somebody says of itself, no longer than anybody reads.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORD_MAX).collect()
}
