//! Runs whose tasks go to the nodes of a room: real nodes, each with a home of its own, on a real homeserver.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::Cis;
use crate::harness::pair::pair;
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{
    eventually, eventually_or, eventually_within, is_alive, kill_9, kill_9_at_once, signal, ulid_in,
};
use crate::matrix::{log_in_at, logged_in};
use crate::rooms::{SLOW, hybrid, room_of};

pub fn did(cis: &Cis) -> String {
    cis.json(&["identity", "show"])["did"].as_str().unwrap().to_owned()
}

/// A node whose account is invited to the room.
pub fn invited(synapse: &Synapse, room: &Room<'_>, ann: &User, name: &str) -> Cis {
    let cis = Cis::new();
    invite(&cis, synapse, room, ann, name);
    cis
}

/// Gives a node an account, and invites that.
pub fn invite(cis: &Cis, synapse: &Synapse, room: &Room<'_>, ann: &User, name: &str) {
    invite_at(cis, synapse.url(), &synapse.register(name), room, ann);
}

/// The same with this account, where the node reaches the homeserver at `url`.
fn invite_at(cis: &Cis, url: &str, user: &User, room: &Room<'_>, ann: &User) {
    log_in_at(cis, url, user);
    ann.invite(&room.id, &user.id);
}

/// A node that works on tasks of the room for this coordinator.
fn worker(synapse: &Synapse, room: &Room<'_>, ann: &User, coordinator: &Cis, name: &str) -> Cis {
    let worker = invited(synapse, room, ann, name);
    worker.ok(["matrix", "join", &room.id]);
    worker.ok(["identity", "trust", &did(coordinator), "--may", "coordinate"]);
    coordinator.ok(["identity", "trust", &did(&worker), "--name", name, "--may", "execute"]);
    worker.ok(["node", "stop"]);
    worker.ok(["node", "start", "--detach", "--room", &room.id, "--role", "worker", "--slots", "2"]);
    worker
}

pub fn execute(cis: &Cis, room: &Room<'_>, text: &str) -> String {
    let file = cis.write("matrix.toml", text);
    let words = ["dag", "execute", "--matrix", "--room", &room.id, "--detach", file.to_str().unwrap()];
    ulid_in(&cis.ok(words))
}

/// An output of the first task, as the others get it.
fn output(cis: &Cis, run: &str, name: &str) -> Value {
    cis.json(&["dag", "context", "b", "--run", run])["needs"]["a"]["outputs"][name].clone()
}

const TEXT: &str = r#"
version = 1
[dag]
id = "shared"
[[tasks]]
id = "a"
tty = false
script = 'echo "where=$(pwd)" >> "$CIS_OUTPUT"; echo "files=$(ls -A | wc -l)" >> "$CIS_OUTPUT"'
outputs = { where = { type = "string" }, files = { type = "integer" } }
[[tasks]]
id = "b"
needs = ["a"]
script = 'test "{{ tasks.a.outputs.where }}" != "$(pwd)" && echo done'
[[tasks]]
id = "c"
needs = ["a"]
tty = false
script = "exit 3"
allow_failure = true
[[tasks]]
id = "d"
script = "sleep 2; read answer < /dev/null; echo late"
"#;

#[test]
fn tasks_run_on_another_node_in_an_empty_directory() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = worker(&synapse, &room, &ann, &cis, "builder");
    let run = execute(&cis, &room, TEXT);
    cis.wait_run(&run, "succeeded");
    let place = output(&cis, &run, "where");
    let home = worker.home();
    assert!(place.as_str().unwrap().starts_with(home.to_str().unwrap()), "{place}");
    assert_eq!(output(&cis, &run, "files"), 0);
    assert_eq!(cis.task(&run, "c")["state"], "completed");
    assert_eq!(cis.task(&run, "d")["state"], "succeeded");
    // Nothing of it is left there.
    eventually("the worker forgets it", || {
        let gone = !std::path::Path::new(place.as_str().unwrap()).exists();
        (gone && worker.status()["live_sessions"] == 0).then_some(())
    });
}

