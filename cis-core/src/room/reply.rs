//! Quiet replies to what people write: help, listings, logs, screens, and why something was not done.
//!
//! Owns the words. What is looked up for them is the caller's to get, redacted.

use std::collections::BTreeSet;

use super::card::{NAMED_MAX, counted, name, sign, span, took};
use super::command::{Hint, VERBS};
use super::message::Message;
use super::page::{Page, bold, code, own, said};
use super::question;
use crate::api::{InboxItem, NodeView, RoomNodeState, RoomNodeView, RunView};
use crate::identity::Right;
use crate::ids::{RunId, TaskId, TimestampMs};
use crate::people::{Refusal, Role};

/// So many runs are listed.
const RUNS_MAX: usize = 15;
/// So many nodes.
const NODES_MAX: usize = 30;

/// What can be said, by somebody of this role.
#[must_use]
pub fn help(role: Option<Role>) -> Message {
    let mut page = Page::default();
    page.line([own("What you can say here:")]);
    let may = |needed: Role| role.is_some_and(|role| role >= needed);
    let lines = VERBS.iter().filter(|verb| verb.needs.is_none_or(may));
    page.lines(lines.map(|verb| vec![code(verb.usage), own(": "), own(verb.about)]).collect());
    if may(Role::Operator) {
        page.line([own(
            "A question is also answered by a reply to it (a number, a word), or by a reaction: 1\u{fe0f}\u{20e3} \
             2\u{fe0f}\u{20e3} … or ✅ ❌.",
        )]);
    }
    Message::notice(page)
}

/// Why something was not understood or not done, and what would be.
#[must_use]
pub fn hint(hint: &Hint) -> Message {
    words(&hint.says, hint.usage.as_deref())
}

/// Why somebody's words do nothing: a `Refusal` of [`crate::people`], or a `Stale` of [`super::freshness`].
#[must_use]
pub fn not_done(why: &dyn std::fmt::Display) -> Message {
    words(&format!("Not done: {why}."), None)
}

/// A short answer, and what could be typed next.
#[must_use]
pub fn words(text: &str, usage: Option<&str>) -> Message {
    let mut page = Page::default();
    page.text(text);
    if let Some(usage) = usage {
        page.line([code(usage)]);
    }
    Message::notice(page)
}

/// `!cis runs`.
#[must_use]
pub fn runs(runs: &[RunView], now: TimestampMs) -> Message {
    let mut page = Page::default();
    if runs.is_empty() {
        page.line([own("No runs.")]);
    }
    let one = |run: &RunView| {
        let mut line =
            vec![own(sign(run.state)), own(" "), code(&run.id.short()), own(" "), bold(&name(&run.dag))];
        line.extend([own(" "), own(run.state.as_str()), own(", "), said(&counted(&run.counts))]);
        if let Some(took) = took(run, now) {
            line.extend([own(", "), said(&took)]);
        }
        line
    };
    let mut lines: Vec<_> = runs.iter().take(RUNS_MAX).map(one).collect();
    if runs.len() > RUNS_MAX {
        lines.push(vec![said(&format!("… and {} more", runs.len() - RUNS_MAX))]);
    }
    page.lines(lines);
    Message::notice(page)
}

/// `!cis status`: the node, and its open runs.
#[must_use]
pub fn status(node: &NodeView, waiting: usize, now: TimestampMs) -> Message {
    let mut page = Page::default();
    let mut line = vec![bold("cis"), own(" "), said(&name(&node.version))];
    if let Some(started) = node.started_ms {
        line.extend([own(", up "), said(&span(started, now))]);
    }
    page.line(line);
    let s = if node.open_runs == 1 { "" } else { "s" };
    page.line([said(&format!(
        "{} open run{s}, {} of {} sessions, {waiting} waiting for you",
        node.open_runs, node.live_sessions, node.max_sessions
    ))]);
    page.lines(node.warnings.iter().map(|warning| vec![own("! "), said(warning)]).collect());
    Message::notice(page)
}

