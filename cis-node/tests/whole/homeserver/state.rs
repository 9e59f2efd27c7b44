//! What the homeserver knows: rooms, their people and their events, devices, files, failures that tests ask for.

use std::collections::{BTreeMap, BTreeSet};

use cis_local::now_ms;
use cis_matrix::{CreateRoom, DeviceMessage, Encryption, MatrixError, RoomEvent, RoomInfo, Trust};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) rooms: BTreeMap<String, Room>,
    /// Of all rooms, in order. The place behind the n-th is `n`.
    pub(super) events: Vec<Event>,
    /// By user and device.
    pub(super) devices: BTreeMap<(String, String), Device>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// Messages to devices, as they were sent: by whom, to whom, and their type.
    pub(super) letters: Vec<(String, String, String)>,
    /// Of whom it was asked whether they are in a room.
    pub(super) asked_about: Vec<String>,
    /// Events that a user has read.
    pub(super) receipts: BTreeSet<(String, String)>,
    /// Requests that fail, by the name of their method.
    pub(super) failures: Vec<Failure>,
    /// Requests that are held back, by the name of their method or by the type of the event that is sent; whether one waits.
    pub(super) held: BTreeMap<String, bool>,
    /// Nothing is answered.
    pub(super) is_away: bool,
    pub(super) file_bytes_max: u64,
    /// Events that are messages that were sent before, by their id: the first event of that message.
    pub(super) replayed: BTreeMap<String, String>,
    /// People whose identity is not the one that was seen first.
    pub(super) changed_identities: BTreeSet<String>,
    /// Events that this homeserver does not have until it reads their room backwards.
    pub(super) missed: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: String,
    pub(super) alias: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) is_encrypted: bool,
    pub(super) people: BTreeMap<String, Person>,
    /// Levels that types of events need; of state: 50, of others: none.
    pub(super) levels: BTreeMap<String, i64>,
    /// State by type and key: its event.
    pub(super) state: BTreeMap<(String, String), usize>,
    pub(super) successor: Option<String>,
    pub(super) predecessor: Option<String>,
}

#[derive(Debug)]
pub(super) struct Person {
    pub(super) has_joined: bool,
    pub(super) since_ms: i64,
    pub(super) level: i64,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) room: String,
    /// With the transaction that its device gave.
    pub(super) event: RoomEvent,
    pub(super) device: String,
    /// Nobody has its key yet.
    pub(super) is_sealed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Device {
    pub(super) position: Option<usize>,
    pub(super) messages: Vec<DeviceMessage>,
    pub(super) keys: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug)]
pub(super) struct Failure {
    pub(super) method: &'static str,
    pub(super) error: MatrixError,
    /// It is done all the same.
    pub(super) is_done: bool,
}

impl State {
    pub(super) fn room_mut(&mut self, room: &str) -> &mut Room {
        self.rooms.get_mut(room).unwrap()
    }

    pub(super) fn person_mut(&mut self, room: &str, user: &str) -> &mut Person {
        self.room_mut(room).people.get_mut(user).unwrap()
    }

    pub(super) fn event_mut(&mut self, event: &str) -> &mut Event {
        self.events.iter_mut().find(|one| one.event.id == event).unwrap()
    }

    pub(super) fn create_room(&mut self, maker: &str, room: CreateRoom) -> String {
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
        self.person_mut(&id, maker).level = 100;
        for who in room.invite {
            self.set_person(&id, &who.user, Some(false));
            self.person_mut(&id, &who.user).level = who.level;
        }
        id
    }

    /// Somebody joins (`Some(true)`), is invited, or leaves.
    pub(super) fn set_person(&mut self, room: &str, user: &str, joins: Option<bool>) {
        let people = &mut self.room_mut(room).people;
        let level = people.remove(user).map_or(0, |person| person.level);
        if let Some(has_joined) = joins {
            people.insert(user.to_owned(), Person { has_joined, since_ms: now_ms(), level });
        }
        let membership = joins.map_or("leave", |joins| if joins { "join" } else { "invite" });
        let content = json!({ "membership": membership });
        self.push(room, user, "", ("m.room.member", Some(user)), &content, None);
    }

    pub(super) fn push(
        &mut self,
        room: &str,
        sender: &str,
        device: &str,
        (kind, state_key): (&str, Option<&str>),
        content: &Value,
        transaction: Option<&str>,
    ) -> String {
        let at = self.events.len();
        let id = format!("$event{at}");
        let of = self.room_mut(room);
        let encryption = (of.is_encrypted && state_key.is_none())
            .then(|| Encryption { device: Some(device.to_owned()), trust: Trust::Signed });
        if let Some(key) = state_key {
            of.state.insert((kind.to_owned(), key.to_owned()), at);
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

    pub(super) fn copy(&mut self, event: &str, id: &str) {
        let found = self.events.iter().find(|one| one.event.id == event).unwrap();
        let event = RoomEvent { id: id.to_owned(), transaction: None, ..found.event.clone() };
        let copy = Event {
            room: found.room.clone(),
            event,
            device: found.device.clone(),
            is_sealed: found.is_sealed,
        };
        self.events.push(copy);
    }

    pub(super) fn joined(&self, room: &str, user: &str) -> Result<&Room, MatrixError> {
        let found = self.rooms.get(room);
        found
            .filter(|room| room.people.get(user).is_some_and(|person| person.has_joined))
            .ok_or_else(|| MatrixError::NotJoined { room: room.to_owned() })
    }

    pub(super) fn info(&self, id: &str, user: &str) -> RoomInfo {
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

    pub(super) fn check_level(
        &self,
        room: &str,
        user: &str,
        kind: &str,
        usual: i64,
    ) -> Result<(), MatrixError> {
        let of = self.joined(room, user)?;
        if of.people[user].level >= of.levels.get(kind).copied().unwrap_or(usual) {
            Ok(())
        } else {
            Err(MatrixError::Forbidden { detail: format!("{user} may not send {kind}") })
        }
    }

    /// The next failure of this method that was asked for.
    pub(super) fn failure(&mut self, method: &str) -> Option<Failure> {
        if self.is_away {
            return Some(Failure { method: "", error: away(false), is_done: false });
        }
        let at = self.failures.iter().position(|failure| failure.method == method)?;
        Some(self.failures.remove(at))
    }
}

pub(super) fn away(reached: bool) -> MatrixError {
    MatrixError::Offline { detail: "the homeserver of the test is away".to_owned(), reached }
}

pub(super) fn session_of(event: &str) -> String {
    format!("session of {event}")
}
