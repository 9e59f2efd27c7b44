//! kill -9 of nodes and session hosts at random moments, while three nodes of a room share a run: every task runs, and none
//! runs again unless its earlier attempt is recorded as lost.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::api::json_at;
use crate::federation::{did, execute, listed, member, waiting_for};
use crate::harness::synapse::Synapse;
use crate::harness::{
    Cis, Seeded, eventually, eventually_or, eventually_within, is_alive, kill_9, pause, signal,
};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};

const TASKS: u64 = 36;
/// A task that is lost four times fails, so that a run does not survive any number of kills.
const KILLS_PER_RUN: u32 = 8;

/// Each task writes to files outside of the run's directory: that it starts, who was still at work on the same task, and that
/// it ends. A stopped process does not count as at work: a session whose lease is over is frozen before its task is granted again.
const SCRIPT: &str = r#"
for pid in $(cat FOLDER/pids.TASK 2> /dev/null); do
    case $(cut -d " " -f 3 /proc/$pid/stat 2> /dev/null) in R|S|D) echo "TASK: $$ started while $pid was at work" >> FOLDER/overlaps;; esac
done
echo $$ >> FOLDER/pids.TASK
echo "$CIS_ATTEMPT" >> FOLDER/started.TASK
WORK
echo "$CIS_ATTEMPT" >> FOLDER/ended.TASK
"#;

fn task(n: u64) -> String {
    format!("t{n}")
}

/// Tasks of up to 0.9 s, half of which need another one, and one that needs all of them and waits for the file `open`.
fn text(folder: &Path, random: &mut Seeded) -> String {
    let script = |task: &str, work: &str| {
        let text = SCRIPT.replace("TASK", task).replace("WORK", work);
        text.replace("FOLDER", &folder.display().to_string())
    };
    let mut text = "version = 1\n[dag]\nid = \"crashes\"\n[dag.defaults]\ntty = false\n".to_owned();
    for n in 0..TASKS {
        let needs = if n >= 6 && random.below(2) == 0 {
            format!("needs = [\"{}\"]\n", task(random.below(n)))
        } else {
            String::new()
        };
        let work = format!("sleep 0.{}", random.below(10));
        text.push_str(&format!(
            "[[tasks]]\nid = \"{0}\"\n{needs}script = '''{1}'''\n",
            task(n),
            script(&task(n), &work)
        ));
    }
    let wait = format!("until [ -e {}/open ]; do sleep 0.05; done", folder.display());
    text.push_str(&format!("[[tasks]]\nid = \"gate\"\nscript = '''{}'''\n", script("gate", &wait)));
    text
}

/// A node of the room, and how it is started.
struct Node {
    name: &'static str,
    cis: Cis,
    start: Vec<String>,
}

impl Node {
    fn new(name: &'static str, cis: Cis, more: &[&str]) -> Self {
        let start = ["node", "start", "--detach"].iter().chain(more).map(|&word| word.to_owned()).collect();
        Self { name, cis, start }
    }

    /// Starts the node, unless its session host did that already.
    fn start(&self) {
        eventually_or(
            SLOW,
            || {
                // Both may try it at the same time. Which of them succeeds makes no difference.
                let _ = self.cis.run(&self.start);
                self.cis.node_pid().map(drop)
            },
            || format!("the node runs: {:?}", self.cis.run(&self.start)),
        );
    }
}

/// Kills something of a random node, and starts it again after a while.
fn crash(nodes: &[Node], random: &mut Seeded) -> String {
    let node = &nodes[usize::try_from(random.below(nodes.len() as u64)).unwrap()];
    let what = random.below(3);
    let longest_ms = if random.below(4) == 0 { 6_000 } else { 800 };
    let down = Duration::from_millis(random.below(longest_ms));
    let (pid, host) = (node.cis.node_pid(), node.cis.host_pid());
    let (name, victims) = match what {
        0 => ("node", [pid, None]),
        1 => ("host", [host, None]),
        // The process that is killed last may still notice the end of the other one.
        _ if random.below(2) == 0 => ("node and host", [pid, host]),
        _ => ("host and node", [host, pid]),
    };
    victims.into_iter().flatten().for_each(kill_9);
    if what != 1 {
        pause(down);
    }
    node.start();
    format!("{name} of `{}` for {down:?}", node.name)
}

