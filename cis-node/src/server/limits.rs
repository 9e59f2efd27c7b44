//! Limits of open connections: in total, and for each key, such as the owner of a connection.
//!
//! Owns the counting. What a connection is, and who owns it, is decided where it is accepted.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cis_core::ids::SessionId;

/// Maximum number of connections.
const ALL_MAX: usize = 1024;
/// Maximum number of connections from processes in sessions; the rest is for people.
const INSIDE_MAX: usize = 768;
/// Maximum number of connections from one session: each of its open asks may have one that waits for the
/// answer.
const SESSION_MAX: usize = 64;
/// Maximum number of connections from all processes whose session is unknown, together.
const UNKNOWN_SESSION_MAX: usize = 64;

/// Owner of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// A process outside of sessions.
    Person,
    /// A process of this session, recognized by the token that it was started with.
    Session(SessionId),
    /// A process of a session, but it is unknown which.
    UnknownSession,
}

/// Number of open connections for each key that limits them.
#[derive(Debug)]
pub(super) struct Count<K>(Arc<Mutex<HashMap<K, usize>>>);

/// A counted connection. Dropping it frees its place.
#[derive(Debug)]
pub(super) struct Place<K: Eq + Hash + Copy> {
    of: Count<K>,
    keys: Vec<K>,
}

impl<K> Clone for Count<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for Count<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Copy> Count<K> {
    /// Counts one more connection for each key. `None`: one of them is at its limit.
    pub(super) fn take(&self, limits: &[(K, usize)]) -> Option<Place<K>> {
        let mut open = self.lock();
        if limits.iter().any(|(key, most)| open.get(key).copied().unwrap_or(0) >= *most) {
            return None;
        }
        let keys: Vec<K> = limits.iter().map(|(key, _)| *key).collect();
        keys.iter().for_each(|key| *open.entry(*key).or_default() += 1);
        Some(Place { of: self.clone(), keys })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Copy> Place<K> {
    /// Counts the connection for these keys instead, if its owner has changed. Returns `false`, and changes nothing, if one of them is at
    /// its limit.
    pub(super) fn change(&mut self, limits: &[(K, usize)]) -> bool {
        let mut open = self.of.lock();
        let others = |key: &K| open.get(key).copied().unwrap_or(0) - usize::from(self.keys.contains(key));
        if limits.iter().any(|(key, most)| others(key) >= *most) {
            return false;
        }
        free(&mut open, &self.keys);
        self.keys = limits.iter().map(|(key, _)| *key).collect();
        self.keys.iter().for_each(|key| *open.entry(*key).or_default() += 1);
        true
    }
}

impl<K: Eq + Hash + Copy> Drop for Place<K> {
    fn drop(&mut self) {
        free(&mut self.of.lock(), &self.keys);
    }
}

/// Counts one connection less for each key.
fn free<K: Eq + Hash>(open: &mut HashMap<K, usize>, keys: &[K]) {
    for key in keys {
        if let Some(count) = open.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                open.remove(key);
            }
        }
    }
}

/// Open connections to the Unix socket, including those from before the socket was bound again.
pub(super) type Connections = Count<Limit>;

/// What limits connections to the Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Limit {
    All,
    Inside,
    Of(Owner),
}

/// What limits the connections of this owner, and to how many.
pub(super) fn limits(owner: Owner) -> Vec<(Limit, usize)> {
    let all = (Limit::All, ALL_MAX);
    match owner {
        Owner::Person => vec![all],
        Owner::Session(_) => vec![all, (Limit::Inside, INSIDE_MAX), (Limit::Of(owner), SESSION_MAX)],
        Owner::UnknownSession => {
            vec![all, (Limit::Inside, INSIDE_MAX), (Limit::Of(owner), UNKNOWN_SESSION_MAX)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_leave_room_for_people_and_for_each_other() {
        let open = Count::default();
        let take = |owner| open.take(&limits(owner));
        let session = |n| Owner::Session(SessionId::from_parts(1, n));
        let mut held: Vec<_> = (0..SESSION_MAX).map(|_| take(session(1)).unwrap()).collect();
        assert!(take(session(1)).is_none(), "one session");
        held.extend((0..UNKNOWN_SESSION_MAX).map(|_| take(Owner::UnknownSession).unwrap()));
        assert!(take(Owner::UnknownSession).is_none());
        held.extend((0..).map_while(|n| take(session(2 + n / SESSION_MAX as u128))));
        assert_eq!(held.len(), INSIDE_MAX, "all sessions together");
        held.extend((0..).map_while(|_| take(Owner::Person)));
        assert_eq!(held.len(), ALL_MAX);
        held.remove(0);
        assert!(take(session(1)).is_some(), "there is room again");
        drop(held);
        assert!(open.lock().is_empty());
    }
}
