//! The line to the node: a thread of its own that keeps the model up to date and does what panels ask for.
//!
//! Owns connections and their pace. The frame loop never waits for it: it takes the model for as long as it
//! draws, and is woken when something has changed.
#![allow(clippy::disallowed_methods, reason = "not a pure crate")]

mod act;
mod bell;
pub(crate) mod files;
mod line;
mod load;
mod save;
mod shows;
mod tail;
mod unconfirmed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cis_client::{Client, ClientError};
use cis_core::api::{ListSessions, Problem, ProblemKind, SessionView};
use cis_core::ids::RunId;
use cis_local::now_ms;
use tokio::sync::Notify;

use crate::command::{Command, Sender};
use crate::model::{Link, Loaded, Model, Note, Ring, Tone, Update, Want};

/// Number of the newest sessions that are searched for ended sessions without a run.
const ENDED_SESSIONS: u32 = 200;
/// Events that are folded without letting a frame in between.
const BURST: usize = 256;

/// Wakes whoever draws.
pub type Wake = dyn Fn() + Send + Sync;

/// When things that may happen often happen.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// How long to wait with the next one, so that it comes `every` after the last one: not at all but for a
    /// moment, where that is long ago.
    pub fn next(&self, every: Duration) -> Duration {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.map_or(now, |last| last + every).max(now + Duration::from_millis(1));
        *last = Some(due);
        due - now
    }
}

/// What feed and panels share.
pub struct Shared {
    model: Mutex<Model>,
    /// So many wait to look at the model.
    looking: AtomicUsize,
    wake: Arc<Wake>,
    wants: Mutex<BTreeSet<Want>>,
    looked_at: Mutex<BTreeSet<RunId>>,
    /// The node is there again.
    back: AtomicBool,
    wanted: Notify,
    at_once: Notify,
    /// Whoever draws has been woken, and has not looked since.
    woken: AtomicBool,
    rung: Notify,
    /// The desktop is told of what begins to wait.
    rings: AtomicBool,
    /// The window has the keys.
    focused: AtomicBool,
    /// Number of the newest command that changes something.
    newest: AtomicU64,
    /// Those of them that have not ended, by their numbers: notified when a person dismisses one.
    dismissals: Mutex<BTreeMap<u64, Arc<Notify>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// An empty model.
    #[must_use]
    pub fn new(wake: Arc<Wake>) -> Arc<Self> {
        Arc::new(Self {
            model: Mutex::default(),
            looking: AtomicUsize::new(0),
            wake,
            wants: Mutex::default(),
            looked_at: Mutex::default(),
            back: AtomicBool::new(false),
            wanted: Notify::new(),
            at_once: Notify::new(),
            woken: AtomicBool::new(false),
            rung: Notify::new(),
            rings: AtomicBool::new(true),
            focused: AtomicBool::new(false),
            newest: AtomicU64::new(0),
            dismissals: Mutex::default(),
        })
    }

