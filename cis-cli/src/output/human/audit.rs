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
    out.push_str(&verdict(report));
    out
}

/// The last line: what follows for whoever relies on the room.
fn verdict(report: &AuditReport) -> String {
    let nobody = !report.nodes.iter().any(|node| node.counts);
    let refused = match report.refused_count {
        0 => String::new(),
        1 => " 1 event is forged, copied or not signed: it changes nothing, but its sender can write to this room.".to_owned(),
        count => format!(
            " {count} events are forged, copied or not signed: they change nothing, but their senders can write to this room."
        ),
    };
    let found = match (nobody, report.is_whole()) {
        (_, false) => "Not all of it is there: see the notes.",
        (true, true) if !report.nodes.is_empty() => {
            "No node that wrote to this room is trusted: run `cis identity trust DID`, then repeat the audit."
        }
        (true, true) if report.refused_count == 0 => "There is nothing to check.",
        (true, true) => "No node wrote there.",
        (false, true) if report.refused_count == 0 => "Every signature is right, and nothing is missing.",
        (false, true) => "Every signature of trusted nodes is right, and nothing of these nodes is missing.",
    };
    format!("{found}{refused}\n")
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

#[cfg(test)]
mod tests {
    use cis_core::api::RefusedView;
    use cis_core::ids::NodeDid;

    use super::*;

    #[test]
    fn bad_signatures_are_part_of_the_verdict() {
        let mut report = AuditReport {
            room_id: "!r:x".to_owned(),
            events: 9,
            unreadable: 0,
            nodes: Vec::new(),
            runs: Vec::new(),
            refused: Vec::new(),
            refused_count: 0,
        };
        assert_eq!(verdict(&report), "There is nothing to check.\n");
        report.nodes.push(AuditedNode {
            did: NodeDid("did:key:z6Mk".to_owned()),
            standing: "own".to_owned(),
            counts: true,
            envelopes: 3,
            copies: 0,
            missing: 0,
            doubled: 0,
        });
        assert_eq!(verdict(&report), "Every signature is right, and nothing is missing.\n");
        report.refused_count = 2;
        report.refused.push(RefusedView {
            event: "$e".to_owned(),
            sender: "@eve:x".to_owned(),
            why: "its signature is not that of did:key:z6Mk over it".to_owned(),
        });
        let said = audited(&report);
        assert!(said.contains("2 events are forged, copied or not signed"), "{said}");
        assert!(!said.contains("Every signature is right"), "{said}");
    }
}
