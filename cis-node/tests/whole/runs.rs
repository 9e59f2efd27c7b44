//! Runs of one node: order, failure, retries, limits, and what people do to them.

use std::collections::BTreeMap;
use std::path::Path;

use cis_core::api::{
    CancelRun, CreateRun, Decide, GroupPlace, KillSession, ListRuns, ListSessions, ListTasks, ReadTime,
    RetryRun,
};
use cis_core::dag::Group;
use cis_core::event::{RetryScope, RunState, TaskState};
use cis_core::ids::{InputId, TaskId};
use serde_json::json;

use crate::harness::{Node, eventually, lines, on_a_runtime, problem_of, read, request, request_in, task};

/// A file of these tasks.
fn dag(tasks: &str) -> String {
    format!("version = 1\n[dag]\nid = \"runs\"\nmax_parallel = 4\n[dag.defaults]\ntty = false\n{tasks}")
}

/// A task that goes on until there is a file of this name.
fn waits(id: &str, file: &str) -> String {
    format!(
        "[[tasks]]\nid = \"{id}\"\nscript = 'echo {id} >> began; until [ -e {file} ]; do sleep 0.05; done'\n"
    )
}

fn open(dir: &Path, file: &str) {
    std::fs::write(dir.join(file), "").unwrap();
}

/// States of all tasks of a run, as `id=state`.
async fn states(node: &Node, run: &str) -> String {
    let tasks = node.client.run(run).await.unwrap().tasks;
    tasks.iter().map(|task| format!("{}={}", task.id, task.state.as_str())).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_a_task_needs_runs_before_it_and_what_failed_stops_the_rest() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let good = node
            .submit_in(
                dir,
                &dag("[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = 'echo b >> order'\n\
                      [[tasks]]\nid = \"a\"\nscript = 'echo a >> order'\n"),
            )
            .await;
        let run = node.reaches(&good, RunState::Succeeded).await;
        assert!(task(&run, "a").ended_ms <= task(&run, "b").started_ms);
        assert_eq!(read(dir, "order"), "a\nb\n");
        let bad = dag(r#"
            [dag.on]
            failure = "report"
            success = "praise"
            always = "sweep"
            [[tasks]]
            id = "bad"
            script = "exit 3"
            [[tasks]]
            id = "next"
            needs = ["bad"]
            command = ["true"]
            [[tasks]]
            id = "rescue"
            needs = ["bad"]
            trigger = "one_failed"
            command = ["true"]
            [[tasks]]
            id = "other"
            command = ["true"]
            [[tasks]]
            id = "idle"
            needs = ["other"]
            trigger = "one_failed"
            command = ["true"]
            [[tasks]]
            id = "optional"
            allow_failure = true
            command = ["/missing/program"]
            [[tasks]]
            id = "after"
            needs = ["optional"]
            command = ["true"]
            [[tasks]]
            id = "report"
            script = "echo report >> handlers"
            [[tasks]]
            id = "praise"
            script = "echo praise >> handlers"
            [[tasks]]
            id = "sweep"
            script = "echo sweep >> handlers"
        "#);
        let run = node.submit_in(dir, &bad).await;
        let ended = node.reaches(&run, RunState::Failed).await;
        assert_eq!(
            states(&node, &run).await,
            "bad=failed next=cancelled rescue=succeeded other=succeeded idle=completed optional=completed \
             after=succeeded report=succeeded praise=completed sweep=succeeded"
        );
        assert_eq!(read(dir, "handlers"), "report\nsweep\n");
        assert_eq!(task(&ended, "bad").exit_code, Some(3));
        assert!(ended.run.detail.unwrap().contains("bad"));
        let why = node.client.why(&run, "next").await.unwrap();
        assert!(why.because.join(" ").contains("bad"), "{why:?}");
        node.stop().await;
    });
}

