//! `cis config`: files, variables and flags, what is wrong with them, and what a node has of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::harness::{Cis, eventually, kill_9};

/// A home with this configuration.
fn configured(text: &str) -> Cis {
    let cis = Cis::new();
    cis.configure(text);
    cis
}

#[test]
fn show_says_where_every_value_comes_from_and_starts_no_node() {
    let cis = configured("[timeouts]\nexec_default = \"1m\"\n\n[groups.account]\nlimit = 2\n")
        .env("CIS_TIMEOUTS_SESSION_IDLE", "9m");
    let shown = cis.run(["-c", "timeouts.exec_max=1h", "config", "show", "--json"]).expect(0).json();
    let item = |key: &str| {
        let items = shown["items"].as_array().unwrap();
        items.iter().find(|item| item["key"] == key).unwrap_or_else(|| panic!("no {key} in {shown}")).clone()
    };
    assert_eq!(
        item("node.max_sessions"),
        serde_json::json!({ "key": "node.max_sessions", "value": "1000", "origin": "default" })
    );
    assert_eq!(
        (&item("timeouts.exec_default")["value"], &item("timeouts.exec_default")["line"]),
        (&"1m".into(), &2.into())
    );
    assert_eq!(item("timeouts.session_idle")["variable"], "CIS_TIMEOUTS_SESSION_IDLE");
    assert_eq!(
        (&item("timeouts.exec_max")["value"], &item("timeouts.exec_max")["origin"]),
        (&"1h".into(), &"flag".into())
    );
    assert_eq!(item("groups.account.limit")["line"], 4);
    let table = cis.ok(["config", "show", "timeouts"]);
    assert!(table.contains("config.toml:2") && !table.contains("max_sessions"), "{table}");
    cis.run(["config", "show", "timeout"]).expect(2);
    cis.run(["config", "show", "agents.claude"]).expect(2);
    assert!(cis.ok(["config", "show", "groups"]).contains("groups.account.limit"));
    let file = cis.home().join("config.toml").display().to_string();
    assert_eq!(
        cis.ok(["config", "show", "agents"]),
        format!("No agents in {file}.\n"),
        "a table without entries"
    );
    let empty = cis.json(&["config", "show", "agents"]);
    assert_eq!(empty, serde_json::json!({ "path": file, "items": [] }));
    assert_eq!(cis.ok(["config", "path"]).trim(), cis.home().join("config.toml").display().to_string());
    assert!(cis.processes().is_empty(), "{:?}", cis.processes());
}

