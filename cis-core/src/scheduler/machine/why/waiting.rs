//! Why a task waits that no slot would help: approval, items, a group, the end of all others.

use std::ops::Bound;

use super::{Answer, names, span};
use crate::dag::Group;
use crate::event::TaskState;
use crate::ids::TimestampMs;
use crate::scheduler::Machine;
use crate::scheduler::handler::When;
use crate::scheduler::machine::room_groups::RoomGroups;
use crate::scheduler::room_share::{KeeperState, RoomShare};
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
        answer.say(if open == 0 && !handler.is_last() {
            "It stands in [dag.on]: the handler of another end is due. It comes after that one if the run is cancelled or takes too long by then; otherwise it is skipped."
                .to_owned()
        } else {
            format!(
                "It stands in [dag.on]: it is decided on when all other tasks have ended{last}. {open} have not."
            )
        });
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
                    answer.say(format!(
                        "Its group `{name}` does not exist on this node, or in its room, any more."
                    ));
                    answer.try_command(format!("cis group set {name} --limit N"));
                }
                Some((group, load)) if self.room_of_group(run, name).is_some() => {
                    self.no_place_in_room(run, name, (group, load.taken(group)), answer);
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

    /// The groups of the run's room, where the run's tasks in group `name` are in one of them.
    fn room_of_group(&self, run: &Run, name: &str) -> Option<(Box<str>, &RoomGroups)> {
        let lane = run.index.lane(run.index.lane_of(Some(name)));
        let room = self.groups.key_of(run, name).room.filter(|_| lane.own.is_none())?;
        let groups = self.groups.rooms.get(&*room)?;
        Some((room, groups))
    }

    /// Whether a group of the run's room is in the way. `here`: the group, and how many places this node takes.
    fn no_place_in_room(&self, run: &Run, name: &str, here: (Group, u32), answer: &mut Answer) {
        let Some((room, groups)) = self.room_of_group(run, name) else { return };
        let (Group { limit, .. }, here) = here;
        if here < groups.places.of(name).min(limit) {
            return;
        }
        let taken = groups.places.quota(name).map_or(here, |quota| quota.taken.max(here));
        match groups.places.share() {
            RoomShare::Part { keeper: KeeperState::Refuses, .. } => {
                answer.say(format!(
                    "Group `{name}` is one of room {room}, and this node is no coordinator there: it gets no places."
                ));
                answer.try_command(format!("cis identity trust DID --room '{room}' --may coordinate"));
            }
            RoomShare::Part { keeper: KeeperState::Silent, .. } => {
                answer.say(format!(
                    "The coordinator that keeps the places of group `{name}` of room {room} does not answer: nothing starts in the group until it, or another coordinator in its place, does."
                ));
                answer.try_command(format!("cis node list --room '{room}'"));
            }
            _ if taken < limit => {
                answer.say(format!(
                    "This node waits for a place in group `{name}` of room {room}: {taken} of {limit} are taken, and other coordinators may hold more."
                ));
                answer.try_command("cis group list".to_owned());
            }
            _ => {
                answer.say(format!(
                    "All places of group `{name}` of room {room} are taken: {taken} of {limit}, of which {here} by runs of this coordinator."
                ));
                answer.try_command("cis group list".to_owned());
            }
        }
    }
}
