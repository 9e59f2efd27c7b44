//! From events of a room to what is meant: whose words they are, whether they come in time, and what they are about.

use std::collections::BTreeSet;

use cis_matrix::{RoomEvent, Trust};
use serde_json::Value;

use super::super::publish::Ready;
use super::super::tell::what;
use super::act::{Done, Named};
use super::who::Speaker;
use super::{Listener, Stop, UNKEPT_MAX};
use crate::api::{Outgoing, Priority, RoomWrite};
use crate::matrix::Opened;
use crate::node::api::internal;
use crate::node::driver::now_ms;
use crate::policy::redact::shapes;
use crate::room::command::{Hint, Inbound, Meant, Read, Request, Said, inbound};
use crate::room::freshness::{Arrival, input_of};
use crate::room::message::Message;
use crate::room::people::Carried;
use crate::room::{EventId, UserId, reply};

impl Listener {
    /// Hears events that stand in this order before the place `behind`.
    pub(super) async fn hear_all(
        &mut self,
        opened: &Opened,
        room: &str,
        events: &[RoomEvent],
        behind: String,
    ) -> Result<(), Stop> {
        let mut writes = Vec::new();
        for event in events {
            if let Some(said) = self.hear(opened, room, event).await? {
                writes.push(said);
            }
        }
        let Some(listened) = self.rooms.get_mut(room) else { return Ok(()) };
        listened.place.clone_from(&behind);
        listened.unkept += events.len();
        let replies = !writes.is_empty();
        if replies || listened.unkept >= UNKEPT_MAX {
            listened.unkept = 0;
            writes.push(RoomWrite::Read { room: room.to_owned(), token: behind });
            self.keep(writes).await?;
        }
        if replies {
            self.queued.notify_one();
        }
        Ok(())
    }

    /// Hears one event. Gives what is said to it.
    async fn hear(
        &mut self,
        opened: &Opened,
        room: &str,
        event: &RoomEvent,
    ) -> Result<Option<RoomWrite>, Stop> {
        if event.state_key.is_some() || event.sender == opened.session.user {
            return Ok(None);
        }
        let Ok(content) = serde_json::from_str::<Value>(event.content.get()) else { return Ok(None) };
        let Some(said) = inbound(&event.kind, &content) else { return Ok(None) };
        let (Ok(id), Ok(sender)) = (event.id.parse::<EventId>(), event.sender.parse::<UserId>()) else {
            return Ok(None);
        };
        let questions = self.questions(room, &said).await?;
        let meant = said.meant(|named| questions.contains(named));
        let Some(wanted) = Wanted::of(meant) else { return Ok(None) };
        let Some(listened) = self.rooms.get_mut(room) else { return Ok(None) };
        let arrival =
            Arrival { event: &id, sender: &sender, sent_ms: event.sent_ms, answers: wanted.answers() };
        let speaker = Speaker {
            room: listened.room.clone(),
            user: sender.clone(),
            power: super::super::render::power(opened.client.power(room, &event.sender).await?),
            carried: Carried {
                room_encrypted: opened.client.is_encrypted(room).await?,
                encrypted: event.encryption.is_some(),
                device_signed: event.encryption.as_ref().is_some_and(|it| it.trust >= Trust::Signed),
            },
            input: input_of(&listened.room, &id, event.sent_ms),
        };
        let reply = match listened.gate.admit(arrival, now_ms()) {
            Err(stale) if stale.is_told() && self.role(&speaker).is_some() => Some(reply::not_done(&stale)),
            Err(_) => None,
            Ok(()) => self.done(&speaker, wanted).await?,
        };
        let Some(reply) = reply else { return Ok(None) };
        let thread = match &said {
            Inbound::Words { thread, .. } => thread.clone(),
            Inbound::Reaction { .. } => None,
        };
        Ok(Some(queued(room, &id, thread, reply)?))
    }

