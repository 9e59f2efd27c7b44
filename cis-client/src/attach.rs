//! A terminal at a session.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_util::{Sink as _, StreamExt as _};
use hyper::body::Bytes;
use tokio_tungstenite::tungstenite::Message;

use super::query::ToQuery as _;
use super::ws::Socket;
use super::{Client, ClientError};
use cis_core::api::attach_marks::read_mark;
use cis_core::api::{Attach, AttachControl, AttachNotice, paths};

/// What an attached session sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachFrame {
    /// For the terminal.
    Bytes(Bytes),
    /// For its client.
    Notice(AttachNotice),
    /// The node closes the connection, as one does that was told to stop.
    Closed,
}

/// A terminal at a session. What is to be sent is queued and leaves while [`Self::next`] waits, so
/// that a node that is busy writing to us and a client that is busy writing to it cannot block each other.
#[derive(Debug)]
pub struct AttachStream<'a> {
    client: &'a Client,
    socket: Socket,
    queue: VecDeque<Message>,
    queued_bytes: usize,
    /// Frames tell their place.
    marks: bool,
    next: Option<u64>,
}

impl Client {
    /// Attaches to a session. With `marks` the stream knows its place ([`AttachStream::offset`]): after a connection was lost,
    /// another attach with that as `from` goes on without a gap or a new picture.
    ///
    /// # Errors
    /// As every call.
    pub async fn attach(&self, session: &str, how: &Attach) -> Result<AttachStream<'_>, ClientError> {
        let socket = self.upgrade(&how.on(paths::fill(paths::SESSION_ATTACH, &[session]))).await?;
        Ok(AttachStream {
            client: self,
            socket,
            queue: VecDeque::new(),
            queued_bytes: 0,
            marks: how.marks,
            next: None,
        })
    }
}

impl AttachStream<'_> {
    /// Queues what was typed.
    pub fn type_bytes(&mut self, bytes: &[u8]) {
        self.queued_bytes += bytes.len();
        self.queue.push_back(Message::Binary(Bytes::copy_from_slice(bytes)));
    }

    /// Queues a word to the node.
    ///
    /// # Errors
    /// None in practice: the word has no map with non-string keys.
    pub fn control(&mut self, control: AttachControl) -> Result<(), ClientError> {
        let text = serde_json::to_string(&control).map_err(ClientError::protocol)?;
        self.queue.push_back(Message::Text(text.into()));
        Ok(())
    }

    /// First byte of the session's output that nothing that was given so far stands for; none: it is not known.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.next
    }

    /// Typed bytes that have not left: who reads the terminal stops where they are many.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// What comes next; sends what is queued meanwhile. May be dropped while it waits without losing anything.
    ///
    /// # Errors
    /// [`ClientError::Io`]: the node went away. [`ClientError::Protocol`]: a notice that is not understood.
    pub async fn next(&mut self) -> Result<AttachFrame, ClientError> {
        loop {
            let message = poll_fn(|cx| {
                if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                    return Poll::Ready(Some(Err(error)));
                }
                self.socket.poll_next_unpin(cx)
            })
            .await;
            return match message {
                Some(Ok(Message::Binary(frame))) if self.marks => {
                    let (next, at) = read_mark(&frame)
                        .ok_or_else(|| ClientError::protocol("a frame of a terminal without its place"))?;
                    self.next = next;
                    Ok(AttachFrame::Bytes(frame.slice(at..)))
                }
                Some(Ok(Message::Binary(bytes))) => Ok(AttachFrame::Bytes(bytes)),
                Some(Ok(Message::Text(text))) => {
                    serde_json::from_str(&text).map(AttachFrame::Notice).map_err(ClientError::protocol)
                }
                Some(Ok(Message::Close(_))) => Ok(AttachFrame::Closed),
                Some(Ok(_)) => continue,
                Some(Err(error)) => Err(self.client.ws_error(error)),
                None => Err(self.client.io(std::io::ErrorKind::ConnectionReset.into())),
            };
        }
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// [`ClientError::Io`]: the node went away.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        poll_fn(|cx| self.poll_send(cx)).await.map_err(|error| self.client.ws_error(error))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tokio_tungstenite::tungstenite::Error>> {
        let mut socket = std::pin::Pin::new(&mut self.socket);
        while !self.queue.is_empty() {
            std::task::ready!(socket.as_mut().poll_ready(cx))?;
            if let Some(message) = self.queue.pop_front() {
                if let Message::Binary(bytes) = &message {
                    self.queued_bytes -= bytes.len();
                }
                socket.as_mut().start_send(message)?;
            }
        }
        socket.poll_flush(cx)
    }
}
