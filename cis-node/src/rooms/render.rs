//! What people read, made at the moment when it is sent, of what is true then.

use serde_json::Value;

use super::publish::Ready;
use super::tell::what;
use super::{Rooms, Stop};
use crate::declared::Declared;
use crate::logs;
use crate::problems::internal;
use cis_core::api::{InboxItem, OutboxEntry, Outgoing, Priority, RunDetail, TaskView};
use cis_core::event::RunState;
use cis_core::ids::RunId;
use cis_core::people::{Person, Power, Role, mentioned};
use cis_core::room::card::{self, Card};
use cis_core::room::message::Message;
use cis_core::room::question::Question;
use cis_core::room::thread::{self, Failure};
use cis_core::room::{EventId, Place, RoomId, UserId};
use cis_local::now_ms;

/// So much of a log's end is told with a failure, bytes.
const TAIL_BYTES: usize = 2_000;

/// Type of what people read.
pub(super) const MESSAGE: &str = "m.room.message";

/// What is sent of an entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Rendered {
    /// Type and content; none: there is nothing to be said any more.
    pub(super) event: Option<(String, Value)>,
    /// Other entries that it says too.
    pub(super) others: Vec<i64>,
    /// The entry by whose name the homeserver knows it; none: this one.
    pub(super) named: Option<i64>,
    /// It is edited, replied to or answered later.
    pub(super) remembered: bool,
    /// There is more to be said of it: it is queued once more.
    pub(super) again: bool,
    /// What follows from it.
    pub(super) more: Vec<Outgoing>,
    /// Of a card that the run's room follows: what it says.
    pub(super) essence: Option<String>,
}

impl Rendered {
    fn message(content: Value) -> Self {
        Self { event: Some((MESSAGE.to_owned(), content)), ..Self::default() }
    }

    fn remembered(self) -> Self {
        Self { remembered: true, ..self }
    }
}

impl Rooms {
    pub(super) async fn render(&mut self, entry: &OutboxEntry) -> Result<Rendered, Stop> {
        let message = &entry.message;
        if !message.payload.is_empty() {
            let ready: Ready = serde_json::from_str(&message.payload).map_err(|error| internal(&error))?;
            // A reply is known by what it answers, a change of keys by the new one: it is said once.
            let remembered = matches!(message.what.as_str(), what::REPLY | what::ROTATED);
            return Ok(Rendered {
                event: Some((ready.kind, ready.content)),
                remembered,
                ..Rendered::default()
            });
        }
        // Of a run that this room follows no longer it is told nothing but that. The store knows first.
        let is_followed = match message.run {
            Some(run) => {
                let room = self.node.read(move |reader| reader.room_of_run(run)).await?;
                room.as_ref() == Some(&message.room)
            }
            None => false,
        };
        let is_end = matches!(message.what.as_str(), what::CLOSED | what::LEFT);
        if message.run.is_some() && !is_followed && !is_end {
            return Ok(Rendered::default());
        }
        match (message.what.as_str(), message.run, &message.item) {
            (what::LEFT, _, _) if is_followed => Ok(Rendered::default()),
            (what::LEFT, Some(run), Some(item)) => self.left_question(run, item, &message.room).await,
            (what::LEFT, Some(run), None) => self.left(run, &message.room).await,
            (what::CARD, Some(run), _) => self.card(run, &message.room).await,
            (what::QUESTION | what::ESCALATED, run, Some(item)) => self.question(entry, run, item).await,
            (what::CLOSED, run, Some(item)) => self.closed(run, item, &message.room).await,
            (what::FAILURE, Some(run), _) => self.failures(run, &message.room).await,
            (what::SUMMARY, Some(run), _) => self.summary(run, &message.room).await,
            // A later version queued it.
            _ => Ok(Rendered::default()),
        }
    }

    /// The card of a run: the message, or an edit of it.
    async fn card(&mut self, run: RunId, room: &str) -> Result<Rendered, Stop> {
        let detail = self.at_a_glance(run, card::NAMED_MAX).await?;
        let card = Card { run: &detail.run, tasks: &detail.tasks, node: None, now: now_ms() };
        let (message, essence) = (card.message(), card.essence());
        let sent = self.card_of(run, room).await?;
        let rendered = match sent {
            // An edit that was sent meanwhile said the same.
            Some(_) if self.is_said(run, &essence) => return Ok(Rendered::default()),
            Some(event) => Rendered::message(message.edit_of(&event)),
            None => Rendered::message(message.content()).remembered(),
        };
        Ok(Rendered { essence: Some(essence), ..rendered })
    }

