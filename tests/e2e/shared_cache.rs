//! Results of tasks on the nodes of a room that later runs use, also those of other nodes.

use std::path::Path;

use crate::federation::{did, execute, knows_end, listed, member};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually_within};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};

/// Any node makes something of a file; `use` needs all of it on the node `user`. Each run of `build` leaves a line in `ran`.
fn text(ran: &Path, key: &str, user: &str) -> String {
    format!(
        r#"
version = 1
[dag]
id = "cached"
[dag.defaults]
tty = false
[[tasks]]
id = "build"
inputs = ["src.txt"]
cache = {{ key = "{key}" }}
artifacts = ["out/made"]
outputs = {{ lines = {{ type = "integer" }} }}
script = '''
echo ran >> {ran}
mkdir out && tr a-z A-Z < src.txt > out/made && chmod +x out/made
echo "lines=$(wc -l < src.txt)" >> "$CIS_OUTPUT"
echo built it
'''
[[tasks]]
id = "use"
needs = ["build"]
nodes = ["{user}"]
artifacts = ["used"]
script = '''
test -x out/made || exit 3
printf '%s %s %s' {{{{ tasks.build.outputs.lines }}}} "$(cat out/made)" {{{{ tasks.build.output }}}} > used
'''
"#,
        ran = ran.display(),
    )
}

/// A room with its owner, who coordinates, and its first worker.
struct Bench<'a> {
    synapse: &'a Synapse,
    room: Room<'a>,
    ann: &'a User,
    cis: Cis,
    builder: Cis,
}

impl<'a> Bench<'a> {
    fn new(synapse: &'a Synapse, ann: &'a User) -> Self {
        let (cis, _) = logged_in(synapse);
        let room = room_of(&cis, ann);
        let builder = member(synapse, &room, ann, &cis, ("builder", "worker", "execute"));
        cis.write("src.txt", "one\n");
        Self { synapse, room, ann, cis, builder }
    }

    fn member(&self, what: (&str, &str, &str)) -> Cis {
        member(self.synapse, &self.room, self.ann, &self.cis, what)
    }

    /// Runs it for a node to its end. Returns the run, and how often `build` ran since the beginning.
    #[track_caller]
    fn run_at(&self, node: &Cis, key: &str, user: &str) -> (String, usize) {
        let ran = self.cis.work().join("ran");
        let run = execute(node, &self.room, &text(&ran, key, user));
        node.wait_run(&run, "succeeded");
        let lines = std::fs::read_to_string(&ran).unwrap_or_default().lines().count();
        (run, lines)
    }

    #[track_caller]
    fn run(&self, user: &str) -> (String, usize) {
        self.run_at(&self.cis, "auto", user)
    }
}

/// What `use` of a run left.
#[track_caller]
fn used(cis: &Cis, run: &str) -> String {
    let to = cis.work().join(format!("to-{run}"));
    cis.ok(["dag", "artifacts", "use", "--run", run, "--to", to.to_str().unwrap()]);
    std::fs::read_to_string(to.join("used")).unwrap()
}

/// From which attempt `build` of a run was taken.
#[track_caller]
fn is_taken_from(cis: &Cis, run: &str, from: &str) {
    let build = cis.task(run, "build");
    assert_eq!(build["state"], "completed", "{build}");
    let shown = cis.ok(["dag", "show", run]);
    assert!(shown.contains(&format!("cached: the result of {from}:build#1")), "{shown}");
}

#[test]
fn a_result_is_used_when_its_worker_has_gone_unless_something_changed() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let bench = Bench::new(&synapse, &ann);
    let (cis, builder) = (&bench.cis, &bench.builder);
    let (first, ran) = bench.run("builder");
    assert_eq!((ran, &*used(cis, &first)), (1, "1 ONE built it\n"));
    assert_eq!(cis.task(&first, "build")["state"], "succeeded");

    // One byte is another.
    cis.write("src.txt", "ond\n");
    let (second, ran) = bench.run("builder");
    assert_eq!((ran, &*used(cis, &second)), (2, "1 OND built it\n"));
    // With `--no-cache` it runs.
    let file = cis.write("again.toml", text(&cis.work().join("ran"), "auto", "builder"));
    let words =
        ["dag", "execute", "--matrix", "--room", &bench.room.id, "--no-cache", file.to_str().unwrap()];
    cis.ok(words);
    assert_eq!(std::fs::read_to_string(cis.work().join("ran")).unwrap().lines().count(), 3);

    cis.write("src.txt", "one\n");
    let _tester = bench.member(("tester", "worker", "execute"));
    builder.ok(["node", "stop"]);
    let (third, ran) = bench.run("tester");
    assert_eq!((ran, &*used(cis, &third)), (3, "1 ONE built it\n"), "it did not run again");
    is_taken_from(cis, &third, &first);
    let to = cis.work().join("to");
    cis.ok(["dag", "artifacts", "build", "--run", &third, "--to", to.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(to.join("out/made")).unwrap(), "ONE\n");
}

