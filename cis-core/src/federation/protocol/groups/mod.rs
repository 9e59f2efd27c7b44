//! How the coordinators of a room share the places of its concurrency groups, so that a limit holds over all nodes.
//!
//! Pure: messages and times in, messages and effects out. Two halves: the [`keeper`]'s, at one coordinator of the room, and the
//! [`holder`]'s, at each. Owns which of them works here and when another keeper is needed. Whose term it is is decided by the
//! room's timeline (`federation::keepers`), what starts by the scheduler, whose lease is renewed by the coordinator's half of the
//! protocol, which asks the [`holder::Gate`]. Where one node alone coordinates, there is no keeper and nothing is sent.

pub mod holder;
pub mod keeper;
pub mod message;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use self::holder::{Gate, Holder};
use self::keeper::{Keeper, Sends};
use self::message::{GroupMessage, ReportNonce};
use super::settings::{BootMs, Settings};
use crate::dag::Group;
use crate::ids::{Epoch, NodeDid, RunId};
use crate::scheduler::{GroupQuota, GroupUse, KeeperState, RoomShare};

/// Terms are at most so far apart: one that claims a higher one would end all others' for good.
pub const EPOCH_AHEAD_MAX: Epoch = 1_000_000;

/// A term of a keeper, as the room's timeline tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Its number.
    pub epoch: Epoch,
    /// Whose.
    pub keeper: NodeDid,
    /// Names the entry that began it.
    pub id: ulid::Ulid,
}

/// What the machine of the node is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a message. It may be lost.
    Send {
        /// To whom.
        to: NodeDid,
        /// What.
        message: GroupMessage,
    },
    /// Write into the room that this node keeps the groups from now on, and say under which id: [`RoomGroups::claimed`].
    Claim {
        /// The term.
        epoch: Epoch,
    },
}

/// See the module.
#[derive(Debug, Clone)]
pub struct RoomGroups {
    settings: Settings,
    own: NodeDid,
    groups: BTreeMap<String, Group>,
    /// All that may coordinate, in the order in which they take over; with this node, if it may.
    voters: Vec<NodeDid>,
    /// No other node coordinates.
    is_sole: bool,
    /// Those that might until a moment ago, and may have places until then.
    former: BTreeMap<NodeDid, BootMs>,
    is_deaf: bool,
    /// The newest term that was read.
    term: Option<Term>,
    /// The newest term that others know.
    heard_epoch: Epoch,
    /// What this life of the node wrote.
    claims: BTreeSet<ulid::Ulid>,
    /// Nothing is claimed before.
    claim_at: BootMs,
    /// Since when a keeper is missing.
    missing_since: Option<BootMs>,
    keeper: Option<Keeper>,
    holder: Holder,
}

impl RoomGroups {
    /// A room without groups. `nonce`: higher than any of an earlier life of the node.
    #[must_use]
    pub fn new(settings: Settings, own: NodeDid, nonce: ReportNonce, now: BootMs) -> Self {
        Self {
            settings,
            own,
            groups: BTreeMap::new(),
            voters: Vec::new(),
            is_sole: false,
            former: BTreeMap::new(),
            is_deaf: false,
            term: None,
            heard_epoch: 0,
            claims: BTreeSet::new(),
            claim_at: BootMs::MIN,
            missing_since: None,
            keeper: None,
            holder: Holder::new(settings, nonce, now),
        }
    }

    /// The room has these groups from now on.
    pub fn set_groups(&mut self, groups: &BTreeMap<String, Group>, now: BootMs, out: &mut Vec<Effect>) {
        if self.groups == *groups {
            return;
        }
        self.groups.clone_from(groups);
        self.holder.set_groups(groups);
        let mut sends = Sends::new();
        if let Some(keeper) = &mut self.keeper {
            keeper.set_groups(groups, now, &mut sends);
        }
        send_all(sends, out);
    }

    /// Whether the room has groups.
    #[must_use]
    pub fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Says who may coordinate in the room. `is_sole`: it is certain that no other node does.
    pub fn set_voters(&mut self, voters: Vec<NodeDid>, is_sole: bool, now: BootMs) {
        let until = now.saturating_add(self.settings.group_bound_ms());
        for gone in self.voters.iter().filter(|did| !voters.contains(did) && **did != self.own) {
            self.former.insert(gone.clone(), until);
        }
        (self.voters, self.is_sole) = (voters, is_sole);
        self.settle(now);
    }

