//! The graph of a run: its view and its critical path.

use cis_core::api::{RunDetail, TimeView};
use cis_core::event::TaskState;

use super::*;

/// Builds a run with two paths. By the durations of its tasks, the path through `slow` is longer.
fn diamond() -> RunDetail {
    let mut run = detail(1, &["plan", "fast", "slow", "end"]);
    let times = [(0, 1_000), (1_000, 2_000), (1_000, 61_000), (61_000, 62_000)];
    for (task, (from, to)) in run.tasks.iter_mut().zip(times) {
        (task.started_ms, task.ended_ms, task.state) = (Some(from), Some(to), TaskState::Succeeded);
    }
    let plan = run.tasks[0].id.clone();
    let both = vec![run.tasks[1].id.clone(), run.tasks[2].id.clone()];
    run.tasks[1].needs = vec![plan.clone()];
    run.tasks[2].needs = vec![plan];
    run.tasks[3].needs = both;
    run
}

/// Returns the node's answer: the end of the run waited for `fast`.
fn times(run: &RunDetail) -> TimeView {
    let step = |task: &str, from: i64, to: i64| json!({ "task": task, "from_ms": from, "to_ms": to, "queue_ms": 0, "machine_ms": to - from, "human_ms": 0 });
    let task = |name: &str, critical: bool| {
        json!({ "task": name, "state": "succeeded", "critical": critical, "from_ms": 0, "to_ms": 1_000,
            "queue_ms": 0, "machine_ms": 1_000, "human_ms": 0 })
    };
    let view = json!({
        "run": run.run.id, "state": "succeeded", "from_ms": 0, "wall_ms": 62_000,
        "critical": { "queue_ms": 0, "machine_ms": 3_000, "human_ms": 59_000 },
        "path": [step("plan", 0, 1_000), step("fast", 1_000, 61_000), step("end", 61_000, 62_000)],
        "tasks": [task("plan", true), task("fast", true), task("slow", false), task("end", true)],
    });
    serde_json::from_value(view).unwrap()
}

/// Opens the graph of `run` and waits until it is drawn.
fn drawn(run: RunDetail) -> Stage {
    let mut stage = stage();
    let id = run.run.id;
    stage.shared.apply(Update::Run(Box::new(run)));
    stage.harness.state_mut().go(Go::Run(id));
    next_frame(&mut stage);
    assert!(stage.shows("Graph of "));
    stage.sent();
    stage
}

#[test]
fn graph_and_timeline_show_the_same_critical_path() {
    let run = diamond();
    let times = times(&run);
    let mut stage = drawn(run);
    assert!(!stage.shows("1:02 min") && stage.sent().is_empty(), "asked only on demand");
    stage.click("Critical path");
    let sent = stage.sent();
    let [Command::Times(_, slot)] = &sent[..] else { panic!("{sent:?}") };
    slot.fill(Ok(times));
    stage.steps();
    assert!(stage.shows("1:02 min"), "its duration");
    assert_eq!(stage.harness.state().run.graph_marked(), [0, 1, 3], "the path of the node");
    stage.click("Timeline");
    assert!(stage.sent().is_empty(), "both share one answer");
    assert!(stage.shows("fast: 1 s at work, on the critical path") && stage.shows("slow: 1 s at work"));
    assert!(!stage.shows("slow: 1 s at work, on the critical path"));
    stage.click("Graph");
    stage.click("Critical path");
    assert!(!stage.shows("1:02 min"));
}

#[test]
fn selecting_a_task_keeps_the_view_of_the_graph() {
    let mut stage = drawn(diamond());
    let before = stage.harness.state().run.graph_looks();
    stage.click("Tasks");
    stage.click("slow");
    stage.click("Graph");
    assert!(stage.shows("Close"), "the panel of the task is open");
    assert_eq!(stage.harness.state().run.graph_looks(), before);
    stage.click("Close");
    assert_eq!(stage.harness.state().run.graph_looks(), before);
    stage.harness.set_size(egui::vec2(900.0, 500.0));
    stage.steps();
    assert_eq!(stage.harness.state().run.graph_looks(), before, "resizing the window keeps the view too");
    stage.click("Fit");
    assert_ne!(stage.harness.state().run.graph_looks(), before, "only `Fit` changes the view");
}
