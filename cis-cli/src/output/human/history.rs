//! The history of a run for people.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use cis_core::api::{HistoryAction, HistoryEntry};
use cis_core::event::{Actor, ActorKind, Via};
use cis_core::ids::{SessionId, TimestampMs};

use crate::output::style::{BOLD, DIM};
use crate::output::table::{Table, cell, plain};

/// Maximum number of entries in the output of `show` and `why`.
const RECENT_MAX: usize = 10;

/// The end of the year 9999, Unix ms: later times cannot be formatted, and room events may claim any time.
const LATEST_MS: TimestampMs = 253_402_300_799_999;

/// Formats a moment in UTC, with ms. Later times than the year 9999 are shown as its end.
pub(crate) fn moment(at_ms: TimestampMs) -> String {
    let since = Duration::from_millis(u64::try_from(at_ms.min(LATEST_MS)).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// Formats an actor in few characters.
pub(crate) fn actor(actor: &Actor) -> String {
    match actor.kind {
        ActorKind::Session => match actor.name.parse::<SessionId>() {
            Ok(session) => format!("session {}", session.short()),
            Err(_) => actor.name.clone(),
        },
        ActorKind::Human | ActorKind::Node | ActorKind::Policy => actor.name.clone(),
    }
}

fn way(actor: &Actor) -> &'static str {
    match actor.via {
        Via::Socket => "socket",
        Via::Room => "room",
        Via::Http => "http",
        Via::Internal => "",
    }
}

/// `cis dag history`.
pub(crate) fn history(entries: &[HistoryEntry]) -> String {
    if entries.is_empty() {
        return "No entries match.\n".to_owned();
    }
    let mut table = Table::new(&["TIME", "BY", "VIA", "ACTION", "TASK", "DETAIL"]);
    for entry in entries {
        let who = entry.actor.as_ref();
        table.row(vec![
            cell(moment(entry.at_ms), DIM),
            plain(who.map_or_else(|| "node".to_owned(), actor)),
            plain(who.map(way).unwrap_or_default()),
            cell(entry.action.as_str(), BOLD),
            plain(entry.task.as_ref().map(ToString::to_string).unwrap_or_default()),
            plain(details(entry)),
        ]);
    }
    table.render()
}

/// Returns the question, the answer or comment, and the result.
fn details(entry: &HistoryEntry) -> String {
    let first_line = |text: &String| text.lines().next().unwrap_or_default().to_owned();
    let question = entry.question.as_ref().map(first_line).filter(|question| !question.is_empty());
    let text = entry.text.as_ref().map(first_line);
    let mut out = match (question, text) {
        (Some(question), Some(text)) => format!("{question} → {text}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => String::new(),
    };
    if let Some(comment) = &entry.comment {
        let _ = write!(out, " \u{201c}{}\u{201d}", first_line(comment));
    }
    if let Some(result) = &entry.result {
        let _ = write!(out, " ({})", first_line(result));
    }
    out.trim_start().to_owned()
}

/// Returns the newest entries for the output of `show` and `why`; nothing if the run was only created and
/// started.
pub(crate) fn recent_history(entries: &[HistoryEntry], more: &str) -> String {
    let usual = [HistoryAction::Created, HistoryAction::Started];
    let unusual: Vec<HistoryEntry> =
        entries.iter().filter(|entry| !usual.contains(&entry.action)).cloned().collect();
    if unusual.is_empty() {
        return String::new();
    }
    let newest = &unusual[unusual.len().saturating_sub(RECENT_MAX)..];
    let mut out = format!("\n{BOLD}History{BOLD:#}");
    if newest.len() < unusual.len() {
        let _ = write!(out, " {DIM}(the newest {} of {}; all: {more}){DIM:#}", newest.len(), unusual.len());
    }
    out.push('\n');
    for line in history(newest).lines() {
        let _ = writeln!(out, "  {line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "calls are shorter so")]
    fn entry(action: &str, more: serde_json::Value) -> HistoryEntry {
        let mut entry = json!({
            "offset": 1, "at_ms": 1_795_188_505_117_i64, "action": action,
            "actor": { "kind": "human", "name": "uid:1000", "via": "socket" },
        });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(entry).unwrap()
    }

    #[test]
    fn a_table_has_time_actor_channel_and_result() {
        let ann = json!({ "kind": "human", "name": "@ann:example.org", "via": "room" });
        let rule = json!({ "kind": "policy", "name": "on_blocked", "via": "internal" });
        let entries = [
            entry("created", json!({ "text": "ship.toml" })),
            entry(
                "approved",
                json!({ "actor": ann, "task": "deploy", "question": "Go?", "comment": "fine" }),
            ),
            entry(
                "answered",
                json!({
                    "actor": rule, "task": "ask", "question": "Proceed? [y/n]\nnow", "text": "n", "result": "typed 2 bytes",
                }),
            ),
            entry("cancelled", json!({ "result": "the run ended as cancelled" })),
        ];
        let text = history(&entries) + recent_history(&entries, "cis dag history 4r1xec").as_str();
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string(), @r#"
        TIME                      BY                VIA     ACTION     TASK    DETAIL
        2026-11-20T15:28:25.117Z  uid:1000          socket  created            ship.toml
        2026-11-20T15:28:25.117Z  @ann:example.org  room    approved   deploy  Go? “fine”
        2026-11-20T15:28:25.117Z  on_blocked                answered   ask     Proceed? [y/n] → n (typed 2 bytes)
        2026-11-20T15:28:25.117Z  uid:1000          socket  cancelled          (the run ended as cancelled)

        History
          TIME                      BY                VIA     ACTION     TASK    DETAIL
          2026-11-20T15:28:25.117Z  @ann:example.org  room    approved   deploy  Go? “fine”
          2026-11-20T15:28:25.117Z  on_blocked                answered   ask     Proceed? [y/n] → n (typed 2 bytes)
          2026-11-20T15:28:25.117Z  uid:1000          socket  cancelled          (the run ended as cancelled)
        "#);
        assert_eq!(recent_history(&entries[..1], ""), "");
        let many: Vec<HistoryEntry> = (0..12).map(|_| entry("paused", json!({}))).collect();
        assert!(
            recent_history(&many, "cis dag history 4r1xec")
                .contains("newest 10 of 12; all: cis dag history 4r1xec")
        );
    }
}
