//! The inbox: approvals, prompts on screens, and the stream of what changes.

use super::asking::{found, item};
use super::harness::{Cis, eventually, kill_9, signal};
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn approvals_are_items_and_their_answer_is_the_decision() {
    let cis = Cis::new();
    let gate = |id: &str| {
        format!(
            "version = 1\n[dag]\nid = \"{id}\"\n[[tasks]]\nid = \"deploy\"\napproval = {{ prompt = \"Deploy {id}?\" }}\ncommand = [\"true\"]\n"
        )
    };
    let run = cis.start(&gate("one"));
    let asked = item(&cis);
    assert_eq!((&asked["kind"], &asked["question"]), (&"approval".into(), &"Deploy one?".into()));
    assert_eq!((&asked["session"], &asked["run"]), (&Value::Null, &run.as_str().into()));
    kill_9(cis.node_pid().unwrap());
    let id = asked["id"].as_str().unwrap();
    assert_eq!(item(&cis), asked, "over a restart");
    cis.run(["answer", id, "--text", "perhaps"]).expect(2);
    cis.ok(["answer", id, "approve"]);
    cis.wait_run(&run, "succeeded");
    let late = cis.run(["answer", id, "reject"]).expect(3).stderr;
    assert!(late.contains("was answered by uid:"), "{late}");
    let other = cis.start(&gate("two"));
    let asked = item(&cis);
    assert!(cis.json(&["inbox", &run])["items"].as_array().unwrap().is_empty());
    cis.ok(["answer", asked["id"].as_str().unwrap(), "reject", "--reason", "it is Friday"]);
    let detail = cis.wait_run(&other, "failed")["run"]["detail"].to_string();
    assert!(detail.contains("rejected by uid:") && detail.contains("it is Friday"), "{detail}");
}

#[test]
fn a_prompt_on_a_screen_is_answered_once() {
    let cis = Cis::new();
    let run = cis.start(
        "version = 1\n[dag]\nid = \"p\"\n[[tasks]]\nid = \"ask\"\nscript = '''\nprintf 'Proceed? [y/n] '; read -r x; echo \"got $x\"\nwhile [ ! -e \"$E2E_WORK/go\" ]; do sleep 0.05; done\n'''\n",
    );
    let asked = item(&cis);
    assert!(asked["question"].as_str().unwrap().contains("Proceed?"), "{asked}");
    assert_eq!((&asked["episode"], &asked["answered_by"]), (&1.into(), &Value::Null));
    let id = asked["id"].as_str().unwrap();
    assert!(cis.ok(["inbox", "show", id]).contains("│ Proceed? [y/n]"));
    let receipt = cis.json(&["dag", "unblock", "ask", "--text", "y"]);
    assert_eq!((&receipt["bytes"], receipt["output_offset"].is_u64()), (&2.into(), true));
    eventually("it goes on", || cis.ok(["dag", "logs", "ask"]).contains("got y").then_some(()));
    eventually("the item is closed", || {
        (cis.json(&["inbox", "show", id])["closed"]["how"] == "answered").then_some(())
    });
    let late = cis.run(["answer", id, "--text", "n"]).expect(3).stderr;
    assert!(late.contains("was answered by uid:"), "{late}");
    let nothing = cis.run(["dag", "unblock", "ask", "--text", "n"]).expect(3).stderr;
    assert!(nothing.contains("does not wait for input"), "{nothing}");
    cis.write("go", "");
    cis.wait_run(&run, "succeeded");
    let ended = cis.run(["dag", "unblock", &format!("{run}/ask"), "--text", "n"]).expect(3).stderr;
    assert!(ended.contains("has ended"), "{ended}");
}

