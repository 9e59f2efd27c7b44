//! Which node of a room works on a task: who is able to, and who of those is chosen.
//!
//! Owns what nodes offer, what a task asks for, and the strategies. Who is a member of a room, and what they may do there, is decided
//! before an offer gets here.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::dag::{Action, Commit, Placement, Task};
use crate::ids::{NodeDid, RunId};

/// Sessions that wait at one node for their turn, at most, whatever it offers.
pub const AHEAD_MAX: u32 = 64;

/// How many sessions of a run a node queues beyond its slots.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Ahead {
    /// The run. Its sessions ended within milliseconds lately, and the node has sessions of no other run.
    pub run: RunId,
    /// How many sessions wait there at most; [`AHEAD_MAX`] (64) at most.
    pub count: u32,
}

/// What a node offers to the runs of its room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct NodeOffer {
    /// What people call it; unique in a room only if people make it so.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// What it is good for, in its owner's words.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Profiles of agents that it lends, whose programs are installed there and logged in as far as is known.
    #[serde(default)]
    pub agents: BTreeSet<String>,
    /// Sessions that it runs at a time.
    pub slots: u32,
    /// Sessions that it has now, of whatever run.
    pub sessions: u32,
    /// Those of them that the coordinator that is told this does not count itself: others gave them, or they are void and end. More
    /// where slots are kept for other coordinators, and fewer where this one may have slots of others, if it has tasks for them.
    /// Earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<u32>,
    /// Sessions that it takes beyond its slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Ahead>,
    /// Runnable processes per processor over the last minute, in thousandths.
    pub load_permille: u32,
    /// It fetches files that a task gets, and uploads those that it leaves. Earlier versions do not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub files: bool,
    /// It opens specifications that are sealed to its key. Earlier versions do not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secrets: bool,
    /// It starts tasks with `commit = "room"` only when it has read their grants in the room. Earlier versions do not know the key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub commits: bool,
    /// It takes nothing new.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// It starts nothing at all; it is `draining` then as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Its process is about to end, and answers nothing until the node is heard again; it is `draining` then as well. Earlier versions
    /// do not say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopping: bool,
    /// How often the rules of its own policy were changed. Tasks that it refused before are granted to it again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub policy: u64,
    /// Rises when it may have again what it was short of, and when it starts: tasks that it refused for that are granted to it again.
    /// Earlier versions do not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recovered: u64,
    /// It gets only tasks that ask for some of these tags; empty: all. The owners of the room say so, not the node.
    #[serde(skip)]
    pub only: BTreeSet<String>,
    /// Its name is one that an owner of the room gave, or it is the coordinator's own node.
    #[serde(skip)]
    pub is_named: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl NodeOffer {
    /// Sessions of a run that may wait there for their turn.
    #[must_use]
    pub fn ahead_of(&self, run: RunId) -> u32 {
        let ahead = self.ahead.as_ref().filter(|ahead| ahead.run == run && self.slots > 0);
        ahead.map_or(0, |ahead| ahead.count.min(AHEAD_MAX))
    }
}

/// A node, as the choice sees it.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Who.
    pub node: &'a NodeDid,
    /// What it offers.
    pub offer: &'a NodeOffer,
    /// Sessions that this coordinator gave it.
    pub granted: u32,
    /// Sessions that may wait there for their turn.
    pub ahead: u32,
}

impl Candidate<'_> {
    /// Sessions that it has or is about to have.
    #[must_use]
    pub fn busy(&self) -> u32 {
        match self.offer.others {
            // What was granted lately, or has ended, is not in its offer yet.
            Some(others) => others.saturating_add(self.granted),
            None => self.offer.sessions.max(self.granted),
        }
    }

    /// Sessions that it could take.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.offer.slots.saturating_add(self.ahead).saturating_sub(self.busy())
    }

    /// All of its slots are taken: a session that it takes now waits for its turn.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.busy() >= self.offer.slots
    }
}

