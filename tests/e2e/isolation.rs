//! A session cannot use its node, its host or other commands of the same user to exceed its rights.

use std::ffi::OsStr;
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

/// Kills a process whose parent starts the next one, and reads the files of the next one from its first instruction on.
/// Prints the names of those with the text.
const SPY: &str = r#"
import os, signal, sys, time
parent, victim, text = sys.argv[1], sys.argv[2], sys.argv[3].encode()
def children():
    found = set()
    for task in os.listdir(f"/proc/{parent}/task"):
        try:
            found.update(open(f"/proc/{parent}/task/{task}/children").read().split())
        except OSError:
            pass
    return found
known = children()
os.kill(int(victim), signal.SIGKILL)
deadline = time.time() + 60
new = set()
while not new:
    new = children() - known
    if time.time() > deadline:
        sys.exit("nobody was started")
pid, found = new.pop(), set()
deadline = time.time() + 0.3
while time.time() < deadline:
    for name in ["environ", "fd/0"]:
        try:
            file = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if text in os.read(file, 1 << 20):
                found.add(name)
        except OSError:
            pass
        os.close(file)
print(*sorted(found))
"#;

/// Runs [`SPY`] as the user of the installation, and returns what it found.
fn spied(cis: &Cis, parent: u32, victim: u32, text: &str) -> String {
    // The spy takes the place of the program under test.
    let program = cis.command([""; 0]);
    let user: Vec<_> = program.get_args().take(4).collect();
    let mut words: Vec<&OsStr> = if user.is_empty() { Vec::new() } else { vec![program.get_program()] };
    words.extend(user);
    let (spy, parent, victim) = (cis.write("spy.py", SPY), parent.to_string(), victim.to_string());
    words.extend(["python3".as_ref(), spy.as_os_str(), parent.as_ref(), victim.as_ref(), text.as_ref()]);
    let mut command = Command::new(words[0]);
    // Programs in other directories may be closed to that user.
    command.args(&words[1..]).current_dir(cis.work()).env_clear().env("PATH", "/usr/bin:/bin");
    Running::start(command).wait().expect(0).stdout.trim().to_owned()
}

#[test]
fn the_environment_of_a_node_or_a_host_cannot_be_read_while_it_starts() {
    const PRIVATE: &str = "of whoever started the node";
    let cis = unprivileged().env("E2E_PRIVATE", PRIVATE);
    let run = cis.start(WAITS);
    cis.session_of("long");
    for round in 0..2 {
        let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
        assert_eq!(spied(&cis, host, node, PRIVATE), "", "the next node, {round}");
        let node = eventually("another node has the host", || {
            cis.node_pid().filter(|next| *next != node && cis.host_pid() == Some(host))
        });
        assert_eq!(spied(&cis, node, host, PRIVATE), "", "the next host, {round}");
        eventually("another host runs", || cis.host_pid().filter(|next| *next != host));
    }
    cis.ok(["dag", "cancel", &run]);
}

/// A library that is loaded into the shell of a command that the node starts. It starts a process that leaves its parents
/// and tries to be taken for a person.
const PRELOADED: &str = r#"
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void) {
    const char *work = getenv("E2E_WORK");
    if (!getenv("CIS_ITEM") || !work || chdir(work) || unlink("armed") || fork()) return;
    setsid();
    if (fork()) _exit(0);
    char *clean[] = { "PATH=/usr/bin:/bin", 0 };
    execle("/bin/sh", "sh", "orphan.sh", (char *)0, clean);
    _exit(1);
}
"#;

/// Stops the node as soon as it starts a process, for so long that the process can act first.
const STOPPER: &str = r#"
import os, signal, sys, time
node = int(sys.argv[1])
def children():
    found = set()
    for task in os.listdir(f"/proc/{node}/task"):
        try:
            found.update(open(f"/proc/{node}/task/{task}/children").read().split())
        except OSError:
            pass
    return found
known = children()
open("ready", "w").close()
# On a busy machine the process may have begun to act before it is seen: it removes this file first.
while not children() - known and os.path.exists("armed"):
    pass
os.kill(node, signal.SIGSTOP)
time.sleep(0.5)
os.kill(node, signal.SIGCONT)
"#;

