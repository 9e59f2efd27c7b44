//! Frames of a run of 10,000 tasks of which 1,000 change in a second, and frames of what does not change.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cis_core::event::Event;
use cis_core::ids::RunId;
use cis_gui::command::Command;
use cis_gui::feed::Shared;
use cis_gui::model::{Link, Update};
use cis_gui::panels::Go;
use cis_local::now_ms;
use eframe::egui::Key;
use serde_json::{Value, json};

use crate::shapes::{self, Dice};
use crate::stage::{Stage, processor_ms};
use crate::{Outcome, say};

const TASKS: usize = 10_000;
/// Frames of each kind.
const FRAMES: usize = 600;
/// Changes of tasks between two frames: 1,000 in a second of 60.
const CHANGES: usize = 17;

/// Events as a node sends them: tasks begin and end, round and round.
struct Busy {
    dice: Dice,
    offset: u64,
    running: VecDeque<usize>,
    attempts: Vec<u32>,
}

impl Busy {
    fn new() -> Self {
        Self { dice: Dice::new(), offset: 0, running: VecDeque::new(), attempts: vec![0; TASKS] }
    }

    fn events(&mut self) -> Vec<Event> {
        (0..CHANGES)
            .map(|n| if n % 2 == 0 || self.running.is_empty() { self.start() } else { self.end() })
            .collect()
    }

    fn start(&mut self) -> Event {
        let task = self.dice.below(TASKS);
        self.attempts[task] += 1;
        self.running.push_back(task);
        self.event(
            "cis.dag.task.assigned",
            &json!({ "task": format!("t{task}"), "attempt": self.attempts[task], "fence": 1,
                "session": "01JD0V3Z8K6T9W2B5N7Q4R1XED", "node": "did:key:z6Mk", "host": null }),
        )
    }

    fn end(&mut self) -> Event {
        let task = self.running.pop_front().unwrap_or_default();
        let state = if self.dice.below(20) == 0 { "failed" } else { "completed" };
        let change = json!({ "task": format!("t{task}"), "state": state });
        self.event("cis.dag.task.status", &json!({ "changes": [change] }))
    }

    fn event(&mut self, name: &str, body: &Value) -> Event {
        self.offset += 1;
        let text = json!({ "offset": self.offset, "id": "01JD0V3Z8K6T9W2B5N7Q4R1XEC",
            "run": RunId::from_parts(1, 1), "v": 1, "type": name, "at_ms": now_ms(), "body": body });
        let event: Event = serde_json::from_value(text).expect("an event");
        event.decode().expect("an event that is understood");
        event
    }
}

pub(crate) fn measure() -> Outcome {
    let woken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&woken);
    let shared = Shared::new(Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let mut stage = Stage::new(&shared);
    let mut busy = Busy::new();
    shared.apply(Update::Link(Link::Up));
    shared.apply(Update::Listing { runs: Vec::new(), whole: true });
    shared.apply(Update::Run(Box::new(shapes::run(&shapes::layered(TASKS, 200)))));
    stage.dashboard.go(Go::Run(RunId::from_parts(1, 1)));
    // The layout comes by itself.
    for _ in 0..3 {
        stage.settle();
        std::thread::sleep(Duration::from_millis(1_500));
    }
    stage.press(Key::F);
    // Nothing is at work yet, whose clock would go on.
    idle(&mut stage, "all of the graph");
    stage.press(Key::T);
    idle(&mut stage, "table");
    stage.press(Key::G);
    changing(&mut stage, &shared, &mut busy, "all of the graph");
    stage.press(Key::C);
    critical_path(&mut stage);
    changing(&mut stage, &shared, &mut busy, "all of the graph, critical path");
    moving(&mut stage, "all of the graph moved");
    // The wheel zooms by e for 300 points.
    stage.wheel(800.0);
    changing(&mut stage, &shared, &mut busy, "half zoomed in");
    moving(&mut stage, "half zoomed in, moved");
    stage.wheel(1_000.0);
    changing(&mut stage, &shared, &mut busy, "zoomed in, names readable");
    moving(&mut stage, "zoomed in, moved");
    stage.press(Key::C);
    stage.press(Key::T);
    changing(&mut stage, &shared, &mut busy, "table");
    stage.dashboard.go(Go::Runs);
    changing(&mut stage, &shared, &mut busy, "list of runs");
    stage.dashboard.go(Go::Events);
    changing(&mut stage, &shared, &mut busy, "events");
    folding(&shared, &mut busy);
    // One wake for all that comes before somebody looks.
    stage.frame(Vec::new());
    let before = woken.load(Ordering::Relaxed);
    for _ in 0..100 {
        shared.apply(Update::Events(busy.events()));
    }
    println!(
        "{}",
        json!({ "what": "wakes for 100 changes", "count": woken.load(Ordering::Relaxed) - before })
    );
    Ok(())
}

