//! Results that are taken from the cache: when, what comes back, and when not.

use std::path::PathBuf;

use serde_json::Value;

use super::harness::{Cis, eventually, kill_9};

const DAG: &str = r#"
version = 1
[dag]
id = "cached"
[dag.defaults]
tty = false
[[tasks]]
id = "build"
inputs = ["src/**"]
cache = { key = "auto" }
artifacts = ["out/**"]
outputs = { lines = { type = "integer" } }
script = '''
echo ran >> "$E2E_WORK/ran"
mkdir -p out && cat src/* > out/all && cp out/all out/copy && chmod +x out/copy
echo "lines=$(wc -l < out/all)" >> "$CIS_OUTPUT"
echo "built it"
'''
[[tasks]]
id = "use"
needs = ["build"]
script = 'printf "%s of %s" {{ tasks.build.outputs.lines }} "$(cat out/all)" > "$E2E_WORK/used"; printf %s {{ tasks.build.output }} > "$E2E_WORK/tail"'
"#;

fn project() -> Cis {
    let cis = Cis::new();
    std::fs::create_dir(cis.work().join("src")).unwrap();
    cis.write("src/a", "one\n");
    cis
}

fn runs(cis: &Cis) -> usize {
    cis.read("ran").lines().count()
}

/// The result of `build`, from the events of a run that succeeds.
#[track_caller]
fn build(cis: &Cis, text: &str) -> Value {
    let events = cis.dag(text, &["--json"]).expect(0).json_lines();
    let is_its = |event: &&Value| event["type"] == "cis.dag.task.result" && event["body"]["task"] == "build";
    events.iter().find(is_its).unwrap_or_else(|| panic!("no result in {events:?}"))["body"].clone()
}

fn entries(cis: &Cis) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in std::fs::read_dir(cis.home().join("cache")).into_iter().flatten().map(Result::unwrap) {
        found.extend(std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()));
    }
    found
}

#[test]
fn the_same_inputs_give_the_result_without_running() {
    let cis = project();
    let first = build(&cis, DAG);
    assert_eq!((runs(&cis), &first["cached"]), (1, &Value::Null));
    std::fs::remove_dir_all(cis.work().join("out")).unwrap();
    let second = build(&cis, DAG);
    assert_eq!(runs(&cis), 1, "it did not run");
    let from = second["cached"].as_str().unwrap();
    assert!(from.ends_with(":build#1"), "{from}");
    assert_eq!(second["outputs"], first["outputs"]);
    assert_eq!(second["artifacts"], first["artifacts"]);
    assert_eq!(cis.read("out/all"), "one\n");
    assert_eq!(cis.read("used"), "1 of one");
    assert_eq!(cis.read("tail"), "built it\n", "its log is that of the attempt that ran");
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(cis.work().join(name)).unwrap().permissions().mode() & 0o111
    };
    assert_eq!((mode("out/all"), mode("out/copy")), (0, 0o111));
    cis.write("src/a", "one\ntwo\n");
    assert_eq!(build(&cis, DAG)["cached"], Value::Null);
    assert_eq!((runs(&cis), cis.read("used").as_str()), (2, "2 of one\ntwo"));
    cis.write("src/a", "one\n");
    assert!(build(&cis, DAG)["cached"].is_string(), "what was once made is found again");
    assert_eq!(cis.read("used"), "1 of one", "and its files are the old ones");
    assert!(build(&cis, &DAG.replace("built it", "built this"))["cached"].is_null(), "another script");
}

#[test]
fn a_cached_result_is_shown_as_such_and_can_be_refused() {
    let cis = project();
    build(&cis, DAG);
    let again = cis.dag(DAG, &[]).expect(0);
    assert!(again.stderr.contains("cached"), "the progress says it: {}", again.stderr);
    let quiet = cis.dag(DAG, &["--quiet"]).expect(0);
    assert!(!quiet.stderr.contains("cached"), "it is no failure: {}", quiet.stderr);
    let shown = cis.ok(["dag", "show"]);
    assert!(shown.contains("completed") && shown.contains("cached: the result of"), "{shown}");
    assert!(cis.ok(["dag", "why", "build"]).contains("cached"));
    cis.dag(DAG, &["--no-cache"]).expect(0);
    assert_eq!(runs(&cis), 2);
    assert!(build(&cis, DAG)["cached"].as_str().is_some(), "what ran without is kept as well");
}

