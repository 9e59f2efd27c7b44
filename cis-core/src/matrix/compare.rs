//! Comparing emoji with somebody, as a task of its own: it goes on while people look at what both sides show.
//!
//! It follows the account as long as it lives, takes a request that the other side made, and makes one where there is none.
//! Where both ask at the same moment, whoever has the greater name gives way at once, the other one a while later: two requests
//! in one room are both void, and one in a room that nobody has joined is not seen. It ends with the comparison, at its deadline, or when nobody looks at it any more;
//! in each case the other side is told.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cis_matrix::{Client, MatrixError, Step, Verification};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::{AccountError, News, Opened};

/// Nobody has looked for so long: whoever began it is gone.
const UNSEEN_MAX: Duration = Duration::from_secs(60);

const UNSEEN: &str = "nobody looked at it any more";

/// So often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// In a room that was just joined, a request that was made before comes within this time.
const REQUEST_COMES: Duration = Duration::from_secs(5);

/// A request of theirs in another room goes before ours, where ours was not accepted by then.
const OURS_FIRST: Duration = Duration::from_secs(4);

/// Whoever asks again second leaves the other one so much time.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_SECOND: Duration = Duration::from_secs(10);
const AGAIN_MAX: u32 = 3;

/// The signature comes back within this time.
const SIGNATURE_COMES: Duration = Duration::from_secs(20);
const SIGNATURE_EVERY: Duration = Duration::from_millis(300);

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
        self.progress.borrow().stands.is_end()
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
        self.client.check_verifiable(user).await?;
        let news = self.feed.subscribe();
        self.feed.refresh().await?;
        let begun = Progress { revision: 1, shown: None, stands: Stands::At(Step::Asked) };
        let (to_lookers, progress) = watch::channel(begun);
        let (words, said) = mpsc::channel(4);
        let seen = Arc::new(Mutex::new(Instant::now()));
        let mut task = Task {
            client: self.client.clone(),
            user: user.trim().to_owned(),
            news,
            said,
            progress: to_lookers,
            seen: Arc::clone(&seen),
            until: Instant::now() + patience,
            asked: 0,
            ended: false,
            give_way: None,
            next: None,
        };
        // What is wrong from the beginning is the answer to whoever begins.
        let first = task.first().await?;
        tokio::spawn(task.run(first));
        Ok(Comparison { progress, words, seen })
    }
}

type Said = (Word, oneshot::Sender<Result<(), MatrixError>>);

struct Task {
    client: Client,
    user: String,
    news: broadcast::Receiver<News>,
    said: mpsc::Receiver<Said>,
    progress: watch::Sender<Progress>,
    seen: Arc<Mutex<Instant>>,
    until: Instant,
    /// How often we asked.
    asked: u32,
    /// Somebody here ended it.
    ended: bool,
    /// When a request of theirs goes before ours.
    give_way: Option<Instant>,
    /// The step that is waited for.
    next: Option<Pin<Box<dyn Future<Output = Result<Step, MatrixError>> + Send>>>,
}

/// What can come while a step is waited for.
enum Comes {
    /// The step.
    Step(Result<Step, MatrixError>),
    /// Somebody here says something.
    Said(Said),
    /// The account was invited to rooms.
    Invited,
    /// It is time to give way to a request of theirs.
    GiveWay,
    /// It cannot go on.
    Stop(Stands),
}

impl Task {
    async fn first(&mut self) -> Result<Verification, MatrixError> {
        let joined = self.client.join_direct_rooms_of(&self.user).await?;
        let wait = if joined { REQUEST_COMES } else { Duration::ZERO };
        match self.theirs_before(Instant::now() + wait).await? {
            Some(theirs) => {
                self.show(Stands::At(Step::Accepted));
                Ok(theirs)
            }
            None => self.ask().await,
        }
    }

    async fn ask(&mut self) -> Result<Verification, MatrixError> {
        self.asked += 1;
        self.client.verify(&self.user).await
    }

    async fn run(mut self, mut verification: Verification) {
        let mut step = None;
        let stands = loop {
            match self.comes(&verification, step.as_ref()).await {
                Comes::Step(Ok(Step::Done)) => break signed(&self.client, &self.user).await,
                // Both asked at the same moment: both requests are void.
                Comes::Step(Ok(Step::Cancelled { by_us: true, .. }))
                    if matches!(step, None | Some(Step::Asked)) && self.asked < AGAIN_MAX && !self.ended =>
                {
                    let pause = if self.is_first() { AGAIN_FIRST } else { AGAIN_SECOND };
                    match self.again(pause).await {
                        Ok(another) => (verification, step) = (another, None),
                        Err(stands) => break stands,
                    }
                }
                Comes::Step(Ok(next)) if next.is_end() => break Stands::At(next),
                Comes::Step(Ok(next)) => {
                    self.show(Stands::At(next.clone()));
                    step = Some(next);
                }
                Comes::Step(Err(error)) => {
                    let _ = verification.cancel().await;
                    break Stands::Failed(error.to_string());
                }
                Comes::Said((word, reply)) => {
                    self.ended |= word != Word::Same;
                    let done = match word {
                        Word::Same => verification.confirm().await,
                        Word::Different => verification.mismatch().await,
                        Word::Cancel => verification.cancel().await,
                    };
                    let lost =
                        done.clone().err().filter(|error| !matches!(error, MatrixError::BadInput { .. }));
                    let _ = reply.send(done);
                    // What was not sent is not sent again: the other side would wait for it in vain.
                    if let Some(error) = lost {
                        let _ = verification.cancel().await;
                        break Stands::Failed(error.to_string());
                    }
                }
                Comes::Invited => {
                    if step == Some(Step::Asked)
                        && self.asked < AGAIN_MAX
                        && self.client.is_invited_by(&self.user).await.unwrap_or(false)
                    {
                        let wait = if self.is_first() { OURS_FIRST } else { Duration::ZERO };
                        self.give_way.get_or_insert(Instant::now() + wait);
                    }
                }
                Comes::GiveWay => {
                    self.give_way = None;
                    if step == Some(Step::Asked) {
                        let _ = verification.cancel().await;
                        match self.again(REQUEST_COMES).await {
                            Ok(another) => (verification, step) = (another, None),
                            Err(stands) => break stands,
                        }
                    }
                }
                Comes::Stop(stands) => {
                    let _ = verification.cancel().await;
                    break stands;
                }
            }
        };
        self.show(stands);
    }

