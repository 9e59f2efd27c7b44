//! Runs of many tasks, in shapes that drawings find hard.

use cis_core::api::{RunDetail, TaskView};
use cis_core::ids::RunId;
use serde_json::json;

/// A number that looks like chance.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % end.max(1)
    }
}

/// Tasks in layers, each with some needs in the layer before, and one in ten with one of long before.
pub(crate) fn layered(count: usize, wide: usize) -> Vec<TaskView> {
    let mut dice = Dice::new();
    tasks((0..count).map(|task| {
        if task < wide {
            return (format!("t{task}"), Vec::new());
        }
        let from = task / wide * wide - wide;
        let mut needs: Vec<usize> = (0..=dice.below(3)).map(|_| from + dice.below(wide)).collect();
        if dice.below(10) == 0 {
            needs.push(dice.below(from + 1));
        }
        needs.sort_unstable();
        needs.dedup();
        (format!("t{task}"), needs.into_iter().map(|need| format!("t{need}")).collect())
    }))
}

/// Any earlier tasks are needed.
pub(crate) fn random(count: usize) -> Vec<TaskView> {
    let mut dice = Dice::new();
    tasks((0..count).map(|task| {
        let needs = if task == 0 { 0 } else { dice.below(4) };
        let mut needs: Vec<usize> = (0..needs).map(|_| dice.below(task)).collect();
        needs.sort_unstable();
        needs.dedup();
        (format!("t{task}"), needs.into_iter().map(|need| format!("t{need}")).collect())
    }))
}

/// One after the other.
pub(crate) fn chain(count: usize) -> Vec<TaskView> {
    tasks((0..count).map(|task| {
        (format!("t{task}"), task.checked_sub(1).map(|need| format!("t{need}")).into_iter().collect())
    }))
}

/// So many chains of ten between a first and a last task.
pub(crate) fn ladder(count: usize) -> Vec<TaskView> {
    let lanes = count / 10;
    let first = std::iter::once(("first".to_owned(), Vec::new()));
    let lane = (0..lanes).flat_map(|lane| {
        (0..10).map(move |step| {
            let need = if step == 0 { "first".to_owned() } else { format!("l{lane}-{}", step - 1) };
            (format!("l{lane}-{step}"), vec![need])
        })
    });
    let last = std::iter::once(("last".to_owned(), (0..lanes).map(|lane| format!("l{lane}-9")).collect()));
    tasks(first.chain(lane).chain(last))
}

/// Diamonds, one after the other: three beside each other, and one that needs them all.
pub(crate) fn diamonds(count: usize) -> Vec<TaskView> {
    tasks((0..count).map(|task| {
        let needs = match task % 4 {
            0 if task == 0 => Vec::new(),
            0 => (task - 3..task).map(|need| format!("t{need}")).collect(),
            _ => vec![format!("t{}", task / 4 * 4)],
        };
        (format!("t{task}"), needs)
    }))
}

/// A list of so many items between two tasks.
pub(crate) fn list(count: usize) -> Vec<TaskView> {
    let ends = [("plan", vec![]), ("each", vec!["plan".to_owned()]), ("end", vec!["each".to_owned()])];
    let ends = ends.into_iter().map(|(name, needs)| (name.to_owned(), needs));
    tasks(ends.chain((1..=count).map(|item| (format!("each.{item}"), Vec::new()))))
}

fn tasks(all: impl Iterator<Item = (String, Vec<String>)>) -> Vec<TaskView> {
    all.map(|(id, needs)| {
        let view = json!({ "id": id, "state": "pending", "needs": needs, "attempts": 0, "session": null,
            "started_ms": null, "ended_ms": null, "exit_code": null });
        serde_json::from_value(view).expect("a task")
    })
    .collect()
}

/// A run of them that is under way.
pub(crate) fn run(tasks: &[TaskView]) -> RunDetail {
    let view = json!({
        "run": { "id": RunId::from_parts(1, 1), "dag": "bench", "state": "running", "mode": "local",
            "node": "did:key:z6Mk", "source": "bench.toml", "created_ms": 1, "started_ms": 1, "ended_ms": null,
            "counts": { "pending": tasks.len() }, "last_offset": 0 },
        "params": {}, "tasks": tasks,
    });
    serde_json::from_value(view).expect("a run")
}
