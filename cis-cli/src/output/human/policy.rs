//! The node's own policy, and what it says of a file.

use std::fmt::Write as _;

use super::{span, style::BOLD};
use crate::output::clean::clean;
use crate::output::style::{ATTENTION, PLAIN};
use crate::output::table::{Table, cell, plain};
use cis_core::api::{PolicyCheckView, PolicyView};
use cis_core::event::RuleEffect;
use cis_core::ids::TimestampMs;

/// `cis node policy show`.
pub(crate) fn policy(policy: &PolicyView, now: TimestampMs) -> String {
    let mut out = String::new();
    if !policy.rules.is_empty() {
        let mut table = Table::new(&["N", "RULE", "ADDED BY", "ADDED"]);
        for kept in &policy.rules {
            table.row(vec![
                cell(kept.number.to_string(), BOLD),
                plain(kept.rule.to_string()),
                plain(&kept.added_by),
                plain(span(kept.added_ms, now) + " ago"),
            ]);
        }
        out.push_str(&table.render());
        out.push('\n');
    }
    let _ = match &policy.room {
        Some(room) => writeln!(out, "This node executes tasks of room {}.", clean(room)),
        None => writeln!(
            out,
            "This node executes no tasks of other nodes: `cis node start --room ROOM --role worker` changes that."
        ),
    };
    let allows = policy.rules.iter().any(|kept| kept.rule.effect == RuleEffect::Allow);
    out.push_str(if policy.rules.is_empty() && policy.room.is_none() {
        ""
    } else if policy.rules.is_empty() {
        "Its policy has no rules, so it executes any task of the room that a coordinator gives it.\n"
    } else if allows {
        "Deny rules take precedence. In rooms to which an allow rule can apply, tasks that no allow rule matches are denied.\n"
    } else {
        "Tasks that no deny rule matches are executed.\n"
    });
    let _ = if policy.agents.is_empty() {
        writeln!(out, "It lends no agents to other nodes (`federation.agents`).")
    } else {
        writeln!(out, "It lends these agents to other nodes: {}.", clean(&policy.agents.join(", ")))
    };
    out
}

/// `cis node policy check`.
pub(crate) fn policy_check(check: &PolicyCheckView) -> String {
    let mut table = Table::new(&["TASK", "EXECUTES", "WHY"]);
    for task in &check.tasks {
        let executes = if task.executes { cell("yes", PLAIN) } else { cell("no", ATTENTION) };
        let values =
            if task.depends_on_values { "; checked again with its values when it starts" } else { "" };
        table.row(vec![cell(task.task.as_str(), BOLD), executes, plain(format!("{}{values}", task.why))]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::api::{PolicyRuleView, PolicyTaskView};
    use cis_core::event::NodeRule;
    use cis_core::ids::TaskId;

    fn rule(number: u32, effect: RuleEffect, command: &str) -> PolicyRuleView {
        let rule = NodeRule { command: Some(command.to_owned()), ..NodeRule::new(effect) };
        PolicyRuleView { number, rule, added_by: "uid:1000".to_owned(), added_ms: 1_000 }
    }

    #[test]
    fn rules_are_shown_with_what_holds_without_them() {
        let room = Some("!r:x".to_owned());
        let none = PolicyView { room: None, agents: Vec::new(), rules: Vec::new() };
        let open = PolicyView { room: room.clone(), ..none.clone() };
        let denies = rule(1, RuleEffect::Deny, "rm *");
        let some = PolicyView { room: room.clone(), rules: vec![denies.clone()], ..none.clone() };
        let agents = vec!["claude".to_owned()];
        let both = PolicyView { room, agents, rules: vec![denies, rule(3, RuleEffect::Allow, "make *")] };
        let all = [none, open, some, both].map(|view| policy(&view, 61_000)).join("---\n");
        insta::assert_snapshot!(anstream::adapter::strip_str(&all).to_string(), @r"
        This node executes no tasks of other nodes: `cis node start --room ROOM --role worker` changes that.
        It lends no agents to other nodes (`federation.agents`).
        ---
        This node executes tasks of room !r:x.
        Its policy has no rules, so it executes any task of the room that a coordinator gives it.
        It lends no agents to other nodes (`federation.agents`).
        ---
        N  RULE                   ADDED BY  ADDED
        1  deny --command 'rm *'  uid:1000  1m 00s ago

        This node executes tasks of room !r:x.
        Tasks that no deny rule matches are executed.
        It lends no agents to other nodes (`federation.agents`).
        ---
        N  RULE                      ADDED BY  ADDED
        1  deny --command 'rm *'     uid:1000  1m 00s ago
        3  allow --command 'make *'  uid:1000  1m 00s ago

        This node executes tasks of room !r:x.
        Deny rules take precedence. In rooms to which an allow rule can apply, tasks that no allow rule matches are denied.
        It lends these agents to other nodes: claude.
        ");
    }

    #[test]
    fn each_task_has_its_reason() {
        let task = |name: &str, executes, depends_on_values| PolicyTaskView {
            task: TaskId::new(name).unwrap(),
            executes,
            rule: Some(1),
            why: "rule 1 of the node's policy allows it".to_owned(),
            depends_on_values,
        };
        let check = PolicyCheckView {
            executes_all: false,
            tasks: vec![task("a", true, true), task("b", false, false)],
        };
        insta::assert_snapshot!(anstream::adapter::strip_str(&policy_check(&check)).to_string(), @r"
        TASK  EXECUTES  WHY
        a     yes       rule 1 of the node's policy allows it; checked again with its values when it starts
        b     no        rule 1 of the node's policy allows it
        ");
    }
}