#[test]
fn a_retry_runs_what_did_not_succeed_or_all_from_a_task_and_nothing_else() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag(r#"
            [[tasks]]
            id = "first"
            script = "echo x >> first"
            [[tasks]]
            id = "second"
            needs = ["first"]
            script = "echo x >> second; test -e good"
            [[tasks]]
            id = "third"
            needs = ["second"]
            script = "echo x >> third"
        "#);
        let run = node.submit_in(dir, &text).await;
        node.reaches(&run, RunState::Failed).await;
        let counts = || ["first", "second", "third"].map(|name| lines(&dir.join(name)).len());
        assert_eq!(counts(), [1, 1, 0]);
        open(dir, "good");
        let retry = async |scope: RetryScope| node.client.retry_run(&run, &RetryRun { scope }).await;
        let expected = [
            (RetryScope::Failed, [1, 2, 1]),
            (RetryScope::From { task: TaskId::new("second").unwrap(), also: vec![] }, [1, 3, 2]),
            (RetryScope::All, [2, 4, 3]),
        ];
        for (scope, expected) in expected {
            assert_eq!(retry(scope).await.unwrap().state, RunState::Running);
            let ended = node.reaches(&run, RunState::Succeeded).await;
            assert_eq!(counts(), expected);
            assert_eq!(task(&ended, "second").attempts, u32::try_from(expected[1]).unwrap());
        }
        let unknown =
            problem_of(retry(RetryScope::From { task: TaskId::new("secnod").unwrap(), also: vec![] }).await);
        assert!(unknown.detail.contains("secnod"), "{unknown:?}");
        let nothing = problem_of(retry(RetryScope::Failed).await);
        assert_eq!(nothing.status, 409, "all of it succeeded: {nothing:?}");
        // What people asked for is in its history, in that order.
        let history = node.client.run_history(&run, None).await.unwrap();
        let actions: Vec<&str> = history.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["created", "started", "retried", "retried", "retried"]);
        node.stop().await;
    });
}

#[test]
fn parameters_are_checked_before_there_is_a_run_and_reach_its_tasks() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = r#"
            version = 1
            [dag]
            id = "params"
            [dag.params]
            branch = { type = "string", default = "main" }
            count = { type = "integer" }
            names = { type = "list", default = ["a"] }
            [[tasks]]
            id = "show"
            tty = false
            command = ["echo", "{{ params.branch }}", "{{ params.count + 1 }}", "{{ params.names | join('+') }}"]
        "#;
        let with = |params: &[(&str, &str)]| CreateRun {
            params: params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..request_in(dir, text)
        };
        for (params, said) in [
            (&[][..], "count"),
            (&[("count", "many")], "integer"),
            (&[("count", "1"), ("brnach", "x")], "brnach"),
            (&[("count", "1"), ("names", "a")], "names"),
        ] {
            let refused = problem_of(node.client.create_run(&with(params)).await);
            assert_eq!(refused.status, 400, "{refused:?}");
            assert!(refused.detail.contains(said), "{refused:?}");
        }
        assert!(node.client.runs(&ListRuns::default()).await.unwrap().items.is_empty());
        let given = [("count", "41"), ("branch", "$(id) x"), ("names", r#"["b", "c"]"#)];
        let run = node.submit_as(with(&given)).await;
        let ended = node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(ended.params["count"], json!(41));
        assert_eq!(node.log_of(&run, "show").await, "$(id) x 42 b+c\n", "a value is no code");
        node.stop().await;
    });
}

#[test]
fn a_file_with_errors_is_refused_with_the_lines_and_one_that_is_only_checked_makes_no_run() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let wrong = "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\nneed = [\"b\"]\ncommand = [\"true\"]\n\
                     [[tasks]]\nid = \"b\"\nneeds = [\"c\"]\ncommand = [\"true\"]\n";
        let refused = problem_of(node.client.create_run(&request(wrong)).await);
        assert_eq!((refused.status, refused.kind.as_str()), (400, "bad-input"));
        let found: Vec<(u32, &str)> =
            refused.diagnostics.iter().map(|one| (one.line, one.message.as_str())).collect();
        assert!(
            found.iter().any(|(line, said)| *line == 6 && said.contains("did you mean `needs`")),
            "{found:?}"
        );
        assert!(refused.diagnostics.iter().all(|one| one.file == "test.toml"), "{refused:?}");
        let cycle = dag("[[tasks]]\nid = \"a\"\nneeds = [\"b\"]\ncommand = [\"true\"]\n\
                         [[tasks]]\nid = \"b\"\nneeds = [\"a\"]\ncommand = [\"true\"]\n");
        let refused = problem_of(node.client.create_run(&request(&cycle)).await);
        assert!(refused.diagnostics[0].message.contains("a → b → a"), "{refused:?}");
        let no_text = CreateRun { text: b"version = 1\n\xff".to_vec(), ..request("") };
        assert_eq!(problem_of(node.client.create_run(&no_text).await).status, 400);
        let relative = CreateRun { workdir: "here".to_owned(), ..request(&dag(&waits("a", "/"))) };
        let refused = problem_of(node.client.create_run(&relative).await);
        assert!(refused.detail.contains("`here` is not absolute"), "{refused:?}");
        assert_eq!(problem_of(node.client.validate_run(&request(&cycle)).await).status, 400);
        node.client.validate_run(&request(&dag(&waits("a", "/")))).await.unwrap();
        let checks = CreateRun { validate_only: true, ..request(&dag(&waits("a", "/"))) };
        let refused = problem_of(node.client.create_run(&checks).await);
        assert!(refused.hint.unwrap().contains("validate_run"));
        assert!(node.client.runs(&ListRuns::default()).await.unwrap().items.is_empty());
        node.stop().await;
    });
}

