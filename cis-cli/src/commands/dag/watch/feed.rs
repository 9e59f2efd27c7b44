//! What the node says while a run is watched, each stream and call in a task of its own, which sends it here.
//! Nothing is asked for again and again: what may have changed is asked for when the node says that it has.

use std::sync::Arc;
use std::time::Duration;

use cis_client::{AttachFrame, Client, ClientError, EventFrame, Followed};
use cis_core::api::{Attach, ListInbox, ReadLog, ReadTime, TimeView};
use cis_core::ids::Offset;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::ui::Message;
use super::ui::log::Lines;
use crate::error::CliError;
use crate::output::clean::clean;
use crate::progress::model::Index;

/// A view may stay open for days, and so may the node be away.
const PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Whoever goes through a list does not want to see every session on the way.
const SETTLES: Duration = Duration::from_millis(120);
/// Between two looks at the screen of a session that writes.
const LOOKS_EVERY: Duration = Duration::from_millis(200);
/// So many lines of what a task printed are kept for the view beside the list.
const LINES_KEPT: usize = 200;

/// What is said.
pub(super) enum Said {
    /// Events of the run.
    Events(EventFrame),
    /// The node went away; told to stop, or cut off.
    Away { stopped: bool },
    /// It is back.
    Back,
    /// There will be no more events; why.
    Deaf(ClientError),
    /// The screen, or the newest lines, of what that task prints.
    Output { task: Index, lines: Vec<String> },
    /// There is nothing to be shown of it; why.
    NoOutput { task: Index, why: String },
    /// More of the log that is read.
    Log { task: Index, bytes: Vec<u8> },
    /// All of it is there, or no more of it can be had.
    LogEnded { task: Index, trouble: Option<String> },
    /// What waits for humans.
    Inbox(Vec<cis_core::api::InboxItem>),
    /// Where time went.
    Times(Box<TimeView>),
    /// What became of what the person wanted.
    Did(Message),
}

/// A task that ends when nobody wants what it says any more.
pub(super) struct Errand(JoinHandle<()>);

impl Errand {
    /// Whether it has ended by itself.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How the node is reached, and where what it says goes.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) client: Arc<Client>,
    pub(super) to: Sender<Said>,
    pub(super) run: Arc<str>,
}

impl Line {
    /// The events of the run after that one.
    pub(super) fn events(&self, after: Offset) -> Errand {
        let line = self.clone();
        Errand(tokio::spawn(async move {
            if let Err(error) = line.follow(after).await {
                line.say(Said::Deaf(error)).await;
            }
        }))
    }

    async fn follow(&self, after: Offset) -> Result<(), ClientError> {
        let mut follower = self.client.events(Some(&self.run), Some(after)).await?.patience(PATIENCE);
        loop {
            let said = match follower.next().await? {
                Followed::Frame(frame) => Said::Events(frame),
                Followed::Lost { stopped } => Said::Away { stopped },
                Followed::Back => Said::Back,
            };
            self.say(said).await;
        }
    }

