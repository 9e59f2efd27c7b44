//! The node's key and its list of trust on disk: read at the start, changed by `cis identity` alone.
//!
//! A change of keys takes effect with one rename, that of the list, which the new key signs: before it the old key is
//! the node's, after it the new one, whenever a crash comes.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::keys::{self, KeyError, Keys};
use cis_core::api::{IdentityView, RevokedView, RotatedView, TrustedView};
use cis_core::identity::{BadTrustFile, NodeKey, Right, Rotation, Standing, TrustError, TrustList};
use cis_core::ids::{NodeDid, TimestampMs};
use cis_local::{Home, read_regular_text};

/// Why the key or the list is as it was.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The list cannot be read or written.
    #[error("cannot use the list of trust {}: {source}", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is there is not this node's list.
    #[error("nobody is trusted, as {} is not this node's list: {why}", path.display())]
    List {
        /// Where it is.
        path: PathBuf,
        /// Why.
        why: BadTrustFile,
    },
    /// The list does not take that.
    #[error(transparent)]
    Refused(#[from] TrustError),
    /// Somebody took another key meanwhile.
    #[error("this node is {is} by now, not {asked}")]
    Moved {
        /// Who it is.
        is: NodeDid,
        /// Who it was taken for.
        asked: NodeDid,
    },
}

/// Who a node is, and whom it trusts.
pub struct Identity {
    home: Home,
    /// The key that the running node began with.
    running: NodeDid,
    state: Mutex<State>,
}

struct State {
    key: NodeKey,
    list: Result<TrustList, BadTrustFile>,
}

impl Identity {
    /// Reads both. A list that is not this node's trusts nobody, and says so; the node works nevertheless.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn open(home: &Home) -> Result<Self, IdentityError> {
        let key = Keys::load_or_make(&home.dir)?.node;
        let path = home.trust_file();
        let list = match read_regular_text(&path) {
            Ok(text) => TrustList::from_text(&text, &key.did()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(TrustList::default()),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(BadTrustFile::Shape(e.to_string())),
            Err(source) => return Err(IdentityError::Io { path, source }),
        };
        Ok(Self { home: home.clone(), running: key.did(), state: Mutex::new(State { key, list }) })
    }

    /// What this node was before, by the list.
    #[must_use]
    pub fn former(&self) -> Vec<NodeDid> {
        let state = self.state();
        state.list.as_ref().map(|list| list.former(&state.key.did())).unwrap_or_default()
    }

    /// Whether that is this node, by the key that it has or by one that it had. A key that it takes when it starts
    /// again is its own already.
    #[must_use]
    pub fn is_or_was(&self, did: &NodeDid) -> bool {
        *did == self.running || *did == self.state().key.did() || self.former().contains(did)
    }

    /// How this node came to the key that it has, the first change first.
    #[must_use]
    pub fn own_rotations(&self) -> Vec<Rotation> {
        let state = self.state();
        let Ok(list) = &state.list else { return Vec::new() };
        let former = list.former(&state.key.did());
        let mut own: Vec<Rotation> = list.rotated().filter(|r| former.contains(&r.old)).cloned().collect();
        own.sort_by_key(|r| std::cmp::Reverse(former.iter().position(|did| *did == r.old)));
        own
    }

    /// What is known of a node. Of a list that is not this node's, nothing is.
    #[must_use]
    pub fn standing(&self, did: &NodeDid) -> Standing {
        let state = self.state();
        let own = self.own_key_for(&state, did);
        match &state.list {
            Ok(list) => list.standing(did, &own),
            Err(_) if *did == own => Standing::Own,
            Err(_) => Standing::Unknown,
        }
    }

    /// Whether a node may do something for this one, or ask it of this one.
    #[must_use]
    pub fn may(&self, did: &NodeDid, right: Right) -> bool {
        let state = self.state();
        let own = self.own_key_for(&state, did);
        match &state.list {
            Ok(list) => list.may(did, &own, right),
            Err(_) => *did == own,
        }
    }

    /// The others that may do something.
    #[must_use]
    pub fn others_who_may(&self, right: Right) -> Vec<NodeDid> {
        let state = self.state();
        let list = state.list.as_ref().ok();
        let may = list.into_iter().flat_map(TrustList::trusted).filter(|entry| entry.may.contains(&right));
        may.map(|entry| entry.did.clone()).collect()
    }