/// Why a node does not get a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ineligible {
    /// It takes nothing new.
    Draining,
    /// It starts nothing.
    Paused,
    /// It has none of the names or DIDs that the task names.
    NotNamed,
    /// It lacks this tag.
    Tag(String),
    /// The owners of the room give it only tasks that ask for some of these tags.
    Only(BTreeSet<String>),
    /// It does not offer this agent.
    Agent(String),
    /// Its version does not move files between nodes, and the task has some.
    Files,
    /// Its version takes no secrets, and the task has some.
    Secrets,
    /// Its version does not know `commit = "room"`, which the task has.
    Commit,
    /// The task has secrets, and names it by words that only the node itself says of itself.
    Unvouched,
    /// It refused the task, for this reason.
    Refused(String),
    /// All of its sessions are in use.
    Full,
}

impl std::fmt::Display for Ineligible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Draining => f.write_str("takes no new tasks (draining)"),
            Self::Paused => f.write_str("starts no tasks (paused)"),
            Self::NotNamed => f.write_str("is not among the task's `nodes`"),
            Self::Tag(tag) => write!(f, "has no tag `{tag}`"),
            Self::Only(tags) => {
                let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
                write!(f, "gets only tasks that ask for one of these tags: {}", tags.join(", "))
            }
            Self::Agent(agent) => {
                write!(
                    f,
                    "does not offer agent `{agent}` (not named in its `federation.agents`, not installed, or logged out)"
                )
            }
            Self::Files => f.write_str("has a version of CIS that does not move files between nodes"),
            Self::Secrets => f.write_str("has a version of CIS that does not support sealed secrets"),
            Self::Commit => f.write_str("has a version of CIS that does not support `commit = \"room\"`"),
            Self::Unvouched => f.write_str(
                "gets no secrets: the task names it neither by its DID nor by a name or tags that an owner of the room gave it",
            ),
            Self::Refused(why) => write!(f, "refused it: {why}"),
            Self::Full => f.write_str("has no free slot"),
        }
    }
}

/// Why a node could not run a task even with all of its slots free; none: it could. `moves_files`: the task gets or leaves files.
#[must_use]
pub fn ineligible(task: &Task, moves_files: bool, node: &NodeDid, offer: &NodeOffer) -> Option<Ineligible> {
    if offer.paused {
        return Some(Ineligible::Paused);
    }
    if offer.draining {
        return Some(Ineligible::Draining);
    }
    if let Some(Placement { tags, nodes }) = task.placement.as_deref() {
        if !nodes.is_empty() && !nodes.iter().any(|name| *name == offer.name || *name == node.0) {
            return Some(Ineligible::NotNamed);
        }
        if let Some(tag) = tags.iter().find(|tag| !offer.tags.contains(*tag)) {
            return Some(Ineligible::Tag(tag.clone()));
        }
    }
    let asked = task.placement.as_deref().map_or(&[][..], |placement| &placement.tags);
    if !offer.only.is_empty() && !asked.iter().any(|tag| offer.only.contains(tag)) {
        return Some(Ineligible::Only(offer.only.clone()));
    }
    if moves_files && !offer.files {
        return Some(Ineligible::Files);
    }
    if !task.secrets.is_empty() && !offer.secrets {
        return Some(Ineligible::Secrets);
    }
    if !task.secrets.is_empty() && !may_have_secrets(task, node, offer) {
        return Some(Ineligible::Unvouched);
    }
    if task.commit == Commit::Room && !offer.commits {
        return Some(Ineligible::Commit);
    }
    match &task.action {
        Action::Agent { agent, .. } if !offer.agents.contains(agent) => {
            Some(Ineligible::Agent(agent.clone()))
        }
        _ => None,
    }
}

