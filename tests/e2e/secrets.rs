//! Secrets: they reach the task, and nothing else shows them.

use std::path::Path;

use super::asking::found;
use super::harness::{Cis, eventually, kill_9, ulid_in};

const SECRET: &str = "hunter2-correct-horse";

const DAG: &str = r#"
version = 1
[dag]
id = "secrets"
[[tasks]]
id = "show"
secrets = { TOKEN = { env = "MY_TOKEN" }, KEY = { file = "key" } }
script = '''
test "$TOKEN" = hunter2-correct-horse && test "$KEY" = key-of-a-file && touch "$E2E_WORK/reached"
echo "the token is $TOKEN"
echo "leak=$TOKEN!" >> "$CIS_OUTPUT"
'''
outputs = { leak = { type = "string" } }
[[tasks]]
id = "later"
needs = ["show"]
tty = false
script = 'printf "%s" {{ tasks.show.outputs.leak }} > "$E2E_WORK/later"'
"#;

#[test]
fn a_secret_reaches_the_task_and_nothing_else_shows_it() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    cis.write("key", "key-of-a-file\n");
    let out = cis.dag(DAG, &["--json"]).expect(0);
    assert!(cis.work().join("reached").exists());
    assert_eq!(cis.read("later"), format!("{SECRET}!"), "a later task gets the real value");
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    let said = [
        out.stdout,
        out.stderr,
        cis.ok(["dag", "logs", "show"]),
        cis.ok(["dag", "logs", "--plain", "show"]),
        cis.show(&run).to_string(),
        cis.json(&["dag", "sessions"]).to_string(),
        cis.ok(["dag", "why", "show"]),
    ];
    for text in said {
        assert!(!text.contains(SECRET), "{text}");
    }
    let log = cis.ok(["dag", "logs", "--plain", "show"]);
    assert!(log.contains("the token is "), "{log}");
    cis.stop();
    let shown = files_with(&cis.home(), SECRET);
    assert!(shown.iter().all(|(_, mode)| mode & 0o077 == 0), "others may read the secret: {shown:?}");
    let database = |name: &str| name.contains(".db") || name.contains(".sqlite");
    assert!(shown.iter().all(|(name, _)| !database(name)), "the database has the secret: {shown:?}");
}

#[test]
fn a_secret_is_hidden_as_shells_quote_it() {
    let cis = Cis::new().env("MY_TOKEN", "Tr0ub4dor's \"$3x&yz\" \\ é");
    let task = "version = 1\n[dag]\nid = \"quoted\"\n[[tasks]]\nid = \"a\"\nsecrets = { TOKEN = { env = \"MY_TOKEN\" } }\n\
        script = '''\nset -x; : \"$TOKEN\"; set +x; export -p; set\n\
        bash -c 'set -x; : \"$TOKEN\"; set +x; declare -p TOKEN; set; printf \"%q\\n\" \"$TOKEN\"; LC_ALL=C printf \"%q\\n\" \"$TOKEN\"'\n'''";
    cis.dag(task, &[]).expect(0);
    for log in [cis.ok(["dag", "logs", "a"]), cis.ok(["dag", "logs", "--plain", "a"])] {
        assert!(log.contains("declare -x TOKEN=") && log.contains("export TOKEN="), "{log}");
        assert!(!log.contains("ub4dor"), "{log}");
    }
}

