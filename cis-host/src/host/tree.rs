//! Whose process is it? A session's tree is its leader with all descendants, and its orphans: what
//! lost its parent and came to the host, the subreaper (prctl(2)).
//!
//! An orphan is known by the session id it kept, by an earlier look, by the stamp that it cannot take
//! off, by the label in its environment. One that has none of them went to some length (it changed its
//! own limits, too): an unmarked orphan. It costs no session its grace, and ends with the one that most probably
//! made it, the youngest that is older. What a command of the node left behind has a limit above all stamps and is of no
//! session.
//!
//! Owns the decision, over a list of processes. Sends nothing, reads nothing but through
//! [`Marks`].

use std::collections::HashMap;

use crate::os::{Process, ProcessKey, Stamp};

/// Children of the host that belong to no session: the node that it started, and a program that is asked something.
pub(super) type OwnChildren = [Option<u32>; 2];

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
    pub(super) stamp: Option<Stamp>,
    pub(super) seen: &'a [ProcessKey],
}

/// The processes of one session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    /// Those that live: numbers in the list.
    pub(super) live: Vec<usize>,
    /// Unmarked orphans that most probably come from it, with their descendants: numbers in the list.
    pub(super) unmarked: Vec<usize>,
}

/// All processes at one moment, and the sessions they belong to.
#[derive(Debug, Default)]
pub(super) struct Forest {
    pub(super) all: Vec<Process>,
    trees: HashMap<usize, Tree>,
    /// Some ended, and the host has yet to wait for them: their children may just have come to it.
    pub(super) unreaped: bool,
}

impl Forest {
    /// The tree of a session.
    pub(super) fn tree(&self, slot: usize) -> Option<&Tree> {
        self.trees.get(&slot)
    }
}

