//! Cleaning as a part of the node: when somebody asks, and once a day by itself. Never on the driver's
//! thread, which only records what is about to go.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::clean::Cleaner;
use super::error::UpkeepError;
use super::hold::{self, Hold};
use super::rules::with_request;
use crate::commands::{Command, DriverHandle};
use crate::config::Retention;
use crate::shared::Shared;
use crate::streams::Viewer;
use cis_core::api::{CleanReport, CleanStore, Problem, ProblemKind};
use cis_core::event::{Actor, ActorKind, Via};
use cis_core::text;
use cis_local::Home;
use cis_store::Blobs;

/// From one cleaning to the next.
const APART: Duration = Duration::from_secs(24 * 60 * 60);
/// A node that has just started has better things to do.
const AFTER_START: Duration = Duration::from_secs(5);
/// If the last cleaning seems to be longer ago than this, the clock may be wrong.
const UNLIKELY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// After one that was not possible.
const AGAIN: Duration = Duration::from_secs(60 * 60);

/// The daily cleaning waits so long for others: a command may just look whether it would have to wait.
const MOMENT: Duration = Duration::from_secs(2);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upkeep {
    pub(crate) home: Home,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) rules: Retention,
    pub(crate) driver: DriverHandle,
    pub(crate) shared: Arc<Shared>,
    /// Held by the cleaning that somebody has asked for.
    pub(crate) asked: Arc<Mutex<()>>,
}

/// The daily cleaning goes on as long as this lives.
pub(crate) struct Daily {
    _end: Sender<()>,
}

impl Upkeep {
    /// Cleans as somebody asked, on a thread of its own: it may take minutes.
    pub(crate) async fn clean(self, request: CleanStore, actor: Actor) -> Result<CleanReport, Problem> {
        let (done, report) = oneshot::channel();
        let spawned = thread::Builder::new().name("cis-upkeep".to_owned()).spawn(move || {
            // One waits at a time: the thread of each client that has gone would wait as long.
            let Ok(_alone) = self.asked.try_lock() else {
                let busy = UpkeepError::Busy { what: "a cleaning", home: self.home.dir.clone() };
                let _ = done.send(Err(Problem::from(&busy)));
                return;
            };
            // A node whose cleaning waits does not end for want of work.
            let _busy = Viewer::new(Arc::clone(&self.shared), self.driver.clone());
            let hold = Cleaner::hold(&self.home, request.dry_run, hold::PATIENCE, || !done.is_closed());
            // Nobody waits for it any more.
            if done.is_closed() {
                return;
            }
            let _ = done.send(self.clean_now(request, &actor, hold));
        });
        spawned.map_err(|e| Problem::new(ProblemKind::Unavailable, format!("no thread for it: {e}")))?;
        report.await.unwrap_or_else(|_| Err(Problem::new(ProblemKind::Internal, "the cleaning failed")))
    }

    fn clean_now(
        &self,
        request: CleanStore,
        actor: &Actor,
        hold: Result<Hold, UpkeepError>,
    ) -> Result<CleanReport, Problem> {
        // A node that is cleaning does not end for want of work.
        let _busy = Viewer::new(Arc::clone(&self.shared), self.driver.clone());
        let cleaner = Cleaner {
            home: &self.home,
            blobs: &self.blobs,
            rules: with_request(&self.rules, &request),
            now: SystemTime::now(),
        };
        let mut record = |victims| {
            let actor = actor.clone();
            self.driver.ask_blocking(|reply| Command::Cleaning { victims, actor, reply })
        };
        let cleaned = hold.and_then(|hold| cleaner.clean(request.dry_run, &hold, &mut record));
        cleaned.map_err(|error| Problem::from(&error))
    }

    /// Cleans once a day, counted from the last time, whichever node did it then.
    pub(crate) fn daily(self) -> Daily {
        let (end, ended) = mpsc::channel();
        let spawned = thread::Builder::new().name("cis-upkeep".to_owned()).spawn(move || {
            let mut pause = AFTER_START;
            loop {
                pause = pause.max(self.until_due());
                match ended.recv_timeout(pause) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
                // It may have been done meanwhile, as somebody asked for it.
                if self.until_due().is_zero() && !self.puts_off() {
                    pause = self.clean_by_rule();
                }
            }
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "nothing is cleaned by itself: there is no thread for it");
        }
        Daily { _end: end }
    }

    fn until_due(&self) -> Duration {
        self.since_last().map_or(Duration::ZERO, |since| APART.saturating_sub(since))
    }

    /// None: it was never cleaned, or later than now.
    fn since_last(&self) -> Option<Duration> {
        hold::last_cleaned(&self.home.dir)?.elapsed().ok()
    }

    /// Whether nothing is cleaned now, as the last time is so long ago that the clock may be wrong: logs that are removed because of it are
    /// lost. Only once: if the home was just not used, it is cleaned a day later.
    fn puts_off(&self) -> bool {
        let home = &self.home.dir;
        if self.since_last().is_none_or(|since| since < UNLIKELY) || hold::was_put_off(home) {
            return false;
        }
        // If that cannot be noted, the cleaning says why, or makes the space that is missing.
        let noted =
            Hold::alone(home, MOMENT, || true).is_ok_and(|held| held.put_off(SystemTime::now()).is_ok());
        if noted {
            tracing::info!("the last cleaning was long ago, or the clock is wrong: the next one is in a day");
        }
        noted
    }

    /// Gives the least time until it is tried again.
    fn clean_by_rule(&self) -> Duration {
        let actor = Actor { kind: ActorKind::Policy, name: "retention".to_owned(), via: Via::Internal };
        let hold = Cleaner::hold(&self.home, false, MOMENT, || true);
        match self.clean_now(CleanStore::default(), &actor, hold) {
            Ok(report) => {
                for failed in &report.failed {
                    tracing::warn!(failed, "something could not be removed");
                }
                if report.freed_bytes() > 0 {
                    let freed = text::bytes(report.freed_bytes());
                    tracing::info!(runs = report.runs, freed, "removed what ended runs left");
                }
                AFTER_START
            }
            Err(problem) => {
                tracing::warn!(detail = problem.detail, "the home could not be cleaned; it is tried again");
                AGAIN
            }
        }
    }
}