#[test]
fn a_log_without_the_secrets_of_its_run_is_withheld() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let dag = |id: &str, secrets: &str| {
        format!(
            "version = 1\n[dag]\nid = \"{id}\"\n[[tasks]]\nid = \"a\"\n{secrets}\nscript = 'echo \"it is $MY_TOKEN\"'"
        )
    };
    cis.dag(&dag("has", "secrets = { TOKEN = { env = \"MY_TOKEN\" } }"), &[]).expect(0);
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    assert!(cis.ok(["dag", "logs", "a"]).contains("it is ***"));
    cis.run(["store", "check", "--deep"]).expect(0);
    let dir = cis.home().join("logs").join(&run);
    for name in ["secrets", "a.1.log.secrets"] {
        std::fs::remove_file(dir.join(name)).unwrap();
        let shown = cis.ok(["dag", "logs", "a"]);
        assert!(shown.contains("withheld") && !shown.contains("it is"), "{shown}");
        let found = cis.run(["store", "check", "--deep"]).expect(3);
        let said =
            format!("the logs of run {run} are withheld: the file with the secrets of the run is missing");
        assert!(found.stdout.contains(&said), "{} {}", found.stdout, found.stderr);
    }
    // A run without secrets has no such file.
    cis.dag(&dag("none", ""), &[]).expect(0);
    assert!(cis.ok(["dag", "logs", "a"]).contains("it is"));
}

#[test]
fn an_output_whose_name_holds_a_secret_fails_its_task() {
    let cis = Cis::new().env("MY_TOKEN", "Zq9secretW77");
    let task = "version = 1\n[dag]\nid = \"named\"\n[[tasks]]\nid = \"a\"\nsecrets = { TOKEN = { env = \"MY_TOKEN\" } }\n\
        script = 'echo \"$TOKEN=1\" >> \"$CIS_OUTPUT\"'";
    cis.dag(task, &[]).expect(1);
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    let shown = cis.show(&run).to_string();
    assert!(shown.contains("the name of output `***` holds a secret"), "{shown}");
    assert!(!shown.contains("Zq9secretW77"), "{shown}");
    cis.stop();
    let files = files_with(&cis.home(), "Zq9secretW77");
    assert!(files.iter().all(|(name, _)| !name.contains(".db")), "the database has the secret: {files:?}");
}

#[test]
fn a_secret_output_in_arguments_fails_its_task() {
    let cis = Cis::new().env("MY_TOKEN", "Zq9secretW77");
    let task = |id: &str, program: &str| format!("[[tasks]]\nid = \"{id}\"\nneeds = [\"a\"]\n{program}\n");
    let dag = [
        "version = 1\n[dag]\nid = \"args\"\n[[tasks]]\nid = \"a\"\nsecrets = { TOKEN = { env = \"MY_TOKEN\" } }\n\
         outputs = { tok = { type = \"string\" }, plain = { type = \"string\" } }\n\
         script = 'echo \"tok=key $TOKEN\" >> \"$CIS_OUTPUT\"; echo plain=x >> \"$CIS_OUTPUT\"'\n",
        &task("bare", "command = [\"touch\", \"bare {{ tasks.a.outputs.tok }}\"]"),
        &task("cut", "command = [\"touch\", \"cut {{ tasks.a.outputs.tok | replace('key ', '') }}\"]"),
        &task("upper", "command = [\"touch\", \"{{ tasks.a.outputs.tok | upper }}\"]"),
        &task(
            "slice",
            "command = [\"touch\", \"{{ tasks.a.outputs.tok[:9] }}\", \"{{ tasks.a.outputs.tok[9:] }}\"]",
        ),
        &task("rawup", "script = 'touch {{ tasks.a.outputs.tok | upper | raw }}'"),
        &task("raw", "script = 'touch \"raw {{ tasks.a.outputs.tok | raw }}\"'"),
        &task(
            "env",
            "env = { T = \"{{ tasks.a.outputs.tok }}\" }\ncommand = [\"sh\", \"-c\", \"test \\\"$T\\\" = 'key Zq9''secretW77'\"]",
        ),
        &task("script", "script = 'test {{ tasks.a.outputs.tok }} = \"key $(printf Zq9secret)W77\"'"),
        &task("plain", "command = [\"test\", \"{{ tasks.a.outputs.plain }}\", \"=\", \"x\"]"),
    ];
    cis.dag(&dag.concat(), &[]).expect(1);
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    for (id, state, why) in [
        ("bare", "failed", "`command[1]` uses a value that holds a secret"),
        ("cut", "failed", "`command[1]` uses a value that holds a secret"),
        ("upper", "failed", "`command[1]` uses a value that holds a secret"),
        ("slice", "failed", "`command[1]` uses a value that holds a secret"),
        ("rawup", "failed", "a `raw` value in `script` uses a value that holds a secret"),
        ("raw", "failed", "a `raw` value in `script` uses a value that holds a secret"),
        ("env", "succeeded", ""),
        ("script", "succeeded", ""),
        ("plain", "succeeded", ""),
    ] {
        let task = cis.task(&run, id);
        assert_eq!(task["state"], state, "{task}");
        assert!(task.to_string().contains(why) && !task.to_string().contains("Zq9secretW77"), "{task}");
    }
}