    async fn question(
        &mut self,
        entry: &OutboxEntry,
        run: Option<RunId>,
        name: &str,
    ) -> Result<Rendered, Stop> {
        let room = &entry.message.room;
        let Some(item) = self.item(name).await? else { return Ok(Rendered::default()) };
        // A session that waits for what it had asked in passing asks nothing new.
        if entry.message.what == what::QUESTION && self.open_message(run, name, room).await?.is_some() {
            return Ok(Rendered::default());
        }
        let is_over = item.closed.is_some();
        if is_over && !self.is_earlier(entry) {
            return Ok(Rendered::default());
        }
        // One that was queued in an earlier life of the node may stand in the room: under its transaction the homeserver
        // gives the message that there is, and its end becomes an edit of that.
        let say = |question: Question<'_>| {
            if is_over { question.closed() } else { Some(question.message()) }
        };
        let message = self.asked(&item, run, room, say).await?;
        Ok(message
            .map_or_else(Rendered::default, |message| Rendered::message(message.content()).remembered()))
    }

    /// Our messages in a room that ask about an item, the oldest first.
    async fn messages_of(&self, run: Option<RunId>, name: &str, room: &str) -> Result<Vec<EventId>, Stop> {
        let name = name.to_owned();
        let sent = self.node.read(move |reader| reader.room_messages(run, what::QUESTION, Some(&name)));
        let here = sent.await?.into_iter().filter(|message| message.room == room);
        Ok(here.rev().filter_map(|message| message.event.parse().ok()).collect())
    }

    /// The first of our messages in a room that asks about an item and was not edited yet to say how that ended; and
    /// whether there are more of them.
    async fn open_message(
        &self,
        run: Option<RunId>,
        name: &str,
        room: &str,
    ) -> Result<Option<(EventId, bool)>, Stop> {
        let sent = self.messages_of(run, name, room).await?;
        let of = name.to_owned();
        let edited = self.node.read(move |reader| reader.room_messages(run, what::CLOSED, Some(&of))).await?;
        let edited = edited.iter().filter(|message| message.room == room).count();
        Ok(sent.get(edited).map(|event| (event.clone(), edited + 1 < sent.len())))
    }

    /// The end of a question, as an edit of each message that asks it, one after the other.
    async fn closed(&mut self, run: Option<RunId>, name: &str, room: &str) -> Result<Rendered, Stop> {
        let Some((event, again)) = self.open_message(run, name, room).await? else {
            return Ok(Rendered::default());
        };
        let Some(item) = self.item(name).await? else { return Ok(Rendered::default()) };
        let message = self.asked(&item, run, room, |question| question.closed()).await?;
        Ok(message.map_or_else(Rendered::default, |message| Rendered {
            again,
            ..Rendered::message(message.edit_of(&event)).remembered()
        }))
    }

    /// What a card says in a room that its run has left; the questions that stand open there follow.
    async fn left(&mut self, run: RunId, room: &str) -> Result<Rendered, Stop> {
        let Some(event) = self.card_of(run, room).await? else { return Ok(Rendered::default()) };
        let name = room.to_owned();
        let open = self.node.read(move |reader| reader.room_items(run, &name, what::QUESTION, what::CLOSED));
        let tell = |item| super::tell::message(room, (what::LEFT, Priority::Terminal), Some(run), Some(item));
        let more = open.await?.into_iter().map(tell).collect();
        let detail = self.at_a_glance(run, card::NAMED_MAX).await?;
        let card = Card { run: &detail.run, tasks: &detail.tasks, node: None, now: now_ms() };
        Ok(Rendered { more, ..Rendered::message(card.left().edit_of(&event)) })
    }

    /// What a question says there that is asked elsewhere by now.
    async fn left_question(&mut self, run: RunId, name: &str, room: &str) -> Result<Rendered, Stop> {
        let Some((event, again)) = self.open_message(Some(run), name, room).await? else {
            return Ok(Rendered::default());
        };
        let Some(item) = self.item(name).await? else { return Ok(Rendered::default()) };
        let message = self.asked(&item, Some(run), room, |question| Some(question.left())).await?;
        Ok(message.map_or_else(Rendered::default, |message| Rendered {
            again,
            ..Rendered::message(message.edit_of(&event)).remembered()
        }))
    }

    async fn asked(
        &self,
        item: &InboxItem,
        run: Option<RunId>,
        room: &str,
        say: impl FnOnce(Question<'_>) -> Option<Message>,
    ) -> Result<Option<Message>, Stop> {
        let card = match run {
            Some(run) => self.card_of(run, room).await?,
            None => None,
        };
        let place = self.place(card, room);
        let view = match run {
            Some(run) => Some(self.node.read(move |reader| reader.run(run)).await?),
            None => None,
        };
        let allowed = self.node.who_may_decide(item).await?.map(|(_, allowed)| allowed);
        // The list of a gate takes precedence over roles.
        let may = |person: Person<'_>, role: Option<Role>| match &allowed {
            Some(allowed) => allowed.check(person).is_ok(),
            None => is_operator(role),
        };
        let people = self.people(room, may).await?;
        let encrypted = match &self.account {
            Some((opened, _)) => opened.client.is_encrypted(room).await?,
            None => false,
        };
        let carriers = self.node.config.settings.matrix.carriers;
        let reactions = carriers.reactions_count(encrypted, item.kind);
        Ok(say(Question {
            item,
            dag: view.as_ref().map(|view| view.dag.as_str()),
            card: place.as_ref(),
            people: &people,
            reactions,
            now: now_ms(),
        }))
    }

    /// Failures that wait to be told, in one message.
    async fn failures(&mut self, run: RunId, room: &str) -> Result<Rendered, Stop> {
        let waiting: Vec<(i64, String)> = self
            .outbox
            .iter()
            .filter(|entry| {
                entry.message.what == what::FAILURE
                    && entry.message.run == Some(run)
                    && entry.message.room == room
            })
            .filter_map(|entry| Some((entry.id, entry.message.item.clone()?)))
            .collect();
        let names: Vec<String> = waiting.iter().map(|(_, name)| name.clone()).collect();
        let detail = self.node.read(move |reader| reader.run_with_tasks(run, &names)).await?;
        // One that is tried again meanwhile has not failed.
        let failed: Vec<&TaskView> = waiting
            .iter()
            .filter_map(|(_, name)| detail.tasks.iter().find(|task| task.id.as_str() == name))
            .filter(|task| super::tell::is_failure(task.state))
            .collect();
        let mut tails = Vec::new();
        for task in &failed {
            let holder = match task.session {
                Some(session) => self.node.log_holder(session).await?,
                None => None,
            };
            // A message does not wait for a copy of the log.
            let (tail, has_more) = if holder.is_some() {
                (String::new(), true)
            } else {
                let of = Declared::of(&self.node.readers, &self.node.blobs, run);
                logs::tail_of_try(&self.node.home, of, run, &task.id, task.attempts, TAIL_BYTES).await
            };
            tails.push((tail, has_more, holder));
        }
        let failures: Vec<Failure<'_>> = failed
            .iter()
            .zip(&tails)
            .map(|(task, (tail, has_more, holder))| Failure {
                task,
                tail,
                has_more: *has_more,
                log_on: holder.as_deref(),
            })
            .collect();
        let others: Vec<i64> = waiting.iter().map(|(id, _)| *id).collect();
        // Under the name of an older one the room may have a message that says less.
        let named = others.iter().copied().max();
        let rendered = match thread::failures(&failures, &detail.run) {
            Some(message) => self.in_thread(message, run, room).await?,
            None => Rendered::default(),
        };
        Ok(Rendered { others, named, ..rendered })
    }

    /// The end of a run. Where it failed it rings, for whom the configuration names.
    async fn summary(&self, run: RunId, room: &str) -> Result<Rendered, Stop> {
        let detail = self.at_a_glance(run, thread::FAILURES_MAX).await?;
        let (view, tasks) = (&detail.run, &detail.tasks);
        if matches!(view.state, RunState::Failed | RunState::Error) {
            let people = self.called_by_failures(run, room).await?;
            if !people.is_empty() {
                let card = self.place(self.card_of(run, room).await?, room);
                let rings = thread::failed_run(view, tasks, card.as_ref(), &people, now_ms());
                return Ok(Rendered::message(rings.content()));
            }
        }
        self.in_thread(thread::summary(view, tasks, now_ms()), run, room).await
    }

    /// Whom a run that failed rings for.
    async fn called_by_failures(&self, run: RunId, room: &str) -> Result<Vec<UserId>, Stop> {
        let entries = &self.node.config.settings.dag.matrix.failure_mentions;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.node.read(move |reader| reader.events(0, Some(run), 1)).await?;
        let actor = first.first().and_then(|created| created.actor.as_ref());
        let submitter = actor.and_then(|actor| actor.name.parse::<UserId>().ok());
        Ok(mentioned(entries, submitter.as_ref(), &self.people(room, |_, role| is_operator(role)).await?))
    }

    /// Where a card lies, to be linked to.
    fn place(&self, card: Option<EventId>, room: &str) -> Option<Place> {
        let server = self.account.as_ref().map(|(opened, _)| server_of(&opened.session.user));
        let (event, room) = card.zip(room.parse::<RoomId>().ok())?;
        Some(Place { room, event, via: server.into_iter().collect() })
    }

    async fn in_thread(&self, message: Message, run: RunId, room: &str) -> Result<Rendered, Stop> {
        let message = match self.card_of(run, room).await? {
            Some(root) => message.in_thread(root),
            None => message,
        };
        Ok(Rendered::message(message.content()))
    }

    /// The event of a run's card in a room, where it was sent.
    pub(super) async fn card_of(&self, run: RunId, room: &str) -> Result<Option<EventId>, Stop> {
        let sent = self.node.read(move |reader| reader.room_messages(Some(run), what::CARD, None)).await?;
        let here = sent.iter().find(|message| message.room == room);
        Ok(here.and_then(|message| message.event.parse().ok()))
    }

    /// A run with as many of its tasks as people are shown.
    async fn at_a_glance(&self, run: RunId, failed_max: usize) -> Result<RunDetail, Stop> {
        let failed_max = u32::try_from(failed_max).unwrap_or(u32::MAX);
        Ok(self.node.read(move |reader| reader.run_at_a_glance(run, failed_max)).await?)
    }

    /// An item of the inbox; none: it is not known any more.
    pub(super) async fn item(&self, name: &str) -> Result<Option<InboxItem>, Stop> {
        match self.node.find_item(name.to_owned()).await {
            Ok(item) => Ok(Some(item)),
            Err(problem) if problem.kind == cis_core::api::ProblemKind::NotFound => Ok(None),
            Err(problem) => Err(problem.into()),
        }
    }

    /// Those in the room whom a message rings for, by who they are and their role.
    async fn people(
        &self,
        room: &str,
        may: impl Fn(Person<'_>, Option<Role>) -> bool,
    ) -> Result<Vec<UserId>, Stop> {
        let Some((opened, _)) = &self.account else { return Ok(Vec::new()) };
        let roles = &self.node.config.settings.matrix.roles;
        let mut people = Vec::new();
        for member in opened.client.members(room).await?.into_iter().filter(|member| member.joined) {
            let Ok(user) = member.user.parse::<UserId>() else { continue };
            let person = Person { id: &user, power: power(member.power) };
            if may(person, roles.of(person)) && member.user != opened.session.user {
                people.push(user);
            }
        }
        Ok(people)
    }

    /// Whether an edit of the card would say anything new.
    pub(super) async fn card_says_more(&mut self, run: RunId) -> Result<bool, Stop> {
        let detail = self.at_a_glance(run, card::NAMED_MAX).await?;
        let card = Card { run: &detail.run, tasks: &detail.tasks, node: None, now: now_ms() };
        Ok(!self.is_said(run, &card.essence()))
    }

    /// Whether the card of a run says this already.
    fn is_said(&self, run: RunId, essence: &str) -> bool {
        self.runs.get(&run).and_then(|followed| followed.essence.as_deref()) == Some(essence)
    }
}

fn is_operator(role: Option<Role>) -> bool {
    role.is_some_and(|role| role >= Role::Operator)
}

fn server_of(user: &str) -> String {
    user.split_once(':').map_or("", |(_, server)| server).to_owned()
}

pub(super) fn power(power: cis_matrix::Power) -> Power {
    match power {
        cis_matrix::Power::Level(level) => Power::Level(level),
        cis_matrix::Power::Creator => Power::Infinite,
    }
}
