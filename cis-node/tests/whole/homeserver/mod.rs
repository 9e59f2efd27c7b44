//! A homeserver in memory: rooms, who is in them, what is said, files, messages to devices.
//!
//! Nodes have it as the homeserver of their account; tests speak in its rooms as people, and let requests fail. Nothing is encrypted: of an
//! encrypted room it only says so.

mod seen;
mod state;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cis_local::now_ms;
use cis_matrix::{CreateRoom, Encryption, MatrixError, RoomEvent, Secret, Session, Trust};
use cis_node::GivenAccount;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use seen::Seen;
use state::{Event, Failure, State, away, session_of};

/// Longer than anything takes, also on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// The homeserver. Copies are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    /// Counts what happened.
    changed: Arc<watch::Sender<u64>>,
}

/// Words of somebody.
pub(crate) fn words(text: &str) -> (&'static str, Value) {
    ("m.room.message", json!({ "msgtype": "m.text", "body": text }))
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
        self.change(|state| state.room_mut(room).is_encrypted = true);
    }

    pub(crate) fn set_alias(&self, room: &str, alias: &str) {
        self.change(|state| state.room_mut(room).alias = Some(alias.to_owned()));
    }

    /// How much somebody may do in a room.
    pub(crate) fn set_level(&self, room: &str, user: &str, level: i64) {
        self.change(|state| state.person_mut(room, user).level = level);
    }

    /// The level that a type of event needs in a room.
    pub(crate) fn needs_level(&self, room: &str, kind: &str, level: i64) {
        self.change(|state| state.room_mut(room).levels.insert(kind.to_owned(), level));
    }

    /// The room says that levels in it are others now.
    pub(crate) fn says_levels(&self, room: &str, by: &str) {
        self.change(|state| {
            state.push(room, by, "", ("m.room.power_levels", Some("")), &json!({}), None);
        });
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
        self.set_predecessor(&new, old);
        self.points_to(old, maker, &new);
        new
    }

    /// Somebody says something; gives its event.
    pub(crate) fn says(&self, room: &str, user: &str, said: (&str, Value)) -> String {
        self.says_as(room, user, said, |_| {})
    }

    /// Somebody writes some words.
    pub(crate) fn writes(&self, room: &str, user: &str, text: &str) -> String {
        self.says(room, user, words(text))
    }

    /// Somebody says something at this time, Unix ms.
    pub(crate) fn says_at(&self, room: &str, user: &str, said: (&str, Value), sent_ms: i64) -> String {
        self.says_as(room, user, said, |one| one.event.sent_ms = sent_ms)
    }

    /// Somebody says something from a device that is trusted so; none: it is not encrypted.
    pub(crate) fn says_from(
        &self,
        room: &str,
        user: &str,
        said: (&str, Value),
        trust: Option<Trust>,
    ) -> String {
        let encryption = trust.map(|trust| Encryption { device: Some("PHONE".to_owned()), trust });
        self.says_as(room, user, said, |one| one.event.encryption = encryption)
    }

    fn says_as(
        &self,
        room: &str,
        user: &str,
        (kind, content): (&str, Value),
        set: impl FnOnce(&mut Event),
    ) -> String {
        self.change(|state| {
            let id = state.push(room, user, "PHONE", (kind, None), &content, None);
            set(state.events.last_mut().unwrap());
            id
        })
    }

    /// Gives an event of somebody once more.
    pub(crate) fn repeat(&self, event: &str) {
        self.change(|state| state.copy(event, event));
    }

    /// Gives the message of an event once more, as another one that was sent just now; gives its event.
    pub(crate) fn replay(&self, event: &str) -> String {
        self.change(|state| {
            let id = format!("$event{}", state.events.len());
            state.copy(event, &id);
            state.events.last_mut().unwrap().event.sent_ms = now_ms();
            state.replayed.insert(id.clone(), event.to_owned());
            id
        })
    }

    /// Somebody is in a room since this time, Unix ms.
    pub(crate) fn set_since(&self, room: &str, user: &str, since_ms: i64) {
        self.change(|state| {
            state.person_mut(room, user).since_ms = since_ms;
        });
    }

    /// A room says that it took the place of another one, which says nothing of that.
    pub(crate) fn set_predecessor(&self, room: &str, old: &str) {
        self.change(|state| state.room_mut(room).predecessor = Some(old.to_owned()));
    }

    /// A room says that another one took its place, which says nothing of that.
    pub(crate) fn points_to(&self, room: &str, by: &str, new: &str) {
        self.change(|state| {
            state.room_mut(room).successor = Some(new.to_owned());
            let content = json!({ "body": "gone on", "replacement_room": new });
            state.push(room, by, "", ("m.room.tombstone", Some("")), &content, None);
        });
    }

    /// Somebody writes some words whose key does not come yet.
    pub(crate) fn writes_sealed(&self, room: &str, user: &str, text: &str) -> String {
        self.says_as(room, user, words(text), |one| one.is_sealed = true)
    }

    /// The key of an event comes.
    pub(crate) fn unseal(&self, event: &str) {
        self.change(|state| {
            let found = state.event_mut(event);
            found.is_sealed = false;
            let (room, session) = (found.room.clone(), session_of(event));
            for device in state.devices.values_mut() {
                device.keys.entry(room.clone()).or_default().insert(session.clone());
            }
        });
    }

    /// Shows other keys of somebody from now on.
    pub(crate) fn change_identity(&self, user: &str) {
        self.change(|state| state.changed_identities.insert(user.to_owned()));
    }

    /// Nobody has the key of this event, until [`Self::unseal`].
    pub(crate) fn seal(&self, event: &str) {
        self.change(|state| {
            state.event_mut(event).is_sealed = true;
        });
    }

    /// The homeserver has missed this event, and fetches it from others once its room is read backwards.
    pub(crate) fn miss(&self, event: &str) {
        self.change(|state| state.missed.insert(event.to_owned()));
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

    /// Holds requests back, by the name of their method or by the type of the event that is sent.
    pub(crate) fn hold(&self, name: &str) {
        self.change(|state| state.held.insert(name.to_owned(), false));
    }

    /// Waits until such a request is held back.
    pub(crate) async fn holds(&self, name: &str) {
        let mut changed = self.changed.subscribe();
        let deadline = Instant::now() + LONG;
        while !self.state().held.get(name).copied().unwrap_or_default() {
            timeout_at(deadline, changed.changed()).await.expect("a request is held back").unwrap();
        }
    }

    /// Lets such requests go on.
    pub(crate) fn release(&self, name: &str) {
        self.change(|state| state.held.remove(name));
    }

    /// Waits while such requests are held back.
    async fn pass(&self, name: &str) {
        let mut changed = self.changed.subscribe();
        loop {
            let waits = self.state().held.get(name).copied();
            match waits {
                None => return,
                Some(true) => {}
                Some(false) => {
                    self.change(|state| state.held.get_mut(name).map(|waits| *waits = true));
                }
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
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

    /// Whether a file contains this text.
    pub(crate) fn a_file_has(&self, text: &str) -> bool {
        let has = |file: &Vec<u8>| file.windows(text.len()).any(|part| part == text.as_bytes());
        self.state().files.values().any(has)
    }

    /// Changes the content of an event, as a homeserver that lies does.
    pub(crate) fn forge(&self, event: &str, content: &Value) {
        self.change(|state| {
            let found = state.event_mut(event);
            found.event.content = to_raw_value(content).unwrap();
        });
    }

    /// Removes an event, as a homeserver that lies does.
    pub(crate) fn remove(&self, event: &str) {
        self.change(|state| {
            let found = state.event_mut(event);
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

    /// How many messages of this type one account sent to devices of another.
    pub(crate) fn letters(&self, from: &str, to: &str, kind: &str) -> usize {
        let is_it = |(by, user, of): &&(String, String, String)| by == from && user == to && of == kind;
        self.state().letters.iter().filter(is_it).count()
    }

    /// How often it was asked whether somebody is in a room.
    pub(crate) fn asked_about(&self, user: &str) -> usize {
        self.state().asked_about.iter().filter(|about| *about == user).count()
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
