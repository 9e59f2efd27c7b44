//! Runs in rooms: what rooms are told of the runs that they follow, and (`listen`) what people say there.
//!
//! One task owns all that is told: it notices what is new in followed runs (`tell`), writes their journals (`publish`), makes what
//! people read at the moment it is sent (`render`), and spends the account's allowance (`carry`). What is to be sent
//! is durable before it is sent, under a name by which the homeserver takes it once. Nothing of a run ever waits
//! for a room: a homeserver that is slow or away costs the run nothing.
//!
//! While no room follows anything the task sleeps until one does.

mod allowance;
mod audit;
mod backlog;
mod carry;
mod export;
mod heads;
mod journal;
mod listen;
mod observe;
mod pause;
mod publish;
mod recover;
mod refusing;
mod render;
mod results;
mod tell;
mod timeline;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cis_matrix::Batch;
use tokio::sync::{Notify, broadcast};

use self::allowance::Allowance;
use self::refusing::{Matter, Refusing};
use self::render::Rendered;
use self::tell::what;
use super::commands::Command;
use super::streams::Viewer;
use crate::account::{AccountError, Backoff, News, Opened};
use crate::node::Node;
use crate::problems::{blocking, store_problem};
use crate::room_waker::RoomWaker;
use crate::server::EventBatch;
use cis_core::api::{FollowedRun, OutboxEntry, Problem, RoomState, RoomWrite};
use cis_core::event::Event;
use cis_core::federation::outgoing;
use cis_core::ids::{RunId, TimestampMs};
use cis_core::room::budget::{Budget, Next};
use cis_core::room::pace::Pace;
use cis_local::now_ms;

/// Entries of the outbox that are looked at together.
const OUTBOX_LOOK: usize = 64;

/// An account that cannot be opened, a store that cannot be read: looked at again after so long.
const TROUBLE_PAUSE: Duration = Duration::from_secs(10);

/// Bounds of how often it is looked whether a run has ended long ago.
const LOOK_MIN: Duration = Duration::from_millis(500);
const LOOK_MAX: Duration = Duration::from_secs(3600);

/// A run that a room follows, and what is new of it.
#[derive(Debug)]
struct Followed {
    kept: FollowedRun,
    /// There may be events in the store that people were not told and that are not in `fresh`.
    untold: bool,
    /// Events that just happened, in order.
    fresh: Vec<Arc<Event>>,
    /// Items of the inbox whose questions stand in the room as open ones.
    asked: BTreeSet<String>,
    /// Its card stands in the room.
    has_card: bool,
    /// It has ended, by the events that were told since it is followed here.
    has_ended: bool,
    /// When the journal is to be written.
    journal: Pace,
    /// When the card is to be edited.
    card: Pace,
    /// What the card said when it was sent last.
    essence: Option<String>,
}

impl Followed {
    /// Events of it may have passed by: the store has them.
    fn missed(&mut self) {
        self.untold = true;
        self.fresh.clear();
    }
}

/// What the task owns.
struct Rooms {
    node: Arc<Node>,
    runs: BTreeMap<RunId, Followed>,
    /// How we number what we send, by room.
    outgoing: BTreeMap<String, outgoing::Outgoing>,
    /// What is due of the outbox.
    outbox: Vec<OutboxEntry>,
    /// When more of it is due; none: it holds nothing for later.
    outbox_next: Option<TimestampMs>,
    /// Parts of these runs' journals wait in it, for the rooms that follow them.
    unsent: BTreeSet<RunId>,
    /// The newest entry that is perhaps of an earlier life of the node, and may have been sent by then; none: it is not known yet.
    earlier: Option<i64>,
    /// Tasks wait for the journals of these runs, which are not known yet.
    hurried: BTreeSet<RunId>,
    /// The outbox has to be read again.
    stale: bool,
    /// Somebody else queued something.
    waker: RoomWaker,
    /// The account, and its news, which keep it following its rooms.
    account: Option<(Opened, broadcast::Receiver<News>)>,
    budget: Budget,
    /// What is kept of it; none: no account was used.
    allowance: Option<Allowance>,
    /// What is not taken for now.
    refusing: Refusing,
    /// What was sent of entries of which nobody knows whether they arrived.
    unknown: BTreeMap<i64, Rendered>,
    /// When the homeserver was asked last, Unix ms.
    asked_ms: TimestampMs,
    /// The homeserver takes nothing: it is not asked before, Unix ms.
    away: Option<TimestampMs>,
    /// How long that lasts.
    backoff: Backoff,
    /// The homeserver gives no news either.
    is_unheard: bool,
    interval_ms: i64,
    /// It is looked again so often whether runs have ended so long ago that no room follows them any more.
    look_every: Duration,
    /// While something is to be told.
    staying: Option<Viewer>,
}

