//! What people say in rooms, and what becomes of it.
//!
//! One task owns it: it reads the rooms that may say something, event by event from the place up to which that was
//! done (`hear`), does what may be done (`act`), and keeps replies together with the place behind what they answer.
//! After a crash in between the same is read again; it counts once, by the input that an event is.
//!
//! Those are rooms of runs that are open or ended a short while ago, and, where runs may be started from rooms,
//! the one that is configured and the node's own. While there is none the task sleeps. What is wrong with one room keeps
//! nobody from being heard in another.

mod act;
mod files;
mod hear;
mod moved;
mod pointed;
mod room;
mod show;
mod who;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use cis_matrix::{Batch, MatrixError, RoomKeys, RoomName};
use tokio::sync::{Notify, Semaphore, broadcast};

use self::moved::Replaced;
use self::room::Listened;
use super::pause::{Pause, ROOM_PAUSE};
use super::{Stop, ended_since, look_every, unopened};
use crate::account::{News, Opened};
use crate::commands::Command;
use crate::node::Node;
use crate::own_room;
use crate::shared::Hears;
use cis_core::api::{Problem, RoomWrite};
use cis_core::ids::RunId;
use cis_core::people::{Patience, Told};
use cis_core::rate::{Bucket, Rate};
use cis_core::room::UserId;

/// Replies that are sent, to whomever. Homeservers take a message each 5 s by default, and what waits for people comes
/// first; more replies than this would wait for ever. At first there are more than one person can ask for, so that one person does not silence the
/// others.
const REPLIES: Rate = Rate::new(20, 5_000);

/// Events that people reply to and that this node does not know: so many are looked up, as one may be a message whose sending is not known
/// yet.
const LOOKUPS: Rate = Rate::new(50, 1_000);

/// Refusals that are written into the events: nobody may fill the store with them.
const AUDITS: Rate = Rate::new(50, 60_000);

/// So many receipts are under way at once; one that is left out is covered by the next.
const RECEIPTS_MAX: usize = 64;

/// What follows from a failure that passes by itself.
const TRIED_AGAIN: &str = "it is tried again";

/// What the task owns.
struct Listener {
    node: Arc<Node>,
    /// The account whose rooms these are: its user and device.
    account: Option<(String, String)>,
    rooms: BTreeMap<String, Listened>,
    /// Rooms that cannot be read, and why.
    deaf: BTreeMap<String, String>,
    /// Rooms that others took the place of.
    replaced: BTreeMap<String, Replaced>,
    told: Told,
    patience: Patience,
    replies: Bucket,
    lookups: Bucket,
    audits: Bucket,
    /// A reply was queued.
    queued: Arc<Notify>,
    /// Receipts that may be under way at once.
    receipts: Arc<Semaphore>,
    /// Whom it was said to that a run's card is no question.
    pointed: BTreeSet<(UserId, RunId)>,
}

/// Starts the task. It says by `queued` that there is something to be sent.
pub(super) fn start(node: Arc<Node>, wake: Arc<Notify>, queued: Arc<Notify>) {
    let listener = Listener {
        node,
        account: None,
        rooms: BTreeMap::new(),
        deaf: BTreeMap::new(),
        replaced: BTreeMap::new(),
        told: Told::new(),
        patience: Patience::default(),
        replies: Bucket::default(),
        lookups: Bucket::default(),
        audits: Bucket::default(),
        queued,
        receipts: Arc::new(Semaphore::new(RECEIPTS_MAX)),
        pointed: BTreeSet::new(),
    };
    tokio::spawn(listener.run(wake));
}

