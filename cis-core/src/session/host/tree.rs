//! Whose process is it? A session's tree is its leader with all descendants, and its orphans: what
//! lost its parent and came to the host, the subreaper (prctl(2)).
//!
//! Owns the decision, over a list of processes. Sends nothing, reads nothing but through the closure
//! that tells a label.

use std::collections::HashMap;

use crate::session::os::{Process, ProcessKey};

/// What a session is known by.
#[derive(Debug, Clone)]
pub(super) struct Claim<'a> {
    /// Number of the session.
    pub(super) slot: usize,
    pub(super) leader: u32,
    /// The leader was waited for: its pid may be another process's by now.
    pub(super) leader_gone: bool,
    /// Clock ticks since boot, not after its leader's.
    pub(super) started: u64,
    pub(super) label: &'a str,
    pub(super) seen: &'a [ProcessKey],
}

/// The processes of one session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    /// Those that live: numbers in the list.
    pub(super) live: Vec<usize>,
    /// Some ended, and the host has yet to wait for them: their children may just have come to it.
    pub(super) unreaped: bool,
}

/// The tree of `of`, one of `claims` (every session that lives).
///
/// `own` is the host's pid, `node` a child of it that belongs to no session. `label` reads the label
/// of a process from its environment.
pub(super) fn tree(
    all: &[Process],
    own: u32,
    node: Option<u32>,
    claims: &[Claim<'_>],
    of: usize,
    label: impl Fn(u32) -> Option<Vec<u8>>,
) -> Tree {
    let mut children: HashMap<u32, Vec<usize>> = HashMap::with_capacity(all.len());
    for (at, process) in all.iter().enumerate() {
        children.entry(process.parent).or_default().push(at);
    }
    let Some(claim) = claims.iter().find(|claim| claim.slot == of) else { return Tree::default() };
    let mut tree = Tree::default();
    let mut walk: Vec<usize> = Vec::new();
    for &at in children.get(&own).into_iter().flatten() {
        let process = &all[at];
        if Some(process.pid) == node {
            continue;
        }
        let leads = claims.iter().find(|claim| !claim.leader_gone && claim.leader == process.pid);
        let mine = match leads {
            Some(leads) => leads.slot == of,
            None if process.zombie => {
                // Whose it was cannot be read any more, and its children are orphans already.
                tree.unreaped = true;
                false
            }
            None => owner(process, claims, &label) == Some(claim.slot),
        };
        if mine {
            walk.push(at);
        }
    }
    while let Some(at) = walk.pop() {
        if !all[at].zombie {
            tree.live.push(at);
        }
        walk.extend(children.get(&all[at].pid).into_iter().flatten());
    }
    tree
}

/// The session that an orphan belongs to.
fn owner(orphan: &Process, claims: &[Claim<'_>], label: impl Fn(u32) -> Option<Vec<u8>>) -> Option<usize> {
    let older = || claims.iter().filter(|claim| claim.started <= orphan.started);
    // A session id cannot be another's as long as it has members; only one that ended before this
    // process started could be confused, and the start tells.
    if let Some(claim) = older().find(|claim| claim.leader == orphan.session) {
        return Some(claim.slot);
    }
    if let Some(claim) = older().find(|claim| claim.seen.contains(&orphan.key())) {
        return Some(claim.slot);
    }
    let label = label(orphan.pid);
    if let Some(claim) = label.and_then(|label| older().find(|claim| claim.label.as_bytes() == label)) {
        return Some(claim.slot);
    }
    // It emptied its environment. If only one session can have started it, it is that one's.
    let mut candidates = older();
    let only = candidates.next()?;
    candidates.next().is_none().then_some(only.slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: u32 = 100;

    fn process(pid: u32, parent: u32, session: u32) -> Process {
        Process {
            pid,
            parent,
            group: session,
            session,
            terminal_group: None,
            started: u64::from(pid),
            cpu: 0,
            zombie: false,
            stopped: false,
            name: String::new(),
        }
    }

    fn claim(slot: usize, leader: u32, label: &'static str) -> Claim<'static> {
        Claim { slot, leader, leader_gone: false, started: u64::from(leader), label, seen: &[] }
    }

    fn pids(all: &[Process], claims: &[Claim<'_>], of: usize, labels: &[(u32, &str)]) -> Vec<u32> {
        let label =
            |pid| labels.iter().find(|(of, _)| *of == pid).map(|(_, label)| label.as_bytes().to_vec());
        let mut pids: Vec<u32> =
            tree(all, HOST, Some(101), claims, of, label).live.into_iter().map(|at| all[at].pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn descendants_belong_to_their_leader_whatever_session_they_made() {
        let all = [
            process(110, HOST, 110),
            process(111, 110, 110),
            process(112, 111, 112),
            process(120, HOST, 120),
            process(121, 120, 120),
            process(7, 1, 7),
        ];
        let claims = [claim(0, 110, "a"), claim(1, 120, "b")];
        assert_eq!(pids(&all, &claims, 0, &[]), [110, 111, 112]);
        assert_eq!(pids(&all, &claims, 1, &[]), [120, 121]);
    }

    #[test]
    fn orphans_are_known_by_session_id_then_label() {
        let all = [
            process(110, HOST, 110),
            process(120, HOST, 120),
            process(130, HOST, 110),
            process(131, HOST, 131),
            process(132, 131, 131),
            process(133, HOST, 133),
        ];
        let claims = [claim(0, 110, "a"), claim(1, 120, "b")];
        let labels = [(131, "b"), (133, "somebody else's")];
        assert_eq!(pids(&all, &claims, 0, &labels), [110, 130]);
        assert_eq!(pids(&all, &claims, 1, &labels), [120, 131, 132]);
    }

    #[test]
    fn an_orphan_without_a_label_is_of_the_only_session_that_is_older() {
        let all = [
            process(110, HOST, 110),
            process(115, HOST, 115),
            process(120, HOST, 120),
            process(125, HOST, 125),
        ];
        let both = [claim(0, 110, "a"), claim(1, 120, "b")];
        assert_eq!(pids(&all, &both, 0, &[]), [110, 115]);
        assert_eq!(pids(&all, &both, 1, &[]), [120]);
        assert_eq!(pids(&all, &both[..1], 0, &[(120, "b")]), [110, 115, 120, 125]);
    }

    #[test]
    fn a_process_that_was_seen_is_known_until_its_pid_is_anothers() {
        let all = [process(110, HOST, 110), process(112, HOST, 112), process(130, HOST, 130)];
        let seen = [ProcessKey { pid: 130, started: 130 }, ProcessKey { pid: 112, started: 1 }];
        let mut claims = [claim(0, 110, "a"), claim(1, 111, "b")];
        claims[0].seen = &seen;
        assert_eq!(pids(&all, &claims, 0, &[]), [110, 130]);
    }

    #[test]
    fn the_node_and_its_children_are_nobodys() {
        let all = [process(110, HOST, 110), process(101, HOST, 101), process(140, 101, 101)];
        assert_eq!(pids(&all, &[claim(0, 110, "a")], 0, &[]), [110]);
    }

    #[test]
    fn an_orphan_that_ended_says_that_one_must_look_again() {
        let mut all = [process(110, HOST, 110), process(130, HOST, 110)];
        all[1].zombie = true;
        let found = tree(&all, HOST, None, &[claim(0, 110, "a")], 0, |_| None);
        assert_eq!(found, Tree { live: vec![0], unreaped: true });
        all[0].zombie = true;
        let mut claims = [claim(0, 110, "a")];
        claims[0].leader_gone = true;
        let found = tree(&all[..1], HOST, None, &claims, 0, |_| None);
        assert!(found.live.is_empty() && found.unreaped);
    }
}
