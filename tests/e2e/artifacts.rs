//! Files that tasks leave: which are kept, which are refused, and what happens when the node dies meanwhile.

use std::os::unix::fs::symlink;

use serde_json::Value;

use super::harness::{Cis, eventually, is_alive, kill_9, ulid_in};

fn dag(script: &str, globs: &str) -> String {
    format!(
        "version = 1\n[dag]\nid = \"files\"\n[[tasks]]\nid = \"a\"\ntty = false\nartifacts = {globs}\nscript = '''\n{script}\n'''\n"
    )
}

/// The result of the only task, from the events of its run.
fn result(events: &[Value]) -> Value {
    let found = events.iter().find(|event| event["type"] == "cis.dag.task.result");
    found.unwrap_or_else(|| panic!("no result in {events:?}"))["body"].clone()
}

#[test]
fn files_below_the_directory_are_kept_and_nothing_else() {
    let cis = Cis::new();
    std::fs::write(cis.home().parent().unwrap().join("outside"), "secret").unwrap();
    symlink(cis.home().parent().unwrap().join("outside"), cis.work().join("link")).unwrap();
    let script = "mkdir -p out/b && echo text > out/b/z && echo '#!/bin/sh' > out/run && chmod +x out/run && cp -P link out/link && ln -s / out/root";
    let text = dag(script, "[\"out/**\", \"out/run\"]");
    let out = cis.dag(&text, &["--json"]).expect(0);
    let kept = result(&out.json_lines())["artifacts"].clone();
    let listed: Vec<_> = kept
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["path"].as_str().unwrap(), a["size"].as_u64().unwrap(), a["executable"] == true))
        .collect();
    assert_eq!(listed, [("out/b/z", 5, false), ("out/run", 10, true)]);
    let blob = kept[0]["blob"].as_str().unwrap();
    let stored = cis.home().join("blobs").join(&blob[..2]).join(blob);
    assert_eq!(std::fs::read_to_string(stored).unwrap(), "text\n");
}

#[test]
fn what_cannot_be_kept_fails_the_task_in_words() {
    let cis = Cis::new();
    for (script, globs, said) in [
        ("true", "[\"out/*\"]", "`out/*` matches no file"),
        ("mkdir -p out && touch out/x", "[\"out\"]", "`out/**` is what is in it"),
        ("ln -sf /etc/passwd link", "[\"link\"]", "links are not followed"),
        ("touch \"$(printf 'x\\377')\"", "[\"x*\"]", "not UTF-8"),
    ] {
        let out = cis.dag(&dag(script, globs), &[]).expect(1);
        assert!(out.stderr.contains(said), "{said}: {}", out.stderr);
    }
    let left = "[[tasks]]\nid = \"b\"\ncommand = [\"true\"]\nartifacts = [\"../x\"]\n";
    let refused = cis.dag(&format!("{}{left}", dag("true", "[\"*\"]")), &[]).expect(2);
    assert!(refused.stderr.contains("leaves the task's directory"), "{}", refused.stderr);
}

#[test]
fn a_secret_in_the_name_of_a_file_is_not_shown() {
    const SECRET: &str = "hunter2-correct-horse";
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    for (script, globs, said) in [
        ("mkdir -p out && touch \"out/$TOKEN\"", "[\"out/**\"]", "the name out/*** holds a secret"),
        ("mkdir -p out && touch \"$(printf 'out/%s\\377' \"$TOKEN\")\"", "[\"out/**\"]", "not UTF-8"),
        ("echo \"$TOKEN is it\" >> \"$CIS_OUTPUT\"; touch x", "[\"x\"]", "expected name=value"),
    ] {
        let text = dag(script, globs)
            .replace("artifacts", "secrets = { TOKEN = { env = \"MY_TOKEN\" } }\nartifacts");
        let cached = text.replace("artifacts", "cache = { key = \"v1\" }\nartifacts");
        let out = cis.dag(&cached, &[]).expect(1);
        assert!(out.stderr.contains(said), "{said}: {}", out.stderr);
        let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
        for shown in [out.stderr, out.stdout, cis.show(&run).to_string(), cis.ok(["dag", "why", "a"])] {
            assert!(!shown.contains(SECRET), "{shown}");
        }
        assert!(!cis.home().join("cache").exists(), "nothing of it is taken later");
        let _ = std::fs::remove_dir_all(cis.work().join("out"));
    }
}

#[test]
fn a_task_that_fails_leaves_nothing() {
    let cis = Cis::new();
    let out = cis.dag(&dag("echo x > out.txt; exit 3", "[\"out.txt\"]"), &["--json"]).expect(1);
    let result = result(&out.json_lines());
    assert_eq!(result["artifacts"], Value::Null);
    assert_eq!(result["cause"]["kind"], "exit", "the exit code is what counts: {result}");
    let none = cis.run(["dag", "artifacts", "a", "--to", "copies"]).expect(3).stderr;
    assert!(none.contains("task `a` has no artifacts: it is failed"), "{none}");
}

