//! What tasks leave: outputs, files, logs, results for the cache; and secrets, which none of them shows.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use cis_core::api::{Attach, CreateRun, ListSessions, ReadLog, RunDetail};
use cis_core::event::{RunState, TaskState};
use serde_json::{Value, json};

use crate::harness::{Node, eventually, lines, on_a_runtime, problem_of, read, request_in, task};

const SECRET: &str = "hunter2-correct-horse";

fn dag(tasks: &str) -> String {
    format!("version = 1\n[dag]\nid = \"files\"\nmax_parallel = 4\n[dag.defaults]\ntty = false\n{tasks}")
}

/// A run with a secret in its environment.
fn with_secret(dir: &Path, text: &str) -> CreateRun {
    let env = [("PATH", "/usr/bin:/bin"), ("MY_TOKEN", SECRET)];
    let env: BTreeMap<String, String> = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    CreateRun { env: Some(env), ..request_in(dir, text) }
}

fn reason(run: &RunDetail, id: &str) -> String {
    task(run, id).reason.clone().unwrap_or_default()
}

#[test]
fn a_task_gets_what_its_needs_left_and_who_looks_sees_no_secret() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag(r#"
            [[tasks]]
            id = "build-it"
            tty = true
            secrets = { TOKEN = { env = "MY_TOKEN" }, KEY = { file = "key" } }
            outputs = { version = { type = "string" }, leak = { type = "string" }, sizes = { type = "json" } }
            script = '''
            test "$KEY" = key-of-a-file && printf '\033[1mbuilt\033[0m with %s\n' "$TOKEN"
            printf 'version=1.2 beta\nsizes={"a": 1}\nleak=%s!\n' "$TOKEN" >> "$CIS_OUTPUT"
            { echo 'notes<<END'; echo one; echo two; echo END; } >> "$CIS_OUTPUT"
            '''
            [[tasks]]
            id = "quiet"
            script = 'env | grep "^CIS_N" > quiet.env; env | grep MY_TOKEN >> quiet.env; true'
            [[tasks]]
            id = "use"
            needs = ["build-it", "quiet"]
            script = '''
            env | grep '^CIS_NEED' | sort > use.env
            cat "$CIS_CONTEXT" > context.json; stat -c %a "$CIS_CONTEXT" > mode; printf %s "$CIS_CONTEXT" > path
            printf %s {{ tasks.build-it.output }} > tail
            hex=$(printf %s "$CIS_NEED_BUILD_IT_LEAK" | od -An -tx1 | tr -d ' \n')
            echo "it leaks $CIS_NEED_BUILD_IT_LEAK and $hex"
            '''
            [[tasks]]
            id = "argument"
            needs = ["build-it"]
            allow_failure = true
            command = ["touch", "{{ tasks.build-it.outputs.leak }}"]
        "#);
        std::fs::write(dir.join("key"), "key-of-a-file\n").unwrap();
        let run = node.submit_as(with_secret(dir, &text)).await;
        let ended = node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(read(dir, "quiet.env"), "", "it needs nothing, and declares no secret");
        let leak = format!("CIS_NEED_BUILD_IT_LEAK={SECRET}!\n");
        assert!(read(dir, "use.env").contains(&leak), "the real value: {}", read(dir, "use.env"));
        assert!(read(dir, "use.env").starts_with("CIS_NEEDS=build-it quiet\n"));
        let context: Value = serde_json::from_str(&read(dir, "context.json")).unwrap();
        let built = &context["needs"]["build-it"];
        assert_eq!(
            (&built["outputs"]["leak"], &built["outputs"]["sizes"]["a"]),
            (&json!(format!("{SECRET}!")), &json!(1))
        );
        assert_eq!(
            (&built["outputs"]["notes"], &built["output"]),
            (&json!("one\ntwo"), &json!("built with ***\n"))
        );
        assert_eq!(
            (read(dir, "tail"), read(dir, "mode")),
            ("built with ***\n".to_owned(), "600\n".to_owned())
        );
        let context_file = dir.join(read(dir, "path"));
        eventually("the file goes with its session", async || (!context_file.exists()).then_some(())).await;
        assert_eq!(task(&ended, "argument").state, TaskState::Completed);
        assert!(reason(&ended, "argument").contains("holds a secret"), "{}", reason(&ended, "argument"));
        let client = &node.client;
        let shown = [
            serde_json::to_string(&ended).unwrap(),
            serde_json::to_string(&client.task_context(&run, "use").await.unwrap()).unwrap(),
            serde_json::to_string(&client.run_history(&run, None).await.unwrap()).unwrap(),
            serde_json::to_string(
                &client.sessions(&ListSessions { all: true, ..Default::default() }).await.unwrap(),
            )
            .unwrap(),
            node.log_of(&run, "build-it").await,
            node.log_of(&run, "use").await,
        ];
        assert!(shown[1].contains("***!") && shown[1].contains("1.2 beta"), "{}", shown[1]);
        assert!(
            shown[5].contains("it leaks *** and") || shown[5].contains("it leaks ***! and"),
            "{}",
            shown[5]
        );
        for text in shown {
            assert!(!text.contains(SECRET) && !text.contains("68756e74657232"), "{text}");
        }
        let typo = problem_of(client.task_context(&run, "usee").await);
        assert_eq!(typo.status, 404, "{typo:?}");
        node.stop().await;
    });
}