#[test]
fn a_request_that_comes_again_counts_once_and_its_key_serves_nothing_else() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let input: InputId = serde_json::from_value(json!("01K00000000000000000000008")).unwrap();
        let run =
            CreateRun { input, ..request_in(dir, &dag("[[tasks]]\nid = \"a\"\nscript = 'echo x >> ran'\n")) };
        let first = node.client.create_run(&run).await.unwrap();
        node.reaches(&first.id.to_string(), RunState::Succeeded).await;
        assert_eq!(node.client.create_run(&run).await.unwrap().id, first.id);
        let other = CreateRun { source: "other.toml".to_owned(), ..run.clone() };
        let refused = problem_of(node.client.create_run(&other).await);
        assert_eq!((refused.status, refused.kind.as_str()), (409, "key-reused"));
        node.leave().await;
        let node = Node::local(&dir.join("home"), &[]).await;
        assert_eq!(node.client.create_run(&run).await.unwrap().id, first.id, "after a restart");
        assert_eq!(lines(&dir.join("ran")).len(), 1);
        assert_eq!(node.client.runs(&ListRuns::default()).await.unwrap().items.len(), 1);
        node.stop().await;
    });
}

#[test]
fn an_attempt_is_repeated_for_the_reasons_that_its_task_lists_and_after_the_delay() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let retries = "backoff = \"fixed\", delay = \"300ms\", jitter = false";
        let text = dag(&format!(
            r#"
            [[tasks]]
            id = "flaky"
            retries = {{ count = 3, {retries} }}
            script = "echo {{{{ attempt }}}} $(date +%s%3N) >> flaky; test {{{{ attempt }}}} -ge 3"
            [[tasks]]
            id = "listed"
            retries = {{ count = 1, on = ["exit:75"], {retries} }}
            script = "echo x >> listed; exit 75"
            [[tasks]]
            id = "unlisted"
            retries = {{ count = 3, on = ["exit:75", "timeout"], {retries} }}
            script = "echo x >> unlisted; exit 4"
            [[tasks]]
            id = "slow"
            timeout = "200ms"
            retries = {{ count = 1, on = ["timeout"], {retries} }}
            script = "echo x >> slow; exec sleep 100"
            [[tasks]]
            id = "silent"
            idle = "300ms"
            command = ["sleep", "100"]
            "#
        ));
        let run = node.submit_in(dir, &text).await;
        let ended = node.reaches(&run, RunState::Failed).await;
        let times: Vec<i64> = lines(&dir.join("flaky"))
            .iter()
            .zip(1..)
            .map(|(line, n)| line.strip_prefix(&format!("{n} ")).unwrap().parse().unwrap())
            .collect();
        assert_eq!(times.len(), 3, "it ends with its success");
        assert!(times.windows(2).all(|two| two[1] - two[0] >= 300), "{times:?}");
        let ran = ["listed", "unlisted", "slow"].map(|name| lines(&dir.join(name)).len());
        assert_eq!(ran, [2, 1, 2]);
        let of = |id: &str| {
            let task = task(&ended, id);
            (task.state, task.attempts, task.reason.clone().unwrap_or_default())
        };
        assert_eq!(of("flaky").0, TaskState::Succeeded);
        assert_eq!((of("listed").0, of("listed").1), (TaskState::Failed, 2));
        for id in ["slow", "silent"] {
            let (state, _, reason) = of(id);
            assert_eq!(state, TaskState::Failed);
            assert!(reason.contains("0.2s") || reason.contains("0.3s"), "{id}: {reason}");
        }
        node.stop().await;
    });
}