/// A node that is not trusted to coordinate gives nothing to do, and one that may not execute gets nothing.
#[test]
fn a_node_works_for_those_alone_whom_it_trusts() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = worker(&synapse, &room, &ann, &cis, "builder");
    worker.ok(["identity", "trust", &did(&cis), "--may", "submit"]);
    let run = execute(&cis, &room, TEXT);
    let why = cis.run(["dag", "why", "a", "--run", &run]).expect(0).stdout;
    assert!(why.contains("No node of the room offers to execute tasks"), "{why}");
    assert_eq!(cis.task(&run, "a")["state"], "queued");
    worker.ok(["identity", "trust", &did(&cis), "--may", "coordinate"]);
    cis.wait_run(&run, "succeeded");
}

/// A node that joins the room of the first one, which owns it, and may do this there.
pub fn member(synapse: &Synapse, room: &Room<'_>, ann: &User, owner: &Cis, what: (&str, &str, &str)) -> Cis {
    let member = Cis::new();
    make_member(&member, synapse, room, ann, owner, what);
    member
}

/// Lets this node, which has no account yet, join the room.
pub fn make_member(
    member: &Cis,
    synapse: &Synapse,
    room: &Room<'_>,
    ann: &User,
    owner: &Cis,
    what: (&str, &str, &str),
) {
    invite(member, synapse, room, ann, what.0);
    join(member, room, owner, what);
}

/// Lets this node join the room, to which its account is invited.
pub fn join(member: &Cis, room: &Room<'_>, owner: &Cis, (name, role, may): (&str, &str, &str)) {
    let code = owner.ok(["node", "invite", "--room", &room.id]);
    member.ok(["node", "join", code.trim()]);
    owner.ok(["identity", "trust", &did(member), "--room", &room.id, "--may", may, "--name", name]);
    member.ok(["node", "stop"]);
    member.ok(["node", "start", "--detach", "--room", &room.id, "--role", role]);
}

/// The same of a node that reaches the homeserver through a proxy.
pub fn member_behind(
    proxy: &Proxy,
    synapse: &Synapse,
    room: &Room<'_>,
    ann: &User,
    owner: &Cis,
    what: (&str, &str, &str),
) -> (Cis, User) {
    let (member, user) = (Cis::new(), synapse.register(what.0));
    invite_at(&member, proxy.url(), &user, room, ann);
    join(&member, room, owner, what);
    (member, user)
}

/// Waits until a node has read that a task of a run works.
pub fn reads_that_it_runs(reader: &Cis, run: &str, task: &str) {
    eventually_within(SLOW, "it is read that the task runs", || {
        let shown = reader.run(["--json", "dag", "show", run]);
        (shown.code == Some(0) && reader.task(run, task)["state"] == "running").then_some(())
    });
}

/// Waits until a node coordinates a run of another one.
pub fn takes_over(heir: &Cis, run: &str) {
    let taken = || {
        let shown = heir.run(["--json", "dag", "show", run]);
        (shown.code == Some(0) && heir.show(run)["run"]["node"] == did(heir)).then_some(())
    };
    eventually_or(SLOW, taken, || format!("it does not take the run over: {}", heir.status()));
}

