//! kill -9 of the session host and the node together, at random moments, while tasks leave processes behind: a task that
//! has ended does not run again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::harness::{Cis, Seeded, eventually, is_alive, kill_9, pause};

/// Ways to leave a process behind: name and shell text. Each writes the pid of the leftover process to the file
/// `left.TASK`.
const LEFT: [(&str, &str); 5] = [
    ("child", "(trap \"\" HUP; exec sleep 301) & echo $! > left.TASK"),
    ("setsid", "setsid sh -c 'echo $$ > left.TASK; exec sleep 302' &"),
    ("double", "( (setsid sh -c 'echo $$ > left.TASK; exec sleep 303' &) & )"),
    (
        "ignores",
        "sh -c 'trap \"\" HUP; trap \"touch told.TASK\" TERM; echo $$ > left.TASK; while :; do sleep 0.05; done' &",
    ),
    ("nothing", "echo 999999999 > left.TASK"),
];

/// Two chains of tasks. Each task notes that it ran, leaves a process behind, and notes that it is about to end.
fn leaving(folder: &Path, rng: &mut Seeded) -> String {
    let mut text = format!(
        "version = 1\n[dag]\nid = \"leaving\"\nmax_parallel = 2\n[dag.defaults]\ncwd = {:?}\ngrace = \"150ms\"\n",
        folder.display().to_string()
    );
    for chain in ["a", "b"] {
        for n in 0..3 {
            let task = format!("{chain}{n}");
            let (_, left) = LEFT[usize::try_from(rng.below(LEFT.len() as u64)).unwrap()];
            let left = left.replace("TASK", &task);
            let tty = rng.below(2) == 0;
            let needs = if n == 0 { String::new() } else { format!("needs = [\"{chain}{}\"]\n", n - 1) };
            text.push_str(&format!(
                "[[tasks]]\nid = \"{task}\"\ntty = {tty}\n{needs}outputs = {{ said = {{ type = \"string\" }} }}\nscript = '''\necho x >> ran.{task}\necho $CIS_ATTEMPT > label.{task}\nrm -f left.{task}\n{left}\nwhile [ ! -s left.{task} ]; do sleep 0.05; done\necho \"said={task}\" > \"$CIS_OUTPUT\"\necho $$ > ended.{task}\n'''\n"
            ));
        }
    }
    text
}

fn tasks() -> impl Iterator<Item = String> {
    ["a", "b"].into_iter().flat_map(|chain| (0..3).map(move |n| format!("{chain}{n}")))
}

/// Returns the tasks whose end the host certainly knows: their first process is gone, and the host has noted that, or
/// their leftover process is gone or was told to end.
fn ended(cis: &Cis, folder: &Path) -> Vec<String> {
    let notes = fs::read(cis.home().join("host.exits")).unwrap_or_default();
    let notes = String::from_utf8_lossy(&notes);
    let (complete, _) = notes.rsplit_once('\n').unwrap_or_default();
    let is_noted = |task: &str| {
        let label = fs::read_to_string(folder.join(format!("label.{task}"))).unwrap_or_default();
        !label.trim().is_empty() && complete.contains(&format!("{:?}", label.trim()))
    };
    let pid = |name: String| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u32>().ok();
    let has_ended = |task: &String| {
        let leader = pid(format!("ended.{task}"));
        let left = pid(format!("left.{task}"));
        let told = || folder.join(format!("told.{task}")).exists();
        let was_ended = left.is_some_and(|left| left < 4_194_304 && (!is_alive(left) || told()));
        let knows = was_ended || is_noted(task);
        knows && leader.is_some_and(|leader| !Path::new(&format!("/proc/{leader}")).exists())
    };
    tasks().filter(has_ended).collect()
}

fn survive(kills: u32) {
    let cis = Cis::new();
    let mut random = Seeded::new();
    let (mut known, mut again) = (0, 0);
    for round in 0..kills {
        let folder = cis.work().join(format!("round{round}"));
        fs::create_dir(&folder).unwrap();
        let run = cis.start(&leaving(&folder, &mut random));
        let (host, node) = (cis.host_pid().unwrap(), cis.node_pid().unwrap());
        if round % 2 == 0 {
            eventually("a task has ended", || (!ended(&cis, &folder).is_empty()).then_some(()));
        }
        pause(Duration::from_millis(random.below(900)));
        let ended = ended(&cis, &folder);
        let mut both = [host, node];
        if random.below(2) == 0 {
            both.reverse();
        }
        both.into_iter().for_each(kill_9);
        let detail = cis.wait_run(&run, "succeeded");
        for task in tasks() {
            let ran = fs::read_to_string(folder.join(format!("ran.{task}"))).unwrap().lines().count();
            assert!(!ended.contains(&task) || ran == 1, "round {round}: {task} had ended and ran again");
            assert!(ran <= 2, "round {round}: {task} ran {ran} times");
            let state =
                detail["tasks"].as_array().unwrap().iter().find(|t| t["id"] == task.as_str()).unwrap();
            assert_eq!(state["outputs"]["said"], task.as_str(), "round {round}: {state}");
            again += u32::from(ran == 2);
        }
        known += ended.len();
    }
    assert!(known >= kills as usize / 2, "only {known} tasks were seen to have ended");
    eprintln!("{kills} kills: {known} tasks had ended and ran once, {again} were at work and ran twice");
}

#[test]
fn ended_tasks_do_not_run_again_when_host_and_node_are_killed() {
    survive(6);
}

#[test]
#[ignore = "200 random kills take minutes: cargo xtask test-all"]
fn ended_tasks_do_not_run_again_after_200_random_kills() {
    survive(200);
}