#[test]
fn a_run_that_takes_too_long_ends_its_tasks_and_then_runs_its_handlers() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = format!(
            "version = 1\n[dag]\nid = \"slow\"\ntimeout = \"300ms\"\n[dag.on]\nfailure = \"report\"\n\
             [dag.defaults]\ntty = false\n{}[[tasks]]\nid = \"next\"\nneeds = [\"long\"]\ncommand = [\"true\"]\n\
             [[tasks]]\nid = \"report\"\nscript = 'sleep 0.3; echo late >> reported'\n",
            waits("long", "never")
        );
        let run = node.submit_in(dir, &text).await;
        let ended = node.reaches(&run, RunState::Failed).await;
        let detail = ended.run.detail.unwrap();
        assert!(detail.contains("its timeout of 0.3s"), "{detail}");
        assert_eq!(states(&node, &run).await, "long=cancelled next=cancelled report=succeeded");
        assert_eq!(read(dir, "reported"), "late\n");
        node.stop().await;
    });
}

#[test]
fn a_cancelled_run_ends_its_sessions_and_still_cleans_up_unless_it_is_to_end_now() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag(&format!(
            "[dag.on]\ncancel = \"told\"\n{}{}{}",
            "[[tasks]]\nid = \"long\"\nscript = 'trap \"echo term >> seen; exit 0\" TERM; echo $$ > pid; \
             while :; do sleep 0.05; done'\n",
            "[[tasks]]\nid = \"clean\"\nneeds = [\"long\"]\ntrigger = \"always\"\n\
             script = 'echo clean >> seen; until [ -e cleaned ]; do sleep 0.05; done'\n",
            "[[tasks]]\nid = \"told\"\nscript = 'echo told >> seen'\n"
        ));
        let begin = async || {
            let _ = std::fs::remove_file(dir.join("seen"));
            let _ = std::fs::remove_file(dir.join("pid"));
            let run = node.submit_in(dir, &text).await;
            eventually("it runs", async || (!read(dir, "pid").is_empty()).then_some(())).await;
            run
        };
        let run = begin().await;
        let pid = read(dir, "pid").trim().to_owned();
        let cancelled = node.client.cancel_run(&run, CancelRun { now: false }).await.unwrap();
        assert!(cancelled.cancelling, "{cancelled:?}");
        eventually("it cleans up", async || read(dir, "seen").contains("clean").then_some(())).await;
        assert!(!Path::new("/proc").join(&pid).exists(), "its session is over before");
        assert_eq!(node.client.run(&run).await.unwrap().run.state, RunState::Running);
        open(dir, "cleaned");
        node.reaches(&run, RunState::Cancelled).await;
        assert_eq!(lines(&dir.join("seen")), ["term", "clean", "told"]);
        let late = problem_of(node.client.cancel_run(&run, CancelRun::default()).await);
        assert_eq!(late.status, 409);
        assert!(late.detail.contains("has ended (cancelled)"), "{late:?}");
        std::fs::remove_file(dir.join("cleaned")).unwrap();
        let run = begin().await;
        node.client.cancel_run(&run, CancelRun { now: false }).await.unwrap();
        eventually("it cleans up", async || read(dir, "seen").contains("clean").then_some(())).await;
        node.client.cancel_run(&run, CancelRun { now: true }).await.unwrap();
        node.reaches(&run, RunState::Cancelled).await;
        assert_eq!(states(&node, &run).await, "long=cancelled clean=cancelled told=cancelled");
        node.stop().await;
    });
}