/// The coordinator writes more while the takeover is on its way. The takeover names an entry that is not the newest one by then, and does not count.
#[test]
fn a_person_moves_a_run_whose_coordinator_writes_at_the_same_moment() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let _worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let (proxy, what) = (Proxy::before(synapse.url()), ("second", "coordinator", "coordinate"));
    let (second, _) = member_behind(&proxy, &synapse, &room, &ann, &cis, what);
    let work = cis.work();
    let waits =
        |file: &str| format!("script = 'until [ -e {}/{file} ]; do sleep 0.05; done'", work.display());
    let run = execute(
        &cis,
        &room,
        &format!(
            "version = 1\n[dag]\nid = \"two\"\n[[tasks]]\nid = \"a\"\ntty = false\n{}\n\
             [[tasks]]\nid = \"b\"\nneeds = [\"a\"]\ntty = false\n{}\n",
            waits("go-a"),
            waits("go-b")
        ),
    );
    reads_that_it_runs(&second, &run, "a");
    let writes = ["PUT", "/send/cis.dag.run.journal"];
    let held = proxy.fault(&writes, Fault::Held, usize::MAX);
    let takeover = second.spawn(["dag", "takeover", &run, "--force"]);
    proxy.wait(&writes, 1);
    std::fs::write(work.join("go-a"), "").unwrap();
    reads_that_it_runs(&second, &run, "b");
    drop(held);
    takeover.wait().expect(0);
    assert_eq!(second.show(&run)["run"]["node"], did(&second));
    std::fs::write(work.join("go-b"), "").unwrap();
    second.wait_run(&run, "succeeded");
}

/// Waits until a node has read that a run of another one succeeded.
pub fn knows_end(cis: &Cis, run: &str) {
    eventually_within(SLOW, "the node knows the end", || {
        cis.run(["dag", "show", run]).stdout.contains("succeeded").then_some(())
    });
}

/// The machine of a node loses power.
pub fn switch_off(cis: &Cis) {
    let (node, host) = (cis.node_pid(), cis.host_pid());
    kill_9_at_once(host.into_iter().chain(node));
    eventually("it is off", || cis.processes().is_empty().then_some(()));
}

pub fn waiting_for(file: &std::path::Path) -> String {
    format!(
        r#"
version = 1
[dag]
id = "long"
[[tasks]]
id = "a"
tty = false
script = 'echo "where=$(pwd)" >> "$CIS_OUTPUT"'
outputs = {{ where = {{ type = "string" }} }}
[[tasks]]
id = "b"
needs = ["a"]
tty = false
script = 'echo $$ >> {0}.pids; until [ -e {0} ]; do sleep 0.05; done'
[[tasks]]
id = "c"
needs = ["b"]
tty = false
script = "true"
"#,
        file.display()
    )
}

#[test]
fn another_coordinator_finishes_the_run_of_one_that_is_gone() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    another_coordinator_finishes(&synapse, &room, &ann, &cis);
}

/// The journal is read by a device that got its keys from a node which is gone.
#[test]
fn another_coordinator_finishes_the_run_of_an_encrypted_room() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let made = cis.json(&["matrix", "create-room", "vault", "--encrypted", "--invite", &ann.id]);
    let room = Room::joined(&ann, made["room_id"].as_str().unwrap());
    another_coordinator_finishes(&synapse, &room, &ann, &cis);
}

fn another_coordinator_finishes(synapse: &Synapse, room: &Room<'_>, ann: &User, cis: &Cis) {
    let worker = member(synapse, room, ann, cis, ("builder", "worker", "execute"));
    let second = member(synapse, room, ann, cis, ("second", "coordinator", "coordinate"));
    let go = cis.work().join("go");
    let run = execute(cis, room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    eventually_within(SLOW, "the other coordinator reads of it", || {
        let show = second.run(["--json", "dag", "show", &run]);
        (show.code == Some(0) && show.stdout.contains("succeeded")).then_some(())
    });
    switch_off(cis);
    takes_over(&second, &run);
    std::fs::write(&go, "").unwrap();
    second.wait_run(&run, "succeeded");
    assert_eq!(second.task(&run, "b")["attempts"], 1, "nothing ran twice");
    assert_eq!(std::fs::read_to_string(go.with_extension("pids")).unwrap().lines().count(), 1);
    // Whoever coordinated it finds out.
    cis.ok(["node", "start", "--detach"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.show(&run)["run"]["node"], did(&second));
    eventually("the worker forgets it", || (worker.status()["live_sessions"] == 0).then_some(()));
}

pub fn lines_in(file: &std::path::Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// The processes of a worker's node and of the coordinator's are killed while a task runs: it goes on, and counts.
#[test]
fn a_task_outlives_the_nodes_that_work_on_it() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    eventually("its session works", || (lines_in(&go.with_extension("pids")) == 1).then_some(()));
    let before = worker.node_pid().unwrap();
    kill_9(before);
    eventually("its host starts the worker again", || {
        worker.node_pid().filter(|pid| *pid != before).map(drop)
    });
    kill_9(cis.node_pid().unwrap());
    std::fs::write(&go, "").unwrap();
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "b")["attempts"], 1);
    assert_eq!(lines_in(&go.with_extension("pids")), 1, "nothing ran twice");
    eventually("the worker forgets it", || (worker.status()["live_sessions"] == 0).then_some(()));
}

