//! Connections that have not shown a token yet: how many there are, and which one is closed where a limit is reached.
//!
//! A new connection is always admitted. An old one makes room for it, because a client shows its token soon after it
//! connects, and a connection that only occupies a place never does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Maximum number of connections from all addresses, and from one.
const ALL_MAX: usize = 128;
const ADDRESS_MAX: usize = 32;

/// A client shows its token sooner: one that has not is held to have come nowhere.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

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

/// How far a connection has come. Those that have come less far are closed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It has sent nothing.
    Silent,
    /// It has begun the TLS handshake.
    Handshake,
    /// It has finished the handshake.
    Encrypted,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    stage: Stage,
    /// When it reached that stage.
    since: Instant,
    closed: Arc<Notify>,
}

/// A connection that has not shown a token. Dropping it frees its place.
#[derive(Debug)]
pub(super) struct Pending {
    all: Unauthenticated,
    closed: Arc<Notify>,
}

impl Unauthenticated {
    /// Adds a connection. Where a limit is reached, closes another one: of those that have come least far, the oldest from the
    /// same address, or from the address with the most of them.
    pub(super) fn add(&self, from: IpAddr) -> Pending {
        let address = network(from);
        let mut open = self.lock();
        let Open { entries, is_full } = &mut *open;
        let of_address = entries.iter().filter(|entry| entry.address == address).count();
        let victim = match of_address >= ADDRESS_MAX {
            true => victim(entries, |entry| entry.address == address),
            false if entries.len() >= ALL_MAX => victim(entries, |_| true),
            false => None,
        };
        if let Some(victim) = victim {
            entries.remove(victim).closed.notify_one();
        }
        if victim.is_some() && !*is_full {
            tracing::warn!(%from, "too many connections over TCP without a token: closing some of them");
        }
        *is_full = victim.is_some();
        let closed = Arc::new(Notify::new());
        let since = Instant::now();
        entries.push(Entry { address, stage: Stage::Silent, since, closed: Arc::clone(&closed) });
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

    /// Notes how far the connection has come.
    pub(super) fn reached(&self, stage: Stage) {
        let entries = &mut self.all.lock().entries;
        if let Some(entry) = entries.iter_mut().find(|entry| Arc::ptr_eq(&entry.closed, &self.closed)) {
            (entry.stage, entry.since) = (stage, Instant::now());
        }
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

impl Entry {
    /// How far it has come, if it is still on its way.
    fn progress(&self) -> Stage {
        if self.since.elapsed() > SHOWN_WITHIN { Stage::Silent } else { self.stage }
    }
}

/// Returns the connection to close among some: of those at the lowest stage, the oldest from the address with the most of them.
fn victim(open: &[Entry], among: impl Fn(&Entry) -> bool) -> Option<usize> {
    let stage = open.iter().filter(|entry| among(entry)).map(Entry::progress).min()?;
    let may_go = |entry: &Entry| entry.progress() == stage && among(entry);
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    open.iter()
        .filter(|entry| may_go(entry))
        .for_each(|entry| *counts.entry(entry.address).or_default() += 1);
    let most = counts.values().max().copied();
    open.iter().position(|entry| may_go(entry) && counts.get(&entry.address).copied() == most)
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

    #[test]
    fn silent_connections_go_before_those_that_have_come_further() {
        let all = Unauthenticated::default();
        let client = all.add(v4(1));
        client.reached(Stage::Handshake);
        let silent: Vec<_> = (0..2 * ADDRESS_MAX).map(|_| all.add(v4(1))).collect();
        assert!(is_open(&all, &client), "the same address");
        let others: Vec<_> = (0..2 * ALL_MAX).map(|n| all.add(v4((n % 200) as u8))).collect();
        assert!(is_open(&all, &client), "other addresses");
        drop((silent, others));
        let further = |_| {
            let client = all.add(v4(1));
            client.reached(Stage::Encrypted);
            client
        };
        let clients: Vec<_> = (0..ADDRESS_MAX).map(further).collect();
        assert!(!is_open(&all, &client), "the others have come further");
        assert!(clients.iter().all(|client| is_open(&all, client)));
    }

    /// Somebody may finish handshakes and say nothing more.
    #[test]
    fn who_does_not_show_a_token_makes_room_for_those_who_are_on_their_way() {
        let all = Unauthenticated::default();
        let idle: Vec<_> = (0..ADDRESS_MAX).map(|_| all.add(v4(1))).collect();
        idle.iter().for_each(|one| one.reached(Stage::Encrypted));
        for entry in &mut all.lock().entries {
            entry.since = Instant::now().checked_sub(2 * SHOWN_WITHIN).unwrap();
        }
        let client = all.add(v4(1));
        let flood: Vec<_> = (1..ADDRESS_MAX).map(|_| all.add(v4(1))).collect();
        assert!(is_open(&all, &client), "the idle ones went first");
        assert!(idle.iter().all(|one| !is_open(&all, one)));
        drop(flood);
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
