//! The keeper's half: which coordinator may take how many places of each group of a room.
//!
//! Owns what each coordinator was given and until when it may rely on that. The quotas of a group are never more than its limit
//! together, and one is lowered only when its coordinator said that it needs no more, or when its lease, and those that it may
//! have given to workers, are over. All of it is soft: the next keeper asks for it again.

use std::collections::{BTreeMap, BTreeSet};

use super::super::settings::{BootMs, Settings};
use super::message::{GROUPS_MAX, GroupMessage, GroupPlaces, GroupReport, ReportNonce};
use crate::dag::Group;
use crate::ids::{Epoch, NodeDid};

/// What is sent: to whom, and what.
pub type Sends = Vec<(NodeDid, GroupMessage)>;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeper {
    settings: Settings,
    epoch: Epoch,
    limits: BTreeMap<String, u32>,
    accounts: BTreeMap<NodeDid, Account>,
    /// Coordinators that did not say yet what they have. Nothing new is given before.
    silent: BTreeSet<NodeDid>,
    resend_at: BootMs,
    /// What was given in earlier terms is over then, and what was started by it is frozen.
    earlier_until: BootMs,
    /// What it gave is to be looked at again then.
    is_young: bool,
    /// The room was read at least as far as it was then.
    witness_at: BootMs,
    /// Who got the newest place of a group.
    served: BTreeMap<String, NodeDid>,
}

/// What a coordinator reported and was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Account {
    nonce: ReportNonce,
    /// Its sessions are frozen then, if it says nothing more. None: that is over.
    until: Option<BootMs>,
    groups: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Entry {
    places: u32,
    uses: u32,
    waiting: u32,
    /// See [`GroupPlaces::fair`].
    fair: u32,
}

impl Entry {
    /// Whether its coordinator needs more places than it has.
    fn needs(self) -> bool {
        u64::from(self.uses) + u64::from(self.waiting) > u64::from(self.places)
    }

    fn counted(self) -> u32 {
        self.places.max(self.uses)
    }
}

/// A group over all coordinators.
#[derive(Debug, Clone, Copy)]
struct Sum {
    /// Given.
    places: u64,
    /// Given or taken.
    counted: u64,
}

impl Keeper {
    /// A keeper in a term that just began. `coordinators`: all that may have places of earlier terms.
    #[must_use]
    pub fn new(
        settings: Settings,
        epoch: Epoch,
        coordinators: impl IntoIterator<Item = NodeDid>,
        now: BootMs,
    ) -> Self {
        Self {
            settings,
            epoch,
            limits: BTreeMap::new(),
            accounts: BTreeMap::new(),
            silent: coordinators.into_iter().collect(),
            resend_at: now,
            earlier_until: now.saturating_add(settings.group_bound_ms()),
            is_young: true,
            witness_at: now,
            served: BTreeMap::new(),
        }
    }