#[test]
fn a_run_goes_on_after_an_outage_of_the_homeserver() {
    let mut synapse = Synapse::own();
    let (cis, _others, run, go) = {
        let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
        let room = room_of(&cis, &ann);
        let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
        let second = member(&synapse, &room, &ann, &cis, ("second", "both", "coordinate"));
        let go = cis.work().join("go");
        let run = execute(&cis, &room, &waiting_for(&go));
        cis.wait_task(&run, "b", "running");
        eventually("its session works", || (lines_in(&go.with_extension("pids")) == 1).then_some(()));
        (cis, [worker, second], run, go)
    };
    synapse.stop();
    std::fs::write(&go, "").unwrap();
    let pid = std::fs::read_to_string(go.with_extension("pids")).unwrap().trim().parse().unwrap();
    eventually("the session ends meanwhile", || (!is_alive(pid)).then_some(()));
    assert_eq!(cis.task(&run, "b")["state"], "running");
    synapse.start();
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "b")["attempts"], 1);
    assert_eq!(cis.show(&run)["run"]["node"], did(&cis), "nobody took it over");
    assert_eq!(lines_in(&go.with_extension("pids")), 1, "nothing ran twice");
}

#[test]
fn a_person_moves_a_run_to_another_coordinator() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let _worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let second = member(&synapse, &room, &ann, &cis, ("second", "coordinator", "coordinate"));
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    reads_that_it_runs(&second, &run, "b");
    let said = second.run(["dag", "takeover", &run]).expect(2).stderr;
    assert!(said.contains("--force"), "{said}");
    // On a busy machine the homeserver may take longer than the command waits.
    eventually_within(SLOW, "it takes the run over", || {
        let taken = second.run(["dag", "takeover", &run, "--force"]);
        if taken.code == Some(3) && taken.stderr.contains("its room did not take that") {
            return None;
        }
        taken.expect(0);
        Some(())
    });
    assert_eq!(second.show(&run)["run"]["node"], did(&second));
    eventually_within(SLOW, "the first one finds out", || {
        (cis.show(&run)["run"]["node"] == did(&second)).then_some(())
    });
    std::fs::write(&go, "").unwrap();
    for node in [&second, &cis] {
        node.wait_run(&run, "succeeded");
    }
    assert_eq!(lines_in(&go.with_extension("pids")), 1, "nothing ran twice");
}