#[test]
fn a_password_is_not_answered_from_outside_of_a_terminal() {
    let cis = Cis::new();
    let run = cis.start(
        "version = 1\n[dag]\nid = \"p\"\n[[tasks]]\nid = \"ask\"\nscript = '''\nstty -echo; printf 'Password: '; read -r x; stty echo; echo \"got it\"\n'''\n",
    );
    let asked = item(&cis);
    assert_eq!(asked["kind"], "password", "{asked}");
    let refused = cis.run(["answer", asked["id"].as_str().unwrap(), "--text", "hunter2"]).expect(3).stderr;
    assert!(refused.contains("cis dag attach"), "{refused}");
    let mut terminal = cis.terminal(&["dag", "attach", "ask"]);
    terminal.wait_for("Password:");
    terminal.type_keys("hunter2\r");
    cis.wait_run(&run, "succeeded");
    assert!(!cis.ok(["dag", "logs", "ask"]).contains("hunter2"));
}

#[test]
fn what_changes_is_told_line_by_line() {
    let cis = Cis::new();
    cis.ok(["node", "status"]);
    let watching = cis.spawn(["inbox", "--watch", "--json"]);
    let run = cis.start_task("deploy", "approval = { prompt = \"?\" }\ncommand = [\"true\"]");
    let line = |number: usize| -> Value {
        eventually("a line", || serde_json::from_str(watching.stdout().lines().nth(number)?).ok())
    };
    let first = line(0);
    assert_eq!((&first["change"], &first["item"]["run"]), (&"waits".into(), &run.as_str().into()));
    cis.ok(["answer", first["item"]["id"].as_str().unwrap(), "approve"]);
    let second = line(1);
    assert_eq!((&second["change"], &second["item"]["closed"]["how"]), (&"over".into(), &"answered".into()));
    signal(watching.pid(), Signal::INT);
    watching.wait().expect(130);
    let mut terminal = cis.terminal(&["inbox", "--watch"]);
    terminal.wait_for("Nothing waits for you.");
    terminal.type_keys("\x03");
    assert_eq!(terminal.wait_exit(), 130);
}

/// A command that appends what it is told to a file of the test.
const TELL: &str =
    r#"echo "$CIS_EVENT $CIS_KIND $CIS_TASK $CIS_NOTIFY ${CIS_TOKEN-none} $(cat)" >> "$E2E_WORK/told""#;

#[test]
fn people_are_told_by_their_command() {
    let cis = Cis::new();
    let file = cis.write("tell.sh", format!("{TELL}\ntest \"$CIS_EVENT\" != said\n"));
    let command = serde_json::json!(["sh", file.to_str().unwrap()]);
    cis.configure(&format!("[notify]\ncommand = {command}\n"));
    let run = cis.start(
        r#"version = 1
[dag]
id = "t"
[[tasks]]
id = "gate"
approval = { prompt = "Go?" }
command = ["true"]
[[tasks]]
id = "talk"
tty = false
script = '''
"$E2E_CIS" task notify "not of interest"
"$E2E_CIS" task notify "the disk is full" --urgency high
"$E2E_CIS" task ask "Which?" --option a
'''
[[tasks]]
id = "prompt"
script = "printf 'Proceed? [y/n] '; read -r x"
[tasks.on_blocked]
action = "run"
run = ["sh", "-c", "echo own $CIS_EVENT $CIS_TASK $1 >> \"$E2E_WORK/own\"", "sh", "{{ task.id }}"]
notify = ["@ops"]
escalate_after = "100ms"
"#,
    );
    let told = || cis.read("told");
    let has = |event: &str, rest: &str| {
        let fits = |line: &&str| line.starts_with(event) && line.contains(rest);
        eventually(&format!("{event} {rest}"), || told().lines().find(fits).map(str::to_owned))
    };
    let asked = has("asked question", " talk  none {");
    let document: Value = serde_json::from_str(&asked[asked.find('{').unwrap()..]).unwrap();
    assert_eq!((&document["question"], &document["event"]), (&"Which?".into(), &"asked".into()));
    assert_eq!(document["options"][0]["label"], "a");
    has("approval approval", " gate  none {");
    has("blocked ", " prompt  none {");
    has("escalated ", " prompt @ops none {");
    assert!(has("said notice", " talk  none {").contains("the disk is full"));
    assert!(!told().contains("not of interest"));
    eventually("the file's own command", || (cis.read("own") == "own blocked prompt prompt\n").then_some(()));
    eventually("a failure is a warning", || {
        cis.status()["warnings"].to_string().contains("notify.command failed").then_some(())
    });
    cis.ok(["dag", "cancel", &run]);
}