    /// The newest term that the room's timeline tells; it was read to its end.
    pub fn read(&mut self, term: Option<&Term>, now: BootMs, out: &mut Vec<Effect>) {
        if self.term.as_ref() == term {
            return;
        }
        self.term = term.cloned();
        self.missing_since = None;
        self.heard_epoch = 0;
        self.keeper = None;
        self.holder.keeper_changed();
        // A term of an earlier life of this node is not this one's: it knows nothing of what was promised.
        let Some(term) = term.filter(|term| term.keeper == self.own && self.claims.contains(&term.id)) else {
            return;
        };
        let coordinators = self.voters.iter().chain(self.former.keys()).cloned();
        let mut keeper = Keeper::new(self.settings, term.epoch, coordinators, now);
        let mut sends = Sends::new();
        keeper.set_groups(&self.groups, now, &mut sends);
        self.keeper = Some(keeper);
        send_all(sends, out);
    }

    /// All that was in the room's timeline at `at` was read, and [`Self::read`] was told of it.
    pub fn witnessed(&mut self, at: BootMs) {
        if let Some(keeper) = &mut self.keeper {
            keeper.witnessed(at);
        }
    }

    /// The machine stood still: places that it has or gives may be those of others.
    pub fn stood_still(&mut self, now: BootMs) {
        if let Some(keeper) = &mut self.keeper {
            keeper.stood_still();
        }
        self.holder.stood_still(now);
    }

    /// The carrier does not work any more.
    pub fn hears_nobody(&mut self) {
        self.is_deaf = true;
    }

    /// It works again. Others need a moment until they are heard.
    pub fn hears_again(&mut self, now: BootMs) {
        if std::mem::take(&mut self.is_deaf) {
            let since = now.saturating_add(self.settings.grace_ms);
            self.missing_since = self.missing_since.map(|_| since);
            self.holder.hears_again(since);
        }
    }

    /// A term was written into the room under this id.
    pub fn claimed(&mut self, id: ulid::Ulid) {
        self.claims.insert(id);
    }

    /// What the runs of this node have of the groups.
    pub fn set_using(&mut self, using: BTreeMap<String, GroupUse>, now: BootMs) {
        self.holder.set_using(using, now);
    }

    /// Another node coordinates a run from now on.
    pub fn leave(&mut self, run: RunId, now: BootMs) {
        self.holder.leave(run, now);
    }

    /// Takes a message of another coordinator, or of this one.
    ///
    /// # Errors
    /// Why nothing was done about it.
    pub fn receive(
        &mut self,
        from: &NodeDid,
        message: GroupMessage,
        now: BootMs,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        if !self.voters.contains(from) {
            return Err(format!("{from} is no coordinator of the room"));
        }
        let known = self.term.as_ref().map_or(0, |term| term.epoch);
        match message {
            GroupMessage::Report { epoch, nonce, groups } => {
                if epoch > known && epoch - known <= EPOCH_AHEAD_MAX {
                    // Entries of the timeline that this node cannot read name another keeper.
                    self.heard_epoch = self.heard_epoch.max(epoch);
                    self.keeper = None;
                }
                let mut sends = Sends::new();
                let taken = match &mut self.keeper {
                    Some(keeper) if epoch == known => keeper.report(from, nonce, groups, now, &mut sends),
                    _ => Ok(()),
                };
                send_all(sends, out);
                taken
            }
            GroupMessage::Quotas { epoch, nonce, lease_ms, groups } => {
                if self.keeper_now().is_some_and(|term| term.epoch == epoch && term.keeper == *from) {
                    self.holder.quotas(nonce, lease_ms, &groups, now);
                }
                Ok(())
            }
            GroupMessage::Recover { epoch } => {
                if self.keeper_now().is_some_and(|term| term.epoch == epoch && term.keeper == *from) {
                    self.holder.asked();
                } else if epoch < known {
                    // It does not know of that term.
                    let message = GroupMessage::Report { epoch: known, nonce: 0, groups: BTreeMap::new() };
                    out.push(Effect::Send { to: from.clone(), message });
                }
                Ok(())
            }
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: BootMs, out: &mut Vec<Effect>) {
        self.settle(now);
        self.holder.expire(now);
        let mut sends = Sends::new();
        if let Some(keeper) = &mut self.keeper {
            keeper.tick(now, &mut sends);
        }
        send_all(sends, out);
        if !self.is_voter() {
            return;
        }
        if let Some(Term { epoch, keeper, .. }) = self.keeper_now().cloned()
            && let Some(message) = self.holder.tick(epoch, now)
        {
            out.push(Effect::Send { to: keeper, message });
        }
        if self.claims_at(now).is_some_and(|at| at <= now) {
            self.claim_at = now.saturating_add(self.patience());
            let known = self.term.as_ref().map_or(0, |term| term.epoch);
            out.push(Effect::Claim { epoch: known.max(self.heard_epoch) + 1 });
        }
    }

    /// When a tick is due.
    #[must_use]
    pub fn poll_timeout(&self, now: BootMs) -> Option<BootMs> {
        let keeper = self.keeper.as_ref().and_then(Keeper::poll_timeout);
        let holder = self.holder.poll_timeout().filter(|_| self.is_voter() && self.keeper_now().is_some());
        let former = self.former.values().min().copied();
        [keeper, holder, self.holder.expires_at(), former, self.missing_at(now)].into_iter().flatten().min()
    }

    /// What the scheduler may start.
    #[must_use]
    pub fn share(&self, now: BootMs) -> RoomShare {
        if self.is_alone(now) {
            return RoomShare::Whole;
        }
        let patience = self.patience();
        let is_silent = || {
            let since = self.holder.unanswered_since();
            self.keeper_now().is_none() || since.is_some_and(|since| now.saturating_sub(since) >= patience)
        };
        let keeper = match () {
            () if !self.is_voter() => KeeperState::Refuses,
            () if is_silent() => KeeperState::Silent,
            () => KeeperState::Answers,
        };
        let quota = |(name, of): (String, message::GroupPlaces)| {
            (name, GroupQuota { places: of.places, taken: of.taken, fair: of.fair })
        };
        RoomShare::Part { keeper, quotas: self.holder.places(now).into_iter().map(quota).collect() }
    }

    /// Which attempts may go on.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.holder.gate()
    }