/// Starts the tasks.
pub(super) fn start(node: Arc<Node>, wake: &RoomWaker) {
    let interval_ms = i64::from(node.config.settings.dag.matrix.broadcast_interval_ms);
    let look_every = look_every(&node);
    listen::start(Arc::clone(&node), Arc::clone(&wake.listens), Arc::clone(&wake.queued));
    observe::start(Arc::clone(&node), Arc::clone(&wake.observes));
    let rooms = Rooms {
        node,
        runs: BTreeMap::new(),
        outgoing: BTreeMap::new(),
        outbox: Vec::new(),
        outbox_next: None,
        unsent: BTreeSet::new(),
        earlier: None,
        hurried: BTreeSet::new(),
        stale: true,
        waker: wake.clone(),
        account: None,
        budget: Budget::new(now_ms()),
        allowance: None,
        refusing: Refusing::default(),
        unknown: BTreeMap::new(),
        asked_ms: now_ms(),
        away: None,
        backoff: Backoff::default(),
        is_unheard: false,
        interval_ms,
        look_every,
        staying: None,
    };
    tokio::spawn(rooms.run(Arc::clone(&wake.tells)));
}

/// Why nothing goes on for a moment: the store, or the driver.
type Trouble = Problem;

/// Why something was not sent.
#[derive(Debug)]
enum Stop {
    /// Of this node.
    Trouble(Trouble),
    /// Of the homeserver.
    Matrix(cis_matrix::MatrixError),
}

impl Stop {
    /// What is wrong with one room alone; what is wrong with the account, the homeserver or the store stops all.
    fn of_one_room(self) -> Result<cis_matrix::MatrixError, Self> {
        match self {
            Self::Matrix(cis_matrix::MatrixError::Unauthorized { .. }) => Err(self),
            Self::Matrix(error) if !error.is_passing() => Ok(error),
            stop => Err(stop),
        }
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Trouble(problem)
    }
}

impl From<cis_matrix::MatrixError> for Stop {
    fn from(error: cis_matrix::MatrixError) -> Self {
        Self::Matrix(error)
    }
}

impl Rooms {
    async fn run(mut self, wake: Arc<Notify>) {
        loop {
            if let Err(problem) = self.look().await {
                tracing::warn!(detail = problem.detail, "what rooms follow cannot be read");
                tokio::time::sleep(TROUBLE_PAUSE).await;
                continue;
            }
            self.claim()
                .await
                .unwrap_or_else(|problem| tracing::warn!(detail = problem.detail, "no run is taken over"));
            if self.runs.is_empty() && self.outbox.is_empty() && self.outbox_next.is_none() && !self.stale {
                // Whoever logs out and in again is another account.
                self.account = None;
                tokio::select! {
                    () = wake.notified() => {}
                    () = self.waker.queued.notified() => {}
                }
                continue;
            }
            // Before the first look at the store, so that nothing falls between the two.
            let events = self.node.events.subscribe();
            self.runs.values_mut().for_each(Followed::missed);
            self.follow(events, &wake).await;
        }
    }

    /// Reads from the store which runs are followed.
    async fn look(&mut self) -> Result<(), Trouble> {
        if self.earlier.is_none() {
            self.earlier = Some(self.node.read(cis_store::Reader::outbox_newest).await?);
        }
        let since = ended_since(&self.node);
        let followed = self.node.read(move |reader| reader.followed_runs(since)).await?;
        let mut known = std::mem::take(&mut self.runs);
        for kept in followed {
            let run = match known.remove(&kept.run).filter(|run| run.kept.room == kept.room) {
                Some(run) => Followed { kept, ..run },
                None => self.follow_anew(kept).await?,
            };
            self.runs.insert(run.kept.run, run);
        }
        self.count_cards();
        self.hurried.retain(|run| self.runs.contains_key(run));
        // What is wrong with a room that follows nothing is nobody's trouble, and what is put off for it is not sent.
        let follows: BTreeSet<(RunId, &str)> =
            self.runs.iter().map(|(run, followed)| (*run, followed.kept.room.as_str())).collect();
        let rooms: BTreeSet<&str> = follows.iter().map(|(_, room)| *room).collect();
        let is_of = |matter: &Matter| match matter {
            Matter::Journal(run, room) => follows.contains(&(*run, room.as_str())),
            Matter::Room(room) | Matter::Message(_, room) => rooms.contains(room.as_str()),
        };
        let (left, due_ms) = (self.refusing.keep(is_of), now_ms());
        if !left.is_empty() {
            let hasten = |room| RoomWrite::Hasten { room, due_ms };
            self.keep(left.into_iter().map(hasten).collect()).await?;
        }
        self.look_into_outbox().await?;
        self.says_how_it_stands();
        Ok(())
    }

