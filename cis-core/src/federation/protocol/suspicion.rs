//! When a coordinator is replaced: signs of life of the others, and whose turn it is to take over. A coordinator that lives is
//! replaced, too, by the node where the run was submitted, if it cannot go on without that node.
//!
//! A wrong suspicion costs a takeover, never a result: which takeover counts is decided by the journal, and the leases
//! of the old term are waited for.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::{BootMs, Settings};
use crate::federation::recovery::Extent;
use crate::ids::{Epoch, NodeDid, RunId};

/// Open runs of the room that others coordinate, and when their coordinators were heard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Suspicion {
    settings: Settings,
    runs: BTreeMap<RunId, Watched>,
    heard: BTreeMap<NodeDid, BootMs>,
    /// Coordinators at other homeservers.
    far: BTreeSet<NodeDid>,
    /// Whether it takes runs back that were submitted here.
    takes_back: bool,
    /// When a run was taken back last, and how long it is not taken back after that, ms. Two nodes must not take it from each other for ever.
    taken_back: BTreeMap<RunId, (BootMs, i64)>,
}

/// A run that was taken back is not taken back for so long, ms, however often it was.
const TAKE_BACK_MAX_MS: i64 = 600_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Watched {
    epoch: Epoch,
    coordinator: NodeDid,
    since: BootMs,
    /// How far this node reads its journal, and since when.
    extent: (Extent, BootMs),
    /// It was submitted here, and cannot go on without this node.
    is_wanted: bool,
    /// Its coordinator cannot go on with it.
    gave_up: bool,
    /// A takeover was asked for, and is not asked for again before then.
    retry_at: BootMs,
}

impl Watched {
    /// When its coordinator gave its newest sign of life, as far as that counts.
    fn heard(&self, heard: &BTreeMap<NodeDid, BootMs>) -> BootMs {
        if self.gave_up {
            return self.since;
        }
        heard.get(&self.coordinator).copied().unwrap_or(self.since).max(self.since)
    }

    /// When it may be taken over. `patience`: so long this node waits for those before it when the coordinator is silent; none: it takes over
    /// no silent coordinators. `back_at`: when it may be taken back. None: not by itself.
    fn due_at(
        &self,
        heard: &BTreeMap<NodeDid, BootMs>,
        patience: Option<i64>,
        back_at: Option<BootMs>,
        settings: &Settings,
    ) -> Option<BootMs> {
        let heard = self.heard(heard);
        let silent_at = patience.map(|patience| heard.saturating_add(patience));
        let at = match self.extent {
            (Extent::Whole, _) => {
                // Its coordinator is there, and waits for that.
                let back_at = back_at.filter(|_| self.is_wanted).map(|at| at.max(self.since));
                back_at.into_iter().chain(silent_at).min()?
            }
            // Another node may read more of it, and takes it over earlier.
            (Extent::Part, since) => silent_at?.max(heard.max(since).saturating_add(settings.missing_ms)),
            (Extent::Unknown, _) => return None,
        };
        Some(at.max(self.retry_at))
    }
}