#[test]
fn kept_files_are_listed_and_copied_out_and_nothing_is_written_over() {
    let cis = Cis::new();
    let script = "mkdir -p out && echo text > out/a && echo '#!/bin/sh' > out/run && chmod +x out/run";
    cis.dag(&dag(script, "[\"out/**\"]"), &[]).expect(0);
    std::fs::remove_dir_all(cis.work().join("out")).unwrap();
    let listed = cis.json(&["dag", "artifacts"]);
    let paths: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|a| a["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["out/a", "out/run"]);
    assert_eq!(listed["items"][0]["task"], "a");
    assert!(cis.ok(["dag", "artifacts", "a"]).contains("out/run"));
    cis.ok(["dag", "artifacts", "a", "--to", "one"]);
    assert_eq!(cis.read("one/out/a"), "text\n");
    assert!(std::process::Command::new(cis.work().join("one/out/run")).status().unwrap().success());
    cis.ok(["dag", "artifacts", "--to", "all"]);
    assert_eq!(cis.read("all/a/out/a"), "text\n");
    // A file that is there stays, and so does everything else.
    cis.write("one/out/run", "mine");
    std::fs::remove_file(cis.work().join("one/out/a")).unwrap();
    let refused = cis.run(["dag", "artifacts", "a", "--to", "one"]).expect(3);
    assert!(refused.stderr.contains("one/out/run already exists"), "{}", refused.stderr);
    assert!(!cis.work().join("one/out/a").exists());
    cis.ok(["dag", "artifacts", "a", "--to", "one", "--force"]);
    assert_eq!(cis.read("one/out/run"), "#!/bin/sh\n");
    // No link leads out of it.
    std::fs::create_dir_all(cis.work().join("two")).unwrap();
    std::fs::create_dir(cis.work().join("elsewhere")).unwrap();
    symlink(cis.work().join("elsewhere"), cis.work().join("two/out")).unwrap();
    let refused = cis.run(["dag", "artifacts", "a", "--to", "two", "--force"]).expect(3);
    assert!(refused.stderr.contains("leaves the directory"), "{}", refused.stderr);
    assert_eq!(std::fs::read_dir(cis.work().join("elsewhere")).unwrap().count(), 0);
    // What is damaged is not passed on.
    let blob = listed["items"][0]["blob"].as_str().unwrap();
    std::fs::write(cis.home().join("blobs").join(&blob[..2]).join(blob), "tixt\n").unwrap();
    let damaged = cis.run(["dag", "artifacts", "a", "--to", "three"]).expect(3);
    assert!(damaged.stderr.contains("damaged"), "{}", damaged.stderr);
    assert!(!cis.work().join("three/out/a").exists());
    let other = cis.run(["dag", "artifacts", "b"]).expect(2);
    assert!(other.stderr.contains("has no task `b`"), "{}", other.stderr);
}

/// Large enough for the tests' slow hashing to take a while.
const LARGE: &str = "head -c 60000000 /dev/zero > large";

/// Waits until the session of the task is over and its files are being kept.
fn wait_keeping(cis: &Cis) {
    let pid = cis.session_of("a")["pid"].as_u64().unwrap();
    cis.write("open", "");
    eventually("its session is over", || (!is_alive(u32::try_from(pid).unwrap())).then_some(()));
}

fn waiting() -> String {
    dag(&format!("while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done; {LARGE}"), "[\"large\"]")
}

#[test]
fn a_node_that_dies_while_files_are_kept_keeps_them_in_its_next_life() {
    let cis = Cis::new();
    let run = cis.start(&waiting());
    let node = cis.node_pid().unwrap();
    wait_keeping(&cis);
    kill_9(node);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "a")["attempts"], 1, "it ran once");
    let kept = files_of_size(&cis, 60_000_000);
    assert_eq!(kept, 1, "the file is a blob");
}

#[test]
fn a_cancel_does_not_end_a_task_whose_artifacts_are_being_stored() {
    let cis = Cis::new();
    let text = waiting();
    let run = cis.start(&format!("{text}[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = \"true\"\n"));
    wait_keeping(&cis);
    cis.ok(["dag", "cancel", &run]);
    let detail = cis.wait_run(&run, "cancelled");
    assert_eq!([&detail["tasks"][0]["state"], &detail["tasks"][1]["state"]], ["succeeded", "cancelled"]);
    assert_eq!(detail["tasks"][0]["artifacts"][0]["path"], "large", "{detail}");
    assert_eq!(files_of_size(&cis, 60_000_000), 1, "the file is a blob");
}

/// How many blobs have this size.
fn files_of_size(cis: &Cis, size: u64) -> usize {
    let mut count = 0;
    for dir in std::fs::read_dir(cis.home().join("blobs")).unwrap().map(Result::unwrap) {
        if !dir.file_type().unwrap().is_dir() {
            continue;
        }
        for file in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
            count += usize::from(file.metadata().unwrap().len() == size);
        }
    }
    count
}
