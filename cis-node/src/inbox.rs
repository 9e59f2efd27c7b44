//! The inbox of a node: what waits is read from the store, answers go through the driver, which types them into the prompt
//! that they are for or nowhere.

pub(crate) mod default_answer;
pub(super) mod given;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, sleep_until};

use super::commands::{AnswerTyped, AskedOfRun, Command, decided};
use crate::node::Node;
use crate::problems::{hub_problem, internal, may_have_typed, prompt_moved, unconnected};
use crate::server::{InboxApi, NodeApi as _};
use cis_core::api::{
    Answer, AnswerReceipt, AnswerWith, Ask, AskView, Decide, HandIn, InboxItem, ListInbox, Listing, Page,
    Problem, ProblemKind, ReadAsk, Say, ThreadMessage,
};
use cis_core::event::{Event, PromptKind};
use cis_core::ids::{InboxId, InputId, NodeDid, RunId, SessionId};
use cis_core::people::Allowed;
use cis_core::policy::Permit;
use cis_core::policy::act::{self, Targeted as _};
use cis_host::hub::HubError;
use cis_store::InboxFilter;

/// Nobody waits longer in one request.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Whoever waits says so again so often.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// An answer waits so long for the session to be reached, while a new node connects to the session host.
const REACH_MAX: Duration = Duration::from_secs(5);

/// So often it is looked whether it can be reached.
const REACH_EVERY: Duration = Duration::from_millis(50);

type Outcome<T> = Result<T, Problem>;

impl InboxApi for Node {
    async fn inbox(&self, _: Permit<act::ReadSessions>, query: ListInbox) -> Outcome<Listing<InboxItem>> {
        let mut filter = InboxFilter::default();
        if let Some(run) = query.run {
            filter.run = Some(self.find_run(run).await?);
        }
        if let Some(session) = query.session {
            filter.session = Some(self.find_session(session, true).await?);
        }
        self.read(move |reader| reader.inbox(filter, query.limit, query.after.as_deref())).await
    }

    async fn item(&self, _: Permit<act::ReadSessions>, name: String) -> Outcome<InboxItem> {
        self.find_item(name).await
    }

    async fn item_to_answer(&self, _: &Permit<act::Answer>, name: String) -> Outcome<InboxItem> {
        self.find_item(name).await
    }

    async fn answer(
        &self,
        permit: Permit<act::Answer>,
        item: InboxItem,
        answer: Answer,
    ) -> Outcome<AnswerReceipt> {
        // Without a session it is an approval: `allowed` of its file takes precedence over rights, so the driver decides.
        let session =
            item.session.map(|session| self.admit(permit.principal(), act::ControlSession::on(session)));
        let session = session.transpose()?;
        if let Some(receipt) = self.answered_before(&item, answer.input).await? {
            return Ok(receipt);
        }
        given::check_open(&item, cis_local::now_ms())?;
        // What a session asked does not change, but gets a hash when its turn comes.
        let changes = item.ask_type.is_none();
        if answer.hash.as_ref().is_some_and(|hash| changes && *hash != item.hash) {
            return Err(moved(&item, Some(item.clone())));
        }
        given::check_again(&item, &answer)?;
        let Some(session) = session else { return self.decide_item(&permit, item, answer).await };
        if let (Some(place), Some(run)) = (self.place_of(&item, session.target()).await?, item.run) {
            let Elsewhere { node, room, coordinates } = place;
            if item.kind == PromptKind::Password {
                let attach = format!("cis dag attach {}", session.target().short());
                return Err(given::asks_password(&item.id).hint(attach));
            }
            // What a room tells of a prompt is not all of it: the coordinator knows more.
            let answer = if coordinates { answer } else { chosen(&item, answer)? };
            let about = (run, session.target());
            return self.answer_elsewhere((node, room), about, &item, answer, permit.actor()).await;
        }
        let given = Box::new(given::given(&item, &answer)?);
        self.reach(given.session).await?;
        let mut receipt = given.receipt(permit.actor().name);
        let answered = self.driver.ask(|reply| Command::Answer { given, permit: session, reply }).await?;
        let AnswerTyped { outcome, repeated } = answered;
        receipt.repeated = repeated;
        if let Some(outcome) = outcome {
            match outcome.await.unwrap_or(Err(HubError::Stopped)) {
                Ok(written) => receipt.output_offset = Some(written.output_offset),
                Err(error) => return Err(self.not_typed(item, error).await),
            }
        }
        Ok(receipt)
    }

