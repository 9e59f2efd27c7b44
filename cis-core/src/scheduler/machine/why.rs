//! Why a task is where it is, in sentences for a person, the most important first.

mod prompts;
mod waiting;

use super::Machine;
use crate::api::WhyView;
use crate::dag::{Commit, Trigger, template};
use crate::event::{EndReason, ExecutionMode, QueueReason, RunState, TaskState};
use crate::ids::{RunId, TaskId, TimestampMs};
use crate::scheduler::input::Rejected;
use crate::scheduler::live::Live;
use crate::scheduler::state::Run;
use crate::scheduler::task::TaskEntry;
use crate::text::duration;

/// So many tasks are named in one sentence.
const NAMED_MAX: usize = 3;

#[derive(Default)]
struct Answer {
    because: Vec<String>,
    try_this: Vec<String>,
}

impl Answer {
    fn say(&mut self, sentence: String) {
        self.because.push(sentence);
    }

    fn try_command(&mut self, command: String) {
        if !self.try_this.contains(&command) {
            self.try_this.push(command);
        }
    }
}

impl Machine {
    /// Says why a task is where it is at `now`, and what a person can do.
    ///
    /// # Errors
    /// [`Rejected::NoRun`] and [`Rejected::NoTask`].
    pub fn why(&self, run: &RunId, task: &TaskId, now: TimestampMs) -> Result<WhyView, Rejected> {
        let known = self.known(*run)?;
        let index = known.find(task).ok_or_else(|| Rejected::NoTask { run: *run, task: task.clone() })?;
        let entry = known.entry(index);
        let mut answer = Answer::default();
        match entry.state {
            TaskState::Pending => pending(known, index, now, &mut answer),
            TaskState::Queued => self.queued(known, index, now, &mut answer),
            TaskState::Running | TaskState::Processing => {
                running(known, index, now, &mut answer);
                self.unheard(known, index, &mut answer);
            }
            _ => ended(known, index, &mut answer),
        }
        let Answer { because, try_this } = answer;
        Ok(WhyView { run: *run, task: task.clone(), state: entry.state, because, try_this })
    }

    fn queued(&self, run: &Run, index: u32, now: TimestampMs, answer: &mut Answer) {
        let entry = run.entry(index);
        if entry.waits_for_approval() || entry.waits_for_items() {
            waiting::human_or_items(run, index, now, answer);
            return;
        }
        let waits_ms = entry.not_before_ms().map_or(0, |at_ms| at_ms.saturating_sub(now)).max(0);
        match &entry.queued {
            Some(QueueReason::RetryAt { after, .. }) if waits_ms > 0 => {
                answer.say(format!(
                    "Attempt {} ended with: {after}. Attempt {} starts in {}.",
                    entry.attempts,
                    entry.attempts.saturating_add(1),
                    span(waits_ms)
                ));
                answer.try_command(logs_of(run, index, ""));
            }
            Some(QueueReason::Resources { detail, .. }) if waits_ms > 0 => {
                answer.say(format!(
                    "The machine was short: {detail}. It is tried again in {}.",
                    span(waits_ms)
                ));
                answer.try_command("cis doctor".to_owned());
            }
            Some(QueueReason::Account { name, .. }) if waits_ms > 0 => {
                answer.say(format!(
                    "Sessions of account `{name}` were logged out: none of it starts for {}, then one tries.",
                    span(waits_ms)
                ));
                answer
                    .say("Log in to it in a terminal of this machine, and the next one gets on.".to_owned());
            }
            Some(QueueReason::Lost { detail }) => {
                answer.say(format!(
                    "Its session was lost ({detail}), so it starts again; that does not count as a failure."
                ));
            }
            _ => {}
        }
        paused(run, answer);
        if waits_ms == 0 && run.state() == RunState::Running {
            self.no_room(run, index, now, answer);
        }
    }

    /// That this node does not hear the node of a task, or does not listen to it any more.
    fn unheard(&self, run: &Run, index: u32, answer: &mut Answer) {
        let Some(live) = live_of(run, index).filter(|live| !self.is_self(&live.node)) else { return };
        let node = &live.node;
        let hears = run.facts().room.as_ref().is_some_and(|room| self.offer_of(room, node).is_some());
        if self.is_ours(run) && !hears {
            answer.say(format!(
                "This node does not hear node {node}, or node {node} may not execute tasks in the room any more. If that stays so, the session of the attempt is frozen, and the attempt is lost."
            ));
            answer.try_command("cis node list".to_owned());
        }
    }