#[test]
fn what_waits_for_its_start_does_not_start_once_its_run_is_cancelled() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &["node.max_sessions=2"]).await;
        let live = ListSessions::default();
        let after = "[[tasks]]\nid = \"later\"\nneeds = [\"gate\"]\nscript = 'echo later >> began'\n";
        let text = dag(&format!(
            "{}{}{}[[tasks]]\nid = \"gate\"\napproval = {{ prompt = \"Go?\" }}\nscript = 'echo gate >> began'\n{after}",
            waits("a", "never"),
            waits("b", "never"),
            waits("c", "never")
        ));
        for now in [false, true] {
            let _ = std::fs::remove_file(dir.join("began"));
            let run = node.submit_in(dir, &text).await;
            let asked = node.question(&run).await;
            eventually("two run", async || (lines(&dir.join("began")).len() == 2).then_some(())).await;
            assert_eq!(node.client.task(&run, "c").await.unwrap().session, None);
            node.client.cancel_run(&run, CancelRun { now }).await.unwrap();
            node.reaches(&run, RunState::Cancelled).await;
            let all = "a=cancelled b=cancelled c=cancelled gate=cancelled later=cancelled";
            assert_eq!(states(&node, &run).await, all);
            let approve = Decide { approve: true, reason: None };
            let late = problem_of(node.client.decide(&run, "gate", &approve).await);
            assert_eq!(late.status, 409, "{late:?}");
            assert!(node.client.inbox_item(&asked.id.to_string()).await.unwrap().closed.is_some());
            assert!(node.client.sessions(&live).await.unwrap().items.is_empty());
            assert_eq!(lines(&dir.join("began")).len(), 2);
        }
        node.stop().await;
    });
}

/// Short tasks: while one runs, the session host has the next ones.
const MANY: usize = 300;

#[test]
fn what_waits_at_the_session_host_does_not_start_once_its_run_is_cancelled_or_paused() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let each = format!(
            "[[tasks]]\nid = \"each\"\nforeach = \"range({MANY})\"\ncommand = [\"mkdir\", \"ran/{{{{ item }}}}\"]\n"
        );
        let text = dag(&each).replace("max_parallel = 4", "max_parallel = 1");
        let ran = || std::fs::read_dir(dir.join("ran")).unwrap().count();
        let begin = async || {
            let _ = std::fs::remove_dir_all(dir.join("ran"));
            std::fs::create_dir(dir.join("ran")).unwrap();
            let run = node.submit_in(dir, &text).await;
            eventually("some have run", async || (ran() > 20).then_some(())).await;
            run
        };
        let nothing_begins = async || {
            let count = ran();
            let other = node.submit_in(dir, &dag(&waits("x", "/"))).await;
            node.reaches(&other, RunState::Succeeded).await;
            assert_eq!(ran(), count);
        };
        // How many wait at the host depends on how long the others take: on a busy machine it may be none.
        for _ in 0..3 {
            let run = begin().await;
            node.client.cancel_run(&run, CancelRun::default()).await.unwrap();
            let ended = node.reaches(&run, RunState::Cancelled).await;
            let succeeded = ended.tasks.iter().filter(|task| task.state == TaskState::Succeeded).count();
            // One may have been ended after it had done its work.
            assert!((succeeded..=succeeded + 1).contains(&ran()) && ran() < MANY, "{succeeded} of {}", ran());
            nothing_begins().await;
        }
        let run = begin().await;
        node.client.pause_run(&run).await.unwrap();
        let live = ListSessions { run: Some(run.clone()), ..ListSessions::default() };
        eventually("what ran has ended", async || {
            node.client.sessions(&live).await.unwrap().items.is_empty().then_some(())
        })
        .await;
        nothing_begins().await;
        node.client.resume_run(&run).await.unwrap();
        // None of them has run twice: it would have failed.
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(ran(), MANY);
        node.stop().await;
    });
}

