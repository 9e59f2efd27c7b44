//! kill -9 of the node, the client, or both, at random moments. A counting program in every run proves
//! that its process is the same and that no byte is lost or doubled.

use std::time::Duration;

use super::harness::{Cis, Seeded, eventually, eventually_within, kill_9, pause, ulid_in};

/// What is killed.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Node,
    Client,
    Both,
}

/// A counter that counts until the file `open` is there, beside short tasks that each write down that they ran.
fn counting(short_tasks: u32) -> String {
    let mut text = r#"
version = 1
[dag]
id = "counting"
max_parallel = 3
[dag.defaults]
tty = false
[[tasks]]
id = "counter"
tty = true
script = '''
echo "pid $$"
i=0
while [ ! -e "$E2E_WORK/open" ]; do i=$((i+1)); echo "$i"; sleep 0.005; done
echo "end $i"
'''
"#
    .to_owned();
    for n in 0..short_tasks {
        text += &format!(
            "[[tasks]]\nid = \"t{n}\"\nscript = 'sleep 0.0{}; echo {n} >> \"$E2E_WORK/ran\"'\n",
            n % 7
        );
        if n >= 4 {
            text += &format!("needs = [\"t{}\", \"t{}\"]\n", n - 4, n - 3);
        }
    }
    text
}

/// Runs it, kills `kills` times, and checks that nothing is lost.
fn survive(victim: Victim, kills: u32) {
    const SHORT_TASKS: u32 = 60;
    let cis = Cis::new();
    let mut random = Seeded::new();
    let file = cis.write("counting.toml", counting(SHORT_TASKS));
    let mut client = cis.spawn(["dag", "run", file.to_str().unwrap()]);
    let pid = cis.session_of("counter")["pid"].clone();
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    for _ in 0..kills {
        pause(Duration::from_millis(random.below(150)));
        if victim != Victim::Client {
            // Any command starts the next node; this one also says which it is.
            cis.ok(["dag", "list"]);
            pause(Duration::from_millis(random.below(60)));
            if let Some(node) = cis.node_pid() {
                kill_9(node);
            }
        }
        if victim != Victim::Node {
            kill_9(client.pid());
            client = cis.spawn(["dag", "execute", "--run-id", &run]);
        }
    }
    if victim != Victim::Client {
        // The last node is dead, and nobody types anything: the run goes on all the same.
        eventually_within(Duration::from_secs(100), "all short tasks ran", || {
            (cis.read("ran").lines().count() >= SHORT_TASKS as usize).then_some(())
        });
    }
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");

    let mut ran: Vec<u32> = cis.read("ran").lines().map(|line| line.parse().unwrap()).collect();
    ran.sort_unstable();
    assert_eq!(ran, (0..SHORT_TASKS).collect::<Vec<_>>(), "a task ran twice or not at all");
    let log = cis.ok(["dag", "logs", "--plain", "counter"]);
    let lines: Vec<&str> = log.lines().collect();
    let (last, counted) = (lines.len() - 1, lines.len() - 2);
    assert_eq!(lines[0], format!("pid {pid}"), "the session is another process");
    assert_eq!(lines[last], format!("end {counted}"), "bytes are missing or doubled");
    for (n, line) in lines[1..last].iter().enumerate() {
        assert_eq!(*line, (n + 1).to_string(), "the count breaks");
    }
    assert_eq!(cis.task(&run, "counter")["attempts"], 1);
    drop(client);
}

#[test]
fn a_killed_node_loses_nothing() {
    survive(Victim::Node, 8);
}

#[test]
fn a_killed_client_loses_nothing() {
    survive(Victim::Client, 8);
}

#[test]
fn both_killed_lose_nothing() {
    survive(Victim::Both, 8);
}

#[test]
#[ignore = "100 random kills take minutes: cargo xtask test-all"]
fn a_hundred_kills_lose_nothing() {
    for victim in [Victim::Node, Victim::Client, Victim::Both] {
        survive(victim, if victim == Victim::Both { 34 } else { 33 });
    }
}

#[test]
fn a_node_killed_in_the_middle_of_many_small_tasks_runs_each_once() {
    let cis = Cis::new();
    let mut random = Seeded::new();
    let mut text =
        "version = 1\n[dag]\nid = \"many\"\nmax_parallel = 2\n[dag.defaults]\ntty = false\n".to_owned();
    for n in 0..300 {
        text += &format!("[[tasks]]\nid = \"t{n}\"\nscript = 'echo {n} >> \"$E2E_WORK/ran\"'\n");
    }
    let run = cis.start(&text);
    for _ in 0..3 {
        pause(Duration::from_millis(random.below(120)));
        cis.ok(["dag", "list"]);
        if let Some(node) = cis.node_pid() {
            kill_9(node);
        }
    }
    cis.wait_run(&run, "succeeded");
    let mut ran: Vec<u32> = cis.read("ran").lines().map(|line| line.parse().unwrap()).collect();
    ran.sort_unstable();
    assert_eq!(ran, (0..300).collect::<Vec<_>>());
}

#[test]
fn a_cancel_that_the_node_took_is_finished_by_the_next_node() {
    let cis = Cis::new();
    // It takes SIGTERM with 2 s of patience: time enough to kill the node in between.
    let text = "version = 1\n[dag]\nid = \"stubborn\"\n[[tasks]]\nid = \"a\"\ngrace = \"2s\"\nscript = 'trap \"\" TERM HUP; echo ready; while :; do sleep 0.05; done'\n";
    let run = cis.start(text);
    cis.session_of("a");
    eventually("it ignores SIGTERM", || cis.ok(["dag", "logs", "a"]).contains("ready").then_some(()));
    let cancel = cis.spawn(["dag", "cancel", &run]);
    eventually("cancelling is known", || (cis.show(&run)["run"]["cancelling"] == true).then_some(()));
    kill_9(cis.node_pid().unwrap());
    cis.wait_run(&run, "cancelled");
    drop(cancel);
}