/// `!cis nodes`: those of one room.
#[must_use]
pub fn nodes(nodes: &[RoomNodeView]) -> Message {
    let mut page = Page::default();
    if nodes.is_empty() {
        page.line([own("No nodes.")]);
    }
    let one = |node: &RoomNodeView| {
        let may = Right::words(&node.may);
        let called = if node.name.is_empty() { "a node" } else { &node.name };
        let mut line = vec![bold(&name(called)), own(" "), own(state(node.state))];
        if !may.is_empty() {
            line.extend([own(", may "), said(&may.join(", "))]);
        }
        if node.slots > 0 {
            line.extend([own(", "), said(&format!("{} of {} sessions", node.sessions, node.slots))]);
        }
        line.extend([own(", "), code(&node.did.0)]);
        line
    };
    let mut lines: Vec<_> = nodes.iter().take(NODES_MAX).map(one).collect();
    if nodes.len() > NODES_MAX {
        lines.push(vec![said(&format!("… and {} more", nodes.len() - NODES_MAX))]);
    }
    page.lines(lines);
    if nodes.iter().any(|node| node.state == RoomNodeState::Pending) {
        page.line([own("An admin lets a pending node in: "), code("!cis trust DID")]);
    }
    Message::notice(page)
}

/// `!cis trust`: what a node may do from now on.
#[must_use]
pub fn let_in(node: &str, may: &BTreeSet<Right>) -> Message {
    let mut page = Page::default();
    page.line([
        bold(&name(node)),
        own(" may "),
        said(&Right::words(may).join(", ")),
        own(" here from now on."),
    ]);
    Message::notice(page)
}

fn state(state: RoomNodeState) -> &'static str {
    match state {
        RoomNodeState::Here | RoomNodeState::Online => "is online",
        RoomNodeState::Draining => "takes no new tasks",
        RoomNodeState::Paused => "is paused",
        RoomNodeState::Silent | RoomNodeState::Unheard => "is not heard",
        RoomNodeState::Pending => "is pending",
        RoomNodeState::Revoked => "is revoked",
        RoomNodeState::Other => "is in a state that this version does not know",
    }
}

/// `!cis logs`: the end of a log.
#[must_use]
pub fn log(of: &str, tail: &str) -> Message {
    shown("Log of", of, tail, "nothing was printed")
}

/// The same of a task that ran on another node, if its log is only there.
#[must_use]
pub fn log_on_node(of: &str, node: &str) -> Message {
    let mut page = Page::default();
    page.line([
        own("The log of "),
        bold(&name(of)),
        own(" is on node "),
        bold(&name(node)),
        own(", which runs or ran the task."),
    ]);
    Message::notice(page)
}

/// `!cis screen`: what a terminal shows.
#[must_use]
pub fn screen(of: &str, rows: &str) -> Message {
    shown("Screen of", of, &crate::text::clean::without_widths(rows), "it is empty")
}

/// Why words or a reaction in an encrypted room decide nothing, and the command that does.
#[must_use]
pub fn by_name(why: &Refusal, item: &InboxItem) -> Message {
    words(&format!("Not done: {why}. This decides it:"), Some(&question::command(item)))
}

/// Why words that name a question, but not by its letters, answer nothing: it was asked after they were written.
#[must_use]
pub fn asked_later(item: &InboxItem) -> Message {
    words("Not done: this was asked after you wrote that. To answer it:", Some(&question::command(item)))
}

/// What is said to a reply to a run's card; `open` is what waits in the run.
#[must_use]
pub fn to_card(run: RunId, open: &[InboxItem]) -> Message {
    let mut page = Page::default();
    page.line([own("This card asks nothing, so a reply to it does nothing.")]);
    let one = |item: &InboxItem| {
        let what = item.task.as_ref().map_or("a session", TaskId::as_str);
        vec![own("• "), bold(what), own(": "), code(&question::command(item))]
    };
    if open.is_empty() {
        page.line([own("Nothing in this run waits for an answer now.")]);
    } else {
        let mut lines = vec![vec![own("Reply to the question itself, or write:")]];
        lines.extend(open.iter().take(NAMED_MAX).map(one));
        page.lines(lines);
    }
    let cancel = format!("!cis cancel {}", run.short());
    page.line([own("More: "), code("!cis help"), own(", "), code(&cancel)]);
    Message::notice(page)
}

fn shown(what: &'static str, of: &str, text: &str, empty: &'static str) -> Message {
    let mut page = Page::default();
    if crate::text::clean::block(text).is_empty() {
        page.line([own(what), own(" "), bold(&name(of)), own(": "), own(empty)]);
    } else {
        page.line([own(what), own(" "), bold(&name(of))]);
        page.code(text);
    }
    Message::notice(page)
}

#[cfg(test)]
mod tests;
