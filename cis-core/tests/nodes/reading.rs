//! What a node reads of the room, who coordinates by that, and when it takes the run over.
//!
//! As `cis-node/src/rooms/observe.rs` and `cis-node/src/driver/federation/{mod,terms}.rs`.

use std::collections::BTreeSet;

use cis_core::event::{EventBody, ReadBack};
use cis_core::federation::canonical::Fold;
use cis_core::federation::journal::{Fact, Position, Writer};
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::message::Message;
use cis_core::federation::protocol::worker::WorkerHalf;
use cis_core::federation::recovery::{Extent, Fresh, Recovery};
use cis_core::identity::Right;
use cis_core::ids::{Epoch, NodeDid};
use cis_core::scheduler::Run;

use crate::node::{Life, Node, Write};
use crate::plan::{ROOM, run};
use crate::room::{Item, Members, Room, begun, folded, read, signed};

/// How far a request for what is new in the room came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    Idle,
    Asked(BootMs),
    /// The homeserver answered with so much of the timeline.
    Answered(BootMs, usize),
}

/// What the room's task knows of the run.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    Unseen,
    /// The store knows it before the room does.
    Own,
    /// So many facts of it are in the store.
    Kept {
        facts: usize,
        fold: Box<Fold>,
    },
    /// It is not followed.
    Lost(String),
}

/// What the driver gets to know of it.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) by: NodeDid,
    writer: NodeDid,
    pub(crate) at: Position,
    begins: bool,
    is_ours: bool,
    is_open: bool,
    is_wanted: bool,
    extent: Extent,
}

impl Head {
    /// With what is known of the run.
    fn of(self, run: &Run) -> Self {
        let is_wanted = run.facts().read_back.is_some() && run.awaits_submitter() && run.doubt().is_none();
        Self { is_open: !run.state().is_terminal(), is_wanted, ..self }
    }

    /// Told after `known`: what is new may be only how far the journal is read.
    fn after(mut self, known: Option<&Self>) -> Self {
        self.begins |= known.is_some_and(|known| known.begins && known.at == self.at);
        self
    }
}

impl Node {
    /// A request for what is new goes one step further.
    pub(crate) fn sync(&mut self, room: &Room) {
        if !self.is_ready() {
            return;
        }
        if !room.is_up {
            self.life().is_deaf = true;
            self.life().sync = Sync::Idle;
            return;
        }
        let boot = self.boot_ms();
        let life = self.life();
        match life.sync {
            Sync::Idle => life.sync = Sync::Asked(boot),
            Sync::Asked(at) => life.sync = Sync::Answered(at, room.timeline.len()),
            Sync::Answered(at, upto) => {
                life.sync = Sync::Idle;
                self.read_room(&room.timeline[..upto], at, false);
            }
        }
    }