    /// What a task prints: of a live session with a terminal its screen, again when it has changed; else the
    /// end of its log.
    pub(super) fn output(&self, task: Index, session: String) -> Errand {
        let line = self.clone();
        Errand(tokio::spawn(async move {
            sleep(SETTLES).await;
            let told = match line.client.session(&session).await {
                Ok(view) if view.tty && view.ended_ms.is_none() => line.screens(task, &session).await,
                Ok(view) => line.lines(task, &session, view.ended_ms.is_none()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                line.say(Said::NoOutput { task, why: error.to_string() }).await;
            }
        }))
    }

    async fn screens(&self, task: Index, session: &str) -> Result<(), ClientError> {
        // Who only looks has no say in the size. The bytes themselves are not needed: that some came is.
        let how = Attach { read_only: true, ..Attach::default() };
        let mut stream = self.client.attach(session, &how).await?;
        let (mut changed, mut next) = (true, Instant::now());
        loop {
            tokio::select! {
                frame = stream.next() => match frame? {
                    AttachFrame::Bytes(_) => changed = true,
                    AttachFrame::Notice(cis_core::api::AttachNotice::Ended { .. }) | AttachFrame::Closed => break,
                    AttachFrame::Notice(_) => {}
                },
                () = sleep_until(next), if changed => {
                    let screen = self.client.screen(session).await?;
                    self.say(Said::Output { task, lines: rows(&screen) }).await;
                    (changed, next) = (false, Instant::now() + LOOKS_EVERY);
                }
            }
        }
        self.lines(task, session, false).await
    }

    async fn lines(&self, task: Index, session: &str, follow: bool) -> Result<(), ClientError> {
        let how = ReadLog { plain: true, follow, ..ReadLog::default() };
        let mut log = self.client.session_log(session, &how).await?;
        let mut lines = Lines::new(LINES_KEPT);
        let (mut changed, mut next, mut open) = (true, Instant::now() + LOOKS_EVERY, true);
        while open || changed {
            tokio::select! {
                piece = log.next(), if open => match piece? {
                    Some(bytes) => {
                        lines.push(&bytes);
                        changed = true;
                    }
                    None => (open, next) = (false, Instant::now()),
                },
                () = sleep_until(next), if changed => {
                    self.say(Said::Output { task, lines: lines.lines.iter().cloned().collect() }).await;
                    (changed, next) = (false, Instant::now() + LOOKS_EVERY);
                }
            }
        }
        Ok(())
    }

    /// The log of a task's session, to its end.
    pub(super) fn log(&self, task: Index, session: String) -> Errand {
        let line = self.clone();
        Errand(tokio::spawn(async move {
            let trouble = line.whole_log(task, &session).await.err().map(|error| error.to_string());
            line.say(Said::LogEnded { task, trouble }).await;
        }))
    }

    async fn whole_log(&self, task: Index, session: &str) -> Result<(), ClientError> {
        let how = ReadLog { plain: true, follow: true, ..ReadLog::default() };
        let mut log = self.client.session_log(session, &how).await?;
        while let Some(bytes) = log.next().await? {
            self.say(Said::Log { task, bytes: bytes.to_vec() }).await;
        }
        Ok(())
    }

    /// What waits for humans in this run.
    pub(super) fn inbox(&self) -> Errand {
        let line = self.clone();
        Errand(tokio::spawn(async move {
            let which = ListInbox { run: Some(line.run.to_string()), ..ListInbox::default() };
            // Without it, what comes is still known from the events.
            if let Ok(items) = line.client.whole_inbox(which).await {
                line.say(Said::Inbox(items)).await;
            }
        }))
    }

    /// Where time went.
    pub(super) fn times(&self) -> Errand {
        let line = self.clone();
        Errand(tokio::spawn(async move {
            // Without it, what passes from now on is counted.
            if let Ok(view) = line.client.run_time(&line.run, &ReadTime::default()).await {
                line.say(Said::Times(Box::new(view))).await;
            }
        }))
    }

    /// Does something, and tells what became of it.
    pub(super) fn act<T>(
        &self,
        good: String,
        call: impl Future<Output = Result<T, ClientError>> + Send + 'static,
    ) -> Errand {
        let line = self.clone();
        Errand(tokio::spawn(async move {
            let message = match call.await {
                Ok(_) => Message::good(good),
                Err(error) => Message::bad(words(error)),
            };
            line.say(Said::Did(message)).await;
        }))
    }

    async fn say(&self, said: Said) {
        // Nobody listens any more: the view is being left.
        let _ = self.to.send(said).await;
    }
}

/// The lines of a screen without the empty ones at its end.
fn rows(screen: &str) -> Vec<String> {
    screen.trim_end().lines().map(|line| clean(line).into_owned()).collect()
}

/// An error in one line, with what to do.
fn words(error: ClientError) -> String {
    match CliError::from(error) {
        CliError::Problem(problem) => match problem.hint {
            Some(hint) => format!("{} ({hint})", problem.detail),
            None => problem.detail,
        },
        CliError::Failed { detail, .. } => detail,
        CliError::OutputClosed => String::new(),
    }
}
