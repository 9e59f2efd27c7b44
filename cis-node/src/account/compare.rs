//! Comparing emoji with somebody, as a task of its own: it goes on while people look at what both sides show.
//!
//! Owns the handle to it. What the task does is [`task`]'s.

mod task;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cis_matrix::{MatrixError, Step};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::{AccountError, News, Opened};

/// How a comparison stands.
#[derive(Debug, Clone)]
pub enum Stands {
    /// In the protocol's words.
    At(Step),
    /// It took too long, and was cancelled.
    TimedOut,
    /// It could not go on, and was cancelled.
    Failed(String),
}

/// How it stands, and how often that has changed.
#[derive(Debug, Clone)]
pub struct Progress {
    /// From 1.
    pub revision: u64,
    /// What both sides see, once it is known.
    pub shown: Option<Step>,
    /// How it stands.
    pub stands: Stands,
}

/// What people say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Both sides see the same.
    Same,
    /// They do not.
    Different,
    /// It shall end.
    Cancel,
}

/// A comparison under way. Copies are the same one.
#[derive(Clone)]
pub struct Comparison {
    progress: watch::Receiver<Progress>,
    words: mpsc::Sender<Said>,
    seen: Arc<Mutex<Instant>>,
}

impl Stands {
    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_end(&self) -> bool {
        match self {
            Self::At(step) => step.is_end(),
            Self::TimedOut | Self::Failed(_) => true,
        }
    }
}

impl Comparison {
    /// How it stands, once that is behind the revision `after`; or as it is after `wait`.
    pub async fn look(&self, after: u64, wait: Duration) -> Progress {
        self.touch();
        let mut progress = self.progress.clone();
        let until = Instant::now() + wait;
        let gone =
            matches!(timeout_at(until, progress.wait_for(|now| now.revision > after)).await, Ok(Err(_)));
        self.touch();
        let mut now = progress.borrow().clone();
        if gone && !now.stands.is_end() {
            // By a fault: whoever waits is not to wait for ever.
            now.revision += 1;
            now.stands = Stands::Failed("the node lost it".to_owned());
        }
        now
    }

    /// Says something; whether that was sent. What follows, [`Comparison::look`] tells.
    ///
    /// # Errors
    /// It has ended, nothing is shown yet, or the homeserver does not take it.
    pub async fn say(&self, word: Word) -> Result<(), MatrixError> {
        self.touch();
        let (reply, answer) = oneshot::channel();
        let ended = || MatrixError::BadInput { detail: "the comparison has ended".to_owned() };
        self.words.send((word, reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.progress.borrow().stands.is_end() || self.words.is_closed()
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        // Without the task there is nothing to wait for.
        let _ = self.progress.clone().wait_for(|now| now.stands.is_end()).await;
    }

    fn touch(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Opened {
    /// Begins to compare with somebody.
    ///
    /// # Errors
    /// They cannot be verified, or the homeserver does not answer.
    pub async fn compare(&self, user: &str, patience: Duration) -> Result<Comparison, AccountError> {
        let client = self.login()?;
        client.check_verifiable(user).await?;
        let news = self.feed.subscribe();
        self.feed.refresh().await?;
        let (to_lookers, progress) =
            watch::channel(Progress { revision: 1, shown: None, stands: Stands::At(Step::Asked) });
        let (words, said) = mpsc::channel(4);
        let seen = Arc::new(Mutex::new(Instant::now()));
        let ends = Ends { news, said, progress: to_lookers, seen: Arc::clone(&seen) };
        task::start(client.clone(), user.trim().to_owned(), ends, patience).await?;
        Ok(Comparison { progress, words, seen })
    }
}

type Said = (Word, oneshot::Sender<Result<(), MatrixError>>);

/// The task's ends of what comes and goes.
struct Ends {
    news: broadcast::Receiver<News>,
    said: mpsc::Receiver<Said>,
    progress: watch::Sender<Progress>,
    seen: Arc<Mutex<Instant>>,
}
