use cis_core::api::TaskView;

use super::*;

pub(super) fn task(id: &str, needs: &[&str]) -> TaskView {
    let view = serde_json::json!({
        "id": id, "state": "pending", "needs": needs, "attempts": 0, "session": null, "started_ms": null,
        "ended_ms": null, "exit_code": null,
    });
    serde_json::from_value(view).unwrap()
}

#[test]
fn needs_stand_left_of_what_needs_them_and_no_boxes_overlap() {
    let tasks =
        [task("a", &[]), task("b", &["a"]), task("c", &["a"]), task("d", &["b", "c"]), task("e", &[])];
    let drawing = draw(&tasks);
    assert_eq!(drawing.boxes.len(), 5);
    assert_eq!(drawing.edges, [(0, 1), (0, 2), (1, 3), (2, 3)]);
    for (from, to) in &drawing.edges {
        assert!(drawing.boxes[*from].at.0 + BOX.0 < drawing.boxes[*to].at.0, "{drawing:?}");
    }
    for (n, one) in drawing.boxes.iter().enumerate() {
        for other in &drawing.boxes[n + 1..] {
            let apart = (one.at.0 - other.at.0).abs() >= BOX.0 || (one.at.1 - other.at.1).abs() >= BOX.1;
            assert!(apart, "{one:?} {other:?}");
        }
        assert!(one.at.0 >= 0.0 && one.at.1 >= 0.0 && one.at.0 + BOX.0 <= drawing.size.0 + 0.5);
    }
}

#[test]
fn many_tasks_at_the_same_place_are_one_box() {
    let names: Vec<String> = (1..=5_000).map(|n| format!("part-{n}")).collect();
    let mut tasks = vec![task("plan", &[])];
    tasks.extend(names.iter().map(|name| task(name, &["plan"])));
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    tasks.push(task("end", &all));
    let drawing = draw(&tasks);
    assert_eq!(drawing.boxes.len(), 3);
    assert_eq!(drawing.boxes[1].tasks.len(), 5_000);
    assert_eq!(drawing.edges, [(0, 1), (1, 2)]);
}

#[test]
fn nothing_is_drawn_of_nothing() {
    assert_eq!(draw(&[]), Drawing::default());
}

#[test]
fn items_are_in_the_box_of_their_list() {
    let tasks = [
        task("plan", &[]),
        task("deploy", &["plan"]),
        task("end", &["deploy"]),
        task("deploy.1", &[]),
        task("deploy.2", &[]),
    ];
    let drawing = draw(&tasks);
    assert_eq!(
        drawing.boxes.iter().map(|one| one.tasks.clone()).collect::<Vec<_>>(),
        [vec![0], vec![1, 3, 4], vec![2]]
    );
    assert_eq!(drawing.edges, [(0, 1), (1, 2)]);
}
