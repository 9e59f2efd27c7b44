//! From events of a room to what is meant: whose words they are, whether they come in time, and what they are about.

use std::collections::BTreeMap;
use std::sync::Arc;

use cis_matrix::{MatrixError, RoomEvent, Trust};
use serde_json::Value;

use super::super::carry::{remembered_as, transaction_of};
use super::super::publish::Ready;
use super::super::render::{MESSAGE, power};
use super::super::tell::{self, what};
use super::act::{self, Done, Named};
use super::who::Speaker;
use super::{LOOKUPS, Listener, REPLIES, Stop};
use crate::account::Opened;
use crate::commands::taken_with;
use cis_core::api::{Outgoing, Priority, RoomWrite};
use cis_core::ids::RunId;
use cis_core::people::{Carried, DeviceTrust};
use cis_core::policy::redact::shapes;
use cis_core::room::command::{Hint, Inbound, Meant, Read, Request, Said, inbound};
use cis_core::room::freshness::{Arrival, Stale, input_of, input_of_sealed};
use cis_core::room::message::Message;
use cis_core::room::{EventId, UserId, reply};
use cis_local::now_ms;

/// So many events that did nothing may be read again after a crash.
const UNKEPT_MAX: usize = 100;

/// What became of an event.
enum Heard {
    /// It is nothing to us.
    Nothing,
    /// It was taken; this is said to it.
    Taken(Option<Box<RoomWrite>>),
}

impl Listener {
    /// Hears events that stand in this order before the place `behind` (none: that is not told).
    pub(super) async fn hear_all(
        &mut self,
        opened: &Opened,
        room: &str,
        events: &[RoomEvent],
        behind: Option<String>,
    ) -> Result<(), Stop> {
        let (mut writes, mut taken) = (Vec::new(), false);
        let mut stop = None;
        for event in events {
            match self.hear(opened, room, event).await {
                Ok(Heard::Nothing) => {}
                Ok(Heard::Taken(said)) => {
                    taken = true;
                    writes.extend(said.map(|said| *said));
                }
                Err(error) => {
                    // What was done is done: it is known by its input, and its reply by what it answers.
                    stop = Some(error);
                    break;
                }
            }
        }
        let unkept = self.rooms.get(room).map_or(0, |listened| listened.unkept + events.len());
        let place = behind.filter(|_| stop.is_none());
        let keeps = taken || unkept >= UNKEPT_MAX;
        let kept = place.as_ref().filter(|_| keeps);
        writes.extend(kept.into_iter().flat_map(|place| self.read_up_to(room, place)));
        let is_kept = kept.is_some();
        let replies = writes.iter().any(|write| matches!(write, RoomWrite::Queue(_)));
        if !writes.is_empty() {
            self.keep(writes).await?;
        }
        if let (Some(place), Some(listened)) = (place, self.rooms.get_mut(room)) {
            listened.place = place;
            listened.unkept = unkept;
        }
        if is_kept {
            self.is_read(room);
        }
        if replies {
            self.queued.notify_one();
        }
        stop.map_or(Ok(()), Err)
    }