#[test]
fn outputs_must_be_there_as_declared_and_a_missing_secret_stops_its_task() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag(r#"
            [[tasks]]
            id = "missing"
            outputs = { count = { type = "integer" } }
            command = ["true"]
            [[tasks]]
            id = "wrong"
            outputs = { count = { type = "integer" } }
            script = 'echo count=many >> "$CIS_OUTPUT"'
            [[tasks]]
            id = "form"
            script = 'echo "no assignment" >> "$CIS_OUTPUT"'
            [[tasks]]
            id = "named"
            secrets = { TOKEN = { env = "MY_TOKEN" } }
            script = 'echo "$(echo $TOKEN | tr - _)=1" >> "$CIS_OUTPUT"; echo "$TOKEN=1" >> "$CIS_OUTPUT"'
            [[tasks]]
            id = "unset"
            secrets = { TOKEN = { env = "NO_SUCH_VARIABLE" } }
            script = 'echo x > ran'
            [[tasks]]
            id = "nofile"
            secrets = { TOKEN = { file = "no-such-file" } }
            script = 'echo x > ran'
            [[tasks]]
            id = "nowhere"
            cwd = "no/such/directory"
            script = 'echo x > ran'
        "#);
        let run = node.submit_as(with_secret(dir, &text)).await;
        let ended = eventually("the run has ended", async || {
            let detail = node.client.run(&run).await.unwrap();
            detail.run.state.is_terminal().then_some(detail)
        })
        .await;
        for (id, said) in [
            ("missing", "count"),
            ("wrong", "integer"),
            ("form", "name=value"),
            ("unset", "NO_SUCH_VARIABLE"),
            ("nofile", "no-such-file"),
            ("nowhere", "no/such/directory"),
        ] {
            let state = task(&ended, id).state;
            assert!([TaskState::Failed, TaskState::Error].contains(&state), "{id}: {state:?}");
            assert!(
                reason(&ended, id).to_lowercase().contains(&said.to_lowercase()),
                "{id}: {}",
                reason(&ended, id)
            );
        }
        assert!(!serde_json::to_string(&ended).unwrap().contains(SECRET), "{ended:?}");
        assert_eq!(task(&ended, "named").state, TaskState::Failed);
        assert_eq!(read(dir, "ran"), "");
        node.stop().await;
    });
}

