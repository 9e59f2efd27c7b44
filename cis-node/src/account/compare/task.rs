//! The task of a comparison: it follows the account as long as it lives, takes a request that the other side made, and makes one
//! where there is none.
//!
//! Two requests in one room are both void, and one in a room that nobody has joined is not seen: where both ask at the same
//! moment, whoever has the greater name gives way at once, the other one a while later. It ends with the comparison, at its
//! deadline, or when nobody looks at it any more; in each case the other side is told.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cis_matrix::{Answer, Client, MatrixError, Step, Verification};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Ends, Said, Stands, Word};
use crate::account::News;

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

/// Asks, or finds that we were asked, and goes on from there. What is wrong from the beginning is the answer.
pub(super) async fn start(
    client: Client,
    user: String,
    ends: Ends,
    patience: Duration,
) -> Result<(), MatrixError> {
    let until = Instant::now() + patience;
    let mut task = Task { client, user, ends, until, asked: 0, ended: false, give_way: None, next: None };
    let first = task.first().await?;
    tokio::spawn(task.run(first));
    Ok(())
}

struct Task {
    client: Client,
    user: String,
    ends: Ends,
    until: Instant,
    /// How often we asked.
    asked: u32,
    /// Somebody here ended it.
    ended: bool,
    /// When a request of theirs goes before ours.
    give_way: Option<Instant>,
    /// The step that is waited for.
    next: Option<Answer<Step>>,
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
        let before = Instant::now() + wait;
        match theirs_before(&self.client, &self.user, &mut self.ends.news, before).await? {
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
                    if is_unanswered(step.as_ref()) && self.asked < AGAIN_MAX && !self.ended =>
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
                    self.notice_invitation(step.as_ref()).await;
                }
                Comes::Step(Err(error)) => {
                    let _ = verification.cancel().await;
                    break Stands::Failed(error.to_string());
                }
                Comes::Said(said) => {
                    if let Err(error) = self.heed(&verification, said).await {
                        let _ = verification.cancel().await;
                        break Stands::Failed(error.to_string());
                    }
                }
                Comes::Invited => self.notice_invitation(step.as_ref()).await,
                Comes::GiveWay => {
                    self.give_way = None;
                    if is_unanswered(step.as_ref()) {
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

    /// Does what somebody here says. What was not sent is not sent again, and the other side would wait for it in vain.
    async fn heed(&mut self, verification: &Verification, (word, reply): Said) -> Result<(), MatrixError> {
        self.ended |= word != Word::Same;
        let done = match word {
            Word::Same => verification.confirm().await,
            Word::Different => verification.mismatch().await,
            Word::Cancel => verification.cancel().await,
        };
        // Whoever said it may be gone.
        let _ = reply.send(done.clone());
        match done {
            Err(MatrixError::BadInput { .. }) => Ok(()),
            other => other,
        }
    }

    /// A room of theirs to which we were invited may hold their request. The invitation may have come before ours was known to
    /// be sent, and comes once.
    async fn notice_invitation(&mut self, step: Option<&Step>) {
        if is_unanswered(step)
            && self.asked < AGAIN_MAX
            && self.client.is_invited_by(&self.user).await.unwrap_or(false)
        {
            let wait = if self.is_first() { OURS_FIRST } else { Duration::ZERO };
            self.give_way.get_or_insert(Instant::now() + wait);
        }
    }

    /// Of two who ask at the same moment, this one's request is the one that counts.
    fn is_first(&self) -> bool {
        self.client.user() < self.user
    }

    /// What comes next. The step is waited for to its end where it has begun: half of it is lost otherwise.
    async fn comes(&mut self, verification: &Verification, step: Option<&Step>) -> Comes {
        let mut next = self.next.take().unwrap_or_else(|| verification.next(step));
        tokio::select! {
            step = &mut next => Comes::Step(step),
            comes = said(&mut self.ends.said) => { self.next = Some(next); comes }
            comes = news(&mut self.ends.news, &self.ends.seen, self.until, self.give_way) => { self.next = Some(next); comes }
        }
    }

    /// Another request in place of a void one: theirs, if it comes within `pause`, or ours.
    async fn again(&mut self, pause: Duration) -> Result<Verification, Stands> {
        (self.next, self.give_way) = (None, None);
        let before = (Instant::now() + pause).min(self.until);
        let failed = |error: MatrixError| Stands::Failed(error.to_string());
        let theirs = tokio::select! {
            theirs = theirs_before(&self.client, &self.user, &mut self.ends.news, before) => theirs.map_err(failed)?,
            said = self.ends.said.recv() => {
                // Nothing is shown that could be agreed on: it is the end.
                if let Some((_, reply)) = said {
                    let _ = reply.send(Ok(()));
                }
                return Err(Stands::At(Step::Cancelled { by_us: true, code: "m.user".to_owned() }));
            }
        };
        match theirs {
            Some(theirs) => Ok(theirs),
            None if Instant::now() >= self.until => Err(Stands::TimedOut),
            None => self.ask().await.map_err(failed),
        }
    }

    fn show(&self, stands: Stands) {
        self.ends.progress.send_if_modified(|now| {
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

/// Our request was sent, or is about to be, and nobody has accepted it.
fn is_unanswered(step: Option<&Step>) -> bool {
    matches!(step, None | Some(Step::Asked))
}

/// A request of theirs, as soon as one comes.
async fn theirs_before(
    client: &Client,
    user: &str,
    news: &mut broadcast::Receiver<News>,
    until: Instant,
) -> Result<Option<Verification>, MatrixError> {
    loop {
        client.join_direct_rooms_of(user).await?;
        if let Some(theirs) = client.asked_by(user).await? {
            return Ok(Some(theirs));
        }
        match timeout_at(until, news.recv()).await {
            Err(_) | Ok(Err(RecvError::Closed)) => return Ok(None),
            Ok(Ok(News::Over(error))) => return Err(error),
            Ok(_) => {}
        }
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
            Ok(Ok(News::Batch(batch, _))) if !batch.invited.is_empty() => return Comes::Invited,
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
