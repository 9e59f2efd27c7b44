//! Rooms whose runs this node reads (`[matrix] observe`, and rooms with whose nodes it shares tasks): what other nodes tell
//! there goes into its store, as they tell it.
//!
//! One task owns it. At each start it reads the rooms from their first event on, which tells it what the store lacks;
//! from then on it hears them. It sends nothing, and executes nothing. What counts is `federation::recovery`'s matter; runs
//! of nodes that are not trusted are left out, and that is said. Of rooms with shared tasks it tells the driver how far
//! which journal was read, and when.

mod kept;
mod recorded;
mod sealed;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use cis_core::scheduler::Run;
use cis_matrix::{MatrixError, RoomBatch, RoomKeys, RoomName, Session};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;

use self::kept::{Keep, Known};
use self::sealed::Sealed;
use super::backlog::Backlogs;
use super::pause::{Pause, ROOM_PAUSE};
use super::timeline::Timeline;
use super::whole::Whole;
use super::{Stop, unopened};
use crate::account::{News, Opened, boot_ms};
use crate::commands::{Command, Head, TakenJournal};
use crate::node::Node;
use crate::problems::blocking;
use crate::restore;
use crate::shared::Observes;
use crate::wrong::Wrong;
use cis_core::api::Problem;
use cis_core::event::{EventBody, ExecutionMode};
use cis_core::federation::canonical::Fold;
use cis_core::federation::protocol::BootMs;
use cis_core::federation::recovery::{Extent, Fork, Fresh, Recovery};
use cis_core::ids::{NodeDid, RunId};

/// Ids of events that are kept of those that were just read: more are never read backwards.
const IDS_MAX: usize = 5000;

/// So many nodes that are not trusted are named.
const NAMED_MAX: usize = 5;

/// What the task owns.
struct Observer {
    node: Arc<Node>,
    /// By their ids.
    rooms: BTreeMap<String, Observed>,
    /// Rooms, by the names of the configuration, that cannot be read, and why.
    deaf: BTreeMap<String, String>,
    /// Runs of this node that were found to be another one's by now: their rooms have to be read anew.
    overtaken: BTreeSet<RunId>,
    /// Such runs, while that is done: what is read replaces what the store has.
    replacing: BTreeSet<RunId>,
    /// What homeservers may not have of the rooms.
    backlogs: Backlogs,
    /// What cannot be decrypted, by room. It outlives reading a room anew.
    sealed: BTreeMap<String, Sealed>,
}

/// A room that is read.
struct Observed {
    recovery: Recovery,
    runs: BTreeMap<RunId, Known>,
    /// All before it was read.
    place: String,
    /// The newest event that was read.
    newest: Option<String>,
    /// What of it is not followed, and why.
    lost: BTreeMap<RunId, String>,
    /// What the driver was not told yet.
    heads: Vec<Head>,
    /// Runs whose journals are forked, as the driver was told.
    forks: BTreeMap<RunId, Forked>,
    /// Nodes that took over what they may not, as the driver was told.
    usurpers: BTreeSet<NodeDid>,
    timeline: Timeline,
    /// Why what its owners said could not be kept.
    unkept: Option<String>,
}

/// A journal that has two entries in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forked {
    /// The entries of somebody else count, or this node does not coordinate the run.
    Elsewhere,
    /// What this node wrote does not count.
    Here,
}

impl Observed {
    /// Has the driver told how far the journal of a run was read. Where it stood before is nothing to it any more.
    fn tell_head(&mut self, head: Option<Head>) {
        if let Some(head) = head {
            head.put_into(&mut self.heads);
        }
    }
}

/// Starts the task, where rooms are to be read.
pub(super) fn start(node: Arc<Node>, wake: Arc<Notify>) {
    let observer = Observer {
        node,
        rooms: BTreeMap::new(),
        deaf: BTreeMap::new(),
        overtaken: BTreeSet::new(),
        replacing: BTreeSet::new(),
        backlogs: Backlogs::default(),
        sealed: BTreeMap::new(),
    };
    tokio::spawn(observer.run(wake));
}

