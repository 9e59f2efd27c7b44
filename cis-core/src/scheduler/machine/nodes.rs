//! The nodes that take tasks of runs in Matrix mode: what they offer, what they refused, and the choice among them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Machine;
use super::commit::Commits;
use crate::dag::{Action, Task};
use crate::ids::{NodeDid, RunId, TaskId};
use crate::scheduler::placement::{
    Candidate, Ineligible, LoadBalancingScheduler, NodeOffer, Strategy, TaskScheduler, ineligible,
};
use crate::scheduler::state::Run;

#[derive(Debug, Clone)]
pub(super) struct Nodes {
    /// By room: a node offers its sessions in each of its rooms.
    offers: BTreeMap<String, BTreeMap<NodeDid, Offer>>,
    /// Nodes whose policy refused a task, or that miss something for it, with their reasons.
    refused: BTreeMap<(RunId, TaskId), BTreeMap<NodeDid, Refused>>,
    /// By run: how many tasks it had when it was last looked at, and whether one of them stays on this node.
    pinned: BTreeMap<RunId, (u32, bool)>,
    /// Runs of which nothing is granted.
    held: BTreeSet<RunId>,
    /// Tasks that wait until the room has the results before them.
    pub(super) commits: Commits,
    scheduler: Arc<dyn TaskScheduler>,
}

/// A refusal that holds.
#[derive(Debug, Clone)]
struct Refused {
    why: String,
    /// The node's own policy forbids the task: that can change.
    by_policy: bool,
}

#[derive(Debug, Clone)]
struct Offer {
    offer: NodeOffer,
    /// What it was short of, if its offer has not changed since.
    short: Option<String>,
    /// It refused a session for lack of a slot since it made the offer.
    is_full: bool,
}

impl Offer {
    /// Whether it may be given something, as far as it has free slots.
    fn is_open(&self) -> bool {
        self.short.is_none() && !self.is_full
    }
}

impl Default for Nodes {
    fn default() -> Self {
        let scheduler = Arc::new(LoadBalancingScheduler::default());
        Self {
            offers: BTreeMap::new(),
            refused: BTreeMap::new(),
            pinned: BTreeMap::new(),
            held: BTreeSet::new(),
            commits: Commits::default(),
            scheduler,
        }
    }
}

impl Nodes {
    pub(super) fn offers(&mut self, room: String, node: NodeDid, offer: Option<NodeOffer>) {
        let offers = self.offers.entry(room).or_default();
        match offer {
            Some(offer) => {
                let known = offers.get(&node);
                let unchanged = known.filter(|known| known.offer == offer);
                let short = unchanged.and_then(|known| known.short.clone());
                if known.is_some_and(|known| known.offer.policy != offer.policy) {
                    for nodes in self.refused.values_mut() {
                        nodes.retain(|by, refused| *by != node || !refused.by_policy);
                    }
                    self.refused.retain(|_, nodes| !nodes.is_empty());
                }
                offers.insert(node, Offer { offer, short, is_full: false });
            }
            None => {
                offers.remove(&node);
            }
        }
    }

    /// An agent of a node is logged out. It gets none of its tasks until it offers it again.
    pub(super) fn remove_agent(&mut self, node: &NodeDid, agent: &str) {
        for offer in self.offers.values_mut().filter_map(|offers| offers.get_mut(node)) {
            offer.offer.agents.remove(agent);
        }
    }

    /// A node refused a task, until the run ends.
    pub(super) fn refuse(&mut self, run: RunId, task: &TaskId, node: NodeDid, why: String) {
        let refused = Refused { why, by_policy: false };
        self.refused.entry((run, task.clone())).or_default().insert(node, refused);
    }

    /// The policy of a node forbids a task, until the node says that its policy has changed.
    pub(super) fn forbid(&mut self, run: RunId, task: &TaskId, node: NodeDid, why: String) {
        let refused = Refused { why, by_policy: true };
        self.refused.entry((run, task.clone())).or_default().insert(node, refused);
    }

    /// Whether the policy of a node forbids a task.
    fn is_forbidden(&self, run: RunId, task: &TaskId, node: &NodeDid) -> bool {
        let refused = self.refused.get(&(run, task.clone())).and_then(|by| by.get(node));
        refused.is_some_and(|refused| refused.by_policy)
    }

    /// A node is short of something until its offer changes.
    pub(super) fn is_short(&mut self, node: &NodeDid, of: &str) {
        for offer in self.offers.values_mut().filter_map(|offers| offers.get_mut(node)) {
            offer.short = Some(of.to_owned());
        }
    }

    pub(super) fn hold(&mut self, run: RunId, held: bool) {
        if held {
            self.held.insert(run);
        } else {
            self.held.remove(&run);
        }
    }

