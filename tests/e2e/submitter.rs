//! Runs that another node coordinates while tasks need what only the node has where they were submitted.

use crate::federation::{did, execute, lines_in, listed, member};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually, eventually_within, kill_9_at_once};
use crate::matrix::{holds, logged_in, login_at};
use crate::rooms::{SLOW, room_of};

const VALUE: &str = "s3cret-Value-72";

/// Anybody can run `a`. `here`, `waits` and `d` run in the submitter's directory: the first leaves a file for `b`, the second is at work when
/// another node takes the run over, and the third gets files of `b`. `b` needs a file, too, and `c` a secret.
fn text(go: &std::path::Path) -> String {
    format!(
        r#"
version = 1
[dag]
id = "bound"
[dag.defaults]
tty = false
[[tasks]]
id = "a"
nodes = ["builder"]
script = 'echo $$ >> {0}.pids; until [ -e {0} ]; do sleep 0.05; done'
[[tasks]]
id = "here"
cwd = "."
artifacts = ["left"]
script = 'echo two > left'
[[tasks]]
id = "waits"
needs = ["here"]
cwd = "."
script = 'echo $$ >> {0}.here; until [ -e {0} ]; do sleep 0.05; done'
[[tasks]]
id = "b"
needs = ["a", "here"]
nodes = ["builder"]
inputs = ["src.txt"]
artifacts = ["made"]
script = 'cat src.txt left | tr a-z A-Z > made'
[[tasks]]
id = "c"
needs = ["a"]
nodes = ["builder"]
secrets = {{ TOKEN = {{ env = "TEST_SECRET" }} }}
script = 'echo "${{#TOKEN}} characters"'
[[tasks]]
id = "d"
needs = ["b", "c", "waits"]
cwd = "."
script = 'cat made src.txt > both'
"#,
        go.display()
    )
}

struct Bench<'a> {
    room: Room<'a>,
    cis: Cis,
    second: Cis,
    builder: Cis,
}

impl<'a> Bench<'a> {
    fn new(synapse: &'a Synapse, ann: &'a User) -> Self {
        let cis = Cis::new().env("TEST_SECRET", VALUE);
        let user = synapse.register("cis");
        login_at(&cis, synapse.url(), &user, "--token-stdin", &user.token).expect(0);
        let room = room_of(&cis, ann);
        let builder = member(synapse, &room, ann, &cis, ("builder", "worker", "execute"));
        let second = member(synapse, &room, ann, &cis, ("second", "coordinator", "coordinate"));
        cis.write("src.txt", "one\n");
        Self { room, cis, second, builder }
    }

    /// Begins the run, of which `a` goes on until the file is there.
    fn begin(&self) -> (String, std::path::PathBuf) {
        let go = self.cis.work().join("go");
        let run = execute(&self.cis, &self.room, &text(&go));
        self.cis.wait_task(&run, "a", "running");
        self.cis.wait_task(&run, "waits", "running");
        eventually_within(SLOW, "the other coordinator reads of it", || {
            let show = self.second.run(["--json", "dag", "show", &run]);
            // Its results, too.
            (show.code == Some(0) && show.stdout.contains("succeeded")).then_some(())
        });
        (run, go)
    }

    fn is_done(&self, run: &str, go: &std::path::Path) {
        for node in [&self.cis, &self.second] {
            node.wait_run(run, "succeeded");
        }
        assert_eq!(self.cis.show(run)["run"]["node"], did(&self.cis), "it took its run back");
        assert_eq!(lines_in(&go.with_extension("pids")), 1, "nothing ran twice");
        assert_eq!(std::fs::read_to_string(self.cis.work().join("both")).unwrap(), "ONE\nTWO\none\n");
        assert_eq!(lines_in(&go.with_extension("here")), 2, "it was ended with the takeover");
        assert_eq!(self.cis.ok(["dag", "logs", "c", "--run", run]), "15 characters\n");
        for node in [&self.second, &self.builder] {
            eventually_within(SLOW, "no other node keeps the secret", || {
                (!holds(&node.home(), VALUE)).then_some(())
            });
        }
    }
}

#[test]
fn a_run_waits_for_the_node_where_it_was_submitted_which_was_off() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let bench = Bench::new(&synapse, &ann);
    let (run, go) = bench.begin();
    // A session on pipes outlives its host.
    let session = std::fs::read_to_string(go.with_extension("here")).unwrap();
    let (node, host) = (bench.cis.node_pid(), bench.cis.host_pid());
    kill_9_at_once(host.into_iter().chain(node).chain(session.trim().parse()));
    eventually("the machine is off", || bench.cis.processes().is_empty().then_some(()));
    let second = &bench.second;
    eventually_within(SLOW, "the other one takes it over", || {
        (second.show(&run)["run"]["node"] == did(second)).then_some(())
    });
    std::fs::write(&go, "").unwrap();
    second.wait_task(&run, "a", "succeeded");
    for task in ["b", "c"] {
        second.wait_task(&run, task, "queued");
        let why = second.ok(["dag", "why", task, "--run", &run]);
        assert!(why.contains("the node where the run was submitted"), "{why}");
    }
    // Whatever another task comes to, it goes on waiting.
    let status = second.ok(["node", "status"]);
    assert!(status.contains(&format!("run {run} waits for the node where it was submitted")), "{status}");
    bench.cis.ok(["node", "start", "--detach"]);
    bench.is_done(&run, &go);
    let status = second.ok(["node", "status"]);
    assert!(!status.contains("waits for the node"), "{status}");
}

#[test]
fn a_node_takes_its_run_back_that_another_one_coordinates_without_need() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let bench = Bench::new(&synapse, &ann);
    let (run, go) = bench.begin();
    bench.second.ok(["dag", "takeover", &run, "--force"]);
    eventually_within(SLOW, "the first one finds out", || {
        (bench.cis.show(&run)["run"]["node"] == did(&bench.second)).then_some(())
    });
    std::fs::write(&go, "").unwrap();
    bench.is_done(&run, &go);
}

/// Others would take the run over.
#[test]
fn the_coordinator_of_a_run_is_heard_while_all_of_it_waits() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let second = member(&synapse, &room, &ann, &cis, ("second", "coordinator", "coordinate"));
    assert_ne!(listed(&second, &cis)["state"], "online");
    let text = "version = 1\n[dag]\nid = \"later\"\n[[tasks]]\nid = \"a\"\nscript = \"true\"\napproval = { prompt = \"Go on?\" }\n";
    let run = execute(&cis, &room, text);
    eventually_within(SLOW, "the other coordinator hears it", || {
        (listed(&second, &cis)["state"] == "online").then_some(())
    });
    cis.ok(["dag", "cancel", &run]);
}
