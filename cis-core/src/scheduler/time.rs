//! Where the time of a run went: for each task, and for the chain of tasks that its end waited for.
//!
//! The path is walked backwards from the end: to the task that ended last, to the need of it that ended
//! last, and so on. Each task counts from when it was free to start to its end, so that the parts lie end to
//! end and queue + machine + human is the wall time, whatever happened. What is between two tasks counts as
//! queue. A run that was retried is looked at from the retry.

use super::state::Run;
use super::task::{Spent, Waits};
use crate::api::{TaskTime, TimeSplit, TimeStep, TimeView};
use crate::event::TaskState;
use crate::ids::{TaskId, TimestampMs};

impl Run {
    /// Where its time went, until its end or `now`; without its tasks and its path where only `totals` are
    /// wanted.
    #[must_use]
    pub fn times(&self, now: TimestampMs, totals: bool) -> TimeView {
        let from_ms = self.phase.clock_from_ms;
        let to_ms = self.ended_ms().unwrap_or(now);
        let from = from_ms.unwrap_or(to_ms);
        let mut path = Path { run: self, now, from, cursor: to_ms, steps: Vec::new() };
        path.walk();
        let mut steps = path.steps;
        steps.reverse();
        let mut critical = TimeSplit::default();
        for step in &steps {
            critical.queue_ms += step.split.queue_ms;
            critical.machine_ms += step.split.machine_ms;
            critical.human_ms += step.split.human_ms;
        }
        let (run, state, wall_ms) = (self.id(), self.state(), to_ms - from);
        let mut view =
            TimeView { run, state, from_ms, wall_ms, critical, path: Vec::new(), tasks: Vec::new() };
        if !totals {
            view.tasks = self.task_times(&steps, now);
            view.path = steps;
        }
        view
    }

    fn task_times(&self, path: &[TimeStep], now: TimestampMs) -> Vec<TaskTime> {
        let mut critical = vec![false; self.len() as usize];
        for index in path.iter().filter_map(|step| self.find(step.task.as_ref()?)) {
            critical[index as usize] = true;
        }
        let time = |index: u32| {
            let life = self.life(index, now)?;
            let (task, state) = (self.spec(index).id.clone(), self.entry(index).state);
            let Life { from_ms, to_ms, split } = life;
            Some(TaskTime { task, state, critical: critical[index as usize], from_ms, to_ms, split })
        };
        (0..self.len()).filter_map(time).collect()
    }

    /// From when a task was last free to start to its end; none: it never was.
    fn life(&self, index: u32, now: TimestampMs) -> Option<Life> {
        let entry = self.entry(index);
        if entry.state == TaskState::Pending {
            return None;
        }
        let to_ms = if entry.state.is_terminal() { entry.since_ms } else { now };
        let Spent { ready_ms, queue_ms, machine_ms, human_ms } = entry.spent;
        let mut split = TimeSplit { queue_ms, machine_ms, human_ms };
        let open = to_ms - entry.since_ms;
        match (entry.state, entry.waits()) {
            (TaskState::Queued, Waits::Turn | Waits::Until(_)) => split.queue_ms += open,
            (TaskState::Queued, Waits::Human(_)) => split.human_ms += open,
            (TaskState::Running | TaskState::Processing, _) => split.machine_ms += open,
            _ => {}
        }
        let prompt = entry.live.as_ref().and_then(|live| live.blocked.as_ref());
        if let Some(prompt) = prompt.filter(|prompt| prompt.kind.frees_slot()) {
            split.human_ms += now - prompt.since_ms;
            split.machine_ms -= now - prompt.since_ms;
        }
        Some(Life { from_ms: ready_ms, to_ms, split })
    }
}

/// A task from when it was free to start to its end.
#[derive(Debug, Clone, Copy)]
struct Life {
    from_ms: TimestampMs,
    to_ms: TimestampMs,
    split: TimeSplit,
}

struct Path<'a> {
    run: &'a Run,
    now: TimestampMs,
    from: TimestampMs,
    /// All after it is explained.
    cursor: TimestampMs,
    steps: Vec<TimeStep>,
}