    async fn thread(
        &self,
        _: Permit<act::ReadSessions>,
        item: String,
        query: Page,
    ) -> Outcome<Listing<ThreadMessage>> {
        let item = self.find_item(item).await?;
        // An approval is of no session: nothing was said about it.
        let Some(session) = item.session else { return Ok(Listing { items: Vec::new(), next: None }) };
        let thread = item.thread.unwrap_or(item.id);
        self.read(move |reader| reader.thread_page(session, &thread, &query)).await
    }

    async fn ask(&self, permit: Permit<act::SpeakAs>, ask: Ask) -> Outcome<AskView> {
        let session = permit.target();
        given::check_ask(&ask)?;
        if let Some(thread) = ask.thread.clone() {
            self.own_thread(session, thread).await?;
        }
        let ask = Box::new(ask);
        let item = self.driver.ask(|reply| Command::Ask { permit, ask, reply }).await?;
        self.ask_of(session, item).await
    }

    async fn read_ask(
        &self,
        permit: Permit<act::SpeakAs>,
        item: InboxId,
        query: ReadAsk,
    ) -> Outcome<AskView> {
        let session = permit.target();
        let wait = query.wait_ms.map_or(Duration::ZERO, Duration::from_millis).min(WAIT_MAX);
        let until = Instant::now() + wait;
        // Before the first look, so that no answer falls between the two.
        let mut live = self.events.subscribe();
        let mut held = self.shared.held_asks.subscribe();
        if query.leaves {
            self.driver.tell(Command::WaitsNoMore { session, item: item.clone() });
        }
        loop {
            if !wait.is_zero() {
                self.driver.tell(Command::StillWaiting { session, item: item.clone() });
            }
            let view = self.ask_of(session, item.clone()).await?;
            if view.is_over() || Instant::now() >= until {
                return Ok(view);
            }
            let look = until.min(Instant::now() + RENEW_EVERY);
            let name = session.to_string();
            loop {
                tokio::select! {
                    events = live.recv() => match events {
                        Ok(batch) if batch.events().iter().any(|event| may_end_ask(event, &name)) => break,
                        Ok(_) => {}
                        Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => return Err(internal(&"the node is stopping")),
                    },
                    Ok(()) = held.changed() => break,
                    () = sleep_until(look) => break,
                }
            }
        }
    }

    async fn withdraw_ask(&self, permit: Permit<act::SpeakAs>, item: InboxId) -> Outcome<AskView> {
        let session = permit.target();
        let view = self.ask_of(session, item.clone()).await?;
        if view.is_over() {
            return Ok(view);
        }
        let wanted = item.clone();
        self.driver.ask(|reply| Command::WithdrawAsk { permit, item: wanted, reply }).await?;
        self.ask_of(session, item).await
    }

    async fn say(&self, permit: Permit<act::SpeakAs>, say: Say) -> Outcome<()> {
        given::check_say(&say)?;
        if let Some(thread) = say.thread.clone() {
            self.own_thread(permit.target(), thread).await?;
        }
        let say = Box::new(say);
        self.driver.ask(|reply| Command::Say { permit, say, reply }).await
    }

    async fn hand_in(&self, permit: Permit<act::SpeakAs>, result: HandIn) -> Outcome<()> {
        given::check_result(result.text.as_deref())?;
        self.driver.ask(|reply| Command::HandIn { permit, result, reply }).await
    }
}

impl Node {
    /// The item that a name means.
    pub(crate) async fn find_item(&self, name: String) -> Outcome<InboxItem> {
        self.read(move |reader| reader.item(&name)).await.map(|known| known.item).map_err(|problem| {
            match problem.kind {
                ProblemKind::NotFound => problem.hint("`cis inbox` lists what waits"),
                ProblemKind::Ambiguous => problem.hint(
                    "give more letters; where those are the same, name what waits: `SESSION` or `RUN:TASK`",
                ),
                _ => problem,
            }
        })
    }