    /// Why no node of the room has a task.
    fn no_node(&self, run: &Run, index: u32, answer: &mut Answer) {
        let is_held = self.nodes.is_held(run.id());
        let nodes = self.nodes_for(run, index);
        if nodes.is_empty() {
            answer.say("No node of the room offers to execute tasks for this one.".to_owned());
            answer.try_command("cis node list".to_owned());
        }
        // Before that, nobody is asked what the room has.
        if !is_held && !self.nodes.commits.lets(run, index) {
            let needs = run.spec(index).needs.iter().filter_map(|need| run.find(need));
            // `trigger = "one_failed"` starts it while others are still at work.
            let list = names(run, needs.filter(|need| run.entry(*need).state.is_terminal()), |_| None);
            answer.say(if list.is_empty() {
                "`commit = \"room\"`: it waits until the room has the beginning of the run.".to_owned()
            } else {
                format!("`commit = \"room\"`: it waits until the room has the results of {list}.")
            });
            return;
        }
        for (name, why) in nodes {
            answer.say(match why {
                Some(why) => format!("Node {name} {why}."),
                None => format!("Node {name} is able to run it."),
            });
        }
        if let [first, ..] = &*self.forbidden_by_all(run, index) {
            answer.say(format!(
                "The policy of each node that could run it forbids it: it waits until an admin of such a node changes that (`cis node policy`, on {first} for example), or another node joins."
            ));
        }
    }

    /// Which limit stands in the way of a task that could start.
    fn no_room(&self, run: &Run, index: u32, now: TimestampMs, answer: &mut Answer) {
        if !self.is_ours(run) {
            answer
                .say(format!("The run is coordinated by {}: it decides when it starts.", run.facts().owner));
            return;
        }
        let in_room = run.facts().mode == ExecutionMode::Matrix;
        if in_room && self.nodes.is_held(run.id()) {
            answer.say(
                "Before anything of the run starts, this node reads the room, and the workers of the room are asked what they have of the run. `cis node status` says if the room cannot be read."
                    .to_owned(),
            );
        }
        if in_room && run.waits_for_submitter(index) {
            answer.say(format!(
                "It needs files, secrets or programs of the node where the run was submitted{}, and this node coordinates the run now. It waits until that node takes the run back. `cis node status` there says if a person has to do that.",
                run.submitter_note()
            ));
            answer.try_command("cis node list".to_owned());
            return;
        }
        if in_room && run.stays_home(index) {
            answer.say(
                "It runs on the node that coordinates its run, as it needs what other machines do not have."
                    .to_owned(),
            );
        } else if in_room {
            self.no_node(run, index, answer);
        }
        if self.host.is_none() && !in_room {
            answer.say(
                "No session host is there at the moment: nothing can start before the node has one."
                    .to_owned(),
            );
            answer.try_command("cis doctor".to_owned());
        }
        if run.free_slots() == 0 {
            let holders = run.live().filter(|i| live_of(run, *i).is_some_and(|live| !live.is_away()));
            let list = names(run, holders, |entry| {
                entry.live.as_ref().map(|live| format!("for {}", span(now - live.granted_ms)))
            });
            answer
                .say(format!("All slots of max_parallel = {} are taken: {list}.", run.facts().max_parallel));
        }
        if self.is_paused() {
            answer.say("This node is paused: no task starts here.".to_owned());
            answer.try_command("cis node resume".to_owned());
        }
        if !self.has_room() && !self.is_paused() && !in_room {
            let here = run.live_count();
            let waiting: u32 = self.runs.values().map(|slot| slot.run.blocked_count()).sum();
            answer.say(format!(
                "This node has all the {} sessions that it may have: {here} in this run, {} in other runs, {} outside of runs.",
                self.max_sessions,
                self.live.saturating_sub(here),
                self.foreign
            ));
            if waiting > 0 {
                answer.say(format!("{waiting} of them wait for a human."));
            }
            answer.try_command("cis dag sessions".to_owned());
        }
        if let Some(until_ms) = self.held_until.filter(|until_ms| *until_ms > now) {
            answer.say(format!(
                "The machine was short of something a moment ago: the next start is tried in {}.",
                span(until_ms - now)
            ));
        }
        self.no_place(run, index, now, answer);
        if answer.because.is_empty() {
            answer.say("Nothing stands in its way: it starts next.".to_owned());
        }
    }
}