#[test]
fn a_command_of_a_node_that_the_host_started_again_may_answer_and_a_session_may_not() {
    let cis = Cis::new();
    let run = cis.start(
        r#"version = 1
[dag]
id = "again"
[[tasks]]
id = "ask"
script = """
while [ ! -e "$E2E_WORK/go" ]; do sleep 0.05; done
printf 'Proceed? [y/n] '; read -r x; echo "$x" > "$E2E_WORK/got"
"""
[tasks.on_blocked]
action = "run"
run = ["sh", "-c", "\"$E2E_CIS\" answer \"$CIS_ITEM\" --text y >> \"$E2E_WORK/said\" 2>&1"]
[[tasks]]
id = "thief"
tty = false
script = """
while [ ! -e "$E2E_WORK/steal" ]; do sleep 0.05; done
env -u CIS_TOKEN -u CIS_SOCKET -u CIS_ATTEMPT setsid "$E2E_CIS" inbox > "$E2E_WORK/stolen" 2>&1 || echo refused > "$E2E_WORK/refused"
"""
"#,
    );
    cis.session_of("ask");
    cis.session_of("thief");
    let (host, first) = (cis.host_pid().unwrap(), cis.node_pid().unwrap());
    kill_9(first);
    // Without a request, which would start one: the host does.
    eventually("the host starts a node", || {
        let children = std::fs::read_to_string(format!("/proc/{host}/task/{host}/children")).ok()?;
        let is_node = |pid: &&str| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == b"node"))
        };
        children.split_whitespace().find(is_node).map(str::to_owned)
    });
    cis.write("go", "");
    eventually("it was answered", || (cis.read("got") == "y\n").then_some(()));
    let said = eventually("its command got on", || Some(cis.read("said")).filter(|said| !said.is_empty()));
    assert!(said.contains("typed y"), "{said}");
    cis.write("steal", "");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("refused"), "refused\n", "{}", cis.read("stolen"));
}

