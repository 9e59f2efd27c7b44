//! The Matrix account and its rooms.

use std::fmt::Write as _;

use cis_core::api::{MatrixAccountView, MatrixRoomView, RecoverReport};

use crate::output::clean::clean;
use crate::output::style::{ATTENTION, BOLD};
use crate::output::table::{Table, cell, plain};

/// Something to think about, on standard error.
pub(crate) fn warning(text: &str) -> String {
    format!("{ATTENTION}warning{ATTENTION:#}: {text}\n")
}

/// `cis matrix login`.
pub(crate) fn matrix_login(account: &MatrixAccountView) -> String {
    format!("Logged in as {BOLD}{}{BOLD:#} at {}.\n", clean(&account.user_id), clean(&account.homeserver))
}

/// `cis matrix whoami`.
pub(crate) fn matrix_account(account: &MatrixAccountView) -> String {
    let mut text = format!(
        "{BOLD}{}{BOLD:#} at {}, device {}",
        clean(&account.user_id),
        clean(&account.homeserver),
        clean(&account.device_id)
    );
    if let Some(others) = account.other_devices.filter(|others| *others > 0) {
        let _ = write!(text, "; the account has {others} more");
    }
    text.push('\n');
    if let Some(why) = &account.away {
        text.push_str(&warning(&clean(why)));
    }
    text
}

/// One room.
pub(crate) fn matrix_room(room: &MatrixRoomView) -> String {
    let encrypted = if room.encrypted == Some(true) { ", encrypted" } else { "" };
    format!("{BOLD}{}{BOLD:#} {}{encrypted}\n", clean(&room.name), clean(&room.room_id))
}

/// `cis dag recover`.
pub(crate) fn recovered(report: &RecoverReport) -> String {
    let mut out = String::new();
    if report.runs.is_empty() {
        let _ = writeln!(out, "No runs in {} events of {}.", report.events, clean(&report.room_id));
    } else {
        let mut table = Table::new(&["RUN", "DAG", "STATE", "NOTE"]);
        for run in &report.runs {
            let note = match (run.recovered, run.lacks.first()) {
                (_, Some(lack)) => cell(clean(lack), ATTENTION),
                (true, None) => plain("recovered"),
                (false, None) => plain("known"),
            };
            let state = run.state.map_or("?", |state| state.as_str());
            table.row(vec![cell(run.run.short(), BOLD), plain(clean(&run.dag)), plain(state), note]);
        }
        out.push_str(&table.render());
    }
    for node in &report.unknown {
        let _ = writeln!(
            out,
            "{ATTENTION}left out{ATTENTION:#}: {} messages of {}, which is not trusted: `cis identity trust {}`, then again",
            node.envelopes,
            clean(&node.did.0),
            clean(&node.did.0)
        );
    }
    if report.unreadable > 0 {
        let _ = writeln!(
            out,
            "{ATTENTION}left out{ATTENTION:#}: {} events that this device has no keys for. `cis matrix verify \
             --recovery-key-stdin` gets keys that the account has backed up; then again",
            report.unreadable
        );
    }
    if report.runs.iter().any(|run| run.recovered && run.state.is_some_and(|state| !state.is_terminal())) {
        out.push_str(
            "Open runs of this node continue when it starts again: `cis node stop`, then any command.\n",
        );
    }
    out
}

/// `cis matrix list-rooms`.
pub(crate) fn matrix_rooms(rooms: &[MatrixRoomView]) -> String {
    if rooms.is_empty() {
        return "No rooms. `cis matrix create-room NAME` makes one.\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "MEMBERS", "ENCRYPTED", "ROOM", "NOTE"]);
    for room in rooms {
        let encrypted = match room.encrypted {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        table.row(vec![
            cell(&room.name, BOLD),
            plain(room.members.to_string()),
            plain(encrypted),
            plain(room.alias.as_ref().unwrap_or(&room.room_id)),
            if room.invited { cell("invited: cis matrix join", ATTENTION) } else { plain("") },
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_cannot_read_leads_to_the_recovery_key() {
        let report = RecoverReport {
            room_id: "!r:x".to_owned(),
            events: 5,
            unreadable: 4,
            ..RecoverReport::default()
        };
        let said = recovered(&report);
        assert!(
            said.contains("4 events") && said.contains("cis matrix verify --recovery-key-stdin"),
            "{said}"
        );
    }
}