#[test]
fn files_that_match_are_kept_as_they_were_and_what_cannot_be_kept_fails_its_task() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        std::fs::write(dir.join("outside"), "not yours").unwrap();
        std::fs::create_dir(dir.join("work")).unwrap();
        symlink(dir.join("outside"), dir.join("work/link")).unwrap();
        let text = dag(r#"
            [[tasks]]
            id = "make"
            cwd = "work"
            artifacts = ["out/**", "*.{log,xml}"]
            script = '''
            mkdir -p out/b && echo text > out/b/z && echo '#!/bin/sh' > out/run && chmod +x out/run
            cp -P link out/link; ln -s / out/root; echo log > a.log; echo txt > a.txt
            '''
            [[tasks]]
            id = "later"
            needs = ["make"]
            script = 'echo changed > work/out/b/z; cat "$CIS_CONTEXT" > context.json'
            [[tasks]]
            id = "none"
            allow_failure = true
            artifacts = ["nothing/*"]
            command = ["true"]
            [[tasks]]
            id = "linked"
            allow_failure = true
            artifacts = ["symbolic"]
            script = "ln -s /etc/passwd symbolic"
            [[tasks]]
            id = "failed"
            allow_failure = true
            artifacts = ["left"]
            script = "echo x > left; exit 3"
            [[tasks]]
            id = "secret"
            allow_failure = true
            secrets = { TOKEN = { env = "MY_TOKEN" } }
            artifacts = ["names/**"]
            script = 'mkdir -p names; touch "names/$TOKEN"'
        "#);
        let run = node.submit_as(with_secret(dir, &text)).await;
        let ended = node.reaches(&run, RunState::Succeeded).await;
        let kept: Vec<_> = task(&ended, "make")
            .artifacts
            .iter()
            .map(|file| (file.path.as_str(), file.size, file.executable))
            .collect();
        assert_eq!(kept, [("a.log", 4, false), ("out/b/z", 5, false), ("out/run", 10, true)]);
        assert_eq!(
            node.artifact_of(&run, "make", "out/b/z").await,
            b"text\n",
            "as it was at the end of its task"
        );
        let blob = task(&ended, "make").artifacts[2].blob.to_string();
        assert_eq!(node.artifact_of(&run, "make", &blob).await, b"#!/bin/sh\n");
        let context: Value = serde_json::from_str(&read(dir, "context.json")).unwrap();
        assert_eq!(context["needs"]["make"]["artifacts"], json!(["a.log", "out/b/z", "out/run"]));
        for (id, said) in [
            ("none", "`nothing/*` matches no file"),
            ("linked", "links are not followed"),
            ("failed", "3"),
            ("secret", "***"),
        ] {
            let left = task(&ended, id);
            assert_eq!((left.state, left.artifacts.len()), (TaskState::Completed, 0), "{id}");
            assert!(reason(&ended, id).contains(said), "{id}: {}", reason(&ended, id));
        }
        assert!(!serde_json::to_string(&ended).unwrap().contains(SECRET));
        let unknown = problem_of(node.client.artifact(&run, "make", "a.txt").await);
        assert_eq!(unknown.status, 404, "{unknown:?}");
        let above = dag("[[tasks]]\nid = \"b\"\ncommand = [\"true\"]\nartifacts = [\"../x\"]\n");
        assert_eq!(problem_of(node.client.create_run(&request_in(dir, &above)).await).status, 400);
        node.stop().await;
    });
}

const CACHED: &str = r#"
[[tasks]]
id = "build"
inputs = ["src/**"]
cache = { key = "auto" }
artifacts = ["out/**"]
outputs = { lines = { type = "integer" } }
script = '''
echo ran >> ran
mkdir -p out && cat src/* > out/all && cp out/all out/copy && chmod +x out/copy
echo "lines=$(cat src/* | wc -l)" >> "$CIS_OUTPUT"
echo "built it"
'''
[[tasks]]
id = "use"
needs = ["build"]
script = '''
printf "%s of %s" {{ tasks.build.outputs.lines }} "$(cat out/all)" > used
printf %s {{ tasks.build.output }} > tail
'''
"#;

