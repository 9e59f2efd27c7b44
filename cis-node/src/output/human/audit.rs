//! What a look at a whole room found.

use std::fmt::Write as _;

use cis_core::api::{AuditReport, AuditedNode, AuditedRun, HereAs};

use crate::output::clean::clean;
use crate::output::style::{ATTENTION, BOLD, DIM};
use crate::output::table::{Cell, Table, cell, plain};

/// `cis matrix audit`.
pub(crate) fn audited(report: &AuditReport) -> String {
    let mut out = format!("{BOLD}{}{BOLD:#}: {} events\n", clean(&report.room_id), report.events);
    if report.nodes.is_empty() {
        out.push_str("No node wrote there.\n");
    } else {
        let mut table = Table::new(&["NODE", "STANDING", "MESSAGES", "NOTE"]);
        for node in &report.nodes {
            let standing = if node.standing == "unknown" { "not trusted" } else { &node.standing };
            table.row(vec![
                cell(clean(&node.did.0), BOLD),
                plain(clean(standing)),
                plain(node.envelopes.to_string()),
                of_node(node),
            ]);
        }
        let _ = write!(out, "\n{}", table.render());
    }
    if !report.runs.is_empty() {
        let mut table = Table::new(&["RUN", "DAG", "STATE", "ENTRIES", "HERE", "NOTE"]);
        for run in &report.runs {
            table.row(of_run(run));
        }
        let _ = write!(out, "\n{}", table.render());
    }
    out.push('\n');
    for refused in &report.refused {
        let (event, sender) = (clean(&refused.event), clean(&refused.sender));
        let _ = writeln!(out, "{DIM}changes nothing{DIM:#}: {event} of {sender}: {}", clean(&refused.why));
    }
    let named = report.refused.len() as u64;
    if report.refused_count > named {
        let _ =
            writeln!(out, "{DIM}changes nothing{DIM:#}: {} more like these", report.refused_count - named);
    }
    if report.unreadable > 0 {
        let _ = writeln!(
            out,
            "{ATTENTION}not read{ATTENTION:#}: {} events that this device has no keys for",
            report.unreadable
        );
    }
    let nobody = !report.nodes.iter().any(|node| node.counts);
    out.push_str(match (nobody, report.is_whole()) {
        (true, true) if !report.nodes.is_empty() => {
            "Nobody who wrote there is trusted here: `cis identity trust DID`, then again.\n"
        }
        (true, true) => "There is nothing to check.\n",
        (false, true) => "Every signature is right, and nothing is missing.\n",
        (_, false) => "Not all of it is there: see the notes.\n",
    });
    out
}

fn of_node(node: &AuditedNode) -> Cell {
    let mut notes = Vec::new();
    if node.missing > 0 {
        notes.push(format!("{} are missing", node.missing));
    }
    if node.doubled > 0 {
        notes.push(format!("{} numbers were given twice: does a copy of it run?", node.doubled));
    }
    if !notes.is_empty() {
        return cell(notes.join("; "), ATTENTION);
    }
    match node.copies {
        0 => plain(""),
        copies => plain(format!("{copies} sent again, which count once")),
    }
}

fn of_run(run: &AuditedRun) -> Vec<Cell> {
    let here = match run.here {
        Some(HereAs::Same) => plain("the same"),
        Some(HereAs::Ahead) => plain("goes on"),
        Some(HereAs::Differs) => cell("another", ATTENTION),
        None => plain("unknown"),
    };
    let note = match run.lacks.as_slice() {
        [] => plain(""),
        [one] => cell(clean(one), ATTENTION),
        [first, more @ ..] => cell(format!("{}, and {} more", clean(first), more.len()), ATTENTION),
    };
    let state = run.state.map_or("?", |state| state.as_str());
    vec![
        cell(run.run.short(), BOLD),
        plain(clean(&run.dag)),
        plain(state),
        plain(run.entries.to_string()),
        here,
        note,
    ]
}
