//! What one turn of the driver makes durable, and who is told of it then.
//!
//! Owns everything that is written in the turn's transaction, and what waits for it. If it cannot be written, all of it is
//! kept for the next try.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

use super::idempotency::KeyDigests;
use crate::commands::{AnswerSource, Reply};
use cis_core::api::{Problem, RoomWrite};
use cis_core::event::{EventBody, EventDraft, ExecutionMode};
use cis_core::federation::session_news;
use cis_core::ids::{InboxId, InputId, Offset, RunId, SessionId, TaskId};
use cis_core::term_size::TermSize;
use cis_host::hub;
use cis_store::{SessionFacts, StoreError, TaskSeed, Writer};

/// Tells a caller what became of its request: it is durable, or why it never will be.
pub(super) type Confirmation = Box<dyn FnOnce(Result<(), Problem>) + Send>;

/// Gives `answer` once the turn is durable.
fn confirmation<T: Send + 'static>(reply: Reply<T>, answer: Result<T, Problem>) -> Confirmation {
    Box::new(move |durable| {
        // Whoever asked may be gone.
        let _ = reply.send(durable.and(answer));
    })
}

/// What the store is told beside an event.
pub(super) enum Beside {
    Nothing,
    /// The tasks of a run that is created.
    Tasks(Vec<TaskSeed>),
    /// What is known of a session that is created.
    Session(SessionFacts),
    /// It is of another node, as a room tells it; with the tasks where it is the creation of a run. Nothing follows from it
    /// here: no room is told, nobody is called, and its inputs are not ours.
    Told(Option<Vec<TaskSeed>>),
}

/// An answer that is to be typed once the turn is durable.
pub(super) struct Typing {
    pub(super) source: AnswerSource,
    pub(super) item: InboxId,
    pub(super) typed: hub::Answer,
}

/// See the module.
#[derive(Default)]
pub(super) struct Turn {
    drafts: Vec<(EventDraft, Beside)>,
    room_writes: Vec<RoomWrite>,
    /// What is known of tasks of other coordinators; none: nothing any more.
    held: Vec<(RunId, TaskId, Option<String>)>,
    /// What stands in the store under a name.
    notes: Vec<(&'static str, Cow<'static, str>)>,
    /// Terminals of sessions that have another size.
    sizes: BTreeMap<SessionId, TermSize>,
    /// A room follows another run with this turn, or one less.
    followed: bool,
    typings: Vec<Typing>,
    confirmations: Vec<Confirmation>,
    cleanings: Vec<Confirmation>,
    /// What its inputs made, or why they make nothing: sent again, they make nothing more.
    made: BTreeMap<InputId, String>,
}

/// What is known once a turn is written.
pub(super) struct Written {
    /// Runs of which a room told something.
    pub(super) told: BTreeSet<RunId>,
    /// A room follows another run, or one less.
    pub(super) followed: bool,
}

impl Turn {
    /// Adds an event.
    pub(super) fn draft(&mut self, draft: EventDraft) {
        self.draft_with(draft, Beside::Nothing);
    }

    pub(super) fn draft_with(&mut self, draft: EventDraft, beside: Beside) {
        self.drafts.push((draft, beside));
    }

    pub(super) fn draft_all(&mut self, drafts: impl IntoIterator<Item = EventDraft>) {
        self.drafts.extend(drafts.into_iter().map(|draft| (draft, Beside::Nothing)));
    }

    /// Adds what is to be kept about rooms.
    pub(super) fn keep(&mut self, writes: impl IntoIterator<Item = RoomWrite>) {
        self.room_writes.extend(writes);
    }

    /// Keeps what is known of a task of another coordinator; none: nothing any more.
    pub(super) fn hold(&mut self, run: RunId, task: TaskId, what: Option<String>) {
        self.held.push((run, task, what));
    }

    /// Keeps a word under a name.
    pub(super) fn note(&mut self, name: &'static str, word: impl Into<Cow<'static, str>>) {
        self.notes.push((name, word.into()));
    }

    /// Keeps the size of a session's terminal.
    pub(super) fn resize(&mut self, session: SessionId, size: TermSize) {
        self.sizes.insert(session, size);
    }