#[test]
fn a_killed_session_cancels_its_task_and_the_first_kill_is_in_the_history() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag(&format!(
            "{}[[tasks]]\nid = \"next\"\nneeds = [\"long\"]\ncommand = [\"true\"]\n",
            waits("long", "never").replace("id", "retries = 3\nid")
        ));
        let run = node.submit_in(dir, &text).await;
        let session = node.task_is(&run, "long", TaskState::Running).await.session.unwrap().to_string();
        eventually("it runs", async || (!read(dir, "began").is_empty()).then_some(())).await;
        node.has_begun(&session).await;
        node.client.kill_session(&session, &KillSession { grace_ms: Some(100) }).await.unwrap();
        node.reaches(&run, RunState::Cancelled).await;
        assert_eq!(states(&node, &run).await, "long=cancelled next=cancelled");
        assert_eq!(lines(&dir.join("began")).len(), 1, "what people ended is not retried");
        let late = problem_of(node.client.kill_session(&session, &KillSession::default()).await);
        assert_eq!(late.status, 409, "{late:?}");
        let history = node.client.run_history(&run, Some("long")).await.unwrap();
        let kills: Vec<_> = history.iter().filter(|entry| entry.action.as_str() == "killed").collect();
        assert_eq!(kills.len(), 1, "{history:?}");
        assert!(kills[0].actor.as_ref().unwrap().name.starts_with("uid:"), "{kills:?}");
        node.stop().await;
    });
}

#[test]
fn a_paused_run_and_a_paused_node_start_nothing_and_stop_nothing() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag(&format!(
            "{}[[tasks]]\nid = \"next\"\nneeds = [\"first\"]\nscript = 'echo next >> ran'\n",
            waits("first", "go")
        ));
        let run = node.submit_in(dir, &text).await;
        node.task_is(&run, "first", TaskState::Running).await;
        assert_eq!(node.client.pause_run(&run).await.unwrap().state, RunState::Paused);
        open(dir, "go");
        node.task_is(&run, "first", TaskState::Succeeded).await;
        let why = node.client.why(&run, "next").await.unwrap();
        assert!(why.because.join(" ").contains("paused"), "{why:?}");
        assert!(node.client.pause_node(true).await.unwrap().paused);
        assert_eq!(node.client.resume_run(&run).await.unwrap().state, RunState::Running);
        let why = node.client.why(&run, "next").await.unwrap();
        assert!(why.because.join(" ").contains("node is paused"), "{why:?}");
        let held = node.submit_in(dir, &dag("[[tasks]]\nid = \"only\"\nscript = 'echo only >> ran'\n")).await;
        node.task_is(&held, "only", TaskState::Queued).await;
        assert_eq!(read(dir, "ran"), "");
        // It stays paused when it comes back.
        node.leave().await;
        let node = Node::local(&dir.join("home"), &[]).await;
        assert!(node.client.node().await.unwrap().paused);
        assert_eq!(node.client.task(&run, "next").await.unwrap().attempts, 0);
        assert!(!node.client.pause_node(false).await.unwrap().paused);
        node.reaches(&run, RunState::Succeeded).await;
        node.reaches(&held, RunState::Succeeded).await;
        let mut ran = lines(&dir.join("ran"));
        ran.sort();
        assert_eq!(ran, ["next", "only"]);
        assert_eq!(problem_of(node.client.pause_run(&run).await).status, 409);
        node.stop().await;
    });
}

#[test]
fn a_created_run_waits_until_it_is_started_and_starts_once() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag("[[tasks]]\nid = \"a\"\nscript = 'echo x >> ran'\n");
        let created = async || {
            let run = CreateRun { start: false, ..request_in(dir, &text) };
            node.client.create_run(&run).await.unwrap()
        };
        let (first, second) = (created().await, created().await);
        assert_eq!((first.state, first.started_ms), (RunState::Created, None));
        let open = ListRuns { state: Some(RunState::Created), ..ListRuns::default() };
        assert_eq!(node.client.runs(&open).await.unwrap().items.len(), 2);
        let run = first.id.to_string();
        node.client.start_run(&run).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(problem_of(node.client.start_run(&run).await).status, 409);
        assert_eq!(lines(&dir.join("ran")).len(), 1);
        let other = second.id.to_string();
        node.client.cancel_run(&other, CancelRun::default()).await.unwrap();
        node.reaches(&other, RunState::Cancelled).await;
        assert_eq!(lines(&dir.join("ran")).len(), 1, "it never began");
        node.stop().await;
    });
}

