//! What ends a connection at once when the token that it lives by becomes void, whatever it carries by then: an
//! answer, a stream of events, a terminal.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::tokens_api::TokensApi;
use crate::ids::TokenId;

/// A token's end is looked at again after so long: the timer stands still while the machine sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The token of the newest request of a connection. One is answered at a time, so that this is the one that counts.
pub(super) type Newest = watch::Sender<Option<TokenId>>;

/// A connection that breaks as soon as `void` completes.
pub(super) struct Leash<S> {
    io: S,
    /// None: it is over.
    void: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Leash<S> {
    pub(super) fn new(io: S, void: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { io, void: Some(Box::pin(void)) }
    }

    /// Nothing goes through any more once this fails. It is looked at by reads and writes alike, as either may be
    /// all that a connection waits for; both are one task's.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(void) = &mut self.void {
            if void.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            self.void = None;
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the token does not count any more"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Leash<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Leash<S> {
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

/// Completes when the newest token that was shown does not count any more.
pub(super) async fn void<N: TokensApi>(node: Arc<N>, newest: Arc<Newest>) {
    // Both senders live as long as this waits: the one is held here, the other by the node.
    let (mut changes, mut shown) = (node.token_changes(), newest.subscribe());
    loop {
        changes.mark_unchanged();
        let token = *shown.borrow_and_update();
        let left = match token {
            Some(token) => match node.counts_for(token) {
                Some(ms) => Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(LOOK_EVERY),
                None => return,
            },
            None => LOOK_EVERY,
        };
        tokio::select! {
            _ = changes.changed() => {}
            _ = shown.changed() => {}
            () = tokio::time::sleep(left) => {}
        }
    }
}
