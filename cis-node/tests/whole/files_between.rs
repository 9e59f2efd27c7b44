//! Files, outputs, logs, secrets and cached results of tasks that run on other nodes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cis_core::api::{CreateRun, ProblemKind, ReadLog, RoomNodeState};
use cis_core::event::{RunState, TaskState};

use crate::harness::{ALL, Node, Room, eventually, lines, on_a_runtime, problem_of, shared, task};
use crate::shared::{dag, is_idle, node_of};

/// A shared run of the files in this directory.
fn in_dir(dir: &Path, tasks: &str) -> CreateRun {
    CreateRun { workdir: dir.to_str().unwrap().to_owned(), ..shared(&dag(tasks)) }
}

/// Whether a file below the directory holds this text.
fn holds(dir: &Path, text: &str) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => holds(&entry.path(), text),
        Ok(kind) if kind.is_file() => fs::read(entry.path())
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes())),
        _ => false,
    })
}

/// Whether a file below the directory has this name.
fn has_file(dir: &Path, name: &str) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| entry.file_name() == name || has_file(&entry.path(), name))
}

#[test]
fn files_go_with_tasks_from_node_to_node_and_come_back() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let work = scratch.path().join("work");
        fs::create_dir_all(work.join("src")).unwrap();
        fs::write(work.join("src/a.txt"), "from a\n").unwrap();
        let big: Vec<u8> = (0..3_000_001_u64).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        fs::write(work.join("src/big"), &big).unwrap();
        fs::write(work.join("src/empty"), "").unwrap();
        fs::write(work.join("unasked"), "").unwrap();
        fs::write(work.join("src/tool"), "#!/bin/sh\ncat src/a.txt\n").unwrap();
        fs::set_permissions(work.join("src/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        let [builder, tester] = &room.workers[..] else { panic!() };
        let tasks = format!(
            r#"
[[tasks]]
id = "build"
nodes = ["{}"]
inputs = ["src/**"]
artifacts = ["out/**"]
script = '''
test "$(find . -type f | sort | tr '\n' ' ')" = './src/a.txt ./src/big ./src/empty ./src/tool ' || exit 3
mkdir -p out/deep
./src/tool > out/deep/made
cp src/big out/big
cp src/tool out/tool
echo unasked > other
'''
[[tasks]]
id = "test"
nodes = ["{}"]
needs = ["build"]
artifacts = ["report"]
script = 'test ! -e src && test ! -e other && test -x out/tool && cat out/deep/made > report'
[[tasks]]
id = "here"
needs = ["test", "build"]
cwd = "."
script = 'cmp out/big src/big && cat report out/deep/made > end'
"#,
            builder.did, tester.did
        );
        let coordinator = &room.coordinator;
        let run = coordinator.submit_as(in_dir(&work, &tasks)).await;
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(lines(&work.join("end")), ["from a", "from a"]);
        let paths: Vec<&str> =
            task(&detail, "build").artifacts.iter().map(|artifact| artifact.path.as_str()).collect();
        assert_eq!(paths, ["out/big", "out/deep/made", "out/tool"]);
        assert!(!work.join("other").exists(), "only artifacts come back");
        // Nothing of it is left there.
        for worker in &room.workers {
            is_idle(worker).await;
        }
        eventually("the directories of the tasks are removed", async || {
            (!has_file(&scratch.path().join("w0"), "tool")).then_some(())
        })
        .await;
        // They are read after the nodes of the tasks have gone.
        let Room { coordinator, workers, .. } = room;
        for worker in workers {
            worker.stop().await;
        }
        assert_eq!(coordinator.artifact_of(&run, "build", "out/big").await, big);
        assert_eq!(coordinator.artifact_of(&run, "test", "report").await, b"from a\n");
        let missing = problem_of(coordinator.client.artifact(&run, "build", "out/none").await.map(drop));
        assert_eq!(missing.kind, ProblemKind::NotFound, "{missing:?}");
        coordinator.stop().await;
    });
}