impl Listener {
    async fn run(mut self, wake: Arc<Notify>) {
        let mut pause = Pause::default();
        loop {
            let wanted = self.wanted().await;
            if wanted.as_ref().is_ok_and(BTreeSet::is_empty) {
                self.rooms.clear();
                self.stands(None);
                wake.notified().await;
                continue;
            }
            let began = tokio::time::Instant::now();
            let done = match wanted {
                Ok(wanted) => self.listen(wanted, &wake).await,
                Err(problem) => Err(problem.into()),
            };
            let Err(stop) = done else { continue };
            pause.worked_since(began);
            let (why, next) = match &stop {
                Stop::Trouble(problem) => {
                    (problem.detail.clone(), problem.hint.clone().unwrap_or_else(|| TRIED_AGAIN.to_owned()))
                }
                Stop::Matrix(error) => (error.to_string(), next_after(error).to_owned()),
            };
            if matches!(&stop, Stop::Matrix(error) if error.is_passing()) {
                tracing::info!(why, "the node cannot read its rooms");
            } else {
                tracing::warn!(why, "the node cannot read its rooms");
            }
            self.stands(Some(unheard(&why, &next)));
            pause.after(&stop, &wake).await;
        }
    }

    /// The rooms in which somebody may say something that matters.
    async fn wanted(&self) -> Result<BTreeSet<String>, Problem> {
        let since = ended_since(&self.node);
        let mut rooms = self.node.read(move |reader| reader.rooms_of_runs(since)).await?;
        if self.node.config.settings.matrix.trust_in_rooms {
            rooms.extend(
                self.node.members.rooms().into_iter().filter(|room| self.node.members.is_owner(room)),
            );
        }
        if self.node.config.settings.matrix.run_dirs.is_empty() {
            return Ok(rooms);
        }
        rooms.extend(self.node.config.settings.dag.room_id.clone());
        let path = self.node.home.own_room();
        let own = tokio::task::spawn_blocking(move || own_room::load(&path)).await;
        rooms.extend(own.ok().and_then(Result::ok).flatten().map(|own| own.room));
        Ok(rooms)
    }

