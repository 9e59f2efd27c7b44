//! Arguments and messages of commands: parameters from files, quiet runs, homes that are not writable, tasks without
//! a session.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::harness::{Cis, eventually, kill_9, ulid_in};

const ECHO: &str = r#"
version = 1
[dag]
id = "echo"
params = { text = { type = "string" } }
[[tasks]]
id = "say"
tty = false
command = ["printf", "%s", "{{ params.text }}"]
"#;

#[test]
fn a_parameter_is_the_text_of_a_file() {
    let cis = Cis::new();
    cis.write("notes.md", "first\nsecond \u{fc}\n");
    let said = |value: &str| {
        cis.dag(ECHO, &["--param", value]).expect(0);
        cis.ok(["dag", "logs", "say"])
    };
    assert_eq!(said("text=@notes.md"), "first\nsecond \u{fc}\n");
    assert_eq!(said("text=@@notes.md"), "@notes.md");
    assert_eq!(said("text=a@b"), "a@b");
    cis.write("bytes", b"\xff\xfe");
    cis.write("long", vec![b'x'; (1 << 20) + 1]);
    for (value, why) in [
        ("text=@missing", "No such file"),
        ("text=@bytes", "not UTF-8"),
        ("text=@long", "longer than 1 MiB"),
        ("text=@/dev/zero", "longer than 1 MiB"),
        ("text=@", "the file name after @ is missing"),
        ("text=@.", "directory"),
    ] {
        let refused = cis.dag(ECHO, &["--param", value]).expect(2).stderr;
        assert!(
            refused.contains(why) && refused.contains("`text`") && refused.contains("@@"),
            "{value}: {refused}"
        );
    }
    let help = cis.ok(["dag", "run", "--help"]);
    assert!(help.contains("=@CHANGES.md") && help.contains("@@"), "{help}");
}