    /// Reads the timeline on. `replaces`: from its beginning, as another node took the run over that this one coordinated.
    fn read_room(&mut self, timeline: &[Item], asked: BootMs, replaces: bool) {
        let mut members: Option<Members> = None;
        let (mut head, mut is_overtaken) = (None, false);
        while self.life().read < timeline.len() {
            // The room comes in pages. What another node took over is replaced at once.
            let page = if replaces || self.rng.percent(70) {
                timeline.len()
            } else {
                self.rng.between(1, 8) as usize
            };
            let life = self.life();
            for item in timeline.iter().skip(life.read).take(page) {
                read(&mut life.recovery, item);
                if let Item::Members(said) = item {
                    members = Some(said.clone());
                }
                life.read += 1;
            }
            let fresh = life.recovery.fresh(run());
            is_overtaken |= !replaces && self.is_forked();
            let Some(fresh) = fresh else { continue };
            let taken = if replaces { self.replace(fresh) } else { self.take_fresh(fresh) };
            match taken {
                Ok((newest, overtaken)) => {
                    head = newest.map(|newest| newest.after(head.as_ref())).or(head);
                    is_overtaken |= overtaken;
                }
                Err(why) => {
                    self.note(format!("does not follow the run: {why}"));
                    self.life().known = Known::Lost(why);
                }
            }
        }
        if is_overtaken {
            self.note("was overtaken");
            self.leave();
        }
        let changed = members.filter(|members| self.life().members.as_ref() != Some(members));
        self.finish_turn();
        let Some(life) = &mut self.life else { return };
        if life.is_stuck {
            life.put_off = Some((asked, head));
            // What else there is to do about it comes with the next reading.
            life.recovery = Recovery::new(ROOM.to_owned(), BTreeSet::new());
            (life.read, life.known) = (0, Known::Unseen);
            return;
        }
        let is_changed = changed.is_some();
        if is_changed {
            life.members = changed;
            self.node_found();
        }
        self.room_read(asked, head);
        self.finish_turn();
        if (is_changed || is_overtaken) && self.is_ready() {
            // All of the room is read anew.
            let life = self.life();
            life.recovery = Recovery::new(ROOM.to_owned(), BTreeSet::new());
            (life.read, life.known) = (0, Known::Unseen);
            self.read_room(timeline, asked, is_overtaken);
        }
    }

    /// Takes what is new of the run. Gives what the driver gets to know, and whether another node took the run over that the
    /// store has as this node's.
    fn take_fresh(&mut self, fresh: Fresh) -> Result<(Option<Head>, bool), String> {
        let head = head_of(&fresh);
        let own = self.did.clone();
        let known = std::mem::replace(&mut self.life().known, Known::Unseen);
        let was_kept = matches!(known, Known::Kept { .. } | Known::Unseen);
        // What this turn writes is in the store before anything else is read.
        let looks = matches!(known, Known::Unseen) || (matches!(known, Known::Own) && fresh.by != own);
        let (stored, count) = if looks { self.stored()? } else { (None, 0) };
        let known = match (known, &stored) {
            (Known::Unseen, Some(fold)) => {
                let owner = &fold.run().facts().owner;
                if *owner == own && !self.disk.is_forked() {
                    Known::Own
                } else if fresh.from + fresh.facts.len() >= count && !fresh.was_coordinated_by(owner) {
                    return Err(format!("the store has it as a run of {owner}, who did not write this"));
                } else {
                    Known::Kept { facts: count, fold: Box::new(fold.clone()) }
                }
            }
            (Known::Unseen, None) if fresh.by == own => Known::Own,
            (Known::Unseen, None) => return self.begin(fresh).map(|head| (head, false)),
            (known, _) => known,
        };
        let (facts, mut fold) = match known {
            Known::Own => {
                let is_overtaken = fresh.by != own
                    && stored.is_some_and(|stored| {
                        let facts = stored.run().facts();
                        facts.owner == own && facts.epoch < fresh.at.epoch
                    });
                self.life().known = Known::Own;
                return Ok((Some(Head { is_ours: true, ..head }), is_overtaken));
            }
            Known::Kept { facts, fold } => (facts, fold),
            Known::Lost(why) => return Err(why),
            Known::Unseen => return Ok((None, false)),
        };
        if fresh.void && fresh.from < facts {
            return Err("another node took it over, and what was read of it does not count".to_owned());
        }
        if fresh.from > facts {
            return Err("a part of what happened is not in the store".to_owned());
        }
        let new: Vec<Fact> = fresh.facts.into_iter().skip(facts - fresh.from).collect();
        follow(&mut fold, &new)?;
        if !new.is_empty() {
            is_of(&fold, &fresh.by, &fresh.writer)?;
        }
        let took_over =
            |fact: &Fact| matches!(&fact.body, EventBody::RunTakenOver { owner, .. } if *owner == own);
        let is_own = fold.run().facts().owner == own && new.iter().any(took_over);
        let told = Head::of(head.clone(), fold.run());
        let count = facts + new.len();
        self.life().turn.extend(new.into_iter().map(Write::Told));
        if is_own {
            if was_kept {
                self.life().turn.push(Write::Follow(fresh.at));
            }
            self.life().known = Known::Own;
            return Ok((Some(Head { is_ours: true, ..head }), false));
        }
        self.life().known = Known::Kept { facts: count, fold };
        Ok((Some(told), false))
    }