#[test]
fn code_that_the_environment_of_a_command_loads_has_no_rights_of_a_person() {
    let cis = unprivileged();
    cis.write("preloaded.c", PRELOADED);
    cis.write("stopper.py", STOPPER);
    let library = cis.work().join("preloaded.so");
    let source = cis.work().join("preloaded.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(built.unwrap().success());
    let places = cis.environment().into_iter().filter(|(name, _)| {
        matches!(name.as_str(), "HOME" | "CIS_HOME" | "XDG_RUNTIME_DIR" | "E2E_MARK" | "E2E_CIS")
    });
    let places: String = places.map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    let friend = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
    cis.write(
        "orphan.sh",
        format!(
            "{places}\"$E2E_CIS\" identity trust {friend} > said.new 2>&1\necho \"exit $?\" >> said.new\nmv said.new said\n"
        ),
    );
    let dag = format!(
        r#"
version = 1
[dag]
id = "preloads"
[[tasks]]
id = "stopper"
tty = false
script = '''
cd "$E2E_WORK"
while [ ! -e node ]; do sleep 0.05; done
python3 stopper.py "$(cat node)"
'''
[[tasks]]
id = "asks"
env = {{ LD_PRELOAD = "{}" }}
script = '''
while [ ! -e "$E2E_WORK/ready" ]; do sleep 0.05; done
printf 'Proceed? [y/n] '; read -r x
'''
on_blocked = {{ action = "run", run = ["true"] }}
"#,
        library.display()
    );
    let run = cis.start(&dag);
    cis.session_of("asks");
    cis.write("armed", "");
    cis.write("node.new", cis.node_pid().unwrap().to_string());
    fs::rename(cis.work().join("node.new"), cis.work().join("node")).unwrap();
    cis.wait_task(&run, "stopper", "succeeded");
    let said =
        eventually("what was loaded has tried", || Some(cis.read("said")).filter(|said| !said.is_empty()));
    assert!(!said.contains("exit 0") && said.contains("may not"), "it was taken for a person: {said}");
    assert!(!cis.ok(["identity", "show"]).contains(friend));
    cis.unblock(&["asks", "--text", "y"]);
    cis.wait_run(&run, "succeeded");
}

/// An agent lowers the limit of realtime CPU time of the node, or of the host, which its next node inherits. Its orphan
/// kills `$1`, removes all marks of the session, and tries to be taken for a person.
const LOWERS: &str = r#"
set -e
pid_of() { sed -n 's/^pid //p' "$CIS_HOME/$1.lock"; }
for process in node host; do prlimit --pid "$(pid_of $process)" --rttime=1000:1000; done
clean() {
  env -i PATH="$PATH" HOME="$HOME" CIS_HOME="$CIS_HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" E2E_MARK="$E2E_MARK" \
    E2E_CIS="$E2E_CIS" E2E_WORK="$E2E_WORK" "$@"
}
cd "$E2E_WORK"
# The next host ends what carries the stamp of a session: the orphan has a lower limit, but a higher one than the node.
clean setsid -f prlimit --rttime=5000:5000 sh climber.sh $(for process in $KILLED; do pid_of $process; done) 2> climber.err
"#;

const CLIMBER: &str = r#"
kill -9 "$@"
for pid in "$@"; do while [ -e /proc/$pid ]; do sleep 0.05; done; done
"$E2E_CIS" dag approve gate > said.new 2>&1
echo "exit $?" >> said.new
mv said.new said
"#;

#[test]
fn an_agent_that_lowers_the_limit_of_its_node_or_host_is_not_taken_for_a_person() {
    for killed in ["host", "node", "node host"] {
        let cis = unprivileged().env("KILLED", killed);
        cis.write("lowers.sh", LOWERS);
        cis.write("climber.sh", CLIMBER);
        let run = cis.start(
            "version = 1\n[dag]\nid = \"gated\"\n[[tasks]]\nid = \"gate\"\napproval = { prompt = \"?\" }\nscript = \"true\"\n\
             [[tasks]]\nid = \"agent\"\ntty = false\nretry_lost = false\nscript = 'sh \"$E2E_WORK/lowers.sh\"; sleep 600'\n",
        );
        let said =
            eventually("the orphan has tried", || Some(cis.read("said")).filter(|said| !said.is_empty()));
        assert!(!said.contains("exit 0"), "{killed}: {said}");
        assert!(said.contains("may not") || said.contains("the node could not start"), "{killed}: {said}");
        assert_eq!(cis.task(&run, "gate")["state"], "queued", "{killed}");
        // Node and host refuse each other if one of them has a limit.
        cis.run(["node", "stop", "--kill-sessions"]);
        cis.ok(["dag", "approve", "gate"]);
        cis.wait_task(&run, "gate", "succeeded");
        cis.run(["dag", "cancel", &run]);
    }
}

/// Greets the host at the socket that its lock file names. With `orphan`, as an orphan with a lower limit of realtime CPU time
/// that has killed the host before. Writes `welcome` or `refused` to `greeted`.
const GREETS: &str = r#"
import json, os, resource, signal, socket, struct, sys, time
home = os.environ["CIS_HOME"]
def host():
    fields = dict(line.split(" ", 1) for line in open(home + "/host.lock").read().splitlines() if " " in line)
    return int(fields.get("pid", 0)), fields.get("socket")
def greet(path):
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(path)
    hello = json.dumps({"type": "hello", "version": 1, "role": "stream"}).encode()
    try:
        stream.sendall(struct.pack("<IB", len(hello) + 1, 0) + hello)
        return bool(stream.recv(1))
    except OSError:
        return False
if "orphan" in sys.argv and "STAGE" not in os.environ:
    if os.fork(): os._exit(0)
    os.setsid()
    if os.fork(): os._exit(0)
    RTTIME = 15
    resource.setrlimit(RTTIME, (1000, 1000))
    os.execve(sys.executable, [sys.executable] + sys.argv, {"STAGE": "2", "CIS_HOME": home, "E2E_WORK": os.environ["E2E_WORK"]})
before, path = host()
if "orphan" in sys.argv:
    os.kill(before, signal.SIGKILL)
    pid = before
    while pid in (before, 0):
        time.sleep(0.02)
        pid, path = host()
while True:
    try:
        greeted = greet(path)
        break
    except OSError:
        time.sleep(0.02)
work = os.environ["E2E_WORK"]
open(work + "/greeted.new", "w").write("welcome" if greeted else "refused")
os.rename(work + "/greeted.new", work + "/greeted")
"#;

#[test]
fn a_process_of_a_session_that_lowered_its_limit_cannot_use_the_next_host() {
    let cis = unprivileged();
    cis.write("greets.py", GREETS);
    let run = cis.start(
        "version = 1\n[dag]\nid = \"greets\"\n[[tasks]]\nid = \"waits\"\ntty = false\nscript = 'while [ ! -e \"$E2E_WORK/end\" ]; do sleep 0.05; done'\n\
         [[tasks]]\nid = \"agent\"\ntty = false\nretry_lost = false\nscript = 'python3 \"$E2E_WORK/greets.py\" orphan; sleep 600'\n",
    );
    let greeted =
        || eventually("it has greeted", || Some(cis.read("greeted")).filter(|said| !said.is_empty()));
    assert_eq!(greeted(), "refused");
    // The same from outside of any session.
    fs::remove_file(cis.work().join("greeted")).unwrap();
    let mut person = cis.program("sh");
    person.args(["-c", "python3 \"$E2E_WORK/greets.py\""]);
    Running::start(person).wait().expect(0);
    assert_eq!(greeted(), "welcome");
    cis.write("end", "");
    cis.wait_task(&run, "waits", "succeeded");
    cis.run(["dag", "cancel", &run]);
}

/// Completes the task `review` with its token, which it reads from the environment of that task's process: as itself, as a
/// process with a cleaned environment, and as an orphan in a session of its own.
const FORGER: &str = r#"
while [ ! -e "$E2E_WORK/review" ]; do sleep 0.05; done
export T=$(tr '\0' '\n' < /proc/$(cat "$E2E_WORK/review")/environ | sed -n 's/^CIS_TOKEN=//p')
[ -n "$T" ] || exit 9
forge() { "$@" "$E2E_CIS" task complete --text "all is well" >> "$E2E_WORK/forged" 2>&1 && echo "done by $*" >> "$E2E_WORK/forged"; }
clean() { env -i PATH="$PATH" HOME="$HOME" CIS_HOME="$CIS_HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" CIS_SOCKET="$CIS_SOCKET" CIS_TOKEN="$T" "$@"; }
forge env CIS_TOKEN="$T"
forge clean
clean setsid -f sh -c '"$1" task complete --text "all is well" > "$2/orphan.new" 2>&1; echo "exit $?" >> "$2/orphan.new"; mv "$2/orphan.new" "$2/orphan"' sh "$E2E_CIS" "$E2E_WORK"
while [ ! -e "$E2E_WORK/orphan" ]; do sleep 0.05; done
"#;

#[test]
fn a_token_of_a_session_counts_in_that_session_alone() {
    let cis = unprivileged();
    cis.write("forger.sh", FORGER);
    let run = cis.start(
        "version = 1\n[dag]\nid = \"forged\"\n[[tasks]]\nid = \"review\"\nscript = 'echo $$ > \"$E2E_WORK/pid\"; mv \"$E2E_WORK/pid\" \"$E2E_WORK/review\"; \
         while [ ! -e \"$E2E_WORK/end\" ]; do sleep 0.05; done; setsid -w \"$E2E_CIS\" task progress \"by a child\"; exit 1'\n\
         [[tasks]]\nid = \"agent\"\nscript = 'sh \"$E2E_WORK/forger.sh\"'\n",
    );
    cis.wait_task(&run, "agent", "succeeded");
    let (forged, orphan) = (cis.read("forged"), cis.read("orphan"));
    let refused = "only the session itself may";
    assert!(!forged.contains("done by") && forged.matches(refused).count() == 2, "{forged}");
    assert!(orphan.contains(refused) && !orphan.contains("exit 0"), "{orphan}");
    cis.write("end", "");
    cis.wait_run(&run, "failed");
    let history = cis.ok(["dag", "events", &run, "--task", "review"]);
    assert!(history.contains("by a child") && !history.contains("all is well"), "{history}");
}

#[test]
fn a_command_whose_limit_another_process_lowered_says_so() {
    let cis = unprivileged();
    cis.ok(["node", "start", "--detach"]);
    let lowered = |arguments: &[&str]| {
        let program = cis.command(arguments);
        let mut command = Command::new("prlimit");
        command.arg("--rttime=5:5").arg(program.get_program()).args(program.get_args());
        command.current_dir(cis.work()).env_clear().envs(cis.environment());
        Running::start(command).wait()
    };
    let refused = lowered(&["dag", "list"]);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.stderr.contains("RLIMIT_RTTIME, 5 µs") && refused.stderr.contains("prlimit --rttime"),
        "{refused:?}"
    );
    assert!(!refused.stderr.contains("runs in a session"), "{refused:?}");
    let doctor = lowered(&["doctor"]).stdout;
    assert!(doctor.contains("RLIMIT_RTTIME"), "{doctor}");
    cis.ok(["node", "stop"]);
    let refused = lowered(&["node", "start", "--detach"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("the node could not start"), "{refused:?}");
    assert_eq!(cis.node_pid(), None);
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
while [ -e /proc/$2 ]; do sleep 0.05; done
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
# The agent may kill the host before this is answered.
clean "$E2E_CIS" --home "$inner" session create -- sh "$E2E_WORK/agent.sh" "$inner" || :
while [ ! -e "$E2E_WORK/tried" ]; do sleep 0.05; done
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

/// A process of a session kills node and host of another home of its user, `$OTHER`, and tries to be its owner by starting its
/// node.
const STARTS_THE_NODE: &str = r#"
pid_of() { sed -n 's/^pid //p' "$OTHER/$1.lock"; }
for pid in "$(pid_of host)" "$(pid_of node)"; do
  kill -9 "$pid"
  while [ -e "/proc/$pid" ]; do sleep 0.05; done
done
for words in 'node start --detach' 'dag approve gate'; do
  env -i PATH="$PATH" HOME="$HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" E2E_MARK="$E2E_MARK" "$E2E_CIS" --home "$OTHER" $words
  echo "exit $?"
done > "$E2E_WORK/said" 2>&1
"#;

#[test]
fn a_session_is_no_owner_of_another_home_whose_node_it_starts() {
    let other = unprivileged();
    let run = other.start(
        "version = 1\n[dag]\nid = \"gated\"\n[[tasks]]\nid = \"gate\"\napproval = { prompt = \"?\" }\nscript = \"true\"\n\
         [[tasks]]\nid = \"long\"\ntty = false\nretry_lost = false\nscript = \"sleep 600\"\n",
    );
    other.session_of("long");
    // A second home of the same user.
    let cis = unprivileged().env("OTHER", other.home().to_str().unwrap());
    let dag = format!(
        "version = 1\n[dag]\nid = \"takes\"\n[[tasks]]\nid = \"takes\"\ntty = false\nscript = '''{STARTS_THE_NODE}'''\n"
    );
    let taken = cis.start(&dag);
    cis.wait_run(&taken, "succeeded");
    let said = cis.read("said");
    assert!(!said.contains("exit 0") && said.contains("RLIMIT_RTTIME"), "{said}");
    assert_eq!(other.task(&run, "gate")["state"], "queued");
    other.ok(["dag", "approve", "gate"]);
    other.wait_task(&run, "gate", "succeeded");
    other.run(["dag", "cancel", &run]);
    other.stop();
    cis.stop();
}