    /// Writes the sizes that terminals have now. After the facts of sessions that begin: these have the size at the start.
    pub(super) fn write_sizes(&self, writer: &mut Writer) -> Result<(), StoreError> {
        self.sizes.iter().try_for_each(|(session, size)| writer.session_resized(*session, *size))
    }

    /// Types an answer once the turn is durable.
    pub(super) fn type_then(&mut self, typing: Typing) {
        self.typings.push(typing);
    }

    /// Gives `answer` once the turn is durable.
    pub(super) fn confirm<T: Send + 'static>(&mut self, reply: Reply<T>, answer: Result<T, Problem>) {
        self.confirm_by(confirmation(reply, answer));
    }

    pub(super) fn confirm_by(&mut self, confirmation: Confirmation) {
        self.confirmations.push(confirmation);
    }

    /// Confirms a cleaning. It fails at once if the turn cannot be written.
    pub(super) fn confirm_cleaning<T: Send + 'static>(&mut self, reply: Reply<T>, cleaned: T) {
        self.cleanings.push(confirmation(reply, Ok(cleaned)));
    }

    /// Notes what an input made.
    pub(super) fn make(&mut self, input: InputId, made: String) {
        self.made.insert(input, made);
    }

    /// What an input made in this turn.
    pub(super) fn made_by(&self, input: InputId) -> Option<&String> {
        self.made.get(&input)
    }

    /// Whether a session asks this in this turn.
    pub(super) fn asks(&self, session: SessionId, item: &InboxId) -> bool {
        self.drafts.iter().any(|(draft, _)| match &draft.body {
            EventBody::SessionAsked { session: by, ask, .. } => *by == session && ask.item == *item,
            _ => false,
        })
    }

    /// Whether a session without a run ends in this turn.
    pub(super) fn ends(&self, session: SessionId) -> bool {
        self.drafts.iter().any(|(draft, _)| match &draft.body {
            EventBody::SessionEnded { session: ended, .. } => *ended == session,
            _ => false,
        })
    }

    /// Whether something of a run happens in this turn.
    pub(super) fn tells_of(&self, run: RunId) -> bool {
        self.drafts.iter().any(|(draft, _)| draft.run == Some(run))
    }

    /// Whether there is something to write.
    pub(super) fn writes(&self) -> bool {
        let beside = !self.room_writes.is_empty() || !self.held.is_empty() || !self.notes.is_empty();
        !self.drafts.is_empty() || !self.made.is_empty() || !self.sizes.is_empty() || beside
    }

    /// Whether nothing waits for the end of the turn.
    pub(super) fn is_over(&self) -> bool {
        !self.writes() && self.typings.is_empty() && self.confirmations.is_empty()
    }

    /// Adds what is to be written to the transaction.
    pub(super) fn write(
        &mut self,
        writer: &mut Writer,
        mut id: impl FnMut() -> ulid::Ulid,
        digests: &KeyDigests,
    ) -> Result<(), StoreError> {
        for (draft, beside) in &self.drafts {
            self.followed |= append(writer, draft, beside, id())?;
        }
        self.room_writes.iter().try_for_each(|write| writer.room(write))?;
        self.held.iter().try_for_each(|(run, task, what)| writer.hold(*run, task, what.as_deref()))?;
        for (input, made) in &self.made {
            writer.remember_input(*input, &digests.noted(*input, made))?;
        }
        self.notes.iter().try_for_each(|(name, word)| writer.set_meta(name, word))
    }

    /// Lets go of what was written. What waits for that is to be taken now.
    pub(super) fn written(&mut self, digests: &mut KeyDigests) -> Written {
        let told = |(draft, beside): (EventDraft, Beside)| match beside {
            Beside::Told(_) => draft.run,
            _ => None,
        };
        let told = self.drafts.drain(..).filter_map(told).collect();
        self.room_writes.clear();
        self.held.clear();
        self.notes.clear();
        self.sizes.clear();
        digests.made(self.made.keys());
        self.made.clear();
        Written { told, followed: take(&mut self.followed) }
    }

    /// Gives up what was to be written. Who waits for it is still to be told.
    pub(super) fn give_up(&mut self) {
        self.drafts.clear();
        self.room_writes.clear();
        self.held.clear();
        self.notes.clear();
        self.sizes.clear();
        self.typings.clear();
        self.made.clear();
    }

    /// Takes who is told that the turn is durable.
    pub(super) fn take_confirmations(&mut self) -> Vec<Confirmation> {
        let mut all = take(&mut self.confirmations);
        all.append(&mut self.cleanings);
        all
    }

    /// Takes what is typed now that the turn is durable.
    pub(super) fn take_typings(&mut self) -> Vec<Typing> {
        take(&mut self.typings)
    }

    /// Fails the cleanings of this turn: a cleaning makes space, so it cannot wait for space.
    pub(super) fn refuse_cleanings(&mut self, why: &StoreError) {
        if !self.cleanings.is_empty() {
            self.drafts.retain(|(draft, _)| !matches!(draft.body, EventBody::NodeCleaned { .. }));
            self.cleanings.drain(..).for_each(|confirm| confirm(Err(why.into())));
        }
    }
}