#[test]
fn another_submitter_of_the_room_uses_a_result_and_not_one_under_a_text() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let bench = Bench::new(&synapse, &ann);
    let second = bench.member(("second", "coordinator", "coordinate"));
    second.write("src.txt", "one\n");
    let (first, ran) = bench.run("builder");
    assert_eq!(ran, 1);
    knows_end(&second, &first);
    let (run, ran) = bench.run_at(&second, "auto", "builder");
    assert_eq!((ran, &*used(&second, &run)), (1, "1 ONE built it\n"), "it did not run again");
    is_taken_from(&second, &run, &first);

    // Under a text the file of its submitter counts, and files of two submitters may differ.
    let (named, ran) = bench.run_at(&bench.cis, "v1", "builder");
    assert_eq!(ran, 2);
    knows_end(&second, &named);
    assert_eq!(bench.run_at(&second, "v1", "builder").1, 3);
    let (again, ran) = bench.run_at(&bench.cis, "v1", "builder");
    assert_eq!(ran, 3, "one's own is used");
    is_taken_from(&bench.cis, &again, &named);
}

#[test]
fn a_result_of_a_worker_that_is_not_trusted_any_more_is_not_used() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let bench = Bench::new(&synapse, &ann);
    let cis = &bench.cis;
    assert_eq!(bench.run("builder").1, 1);
    let _tester = bench.member(("tester", "worker", "execute"));
    // Otherwise `build` could be given to it once more.
    bench.builder.ok(["node", "drain"]);
    eventually_within(SLOW, "it takes no tasks", || {
        (listed(cis, &bench.builder)["state"] == "draining").then_some(())
    });
    cis.ok(["identity", "untrust", &did(&bench.builder), "--room", &bench.room.id]);
    eventually_within(SLOW, "it has no rights", || {
        listed(cis, &bench.builder)["may"].as_array().is_none_or(Vec::is_empty).then_some(())
    });
    let (second, ran) = bench.run("tester");
    assert_eq!(ran, 2, "it ran again");
    assert_eq!(cis.task(&second, "build")["state"], "succeeded");
    let (third, ran) = bench.run("tester");
    assert_eq!(ran, 2);
    is_taken_from(cis, &third, &second);
}

#[test]
fn a_result_whose_media_are_gone_is_made_again_or_goes_up_again() {
    let synapse = Synapse::own();
    let ann = synapse.register("ann");
    let bench = Bench::new(&synapse, &ann);
    let cis = &bench.cis;
    assert_eq!(bench.run("builder").1, 1);
    // The coordinator has seen none of these files. After their restart the nodes do not remember what they uploaded.
    synapse.remove_media();
    for node in [cis, &bench.builder] {
        node.ok(["node", "stop"]);
    }
    cis.ok(["node", "start", "--detach"]);
    bench.builder.ok(["node", "start", "--detach", "--room", &bench.room.id, "--role", "worker"]);
    let (second, ran) = bench.run("builder");
    assert_eq!((ran, &*used(cis, &second)), (2, "1 ONE built it\n"), "it ran again");
    // A result that is used is here.
    let (third, ran) = bench.run("builder");
    assert_eq!((ran, &*used(cis, &third)), (2, "1 ONE built it\n"));
    is_taken_from(cis, &third, &second);
    synapse.remove_media();
    let (fourth, ran) = bench.run("builder");
    assert_eq!((ran, &*used(cis, &fourth)), (2, "1 ONE built it\n"), "its files went up again");
    is_taken_from(cis, &fourth, &second);
}
