//! A log, read piece by piece. One that is followed goes on where it was when the node was restarted.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::ClientError;
use super::http::{Body, Client};
use super::query::ToQuery as _;
use cis_core::api::log_pieces::{LogPiece, LogPieces, SESSION_HEADER};
use cis_core::api::{ReadLog, paths};

/// How long a followed log waits for a node to be back.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The bytes of a log; with `follow` it ends when the session does.
#[derive(Debug)]
pub struct LogStream<'a> {
    client: &'a Client,
    path: String,
    /// From where it is read when it is read again.
    query: ReadLog,
    source: Option<Source>,
    pieces: LogPieces,
    /// Bytes that this connection brought since the place that [`Self::query`] names.
    brought: usize,
    /// Bytes that an earlier connection brought, and this one brings again.
    again: usize,
    away: Option<Away>,
    over: bool,
}

#[derive(Debug)]
struct Source {
    body: Incoming,
    /// Something came over it.
    heard: bool,
    /// Dropping it would tell the connection that nobody needs it any more.
    _connection: SendRequest<Body>,
}

impl Source {
    fn new(response: Response<Incoming>, connection: SendRequest<Body>) -> Self {
        Self { body: response.into_body(), heard: false, _connection: connection }
    }
}

#[derive(Debug)]
struct Away {
    give_up: Instant,
    next_try: Instant,
    delay: Duration,
    /// Why it is away, at first.
    error: ClientError,
}

impl LogStream<'_> {
    /// The next bytes; none at the end. May be dropped while it waits without losing any.
    ///
    /// # Errors
    /// [`ClientError::Io`]: the node went away before the end; of a log that is followed, for so long that
    /// it is not waited for any more.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        if !self.query.marks {
            return self.next_bytes().await;
        }
        loop {
            if let Some(piece) = self.pieces.next_piece().map_err(ClientError::protocol)? {
                if let Some(bytes) = self.take(piece) {
                    return Ok(Some(bytes));
                }
            } else if self.over {
                return Ok(None);
            } else if self.source.is_none() {
                self.come_back().await?;
            } else {
                match self.next_bytes().await {
                    Ok(Some(bytes)) => self.pieces.feed(&bytes),
                    // Without a last piece the end of the answer is the end of the node.
                    Ok(None) => self.lost(self.client.io(std::io::ErrorKind::UnexpectedEof.into())),
                    Err(error) => self.lost(error),
                }
            }
        }
    }

    /// The node is away: what comes next waits for it.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        self.source.is_none() && !self.over
    }

    async fn next_bytes(&mut self) -> Result<Option<Bytes>, ClientError> {
        let Some(source) = &mut self.source else { return Ok(None) };
        while let Some(frame) = source.body.frame().await {
            let frame = frame.map_err(|error| self.client.broken(error))?;
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                source.heard = true;
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// What of a piece is new.
    fn take(&mut self, piece: LogPiece) -> Option<Bytes> {
        let known = self.again.min(piece.bytes.len());
        self.again -= known;
        self.brought += piece.bytes.len();
        if let Some(next) = piece.next {
            (self.query.from, self.brought) = (Some(next), 0);
        }
        self.over |= piece.last;
        let new = Bytes::from(piece.bytes).slice(known..);
        (!new.is_empty()).then_some(new)
    }

    fn lost(&mut self, error: ClientError) {
        let heard = self.source.take().is_some_and(|source| source.heard);
        self.pieces = LogPieces::default();
        self.again += std::mem::take(&mut self.brought);
        let now = Instant::now();
        // A node that answers and has nothing to say is not asked again and again at once.
        let next_try = if heard { now } else { now + RETRY_MAX };
        self.away = Some(Away { give_up: now + PATIENCE, next_try, delay: RETRY_FIRST, error });
    }

    fn opened(&mut self, response: Response<Incoming>, connection: SendRequest<Body>) {
        // When it is read again, the newest attempt of its task may be another one.
        let session = response.headers().get(SESSION_HEADER).and_then(|id| id.to_str().ok());
        if let Some(id) = session.filter(|_| self.query.marks) {
            self.path = paths::fill(paths::SESSION_LOG, &[id]);
        }
        self.source = Some(Source::new(response, connection));
        self.away = None;
    }

    async fn come_back(&mut self) -> Result<(), ClientError> {
        if let Some(away) = &self.away {
            tokio::time::sleep_until(away.next_try).await;
        }
        let error = match self.client.open_once(&self.query.on(self.path.clone())).await {
            Ok((response, connection)) => {
                self.opened(response, connection);
                return Ok(());
            }
            Err(error) => error,
        };
        let Some(away) = &mut self.away else { return Err(error) };
        if !error.is_away() {
            return Err(error);
        }
        // The session host had time to start it again.
        if away.delay >= RETRY_MAX {
            self.client.bring_back().await;
        }
        let now = Instant::now();
        if now >= away.give_up {
            return Err(std::mem::replace(&mut away.error, error));
        }
        away.next_try = (now + away.delay).min(away.give_up);
        away.delay = (away.delay * 2).min(RETRY_MAX);
        Ok(())
    }

    /// All that is left, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>, ClientError> {
        let mut all = Vec::new();
        while all.len() < limit
            && let Some(bytes) = self.next().await?
        {
            all.extend_from_slice(&bytes[..bytes.len().min(limit - all.len())]);
        }
        Ok(all)
    }
}

impl Client {
    pub(super) async fn log(&self, path: String, how: &ReadLog) -> Result<LogStream<'_>, ClientError> {
        let mut query = ReadLog { marks: how.follow, ..how.clone() };
        let opened = self.open(&query.on(path.clone())).await;
        query.from = query.from.or(Some(0)).filter(|_| query.marks).or(query.from);
        let pieces = LogPieces::default();
        let mut log = LogStream {
            client: self,
            path,
            query,
            source: None,
            pieces,
            brought: 0,
            again: 0,
            away: None,
            over: false,
        };
        match opened {
            Ok((response, connection)) => log.opened(response, connection),
            // A node that has just started may have no connection to the session host yet.
            Err(error @ ClientError::Problem(_)) if log.query.marks && error.is_away() => log.lost(error),
            Err(error) => return Err(error),
        }
        Ok(log)
    }
}
