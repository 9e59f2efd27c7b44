//! Who may do what in which room: this node's own list, and what the owners of a room say.
//!
//! Owns the file of rooms whose owners this node pinned (`rooms.json`), that of what these owners said (`room-statements.json`: a room
//! may lose it), and the newest members of each, as the room was read.
//! The own list has the last word: what it says of a node holds in every room.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Identity;
use crate::json_file;
use cis_core::federation::membership::{Member, Membership, Owners, SignedStatement};
use cis_core::identity::{Right, Standing};
use cis_core::ids::{NodeDid, TimestampMs};
use cis_local::{Home, now_ms};
use tokio::sync::watch;

/// So long a node that may not execute any more is asked, and waited for, by a coordinator that takes a run over, ms: leases are much
/// shorter, and clocks of machines differ.
const LATELY_MS: TimestampMs = 10 * 60 * 1000;

/// What owners of all rooms said is kept up to so many bytes.
const STATEMENTS_BYTES_MAX: u64 = 16 << 20;

/// All rights.
pub(crate) const RIGHTS: [Right; 3] = [Right::Submit, Right::Coordinate, Right::Execute];

/// See the module.
pub(crate) struct Members {
    home: Home,
    identity: Arc<Identity>,
    state: Mutex<State>,
    /// Counts changes of who may do what.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    pinned: BTreeMap<String, Owners>,
    rooms: BTreeMap<String, Membership>,
    /// What owners said that counts, in order.
    statements: BTreeMap<String, Vec<SignedStatement>>,
}