    /// Hears one event.
    async fn hear(&mut self, opened: &Opened, room: &str, event: &RoomEvent) -> Result<Heard, Stop> {
        if event.state_key.is_some() || event.sender == opened.session.user {
            return Ok(Heard::Nothing);
        }
        if event.is_sealed() {
            self.rooms.get_mut(room).into_iter().for_each(|listened| listened.keep_sealed(event));
            return Ok(Heard::Nothing);
        }
        let Ok(content) = serde_json::from_str::<Value>(event.content.get()) else {
            return Ok(Heard::Nothing);
        };
        let Some(said) = inbound(&event.kind, &content) else { return Ok(Heard::Nothing) };
        let (Ok(id), Ok(sender)) = (event.id.parse::<EventId>(), event.sender.parse::<UserId>()) else {
            return Ok(Heard::Nothing);
        };
        let ours = self.ours(opened, room, &said).await?;
        let questions = &ours.questions;
        let meant = said.meant(|named| questions.contains_key(named));
        let wanted = Wanted::of(meant, questions).or(ours.card.map(Wanted::CardReply));
        let Some(wanted) = wanted else { return Ok(Heard::Nothing) };
        let Some(listened) = self.rooms.get(room) else { return Ok(Heard::Nothing) };
        let arrival =
            Arrival { event: &id, sender: &sender, sent_ms: event.sent_ms, answers: wanted.answers() };
        let stale = listened.gate.check(arrival, now_ms()).err();
        let is_told = |stale: &Stale| stale.is_told() && !matches!(wanted, Wanted::CardReply(_));
        if stale.as_ref().is_some_and(|stale| !is_told(stale)) {
            return Ok(Heard::Nothing);
        }
        // Whoever has left, or was removed, says nothing more: not even what they said before.
        let Some(member) = opened.client.member(room, &event.sender).await? else {
            return Ok(Heard::Nothing);
        };
        let mut speaker = Speaker {
            room: listened.room.clone(),
            user: sender.clone(),
            power: power(member.power),
            carried: Carried {
                room_encrypted: opened.client.is_encrypted(room).await?,
                encrypted: event.encryption.is_some(),
                device: event.encryption.as_ref().map_or(DeviceTrust::Unsigned, |it| device_trust(it.trust)),
            },
            input: input_of(&listened.room, &id, event.sent_ms),
            event: id.clone(),
            sent_ms: event.sent_ms,
        };
        // Whoever may do nothing costs no request. An approval can name them all the same.
        let may_act = wanted.answers() || self.role(&speaker).is_some();
        if event.encryption.is_some() && may_act {
            match opened.client.seal(room, event).await {
                Ok(Some(seal)) => {
                    speaker.input = input_of_sealed(&speaker.room, &seal.session, seal.index);
                    speaker.carried.device = device_trust(seal.trust);
                }
                // The homeserver has something else there by now, or nothing.
                Ok(None) | Err(MatrixError::NotFound { .. }) => return Ok(Heard::Nothing),
                Err(error) => return Err(error.into()),
            }
        }
        if stale.is_none() && wanted.is_acknowledged() && self.role(&speaker).is_some() {
            self.acknowledge(opened, room, &event.id);
        }
        let reply = match stale {
            _ if self.is_for_others(&speaker, &wanted) => None,
            Some(stale) => {
                let input = speaker.input;
                match self.node.read(move |reader| reader.find_input(input)).await? {
                    None => {
                        let hears = self.role(&speaker).is_some() && self.may_hear(&speaker);
                        hears.then(|| reply::not_done(&stale))
                    }
                    Some(made) if made == taken_with(id.as_str()) => Some(act::unfinished()),
                    // Of what was done before it is not said that it came too late.
                    Some(_) => None,
                }
            }
            None => self.done(&speaker, wanted).await?,
        };
        if let Some(listened) = self.rooms.get_mut(room) {
            listened.gate.remember(id.clone());
        }
        let thread = match &said {
            Inbound::Words { thread, .. } => thread.clone(),
            Inbound::Reaction { .. } => None,
        };
        let to = match &said {
            // What is said to a reaction stands with the question.
            Inbound::Reaction { to, .. } => to.clone(),
            Inbound::Words { .. } => id.clone(),
        };
        let reply = reply.filter(|_| self.replies.take(REPLIES, now_ms()).is_ok());
        let said = reply.map(|reply| queued(room, &id, to, thread, reply)).transpose()?;
        Ok(Heard::Taken(said.map(Box::new)))
    }

    /// Whether this is a request that the nodes of the room's owners answer, and this node is none of them: all nodes of the room may hear it.
    fn is_for_others(&self, speaker: &Speaker, wanted: &Wanted<'_>) -> bool {
        matches!(wanted, Wanted::Do(Request::Nodes | Request::Trust { .. })) && !self.owns(speaker)
    }