/// A node that was just started knows the run of its store, and has to read first where the run's journal stands.
#[test]
fn a_takeover_waits_until_the_node_has_read_the_room() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let _worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let (proxy, what) = (Proxy::before(synapse.url()), ("second", "coordinator", "coordinate"));
    let (second, _) = member_behind(&proxy, &synapse, &room, &ann, &cis, what);
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    reads_that_it_runs(&second, &run, "b");
    second.ok(["node", "stop"]);
    let held = proxy.fault(&["GET", "/messages"], Fault::Held, usize::MAX);
    second.ok(["node", "start", "--detach", "--room", &room.id, "--role", "coordinator"]);
    let [waits, left] = [(), ()].map(|()| second.spawn(["dag", "takeover", &run, "--force"]));
    for command in [&waits, &left] {
        command.wait_for_note("still reads room");
    }
    signal(left.pid(), Signal::INT);
    assert_eq!(left.wait().code, None, "Ctrl+C ends it");
    assert_eq!(second.show(&run)["run"]["node"], did(&cis));
    drop(held);
    waits.wait().expect(0);
    assert_eq!(second.show(&run)["run"]["node"], did(&second));
    std::fs::write(&go, "").unwrap();
    second.wait_run(&run, "succeeded");
    assert_eq!(lines_in(&go.with_extension("pids")), 1, "nothing ran twice");
}

/// Events of a run of one type.
pub fn events(cis: &Cis, run: &str, kind: &str) -> Vec<Value> {
    let mut events = cis.run(["dag", "events", run, "--json"]).expect(0).json_lines();
    events.retain(|event| event["type"] == kind);
    events
}

/// What was wanted of a run, and by whom, as its events tell.
pub fn actors(cis: &Cis, run: &str, kind: &str) -> Vec<String> {
    let name = |event: &Value| event["actor"]["name"].as_str().unwrap_or_default().to_owned();
    events(cis, run, kind).iter().map(name).collect()
}

#[test]
fn people_control_a_run_from_other_nodes() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "submit,execute"));
    let guest = member(&synapse, &room, &ann, &cis, ("guest", "worker", "execute"));
    let go = cis.work().join("go");
    let text = waiting_for(&go)
        .replace("script = \"true\"", "script = \"true\"\napproval = { prompt = \"Go on?\" }");
    let run = execute(&cis, &room, &text);
    cis.wait_task(&run, "b", "running");
    for other in [&worker, &guest] {
        eventually_within(SLOW, "the other nodes read of it", || {
            (other.run(["dag", "show", &run]).code == Some(0)).then_some(())
        });
    }
    worker.ok(["dag", "pause", &run]);
    assert_eq!(cis.show(&run)["run"]["state"], "paused");
    let refused = guest.run(["dag", "resume", &run]).expect(3).stderr;
    assert!(
        refused.contains("may not control runs of this room") && refused.contains("--may submit,execute"),
        "{refused}"
    );
    worker.ok(["dag", "resume", &run]);
    std::fs::write(&go, "").unwrap();
    let waits = |node: &Cis| {
        eventually_within(SLOW, "the approval", || {
            (node.show(&run)["run"]["approvals"][0] == "c").then_some(())
        });
    };
    waits(&worker);
    worker.ok(["dag", "approve", &run, "c", "--comment", "fine"]);
    cis.wait_run(&run, "succeeded");
    let by = format!("uid:{} at {}", rustix::process::getuid().as_raw(), did(&worker));
    for kind in ["cis.dag.run.paused", "cis.dag.run.resumed"] {
        assert_eq!(actors(&cis, &run, kind), [by.as_str()], "{kind}");
    }
    worker.wait_run(&run, "succeeded");
    let again = worker.run(["dag", "cancel", &run]).expect(3).stderr;
    assert!(again.contains("succeeded"), "{again}");
    worker.ok(["dag", "retry", &run]);
    waits(&cis);
    worker.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
}

/// A worker whose account is at another homeserver.
#[test]
fn nodes_of_two_homeservers_share_a_run() {
    let [here, there] = pair();
    let ((cis, _), ann) = (logged_in(&here), here.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&there, &room, &ann, &cis, ("builder", "worker", "submit,execute"));
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    eventually_within(SLOW, "it is read of there", || {
        (worker.run(["dag", "show", &run]).code == Some(0)).then_some(())
    });
    worker.ok(["dag", "pause", &run]);
    worker.ok(["dag", "resume", &run]);
    std::fs::write(&go, "").unwrap();
    for node in [&cis, &worker] {
        node.wait_run(&run, "succeeded");
    }
    assert_eq!(lines_in(&go.with_extension("pids")), 1, "nothing ran twice");
    let place = output(&cis, &run, "where");
    assert!(place.as_str().unwrap().starts_with(worker.home().to_str().unwrap()), "{place}");
}