/// The trees of `claims` (every session that lives), all in one walk.
///
/// `own` is the host's pid. `marks` tell what a
/// process carries.
pub(super) fn forest(
    all: Vec<Process>,
    own: u32,
    own_children: OwnChildren,
    claims: &[Claim<'_>],
    marks: &impl Marks,
) -> Forest {
    let mut children: HashMap<u32, Vec<usize>> = HashMap::with_capacity(all.len());
    for (at, process) in all.iter().enumerate() {
        children.entry(process.parent).or_default().push(at);
    }
    let leaders = claims.iter().filter(|claim| !claim.leader_gone);
    let leaders: HashMap<u32, usize> = leaders.map(|claim| (claim.leader, claim.slot)).collect();
    let mut trees: HashMap<usize, Tree> = claims.iter().map(|claim| (claim.slot, Tree::default())).collect();
    let mut unreaped = false;
    for &at in children.get(&own).into_iter().flatten() {
        let process = &all[at];
        if own_children.contains(&Some(process.pid)) {
            continue;
        }
        let owner = match leaders.get(&process.pid) {
            Some(slot) => Some(Owner::Known(*slot)),
            // Whose it was cannot be read any more, and its children are orphans already.
            None if process.zombie => {
                unreaped = true;
                None
            }
            None => owner(process, claims, marks),
        };
        let (slot, known) = match owner {
            Some(Owner::Known(slot)) => (slot, true),
            Some(Owner::Guessed(slot)) => (slot, false),
            None => continue,
        };
        if let Some(tree) = trees.get_mut(&slot) {
            let found = if known { &mut tree.live } else { &mut tree.unmarked };
            add_living(&all, &children, at, found);
        }
    }
    Forest { all, trees, unreaped }
}

/// This one, where it lives, and all its descendants that do.
fn add_living(all: &[Process], children: &HashMap<u32, Vec<usize>>, root: usize, live: &mut Vec<usize>) {
    let mut walk = vec![root];
    while let Some(at) = walk.pop() {
        if !all[at].zombie {
            live.push(at);
        }
        walk.extend(children.get(&all[at].pid).into_iter().flatten());
    }
}

/// What a process carries.
pub(super) trait Marks {
    /// The limit that stamps are in.
    fn stamp(&self, pid: u32) -> Option<u64>;
    /// The label in its environment.
    fn label(&self, pid: u32) -> Option<Vec<u8>>;
}

/// The session that an orphan belongs to.
enum Owner {
    Known(usize),
    Guessed(usize),
}

/// The session that an orphan is known to be of.
pub(super) fn known_owner(orphan: &Process, claims: &[Claim<'_>], marks: &impl Marks) -> Option<usize> {
    match owner(orphan, claims, marks)? {
        Owner::Known(slot) => Some(slot),
        Owner::Guessed(_) => None,
    }
}

fn owner(orphan: &Process, claims: &[Claim<'_>], marks: &impl Marks) -> Option<Owner> {
    let older = || claims.iter().filter(|claim| claim.started <= orphan.started);
    // A session id cannot be another's as long as it has members; only one that ended before this
    // process started could be confused, and the start tells.
    if let Some(claim) = older().find(|claim| claim.leader == orphan.session) {
        return Some(Owner::Known(claim.slot));
    }
    if let Some(claim) = older().find(|claim| claim.seen.contains(&orphan.key())) {
        return Some(Owner::Known(claim.slot));
    }
    // Before the label, which anybody can change.
    let limit = marks.stamp(orphan.pid);
    let stamped =
        |claim: &&Claim<'_>| claim.stamp.is_some_and(|stamp| limit.is_some_and(|limit| stamp.is_on(limit)));
    if let Some(claim) = older().find(stamped) {
        return Some(Owner::Known(claim.slot));
    }
    let label = marks.label(orphan.pid);
    if let Some(claim) = label.and_then(|label| older().find(|claim| claim.label.as_bytes() == label)) {
        return Some(Owner::Known(claim.slot));
    }
    // A limit can only be lowered, so a process with a limit above the stamp of a session is not of it. One without a limit
    // may be: root can remove it, and `su` does so on some systems.
    let is_possible = |claim: &&Claim<'_>| {
        claim.stamp.zip(limit).is_none_or(|(stamp, limit)| limit <= stamp.top || limit == u64::MAX)
    };
    let youngest = older().filter(is_possible).max_by_key(|claim| (claim.started, claim.leader));
    youngest.map(|claim| Owner::Guessed(claim.slot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Stamps;

    const HOST: u32 = 100;

    fn process(pid: u32, parent: u32, session: u32) -> Process {
        Process {
            pid,
            parent,
            group: session,
            session,
            terminal: None,
            terminal_group: None,
            threads: 1,
            started: u64::from(pid),
            cpu: 0,
            zombie: false,
            stopped: false,
            name: String::new(),
        }
    }

    fn claim(slot: usize, leader: u32, label: &'static str) -> Claim<'static> {
        let started = u64::from(leader);
        Claim { slot, leader, leader_gone: false, started, label, stamp: None, seen: &[] }
    }

    /// Labels and limits by pid.
    #[derive(Default)]
    struct Carried<'a> {
        labels: &'a [(u32, &'a str)],
        limits: &'a [(u32, u64)],
    }

    impl Marks for Carried<'_> {
        fn stamp(&self, pid: u32) -> Option<u64> {
            self.limits.iter().find(|(of, _)| *of == pid).map(|(_, limit)| *limit)
        }
        fn label(&self, pid: u32) -> Option<Vec<u8>> {
            self.labels.iter().find(|(of, _)| *of == pid).map(|(_, label)| label.as_bytes().to_vec())
        }
    }

    fn sorted(all: &[Process], numbers: Vec<usize>) -> Vec<u32> {
        let mut pids: Vec<u32> = numbers.into_iter().map(|at| all[at].pid).collect();
        pids.sort_unstable();
        pids
    }

    /// Pids of the live ones and of the unmarked orphans of a session.
    fn grown(
        all: &[Process],
        own_children: OwnChildren,
        claims: &[Claim<'_>],
        of: usize,
        marks: &Carried<'_>,
    ) -> (Vec<u32>, Vec<u32>) {
        let forest = forest(all.to_vec(), HOST, own_children, claims, marks);
        let tree = forest.tree(of).unwrap();
        (sorted(all, tree.live.clone()), sorted(all, tree.unmarked.clone()))
    }

    fn pids(all: &[Process], claims: &[Claim<'_>], of: usize, labels: &[(u32, &str)]) -> Vec<u32> {
        let marks = Carried { labels, ..Carried::default() };
        grown(all, [Some(101), None], claims, of, &marks).0
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
    fn a_stamp_counts_more_than_a_label() {
        let all = [process(110, HOST, 110), process(120, HOST, 120), process(130, HOST, 130)];
        let mut stamps = Stamps::new("/home/a".as_ref(), [b"/run/a"]);
        let mut claims = [claim(0, 110, "a"), claim(1, 120, "b")];
        for claim in &mut claims {
            claim.stamp = stamps.give();
        }
        let limits = [(130, claims[0].stamp.unwrap().top)];
        let marks = Carried { labels: &[(130, "b")], limits: &limits };
        let live = |of| grown(&all, [None; 2], &claims, of, &marks).0;
        assert_eq!((live(0), live(1)), (vec![110, 130], vec![120]));
    }

    #[test]
    fn what_a_command_of_the_node_left_behind_is_of_no_session() {
        let all = [110, 130, 131, 132].map(|pid| process(pid, HOST, pid));
        let mut stamps = Stamps::new("/home/a".as_ref(), [b"/run/a"]);
        let mut claims = [claim(0, 110, "a")];
        claims[0].stamp = stamps.give();
        // Of a command, of one that lowered it, of one that root removed.
        let limits = [(130, 1 << 63), (131, 7), (132, u64::MAX)];
        let marks = Carried { limits: &limits, ..Carried::default() };
        assert_eq!(grown(&all, [None; 2], &claims, 0, &marks), (vec![110], vec![131, 132]));
    }

    #[test]
    fn an_unmarked_orphan_is_of_the_youngest_session_that_is_older_and_not_among_its_live_ones() {
        let all = [
            process(110, HOST, 110),
            process(115, HOST, 115),
            process(116, 115, 115),
            process(120, HOST, 120),
            process(125, HOST, 125),
        ];
        let both = [claim(0, 110, "a"), claim(1, 120, "b")];
        let found = |claims: &[Claim<'_>], of| grown(&all, [None; 2], claims, of, &Carried::default());
        assert_eq!(found(&both, 0), (vec![110], vec![115, 116]));
        assert_eq!(found(&both, 1), (vec![120], vec![125]));
        assert_eq!(found(&both[..1], 0), (vec![110], vec![115, 116, 120, 125]));
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
        let look = |all: &[Process], claims: &[Claim<'_>]| {
            let found = forest(all.to_vec(), HOST, [None; 2], claims, &Carried::default());
            (found.tree(0).map_or(0, |tree| tree.live.len()), found.unreaped)
        };
        assert_eq!(look(&all, &[claim(0, 110, "a")]), (1, true));
        all[0].zombie = true;
        let mut claims = [claim(0, 110, "a")];
        claims[0].leader_gone = true;
        assert_eq!(look(&all[..1], &claims), (0, true));
    }
}