/// Attempts of a task, oldest first: number and outcome.
fn attempts(cis: &Cis, run: &str, task: &str) -> Vec<(u64, String)> {
    let listing = json_at(cis, &format!("/v1/runs/{run}/tasks/{task}/attempts"));
    let one = |attempt: &Value| {
        (attempt["number"].as_u64().unwrap(), attempt["outcome"].as_str().unwrap_or_default().to_owned())
    };
    let mut all: Vec<_> = listing["items"].as_array().unwrap().iter().map(one).collect();
    all.sort();
    all
}

/// Labels of the attempts of a task that wrote such a line.
fn labels(folder: &Path, what: &str, task: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(format!("{what}.{task}"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Compares what really ran with what a node says about the run. With each takeover, a result may be void that the room did not have yet: the
/// next coordinator gives an attempt of the same number.
#[track_caller]
fn compare(cis: &Cis, run: &str, (folder, takeovers): (&Path, usize), story: &str) -> u32 {
    let mut again = 0;
    for task in (0..TASKS).map(task).chain(["gate".to_owned()]) {
        let (known, started) = (attempts(cis, run, &task), labels(folder, "started", &task));
        let all = || {
            let ended = labels(folder, "ended", &task);
            format!("{task}: recorded {known:?}, started {started:?}, ended {ended:?}\n{story}")
        };
        assert!(!labels(folder, "ended", &task).is_empty(), "it did not run: {}", all());
        let (last, before) = known.split_last().unwrap();
        assert_eq!(last.1, "succeeded", "{}", all());
        // What a node refused has no outcome, and did not start.
        let is_lost = |(number, outcome): &(u64, String)| {
            let label = format!("{run}:{task}#{number}");
            outcome == "error" || (outcome.is_empty() && !started.contains(&label))
        };
        assert!(before.iter().all(is_lost), "{}", all());
        let times = |label| started.iter().filter(|one| *one == label).count();
        assert!(started.iter().all(|label| times(label) <= 1 + takeovers), "an attempt ran twice: {}", all());
        assert!(started.len() <= known.len() + takeovers, "it ran without a record: {}", all());
        again += u32::from(started.len() > 1);
    }
    again
}

#[track_caller]
fn survive(runs: u32, kills: u32) {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let in_room = |role| ["--room", room.id.as_str(), "--role", role, "--slots", "2"];
    let of = |name: &str, role: &str, may: &str| member(&synapse, &room, &ann, &cis, (name, role, may));
    let builder = Node::new("builder", of("builder", "worker", "execute"), &in_room("worker"));
    let second = Node::new("second", of("second", "both", "coordinate,execute"), &in_room("both"));
    let nodes = [Node::new("first", cis, &[]), builder, second];
    let cis = &nodes[0].cis;
    let mut random = Seeded::new();
    for _ in 0..runs {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let run = execute(cis, &room, &text(folder, &mut random));
        let mut story = String::new();
        for kill in 0..kills {
            let share = u64::from(kill) * (TASKS - 4) / u64::from(kills);
            let count =
                || (0..TASKS).filter(|n| !labels(folder, "ended", &task(*n)).is_empty()).count() as u64;
            let ended = eventually_or(
                SLOW,
                || Some(count()).filter(|ended| *ended >= share),
                || format!("{share} tasks have ended: {}\n{story}", count()),
            );
            pause(Duration::from_millis(random.below(900)));
            story.push_str(&format!("after {ended} tasks: {}\n", crash(&nodes, &mut random)));
        }
        fs::write(folder.join("open"), "").unwrap();
        for Node { cis, .. } in &nodes {
            let end = || {
                let shown = cis.run(["--json", "dag", "show", &run]);
                (shown.code == Some(0) && shown.json()["run"]["state"] == "succeeded").then_some(())
            };
            eventually_or(SLOW, end, || {
                format!("the run succeeds: {:?}\n{story}", cis.run(["dag", "show", &run]).stdout)
            });
        }
        let overlaps = fs::read_to_string(folder.join("overlaps")).unwrap_or_default();
        assert_eq!(overlaps, "", "two sessions of one task were at work\n{story}");
        let proof = folder.join("proof.jsonl").display().to_string();
        cis.ok(["dag", "export", &run, "--output", &proof]);
        let takeovers = fs::read_to_string(&proof).unwrap().matches("cis.dag.run.taken_over").count();
        let again =
            nodes.iter().map(|Node { cis, .. }| compare(cis, &run, (folder, takeovers), &story)).max();
        eprintln!("{again:?} tasks ran again after these crashes and {takeovers} takeovers:\n{story}");
        let verdict =
            Cis::new().run(["dag", "verify", &proof, "--owner", &did(cis), "--json"]).expect(0).json();
        assert_eq!(
            (&verdict["state"], &verdict["wrong"]),
            (&"succeeded".into(), &serde_json::json!([])),
            "{story}"
        );
    }
    for Node { cis, .. } in &nodes[1..] {
        eventually_within(SLOW, "the worker forgets them", || {
            (cis.status()["live_sessions"] == 0).then_some(())
        });
    }
}

#[test]
fn a_run_of_three_nodes_survives_crashes_of_each() {
    survive(1, 6);
}

#[test]
#[ignore = "200 random kills take minutes: cargo xtask test-all"]
fn runs_of_three_nodes_survive_200_random_kills() {
    survive(200 / KILLS_PER_RUN, KILLS_PER_RUN);
}

/// The task's first process ends, and the host waits for what it left behind when it is killed: the host noted that the task has
/// ended, so it does not run again.
#[test]
fn a_task_of_another_node_that_has_ended_does_not_run_again_when_its_host_is_killed() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let place = cis.work().display().to_string();
    let text = r#"
version = 1
[dag]
id = "leaves"
[[tasks]]
id = "a"
tty = false
grace = "10m"
script = '''
echo x >> PLACE/ran
setsid sh -c 'trap "" HUP; trap "touch PLACE/told" TERM; echo x > PLACE/left; while :; do sleep 0.05; done' &
while [ ! -s PLACE/left ]; do sleep 0.05; done
'''
"#;
    let run = execute(&cis, &room, &text.replace("PLACE", &place));
    eventually_within(SLOW, "what it left is being ended", || cis.work().join("told").exists().then_some(()));
    kill_9(worker.host_pid().unwrap());
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("ran").lines().count(), 1, "it ran again");
    assert_eq!(cis.task(&run, "a")["attempts"], 1);
}

/// Kills the session host of a node. While the test holds the lock, no next host can start.
fn without_host(cis: &Cis) -> fs::File {
    let lock = fs::File::options().write(true).open(cis.home().join("host.lock")).unwrap();
    let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
    // It would start another host at once.
    signal(node, Signal::STOP);
    kill_9(host);
    eventually("the lock is free", || lock.try_lock().ok());
    signal(node, Signal::CONT);
    lock
}

/// The next host of a worker ends what is left of a killed one. Only then may another node get the task.
#[test]
fn a_task_is_given_to_another_node_when_nothing_is_left_of_its_killed_host() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let of = |name| (name, member(&synapse, &room, &ann, &cis, (name, "worker", "execute")));
    let workers = [of("builder"), of("tester")];
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    let pids = || fs::read_to_string(go.with_extension("pids")).unwrap_or_default();
    let pid: u32 = eventually_within(SLOW, "its session works", || pids().trim().parse().ok());
    let has_it = |(_, worker): &&(_, Cis)| worker.processes().iter().any(|process| process.pid == pid);
    let (_, worker) = workers.iter().find(has_it).unwrap();
    let (other, _) = workers.iter().find(|worker| !has_it(worker)).unwrap();
    // A node that drains gets no task: the other one gets this, when it is lost.
    worker.ok(["node", "drain"]);
    eventually("the coordinator knows", || (listed(&cis, worker)["state"] == "draining").then_some(()));
    let lock = without_host(worker);
    // What the node says about the task is at the coordinator before the next run is done.
    let look = format!(
        "version = 1\n[dag]\nid = \"next\"\n[[tasks]]\nid = \"a\"\nnodes = [\"{other}\"]\nscript = \"true\"\n"
    );
    for _ in 0..3 {
        cis.wait_run(&execute(&cis, &room, &look), "succeeded");
    }
    assert!(is_alive(pid), "nobody ended it");
    assert_eq!(pids().lines().count(), 1, "two sessions of one task are at work");
    drop(lock);
    eventually_within(SLOW, "it runs again", || (pids().lines().count() == 2).then_some(()));
    assert!(!is_alive(pid), "two sessions of one task are at work");
    fs::write(&go, "").unwrap();
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "b")["attempts"], 2);
}

#[test]
fn a_node_without_a_session_host_gets_tasks_when_it_has_one_again() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    eventually_within(SLOW, "its host runs", || worker.host_pid());
    let lock = without_host(&worker);
    eventually_within(SLOW, "it offers nothing", || {
        (listed(&cis, &worker)["state"] == "draining").then_some(())
    });
    let text =
        "version = 1\n[dag]\nid = \"one\"\n[[tasks]]\nid = \"a\"\nretry_lost = false\nscript = \"true\"\n";
    let run = execute(&cis, &room, text);
    assert_eq!(cis.task(&run, "a")["state"], "queued");
    drop(lock);
    cis.wait_run(&run, "succeeded");
}