#[test]
fn outputs_of_other_nodes_are_in_templates_variables_conditions_and_contexts() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let [one, two] = &room.workers[..] else { panic!() };
        let tasks = format!(
            r#"
[[tasks]]
id = "make"
nodes = ["{}"]
outputs = {{ failed = {{ type = "integer" }}, title = {{ type = "string" }} }}
script = 'echo "failed=3" >> "$CIS_OUTPUT"; echo "title=a b" >> "$CIS_OUTPUT"'
[[tasks]]
id = "each"
nodes = ["{}"]
needs = ["make"]
foreach = "range(tasks.make.outputs.failed)"
outputs = {{ square = {{ type = "integer" }} }}
script = 'n={{{{ item }}}}; echo "square=$((n * n))" >> "$CIS_OUTPUT"'
[[tasks]]
id = "use"
nodes = ["{}"]
needs = ["make", "each"]
if = "tasks.make.outputs.failed > 2"
outputs = {{ all = {{ type = "string" }} }}
script = '''
echo "needs=$CIS_NEEDS" >> "$CIS_OUTPUT"
test "$CIS_NEED_MAKE_TITLE" = "a b" || exit 4
grep -q '"square"' "$CIS_CONTEXT" || exit 5
echo "all={{{{ tasks.make.outputs.title }}}} {{{{ tasks.each.outputs.square }}}}" >> "$CIS_OUTPUT"
'''
[[tasks]]
id = "not"
needs = ["make"]
if = "tasks.make.outputs.failed > 3"
script = "exit 9"
"#,
            one.did, two.did, two.did
        );
        let coordinator = &room.coordinator;
        let run = coordinator.submit_as(shared(&dag(&tasks))).await;
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "use").outputs["all"], "a b [0,1,4]");
        assert_eq!(task(&detail, "use").outputs["needs"], "each make");
        assert_eq!(task(&detail, "not").state, TaskState::Completed);
        let context = coordinator.client.task_context(&run, "use").await.unwrap();
        let context = serde_json::to_value(context).unwrap();
        assert_eq!(context["needs"]["make"]["outputs"]["failed"], 3, "{context}");
        assert_eq!(context["needs"]["each"]["outputs"]["square"], serde_json::json!([0, 1, 4]), "{context}");
        room.stop().await;
    });
}

#[test]
fn the_log_of_a_worker_is_read_and_followed_while_its_task_runs() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let dir = scratch.path().display();
        let tasks = format!(
            r#"
[[tasks]]
id = "talks"
retries = {{ count = 1, delay = "10ms" }}
script = '''
[ -e {dir}/first ] || {{ touch {dir}/first; echo fails; exit 1; }}
seq 1 20000
until [ -e {dir}/go ]; do sleep 0.05; done
printf 'a \033[31mred\033[0m word\n'
'''
"#
        );
        let coordinator = &room.coordinator;
        let run = coordinator.submit_as(shared(&dag(&tasks))).await;
        let before: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
        let second = ReadLog { attempt: Some(2), ..ReadLog::default() };
        eventually("the log is read while the task runs", async || {
            let mut log = coordinator.client.task_log(&run, "talks", &second).await.ok()?;
            (log.read_to_end(ALL).await.ok()? == before.as_bytes()).then_some(())
        })
        .await;
        let from = ReadLog { from: Some(before.len() as u64 - 6), ..second.clone() };
        let mut end = coordinator.client.task_log(&run, "talks", &from).await.unwrap();
        assert_eq!(end.read_to_end(ALL).await.unwrap(), b"20000\n");
        let unknown = ReadLog { attempt: Some(3), ..ReadLog::default() };
        let unknown = problem_of(coordinator.client.task_log(&run, "talks", &unknown).await.map(drop));
        assert_eq!(unknown.kind, ProblemKind::NotFound, "{unknown:?}");
        let follow = ReadLog { follow: true, ..ReadLog::default() };
        let plain = ReadLog { plain: true, ..follow.clone() };
        let mut raw = coordinator.client.task_log(&run, "talks", &follow).await.unwrap();
        let mut plain = coordinator.client.task_log(&run, "talks", &plain).await.unwrap();
        fs::write(scratch.path().join("go"), "").unwrap();
        let (raw, plain) = tokio::join!(raw.read_to_end(ALL), plain.read_to_end(ALL));
        assert_eq!(
            String::from_utf8(raw.unwrap()).unwrap(),
            format!("{before}a \u{1b}[31mred\u{1b}[0m word\n")
        );
        assert_eq!(String::from_utf8(plain.unwrap()).unwrap(), format!("{before}a red word\n"));
        coordinator.reaches(&run, RunState::Succeeded).await;
        room.stop().await;
    });
}

