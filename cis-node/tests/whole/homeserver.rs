//! A homeserver in memory: rooms, who is in them, what is said, files, messages to devices.
//!
//! Nodes have it as the homeserver of their account; tests speak in its rooms as people, and let requests fail. Nothing is encrypted: of an
//! encrypted room it only says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cis_local::now_ms;
use cis_matrix::{
    Answer, Batch, Beginning, Content, CreateRoom, DeviceMessage, Encryption, MatrixError, Media, Member,
    Page, Power, RoomBatch, RoomEvent, RoomInfo, RoomKeys, RoomName, Seal, Secret, Session, StateEvent,
    Trust,
};
use cis_node::{GivenAccount, Homeserver, TakeChunk};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Bytes of an event's content that are taken: a whole event may have 65,536.
const CONTENT_BYTES_MAX: usize = 65_000;

/// Events of a room in the first batch of a device.
const FIRST_EVENTS: usize = 10;

/// Longer than anything takes, also on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// The homeserver. Copies are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    /// Counts what happened.
    changed: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct State {
    rooms: BTreeMap<String, Room>,
    /// Of all rooms, in order. The place behind the n-th is `n`.
    events: Vec<Event>,
    /// By user and device.
    devices: BTreeMap<(String, String), Device>,
    files: BTreeMap<String, Vec<u8>>,
    /// Events that a user has read.
    receipts: BTreeSet<(String, String)>,
    /// Requests that fail, by the name of their method.
    failures: Vec<Failure>,
    /// Nothing is answered.
    is_away: bool,
    file_bytes_max: u64,
}

#[derive(Debug)]
struct Room {
    name: String,
    alias: Option<String>,
    topic: Option<String>,
    is_encrypted: bool,
    people: BTreeMap<String, Person>,
    /// Levels that types of events need; of state: 50, of others: none.
    levels: BTreeMap<String, i64>,
    /// State by type and key: its event.
    state: BTreeMap<(String, String), usize>,
    successor: Option<String>,
    predecessor: Option<String>,
}

#[derive(Debug)]
struct Person {
    has_joined: bool,
    since_ms: i64,
    level: i64,
}

#[derive(Debug)]
struct Event {
    room: String,
    /// With the transaction that its device gave.
    event: RoomEvent,
    device: String,
    /// Nobody has its key yet.
    is_sealed: bool,
}

#[derive(Debug, Default)]
struct Device {
    position: Option<usize>,
    messages: Vec<DeviceMessage>,
    keys: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug)]
struct Failure {
    method: &'static str,
    error: MatrixError,
    /// It is done all the same.
    is_done: bool,
}

/// Words to an event, as a reply.
pub(crate) fn reply(to: &str, text: &str) -> Value {
    json!({ "msgtype": "m.text", "body": text, "m.relates_to": { "m.in_reply_to": { "event_id": to } } })
}

/// A reaction to an event.
pub(crate) fn reaction(to: &str, key: &str) -> (&'static str, Value) {
    ("m.reaction", json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": to, "key": key } }))
}

impl Default for Server {
    fn default() -> Self {
        let state = State { file_bytes_max: 50 << 20, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), changed: Arc::new(watch::channel(0).0) }
    }
}

impl Server {
    /// An account for a node.
    pub(crate) fn account(&self, user: &str, device: &str) -> GivenAccount {
        let session = Session {
            homeserver: "memory:".to_owned(),
            user: user.to_owned(),
            device: device.to_owned(),
            token: Secret::new("no token"),
        };
        let (user, device) = (user.to_owned(), device.to_owned());
        self.change(|state| state.devices.entry((user.clone(), device.clone())).or_default().position = None);
        GivenAccount { homeserver: Arc::new(Seen { server: self.clone(), user, device }), session }
    }

    /// A room in clear, whose maker has the level 100; the others are in it.
    pub(crate) fn room(&self, name: &str, maker: &str, others: &[&str]) -> String {
        self.change(|state| {
            let room = CreateRoom { name: name.to_owned(), ..CreateRoom::default() };
            let id = state.create_room(maker, room);
            for user in others {
                state.set_person(&id, user, Some(true));
            }
            id
        })
    }

