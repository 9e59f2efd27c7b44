//! Limits of connections to the Unix socket: in total, and for each peer.
//!
//! Owns the counting. A connection beyond a limit is closed before a byte of it is read. Rights are checked elsewhere,
//! for each request.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::node_api::NodeApi;
use super::peer::Peer;
use cis_core::ids::SessionId;
use cis_core::policy::{Rights, Who};

/// Maximum number of connections.
const ALL_MAX: usize = 1024;
/// Maximum number of connections from processes in sessions; the rest is for people.
const INSIDE_MAX: usize = 768;
/// Maximum number of connections from one session: each of its open asks may have one that waits for the
/// answer.
const SESSION_MAX: usize = 64;
/// Maximum number of connections from all processes whose session is unknown, together.
const UNKNOWN_SESSION_MAX: usize = 64;
/// Maximum number of accepted connections whose peers are being looked at; each has a thread. Others wait in the queue of the socket.
const LOOKS_MAX: usize = 8;

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

impl<K: Eq + Hash + Copy> Drop for Place<K> {
    fn drop(&mut self) {
        let mut open = self.of.lock();
        for key in &self.keys {
            if let Some(count) = open.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    open.remove(key);
                }
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

fn limits(owner: Owner) -> Vec<(Limit, usize)> {
    let all = (Limit::All, ALL_MAX);
    match owner {
        Owner::Person => vec![all],
        Owner::Session(_) => vec![all, (Limit::Inside, INSIDE_MAX), (Limit::Of(owner), SESSION_MAX)],
        Owner::UnknownSession => {
            vec![all, (Limit::Inside, INSIDE_MAX), (Limit::Of(owner), UNKNOWN_SESSION_MAX)]
        }
    }
}

/// The listener at the Unix socket, with its open connections.
pub(super) struct Places<N> {
    listener: UnixListener,
    node: Arc<N>,
    open: Connections,
    /// Accepted connections whose peers are being looked at. A peer with many ancestors does not keep others waiting.
    looks: JoinSet<Option<(UnixStream, Peer)>>,
    /// The last connection was closed because of a limit. Logged once until there is room again.
    is_full: bool,
}

impl<N: NodeApi> Places<N> {
    pub(super) fn new(listener: UnixListener, node: Arc<N>, open: Connections) -> Self {
        Self { listener, node, open, looks: JoinSet::new(), is_full: false }
    }

    fn owner(&self, peer: &Peer) -> Owner {
        // Classified without a token, because a token comes with a request.
        let who = self.node.principal(peer.clone(), None);
        match (self.node.session_of(peer), who.who) {
            (Some(session), _) => Owner::Session(session),
            (None, Who::UnknownSession { .. }) => Owner::UnknownSession,
            (None, _) if who.rights == Rights::None => Owner::UnknownSession,
            (None, _) => Owner::Person,
        }
    }
}

impl<N: NodeApi> Listener for Places<N> {
    type Io = Connection;
    type Addr = ();

    async fn accept(&mut self) -> (Connection, ()) {
        loop {
            let looked = tokio::select! {
                // `accept` waits while descriptors are short.
                (stream, _) = Listener::accept(&mut self.listener), if self.looks.len() < LOOKS_MAX => {
                    self.looks.spawn_blocking(move || {
                        // A flood of connections that are closed at once costs no looks.
                        let peer = is_open(&stream).then(|| Peer::of(&stream))?;
                        Some((stream, peer))
                    });
                    continue;
                }
                Some(looked) = self.looks.join_next() => looked,
            };
            let Ok(Some((stream, mut peer))) = looked else { continue };
            let owner = self.owner(&peer);
            if let Some(place) = self.open.take(&limits(owner)) {
                self.is_full = false;
                peer.place = Some(Arc::new(place));
                return (Connection { stream, peer }, ());
            }
            if !self.is_full {
                self.is_full = true;
                tracing::warn!(?owner, "too many connections to the socket: closing further ones");
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection to the Unix socket.
pub(super) struct Connection {
    stream: UnixStream,
    peer: Peer,
}

/// Whether the other end of a new connection is open.
fn is_open(stream: &UnixStream) -> bool {
    let mut byte = [0];
    let looked = recv(stream, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    !matches!(looked, Ok((0, _)))
}

impl<N: NodeApi> Connected<IncomingStream<'_, Places<N>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Places<N>>) -> Self {
        stream.io().peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
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
