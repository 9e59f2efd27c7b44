//! What an export of a run proves.

use std::fmt::Write as _;

use cis_core::federation::export::{Specification, Verdict};
use cis_core::ids::NodeDid;

use super::moment;
use crate::output::clean::clean;
use crate::output::style::{self, ATTENTION, BAD, BOLD, DIM, GOOD};
use crate::output::table::{Cell, Table, cell, plain};

/// `cis dag verify`.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    let mut out =
        format!("{BOLD}{}{BOLD:#} ({}) in room {}", verdict.run, clean(&verdict.dag), clean(&verdict.room));
    if let Some(state) = verdict.state {
        let style = style::run(state);
        let _ = write!(out, ": {style}{}{style:#}", state.as_str());
        if !state.is_terminal() {
            out.push_str(", not ended in this file");
        }
    }
    out.push_str("\n\n");
    let specification = match verdict.specification {
        Specification::Matches => "has the hash that the coordinator signed",
        Specification::Hidden => {
            "signed by the coordinator; secrets were hidden in it, so it has another hash"
        }
        Specification::Missing => "not in the journal",
    };
    let _ = writeln!(out, "DAG file:    {specification}");
    let _ = writeln!(out, "journal:     {} entries; {} signed messages", verdict.entries, verdict.envelopes);
    for (index, coordinator) in verdict.coordinators.iter().enumerate() {
        let name = named(verdict, &coordinator.did);
        let how = if index == 0 { "" } else { ", took over" };
        let _ = writeln!(out, "coordinator: {name}, since {}{how}", moment(coordinator.since_ms));
    }
    if verdict.statements > 0 {
        let members = verdict.members.len();
        let _ = writeln!(
            out,
            "room:        {} statements of its owners, {members} nodes admitted",
            verdict.statements
        );
    }
    if !verdict.tasks.is_empty() {
        let mut table = Table::new(&["TASK", "STATE", "ATTEMPTS", "NODE", "ATTESTED BY"]);
        for task in &verdict.tasks {
            table.row(vec![
                cell(clean(task.task.as_str()), BOLD),
                cell(task.state.as_str(), style::task(task.state)),
                plain(task.attempts.to_string()),
                node(verdict, task.node.as_ref()),
                node(verdict, task.by.as_ref()),
            ]);
        }
        let _ = write!(out, "\n{}", table.render());
    }
    if !verdict.answers.is_empty() {
        let mut table = Table::new(&["ANSWERED", "TASK", "BY", "ANSWER"]);
        for answer in &verdict.answers {
            let task = answer.task.as_ref().map_or("–", |task| task.as_str());
            table.row(vec![
                plain(moment(answer.at_ms)),
                plain(clean(task)),
                plain(clean(&answer.by)),
                plain(clean(&answer.text)),
            ]);
        }
        let _ = write!(out, "\n{}", table.render());
    }
    out.push('\n');
    for wrong in &verdict.wrong {
        let _ = writeln!(out, "{BAD}wrong{BAD:#}: {}", clean(wrong));
    }
    let note = "A coordinator attests what its workers told it: their own signatures and the logs are not in the file.";
    let _ = writeln!(out, "{DIM}{note}{DIM:#}");
    out.push_str(&match verdict.holds() {
        true => {
            format!("{GOOD}verified{GOOD:#}: nothing in the file was changed, and nothing of it is missing\n")
        }
        false => format!("{ATTENTION}not verified{ATTENTION:#}: the file does not prove what it says\n"),
    });
    out
}

fn named(verdict: &Verdict, did: &NodeDid) -> String {
    match verdict.name_of(did) {
        Some(name) => format!("{} ({})", clean(name), clean(&did.0)),
        None => clean(&did.0).into_owned(),
    }
}

fn node(verdict: &Verdict, did: Option<&NodeDid>) -> Cell {
    plain(match did {
        Some(did) => verdict.name_of(did).map_or_else(|| clean(&did.0), clean).into_owned(),
        None => "–".to_owned(),
    })
}