#[test]
fn conditions_and_lists_come_from_what_earlier_tasks_wrote() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag(r#"
            [[tasks]]
            id = "plan"
            script = """
            echo 'regions=["eu","us"]' >> "$CIS_OUTPUT"; echo failed=0 >> "$CIS_OUTPUT"
            """
            outputs = { regions = { type = "list" }, failed = { type = "integer" } }
            [[tasks]]
            id = "fix"
            needs = ["plan"]
            if = "tasks.plan.outputs.failed > 0"
            script = "echo fix >> ran"
            [[tasks]]
            id = "deploy"
            needs = ["plan", "fix"]
            foreach = "tasks.plan.outputs.regions"
            script = '''
            echo {{ item }} >> ran; echo url=https://{{ item }} >> "$CIS_OUTPUT"
            test {{ item }} = eu -o -e good
            '''
            outputs = { url = { type = "string" } }
            [[tasks]]
            id = "none"
            needs = ["plan"]
            foreach = "range(tasks.plan.outputs.failed)"
            script = "echo none >> ran"
            [[tasks]]
            id = "end"
            needs = ["deploy"]
            command = ["echo", "{{ tasks.deploy.outputs.url }}"]
        "#);
        let run = node.submit_in(dir, &text).await;
        let ended = node.reaches(&run, RunState::Failed).await;
        assert_eq!(
            states(&node, &run).await,
            "plan=succeeded fix=completed deploy=failed none=completed end=cancelled deploy.1=succeeded \
             deploy.2=failed"
        );
        assert!(task(&ended, "fix").reason.is_some(), "{ended:?}");
        open(dir, "good");
        node.client.retry_run(&run, &RetryRun { scope: RetryScope::Failed }).await.unwrap();
        let ended = node.reaches(&run, RunState::Succeeded).await;
        let mut ran = lines(&dir.join("ran"));
        ran.sort();
        assert_eq!(ran, ["eu", "us", "us"], "only the item that failed ran again");
        assert_eq!(task(&ended, "deploy").outputs["url"], json!(["https://eu", "https://us"]));
        assert_eq!(node.log_of(&run, "end").await, "[\"https://eu\",\"https://us\"]\n");
        let page = ListTasks { state: Some(TaskState::Completed), ..ListTasks::default() };
        let completed = node.client.tasks(&run, &page).await.unwrap().items;
        assert_eq!(completed.iter().map(|task| task.id.to_string()).collect::<Vec<_>>(), ["fix", "none"]);
        node.stop().await;
    });
}

#[test]
fn a_group_lets_so_many_tasks_of_all_runs_work_at_a_time() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        // Each of them would find the directory of another one that is at work.
        let alone = "mkdir busy && sleep 0.05 && rmdir busy && echo x >> ran";
        let member = |id: &str| {
            format!("[[tasks]]\nid = \"{id}\"\nconcurrency = {{ group = \"lock\" }}\nscript = '{alone}'\n")
        };
        let text = dag(&["a", "b", "c"].map(member).concat());
        let unknown = problem_of(node.client.create_run(&request_in(dir, &text)).await);
        assert!(unknown.detail.contains("lock"), "{unknown:?}");
        let group = |limit: u32| Group { limit, frees_when_blocked: false };
        let here = GroupPlace::default();
        assert_eq!(problem_of(node.client.set_group("lock", &group(0), &here).await).status, 400);
        node.client.set_group("lock", &group(1), &here).await.unwrap();
        let (first, second) = (node.submit_in(dir, &text).await, node.submit_in(dir, &text).await);
        for run in [&first, &second] {
            node.reaches(run, RunState::Succeeded).await;
        }
        assert_eq!(lines(&dir.join("ran")).len(), 6, "no two of them at once");
        // Held by one, it is full, also after a restart; a higher limit lets the other one in.
        let holds = |id: &str| waits(id, "go").replace("id =", "concurrency = { group = \"lock\" }\nid =");
        let held = node.submit_in(dir, &dag(&[holds("x"), holds("y")].concat())).await;
        node.task_is(&held, "x", TaskState::Running).await;
        node.leave().await;
        let node = Node::local(&dir.join("home"), &[]).await;
        let groups = node.client.groups().await.unwrap().items;
        let lock = groups.iter().find(|group| group.name == "lock").unwrap();
        assert_eq!((lock.limit, lock.active, lock.waiting, lock.origin.as_str()), (1, 1, 1, "command"));
        let why = node.client.why(&held, "y").await.unwrap();
        assert!(why.because.join(" ").contains("lock"), "{why:?}");
        node.client.set_group("lock", &group(2), &here).await.unwrap();
        node.task_is(&held, "y", TaskState::Running).await;
        open(dir, "go");
        node.reaches(&held, RunState::Succeeded).await;
        node.client.remove_group("lock", &here).await.unwrap();
        assert_eq!(problem_of(node.client.create_run(&request_in(dir, &text)).await).status, unknown.status);
        node.stop().await;
    });
}