/// The node of that room and key, as another one lists it.
pub fn listed(cis: &Cis, of: &Cis) -> Value {
    let nodes = cis.json(&["node", "list"])["items"].clone();
    let did = did(of);
    nodes.as_array().unwrap().iter().find(|node| node["did"] == did.as_str()).cloned().unwrap_or_default()
}

#[test]
fn owners_of_a_room_let_nodes_in() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let code = cis.ok(["node", "invite", "--room", &room.id]);
    assert_eq!(code.lines().count(), 1, "it can be piped: {code}");
    let worker = invited(&synapse, &room, &ann, "builder");
    let damaged = worker.run(["node", "join", &code.trim()[..40]]).expect(2).stderr;
    assert!(damaged.contains("missing or mistyped"), "{damaged}");
    let joined = worker.ok(["node", "join", code.trim()]);
    assert!(joined.contains(&format!("cis identity trust {}", did(&worker))), "{joined}");
    worker.ok(["node", "stop"]);
    worker.ok(["node", "start", "--detach", "--room", &room.id, "--role", "worker", "--tag", "gpu"]);
    eventually_within(SLOW, "it is pending", || (listed(&cis, &worker)["state"] == "pending").then_some(()));
    // Whoever does not own the room lets nobody in, itself neither.
    let refused = worker.run(["identity", "trust", &did(&worker), "--room", &room.id]).expect(3).stderr;
    assert!(refused.contains(&did(&cis)), "{refused}");
    let run = execute(&cis, &room, TEXT);
    assert_eq!(cis.task(&run, "a")["state"], "queued");
    cis.ok(["identity", "trust", &did(&worker), "--room", &room.id, "--name", "builder"]);
    cis.wait_run(&run, "succeeded");
    let worker_here = listed(&cis, &worker);
    assert_eq!((&worker_here["state"], &worker_here["tags"][0]), (&"online".into(), &"gpu".into()));
    assert_eq!(worker_here["may"], serde_json::json!(["execute"]));
    let shown = cis.ok(["node", "show", "builder"]);
    assert!(shown.contains(&did(&worker)) && shown.contains("gpu"), "{shown}");
    let missing = cis.run(["node", "show", "bilder"]).expect(2).stderr;
    assert!(missing.contains("did you mean `builder`?"), "{missing}");
    assert_eq!(listed(&worker, &cis)["may"], serde_json::json!(["submit", "coordinate", "execute"]));
    // The own list has the last word.
    worker.ok(["identity", "trust", &did(&cis), "--may", "submit"]);
    let refused = execute(&cis, &room, TEXT);
    worker.ok(["identity", "trust", &did(&cis), "--may", "coordinate"]);
    cis.wait_run(&refused, "succeeded");
    // A node that is drained gets nothing, also after a restart.
    worker.ok(["node", "drain"]);
    worker.ok(["node", "stop"]);
    worker.ok(["node", "start", "--detach", "--room", &room.id, "--role", "worker"]);
    assert_eq!(listed(&worker, &worker)["state"], "draining");
    eventually("the coordinator knows", || (listed(&cis, &worker)["state"] == "draining").then_some(()));
    let waits = execute(&cis, &room, TEXT);
    let why = cis.run(["dag", "why", "a", "--run", &waits]).expect(0).stdout;
    assert!(why.contains("takes no new tasks (draining)"), "{why}");
    // The same where it is paused.
    worker.ok(["node", "pause"]);
    worker.ok(["node", "undrain"]);
    eventually("the coordinator knows", || (listed(&cis, &worker)["state"] == "paused").then_some(()));
    let why = cis.run(["dag", "why", "a", "--run", &waits]).expect(0).stdout;
    assert!(why.contains("starts no tasks (paused)"), "{why}");
    worker.ok(["node", "resume"]);
    cis.wait_run(&waits, "succeeded");
}

