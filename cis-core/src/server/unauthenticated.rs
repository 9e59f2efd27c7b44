//! Connections that have not shown a token yet: how many there are, and which one is closed where a limit is reached.
//!
//! A new connection is always admitted. An old one makes room for it, because a client shows its token soon after it
//! connects, and a connection that only occupies a place never does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Maximum number of connections from all addresses, and from one.
const ALL_MAX: usize = 128;
const ADDRESS_MAX: usize = 32;

/// Open connections without a token.
#[derive(Debug, Clone, Default)]
pub(super) struct Unauthenticated(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    /// The oldest first.
    entries: Vec<Entry>,
    /// A connection had to make room. Logged once until there is room again.
    is_full: bool,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    closed: Arc<Notify>,
}

/// A connection that has not shown a token. Dropping it frees its place.
#[derive(Debug)]
pub(super) struct Pending {
    all: Unauthenticated,
    closed: Arc<Notify>,
}

impl Unauthenticated {
    /// Adds a connection. Where a limit is reached, closes the oldest connection from the same address, or from the address
    /// with the most connections.
    pub(super) fn add(&self, from: IpAddr) -> Pending {
        let address = network(from);
        let mut open = self.lock();
        let Open { entries, is_full } = &mut *open;
        let count = entries.iter().filter(|entry| entry.address == address).count();
        let full = match count >= ADDRESS_MAX {
            true => Some(address),
            false if entries.len() >= ALL_MAX => most_frequent(entries),
            false => None,
        };
        if let Some(oldest) = entries.iter().position(|entry| Some(entry.address) == full) {
            entries.remove(oldest).closed.notify_one();
        }
        if full.is_some() && !*is_full {
            tracing::warn!(%from, "too many connections over TCP without a token: closing the oldest ones");
        }
        *is_full = full.is_some();
        let closed = Arc::new(Notify::new());
        entries.push(Entry { address, closed: Arc::clone(&closed) });
        Pending { all: self.clone(), closed }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Returns what is notified when the connection has to make room for another one.
    pub(super) fn closed(&self) -> Arc<Notify> {
        Arc::clone(&self.closed)
    }

    /// Takes the connection out, because it has shown a token. Returns `false` if it has to make room for another one.
    pub(super) fn leave(&self) -> bool {
        let entries = &mut self.all.lock().entries;
        let found = entries.iter().position(|entry| Arc::ptr_eq(&entry.closed, &self.closed));
        found.map(|at| entries.remove(at)).is_some()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.leave();
    }
}

fn most_frequent(open: &[Entry]) -> Option<IpAddr> {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    open.iter().for_each(|entry| *counts.entry(entry.address).or_default() += 1);
    let most = counts.values().max().copied();
    open.iter().map(|entry| entry.address).find(|address| counts.get(address).copied() == most)
}

/// Returns the address that stands for all addresses of one peer: of IPv6 the network of 64 bits, which is what one
/// customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn v4(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn addresses(all: &Unauthenticated) -> Vec<IpAddr> {
        all.lock().entries.iter().map(|entry| entry.address).collect()
    }

    fn is_open(all: &Unauthenticated, pending: &Pending) -> bool {
        all.lock().entries.iter().any(|entry| Arc::ptr_eq(&entry.closed, &pending.closed))
    }

    #[test]
    fn an_address_at_its_limit_loses_its_oldest_connection() {
        let all = Unauthenticated::default();
        let other = all.add(v4(2));
        let mut open: Vec<_> = (0..ADDRESS_MAX).map(|_| all.add(v4(1))).collect();
        open.push(all.add("::ffff:192.0.2.1".parse().unwrap()));
        assert!(!is_open(&all, &open[0]) && open[1..].iter().all(|one| is_open(&all, one)));
        assert!(is_open(&all, &other));
        drop(open);
        assert_eq!(addresses(&all), [v4(2)]);
    }

    #[test]
    fn a_new_address_takes_a_place_of_the_address_with_the_most() {
        let all = Unauthenticated::default();
        let few: Vec<_> = (0..3).map(|_| all.add(v4(200))).collect();
        let many: Vec<_> = (0..ALL_MAX - 3).map(|n| all.add(v4((n / ADDRESS_MAX) as u8))).collect();
        assert_eq!(addresses(&all).len(), ALL_MAX);
        let new: Vec<_> = (100..120).map(|n| all.add(v4(n))).collect();
        assert_eq!(addresses(&all).len(), ALL_MAX);
        assert!(few.iter().chain(&new).all(|one| is_open(&all, one)));
        assert_eq!(many.iter().filter(|one| !is_open(&all, one)).count(), new.len());
    }

    #[tokio::test]
    async fn a_closed_connection_is_notified() {
        let all = Unauthenticated::default();
        let open: Vec<_> = (0..=ADDRESS_MAX).map(|_| all.add(v4(1))).collect();
        let closed = open[0].closed();
        tokio::time::timeout(Duration::from_secs(60), closed.notified()).await.unwrap();
        assert!(!open[0].leave() && open[1].leave());
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let net = |text: &str| network(text.parse().unwrap());
        assert_eq!(net("2001:db8::1"), net("2001:db8::ffff:2"));
        assert_ne!(net("2001:db8::1"), net("2001:db8:0:1::1"));
    }
}
