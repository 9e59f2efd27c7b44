//! The node's side of sessions: their output, their models, and those who watch and type.
//!
//! Owns one stream connection to the session host and everything that hangs on it: a model for each
//! session with a terminal (it answers terminal queries, and is what `attach` paints first), viewers,
//! inputs with their receipts, followers of output, and the monitor that judges whether it waits for a
//! human. Does not start or end sessions, and knows neither the API's transport nor the store.
//!
//! One task holds all state, [`Hub`] is a handle to it. Nothing waits for a viewer: a viewer who does
//! not keep up gets a picture of the screen in place of what it missed. Followers have a connection
//! of their own each, so that a slow one is the host's log to wait for, and nobody else's.
//!
//! **Size.** The smallest terminal of those who may type decides, in each direction; read-only viewers
//! never do. When the last one who types goes, the size stays. A viewer whose terminal has another size
//! than the session gets pictures, cut to its terminal, instead of the session's bytes.
//!
//! **Queries** are answered once: by the model, for bytes that come after the point where this node
//! took over (`live_from`, or what the host had when it was asked). Bytes before it are replayed.

mod attached;
mod clock;
mod ended;
mod env;
mod error;
mod follow;
mod pipe;
mod queue;
mod run;
mod saved;
mod session;
mod share;
mod sighting;
mod signals;
mod typing;
mod viewer;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use cis_core::api::{Attach, AttachControl, InputReceipt, TermSize};
use cis_core::ids::{InputId, SessionId};
use cis_core::monitor::Explanation;
use cis_core::monitor::recording::Still;
use cis_core::policy::redact::Redactor;
use cis_core::terminal::sanitizer::Form;
use cis_local::Place;

use session::Tell;

pub use attached::{AttachOutput, Attached, Marked, Typing};
pub use ended::Ended;
pub use error::HubError;
pub use follow::{FollowChunk, context_bytes};
pub use session::{Answer, Monitoring};
pub use sighting::{HubNews, Sighting, Watcher};

/// The redactor of a session, now and after each change.
pub type Redactors = watch::Receiver<Arc<Redactor>>;

/// A session that the host has started.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// It has a terminal.
    pub tty: bool,
    /// Size of that terminal.
    pub size: TermSize,
    /// Its log. The saved screen stands beside it.
    pub log: PathBuf,
    /// Queries in its output are answered from this byte on: 0 for a session that this node starts.
    /// None: from what the host has when it is asked, for one that was adopted.
    pub live_from: Option<u64>,
    /// What must not be shown of it.
    pub redactor: Arc<Redactor>,
    /// Whether and how the monitor judges it; a session with pipes is never judged.
    pub monitor: Option<Monitoring>,
}

/// How much the hub holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that were opened and not closed.
    pub sessions: usize,
    /// Of them, those with a model in memory.
    pub models: usize,
    /// Viewers of terminals.
    pub viewers: usize,
}

/// Limits. The defaults are for production.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A model without output and viewers for so long is saved and dropped.
    pub idle: Duration,
    /// With more models than this, one without output and viewers for [`Self::idle_crowded`] goes already.
    pub models: usize,
    /// See [`Self::models`].
    pub idle_crowded: Duration,
    /// A model is saved after so much output, bytes.
    pub save_every_bytes: u64,
    /// So much waits for a viewer, bytes, before it gets a picture instead.
    pub viewer_bytes: usize,
    /// The same for one that is far.
    pub far_viewer_bytes: usize,
    /// A session that was closed while somebody watches stays so long for its last output.
    pub last_output: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(120),
            models: 32,
            idle_crowded: Duration::from_secs(5),
            save_every_bytes: 4 << 20,
            viewer_bytes: 256 << 10,
            far_viewer_bytes: 24 << 10,
            last_output: Duration::from_secs(1),
        }
    }
}

/// What the handle and the viewers tell the hub's task.
#[derive(Debug)]
enum Command {
    Open(Box<SessionInfo>),
    Close {
        id: SessionId,
        ended: Ended,
    },
    Redact {
        id: SessionId,
        redactor: Arc<Redactor>,
    },
    Attach {
        id: SessionId,
        how: Attach,
        reach: Reach,
        reply: oneshot::Sender<Result<Attaching, HubError>>,
    },
    Detach {
        id: SessionId,
        viewer: u64,
    },
    Typed {
        id: SessionId,
        viewer: u64,
        bytes: Vec<u8>,
        _room: OwnedSemaphorePermit,
    },
    Control {
        id: SessionId,
        viewer: u64,
        control: AttachControl,
    },
    Ask {
        id: SessionId,
    },
    Input {
        id: SessionId,
        input: InputId,
        bytes: Vec<u8>,
        reply: oneshot::Sender<Result<InputReceipt, HubError>>,
    },
    HasTyped {
        id: SessionId,
        input: InputId,
        reply: oneshot::Sender<Result<bool, HubError>>,
    },
    Answer {
        answer: Answer,
        tell: Tell,
    },
    Explain {
        id: SessionId,
        reply: oneshot::Sender<Result<Explanation, HubError>>,
    },
    Still {
        id: SessionId,
        reply: oneshot::Sender<Result<Still, HubError>>,
    },
    ScreenText {
        id: SessionId,
        reply: oneshot::Sender<Result<String, HubError>>,
    },
    Lookup {
        id: SessionId,
        reply: oneshot::Sender<Result<Redactors, HubError>>,
    },
    Saved {
        id: SessionId,
        log: PathBuf,
        offset: u64,
        worked: bool,
    },
    Counts {
        reply: oneshot::Sender<Result<Counts, HubError>>,
    },
    Reconnect {
        reply: oneshot::Sender<Result<(), HubError>>,
    },
}