    async fn follow_anew(&self, kept: FollowedRun) -> Result<Followed, Trouble> {
        let (run, room) = (kept.run, kept.room.clone());
        let (asked, cards) = self
            .node
            .read(move |reader| {
                let asked = reader.room_items(run, &room, what::QUESTION, what::CLOSED)?;
                Ok((asked, reader.room_messages(Some(run), what::CARD, None)?))
            })
            .await?;
        Ok(Followed {
            has_card: cards.iter().any(|card| card.room == kept.room),
            kept,
            has_ended: false,
            untold: true,
            fresh: Vec::new(),
            asked,
            journal: Pace::ends(self.interval_ms),
            card: Pace::card(self.interval_ms),
            essence: None,
        })
    }

    /// Reads what is due.
    async fn look_into_outbox(&mut self) -> Result<(), Trouble> {
        let now = now_ms();
        let read = self.node.read(move |reader| {
            Ok((
                reader.outbox_due(now, OUTBOX_LOOK)?,
                reader.outbox_after(now)?,
                reader.outbox_runs(what::JOURNAL)?,
            ))
        });
        let unsent: BTreeSet<(RunId, String)>;
        (self.outbox, self.outbox_next, unsent) = read.await?;
        let follows = |(run, room): (RunId, String)| {
            self.runs.get(&run).filter(|followed| followed.kept.room == room).map(|_| run)
        };
        self.unsent = unsent.into_iter().filter_map(follows).collect();
        self.stale = false;
        self.put_off().await
    }

