//! The inbox: approvals, prompts on screens, and the stream of what changes.

use super::asking::item;
use super::harness::{Cis, eventually, kill_9, signal};
use rustix::process::Signal;

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
    assert_eq!((&asked["session"], &asked["run"]), (&serde_json::Value::Null, &run.as_str().into()));
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
    assert_eq!((&asked["episode"], &asked["answered_by"]), (&1.into(), &serde_json::Value::Null));
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
    assert!(nothing.contains("waits for nobody"), "{nothing}");
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
    let run = cis.start(
        "version = 1\n[dag]\nid = \"g\"\n[[tasks]]\nid = \"deploy\"\napproval = { prompt = \"?\" }\ncommand = [\"true\"]\n",
    );
    let line = |number: usize| -> serde_json::Value {
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
    std::fs::create_dir_all(cis.home()).unwrap();
    std::fs::write(cis.home().join("config.toml"), format!("[notify]\ncommand = {command}\n")).unwrap();
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
    let document: serde_json::Value = serde_json::from_str(&asked[asked.find('{').unwrap()..]).unwrap();
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