#[test]
fn the_same_inputs_give_the_earlier_result_without_running_and_other_ones_do_not() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        std::fs::create_dir(dir.join("src")).unwrap();
        std::fs::write(dir.join("src/a"), "one\n").unwrap();
        let of = async |request: CreateRun| {
            let run = node.submit_as(request).await;
            let ended = node.reaches(&run, RunState::Succeeded).await;
            task(&ended, "build").clone()
        };
        let of_file = |text: String| CreateRun { umask: Some(0o022), ..request_in(dir, &text) };
        let request = || of_file(dag(CACHED));
        let first = of(request()).await;
        assert_eq!((first.state, lines(&dir.join("ran")).len()), (TaskState::Succeeded, 1));
        std::fs::remove_dir_all(dir.join("out")).unwrap();
        let second = of(request()).await;
        assert_eq!(
            (second.state, lines(&dir.join("ran")).len()),
            (TaskState::Completed, 1),
            "it did not run"
        );
        assert!(second.reason.unwrap().contains("cached"));
        assert_eq!((&second.outputs, &second.artifacts), (&first.outputs, &first.artifacts));
        assert_eq!((read(dir, "used"), read(dir, "tail")), ("1 of one".to_owned(), "built it\n".to_owned()));
        let mode = |name: &str| std::fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o111;
        assert_eq!((mode("out/all"), mode("out/copy")), (0, 0o111));
        std::fs::write(dir.join("src/a"), "one\ntwo\n").unwrap();
        assert_eq!(of(request()).await.state, TaskState::Succeeded);
        assert_eq!((lines(&dir.join("ran")).len(), read(dir, "used").as_str()), (2, "2 of one\ntwo"));
        std::fs::write(dir.join("src/a"), "one\n").unwrap();
        assert_eq!(of(request()).await.state, TaskState::Completed, "what was once made is found again");
        assert_eq!(read(dir, "used"), "1 of one", "and its files are the old ones");
        let fresh = CreateRun { no_cache: true, ..request() };
        assert_eq!((of(fresh).await.state, lines(&dir.join("ran")).len()), (TaskState::Succeeded, 3));
        let other = of_file(dag(CACHED).replace("built it", "built this"));
        assert_eq!(
            (of(other).await.state, lines(&dir.join("ran")).len()),
            (TaskState::Succeeded, 4),
            "another script"
        );
        // A file that is no cause to run: it lies where the cache puts its own.
        std::fs::remove_dir_all(dir.join("out")).unwrap();
        std::fs::write(dir.join("out"), "in the way").unwrap();
        std::fs::write(dir.join("src/b"), "").unwrap();
        std::fs::remove_file(dir.join("src/b")).unwrap();
        let blocked = node.submit_as(request()).await;
        node.reaches(&blocked, RunState::Failed).await;
        assert_eq!(lines(&dir.join("ran")).len(), 5, "where it cannot be put back, the task runs");
        std::fs::remove_file(dir.join("out")).unwrap();
        // A damaged entry is no result.
        for folder in std::fs::read_dir(dir.join("home/cache")).unwrap() {
            for entry in std::fs::read_dir(folder.unwrap().path()).unwrap() {
                std::fs::write(entry.unwrap().path(), "damaged").unwrap();
            }
        }
        assert_eq!((of(request()).await.state, lines(&dir.join("ran")).len()), (TaskState::Succeeded, 6));
        assert_eq!(of(request()).await.state, TaskState::Completed, "it was kept anew");
        node.stop().await;
    });
}

#[test]
fn contents_decide_whether_a_result_is_used_again_and_not_times_or_places() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag("[[tasks]]\nid = \"build\"\ninputs = [\"src/**\"]\ncache = { key = \"auto\" }\n\
                        script = 'cat src/a src/b/c >> ran; cp src/a out'\nartifacts = [\"out\"]\n");
        let build = async || {
            let run = node.submit_in(dir, &text).await;
            task(&node.reaches(&run, RunState::Succeeded).await, "build").state
        };
        let (src, away) = (dir.join("src"), dir.join("away"));
        let before = SystemTime::now() - Duration::from_secs(3600);
        let write = |path: &Path, content: &str| {
            std::fs::write(path, content).unwrap();
            File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
        };
        std::fs::create_dir_all(src.join("b")).unwrap();
        write(&src.join("a"), "one\n");
        write(&src.join("b/c"), "c\n");
        assert_eq!(build().await, TaskState::Succeeded);
        // Away and back: the same files.
        std::fs::rename(&src, &away).unwrap();
        std::fs::rename(&away, &src).unwrap();
        assert_eq!(build().await, TaskState::Completed);
        // A copy in its place: other inodes and times.
        std::fs::rename(&src, &away).unwrap();
        std::fs::create_dir_all(src.join("b")).unwrap();
        for name in ["a", "b/c"] {
            std::fs::copy(away.join(name), src.join(name)).unwrap();
        }
        assert_eq!(build().await, TaskState::Completed);
        // The first one again, with another content of the same size and time.
        std::fs::remove_dir_all(&src).unwrap();
        std::fs::rename(&away, &src).unwrap();
        write(&src.join("a"), "two\n");
        assert_eq!(build().await, TaskState::Succeeded);
        assert_eq!(read(dir, "out"), "two\n");
        write(&src.join("a"), "one\n");
        assert_eq!(build().await, TaskState::Completed);
        assert_eq!(read(dir, "out"), "one\n");
        // Another file of the same size and time takes the place of one further below.
        write(&dir.join("d"), "d\n");
        std::fs::rename(dir.join("d"), src.join("b/c")).unwrap();
        assert_eq!(build().await, TaskState::Succeeded);
        assert_eq!(lines(&dir.join("ran")), ["one", "c", "two", "c", "one", "d"]);
        node.stop().await;
    });
}

