//! The coordinator's half: which places of a room's groups the runs of this node may take, and which of their sessions may go on.
//!
//! Owns the quotas that the keeper gave and their lease, which begins when the report was sent that the keeper answered. What
//! the runs have is told to it; what starts is the scheduler's decision.

use std::collections::{BTreeMap, BTreeSet};

use super::super::settings::{BootMs, Settings};
use super::message::{GROUPS_MAX, GroupMessage, GroupPlaces, GroupReport, ReportNonce};
use crate::dag::Group;
use crate::ids::{AttemptId, Epoch, RunId};
use crate::scheduler::GroupUse;

/// Which attempts may go on, and until when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Gate {
    /// None of them goes on for longer.
    pub until: BootMs,
    /// Attempts in groups of the room, and whether each has a place. Others may go on in any case.
    pub attempts: BTreeMap<AttemptId, bool>,
}

impl Gate {
    /// Whether an attempt has a place, or needs none.
    #[must_use]
    pub fn covers(&self, attempt: &AttemptId) -> bool {
        self.attempts.get(attempt).is_none_or(|covered| *covered)
    }

    /// Whether the lease of an attempt may be renewed, or given.
    #[must_use]
    pub fn lets(&self, attempt: &AttemptId, now: BootMs) -> bool {
        self.attempts.get(attempt).is_none_or(|covered| *covered && now < self.until)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Holder {
    settings: Settings,
    groups: BTreeMap<String, Group>,
    /// No other node coordinates in the room: it takes what it needs.
    is_alone: bool,
    using: BTreeMap<String, GroupUse>,
    /// Attempts of runs that other nodes coordinate by now. They may be at work until then, and take their places.
    left: BTreeMap<AttemptId, (String, BootMs)>,
    /// Groups in which attempts ended since the newest report.
    ended: BTreeSet<String>,
    quotas: BTreeMap<String, GroupPlaces>,
    /// The quotas hold until then.
    until: BootMs,
    /// Attempts that have places. Which ones is decided once: the others are frozen.
    covered: BTreeMap<String, BTreeSet<AttemptId>>,
    /// What an earlier life of this node let go on is frozen then.
    certain_at: BootMs,
    nonce: ReportNonce,
    report: Option<Report>,
    /// Since when the keeper owes an answer.
    unanswered_since: Option<BootMs>,
    /// There is a new keeper, or it asks.
    is_asked: bool,
}

#[derive(Debug, Clone)]
struct Report {
    nonce: ReportNonce,
    /// When it was sent for the first time.
    at: BootMs,
    resend_at: BootMs,
    is_answered: bool,
    groups: BTreeMap<String, GroupReport>,
}

impl Holder {
    /// One without places. `nonce`: higher than any of an earlier life of the node.
    #[must_use]
    pub fn new(settings: Settings, nonce: ReportNonce, now: BootMs) -> Self {
        Self {
            settings,
            groups: BTreeMap::new(),
            is_alone: false,
            using: BTreeMap::new(),
            left: BTreeMap::new(),
            ended: BTreeSet::new(),
            quotas: BTreeMap::new(),
            until: BootMs::MIN,
            covered: BTreeMap::new(),
            certain_at: now.saturating_add(settings.lease_bound_ms()),
            nonce,
            report: None,
            unanswered_since: None,
            is_asked: false,
        }
    }

    /// The room has these groups from now on.
    pub fn set_groups(&mut self, groups: &BTreeMap<String, Group>) {
        self.groups.clone_from(groups);
    }

    /// Whether no other node coordinates in the room. What was started until now keeps its places.
    pub fn set_alone(&mut self, is_alone: bool, now: BootMs) {
        if self.is_alone && !is_alone {
            let names: BTreeSet<&String> = self.using.keys().collect();
            let places = |name: &String| {
                let uses = self.uses(name);
                GroupPlaces { places: uses, taken: uses, fair: 0 }
            };
            self.quotas = names.into_iter().map(|name| (name.clone(), places(name))).collect();
            self.until = now.saturating_add(self.settings.group_lease_ms());
            self.is_alone = false;
            self.cover(now);
        }
        self.is_alone = is_alone;
    }

    /// What the runs of this node have of the room's groups.
    pub fn set_using(&mut self, using: BTreeMap<String, GroupUse>, now: BootMs) {
        for (name, of) in &self.using {
            let stays = |attempt| using.get(name).is_some_and(|now| now.attempts.contains_key(attempt));
            if of.attempts.keys().any(|attempt| !stays(attempt)) {
                self.ended.insert(name.clone());
            }
        }
        self.using = using;
        self.cover(now);
    }

    /// Another node coordinates a run from now on. What it has at work keeps its places until its leases are over: its new
    /// coordinator has to ask for them.
    pub fn leave(&mut self, run: RunId, now: BootMs) {
        let until = now.saturating_add(self.settings.lease_bound_ms());
        for (name, of) in &mut self.using {
            let gone = of.attempts.iter().filter(|(attempt, takes)| attempt.run == run && **takes);
            self.left.extend(gone.map(|(attempt, _)| (attempt.clone(), (name.clone(), until))));
            of.attempts.retain(|attempt, _| attempt.run != run);
        }
    }

    /// There is another keeper, or another term of one. It knows nothing yet.
    pub fn keeper_changed(&mut self) {
        self.report = None;
        self.unanswered_since = None;
        self.is_asked = true;
    }

    /// The keeper asks for a report.
    pub fn asked(&mut self) {
        self.is_asked = true;
    }

    /// Takes an answer of the keeper.
    pub fn quotas(
        &mut self,
        nonce: ReportNonce,
        lease_ms: BootMs,
        groups: &BTreeMap<String, GroupPlaces>,
        now: BootMs,
    ) {
        let Some(report) = self.report.as_mut().filter(|report| report.nonce == nonce) else { return };
        let until = report.at.saturating_add(lease_ms.min(self.settings.group_lease_ms()));
        // Answers to one report come in any order: each promises less than both together.
        self.until = if report.is_answered { self.until.min(until) } else { until };
        let is_first = !std::mem::replace(&mut report.is_answered, true);
        let of = |name: &String| {
            let known = self.quotas.get(name).filter(|_| !is_first).copied().unwrap_or_default();
            let new = groups.get(name).copied().unwrap_or_default();
            (name.clone(), GroupPlaces { places: known.places.max(new.places), ..new })
        };
        self.quotas = report.groups.keys().map(of).collect();
        self.unanswered_since = None;
        self.cover(now);
    }

    /// Places that the runs of this node may take now, by group, as far as the keeper's word holds.
    #[must_use]
    pub fn places(&self, now: BootMs) -> BTreeMap<String, GroupPlaces> {
        if now < self.until { self.quotas.clone() } else { BTreeMap::new() }
    }

    /// Which attempts may go on.
    #[must_use]
    pub fn gate(&self) -> Gate {
        if self.is_alone {
            return Gate::default();
        }
        let of = |(name, of): (&String, &GroupUse)| {
            let covered = self.covered.get(name);
            // Those of a group that is left while they wait may be more than its limit when they go on.
            let frees = self.frees(name);
            let lets = move |attempt: &AttemptId| frees || covered.is_some_and(|of| of.contains(attempt));
            of.attempts.keys().map(move |attempt| (attempt.clone(), lets(attempt))).collect::<Vec<_>>()
        };
        Gate { until: self.until, attempts: self.using.iter().flat_map(of).collect() }
    }

    /// Whether this node needs a keeper.
    #[must_use]
    pub fn needs_keeper(&self) -> bool {
        !self.is_alone
            && (!self.left.is_empty()
                || self.using.values().any(|of| of.waiting > 0 || !of.attempts.is_empty()))
    }

    /// Since when the keeper owes an answer.
    #[must_use]
    pub fn unanswered_since(&self) -> Option<BootMs> {
        self.unanswered_since
    }

    /// The carrier works again: what is owed is owed since then.
    pub fn hears_again(&mut self, since: BootMs) {
        self.unanswered_since = self.unanswered_since.map(|_| since);
    }

    /// The machine stood still: the lease of the places is over, and answers to earlier reports give none.
    pub fn stood_still(&mut self, now: BootMs) {
        if !self.is_alone {
            self.until = self.until.min(now);
            self.report = None;
        }
    }

    /// Forgets what is over.
    pub fn expire(&mut self, now: BootMs) {
        self.left.retain(|_, (_, until)| now < *until);
        if self.until <= now {
            self.quotas.clear();
        }
    }

    /// When places end.
    #[must_use]
    pub fn expires_at(&self) -> Option<BootMs> {
        let left = self.left.values().map(|(_, until)| *until);
        left.chain((!self.quotas.is_empty()).then_some(self.until)).min()
    }

    /// A report that is due now for the keeper in the term `epoch`.
    pub fn tick(&mut self, epoch: Epoch, now: BootMs) -> Option<GroupMessage> {
        if self.is_alone && !self.is_asked {
            return None;
        }
        let resends = self.report.as_ref().is_some_and(|report| !report.is_answered);
        if resends && let Some(report) = &mut self.report {
            if now < report.resend_at {
                return None;
            }
            report.resend_at = now.saturating_add(self.settings.resend_ms);
            // Its lease is shorter by its age.
            if now.saturating_sub(report.at) < self.settings.group_lease_ms() / 2 {
                let (nonce, groups) = (report.nonce, report.groups.clone());
                return Some(GroupMessage::Report { epoch, nonce, groups });
            }
        } else if !self.is_asked && !self.is_due(now) {
            return None;
        }
        self.is_asked = false;
        let groups = self.reported(now);
        self.ended.clear();
        self.nonce += 1;
        let nonce = self.nonce;
        // What is given back with this may go to another coordinator at once.
        for (name, quota) in &mut self.quotas {
            quota.places = quota.places.min(groups.get(name).map_or(0, |report| report.uses));
        }
        self.cover(now);
        let resend_at = now.saturating_add(self.settings.resend_ms);
        self.report = Some(Report { nonce, at: now, resend_at, is_answered: false, groups: groups.clone() });
        self.unanswered_since.get_or_insert(now);
        Some(GroupMessage::Report { epoch, nonce, groups })
    }

    /// When a report is due that nothing else brings about.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootMs> {
        match self.report.as_ref().filter(|_| !self.is_alone)? {
            report if !report.is_answered => Some(report.resend_at),
            report => self.has_something().then(|| report.at.saturating_add(self.settings.group_report_ms())),
        }
    }

    fn frees(&self, name: &str) -> bool {
        self.groups.get(name).is_some_and(|group| group.frees_when_blocked)
    }

    fn left_in(&self, name: &str) -> u32 {
        u32::try_from(self.left.values().filter(|(of, _)| of == name).count()).unwrap_or(u32::MAX)
    }

    fn uses(&self, name: &str) -> u32 {
        self.using.get(name).map_or(0, GroupUse::taken).saturating_add(self.left_in(name))
    }

    fn has_something(&self) -> bool {
        self.needs_keeper() || self.quotas.values().any(|quota| quota.places > 0)
    }

    /// Whether something changed that the keeper has to know, or it has heard nothing for long.
    fn is_due(&self, now: BootMs) -> bool {
        let Some(report) = &self.report else { return self.has_something() };
        if now >= report.at.saturating_add(self.settings.group_report_ms()) && self.has_something() {
            return true;
        }
        let limit = |name: &String| self.groups.get(name).map_or(0, |group| group.limit);
        let needs =
            |name: &String, of: &GroupUse| self.uses(name).saturating_add(of.waiting).min(limit(name));
        let was = |name: &String| {
            let known = report.groups.get(name).copied().unwrap_or_default();
            known.uses.saturating_add(known.waiting).min(limit(name))
        };
        let needs_more = self.using.iter().any(|(name, of)| needs(name, of) > was(name));
        // Others may wait for what is not needed here any more, or is to go back.
        let gives_back = self.quotas.iter().any(|(name, quota)| {
            let is_idle = self.using.get(name).is_none_or(|of| of.waiting == 0);
            let goes_back = quota.places > quota.fair && self.ended.contains(name);
            quota.taken >= limit(name) && self.uses(name) < quota.places && (is_idle || goes_back)
        });
        needs_more || gives_back
    }

    fn reported(&self, now: BootMs) -> BTreeMap<String, GroupReport> {
        let held = self.places(now);
        let left = self.left.values().map(|(name, _)| name);
        let names: BTreeSet<&String> = self.using.keys().chain(self.quotas.keys()).chain(left).collect();
        let report = |name: &String| {
            let uses = self.uses(name);
            let holds = held.get(name).map_or(0, |quota| quota.places.min(uses));
            let waiting = self.using.get(name).map_or(0, |of| of.waiting);
            GroupReport { uses, holds, waiting }
        };
        let mut reports: Vec<(String, GroupReport)> =
            names.into_iter().map(|name| (name.clone(), report(name))).collect();
        reports.retain(|(_, of)| (of.uses, of.waiting) != (0, 0));
        // What is at work has to be known before what waits.
        reports.sort_by_key(|(_, of)| of.uses == 0);
        reports.truncate(GROUPS_MAX);
        reports.into_iter().collect()
    }

    /// Decides which attempts have places.
    fn cover(&mut self, now: BootMs) {
        if self.is_alone {
            self.covered.clear();
            return;
        }
        let held = self.places(now);
        self.covered.retain(|name, _| self.using.contains_key(name));
        for (name, of) in &self.using {
            let left = self.left_in(name);
            let places = held.get(name).map_or(0, |quota| quota.places.saturating_sub(left)) as usize;
            let covered = self.covered.entry(name.clone()).or_default();
            covered.retain(|attempt| of.attempts.contains_key(attempt));
            if now < self.until && covered.len() > places {
                // Their places were given to others, as nothing was heard of them for long.
                while covered.len() > places {
                    covered.pop_last();
                }
                self.certain_at = self.certain_at.max(now.saturating_add(self.settings.lease_bound_ms()));
            }
            let others: Vec<&AttemptId> =
                of.attempts.keys().filter(|attempt| !covered.contains(*attempt)).collect();
            let free = places.saturating_sub(covered.len());
            // Without places for all, those that are left out have to be frozen.
            if others.len() <= free || now >= self.certain_at {
                covered.extend(others.into_iter().take(free).cloned());
            }
        }
    }
}