    /// Changes what a room is.
    pub(crate) fn encrypt(&self, room: &str) {
        self.change(|state| state.rooms.get_mut(room).unwrap().is_encrypted = true);
    }

    pub(crate) fn set_alias(&self, room: &str, alias: &str) {
        self.change(|state| state.rooms.get_mut(room).unwrap().alias = Some(alias.to_owned()));
    }

    /// How much somebody may do in a room.
    pub(crate) fn set_level(&self, room: &str, user: &str, level: i64) {
        self.change(|state| state.rooms.get_mut(room).unwrap().people.get_mut(user).unwrap().level = level);
    }

    /// The level that a type of event needs in a room.
    pub(crate) fn needs_level(&self, room: &str, kind: &str, level: i64) {
        self.change(|state| state.rooms.get_mut(room).unwrap().levels.insert(kind.to_owned(), level));
    }

    pub(crate) fn join(&self, room: &str, user: &str) {
        self.change(|state| state.set_person(room, user, Some(true)));
    }

    pub(crate) fn invite(&self, room: &str, user: &str) {
        self.change(|state| state.set_person(room, user, Some(false)));
    }

    /// They leave it, or are removed.
    pub(crate) fn leave(&self, room: &str, user: &str) {
        self.change(|state| state.set_person(room, user, None));
    }

    /// Makes a room that takes the place of another one, with the same people.
    pub(crate) fn replace(&self, old: &str, maker: &str) -> String {
        let people: Vec<String> = self.state().rooms[old].people.keys().cloned().collect();
        let people: Vec<&str> = people.iter().map(String::as_str).filter(|user| *user != maker).collect();
        let new = self.room("the next one", maker, &people);
        self.change(|state| {
            state.rooms.get_mut(&new).unwrap().predecessor = Some(old.to_owned());
            state.rooms.get_mut(old).unwrap().successor = Some(new.clone());
            let content = json!({ "body": "gone on", "replacement_room": new });
            state.push(old, maker, "", ("m.room.tombstone", Some("")), &content, None);
        });
        new
    }

    /// Somebody says something; gives its event.
    pub(crate) fn says(&self, room: &str, user: &str, (kind, content): (&str, Value)) -> String {
        self.change(|state| state.push(room, user, "PHONE", (kind, None), &content, None))
    }

    /// Somebody writes some words.
    pub(crate) fn writes(&self, room: &str, user: &str, text: &str) -> String {
        self.says(room, user, ("m.room.message", json!({ "msgtype": "m.text", "body": text })))
    }

    /// Somebody writes some words whose key does not come yet.
    pub(crate) fn writes_sealed(&self, room: &str, user: &str, text: &str) -> String {
        let content = json!({ "msgtype": "m.text", "body": text });
        self.change(|state| {
            let id = state.push(room, user, "PHONE", ("m.room.message", None), &content, None);
            state.events.last_mut().unwrap().is_sealed = true;
            id
        })
    }

    /// The key of an event comes.
    pub(crate) fn unseal(&self, event: &str) {
        self.change(|state| {
            let found = state.events.iter_mut().find(|one| one.event.id == event).unwrap();
            found.is_sealed = false;
            let (room, session) = (found.room.clone(), session_of(event));
            for device in state.devices.values_mut() {
                device.keys.entry(room.clone()).or_default().insert(session.clone());
            }
        });
    }

    /// The next request of this method fails.
    pub(crate) fn fail(&self, method: &'static str, error: MatrixError) {
        self.change(|state| state.failures.push(Failure { method, error, is_done: false }));
    }

    /// The next request of this method is done, and its answer is lost.
    pub(crate) fn lose_answer(&self, method: &'static str) {
        let error = away(true);
        self.change(|state| state.failures.push(Failure { method, error, is_done: true }));
    }

    /// Whether failures that were asked for have not come yet.
    pub(crate) fn has_failures(&self) -> bool {
        !self.state().failures.is_empty()
    }