/// Where a viewer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// On this machine, or connected to its node.
    Near,
    /// At another node: it gets little at a time. So less output waits for it before it gets a picture instead.
    Far,
}

/// What an attach came to.
#[derive(Debug)]
enum Attaching {
    /// A viewer of a terminal. Dropped on its way, it detaches.
    Terminal(Attached),
    /// The session has pipes: the caller follows its output.
    Pipes { redactors: Redactors },
}

/// A handle to the hub. It ends when the last handle and the last viewer are gone.
#[derive(Debug, Clone)]
pub struct Hub {
    commands: mpsc::UnboundedSender<Command>,
    host: Arc<Place>,
}

impl Hub {
    /// Starts the hub on this runtime (it needs its IO and time drivers) and connects to the host. What the
    /// monitor finds is told to `watcher`.
    #[must_use]
    pub fn spawn(runtime: &Handle, host: impl Into<Place>, watcher: Watcher) -> Self {
        Self::spawn_with(runtime, host, watcher, Limits::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn spawn_with(runtime: &Handle, host: impl Into<Place>, watcher: Watcher, limits: Limits) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let host = Arc::new(host.into());
        let task = run::Task::new(Arc::clone(&host), limits, receiver, commands.downgrade(), watcher);
        runtime.spawn(task.run());
        Self { commands, host }
    }

    fn tell(&self, command: Command) -> Result<(), HubError> {
        self.commands.send(command).map_err(|_| HubError::Stopped)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, HubError>>) -> Command,
    ) -> Result<T, HubError> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply))?;
        answer.await.unwrap_or(Err(HubError::Stopped))
    }

    /// Takes a session under care, once the host has said that it started, or knows it. Never waits;
    /// callable from any thread. A second time changes nothing.
    pub fn open(&self, info: SessionInfo) {
        // A hub that has ended needs no sessions.
        let _ = self.tell(Command::Open(Box::new(info)));
    }

    /// Changes which values are hidden in a session's output from now on. Attached viewers get a new picture of its
    /// screen; followers get the next bytes without the values. Never waits; callable from any thread.
    pub fn redact(&self, id: SessionId, redactor: Arc<Redactor>) {
        let _ = self.tell(Command::Redact { id, redactor });
    }

    /// Lets go of a session that ended. Viewers get what is left of its output, and then its end. Never
    /// waits; callable from any thread.
    pub fn close(&self, id: SessionId, ended: Ended) {
        let _ = self.tell(Command::Close { id, ended });
    }

    /// Connects again after the connection broke, or to a host that was started anew. Sessions of the
    /// same host go on where they were; sessions of an earlier one are over.
    ///
    /// # Errors
    /// [`HubError::HostLost`], [`HubError::OtherVersion`], [`HubError::Stopped`].
    pub async fn reconnect(&self) -> Result<(), HubError> {
        self.ask(|reply| Command::Reconnect { reply }).await
    }

    /// The same without waiting for the outcome; sessions opened after this belong to the new
    /// connection. Callable from any thread.
    pub fn host_changed(&self) {
        let (reply, _) = oneshot::channel();
        // A hub that has ended needs no connection.
        let _ = self.tell(Command::Reconnect { reply });
    }

    /// Attaches a terminal: first what it is attached to, then the screen, then what comes. A session
    /// with pipes is shown from the end of its output on, read-only.
    ///
    /// # Errors
    /// [`HubError::NoSuchSession`], [`HubError::HostLost`], [`HubError::Stopped`].
    pub async fn attach(&self, id: SessionId, how: Attach, reach: Reach) -> Result<Attached, HubError> {
        match self.ask(|reply| Command::Attach { id, how, reach, reply }).await? {
            Attaching::Terminal(attached) => Ok(attached),
            Attaching::Pipes { redactors } => pipe::attach(self, id, how, redactors).await,
        }
    }

    /// Types into a session, once for each `input`, and says where its output was then. For pipes: to
    /// its stdin.
    ///
    /// # Errors
    /// [`HubError::NoSuchSession`] (also for a session that takes no input), [`HubError::HostLost`] (it
    /// may have been typed; repeating it with the same `input` is safe), [`HubError::Stopped`].
    pub async fn input(
        &self,
        id: SessionId,
        input: InputId,
        bytes: Vec<u8>,
    ) -> Result<InputReceipt, HubError> {
        self.ask(|reply| Command::Input { id, input, bytes, reply }).await
    }

    /// Whether the host has taken an input with this id. Types nothing.
    ///
    /// # Errors
    /// [`HubError::NoSuchSession`], [`HubError::HostLost`], [`HubError::Stopped`].
    pub async fn has_typed(&self, id: SessionId, input: InputId) -> Result<bool, HubError> {
        self.ask(|reply| Command::HasTyped { id, input, reply }).await
    }

    /// Types without waiting for the outcome; callable from any thread. A session that has ended gets nothing.
    pub fn type_soon(&self, id: SessionId, input: InputId, bytes: Vec<u8>) {
        let (reply, _) = oneshot::channel();
        let _ = self.tell(Command::Input { id, input, bytes, reply });
    }

    /// Types an answer into the prompt that it is for, once, and says where the output was then: where
    /// that prompt is not what the session waits at in this moment, nothing is typed.
    ///
    /// # Errors
    /// [`HubError::PromptMoved`], [`HubError::Answered`], [`HubError::Restless`], [`HubError::InputRefused`]:
    /// nothing was typed. [`HubError::HostLost`], [`HubError::Unconfirmed`]: it may have been; the same answer again is safe.
    /// [`HubError::NoSuchSession`], [`HubError::NotATerminal`], [`HubError::Stopped`].
    pub async fn answer(&self, answer: Answer) -> Result<InputReceipt, HubError> {
        let (reply, outcome) = oneshot::channel();
        self.answer_then(answer, move |told| drop(reply.send(told)));
        outcome.await.unwrap_or(Err(HubError::Stopped))
    }

    /// The same without waiting; callable from any thread. `hear` is called by the hub and must not wait;
    /// never, where the hub has ended.
    pub fn answer_then(
        &self,
        answer: Answer,
        hear: impl FnOnce(Result<InputReceipt, HubError>) + Send + 'static,
    ) {
        let _ = self.tell(Command::Answer { answer, tell: Tell::new(hear) });
    }

    /// Why the monitor thinks of it what it does.
    ///
    /// # Errors
    /// [`HubError::NoSuchSession`], [`HubError::NotATerminal`], [`HubError::Stopped`].
    pub async fn explain(&self, id: SessionId) -> Result<Explanation, HubError> {
        self.ask(|reply| Command::Explain { id, reply }).await
    }

    /// What it shows, and what the kernel shows of it.
    ///
    /// # Errors
    /// [`HubError::NoSuchSession`], [`HubError::NotATerminal`], [`HubError::Stopped`].
    pub async fn still(&self, id: SessionId) -> Result<Still, HubError> {
        self.ask(|reply| Command::Still { id, reply }).await
    }

    /// The text of its screen, secrets replaced.
    ///
    /// # Errors
    /// [`HubError::NoSuchSession`], [`HubError::NotATerminal`], [`HubError::Stopped`].
    pub async fn screen_text(&self, id: SessionId) -> Result<String, HubError> {
        self.ask(|reply| Command::ScreenText { id, reply }).await
    }

    /// How much the hub holds now.
    ///
    /// # Errors
    /// [`HubError::Stopped`].
    pub async fn counts(&self) -> Result<Counts, HubError> {
        self.ask(|reply| Command::Counts { reply }).await
    }

    /// Its output from this byte on in this form, secrets replaced, until it ends.
    ///
    /// # Errors
    /// [`HubError::NoSuchSession`], [`HubError::HostLost`], [`HubError::OtherVersion`], [`HubError::Stopped`].
    pub async fn follow(
        &self,
        id: SessionId,
        from: u64,
        form: Form,
    ) -> Result<impl Stream<Item = FollowChunk> + Send + use<>, HubError> {
        let redactors = self.redactors(id).await?;
        let follow = follow::Follow::start(&self.host, id, from, form, redactors).await?;
        Ok(follow.into_stream())
    }

    /// Returns its redactor, now and after each change.
    ///
    /// # Errors
    /// [`HubError::NoSuchSession`], [`HubError::Stopped`].
    pub async fn redactors(&self, id: SessionId) -> Result<Redactors, HubError> {
        self.ask(|reply| Command::Lookup { id, reply }).await
    }
}

#[cfg(test)]
mod tests;