    /// The model, for as long as a frame takes.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.looking.fetch_add(1, Ordering::AcqRel);
        let model = self.lock();
        self.looking.fetch_sub(1, Ordering::AcqRel);
        model
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model, to change it: whoever waits to look at it comes first, which the lock by itself would not see to.
    fn change(&self) -> MutexGuard<'_, Model> {
        while self.looking.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        self.lock()
    }

    /// Takes an update into the model.
    pub fn apply(&self, update: Update) {
        let mut wants = BTreeSet::new();
        if matches!(update, Update::Link(Link::Up)) {
            self.back.store(true, Ordering::Release);
            self.wanted.notify_one();
        }
        match update {
            // A frame that is to be drawn meanwhile does not wait for all of a burst.
            Update::Events(events) if events.len() > BURST => {
                let mut rest = events.into_iter();
                while rest.len() > 0 {
                    let events = rest.by_ref().take(BURST).collect();
                    self.change().apply(Update::Events(events), &mut wants);
                }
            }
            Update::Run(detail) => {
                // What takes long with many tasks is done before the model is held, and after it.
                let loaded = Loaded::of(*detail);
                let before = self.change().load(loaded, &mut wants);
                drop(before);
            }
            update => self.change().apply(update, &mut wants),
        }
        self.want(wants);
        if self.lock().rings() > 0 {
            self.rung.notify_one();
        }
        self.wake();
    }

    /// Wakes whoever draws, once until it looks.
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    /// A frame begins: what changes from now on is for another one.
    pub fn look(&self) {
        self.woken.store(false, Ordering::Release);
    }

    fn want(&self, mut more: BTreeSet<Want>) {
        if !more.is_empty() {
            self.wants.lock().unwrap_or_else(PoisonError::into_inner).append(&mut more);
            self.wanted.notify_one();
        }
    }

    /// How whoever draws stands: the window has the keys; the desktop is told of what begins to wait.
    pub fn stands(&self, focused: bool, rings: bool) {
        self.focused.store(focused, Ordering::Relaxed);
        self.rings.store(rings, Ordering::Relaxed);
    }

    fn take_rings(&self) -> Vec<Ring> {
        self.lock().take_rings()
    }

    /// Whether the caller may type, as far as that is known.
    fn may_type(&self) -> bool {
        self.lock().caller.as_ref().is_none_or(|who| who.acts)
    }

    /// Returns what is wanted, and the runs that somebody looks at.
    fn take_wants(&self) -> (BTreeSet<Want>, BTreeSet<RunId>) {
        let wants = std::mem::take(&mut *self.wants.lock().unwrap_or_else(PoisonError::into_inner));
        (wants, std::mem::take(&mut *self.looked_at.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Somebody looks at a run.
    fn want_looked_at(&self, run: RunId) {
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner).insert(run);
        self.wanted.notify_one();
    }

    /// The node has come back since the last call.
    fn take_back(&self) -> bool {
        self.back.swap(false, Ordering::AcqRel)
    }

    fn note(&self, tone: Tone, text: String, hint: Option<String>) {
        self.apply(Update::Note(Note { at_ms: now_ms(), tone, text, hint }));
    }
}

/// Starts the feed. It ends with the process.
///
/// # Errors
/// The system gives no thread, or no way to wait for sockets.
pub fn start(client: Client, shared: &Arc<Shared>) -> std::io::Result<Sender> {
    let (sender, mut commands) = Sender::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (client, shared) = (Arc::new(client), Arc::clone(shared));
    std::thread::Builder::new().name("cis-feed".to_owned()).spawn(move || {
        runtime.block_on(async move {
            tokio::spawn(bell::serve(Arc::clone(&shared)));
            tokio::spawn(load::serve(Arc::clone(&client), Arc::clone(&shared)));
            tokio::spawn(line::keep(Arc::clone(&client), Arc::clone(&shared)));
            while let Some(command) = commands.recv().await {
                match command {
                    Command::Reconnect => shared.at_once.notify_one(),
                    Command::Dismiss(number) => shared.dismiss(number),
                    Command::Ring => {
                        tokio::spawn(bell::try_one(Arc::clone(&shared)));
                    }
                    Command::Look(run) => shared.want_looked_at(run),
                    Command::Open(terminal) => {
                        tokio::spawn(shows::show(Arc::clone(&client), Arc::clone(&shared), terminal));
                    }
                    other => {
                        tokio::spawn(act::act(Arc::clone(&client), Arc::clone(&shared), other));
                    }
                }
            }
        });
    })?;
    Ok(sender)
}

/// Lists the live sessions, and the newest ended sessions without a run: no other view leads to these.
async fn sessions(client: &Client) -> Result<Vec<SessionView>, ClientError> {
    let mut all = client.all_sessions(&ListSessions::default()).await?.items;
    let newest =
        ListSessions { all: true, standalone: true, limit: Some(ENDED_SESSIONS), ..ListSessions::default() };
    let ended = client.sessions(&newest).await?.items.into_iter();
    let known: BTreeSet<_> = all.iter().map(|session| session.id).collect();
    all.extend(ended.filter(|one| !one.state.is_live() && !known.contains(&one.id)));
    Ok(all)
}

/// Why a call did not give its answer, as a person is told.
fn problem(error: ClientError) -> Problem {
    match error {
        ClientError::Problem(problem) => *problem,
        other => Problem::new(ProblemKind::Unavailable, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_to_look_comes_before_the_rest_of_a_burst() {
        let event = serde_json::json!({ "offset": 1, "id": "01JD0V3Z8K6T9W2B5N7Q4R1XEC", "v": 1,
            "type": "cis.dag.run.started", "at_ms": 1, "body": {} });
        let event: cis_core::event::Event = serde_json::from_value(event).unwrap();
        // The lock alone would let either of them in first; in some of these rounds it would be the burst.
        for _ in 0..20 {
            let shared = Shared::new(Arc::new(|| {}));
            let burst = Update::Events(vec![event.clone(); 3 * BURST]);
            let (begun, begins) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                let held = shared.lock();
                let frame = scope.spawn(|| shared.model().events.seen());
                while shared.looking.load(Ordering::Acquire) == 0 {
                    std::thread::yield_now();
                }
                let shared = &shared;
                scope.spawn(move || {
                    begun.send(()).unwrap();
                    shared.apply(burst);
                });
                begins.recv().unwrap();
                drop(held);
                assert_eq!(frame.join().unwrap(), 0, "the frame that waited saw a part of the burst");
            });
            assert_eq!(shared.model().events.seen(), 3 * BURST as u64);
        }
    }
}
