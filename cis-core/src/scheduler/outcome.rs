//! What the end of an attempt means for its task: over, or another try, and when.

use super::live::Stop;
use super::state::Run;
use crate::api::Report;
use crate::dag::{Backoff, RetryOn, RetryPolicy, Task};
use crate::event::{AttemptOutcome, EndReason, ExitStatus, FailureCause, PromptKind, QueueReason, TaskState};
use crate::ids::{RunId, TaskId, TimestampMs};

/// A session that is lost is started again so often.
pub(super) const LOST_RETRIES_MAX: u32 = 3;

/// A grant that was refused for want of resources is repeated after 1, 2, 4 … and at most so long, ms.
const REFUSED_DELAY_MAX_MS: i64 = 30_000;

/// So many tries in a row a program may find itself logged out.
pub(super) const LOGIN_TRIES_MAX: u32 = 3;
/// The same where nodes of a room try, each at most once in `logins.pause`.
pub(super) const REMOTE_LOGIN_TRIES_MAX: u32 = 10;

/// Before the second of those, ms; doubled before the third, and at most so long.
const LOGIN_DELAY_MS: i64 = 1000;
const LOGIN_DELAY_MAX_MS: i64 = 30_000;

/// What is to become of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// How the attempt counts.
    pub(super) outcome: AttemptOutcome,
    pub(super) state: TaskState,
    pub(super) end: Option<EndReason>,
    pub(super) queued: Option<QueueReason>,
    /// Whether the try counts against `retries`.
    pub(super) counts: bool,
}

impl Verdict {
    pub(super) fn ended(
        outcome: AttemptOutcome,
        state: TaskState,
        end: Option<EndReason>,
        counts: bool,
    ) -> Self {
        Self { outcome, state, end, queued: None, counts }
    }

    fn again(outcome: AttemptOutcome, queued: QueueReason, counts: bool) -> Self {
        Self { outcome, state: TaskState::Queued, end: None, queued: Some(queued), counts }
    }
}

/// Judges what its worker reports of the attempt under way of the task at `index`.
pub(super) fn judge(run: &Run, index: u32, report: &Report, now: TimestampMs) -> Verdict {
    let verdict = stopped_or_not(run, index, report, now);
    // A session that had handed in its result, say, is not stopped by the end of its run.
    match run.swept(index) {
        Some(reason) if verdict.state == TaskState::Queued => {
            Verdict::ended(verdict.outcome, TaskState::Cancelled, Some(reason.clone()), false)
        }
        _ => verdict,
    }
}

/// Judges an attempt that the coordinator of an earlier term knew to be over, as it granted a newer one, and of whose end nothing is known.
pub(super) fn superseded(run: &Run, index: u32, report: &Report, now: TimestampMs) -> Verdict {
    match judge(run, index, report, now) {
        Verdict { outcome: outcome @ AttemptOutcome::Lost { .. }, state: TaskState::Error, .. } => {
            let queued = QueueReason::Lost { detail: outcome.detail() };
            Verdict::again(outcome, queued, false)
        }
        verdict => verdict,
    }
}

fn stopped_or_not(run: &Run, index: u32, report: &Report, now: TimestampMs) -> Verdict {
    let stopping = run.entry(index).live.as_ref().and_then(|live| live.stopping.clone());
    match stopping {
        None => own_end(run, index, report.outcome.clone(), report, now),
        Some(Stop::HandedIn { .. }) => {
            let outcome = handed_in(run.spec(index), report);
            own_end(run, index, outcome, report, now)
        }
        Some(Stop::For(EndReason::Blocked { prompt, detail })) => {
            let cause = FailureCause::Blocked { prompt, detail };
            failed(run, index, AttemptOutcome::Failed { cause }, Allowance::ByFile, now)
        }
        Some(Stop::For(EndReason::LoggedOut { account, retryable, detail })) => {
            logged_out(run, index, account, retryable, &detail, now)
        }
        // A program may take the signal for a wish to end well: it was skipped none the less.
        Some(Stop::For(end @ EndReason::Skipped { .. })) => {
            Verdict::ended(report.outcome.clone(), TaskState::Completed, Some(end), false)
        }
        Some(Stop::For(end)) => match &report.outcome {
            // The session had ended before the kill: a worker reports a session that it killed as cancelled.
            AttemptOutcome::Succeeded => own_end(run, index, AttemptOutcome::Succeeded, report, now),
            outcome => Verdict::ended(outcome.clone(), TaskState::Cancelled, Some(end), false),
        },
    }
}