/// Whether a room follows a run from now on, or no longer, or has to listen again.
fn append(
    writer: &mut Writer,
    draft: &EventDraft,
    beside: &Beside,
    id: ulid::Ulid,
) -> Result<bool, StoreError> {
    let offset = match beside {
        Beside::Nothing => writer.append(draft, id)?,
        Beside::Tasks(tasks) => writer.append_run(draft, id, tasks)?,
        Beside::Session(facts) => writer.append_session(draft, id, facts)?,
        Beside::Told(tasks) => {
            match tasks {
                Some(tasks) => writer.append_run(draft, id, tasks)?,
                None => writer.append(draft, id)?,
            };
            remember_read(writer, draft)?;
            return Ok(false);
        }
    };
    let following = following(draft, offset);
    // In the room of a run that ended long ago nobody was heard any more.
    let again = matches!(draft.body, EventBody::RunRetried { .. } | EventBody::RunVoided {});
    if let Some(write) = &following {
        writer.room(write)?;
    }
    Ok(following.is_some() || again)
}

/// What a room tells of requests of sessions is known: a worker tells it again to a node that takes the run over. Ids of others' events
/// are not used as they are, as they could be those of requests to this node.
fn remember_read(writer: &mut Writer, draft: &EventDraft) -> Result<(), StoreError> {
    let of_session = matches!(
        draft.body,
        EventBody::SessionAsked { .. }
            | EventBody::SessionAnswered { .. }
            | EventBody::SessionSaid { .. }
            | EventBody::TaskHandedIn { .. }
    );
    match draft.cause.filter(|_| of_session) {
        Some(cause) => writer.remember_input(session_news::read_id(cause), "read in a room"),
        None => Ok(()),
    }
}

/// Whether a room follows a run from this event on, or no longer.
fn following(draft: &EventDraft, offset: Offset) -> Option<RoomWrite> {
    let run = draft.run?;
    let (mode, room) = match &draft.body {
        EventBody::RunCreated(facts) => (facts.mode, &facts.room),
        EventBody::RunModeChanged { mode, room } => (*mode, room),
        _ => return None,
    };
    match (mode, room) {
        (ExecutionMode::Local, _) if matches!(draft.body, EventBody::RunCreated(_)) => None,
        (ExecutionMode::Local, _) | (_, None) => Some(RoomWrite::Unfollow { run }),
        (_, Some(room)) => {
            Some(RoomWrite::Follow { run, room: room.clone(), from: offset.saturating_sub(1) })
        }
    }
}

/// What the store remembers of an input that asked.
pub(super) fn asked(session: SessionId, item: &InboxId) -> String {
    format!("asked {item} of {session}")
}

/// Of one that told something.
pub(super) fn said(session: SessionId) -> String {
    format!("said by {session}")
}

/// Of one that handed in a result.
pub(super) fn handed_in(session: SessionId) -> String {
    format!("handed in by {session}")
}

/// What the store remembers of an input that answered.
pub(super) fn answered(session: SessionId, item: &InboxId) -> String {
    format!("answered {item} of {session}")
}