/// A script that leaves a process behind which ignores SIGTERM, and exits with this code.
fn leaves(code: u8) -> String {
    format!(
        "setsid sh -c 'trap \"\" HUP; trap \"touch $E2E_WORK/told\" TERM; echo x > $E2E_WORK/left; while :; do sleep 0.05; done' &\nwhile [ ! -s $E2E_WORK/left ]; do sleep 0.05; done\nexit {code}\n"
    )
}

#[test]
fn results_survive_their_host_while_leftover_processes_are_ended() {
    for code in [0, 7] {
        let cis = Cis::new();
        let text = format!(
            "version = 1\n[dag]\nid = \"one\"\n[[tasks]]\nid = \"a\"\ntty = false\ngrace = \"10m\"\nartifacts = [\"file\"]\nscript = \"\"\"\necho x >> ran; echo kept > file\n{}\"\"\"\n",
            leaves(code).replace('"', "\\\"")
        );
        let run = cis.start(&text);
        eventually("what it left is being ended", || cis.work().join("told").exists().then_some(()));
        kill_9(cis.host_pid().unwrap());
        cis.wait_run(&run, if code == 0 { "succeeded" } else { "failed" });
        let task = cis.task(&run, "a");
        assert_eq!((&task["attempts"], &task["exit_code"]), (&1.into(), &code.into()), "{task}");
        assert_eq!(cis.read("ran").lines().count(), 1);
        let artifacts = task["artifacts"].as_array().map_or(0, Vec::len);
        assert_eq!(artifacts, usize::from(code == 0), "{task}");
    }
}

#[test]
fn a_session_without_a_run_keeps_its_exit_code_too() {
    let cis = Cis::new();
    let id = cis.ok(["session", "create", "--no-tty", "--", "sh", "-c", &leaves(3)]);
    eventually("what it left is being ended", || cis.work().join("told").exists().then_some(()));
    kill_9(cis.host_pid().unwrap());
    let session = eventually("it is known to have ended", || {
        let listing = cis.json(&["session", "list", "--all"]);
        let found =
            listing["items"].as_array()?.iter().find(|session| session["id"] == id.trim()).cloned()?;
        (found["state"] == "exited").then_some(found)
    });
    assert_eq!(session["exit_code"], 3, "{session}");
}

#[test]
fn stop_ends_what_a_killed_host_left() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let left = cis.work().join("left");
    let script = format!(
        "setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 300' & sleep 300",
        left.display()
    );
    cis.ok(["session", "create", "--", "sh", "-c", &script]);
    let pid: u32 = eventually("the leftover process", || fs::read_to_string(&left).ok()?.trim().parse().ok());
    let host = cis.host_pid().unwrap();
    kill_9(cis.node_pid().unwrap());
    kill_9(host);
    assert!(is_alive(pid));
    assert!(cis.ok(["node", "stop", "--kill-sessions"]).contains("killed session host"));
    assert!(!is_alive(pid));
    assert!(cis.ok(["node", "stop", "--kill-sessions"]).contains("No node was running"));
}

#[test]
fn kill_waits_for_the_next_node() {
    let cis = Cis::new();
    let run = cis.start(
        "version = 1\n[dag]\nid = \"k\"\n[[tasks]]\nid = \"a\"\n\
         script = 'trap \"touch $E2E_WORK/told\" TERM; touch $E2E_WORK/ready; while :; do sleep 0.05; done'",
    );
    let is_there = |name: &str| eventually(name, || cis.work().join(name).exists().then_some(()));
    is_there("ready");
    let host = cis.host_pid().unwrap();
    let killing = cis.spawn(["dag", "kill", "a", "--grace", "60s"]);
    is_there("told");
    kill_9(cis.node_pid().unwrap());
    kill_9(host);
    let out = killing.wait().expect(0);
    assert!(out.stdout.contains("has ended"), "{}", out.stdout);
    cis.wait_run(&run, "cancelled");
}

/// Returns the pid in a lock file of the home, if it names a holder.
fn holder(cis: &Cis, lock: &str) -> Option<u32> {
    let text = fs::read_to_string(cis.home().join(lock)).ok()?;
    text.lines().find_map(|line| line.strip_prefix("pid "))?.parse().ok()
}

/// Returns the ended children of a process that it has not reaped.
fn zombies_of(parent: u32) -> Vec<String> {
    let stats = fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    // The name may contain anything; state and parent follow it (proc_pid_stat(5)).
    let is_zombie = |stat: &String| {
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let mut words = rest.split_whitespace();
        words.next() == Some("Z") && words.next() == Some(&parent.to_string())
    };
    stats.filter(is_zombie).collect()
}

#[test]
fn a_command_starts_the_node_again_as_often_as_it_is_killed() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"k\"\n[[tasks]]\nid = \"a\"\n\
                script = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'";
    let running = cis.spawn_dag(text, &[]);
    cis.session_of("a");
    let mut killed = 0;
    for _ in 0..3 {
        // The next node is killed before it serves anybody. No other command may start one.
        let node = eventually("another node", || holder(&cis, "node.lock").filter(|node| *node != killed));
        holder(&cis, "host.lock").into_iter().for_each(kill_9);
        kill_9(node);
        killed = node;
    }
    eventually("another node", || holder(&cis, "node.lock").filter(|node| *node != killed));
    let parent = running.pid();
    eventually("the ended nodes are reaped", || zombies_of(parent).is_empty().then_some(()));
    cis.write("open", "");
    running.wait().expect(0);
}