    /// Answers nothing from now on, or answers again.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.change(|state| state.is_away = is_away);
    }

    /// The largest file that is taken, bytes.
    pub(crate) fn set_file_bytes_max(&self, bytes: u64) {
        self.change(|state| state.file_bytes_max = bytes);
    }

    /// All files are gone.
    pub(crate) fn forget_files(&self) {
        self.change(|state| state.files.clear());
    }

    pub(crate) fn files(&self) -> usize {
        self.state().files.len()
    }

    /// Changes the content of an event, as a homeserver that lies does.
    pub(crate) fn forge(&self, event: &str, content: &Value) {
        self.change(|state| {
            let found = state.events.iter_mut().find(|one| one.event.id == event).unwrap();
            found.event.content = to_raw_value(content).unwrap();
        });
    }

    /// Removes an event, as a homeserver that lies does.
    pub(crate) fn remove(&self, event: &str) {
        self.change(|state| {
            let found = state.events.iter_mut().find(|one| one.event.id == event).unwrap();
            "nobody".clone_into(&mut found.room);
        });
    }

    /// All that was said in a room, in order.
    pub(crate) fn events(&self, room: &str) -> Vec<RoomEvent> {
        let state = self.state();
        state.events.iter().filter(|one| one.room == room).map(|one| one.event.clone()).collect()
    }

    /// Whether this account has shown that it read an event.
    pub(crate) fn has_read(&self, user: &str, event: &str) -> bool {
        self.state().receipts.contains(&(user.to_owned(), event.to_owned()))
    }

    /// Waits until `look` finds something in the events of a room.
    pub(crate) async fn until<T>(
        &self,
        room: &str,
        what: &str,
        mut look: impl FnMut(&[RoomEvent]) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + LONG;
        let mut changed = self.changed.subscribe();
        loop {
            let events = self.events(room);
            if let Some(found) = look(&events) {
                return found;
            }
            let Ok(next) = timeout_at(deadline, changed.changed()).await else {
                let said: Vec<_> =
                    events.iter().map(|one| (&one.sender, &one.kind, one.content.get())).collect();
                panic!("{what} does not come: {said:#?}");
            };
            next.unwrap();
        }
    }

    /// Waits for an event of this type whose content fits; gives it with its content.
    pub(crate) async fn event(
        &self,
        room: &str,
        kind: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> (RoomEvent, Value) {
        self.until(room, kind, |events| {
            events.iter().filter(|one| one.kind == kind).find_map(|one| {
                let content: Value = serde_json::from_str(one.content.get()).unwrap();
                fits(&content).then(|| (one.clone(), content))
            })
        })
        .await
    }

    /// Waits for words that contain `text`; gives their event.
    pub(crate) async fn words(&self, room: &str, text: &str) -> RoomEvent {
        let contains = |content: &Value| content["body"].as_str().is_some_and(|body| body.contains(text));
        self.until(room, text, |events| {
            events
                .iter()
                .find(|one| {
                    one.kind == "m.room.message"
                        && contains(&serde_json::from_str(one.content.get()).unwrap())
                })
                .cloned()
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut self.state());
        self.changed.send_modify(|count| *count += 1);
        done
    }
}

impl State {
    fn create_room(&mut self, maker: &str, room: CreateRoom) -> String {
        let id = format!("!room{}:tests", self.rooms.len());
        let made = Room {
            name: room.name,
            alias: None,
            topic: room.topic,
            is_encrypted: room.encrypted,
            people: BTreeMap::new(),
            levels: room.levels,
            state: BTreeMap::new(),
            successor: None,
            predecessor: None,
        };
        self.rooms.insert(id.clone(), made);
        self.push(&id, maker, "", ("m.room.create", Some("")), &json!({}), None);
        self.set_person(&id, maker, Some(true));
        self.rooms.get_mut(&id).unwrap().people.get_mut(maker).unwrap().level = 100;
        for who in room.invite {
            self.set_person(&id, &who.user, Some(false));
            self.rooms.get_mut(&id).unwrap().people.get_mut(&who.user).unwrap().level = who.level;
        }
        id
    }

    /// Somebody joins (`Some(true)`), is invited, or leaves.
    fn set_person(&mut self, room: &str, user: &str, joins: Option<bool>) {
        let people = &mut self.rooms.get_mut(room).unwrap().people;
        let level = people.remove(user).map_or(0, |person| person.level);
        if let Some(has_joined) = joins {
            people.insert(user.to_owned(), Person { has_joined, since_ms: now_ms(), level });
        }
        let membership = joins.map_or("leave", |joins| if joins { "join" } else { "invite" });
        let content = json!({ "membership": membership });
        self.push(room, user, "", ("m.room.member", Some(user)), &content, None);
    }

    fn push(
        &mut self,
        room: &str,
        sender: &str,
        device: &str,
        (kind, state_key): (&str, Option<&str>),
        content: &Value,
        transaction: Option<&str>,
    ) -> String {
        let id = format!("$event{}", self.events.len());
        let of = self.rooms.get_mut(room).unwrap();
        let encryption = (of.is_encrypted && state_key.is_none())
            .then(|| Encryption { device: Some(device.to_owned()), trust: Trust::Signed });
        if let Some(key) = state_key {
            of.state.insert((kind.to_owned(), key.to_owned()), self.events.len());
        }
        let event = RoomEvent {
            id: id.clone(),
            sender: sender.to_owned(),
            kind: kind.to_owned(),
            content: to_raw_value(content).unwrap(),
            sent_ms: now_ms(),
            state_key: state_key.map(str::to_owned),
            transaction: transaction.map(str::to_owned),
            encryption,
        };
        let (room, device) = (room.to_owned(), device.to_owned());
        self.events.push(Event { room, event, device, is_sealed: false });
        id
    }

    fn joined(&self, room: &str, user: &str) -> Result<&Room, MatrixError> {
        let found = self.rooms.get(room);
        found
            .filter(|room| room.people.get(user).is_some_and(|person| person.has_joined))
            .ok_or_else(|| MatrixError::NotJoined { room: room.to_owned() })
    }

    fn info(&self, id: &str, user: &str) -> RoomInfo {
        let room = &self.rooms[id];
        let joined = room.people.values().filter(|person| person.has_joined).count();
        RoomInfo {
            room_id: id.to_owned(),
            name: room.name.clone(),
            alias: room.alias.clone(),
            topic: room.topic.clone(),
            encrypted: Some(room.is_encrypted),
            invited: room.people.get(user).is_some_and(|person| !person.has_joined),
            members: joined as u64,
        }
    }

    fn check_level(&self, room: &str, user: &str, kind: &str, usual: i64) -> Result<(), MatrixError> {
        let of = self.joined(room, user)?;
        if of.people[user].level >= of.levels.get(kind).copied().unwrap_or(usual) {
            Ok(())
        } else {
            Err(MatrixError::Forbidden { detail: format!("{user} may not send {kind}") })
        }
    }

    /// The next failure of this method that was asked for.
    fn failure(&mut self, method: &str) -> Option<Failure> {
        if self.is_away {
            return Some(Failure { method: "", error: away(false), is_done: false });
        }
        let at = self.failures.iter().position(|failure| failure.method == method)?;
        Some(self.failures.remove(at))
    }
}

fn away(reached: bool) -> MatrixError {
    MatrixError::Offline { detail: "the homeserver of the test is away".to_owned(), reached }
}

fn session_of(event: &str) -> String {
    format!("session of {event}")
}

/// The homeserver as one device of an account sees it.
#[derive(Debug, Clone)]
struct Seen {
    server: Server,
    user: String,
    device: String,
}

impl Seen {
    /// A request.
    fn ask<T: Send + 'static>(
        &self,
        method: &'static str,
        work: impl FnOnce(&mut State, &Self) -> Result<T, MatrixError> + Send + 'static,
    ) -> Answer<T> {
        let seen = self.clone();
        Box::pin(async move {
            let failure = seen.server.state().failure(method);
            match failure {
                Some(failure) if !failure.is_done => Err(failure.error),
                failure => {
                    let done = seen.server.change(|state| work(state, &seen));
                    failure.map_or(done, |failure| Err(failure.error))
                }
            }
        })
    }

    /// A request about a room that the account is in.
    fn ask_in<T: Send + 'static>(
        &self,
        method: &'static str,
        room: &str,
        work: impl FnOnce(&Room, &Self) -> Result<T, MatrixError> + Send + 'static,
    ) -> Answer<T> {
        let room = room.to_owned();
        self.ask(method, move |state, seen| work(state.joined(&room, &seen.user)?, seen))
    }

    fn view(&self, one: &Event) -> RoomEvent {
        let mut event = one.event.clone();
        if one.device != self.device || event.sender != self.user {
            event.transaction = None;
        }
        if one.is_sealed {
            "m.room.encrypted".clone_into(&mut event.kind);
            event.content = to_raw_value(&json!({ "session_id": session_of(&event.id) })).unwrap();
        }
        event
    }

    fn page(&self, room: &str, from: Option<&str>, limit: u32, is_forward: bool) -> Answer<Page> {
        let (room, from) = (room.to_owned(), from.map(str::to_owned));
        let method = if is_forward { "forward" } else { "backward" };
        self.ask(method, move |state, seen| {
            state.joined(&room, &seen.user)?;
            let count = state.events.len();
            let from = from.map(|place| place_of(&place)).transpose()?;
            let of_room = |(_, one): &(usize, &Event)| one.room == room;
            let all = state.events.iter().enumerate();
            let limit = usize::try_from(limit).unwrap();
            let found: Vec<_> = if is_forward {
                all.skip(from.unwrap_or(0)).filter(of_room).take(limit).collect()
            } else {
                all.take(from.unwrap_or(count)).rev().filter(of_room).take(limit).collect()
            };
            let next = found.last().map(|(at, _)| (at + usize::from(is_forward)).to_string());
            Ok(Page { events: found.into_iter().map(|(_, one)| seen.view(one)).collect(), next })
        })
    }

    /// What happened since the device looked before; none: nothing.
    fn batch(&self, state: &mut State, waits: bool) -> Option<Batch> {
        let key = (self.user.clone(), self.device.clone());
        let device = state.devices.get_mut(&key).unwrap();
        let (messages, keys) = (std::mem::take(&mut device.messages), std::mem::take(&mut device.keys));
        let (since, here) = (device.position, state.events.len());
        let mut batch = Batch {
            since: since.map(|place| place.to_string()),
            next_batch: here.to_string(),
            rooms: Vec::new(),
            left: Vec::new(),
            invited: Vec::new(),
            keys: RoomKeys::Of(keys),
            messages,
        };
        for (id, room) in &state.rooms {
            let new =
                state.events.iter().enumerate().skip(since.unwrap_or(0)).filter(|(_, one)| one.room == *id);
            let new: Vec<_> = new.collect();
            let Some((first, _)) = new.first() else { continue };
            match room.people.get(&self.user).map(|person| person.has_joined) {
                Some(true) => {
                    let skipped = if since.is_none() { new.len().saturating_sub(FIRST_EVENTS) } else { 0 };
                    batch.rooms.push(RoomBatch {
                        room: id.clone(),
                        events: new.iter().skip(skipped).map(|(_, one)| self.view(one)).collect(),
                        limited: since.is_none(),
                        prev_batch: Some((first + skipped).to_string()),
                    });
                }
                Some(false) => batch.invited.push(id.clone()),
                None => {
                    let own = |one: &Event| one.event.state_key.as_ref() == Some(&self.user);
                    if since.is_some() && new.iter().any(|(_, one)| own(one)) {
                        batch.left.push(id.clone());
                    }
                }
            }
        }
        let is_empty = batch.rooms.is_empty()
            && batch.left.is_empty()
            && batch.invited.is_empty()
            && batch.messages.is_empty()
            && batch.keys == RoomKeys::Of(BTreeMap::new());
        if waits && since.is_some() && is_empty {
            return None;
        }
        state.devices.get_mut(&key).unwrap().position = Some(here);
        Some(batch)
    }
}