    /// Hears what is said, until it has to be read anew where.
    async fn listen(&mut self, wanted: BTreeSet<String>, wake: &Notify) -> Result<(), Stop> {
        let opened = self.node.matrix.open().await.map_err(unopened)?;
        let account = (opened.session.user.clone(), opened.session.device.clone());
        if self.account.as_ref() != Some(&account) {
            self.rooms.clear();
            self.account = Some(account);
        }
        let mut news = opened.feed.subscribe();
        // Who may do what is known by following the room.
        opened.feed.refresh().await?;
        self.deaf.clear();
        self.replaced.clear();
        let found = self.joined(&opened, wanted).await?;
        for room in &found {
            self.follow_on(&opened, room).await?;
        }
        self.rooms.retain(|room, _| found.contains(room));
        for room in found {
            let entered =
                if self.rooms.contains_key(&room) { Ok(()) } else { self.enter(&opened, &room).await };
            if let Err(stop) = entered {
                self.passes_by(&room, stop)?;
                continue;
            }
            self.catch_up(&opened, &room).await?;
        }
        // Keys may have come meanwhile.
        self.open_sealed(&opened, &RoomKeys::Any).await?;
        self.stands(None);
        let mut is_away = false;
        let again = tokio::time::Instant::now() + ROOM_PAUSE;
        let rests = tokio::time::Instant::now() + look_every(&self.node);
        loop {
            tokio::select! {
                said = news.recv() => match said {
                    Ok(News::Batch(batch, _)) => {
                        if std::mem::take(&mut is_away) {
                            self.stands(None);
                        }
                        if !self.take(&opened, &batch).await? {
                            return Ok(());
                        }
                    }
                    Ok(News::Away(why)) => {
                        is_away = true;
                        self.stands(Some(unheard(&why, TRIED_AGAIN)));
                    }
                    Ok(News::Over(error)) => return Err(error.into()),
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
                            self.catch_up(&opened, &room).await?;
                        }
                        self.open_sealed(&opened, &RoomKeys::Any).await?;
                    }
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                () = wake.notified() => return Ok(()),
                // Runs of these rooms may have ended long ago.
                () = tokio::time::sleep_until(rests) => return Ok(()),
                () = tokio::time::sleep_until(again), if !self.deaf.is_empty() || self.awaits_rooms() => return Ok(()),
            }
        }
    }

    /// Takes what just happened. False: it has to be looked anew which rooms there are.
    async fn take(&mut self, opened: &Opened, batch: &Batch) -> Result<bool, Stop> {
        for left in &batch.left {
            if self.rooms.remove(left).is_some() {
                tracing::warn!(room = left, "the account is no longer in this room");
                self.deaf.insert(left.clone(), "the account is no longer in it".to_owned());
                self.stands(None);
            }
        }
        for room in batch.invited.iter().chain(batch.rooms.iter().map(|news| &news.room)) {
            if self.leads_on(opened, room).await? {
                return Ok(false);
            }
        }
        for news in &batch.rooms {
            if self.deaf.contains_key(&news.room) {
                return Ok(false);
            }
            if !self.rooms.contains_key(&news.room) {
                continue;
            }
            if news.limited {
                self.catch_up(opened, &news.room).await?;
            } else {
                let heard =
                    self.hear_all(opened, &news.room, &news.events, Some(batch.next_batch.clone())).await;
                if let Err(stop) = heard {
                    self.passes_by(&news.room, stop)?;
                }
            }
        }
        self.open_sealed(opened, &batch.keys).await?;
        Ok(true)
    }

    /// The ids of those of these rooms, some maybe named by an alias, in which the account is.
    async fn joined(&mut self, opened: &Opened, names: BTreeSet<String>) -> Result<BTreeSet<String>, Stop> {
        let rooms = opened.client.rooms().await?;
        let joined: BTreeSet<String> =
            rooms.into_iter().filter(|room| !room.invited).map(|room| room.room_id).collect();
        let mut found = BTreeSet::new();
        for name in names {
            let id = match name.parse::<RoomName>() {
                _ if joined.contains(&name) => Ok(name.clone()),
                Ok(alias) if !alias.is_id() => opened.client.resolve(alias).await,
                _ => Ok(name.clone()),
            };
            match id {
                Ok(id) if joined.contains(&id) => drop(found.insert(id)),
                Ok(id) => drop(self.deaf.insert(id, "the account is not in it".to_owned())),
                Err(error) => self.passes_by(&name, error.into())?,
            }
        }
        Ok(found)
    }

    /// What is wrong with one room is that room's; what is wrong with the account or the store stops all.
    fn passes_by(&mut self, room: &str, stop: Stop) -> Result<(), Stop> {
        let error = stop.of_one_room()?;
        tracing::warn!(room, %error, "nothing that is said in this room is heard");
        self.rooms.remove(room);
        self.deaf.insert(room.to_owned(), error.to_string());
        self.stands(None);
        Ok(())
    }

    /// Says how it stands, to whom asks.
    fn stands(&self, trouble: Option<String>) {
        // While nothing is heard, no room is.
        let rooms = if trouble.is_none() { self.rooms.keys().cloned().collect() } else { Vec::new() };
        let of_rooms = || {
            self.deaf.iter().map(|(room, why)| format!("nothing that is said in room {room} is heard: {why}"))
        };
        let trouble =
            trouble.map_or_else(|| of_rooms().chain(self.awaited()).collect(), |trouble| vec![trouble]);
        *self.node.shared.hears.lock().unwrap_or_else(PoisonError::into_inner) = Hears { rooms, trouble };
    }

    /// Keeps what was read and queued, durable when this returns.
    async fn keep(&self, writes: Vec<RoomWrite>) -> Result<(), Problem> {
        self.node.driver.ask(|reply| Command::Rooms { writes, reply }).await
    }
}

/// That nothing is heard, as `cis node status` says it.
fn unheard(why: &str, next: &str) -> String {
    format!("the node cannot read its rooms: {why}; {next}")
}

/// What follows where the homeserver says this.
fn next_after(error: &MatrixError) -> &'static str {
    match error {
        MatrixError::Unauthorized { .. } => {
            "`cis matrix logout --forget` and `cis matrix login` make another one"
        }
        _ => TRIED_AGAIN,
    }
}
