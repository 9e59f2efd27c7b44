//! The loop that asks the homeserver what happened, for as long as somebody wants to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cis_matrix::{Batch, MatrixError};
use tokio::sync::{broadcast, watch};

use super::{Backoff, Homeserver};
use cis_core::federation::protocol::BootMs;

/// The homeserver answers after this time, if nothing happened.
const WAIT: Duration = Duration::from_secs(30);

/// So it does while leases are given: they are the shorter the longer ago the room was read.
const WAIT_OF_COORDINATORS: Duration = Duration::from_millis(1500);

/// One that answers at once that nothing happened would keep us busy.
const PAUSE: Duration = Duration::from_millis(20);

/// News that a slow reader may lag behind: then it pages.
const NEWS_KEPT: usize = 64;

/// What the loop says.
#[derive(Debug, Clone)]
pub enum News {
    /// The homeserver answered. It was asked then, on the clock that also runs while the machine sleeps, ms.
    Batch(Arc<Batch>, BootMs),
    /// It did not; it is asked again.
    Away(String),
    /// It will not any more.
    Over(MatrixError),
}

/// The clock of the machine that also runs while it sleeps, ms.
pub fn boot_ms() -> BootMs {
    i64::try_from(cis_host::boot_ms()).unwrap_or(i64::MAX)
}

/// The loop of one client. Copies are the same one.
#[derive(Clone)]
pub struct Feed {
    client: Arc<dyn Homeserver>,
    news: broadcast::Sender<News>,
    /// One request for news at a time.
    asking: Arc<tokio::sync::Mutex<()>>,
    stands: watch::Sender<Stands>,
    /// Whether leases depend on what is known of a room.
    is_urgent: Arc<AtomicBool>,
}

/// How the loop stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// There is none: nobody wants to know anything.
    Idle,
    /// It asks for the first time.
    Begins,
    /// What is known of rooms is the present state.
    Follows,
    /// The homeserver does not answer.
    Away,
}

impl Feed {
    pub(super) fn new(client: Arc<dyn Homeserver>) -> Self {
        let (news, _) = broadcast::channel(NEWS_KEPT);
        let (stands, _) = watch::channel(Stands::Idle);
        Self { client, news, asking: Arc::default(), stands, is_urgent: Arc::default() }
    }

    /// News from now on. They come, and what is known of rooms is the present state, as long as somebody holds a receiver.
    pub fn subscribe(&self) -> broadcast::Receiver<News> {
        let receiver = self.news.subscribe();
        self.begin();
        receiver
    }

    /// Asks more often from now on, where leases depend on what is known of a room.
    pub fn be_urgent(&self, is_urgent: bool) {
        self.is_urgent.store(is_urgent, Ordering::Relaxed);
    }

    fn begin(&self) {
        let begins = self.stands.send_if_modified(|stands| {
            let idle = *stands == Stands::Idle;
            if idle {
                *stands = Stands::Begins;
            }
            idle
        });
        if begins {
            tokio::spawn(Loop { feed: self.clone(), left: false }.run());
        }
    }

    /// Makes what is known of rooms the present state, where no loop does.
    ///
    /// # Errors
    /// The homeserver does not answer.
    pub async fn refresh(&self) -> Result<(), MatrixError> {
        let mut stands = self.stands.subscribe();
        let begun = stands.wait_for(|stands| *stands != Stands::Begins).await.map(|stands| *stands);
        match begun {
            Ok(Stands::Follows) => Ok(()),
            _ => self.ask(Duration::ZERO).await.map(drop),
        }
    }

    /// The present place.
    ///
    /// # Errors
    /// The homeserver has never answered, and does not now.
    pub async fn place(&self) -> Result<String, MatrixError> {
        match self.client.position().await? {
            Some(place) => Ok(place),
            None => Ok(self.ask(Duration::ZERO).await?.next_batch.clone()),
        }
    }

    /// Tells whoever listens that nothing comes any more.
    pub(super) fn end(&self) {
        self.say(News::Over(MatrixError::Unauthorized { detail: "this node was logged out".to_owned() }));
    }

    /// Whether somebody wants to know. Where nobody does, the loop is idle from this moment on.
    fn is_wanted(&self) -> bool {
        let mut wanted = true;
        self.stands.send_if_modified(|stands| {
            wanted = self.news.receiver_count() > 0;
            if !wanted {
                *stands = Stands::Idle;
            }
            !wanted
        });
        wanted
    }

    /// Asks once. All who listen hear the answer: it comes once only.
    async fn ask(&self, wait: Duration) -> Result<Arc<Batch>, MatrixError> {
        let (feed, alone) = (self.clone(), Arc::clone(&self.asking).lock_owned().await);
        // A task of its own: if the one who asked goes away, the others still hear what came.
        let asked = tokio::spawn(async move {
            let _alone = alone;
            let position = feed.client.position().await?;
            let asked = boot_ms();
            let batch = Arc::new(feed.client.next(position.as_deref(), wait).await?);
            feed.say(News::Batch(Arc::clone(&batch), asked));
            Ok(batch)
        });
        asked
            .await
            .unwrap_or_else(|error| Err(MatrixError::Other { status: None, detail: error.to_string() }))
    }

    fn say(&self, news: News) {
        // Nobody listening is noticed before the next request.
        let _ = self.news.send(news);
    }
}

/// The loop. There is one: whoever finds it idle starts it.
struct Loop {
    feed: Feed,
    /// It is said to be idle already, and another one may have begun.
    left: bool,
}

impl Drop for Loop {
    fn drop(&mut self) {
        // Also where it ended by a fault: the next one who wants to know starts another.
        if !self.left {
            self.feed.stands.send_replace(Stands::Idle);
        }
    }
}

impl Loop {
    async fn run(mut self) {
        let feed = self.feed.clone();
        let mut backoff = Backoff::default();
        // The first answer says how things are, and does not wait for something to happen.
        let mut wait = Duration::ZERO;
        while feed.is_wanted() {
            let pause = match feed.ask(wait).await {
                Ok(batch) => {
                    backoff.reset();
                    wait = if feed.is_urgent.load(Ordering::Relaxed) { WAIT_OF_COORDINATORS } else { WAIT };
                    feed.stands.send_replace(Stands::Follows);
                    let empty = batch.rooms.is_empty() && batch.left.is_empty() && batch.invited.is_empty();
                    if empty { PAUSE } else { continue }
                }
                Err(error @ MatrixError::Unauthorized { .. }) => {
                    feed.say(News::Over(error));
                    return;
                }
                Err(error) => {
                    let was_away = feed.stands.send_replace(Stands::Away) == Stands::Away;
                    if was_away {
                        tracing::debug!(%error, "still no news from the homeserver");
                    } else {
                        tracing::info!(%error, "no news from the homeserver: it is asked again until it answers");
                    }
                    wait = Duration::ZERO;
                    feed.say(News::Away(error.to_string()));
                    backoff.after(&error)
                }
            };
            tokio::time::sleep(pause).await;
        }
        self.left = true;
    }
}