#[test]
fn a_secret_output_in_the_arguments_of_on_blocked_is_refused() {
    let cis = Cis::new().env("MY_TOKEN", "Zq9secretW77");
    let start = |command: &str| {
        cis.start(&format!(
            "version = 1\n[dag]\nid = \"blocked-args\"\n[[tasks]]\nid = \"a\"\n\
             secrets = {{ TOKEN = {{ env = \"MY_TOKEN\" }} }}\noutputs = {{ tok = {{ type = \"string\" }} }}\n\
             script = 'echo \"tok=$TOKEN\" >> \"$CIS_OUTPUT\"'\n\
             [[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = \"printf 'Proceed? [y/n] '; read -r x\"\n\
             on_blocked = {{ action = \"run\", run = {command} }}\n"
        ))
    };
    for (command, place) in [
        (r#"["touch", "{{ tasks.a.outputs.tok }}.list"]"#, "`on_blocked.run[1]`"),
        (r#"["touch", "{{ tasks.a.outputs.tok[:9] }}.slice"]"#, "`on_blocked.run[1]`"),
        (r#""touch {{ tasks.a.outputs.tok | raw }}.raw""#, "a `raw` value in `on_blocked.run`"),
    ] {
        let run = start(command);
        eventually("it is not run, and that is said", || {
            let warnings = cis.status()["warnings"].to_string();
            assert!(!warnings.contains("Zq9secret"), "{warnings}");
            let said =
                format!("on_blocked of {run}:b#1 is not run: {place} uses a value that holds a secret");
            warnings.contains(&said).then_some(())
        });
    }
    start(r#""printf %s {{ tasks.a.outputs.tok }} > text.got""#);
    eventually("a script gets it", || (cis.read("text.got") == "Zq9secretW77").then_some(()));
    let names = std::fs::read_dir(cis.work()).unwrap().map(|entry| entry.unwrap().file_name());
    let touched: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("Zq9")).collect();
    assert!(touched.is_empty(), "{touched:?}");
}

#[test]
fn invisible_characters_hide_no_secret_in_what_a_session_says() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let text = r#"
version = 1
[dag]
id = "said"
[[tasks]]
id = "says"
tty = false
secrets = { TOKEN = { env = "MY_TOKEN" } }
script = '''
set -e
cis() { "$E2E_CIS" "$@"; }
apart="${TOKEN%-correct-horse}$(printf '\342\200\213')-correct-horse"
cis task notify "notify $apart"
cis task progress "progress $apart"
cis task respond "respond $apart"
cis task ask "ask $apart" --option "option $apart"
cis task complete --text "complete $apart"
'''
"#;
    let run = cis.start(text);
    let item = super::asking::item(&cis);
    let mut said = vec![item.to_string(), cis.ok(["inbox"])];
    cis.ok(["answer", item["id"].as_str().unwrap(), "1"]);
    cis.wait_run(&run, "succeeded");
    said.push(cis.show(&run).to_string());
    for command in ["show", "history", "events"] {
        said.push(cis.ok(["dag", command, &run]));
    }
    let said = said.concat();
    assert!(!said.contains("-correct-horse"), "{said}");
    for hidden in ["notify ***", "progress ***", "respond ***", "ask ***", "option ***", "complete ***"] {
        assert!(said.contains(hidden), "{hidden}: {said}");
    }
}

/// No task starts before the decision. `show` gets the secret.
const DECIDED: &str = r#"
version = 1
[dag]
id = "decided"
[[tasks]]
id = "good"
approval = { prompt = "Go?" }
tty = false
command = ["true"]
[[tasks]]
id = "bad"
approval = { prompt = "Go?" }
command = ["true"]
[[tasks]]
id = "worse"
approval = { prompt = "Go?" }
command = ["true"]
[[tasks]]
id = "show"
needs = ["good"]
secrets = { TOKEN = { env = "MY_TOKEN" } }
command = ["true"]
"#;

#[test]
fn the_reason_of_a_decision_shows_no_secret_of_its_run() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let run = cis.start(DECIDED);
    let all = ["good", "bad", "worse"];
    eventually("the questions", || {
        let asked = cis.show(&run)["run"]["approvals"].clone();
        (asked.as_array().map(Vec::len) == Some(all.len())).then_some(())
    });
    cis.ok(["dag", "reject", "bad", "--reason", &format!("never with {SECRET}")]);
    cis.ok(["dag", "approve", "good", "--comment", &format!("use {SECRET}")]);
    cis.wait_task(&run, "show", "succeeded");
    // From now on the values are known from the file next to the logs.
    kill_9(cis.node_pid().unwrap());
    cis.ok(["answer", &format!("{run}:worse"), "reject", "--reason", &format!("no {SECRET}")]);
    cis.wait_run(&run, "failed");
    let mut said = vec![cis.show(&run).to_string(), cis.ok(["dag", "events", &run])];
    for command in ["show", "history"] {
        said.push(cis.ok(["dag", command, &run]));
    }
    said.extend(all.map(|task| cis.ok(["dag", "why", "--run", &run, task])));
    for text in &said {
        assert!(!text.contains(SECRET), "{text}");
    }
    for hidden in ["never with ***", "use ***", "no ***"] {
        assert!(said.iter().any(|text| text.contains(hidden)), "{hidden}: {said:?}");
    }
    cis.stop();
    let shown = files_with(&cis.home(), SECRET);
    assert!(shown.iter().all(|(name, _)| !name.contains(".db")), "the database has the secret: {shown:?}");
}

#[test]
fn a_template_that_fails_on_a_secret_does_not_quote_it() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let mut text = String::from(
        "version = 1\n[dag]\nid = \"quoted\"\n[[tasks]]\nid = \"make\"\nsecrets = { TOKEN = { env = \"MY_TOKEN\" } }\n\
         outputs = { leak = { type = \"string\" } }\nscript = 'echo \"leak=$TOKEN\" >> \"$CIS_OUTPUT\"'\n",
    );
    let wrong = ["L | int", "L + 1", "1 / L", "L | round", "{'a': 1}[L].b", "L | float", "L | sum", "[1][L]"];
    for (index, expression) in wrong.iter().enumerate() {
        let expression = expression.replace('L', "tasks.make.outputs.leak");
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{index}\"\nneeds = [\"make\"]\ncommand = [\"echo\", \"{{{{ {expression} }}}}\"]\n"
        ));
    }
    let out = cis.dag(&text, &["--json"]).expect(1);
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    let shown = cis.show(&run);
    assert!(shown["tasks"].as_array().unwrap().iter().any(|task| task["state"] == "failed"), "{shown}");
    for text in [out.stdout, out.stderr, shown.to_string()] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_secret_without_a_value_fails_the_task_by_its_name() {
    let cis = Cis::new();
    cis.write("key", "xxxx");
    let out = cis.dag(DAG, &[]).expect(1);
    assert!(format!("{}{}", out.stdout, out.stderr).contains("MY_TOKEN"), "{out:?}");
    cis.write("key", "xyz");
    let out = cis.dag(DAG, &[]).expect(1);
    let key = cis.work().join("key").display().to_string();
    assert!(out.stderr.contains("the secret `KEY` has 3 bytes") && out.stderr.contains(&key), "{out:?}");
    assert!(!cis.work().join("reached").exists());
}

