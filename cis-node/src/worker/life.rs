//! The life of an attempt, from its grant to the acknowledgement of its result. Each transition is one method; none has
//! effects beyond the state.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Variables;
use cis_core::api::TaskSpec;
use cis_core::event::OutputRecord;
use cis_host::protocol::{Exit, Lease};

/// What a start needs.
pub(super) struct Held {
    pub(super) spec: TaskSpec,
    pub(super) secrets: Variables,
    pub(super) base: Arc<Variables>,
    pub(super) log: String,
    /// What its standard input is to hold.
    pub(super) stdin: Option<String>,
    /// Until its coordinator renews it.
    pub(super) lease: Option<Lease>,
}

/// How far an attempt is.
pub(super) enum Life {
    /// Nothing was asked of the host.
    Granted,
    /// A cached result is looked for off-thread; without one its session is started.
    LookingUp {
        held: Box<Held>,
        /// It was taken back meanwhile: without a cached result it does not start.
        withdrawn: bool,
    },
    /// The host was asked to start its session.
    Asked,
    /// The first process of its session was there.
    Running { pid: u32, exposed: bool },
    /// Its session ended well; its files are being kept off-thread.
    Keeping { session: Begun, exit: Exit, outputs: BTreeMap<String, OutputRecord> },
    /// A result was given; the acknowledgement is awaited. None: the host was never asked for a session.
    Reported(Option<Begun>),
}

/// What was known of a session that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Begun {
    /// None: it was not said that it started.
    pub(super) pid: Option<u32>,
    exposed: bool,
}

/// What an off-thread job was for.
pub(super) enum JobEnd {
    LookedUp { held: Box<Held>, withdrawn: bool },
    Kept { exit: Exit, outputs: BTreeMap<String, OutputRecord> },
}

impl Life {
    /// A cached result is looked for.
    pub(super) fn look_up(&mut self, held: Held) {
        if matches!(self, Self::Granted) {
            *self = Self::LookingUp { held: Box::new(held), withdrawn: false };
        }
    }

    /// Takes it back, if nothing of it has begun but the search for an earlier result.
    pub(super) fn withdraw(&mut self) {
        if let Self::LookingUp { withdrawn, .. } = self {
            *withdrawn = true;
        }
    }

    /// The host is asked to start its session, or has it from an earlier life of this node.
    pub(super) fn ask(&mut self) {
        if matches!(self, Self::Granted) {
            *self = Self::Asked;
        }
    }

    /// The first process of its session is there.
    pub(super) fn started(&mut self, new: u32) {
        match self {
            Self::Asked => *self = Self::Running { pid: new, exposed: false },
            Self::Running { pid, .. } => *pid = new,
            Self::Keeping { session, .. } => session.pid = Some(new),
            Self::Granted | Self::LookingUp { .. } | Self::Reported(_) => {}
        }
    }

    /// Its session is shown to the rest of the node.
    pub(super) fn expose(&mut self) {
        if let Self::Running { exposed, .. } = self {
            *exposed = true;
        }
    }

    /// Its session ended well with these outputs, and files are to be kept.
    pub(super) fn keep(&mut self, exit: Exit, outputs: BTreeMap<String, OutputRecord>) {
        if let Some(session) = self.begun().filter(|_| !self.is_reported()) {
            *self = Self::Keeping { session, exit, outputs };
        }
    }

