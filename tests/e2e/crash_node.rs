//! kill -9 of the node, the client, or both, at random moments. A counting program in every run proves
//! that its process is the same and that no byte is lost or doubled.

use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Cis, Seeded, eventually, eventually_within, kill_9, pause, signal, ulid_in};

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
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\nscript = 'sleep 0.0{}; echo {n} >> \"$E2E_WORK/ran\"'\n",
            n % 7
        ));
        if n >= 4 {
            text.push_str(&format!("needs = [\"t{}\", \"t{}\"]\n", n - 4, n - 3));
        }
    }
    text
}

/// Runs it, kills `kills` times, and checks that nothing is lost.
fn survive(victim: Victim, kills: u32) {
    const SHORT_TASKS: u32 = 60;
    let cis = Cis::new();
    let mut random = Seeded::new();
    let mut client = cis.spawn_dag(&counting(SHORT_TASKS), &[]);
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
        text.push_str(&format!("[[tasks]]\nid = \"t{n}\"\nscript = 'echo {n} >> \"$E2E_WORK/ran\"'\n"));
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

/// A task that reads and writes secrets of its own, and ends when told to.
const KEPT: &str = r#"
version = 1
[dag]
id = "kept"
[[tasks]]
id = "a"
secrets = { PASS = { env = "E2E_PASS" } }
outputs = { said = { type = "string" } }
script = 'while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done; echo "said=$PASS" > "$CIS_OUTPUT"'
[[tasks]]
id = "b"
needs = ["a"]
script = 'touch "$E2E_WORK/after"'
"#;

#[test]
fn a_run_whose_file_cannot_be_read_for_a_while_loses_nothing() {
    let cis = Cis::new().env("E2E_PASS", "correct horse battery");
    let run = cis.start(KEPT);
    let before = cis.session_of("a");
    let alone = ulid_in(&cis.ok(["session", "create", "--json", "--", "sleep", "300"]));
    let (blobs, away) = (cis.home().join("blobs"), cis.home().join("away"));
    kill_9(cis.node_pid().unwrap());
    std::fs::rename(&blobs, &away).unwrap();
    eventually("a node is back", || (cis.status()["running"] == true).then_some(()));
    let status = cis.status();
    assert!(status["warnings"].to_string().contains("cannot continue"), "{status}");
    assert_eq!(status["open_runs"], 1, "{status}");
    for verb in [&["dag", "cancel"][..], &["dag", "retry"], &["dag", "execute", "--run-id"]] {
        let out = cis.run(verb.iter().copied().chain([run.as_str()]));
        assert_eq!(out.code, Some(3), "{}: {}", out.line, out.stderr);
        assert!(out.stderr.contains("is gone from the blobs"), "{}", out.stderr);
    }
    // Also through another start of the node.
    kill_9(cis.node_pid().unwrap());
    eventually("a node is back", || (cis.status()["running"] == true).then_some(()));
    let pid = u32::try_from(before["pid"].as_u64().unwrap()).unwrap();
    assert!(super::harness::is_alive(pid), "its session was killed");
    std::fs::remove_dir_all(&blobs).ok();
    std::fs::rename(&away, &blobs).unwrap();
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "a")["attempts"], 1);
    assert!(cis.work().join("after").exists());
    assert!(!cis.status().to_string().contains("cannot go on"), "{}", cis.status());
    let sessions = cis.json(&["dag", "sessions"]);
    assert!(sessions.to_string().contains(&alone), "the session without a run is gone: {sessions}");
}

#[test]
fn a_run_whose_environment_is_missing_or_changed_waits_for_it() {
    let cis = Cis::new().env("E2E_PASS", "correct horse battery");
    let run = cis.start(KEPT);
    let pid = u32::try_from(cis.session_of("a")["pid"].as_u64().unwrap()).unwrap();
    let path = super::storage::files_below(&cis.home().join("secrets")).remove(0);
    let whole = std::fs::read_to_string(&path).unwrap();
    for changed in [None, Some(whole.replace("horse", "house"))] {
        cis.ok(["node", "stop"]);
        match &changed {
            Some(changed) => std::fs::write(&path, changed).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let checked = cis.run(["store", "check", "--deep"]).expect(3).stdout;
        assert!(checked.contains(path.file_name().unwrap().to_str().unwrap()), "{checked}");
        cis.ok(["node", "start", "--detach"]);
        let warnings = cis.status()["warnings"].to_string();
        assert!(
            warnings.contains("cannot continue") && warnings.contains(path.to_str().unwrap()),
            "{warnings}"
        );
        assert_eq!(cis.show(&run)["run"]["state"], "running");
        assert!(super::harness::is_alive(pid), "its session was killed");
        std::fs::write(&path, &whole).unwrap();
    }
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "a")["attempts"], 1);
    assert!(cis.status()["warnings"].is_null(), "{}", cis.status());
    // Without a backup it can still be cancelled.
    std::fs::remove_file(cis.work().join("open")).unwrap();
    let run = cis.start(KEPT);
    cis.session_of("a");
    cis.ok(["node", "stop"]);
    std::fs::remove_dir_all(cis.home().join("secrets")).unwrap();
    let out = cis.run(["dag", "retry", run.as_str()]).expect(3);
    assert!(out.stderr.contains("is missing"), "{}", out.stderr);
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
}