impl Path<'_> {
    fn walk(&mut self) {
        let run = self.run;
        let mut next = self.latest(0..run.len());
        while let Some((index, life)) = next {
            self.gap(life.to_ms);
            next = self.task(index, life);
        }
        self.gap(self.from);
    }

    /// Counts a task, and gives what it waited for.
    fn task(&mut self, index: u32, life: Life) -> Option<(u32, Life)> {
        let run = self.run;
        if let Some((parent, _)) = run.item_of(index) {
            self.step(index, life);
            return self.before_items(parent);
        }
        if run.entry(index).items().is_some() {
            let items = run.entry(index).expansion().map_or(&[][..], |expansion| &expansion.items);
            if let Some((item, life)) = self.latest(items.iter().copied()) {
                self.gap(life.to_ms);
                self.step(item, life);
            }
            return self.before_items(index);
        }
        self.step(index, life);
        self.cause(index)
    }

    /// Counts the part of a task with `foreach` before it became its items.
    fn before_items(&mut self, parent: u32) -> Option<(u32, Life)> {
        let life = self.run.life(parent, self.now)?;
        let TimeSplit { queue_ms, machine_ms, human_ms } = life.split;
        let to_ms = life.from_ms + queue_ms + machine_ms + human_ms;
        if to_ms <= self.cursor {
            self.gap(to_ms);
            self.step(parent, Life { to_ms, ..life });
        }
        self.cause(parent)
    }

    /// What a task waited for before it was free to start.
    fn cause(&mut self, index: u32) -> Option<(u32, Life)> {
        let run = self.run;
        if let Some(handler) = run.handler(index) {
            let before = |other: &u32| match run.handler(*other) {
                None => true,
                Some(other) => handler.is_last() && !other.is_last(),
            };
            return self.latest((0..run.len()).filter(before));
        }
        let needs = run.needs_of(index).iter().filter_map(|need| run.find(need));
        if let Some(found) = self.latest(needs) {
            return Some(found);
        }
        // A session asked for it: until then that one was at work.
        let asker = asker(run, index)?;
        let life = run.life(asker, self.now)?;
        if life.from_ms >= self.cursor || life.to_ms <= self.from {
            return None;
        }
        let queue_ms = life.split.queue_ms.min(self.cursor - life.from_ms);
        let machine_ms = self.cursor - life.from_ms - queue_ms;
        let split = TimeSplit { queue_ms, machine_ms, human_ms: 0 };
        Some((asker, Life { to_ms: self.cursor, split, ..life }))
    }

    /// Of these tasks the one that ended last before the cursor, and after the beginning. Of several that
    /// did so together, one that took some time.
    fn latest(&self, among: impl Iterator<Item = u32>) -> Option<(u32, Life)> {
        let lives = among.filter_map(|index| Some((index, self.run.life(index, self.now)?)));
        let fits = |(_, life): &(u32, Life)| self.from < life.to_ms && life.to_ms <= self.cursor;
        lives.filter(fits).max_by_key(|(_, life)| (life.to_ms, life.from_ms < life.to_ms))
    }

    fn step(&mut self, index: u32, life: Life) {
        let task = Some(self.run.spec(index).id.clone());
        self.push(TimeStep { task, from_ms: life.from_ms, to_ms: life.to_ms, split: life.split });
    }

    fn gap(&mut self, to_ms: TimestampMs) {
        let split = TimeSplit { queue_ms: self.cursor - to_ms, ..TimeSplit::default() };
        self.push(TimeStep { task: None, from_ms: to_ms, to_ms: self.cursor, split });
    }

    fn push(&mut self, step: TimeStep) {
        self.cursor = step.from_ms;
        if step.from_ms != step.to_ms {
            self.steps.push(step);
        }
    }
}

/// The task whose session asked for this one: its name begins this one's.
fn asker(run: &Run, index: u32) -> Option<u32> {
    if (index as usize) < run.dag().tasks.len() {
        return None;
    }
    let name = run.spec(index).id.as_str();
    let end = name.rfind(['.', '_'])?;
    run.find(&TaskId::new(&name[..end]).ok()?)
}
