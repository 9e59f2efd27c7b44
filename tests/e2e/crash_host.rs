//! kill -9 of the session host: its sessions are lost, are said to be, and are started again.

use super::harness::{Cis, eventually, is_alive, kill_9, ulid_in};
use super::requests::events;

const LOST: &str = r#"
version = 1
[dag]
id = "lost"
[[tasks]]
id = "before"
script = 'echo x >> "$E2E_WORK/before"'
[[tasks]]
id = "pty"
needs = ["before"]
script = 'echo x >> "$E2E_WORK/pty"; while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done'
[[tasks]]
id = "pipes"
needs = ["before"]
tty = false
script = 'echo x >> "$E2E_WORK/pipes"; while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done'
"#;

#[test]
fn lost_sessions_are_recorded_and_run_again() {
    let cis = Cis::new();
    let run = cis.start(LOST);
    let old =
        ["pty", "pipes"].map(|task| u32::try_from(cis.session_of(task)["pid"].as_u64().unwrap()).unwrap());
    kill_9(cis.host_pid().unwrap());
    eventually("both run again", || {
        (cis.read("pty").lines().count() == 2 && cis.read("pipes").lines().count() == 2).then_some(())
    });
    for pid in old {
        eventually("no process of the lost sessions is left", || (!is_alive(pid)).then_some(()));
    }
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("before").lines().count(), 1, "a finished task ran again");
    assert_eq!(cis.task(&run, "pty")["attempts"], 2);
}

#[test]
fn without_retry_a_lost_session_is_an_error_of_ours() {
    let cis = Cis::new();
    let text = LOST.replace("needs = [\"before\"]", "needs = [\"before\"]\nretry_lost = false");
    let running = cis.spawn_dag(&text, &[]);
    cis.session_of("pty");
    cis.session_of("pipes");
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    kill_9(cis.host_pid().unwrap());
    let out = running.wait().expect(3);
    assert!(format!("{}{}", out.stdout, out.stderr).contains("lost"), "{out:?}");
    let task = cis.task(&run, "pty");
    assert_eq!(task["state"], "error", "{task}");
    assert!(task["reason"].as_str().is_some_and(|reason| reason.contains("lost")), "{task}");
}

#[test]
fn the_end_of_a_lost_session_without_a_run_is_recorded_once() {
    let cis = Cis::new();
    cis.ok(["session", "create", "--no-tty", "--", "sleep", "300"]);
    let host = cis.host_pid().unwrap();
    kill_9(host);
    eventually("the next session host", || cis.host_pid().filter(|pid| *pid != host));
    let ends = eventually("the end is recorded", || {
        let ends = events(&cis, "cis.dag.session.ended", "its session host ended");
        (ends > 0).then_some(ends)
    });
    assert_eq!(ends, 1);
}

#[test]
fn node_and_host_killed_together_leave_nothing_behind() {
    let cis = Cis::new();
    let run = cis.start(LOST);
    let old =
        ["pty", "pipes"].map(|task| u32::try_from(cis.session_of(task)["pid"].as_u64().unwrap()).unwrap());
    let (host, node) = (cis.host_pid().unwrap(), cis.node_pid().unwrap());
    kill_9(host);
    kill_9(node);
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    for pid in old {
        eventually("no process of the lost sessions is left", || (!is_alive(pid)).then_some(()));
    }
}
