//! Who a node is, and whom it trusts.

use cis_core::api::IdentityView;
use cis_core::identity::Right;
use cis_core::ids::TimestampMs;

use super::span;
use crate::output::clean::clean;
use crate::output::style::{ATTENTION, BOLD, DIM};
use crate::output::table::{Table, cell, plain};

/// `cis identity show`.
pub(crate) fn identity(view: &IdentityView, now: TimestampMs) -> String {
    let mut text = format!("This node is {BOLD}{}{BOLD:#}.\n", view.did);
    if let Some(running) = &view.running {
        text.push_str(&format!("The running one is {running} until it starts again.\n"));
    }
    if let Some(problem) = &view.problem {
        text.push_str(&format!("{ATTENTION}{}{ATTENTION:#}\n", clean(problem)));
    }
    if view.trusted.is_empty() && view.revoked.is_empty() && view.rotated.is_empty() {
        text += "It trusts no other node. `cis identity trust DID` changes that.\n";
        return text;
    }
    let ago = |since_ms| plain(span(since_ms, now) + " ago");
    let mut table = Table::new(&["STANDING", "SINCE", "NAME", "DID"]);
    for node in &view.trusted {
        let name = node.name.as_deref().unwrap_or_default();
        let may = Right::words(&node.may);
        let trusted =
            if may.is_empty() { "trusted".to_owned() } else { format!("trusted to {}", may.join(", ")) };
        table.row(vec![plain(trusted), ago(node.since_ms), cell(name, BOLD), plain(&node.did.0)]);
    }
    for key in &view.revoked {
        table.row(vec![cell("revoked", ATTENTION), ago(key.since_ms), plain(""), plain(&key.did.0)]);
    }
    for change in &view.rotated {
        let who = format!("{}, now {}", change.old, change.new);
        table.row(vec![cell("replaced", DIM), ago(change.at_ms), plain(""), plain(who)]);
    }
    text.push('\n');
    text.push_str(&table.render());
    text
}
