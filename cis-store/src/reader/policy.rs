//! The rules of the node's own policy.

use serde_json::Value;

use super::Reader;
use crate::error::{RowError, StoreError};
use crate::values::text;
use cis_core::event::NodeRule;
use cis_core::policy::node_rules::{KeptRule, NodeRules};

impl Reader {
    /// The rules of the node's own policy.
    ///
    /// # Errors
    /// The store cannot be read, or a later version wrote a rule with a selector that this one does not know.
    pub fn node_rules(&self) -> Result<NodeRules, StoreError> {
        self.view("read the rules of the node's policy", |conn| {
            let newest: Option<u32> =
                conn.query_row("SELECT max(number) FROM policy_rules", (), |row| row.get(0))?;
            let mut read = conn.prepare_cached(
                "SELECT rule, number, by, since_ms FROM policy_rules WHERE rule IS NOT NULL ORDER BY number",
            )?;
            let mut rows = read.query(())?;
            let mut kept = Vec::new();
            while let Some(row) = rows.next()? {
                let (rule, number) = (rule_of(text(row, 0)?)?, row.get(1)?);
                kept.push(KeptRule { number, rule, added_by: row.get(2)?, added_ms: row.get(3)? });
            }
            Ok(NodeRules::restored(kept, newest.unwrap_or_default()))
        })
    }
}

/// A rule as it was written, or an error: without a selector that is not known here, it would match more.
fn rule_of(text: &str) -> Result<NodeRule, RowError> {
    let written: Value = serde_json::from_str(text)?;
    let rule: NodeRule = serde_json::from_value(written.clone())?;
    if serde_json::to_value(&rule)? == written {
        Ok(rule)
    } else {
        Err(RowError::Shape("a later version of CIS wrote this rule of the node's policy".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_with_an_unknown_selector_is_not_read_without_it() {
        assert!(rule_of(r#"{"effect":"allow","tag":"gpu"}"#).is_ok());
        assert!(rule_of(r#"{"effect":"allow","tag":"gpu","phase":"moon"}"#).is_err());
    }
}
