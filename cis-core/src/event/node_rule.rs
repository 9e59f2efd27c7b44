//! A rule of a node's own policy: what it executes for other nodes, and what it does not.
//!
//! Owns the shape of a rule and its words. What a rule matches is decided by `policy::node_rules`.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::NodeDid;

/// What a rule says of the tasks that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleEffect {
    /// The node executes them, unless another rule denies it.
    Allow,
    /// The node never executes them.
    Deny,
}

impl RuleEffect {
    /// The command that adds such a rule.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// A rule of a node's own policy. It matches a task of another node if all of its selectors do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct NodeRule {
    /// What follows for the tasks that it matches.
    pub effect: RuleEffect,
    /// Room of the task, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Node that submitted the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<NodeDid>,
    /// Node that coordinates the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<NodeDid>,
    /// Tag that the task asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Agent that the task starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Pattern of what the task runs; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Variables that a task may set although `command` of an allow rule is to match it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
}

impl NodeRule {
    /// A rule without selectors.
    #[must_use]
    pub fn new(effect: RuleEffect) -> Self {
        Self {
            effect,
            room: None,
            by: None,
            coordinator: None,
            tag: None,
            agent: None,
            command: None,
            env: Vec::new(),
        }
    }
}

/// The rule as a person types it: `deny --command 'rm *'`.
impl fmt::Display for NodeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.effect.word())?;
        let selectors = [
            ("room", self.room.as_deref()),
            ("by", self.by.as_ref().map(|did| did.0.as_str())),
            ("coordinator", self.coordinator.as_ref().map(|did| did.0.as_str())),
            ("tag", self.tag.as_deref()),
            ("agent", self.agent.as_deref()),
            ("command", self.command.as_deref()),
        ];
        for (name, value) in selectors {
            if let Some(value) = value {
                write!(f, " --{name} {}", in_quotes(value))?;
            }
        }
        self.env.iter().try_for_each(|name| write!(f, " --env {}", in_quotes(name)))
    }
}

/// A word as a shell reads it back.
#[must_use]
pub fn in_quotes(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,=+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_like_the_command_that_adds_it() {
        let mut rule = NodeRule::new(RuleEffect::Deny);
        rule.command = Some("rm *".to_owned());
        rule.room = Some("!r:x".to_owned());
        assert_eq!(rule.to_string(), "deny --room '!r:x' --command 'rm *'");
        let mut rule = NodeRule::new(RuleEffect::Allow);
        (rule.command, rule.env) = (Some("it's".to_owned()), vec!["CC".to_owned()]);
        assert_eq!(rule.to_string(), r"allow --command 'it'\''s' --env CC");
        assert_eq!(in_quotes(""), "''");
    }
}
