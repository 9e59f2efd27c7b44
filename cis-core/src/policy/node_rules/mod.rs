//! A node's own policy: which tasks of other nodes it executes.
//!
//! Owns the list of rules, which of them decides about a task, and the sentence that says so. The trust of a room's owners and
//! of the node's own list is decided elsewhere, before a task gets here. Reads no files and keeps nothing.
//!
//! What is not known about a task (the tags, in a grant of an earlier version; the submitter, of a run whose journal was not
//! read) is decided against it: it matches the selectors of deny rules, and none of allow rules.

mod command;
mod list;
mod tasks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use self::command::Covered;
use crate::dag::Program;
use crate::event::{NodeRule, RuleEffect};
use crate::ids::NodeDid;

pub use self::list::{BadRule, KeptRule, NodeRules, PATTERN_BYTES_MAX, RULES_MAX, check};
pub use self::tasks::{Forecast, forecast};

/// What a node knows about a task that it is asked to execute. `None`: it does not know.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Id of the room.
    pub room: Option<&'a str>,
    /// Keys of the node that submitted the run; empty: not known.
    pub by: &'a [NodeDid],
    /// Node that grants the task.
    pub coordinator: Option<&'a NodeDid>,
    /// Tags that the task asks for.
    pub tags: Option<&'a [String]>,
    /// What is run.
    pub program: &'a Program,
    /// Variables that the task sets.
    pub env: &'a BTreeMap<String, String>,
}

/// Whether a node executes a task, and which rule decides that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does. No rule speaks of tasks of that room, except rules that deny other tasks.
    NoRule,
    /// It does, because of this rule.
    Allowed(u32),
    /// It does not, because of this rule.
    Denied(u32, Box<NodeRule>),
    /// It does not: there are allow rules for the room, and none matches the task.
    NotAllowed(Option<NearMiss>),
}

/// An allow rule that would match a task if the task did not set a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// Number of the rule.
    pub rule: u32,
    /// Name of the variable.
    pub variable: String,
}

impl Verdict {
    /// Whether the node executes the task.
    #[must_use]
    pub fn executes(&self) -> bool {
        matches!(self, Self::NoRule | Self::Allowed(_))
    }

    /// Number of the rule that decides; none: no single rule does.
    #[must_use]
    pub fn rule(&self) -> Option<u32> {
        match self {
            Self::Allowed(rule) | Self::Denied(rule, _) => Some(*rule),
            Self::NoRule | Self::NotAllowed(_) => None,
        }
    }
}

/// What is said to people, here and at the coordinator.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("no rule of the node's policy is about it"),
            Self::Allowed(rule) => write!(f, "rule {rule} of the node's policy allows it"),
            Self::Denied(number, rule) => {
                write!(f, "rule {number} of the node's policy denies it (`{rule}`)")
            }
            Self::NotAllowed(None) => f.write_str("no rule of the node's policy allows it"),
            Self::NotAllowed(Some(NearMiss { rule, variable })) => write!(
                f,
                "no rule of the node's policy allows it: rule {rule} would, but the task sets the variable `{variable}`, \
                 which the rule does not name (`--env {variable}`)"
            ),
        }
    }
}

/// How an allow rule stands to a task.
enum Allows {
    Yes,
    No,
    /// If the task did not set this variable.
    Without(String),
}

impl NodeRules {
    /// Decides whether the node executes a task.
    #[must_use]
    pub fn decide(&self, asked: &Asked<'_>) -> Verdict {
        let of = |effect| self.kept().filter(move |kept| kept.rule.effect == effect);
        if let Some(kept) = of(RuleEffect::Deny).find(|kept| denies(&kept.rule, asked)) {
            return Verdict::Denied(kept.number, Box::new(kept.rule.clone()));
        }
        let (mut is_closed, mut near) = (false, None);
        for kept in of(RuleEffect::Allow).filter(|kept| speaks_of(&kept.rule, asked.room)) {
            is_closed = true;
            match allows(&kept.rule, asked) {
                Allows::Yes => return Verdict::Allowed(kept.number),
                Allows::Without(variable) => {
                    near.get_or_insert(NearMiss { rule: kept.number, variable });
                }
                Allows::No => {}
            }
        }
        if is_closed { Verdict::NotAllowed(near) } else { Verdict::NoRule }
    }
}

/// Whether an allow rule could apply to a room: then the room is closed to what no rule allows.
fn speaks_of(rule: &NodeRule, room: Option<&str>) -> bool {
    match (&rule.room, room) {
        (Some(of), Some(room)) => of == room,
        _ => true,
    }
}

fn denies(rule: &NodeRule, asked: &Asked<'_>) -> bool {
    let room = rule.room.as_deref().is_none_or(|of| asked.room.is_none_or(|room| room == of));
    let by = rule.by.as_ref().is_none_or(|of| asked.by.is_empty() || asked.by.contains(of));
    let coordinator =
        rule.coordinator.as_ref().is_none_or(|of| asked.coordinator.is_none_or(|did| did == of));
    let tag = rule.tag.as_ref().is_none_or(|of| asked.tags.is_none_or(|tags| tags.contains(of)));
    let agent = rule.agent.as_deref().is_none_or(|of| agent_of(asked.program) == Some(of));
    let command =
        rule.command.as_deref().is_none_or(|pattern| command::mentions(pattern, asked.program, asked.env));
    room && by && coordinator && tag && agent && command
}

fn allows(rule: &NodeRule, asked: &Asked<'_>) -> Allows {
    let room = rule.room.as_deref().is_none_or(|of| asked.room == Some(of));
    let by = rule.by.as_ref().is_none_or(|of| asked.by.contains(of));
    let coordinator = rule.coordinator.as_ref().is_none_or(|of| asked.coordinator == Some(of));
    let tag = rule.tag.as_ref().is_none_or(|of| asked.tags.is_some_and(|tags| tags.contains(of)));
    let agent = rule.agent.as_deref().is_none_or(|of| agent_of(asked.program) == Some(of));
    if !(room && by && coordinator && tag && agent) {
        return Allows::No;
    }
    let Some(pattern) = rule.command.as_deref() else { return Allows::Yes };
    match command::covers(pattern, &rule.env, asked.program, asked.env) {
        Covered::Whole => Allows::Yes,
        Covered::No => Allows::No,
        Covered::But(variable) => Allows::Without(variable),
    }
}

fn agent_of(program: &Program) -> Option<&str> {
    match program {
        Program::Agent { agent, .. } => Some(agent),
        Program::Argv(_) | Program::Script { .. } => None,
    }
}