fn place_of(text: &str) -> Result<usize, MatrixError> {
    text.parse().map_err(|_| MatrixError::BadInput { detail: format!("`{text}` is no place") })
}

impl Homeserver for Seen {
    fn logout(&self) -> Answer<()> {
        self.ask("logout", |_, _| Ok(()))
    }

    fn whoami(&self) -> Answer<String> {
        self.ask("whoami", |_, seen| Ok(seen.user.clone()))
    }

    fn other_devices(&self) -> Answer<usize> {
        self.ask("other_devices", |state, seen| {
            Ok(state
                .devices
                .keys()
                .filter(|(user, device)| *user == seen.user && *device != seen.device)
                .count())
        })
    }

    fn position(&self) -> Answer<Option<String>> {
        let seen = self.clone();
        // It is known without a request.
        Box::pin(async move {
            let state = seen.server.state();
            let device = &state.devices[&(seen.user.clone(), seen.device.clone())];
            Ok(device.position.map(|place| place.to_string()))
        })
    }

    fn next(&self, _: Option<&str>, wait: Duration) -> Answer<Batch> {
        let seen = self.clone();
        Box::pin(async move {
            let until = Instant::now() + wait;
            let mut changed = seen.server.changed.subscribe();
            loop {
                {
                    let mut state = seen.server.state();
                    if let Some(failure) = state.failure("next") {
                        return Err(failure.error);
                    }
                    if let Some(batch) = seen.batch(&mut state, Instant::now() < until) {
                        return Ok(batch);
                    }
                }
                // Nothing has happened by then: an empty batch.
                let _ = timeout_at(until, changed.changed()).await;
            }
        })
    }