#[test]
fn urgent_tasks_start_first_and_the_time_of_a_run_is_that_of_its_critical_path() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let task = |id: &str, priority: i32| {
            format!(
                "[[tasks]]\nid = \"{id}\"\npriority = {priority}\nscript = 'echo {id} >> order; sleep 0.1'\n"
            )
        };
        let text = dag(&[task("low", -1), task("usual", 0), task("high", 7), task("next", 0)].concat())
            .replace("max_parallel = 4", "max_parallel = 1");
        let run = node.submit_in(dir, &text).await;
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(lines(&dir.join("order")), ["high", "usual", "next", "low"]);
        let time = node.client.run_time(&run, &ReadTime { totals: false }).await.unwrap();
        assert_eq!(time.state, RunState::Succeeded);
        let split = time.critical;
        assert_eq!(split.queue_ms + split.machine_ms + split.human_ms, time.wall_ms);
        assert!(time.wall_ms >= 400 && split.human_ms == 0, "{time:?}");
        let of = |id: &str| time.tasks.iter().find(|task| task.task.to_string() == id).unwrap();
        assert!(
            of("low").split.queue_ms >= 300 && of("high").split.queue_ms < of("low").split.queue_ms,
            "{time:?}"
        );
        let totals = node.client.run_time(&run, &ReadTime { totals: true }).await.unwrap();
        assert_eq!((totals.wall_ms, totals.tasks.len()), (time.wall_ms, 0));
        node.stop().await;
    });
}

#[test]
fn the_environment_of_a_run_is_the_submitters_and_that_of_the_file_on_top() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = r#"
            version = 1
            [dag]
            id = "env"
            env = { LEVEL = "dag", OWN = "dag" }
            [[tasks]]
            id = "show"
            tty = false
            env = { OWN = "task of {{ run.id }}" }
            script = "env; umask"
        "#;
        let env = [
            ("PATH", "/usr/bin:/bin"),
            ("LEVEL", "mine"),
            ("FROM", "here"),
            ("CIS_TOKEN", "x"),
            ("TMUX", "y"),
        ];
        let env: BTreeMap<String, String> =
            env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let run = CreateRun { env: Some(env), umask: Some(0o027), ..request_in(dir, text) };
        let run = node.submit_as(run).await;
        node.reaches(&run, RunState::Succeeded).await;
        let log = node.log_of(&run, "show").await;
        let own = format!("OWN=task of {run}");
        let attempt = format!("CIS_ATTEMPT={run}:show#1");
        for line in ["LEVEL=dag", "FROM=here", "CIS_TASK_ID=show", "0027", &own, &attempt] {
            assert!(log.lines().any(|has| has == line), "{line}: {log}");
        }
        assert!(!log.contains("CIS_TOKEN=x") && !log.contains("TMUX"), "{log}");
        node.stop().await;
    });
}

#[test]
fn tasks_wait_for_a_place_among_all_sessions_of_the_node() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &["node.max_sessions=1"]).await;
        let first = node.submit_in(dir, &dag(&waits("first", "go"))).await;
        node.task_is(&first, "first", TaskState::Running).await;
        let second = node.submit_in(dir, &dag(&waits("second", "go"))).await;
        node.task_is(&second, "second", TaskState::Queued).await;
        let why = node.client.why(&second, "second").await.unwrap().because.join(" ");
        assert!(why.contains("all the 1 sessions that it may have"), "{why}");
        let view = node.client.node().await.unwrap();
        assert_eq!((view.open_runs, view.live_sessions, view.max_sessions), (2, 1, 1));
        open(dir, "go");
        for run in [&first, &second] {
            node.reaches(run, RunState::Succeeded).await;
        }
        assert_eq!(read(dir, "began"), "first\nsecond\n");
        node.stop().await;
    });
}