    /// The run in the store, with what this turn writes, and how many events it has.
    fn stored(&self) -> Result<(Option<Fold>, usize), String> {
        let told = self.life.iter().flat_map(|life| &life.turn).filter_map(|write| match write {
            Write::Told(fact) => Some(fact),
            _ => None,
        });
        let facts: Vec<&Fact> = self.disk.facts().chain(told).collect();
        Ok((folded(&self.plan, facts.iter().copied())?, facts.len()))
    }

    /// Whether what this node wrote of the run stands in the room no more: another entry has its place. The room's story is the one that
    /// counts; this node may not go on in its term, as its grants may be none of that story.
    fn is_forked(&self) -> bool {
        let written = self.disk.published().map(|(_, position)| position);
        let term = self.disk.term();
        let is_own = |at: &Position| {
            term.as_ref().is_some_and(|(owner, epoch)| (owner, *epoch) == (&self.did, at.epoch))
        };
        let counts = |at| self.life.as_ref().and_then(|life| life.recovery.counts(run(), at));
        written.filter(is_own).and_then(counts) == Some(false)
    }

    /// A run that is new here.
    fn begin(&mut self, mut fresh: Fresh) -> Result<Option<Head>, String> {
        let head = head_of(&fresh);
        if let Some(EventBody::RunCreated(created)) = fresh.facts.first_mut().map(|fact| &mut fact.body) {
            created.read_back = self.disk.has_original.then_some(ReadBack::Whole);
        }
        let (first, more) = fresh.facts.split_first().ok_or("how it began is not in the room")?;
        let mut fold = Box::new(begun(&self.plan, first)?);
        follow(&mut fold, more)?;
        is_of(&fold, &fresh.by, &fresh.writer)?;
        let head = Head::of(head, fold.run());
        self.life().known = Known::Kept { facts: fresh.facts.len(), fold };
        self.life().turn.extend(fresh.facts.into_iter().map(Write::Told));
        Ok(Some(head))
    }

    /// Replaces what the store has by what the room has.
    fn replace(&mut self, fresh: Fresh) -> Result<(Option<Head>, bool), String> {
        self.leave();
        self.life().turn.push(Write::Void);
        self.begin(fresh).map(|head| (head, false))
    }

    /// Another node coordinates the run: nothing of it is done here any more.
    fn leave(&mut self) {
        let life = self.life();
        life.coordinator.leave(run());
        (life.finality, life.to_recover, life.mirror) = (None, None, None);
        life.waiting.iter_mut().for_each(|waiting| waiting.upto = None);
        life.machine.leave(run());
    }

    /// All that was in the room at `at` was read.
    pub(super) fn room_read(&mut self, at: BootMs, head: Option<Head>) {
        if let Some(head) = head {
            self.head_read(head);
        }
        let boot = self.boot_ms();
        let life = self.life();
        if std::mem::take(&mut life.is_deaf) {
            life.suspicion.hears_again(boot);
        }
        life.coordinator.witnessed(at);
        self.recover_run();
        self.federate();
    }

    fn head_read(&mut self, head: Head) {
        self.take_head(head);
        self.more_is_final();
    }

