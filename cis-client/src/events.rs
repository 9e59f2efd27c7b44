//! The stream of events, which goes on where it was when the node was restarted.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::query::ToQuery as _;
use super::ws::Socket;
use super::{Client, ClientError};
use cis_core::api::{BEHIND, FollowEvents, paths};
use cis_core::event::Event;
use cis_core::ids::{Offset, TimestampMs};

/// How long a stream waits for a node to be back, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// An event as it stands in a frame: nothing is copied, the body is not read.
#[derive(Debug, Deserialize)]
pub struct EventRef<'a> {
    /// Row in the node's store.
    pub offset: Offset,
    /// The type's name, `cis.dag.…`.
    #[serde(rename = "type", borrow)]
    pub type_name: Cow<'a, str>,
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// What happened, JSON.
    #[serde(borrow)]
    pub body: &'a RawValue,
}

#[derive(Deserialize)]
struct OffsetOnly {
    offset: Offset,
}

/// Events that came together, all newer than those of the frames before.
#[derive(Debug, Clone)]
pub struct EventFrame {
    text: Utf8Bytes,
    /// Newest offset of an earlier frame: events up to it came twice and are left out.
    seen: Option<Offset>,
}

impl EventFrame {
    #[cfg(test)]
    pub(super) fn of(text: Utf8Bytes, seen: Option<Offset>) -> Self {
        Self { text, seen }
    }

    /// The events, copied out.
    ///
    /// # Errors
    /// [`ClientError::Protocol`]: not an array of events.
    pub fn events(&self) -> Result<Vec<Event>, ClientError> {
        let mut events: Vec<Event> = serde_json::from_str(&self.text).map_err(ClientError::protocol)?;
        events.retain(|event| self.is_new(event.offset));
        Ok(events)
    }

    /// The events as they stand in the frame: for those who look at many and keep few.
    ///
    /// # Errors
    /// [`ClientError::Protocol`]: not an array of events.
    pub fn views(&self) -> Result<Vec<EventRef<'_>>, ClientError> {
        let mut events: Vec<EventRef<'_>> =
            serde_json::from_str(&self.text).map_err(ClientError::protocol)?;
        events.retain(|event| self.is_new(event.offset));
        Ok(events)
    }

    /// The JSON of each event after the offset `after` as the node sent it, unknown fields included.
    ///
    /// # Errors
    /// [`ClientError::Protocol`]: not an array of events.
    pub fn raw_after(&self, after: Offset) -> Result<Vec<&str>, ClientError> {
        let events: Vec<&RawValue> = serde_json::from_str(&self.text).map_err(ClientError::protocol)?;
        let mut lines = Vec::with_capacity(events.len());
        for event in events {
            let OffsetOnly { offset } = serde_json::from_str(event.get()).map_err(ClientError::protocol)?;
            if offset > after && self.is_new(offset) {
                lines.push(event.get());
            }
        }
        Ok(lines)
    }

    fn is_new(&self, offset: Offset) -> bool {
        self.seen.is_none_or(|seen| offset > seen)
    }

    fn newest(&self) -> Result<Option<Offset>, ClientError> {
        let all: Vec<OffsetOnly> = serde_json::from_str(&self.text).map_err(ClientError::protocol)?;
        Ok(all.iter().map(|event| event.offset).max())
    }
}

/// What a followed stream says.
#[derive(Debug, Clone)]
pub enum Followed {
    /// Events.
    Frame(EventFrame),
    /// The node went away; the stream tries to come back from now on.
    Lost {
        /// It closed the stream as a node does that was told to stop. Otherwise it was cut off.
        stopped: bool,
    },
    /// The stream is there again, nothing was missed.
    Back,
}

/// A stream of events with its place in it.
#[derive(Debug)]
pub struct EventFollower<'a> {
    client: &'a Client,
    query: FollowEvents,
    socket: Option<Socket>,
    patience: Duration,
    away: Option<Away>,
    /// Nobody needs to know that it is gone and comes back.
    quietly: bool,
}

#[derive(Debug)]
struct Away {
    give_up: Instant,
    next_try: Instant,
    delay: Duration,
}

impl Client {
    /// Follows events: those of `run`, or of all; those after the offset `after` (0: from the
    /// beginning), or from now on. Fails at once where the node is away at the start.
    ///
    /// # Errors
    /// As every call.
    pub async fn events(
        &self,
        run: Option<&str>,
        after: Option<Offset>,
    ) -> Result<EventFollower<'_>, ClientError> {
        let query = FollowEvents { run: run.map(str::to_owned), after };
        let mut follower = EventFollower {
            client: self,
            query,
            socket: None,
            patience: PATIENCE,
            away: None,
            quietly: false,
        };
        follower.socket = Some(self.repeat(|| follower.open()).await?);
        Ok(follower)
    }
}

impl EventFollower<'_> {
    /// How long a node may be away before the stream gives up; 60 s unless told otherwise.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Newest offset that was given out.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        self.query.after
    }

    /// What comes next. Dropping it while it waits for a frame loses none; while it is connecting
    /// again, that starts anew.
    ///
    /// # Errors
    /// The node was away for longer than the patience, refuses, or is not understood.
    pub async fn next(&mut self) -> Result<Followed, ClientError> {
        loop {
            let Some(socket) = &mut self.socket else {
                match self.come_back().await? {
                    Some(back) => return Ok(back),
                    None => continue,
                }
            };
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame = EventFrame { text, seen: self.query.after };
                    let Some(newest) = frame.newest()? else { continue };
                    if !frame.is_new(newest) {
                        continue;
                    }
                    self.query.after = Some(newest);
                    return Ok(Followed::Frame(frame));
                }
                // It waited for us for too long. Nothing is lost: the stream goes on where we are.
                Some(Ok(Message::Close(Some(said)))) if u16::from(said.code) == BEHIND => {
                    self.lost(false);
                    self.quietly = true;
                }
                Some(Ok(Message::Close(_))) => return Ok(self.lost(true)),
                // Pings are answered below us.
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(self.lost(false)),
            }
        }
    }

    fn lost(&mut self, stopped: bool) -> Followed {
        self.socket = None;
        let now = Instant::now();
        self.away = Some(Away { give_up: now + self.patience, next_try: now, delay: RETRY_FIRST });
        Followed::Lost { stopped }
    }

    async fn come_back(&mut self) -> Result<Option<Followed>, ClientError> {
        if let Some(away) = &self.away {
            tokio::time::sleep_until(away.next_try).await;
        }
        let error = match self.open().await {
            Ok(socket) => {
                self.socket = Some(socket);
                self.away = None;
                return Ok((!std::mem::take(&mut self.quietly)).then_some(Followed::Back));
            }
            Err(error) => error,
        };
        let Some(away) = &mut self.away else { return Err(error) };
        let now = Instant::now();
        // A node that takes the connection and does not answer may be back as well.
        let may_be_back = error.is_away() || matches!(error, ClientError::Timeout { .. });
        if !may_be_back || now >= away.give_up {
            return Err(error);
        }
        away.next_try = (now + away.delay).min(away.give_up);
        away.delay = (away.delay * 2).min(RETRY_MAX);
        Ok(None)
    }

    async fn open(&self) -> Result<Socket, ClientError> {
        self.client.upgrade(&self.query.on(paths::EVENTS.to_owned())).await
    }
}