const VALUE: &str = "s3cret-Value-71";

#[test]
fn secrets_go_to_the_nodes_that_tasks_name_and_show_nowhere() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let [one, two] = &room.workers[..] else { panic!() };
        let dir = scratch.path().display();
        let tasks = format!(
            r#"
[[tasks]]
id = "make"
nodes = ["{one}"]
secrets = {{ TOKEN = {{ env = "TEST_SECRET" }} }}
outputs = {{ mixed = {{ type = "string" }} }}
script = '''
test ${{#TOKEN}} = 15 || exit 3
echo "said $TOKEN"
until [ -e {dir}/go ]; do sleep 0.05; done
echo "mixed=before $TOKEN after" >> "$CIS_OUTPUT"
'''
[[tasks]]
id = "use"
nodes = ["{two}"]
needs = ["make"]
env = {{ MIXED = "{{{{ tasks.make.outputs.mixed }}}}" }}
script = 'case "$MIXED" in "before s3cret-"*"-71 after") echo "got $MIXED" ;; *) exit 4 ;; esac'
[[tasks]]
id = "other"
nodes = ["{two}"]
script = 'test -z "$TOKEN$TEST_SECRET" && echo no secret'
[[tasks]]
id = "stays"
secrets = {{ TOKEN = {{ env = "TEST_SECRET" }} }}
script = 'echo "${{#TOKEN}}" > {dir}/stays; pwd >> {dir}/stays; echo "here $TOKEN"'
"#,
            one = one.did,
            two = two.did
        );
        let env = BTreeMap::from([
            ("TEST_SECRET".to_owned(), VALUE.to_owned()),
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ]);
        let coordinator = &room.coordinator;
        let run = coordinator.submit_as(CreateRun { env: Some(env), ..shared(&dag(&tasks)) }).await;
        eventually("its log is read while it runs", async || {
            let log = coordinator.client.task_log(&run, "make", &ReadLog::default()).await.ok()?;
            let text = { log }.read_to_end(ALL).await.ok()?;
            (text == b"said ***\n").then_some(())
        })
        .await;
        fs::write(scratch.path().join("go"), "").unwrap();
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(coordinator.log_as(&run, "stays", &ReadLog::default()).await, "here ***\n");
        assert_eq!(task(&detail, "make").outputs["mixed"], "before *** after");
        assert_eq!(lines(&scratch.path().join("stays")), ["15", "/"], "a task without names stays");
        for home in ["w0", "w1"] {
            eventually("the secrets are removed from the workers", async || {
                (!holds(&scratch.path().join(home), VALUE)).then_some(())
            })
            .await;
        }
        room.stop().await;
    });
}