    fn send_to_device(&self, user: &str, device: &str, kind: &str, content: &Value) -> Answer<()> {
        let to = (user.to_owned(), device.to_owned());
        let (kind, content) = (kind.to_owned(), to_raw_value(content).unwrap());
        self.ask("send_to_device", move |state, seen| {
            let encryption = Encryption { device: Some(seen.device.clone()), trust: Trust::Signed };
            let found = state.devices.get_mut(&to);
            let found =
                found.ok_or_else(|| MatrixError::NotFound { what: format!("the device {}", to.1) })?;
            found.messages.push(DeviceMessage { sender: seen.user.clone(), kind, content, encryption });
            Ok(())
        })
    }

    fn create_room(&self, room: CreateRoom) -> Answer<RoomInfo> {
        self.ask("create_room", move |state, seen| {
            let id = state.create_room(&seen.user, room);
            Ok(state.info(&id, &seen.user))
        })
    }

    fn rooms(&self) -> Answer<Vec<RoomInfo>> {
        self.ask("rooms", |state, seen| {
            let own = state.rooms.iter().filter(|(_, room)| room.people.contains_key(&seen.user));
            Ok(own.map(|(id, _)| state.info(id, &seen.user)).collect())
        })
    }

    fn resolve(&self, name: RoomName) -> Answer<String> {
        self.ask("resolve", move |state, _| {
            if name.is_id() {
                return Ok(name.to_string());
            }
            let found = state.rooms.iter().find(|(_, room)| room.alias.as_deref() == Some(name.as_str()));
            found
                .map(|(id, _)| id.clone())
                .ok_or_else(|| MatrixError::NotFound { what: format!("the room {name}") })
        })
    }

