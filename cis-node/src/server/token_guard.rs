//! Ends a connection when its token expires or is revoked, whatever the connection carries: an answer, a stream of
//! events, a terminal.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::tokens_api::TokensApi;
use cis_core::ids::TokenId;

/// Interval of checks of a token's expiry: timers stand still while the machine is suspended.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// The token of the newest request of a connection. Requests are answered one at a time, so this token decides.
pub(super) type NewestToken = watch::Sender<Option<TokenId>>;

/// A connection that fails as soon as `ended` completes.
pub(super) struct TokenGuard<S> {
    io: S,
    /// `None`: it has completed.
    ended: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> TokenGuard<S> {
    pub(super) fn new(io: S, ended: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { io, ended: Some(Box::pin(ended)) }
    }

    /// Fails once the token has ended. Both reads and writes check it, because a connection may wait for either one;
    /// they belong to one task.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(ended) = &mut self.ended {
            if ended.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            self.ended = None;
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the token expired or was revoked"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TokenGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TokenGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// Completes when the newest token of the connection has expired or was revoked.
pub(super) async fn token_ended<N: TokensApi>(node: Arc<N>, newest: Arc<NewestToken>) {
    // Both senders live as long as this waits: one is held here, the other by the node.
    let (mut changes, mut shown) = (node.token_changes(), newest.subscribe());
    loop {
        changes.mark_unchanged();
        let token = *shown.borrow_and_update();
        let left = match token {
            Some(token) => match node.counts_for(token) {
                Some(ms) => Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(CHECK_EVERY),
                None => return,
            },
            None => CHECK_EVERY,
        };
        tokio::select! {
            _ = changes.changed() => {}
            _ = shown.changed() => {}
            () = tokio::time::sleep(left) => {}
        }
    }
}