fn pending(run: &Run, index: u32, now: TimestampMs, answer: &mut Answer) {
    let (spec, entry) = (run.spec(index), run.entry(index));
    waiting::before_its_time(run, index, answer);
    if entry.needs.open > 0 {
        let open = spec.needs.iter().filter_map(|need| run.find(need));
        let open = open.filter(|need| !run.entry(*need).state.is_terminal());
        let list = names(run, open.clone(), |entry| {
            Some(match entry.live.as_ref().and_then(|live| live.blocked.as_ref()) {
                Some(prompt) => {
                    format!("{} and {} ({})", entry.state, prompts::note(prompt, now), prompt.kind)
                }
                None if entry.waits_for_approval() => "waits for approval".to_owned(),
                None => entry.state.to_string(),
            })
        });
        let all = spec.needs.len();
        answer.say(format!(
            "{} of its {all} needs {} not ended: {list}.",
            entry.needs.open,
            have(entry.needs.open)
        ));
        for need in open.take(NAMED_MAX) {
            if let Some(live) = live_of(run, need)
                && let Some(prompt) = &live.blocked
            {
                prompts::commands(live, prompt, answer);
            }
            if run.entry(need).waits_for_approval() {
                answer.try_command(waiting::approve(run, need));
            }
        }
    }
    match spec.trigger {
        Trigger::OneFailed => answer.say("It runs only when one of its needs fails.".to_owned()),
        Trigger::AllDone => {
            answer.say("It runs when all of its needs have ended, however they end.".to_owned())
        }
        Trigger::Always => {
            answer
                .say("It runs when all of its needs have ended, also when the run is cancelled.".to_owned());
        }
        Trigger::AllSuccess => {}
    }
    if run.state() == RunState::Created {
        answer.because.insert(0, "The run was not started yet.".to_owned());
        answer.try_command(format!("cis dag execute --run-id {}", run.id()));
    }
    paused(run, answer);
}

fn paused(run: &Run, answer: &mut Answer) {
    if run.state() == RunState::Paused {
        answer.because.insert(0, "The run is paused: nothing new starts in it.".to_owned());
        answer.try_command(format!("cis dag resume {}", run.id()));
    }
}

fn running(run: &Run, index: u32, now: TimestampMs, answer: &mut Answer) {
    let Some(live) = live_of(run, index) else { return };
    let since = span(now - live.granted_ms);
    prompts::waits(run, index, live, now, answer);
    prompts::stopping(live, answer);
    let attempt = live.attempt;
    // Processes of another machine are reported, too.
    let may_wait_for_room = live.pid.is_none()
        && run.entry(index).state != TaskState::Processing
        && run.facts().mode == ExecutionMode::Matrix
        && run.spec(index).commit == Commit::Room;
    // Only its node knows whether it waits for that now: it may be fetching files, or all of its slots may be taken.
    if may_wait_for_room {
        answer.say(format!(
            "`commit = \"room\"`: if the room has several coordinators, node {} does not start it before it has read the grant of the task in the room.",
            live.node
        ));
    }
    answer.say(match live.pid {
        _ if run.entry(index).state == TaskState::Processing => {
            format!("The process of attempt {attempt} has ended; its artifacts are being stored.")
        }
        // Processes of another machine have no pid here.
        Some(0) => format!("Attempt {attempt} has been running for {since}, on the node {}.", live.node),
        Some(pid) => format!("Attempt {attempt} has been running for {since}, as process {pid}."),
        None => format!("Attempt {attempt} was granted {since} ago; its process is being started."),
    });
    answer.try_command(logs_of(run, index, "-f "));
}

/// Shows the log of a task of this run, and of no newer one.
fn logs_of(run: &Run, index: u32, options: &str) -> String {
    format!("cis dag logs {options}{} --run {}", run.spec(index).id, run.id().short())
}

