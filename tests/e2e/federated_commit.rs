//! Tasks with `commit = "room"`: they start only when the room has their grants, and with that the results that they build on.

use std::path::Path;

use crate::federation::{did, execute, knows_end, lines_in, listed, member, switch_off, takes_over};
use crate::harness::proxy::{Fault, Proxy, Rules};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually_or, eventually_within};
use crate::matrix::login_at;
use crate::rooms::{SLOW, room_of};

const JOURNAL: &str = "/send/cis.dag.run.journal";

/// `first` runs on the coordinator while the builder takes nothing; `careful` and `eager` run on the builder.
fn text(first: &str, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"
version = 1
[dag]
id = "commits"
[[tasks]]
id = "first"
tty = false
nodes = ["{first}", "builder"]
script = 'echo $$ >> {folder}/first; until [ -e {folder}/go ]; do sleep 0.05; done'
[[tasks]]
id = "careful"
needs = ["first"]
tty = false
nodes = ["builder"]
commit = "room"
script = 'echo $$ >> {folder}/careful'
[[tasks]]
id = "eager"
needs = ["first"]
tty = false
nodes = ["builder"]
script = 'echo $$ >> {folder}/eager'
"#
    )
}

/// The owner of a room, whose requests pass a proxy.
fn owner(synapse: &Synapse, proxy: &Proxy) -> Cis {
    let (cis, user) = (Cis::new(), synapse.register("cis"));
    login_at(&cis, proxy.url(), &user, "--token-stdin", &user.token).expect(0);
    cis
}

/// A worker and another coordinator of its room, in which it works itself.
fn others(synapse: &Synapse, (room, ann): (&Room<'_>, &User), cis: &Cis) -> [Cis; 2] {
    cis.ok(["node", "stop"]);
    cis.ok(["node", "start", "--detach", "--room", &room.id, "--role", "both"]);
    let builder = member(synapse, room, ann, cis, ("builder", "worker", "execute"));
    let second = member(synapse, room, ann, cis, ("second", "coordinator", "coordinate"));
    eventually_within(SLOW, "the worker is there", || {
        (listed(cis, &builder)["state"] == "online").then_some(())
    });
    builder.ok(["node", "drain"]);
    eventually_within(SLOW, "it takes nothing", || {
        (listed(cis, &builder)["state"] == "draining").then_some(())
    });
    [builder, second]
}

/// Starts the run, and waits until the other coordinator has read that its first task runs here.
fn started(cis: &Cis, second: &Cis, room: &Room<'_>, folder: &Path) -> String {
    let run = execute(cis, room, &text(&did(cis), folder));
    eventually_or(SLOW, || (lines_in(&folder.join("first")) == 1).then_some(()), || why(cis, &run, "first"));
    eventually_within(SLOW, "the other coordinator reads that it runs", || {
        let show = second.run(["--json", "dag", "show", &run]);
        (show.code == Some(0) && show.json()["tasks"][0]["state"] == "running").then_some(())
    });
    run
}

fn why(cis: &Cis, run: &str, task: &str) -> String {
    cis.run(["dag", "why", task, "--run", run]).stdout
}

/// A run of which the room gets nothing any more since its first task runs.
struct Stalled<'a> {
    cis: Cis,
    builder: Cis,
    second: Cis,
    folder: tempfile::TempDir,
    run: String,
    rules: Rules<'a>,
}

impl<'a> Stalled<'a> {
    fn new(synapse: &Synapse, proxy: &'a Proxy) -> Self {
        let ann = synapse.register("ann");
        let cis = owner(synapse, proxy);
        let room = room_of(&cis, &ann);
        let [builder, second] = others(synapse, (&room, &ann), &cis);
        let folder = tempfile::tempdir().unwrap();
        let run = started(&cis, &second, &room, folder.path());
        let rules = proxy.fault(&[JOURNAL], Fault::Refused, usize::MAX);
        goes_on_without_the_room(&cis, &builder, &run, folder.path());
        Self { cis, builder, second, folder, run, rules }
    }
}

/// The first task ends while the room gets nothing of the journal, and the task that does not care starts.
fn goes_on_without_the_room(cis: &Cis, builder: &Cis, run: &str, folder: &Path) {
    builder.ok(["node", "undrain"]);
    std::fs::write(folder.join("go"), "").unwrap();
    eventually_or(SLOW, || (lines_in(&folder.join("eager")) == 1).then_some(()), || why(cis, run, "eager"));
    let waits =
        || why(cis, run, "careful").contains("until the room has the results of `first`").then_some(());
    eventually_or(SLOW, waits, || why(cis, run, "careful"));
    assert_eq!(lines_in(&folder.join("careful")), 0);
}

#[test]
fn a_task_with_commit_room_starts_when_the_room_has_the_results_before_it() {
    let synapse = Synapse::shared();
    let proxy = Proxy::before(synapse.url());
    let Stalled { cis, builder: _builder, second, folder, run, rules } = Stalled::new(&synapse, &proxy);
    drop(rules);
    cis.wait_run(&run, "succeeded");
    assert_eq!(lines_in(&folder.path().join("careful")), 1);
    knows_end(&second, &run);
}

#[test]
#[ignore = "a lease lasts a minute: cargo xtask test-all"]
fn a_task_with_commit_room_does_not_start_from_a_result_that_is_void() {
    let synapse = Synapse::shared();
    let proxy = Proxy::before(synapse.url());
    let Stalled { cis, builder: _builder, second, folder, run, rules } = Stalled::new(&synapse, &proxy);
    // With its machine the result is gone.
    switch_off(&cis);
    drop(rules);
    takes_over(&second, &run);
    eventually_within(SLOW, "the lease of what is gone is over, and the run succeeds", || {
        (second.show(&run)["run"]["state"] == "succeeded").then_some(())
    });
    assert_eq!(lines_in(&folder.path().join("first")), 2, "its result was void, so it ran again");
    assert_eq!(lines_in(&folder.path().join("careful")), 1, "it never started from the void result");
    assert_eq!(second.task(&run, "careful")["attempts"], 1);
    assert_eq!(lines_in(&folder.path().join("eager")), 2, "it did");
}