impl Observer {
    async fn run(mut self, wake: Arc<Notify>) {
        let mut pause = Pause::default();
        let mut served = self.node.shared.served.subscribe();
        loop {
            if self.named().is_empty() {
                changed(&mut served).await;
                continue;
            }
            let began = Instant::now();
            let Err(stop) = self.observe(&wake).await else { continue };
            pause.worked_since(began);
            let why = match &stop {
                Stop::Trouble(problem) => problem.detail.clone(),
                Stop::Matrix(error) => error.to_string(),
            };
            tracing::warn!(why, "no room is read");
            self.stands(Some(unread(&why)));
            pause.after(&stop, &wake).await;
        }
    }

    /// The rooms that are to be read, by names or ids.
    fn named(&self) -> BTreeSet<String> {
        let observed = self.node.config.settings.matrix.observe.iter().cloned();
        observed.chain(self.node.shared.served.borrow().iter().cloned()).collect()
    }

    /// Reads all rooms, until they have to be read anew.
    async fn observe(&mut self, wake: &Notify) -> Result<(), Stop> {
        let opened = self.node.matrix.open().await.map_err(unopened)?;
        let mut trust = self.node.shared.trust.subscribe();
        trust.mark_unchanged();
        let mut served = self.node.shared.served.subscribe();
        let mut members = self.node.members.subscribe();
        let mut news = opened.feed.subscribe();
        let mut asked = boot_ms();
        opened.feed.refresh().await?;
        self.rooms.clear();
        self.deaf.clear();
        self.replacing = std::mem::take(&mut self.overtaken);
        for name in self.named() {
            if let Err(stop) = self.enter(&opened, &name).await {
                self.passes_by(&name, stop)?;
            }
        }
        // What no room tells in full stays as it is.
        self.replacing.clear();
        self.stands(None);
        self.tell_driver(asked);
        let account = (opened.session.user.clone(), opened.session.device.clone());
        let again = Instant::now() + ROOM_PAUSE;
        while self.overtaken.is_empty() {
            let search = self.next_search();
            tokio::select! {
                said = news.recv() => match said {
                    Ok(News::Batch(batch, at)) => {
                        asked = at;
                        for left in &batch.left {
                            if self.rooms.remove(left).is_some() {
                                self.deaf.insert(left.clone(), "the account is no longer in it".to_owned());
                            }
                        }
                        for said in &batch.rooms {
                            if let Err(stop) = self.hear(&opened, said, &batch.next_batch).await {
                                self.passes_by(&said.room, stop)?;
                            }
                        }
                        self.open_sealed(&opened, &batch.keys).await?;
                        self.stands(None);
                    }
                    Ok(News::Away(why)) => {
                        self.node.driver.tell(Command::RoomsAway);
                        self.stands(Some(unread(&why)));
                        continue;
                    }
                    Ok(News::Over(error)) => return Err(error.into()),
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
                            // One of the batches may have left some out.
                            self.left_out(&room);
                            if let Err(stop) = self.catch_up(&opened, &room).await {
                                self.passes_by(&room, stop)?;
                            }
                        }
                        self.open_sealed(&opened, &RoomKeys::Any).await?;
                        self.stands(None);
                    }
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                () = wake.notified() => {
                    // Most wake-ups are about runs of this node.
                    let now = self.node.matrix.open().await.map_err(unopened)?.session;
                    if (now.user.clone(), now.device.clone()) != account || !self.deaf.is_empty() {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep_until(again), if !self.deaf.is_empty() => return Ok(()),
                () = tokio::time::sleep_until(search.unwrap_or(again)), if search.is_some() => {
                    self.search(&opened).await?;
                    self.stands(None);
                }
                // What was left out may count now.
                () = changed(&mut trust) => return Ok(()),
                () = changed(&mut members) => return Ok(()),
                () = changed(&mut served) => {
                    let known = |name: &String| self.rooms.contains_key(name) || self.deaf.contains_key(name);
                    for name in self.named().into_iter().filter(|name| !known(name)).collect::<Vec<_>>() {
                        if let Err(stop) = self.enter(&opened, &name).await {
                            self.passes_by(&name, stop)?;
                        }
                    }
                    self.stands(None);
                }
            }
            self.tell_driver(asked);
        }
        Ok(())
    }

    /// Tells the driver how far the rooms were read whose tasks are shared. All that they had at `at` was.
    fn tell_driver(&mut self, at: BootMs) {
        let served = self.node.shared.served.borrow().clone();
        for (room, observed) in self.rooms.iter_mut().filter(|(room, _)| served.contains(*room)) {
            // What cannot be decrypted, or is missing, may be a takeover of one of its runs.
            let voters = || self.node.accounts_of_voters(room);
            let may_hide = self.sealed.get(room).is_some_and(|sealed| sealed.may_hide(voters));
            if !may_hide && !self.backlogs.is_unknown(room) {
                let (room, heads) = (room.clone(), std::mem::take(&mut observed.heads));
                let term = observed.timeline.keeper().cloned();
                self.node.driver.tell(Command::RoomRead { room, at, heads, term });
            }
        }
    }

    /// Reads a room from its first event on.
    async fn enter(&mut self, opened: &Opened, name: &str) -> Result<(), Stop> {
        let name: RoomName = name.parse().map_err(|error: cis_matrix::RoomNameError| {
            Stop::Matrix(MatrixError::BadInput { detail: error.to_string() })
        })?;
        let room = opened.client.resolve(name).await?;
        if self.rooms.contains_key(&room) {
            return Ok(());
        }
        let whole = Whole::begin(opened, &room).await?;
        let timeline = Timeline::open(&self.node, opened, &room, &whole).await?;
        let observed = Observed {
            recovery: Recovery::new(room.clone(), timeline.coordinators()),
            runs: BTreeMap::new(),
            place: opened.feed.place().await?,
            newest: None,
            lost: BTreeMap::new(),
            heads: Vec::new(),
            forks: BTreeMap::new(),
            usurpers: BTreeSet::new(),
            timeline,
            unkept: None,
        };
        self.rooms.insert(room.clone(), observed);
        self.sealed.entry(room.clone()).or_default().begin();
        let mut read = self.page(whole, &opened.session, &room).await.map(drop);
        if read.is_ok() {
            read = self.replace_overtaken(&room).await;
        }
        if read.is_err() {
            self.rooms.remove(&room);
        }
        read
    }

    /// Takes what was just said.
    async fn hear(&mut self, opened: &Opened, said: &RoomBatch, next: &str) -> Result<(), Stop> {
        let Some(observed) = self.rooms.get_mut(&said.room) else { return Ok(()) };
        if said.limited {
            self.left_out(&said.room);
            self.catch_up(opened, &said.room).await?;
        } else {
            let whole = Whole::new(opened, &said.room);
            self.backlogs.read(&said.room, said.events.iter().map(|event| event.id.clone()));
            observed.newest = said.events.last().map(|event| event.id.clone()).or(observed.newest.take());
            let place = Some(observed.place.as_str());
            let sealed = self.sealed.entry(said.room.clone()).or_default();
            sealed.read(place, &said.events, &opened.session);
            observed.timeline.read_into(&self.node, &whole, &mut observed.recovery, &said.events).await?;
            self.members_read(&said.room);
            self.take_news(&said.room).await?;
        }
        if let Some(observed) = self.rooms.get_mut(&said.room) {
            next.clone_into(&mut observed.place);
        }
        Ok(())
    }

    /// Reads again what could not be decrypted, and may be readable with these keys.
    async fn open_sealed(&mut self, opened: &Opened, keys: &RoomKeys) -> Result<(), Stop> {
        let open = |(room, sealed): (&String, &mut Sealed)| {
            Some((room.clone(), sealed.open(room, keys, boot_ms())?))
        };
        let places: Vec<(String, Option<String>)> = self.sealed.iter_mut().filter_map(open).collect();
        for (room, place) in places {
            let Some(observed) = self.rooms.get_mut(&room) else { continue };
            observed.recovery.read_again();
            let mut read = if observed.timeline.has_revoked() {
                self.rooms.remove(&room);
                self.enter(opened, &room).await
            } else {
                let whole = Whole::after(opened, &room, place.as_deref());
                self.page(whole, &opened.session, &room).await.map(drop)
            };
            if let (Ok(()), Some(observed)) = (&read, self.rooms.get_mut(&room)) {
                observed.recovery.read_to_end();
                read = self.take_news(&room).await;
            }
            if let Err(stop) = read {
                self.passes_by(&room, stop)?;
            }
        }
        Ok(())
    }

    /// Reads what was missed. What was read already counts once.
    async fn catch_up(&mut self, opened: &Opened, room: &str) -> Result<(), Stop> {
        let Some(observed) = self.rooms.get(room) else { return Ok(()) };
        let whole = Whole::after(opened, room, Some(&observed.place));
        let ids = self.page(whole, &opened.session, room).await?;
        self.backlogs.read(room, ids.into_iter());
        Ok(())
    }

    /// Reads a room to its end, and returns the ids of the newest events.
    async fn page(&mut self, mut whole: Whole<'_>, own: &Session, room: &str) -> Result<Vec<String>, Stop> {
        let mut ids = Vec::new();
        loop {
            let place = whole.place().map(str::to_owned);
            let Some(events) = whole.next().await? else { break };
            let Some(observed) = self.rooms.get_mut(room) else { return Ok(ids) };
            ids.extend(events.iter().map(|event| event.id.clone()));
            ids.drain(..ids.len().saturating_sub(IDS_MAX));
            observed.newest = ids.last().cloned().or(observed.newest.take());
            self.sealed.entry(room.to_owned()).or_default().read(place.as_deref(), &events, own);
            observed.timeline.read_into(&self.node, &whole, &mut observed.recovery, &events).await?;
            self.take_news(room).await?;
        }
        self.members_read(room);
        Ok(ids)
    }

    /// What the owners of a room say was read to its end. Where that changed something, the room is read again: what members said
    /// before they were let in counts then.
    fn members_read(&mut self, room: &str) {
        let Some(observed) = self.rooms.get_mut(room) else { return };
        if observed.timeline.complete() {
            observed.recovery.set_coordinators(observed.timeline.coordinators());
        }
        let Some(membership) = observed.timeline.membership() else { return };
        let kept = self.node.members.read(room, membership, observed.timeline.counted());
        observed.unkept = kept.err().map(|error| error.to_string());
    }

    /// Brings what is new of a room's runs into the store.
    async fn take_news(&mut self, room: &str) -> Result<(), Stop> {
        let Some(mut observed) = self.rooms.remove(room) else { return Ok(()) };
        let mut outcome = Ok(());
        for run in observed.recovery.news() {
            if self.replacing.contains(&run) {
                continue;
            }
            let Some(fresh) = observed.recovery.fresh(run) else { continue };
            if let Err(problem) = self.take_run(room, &mut observed, fresh).await {
                outcome = Err(problem.into());
                break;
            }
        }
        self.tell_forks(room, &mut observed).await;
        self.tell_usurpers(room, &mut observed);
        // What could not be kept is read again with the whole room.
        self.rooms.insert(room.to_owned(), observed);
        outcome
    }

    /// Tells the driver of journals that are forked, once, and of its own runs once more if what it wrote is known not to count.
    async fn tell_forks(&self, room: &str, observed: &mut Observed) {
        for (run, fork) in observed.recovery.forks() {
            let mut written = None;
            if matches!(observed.runs.get(&run), Some(Known::Own)) {
                let node = Arc::clone(&self.node);
                let published = blocking(move || restore::published(&node.readers, run)).await;
                written = published.ok().flatten().map(|(_, at)| at);
            }
            let counts = written.and_then(|at| observed.recovery.counts(run, at));
            let forked = if counts == Some(false) { Forked::Here } else { Forked::Elsewhere };
            if observed.forks.insert(run, forked) != Some(forked) {
                let lost = written.filter(|_| forked == Forked::Here);
                let (room, fork) = (room.to_owned(), fork.clone());
                self.node.driver.tell(Command::Forked { room, run, fork, lost });
            }
        }
    }

    /// Tells the driver, once, of nodes that say that they coordinate a run from now on, and may not.
    fn tell_usurpers(&self, room: &str, observed: &mut Observed) {
        for (did, run) in observed.recovery.usurpers() {
            if observed.usurpers.insert(did.clone()) {
                let (room, from, wrong) = (room.to_owned(), did.clone(), Wrong::Takeover);
                let detail = format!("{did} took over run {run}, and may not: that does not count");
                self.node.driver.tell(Command::Disregarded { room, from, wrong, detail });
            }
        }
    }

    /// Replaces what the store has of runs that others took over, now that all of their room was read.
    async fn replace_overtaken(&mut self, room: &str) -> Result<(), Stop> {
        for run in std::mem::take(&mut self.replacing) {
            let Some(observed) = self.rooms.get_mut(room) else { break };
            let Some(fresh) = observed.recovery.fresh(run) else {
                self.replacing.insert(run);
                continue;
            };
            let (node, name, head) = (Arc::clone(&self.node), room.to_owned(), head_of(&fresh));
            let (known, keep, lost) = blocking(move || node.begin(&name, fresh)).await??;
            observed.tell_head(of_known(head, room, &known));
            observed.runs.insert(run, known);
            observed.lost.extend(lost.map(|why| (run, why)));
            if let Some(Keep::Run(kept)) = keep {
                let replaces = true;
                self.node
                    .driver
                    .ask(|reply| Command::Recover { run: Box::new(kept), replaces, reply })
                    .await?;
            }
        }
        Ok(())
    }

    async fn take_run(&mut self, room: &str, observed: &mut Observed, fresh: Fresh) -> Result<(), Problem> {
        let run = fresh.run;
        let known = observed.runs.remove(&run);
        // Rooms number what they tell each in its own way.
        let elsewhere =
            self.rooms.iter().find(|(_, other)| matches!(other.runs.get(&run), Some(Known::Kept { .. })));
        if let (None, Some((other, _))) = (&known, elsewhere) {
            observed.runs.insert(run, Known::Lost);
            observed.lost.insert(run, format!("it is followed in room {other}"));
            return Ok(());
        }
        let (node, name, at) = (Arc::clone(&self.node), room.to_owned(), fresh.at);
        let was_kept = matches!(known, Some(Known::Kept { .. }) | None);
        let taken = blocking(move || {
            let head = head_of(&fresh);
            node.take_fresh(&name, known, fresh).map(|taken| (head, taken))
        });
        let (head, (known, keep, lost)) = taken.await??;
        let (is_taken, name) = (was_kept && matches!(known, Known::Own), room.to_owned());
        let head = of_known(head, &name, &known);
        observed.runs.insert(run, known);
        if let Some(why) = lost {
            tracing::warn!(%run, why, "a run of a room is not followed any further");
            observed.lost.insert(run, why);
        }
        let driver = &self.node.driver;
        match keep {
            Some(Keep::Run(run)) => {
                let replaces = false;
                driver
                    .ask(|reply| Command::Recover { run: Box::new(run), replaces, reply })
                    .await
                    .map(drop)?;
            }
            Some(Keep::More(drafts)) => {
                let journal = is_taken.then_some(TakenJournal { run, room: name, at });
                driver.ask(|reply| Command::Observe { drafts, journal, reply }).await?;
            }
            Some(Keep::Nothing) => {
                tracing::info!(%run, "another node took a run over: it is read again");
                self.overtaken.insert(run);
                driver.ask(|reply| Command::Overtaken { run, reply }).await?;
            }
            None => {}
        }
        observed.tell_head(head);
        Ok(())
    }

    /// What is wrong with one room is that room's; what is wrong with the account or the store stops all.
    fn passes_by(&mut self, room: &str, stop: Stop) -> Result<(), Stop> {
        let error = stop.of_one_room()?;
        tracing::warn!(room, %error, "this room is not read");
        self.rooms.remove(room);
        self.deaf.insert(room.to_owned(), error.to_string());
        Ok(())
    }

    /// Says how it stands, to whom asks.
    fn stands(&self, trouble: Option<String>) {
        // While nothing is read, no room is.
        let rooms = if trouble.is_none() { self.rooms.keys().cloned().collect() } else { Vec::new() };
        let mut troubles: Vec<String> = trouble.into_iter().collect();
        troubles.extend(self.deaf.iter().map(|(room, why)| format!("room {room} is not read: {why}")));
        for (room, observed) in &self.rooms {
            let strangers = observed.recovery.strangers();
            if strangers.len() > NAMED_MAX {
                let more = strangers.len() - NAMED_MAX;
                troubles.push(format!("{more} more nodes that are not trusted write in room {room}"));
            }
            troubles.extend(strangers.iter().take(NAMED_MAX).map(|(did, count)| {
                format!(
                    "{count} messages of {did} in room {room} are left out, as it is not trusted: \
                     `cis identity trust {did}` changes that"
                )
            }));
            troubles.extend(
                observed
                    .lost
                    .iter()
                    .map(|(run, why)| format!("run {run} of room {room} is not followed: {why}")),
            );
            troubles.extend(observed.recovery.incomplete().filter_map(|(run, extent, why)| {
                match observed.runs.get(&run) {
                    Some(Known::Kept { fold, .. }) if fold.run().state().is_terminal() => None,
                    Some(Known::Kept { .. }) if extent == Extent::Part => Some(format!(
                        "a part of the journal of run {run} in room {room} is missing: {why}. It is read again when the node starts. \
                         If the coordinator of the run goes away, the run goes on without all that follows there after ten minutes, or at once with \
                         `cis dag takeover {run} --force` on another coordinator"
                    )),
                    Some(Known::Kept { .. }) | None => {
                        Some(format!("run {run} in room {room} cannot be read to its end by this node: {why}"))
                    }
                    Some(_) => None,
                }
            }));
            troubles.extend(observed.runs.values().filter_map(|known| match known {
                Known::Kept { fold, .. } => {
                    waits_for_this(fold.run()).then(|| waiting_note(room, fold.run()))
                }
                Known::Own | Known::Lost => None,
            }));
            troubles.extend(observed.recovery.usurpers().iter().map(|(did, run)| {
                format!("{did} took over run {run} in room {room}, and may not: that does not count")
            }));
            troubles.extend(observed.recovery.forks().map(|(run, fork)| {
                let Fork { epoch, n, by } = fork;
                let here = observed.forks.get(&run) == Some(&Forked::Here);
                let also = if here { ", and this node does not coordinate it any more" } else { "" };
                format!(
                    "the journal of run {run} in room {room} has two entries in one place (term {epoch}, entry {n}): the second \
                     one, of {by}, does not count{also}. A copy of that node's home runs, or it was restored from a backup: keep \
                     one of them. `cis dag takeover {run} --force` on another coordinator continues the run"
                )
            }));
            troubles.extend(observed.timeline.troubles());
            troubles.extend(observed.unkept.iter().map(|why| {
                format!("cannot write what the owners of room {room} said to room-statements.json in the home: {why}")
            }));
            let sealed = self.sealed.get(room).map_or(0, Sealed::events);
            if sealed > 0 {
                troubles.push(format!("{sealed} events of room {room} cannot be decrypted by this device"));
            }
        }
        *self.node.shared.observes.lock().unwrap_or_else(PoisonError::into_inner) =
            Observes { rooms, trouble: troubles };
    }
}

/// What the driver gets to know of news.
fn head_of(fresh: &Fresh) -> Head {
    let begins = fresh.facts.last().is_some_and(|fact| matches!(fact.body, EventBody::RunTakenOver { .. }));
    let Fresh { run, at, extent, .. } = *fresh;
    let (by, writer) = (fresh.by.clone(), fresh.writer.clone());
    Head { run, by, writer, at, begins, is_ours: false, is_open: false, is_wanted: false, extent }
}

/// With what is known of the run after them; none: it is not followed, or its tasks are not shared.
fn of_known(head: Head, room: &str, known: &Known) -> Option<Head> {
    match known {
        Known::Own => Some(Head { is_ours: true, ..head }),
        // What another room shares is told there.
        Known::Kept { fold, .. } if is_shared_in(fold, room) => {
            let run = fold.run();
            Some(Head {
                is_open: !run.state().is_terminal(),
                is_wanted: waits_for_this(run) && run.doubt().is_none(),
                ..head
            })
        }
        Known::Kept { .. } | Known::Lost => None,
    }
}

/// Whether a run that another node coordinates cannot go on before this node, where it was submitted, coordinates it.
fn waits_for_this(run: &Run) -> bool {
    run.facts().read_back.is_some() && run.awaits_submitter()
}

/// What `cis node status` says of it.
fn waiting_note(room: &str, run: &Run) -> String {
    let (id, owner) = (run.id(), &run.facts().owner);
    match run.doubt() {
        Some(doubt) => format!(
            "run {id} of room {room} waits for files, secrets or programs of this node. It does not take the run back by itself, as node {owner} {doubt}: \
             look at it (`cis dag show {id}`), then `cis dag takeover {id} --force` takes it back"
        ),
        None => format!(
            "run {id} of room {room} waits for files, secrets or programs of this node, and node {owner} coordinates it. This node takes it back by itself if it \
             may coordinate in the room, is neither drained nor paused, reads all of the run's journal, and uses the same homeserver; otherwise `cis dag takeover {id} --force` does"
        ),
    }
}

fn is_shared_in(fold: &Fold, room: &str) -> bool {
    let facts = fold.run().facts();
    facts.mode == ExecutionMode::Matrix && facts.room.as_deref() == Some(room)
}

/// That nothing is read, as `cis node status` says it.
fn unread(why: &str) -> String {
    format!("no room is read: {why}; it is tried again")
}

/// Ends when what is watched changes: who is trusted, or which rooms have shared tasks.
async fn changed<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        std::future::pending().await
    }
}