/// Why a node cannot have got a task earlier; none: it can. `is_heard`: the offer is what it says of itself, and otherwise only what the
/// owners of the room say of it. That it takes nothing new now, or was logged out since, says nothing about the time before.
#[must_use]
pub fn had_no_right_to(
    task: &Task,
    moves_files: bool,
    node: &NodeDid,
    (offer, is_heard): (&NodeOffer, bool),
) -> Option<Ineligible> {
    let mut then = NodeOffer { draining: false, paused: false, ..offer.clone() };
    if let Action::Agent { agent, .. } = &task.action {
        then.agents.insert(agent.clone());
    }
    if !is_heard {
        // It could say all of this of itself.
        (then.files, then.secrets, then.commits) = (true, true, true);
        then.tags.extend(task.placement.iter().flat_map(|placement| placement.tags.iter().cloned()));
    }
    ineligible(task, moves_files, node, &then)
}

/// Whether a task names a node by what its owners say of it, or by its key. What a node says of itself gets it no secrets.
#[must_use]
pub fn may_have_secrets(task: &Task, node: &NodeDid, offer: &NodeOffer) -> bool {
    let Some(Placement { tags, nodes }) = task.placement.as_deref() else { return false };
    match nodes.is_empty() {
        true => !tags.is_empty() && tags.iter().all(|tag| offer.only.contains(tag)),
        false => nodes.iter().any(|name| *name == node.0 || (offer.is_named && *name == offer.name)),
    }
}

/// Chooses among nodes that are able to run a task and have a free slot, or let it wait for one.
pub trait TaskScheduler: std::fmt::Debug + Send + Sync {
    /// Index of the chosen one; none: the task waits.
    fn select_node(&self, task: &Task, candidates: &[Candidate<'_>]) -> Option<usize>;
}

/// How tasks are spread over nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// To the node with the largest part of its slots free.
    #[default]
    Spread,
    /// To the fullest node, so that others stay free for large tasks.
    Pack,
}

/// The default choice: who has a free slot, then by free slots, by load, and by DID.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadBalancingScheduler {
    /// Spread or pack.
    pub strategy: Strategy,
}