    fn room(&self, room: &str) -> Answer<RoomInfo> {
        let room = room.to_owned();
        self.ask("room", move |state, seen| {
            let known = state.rooms.get(&room).is_some_and(|room| room.people.contains_key(&seen.user));
            known.then(|| state.info(&room, &seen.user)).ok_or(MatrixError::NotJoined { room })
        })
    }

    fn is_encrypted(&self, room: &str) -> Answer<bool> {
        self.ask_in("is_encrypted", room, |room, _| Ok(room.is_encrypted))
    }

    fn successor(&self, room: &str) -> Answer<Option<RoomName>> {
        self.ask_in("successor", room, |room, _| Ok(room.successor.as_ref().map(|id| id.parse().unwrap())))
    }

    fn succeeds(&self, room: &str, old: &str) -> Answer<Option<bool>> {
        let old = old.to_owned();
        self.ask_in("succeeds", room, move |room, _| Ok(Some(room.predecessor == Some(old))))
    }

    fn join(&self, name: RoomName) -> Answer<RoomInfo> {
        self.ask("join", move |state, seen| {
            let id = name.to_string();
            let room =
                state.rooms.get(&id).ok_or(MatrixError::NotFound { what: format!("the room {id}") })?;
            match room.people.get(&seen.user).map(|person| person.has_joined) {
                Some(true) => {}
                Some(false) => state.set_person(&id, &seen.user, Some(true)),
                None => return Err(MatrixError::Forbidden { detail: "nobody invited it".to_owned() }),
            }
            Ok(state.info(&id, &seen.user))
        })
    }