    /// Its term.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether somebody relies on it, or is asked.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        !self.silent.is_empty() || self.accounts.values().any(|account| account.until.is_some())
    }

    /// The room has these groups from now on.
    pub fn set_groups(&mut self, groups: &BTreeMap<String, Group>, now: BootMs, out: &mut Sends) {
        let limits: BTreeMap<String, u32> =
            groups.iter().map(|(name, group)| (name.clone(), group.limit)).collect();
        if limits != self.limits {
            self.limits = limits;
            let changed = self.share_out(now);
            self.answer_all(&changed, now, out);
        }
    }

    /// The machine stood still: another node may keep the places.
    pub fn stood_still(&mut self) {
        self.witness_at = BootMs::MIN;
    }

    /// All that was in the room's timeline at `at` was read, and names no other keeper.
    pub fn witnessed(&mut self, at: BootMs) {
        self.witness_at = self.witness_at.max(at);
    }

    /// Takes a report of a coordinator of the room.
    ///
    /// # Errors
    /// Why nothing was done about it.
    pub fn report(
        &mut self,
        from: &NodeDid,
        nonce: ReportNonce,
        groups: BTreeMap<String, GroupReport>,
        now: BootMs,
        out: &mut Sends,
    ) -> Result<(), String> {
        if groups.len() > GROUPS_MAX {
            return Err(format!("a report of {} groups", groups.len()));
        }
        self.expire(now);
        let recovers = now < self.earlier_until && self.silent.contains(from);
        let account = self.accounts.entry(from.clone()).or_default();
        if account.nonce > nonce || (account.nonce == nonce && account.until.is_none()) {
            return Ok(()); // Delayed or repeated.
        }
        if account.nonce == nonce {
            self.answer(from, now, out);
            return Ok(());
        }
        let of = |(name, report): (String, GroupReport)| {
            let GroupReport { uses, holds, waiting } = report;
            let given = account.groups.get(&name).map_or(0, |known| known.places);
            // What an earlier keeper gave is what its coordinator says that it is.
            let places = if recovers { holds } else { given }.min(uses);
            (name, Entry { places, uses, waiting, fair: 0 })
        };
        account.groups = groups.into_iter().map(of).collect();
        account.nonce = nonce;
        account.until = Some(now.saturating_add(self.settings.group_bound_ms()));
        self.silent.remove(from);
        let mut changed = self.share_out(now);
        changed.insert(from.clone());
        self.answer_all(&changed, now, out);
        Ok(())
    }

    /// Does what is due.
    pub fn tick(&mut self, now: BootMs, out: &mut Sends) {
        self.expire(now);
        if !self.silent.is_empty() && self.resend_at <= now {
            self.resend_at = now.saturating_add(self.settings.resend_ms);
            let epoch = self.epoch;
            out.extend(self.silent.iter().map(|to| (to.clone(), GroupMessage::Recover { epoch })));
        }
        let changed = self.share_out(now);
        self.answer_all(&changed, now, out);
    }

    /// When a tick is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootMs> {
        let ends = self.accounts.values().filter_map(|account| account.until);
        let asks = (!self.silent.is_empty()).then_some(self.resend_at);
        let settles = self.is_young.then_some(self.earlier_until);
        ends.chain(asks).chain(settles).min()
    }

    /// Forgets what nobody can rely on any more.
    fn expire(&mut self, now: BootMs) {
        if self.earlier_until <= now {
            self.silent.clear();
            self.is_young = false;
        }
        for account in self.accounts.values_mut() {
            if account.until.is_some_and(|until| until <= now) {
                account.until = None;
                account.groups.clear();
            }
        }
    }

    fn sum(&self, name: &str) -> Sum {
        let entries = self.accounts.values().filter_map(|account| account.groups.get(name));
        entries.fold(Sum { places: 0, counted: 0 }, |sum, entry| Sum {
            places: sum.places + u64::from(entry.places),
            counted: sum.counted + u64::from(entry.counted()),
        })
    }

    /// Gives free places to those who need them. Gives for whom something changed.
    fn share_out(&mut self, now: BootMs) -> BTreeSet<NodeDid> {
        let mut changed = BTreeSet::new();
        if !self.silent.is_empty() {
            return changed;
        }
        let names: BTreeSet<String> =
            self.accounts.values().flat_map(|account| account.groups.keys().cloned()).collect();
        for name in names {
            let limit = u64::from(self.limits.get(&name).copied().unwrap_or(0));
            self.cover(&name, limit, now, &mut changed);
            self.give(&name, limit, &mut changed);
            self.be_fair(&name, limit, &mut changed);
        }
        changed
    }

    /// Places for what coordinators took from others with a run: those sessions hold no place that is known here.
    fn cover(&mut self, name: &str, limit: u64, now: BootMs, changed: &mut BTreeSet<NodeDid>) {
        // What began in an earlier term may be at work until then, whoever counts it.
        let may_work = now < self.earlier_until;
        let mut sum = self.sum(name);
        for (did, account) in &mut self.accounts {
            let Some(entry) = account.groups.get_mut(name) else { continue };
            let lacks = u64::from(entry.uses.saturating_sub(entry.places));
            let free = match may_work {
                true if sum.counted <= limit => lacks,
                true => 0,
                false => limit.saturating_sub(sum.places).min(lacks),
            };
            if free > 0 {
                entry.places = entry.places.saturating_add(u32::try_from(free).unwrap_or(u32::MAX));
                sum.places += free;
                changed.insert(did.clone());
            }
        }
    }

    /// Places for tasks that wait: one after the other to each coordinator that has some.
    fn give(&mut self, name: &str, limit: u64, changed: &mut BTreeSet<NodeDid>) {
        let mut free = limit.saturating_sub(self.sum(name).counted);
        while free > 0 {
            let wants = |account: &Account| {
                account.groups.get(name).is_some_and(|entry| {
                    entry.uses <= entry.places && entry.places - entry.uses < entry.waiting
                })
            };
            let waiting = || self.accounts.iter().filter(|(_, account)| wants(account)).map(|(did, _)| did);
            let served = self.served.get(name);
            let after = waiting().find(|did| served.is_none_or(|served| *did > served));
            let Some(next) = after.or_else(|| waiting().next()).cloned() else { return };
            if let Some(entry) = self.accounts.get_mut(&next).and_then(|account| account.groups.get_mut(name))
            {
                entry.places += 1;
            }
            self.served.insert(name.to_owned(), next.clone());
            changed.insert(next);
            free -= 1;
        }
    }

    /// Whose places go back when their tasks end: while somebody waits, all get as many.
    fn be_fair(&mut self, name: &str, limit: u64, changed: &mut BTreeSet<NodeDid>) {
        let of = |account: &Account| account.groups.get(name).copied().unwrap_or_default();
        let sharers = self.accounts.values().map(of).filter(|entry| entry.uses > 0 || entry.waiting > 0);
        let part = limit / u64::try_from(sharers.count()).unwrap_or(u64::MAX).max(1);
        let needing = self.accounts.values().filter(|account| of(account).needs()).count();
        for (did, account) in &mut self.accounts {
            let Some(entry) = account.groups.get_mut(name) else { continue };
            let others_need = needing > usize::from(entry.needs());
            let fair = u32::try_from(if others_need { part } else { limit }).unwrap_or(u32::MAX);
            if std::mem::replace(&mut entry.fair, fair) != fair {
                changed.insert(did.clone());
            }
        }
    }

    fn answer_all(&self, to: &BTreeSet<NodeDid>, now: BootMs, out: &mut Sends) {
        to.iter().for_each(|to| self.answer(to, now, out));
    }

    /// Tells a coordinator what it may take, by its newest report.
    fn answer(&self, to: &NodeDid, now: BootMs, out: &mut Sends) {
        let Some(account) = self.accounts.get(to).filter(|account| account.until.is_some()) else { return };
        // A keeper that was replaced, and did not read it yet, promises nothing for longer than one that began then.
        let stale = now.saturating_sub(self.witness_at).max(0);
        let lease_ms = self.settings.group_lease_ms().saturating_sub(stale);
        if lease_ms <= 0 {
            return;
        }
        let places = |(name, entry): (&String, &Entry)| {
            let taken = u32::try_from(self.sum(name).counted).unwrap_or(u32::MAX);
            (name.clone(), GroupPlaces { places: entry.places, taken, fair: entry.fair })
        };
        let groups = account.groups.iter().map(places).collect();
        let (epoch, nonce) = (self.epoch, account.nonce);
        out.push((to.clone(), GroupMessage::Quotas { epoch, nonce, lease_ms, groups }));
    }
}