const ONE: &str = "version = 1\n[dag]\nid = \"one\"\n[[tasks]]\nid = \"a\"\nscript = \"true\"\n";

#[test]
fn what_a_node_said_before_its_key_was_revoked_counts() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let second = member(&synapse, &room, &ann, &cis, ("second", "both", "submit,coordinate,execute"));
    let before = execute(&second, &room, TEXT);
    second.wait_run(&before, "succeeded");
    let reads = |node: &Cis, run: &str| node.run(["dag", "show", run]).code == Some(0);
    eventually_within(SLOW, "the owner reads of it", || reads(&cis, &before).then_some(()));
    cis.wait_run(&before, "succeeded");
    let refused = second.run(["identity", "revoke", &did(&cis), "--room", &room.id]).expect(3).stderr;
    assert!(refused.contains("does not own room"), "{refused}");
    let nodes = cis.ok(["identity", "revoke", &did(&second), "--room", &room.id]);
    assert!(nodes.contains("revoked"), "{nodes}");
    let after = hybrid(&second, &room, ONE);
    second.wait_run(&after, "succeeded");
    eventually_within(SLOW, "the room has it", || (second.status()["outbox"] == 0).then_some(()));
    // Who comes later reads the same.
    let third = member(&synapse, &room, &ann, &cis, ("third", "worker", "execute"));
    for node in [&third, &cis] {
        eventually_within(SLOW, "what was said before is read", || reads(node, &before).then_some(()));
        node.wait_run(&before, "succeeded");
        assert!(!reads(node, &after), "{}", node.ok(["dag", "show", &after]));
        eventually_within(SLOW, "it is listed as revoked", || {
            (listed(node, &second)["state"] == "revoked").then_some(())
        });
    }
    let again = cis.run(["identity", "trust", &did(&second), "--room", &room.id]).expect(2).stderr;
    assert!(again.contains("needs another key"), "{again}");
}

/// Short tasks wait for their turn at the node that runs them, and it runs no more of them at a time than it offers.
#[test]
fn short_tasks_wait_at_another_node_for_their_turn() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = worker(&synapse, &room, &ann, &cis, "builder");
    let log = cis.work().join("log");
    let task = |n: usize| {
        let script = format!("echo \"+ {n}\" >> {0}; echo \"- {n}\" >> {0}", log.display());
        format!("[[tasks]]\nid = \"t{n}\"\ntty = false\nscript = '{script}'\n")
    };
    let long = "[[tasks]]\nid = \"long\"\ntty = false\nneeds = [\"t59\"]\nscript = \"sleep 1\"\n";
    let tasks: String = (0..120).map(task).collect();
    let run = execute(&cis, &room, &format!("version = 1\n[dag]\nid = \"short\"\n{tasks}{long}"));
    // So many messages take a while where other tests have the processors.
    eventually_within(SLOW, "all of them are done", || {
        (cis.show(&run)["run"]["state"] == "succeeded").then_some(())
    });
    let ahead = |event: &&Value| event["body"]["ahead"] == true;
    let grants = events(&cis, &run, "cis.dag.task.assigned");
    assert!(grants.iter().filter(ahead).count() > 20, "{}", grants.len());
    let (mut now, mut begun) = (0, 0);
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        now += if line.starts_with('+') { 1 } else { -1 };
        begun += i32::from(line.starts_with('+'));
        assert!(now <= 2, "more than the node offers, at {line}");
    }
    assert_eq!(begun, 120, "each of them once");
    eventually("the worker forgets them", || (worker.status()["live_sessions"] == 0).then_some(()));
}