/// Files below `folder` that hold `text`, with their modes.
fn files_with(folder: &Path, text: &str) -> Vec<(String, u32)> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map_while(Result::ok) {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&path, text));
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                let mode = entry.metadata().unwrap().permissions().mode();
                found.push((path.display().to_string(), mode));
            }
        }
    }
    found
}

#[test]
fn a_secret_file_that_is_none_fails_its_task_alone() {
    let cis = Cis::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        cis.work().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    cis.write("long", vec![b'x'; (64 << 10) + 1]);
    for (file, wanted) in [("pipe", "not a regular file"), ("long", "64 KiB")] {
        let text = format!(
            "version = 1\n[dag]\nid = \"s\"\n[[tasks]]\nid = \"a\"\nsecrets = {{ T = {{ file = \"{file}\" }} }}\ncommand = [\"true\"]\n"
        );
        let run = cis.spawn_dag(&text, &[]);
        let out = run.wait_within(std::time::Duration::from_secs(20)).expect(1);
        assert!(out.stderr.contains(wanted), "{out:?}");
    }
    assert_eq!(cis.status()["running"], true);
}

#[test]
fn plain_text_shows_no_secret_that_escapes_took_apart() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let text = r#"
version = 1
[dag]
id = "parts"
[[tasks]]
id = "show"
secrets = { TOKEN = { env = "MY_TOKEN" } }
script = '''
printf 'it is \033[1m%s\033[0m%s!\n' "${TOKEN%-correct-horse}" -correct-horse
while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done
exit 1
'''
"#;
    let run = cis.spawn_dag(text, &[]);
    cis.session_of("show");
    let follower = cis.spawn(["dag", "logs", "-f", "--plain", "show"]);
    follower.wait_for("it is ");
    cis.write("open", "");
    let followed = follower.wait().expect(0).stdout;
    let said = run.wait().expect(1).stderr;
    let stored = cis.ok(["dag", "logs", "--plain", "show"]);
    assert_eq!(stored, "it is ***!\n");
    assert_eq!(followed, stored);
    assert!(said.contains("it is ***!"), "the tail is shown: {said}");
    for text in [said, followed, stored] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