#[test]
fn a_session_whose_secrets_cannot_be_read_goes_on_and_shows_nothing() {
    let cis = Cis::new().env("E2E_PASS", "correct horse battery");
    let run = cis.start(KEPT);
    let before = cis.session_of("a");
    let kept: Vec<_> = super::storage::files_below(&cis.home().join("logs"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "secrets"))
        .collect();
    assert_eq!(kept.len(), 1);
    let good = std::fs::read(&kept[0]).unwrap();
    std::fs::write(&kept[0], "damaged").unwrap();
    kill_9(cis.node_pid().unwrap());
    eventually("a node is back", || (cis.status()["running"] == true).then_some(()));
    let id = before["id"].as_str().unwrap();
    let out = cis.run(["session", "exec", id, "x"]);
    assert!(out.stderr.contains("withheld"), "{}", out.stderr);
    std::fs::write(&kept[0], good).unwrap();
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    let task = cis.task(&run, "a");
    assert_eq!(task["attempts"], 1, "its exit was lost: {task}");
    assert!(!cis.show(&run).to_string().contains("correct horse"), "{task}");
}

#[test]
fn a_session_whose_spec_cannot_be_made_again_is_taken_over_as_it_is() {
    let cis = Cis::new().env("E2E_PASS", "correct horse battery");
    let text = r#"
version = 1
[dag]
id = "values"
[[tasks]]
id = "a"
secrets = { PASS = { env = "E2E_PASS" } }
outputs = { said = { type = "string" } }
script = 'echo "said=$PASS" > "$CIS_OUTPUT"'
[[tasks]]
id = "b"
needs = ["a"]
outputs = { word = { type = "string" } }
script = 'echo {{ tasks.a.outputs.said }}; while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done; echo "word={{ tasks.a.outputs.said }}" > "$CIS_OUTPUT"'
"#;
    let run = cis.start(text);
    let before = cis.session_of("b");
    // The value that its script refers to lies there.
    let (secrets, away) = (cis.home().join("secrets"), cis.home().join("away"));
    kill_9(cis.node_pid().unwrap());
    std::fs::rename(&secrets, &away).unwrap();
    eventually("a node is back", || (cis.status()["running"] == true).then_some(()));
    assert_eq!(cis.session_of("b")["pid"], before["pid"]);
    let log = cis.ok(["dag", "logs", "b"]);
    assert!(!log.contains("correct horse"), "{log}");
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "b")["attempts"], 1);
    assert!(!cis.show(&run).to_string().contains("correct horse"), "{}", cis.show(&run));
}

/// The end of a session is recorded while nobody follows the events: the one who waits for it learns of it all the same.
#[test]
fn who_ends_a_session_learns_of_its_end_also_if_the_node_died_meanwhile() {
    let cis = Cis::new();
    let slow = "trap 'touch told' TERM; touch ready; until [ -e gone ]; do sleep 0.05; done";
    let session = cis.ok(["session", "create", "--", "sh", "-c", slow]).trim().to_owned();
    eventually("its trap is set", || cis.work().join("ready").exists().then_some(()));
    let ending = cis.spawn(["session", "terminate", &session, "--grace", "1m"]);
    eventually("it is told to end", || cis.work().join("told").exists().then_some(()));
    signal(ending.pid(), Signal::STOP);
    kill_9(cis.node_pid().unwrap());
    cis.write("gone", "");
    eventually("its end is recorded", || {
        let all = cis.json(&["session", "list", "--all"]);
        all["items"].as_array()?.iter().any(|one| one["ended_ms"].is_u64()).then_some(())
    });
    signal(ending.pid(), Signal::CONT);
    let said = ending.wait().expect(0);
    assert!(said.stdout.contains("has ended"), "{said:?}");
}
