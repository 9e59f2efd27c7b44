//! The homeserver as one device of an account sees it: what nodes ask of it.

use std::collections::BTreeMap;
use std::time::Duration;

use cis_matrix::{
    Answer, Batch, Beginning, Content, CreateRoom, DeviceMessage, Encryption, MatrixError, Media, Member,
    Page, Power, RoomBatch, RoomEvent, RoomInfo, RoomKeys, RoomName, Seal, StateEvent, Trust,
};
use cis_node::{Homeserver, TakeChunk};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::Server;
use super::state::{Event, Person, Room, State, session_of};

/// Bytes of an event's content that are taken: a whole event may have 65,536.
const CONTENT_BYTES_MAX: usize = 65_000;

/// Events of a room in the first batch of a device.
const FIRST_EVENTS: usize = 10;

/// The homeserver as one device of an account sees it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) server: Server,
    pub(super) user: String,
    pub(super) device: String,
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
            seen.server.pass(method).await;
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
            if !is_forward {
                state.missed.clear();
            }
            let of_room =
                |(_, one): &(usize, &Event)| one.room == room && !state.missed.contains(&one.event.id);
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

    /// A room as the device knows it: before its state came, it has no name.
    fn info(&self, state: &State, id: &str) -> RoomInfo {
        let info = state.info(id, &self.user);
        let since = state.devices[&(self.user.clone(), self.device.clone())].position.unwrap_or(0);
        let is_known = info.invited || state.events.iter().take(since).any(|one| one.room == id);
        if is_known { info } else { RoomInfo { name: "Empty Room".to_owned(), ..info } }
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
            state.letters.push((seen.user.clone(), to.0, kind.clone()));
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
            Ok(own.map(|(id, _)| seen.info(state, id)).collect())
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
            known.then(|| seen.info(state, &room)).ok_or(MatrixError::NotJoined { room })
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
        // A room that the account is in is known without a request.
        let known = {
            let (state, id) = (self.server.state(), name.to_string());
            state.joined(&id, &self.user).is_ok().then(|| state.info(&id, &self.user))
        };
        if let Some(info) = known {
            return Box::pin(async move { Ok(info) });
        }
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
        let (room, user) = (room.to_owned(), user.to_owned());
        self.ask("member", move |state, seen| {
            state.asked_about.push(user.clone());
            let people = &state.joined(&room, &seen.user)?.people;
            let found = people.get(&user).filter(|person| person.has_joined);
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
        let (room, event) = (room.to_owned(), event.id.clone());
        self.ask("seal", move |state, seen| {
            state.joined(&room, &seen.user)?;
            let first = state.replayed.get(&event).unwrap_or(&event);
            let found = state.events.iter().find(|one| one.room == room && one.event.id == event);
            let found = found.ok_or(MatrixError::NotFound { what: format!("the event {event}") })?;
            let known = found.event.encryption.as_ref().map_or(Trust::Unknown, |encryption| encryption.trust);
            let trust = match state.changed_identities.contains(&found.event.sender) {
                true => known.min(Trust::IdentityChanged),
                false => known,
            };
            Ok(Some(Seal { session: session_of(first), index: 0, trust }))
        })
    }

    fn send(&self, room: &str, kind: &str, content: Value, transaction: &str) -> Answer<String> {
        let (room, kind, transaction) = (room.to_owned(), kind.to_owned(), transaction.to_owned());
        let (server, sent) = (self.server.clone(), kind.clone());
        let send = self.ask("send", move |state, seen| {
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
        });
        Box::pin(async move {
            server.pass(&sent).await;
            send.await
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
