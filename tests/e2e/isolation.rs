//! A session cannot use its node, its host or other commands of the same user to exceed its rights.

use std::fs;
use std::process::Command;

use super::harness::{Cis, Running, eventually, is_root, kill_9, skip};

/// Attempts every way that the system offers to inspect processes or to act as them. Prints a line for each way that
/// worked.
const ATTACKER: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_DETACH, PIDFD_GETFD = 0x4206, 17, 438
def attack(pid):
    worked = []
    def attempt(name, act):
        try:
            if act():
                worked.append(name)
        except OSError:
            pass
    def mem():
        start = int(open(f"/proc/{pid}/maps").read().split("-")[0], 16)
        with open(f"/proc/{pid}/mem", "rb", 0) as file:
            file.seek(start)
            return file.read(16)
    def ptrace():
        if libc.ptrace(PTRACE_SEIZE, pid, None, None) != 0:
            return False
        libc.ptrace(PTRACE_DETACH, pid, None, None)
        return True
    def getfd():
        process = os.pidfd_open(pid)
        return any(libc.syscall(PIDFD_GETFD, process, number, 0) >= 0 for number in range(64))
    attempt("environ", lambda: open(f"/proc/{pid}/environ", "rb").read())
    attempt("fd", lambda: os.listdir(f"/proc/{pid}/fd"))
    attempt("cwd", lambda: os.readlink(f"/proc/{pid}/cwd"))
    attempt("mem", mem)
    attempt("ptrace", ptrace)
    attempt("pidfd_getfd", getfd)
    return worked
for pid in sys.argv[1:]:
    print(*attack(int(pid)))
"#;

const WAITS: &str = "version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"long\"\nscript = 'read -r x'\n";

/// An installation of an unprivileged user, because root can inspect every process.
fn unprivileged() -> Cis {
    if is_root() { Cis::as_nobody() } else { Cis::new() }
}

/// Returns what a program of a session can do to each of these processes.
fn attacked(cis: &Cis, pids: &[u32]) -> Vec<String> {
    cis.write("attacker.py", ATTACKER);
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let script = format!(
        "python3 \"$E2E_WORK/attacker.py\" {} > \"$E2E_WORK/worked\" 2> \"$E2E_WORK/complaints\"",
        pids.join(" ")
    );
    let dag = format!(
        "version = 1\n[dag]\nid = \"attack\"\n[[tasks]]\nid = \"attack\"\ntty = false\nscript = '''{script}'''\n"
    );
    let out = cis.dag(&dag, &[]);
    assert_eq!(out.code, Some(0), "{out:?}\n{}", cis.read("complaints"));
    cis.read("worked").lines().map(str::to_owned).collect()
}

#[test]
fn node_host_and_commands_cannot_be_inspected_or_impersonated() {
    let cis = unprivileged();
    let long = cis.write("long.toml", WAITS);
    let following = cis.spawn(["dag", "run", long.to_str().unwrap()]);
    let session = u32::try_from(cis.session_of("long")["pid"].as_u64().unwrap()).unwrap();
    let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
    let worked = attacked(&cis, &[node, host, following.pid(), session]);
    assert_eq!(worked[..3], ["", "", ""], "node, host, command");
    // The attacks work against unprotected processes, such as programs of sessions.
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let attacks: &[&str] = match scope.trim() {
        "" | "0" => &["environ", "fd", "cwd", "mem", "ptrace", "pidfd_getfd"],
        _ => &["environ", "fd", "cwd"],
    };
    assert!(attacks.iter().all(|attack| worked[3].contains(attack)), "{worked:?}");
    cis.unblock(&["long", "--text", "x"]);
    following.wait().expect(0);
}

