//! A run's tasks in time: pure.

use cis_core::api::{TaskTime, TimeSplit, TimeView};
use cis_core::ids::TimestampMs;

/// Where time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::panels) enum Part {
    /// Waited for its turn.
    Queue,
    /// Was at work.
    Machine,
    /// Waited for a human.
    Human,
}

impl Part {
    /// All, in the order in which they are drawn.
    pub(in crate::panels) const ALL: [Self; 3] = [Self::Queue, Self::Machine, Self::Human];

    /// In words.
    pub(in crate::panels) fn word(self) -> &'static str {
        match self {
            Self::Queue => "in the queue",
            Self::Machine => "at work",
            Self::Human => "waiting for a human",
        }
    }

    /// Its part of a split, ms.
    pub(in crate::panels) fn of(self, split: &TimeSplit) -> i64 {
        match self {
            Self::Queue => split.queue_ms,
            Self::Machine => split.machine_ms,
            Self::Human => split.human_ms,
        }
    }
}

/// The order of the lines: by when each was free to start, then as the file has them.
pub(super) fn order(times: &TimeView) -> Vec<usize> {
    let mut places: Vec<usize> = (0..times.tasks.len()).collect();
    places.sort_by_key(|at| times.tasks[*at].from_ms);
    places
}

/// From when to when is drawn.
pub(super) fn span(times: &TimeView, now: TimestampMs) -> (TimestampMs, TimestampMs) {
    let first = times.tasks.iter().map(|task| task.from_ms).min();
    let from = times.from_ms.or(first).unwrap_or(now).min(first.unwrap_or(TimestampMs::MAX));
    let open = !times.state.is_terminal();
    let to = times.tasks.iter().map(|task| end(task, now)).max().unwrap_or(from);
    (from, if open { to.max(now) } else { to }.max(from + 1))
}

/// Until when a task is drawn.
fn end(task: &TaskTime, now: TimestampMs) -> TimestampMs {
    if task.state.is_terminal() { task.to_ms } else { task.to_ms.max(now) }
}

/// The parts of a task's bar, as shares of the whole span: from, to. How long each took is known, and that the queue
/// came first; work and waiting took turns, and are drawn one after the other.
pub(super) fn bar(
    task: &TaskTime,
    waits: bool,
    (from, to): (TimestampMs, TimestampMs),
    now: TimestampMs,
) -> Vec<(Part, f32, f32)> {
    let mut split = task.split;
    // Since the node was asked it went on as it was.
    let since = end(task, now) - task.to_ms;
    if task.state.is_active() && !waits {
        split.machine_ms += since;
    } else if waits {
        split.human_ms += since;
    } else {
        split.queue_ms += since;
    }
    #[allow(clippy::cast_precision_loss, reason = "a place on a screen")]
    let share = |ms: TimestampMs| ((ms - from) as f32 / (to - from).max(1) as f32).clamp(0.0, 1.0);
    let mut at = task.from_ms;
    let mut parts = Vec::with_capacity(3);
    for part in Part::ALL {
        let ms = part.of(&split);
        if ms > 0 {
            parts.push((part, share(at), share(at + ms)));
            at += ms;
        }
    }
    parts
}

/// Marks of the axis: at which share of the span which time since its beginning is written. About `count` of them, at
/// steps that people count in.
pub(super) fn ticks(span: (TimestampMs, TimestampMs), count: usize) -> Vec<(f32, String)> {
    const STEPS: [i64; 22] = [
        10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
        600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 43_200_000, 86_400_000,
    ];
    let whole = span.1 - span.0;
    let most = i64::try_from(count.max(1)).unwrap_or(1);
    let step = STEPS.into_iter().find(|step| whole / step <= most).unwrap_or_else(|| {
        let days = whole / 86_400_000 / most + 1;
        days * 86_400_000
    });
    #[allow(clippy::cast_precision_loss, reason = "a place on a screen")]
    let share = |ms: i64| ms as f32 / whole.max(1) as f32;
    (0..=whole / step).map(|n| (share(n * step), time(n * step))).collect()
}