    /// Shows that a command or an answer was read. The homeserver does not limit that, as it does replies.
    fn acknowledge(&self, opened: &Opened, room: &str, event: &str) {
        let Ok(permit) = Arc::clone(&self.receipts).try_acquire_owned() else { return };
        let receipt = opened.client.read_receipt(room, event);
        tokio::spawn(async move {
            if let Err(error) = receipt.await {
                tracing::debug!(%error, "a command is not acknowledged by a receipt");
            }
            drop(permit);
        });
    }

    /// Whether they are told something more just now.
    fn may_hear(&mut self, speaker: &Speaker) -> bool {
        match self.role(speaker) {
            Some(_) => self.patience.take(&speaker.user, now_ms()).is_ok(),
            None => self.told.tell(&speaker.user, now_ms()),
        }
    }

    /// Does what is wanted. Gives what is said to it; none: what happens says it, or nothing is to be said.
    async fn done(&mut self, speaker: &Speaker, wanted: Wanted<'_>) -> Result<Option<Message>, Stop> {
        let role = self.role(speaker);
        let (done, is_told) = match wanted {
            Wanted::Answer { item, said, is_told } => {
                (self.answer(speaker, &Named::Exactly(item), said, None).await?, is_told)
            }
            Wanted::Do(request) if request.is_answer() => (self.act(speaker, request).await?, true),
            // They are told once, whatever they say.
            Wanted::Do(_) | Wanted::Hint(_) if role.is_none() && !self.may_hear(speaker) => return Ok(None),
            Wanted::Hint(_) if role.is_none() => return Ok(Some(reply::help(None))),
            Wanted::Do(request) => {
                let often = role.and_then(|_| self.patience.take(&speaker.user, now_ms()).err());
                if let Some(often) = often {
                    return Ok(often.first.then(|| reply::not_done(&often)));
                }
                // It has paid for its answer.
                return Ok(self.act(speaker, request).await?.message());
            }
            Wanted::Hint(hint) => (Done::Not(reply::hint(&hint)), true),
            Wanted::CardReply(_) if role.is_none() => return Ok(None),
            Wanted::CardReply(run) => (self.point_to_questions(speaker, run).await?, true),
        };
        Ok(done.message().filter(|_| is_told && self.may_hear(speaker)))
    }

    /// Which of the events that it names are messages of ours in this room, and about what.
    async fn ours(&mut self, opened: &Opened, room: &str, said: &Inbound) -> Result<Ours, Stop> {
        let named: Vec<EventId> = match said {
            Inbound::Words { to, thread, .. } => to.iter().chain(thread).cloned().collect(),
            Inbound::Reaction { to, .. } => vec![to.clone()],
        };
        let replies_to = match said {
            Inbound::Words { to, .. } => to.as_ref(),
            Inbound::Reaction { .. } => None,
        };
        let mut ours = Ours::default();
        for event in named {
            let Some(about) = self.about(opened, room, &event).await? else { continue };
            match about.what.as_str() {
                what::QUESTION => drop(about.item.and_then(|item| ours.questions.insert(event, item))),
                what::CARD if replies_to == Some(&event) => ours.card = about.run,
                _ => {}
            }
        }
        Ok(ours)
    }