    fn take_head(&mut self, head: Head) {
        let (boot, own) = (self.boot_ms(), head.by == self.did);
        let life = self.life();
        life.read_own = own.then_some(head.at);
        let led = life.coordinator.epoch(run());
        let epoch = head.at.epoch;
        if own && led == Some(epoch) {
            let finals =
                life.finality.as_mut().map(|finality| finality.read_back(head.at)).unwrap_or_default();
            finals.iter().for_each(|(granted, worker)| self.is_final(granted, worker));
        } else if own && led.is_none() && head.begins {
            self.lead_on(epoch);
        } else if head.is_ours {
        } else {
            let counts = life.members.as_ref().is_some_and(|m| m.may(&head.writer, Right::Submit));
            let holds = !life.held.is_empty();
            if let Some(worker) = life.worker.as_mut().filter(|_| counts && (head.is_open || holds)) {
                worker.enters(run(), epoch, &head.by);
            }
            if head.is_open && counts {
                life.suspicion.watch(run(), epoch, &head.by, boot);
                life.suspicion.reads(run(), head.extent, boot);
                life.suspicion.wants(run(), head.is_wanted);
                life.head = Some(head);
            } else {
                life.suspicion.forget(run());
                life.head = None;
            }
        }
    }

    /// This node coordinates the run from now on, which another one did.
    fn lead_on(&mut self, epoch: Epoch) {
        let stored = folded(&self.plan, self.disk.facts());
        let life = self.life();
        life.suspicion.forget(run());
        life.head = None;
        match stored {
            Ok(Some(fold)) => {
                let stored = fold.run().clone();
                let is_over = stored.state().is_terminal();
                life.machine.restore(stored.clone());
                life.mirror = Some(stored);
                if !is_over {
                    self.go_on_with(epoch);
                }
            }
            other => self.wrong(format!("the run that it took over cannot be read: {:?}", other.err())),
        }
    }

    /// Others may do more than before, or less.
    fn node_found(&mut self) {
        self.count_voters();
        self.recover_run();
        let boot = self.boot_ms();
        if let Some(worker) = &mut self.life().worker {
            worker.status_changed(boot);
        }
        self.begin_waiting();
        self.federate();
    }

    /// Goes on with the run of an earlier life, once it is known that no other node has taken it over since.
    fn recover_run(&mut self) {
        let life = self.life();
        if life.members.is_none() || (life.is_deaf && !life.coordinator.is_sole()) {
            return;
        }
        if let Some(epoch) = life.to_recover.take() {
            self.go_on_with(epoch);
        }
    }

    fn count_voters(&mut self) {
        let others = self.others_who_may(Right::Coordinate);
        let own = self.did.clone();
        let life = self.life();
        let members = life.members.as_ref();
        life.before = members.and_then(|members| {
            let all = &members.coordinate;
            let at = all.iter().position(|did| *did == own)?;
            Some(all[..at].to_vec())
        });
        life.coordinator.set_sole(members.is_some() && others.is_empty());
        life.others = others;
    }

    /// Does what is due for the own worker, and about who coordinates.
    pub(super) fn federate(&mut self) {
        let boot = self.boot_ms();
        let due = self.life().worker.as_ref().and_then(WorkerHalf::poll_timeout);
        if due.is_some_and(|due| due <= boot) {
            let offer = self.offer();
            let mut coordinators = self.others_who_may(Right::Coordinate);
            coordinators.push(self.did.clone());
            let mut out = Vec::new();
            if let Some(worker) = &mut self.life().worker {
                worker.tick(boot, Some(&offer), &coordinators, &mut out);
            }
            self.work(out);
            let life = self.life();
            let is_open = life.coordinator.epoch(run()).is_some() || life.head.is_some();
            let is_deaf = life.is_deaf;
            if let Some(worker) = life.worker.as_mut().filter(|_| !is_deaf) {
                worker.forget_terms(|_| is_open);
            }
        }
        self.watch_terms();
    }