    /// Both, for people.
    #[must_use]
    pub fn view(&self) -> IdentityView {
        let state = self.state();
        let (did, none) = (state.key.did(), TrustList::default());
        let list = state.list.as_ref().unwrap_or(&none);
        let trusted = list.trusted().map(|entry| TrustedView {
            did: entry.did.clone(),
            name: entry.name.clone(),
            since_ms: entry.since_ms,
            may: entry.may.iter().copied().collect(),
        });
        let revoked = list.revoked().map(|(did, since_ms)| RevokedView { did: did.clone(), since_ms });
        let rotated =
            list.rotated().map(|r| RotatedView { old: r.old.clone(), new: r.new.clone(), at_ms: r.at_ms });
        let mut rotated: Vec<RotatedView> = rotated.collect();
        rotated.sort_by_key(|rotation| rotation.at_ms);
        IdentityView {
            running: (self.running != did).then(|| self.running.clone()),
            did,
            revision: list.revision(),
            trusted: trusted.collect(),
            revoked: revoked.collect(),
            rotated,
            problem: state.list.as_ref().err().map(|why| self.not_ours(why.clone()).to_string()),
        }
    }

    /// Changes the list: `change` gets it and the node's DID. It is on disk when this returns.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing has changed then.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut TrustList, &NodeDid) -> Result<T, TrustError>,
    ) -> Result<T, IdentityError> {
        let mut state = self.state();
        let before = state.list.clone().map_err(|why| self.not_ours(why))?;
        let mut list = before.clone();
        let said = change(&mut list, &state.key.did())?;
        if list != before {
            self.write(&list, &state.key)?;
            state.list = Ok(list);
        }
        Ok(said)
    }

    /// Takes another key in place of `from`. Asked for once more, it is not done again.
    ///
    /// # Errors
    /// [`IdentityError`]; the old key is still the node's then.
    pub fn rotate(&self, from: &NodeDid, now_ms: TimestampMs) -> Result<(), IdentityError> {
        let mut state = self.state();
        let mut list = state.list.clone().map_err(|why| self.not_ours(why))?;
        let own = state.key.did();
        if *from != own {
            if list.rotated().any(|rotation| rotation.old == *from && rotation.new == own) {
                return Ok(());
            }
            return Err(IdentityError::Moved { is: own, asked: from.clone() });
        }
        let next = keys::make_next(&self.home.dir)?;
        list.rotate(&Rotation::new(&state.key, &next, now_ms), &own)?;
        // From here on the new key is the node's.
        self.write(&list, &next)?;
        (state.key, state.list) = (next, Ok(list));
        keys::finish_rotation(&self.home.dir)?;
        Ok(())
    }

    /// The own key that `did` is compared with. A node signs with the key that it began with until it ends, so that
    /// key is its own until then, too, unless somebody revoked it meanwhile.
    fn own_key_for(&self, state: &State, did: &NodeDid) -> NodeDid {
        let is_revoked =
            || state.list.as_ref().is_ok_and(|list| list.revoked().any(|(revoked, _)| revoked == did));
        if *did == self.running && !is_revoked() { self.running.clone() } else { state.key.did() }
    }

    fn write(&self, list: &TrustList, key: &NodeKey) -> Result<(), IdentityError> {
        let text = list.to_text(key).map_err(|why| self.not_ours(why))?;
        let path = self.home.trust_file();
        keys::write_whole(&path, text.as_bytes()).map_err(|source| IdentityError::Io { path, source })
    }

    fn not_ours(&self, why: BadTrustFile) -> IdentityError {
        IdentityError::List { path: self.home.trust_file(), why }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked had not changed it: it is replaced as a whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn home(tmp: &tempfile::TempDir) -> Home {
        Home { dir: tmp.path().to_owned(), runtime: tmp.path().join("run") }
    }

    fn other(n: u8) -> NodeDid {
        NodeKey::from_seed(&[n; 32]).did()
    }

    #[test]
    fn what_is_changed_is_there_after_a_restart() {
        let tmp = tempfile::tempdir().unwrap();
        let identity = Identity::open(&home(&tmp)).unwrap();
        assert!(identity.change(|list, own| list.trust(&other(2), own, Some("m2".into()), 5)).unwrap());
        let again = Identity::open(&home(&tmp)).unwrap();
        assert_eq!(again.view(), identity.view());
        assert_eq!(again.view().trusted[0].name.as_deref(), Some("m2"));
        let mode = fs::metadata(tmp.path().join("trust.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_new_key_keeps_the_list_and_is_taken_at_the_next_start() {
        let tmp = tempfile::tempdir().unwrap();
        let identity = Identity::open(&home(&tmp)).unwrap();
        let old = identity.view().did;
        identity.change(|list, own| list.trust(&other(2), own, None, 5)).unwrap();
        identity.rotate(&old, 9).unwrap();
        let view = identity.view();
        assert_ne!(view.did, old);
        assert_eq!(view.running, Some(old.clone()));
        // Asked again by a client that heard no answer: once.
        identity.rotate(&old, 10).unwrap();
        assert_eq!(identity.view(), view);
        assert!(matches!(identity.rotate(&other(7), 10), Err(IdentityError::Moved { .. })));
        identity.change(|list, own| list.trust(&other(3), own, None, 5)).unwrap();
        let again = Identity::open(&home(&tmp)).unwrap();
        assert_eq!((again.view().did, again.view().running), (view.did, None));
        assert_eq!(again.view().trusted.len(), 2);
        assert_eq!(again.former(), [old]);
        assert!(!tmp.path().join("identity.key.next").exists());
    }

    /// A node acts with its old key until it ends: its own messages count until then.
    #[test]
    fn the_running_key_stays_own_until_the_node_ends() {
        let tmp = tempfile::tempdir().unwrap();
        let identity = Identity::open(&home(&tmp)).unwrap();
        let old = identity.view().did;
        identity.rotate(&old, 9).unwrap();
        let new = identity.view().did;
        for did in [&old, &new] {
            assert_eq!(identity.standing(did), Standing::Own);
            for right in [Right::Submit, Right::Coordinate, Right::Execute] {
                assert!(identity.may(did, right), "{did} {right:?}");
            }
        }
        let again = Identity::open(&home(&tmp)).unwrap();
        assert_eq!(again.standing(&old), Standing::Replaced(new.clone()));
        assert!(!again.may(&old, Right::Execute) && again.may(&new, Right::Execute));
        // A stolen key counts no longer, also before the restart.
        identity.change(|list, own| list.revoke(&old, own, 10)).unwrap();
        assert_eq!(identity.standing(&old), Standing::Revoked);
        assert!(!identity.may(&old, Right::Execute));
    }

    /// The change of keys is one step, wherever a crash comes.
    #[test]
    fn a_crash_leaves_the_old_key_or_the_new_one_with_its_list() {
        let tmp = tempfile::tempdir().unwrap();
        let identity = Identity::open(&home(&tmp)).unwrap();
        let old = identity.view().did;
        identity.change(|list, own| list.trust(&other(2), own, None, 5)).unwrap();
        // Before the list: a key that nobody signed.
        let key = fs::read(tmp.path().join("identity.key")).unwrap();
        keys::make_next(tmp.path()).unwrap();
        let before = Identity::open(&home(&tmp)).unwrap();
        assert_eq!((before.view().did, before.view().trusted.len()), (old.clone(), 1));
        // After the list: the new key was not put in place.
        before.rotate(&old, 9).unwrap();
        let new = fs::read(tmp.path().join("identity.key")).unwrap();
        fs::write(tmp.path().join("identity.key.next"), new).unwrap();
        fs::write(tmp.path().join("identity.key"), key).unwrap();
        let after = Identity::open(&home(&tmp)).unwrap();
        assert_eq!((after.view().did, after.view().trusted.len()), (before.view().did, 1));
    }

    #[test]
    fn a_list_that_somebody_changed_trusts_nobody_and_is_not_written_over() {
        let tmp = tempfile::tempdir().unwrap();
        let identity = Identity::open(&home(&tmp)).unwrap();
        identity.change(|list, own| list.trust(&other(2), own, None, 5)).unwrap();
        let path = tmp.path().join("trust.toml");
        let text = fs::read_to_string(&path).unwrap().replace(&other(2).0, &other(3).0);
        fs::write(&path, &text).unwrap();
        let again = Identity::open(&home(&tmp)).unwrap();
        assert!(again.view().trusted.is_empty() && again.view().problem.unwrap().contains("trust.toml"));
        let refused = again.change(|list, own| list.trust(&other(4), own, None, 5));
        assert!(matches!(refused, Err(IdentityError::List { .. })));
        let own = again.view().did;
        assert!(matches!(again.rotate(&own, 9), Err(IdentityError::List { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