#[test]
fn check_tells_every_mistake_with_its_place_and_nothing_starts_with_one() {
    let cis = configured("[node]\nmax_session = 3\n\n[timeouts]\nexec_max = 5\n");
    for arguments in
        [&["config", "check"][..], &["dag", "list"], &["config", "show"], &["node", "start", "--detach"]]
    {
        let out = cis.run(arguments).expect(2);
        assert!(out.stderr.contains("config.toml:2:1"), "{arguments:?}: {}", out.stderr);
        assert!(out.stderr.contains("did you mean `max_sessions`?"), "{}", out.stderr);
        assert!(out.stderr.contains("config.toml:5:12"), "{}", out.stderr);
    }
    assert!(cis.run(["doctor"]).expect(3).stdout.contains("config.toml has 2 errors"));
    let json = cis.run(["config", "check", "--json"]).expect(2);
    assert!(json.stderr.contains("\"line\":5"), "{}", json.stderr);
    cis.configure("[node]\nmax_sessions = 3\n");
    cis.ok(["config", "check"]);
    let out = cis.run(["-c", "node.max_sesions=4", "config", "check"]).expect(2);
    assert!(out.stderr.contains("did you mean `node.max_sessions`?"), "{}", out.stderr);
    let wrong = configured("").env("CIS_NODE_MAX_SESSIONS", "no");
    assert!(wrong.run(["config", "check"]).expect(2).stderr.contains("CIS_NODE_MAX_SESSIONS=no"));
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let cis = Cis::new();
    let path = cis.configure("[node]\nmax_sessions = 3\n");
    fs::set_permissions(cis.home(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let out = cis.run(["dag", "list"]).expect(2);
    assert!(out.stderr.contains("chmod go-w"), "{}", out.stderr);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    cis.ok(["dag", "list"]);
}

#[test]
fn the_default_file_is_a_configuration() {
    let cis = Cis::new();
    let text = cis.ok(["config", "default"]);
    cis.configure(&text);
    cis.ok(["config", "check"]);
    let shown = cis.json(&["config", "show"]);
    assert!(shown["items"].as_array().unwrap().iter().all(|item| item["origin"] == "default"), "{shown}");
}

#[test]
fn a_node_keeps_what_it_was_started_with_and_says_what_changed() {
    let cis = configured("[node]\nmax_sessions = 5\n").env("CIS_NODE_LOG_LIMIT", "1MiB");
    let text = "version = 1\n[dag]\nid = \"k\"\n[[tasks]]\nid = \"a\"\ncommand = [\"sleep\", \"600\"]\n";
    let file = cis.write("k.toml", text);
    cis.ok(["-c", "node.max_sessions=7", "dag", "run", "--detach", file.to_str().unwrap()]);
    let status = cis.status();
    assert_eq!((&status["max_sessions"], &status["warnings"]), (&7.into(), &serde_json::Value::Null));
    cis.configure("[node]\nmax_sessions = 6\nidle_exit = \"11s\"\n");
    let warning = cis.status()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("node.idle_exit is 10s here and 11s"), "{warning}");
    assert!(!warning.contains("max_sessions"), "the flag still decides: {warning}");
    cis.session_of("a");
    // One that its host starts again has the flags and variables of the first, and the file of now.
    kill_9(cis.node_pid().unwrap());
    let again = eventually("the host has started a node", || {
        Some(cis.status()).filter(|status| status["running"] == true)
    });
    assert_eq!((&again["max_sessions"], &again["warnings"]), (&7.into(), &serde_json::Value::Null));
    let argv = cis.processes().into_iter().find(|process| process.command.contains("--no-variables"));
    let argv = argv.expect("a node that was started again").command;
    assert!(argv.contains("-c node.log_limit=1MiB -c") || argv.contains("-c node.log_limit=1MiB"), "{argv}");
    cis.stop();
}

#[test]
fn max_sessions_and_the_idle_exit_come_from_the_configuration() {
    let cis = configured("[node]\nmax_sessions = 1\nidle_exit = \"300ms\"\n");
    let text = "version = 1\n[dag]\nid = \"two\"\nmax_parallel = 2\n[[tasks]]\nid = \"a\"\nscript = 'while [ ! -e \"$E2E_WORK/go\" ]; do sleep 0.05; done'\n[[tasks]]\nid = \"b\"\nscript = 'true'\n";
    let run = cis.start(text);
    cis.session_of("a");
    assert_eq!(cis.task(&run, "b")["state"], "queued", "there is one session at a time");
    cis.write("go", "");
    cis.wait_run(&run, "succeeded");
    eventually("the node has ended by itself", || cis.processes().is_empty().then_some(()));
}

#[test]
fn completions_know_the_commands_and_manual_pages_are_written() {
    let cis = Cis::new();
    for (shell, text) in [
        ("bash", "_cis"),
        ("zsh", "#compdef cis"),
        ("fish", "complete -c cis"),
        ("elvish", "cis"),
        ("powershell", "cis"),
    ] {
        let script = cis.ok(["completions", shell]);
        assert!(script.contains(text) && script.contains("validate"), "{shell}");
        assert!(!script.contains("session-host"), "{shell} offers what is hidden");
    }
    cis.run(["completions", "csh"]).expect(2);
    assert!(cis.ok(["man", "dag", "run"]).contains("dag run ship.toml"));
    cis.run(["man", "dag", "walk"]).expect(2);
    let dir = cis.work().join("man1");
    cis.ok(["man", "--to", dir.to_str().unwrap()]);
    let pages = fs::read_dir(&dir).unwrap().count();
    assert!(pages > 30 && dir.join("cis-config-show.1").exists(), "{pages}");
    assert!(!cis.home().exists(), "neither needs a home");
}

#[test]
fn groups_of_the_configuration_hold_for_every_run_of_the_node() {
    let cis = configured("[groups.account]\nlimit = 1\n");
    let text = "version = 1\n[dag]\nid = \"g\"\n[dag.defaults]\nconcurrency = { group = \"account\" }\n[[tasks]]\nid = \"a\"\nscript = 'while [ ! -e \"$E2E_WORK/go\" ]; do sleep 0.05; done'\n";
    let first = cis.start(text);
    cis.session_of("a");
    let second = cis.start(text);
    let why = eventually("the second waits for the group", || {
        let why = cis.json(&["dag", "why", "a", "--run", &second]);
        why["because"].to_string().contains("account").then_some(why)
    });
    assert_eq!(why["state"], "queued");
    let groups = cis.json(&["group", "list"]);
    assert_eq!(
        (&groups["items"][0]["origin"], &groups["items"][0]["limit"]),
        (&"configuration".into(), &1.into())
    );
    cis.write("go", "");
    cis.wait_run(&first, "succeeded");
    cis.wait_run(&second, "succeeded");
}

#[test]
fn a_home_whose_path_is_not_utf_8_is_refused_by_every_command() {
    use std::os::unix::ffi::OsStringExt as _;
    let cis = Cis::new();
    let path = [cis.work().as_os_str().as_encoded_bytes(), b"/h\xff"].concat();
    let home = std::ffi::OsString::from_vec(path);
    for words in [&["status"][..], &["dag", "list"], &["config", "show"]] {
        let refused = cis.command(words).env("CIS_HOME", &home).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("its path is not UTF-8") && said.contains("CIS_HOME"), "{said}");
    }
    assert!(!std::path::Path::new(&home).exists());
}