/// `show` gets a secret, the other tasks do not. `other` waits at a prompt for which a command is run.
const OTHERS: &str = r#"
version = 1
[dag]
id = "others"
[[tasks]]
id = "show"
secrets = { TOKEN = { env = "MY_TOKEN" } }
script = '''
test "$MY_TOKEN" = "$TOKEN" && touch "$E2E_WORK/its-own"
printf '%s' "$TOKEN" > "$E2E_WORK/leak"
'''
[[tasks]]
id = "other"
needs = ["show"]
outputs = { leak = { type = "string" } }
script = '''
echo "[${MY_TOKEN-unset}]" > "$E2E_WORK/other"
cat "$E2E_WORK/encoded"
echo "leak=$(cat "$E2E_WORK/leak")" >> "$CIS_OUTPUT"
printf 'Is it %s? [y/n] ' "$(cat "$E2E_WORK/leak")"; read -r x
exit 7
'''
on_blocked = { action = "run", run = ["sh", "-c", "env > \"$E2E_WORK/command.new\"; mv \"$E2E_WORK/command.new\" \"$E2E_WORK/command\""] }
[[tasks]]
id = "last"
needs = ["other"]
trigger = "all_done"
tty = false
script = 'cat "$E2E_WORK/encoded" >&2'
"#;

