//! Whose peer is looked at next: accepted connections to the Unix socket wait here for a thread.
//!
//! Owns the order and the limits. A look reads what a process and its ancestors show in /proc. That takes long for a process
//! with many ancestors, and reading the environment of a process can wait for whatever the process has mapped there. So
//! clients take turns, and no client, nor all sessions together, can have all threads.

use std::collections::VecDeque;

use super::limits::{Count, Place};

/// Maximum number of looks at a time; each has a thread.
const LOOKS_MAX: usize = 8;
/// Maximum number of them at processes of sessions; the rest is for people.
const LOOKS_INSIDE_MAX: usize = 6;
/// Maximum number of them for one client.
const LOOKS_OF_CLIENT_MAX: usize = 2;

/// Maximum number of connections that wait for a look. Further ones wait in the queue of the socket.
const WAITING_MAX: usize = 512;
/// Maximum number of them from processes of sessions, and from one client. Further ones are closed.
const WAITING_INSIDE_MAX: usize = 256;
const WAITING_OF_CLIENT_MAX: usize = 128;

/// Owner of a connection, as far as that is known before the look. It decides only who waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// The process with this pid, outside of sessions.
    Process(u32),
    /// All processes with this hard limit of realtime CPU time, µs: those of one session, unless they lowered it.
    Session(u64),
    /// A process that has ended, or that is not visible from here.
    Unknown,
}

impl Client {
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

    /// Adds a connection. Returns `false` and drops it if a limit is reached.
    pub(super) fn add(&mut self, client: Client, connection: T) -> bool {
        if self.count(|other| other == client) >= WAITING_OF_CLIENT_MAX
            || (client.is_inside() && self.count(Client::is_inside) >= WAITING_INSIDE_MAX)
        {
            return false;
        }
        match self.waiting.iter_mut().find(|(other, _)| *other == client) {
            Some((_, queue)) => queue.push_back(connection),
            None => self.waiting.push_back((client, VecDeque::from([connection]))),
        }
        true
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

    #[test]
    fn clients_take_turns() {
        let mut looks = Looks::default();
        let (many, one) = (Client::Process(1), Client::Process(2));
        assert!((0..WAITING_OF_CLIENT_MAX).all(|n| looks.add(many, n)));
        assert!(!looks.add(many, 0), "a client at its limit");
        assert!(looks.add(one, 1000), "another client");
        let mut held: Vec<_> = std::iter::from_fn(|| looks.begin()).collect();
        let order: Vec<usize> = held.iter().map(|(connection, _)| *connection).collect();
        assert_eq!(order, [0, 1000, 1], "one client has {LOOKS_OF_CLIENT_MAX} looks at most");
        held.remove(0);
        assert_eq!(looks.begin().map(|(connection, _)| connection), Some(2), "a look has ended");
    }

    #[test]
    fn sessions_whose_looks_never_end_leave_looks_to_people() {
        let mut looks = Looks::default();
        let session = |n: usize| Client::Session(n as u64);
        assert!((0..WAITING_INSIDE_MAX).all(|n| looks.add(session(n), session(n))));
        assert!(!looks.add(Client::Unknown, Client::Unknown), "all sessions together");
        let held: Vec<_> = std::iter::from_fn(|| looks.begin()).collect();
        assert_eq!(held.len(), LOOKS_INSIDE_MAX);
        assert!(looks.add(Client::Process(1), Client::Process(1)));
        let person = looks.begin().map(|(client, _)| client);
        assert_eq!(person, Some(Client::Process(1)));
        drop(held);
        let rest = std::iter::from_fn(|| looks.begin().map(|(client, _)| client)).count();
        assert_eq!(rest, WAITING_INSIDE_MAX - LOOKS_INSIDE_MAX, "each has its turn");
    }

    #[test]
    fn no_more_is_accepted_while_too_many_wait() {
        let mut looks = Looks::default();
        let added = (0..).take_while(|n| looks.has_room() && looks.add(Client::Process(*n), ())).count();
        assert_eq!(added, WAITING_MAX);
        assert!(looks.begin().is_some() && looks.has_room());
    }
}
