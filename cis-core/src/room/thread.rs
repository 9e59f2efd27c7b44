//! What is said in the thread of a run's card: failures with the end of their log, how waiting ended, and
//! a summary at the end.
//!
//! Owns the words. All of them are quiet but the end of a run that failed, which rings in the main timeline as a question
//! does ([`super::question`]). Of many failures at once one message tells.

use serde_json::json;

use super::card::{count_failed, counted, name, sign, took, why_failed};
use super::message::Message;
use super::page::{Page, Span, bold, called, code, link, own, said};
use crate::api::{InboxItem, RunView, TaskView};
use crate::event::TaskState;
use crate::ids::{TaskId, TimestampMs};
use crate::matrix::{Place, UserId};

/// So many failures are told with the end of their log; of others one line each.
const TAILS_MAX: usize = 3;
/// So many failures are named in one message.
pub const FAILURES_MAX: usize = 40;

/// A task that did not end well.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The task.
    pub task: &'a TaskView,
    /// The end of its log as text, redacted; empty: nothing was printed, or it is not told here.
    pub tail: &'a str,
    /// The log has more than that.
    pub has_more: bool,
    /// The node that has the log, if it is another one.
    pub log_on: Option<&'a str>,
}

/// Tasks that failed since the last message of this kind. None: nothing is to be said.
#[must_use]
pub fn failures(failures: &[Failure<'_>], run: &RunView) -> Option<Message> {
    if failures.is_empty() {
        return None;
    }
    let mut page = Page::default();
    if failures.len() > 1 {
        page.line([own("✗ "), bold(&format!("{} tasks", failures.len())), own(" did not end well")]);
    }
    for failure in failures.iter().take(TAILS_MAX) {
        let task = failure.task;
        let mut line = vec![own("✗ "), bold(task.id.as_str()), own(" "), own(task.state.as_str())];
        line.extend([own(": "), said(&why_failed(task))]);
        if task.attempts > 1 {
            line.extend([own(" "), said(&format!("(try {})", task.attempts))]);
        }
        page.line(line);
        page.code(failure.tail);
        if let Some(node) = failure.log_on {
            page.line([own("Its log is on node "), bold(node), own(".")]);
        }
    }
    let others = failures.iter().skip(TAILS_MAX).take(FAILURES_MAX);
    page.lines(others.map(|failure| one_line(failure.task)).collect());
    let more = failures.len().saturating_sub(TAILS_MAX + FAILURES_MAX);
    if more > 0 {
        page.line([said(&format!("… and {more} more"))]);
    }
    // A log that is not shown, or only in part.
    let is_cut = |(at, failure): &(usize, &Failure<'_>)| {
        failure.has_more || (*at >= TAILS_MAX && !failure.tail.is_empty())
    };
    if let Some((_, failure)) = failures.iter().enumerate().find(is_cut) {
        let logs = format!("!cis logs {}:{}", run.id.short(), failure.task.id);
        page.line([own("More of it: "), code(&logs)]);
    }
    Some(Message::notice(page))
}

fn one_line(task: &TaskView) -> Vec<Span> {
    vec![own("• "), bold(task.id.as_str()), own(": "), said(&why_failed(task))]
}

/// The end of a run: how, how long, and what did not end well. Of `tasks` those are enough that did not, and of them the
/// first [`FAILURES_MAX`].
#[must_use]
pub fn summary(run: &RunView, tasks: &[TaskView], now: TimestampMs) -> Message {
    Message::notice(ending(run, tasks, None, now)).beside(SUMMARY, beside(run))
}

/// The end of a run that failed, as a message that rings for these people. It stands in the main timeline, and leads to
/// the run's card.
#[must_use]
pub fn failed_run(
    run: &RunView,
    tasks: &[TaskView],
    card: Option<&Place>,
    people: &[UserId],
    now: TimestampMs,
) -> Message {
    let mut page = ending(run, tasks, card, now);
    page.lines(called(people).into_iter().collect());
    Message::ringing(page, people).beside(SUMMARY, beside(run))
}

/// By this programs know a summary.
const SUMMARY: &str = "cis.dag.summary";

fn beside(run: &RunView) -> serde_json::Value {
    json!({ "v": 1, "run": run.id, "state": run.state })
}

fn ending(run: &RunView, tasks: &[TaskView], card: Option<&Place>, now: TimestampMs) -> Page {
    let mut page = Page::default();
    let dag = match card {
        Some(card) => link(&name(&run.dag), card),
        None => bold(&name(&run.dag)),
    };
    let mut line = vec![own(sign(run.state)), own(" "), dag, own(" "), bold(run.state.as_str())];
    if let Some(took) = took(run, now) {
        line.extend([own(" after "), said(&took)]);
    }
    line.extend([own(": "), said(&counted(&run.counts))]);
    page.line(line);
    if let Some(detail) = &run.detail {
        page.line([said(detail)]);
    }
    let bad = |task: &&TaskView| matches!(task.state, TaskState::Failed | TaskState::Error);
    let failed: Vec<&TaskView> = tasks.iter().filter(bad).collect();
    page.lines(failed.iter().take(FAILURES_MAX).map(|task| one_line(task)).collect());
    let more = count_failed(&run.counts).saturating_sub(failed.len().min(FAILURES_MAX));
    if more > 0 {
        page.line([said(&format!("… and {more} more"))]);
    }
    if !failed.is_empty() {
        page.line([own("Again: "), code(&format!("!cis retry {}", run.id.short()))]);
    }
    page
}

/// A session of the run no longer waits. None: it still does.
#[must_use]
pub fn waiting_ended(item: &InboxItem) -> Option<Message> {
    let closed = item.closed.as_ref()?;
    let mut page = Page::default();
    let mut line = vec![bold(item.task.as_ref().map_or("a session", TaskId::as_str))];
    line.extend([own(" ("), own(item.kind.as_str()), own("): ")]);
    line.extend(super::question::ending(item, closed));
    page.line(line);
    Some(Message::notice(page))
}

#[cfg(test)]
mod tests;