#[test]
fn a_quiet_run_prints_only_failures() {
    let cis = Cis::new();
    let quiet = cis.dag(ECHO, &["--param", "text=x", "--quiet"]).expect(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let failing =
        ECHO.replace(r#"["printf", "%s", "{{ params.text }}"]"#, r#"["sh", "-c", "echo it broke; exit 3"]"#);
    let failed = cis.dag(&failing, &["--param", "text=x", "-q"]).expect(1);
    assert!(failed.stderr.contains("exit code 3") && failed.stderr.contains("it broke"), "{failed:?}");
    assert!(!failed.stderr.contains("succeeded"), "{failed:?}");
    cis.dag(ECHO, &["--param", "text=x", "--quiet", "--json"]).expect(2);
}

#[test]
fn a_home_that_cannot_be_written_is_named_with_what_to_do() {
    let cis = Cis::as_nobody();
    cis.ok(["init"]);
    let home = cis.home();
    let log = home.join("node.log");
    let mode = |path: &std::path::Path, mode: u32| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let refused = |names: &std::path::Path| {
        let said = cis.run(["dag", "list"]).expect(3).stderr;
        assert!(said.contains(&names.display().to_string()), "{said}");
        assert!(said.contains("--home DIR") && said.contains("CIS_HOME"), "{said}");
    };
    // No log can be made.
    mode(&home, 0o500);
    refused(&log);
    mode(&home, 0o700);
    // The home itself cannot be made.
    let elsewhere = home.parent().unwrap().join("closed");
    fs::create_dir(&elsewhere).unwrap();
    mode(&elsewhere, 0o555);
    let inside = elsewhere.join("home");
    let said = cis.run(["--home", inside.to_str().unwrap(), "dag", "list"]).expect(3).stderr;
    assert!(said.contains(inside.to_str().unwrap()) && said.contains("CIS_HOME"), "{said}");
}

/// Removes spaces and line ends, which depend on the width of a terminal.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn a_task_without_a_session_says_what_to_do_instead() {
    let cis = Cis::new();
    let run = cis.start(
        r#"
version = 1
[dag]
id = "gated"
[[tasks]]
id = "done"
command = ["false"]
allow_failure = true
[[tasks]]
id = "gate"
needs = ["done"]
approval = { prompt = "Go?" }
command = ["true"]
[[tasks]]
id = "later"
needs = ["gate"]
command = ["true"]
"#,
    );
    eventually("the approval", || (cis.show(&run)["run"]["approvals"][0] == "gate").then_some(()));
    let attach = |task: &str| {
        let mut terminal = cis.terminal(&["dag", "attach", task]);
        assert_eq!(terminal.wait_exit(), 3);
        squeezed(&terminal.screen())
    };
    let short = &run[20..];
    let attached = attach("gate");
    assert!(attached.contains(&squeezed("`gate` waits for approval")), "{attached}");
    let hint = squeezed(&format!("cis dag approve {short} gate")).to_lowercase();
    assert!(attached.to_lowercase().contains(&hint), "{attached}");
    let attached = attach("done");
    assert!(attached.contains(&squeezed("`done` has ended (completed, exit code 1")), "{attached}");
    assert!(attached.contains(&squeezed("cis dag logs done")), "{attached}");
    assert!(attach("later").contains(&squeezed("`later` is pending and has no session yet")));
    let unblocked = |task: &str| cis.run(["dag", "unblock", task, "--text", "y"]).expect(3).stderr;
    let ended = unblocked("done");
    assert!(ended.contains("`done` has ended (completed") && ended.contains("cis dag logs done"), "{ended}");
    let pending = unblocked("later");
    assert!(pending.contains("is pending") && pending.contains("cis dag why later"), "{pending}");
    let missing = cis.run(["dag", "unblock", "nobody", "--text", "y"]).expect(2).stderr;
    assert!(missing.contains("no session `nobody`"), "{missing}");
    cis.ok(["dag", "unblock", "gate", "approve"]);
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_skipped_session_is_reported_as_skipped() {
    let cis = Cis::new();
    let file = cis.write("tell.sh", r#"echo "$CIS_EVENT $CIS_TASK" >> "$E2E_WORK/told""#);
    let command = serde_json::json!(["sh", file.to_str().unwrap()]);
    cis.configure(&format!("[notify]\ncommand = {command}\n"));
    let task = |action: &str| {
        format!(
            "[[tasks]]\nid = \"{action}\"\nscript = \"printf 'Proceed? [y/n] '; read -r x\"\non_blocked = \"{action}\"\n"
        )
    };
    let run = cis.start(&format!(
        "version = 1\n[dag]\nid = \"t\"\n{}{}{}",
        task("skip"),
        task("fail"),
        task("ask")
    ));
    eventually("all are told", || (cis.read("told").lines().count() == 3).then_some(()));
    let told = cis.read("told");
    let mut lines: Vec<&str> = told.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["blocked ask", "failed fail", "skipped skip"]);
    cis.ok(["dag", "cancel", &run]);
}

#[test]
fn doctor_names_the_directory_of_the_sockets() {
    let cis = Cis::new();
    let socket = cis.json(&["node", "start", "--detach"])["socket"].as_str().unwrap().to_owned();
    let sockets = std::path::Path::new(&socket).parent().unwrap().display().to_string();
    let check = |more: Option<&str>| {
        let mut command = cis.command(["doctor", "--json"]);
        command.env_remove("XDG_RUNTIME_DIR");
        command.envs(more.map(|dir| ("XDG_RUNTIME_DIR", dir)));
        let out = command.output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let items = report["items"].as_array().unwrap().clone();
        let of = |name: &str| items.iter().find(|item| item["name"] == name).unwrap()["detail"].clone();
        (of("socket"), of("runtime dir").as_str().unwrap().to_owned())
    };
    let other = cis.work().display().to_string();
    for runtime in [None, Some(other.as_str())] {
        let (named, dir) = check(runtime);
        assert_eq!(named, socket.as_str());
        assert!(dir.contains(&sockets) && !dir.contains("home directory"), "{dir}");
    }
}

#[test]
fn a_session_keeps_its_profile_over_a_restart_of_the_node() {
    let cis = Cis::new();
    fs::create_dir_all(cis.work().join("my tools")).unwrap();
    let program = cis.write_program("my tools/agent", "#!/bin/sh\nprintf 'Proceed? [y/n] '\nread -r x\n");
    let command = serde_json::json!([program.to_str().unwrap(), "--now"]);
    cis.configure(&format!("[agents.mine]\nextends = \"claude\"\ncommand = {command}\n"));
    let create = ["session", "create", "--name", "s", "--", program.to_str().unwrap(), "--now"];
    let session = ulid_in(&cis.ok(create));
    let profile = || {
        let explained = cis.run(["dag", "explain", &session, "--json"]);
        (explained.code == Some(0)).then(|| explained.json()["profile"].as_str().unwrap().to_owned())
    };
    let before = eventually("it is explained", profile);
    kill_9(cis.node_pid().unwrap());
    assert_eq!(eventually("it is explained again", profile), before);
    assert_ne!(before, "plain");
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let cis = Cis::new();
    cis.dag(ECHO, &["--param", "text=x"]).expect(0);
    let list = cis.json(&["dag", "list"]);
    let short = &list["items"][0]["id"].as_str().unwrap()[20..].to_lowercase();
    let task = cis.json(&["dag", "show"])["tasks"][0]["id"].as_str().unwrap().to_owned();
    let typo = format!("{task}x");
    let why = cis.run(["dag", "why", &typo]).expect(2).stderr;
    assert!(
        why.contains(&format!("did you mean `{task}`?")) && why.contains(&format!("run {short} (")),
        "{why}"
    );
    let explained = cis.run(["dag", "explain", &task]).expect(3).stderr;
    assert!(explained.contains(&format!("task `{task}` has ended")), "{explained}");
    let events = cis.run(["dag", "events", "--task", &typo]).expect(2).stderr;
    assert!(events.contains(&format!("no task `{typo}`")), "{events}");
    cis.ok(["dag", "events", "--task", &task]);
    cis.stop();
}

#[test]
fn a_home_that_cannot_be_one_is_named_and_its_repair_can_be_copied() {
    let cis = Cis::new();
    let file = cis.write("file", "");
    for command in ["status", "init"] {
        let said = cis.run(["--home", file.to_str().unwrap(), command]).expect(2).stderr;
        assert!(said.contains("is not a directory"), "{command}: {said}");
    }
    let home = cis.work().join("h 3");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, Permissions::from_mode(0o777)).unwrap();
    let said = cis.run(["--home", home.to_str().unwrap(), "status"]).expect(2).stderr;
    assert!(said.contains(&format!("chmod go-rwx '{}'", home.display())), "{said}");
    let set = cis.ok(["group", "set", "g", "--limit", "1"]);
    assert_eq!(set, "Group g has 1 place.\n");
    let refused = cis.run(["store", "backup", "missing/b.tar"]).expect(2).stderr;
    assert!(refused.contains("missing/b.tar: No such file"), "{refused}");
    cis.stop();
}