    pub(super) fn is_held(&self, run: RunId) -> bool {
        self.held.contains(&run)
    }

    /// How many sessions of a run may wait for their turn at the nodes of its room. None where its limit of parallel tasks could be
    /// exceeded: each node keeps to its own slots alone, and tasks that stay on this node take none of those.
    pub(super) fn ahead_of(&self, run: &Run) -> u32 {
        let slots = self.offers_to(run).fold(0, |sum: u32, (_, of)| sum.saturating_add(of.offer.slots));
        if slots > run.facts().max_parallel || self.has_pinned_tasks(run) {
            return 0;
        }
        self.offers_to(run).fold(0, |sum: u32, (_, of)| sum.saturating_add(of.offer.ahead_of(run.id())))
    }

    /// Looks for tasks of a run that stay on this node: before [`Nodes::place`].
    pub(super) fn look_for_pinned_tasks(&mut self, run: &Run) {
        let known = self.pinned.entry(run.id()).or_default();
        if known.0 != run.len() {
            *known = (run.len(), (0..run.len()).any(|index| run.stays_home(index)));
        }
    }

    /// Whether a task of the run stays on this node; yes where that was not looked for.
    fn has_pinned_tasks(&self, run: &Run) -> bool {
        self.pinned.get(&run.id()).is_none_or(|(_, found)| *found)
    }

    /// A node gave back what waited there: it queues nothing more until it offers that again.
    pub(super) fn queues_nothing(&mut self, node: &NodeDid) {
        for offer in self.offers.values_mut().filter_map(|offers| offers.get_mut(node)) {
            offer.offer.ahead = None;
        }
    }

    /// A node has no slot until its next offer: coordinators do not know what others gave it meanwhile.
    pub(super) fn is_full(&mut self, node: &NodeDid) {
        for offer in self.offers.values_mut().filter_map(|offers| offers.get_mut(node)) {
            offer.is_full = true;
        }
    }

    /// Whether some node of the run's room could be given a task.
    fn has_room(
        &self,
        run: &Run,
        granted: &BTreeMap<NodeDid, u32>,
        open: &impl Fn(&NodeDid, Option<&Task>) -> bool,
        may_wait: bool,
    ) -> bool {
        let mut nodes = self.offers_to(run).filter(|(_, of)| of.is_open() && !of.offer.draining);
        nodes.any(|(node, of)| {
            Self::candidate(run, node, of, granted, may_wait).free() > 0 && open(node, None)
        })
    }

    fn candidate<'a>(
        run: &Run,
        node: &'a NodeDid,
        of: &'a Offer,
        granted: &BTreeMap<NodeDid, u32>,
        may_wait: bool,
    ) -> Candidate<'a> {
        let ahead = if may_wait { of.offer.ahead_of(run.id()) } else { 0 };
        Candidate { node, offer: &of.offer, granted: granted.get(node).copied().unwrap_or(0), ahead }
    }

    /// Nothing of a run is needed any more.
    pub(super) fn forget(&mut self, run: RunId) {
        self.pinned.remove(&run);
        self.refused.retain(|(of, _), _| *of != run);
        self.commits.forget(run);
    }

    /// The first task of a run that some node can take now, the node that gets it, and whether it waits there for its turn. `own`: this
    /// node, which keeps what no other machine could run; `granted`: sessions that nodes were given; `open`: whether a node can be given
    /// a task at all; `alone`: no other run waits for a node.
    pub(super) fn place(
        &self,
        run: &Run,
        own: &NodeDid,
        granted: &BTreeMap<NodeDid, u32>,
        open: impl Fn(&NodeDid, Option<&Task>) -> bool,
        alone: bool,
    ) -> Option<(u32, NodeDid, bool)> {
        let has_pinned_tasks = self.has_pinned_tasks(run);
        let may_wait = alone && run.ahead > 0 && run.blocked_count() == 0 && !has_pinned_tasks;
        // Without this, each turn would look at all tasks that are ready while all nodes are full.
        if !has_pinned_tasks && !self.has_room(run, granted, &open, may_wait) {
            return None;
        }
        // Tasks that ask for the same find the same nodes.
        let mut without = BTreeSet::new();
        for index in run.index.ready() {
            let task = run.spec(index);
            if !self.commits.lets(run, index) || run.waits_for_submitter(index) {
                continue;
            }
            if run.stays_home(index) {
                if open(own, None) && run.free_slots() > 0 {
                    return Some((index, own.clone(), false));
                }
                continue;
            }
            let agent = match &task.action {
                Action::Agent { agent, .. } => Some(agent.as_str()),
                Action::Command(_) | Action::Script { .. } => None,
            };
            let moves_files = run.moves_files(index);
            let asks = (task.placement.as_deref(), agent, moves_files, task.secrets.is_empty(), task.commit);
            let refused = self.refused.get(&(run.id(), task.id.clone()));
            if refused.is_none() && without.contains(&asks) {
                continue;
            }
            let candidates = self.candidates(run, (task, moves_files), granted, &open, may_wait);
            if let Some(chosen) = self.scheduler.select_node(task, &candidates)
                && let Some(candidate) = candidates.get(chosen)
            {
                return Some((index, candidate.node.clone(), candidate.is_full()));
            }
            if refused.is_none() {
                without.insert(asks);
            }
        }
        None
    }

    fn candidates<'a>(
        &'a self,
        run: &Run,
        (task, moves_files): (&Task, bool),
        granted: &BTreeMap<NodeDid, u32>,
        open: impl Fn(&NodeDid, Option<&Task>) -> bool,
        may_wait: bool,
    ) -> Vec<Candidate<'a>> {
        let nodes = self.offers_to(run).filter(|(node, offer)| open(node, Some(task)) && offer.is_open());
        nodes
            .map(|(node, of)| Self::candidate(run, node, of, granted, may_wait))
            .filter(|candidate| self.keeps_from(run.id(), (task, moves_files), candidate).is_none())
            .collect()
    }

    fn offers_to(&self, run: &Run) -> impl Iterator<Item = (&NodeDid, &Offer)> {
        run.facts().room.as_ref().and_then(|room| self.offers.get(room)).into_iter().flatten()
    }

    /// Why a node does not get a task now; none: it could. The task comes with whether it gets or leaves files.
    pub(super) fn keeps_from(
        &self,
        run: RunId,
        (task, moves_files): (&Task, bool),
        candidate: &Candidate<'_>,
    ) -> Option<Ineligible> {
        let refused = || self.refused.get(&(run, task.id.clone())).and_then(|by| by.get(candidate.node));
        ineligible(task, moves_files, candidate.node, candidate.offer)
            .or_else(|| refused().map(|refused| Ineligible::Refused(refused.why.clone())))
            .or_else(|| (candidate.free() == 0).then_some(Ineligible::Full))
    }
}