impl Members {
    /// As the files say.
    ///
    /// # Errors
    /// One of them cannot be read, or is none of ours.
    pub(crate) fn open(home: &Home, identity: Arc<Identity>) -> io::Result<Self> {
        let pinned = json_file::load(&home.rooms_file())?.unwrap_or_default();
        let statements = json_file::load_up_to(STATEMENTS_BYTES_MAX, &home.room_statements())?;
        let statements = statements.unwrap_or_default();
        let state = Mutex::new(State { pinned, rooms: BTreeMap::new(), statements });
        Ok(Self { home: home.clone(), identity, state, changes: watch::Sender::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes of who may do what, from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        let mut changes = self.changes.subscribe();
        changes.mark_unchanged();
        changes
    }

    /// The rooms whose owners are known.
    pub(crate) fn rooms(&self) -> Vec<String> {
        self.state().pinned.keys().cloned().collect()
    }

    /// The first owners of a room, as they were pinned.
    pub(crate) fn pinned(&self, room: &str) -> Option<Owners> {
        self.state().pinned.get(room).cloned()
    }

    /// Pins the owners of a room. They vouch for all later ones.
    ///
    /// # Errors
    /// The file cannot be written. Nothing has changed then.
    pub(crate) fn pin(&self, room: &str, owners: Owners) -> io::Result<()> {
        let mut state = self.state();
        let mut pinned = state.pinned.clone();
        pinned.insert(room.to_owned(), owners);
        json_file::keep(&self.home.rooms_file(), &pinned)?;
        state.pinned = pinned;
        state.rooms.remove(room);
        drop(state);
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    /// The owners of a room, as it was read last, or as they were pinned.
    pub(crate) fn owners(&self, room: &str) -> Option<BTreeSet<NodeDid>> {
        let owners = self.of(room).map(|room| room.owners().clone()).or_else(|| self.pinned(room));
        owners.map(|owners| owners.owners)
    }

    /// Whether this node is one of the owners of a room.
    pub(crate) fn is_owner(&self, room: &str) -> bool {
        self.owners(room).is_some_and(|owners| owners.iter().any(|owner| self.is_own(owner)))
    }

    /// The members of a room, as it was read last.
    pub(crate) fn of(&self, room: &str) -> Option<Membership> {
        self.state().rooms.get(room).cloned()
    }

    /// What the owners of a room said that counted when it was read last, in order.
    pub(crate) fn statements(&self, room: &str) -> Vec<SignedStatement> {
        self.state().statements.get(room).cloned().unwrap_or_default()
    }

    /// The statements of a room were read: what they come to, and those that count. They are written before they count.
    ///
    /// # Errors
    /// They cannot be written. They count nevertheless, because a revocation may be among them; the room may lose them.
    pub(crate) fn read(
        &self,
        room: &str,
        membership: &Membership,
        counted: &[SignedStatement],
    ) -> io::Result<()> {
        let mut state = self.state();
        let mut kept = Ok(());
        if state.statements.get(room).map_or(!counted.is_empty(), |known| known != counted) {
            let mut statements = state.statements.clone();
            statements.insert(room.to_owned(), counted.to_vec());
            kept = json_file::keep_up_to(STATEMENTS_BYTES_MAX, &self.home.room_statements(), &statements);
            if kept.is_ok() {
                state.statements = statements;
            }
        }
        if state.rooms.get(room) != Some(membership) {
            state.rooms.insert(room.to_owned(), membership.clone());
            drop(state);
            self.changes.send_modify(|changes| *changes += 1);
        }
        kept
    }

    /// What is known of a node in a room.
    pub(crate) fn standing(&self, room: &str, did: &NodeDid) -> Standing {
        self.standing_if(room, did, self.is_revoked(room, did))
    }

    /// The same at a place of the room's timeline: whether its owners had revoked the key until then.
    pub(crate) fn standing_if(&self, room: &str, did: &NodeDid, is_revoked: bool) -> Standing {
        let is_member = || {
            self.state().rooms.get(room).is_some_and(|room| {
                room.owners().owners.contains(did) || room.members().any(|(of, _)| of == did)
            })
        };
        match self.identity.standing(did) {
            Standing::Own => Standing::Own,
            // The own list adds trust; what owners revoked is void for all.
            _ if is_revoked => Standing::Revoked,
            Standing::Unknown if is_member() => Standing::Trusted,
            known => known,
        }
    }

    fn is_revoked(&self, room: &str, did: &NodeDid) -> bool {
        self.state().rooms.get(room).is_some_and(|room| room.is_revoked(did))
    }

    /// The keys that the owners of a room revoked.
    pub(crate) fn revoked(&self, room: &str) -> BTreeSet<NodeDid> {
        let state = self.state();
        state.rooms.get(room).into_iter().flat_map(Membership::revoked).cloned().collect()
    }

    /// Whether a node may do something in a room.
    pub(crate) fn may(&self, room: &str, did: &NodeDid, right: Right) -> bool {
        match self.own_word(did) {
            Some(_) if self.is_revoked(room, did) => false,
            Some(rights) => rights.contains(&right),
            None => self.state().rooms.get(room).is_some_and(|room| room.may(did, right)),
        }
    }

    /// What a node may do in a room, for people. This node always acts for itself; of it, what the owners of the room gave it is told.
    pub(crate) fn rights(&self, room: &str, did: &NodeDid) -> BTreeSet<Right> {
        let is_given = self.is_own(did) && self.pinned(room).is_some();
        let may = |right: &Right| match is_given {
            true => self.state().rooms.get(room).is_some_and(|room| room.may(did, *right)),
            false => self.may(room, did, *right),
        };
        RIGHTS.into_iter().filter(may).collect()
    }

    /// What the owners of a room say of a node; none: they did not admit it.
    pub(crate) fn member(&self, room: &str, did: &NodeDid) -> Option<Member> {
        let state = self.state();
        let mut members = state.rooms.get(room).into_iter().flat_map(Membership::members);
        members.find(|(of, _)| *of == did).map(|(_, member)| member.clone())
    }

    /// A node gets only tasks that ask for some of these tags; empty: all.
    pub(crate) fn tags_of(&self, room: &str, did: &NodeDid) -> BTreeSet<String> {
        self.member(room, did).map(|member| member.tags).unwrap_or_default()
    }

    /// What the own list allows a node, where that says anything.
    fn own_word(&self, did: &NodeDid) -> Option<BTreeSet<Right>> {
        match self.identity.standing(did) {
            Standing::Unknown => None,
            Standing::Own | Standing::Trusted => {
                let rights: BTreeSet<Right> =
                    RIGHTS.into_iter().filter(|right| self.identity.may(did, *right)).collect();
                // Who is only watched by the own list is what the room says.
                (!rights.is_empty()).then_some(rights)
            }
            Standing::Replaced(_) | Standing::Revoked => Some(BTreeSet::new()),
        }
    }

    /// The other nodes that may do something in a room, as far as this node allows it.
    pub(crate) fn others_who_may(&self, room: &str, right: Right) -> Vec<NodeDid> {
        let state = self.state();
        let members = state.rooms.get(room).into_iter().flat_map(Membership::members);
        let mut nodes: BTreeSet<NodeDid> = members.map(|(did, _)| did.clone()).collect();
        drop(state);
        nodes.extend(self.identity.others_who_may(right));
        nodes.into_iter().filter(|did| !self.is_own(did) && self.may(room, did, right)).collect()
    }

    /// The other nodes that may execute tasks of a room, or might a short while ago: they may have some.
    pub(crate) fn others_who_may_have_tasks(&self, room: &str) -> Vec<NodeDid> {
        let mut nodes = self.others_who_may(room, Right::Execute);
        let state = self.state();
        let lately = state.rooms.get(room).into_iter().flat_map(|of| of.worked_after(now_ms() - LATELY_MS));
        let lately: Vec<NodeDid> = lately.filter(|did| !nodes.contains(did)).cloned().collect();
        drop(state);
        nodes.extend(lately.into_iter().filter(|did| !self.is_own(did)));
        nodes
    }

    /// The other nodes that the owners of a room let coordinate, in the order in which they take over. All nodes of the room
    /// come to the same: the own list has no say in that. In a room without owners nobody takes over anything.
    pub(crate) fn other_voters(&self, room: &str) -> Vec<NodeDid> {
        self.voters(room).into_iter().filter(|did| !self.is_own(did)).collect()
    }

    /// The place of this node among those, from 0; none: it is not one of them.
    pub(crate) fn rank(&self, room: &str) -> Option<usize> {
        self.voters(room).iter().position(|did| self.is_own(did))
    }

    fn is_own(&self, did: &NodeDid) -> bool {
        self.identity.standing(did) == Standing::Own
    }

    pub(crate) fn voters(&self, room: &str) -> Vec<NodeDid> {
        self.state().rooms.get(room).map(Membership::voters).unwrap_or_default()
    }

    /// Whether this node follows what another one says of itself: it has rights, or others let it vote.
    pub(crate) fn counts(&self, room: &str, did: &NodeDid) -> bool {
        self.standing(room, did).is_obeyed() || self.voters(room).contains(did)
    }

    /// Whether it is known who may do what in a room: its owners are not known here, or what they said was read.
    pub(crate) fn is_settled(&self, room: &str) -> bool {
        let state = self.state();
        !state.pinned.contains_key(room) || state.rooms.contains_key(room)
    }

    /// Whether the owners of a room let a node give it runs.
    pub(crate) fn may_submit(&self, room: &str, did: &NodeDid) -> bool {
        let state = self.state();
        let may = |right| state.rooms.get(room).is_some_and(|room| room.may(did, right));
        may(Right::Submit) || may(Right::Coordinate)
    }

    /// What the owners of a room call a node.
    pub(crate) fn name_of(&self, room: &str, did: &NodeDid) -> Option<String> {
        self.member(room, did).and_then(|member| member.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::federation::envelope::{Carrier, Draft, verify};
    use cis_core::federation::membership::{Statement, TYPE};
    use cis_core::identity::NodeKey;

    const ROOM: &str = "!r:x";

    fn key(n: u8) -> NodeKey {
        NodeKey::from_seed(&[n; 32])
    }

    fn admit(room: &mut Membership, owner: u8, whom: &NodeDid, may: &[Right]) {
        let statement = Statement::Admit {
            did: whom.clone(),
            may: may.iter().copied().collect(),
            tags: BTreeSet::new(),
            name: None,
        };
        says(room, owner, statement);
    }

    fn says(room: &mut Membership, owner: u8, statement: Statement) {
        let body = serde_json::to_value(room.next(statement).unwrap()).unwrap();
        let draft = Draft::of_room(TYPE, body, ulid::Ulid::nil(), ROOM, "@owner:x");
        let signed = draft.sign(&key(owner), 60_000).unwrap();
        let content = serde_json::from_str(&signed.content().to_string()).unwrap();
        let carrier = Carrier { room: ROOM, type_name: TYPE, sender: Some("@owner:x") };
        room.take(&verify(&content, carrier, |_| Standing::Trusted).unwrap()).unwrap();
    }

    #[test]
    fn owners_let_nodes_in_and_the_own_list_has_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { dir: dir.path().to_owned(), runtime: dir.path().join("run") };
        let identity = Arc::new(Identity::open(&home).unwrap());
        let members = Members::open(&home, Arc::clone(&identity)).unwrap();
        members.pin(ROOM, Owners::one(key(1).did())).unwrap();
        let (worker, other, own) = (key(2).did(), key(3).did(), identity.view().did);
        assert_eq!(members.standing(ROOM, &worker), Standing::Unknown);
        assert!(!members.counts(ROOM, &worker));
        let mut room = Membership::new(ROOM, Owners::one(key(1).did()));
        admit(&mut room, 1, &own, &[Right::Coordinate]);
        admit(&mut room, 1, &worker, &[Right::Execute]);
        admit(&mut room, 1, &other, &[Right::Coordinate, Right::Execute]);
        let mut changes = members.subscribe();
        members.read(ROOM, &room, &[]).unwrap();
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        members.read(ROOM, &room, &[]).unwrap();
        assert!(!changes.has_changed().unwrap(), "nothing is new");
        assert_eq!(members.standing(ROOM, &worker), Standing::Trusted);
        assert!(members.counts(ROOM, &worker) && !members.counts(ROOM, &key(4).did()));
        assert_eq!(members.standing("!elsewhere:x", &worker), Standing::Unknown);
        assert_eq!(members.others_who_may(ROOM, Right::Execute), [worker.clone(), other.clone()]);
        assert_eq!(
            (members.others_who_may(ROOM, Right::Coordinate), members.rank(ROOM)),
            (vec![other.clone()], Some(0))
        );
        identity.change(|list, own| list.trust(&other, own, None, 1)).unwrap();
        assert!(members.may(ROOM, &other, Right::Execute), "the own list says nothing of it");
        identity.change(|list, _| list.allow(&other, [Right::Execute].into())).unwrap();
        assert!(!members.may(ROOM, &other, Right::Coordinate));
        assert_eq!(
            members.other_voters(ROOM),
            std::slice::from_ref(&other),
            "who takes over is the same for all nodes"
        );
        assert!(members.may_submit(ROOM, &other) && !members.may_submit(ROOM, &worker));
        identity.change(|list, own| list.revoke(&worker, own, 1)).unwrap();
        assert_eq!(members.others_who_may(ROOM, Right::Execute), std::slice::from_ref(&other));
        // Only what owners revoke is void whatever the own list says.
        for did in [&other, &own] {
            says(&mut room, 1, Statement::Revoke { did: did.clone() });
        }
        members.read(ROOM, &room, &[]).unwrap();
        assert_eq!(members.standing(ROOM, &other), Standing::Revoked);
        assert!(!members.may(ROOM, &other, Right::Execute));
        assert_eq!(members.standing_if(ROOM, &other, false), Standing::Trusted, "before that");
        assert_eq!(members.standing(ROOM, &own), Standing::Own);
        let again = Members::open(&home, identity).unwrap();
        assert_eq!((again.rooms(), again.rank(ROOM)), (vec![ROOM.to_owned()], None));
        assert!(!again.is_settled(ROOM) && again.is_settled("!other:x") && members.is_settled(ROOM));
    }

    #[test]
    fn what_owners_said_is_kept_and_counts_also_if_it_cannot_be() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { dir: dir.path().to_owned(), runtime: dir.path().join("run") };
        let identity = Arc::new(Identity::open(&home).unwrap());
        let members = Members::open(&home, Arc::clone(&identity)).unwrap();
        members.pin(ROOM, Owners::one(key(1).did())).unwrap();
        let mut room = Membership::new(ROOM, Owners::one(key(1).did()));
        let said = |n: u64| SignedStatement {
            event: Some(format!("${n}")),
            sender: "@owner:x".to_owned(),
            content: serde_json::json!({ "body": { "n": n } }),
        };
        admit(&mut room, 1, &key(2).did(), &[Right::Execute]);
        members.read(ROOM, &room, &[said(1)]).unwrap();
        // Its owners are pinned once more.
        members.pin(ROOM, Owners::one(key(1).did())).unwrap();
        assert_eq!(members.statements(ROOM), [said(1)]);
        let again = Members::open(&home, Arc::clone(&identity)).unwrap();
        assert_eq!((again.statements(ROOM), again.statements("!other:x")), (vec![said(1)], vec![]));
        // A directory is in the place of the file that is written first.
        let in_the_way = home.room_statements().with_extension("new");
        std::fs::create_dir(&in_the_way).unwrap();
        says(&mut room, 1, Statement::Revoke { did: key(2).did() });
        assert!(again.read(ROOM, &room, &[said(1), said(2)]).is_err());
        assert_eq!(again.standing(ROOM, &key(2).did()), Standing::Revoked);
        assert_eq!(again.statements(ROOM), [said(1)]);
        std::fs::remove_dir(&in_the_way).unwrap();
        again.read(ROOM, &room, &[said(1), said(2)]).unwrap();
        let last = Members::open(&home, identity).unwrap();
        assert_eq!(last.statements(ROOM), [said(1), said(2)]);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(home.room_statements()).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_node_with_a_new_key_acts_with_the_old_one_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { dir: dir.path().to_owned(), runtime: dir.path().join("run") };
        let identity = Arc::new(Identity::open(&home).unwrap());
        let members = Members::open(&home, Arc::clone(&identity)).unwrap();
        members.pin(ROOM, Owners::one(key(1).did())).unwrap();
        let (own, other) = (identity.view().did, key(3).did());
        let mut room = Membership::new(ROOM, Owners::one(key(1).did()));
        admit(&mut room, 1, &own, &[Right::Coordinate, Right::Execute]);
        admit(&mut room, 1, &other, &[Right::Coordinate]);
        members.read(ROOM, &room, &[]).unwrap();
        identity.rotate(&own, 9).unwrap();
        assert_eq!(members.standing(ROOM, &own), Standing::Own);
        assert!(RIGHTS.into_iter().all(|right| members.may(ROOM, &own, right)));
        assert_eq!((members.rank(ROOM), members.other_voters(ROOM)), (Some(0), vec![other]));
    }
}