fn ended(run: &Run, index: u32, answer: &mut Answer) {
    let entry = run.entry(index);
    let attempts = match entry.attempts {
        0 => "without an attempt".to_owned(),
        n => format!("with attempt {n}"),
    };
    match (&entry.end, entry.state) {
        (Some(EndReason::NeedFailed { .. }), _) => {
            let root = root_cause(run, index);
            answer.say(format!("It was not started: {}.", end_of(entry)));
            if let Some(root) = root {
                let (at, root_spec, root) = (root, run.spec(root), run.entry(root));
                answer.say(format!("`{}` is {}: {}.", root_spec.id, root.state, end_of(root)));
                if root.attempts > 0 {
                    answer.try_command(logs_of(run, at, ""));
                }
            }
        }
        (Some(_), state) => answer.say(format!("It {} {attempts}: {}.", became(state), end_of(entry))),
        (None, state) => answer.say(format!("It {} {attempts}.", became(state))),
    }
    if let Some(EndReason::Expression { .. }) = entry.end {
        skipped_sources(run, index, answer);
    }
    if let Some(lost) = entry.last.as_ref().and_then(|last| last.lost_output.as_ref()) {
        answer.say(format!("Its log is incomplete: {lost}."));
        answer.try_command("cis doctor".to_owned());
    }
    if let Some(why) = entry.last.as_ref().and_then(|last| last.not_cached.as_ref()) {
        answer.say(format!("Its result is not in the cache: {why}."));
    }
    if entry.attempts > 0 && entry.state != TaskState::Succeeded {
        answer.try_command(logs_of(run, index, ""));
    }
    if !entry.state.counts_as_success() {
        if run.state().is_terminal() {
            answer.try_command(format!("cis dag retry {} --failed", run.id()));
        } else {
            answer.say("The run goes on; it can be retried once that has ended.".to_owned());
        }
    }
}

/// Names the skipped tasks with whose outputs something about this one was to be decided.
fn skipped_sources(run: &Run, index: u32, answer: &mut Answer) {
    let mut sources: Vec<TaskId> =
        template::decision_outputs(run.spec(index)).into_iter().map(|(task, _)| task).collect();
    sources.dedup();
    for source in sources.iter().filter_map(|task| run.find(task)) {
        let entry = run.entry(source);
        // One with an empty `foreach` list has lists as outputs.
        if let Some(EndReason::Skipped { lists, .. }) = &entry.end
            && lists.is_empty()
        {
            answer.say(format!("`{}` left no outputs, as it was {}.", run.spec(source).id, end_of(entry)));
        }
    }
}

fn end_of(entry: &TaskEntry) -> String {
    entry.end.as_ref().map_or_else(|| entry.state.to_string(), ToString::to_string)
}

/// Follows `NeedFailed` to the task that began it.
fn root_cause(run: &Run, index: u32) -> Option<u32> {
    let mut root = None;
    let mut at = index;
    // No chain is longer than the run.
    for _ in 0..run.len() {
        let Some(EndReason::NeedFailed { need }) = &run.entry(at).end else { break };
        at = TaskId::new(need).ok().and_then(|need| run.find(&need))?;
        root = Some(at);
    }
    root
}

fn live_of(run: &Run, index: u32) -> Option<&Live> {
    run.entry(index).live.as_deref()
}

fn have(n: u32) -> &'static str {
    if n == 1 { "has" } else { "have" }
}

fn span(ms: i64) -> String {
    duration(u64::try_from(ms).unwrap_or(0))
}

/// ``` `a` (running), `b`, 4 more ```, with what `note` says of each.
fn names(
    run: &Run,
    indexes: impl Iterator<Item = u32>,
    note: impl Fn(&TaskEntry) -> Option<String>,
) -> String {
    let mut list = Vec::new();
    let mut more = 0u32;
    for index in indexes {
        if list.len() == NAMED_MAX {
            more += 1;
            continue;
        }
        let id = &run.spec(index).id;
        list.push(
            note(run.entry(index)).map_or_else(|| format!("`{id}`"), |note| format!("`{id}` ({note})")),
        );
    }
    if more > 0 {
        list.push(format!("{more} more"));
    }
    list.join(", ")
}

/// What became of a task in such a state, behind its subject.
fn became(state: TaskState) -> String {
    match state {
        TaskState::Succeeded => "succeeded".to_owned(),
        TaskState::Failed => "failed".to_owned(),
        TaskState::Cancelled => "was cancelled".to_owned(),
        state => format!("is {state}"),
    }
}
