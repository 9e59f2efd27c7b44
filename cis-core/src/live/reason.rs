//! Why a task is in its state, in words.

use std::fmt::Write as _;

use crate::event::{AttemptResult, EndReason, QueueReason};
use crate::ids::TimestampMs;
use crate::text;

/// Said of a queued task about which nothing else is to be said.
pub const TURN: &str = "waits for its turn";

/// Why a task is in its state, for people. None where it goes without saying: that it waits for its turn is
/// what thousands of rows would hold.
#[must_use]
pub fn reason(end: Option<&EndReason>, queued: Option<&QueueReason>, now_ms: TimestampMs) -> Option<String> {
    if let Some(end) = end {
        return Some(end.to_string());
    }
    let delay = |at_ms: TimestampMs| text::duration(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0));
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = match queued? {
        QueueReason::Slot | QueueReason::Withdrawn => return None,
        QueueReason::RetryAt { at_ms, after } => {
            write!(out, "{after}; the next try comes {} later", delay(*at_ms))
        }
        QueueReason::Resources { at_ms, detail } => {
            write!(out, "the machine is short of something ({detail}); tried again {} later", delay(*at_ms))
        }
        QueueReason::Lost { detail } => write!(out, "its session was lost ({detail}); it runs again"),
        QueueReason::Group { name } => write!(out, "waits for its turn in group `{name}`"),
        QueueReason::Approval { prompt, .. } => write!(out, "waits for approval: {prompt}"),
        QueueReason::Items { count } => write!(out, "its {count} items are at work"),
        QueueReason::Account { name, until_ms } => {
            write!(out, "account `{name}` is logged out; it is tried again {} later", delay(*until_ms))
        }
    };
    Some(out)
}

/// Words the reason of a task whose attempt ended, with the output that was lost, and why the result is not in the cache.
#[must_use]
pub fn reason_of_result(result: &AttemptResult, now_ms: TimestampMs) -> Option<String> {
    let detail = result.outcome.detail();
    let why = reason(result.end.as_ref(), result.queued.as_ref(), now_ms)
        .or_else(|| (!detail.is_empty() && result.state.is_terminal()).then_some(detail));
    let lost = result.lost_output.as_ref().map(ToString::to_string);
    let not_cached = result.not_cached.as_ref().map(|why| format!("not in the cache: {why}"));
    let parts: Vec<String> = [why, lost, not_cached].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