    fn invite(&self, room: &str, user: &str) -> Answer<()> {
        let (room, user) = (room.to_owned(), user.to_owned());
        self.ask("invite", move |state, seen| {
            if !state.joined(&room, &seen.user)?.people.contains_key(&user) {
                state.set_person(&room, &user, Some(false));
            }
            Ok(())
        })
    }

    fn joined_ms(&self, room: &str) -> Answer<Option<i64>> {
        self.ask_in("joined_ms", room, |room, seen| Ok(Some(room.people[&seen.user].since_ms)))
    }

    fn member(&self, room: &str, user: &str) -> Answer<Option<Member>> {
        let user = user.to_owned();
        self.ask_in("member", room, move |room, _| {
            let found = room.people.get(&user).filter(|person| person.has_joined);
            Ok(found.map(|person| member(&user, person)))
        })
    }

    fn members(&self, room: &str) -> Answer<Vec<Member>> {
        self.ask_in("members", room, |room, _| {
            Ok(room.people.iter().map(|(user, person)| member(user, person)).collect())
        })
    }

    fn state(&self, room: &str, kind: &str) -> Answer<Vec<StateEvent>> {
        let (room, kind) = (room.to_owned(), kind.to_owned());
        self.ask("state", move |state, seen| {
            let of_kind = state.joined(&room, &seen.user)?.state.iter().filter(|((of, _), _)| *of == kind);
            Ok(of_kind
                .map(|((_, key), at)| {
                    let event = &state.events[*at].event;
                    let (sender, content) = (event.sender.clone(), event.content.clone());
                    StateEvent { sender, state_key: key.clone(), content, sent_ms: event.sent_ms }
                })
                .collect())
        })
    }

    fn forward(&self, room: &str, from: Option<&str>, limit: u32) -> Answer<Page> {
        self.page(room, from, limit, true)
    }

    fn backward(&self, room: &str, from: Option<&str>, limit: u32) -> Answer<Page> {
        self.page(room, from, limit, false)
    }

    fn beginning(&self, room: &str) -> Answer<Option<Beginning>> {
        let room = room.to_owned();
        self.ask("beginning", move |state, seen| {
            state.joined(&room, &seen.user)?;
            let first = state.events.iter().enumerate().find(|(_, one)| one.room == room);
            Ok(first.map(|(at, one)| Beginning { first: seen.view(one), place: Some(at.to_string()) }))
        })
    }

    fn place_after(&self, room: &str, event: &str) -> Answer<Option<String>> {
        let (room, event) = (room.to_owned(), event.to_owned());
        self.ask("place_after", move |state, seen| {
            state.joined(&room, &seen.user)?;
            let at = state.events.iter().position(|one| one.room == room && one.event.id == event);
            let at = at.ok_or(MatrixError::NotFound { what: format!("the event {event}") })?;
            Ok(Some((at + 1).to_string()))
        })
    }

    fn event(&self, room: &str, event: &str) -> Answer<Option<RoomEvent>> {
        let (room, event) = (room.to_owned(), event.to_owned());
        self.ask("event", move |state, seen| {
            state.joined(&room, &seen.user)?;
            let found = state.events.iter().find(|one| one.room == room && one.event.id == event);
            let found = found.ok_or(MatrixError::NotFound { what: format!("the event {event}") })?;
            Ok(Some(seen.view(found)))
        })
    }

