//! Whose peer is looked at next: accepted connections to the Unix socket wait here for a thread.
//!
//! Owns the order and the limits. A look reads what a process and its ancestors show in /proc. That takes long for a process
//! with many ancestors, and reading the environment of a process can wait for whatever the process has mapped there. So
//! clients take turns, and no client, nor all sessions together, can have all threads.

use std::collections::VecDeque;

use super::limits::{Count, Place};
use cis_core::ids::SessionId;

/// Maximum number of looks at a time; each has a thread.
const LOOKS_MAX: usize = 8;
/// Maximum number of them at processes of sessions; the rest is for people.
const LOOKS_INSIDE_MAX: usize = 6;
/// Maximum number of them for one client.
const LOOKS_OF_CLIENT_MAX: usize = 2;

/// Maximum number of connections that wait for a look. Further ones wait in the queue of the socket.
const WAITING_MAX: usize = 512;
/// Maximum number of them from processes of sessions: sessions must not keep people from being accepted. Above it, the client with the most
/// connections loses one.
const WAITING_INSIDE_MAX: usize = 256;

/// Owner of a connection, as far as that is known before the look. It decides only who waits for whom.
///
/// A process of a session belongs to that session or to [`Self::Unknown`], whatever it does. Otherwise it could take the turns of many clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// The process with this pid, outside of sessions.
    Process(u32),
    /// All processes that are seen to be in this session.
    Session(SessionId),
    /// All commands of the node.
    Command,
    /// All others: processes that have left their session, have ended, or are not visible from here.
    Unknown,
}

impl Client {
    /// Whether it is limited as sessions are.
    fn is_inside(self) -> bool {
        !matches!(self, Self::Process(_))
    }
}

/// What limits looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Limit {
    All,
    Inside,
    Of(Client),
}

/// Waiting connections, and the number of looks that are under way.
#[derive(Debug)]
pub(super) struct Looks<T> {
    under_way: Count<Limit>,
    /// One entry for each client, which is never empty; the client whose turn is next comes first.
    waiting: VecDeque<(Client, VecDeque<T>)>,
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self { under_way: Count::default(), waiting: VecDeque::new() }
    }
}

impl<T> Looks<T> {
    /// Whether another connection can be accepted.
    pub(super) fn has_room(&self) -> bool {
        self.count(|_| true) < WAITING_MAX
    }

    /// Adds a connection. If too many of sessions wait then, drops the newest of the client that has the most of them, and returns that client.
    pub(super) fn add(&mut self, client: Client, connection: T) -> Option<Client> {
        match self.waiting.iter_mut().find(|(other, _)| *other == client) {
            Some((_, queue)) => queue.push_back(connection),
            None => self.waiting.push_back((client, VecDeque::from([connection]))),
        }
        if !client.is_inside() || self.count(Client::is_inside) <= WAITING_INSIDE_MAX {
            return None;
        }
        let inside = self.waiting.iter_mut().filter(|(client, _)| client.is_inside());
        let (largest, queue) = inside.max_by_key(|(_, queue)| queue.len())?;
        let largest = *largest;
        queue.pop_back();
        self.waiting.retain(|(_, queue)| !queue.is_empty());
        Some(largest)
    }

    /// Takes the next connection, if a look may begin. The look is under way until its place is dropped.
    pub(super) fn begin(&mut self) -> Option<(T, Place<Limit>)> {
        for at in 0..self.waiting.len() {
            let client = self.waiting.get(at)?.0;
            let Some(place) = self.under_way.take(&limits(client)) else { continue };
            let (_, mut queue) = self.waiting.remove(at)?;
            let connection = queue.pop_front()?;
            if !queue.is_empty() {
                self.waiting.push_back((client, queue));
            }
            return Some((connection, place));
        }
        None
    }

    fn count(&self, of: impl Fn(Client) -> bool) -> usize {
        self.waiting.iter().filter(|(client, _)| of(*client)).map(|(_, queue)| queue.len()).sum()
    }
}

/// What limits looks for this client, and to how many.
fn limits(client: Client) -> Vec<(Limit, usize)> {
    let mut limits = vec![(Limit::All, LOOKS_MAX), (Limit::Of(client), LOOKS_OF_CLIENT_MAX)];
    if client.is_inside() {
        limits.push((Limit::Inside, LOOKS_INSIDE_MAX));
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(n: usize) -> Client {
        Client::Session(SessionId::from_parts(1, n as u128))
    }

    #[test]
    fn clients_take_turns() {
        let mut looks = Looks::default();
        let (many, one) = (Client::Process(1), Client::Process(2));
        (0..10).for_each(|n| assert_eq!(looks.add(many, n), None));
        assert_eq!(looks.add(one, 1000), None);
        let mut held: Vec<_> = std::iter::from_fn(|| looks.begin()).collect();
        let order: Vec<usize> = held.iter().map(|(connection, _)| *connection).collect();
        assert_eq!(order, [0, 1000, 1], "one client has {LOOKS_OF_CLIENT_MAX} looks at most");
        held.remove(0);
        assert_eq!(looks.begin().map(|(connection, _)| connection), Some(2), "a look has ended");
    }

    #[test]
    fn sessions_whose_looks_never_end_leave_looks_to_people() {
        let mut looks = Looks::default();
        (0..WAITING_INSIDE_MAX).for_each(|n| assert_eq!(looks.add(session(n), session(n)), None));
        assert_eq!(
            looks.add(Client::Unknown, Client::Unknown),
            Some(Client::Unknown),
            "all sessions together"
        );
        let held: Vec<_> = std::iter::from_fn(|| looks.begin()).collect();
        assert_eq!(held.len(), LOOKS_INSIDE_MAX);
        assert_eq!(looks.add(Client::Process(1), Client::Process(1)), None);
        let person = looks.begin().map(|(client, _)| client);
        assert_eq!(person, Some(Client::Process(1)));
        drop(held);
        let rest = std::iter::from_fn(|| looks.begin().map(|(client, _)| client)).count();
        assert_eq!(rest, WAITING_INSIDE_MAX - LOOKS_INSIDE_MAX, "each has its turn");
    }

    #[test]
    fn connections_of_one_session_are_dropped_before_those_of_others() {
        let mut looks = Looks::default();
        (0..WAITING_INSIDE_MAX).for_each(|n| assert_eq!(looks.add(session(1), n), None));
        assert_eq!(looks.add(session(1), 1000), Some(session(1)));
        for other in [session(2), Client::Command, Client::Unknown] {
            assert_eq!(looks.add(other, 2000), Some(session(1)));
        }
        let waiting: Vec<usize> = std::iter::from_fn(|| looks.begin().map(|(one, _)| one)).collect();
        assert_eq!(waiting.len(), WAITING_INSIDE_MAX);
        assert_eq!(waiting.iter().filter(|one| **one == 2000).count(), 3, "others");
        assert!(!waiting.contains(&1000) && !waiting.contains(&(WAITING_INSIDE_MAX - 1)), "the newest");
    }

    #[test]
    fn no_more_is_accepted_while_too_many_wait_and_people_lose_none() {
        let mut looks = Looks::default();
        let mut added = 0;
        while looks.has_room() {
            assert_eq!(looks.add(Client::Process(1), ()), None);
            added += 1;
        }
        assert_eq!(added, WAITING_MAX);
        assert!(looks.begin().is_some() && looks.has_room());
    }

    #[test]
    fn sessions_leave_room_for_people() {
        let mut looks = Looks::default();
        for n in 0..2 * WAITING_MAX {
            looks.add(session(n), ());
        }
        assert!(looks.has_room());
    }
}
