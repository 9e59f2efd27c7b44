//! Why the monitor thinks of a session what it does.

use std::fmt::Write as _;

use cis_core::api::ExplainView;
use cis_core::event::Layer;
use cis_core::ids::TimestampMs;
use cis_core::monitor::Verdict;

use super::span;
use crate::output::clean::{clean, clean_lines};
use crate::output::style::{ATTENTION, BOLD, DIM};

/// `cis dag explain`.
pub(crate) fn explain(view: &ExplainView, now: TimestampMs) -> String {
    let mut out = String::new();
    let explanation = &view.explanation;
    let _ = write!(out, "{BOLD}{}{BOLD:#} ", view.session.short());
    match (&explanation.verdict, &view.item) {
        (Some(verdict), _) => waits(&mut out, verdict, now),
        (None, Some(_)) if explanation.layers.iter().any(|layer| layer.layer == Layer::Asked) => {
            let _ = writeln!(out, "{ATTENTION}waits{ATTENTION:#}: it asked by itself");
        }
        (None, Some(_)) => {
            let _ = writeln!(out, "{ATTENTION}waits{ATTENTION:#}, as was last seen: not looked at again yet");
        }
        (None, None) => {
            let _ = writeln!(out, "does not wait for a human, as far as is known");
        }
    }
    if let Some(item) = &view.item {
        let _ = writeln!(out, "  item     {item} {DIM}(cis inbox show {item}){DIM:#}");
    }
    let _ = writeln!(out, "  profile  {}", clean(&explanation.profile));
    for sentence in &explanation.because {
        let _ = writeln!(out, "  because  {}", clean(sentence));
    }
    for layer in &explanation.layers {
        let says = layer.says.map_or("nothing", |kind| kind.as_str());
        let at = layer.at_ms.map(|at| format!(", {} ago", span(at, now))).unwrap_or_default();
        let _ = writeln!(out, "\n{BOLD}{}{BOLD:#} says {says}{DIM}{at}{DIM:#}", layer.layer);
        for sentence in &layer.seen {
            let _ = writeln!(out, "  {}", clean(sentence));
        }
    }
    if !explanation.what_if.is_empty() {
        let _ = writeln!(out, "\n{BOLD}what would change this{BOLD:#}");
    }
    for sentence in &explanation.what_if {
        let _ = writeln!(out, "  {}", clean(sentence));
    }
    out
}

fn waits(out: &mut String, verdict: &Verdict, now: TimestampMs) {
    let (kind, sure) = (verdict.kind, verdict.confidence);
    let since = span(verdict.since_ms, now);
    let _ = write!(
        out,
        "{ATTENTION}waits{ATTENTION:#}: {kind} ({sure} % sure, by {}, for {since})",
        verdict.layer
    );
    let _ = writeln!(out, "\n  prompt   {} {DIM}(hash {}){DIM:#}", verdict.episode, clean(&verdict.hash));
    if !verdict.question.is_empty() {
        let _ = writeln!(out, "  question {}", clean_lines(&verdict.question).replace('\n', "\n           "));
    }
    for option in &verdict.options {
        let meaning = option.meaning.map(|meaning| format!(" ({meaning})")).unwrap_or_default();
        let _ =
            writeln!(out, "  option   {} {}{DIM}{meaning}{DIM:#}", clean(&option.id), clean(&option.label));
    }
}