/// Returns the forms in which programs print a secret, one per line.
fn encoded(secret: &str) -> String {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let python = r#"
import base64, json, sys, urllib.parse
s = sys.argv[1]
for before in ("", "x", "xy"):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode((before + s).encode()).decode()
        text = text[(0, 2, 3)[len(before)]:]
        print(text); print(text.rstrip("="))
for text in (urllib.parse.quote(s), urllib.parse.quote_plus(s), urllib.parse.quote(s, safe="")):
    print(text); print(urllib.parse.quote(text, safe="%+/").replace("%2F", "%2f").replace("%C3%A9", "%c3%a9").replace("%3F", "%3f").replace("%3E", "%3e"))
print(json.dumps(s)[1:-1]); print(json.dumps(s, ensure_ascii=False)[1:-1]); print(json.dumps(s)[1:-1].replace("/", "\\/"))
"#;
    let out = std::process::Command::new("python3").args(["-c", python, secret]).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    format!("{secret}\n{hex}\n{}\n{}", hex.to_uppercase(), String::from_utf8(out.stdout).unwrap())
}

#[test]
fn a_secret_reaches_the_tasks_that_declare_it_and_is_hidden_in_all_of_the_run() {
    const SECRET: &str = "hunter2/é correct?>horse";
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let encoded = encoded(SECRET);
    cis.write("encoded", &encoded);
    let run = cis.start(OTHERS);
    eventually("the command of its prompt is run", || (!cis.read("command").is_empty()).then_some(()));
    assert!(cis.work().join("its-own").exists(), "the variable of its own secret is its own");
    assert_eq!(cis.read("other"), "[unset]\n");
    let env = cis.read("command");
    assert!(!env.contains("MY_TOKEN") && !env.contains(SECRET), "{env}");
    let terminal = cis.terminal(&["dag", "attach", "other", "--read-only"]);
    terminal.wait_for("Is it");
    let attached = terminal.screen();
    drop(terminal);
    let inbox = cis.json(&["inbox"]).to_string();
    let explained = cis.json(&["dag", "explain", "other"]).to_string();
    // The next node must know the secret as well.
    kill_9(cis.node_pid().unwrap());
    eventually("it is answered", || {
        (cis.run(["answer", &format!("{run}:other"), "--text", "y"]).code == Some(0)).then_some(())
    });
    cis.wait_run(&run, "failed");
    let logs = ["other", "last"].map(|task| cis.ok(["dag", "logs", "--plain", "--run", &run, task]));
    for log in &logs {
        let lines: Vec<&str> = log.lines().take(encoded.lines().count()).collect();
        assert_eq!(lines, vec!["***"; encoded.lines().count()], "of {encoded}");
    }
    let said = [
        attached,
        inbox,
        explained,
        logs.concat(),
        cis.ok(["dag", "logs", "--run", &run, "other"]),
        cis.show(&run).to_string(),
        cis.ok(["dag", "why", "--run", &run, "other"]),
        cis.ok(["api", "get", &format!("/v1/runs/{run}/tasks/last/context")]),
    ];
    for text in said {
        for form in encoded.lines() {
            assert!(!text.contains(form), "{form} stands in {text}");
        }
    }
}