/// The end of an attempt that nothing but itself explains.
fn own_end(run: &Run, index: u32, outcome: AttemptOutcome, report: &Report, now: TimestampMs) -> Verdict {
    let (spec, entry) = (run.spec(index), run.entry(index));
    match &outcome {
        AttemptOutcome::Succeeded => {
            let end = report.cached.clone().map(|from| EndReason::CacheHit { from });
            let state = if end.is_some() { TaskState::Completed } else { TaskState::Succeeded };
            Verdict::ended(outcome, state, end, false)
        }
        // Without a word of ours somebody ended the session beside us: as much as a kill.
        AttemptOutcome::Cancelled => {
            Verdict::ended(outcome, TaskState::Cancelled, Some(EndReason::Killed), false)
        }
        AttemptOutcome::Lost { detail } if spec.retry_lost && entry.lost < LOST_RETRIES_MAX => {
            let queued = QueueReason::Lost { detail: detail.clone() };
            Verdict::again(outcome, queued, false)
        }
        AttemptOutcome::Lost { .. } => {
            let end = EndReason::Attempt { detail: outcome.detail() };
            Verdict::ended(outcome, TaskState::Error, Some(end), false)
        }
        // The process succeeded and the node could not keep its results: not a failure of the task.
        AttemptOutcome::SpawnError { .. } if report.exit.is_some() => {
            failed(run, index, outcome, Allowance::Never, now)
        }
        _ => failed(run, index, outcome, Allowance::ByFile, now),
    }
}

/// Whether `allow_failure` applies to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowance {
    /// It applies: the failure is the task's own, including a missing program or directory.
    ByFile,
    /// It does not apply: the failure is the node's.
    Never,
}

/// Decides on a failure that counts: another attempt if the retry policy has one left.
fn failed(run: &Run, index: u32, outcome: AttemptOutcome, allowance: Allowance, now: TimestampMs) -> Verdict {
    let (spec, entry) = (run.spec(index), run.entry(index));
    let detail = outcome.detail();
    let failures = entry.failures + 1;
    if failures <= spec.retries.count && is_repeated(&spec.retries, &outcome) {
        let attempt = entry.attempts;
        let delay_ms = delay_ms(&spec.retries, failures, run.id(), &spec.id, attempt);
        let at_ms = now.saturating_add(i64::try_from(delay_ms).unwrap_or(i64::MAX));
        return Verdict::again(outcome, QueueReason::RetryAt { at_ms, after: detail }, true);
    }
    let (state, end) = match &outcome {
        _ if spec.allow_failure && allowance == Allowance::ByFile => {
            (TaskState::Completed, EndReason::AllowedFailure { detail })
        }
        AttemptOutcome::Failed { .. } => (TaskState::Failed, EndReason::Attempt { detail }),
        _ => (TaskState::Error, EndReason::Attempt { detail }),
    };
    Verdict::ended(outcome, state, Some(end), true)
}

/// What an attempt counts as whose result was handed in. However its session ended then, it is a success,
/// where what it declares is there. A limit that had ended the session before the hand-in wins.
fn handed_in(spec: &Task, report: &Report) -> AttemptOutcome {
    let missing = spec.outputs.keys().find(|name| !report.outputs.contains_key(*name));
    match (&report.outcome, missing) {
        (AttemptOutcome::Lost { .. }, None) if spec.artifacts.is_empty() => AttemptOutcome::Succeeded,
        (
            known @ (AttemptOutcome::Succeeded
            | AttemptOutcome::Lost { .. }
            | AttemptOutcome::SpawnError { .. }
            | AttemptOutcome::Failed {
                cause:
                    FailureCause::Outputs { .. }
                    | FailureCause::Input { .. }
                    | FailureCause::Timeout { .. }
                    | FailureCause::Idle { .. },
            }),
            _,
        ) => known.clone(),
        (_, None) => AttemptOutcome::Succeeded,
        (_, Some(name)) => {
            let detail = format!("it handed in its result without the output `{name}`, which it declares");
            AttemptOutcome::Failed { cause: FailureCause::Outputs { detail } }
        }
    }
}

/// Its program was not logged in: a few more tries, which do not count.
fn logged_out(
    run: &Run,
    index: u32,
    account: String,
    retryable: bool,
    detail: &str,
    now: TimestampMs,
) -> Verdict {
    let tries = run.entry(index).logins() + 1;
    let live = run.entry(index).live.as_ref();
    // What one node lacks, another one may have.
    let (tries_max, retryable) = match live.is_some_and(|live| live.node != run.facts().owner) {
        true => (REMOTE_LOGIN_TRIES_MAX, true),
        false => (LOGIN_TRIES_MAX, retryable),
    };
    let again = retryable && tries < tries_max;
    let detail = match (again, retryable) {
        (true, _) => format!("not logged in to `{account}` (try {tries} of {tries_max}): {detail}"),
        (_, true) => {
            format!("MAX_ATTEMPTS_EXCEEDED: not logged in to `{account}` in {tries} tries: {detail}")
        }
        _ => format!("not logged in to `{account}`: {detail}"),
    };
    let cause = FailureCause::Login { account, tries, detail: detail.clone() };
    let outcome = AttemptOutcome::Failed { cause };
    if !again {
        return failed(run, index, outcome, Allowance::ByFile, now);
    }
    let delay_ms = (LOGIN_DELAY_MS << (tries - 1).min(5)).min(LOGIN_DELAY_MAX_MS);
    let at_ms = now.saturating_add(delay_ms);
    Verdict::again(outcome, QueueReason::RetryAt { at_ms, after: detail }, false)
}

