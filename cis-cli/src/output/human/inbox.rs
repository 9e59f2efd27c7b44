//! Items of the inbox and threads, as people read them.

use std::fmt::Write as _;

use cis_core::api::{InboxItem, ThreadMessage};
use cis_core::event::{PromptKind, Urgency};
use cis_core::ids::TimestampMs;

use super::span;
use crate::output::clean::{clean, clean_lines};
use crate::output::style::{ATTENTION, BOLD, DIM};

/// `cis inbox`.
pub(crate) fn inbox(items: &[InboxItem], now: TimestampMs) -> String {
    if items.is_empty() {
        return "Nothing waits for you.\n".to_owned();
    }
    let blocks: Vec<String> = items.iter().map(|item| inbox_item(item, now)).collect();
    blocks.join("\n")
}

/// One item: what, whose, since when, the question, what can be said, and how.
pub(crate) fn inbox_item(item: &InboxItem, now: TimestampMs) -> String {
    let mut out = String::new();
    let kind = item.ask_type.map_or(item.kind.as_str(), cis_core::event::AskType::as_str);
    let _ = write!(out, "{BOLD}{}{BOLD:#} {ATTENTION}{kind}{ATTENTION:#} of {}", item.id, whose(item));
    let _ = write!(out, ", {}", span(item.since, now));
    if item.confidence < 100 {
        let _ = write!(out, " {DIM}({} % sure){DIM:#}", item.confidence);
    }
    if item.urgency == Urgency::High {
        let _ = write!(out, " {ATTENTION}urgent{ATTENTION:#}");
    }
    out.push('\n');
    for line in clean_lines(&item.question).lines() {
        let _ = writeln!(out, "  {line}");
    }
    for option in &item.options {
        let said = option.label.to_lowercase().replace([' ', '-'], "_");
        let meaning = option.meaning.filter(|meaning| meaning.as_str() != said);
        let meaning = meaning.map(|meaning| format!(" {DIM}({meaning}){DIM:#}")).unwrap_or_default();
        if option.id == option.label {
            let _ = writeln!(out, "  - {}{meaning}", clean(&option.label));
        } else {
            let _ = writeln!(out, "  {}. {}{meaning}", clean(&option.id), clean(&option.label));
        }
    }
    if let Some(by) = &item.answered_by {
        let _ = writeln!(
            out,
            "  answered by {}, and it still waits: the answer may not have been typed (cis answer {} --again …)",
            clean(by),
            item.id
        );
    }
    if let Some(until) = item.until_ms {
        let _ = writeln!(out, "  {DIM}decided by itself in {}{DIM:#}", span(now, until));
    }
    match &item.closed {
        None => {
            let _ = writeln!(out, "  {DIM}{}{DIM:#}", how_to(item));
        }
        Some(closed) => {
            let by = closed.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            let text = closed.text.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            let how = format!("{}{by} {} ago{text}", closed.how, span(closed.at_ms, now));
            let _ = writeln!(out, "  {}", clean(&how));
        }
    }
    out
}

fn whose(item: &InboxItem) -> String {
    match (&item.task, item.run, item.session) {
        (Some(task), Some(run), _) => format!("task {task} in run {}", run.short()),
        (_, _, Some(session)) => format!("session {}", session.short()),
        _ => "nobody".to_owned(),
    }
}

/// The command that answers it.
fn how_to(item: &InboxItem) -> String {
    let id = &item.id;
    // What is typed into an editor becomes text of what it edits.
    if matches!(item.kind, PromptKind::Password | PromptKind::Editor) {
        let session = item.session.map(|session| session.short()).unwrap_or_default();
        return format!("cis dag attach {session}");
    }
    match item.options.first() {
        Some(option) => format!("cis answer {id} {}", clean(&option.id)),
        None if item.kind == PromptKind::Pager => format!("cis answer {id} --keys q"),
        None => format!("cis answer {id} --text …"),
    }
}

/// The screen of an item, and what was said in its thread (`cis inbox show`).
pub(crate) fn inbox_details(item: &InboxItem, thread: &[ThreadMessage], now: TimestampMs) -> String {
    let mut out = inbox_item(item, now);
    if !item.screen.is_empty() {
        out.push_str("\nIts screen:\n");
        out.push_str(&screen(&item.screen));
    }
    if thread.len() > 1 || (item.closed.is_some() && !thread.is_empty()) {
        out.push_str("\nThread:\n");
        for message in thread {
            let by = message.by.get(message.by.len().saturating_sub(6)..).filter(|_| message.by.len() == 26);
            let by = by.unwrap_or(&message.by);
            let text = message.text.replace('\n', "\n    ");
            let _ = writeln!(
                out,
                "  {DIM}{} ago{DIM:#} {} {}: {}",
                span(message.at_ms, now),
                clean(by),
                clean(&message.what),
                clean_lines(&text)
            );
        }
    }
    out
}

/// Rows of a screen, told from our own words.
pub(crate) fn screen(rows: &str) -> String {
    clean_lines(rows).lines().map(|line| format!("  │ {line}\n")).collect()
}
