//! The listener at the Unix socket: it looks at each peer, and closes connections beyond the limits.
//!
//! A connection beyond a limit is closed before a byte of it is read. Rights are checked elsewhere, for each request.

use std::fmt::Debug;
use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::limits::{Connections, Owner, limits};
use super::looks::{Client, Looks};
use super::node_api::NodeApi;
use super::peer::Peer;
use cis_core::policy::{Rights, Who};
use cis_local::PeerProcess;

/// The listener at the Unix socket, with its open connections.
pub(super) struct Places<N> {
    listener: UnixListener,
    node: Arc<N>,
    open: Connections,
    /// Accepted connections whose peers are still to be looked at.
    looks: Looks<UnixStream>,
    /// Those whose peers are being looked at.
    looked: JoinSet<Option<(UnixStream, Peer)>>,
    /// The last connection was closed because of a limit. Logged once until there is room again.
    is_full: bool,
}

impl<N: NodeApi> Places<N> {
    pub(super) fn new(listener: UnixListener, node: Arc<N>, open: Connections) -> Self {
        Self { listener, node, open, looks: Looks::default(), looked: JoinSet::new(), is_full: false }
    }

    /// Starts the looks that may begin.
    fn look(&mut self) {
        while let Some((stream, place)) = self.looks.begin() {
            self.looked.spawn_blocking(move || {
                // A flood of connections that are closed at once costs no looks.
                let peer = is_open(&stream).then(|| Peer::of(&stream));
                drop(place);
                Some((stream, peer?))
            });
        }
    }

    /// Returns the client of a new connection. Reads nothing for which the process could make the reader wait.
    fn client(&self, stream: &UnixStream) -> Client {
        let Ok(peer) = PeerProcess::of(stream.as_fd()) else { return Client::Unknown };
        // Otherwise another process may have the pid by now.
        peer.pid.map(|pid| self.node.client(pid)).filter(|_| peer.is_same()).unwrap_or(Client::Unknown)
    }

    /// Logs that a connection is closed because of a limit, once until there is room again.
    fn warn_full(&mut self, owner: &dyn Debug) {
        if !self.is_full {
            self.is_full = true;
            tracing::warn!(?owner, "too many connections to the socket: closing further ones");
        }
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
            self.look();
            let looked = tokio::select! {
                // `accept` waits while descriptors are short.
                (stream, _) = Listener::accept(&mut self.listener), if self.looks.has_room() => {
                    let client = self.client(&stream);
                    if let Some(largest) = self.looks.add(client, stream) {
                        self.warn_full(&largest);
                    }
                    continue;
                }
                Some(looked) = self.looked.join_next() => looked,
            };
            let Ok(Some((stream, mut peer))) = looked else { continue };
            let owner = self.owner(&peer);
            if let Some(place) = self.open.take(&limits(owner)) {
                self.is_full = false;
                peer.place = Some(Arc::new(place));
                return (Connection { stream, peer }, ());
            }
            self.warn_full(&owner);
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