/// Whether such an end is one that the policy repeats.
fn is_repeated(policy: &RetryPolicy, outcome: &AttemptOutcome) -> bool {
    let matches = |on: &RetryOn| match (on, outcome) {
        (RetryOn::Error, AttemptOutcome::SpawnError { .. }) => true,
        (_, AttemptOutcome::Failed { cause }) => match (on, cause) {
            (RetryOn::Exit(code), FailureCause::Exit { status }) => *status == ExitStatus::Code(*code),
            (RetryOn::Signal, FailureCause::Exit { status: ExitStatus::Signal(_) })
            | (RetryOn::Timeout, FailureCause::Timeout { .. } | FailureCause::Idle { .. })
            | (RetryOn::Outputs, FailureCause::Outputs { .. })
            | (RetryOn::Blocked, FailureCause::Blocked { .. })
            | (RetryOn::RateLimit, FailureCause::Blocked { prompt: PromptKind::RateLimit, .. })
            | (RetryOn::Login, FailureCause::Login { .. }) => true,
            _ => false,
        },
        _ => false,
    };
    let login = matches!(outcome, AttemptOutcome::Failed { cause: FailureCause::Login { .. } });
    // It had tries of its own, and more of them want to be asked for.
    (policy.on.is_empty() && !login) || policy.on.iter().any(matches)
}

/// How long a task waits whose grant was refused `refusals` times before this one, ms.
pub(super) fn refused_delay_ms(refusals: u32) -> i64 {
    (1000 << refusals.min(5)).min(REFUSED_DELAY_MAX_MS)
}

/// How long to wait after the `failures`th counted failure (from 1), ms.
pub(super) fn delay_ms(policy: &RetryPolicy, failures: u32, run: RunId, task: &TaskId, attempt: u32) -> u64 {
    let whole = match policy.backoff {
        Backoff::Fixed => policy.delay_ms,
        Backoff::Exponential => {
            let factor = 1u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
            policy.delay_ms.saturating_mul(factor)
        }
    };
    let whole = whole.min(policy.max_delay_ms);
    if !policy.jitter {
        return whole;
    }
    let half = whole / 2;
    half + scatter(run, task, attempt) % (whole - half + 1)
}

/// A number that differs from attempt to attempt and is the same on every machine: FNV-1a, its bits then
/// mixed, since the low ones of neighbouring attempts are alike.
fn scatter(run: RunId, task: &TaskId, attempt: u32) -> u64 {
    let run = run.0.0.to_be_bytes();
    let bytes = run.iter().chain(task.as_str().as_bytes()).copied().chain(attempt.to_be_bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(backoff: Backoff, jitter: bool) -> RetryPolicy {
        RetryPolicy { count: 9, backoff, delay_ms: 1000, max_delay_ms: 10_000, jitter, on: Vec::new() }
    }

    fn delays(policy: &RetryPolicy) -> Vec<u64> {
        let (run, task) = (RunId::from_parts(1, 1), TaskId::new("a").unwrap());
        (1..=6).map(|n| delay_ms(policy, n, run, &task, n)).collect()
    }

    #[test]
    fn delays_grow_to_their_limit() {
        assert_eq!(delays(&policy(Backoff::Fixed, false)), [1000; 6]);
        assert_eq!(delays(&policy(Backoff::Exponential, false)), [1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 99].map(refused_delay_ms),
            [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
        );
    }

    #[test]
    fn jitter_scatters_and_repeats() {
        let jittered = delays(&policy(Backoff::Fixed, true));
        assert_eq!(jittered, delays(&policy(Backoff::Fixed, true)));
        assert!(jittered.windows(2).any(|pair| pair[0] != pair[1]), "{jittered:?}");
    }

    proptest! {
        #[test]
        fn a_delay_lies_in_its_second_half(
            delay_ms in any::<u64>(), max_delay_ms in any::<u64>(), failures in 1u32..200, attempt in 1u32.., seed in any::<u64>(),
        ) {
            let (run, task) = (RunId::from_parts(seed, u128::from(seed)), TaskId::new("a").unwrap());
            let plain = RetryPolicy { count: 1, backoff: Backoff::Exponential, delay_ms, max_delay_ms, jitter: false, on: Vec::new() };
            let whole = super::delay_ms(&plain, failures, run, &task, attempt);
            let drawn = super::delay_ms(&RetryPolicy { jitter: true, ..plain }, failures, run, &task, attempt);
            prop_assert!(whole <= max_delay_ms);
            prop_assert!((whole / 2..=whole).contains(&drawn), "{drawn} of {whole}");
        }
    }
}
