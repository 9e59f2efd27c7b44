//! A session's terminal in the dashboard: the screen that the feed fills and a panel draws, and what is typed.
//!
//! Owns the screen with its scrollback, selections, searches, and keys as bytes. Connects nowhere.

mod keys;
mod select;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cis_core::api::{AttachControl, Problem, TermSize};
use cis_core::ids::SessionId;
use cis_core::terminal::screen::Screen;
use tokio::sync::mpsc;

pub use keys::{key_bytes, paste_bytes, text_bytes};
pub use select::{Finder, Place, Selection, text_between};

/// Lines that scrolled out and are kept.
pub const HISTORY_LINES: usize = 10_000;

/// So much is taken in at once, bytes: some tenths of a millisecond.
const PIECE: usize = 32 * 1024;

/// What is typed and has not left is not more than this, bytes.
pub const INPUT_MAX: usize = 1024 * 1024;

/// How a terminal stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing has come yet.
    Opening {
        /// Why the node cannot show it yet, where it says so; it is tried again by itself.
        why: Option<String>,
    },
    /// What the session writes is shown as it comes.
    Live {
        /// What is typed does not count.
        read_only: bool,
    },
    /// The line is gone, or the node cannot show the session now; it is tried again by itself.
    Away {
        /// What the node says; none: it does not answer.
        why: Option<String>,
    },
    /// The session is over: what it wrote is shown.
    Ended {
        /// How, in words.
        detail: String,
    },
    /// It cannot be shown.
    Refused(Box<Problem>),
}

/// What goes to the session.
#[derive(Debug)]
pub enum ToSession {
    /// Typed bytes.
    Typed(Vec<u8>),
    /// A word to the node.
    Control(AttachControl),
}

impl ToSession {
    fn bytes(&self) -> usize {
        match self {
            Self::Typed(bytes) => bytes.len(),
            Self::Control(_) => 0,
        }
    }
}

/// What a panel looks at.
#[derive(Debug)]
pub struct Shown {
    /// The model.
    pub screen: Screen,
    /// How it stands.
    pub standing: Standing,
    /// So many screens it has had before this one.
    pub emptied: u64,
}

impl Shown {
    /// A screen on which nothing has been, in place of the one there is.
    pub fn empty(&mut self, size: TermSize) {
        self.screen = Screen::with_history(size, HISTORY_LINES);
        self.emptied += 1;
    }
}

/// A session's terminal, shared between the feed and a panel.
#[derive(Debug)]
pub struct Terminal {
    /// Of which session.
    pub session: SessionId,
    shown: Mutex<Shown>,
    version: AtomicU64,
    /// So many wait to look at it.
    looking: AtomicUsize,
    /// Typed bytes that the feed has not taken, and those that it has and that have not left.
    waiting: AtomicUsize,
    unsent: AtomicUsize,
    to: mpsc::UnboundedSender<ToSession>,
    from: Mutex<Option<mpsc::UnboundedReceiver<ToSession>>>,
}

impl Terminal {
    /// An empty one.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        let (to, from) = mpsc::unbounded_channel();
        let screen = Screen::with_history(TermSize::default(), HISTORY_LINES);
        Self {
            session,
            shown: Mutex::new(Shown { screen, standing: Standing::Opening { why: None }, emptied: 0 }),
            version: AtomicU64::new(0),
            looking: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            to,
            from: Mutex::new(Some(from)),
        }
    }

    /// What is to be drawn.
    pub fn shown(&self) -> MutexGuard<'_, Shown> {
        self.looking.fetch_add(1, Ordering::AcqRel);
        let shown = self.lock();
        self.looking.fetch_sub(1, Ordering::AcqRel);
        shown
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the session wrote, in pieces: whoever wants to look at it meanwhile gets to.
    pub fn feed(&self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            while self.looking.load(Ordering::Acquire) > 0 {
                std::thread::yield_now();
            }
            self.lock().screen.replay(piece);
        }
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Changes with what is shown.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Sends what is typed; not what would be too much with what waits already. Of a terminal that is not live
    /// nothing is sent.
    #[must_use]
    pub fn send(&self, what: ToSession) -> bool {
        if !matches!(self.shown().standing, Standing::Live { read_only: false }) {
            return true;
        }
        let bytes = what.bytes();
        let before = self.waiting.load(Ordering::Acquire) + self.unsent.load(Ordering::Acquire);
        if bytes > 0 && before.saturating_add(bytes) > INPUT_MAX {
            return false;
        }
        self.waiting.fetch_add(bytes, Ordering::AcqRel);
        let _ = self.to.send(what);
        true
    }

    /// The feed has taken this.
    pub(crate) fn taken(&self, what: &ToSession) {
        self.waiting.fetch_sub(what.bytes(), Ordering::AcqRel);
    }

    /// So many typed bytes wait for the node.
    pub(crate) fn unsent(&self, bytes: usize) {
        self.unsent.store(bytes, Ordering::Release);
    }

    /// Changes what is shown.
    pub fn change(&self, how: impl FnOnce(&mut Shown)) {
        how(&mut self.lock());
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// What is to be sent; once.
    pub(crate) fn outgoing(&self) -> Option<mpsc::UnboundedReceiver<ToSession>> {
        self.from.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
