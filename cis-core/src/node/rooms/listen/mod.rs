//! What people say in rooms, and what becomes of it.
//!
//! One task owns it: it reads the rooms that may say something, event by event from the place up to which that was
//! done (`hear`), does what may be done (`act`), and keeps replies together with the place behind what they answer.
//! After a crash in between the same is read again; it counts once, by the input that an event is.
//!
//! Those are rooms of runs that are open or ended a short while ago, and, where runs may be started from rooms,
//! the one that is configured and the node's own. While there is none the task sleeps.

mod act;
mod files;
mod hear;
mod who;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cis_matrix::{Batch, MatrixError, RoomName};
use tokio::sync::{Notify, broadcast};

use super::Stop;
use crate::api::{Problem, RoomWrite};
use crate::ids::TimestampMs;
use crate::matrix::{AccountError, News, Opened};
use crate::node::api::Node;
use crate::node::commands::Command;
use crate::node::driver::{Hears, now_ms};
use crate::node::own_room;
use crate::room::freshness::Gate;
use crate::room::people::{Patience, Told};
use crate::room::{RoomId, UserId};

/// Of a run that ended so long ago nothing can be asked in its room any more, ms.
const ENDED_MAX_MS: i64 = 24 * 3_600_000;

/// Events that are asked for at a time.
const PAGE: u32 = 100;

/// So many events that did nothing may be read again after a crash.
const UNKEPT_MAX: usize = 100;

/// An account that cannot be used, a homeserver that is away, a store that cannot be read.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A room that is read.
struct Listened {
    room: RoomId,
    gate: Gate,
    /// What is behind it was not read.
    place: String,
    /// Events that were read since the place was kept.
    unkept: usize,
}

/// What the task owns.
struct Listener {
    node: Arc<Node>,
    rooms: BTreeMap<String, Listened>,
    told: Told,
    patience: Patience,
    /// A reply was queued.
    queued: Arc<Notify>,
}

/// Starts the task. It says by `queued` that there is something to be sent.
pub(super) fn start(node: Arc<Node>, knock: Arc<Notify>, queued: Arc<Notify>) {
    let (told, patience) = (Told::new(), Patience::default());
    let listener = Listener { node, rooms: BTreeMap::new(), told, patience, queued };
    tokio::spawn(listener.run(knock));
}

