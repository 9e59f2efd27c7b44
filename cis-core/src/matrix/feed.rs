//! The loop that asks the homeserver what happened, for as long as somebody wants to know.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cis_matrix::{Batch, Client, MatrixError};
use tokio::sync::{broadcast, watch};

/// The homeserver answers after this time, if nothing happened.
const WAIT: Duration = Duration::from_secs(30);

/// A homeserver that is away is asked again after so long, then after twice that, and so on.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// One that answers at once that nothing happened would keep us busy.
const PAUSE: Duration = Duration::from_millis(20);

/// News that a slow reader may lag behind: then it pages.
const NEWS_KEPT: usize = 64;

/// What the loop says.
#[derive(Debug, Clone)]
pub enum News {
    /// The homeserver answered.
    Batch(Arc<Batch>),
    /// It did not; it is asked again.
    Away(String),
    /// It will not any more.
    Over(MatrixError),
}

/// The loop of one client. Copies are the same one.
#[derive(Clone)]
pub struct Feed {
    client: Client,
    news: broadcast::Sender<News>,
    /// One request for news at a time.
    asking: Arc<tokio::sync::Mutex<()>>,
    runs: Arc<Mutex<bool>>,
    stands: watch::Sender<Stands>,
}

/// How the loop stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// It has asked for the first time.
    Begins,
    /// What is known of rooms is the present state.
    Follows,
    /// The homeserver does not answer.
    Away,
}

impl Feed {
    pub(super) fn new(client: Client) -> Self {
        let (news, _) = broadcast::channel(NEWS_KEPT);
        let (stands, _) = watch::channel(Stands::Begins);
        Self { client, news, asking: Arc::default(), runs: Arc::default(), stands }
    }

    /// News from now on. They come as long as somebody holds a receiver.
    pub fn subscribe(&self) -> broadcast::Receiver<News> {
        let receiver = self.news.subscribe();
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if !*runs {
            *runs = true;
            self.stands.send_replace(Stands::Begins);
            tokio::spawn(self.clone().run());
        }
        receiver
    }

    /// Makes what is known of rooms the present state, where no loop does.
    ///
    /// # Errors
    /// The homeserver does not answer.
    pub async fn refresh(&self) -> Result<(), MatrixError> {
        let mut stands = self.stands.subscribe();
        let runs = || *self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if runs() {
            let begun = stands.wait_for(|stands| *stands != Stands::Begins || !runs()).await;
            if begun.is_ok_and(|stands| *stands == Stands::Follows) {
                return Ok(());
            }
        }
        self.ask(Duration::ZERO).await.map(drop)
    }

    /// The present place.
    ///
    /// # Errors
    /// The homeserver has never answered, and does not now.
    pub async fn place(&self) -> Result<String, MatrixError> {
        match self.client.position().await? {
            Some(place) => Ok(place),
            None => Ok(self.ask(Duration::ZERO).await?.next_batch),
        }
    }

    /// Tells whoever listens that nothing comes any more.
    pub(super) fn end(&self) {
        self.say(News::Over(MatrixError::Unauthorized { detail: "this node was logged out".to_owned() }));
    }

    async fn ask(&self, wait: Duration) -> Result<Batch, MatrixError> {
        let _alone = self.asking.lock().await;
        let position = self.client.position().await?;
        self.client.next(position.as_deref(), wait).await
    }

    async fn run(self) {
        let mut delay = RETRY_FIRST;
        // The first answer says how things are, and does not wait for something to happen.
        let mut wait = Duration::ZERO;
        while self.is_wanted() {
            let pause = match self.ask(wait).await {
                Ok(batch) => {
                    (delay, wait) = (RETRY_FIRST, WAIT);
                    let empty = batch.rooms.is_empty() && batch.left.is_empty() && batch.invited.is_empty();
                    self.say(News::Batch(Arc::new(batch)));
                    self.stands.send_replace(Stands::Follows);
                    if empty { PAUSE } else { continue }
                }
                Err(error @ MatrixError::Unauthorized { .. }) => {
                    *self.runs.lock().unwrap_or_else(PoisonError::into_inner) = false;
                    self.stands.send_replace(Stands::Away);
                    self.say(News::Over(error));
                    return;
                }
                Err(error) => {
                    self.stands.send_replace(Stands::Away);
                    wait = Duration::ZERO;
                    let pause = match &error {
                        MatrixError::RateLimited { retry_after } => delay.max(*retry_after),
                        _ => delay,
                    };
                    tracing::info!(%error, "no news from the homeserver");
                    self.say(News::Away(error.to_string()));
                    delay = (delay * 2).min(RETRY_MAX);
                    pause
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether somebody listens. Where nobody does, the next one starts another loop.
    fn is_wanted(&self) -> bool {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        *runs = self.news.receiver_count() > 0;
        if !*runs {
            // Whoever waits for its first answer asks by themselves.
            self.stands.send_replace(Stands::Away);
        }
        *runs
    }

    fn say(&self, news: News) {
        // Nobody listening is noticed before the next request.
        let _ = self.news.send(news);
    }
}