#[test]
fn a_key_of_words_serves_its_own_task_and_items_while_it_is_young_enough() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = |list: &str, ttl: &str| {
            dag(&format!(
                "[[tasks]]\nid = \"each\"\nforeach = {list}\ncache = {{ key = \"v1-{{{{ item }}}}\" {ttl} }}\n\
                 script = 'echo {{{{ item }}}} >> ran; echo up={{{{ item | upper }}}} >> \"$CIS_OUTPUT\"'\n\
                 outputs = {{ up = {{ type = \"string\" }} }}\n\
                 [[tasks]]\nid = \"bad\"\nallow_failure = true\ncache = {{ key = \"v1-a\" }}\n\
                 script = 'echo bad >> ran; exit 1'\n"
            ))
        };
        let up = async |text: String| {
            let run = node.submit_in(dir, &text).await;
            let ended = node.reaches(&run, RunState::Succeeded).await;
            task(&ended, "each").outputs["up"].clone()
        };
        assert_eq!(up(text(r#"["a", "b"]"#, "")).await, json!(["A", "B"]));
        assert_eq!(up(text(r#"["a", "b"]"#, "")).await, json!(["A", "B"]));
        let ran = |what: &str| read(dir, "ran").lines().filter(|line| *line == what).count();
        assert_eq!((ran("a"), ran("b"), ran("bad")), (1, 1, 2), "a failure is not kept");
        assert_eq!(up(text(r#"["a", "c"]"#, "")).await, json!(["A", "C"]));
        assert_eq!((ran("a"), ran("c")), (1, 1));
        let aged = async || up(text(r#"["a", "c"]"#, ", ttl = \"1ms\"")).await;
        assert_eq!(aged().await, json!(["A", "C"]));
        assert_eq!((ran("a"), ran("c")), (2, 2), "too old");
        // A glob that matches nothing would leave out what was meant.
        let typo = dag("[[tasks]]\nid = \"a\"\ninputs = [\"scr/**\"]\ncache = true\ncommand = [\"true\"]\n");
        let run = node.submit_in(dir, &typo).await;
        let ended = node.reaches(&run, RunState::Failed).await;
        assert!(reason(&ended, "a").contains("scr/**"), "{}", reason(&ended, "a"));
        let changes = dag(
            "[[tasks]]\nid = \"a\"\ninputs = [\"in\"]\ncache = true\nscript = 'echo a >> changed; echo more >> in'\n",
        );
        std::fs::write(dir.join("in"), "").unwrap();
        for times in 1..=2 {
            let run = node.submit_in(dir, &changes).await;
            node.reaches(&run, RunState::Succeeded).await;
            assert_eq!(lines(&dir.join("changed")).len(), times);
            let why = node.client.why(&run, "a").await.unwrap().because.join(" ");
            assert!(why.contains("in") && why.contains("not"), "{why}");
            std::fs::write(dir.join("in"), "").unwrap();
        }
        node.stop().await;
    });
}

#[test]
fn a_log_is_read_in_parts_and_by_attempt_without_secrets_that_were_written_in_pieces() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &["node.log_limit=64KiB"]).await;
        let client = &node.client;
        let text = dag(r#"
            [[tasks]]
            id = "tries"
            retries = { count = 1, delay = "10ms" }
            script = "echo attempt {{ attempt }}; test {{ attempt }} = 2"
            [[tasks]]
            id = "slow"
            secrets = { TOKEN = { env = "MY_TOKEN" } }
            script = '''
            printf 'first hunter2-cor'; touch began
            until [ -e go ]; do sleep 0.05; done
            printf 'rect-horse then hunter2-nothing\n'
            '''
            [[tasks]]
            id = "loud"
            script = "echo begins; head -c 300000 /dev/zero | tr '\\0' x; echo; echo ends"
            [[tasks]]
            id = "drawn"
            tty = true
            script = '''printf '\033[1;31mred\033[0m\r\nplain\n\033]0;title\007' '''
        "#);
        let run = node.submit_as(with_secret(dir, &text)).await;
        eventually("it has begun", async || dir.join("began").exists().then_some(())).await;
        std::fs::write(dir.join("go"), "").unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(node.log_of(&run, "slow").await, "first *** then hunter2-nothing\n");
        let log = async |id: &str, how: ReadLog| node.log_as(&run, id, &how).await;
        let attempt = |number| ReadLog { attempt: Some(number), ..ReadLog::default() };
        assert_eq!(log("tries", attempt(1)).await, "attempt 1\n");
        assert_eq!(log("tries", attempt(2)).await, "attempt 2\n");
        assert_eq!(problem_of(client.task_log(&run, "tries", &attempt(3)).await.map(drop)).status, 404);
        let from = ReadLog { from: Some(8), ..ReadLog::default() };
        assert_eq!(log("tries", from).await, "2\n");
        let loud = log("loud", ReadLog::default()).await;
        assert!(loud.starts_with("begins\n") && loud.ends_with("\nends\n"), "both ends are kept");
        assert!(loud.len() < 70_000, "{} bytes", loud.len());
        let colors = ReadLog { colors: true, ..ReadLog::default() };
        let drawn = [node.log_of(&run, "drawn").await, log("drawn", colors).await];
        assert_eq!(drawn[0], "red\nplain\n");
        assert!(drawn[1].contains("\u{1b}[") && drawn[1].contains("red"), "{:?}", drawn[1]);
        assert!(!drawn[1].contains("title"), "{:?}", drawn[1]);
        node.stop().await;
    });
}

#[test]
fn an_attached_terminal_shows_its_session_without_the_secrets_of_its_run() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let client = &node.client;
        let text = dag(r#"
            [[tasks]]
            id = "shows"
            tty = true
            secrets = { TOKEN = { env = "MY_TOKEN" } }
            script = '''
            echo "it is $TOKEN."; stty size
            read -r a; echo "now $a $TOKEN."; stty size > size
            '''
        "#);
        let run = node.submit_as(with_secret(dir, &text)).await;
        let session = node.task_is(&run, "shows", TaskState::Running).await.session.unwrap().to_string();
        eventually("it has written", async || {
            client.screen(&session).await.is_ok_and(|screen| screen.contains("it is")).then_some(())
        })
        .await;
        let screen = client.screen(&session).await.unwrap();
        assert!(!screen.contains("hunter2"), "{screen}");
        let how = Attach { cols: Some(100), rows: Some(30), ..Attach::default() };
        let mut terminal = client.attach(&session, &how).await.unwrap();
        terminal.type_bytes(b"typed\r");
        let (mut seen, mut over) = (Vec::new(), None);
        loop {
            match terminal.next().await.unwrap() {
                cis_client::AttachFrame::Bytes(bytes) => seen.extend_from_slice(&bytes),
                cis_client::AttachFrame::Notice(cis_core::api::AttachNotice::Ended { exit_code, .. }) => {
                    over = Some(exit_code);
                }
                cis_client::AttachFrame::Notice(_) => {}
                cis_client::AttachFrame::Closed => break,
            }
        }
        let seen = String::from_utf8_lossy(&seen).into_owned();
        assert!(seen.contains("now typed") && !seen.contains("hunter2"), "{seen}");
        assert_eq!(over, Some(Some(0)));
        assert_eq!(read(dir, "size"), "30 100\n", "the session has the size of its terminal");
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(problem_of(client.attach(&session, &how).await).status, 409);
        node.stop().await;
    });
}