    /// What a message of ours in this room is about; none: it is no message of ours that people reply to.
    async fn about(&mut self, opened: &Opened, room: &str, event: &EventId) -> Result<Option<About>, Stop> {
        let (of, id) = (room.to_owned(), event.as_str().to_owned());
        // In this order: what leaves the outbox in between is found as a message.
        let (waits, message) = self
            .node
            .read(move |reader| Ok((reader.outbox_replyable(&of)?, reader.room_message(&id)?)))
            .await?;
        if let Some(message) = message.filter(|message| message.room == room) {
            return Ok(Some(About { what: message.what, item: message.item, run: message.run }));
        }
        if waits.is_empty() || self.lookups.take(LOOKUPS, now_ms()).is_err() {
            return Ok(None);
        }
        // People can see a message, and answer it, before the homeserver's answer to its sending comes, or if that is lost.
        let found = match opened.client.event(room, event.as_str()).await {
            Ok(found) => found.filter(|found| found.sender == opened.session.user),
            Err(error) if error.is_passing() || matches!(error, MatrixError::Unauthorized { .. }) => {
                return Err(error.into());
            }
            // People choose the id: whatever is wrong with it says nothing about the room.
            Err(_) => None,
        };
        let transaction = found.and_then(|found| found.transaction);
        let sent = waits.into_iter().find(|entry| transaction == Some(transaction_of(&self.node, entry.id)));
        Ok(sent.map(|entry| {
            let Outgoing { what, item, run, .. } = entry.message;
            About { what: remembered_as(&what).to_owned(), item, run }
        }))
    }
}

/// What a message of ours is about.
struct About {
    what: String,
    item: Option<String>,
    run: Option<RunId>,
}

/// Messages of ours that somebody's words are about.
#[derive(Default)]
struct Ours {
    /// Questions, and about which item.
    questions: BTreeMap<EventId, String>,
    /// The run whose card is replied to.
    card: Option<RunId>,
}

/// What somebody wants of us.
enum Wanted<'a> {
    Do(Request),
    /// It was meant for us and not understood.
    Hint(Hint),
    Answer {
        /// By the one name that it shares with no other.
        item: String,
        said: Said<'a>,
        is_told: bool,
    },
    /// Words to the card of this run, which asks nothing.
    CardReply(RunId),
}

impl<'a> Wanted<'a> {
    fn of(meant: Meant<'a>, questions: &BTreeMap<EventId, String>) -> Option<Self> {
        match meant {
            Meant::Talk | Meant::Command(Read::NotForUs) => None,
            Meant::Command(Read::Request(request)) => Some(Self::Do(request)),
            Meant::Command(Read::Hint(hint)) => Some(Self::Hint(hint)),
            Meant::Answer { to, said, is_told } => {
                Some(Self::Answer { item: questions.get(to)?.clone(), said, is_told })
            }
        }
    }

    /// It names what it answers, so it may be older.
    fn answers(&self) -> bool {
        match self {
            Self::Answer { .. } => true,
            Self::Do(request) => request.is_answer(),
            Self::Hint(_) | Self::CardReply(_) => false,
        }
    }

    /// Whether its writer sees by a receipt that it was read. What is said aside may be meant for others.
    fn is_acknowledged(&self) -> bool {
        match self {
            Self::Do(_) | Self::Hint(_) => true,
            Self::Answer { is_told, .. } => *is_told,
            Self::CardReply(_) => false,
        }
    }
}

fn device_trust(trust: Trust) -> DeviceTrust {
    match trust {
        Trust::Unknown | Trust::Unsigned => DeviceTrust::Unsigned,
        Trust::IdentityChanged => DeviceTrust::IdentityChanged,
        Trust::Signed | Trust::Verified => DeviceTrust::Signed,
    }
}

/// A reply for the outbox: one for each event, however often that is heard.
fn queued(
    room: &str,
    heard: &EventId,
    to: EventId,
    thread: Option<EventId>,
    message: Message,
) -> Result<RoomWrite, Stop> {
    let message = match thread {
        Some(root) => message.in_thread(root),
        None => message.answering(to),
    };
    let mut content = message.content();
    shapes::hide_json(&mut content);
    let about = tell::message(room, (what::REPLY, Priority::Terminal), None, Some(heard.as_str().to_owned()));
    Ok(Ready { kind: MESSAGE.to_owned(), content }.queued(about)?)
}
