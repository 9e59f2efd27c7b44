//! The list of a node's rules: their numbers, and which rules can be added.

use std::collections::BTreeMap;

use crate::event::{NodeRule, RuleEffect};
use crate::identity::key_of;
use crate::ids::{NodeDid, TimestampMs};

/// The most rules of a node.
pub const RULES_MAX: usize = 200;
/// The longest value of a selector, bytes.
pub const PATTERN_BYTES_MAX: usize = 1000;
/// The most variables of a rule.
const VARIABLES_MAX: usize = 50;

/// A rule with its number and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRule {
    /// Its number. A number is never given twice.
    pub number: u32,
    /// What it says.
    pub rule: NodeRule,
    /// The actor that added it.
    pub added_by: String,
    /// When it was added, Unix ms.
    pub added_ms: TimestampMs,
}

/// Why a rule cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// It would match everything.
    #[error("the rule has no selector: name a room, a node, a tag, an agent or a command")]
    NoSelector,
    /// A selector is empty.
    #[error("`{0}` of the rule is empty")]
    Empty(&'static str),
    /// A selector is long, or holds what no task can.
    #[error("`{0}` of the rule has more than {PATTERN_BYTES_MAX} bytes or holds a NUL byte")]
    Unusable(&'static str),
    /// A selector for a node is not a DID.
    #[error("`{0}` is not the DID of a node")]
    NotADid(String),
    /// A room is not an id.
    #[error("`{0}` is not the id of a room")]
    NotARoom(String),
    /// An agent is not a command.
    #[error("a rule has an agent or a command: an agent runs any commands")]
    AgentAndCommand,
    /// Variables without a command to go with them.
    #[error("`env` belongs to an allow rule with a command, and has at most {VARIABLES_MAX} variables")]
    Env,
    /// The list is full.
    #[error("the policy has {RULES_MAX} rules, which is the maximum: remove some first")]
    Full,
}

/// Checks a rule by itself.
///
/// # Errors
/// [`BadRule`].
pub fn check(rule: &NodeRule) -> Result<(), BadRule> {
    let NodeRule { effect, room, by, coordinator, tag, agent, command, env } = rule;
    let did = |did: &Option<NodeDid>| did.as_ref().map(|did| did.0.clone());
    let selectors = [
        ("room", room.clone()),
        ("by", did(by)),
        ("coordinator", did(coordinator)),
        ("tag", tag.clone()),
        ("agent", agent.clone()),
        ("command", command.clone()),
    ];
    let values = || selectors.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    if values().next().is_none() {
        return Err(BadRule::NoSelector);
    }
    if let Some((name, _)) = values().find(|(_, value)| value.trim().is_empty()) {
        return Err(BadRule::Empty(name));
    }
    let is_unusable = |value: &str| value.len() > PATTERN_BYTES_MAX || value.contains('\0');
    let variables = env.iter().map(|name| ("env", name.as_str()));
    if let Some((name, _)) = values().chain(variables).find(|(_, value)| is_unusable(value)) {
        return Err(BadRule::Unusable(name));
    }
    if let Some(did) = [by, coordinator].into_iter().flatten().find(|did| key_of(did).is_err()) {
        return Err(BadRule::NotADid(did.0.clone()));
    }
    if let Some(room) = room.as_ref().filter(|room| !room.starts_with('!')) {
        return Err(BadRule::NotARoom(room.clone()));
    }
    if agent.is_some() && command.is_some() {
        return Err(BadRule::AgentAndCommand);
    }
    let takes_env = *effect == RuleEffect::Allow && command.is_some() && env.len() <= VARIABLES_MAX;
    if !env.is_empty() && (!takes_env || env.iter().any(String::is_empty)) {
        return Err(BadRule::Env);
    }
    Ok(())
}

/// The rules of a node, as its events made them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeRules {
    kept: BTreeMap<u32, KeptRule>,
    /// The highest number that was ever given.
    newest: u32,
}

impl NodeRules {
    /// The rules of a store. `newest`: the highest number that was ever given.
    #[must_use]
    pub fn restored(kept: impl IntoIterator<Item = KeptRule>, newest: u32) -> Self {
        Self { kept: kept.into_iter().map(|rule| (rule.number, rule)).collect(), newest }
    }

    /// All rules, by their numbers.
    pub fn kept(&self) -> impl Iterator<Item = &KeptRule> {
        self.kept.values()
    }

    /// A rule by its number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&KeptRule> {
        self.kept.get(&number)
    }

    /// How often the rules were changed. Other nodes see by it that a refusal may not hold any more.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let removed = u64::from(self.newest).saturating_sub(self.kept.len() as u64);
        u64::from(self.newest) + removed
    }

    /// Number of the next rule.
    ///
    /// # Errors
    /// [`BadRule`].
    pub fn number_for(&self, rule: &NodeRule) -> Result<u32, BadRule> {
        check(rule)?;
        if self.kept.len() >= RULES_MAX {
            return Err(BadRule::Full);
        }
        self.newest.checked_add(1).ok_or(BadRule::Full)
    }

    /// Adds a rule under a number, or (none) removes the one with the number.
    pub fn apply(&mut self, number: u32, rule: Option<NodeRule>, by: &str, at_ms: TimestampMs) {
        self.newest = self.newest.max(number);
        match rule {
            Some(rule) => {
                let kept = KeptRule { number, rule, added_by: by.to_owned(), added_ms: at_ms };
                self.kept.insert(number, kept);
            }
            None => {
                self.kept.remove(&number);
            }
        }
    }
}