    /// The off-thread job is done. Returns what it was for, if one was awaited; after the end of a session a result is given.
    pub(super) fn job_done(&mut self) -> Option<JobEnd> {
        match std::mem::replace(self, Self::Granted) {
            Self::LookingUp { held, withdrawn } => Some(JobEnd::LookedUp { held, withdrawn }),
            Self::Keeping { session, exit, outputs } => {
                *self = Self::Reported(Some(session));
                Some(JobEnd::Kept { exit, outputs })
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// A result is given.
    pub(super) fn report(&mut self) {
        *self = Self::Reported(self.begun());
    }

    /// As far as is known its session is there, or is about to be.
    pub(super) fn has_session(&self) -> bool {
        matches!(self, Self::Asked | Self::Running { .. })
    }

    /// Nothing of its session is there yet.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self, Self::Granted | Self::LookingUp { .. } | Self::Asked)
    }

    /// The host has its session, or knew it: it is told when the result is recorded.
    pub(super) fn is_known_to_host(&self) -> bool {
        self.begun().is_some()
    }

    /// How its session ended, and its outputs, while its files are being kept.
    pub(super) fn kept(&self) -> Option<(&Exit, &BTreeMap<String, OutputRecord>)> {
        match self {
            Self::Keeping { exit, outputs, .. } => Some((exit, outputs)),
            _ => None,
        }
    }

    pub(super) fn is_keeping(&self) -> bool {
        matches!(self, Self::Keeping { .. })
    }

    pub(super) fn is_reported(&self) -> bool {
        matches!(self, Self::Reported(_))
    }

    /// Whether its session was shown to the rest of the node.
    pub(super) fn is_exposed(&self) -> bool {
        self.begun().is_some_and(|session| session.exposed)
    }

    /// The first process of its session, if it was said that it started.
    pub(super) fn pid(&self) -> Option<u32> {
        self.begun()?.pid
    }

    fn begun(&self) -> Option<Begun> {
        match self {
            Self::Granted | Self::LookingUp { .. } => None,
            Self::Asked => Some(Begun::default()),
            Self::Running { pid, exposed } => Some(Begun { pid: Some(*pid), exposed: *exposed }),
            Self::Keeping { session, .. } => Some(*session),
            Self::Reported(session) => *session,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::plain_spec;

    fn held() -> Held {
        Held {
            spec: plain_spec(&[]),
            secrets: BTreeMap::new(),
            base: Arc::default(),
            log: String::new(),
            stdin: None,
            lease: None,
        }
    }

    fn running() -> Life {
        let mut life = Life::Granted;
        life.ask();
        life.started(7);
        life
    }

    #[test]
    fn a_session_is_shown_only_while_it_runs_and_counts_as_shown_ever_after() {
        let mut life = Life::Granted;
        life.expose();
        assert!(!life.is_exposed() && !life.has_session());
        life.started(7);
        assert_eq!(life.pid(), None, "nothing was asked for");
        life.ask();
        life.expose();
        assert!(life.has_session() && !life.is_exposed(), "it has no process yet");
        life.started(7);
        life.expose();
        life.started(7);
        assert!(life.is_exposed(), "a new connection to the host says again that it started");
        life.keep(Exit::with_code(0), BTreeMap::new());
        assert!(life.is_keeping() && life.is_exposed() && !life.has_session() && life.pid() == Some(7));
        life.report();
        assert!(life.is_reported() && life.is_exposed());
    }

    #[test]
    fn a_search_ends_with_what_was_held_and_whether_it_was_taken_back() {
        for taken_back in [false, true] {
            let mut life = Life::Granted;
            life.look_up(held());
            assert!(!life.is_known_to_host() && !life.has_session());
            if taken_back {
                life.withdraw();
            }
            let Some(JobEnd::LookedUp { withdrawn, .. }) = life.job_done() else {
                panic!("nothing was held")
            };
            assert_eq!(withdrawn, taken_back);
            assert!(life.job_done().is_none() && matches!(life, Life::Granted));
        }
        let mut begun = running();
        begun.withdraw();
        begun.look_up(held());
        assert!(matches!(begun, Life::Running { pid: 7, exposed: false }), "what has begun goes on");
    }

    #[test]
    fn files_are_kept_once_and_the_result_follows() {
        let mut life = running();
        life.keep(Exit::with_code(3), BTreeMap::new());
        life.started(8);
        assert_eq!(life.pid(), Some(8));
        assert_eq!(life.kept(), Some((&Exit::with_code(3), &BTreeMap::new())));
        let Some(JobEnd::Kept { exit, .. }) = life.job_done() else { panic!("nothing was kept") };
        assert_eq!(exit, Exit::with_code(3));
        assert!(life.is_reported() && life.job_done().is_none());
        life.keep(Exit::with_code(0), BTreeMap::new());
        assert!(life.is_reported(), "a result is given once");
    }

    #[test]
    fn the_host_is_told_of_a_recorded_result_only_where_it_was_asked() {
        let mut refused = Life::Granted;
        refused.report();
        refused.ask();
        refused.started(7);
        assert!(refused.is_reported() && !refused.is_known_to_host());
        let mut short = Life::Granted;
        short.ask();
        short.report();
        assert!(short.is_known_to_host() && short.pid().is_none());
    }
}