#[test]
fn a_setting_that_cannot_count_is_not_ignored_without_a_word() {
    let cis = Cis::new();
    cis.run(["-c", "node.max_sesions=7", "status"]).expect(2);
    let text = "version = 1\n[dag]\nid = \"k\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n";
    let file = cis.write("k.toml", text);
    let run = |setting: &str| cis.run(["-c", setting, "dag", "run", file.to_str().unwrap()]).expect(0).stderr;
    let first = run("node.max_sessions=7");
    assert!(!first.contains("no effect"), "the node starts with it: {first}");
    for key in ["node.max_sessions", "retention.max_bytes"] {
        let second = run(&format!("{key}=8"));
        assert!(second.contains(&format!("`-c {key}` has no effect")), "{second}");
        assert!(second.contains("cis node stop"), "{second}");
    }
    assert!(!run("timeouts.exec_max=1h").contains("no effect"), "the command reads it");
    let unknown = cis.run(["-c", "node.max_sesions=7", "dag", "list"]).expect(2);
    assert!(unknown.stderr.contains("did you mean `node.max_sessions`"), "{unknown:?}");
    let gc = cis.run(["-c", "retention.max_age=365d", "store", "gc", "--dry-run"]).expect(0).stderr;
    assert!(gc.contains("`-c retention.max_age` has no effect"), "the node cleans: {gc}");
    let start = |setting: &str| cis.run(["-c", setting, "node", "start", "--detach"]).expect(0).stderr;
    assert!(!start("node.max_sessions=9").contains("no effect"), "it replaces a node that ends by itself");
    assert!(start("node.max_sessions=10").contains("`-c node.max_sessions` has no effect"));
    cis.stop();
}