#[test]
fn a_result_of_another_node_is_used_again_until_what_it_was_made_of_changes() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let work = scratch.path().join("work");
        fs::create_dir_all(&work).unwrap();
        let ran = scratch.path().join("ran");
        let tasks = format!(
            r#"
[[tasks]]
id = "build"
inputs = ["src.txt"]
cache = true
artifacts = ["out/made"]
outputs = {{ lines = {{ type = "integer" }} }}
script = '''
echo ran >> {ran}
mkdir out && tr a-z A-Z < src.txt > out/made && chmod +x out/made
echo "lines=$(wc -l < src.txt)" >> "$CIS_OUTPUT"
'''
[[tasks]]
id = "use"
needs = ["build"]
artifacts = ["used"]
script = '''
test -x out/made || exit 3
printf '%s %s' {{{{ tasks.build.outputs.lines }}}} "$(cat out/made)" > used
'''
"#,
            ran = ran.display()
        );
        let runs = async |node: &Node, no_cache: bool| {
            let run = node.submit_as(CreateRun { no_cache, ..in_dir(&work, &tasks) }).await;
            let detail = node.reaches(&run, RunState::Succeeded).await;
            let used = String::from_utf8(node.artifact_of(&run, "use", "used").await).unwrap();
            (detail, lines(&ran).len(), used)
        };
        fs::write(work.join("src.txt"), "one\n").unwrap();
        let (first, ran, used) = runs(&room.coordinator, false).await;
        assert_eq!((ran, &*used), (1, "1 ONE"));
        // The node that made it need not be there any more.
        let maker = node_of(&first, "build").unwrap();
        let Room { coordinator, workers, .. } = room;
        let mut others = Vec::new();
        for worker in workers {
            if worker.did == maker {
                worker.client.drain_node(true).await.unwrap();
                eventually("the coordinator knows", async || {
                    let nodes = coordinator.client.nodes(None).await.unwrap().items;
                    nodes.iter().any(|node| node.state == RoomNodeState::Draining).then_some(())
                })
                .await;
                worker.stop().await;
            } else {
                others.push(worker);
            }
        }
        let (second, ran, used) = runs(&coordinator, false).await;
        assert_eq!((ran, &*used), (1, "1 ONE"), "it did not run again");
        let build = task(&second, "build");
        assert_eq!(build.state, TaskState::Completed);
        let reason = build.reason.clone().unwrap();
        assert!(reason.contains(&format!("cached: the result of {}:build#1", first.run.id)), "{reason}");
        assert_eq!(coordinator.artifact_of(&second.run.id.to_string(), "build", "out/made").await, b"ONE\n");
        // One byte is another.
        fs::write(work.join("src.txt"), "ond\n").unwrap();
        let (third, ran, used) = runs(&coordinator, false).await;
        assert_eq!((ran, &*used), (2, "1 OND"));
        assert_eq!(node_of(&third, "build").as_ref(), Some(&others[0].did));
        let (_, ran, _) = runs(&coordinator, true).await;
        assert_eq!(ran, 3, "without the cache it runs");
        // What a node made that may not execute any more is not used.
        coordinator.client.revoke(&maker.0).await.unwrap();
        fs::write(work.join("src.txt"), "one\n").unwrap();
        let (fourth, ran, used) = runs(&coordinator, false).await;
        assert_eq!((ran, &*used), (4, "1 ONE"));
        assert_eq!(task(&fourth, "build").state, TaskState::Succeeded);
        others.remove(0).stop().await;
        coordinator.stop().await;
    });
}

#[test]
fn a_task_that_leaves_less_than_it_declares_fails_on_its_worker_in_words() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let tasks = r#"
[dag.defaults.retries]
count = 0
[[tasks]]
id = "artifacts"
artifacts = ["out/*.log"]
retries = { count = 1, delay = "10ms", on = ["outputs"] }
script = "mkdir out; touch out/a.txt"
[[tasks]]
id = "missing"
outputs = { version = { type = "string" } }
script = "true"
[[tasks]]
id = "mistyped"
outputs = { count = { type = "integer" } }
script = 'echo "count=many" >> "$CIS_OUTPUT"'
[[tasks]]
id = "link"
artifacts = ["link"]
script = "ln -s /etc/passwd link"
[[tasks]]
id = "inputs"
inputs = ["no/such/*.txt"]
script = "ls -A"
"#
        .replace("[dag.defaults.retries]\ncount = 0\n", "")
        .replace("[[tasks]]\n", "[[tasks]]\nallow_failure = true\n");
        let coordinator = &room.coordinator;
        let run = coordinator.submit_as(in_dir(scratch.path(), &tasks)).await;
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        for (id, words) in [
            ("artifacts", "out/*.log"),
            ("missing", "version"),
            ("mistyped", "count"),
            ("link", "link"),
            ("inputs", "`no/such/*.txt` matches no file"),
        ] {
            let task = task(&detail, id);
            let reason = task.reason.clone().unwrap_or_default();
            assert!(task.state == TaskState::Completed && reason.contains(words), "{id}: {task:?}");
            assert!(task.artifacts.is_empty() && task.outputs.is_empty(), "{task:?}");
        }
        assert_eq!(task(&detail, "artifacts").attempts, 2);
        room.stop().await;
    });
}