impl Listener {
    async fn run(mut self, knock: Arc<Notify>) {
        let mut pause = PAUSE_FIRST;
        loop {
            let wanted = self.wanted().await;
            if wanted.as_ref().is_ok_and(BTreeSet::is_empty) {
                self.rooms.clear();
                self.stands(None);
                knock.notified().await;
                continue;
            }
            let began = tokio::time::Instant::now();
            let done = match wanted {
                Ok(wanted) => self.listen(wanted, &knock).await,
                Err(problem) => Err(problem.into()),
            };
            let Err(stop) = done else { continue };
            if began.elapsed() > PAUSE_MAX {
                pause = PAUSE_FIRST;
            }
            let (why, is_over) = match &stop {
                Stop::Trouble(problem) => (problem.detail.clone(), false),
                Stop::Matrix(error) => (error.to_string(), matches!(error, MatrixError::Unauthorized { .. })),
            };
            tracing::warn!(why, "nothing that is said in rooms is heard");
            let next = if is_over {
                pause = PAUSE_MAX;
                "`cis matrix logout --forget` and `cis matrix login` make another one"
            } else {
                "it is tried again"
            };
            self.stands(Some(format!("nothing that is said in rooms is heard: {why}; {next}")));
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                () = knock.notified() => pause = PAUSE_FIRST,
            }
        }
    }

    /// The rooms in which somebody may say something that matters.
    async fn wanted(&self) -> Result<BTreeSet<String>, Problem> {
        let since = now_ms() - ENDED_MAX_MS;
        let mut rooms = self.node.read(move |reader| reader.rooms_of_runs(since)).await?;
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
    async fn listen(&mut self, wanted: BTreeSet<String>, knock: &Notify) -> Result<(), Stop> {
        let opened = self.node.matrix.open().await.map_err(unopened)?;
        let mut news = opened.feed.subscribe();
        // Who may do what is known by following the room.
        opened.feed.refresh().await?;
        let found = joined(&opened, wanted).await?;
        self.rooms.retain(|room, _| found.contains(room));
        for room in found {
            if !self.rooms.contains_key(&room) {
                self.enter(&opened, room.clone()).await?;
            }
            self.catch_up(&opened, &room).await?;
        }
        self.stands(None);
        loop {
            tokio::select! {
                said = news.recv() => match said {
                    Ok(News::Batch(batch)) => self.take(&opened, &batch).await?,
                    Ok(News::Away(_)) => {}
                    Ok(News::Over(error)) => return Err(error.into()),
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
                            self.catch_up(&opened, &room).await?;
                        }
                    }
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                () = knock.notified() => return Ok(()),
            }
        }
    }

    /// Begins to read a room: where that ended before, or here and now.
    async fn enter(&mut self, opened: &Opened, room: String) -> Result<(), Stop> {
        let (Ok(id), Ok(own)) = (room.parse::<RoomId>(), opened.session.user.parse::<UserId>()) else {
            return Ok(());
        };
        let name = room.clone();
        let known = self.node.read(move |reader| reader.room_state(&name)).await?.token;
        let place = match known {
            Some(place) => place,
            None => {
                let place = opened.feed.place().await?;
                self.keep(vec![RoomWrite::Read { room: room.clone(), token: place.clone() }]).await?;
                place
            }
        };
        let joined_ms = opened.client.joined_ms(&room).await?.unwrap_or(TimestampMs::MIN);
        let settings = &self.node.config.settings.matrix;
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let gate = Gate::new(own, joined_ms).ages(ms(settings.command_age_ms), ms(settings.answer_age_ms));
        self.rooms.insert(room, Listened { room: id, gate, place, unkept: 0 });
        Ok(())
    }

    /// Reads a room from its place on, up to now.
    async fn catch_up(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        while let Some(listened) = self.rooms.get(room) {
            let page = opened.client.forward(room, &listened.place, PAGE).await?;
            if page.events.is_empty() {
                break;
            }
            let more = page.next.is_some();
            let behind = page.next.unwrap_or_else(|| listened.place.clone());
            self.hear_all(opened, room, &page.events, behind).await?;
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Takes what just happened.
    async fn take(&mut self, opened: &Opened, batch: &Batch) -> Result<(), Stop> {
        for left in &batch.left {
            if self.rooms.remove(left).is_some() {
                tracing::warn!(room = left, "the account is no longer in this room: nobody is heard there");
            }
        }
        for news in &batch.rooms {
            if !self.rooms.contains_key(&news.room) {
                continue;
            }
            if news.limited {
                self.catch_up(opened, &news.room).await?;
            } else {
                self.hear_all(opened, &news.room, &news.events, batch.next_batch.clone()).await?;
            }
        }
        Ok(())
    }

    /// Says how it stands, to whom asks.
    fn stands(&self, trouble: Option<String>) {
        let rooms = self.rooms.keys().cloned().collect();
        *self.node.shared.hears.lock().unwrap_or_else(PoisonError::into_inner) = Hears { rooms, trouble };
    }

    /// Keeps what was read and queued, durable when this returns.
    async fn keep(&self, writes: Vec<RoomWrite>) -> Result<(), Problem> {
        self.node.driver.ask(|reply| Command::Rooms { writes, reply }).await
    }
}

/// The ids of those of these rooms, some maybe named by an alias, in which the account is.
async fn joined(opened: &Opened, names: BTreeSet<String>) -> Result<BTreeSet<String>, Stop> {
    let rooms = opened.client.rooms().await?;
    let joined: BTreeSet<String> =
        rooms.into_iter().filter(|room| !room.invited).map(|room| room.room_id).collect();
    let mut found = BTreeSet::new();
    for name in names {
        if joined.contains(&name) {
            found.insert(name);
            continue;
        }
        let Ok(alias) = name.parse::<RoomName>() else { continue };
        match opened.client.resolve(alias).await {
            Ok(id) => found.extend(joined.get(&id).cloned()),
            Err(MatrixError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn unopened(error: AccountError) -> Stop {
    match error {
        AccountError::Matrix(error) => Stop::Matrix(error),
        other => Stop::Trouble(crate::node::matrix::account_problem(&other)),
    }
}