    /// Tells rooms what is new, until it has to be read anew who follows what.
    async fn follow(&mut self, mut events: broadcast::Receiver<Arc<EventBatch>>, wake: &Notify) {
        let again = tokio::time::Instant::now() + self.look_every;
        loop {
            let until = match self.step().await {
                Ok(until) => until,
                Err(problem) => {
                    tracing::warn!(detail = problem.detail, "rooms cannot be told what is new");
                    Some(now_ms() + i64::try_from(TROUBLE_PAUSE.as_millis()).unwrap_or(0))
                }
            };
            let pause = until.map(|at| Duration::from_millis(u64::try_from(at - now_ms()).unwrap_or(0)));
            tokio::select! {
                batch = events.recv() => match batch {
                    Ok(batch) => self.heard(batch.events()),
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.runs.values_mut().for_each(Followed::missed);
                    }
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                },
                news = next(&mut self.account) => match news {
                    Some(batch) => {
                        if std::mem::take(&mut self.is_unheard) {
                            self.is_back();
                        }
                        if let Err(problem) = self.hears(&batch).await {
                            tracing::warn!(detail = problem.detail, "what is put off stays so");
                        }
                    }
                    None => self.is_unheard = true,
                },
                () = wake.notified() => {
                    self.account = None;
                    self.is_back();
                    return;
                }
                () = self.waker.queued.notified() => self.stale = true,
                () = tokio::time::sleep_until(again) => return,
                () = sleep(pause) => {}
            }
        }
    }

    fn heard(&mut self, batch: &[Arc<Event>]) {
        for event in batch {
            if let Some(followed) = event.run.and_then(|run| self.runs.get_mut(&run)) {
                followed.fresh.push(Arc::clone(event));
            }
        }
    }

    /// Does what is to be done now. Gives when something is due next; none: nothing is, until something happens.
    async fn step(&mut self) -> Result<Option<TimestampMs>, Trouble> {
        self.claim().await?;
        // An event of a room (its power levels, an invitation) can end that it refuses messages: without an open account, none is received.
        let is_away = self.away.is_some_and(|until| until > now_ms());
        if self.account.is_none() && !is_away && self.refusing.next(now_ms()).is_some() {
            self.opened().await;
        }
        self.tell().await?;
        self.hurried.extend(self.waker.take_hurried());
        for (run, followed) in &mut self.runs {
            if self.hurried.remove(run) {
                followed.journal.wanted(now_ms());
            }
        }
        while self.stale || self.outbox_next.is_some_and(|due| due <= now_ms()) {
            self.look_into_outbox().await?;
        }
        let now = now_ms();
        self.stay(self.is_due().is_some());
        let later = [self.outbox_next, self.refusing.next(now)].into_iter().flatten().min();
        if let Some(until) = self.away.filter(|until| *until > now) {
            return Ok([self.is_due(), later].into_iter().flatten().min().map(|due| due.max(until)));
        }
        let heads = self.heads();
        Ok(match self.budget.next(now, &heads) {
            Next::Idle => later,
            Next::Wait { until, .. } => Some(later.map_or(until, |due| due.min(until))),
            // What happened while that was under way may be more urgent than what comes next.
            Next::Send(class) if self.send_first(class, now).await? => Some(now_ms()),
            Next::Send(_) => {
                let trouble = i64::try_from(TROUBLE_PAUSE.as_millis()).unwrap_or(0);
                Some(self.away.unwrap_or(now + trouble))
            }
        })
    }

    /// A node that owes a room something does not end by itself.
    fn stay(&mut self, owes: bool) {
        match (&self.staying, owes) {
            (None, true) => {
                let viewer = Viewer::new(Arc::clone(&self.node.shared), self.node.driver.clone());
                self.staying = Some(viewer);
            }
            (Some(_), false) => self.staying = None,
            _ => {}
        }
    }

    fn is_due(&self) -> Option<TimestampMs> {
        self.heads().first()
    }

    /// Counts the cards that may be edited, for the number of messages that wait.
    fn count_cards(&self) {
        let may_edit = |followed: &&Followed| followed.untold || followed.card.due(true).is_some();
        let to_edit = self.runs.values().filter(may_edit).count();
        self.node.shared.cards_to_edit.store(to_edit, Ordering::SeqCst);
    }

    /// Says what is not taken, to whom asks.
    fn says_how_it_stands(&self) {
        let mut tells = self.node.shared.tells.lock().unwrap_or_else(PoisonError::into_inner);
        *tells = self.refusing.said();
    }

    /// Waits until the disk has what is about to leave the machine.
    async fn sync(&mut self) -> Result<(), Trouble> {
        let unsynced = self.node.driver.ask(|reply| Command::Sync { reply }).await?;
        blocking(move || unsynced.wait()).await?.map_err(|error| store_problem(&error))
    }

    /// Keeps what rooms were told, durable when this returns.
    async fn keep(&mut self, writes: Vec<RoomWrite>) -> Result<(), Trouble> {
        self.stale = true;
        let settles = |write: &RoomWrite| match write {
            RoomWrite::Settle { id, .. } => Some(*id),
            _ => None,
        };
        let settled: Vec<i64> = writes.iter().filter_map(settles).collect();
        self.node.driver.ask(|reply| Command::Rooms { writes, reply }).await?;
        let mut was_refused = false;
        for id in settled {
            self.unknown.remove(&id);
            was_refused |= self.refusing.settled(id);
        }
        if was_refused {
            self.says_how_it_stands();
        }
        Ok(())
    }
}

fn unopened(error: AccountError) -> Stop {
    match error {
        AccountError::Matrix(error) => Stop::Matrix(error),
        other => Stop::Trouble(super::matrix::account_problem(&other)),
    }
}

/// What happens next in the account's rooms; none: the homeserver does not answer.
async fn next(account: &mut Option<(Opened, broadcast::Receiver<News>)>) -> Option<Arc<Batch>> {
    let Some((_, news)) = account else { return std::future::pending().await };
    loop {
        match news.recv().await {
            Ok(News::Batch(batch, _)) => return Some(batch),
            Ok(News::Away(_)) => return None,
            Ok(News::Over(_)) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// Runs that ended before then (Unix ms) are followed no longer than until all of them is told.
fn ended_since(node: &Node) -> TimestampMs {
    now_ms().saturating_sub(i64::try_from(node.config.settings.matrix.ended_age_ms).unwrap_or(i64::MAX))
}

fn look_every(node: &Node) -> Duration {
    Duration::from_millis(node.config.settings.matrix.ended_age_ms / 2).clamp(LOOK_MIN, LOOK_MAX)
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// The numbering of a room at a start: a node cannot know what of its last numbers left the machine.
fn numbering(state: &RoomState, now: TimestampMs) -> outgoing::Numbering {
    let stored = (state.incarnation > 0)
        .then(|| outgoing::Numbering::stored(state.incarnation, state.seq.saturating_add(1)));
    outgoing::Numbering::begin(stored, false, now)
}