/// Answers the request for the critical path as a node does: one task of each layer.
fn critical_path(stage: &mut Stage) {
    stage.frame(Vec::new());
    let tasks = shapes::layered(TASKS, 200);
    let need = |name: &str| tasks.iter().find(|task| task.id.as_str() == name)?.needs.first().cloned();
    let last = tasks.last().map(|task| task.id.clone());
    let path: Vec<Value> = std::iter::successors(last, |task| need(task.as_str()))
        .map(|task| json!({ "task": task, "from_ms": 1, "to_ms": 2, "queue_ms": 0, "machine_ms": 1, "human_ms": 0 }))
        .collect();
    let none = json!({ "queue_ms": 0, "machine_ms": 1, "human_ms": 0 });
    while let Ok(command) = stage.commands.try_recv() {
        if let Command::Times(run, slot) = command {
            let times = json!({ "run": run, "state": "running", "from_ms": 1, "wall_ms": 1, "critical": none,
                "path": path, "tasks": [] });
            slot.fill(Ok(serde_json::from_value(times).expect("the times of a run")));
        }
    }
    stage.settle();
}

/// Frames with changes between them.
fn changing(stage: &mut Stage, shared: &Shared, busy: &mut Busy, what: &str) {
    stage.settle();
    let times: Vec<f64> = (0..FRAMES)
        .map(|_| {
            shared.apply(Update::Events(busy.events()));
            stage.frame(Vec::new()).0
        })
        .collect();
    say(&format!("frame, {what}"), &times);
}

/// Frames of a graph that is zoomed a little out and in.
fn moving(stage: &mut Stage, what: &str) {
    let times: Vec<f64> = (0..FRAMES / 2)
        .map(|n| {
            let delta = if n / 20 % 2 == 0 { -6.0 } else { 6.0 };
            stage.turn(delta)
        })
        .collect();
    stage.leave();
    say(&format!("frame, {what}"), &times);
}

/// What a frame costs where nothing has changed, and when the next one is asked for: the run's clock, and no sooner.
fn idle(stage: &mut Stage, what: &str) {
    stage.settle();
    let mut soonest = Duration::MAX;
    let times: Vec<f64> = (0..100)
        .map(|_| {
            let (took, wait) = stage.frame(Vec::new());
            soonest = soonest.min(wait);
            took
        })
        .collect();
    say(&format!("frame of nothing new, {what}"), &times);
    println!(
        "{}",
        json!({ "what": format!("next frame, {what}"), "ms": u64::try_from(soonest.as_millis()).unwrap_or(u64::MAX) })
    );
}

/// What a change costs the feed.
fn folding(shared: &Shared, busy: &mut Busy) {
    let times: Vec<f64> = (0..FRAMES)
        .map(|_| {
            let events = busy.events();
            let began = processor_ms();
            shared.apply(Update::Events(events));
            (processor_ms() - began) / f64::from(u32::try_from(CHANGES).unwrap_or(1))
        })
        .collect();
    say("fold of one change", &times);
}