impl TaskScheduler for LoadBalancingScheduler {
    fn select_node(&self, _: &Task, candidates: &[Candidate<'_>]) -> Option<usize> {
        let used_permille = |c: &Candidate<'_>| u64::from(c.busy()) * 1000 / u64::from(c.offer.slots.max(1));
        let rank = |(_, c): &(usize, &Candidate<'_>)| {
            let used = used_permille(c);
            let used = if self.strategy == Strategy::Pack { u64::MAX - used } else { used };
            (c.is_full(), used, c.offer.load_permille, c.node.clone())
        };
        candidates.iter().enumerate().min_by_key(rank).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::SecretSource;
    use crate::ids::TaskId;

    fn task() -> Task {
        Task::new(TaskId::new("t").unwrap(), Action::Command(vec!["true".to_owned()]))
    }

    fn offer(slots: u32, sessions: u32) -> NodeOffer {
        NodeOffer { name: "a".to_owned(), slots, sessions, ..NodeOffer::default() }
    }

    fn choice(strategy: Strategy, offers: &[NodeOffer]) -> Option<usize> {
        let names: Vec<NodeDid> = (0..offers.len()).map(|n| NodeDid(format!("did:{n}"))).collect();
        let candidates: Vec<Candidate<'_>> = names
            .iter()
            .zip(offers)
            .map(|(node, offer)| Candidate { node, offer, granted: 0, ahead: 9 })
            .collect();
        LoadBalancingScheduler { strategy }.select_node(&task(), &candidates)
    }

    #[test]
    fn spread_takes_the_emptiest_node_and_pack_the_fullest() {
        let offers = [offer(8, 4), offer(2, 0), offer(16, 9)];
        assert_eq!(choice(Strategy::Spread, &offers), Some(1));
        assert_eq!(choice(Strategy::Pack, &offers), Some(2));
        assert_eq!(choice(Strategy::Spread, &[]), None);
        assert_eq!(
            choice(Strategy::Pack, &[offer(4, 4), offer(4, 0)]),
            Some(1),
            "nothing waits while a slot is free"
        );
    }

    #[test]
    fn a_slot_is_free_when_its_session_has_ended_whatever_was_offered_before() {
        let node = NodeDid("did:key:z".to_owned());
        let free = |others: Option<u32>, granted| {
            let offer = NodeOffer { others, ..offer(4, 3) };
            Candidate { node: &node, offer: &offer, granted, ahead: 0 }.free()
        };
        assert_eq!([free(Some(0), 3), free(Some(0), 2), free(Some(0), 0)], [1, 2, 4]);
        assert_eq!([free(Some(2), 1), free(Some(2), 0), free(Some(5), 0)], [1, 2, 0]);
        assert_eq!([free(None, 0), free(None, 4)], [1, 0], "an earlier version");
    }

    #[test]
    fn load_decides_between_nodes_that_are_equally_full() {
        let busy = NodeOffer { load_permille: 900, ..offer(4, 1) };
        assert_eq!(choice(Strategy::Spread, &[busy, offer(4, 1)]), Some(1));
    }

    #[test]
    fn a_node_has_all_tags_and_one_of_the_names() {
        let node = NodeDid("did:key:z".to_owned());
        let mut task = task();
        assert_eq!(ineligible(&task, false, &node, &offer(1, 0)), None);
        let named = |tags: &[&str], nodes: &[&str]| {
            let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            Some(Box::new(Placement { tags: owned(tags), nodes: owned(nodes) }))
        };
        task.placement = named(&[], &["b"]);
        assert_eq!(ineligible(&task, false, &node, &offer(1, 0)), Some(Ineligible::NotNamed));
        task.placement = named(&["gpu", "linux"], &["b", "did:key:z"]);
        let gpu = NodeOffer { tags: ["gpu".to_owned()].into(), ..offer(1, 0) };
        assert_eq!(ineligible(&task, false, &node, &gpu), Some(Ineligible::Tag("linux".to_owned())));
        let both = NodeOffer { tags: ["gpu".to_owned(), "linux".to_owned()].into(), ..offer(1, 0) };
        assert_eq!(ineligible(&task, false, &node, &both), None);
        let draining = NodeOffer { draining: true, ..both.clone() };
        assert_eq!(ineligible(&task, false, &node, &draining), Some(Ineligible::Draining));
        let paused = NodeOffer { paused: true, ..draining };
        assert_eq!(ineligible(&task, false, &node, &paused), Some(Ineligible::Paused));
        assert_eq!(ineligible(&task, true, &node, &both), Some(Ineligible::Files));
        let files = NodeOffer { files: true, ..both };
        assert_eq!(ineligible(&task, true, &node, &files), None);
        task.secrets.insert("TOKEN".to_owned(), SecretSource::Env("TOKEN".to_owned()));
        assert_eq!(ineligible(&task, true, &node, &files), Some(Ineligible::Secrets));
        let secrets = NodeOffer { secrets: true, ..files };
        assert_eq!(ineligible(&task, true, &node, &secrets), None, "by its DID");
        task.placement = named(&[], &["a"]);
        assert_eq!(
            ineligible(&task, true, &node, &secrets),
            Some(Ineligible::Unvouched),
            "it calls itself so"
        );
        assert_eq!(ineligible(&task, true, &node, &NodeOffer { is_named: true, ..secrets.clone() }), None);
        task.placement = named(&["gpu"], &[]);
        assert_eq!(ineligible(&task, true, &node, &secrets), Some(Ineligible::Unvouched));
        let only = ["gpu".to_owned()].into();
        let only = NodeOffer { only, ..secrets };
        assert_eq!(ineligible(&task, true, &node, &only), None);
        task.commit = Commit::Room;
        assert_eq!(ineligible(&task, true, &node, &only), Some(Ineligible::Commit), "an earlier version");
        assert_eq!(ineligible(&task, true, &node, &NodeOffer { commits: true, ..only }), None);
    }
}
