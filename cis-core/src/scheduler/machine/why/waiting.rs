//! Why a task waits that no slot would help: approval, items, a group, the end of all others.

use std::ops::Bound;

use super::{Answer, names, span};
use crate::event::TaskState;
use crate::ids::TimestampMs;
use crate::scheduler::Machine;
use crate::scheduler::handler::When;
use crate::scheduler::state::Run;

/// What a person types to approve the task at `index`.
pub(super) fn approve(run: &Run, index: u32) -> String {
    format!("cis dag approve {} {}", run.id(), run.spec(index).id)
}

/// A queued task that waits for approval, or for its items.
pub(super) fn human_or_items(run: &Run, index: u32, now: TimestampMs, answer: &mut Answer) {
    let (spec, entry) = (run.spec(index), run.entry(index));
    if let Some(crate::event::QueueReason::Approval { prompt, until_ms }) = &entry.queued {
        answer.say(format!("It waits for a human's approval for {}: {prompt}", span(now - entry.since_ms)));
        if let Some(until_ms) = until_ms {
            answer.say(format!("It fails when nobody has decided in {}.", span(until_ms - now)));
        }
        answer.try_command(approve(run, index));
        answer.try_command(format!("cis dag reject {} {} --reason TEXT", run.id(), spec.id));
        return;
    }
    let Some(expansion) = entry.expansion() else { return };
    let items = &expansion.items[..expansion.count as usize];
    let open = items.iter().copied().filter(|item| !run.entry(*item).state.is_terminal());
    let list = names(run, open, |entry| Some(entry.state.to_string()));
    answer.say(format!("{} of its {} items have not ended: {list}.", expansion.stand.open, items.len()));
    let first = items.iter().find(|item| !run.entry(**item).state.is_terminal());
    if let Some(item) = first {
        answer.try_command(format!("cis dag why {} --run {}", run.spec(*item).id, run.id()));
    }
}

/// A pending task of `[dag.on]`, or a condition that comes before its start.
pub(super) fn before_its_time(run: &Run, index: u32, answer: &mut Answer) {
    let spec = run.spec(index);
    if let Some(handler) = run.handler(index) {
        if handler.when == When::Blocked {
            answer.say(
                "It stands in [dag.on]: it runs when a session of the run waits for a human.".to_owned(),
            );
            return;
        }
        let last = if handler.is_last() { ", however they end, and after the other handlers" } else { "" };
        let others = (0..run.len()).filter(|i| run.handler(*i).is_none());
        let open = others.filter(|i| !run.entry(*i).state.is_terminal()).count();
        answer.say(format!(
            "It stands in [dag.on]: it is decided on when all other tasks have ended{last}. {open} have not."
        ));
    }
    if let Some((_, item)) = run.item_of(index) {
        answer.say(format!("It is an item of `{}`, whose turn comes first.", item.of));
    }
    if let Some(condition) = &spec.condition {
        answer.say(format!("When its needs have ended, `if` decides whether it runs: {condition}"));
    }
}

impl Machine {
    /// Its group, and those that come before it.
    pub(super) fn no_place(&self, run: &Run, index: u32, now: TimestampMs, answer: &mut Answer) {
        let spec = run.spec(index);
        if let Some(name) = &spec.group {
            match self.group_of(run, index) {
                None => {
                    answer.say(format!("Its group `{name}` does not exist on this node any more."));
                    answer.try_command(format!("cis group set {name} --limit N"));
                }
                Some((group, load)) if load.taken(group) >= group.limit => {
                    let holders = run.live().filter(|i| run.spec(*i).group.as_ref() == Some(name));
                    let list = names(run, holders, |entry| {
                        entry.live.as_ref().map(|live| format!("for {}", span(now - live.granted_ms)))
                    });
                    let here = if list.is_empty() { String::new() } else { format!("; in this run: {list}") };
                    answer.say(format!(
                        "All places of group `{name}` are taken ({} of {}){here}.",
                        load.taken(group),
                        group.limit
                    ));
                    answer.try_command("cis group list".to_owned());
                }
                Some(_) => {}
            }
        }
        let seat = run.seat(index);
        let lane = run.index.lane(seat.lane);
        let before = lane.ready.range((Bound::Unbounded, Bound::Excluded(seat.rank)));
        let Some(first) = before.clone().next().filter(|_| run.entry(index).state == TaskState::Queued)
        else {
            return;
        };
        let list = names(run, before.map(|rank| rank.1), |_| None);
        let why = if first.0 == seat.rank.0 {
            "those that come before it in the file"
        } else {
            "those of higher priority, or before it in the file"
        };
        answer.say(format!("It starts after {why}: {list}."));
    }
}
