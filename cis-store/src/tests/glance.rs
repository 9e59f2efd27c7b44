//! As much of a run as people are shown at a glance.

use super::support::{Home, assigned, created, draft, run_id, seeds, session_id, task, ulid};
use cis_core::api::TaskView;
use cis_core::event::{EventBody, QueueReason, TaskChange, TaskState};

#[test]
fn who_runs_waits_or_failed_is_shown_as_the_whole_run_shows_it() {
    let home = Home::new();
    let mut writer = home.writer();
    let run = Some(run_id(1));
    let names = ["a", "b", "c", "d", "e", "f"];
    let needs: Vec<(&str, &[&str])> = names.iter().map(|&name| (name, &[] as &[&str])).collect();
    writer.append_run(&draft(run, 1, created("ship", 6)), ulid(1), &seeds(&needs)).unwrap();
    writer.append(&draft(run, 2, EventBody::RunStarted {}), ulid(2)).unwrap();
    writer.append(&draft(run, 3, assigned("b", 1, session_id(1))), ulid(3)).unwrap();
    let change = |name: &str, state, queued| TaskChange { task: task(name), state, end: None, queued };
    let asks = QueueReason::Approval { prompt: "Deploy?".into(), until_ms: None };
    let changes = vec![
        change("a", TaskState::Succeeded, None),
        change("c", TaskState::Failed, None),
        change("d", TaskState::Error, None),
        change("e", TaskState::Queued, Some(asks)),
        change("f", TaskState::Queued, None),
    ];
    writer.append(&draft(run, 4, EventBody::TaskStatus { changes }), ulid(4)).unwrap();
    writer.commit().unwrap();

    let reader = home.readers().get().unwrap();
    let whole = reader.run_detail(run_id(1)).unwrap();
    let of = |names: &[&str]| -> Vec<TaskView> {
        whole.tasks.iter().filter(|task| names.contains(&task.id.as_str())).cloned().collect()
    };
    for (failed_max, shown) in [(0, &["b", "e"][..]), (1, &["b", "c", "e"]), (9, &["b", "c", "d", "e"])] {
        let glance = reader.run_at_a_glance(run_id(1), failed_max).unwrap();
        assert_eq!((&glance.run, glance.tasks), (&whole.run, of(shown)), "{failed_max}");
    }
    let named = ["d", "nobody", "a"].map(str::to_owned);
    let some = reader.run_with_tasks(run_id(1), &named).unwrap();
    assert_eq!((&some.run, some.tasks), (&whole.run, of(&["a", "d"])));
    assert!(reader.run_at_a_glance(run_id(2), 9).is_err());
}
