//! Children that try to stay: `kill`, timeout, cancel and an ordinary end leave none.

use super::harness::{Cis, eventually, is_alive};

/// Starts children that leave the group, the session, the parent, and ignore what they can; waits until all run.
const STUBBORN: &str = r#"
trap "" HUP
(trap "" TERM HUP INT; exec sleep 301) &
setsid sh -c 'trap "" TERM HUP; sleep 302' &
( (setsid sh -c 'trap "" TERM HUP; sleep 303' &) & )
sh -c 'trap "" TERM; sh -c "setsid nohup sleep 304 > /dev/null 2>&1 &"'
until [ $(ps_count) -ge 4 ]; do sleep 0.02; done
"#;

/// The script, then `end`.
fn stubborn(end: &str) -> String {
    // No ps(1) on a fresh machine: count in /proc.
    let count = "ps_count() { grep -lzE '^30[1-4]$' /proc/[0-9]*/cmdline 2> /dev/null | while read -r f; do grep -qz \"$E2E_MARK\" \"${f%cmdline}environ\" 2> /dev/null && echo x; done | wc -l; }";
    format!("'''{count}\n{STUBBORN}\necho x > \"$E2E_WORK/ready\"\n{end}\n'''")
}

fn ready(cis: &Cis) {
    eventually("all children run", || (!cis.read("ready").is_empty()).then_some(()));
}

/// Sleeping children that are still there.
fn left(cis: &Cis) -> Vec<String> {
    let ours = cis.processes().into_iter().map(|process| process.command);
    ours.filter(|command| command.contains("sleep 30")).collect()
}

#[track_caller]
fn none_left(cis: &Cis) {
    eventually(&format!("no child is left, but there is {:?}", left(cis)), || {
        left(cis).is_empty().then_some(())
    });
}

fn dag(end: &str, keys: &str, tty: bool) -> String {
    format!(
        "version = 1\n[dag]\nid = \"stay\"\n[[tasks]]\nid = \"a\"\ntty = {tty}\ngrace = \"300ms\"\n{keys}\nscript = {}\n",
        stubborn(end)
    )
}

#[test]
fn kill_leaves_none() {
    for tty in [true, false] {
        let cis = Cis::new();
        let run = cis.start(&dag("sleep 300", "", tty));
        ready(&cis);
        cis.ok(["dag", "kill", "a"]);
        cis.wait_task(&run, "a", "cancelled");
        none_left(&cis);
    }
}

#[test]
fn cancel_leaves_none() {
    let cis = Cis::new();
    let run = cis.start(&dag("sleep 300", "", true));
    ready(&cis);
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    none_left(&cis);
}

#[test]
fn a_timeout_leaves_none() {
    let cis = Cis::new();
    let run = cis.start(&dag("sleep 300", "timeout = \"3s\"", true));
    ready(&cis);
    cis.wait_run(&run, "failed");
    none_left(&cis);
}

#[test]
fn a_task_that_ends_leaves_none() {
    for tty in [true, false] {
        let cis = Cis::new();
        let run = cis.start(&dag("exit 0", "", tty));
        ready(&cis);
        cis.wait_run(&run, "succeeded");
        none_left(&cis);
    }
}

#[test]
fn terminating_a_session_leaves_none() {
    let cis = Cis::new();
    let script = stubborn("sleep 300");
    let script = script.trim_matches('\'');
    let view = cis.run(["session", "create", "--json", "--", "sh", "-c", script]).expect(0).json();
    ready(&cis);
    cis.ok(["session", "terminate", view["id"].as_str().unwrap()]);
    none_left(&cis);
}

#[test]
fn kill_after_the_node_was_killed_leaves_none() {
    let cis = Cis::new();
    let run = cis.start(&dag("sleep 300", "", true));
    ready(&cis);
    super::harness::kill_9(cis.node_pid().unwrap());
    cis.ok(["dag", "kill", "a"]);
    cis.wait_task(&run, "a", "cancelled");
    none_left(&cis);
}

#[test]
fn alone_a_hundred_sessions_leave_no_process_descriptor_thread_or_file() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    // The first ones make what is made once (connections, threads, database pages).
    create_and_end(&cis, 5);
    eventually("the node has looked whether it has to clean", || {
        cis.home().join("upkeep.lock").exists().then_some(())
    });
    let before = Held::by(&cis);
    create_and_end(&cis, 100);
    eventually_is(|| Held::by(&cis), |now| now.no_more_than(&before), &before);
}

/// Says what there was and is where that does not come true.
#[track_caller]
fn eventually_is(look: impl Fn() -> Held, is_right: impl Fn(&Held) -> bool, before: &Held) {
    let mut last = look();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(40);
    while !is_right(&last) {
        assert!(std::time::Instant::now() < until, "before: {before:?}, now: {last:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
        last = look();
    }
}

fn create_and_end(cis: &Cis, count: u32) {
    for n in 0..count {
        // Every other one ends by its own will. None says anything, so none has a log.
        let by_itself = n % 2 == 1;
        let command = if by_itself { ["sleep", "0.05"] } else { ["sleep", "300"] };
        let view = cis.run(["session", "create", "--json", "--"].iter().chain(&command)).expect(0).json();
        let id = view["id"].as_str().unwrap();
        let pid = view["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        if !by_itself {
            cis.ok(["session", "terminate", id]);
        }
        eventually("the session is over", || {
            let live = cis.json(&["session", "list"]);
            (!live["items"].as_array().unwrap().iter().any(|s| s["id"] == id)).then_some(())
        });
        assert!(!pid.is_some_and(is_alive), "process {pid:?} of a session that is over");
    }
}

/// What node and host hold.
#[derive(Debug)]
struct Held {
    processes: usize,
    descriptors: usize,
    threads: usize,
    files: usize,
}

impl Held {
    fn by(cis: &Cis) -> Self {
        let pids = [cis.node_pid().unwrap(), cis.host_pid().unwrap()];
        let entries = |folder: &str| -> usize {
            pids.iter().map(|pid| std::fs::read_dir(format!("/proc/{pid}/{folder}")).unwrap().count()).sum()
        };
        let files = super::storage::files_below(&cis.home()).len()
            + super::storage::files_below(&cis.runtime()).len();
        Self { processes: cis.processes().len(), descriptors: entries("fd"), threads: entries("task"), files }
    }

    /// The node's pools of readers and of threads may have grown to their size meanwhile.
    fn no_more_than(&self, before: &Self) -> bool {
        const POOLS: usize = 4;
        self.processes <= before.processes
            && self.descriptors <= before.descriptors + POOLS
            && self.threads <= before.threads + POOLS
            && self.files <= before.files
    }
}
