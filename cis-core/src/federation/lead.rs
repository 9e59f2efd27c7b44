//! What the coordinator's half of the protocol means for the scheduler of the run's coordinator.
//!
//! Pure, and owns no state: effects in, inputs of the scheduler out. Sending, storing and timing are the caller's.

use super::direct::Progress;
use super::finality::Finality;
use super::protocol::BootMs;
use super::protocol::coordinator::{CoordinatorHalf, Effect, KnownGrant};
use super::protocol::message::{Granted, HeldRecord, HeldState, Message, Payload};
use crate::api::{FromWorker, Report};
use crate::event::{GrantRecord, SessionState};
use crate::ids::NodeDid;
use crate::scheduler::{InputKind, LiveAttempt};

/// Inputs of the scheduler that follow from an effect, in order. None: the effect asks for something else.
pub fn inputs<P>(effect: &Effect<P>) -> Vec<InputKind>
where
    P: Payload<Report = Report, Progress = Progress>,
{
    match effect {
        Effect::Refused { granted: Granted { attempt, fence }, reason } => {
            let (attempt, fence, reason) = (attempt.clone(), *fence, reason.clone());
            vec![InputKind::Worker(FromWorker::Refused { attempt, fence, reason })]
        }
        Effect::Progress { granted, progress, .. } => {
            progress.iter().filter_map(|progress| of_progress(granted, progress)).collect()
        }
        Effect::Result { granted: Granted { attempt, fence }, report } => {
            let (attempt, fence) = (attempt.clone(), *fence);
            let report = Box::new(without_files(report.clone()));
            vec![InputKind::Worker(FromWorker::Result { attempt, fence, report })]
        }
        Effect::Lost(Granted { attempt, .. }) => {
            let detail = "its node stopped answering, or does not have it any more".to_owned();
            vec![InputKind::AttemptLost { attempt: attempt.clone(), detail }]
        }
        Effect::Found { worker, record: HeldRecord { granted, session, .. }, .. } => {
            let grant = GrantRecord {
                task: granted.attempt.task.clone(),
                attempt: granted.attempt.number,
                fence: granted.fence,
                session: *session,
                node: worker.clone(),
                host: None,
                lease_ms: None,
                ahead: false,
            };
            vec![InputKind::Adopt {
                run: granted.attempt.run,
                grant: Box::new(grant),
                member: Box::default(),
            }]
        }
        Effect::Ready(run) => vec![InputKind::HoldGrants { run: *run, held: false }],
        Effect::Send { .. } | Effect::Status { .. } | Effect::Silent(_) => Vec::new(),
    }
}

/// The input that follows from a piece of progress. None: it is news of the session, which mean more than that.
#[must_use]
pub fn of_progress(granted: &Granted, progress: &Progress) -> Option<InputKind> {
    let Granted { attempt, fence } = granted.clone();
    let (state, pid) = match progress {
        // Processes of another machine have no pid here.
        Progress::Started { .. } => (SessionState::Working, Some(0)),
        Progress::Collecting {} => (SessionState::Exited, None),
        Progress::Session { .. } => return None,
    };
    Some(InputKind::Worker(FromWorker::Session { attempt, fence, state, pid }))
}

/// Settles what a worker has and the journal does not tell, once the scheduler has counted it (`adopted`) or not.
pub fn found<P: Payload>(
    half: &mut CoordinatorHalf<P>,
    finality: Option<&mut Finality>,
    (record, worker): (&HeldRecord, &NodeDid),
    adopted: bool,
    now: BootMs,
    out: &mut Vec<Effect<P>>,
) {
    let granted = &record.granted;
    let has_ended = record.state == HeldState::Ended;
    if adopted {
        half.adopt(granted, worker, now);
        return;
    }
    half.refuse(granted, worker, out);
    if has_ended && half.gives(granted.attempt.run, &granted.attempt.task) {
        // An older one, as a rule. Its worker is answered when it tells its result.
        return;
    }
    if let Some(finality) = finality.filter(|finality| has_ended && !finality.is_caught_up()) {
        // It may be a result that the room does not have yet.
        finality.recorded_before(granted.clone(), worker.clone());
    } else {
        half.release(granted, worker, out);
    }
}

/// The grant that a worker tells something of until it gets an answer, be its session at work or over.
pub fn waits_for_answer<P: Payload>(message: &Message<P>) -> Option<&Granted> {
    match message {
        // A result follows only when all progress before it was answered.
        Message::Result { granted, .. }
        | Message::Progress { granted, .. }
        | Message::Claimed { granted } => Some(granted),
        _ => None,
    }
}

/// Attempts under way as grants that a new coordinator knows of.
pub fn known_grants(live: impl IntoIterator<Item = LiveAttempt>) -> impl Iterator<Item = KnownGrant> {
    live.into_iter().map(|live| KnownGrant {
        granted: Granted { attempt: live.attempt, fence: live.fence },
        worker: live.node,
        recorded: false,
    })
}

/// Files of another machine are not here. The real values of outputs may come sealed.
fn without_files(mut report: Report) -> Report {
    for output in report.outputs.values_mut() {
        output.blob = None;
    }
    report.cached = None;
    report
}
