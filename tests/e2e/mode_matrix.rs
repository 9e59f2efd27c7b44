//! Runs that began on one node, and that the nodes of a room share from the middle on.

use serde_json::{Value, json};

use crate::federation::{did, member};
use crate::harness::synapse::Synapse;
use crate::harness::ulid_in;
use crate::matrix::logged_in;
use crate::rooms::room_of;

/// `first` waits on the node where the run began. It leaves a file and an output for what comes after it.
fn file(go: &std::path::Path) -> String {
    format!(
        r#"
version = 1
[dag]
id = "shared-later"
[dag.defaults]
tty = false
[[tasks]]
id = "first"
script = 'until [ -e {go} ]; do sleep 0.05; done; mkdir -p out; echo made > out/made; echo "where=$(pwd)" >> "$CIS_OUTPUT"'
artifacts = ["out/*"]
outputs = {{ where = {{ type = "string" }} }}
[[tasks]]
id = "elsewhere"
needs = ["first"]
inputs = ["data.txt"]
script = 'grep -q made out/made && grep -q data data.txt && test "{{{{ tasks.first.outputs.where }}}}" != "$(pwd)" && echo "where=$(pwd)" >> "$CIS_OUTPUT"'
outputs = {{ where = {{ type = "string" }} }}
[[tasks]]
id = "stays"
needs = ["first"]
cwd = "sub"
script = 'echo "where=$(pwd)" >> "$CIS_OUTPUT"'
outputs = {{ where = {{ type = "string" }} }}
[[tasks]]
id = "lacks"
needs = ["first"]
command = ["cat", "data.txt"]
allow_failure = true
[[tasks]]
id = "last"
needs = ["elsewhere", "stays"]
script = "true"
"#,
        go = go.display()
    )
}

#[test]
fn a_run_that_has_started_is_shared_and_its_bound_tasks_are_named() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    cis.write("data.txt", "data\n");
    std::fs::create_dir(cis.work().join("sub")).unwrap();
    for (mode, place) in [("local", &["--local"][..]), ("hybrid", &["--hybrid", "--room", &room.id])] {
        let go = cis.work().join(format!("go-{mode}"));
        let path = cis.write("later.toml", file(&go));
        let words = [&["dag", "execute", "--detach"][..], place, &[path.to_str().unwrap()]].concat();
        let run = ulid_in(&cis.ok(words));
        cis.wait_task(&run, "first", "running");
        assert_eq!(cis.show(&run)["run"]["mode"], mode);

        let changed = cis.json(&["dag", "mode", &run, "matrix", "--room", &room.id]);
        assert_eq!((&changed["mode"], &changed["room"]), (&json!("matrix"), &json!(room.id)), "{changed}");
        assert_eq!(
            changed["bound"],
            json!([
                { "task": "stays", "effect": "stays", "keys": ["cwd"] },
                { "task": "lacks", "effect": "lacks_files", "files": ["data.txt"] },
            ])
        );
        // The same again changes nothing, and names them again.
        let said = cis.ok(["dag", "mode", &run, "matrix", "--room", &room.id]);
        let line =
            |task: &str| said.lines().find(|line| line.starts_with(task)).unwrap_or_default().to_owned();
        assert!(
            line("stays").contains("cwd") && line("stays").contains("runs on the submitting node"),
            "{said}"
        );
        assert!(line("lacks").contains("data.txt") && said.contains("`inputs`"), "{said}");
        let back = cis.run(["dag", "mode", &run, "local"]).expect(3).stderr;
        assert!(back.contains("has started on the nodes of its room"), "{back}");

        std::fs::write(&go, "").unwrap();
        cis.wait_run(&run, "succeeded");
        let place = |task: &str| {
            let context = cis.json(&["dag", "context", "last", "--run", &run]);
            context["needs"][task]["outputs"]["where"].as_str().unwrap_or_default().to_owned()
        };
        assert!(place("elsewhere").starts_with(worker.home().to_str().unwrap()), "{}", place("elsewhere"));
        assert!(
            place("stays").ends_with("/sub") && !place("stays").starts_with(worker.home().to_str().unwrap())
        );
        let node = |task: &str| cis.task(&run, task)["node"]["did"].clone();
        assert_eq!(node("elsewhere"), did(&worker));
        assert_eq!(node("lacks"), did(&worker));
        assert!([json!(did(&cis)), Value::Null].contains(&node("first")), "{}", node("first"));
        let lacks = cis.task(&run, "lacks");
        assert_eq!(lacks["state"], "completed", "what was said of it is true: {lacks}");
        for task in ["first", "elsewhere", "stays", "lacks"] {
            assert_eq!(cis.task(&run, task)["attempts"], 1, "{task}");
        }
    }
}