/// What the store remembers of an input that was typed.
pub(super) fn typed_into(session: SessionId) -> String {
    format!("typed into {session}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::event::{AskRecord, AskType, Urgency};
    use tokio::sync::oneshot;

    fn draft(body: EventBody, cause: Option<InputId>) -> EventDraft {
        EventDraft { run: None, at_ms: 1, actor: None, cause, body }
    }

    fn cleaned() -> EventDraft {
        let rule = "age".to_owned();
        draft(EventBody::NodeCleaned { rule, runs: Vec::new(), sessions: Vec::new() }, None)
    }

    fn typed(input: InputId) -> EventDraft {
        let session = SessionId::from_parts(1, 1);
        draft(EventBody::SessionInput { session, task: None, input, bytes: 3 }, Some(input))
    }

    #[test]
    fn what_is_written_is_let_go_of_and_then_confirmed() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(&folder.path().join("cis.db")).unwrap();
        let (mut turn, mut digests) = (Turn::default(), KeyDigests::default());
        let (input, made) = (InputId::from_parts(1, 1), typed_into(SessionId::from_parts(1, 1)));
        let (reply, mut answer) = oneshot::channel();
        turn.draft(typed(input));
        turn.make(input, made.clone());
        turn.confirm(reply, Ok(()));
        assert!(turn.writes() && turn.made_by(input) == Some(&made));
        turn.write(&mut writer, ulid::Ulid::new, &digests).unwrap();
        assert_eq!(writer.commit().unwrap().len(), 1);
        let Written { told, followed } = turn.written(&mut digests);
        assert!(told.is_empty() && !followed && !turn.writes() && turn.made_by(input).is_none());
        assert_eq!(writer.find_input(input).unwrap(), Some(made), "the store knows it now");
        assert!(answer.try_recv().is_err(), "it is not confirmed yet");
        turn.take_confirmations().into_iter().for_each(|confirm| confirm(Ok(())));
        assert!(answer.try_recv().unwrap().is_ok() && turn.is_over());
    }

    #[test]
    fn what_is_asked_in_a_turn_is_known_before_it_is_written() {
        let (one, other) = (SessionId::from_parts(1, 1), SessionId::from_parts(1, 2));
        let input = InputId::from_parts(1, 1);
        let item = InboxId::of_ask(one, input);
        let ask = AskRecord {
            item: item.clone(),
            ask: input,
            ask_type: AskType::Permission,
            text: "Which?".to_owned(),
            options: Vec::new(),
            urgency: Urgency::Medium,
            thread: item.clone(),
            waits: true,
        };
        let mut turn = Turn::default();
        assert!(!turn.asks(one, &item));
        turn.draft(draft(EventBody::SessionAsked { session: one, task: None, ask: Box::new(ask) }, None));
        assert!(turn.asks(one, &item) && !turn.asks(other, &item));
    }

    #[test]
    fn a_session_that_ends_in_a_turn_is_known_to_before_it_is_written() {
        let (one, other) = (SessionId::from_parts(1, 1), SessionId::from_parts(1, 2));
        let mut turn = Turn::default();
        assert!(!turn.ends(one));
        let ended =
            EventBody::SessionEnded { session: one, exit: None, detail: None, ended_ms: 1, log_bytes: 0 };
        turn.draft(draft(ended, None));
        assert!(turn.ends(one) && !turn.ends(other));
        turn.written(&mut KeyDigests::default());
        assert!(!turn.ends(one), "the store knows it now");
    }

    #[test]
    fn a_cleaning_does_not_wait_for_space_and_others_do() {
        let mut turn = Turn::default();
        let (cleaning, mut refused) = oneshot::channel();
        let (other, mut waits) = oneshot::channel();
        turn.draft(cleaned());
        turn.confirm_cleaning(cleaning, ());
        turn.draft(typed(InputId::from_parts(1, 1)));
        turn.confirm(other, Ok(()));
        turn.refuse_cleanings(&StoreError::NotFound { what: "space", name: String::new() });
        assert!(refused.try_recv().unwrap().is_err() && waits.try_recv().is_err());
        assert_eq!(turn.drafts.len(), 1, "nothing is recorded of the cleaning");
        turn.take_confirmations().into_iter().for_each(|confirm| confirm(Ok(())));
        assert!(waits.try_recv().unwrap().is_ok());
    }
}