#[test]
fn items_are_cached_each_by_its_own_values() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "each"
params = { names = { type = "string", default = "a,b" } }
[dag.defaults]
tty = false
[[tasks]]
id = "names"
script = 'echo list={{ params.names }} >> "$CIS_OUTPUT"'
outputs = { list = { type = "string" } }
[[tasks]]
id = "each"
needs = ["names"]
foreach = "tasks.names.outputs.list | split(',')"
cache = { key = "v1" }
artifacts = ["*.txt"]
script = 'echo {{ item }} >> "$E2E_WORK/ran"; touch "$(printf %s {{ item }}).txt"; echo who={{ item }} >> "$CIS_OUTPUT"'
outputs = { who = { type = "string" } }
[[tasks]]
id = "all"
needs = ["each"]
script = 'printf "%s" "$CIS_NEED_EACH_WHO" > "$E2E_WORK/used"; cat "$CIS_CONTEXT" > "$E2E_WORK/context.json"'
"#;
    cis.dag(text, &[]).expect(0);
    assert_eq!((runs(&cis), cis.read("used").as_str()), (2, r#"["a","b"]"#));
    let context: Value = serde_json::from_str(&cis.read("context.json")).unwrap();
    assert!(context["needs"]["each"]["artifacts"].as_array().unwrap().contains(&"a.txt".into()));
    cis.dag(text, &["--param", "names=c,b"]).expect(0);
    assert_eq!((runs(&cis), cis.read("used").as_str()), (3, r#"["c","b"]"#), "only c is new");
}

#[test]
fn what_is_too_old_or_failed_is_not_taken() {
    let cis = project();
    let short = DAG.replace("key = \"auto\"", "key = \"auto\", ttl = \"1ms\"");
    build(&cis, &short);
    assert!(build(&cis, &short)["cached"].is_null());
    assert_eq!(runs(&cis), 2);
    let failing = DAG.replace("echo \"built it\"", "exit 1");
    cis.dag(&failing, &[]).expect(1);
    cis.dag(&failing, &[]).expect(1);
    assert_eq!(runs(&cis), 4);
}

#[test]
fn what_is_damaged_is_run_again_and_mended() {
    let cis = project();
    let kept = build(&cis, DAG);
    let entry = entries(&cis).remove(0);
    let text = std::fs::read_to_string(&entry).unwrap();
    for damaged in
        [text.replace("\"value\":1", "\"value\":7"), text[..text.len() / 2].to_owned(), String::new()]
    {
        std::fs::write(&entry, damaged).unwrap();
        assert!(build(&cis, DAG)["cached"].is_null());
        assert!(build(&cis, DAG)["cached"].is_string(), "the entry is whole again");
    }
    assert_eq!(runs(&cis), 4);
    // Of two files one is damaged: none is put back.
    let blob = kept["artifacts"][1]["blob"].as_str().unwrap();
    let path = cis.home().join("blobs").join(&blob[..2]).join(blob);
    std::fs::write(&path, "oxe\n").unwrap();
    std::fs::remove_dir_all(cis.work().join("out")).unwrap();
    let seen = DAG.replace("mkdir -p out &&", "test ! -e out && mkdir -p out &&");
    assert!(build(&cis, &seen.replace("test ! -e out && ", ""))["cached"].is_null());
    assert_eq!(runs(&cis), 5);
    assert_eq!(cis.read("out/copy"), "one\n");
    let said = std::fs::read_to_string(cis.home().join("node.log")).unwrap();
    assert!(said.contains("a cached result is damaged"), "{said}");
}

#[test]
fn a_secret_in_a_kept_output_stays_hidden_and_reaches_the_next_task() {
    const SECRET: &str = "hunter2-correct-horse";
    let cis = Cis::new().env("MY_TOKEN", SECRET);
    let text = r#"
version = 1
[dag]
id = "hidden"
[dag.defaults]
tty = false
[[tasks]]
id = "build"
secrets = { TOKEN = { env = "MY_TOKEN" } }
cache = { key = "v1" }
outputs = { leak = { type = "string" } }
script = 'echo ran >> "$E2E_WORK/ran"; echo "leak=$TOKEN!" >> "$CIS_OUTPUT"'
[[tasks]]
id = "use"
needs = ["build"]
script = 'printf %s {{ tasks.build.outputs.leak }} > "$E2E_WORK/used"'
"#;
    build(&cis, text);
    cis.write("used", "");
    let again = build(&cis, text);
    assert!(again["cached"].is_string());
    assert_eq!(again["outputs"]["leak"]["value"], "***!");
    assert_eq!(cis.read("used"), format!("{SECRET}!"));
    assert_eq!(runs(&cis), 1);
    let entry = std::fs::read_to_string(entries(&cis).remove(0)).unwrap();
    assert!(!entry.contains(SECRET), "{entry}");
}

#[test]
fn a_key_that_is_a_text_belongs_to_its_task() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "texts"
params = { branch = { type = "string", default = "main" } }
[dag.defaults]
tty = false
cwd = "."
[[tasks]]
id = "a"
cache = { key = "{{ params.branch }}" }
outputs = { who = { type = "string" } }
script = 'echo a >> "$E2E_WORK/ran"; echo who=a >> "$CIS_OUTPUT"'
[[tasks]]
id = "b"
cache = { key = "{{ params.branch }}" }
outputs = { who = { type = "string" } }
script = 'echo b >> "$E2E_WORK/ran"; echo who=b >> "$CIS_OUTPUT"'
[[tasks]]
id = "use"
needs = ["a", "b"]
script = 'echo {{ tasks.a.outputs.who }} {{ tasks.b.outputs.who }} > "$E2E_WORK/used"'
"#;
    cis.dag(text, &[]).expect(0);
    cis.dag(text, &[]).expect(0);
    assert_eq!((runs(&cis), cis.read("used").as_str()), (2, "a b\n"));
    cis.dag(text, &["--param", "branch=dev"]).expect(0);
    assert_eq!(runs(&cis), 4);
}

#[test]
fn inputs_that_are_not_there_fail_the_task() {
    let cis = Cis::new();
    let out = cis.dag(DAG, &[]).expect(1);
    assert!(out.stderr.contains("`src/**` matches no file"), "{}", out.stderr);
    assert_eq!(runs(&cis), 0);
}

#[test]
fn a_result_is_kept_under_the_key_of_its_start_also_by_another_life_of_the_node() {
    let cis = project();
    let text = DAG.replace("echo ran", "while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done; echo ran");
    let run = cis.start(&text);
    cis.session_of("build");
    kill_9(cis.node_pid().unwrap());
    // Too late for the key: what it is made from was read before it started.
    cis.write("src/b", "new\n");
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    assert!(build(&cis, &text)["cached"].is_null(), "with the new file it is another result");
    std::fs::remove_file(cis.work().join("src/b")).unwrap();
    assert!(build(&cis, &text)["cached"].is_string());
    assert_eq!(runs(&cis), 2);
}

/// Waits for a file of the test, and for nothing else once it is told to end; then it ends well.
const ENDS_WELL: &str = r#"
version = 1
[dag]
id = "polite"
[[tasks]]
id = "build"
tty = false
cache = { key = "v1" }
script = '''
trap 'while [ ! -e "$E2E_WORK/let-go" ]; do sleep 0.05; done; echo half > out.txt; exit 0' TERM
echo ran >> "$E2E_WORK/ran"
while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done
echo whole > out.txt
'''
"#;

#[test]
fn a_task_that_was_told_to_end_and_ends_well_is_not_kept() {
    let cis = Cis::new();
    let run = cis.start(ENDS_WELL);
    eventually("its trap is set", || (runs(&cis) == 1).then_some(()));
    cis.write("let-go", "");
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    assert_eq!((cis.read("out.txt").as_str(), entries(&cis).len()), ("half\n", 0));
    cis.write("open", "");
    assert!(build(&cis, ENDS_WELL)["cached"].is_null(), "half a result was taken for a whole one");
    assert!(build(&cis, ENDS_WELL)["cached"].is_string());
}

#[test]
fn a_task_that_was_told_to_end_leaves_nothing_also_after_a_restart_of_the_node() {
    let cis = Cis::new();
    let run = cis.start(&ENDS_WELL.replace("cache =", "artifacts = [\"out.txt\"]\ncache ="));
    eventually("its trap is set", || (runs(&cis) == 1).then_some(()));
    cis.session_of("build");
    cis.ok(["dag", "cancel", &run]);
    kill_9(cis.node_pid().unwrap());
    cis.json(&["dag", "list"]);
    cis.write("let-go", "");
    cis.wait_run(&run, "cancelled");
    assert_eq!(cis.task(&run, "build")["state"], "cancelled", "as without the restart");
    assert_eq!(cis.json(&["dag", "artifacts", "--run", &run])["items"].as_array().unwrap().len(), 0);
    assert_eq!((cis.read("out.txt").as_str(), entries(&cis).len()), ("half\n", 0));
}

/// An input that is edited while the task runs, and edited back: what was made in between is no result of either.
#[test]
fn a_result_that_was_made_while_an_input_changed_is_not_kept() {
    let cis = project();
    let text = DAG.replace("echo ran >>", "until [ -e \"$E2E_WORK/go\" ]; do sleep 0.05; done; echo ran >>");
    let run = cis.spawn_dag(&text, &[]);
    // A session is listed before its inputs are read; a pid comes after that.
    cis.session_of("build");
    cis.write("src/a", "broken\n");
    cis.write("go", "");
    run.wait().expect(0);
    assert_eq!(cis.read("used"), "1 of broken");
    let why = cis.ok(["dag", "why", "build"]);
    assert!(why.contains("not in the cache: its input src/a changed while it was running"), "{why}");
    cis.write("src/a", "one\n");
    build(&cis, &text);
    assert_eq!((cis.read("used").as_str(), runs(&cis)), ("1 of one", 2));
    build(&cis, &text);
    assert_eq!(runs(&cis), 2, "the second result is kept");
}

#[test]
fn a_change_behind_a_link_of_the_inputs_is_a_change() {
    let cis = project();
    cis.write("prod", "first\n");
    std::os::unix::fs::symlink("../prod", cis.work().join("src/b")).unwrap();
    for (text, made) in [("first\n", 1), ("first\n", 1), ("second\n", 2)] {
        cis.write("prod", text);
        build(&cis, DAG);
        assert_eq!(runs(&cis), made, "{text}");
    }
}