impl Suspicion {
    /// Watches nobody.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let (runs, heard, taken_back) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { settings, runs, heard, far: BTreeSet::new(), takes_back: true, taken_back }
    }

    /// An open run is coordinated by another node in this term.
    pub fn watch(&mut self, run: RunId, epoch: Epoch, coordinator: &NodeDid, now: BootMs) {
        let known = self
            .runs
            .get(&run)
            .is_some_and(|known| known.epoch == epoch && known.coordinator == *coordinator);
        if !known {
            let (coordinator, extent) = (coordinator.clone(), (Extent::Whole, now));
            let retry_at = BootMs::MIN;
            let (is_wanted, gave_up) = (false, false);
            let watched = Watched { epoch, coordinator, since: now, extent, is_wanted, gave_up, retry_at };
            self.runs.insert(run, watched);
        }
    }

    /// So far this node reads the journal of a run that it watches.
    pub fn reads(&mut self, run: RunId, extent: Extent, now: BootMs) {
        if let Some(watched) = self.runs.get_mut(&run).filter(|watched| watched.extent.0 != extent) {
            watched.extent = (extent, now);
        }
    }

    /// A run was submitted here, and whether tasks of it wait until this node coordinates it again.
    pub fn wants(&mut self, run: RunId, is_wanted: bool) {
        if let Some(watched) = self.runs.get_mut(&run) {
            watched.is_wanted = is_wanted;
        }
    }

    /// Says whether runs that were submitted here are taken back.
    pub fn set_takes_back(&mut self, takes_back: bool) {
        self.takes_back = takes_back;
    }

    /// When a run may be taken back.
    fn back_at(&self, run: RunId) -> Option<BootMs> {
        let last = self.taken_back.get(&run);
        self.takes_back.then(|| last.map_or(BootMs::MIN, |(at, delay)| at.saturating_add(*delay)))
    }

    /// A run ended, or is coordinated by this node.
    pub fn forget(&mut self, run: RunId) {
        self.runs.remove(&run);
    }

    /// A coordinator gave a sign of life.
    pub fn heard(&mut self, coordinator: &NodeDid, now: BootMs) {
        self.heard.insert(coordinator.clone(), now);
    }

    /// When a coordinator gave its newest sign of life.
    #[must_use]
    pub fn heard_at(&self, coordinator: &NodeDid) -> Option<BootMs> {
        self.heard.get(coordinator).copied()
    }

    /// This node hears the others again, after a time in which it heard nobody. They may need a while longer to be heard.
    pub fn hears_again(&mut self, now: BootMs) {
        let since = now.saturating_add(self.settings.grace_ms);
        self.runs.values_mut().for_each(|watched| watched.since = since);
    }

    /// These coordinators use other homeservers. If those are cut off from this one, such a coordinator goes on, and reads nothing of a
    /// takeover: only a person may replace it.
    pub fn set_far(&mut self, far: BTreeSet<NodeDid>) {
        self.far = far;
    }

    /// Whether the coordinator of a run is silent: how long this node waits for those before it, does not count.
    #[must_use]
    pub fn is_silent(&self, run: RunId, now: BootMs) -> bool {
        self.runs
            .get(&run)
            .is_some_and(|watched| now.saturating_sub(watched.heard(&self.heard)) >= self.settings.suspect_ms)
    }

    /// Runs whose coordinators were not heard for so long, ms.
    pub fn unheard(&self, for_ms: i64, now: BootMs) -> impl Iterator<Item = (RunId, &NodeDid)> {
        let unheard = move |watched: &Watched| now.saturating_sub(watched.heard(&self.heard)) >= for_ms;
        self.runs.iter().filter(move |(_, w)| unheard(w)).map(|(run, w)| (*run, &w.coordinator))
    }

    /// A coordinator says with which of its runs it cannot go on: in these it counts as one that was never heard.
    pub fn gives_up(&mut self, coordinator: &NodeDid, lost: &[RunId]) {
        for (run, watched) in self.runs.iter_mut().filter(|(_, watched)| watched.coordinator == *coordinator)
        {
            watched.gave_up = lost.contains(run);
        }
    }

    /// Whether a coordinator uses another homeserver.
    #[must_use]
    pub fn is_far(&self, coordinator: &NodeDid) -> bool {
        self.far.contains(coordinator)
    }

    /// Runs whose coordinators would be replaced now if they were not at other homeservers. `before`: as for [`Self::due`].
    pub fn stranded(&self, before: &[NodeDid], now: BootMs) -> impl Iterator<Item = (RunId, &NodeDid)> {
        let unheard = move |watched: &Watched| {
            let patience = patience(&self.settings, before, &watched.coordinator);
            now.saturating_sub(watched.heard(&self.heard)) >= patience
        };
        let far = self.runs.iter().filter(|(_, watched)| self.far.contains(&watched.coordinator));
        far.filter(move |(_, watched)| unheard(watched)).map(|(run, watched)| (*run, &watched.coordinator))
    }

    /// Runs that this node should take over now, with the epoch that would begin. `before`: the voters that come before this node;
    /// none: it takes over only what was submitted here and cannot go on without it. A run is named again after as long a time,
    /// as long as nothing came of it.
    pub fn due(&mut self, before: Option<&[NodeDid]>, now: BootMs) -> Vec<(RunId, Epoch)> {
        let settings = self.settings;
        let mut due = Vec::new();
        let near = self.runs.iter().filter(|(_, watched)| !self.far.contains(&watched.coordinator));
        let near: Vec<RunId> = near.map(|(run, _)| *run).collect();
        for run in near {
            let back_at = self.back_at(run);
            let Some(watched) = self.runs.get_mut(&run) else { continue };
            let patience = before.map(|before| patience(&settings, before, &watched.coordinator));
            if watched.due_at(&self.heard, patience, back_at, &settings).is_none_or(|at| at > now) {
                continue;
            }
            watched.retry_at = now + patience.unwrap_or(settings.suspect_ms);
            due.push((run, watched.epoch + 1));
        }
        due
    }

    /// This node takes over a run that [`Self::due`] named.
    pub fn claims(&mut self, run: RunId, now: BootMs) {
        if self.runs.get(&run).is_some_and(|watched| watched.is_wanted) {
            let known = self.taken_back.entry(run).or_insert((now, self.settings.suspect_ms / 2));
            let is_long_ago = now.saturating_sub(known.0) > 2 * TAKE_BACK_MAX_MS;
            let delay = if is_long_ago { self.settings.suspect_ms } else { known.1.saturating_mul(2) };
            *known = (now, delay.min(TAKE_BACK_MAX_MS));
        }
    }

    /// When [`Self::due`] may name something.
    #[must_use]
    pub fn poll_timeout(&self, before: Option<&[NodeDid]>) -> Option<BootMs> {
        let at = |(run, watched): (&RunId, &Watched)| {
            let patience = before.map(|before| patience(&self.settings, before, &watched.coordinator));
            watched.due_at(&self.heard, patience, self.back_at(*run), &self.settings)
        };
        self.runs.iter().filter(|(_, watched)| !self.far.contains(&watched.coordinator)).filter_map(at).min()
    }
}

/// How long a node with these voters before it waits until it replaces a silent coordinator, ms. Nobody waits for the one that is silent.
fn patience(settings: &Settings, before: &[NodeDid], coordinator: &NodeDid) -> i64 {
    let waits_for = before.iter().filter(|voter| *voter != coordinator).count();
    settings.suspect_ms.saturating_mul(i64::try_from(waits_for).unwrap_or(i64::MAX).saturating_add(1))
}
