//! Reading a room from a place on: what is there, or what comes.

use std::time::Duration;

use cis_matrix::{MatrixError, RoomEvent};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use super::{AccountError, News, Opened};

/// Events that are read at a time.
const PAGE: u32 = 100;

/// What was said in a room.
#[derive(Debug, Clone)]
pub struct Said {
    /// In order.
    pub events: Vec<RoomEvent>,
    /// The place behind them.
    pub next: String,
    /// The homeserver is away, and why.
    pub away: Option<String>,
}

impl Opened {
    /// What comes in a room after `since`: an event's id or a place. Where nothing is there yet, it is waited for.
    /// Without a place nothing is read: the answer says where now is.
    ///
    /// A homeserver that is away is no error, but for the very first look: it is waited for as news are.
    ///
    /// # Errors
    /// The homeserver refuses, or does not know the login any more.
    pub async fn read(&self, room: &str, since: Option<&str>, wait: Duration) -> Result<Said, AccountError> {
        let until = Instant::now() + wait;
        // Before the first look, so that nothing falls between the two.
        let mut news = self.feed.subscribe();
        let place = match since {
            None => return Ok(Said { events: Vec::new(), next: self.feed.place().await?, away: None }),
            Some(event) if event.starts_with('$') => self.behind(room, event).await,
            Some(place) => Ok(place.to_owned()),
        };
        let mut said = Said { events: Vec::new(), next: since.unwrap_or_default().to_owned(), away: None };
        // Keys of what is encrypted come with the news.
        match self.feed.refresh().await.and(place) {
            Ok(place) => said.next = place,
            Err(error) if error.is_passing() => said.away = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        loop {
            if said.away.is_none() && self.page(room, &mut said).await? {
                return Ok(said);
            }
            loop {
                match timeout_at(until, news.recv()).await {
                    Err(_) => return Ok(said),
                    Ok(Ok(News::Batch(batch, _))) => {
                        let was_away = said.away.take().is_some();
                        if was_away || batch.rooms.iter().any(|update| update.room == room) {
                            break;
                        }
                        if batch.left.iter().any(|left| left == room) {
                            return Err(MatrixError::NotJoined { room: room.to_owned() }.into());
                        }
                    }
                    Ok(Ok(News::Away(why))) => said.away = Some(why),
                    Ok(Ok(News::Over(error))) => return Err(error.into()),
                    Ok(Err(RecvError::Lagged(_))) => break,
                    Ok(Err(RecvError::Closed)) => return Err(AccountError::Stopping),
                }
            }
            if said.next.starts_with('$') {
                match self.behind(room, &said.next.clone()).await {
                    Ok(place) => said.next = place,
                    Err(error) if error.is_passing() => said.away = Some(error.to_string()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Reads the next page; whether there was something on it.
    async fn page(&self, room: &str, said: &mut Said) -> Result<bool, AccountError> {
        loop {
            match self.client.forward(room, Some(&said.next), PAGE).await {
                Ok(page) => {
                    let more = page.next.is_some();
                    // A homeserver that names no next place knows its events.
                    let last = page.events.last().map(|event| event.id.clone());
                    if let Some(next) = page.next.or(last) {
                        said.next = next;
                    }
                    said.events = page.events;
                    // A page of what is no event is not the end.
                    if !said.events.is_empty() || !more {
                        return Ok(!said.events.is_empty());
                    }
                }
                Err(error) if error.is_passing() => {
                    said.away = Some(error.to_string());
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn behind(&self, room: &str, event: &str) -> Result<String, MatrixError> {
        let place = self.client.place_after(room, event).await?;
        place.ok_or_else(|| MatrixError::NotFound { what: format!("the place of the event {event}") })
    }
}