    /// Who may decide an item, and its run, where it is an approval whose file says that.
    pub(crate) async fn who_may_decide(&self, item: &InboxItem) -> Outcome<Option<(RunId, Allowed)>> {
        let (Some(run), Some(task), PromptKind::Approval) = (item.run, item.task.clone(), item.kind) else {
            return Ok(None);
        };
        let allowed = self.driver.ask(|reply| Command::Allowed { run, task, reply }).await?;
        Ok(allowed.map(|allowed| (run, allowed)))
    }

    /// The receipt of an answer that came before under this id and needs nothing more.
    async fn answered_before(&self, item: &InboxItem, input: InputId) -> Outcome<Option<AnswerReceipt>> {
        let Some(closed) = &item.closed else { return Ok(None) };
        if let (Some(run), Some(task), None) = (item.run, &item.task, item.session) {
            let same = self.control.has_decided(input, run, task)
                || self.made::<String>(input).await?.is_some_and(|made| made == decided(run, task));
            let (by, text) = (closed.by.clone().unwrap_or_default(), closed.text.clone().unwrap_or_default());
            let receipt = AnswerReceipt::new(item.id.clone(), by, text);
            return Ok(same.then_some(AnswerReceipt { repeated: true, ..receipt }));
        }
        let name = item.name();
        let known = self.read(move |reader| reader.item(&name)).await?;
        let same = known.answer.filter(|(_, first)| *first == input);
        Ok(same.map(|(answer, _)| AnswerReceipt {
            bytes: answer.bytes,
            repeated: true,
            ..AnswerReceipt::new(item.id.clone(), answer.by, answer.text)
        }))
    }

    /// An answer to an approval is its decision.
    async fn decide_item(
        &self,
        permit: &Permit<act::Answer>,
        item: InboxItem,
        answer: Answer,
    ) -> Outcome<AnswerReceipt> {
        let option = given::option_of(&item, &answer.with)?;
        let (Some(run), Some(task)) = (item.run, item.task) else {
            return Err(internal(&format!("the approval {} is of no task", item.id)));
        };
        let (by, approve) = (permit.actor().name, option.id == "approve");
        let decide = Decide { approve, reason: answer.reason };
        self.run_verb(AskedOfRun::answer(permit, run, task, decide, answer.input)).await?;
        Ok(AnswerReceipt::new(item.id, by, option.label))
    }

    /// Waits until the node knows a live session again, after it was started or lost the session host.
    async fn reach(&self, session: SessionId) -> Outcome<()> {
        let until = Instant::now() + REACH_MAX;
        loop {
            match self.expose(session).await {
                Err(problem) if problem == unconnected(session) => {
                    if Instant::now() >= until {
                        return Err(problem);
                    }
                    sleep(REACH_EVERY).await;
                }
                // Whatever else is wrong, the driver says it of the answer.
                _ => return Ok(()),
            }
        }
    }

    /// What is said where an answer was not typed.
    async fn not_typed(&self, item: InboxItem, error: HubError) -> Problem {
        let screen = match &error {
            // It may have been typed: nobody else's answer may be typed as well.
            error if error.may_have_typed() => {
                return may_have_typed(ProblemKind::Unavailable, error);
            }
            HubError::PromptMoved { screen, .. } => Some(screen.clone()),
            HubError::NoLine { .. }
            | HubError::Prefilled { .. }
            | HubError::Elsewhere { .. }
            | HubError::SeveralRead { .. } => {
                return Problem::new(ProblemKind::BadInput, error.to_string());
            }
            HubError::NoSuchSession { id } => match self.expose(*id).await {
                // It lives, but its screen is not there yet.
                Ok(()) => return unconnected(*id),
                Err(problem) if problem.kind == ProblemKind::Unavailable => return problem,
                Err(_) => None,
            },
            _ => None,
        };
        let Some(screen) = screen else { return Problem::new(ProblemKind::Conflict, error.to_string()) };
        let filter = InboxFilter { session: item.session, ..InboxFilter::default() };
        let now = self.read(move |reader| reader.open_items(filter)).await.unwrap_or_default();
        let mut next = now
            .into_iter()
            .map(|known| known.item)
            .find(|next| next.id != item.id)
            .unwrap_or_else(|| item.clone());
        next.screen = screen;
        moved(&item, Some(next))
    }