    fn seal(&self, room: &str, event: &RoomEvent) -> Answer<Option<Seal>> {
        let event = event.id.clone();
        self.ask_in("seal", room, move |_, _| Ok(Some(Seal { session: session_of(&event), index: 0 })))
    }

    fn send(&self, room: &str, kind: &str, content: Value, transaction: &str) -> Answer<String> {
        let (room, kind, transaction) = (room.to_owned(), kind.to_owned(), transaction.to_owned());
        self.ask("send", move |state, seen| {
            state.check_level(&room, &seen.user, &kind, 0)?;
            let is_same = |one: &&Event| {
                one.room == room
                    && one.device == seen.device
                    && one.event.sender == seen.user
                    && one.event.transaction.as_ref() == Some(&transaction)
            };
            if let Some(sent) = state.events.iter().find(is_same) {
                return Ok(sent.event.id.clone());
            }
            let bytes = content.to_string().len();
            if bytes > CONTENT_BYTES_MAX {
                return Err(MatrixError::TooLarge { detail: format!("it has {bytes} bytes") });
            }
            Ok(state.push(&room, &seen.user, &seen.device, (&kind, None), &content, Some(&transaction)))
        })
    }

    fn send_state(&self, room: &str, kind: &str, key: &str, content: Value) -> Answer<String> {
        let (room, kind, key) = (room.to_owned(), kind.to_owned(), key.to_owned());
        self.ask("send_state", move |state, seen| {
            state.check_level(&room, &seen.user, &kind, 50)?;
            Ok(state.push(&room, &seen.user, &seen.device, (&kind, Some(&key)), &content, None))
        })
    }

    fn read_receipt(&self, room: &str, event: &str) -> Answer<()> {
        let (room, event) = (room.to_owned(), event.to_owned());
        self.ask("read_receipt", move |state, seen| {
            state.joined(&room, &seen.user)?;
            state.receipts.insert((seen.user.clone(), event));
            Ok(())
        })
    }

    fn upload_bytes_max(&self) -> Answer<u64> {
        self.ask("upload_bytes_max", |state, _| Ok(state.file_bytes_max))
    }

    fn upload(&self, room: &str, content: Content) -> Answer<Media> {
        let (seen, room) = (self.clone(), room.to_owned());
        Box::pin(async move {
            let bytes = content.into_bytes().await?;
            let keep = seen.ask("upload", move |state, seen| {
                let is_encrypted = state.joined(&room, &seen.user)?.is_encrypted;
                if bytes.len() as u64 > state.file_bytes_max {
                    return Err(MatrixError::TooLarge { detail: format!("it has {} bytes", bytes.len()) });
                }
                let name = format!("mxc://tests/{}", state.files.len());
                state.files.insert(name.clone(), bytes.into());
                Ok(if is_encrypted { Media::Encrypted(json!({ "url": name })) } else { Media::Plain(name) })
            });
            keep.await
        })
    }

    fn download(&self, media: Media, bytes_max: u64) -> Answer<Vec<u8>> {
        self.ask("download", move |state, _| {
            let name = match &media {
                Media::Plain(name) => name.as_str(),
                Media::Encrypted(file) => file["url"].as_str().unwrap(),
            };
            let found =
                state.files.get(name).ok_or_else(|| MatrixError::NotFound { what: name.to_owned() })?;
            if found.len() as u64 > bytes_max {
                return Err(MatrixError::FileTooLarge { bytes_max });
            }
            Ok(found.clone())
        })
    }

    fn download_in_chunks(&self, media: Media, bytes_max: u64, mut take: TakeChunk) -> Answer<()> {
        let all = self.download(media, bytes_max);
        Box::pin(async move {
            take(all.await?.into());
            Ok(())
        })
    }
}

fn member(user: &str, person: &Person) -> Member {
    let power = Power::Level(person.level);
    Member { user: user.to_owned(), name: None, power, joined: person.has_joined }
}