#[test]
fn a_later_secret_is_hidden_in_sessions_that_already_run() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let text = r#"
version = 1
[dag]
id = "later"
max_parallel = 3
[[tasks]]
id = "first"
secrets = { TOKEN = { env = "MY_TOKEN" } }
outputs = { leak = { type = "string" } }
script = 'echo "leak=made-of-$TOKEN" >> "$CIS_OUTPUT"'
[[tasks]]
id = "old"
needs = ["first"]
script = 'echo {{ tasks.first.outputs.leak }}; while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done; cat "$E2E_WORK/key"; while [ ! -e "$E2E_WORK/end" ]; do sleep 0.05; done'
[[tasks]]
id = "piped"
needs = ["first"]
tty = false
script = 'echo begun; while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done; cat "$E2E_WORK/key"; while [ ! -e "$E2E_WORK/end" ]; do sleep 0.05; done'
[[tasks]]
id = "make"
needs = ["first"]
script = 'while [ ! -e "$E2E_WORK/go" ]; do sleep 0.05; done; echo made-up-key > "$E2E_WORK/key"'
[[tasks]]
id = "use"
needs = ["make"]
secrets = { KEY = { file = "key" } }
script = 'true'
"#;
    let run = cis.start(text);
    cis.session_of("old");
    cis.session_of("piped");
    let terminal = cis.terminal(&["dag", "attach", "old", "--read-only"]);
    let piped = cis.terminal(&["dag", "attach", "piped", "--read-only"]);
    terminal.wait_for("***");
    piped.wait_for("begun");
    let followers = [
        (["dag", "logs", "-f", "old"].as_slice(), "***"),
        (["dag", "logs", "-f", "--plain", "old"].as_slice(), "***"),
        (["dag", "logs", "-f", "piped"].as_slice(), "begun"),
        (["dag", "logs", "-f", "--plain", "piped"].as_slice(), "begun"),
    ];
    let followers = followers.map(|(command, begun)| {
        let follower = cis.spawn(command);
        follower.wait_for(begun);
        follower
    });
    cis.write("go", "");
    cis.wait_task(&run, "use", "succeeded");
    cis.write("open", "");
    for terminal in [terminal, piped] {
        // The line before the secret, and the secret.
        let is_expected = |line: &&str| line.contains("***") || line.contains("begun");
        let shown = eventually("the terminal shows the line of the secret", || {
            let screen = terminal.screen();
            let whole = screen.lines().filter(is_expected).count() == 2;
            (whole || screen.contains("made-up-key")).then_some(screen)
        });
        assert!(!shown.contains("made-up-key"), "{shown}");
    }
    cis.write("end", "");
    for follower in followers {
        let followed = follower.wait().expect(0).stdout;
        assert!(!followed.contains("made-up-key") && followed.contains("***"), "{followed}");
    }
    cis.wait_run(&run, "succeeded");
    assert!(!cis.ok(["dag", "logs", "--plain", "--run", &run, "old"]).contains("made-up-key"));
}