    /// Whether what others may take depends on what this node read.
    #[must_use]
    pub fn promises(&self) -> bool {
        self.keeper.as_ref().is_some_and(Keeper::is_in_use)
    }

    /// Whether this node keeps the groups.
    #[must_use]
    pub fn is_keeper(&self) -> bool {
        self.keeper.is_some()
    }

    fn is_voter(&self) -> bool {
        self.voters.contains(&self.own)
    }

    /// Whether no other node coordinates, nor has anything that it was given while it did.
    fn is_alone(&self, now: BootMs) -> bool {
        self.is_sole && self.former.values().all(|until| *until <= now)
    }

    fn settle(&mut self, now: BootMs) {
        self.former.retain(|_, until| now < *until);
        let is_alone = self.is_alone(now);
        self.holder.set_alone(is_alone, now);
    }

    /// The term that counts: its keeper may coordinate, and nobody knows a newer one.
    fn keeper_now(&self) -> Option<&Term> {
        let term = self.term.as_ref()?;
        let is_own = term.keeper == self.own;
        let counts = self.voters.contains(&term.keeper)
            && self.heard_epoch <= term.epoch
            && (!is_own || self.keeper.is_some());
        counts.then_some(term)
    }

    fn patience(&self) -> BootMs {
        let rank = self.voters.iter().position(|did| *did == self.own).unwrap_or(self.voters.len());
        let rank = BootMs::try_from(rank).unwrap_or(BootMs::MAX).saturating_add(1);
        self.settings.suspect_ms.saturating_mul(rank)
    }

    /// When this node has to claim the groups, as it needs a keeper and nobody answers.
    fn missing_at(&self, now: BootMs) -> Option<BootMs> {
        if self.is_deaf || !self.is_voter() || self.groups.is_empty() || !self.holder.needs_keeper() {
            return None;
        }
        let at = match self.keeper_now() {
            Some(term) if term.keeper == self.own => return None,
            Some(_) => self.holder.unanswered_since()?.saturating_add(self.patience()),
            // The first one need not wait for anybody.
            None => {
                let since = self.missing_since.unwrap_or(now);
                since.saturating_add(self.patience()).saturating_sub(self.settings.suspect_ms)
            }
        };
        Some(at.max(self.claim_at))
    }

    fn claims_at(&mut self, now: BootMs) -> Option<BootMs> {
        if self.keeper_now().is_some() {
            self.missing_since = None;
        } else {
            self.missing_since.get_or_insert(now);
        }
        self.missing_at(now)
    }
}

fn send_all(sends: Sends, out: &mut Vec<Effect>) {
    out.extend(sends.into_iter().map(|(to, message)| Effect::Send { to, message }));
}