#[test]
fn a_prompt_that_stays_is_answered_again_only_on_purpose() {
    let cis = Cis::new();
    // It takes the line without a sound, and goes on reading.
    let run = cis.start_task(
        "ask",
        r#"
script = """
printf 'Proceed? [y/n] '; stty -icanon -echo
until [ -e "$E2E_WORK/end" ]; do dd bs=1 count=1 2> /dev/null >> "$E2E_WORK/got"; done
"""
"#,
    );
    let asked = item(&cis);
    let id = asked["id"].as_str().unwrap();
    let early = cis.run(["answer", id, "--keys", "y", "--again"]).expect(2).stderr;
    assert!(early.contains("nobody has answered"), "{early}");
    cis.ok(["answer", id, "--keys", "y"]);
    eventually("it was typed", || (cis.read("got") == "y").then_some(()));
    let shown = cis.ok(["inbox"]);
    assert!(shown.contains("and it still waits") && shown.contains("--again"), "{shown}");
    let late = cis.run(["answer", id, "--keys", "n"]).expect(3).stderr;
    assert!(late.contains("was answered by uid:") && late.contains("--again"), "{late}");
    assert_eq!(cis.read("got"), "y");
    // Of several at once, who all know of the same answer, one counts.
    let again: Vec<_> = (0..6).map(|_| cis.spawn(["answer", id, "--keys", "n", "--again"])).collect();
    let codes: Vec<_> = again.into_iter().map(|one| one.wait().code).collect();
    let taken = codes.iter().filter(|code| **code == Some(0)).count();
    assert!(taken >= 1, "{codes:?}");
    eventually("each that counts is typed", || {
        (cis.read("got") == format!("y{}", "n".repeat(taken))).then_some(())
    });
    cis.write("end", "");
    cis.ok(["answer", id, "--keys", "y", "--again"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("got"), format!("y{}y", "n".repeat(taken)));
}

#[test]
fn words_are_not_added_to_a_line_that_a_program_has_filled_in() {
    let cis = Cis::new();
    let run = cis.start_task(
        "ask",
        r#"
shell = "bash"
script = """
read -e -i y -p 'Delete all? [y/N] ' x; echo "$x" > "$E2E_WORK/got"
printf 'Press Enter to delete '; read -r y; echo "$y" > "$E2E_WORK/pressed"
"""
"#,
    );
    let asked = item(&cis);
    let id = asked["id"].as_str().unwrap();
    for with in [["--text", "no"], ["--text", "n"]] {
        let refused = cis.run(["answer", id, with[0], with[1]]).expect(2).stderr;
        assert!(refused.contains("already holds text"), "{refused}");
    }
    let asked = item(&cis);
    cis.ok(["answer", asked["id"].as_str().unwrap(), "--keys", "C-u n Enter"]);
    eventually("it was edited", || (cis.read("got") == "n\n").then_some(()));
    let pressed = eventually("the next one waits", || found(&cis, |item| item["id"] != asked["id"]));
    let id = pressed["id"].as_str().unwrap();
    let refused = cis.run(["answer", id, "--text", "n"]).expect(2).stderr;
    assert!(refused.contains("nothing was typed"), "{refused}");
    cis.ok(["answer", item(&cis)["id"].as_str().unwrap(), "--keys", "Enter"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("pressed"), "\n");
}

/// Two jobs that ask at once. Which of them gets what is typed, nobody knows.
const JOBS: &str = r#"
( read -p $'A: delete the database? [y/N] \n' a </dev/tty; echo "$a" > "$E2E_WORK/deleted" ) &
sleep 0.5
read -p 'B: keep the backup? [Y/n] ' b; echo "$b" > "$E2E_WORK/kept"; wait
"#;

/// Of the jobs, which this command runs, no one gets an answer.
fn neither_job_is_answered(command: &str) {
    let cis = Cis::new();
    cis.write("jobs.sh", JOBS);
    let run = cis.start_task("ask", &format!("command = {command}"));
    let asked = eventually("the second one waits", || {
        found(&cis, |item| item["question"].as_str().unwrap_or_default().contains("backup"))
    });
    let refused = cis.run(["answer", asked["id"].as_str().unwrap(), "yes"]).expect(2).stderr;
    assert!(refused.contains("several processes") && refused.contains("bash"), "{refused}");
    assert!(cis.read("deleted").is_empty() && cis.read("kept").is_empty());
    cis.ok(["dag", "cancel", &run]);
}

#[test]
fn nothing_is_typed_where_several_processes_read_the_terminal() {
    neither_job_is_answered(r#"["bash", "jobs.sh"]"#);
}

#[test]
fn nothing_is_typed_where_several_processes_read_a_terminal_inside() {
    neither_job_is_answered(r#"["script", "-qec", "bash jobs.sh", "/dev/null"]"#);
}

/// It shows what a program in a terminal inside asks, and reads lines for itself.
const SUPERVISOR: &str = r#"
import os, pty, sys
pid, inner = pty.fork()
if pid == 0:
    os.execvp("sh", ["sh", "-c", 'printf "Delete prod? [y/N] "; read x; echo "$x" > "$E2E_WORK/deleted"'])
os.write(1, os.read(inner, 1000))
with open(os.environ["E2E_WORK"] + "/got", "w") as got:
    got.write(sys.stdin.readline())
"#;

#[test]
fn nothing_is_typed_where_a_program_reads_for_itself_what_one_inside_asks() {
    let cis = Cis::new();
    cis.write("supervisor.py", SUPERVISOR);
    let run = cis.start_task("ask", r#"command = ["python3", "supervisor.py"]"#);
    let asked = item(&cis);
    let refused = cis.run(["answer", asked["id"].as_str().unwrap(), "yes"]).expect(2).stderr;
    assert!(refused.contains("several processes") && refused.contains("python3"), "{refused}");
    assert!(cis.read("got").is_empty() && cis.read("deleted").is_empty());
    cis.ok(["dag", "cancel", &run]);
}

/// A program that shows two terminals on its screen, as tmux does: one asks, and what is typed goes to the other one.
const PANES: &str = r#"
import os, pty, select, sys, tty
inner = []
for text, name in [("Delete prod? [y/N] ", "deleted"), ("$ ", "active")]:
    pid, at = pty.fork()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", 'printf "%s" "$1"; read x; echo "$x" > "$E2E_WORK/$2"', "sh", text, name])
    inner.append(at)
tty.setraw(0)
active = {"below": b"\x1b[12;1H" + b"-" * 40 + b"\x1b[13;1Hbuilding 12 of 30", "beside": b"\x1b[3;41H| $ "}[sys.argv[1]]
os.write(1, b"\x1b[?1049h\x1b[2J\x1b[3;1HDelete prod? [y/N] " + active)
while True:
    ready = select.select([0, *inner], [], [])[0]
    if 0 in ready:
        os.write(inner[1], os.read(0, 100))
    for at in set(inner) & set(ready):
        os.read(at, 1000)
"#;

#[test]
fn a_question_in_a_pane_that_is_not_active_gets_no_answer() {
    for place in ["below", "beside"] {
        let cis = Cis::new();
        cis.write("panes.py", PANES);
        let run = cis.start_task("ask", &format!(r#"command = ["python3", "panes.py", "{place}"]"#));
        let asked = item(&cis);
        assert!(asked["question"].as_str().unwrap().starts_with("Delete prod? [y/N]"), "{place}: {asked}");
        let id = asked["id"].as_str().unwrap();
        for with in [&["--text", "y"][..], &["--text", "yes"], &["--keys", "y Enter"]] {
            let refused = cis.run(["answer", id].iter().chain(with)).expect(2).stderr;
            assert!(refused.contains("several terminals"), "{place}: {refused}");
        }
        assert!(cis.read("active").is_empty() && cis.read("deleted").is_empty());
        cis.ok(["dag", "cancel", &run]);
    }
}

/// It writes what looks like a question, goes on by itself, and then asks.
const WORKS: &str = r#"
printf 'Delete all? [y/N] '
while [ ! -e "$E2E_WORK/goes-on" ]; do sleep 0.1; done
printf '\nFormat the disk? [y/N] '
read x
echo "$x" > "$E2E_WORK/$CIS_TASK_ID"
"#;

#[test]
fn a_program_at_work_in_a_terminal_inside_is_not_listed_and_one_that_asks_there_is() {
    let cis = Cis::new();
    cis.write("works.sh", WORKS);
    cis.write("carrier.py", r#"import pty; pty.spawn(["sh", "works.sh"])"#);
    cis.write("twice.py", r#"import pty; pty.spawn(["python3", "carrier.py"])"#);
    let run = cis.start(
        r#"version = 1
[dag]
id = "carriers"
max_parallel = 4
[[tasks]]
id = "script"
command = ["script", "-qc", "sh works.sh", "/dev/null"]
[[tasks]]
id = "python"
command = ["python3", "carrier.py"]
[[tasks]]
id = "twice"
command = ["python3", "twice.py"]
[[tasks]]
id = "later"
script = "sleep 6; printf 'Go on? '; read x"
"#,
    );
    // It asks when both others have shown their texts for longer than it takes to believe a prompt.
    let first = item(&cis);
    assert_eq!(first["task"], "later", "{first}");
    cis.ok(["answer", first["id"].as_str().unwrap(), "--text", "yes"]);
    cis.write("goes-on", "");
    for task in ["script", "python", "twice"] {
        let asked = eventually("it asks", || found(&cis, |item| item["task"] == task));
        assert!(asked["question"].as_str().unwrap().contains("Format the disk?"), "{asked}");
        cis.ok(["answer", asked["id"].as_str().unwrap(), "--text", "n"]);
        eventually("it got the answer", || (cis.read(task) == "n\n").then_some(()));
    }
    cis.wait_run(&run, "succeeded");
}

/// Another terminal inside is read, which nobody sees.
#[test]
fn a_program_at_work_beside_a_hidden_terminal_gets_no_answer() {
    let cis = Cis::new();
    cis.write("works.sh", WORKS);
    let beside = "import os, pty\nif pty.fork()[0] == 0:\n    os.execvp('sh', ['sh'])\npty.spawn(['sh', 'works.sh'])\n";
    cis.write("beside.py", beside);
    let run = cis.start_task("ask", r#"command = ["python3", "beside.py"]"#);
    let asked = item(&cis);
    let refused = cis.run(["answer", asked["id"].as_str().unwrap(), "--text", "y"]).expect(2).stderr;
    assert!(refused.contains("several terminals"), "{refused}");
    cis.ok(["dag", "cancel", &run]);
    assert!(cis.read("ask").is_empty());
}

/// It gives up its question without a word when it is told so, and asks another one later.
const GIVES_UP: &str = r#"
import os, signal, sys, time
if "polls" in sys.argv:
    import readline
work = os.environ["E2E_WORK"]
class GaveUp(Exception):
    pass
def give_up(*_):
    raise GaveUp
signal.signal(signal.SIGUSR1, give_up)
with open(work + "/pid", "w") as pid:
    pid.write(str(os.getpid()))
try:
    kept = input("Keep A? [y/n] ")
except GaveUp:
    kept = "nothing"
with open(work + "/kept", "w") as file:
    file.write(kept)
while not os.path.exists(work + "/goes-on"):
    time.sleep(0.1)
print()
with open(work + "/erased", "w") as file:
    file.write(input("Erase or keep B? [e/k] "))
"#;

/// A run of it that has given up, and the item of its question.
fn given_up(cis: &Cis, command: &str, policy: &str) -> (String, Value) {
    cis.write("gives-up.py", GIVES_UP);
    let run = cis.start_task("ask", &format!("command = {command}\n{policy}"));
    let asked = item(cis);
    assert_eq!(asked["question"], "Keep A? [y/n]");
    signal(cis.read("pid").parse().unwrap(), Signal::USR1);
    eventually("it gives up", || (cis.read("kept") == "nothing").then_some(()));
    (run, asked)
}

const DIRECTLY: &str = r#"["python3", "gives-up.py"]"#;
const INSIDE: &str = r#"["script", "-qec", "python3 gives-up.py", "/dev/null"]"#;
/// The program and the `script` inside poll, so that they look alike.
const TWICE: &str = r#"["script", "-qec", "script -qec 'python3 gives-up.py polls' /dev/null", "/dev/null"]"#;

#[test]
fn an_answer_is_not_typed_once_the_program_has_given_up_its_question() {
    for command in [DIRECTLY, INSIDE, TWICE] {
        let cis = Cis::new();
        let (run, asked) = given_up(&cis, command, "");
        let refused = cis.run(["answer", asked["id"].as_str().unwrap(), "y"]).expect(3).stderr;
        assert!(refused.contains("nothing was typed"), "{command}: {refused}");
        cis.write("goes-on", "");
        let asked =
            eventually("it asks again", || found(&cis, |item| item["question"] == "Erase or keep B? [e/k]"));
        cis.ok(["answer", asked["id"].as_str().unwrap(), "k"]);
        cis.wait_run(&run, "succeeded");
        assert_eq!(cis.read("erased"), "k", "{command}");
    }
}

/// Its deadline passes after that. The next question does not offer the default, so that nothing is typed there.
#[test]
fn a_default_is_not_typed_once_the_program_has_given_up_its_question() {
    let cis = Cis::new();
    let (run, asked) = given_up(&cis, DIRECTLY, "on_blocked = { deadline = \"1500ms\", default = \"y\" }");
    eventually("its question is over", || {
        let items = cis.json(&["inbox"])["items"].as_array().unwrap().clone();
        items.iter().all(|item| item["id"] != asked["id"]).then_some(())
    });
    cis.write("goes-on", "");
    cis.wait_run(&run, "failed");
    assert_eq!(cis.read("erased"), "");
}

/// Begins a program that passes on what is typed: the one at the other end asks, and is not seen.
const FAR_END: &str = r#"
import os, select, socket, subprocess, threading
ours, theirs = socket.socketpair()
far = subprocess.Popen(["sh", "-c", 'printf "Go on? [y/N] "; read x; echo "$x" > "$E2E_WORK/got"'], stdin=theirs, stdout=theirs, start_new_session=True)
theirs.close()
"#;

/// It passes on what is typed, and what comes back, as `telnet` and `lxc exec` do.
const RELAY: &str = r#"
while True:
    ready, _, _ = select.select([0, ours], [], [])
    for one in ready:
        data = os.read(0, 1000) if one == 0 else ours.recv(1000)
        if not data:
            raise SystemExit
        os.write(1, data) if one == ours else ours.sendall(data)
"#;

/// It passes on lines that one thread reads, and another one waits for what comes back, as `docker exec -i` does.
const THREADS: &str = r#"
def lines():
    while data := os.read(0, 1000):
        ours.sendall(data)
threading.Thread(target=lines, daemon=True).start()
while data := ours.recv(1000):
    os.write(1, data)
"#;

/// The same by two processes.
const PROCESSES: &str = r#"
back = subprocess.Popen(["cat"], stdin=ours)
there = subprocess.Popen(["cat"], stdout=ours)
far.wait()
back.wait()
there.kill()
"#;

/// What such a program passes on is for one that nobody sees.
#[test]
fn a_default_is_not_typed_where_the_program_that_asks_is_out_of_sight() {
    for relay in [RELAY, THREADS, PROCESSES] {
        out_of_sight(relay);
    }
}

fn out_of_sight(relay: &str) {
    let cis = Cis::new();
    cis.write("relay.py", format!("{FAR_END}{relay}"));
    let far =
        |policy: &str| cis.start_task("ask", &format!("command = [\"python3\", \"relay.py\"]\n{policy}"));
    let run = far(r#"on_blocked = { deadline = "1s", default = "y" }"#);
    cis.wait_run(&run, "failed");
    // It may have read the end of its input.
    assert_eq!(cis.read("got").trim(), "", "{relay}");
    let shown = cis.ok(["dag", "show", &run]);
    assert!(shown.contains("forwards what is typed"), "{shown}");
    let run = far("");
    cis.ok(["answer", item(&cis)["id"].as_str().unwrap(), "y"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("got"), "y\n");
}

#[test]
fn a_default_chooses_the_row_that_shows_its_number() {
    let cis = Cis::new();
    let run = cis.start(
        r#"version = 1
[dag]
id = "numbers"
[dag.defaults]
on_blocked = { deadline = "1s", default = "2" }
[[tasks]]
id = "shown"
shell = "bash"
script = 'select x in red green blue; do echo "$x" > "$E2E_WORK/shown"; break; done'
[[tasks]]
id = "not"
script = "printf 'b) red\nc) green\nWhich? '; read x; echo \"$x\" > \"$E2E_WORK/not\""
"#,
    );
    cis.wait_run(&run, "failed");
    assert_eq!(cis.read("shown"), "green\n");
    assert_eq!(cis.read("not"), "", "no row shows it");
}

#[test]
fn an_item_has_other_names_than_its_letters_and_says_until_when() {
    let cis = Cis::new();
    let run = cis.start(
        r#"version = 1
[dag]
id = "names"
[[tasks]]
id = "gate"
approval = { prompt = "Go?" }
command = ["true"]
[[tasks]]
id = "one"
script = "printf 'Proceed? [y/n] '; read -r x; echo $x > \"$E2E_WORK/one\""
[tasks.on_blocked]
deadline = "1h"
[[tasks]]
id = "two"
script = "printf 'Proceed? [y/n] '; read -r x; echo $x > \"$E2E_WORK/two\""
"#,
    );
    eventually("all three wait", || {
        (cis.json(&["inbox"])["items"].as_array().unwrap().len() == 3).then_some(())
    });
    let items = cis.json(&["inbox"])["items"].as_array().unwrap().clone();
    let of = |task: &str| items.iter().find(|item| item["task"] == task).unwrap().clone();
    let until = of("one")["until_ms"].as_i64().unwrap() - of("one")["since_ms"].as_i64().unwrap();
    assert_eq!(until, 3_600_000);
    assert!(of("two").get("until_ms").is_none());
    assert!(cis.ok(["inbox"]).contains("decided by itself in"));
    cis.ok(["answer", &format!("{}:one", &run[20..]), "--text", "y"]);
    let session = of("two")["session"].as_str().unwrap().to_owned();
    let whole = format!("{}@{session}", of("two")["id"].as_str().unwrap());
    assert_eq!(cis.json(&["inbox", "show", &whole])["task"], "two");
    cis.ok(["answer", &session[20..], "--text", "n"]);
    cis.ok(["answer", "names:gate", "approve"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!((cis.read("one"), cis.read("two")), ("y\n".into(), "n\n".into()));
    for (name, code) in [("names:none", 2), ("nobody:one", 2), ("two", 2), (&format!("abcdef@{session}"), 2)]
    {
        cis.run(["answer", name, "--text", "y"]).expect(code);
    }
}

#[test]
fn unblock_decides_about_a_task_that_is_held_for_approval() {
    let cis = Cis::new();
    let gate = |id: &str| {
        format!(
            "version = 1\n[dag]\nid = \"{id}\"\n[[tasks]]\nid = \"deploy\"\napproval = {{ prompt = \"Go?\" }}\ncommand = [\"true\"]\n"
        )
    };
    let run = cis.start(&gate("one"));
    item(&cis);
    let said = cis.run(["dag", "unblock", "deploy", "perhaps"]).expect(2).stderr;
    assert!(said.contains("`approve`") && said.contains("`reject`"), "{said}");
    let none = cis.run(["dag", "unblock", "nobody", "approve"]).expect(2).stderr;
    assert!(none.contains("nobody"), "{none}");
    let other = cis.start(&gate("two"));
    eventually("both wait", || (cis.json(&["inbox"])["items"].as_array().unwrap().len() == 2).then_some(()));
    let several = cis.run(["dag", "unblock", "deploy", "approve"]).expect(2).stderr;
    assert!(several.contains("several runs") && several.contains("/deploy"), "{several}");
    cis.ok(["dag", "unblock", &format!("{other}/deploy"), "reject"]);
    cis.wait_run(&other, "failed");
    assert!(cis.ok(["dag", "unblock", "deploy", "approve"]).contains("approve"));
    cis.wait_run(&run, "succeeded");
    // Held again, with a session of an earlier try behind it.
    cis.ok(["dag", "retry", &run]);
    item(&cis);
    cis.ok(["dag", "unblock", &format!("{run}/deploy"), "approve"]);
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_numbered_menu_is_a_question_with_options() {
    let cis = Cis::new();
    let menu = "Do you want to make this edit?\n❯ 1. Yes\n  2. Yes, allow all edits\n  3. No, and say what to do instead (esc)\n";
    cis.write("menu", menu);
    let run = cis.start(
        "version = 1\n[dag]\nid = \"menu\"\n[[tasks]]\nid = \"edit\"\nscript = 'cat \"$E2E_WORK/menu\"; read -r x; echo \"got $x\" > \"$E2E_WORK/said\"'\n",
    );
    let asked = item(&cis);
    assert_eq!(asked["question"], "Do you want to make this edit?", "{asked}");
    let labels: Vec<&str> =
        asked["options"].as_array().unwrap().iter().map(|option| option["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["Yes", "Yes, allow all edits", "No, and say what to do instead"]);
    cis.ok(["answer", asked["id"].as_str().unwrap(), "2"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said").trim(), "got 2");
}

#[test]
fn a_standalone_shell_at_its_prompt_is_not_an_inbox_item() {
    let cis = Cis::new();
    let session = cis.ok(["session", "create", "--", "bash", "--norc", "-i"]).trim().to_owned();
    eventually("the monitor sees a shell at its prompt", || {
        (cis.json(&["dag", "explain", &session])["verdict"]["at_shell"] == true).then_some(())
    });
    assert_eq!(cis.ok(["inbox"]), "Nothing waits for you.\n");
    cis.ok(["session", "exec", &session, "read -r -p 'Go on? [y/N] ' x", "--wait-for", "Go on"]);
    let asked = item(&cis);
    assert!(asked["question"].as_str().unwrap().contains("Go on?"), "{asked}");
    cis.ok(["answer", asked["id"].as_str().unwrap(), "--text", "y"]);
    eventually("nothing waits", || (cis.ok(["inbox"]) == "Nothing waits for you.\n").then_some(()));
    cis.ok(["session", "terminate", &session]);
}
