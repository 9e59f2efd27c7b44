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
    let drawing = draw(&Shape::of(&tasks));
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
    let drawing = draw(&Shape::of(&tasks));
    assert_eq!(drawing.boxes.len(), 3);
    assert_eq!(drawing.boxes[1].tasks.len(), 5_000);
    assert_eq!(drawing.edges, [(0, 1), (1, 2)]);
}

#[test]
fn nothing_is_drawn_of_nothing() {
    assert_eq!(draw(&Shape::of(&[])), Drawing::default());
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
    let drawing = draw(&Shape::of(&tasks));
    assert_eq!(
        drawing.boxes.iter().map(|one| one.tasks.clone()).collect::<Vec<_>>(),
        [vec![0], vec![1, 3, 4], vec![2]]
    );
    assert_eq!(drawing.edges, [(0, 1), (1, 2)]);
}

/// A number that looks like chance, from the one before.
fn next(seed: &mut u64) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed >> 33).unwrap()
}

/// Layers of tasks that need some of the layer before, and now and then one of long before.
fn layered(count: usize, wide: usize) -> Shape {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut needs = vec![Vec::new(); count];
    for (task, needs) in needs.iter_mut().enumerate().skip(wide) {
        let from = task / wide * wide - wide;
        let mut some: Vec<usize> =
            (0..1 + next(&mut seed) % 3).map(|_| from + next(&mut seed) % wide).collect();
        if next(&mut seed).is_multiple_of(10) {
            some.push(next(&mut seed) % (from + 1));
        }
        some.sort_unstable();
        some.dedup();
        *needs = some;
    }
    Shape { list: vec![None; count], needs }
}

fn check(drawing: &Drawing) {
    let mut boxes: Vec<(f32, f32)> = drawing.boxes.iter().map(|one| one.at).collect();
    boxes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    for pair in boxes.windows(2) {
        let apart = pair[1].0 - pair[0].0 >= BOX.0 || pair[1].1 - pair[0].1 >= BOX.1;
        assert!(apart, "boxes overlap: {pair:?}");
    }
    for at in &boxes {
        assert!(at.0 >= 0.0 && at.1 >= -0.1, "{at:?}");
        assert!(at.0 + BOX.0 <= drawing.size.0 + 0.5 && at.1 + BOX.1 <= drawing.size.1 + 0.5, "{at:?}");
    }
    // Every edge goes from its box to the other one, from left to right, along wires that are there.
    let known: std::collections::HashSet<String> =
        drawing.wires.iter().map(|wire| format!("{wire:?}")).collect();
    for (edge, (from, to)) in drawing.edges.iter().enumerate() {
        let way: Vec<End> = drawing.way(edge).collect();
        assert_eq!((way.first(), way.last()), (Some(&End::Box(*from)), Some(&End::Box(*to))));
        for pair in way.windows(2) {
            assert!(drawing.sides(pair[0]).0.0 < drawing.sides(pair[1]).1.0, "{way:?}");
            assert!(known.contains(&format!("{:?}", (pair[0], pair[1]))), "{way:?}");
        }
    }
}

#[test]
fn drawings_of_many_shapes_have_no_overlaps_and_all_their_wires() {
    for (count, wide) in [(60, 6), (300, 10), (1_000, 40)] {
        check(&draw(&layered(count, wide)));
    }
    let chain: Vec<Vec<usize>> = (0..500_usize).map(|n| n.checked_sub(1).into_iter().collect()).collect();
    let drawing = draw(&Shape { list: vec![None; 500], needs: chain });
    check(&drawing);
    assert!(drawing.boxes.iter().all(|one| one.at.1.abs() < 0.5), "a chain is a line");
    // Chains beside each other are not drawn in one column of any height.
    let chains: Vec<Vec<usize>> =
        (0..2_000_usize).map(|n| if n % 5 == 0 { vec![] } else { vec![n - 1] }).collect();
    let drawing = draw(&Shape { list: vec![None; 2_000], needs: chains });
    check(&drawing);
    assert!(drawing.size.1 < 4.0 * drawing.size.0, "{:?}", drawing.size);
}

#[test]
fn a_tree_has_no_crossings() {
    let needs: Vec<Vec<usize>> =
        (0..127_usize).map(|n| n.checked_sub(1).map(|n| n / 2).into_iter().collect()).collect();
    let drawing = draw(&Shape { list: vec![None; needs.len()], needs });
    check(&drawing);
    for (a, b) in &drawing.edges {
        for (c, d) in &drawing.edges {
            let (a, b, c, d) =
                (drawing.boxes[*a].at, drawing.boxes[*b].at, drawing.boxes[*c].at, drawing.boxes[*d].at);
            let crosses = (a.0 - c.0).abs() < 1.0 && a.1 < c.1 && b.1 > d.1;
            assert!(!crosses, "{a:?} {b:?} {c:?} {d:?}");
        }
    }
}

#[test]
fn circles_are_drawn_as_well() {
    let shape = Shape { needs: vec![vec![2], vec![0], vec![1]], list: vec![None; 3] };
    assert_eq!(draw(&shape).boxes.len(), 3);
}