#[test]
fn a_node_that_its_host_started_again_is_closed_as_well() {
    let cis = unprivileged();
    let run = cis.start(WAITS);
    cis.session_of("long");
    let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
    kill_9(node);
    let next = eventually("the host starts another node", || {
        cis.node_pid().filter(|next| *next != node && cis.host_pid() == Some(host))
    });
    assert_eq!(attacked(&cis, &[next, host]), ["", ""]);
    cis.ok(["dag", "cancel", &run]);
}

/// An agent of a node that itself runs in a session of another node. It removes all marks of its session, kills its
/// host, becomes a descendant of the other host, and tries to be taken for a person.
const AGENT: &str = r#"
trap '' HUP
(env -i PATH="$PATH" HOME="$HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" E2E_MARK="$E2E_MARK" E2E_CIS="$E2E_CIS" \
  E2E_WORK="$E2E_WORK" setsid prlimit --rttime=1000000:1000000 sh "$E2E_WORK/orphan.sh" "$1" $PPID &)
while :; do sleep 0.05; done
"#;

const ORPHAN: &str = r#"
kill -9 $2
while [ -e /proc/$2 ]; do sleep 0.02; done
"$E2E_CIS" --home "$1" identity trust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK > "$E2E_WORK/said" 2>&1
echo "$? $(tr '\n' ' ' < "$E2E_WORK/said")" > "$E2E_WORK/tried.new"
mv "$E2E_WORK/tried.new" "$E2E_WORK/tried"
"#;

const OUTER: &str = r#"
clean() {
  env -i PATH="$PATH" HOME="$HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" E2E_MARK="$E2E_MARK" E2E_CIS="$E2E_CIS" E2E_WORK="$E2E_WORK" "$@"
}
inner="$E2E_WORK/inner"
clean "$E2E_CIS" --home "$inner" node start --detach || exit 1
clean "$E2E_CIS" --home "$inner" session create -- sh "$E2E_WORK/agent.sh" "$inner" || exit 1
while [ ! -e "$E2E_WORK/tried" ]; do sleep 0.02; done
clean "$E2E_CIS" --home "$inner" node stop --kill-sessions
"#;

#[test]
fn an_agent_that_kills_its_host_has_no_rights_if_its_node_runs_in_a_session() {
    let cis = unprivileged();
    cis.write("agent.sh", AGENT);
    cis.write("orphan.sh", ORPHAN);
    let dag = format!(
        "version = 1\n[dag]\nid = \"outer\"\n[[tasks]]\nid = \"outer\"\ntty = false\nscript = '''{OUTER}'''\n"
    );
    let run = cis.start(&dag);
    cis.wait_run(&run, "succeeded");
    let tried = cis.read("tried");
    assert!(!tried.starts_with("0 ") && tried.contains("may not"), "it was taken for a person: {tried}");
}

#[test]
fn node_host_and_commands_recognize_each_other_with_hidepid() {
    let mount = "mount -t proc -o hidepid=2 proc /proc";
    let can_mount = || Command::new("unshare").args(["-m", "sh", "-c", mount]).output();
    if !is_root() || !can_mount().is_ok_and(|tried| tried.status.success()) {
        skip("mounting /proc needs root and a mount namespace");
        return;
    }
    let cis = Cis::as_nobody();
    let inside = |arguments: &[&str]| {
        let as_user = cis.command(arguments);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &format!("{mount} && exec \"$@\""), "sh"]);
        command.arg(as_user.get_program()).args(as_user.get_args());
        command.current_dir(cis.work()).env_clear().envs(cis.environment());
        Running::start(command).wait()
    };
    cis.write(
        "one.toml",
        "version = 1\n[dag]\nid = \"one\"\n[[tasks]]\nid = \"a\"\nscript = '\"$E2E_CIS\" node status'\n",
    );
    inside(&["dag", "run", "one.toml"]).expect(0);
    let doctor = inside(&["doctor"]).expect(0).stdout;
    assert!(doctor.contains("hidepid"), "{doctor}");
    inside(&["node", "stop", "--kill-sessions"]).expect(0);
}