    fn watch_terms(&mut self) {
        let (boot, alive_ms) = (self.boot_ms(), self.plan.settings.alive_ms);
        let life = self.life();
        if !life.coordinator.coordinates() {
            life.alive_at = 0;
        } else if life.alive_at <= boot {
            life.alive_at = boot + alive_ms;
            if !life.coordinator.quiet_runs().is_empty() && life.machine.run(&run()).is_none() {
                // It ended, and its workers know that.
                life.coordinator.leave(run());
                life.finality = None;
            }
            for other in life.others.clone() {
                self.send(&other, Message::Alive {});
            }
        }
        let life = self.life();
        let Some(before) = life.active_before().map(<[_]>::to_vec) else { return };
        for (_, epoch) in life.suspicion.due(Some(&before), boot) {
            self.life().suspicion.claims(run(), boot);
            self.claim(epoch);
        }
    }

    /// A person who looked at what another node decided has this node take its run back.
    pub(crate) fn take_back(&mut self) {
        let Some(life) = &self.life else { return };
        if let Known::Kept { fold, .. } = &life.known
            && fold.run().awaits_submitter()
            && fold.run().doubt().is_some()
        {
            self.take_over();
        }
    }

    /// A person has this node take the run over.
    pub(crate) fn take_over(&mut self) {
        if let Some(epoch) = self.life().head.as_ref().map(|head| head.at.epoch + 1) {
            self.claim(epoch);
        }
    }

    /// Writes into the journal that this node coordinates the run from now on. It does so once that was read back.
    fn claim(&mut self, epoch: Epoch) {
        let life = self.life();
        let can = |head: &&Head| head.extent != Extent::Unknown && head.at.epoch + 1 == epoch;
        let head = life.head.as_ref().filter(can);
        if let Some((cut, extent)) = head.filter(|_| life.before.is_some()).map(|head| (head.at, head.extent))
        {
            let lost = extent == Extent::Part;
            let without = if lost { ", without what followed" } else { "" };
            self.note(format!("claims the run in term {epoch}, after entry {}{without}", cut.n));
            let items = takeover(self.at, (cut, lost), self.wall_ms(), &mut self.ids.next);
            self.disk.outbox.extend(items);
        }
    }
}

/// The entry by which the node `at` takes the run over.
pub(crate) fn takeover(at: usize, (cut, lost): (Position, bool), at_ms: i64, ids: &mut u128) -> Vec<Item> {
    let owner = crate::plan::did(at);
    let mut writer = Writer::take_over(run(), owner.clone(), cut);
    let body = EventBody::RunTakenOver {
        owner,
        epoch: writer.epoch(),
        cut: cut.n,
        forced: false,
        voted: false,
        lost,
    };
    writer.push(Fact { at_ms, actor: None, cause: None, body });
    signed(at, &mut writer, 50_000, ids)
}

impl Life {
    fn active_before(&self) -> Option<&[NodeDid]> {
        self.before.as_deref().filter(|_| !self.is_deaf)
    }

    pub(super) fn next_of_terms(&self) -> Option<BootMs> {
        let suspects = self.active_before().and_then(|before| self.suspicion.poll_timeout(Some(before)));
        let tells = (!self.others.is_empty() && self.alive_at > 0).then_some(self.alive_at);
        [suspects, tells].into_iter().flatten().min()
    }
}

fn head_of(fresh: &Fresh) -> Head {
    let begins = fresh.facts.last().is_some_and(|fact| matches!(fact.body, EventBody::RunTakenOver { .. }));
    let (by, writer) = (fresh.by.clone(), fresh.writer.clone());
    Head {
        by,
        writer,
        at: fresh.at,
        begins,
        is_ours: false,
        is_open: false,
        is_wanted: false,
        extent: fresh.extent,
    }
}

fn follow(fold: &mut Fold, facts: &[Fact]) -> Result<(), String> {
    facts.iter().try_for_each(|fact| fold.apply(fact)).map_err(|error| format!("it does not follow: {error}"))
}

/// A run is its writer's, by all that is told of it.
fn is_of(fold: &Fold, by: &NodeDid, writer: &NodeDid) -> Result<(), String> {
    let owner = &fold.run().facts().owner;
    if owner == by || owner == writer { Ok(()) } else { Err(format!("it says to be of {owner}")) }
}
