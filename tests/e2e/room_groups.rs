//! Concurrency groups of a room: a limit for the runs of all its coordinators together.

use std::path::Path;

use serde_json::Value;

use crate::federation::{did, execute, invited, lines_in, member};
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, eventually_within};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};

/// Tasks of a run that exclude each other, as they say if they did not.
const TASKS: usize = 5;

fn exclusive(dir: &Path, name: &str, go: Option<&Path>) -> String {
    let wait =
        go.map_or("sleep 0.1".to_owned(), |go| format!("until [ -e {} ]; do sleep 0.05; done", go.display()));
    let dir = dir.display();
    let task = |n: usize| {
        format!(
            "[[tasks]]\nid = \"t{n}\"\ntty = false\nconcurrency = {{ group = \"press\" }}\nscript = '''
mkdir {dir}/lock || echo {name} >> {dir}/overlaps
echo {name} >> {dir}/order
{wait}
rmdir {dir}/lock
'''\n"
        )
    };
    let tasks: String = (0..TASKS).map(task).collect();
    format!("version = 1\n[dag]\nid = \"{name}\"\nmax_parallel = 8\n{tasks}")
}

fn listed(cis: &Cis, room: &str) -> Option<Value> {
    let groups = cis.json(&["group", "list"])["items"].clone();
    groups.as_array().unwrap().iter().find(|group| group["room"] == room).cloned()
}

#[test]
fn a_group_of_a_room_holds_over_its_coordinators() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let _worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let dir = &cis.work();
    let set = ["group", "set", "press", "--limit", "1", "--room", &room.id];
    let file = cis.write("matrix.toml", exclusive(dir, "early", None));
    let words = ["dag", "execute", "--matrix", "--room", &room.id, "--detach", file.to_str().unwrap()];
    let refused = cis.run(words).expect(2).stderr;
    assert!(refused.contains("cis group set press --limit N") && refused.contains("--room"), "{refused}");
    cis.ok(set);
    assert_eq!(listed(&cis, &room.id).unwrap()["origin"], "room");
    // One coordinator alone counts by itself.
    let alone = execute(&cis, &room, &exclusive(dir, "alone", None));
    cis.wait_run(&alone, "succeeded");
    assert_eq!(lines_in(&dir.join("order")), TASKS);
    // Of several one keeps the places.
    let second = invited(&synapse, &room, &ann, "second");
    second.ok(["node", "join", cis.ok(["node", "invite", "--room", &room.id]).trim()]);
    let trust = ["identity", "trust", &did(&second), "--room", &room.id, "--may", "coordinate"];
    cis.ok(trust);
    second.ok(["node", "stop"]);
    second.ok(["node", "start", "--detach", "--room", &room.id, "--role", "coordinator"]);
    eventually_within(SLOW, "the second one knows the group", || listed(&second, &room.id));
    let refused = second.run(set).expect(3).stderr;
    assert!(refused.contains(&did(&cis)), "only owners declare groups: {refused}");
    let go = dir.join("go");
    let first = execute(&cis, &room, &exclusive(dir, "first", Some(&go)));
    eventually_within(SLOW, "its first task works", || (lines_in(&dir.join("order")) > TASKS).then_some(()));
    let other = execute(&second, &room, &exclusive(dir, "other", Some(&go)));
    eventually_within(SLOW, "the other run waits for the same place", || {
        let why = second.run(["dag", "why", "t0", "--run", &other]).expect(0).stdout;
        why.contains("All places of group `press`").then_some(())
    });
    assert_eq!(listed(&second, &room.id).unwrap()["active"], 1);
    assert_eq!(lines_in(&dir.join("order")), TASKS + 1, "it did not start");
    std::fs::write(&go, "").unwrap();
    cis.wait_run(&first, "succeeded");
    second.wait_run(&other, "succeeded");
    assert_eq!(lines_in(&dir.join("order")), 3 * TASKS);
    assert!(!dir.join("overlaps").exists(), "two tasks worked at the same time");
    cis.ok(["group", "remove", "press", "--room", &room.id]);
    eventually_within(SLOW, "it is gone", || listed(&second, &room.id).is_none().then_some(()));
}