impl Machine {
    /// Each node of the room, with the reason why it does not get the task at `index` now; none: it could.
    pub(super) fn nodes_for(&self, run: &Run, index: u32) -> Vec<(String, Option<String>)> {
        let (task, granted) = ((run.spec(index), run.moves_files(index)), self.granted_by_node());
        let reason = |(node, Offer { offer, short, is_full }): (&NodeDid, &Offer)| {
            let granted = granted.get(node).copied().unwrap_or(0);
            let ahead = if run.ahead > 0 { offer.ahead_of(run.id()) } else { 0 };
            let candidate = Candidate { node, offer, granted, ahead };
            let why = self.nodes.keeps_from(run.id(), task, &candidate);
            let why = why.or_else(|| is_full.then_some(Ineligible::Full)).map(|why| why.to_string());
            let short = short.as_ref().map(|of| format!("was short of resources a moment ago: {of}"));
            let why = short.or(why);
            let name = if offer.name.is_empty() { node.0.clone() } else { offer.name.clone() };
            (name, why)
        };
        self.nodes.offers_to(run).map(reason).collect()
    }

    /// The nodes of the room whose own policy forbids the task at `index`, if no other node could run it.
    pub(super) fn forbidden_by_all(&self, run: &Run, index: u32) -> Vec<String> {
        let (task, moves_files) = (run.spec(index), run.moves_files(index));
        let able = self.nodes.offers_to(run).filter(|(node, of)| {
            // Drained and paused nodes come back by themselves.
            let offer = NodeOffer { draining: false, paused: false, ..of.offer.clone() };
            ineligible(task, moves_files, node, &offer).is_none()
        });
        let mut names = Vec::new();
        for (node, Offer { offer, .. }) in able {
            if !self.nodes.is_forbidden(run.id(), &task.id, node) {
                return Vec::new();
            }
            names.push(if offer.name.is_empty() { node.0.clone() } else { offer.name.clone() });
        }
        names
    }

    /// What a node offers in a room; none: it was not heard, or is silent.
    #[must_use]
    pub fn offer_of(&self, room: &str, node: &NodeDid) -> Option<&NodeOffer> {
        self.nodes.offers.get(room)?.get(node).map(|offer| &offer.offer)
    }

    /// What all nodes of a room offer.
    pub fn offers_in(&self, room: &str) -> impl Iterator<Item = (&NodeDid, &NodeOffer)> {
        let offers = self.nodes.offers.get(room).into_iter().flatten();
        offers.map(|(node, offer)| (node, &offer.offer))
    }

    /// Chooses nodes by this strategy from now on.
    pub fn set_placement(&mut self, strategy: Strategy) {
        self.nodes.scheduler = Arc::new(LoadBalancingScheduler { strategy });
    }
}