    /// Refuses what is to be typed where a password is asked for. What was typed before that and is sent again is not typed again.
    pub(super) async fn asks_no_password(&self, session: SessionId, input: InputId) -> Outcome<()> {
        let verdict = self.hub.explain(session).await.ok().and_then(|known| known.verdict);
        let asks = verdict.is_some_and(|verdict| verdict.kind == PromptKind::Password);
        if !asks {
            return Ok(());
        }
        // Only the host knows whether it was typed: an earlier life of this node may have recorded it, and ended before it sent it.
        let is_recorded = self.read(move |reader| reader.find_input(input)).await?.is_some();
        if is_recorded && self.hub.has_typed(session, input).await.map_err(|error| hub_problem(&error))? {
            return Ok(());
        }
        let refused = HubError::Password { id: session };
        Err(Problem::new(ProblemKind::Conflict, refused.to_string())
            .hint(format!("cis dag attach {}", session.short())))
    }

    /// What a session asked, as it is now.
    async fn ask_of(&self, session: SessionId, item: InboxId) -> Outcome<AskView> {
        let held = self.shared.held_asks.get(session, &item);
        match held {
            Some(ask) if ask.is_over() => Ok(ask),
            // This node may coordinate the run by now.
            Some(ask) => {
                let known = self.read(move |reader| reader.ask(session, &item)).await;
                Ok(known.ok().filter(AskView::is_over).unwrap_or(ask))
            }
            None => self.read(move |reader| reader.ask(session, &item)).await,
        }
    }

    /// Where an answer is forwarded to; none: it is for this node.
    pub(crate) async fn place_of(&self, item: &InboxItem, session: SessionId) -> Outcome<Option<Elsewhere>> {
        let Some(run) = item.run else { return Ok(None) };
        let (owner, ..) = self.read(move |reader| reader.term(run)).await?;
        let coordinates = !self.identity.is_or_was(&owner);
        let node = if coordinates {
            Some(owner)
        } else {
            let node = self.read(move |reader| reader.node_of(session)).await?;
            node.filter(|node| !self.identity.is_or_was(node))
        };
        let Some(node) = node else { return Ok(None) };
        let room = self.read(move |reader| reader.run(run)).await?.room;
        Ok(Some(Elsewhere { node, room, coordinates }))
    }

    /// A thread is continued by the session that began it alone.
    async fn own_thread(&self, session: SessionId, thread: InboxId) -> Outcome<()> {
        self.ask_of(session, thread).await.map(drop).map_err(|problem| match problem.kind {
            ProblemKind::NotFound => problem.hint("a thread is named by the first ask of this session in it"),
            _ => problem,
        })
    }
}

/// Another node, to which an answer is forwarded.
pub(crate) struct Elsewhere {
    pub(crate) node: NodeDid,
    /// The room of the run.
    pub(crate) room: Option<String>,
    /// It coordinates the run. Otherwise this node does, and that one has the session.
    pub(crate) coordinates: bool,
}

/// An answer that was looked at, with the option that it means.
pub(crate) fn chosen(item: &InboxItem, mut answer: Answer) -> Outcome<Answer> {
    if let given::Meant::Option(option) = given::meant(item, &answer)? {
        answer.with = AnswerWith::Option { option: format!("id:{}", option.id) };
    }
    Ok(answer)
}

/// The prompt is another one than the answer is for.
fn moved(item: &InboxItem, next: Option<InboxItem>) -> Problem {
    let mut problem = prompt_moved(&item.id);
    problem.item = next.map(Box::new);
    problem
}

/// Whether an ask of this session may be over with this event.
fn may_end_ask(event: &Arc<Event>, session: &str) -> bool {
    matches!(
        event.type_name.as_str(),
        "cis.dag.session.answered"
            | "cis.dag.session.ask_withdrawn"
            | "cis.dag.session.ended"
            | "cis.dag.task.result"
    ) && event.body.get().contains(session)
}