#[test]
fn secrets_that_are_too_long_together_are_refused_when_the_run_is_submitted() {
    let cis = Cis::new();
    let mut text = "version = 1\n[dag]\nid = \"many\"\n".to_owned();
    for n in 0..20 {
        cis.write(&format!("key{n}"), format!("{n:04}").repeat(15 << 8));
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\nsecrets = {{ K = {{ file = \"key{n}\" }} }}\ncommand = [\"true\"]\n"
        ));
    }
    let refused = cis.dag(&text, &[]).expect(2);
    assert!(refused.stderr.contains("256 KiB"), "{}", refused.stderr);
    let some = text.split("[[tasks]]\nid = \"t15\"").next().unwrap();
    cis.dag(some, &[]).expect(0);
}

/// Two tasks write a secret in parts, one to a terminal and one into a pipe.
const PARTS: &str = r#"
version = 1
[dag]
id = "parts"
[dag.defaults]
secrets = { TOKEN = { env = "MY_TOKEN" } }
[[tasks]]
id = "terminal"
command = ["sh", "write.sh"]
[[tasks]]
id = "pipe"
tty = false
command = ["sh", "write.sh"]
"#;

/// Writes a secret in parts when `open` is there.
const WRITES: &str = r#"
echo ready
while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done
for n in 1 2 3; do printf '%s' "$n: ${TOKEN%-correct-horse}"; sleep 0.3; echo '-correct-horse end'; done
printf '4: '; for part in h u nte r2- correct-horse; do printf '%s' "$part"; sleep 0.1; done; echo ' end'
printf '5: hunter2'; sleep 0.3; echo ' x'; echo "6: $TOKEN end"; sleep 0.1
printf '7: OK h'; sleep 0.3; echo 'eard'; printf '\033[1m8: %s end\033[0m\n' "$TOKEN"
begin=${TOKEN%-correct-horse}
printf '9: %s\033[K%s %s\033[1m%s\033[m %s\033]0;title\007%s %s\000%s end\n' $begin -correct-horse $begin -correct-horse $begin -correct-horse $begin -correct-horse
printf '%s' "10: ${TOKEN%horse}"
"#;

#[test]
fn a_log_that_is_followed_is_the_log_that_is_read_later() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    cis.write("write.sh", WRITES);
    let run = cis.start(PARTS);
    let mut followers = Vec::new();
    for task in ["terminal", "pipe"] {
        let session = cis.session_of(task)["id"].as_str().unwrap().to_owned();
        let by_api = format!("/v1/sessions/{session}/log?follow=true");
        for words in [
            vec!["dag", "logs", "-f", task],
            vec!["dag", "logs", "-f", "--plain", task],
            vec!["api", "get", &by_api],
        ] {
            let follower = cis.spawn(&words);
            follower.wait_for("ready");
            followers.push((task, words.contains(&"--plain"), follower));
        }
    }
    let mut terminals = [["logs", "-f", "terminal"], ["logs", "-f", "pipe"]]
        .map(|words| cis.terminal(&[&["dag"], &words[..]].concat()));
    let attached = cis.terminal(&["dag", "attach", "pipe"]);
    for terminal in terminals.iter().chain([&attached]) {
        terminal.wait_for("ready");
    }
    cis.write("open", "");
    let wanted = "1: *** end\n2: *** end\n3: *** end\n4: *** end\n5: hunter2 x\n6: *** end\n7: OK heard\n8: *** end\n9: *** *** *** *** end\n10: hun***";
    attached.wait_for("9: *** *** *** *** end");
    let screen = attached.screen();
    assert!(screen.contains(wanted.split_once("\n10").unwrap().0), "{screen}");
    for terminal in &mut terminals {
        terminal.wait_exit();
        // The emulator may still have to read the last of it.
        terminal.wait_for(wanted);
    }
    cis.wait_run(&run, "succeeded");
    for (task, plain, follower) in followers {
        let followed = follower.wait().expect(0).stdout;
        let mut words = vec!["dag", "logs", task];
        words.extend(plain.then_some("--plain"));
        assert_eq!(followed, cis.ok(words), "{task}, plain: {plain}");
        if plain {
            assert_eq!(followed, format!("ready\n{wanted}"), "{task}");
        }
    }
}

#[test]
fn an_answer_is_recorded_as_it_was_typed_but_for_secrets() {
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let run = cis.start_task(
        "ask",
        r#"
secrets = { TOKEN = { env = "MY_TOKEN" } }
script = '''
for name in one two three; do
    printf '%s, proceed? [y/n] ' "$name"; IFS= read -r x; printf '%s' "$x" > "$E2E_WORK/$name"
done
'''
"#,
    );
    let plain = r#"  it's "Grüße" \n %s $HOME `x`  "#;
    let secret = format!("the token is {SECRET}!");
    let keys = SECRET.chars().map(|key| format!("{key} ")).collect::<String>() + "Enter";
    let (secret, keys) = (secret.as_str(), keys.as_str());
    let answers = [
        ("one", "--text", plain, plain),
        ("two", "--text", secret, secret),
        ("three", "--keys", keys, SECRET),
    ];
    for (name, how, given, typed) in answers {
        let asked = eventually("the prompt waits", || {
            let question = format!("{name}, proceed?");
            found(&cis, |item| item["question"].as_str().is_some_and(|text| text.contains(&question)))
        });
        cis.ok(["answer", asked["id"].as_str().unwrap(), how, given]);
        eventually("it was read", || (cis.read(name) == typed).then_some(()));
    }
    cis.wait_run(&run, "succeeded");
    let events = cis.run(["dag", "events", &run, "--type", "session.answered", "--json"]).expect(0);
    let events = events.json_lines();
    let recorded: Vec<&str> = events.iter().filter_map(|event| event["body"]["text"].as_str()).collect();
    assert_eq!(recorded, [plain, "the token is ***!", "***"]);
    let bytes: Vec<_> = events.iter().map(|event| event["body"]["bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes, [plain, secret, SECRET].map(|text| text.len() as u64 + 1), "with Enter");
    cis.stop();
    let shown = files_with(&cis.home(), SECRET);
    assert!(shown.iter().all(|(name, _)| !name.contains(".db")), "the database has the secret: {shown:?}");
}
