//! Tokens of the API over TCP.

use cis_core::api::TokenView;
use cis_core::ids::TimestampMs;

use super::span;
use crate::output::style::{ATTENTION, BOLD, DIM};
use crate::output::table::{Table, cell, plain};

/// `cis node token list`.
pub(crate) fn tokens(tokens: &[TokenView], now: TimestampMs) -> String {
    if tokens.is_empty() {
        return "No tokens: nobody can use this node over TCP. `cis node token create` makes one.\n"
            .to_owned();
    }
    let mut table = Table::new(&["NAME", "ROLE", "CREATED", "EXPIRES", "ID"]);
    for token in tokens {
        let end = match token.expires_ms {
            None => cell("never", DIM),
            Some(_) if token.expired => cell("expired", ATTENTION),
            Some(end) => plain(format!("in {}", span(now, end))),
        };
        table.row(vec![
            cell(&token.name, BOLD),
            plain(token.role.as_str()),
            plain(span(token.created_ms, now) + " ago"),
            end,
            plain(token.id.to_string()),
        ]);
    }
    table.render()
}