    /// Does what is wanted. Gives what is said to it; none: what happens says it, or nothing is to be said.
    async fn done(&mut self, speaker: &Speaker, wanted: Wanted<'_>) -> Result<Option<Message>, Stop> {
        let answers = wanted.answers();
        // Who answers what waits is heard however much they said before.
        if !answers && let Err(often) = self.patience.take(&speaker.user, now_ms()) {
            let may_hear = often.first && self.role(speaker).is_some();
            return Ok(may_hear.then(|| reply::not_done(&often)));
        }
        let (done, is_told) = match wanted {
            Wanted::Hint(hint) => return Ok(self.role(speaker).is_some().then(|| reply::hint(&hint))),
            Wanted::Do(request) => (self.act(speaker, request).await?, true),
            Wanted::Answer { to, said, is_told } => {
                let question = to.as_str().to_owned();
                let message = self.node.read(move |reader| reader.room_message(&question)).await?;
                let Some(name) = message.and_then(|message| message.item) else { return Ok(None) };
                (self.answer(speaker, &Named::Exactly(name), said, None).await?, is_told)
            }
        };
        Ok(match done {
            Done::AsSeen => None,
            Done::Says(message) => Some(message),
            // Wrong answers are answered, but not for ever.
            Done::Not(message) => {
                let may_hear = is_told && (!answers || self.patience.take(&speaker.user, now_ms()).is_ok());
                may_hear.then_some(message)
            }
            Done::Refused(refusal) => {
                let first = self.told.tell(&speaker.user, now_ms());
                let may_hear = first || (self.role(speaker).is_some() && is_told);
                may_hear.then(|| reply::not_done(&refusal))
            }
        })
    }

    /// Which of the events that it names are questions of ours in this room.
    async fn questions(&self, room: &str, said: &Inbound) -> Result<BTreeSet<EventId>, Stop> {
        let named: Vec<EventId> = match said {
            Inbound::Words { to, thread, .. } => to.iter().chain(thread).cloned().collect(),
            Inbound::Reaction { to, .. } => vec![to.clone()],
        };
        let mut questions = BTreeSet::new();
        for event in named {
            let id = event.as_str().to_owned();
            let message = self.node.read(move |reader| reader.room_message(&id)).await?;
            if message.is_some_and(|message| message.what == what::QUESTION && message.room == room) {
                questions.insert(event);
            }
        }
        Ok(questions)
    }
}

/// What somebody wants of us.
enum Wanted<'a> {
    Do(Request),
    /// It was meant for us and not understood.
    Hint(Hint),
    Answer {
        to: &'a EventId,
        said: Said<'a>,
        is_told: bool,
    },
}

impl<'a> Wanted<'a> {
    fn of(meant: Meant<'a>) -> Option<Self> {
        match meant {
            Meant::Talk | Meant::Command(Read::NotForUs) => None,
            Meant::Command(Read::Request(request)) => Some(Self::Do(request)),
            Meant::Command(Read::Hint(hint)) => Some(Self::Hint(hint)),
            Meant::Answer { to, said, is_told } => Some(Self::Answer { to, said, is_told }),
        }
    }

    /// It names what it answers, so it may be older.
    fn answers(&self) -> bool {
        match self {
            Self::Answer { .. } => true,
            Self::Do(request) => {
                matches!(request, Request::Answer { .. } | Request::Approve { .. } | Request::Reject { .. })
            }
            Self::Hint(_) => false,
        }
    }
}

/// A reply for the outbox: one for each event, however often that is heard.
fn queued(room: &str, to: &EventId, thread: Option<EventId>, message: Message) -> Result<RoomWrite, Stop> {
    let message = match thread {
        Some(root) => message.in_thread(root),
        None => message.answering(to.clone()),
    };
    let mut content = message.content();
    shapes::hide_json(&mut content);
    let ready = Ready { kind: "m.room.message".to_owned(), content };
    Ok(RoomWrite::Queue(Outgoing {
        room: room.to_owned(),
        priority: Priority::Human,
        what: what::REPLY.to_owned(),
        run: None,
        item: Some(to.as_str().to_owned()),
        payload: serde_json::to_string(&ready).map_err(|error| internal(&error))?,
        due_ms: now_ms(),
    }))
}