/// A time since the beginning, as short as it is exact.
pub(super) fn time(ms: i64) -> String {
    match ms {
        0 => "0".to_owned(),
        1..1_000 => format!("{ms} ms"),
        1_000..60_000 if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}:{:02} min", ms / 60_000, ms / 1_000 % 60),
        3_600_000..86_400_000 => format!("{}:{:02} h", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{} d {} h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

/// Says where the time on the critical path went.
pub(in crate::panels::run) fn critical(times: &TimeView) -> String {
    Part::ALL.map(|part| format!("{} {}", time(part.of(&times.critical)), part.word())).join(", ")
}

/// What a bar says to whoever asks for more.
pub(super) fn words(task: &TaskTime) -> String {
    let took = |part: Part| {
        Some(part.of(&task.split)).filter(|ms| *ms > 0).map(|ms| format!("{} {}", time(ms), part.word()))
    };
    let parts: Vec<String> = Part::ALL.into_iter().filter_map(took).collect();
    let critical = if task.critical { ", on the critical path" } else { "" };
    format!(
        "{}: {}{critical}",
        task.task,
        if parts.is_empty() { "no time".to_owned() } else { parts.join(", ") }
    )
}

#[cfg(test)]
mod tests {
    use cis_core::event::{RunState, TaskState};
    use cis_core::ids::{RunId, TaskId};

    use super::*;

    fn task(name: &str, state: TaskState, from_ms: i64, split: (i64, i64, i64)) -> TaskTime {
        let split = TimeSplit { queue_ms: split.0, machine_ms: split.1, human_ms: split.2 };
        let to_ms = from_ms + split.queue_ms + split.machine_ms + split.human_ms;
        TaskTime { task: TaskId::new(name).unwrap(), state, critical: name == "b", from_ms, to_ms, split }
    }

    fn times(state: RunState, tasks: Vec<TaskTime>) -> TimeView {
        let (critical, path) = (TimeSplit::default(), Vec::new());
        TimeView {
            run: RunId::from_parts(1, 1),
            state,
            from_ms: Some(1_000),
            wall_ms: 0,
            critical,
            path,
            tasks,
        }
    }

    #[test]
    fn bars_lie_where_the_time_was() {
        let ended = times(
            RunState::Succeeded,
            vec![
                task("b", TaskState::Succeeded, 2_000, (500, 400, 100)),
                task("a", TaskState::Succeeded, 1_000, (0, 1_000, 0)),
            ],
        );
        assert_eq!(order(&ended), [1, 0]);
        let whole = span(&ended, 99_000);
        assert_eq!(whole, (1_000, 3_000), "what is over does not grow");
        let bar = bar(&ended.tasks[0], false, whole, 99_000);
        assert_eq!(bar, [(Part::Queue, 0.5, 0.75), (Part::Machine, 0.75, 0.95), (Part::Human, 0.95, 1.0)]);
        assert_eq!(
            words(&ended.tasks[0]),
            "b: 500 ms in the queue, 400 ms at work, 100 ms waiting for a human, on the critical path"
        );
    }

    #[test]
    fn what_is_under_way_grows_as_it_stands() {
        let open = times(RunState::Running, vec![task("a", TaskState::Running, 1_000, (0, 500, 0))]);
        let whole = span(&open, 3_000);
        assert_eq!(whole, (1_000, 3_000));
        assert_eq!(bar(&open.tasks[0], false, whole, 3_000), [(Part::Machine, 0.0, 1.0)]);
        assert_eq!(
            bar(&open.tasks[0], true, whole, 3_000),
            [(Part::Machine, 0.0, 0.25), (Part::Human, 0.25, 1.0)]
        );
        // Nothing at all has a span as well.
        assert_eq!(span(&times(RunState::Created, Vec::new()), 1_000), (1_000, 1_001));
    }

    #[test]
    fn the_axis_counts_as_people_do() {
        let labels = |ms| ticks((0, ms), 5).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(900), ["0", "200 ms", "400 ms", "600 ms", "800 ms"]);
        assert_eq!(labels(70_000), ["0", "15 s", "30 s", "45 s", "1:00 min"]);
        assert_eq!(labels(5 * 86_400_000), ["0", "1 d 0 h", "2 d 0 h", "3 d 0 h", "4 d 0 h", "5 d 0 h"]);
        assert!(labels(1_000 * 86_400_000).len() <= 6);
    }
}