    /// Of two who ask at the same moment, this one's request is the one that counts.
    fn is_first(&self) -> bool {
        self.client.user() < self.user
    }

    /// What comes next. The step is waited for to its end where it has begun: half of it is lost otherwise.
    async fn comes(&mut self, verification: &Verification, step: Option<&Step>) -> Comes {
        let mut next = self.next.take().unwrap_or_else(|| verification.next(step));
        tokio::select! {
            step = &mut next => return Comes::Step(step),
            comes = said(&mut self.said) => { self.next = Some(next); comes }
            comes = news(&mut self.news, &self.seen, self.until, self.give_way) => { self.next = Some(next); comes }
        }
    }

    /// Another request in place of a void one: theirs, if it comes within `pause`, or ours.
    async fn again(&mut self, pause: Duration) -> Result<Verification, Stands> {
        (self.next, self.give_way) = (None, None);
        let before = (Instant::now() + pause).min(self.until);
        let failed = |error: MatrixError| Stands::Failed(error.to_string());
        match self.theirs_before(before).await.map_err(failed)? {
            Some(theirs) => Ok(theirs),
            None if Instant::now() >= self.until => Err(Stands::TimedOut),
            None => self.ask().await.map_err(failed),
        }
    }

    /// A request of theirs, as soon as one comes.
    async fn theirs_before(&mut self, until: Instant) -> Result<Option<Verification>, MatrixError> {
        loop {
            self.client.join_direct_rooms_of(&self.user).await?;
            if let Some(theirs) = self.client.asked_by(&self.user).await? {
                return Ok(Some(theirs));
            }
            match timeout_at(until, self.news.recv()).await {
                Err(_) => return Ok(None),
                Ok(Ok(News::Over(error))) => return Err(error),
                Ok(Err(RecvError::Closed)) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    fn show(&self, stands: Stands) {
        self.progress.send_if_modified(|now| {
            if matches!((&now.stands, &stands), (Stands::At(old), Stands::At(new)) if old == new) {
                return false;
            }
            now.revision += 1;
            if let Stands::At(step @ Step::Compare { .. }) = &stands {
                now.shown = Some(step.clone());
            }
            now.stands = stands;
            true
        });
    }
}

async fn said(words: &mut mpsc::Receiver<Said>) -> Comes {
    match words.recv().await {
        Some(said) => Comes::Said(said),
        // Nobody is left who could say or see anything.
        None => Comes::Stop(Stands::Failed(UNSEEN.to_owned())),
    }
}

async fn news(
    news: &mut broadcast::Receiver<News>,
    seen: &Mutex<Instant>,
    until: Instant,
    give_way: Option<Instant>,
) -> Comes {
    loop {
        let look = until.min(Instant::now() + LOOK_EVERY);
        let look = give_way.map_or(look, |time| look.min(time));
        match timeout_at(look, news.recv()).await {
            Ok(Ok(News::Batch(batch))) if !batch.invited.is_empty() => return Comes::Invited,
            Ok(Ok(News::Over(error))) => return Comes::Stop(Stands::Failed(error.to_string())),
            Ok(Err(RecvError::Closed)) => {
                return Comes::Stop(Stands::Failed("the node is stopping".to_owned()));
            }
            _ => {}
        }
        if Instant::now() >= until {
            return Comes::Stop(Stands::TimedOut);
        }
        if give_way.is_some_and(|time| Instant::now() >= time) {
            return Comes::GiveWay;
        }
        if seen.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > UNSEEN_MAX {
            return Comes::Stop(Stands::Failed(UNSEEN.to_owned()));
        }
    }
}

/// Both said that it is the same: the end is when the signature is known.
async fn signed(client: &Client, user: &str) -> Stands {
    let until = Instant::now() + SIGNATURE_COMES;
    loop {
        let known = if user == client.user() {
            client.standing().await.map(|standing| standing.signed)
        } else {
            client.is_verified(user).await
        };
        let why = match known {
            Ok(true) => return Stands::At(Step::Done),
            Ok(false) => "the homeserver does not show the signature".to_owned(),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= until {
            return Stands::Failed(format!("both sides agreed, but it is not known yet: {why}"));
        }
        sleep(SIGNATURE_EVERY).await;
    }
}
