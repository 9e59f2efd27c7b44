//! A node that ends while it has work, and the one that comes after it in the same home.

use std::path::Path;

use cis_core::api::{
    Answer, AnswerWith, CreateSession, Decide, KillSession, ListInbox, ListRuns, ListSessions, ReadLog,
    SendInput, TermSize,
};
use cis_core::event::{RunState, SessionState, TaskState};
use cis_core::ids::InputId;
use serde_json::json;

use crate::harness::{Node, eventually, lines, on_a_runtime, options, problem_of, read, task};
use crate::sessions::{log, shell};

fn dag(tasks: &str) -> String {
    format!("version = 1\n[dag]\nid = \"restarts\"\nmax_parallel = 4\n[dag.defaults]\ntty = false\n{tasks}")
}

/// A session without a run, of a shell's script in this directory.
fn session(dir: &Path, script: &str, size: Option<TermSize>) -> CreateSession {
    CreateSession { cwd: dir.to_str().unwrap().to_owned(), size, ..shell(script) }
}

#[test]
fn a_run_goes_on_while_no_node_is_there_and_nothing_of_it_runs_twice() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag(r#"
            [[tasks]]
            id = "done"
            script = 'echo x >> done; echo value=7 >> "$CIS_OUTPUT"'
            outputs = { value = { type = "integer" } }
            [[tasks]]
            id = "away"
            needs = ["done"]
            script = '''
            echo x >> away; until [ -e go ]; do sleep 0.05; done
            echo said; echo out=1 >> "$CIS_OUTPUT"; echo x >> over
            '''
            [[tasks]]
            id = "stays"
            needs = ["done"]
            script = 'echo x >> stays; until [ -e end ]; do sleep 0.05; done'
            [[tasks]]
            id = "next"
            needs = ["away", "stays"]
            script = 'echo {{ tasks.done.outputs.value }} >> next'
        "#);
        let run = node.submit_in(dir, &text).await;
        eventually("both run", async || {
            (lines(&dir.join("away")).len() + lines(&dir.join("stays")).len() == 2).then_some(())
        })
        .await;
        let before = node.client.run(&run).await.unwrap();
        node.leave().await;
        std::fs::write(dir.join("go"), "").unwrap();
        eventually("a task ends meanwhile", async || (lines(&dir.join("over")).len() == 1).then_some(()))
            .await;
        let node = Node::local(&dir.join("home"), &[]).await;
        let away = node.task_is(&run, "away", TaskState::Succeeded).await;
        assert_eq!(away.session, task(&before, "away").session);
        assert_eq!(node.client.task(&run, "stays").await.unwrap().session, task(&before, "stays").session);
        node.leave().await;
        let node = Node::local(&dir.join("home"), &[]).await;
        std::fs::write(dir.join("end"), "").unwrap();
        let ended = node.reaches(&run, RunState::Succeeded).await;
        assert!(ended.tasks.iter().all(|task| task.attempts == 1), "{ended:?}");
        assert_eq!(["done", "away", "stays", "over"].map(|name| lines(&dir.join(name)).len()), [1; 4]);
        assert_eq!(read(dir, "next"), "7\n");
        assert_eq!(task(&ended, "away").outputs["out"], json!("1"));
        assert_eq!(node.log_of(&run, "away").await, "said\n");
        // A run that has ended can be retried by a node that did not see it.
        node.leave().await;
        let node = Node::local(&dir.join("home"), &[]).await;
        let from = cis_core::api::RetryRun {
            scope: cis_core::event::RetryScope::From { task: task(&ended, "next").id.clone(), also: vec![] },
        };
        node.client.retry_run(&run, &from).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!((lines(&dir.join("next")).len(), lines(&dir.join("done")).len()), (2, 1));
        node.stop().await;
    });
}

#[test]
fn what_waits_for_people_waits_on_over_a_restart() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let mut node = Node::local(&dir.join("home"), &[]).await;
        let text = dag(
            "[[tasks]]\nid = \"ask\"\ntty = true\nscript = \"printf 'Name? '; read -r a; echo $a > name\"\n\
             [[tasks]]\nid = \"gate\"\napproval = { prompt = \"Go?\" }\nscript = 'echo x >> gate'\n\
             [[tasks]]\nid = \"late\"\ntty = true\non_blocked = { deadline = \"100ms\", default = \"nobody\" }\n\
             script = \"until [ -e ask ]; do sleep 0.05; done; printf 'Who? '; read -r a; echo $a > late\"\n",
        );
        let run = node.submit_in(dir, &text).await;
        let waiting = async |node: &Node| {
            let items = node.client.inbox(&ListInbox::default()).await.unwrap().items;
            let mut asked: Vec<_> =
                items.iter().map(|item| (item.question.clone(), item.id.clone())).collect();
            asked.sort();
            asked
        };
        let before =
            eventually("both wait", async || Some(waiting(&node).await).filter(|items| items.len() == 2))
                .await;
        for _ in 0..2 {
            node.leave().await;
            node = Node::local(&dir.join("home"), &[]).await;
            assert_eq!(waiting(&node).await, before);
        }
        // What begins to wait while no node is there is found by the next one.
        node.leave().await;
        std::fs::write(dir.join("ask"), "").unwrap();
        let node = Node::local(&dir.join("home"), &[]).await;
        node.task_is(&run, "late", TaskState::Succeeded).await;
        assert_eq!(read(dir, "late"), "nobody\n");
        let yes = Decide { approve: true, reason: None };
        node.client.decide(&run, "gate", &yes).await.unwrap();
        let name = before.iter().find(|(question, _)| question.contains("Name?")).unwrap();
        let input: InputId = serde_json::from_value(json!("01K0000000000000000000000D")).unwrap();
        let with = AnswerWith::Text { text: "Ann".to_owned() };
        let answer = Answer { with, reason: None, hash: None, again: None, input };
        let first = node.client.answer(&name.1.to_string(), &answer).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        node.leave().await;
        let node = Node::local(&dir.join("home"), &[]).await;
        let again = node.client.answer(&name.1.to_string(), &answer).await.unwrap();
        assert_eq!((again.repeated, again.by), (true, first.by));
        assert_eq!((read(dir, "name").as_str(), read(dir, "gate").as_str()), ("Ann\n", "x\n"));
        node.stop().await;
    });
}

#[test]
fn a_node_that_is_stopped_with_its_sessions_ends_them_and_the_next_one_repeats_only_what_may_be_repeated() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let text = dag(
            "[[tasks]]\nid = \"long\"\nscript = 'echo $$ >> long; until [ -e go ]; do sleep 0.05; done'\n\
             [[tasks]]\nid = \"once\"\nretry_lost = false\nscript = 'echo $$ >> once; exec sleep 300'\n\
             [[tasks]]\nid = \"next\"\nneeds = [\"once\"]\nscript = 'echo x > next'\n",
        );
        let run = node.submit_in(dir, &text).await;
        let alone = node.client.create_session(&session(dir, "echo $$ >> alone; exec sleep 300", None)).await;
        let alone = alone.unwrap().id.to_string();
        let pids = eventually("all of them run", async || {
            let pids = ["long", "once", "alone"].map(|name| read(dir, name));
            Some(pids).filter(|pids| pids.iter().all(|pid| pid.ends_with('\n')))
        })
        .await;
        node.stop().await;
        for pid in pids {
            let process = Path::new("/proc").join(pid.trim());
            eventually("its process is gone", async || (!process.exists()).then_some(())).await;
        }
        let node = Node::local(&dir.join("home"), &[]).await;
        eventually("it begins again", async || (lines(&dir.join("long")).len() == 2).then_some(())).await;
        std::fs::write(dir.join("go"), "").unwrap();
        let ended = node.reaches(&run, RunState::Error).await;
        let of = |id: &str| (task(&ended, id).state, task(&ended, id).attempts);
        assert_eq!(
            ["long", "once", "next"].map(of),
            [(TaskState::Succeeded, 2), (TaskState::Error, 1), (TaskState::Cancelled, 0)]
        );
        assert_eq!(["long", "once", "alone", "next"].map(|name| lines(&dir.join(name)).len()), [2, 1, 1, 0]);
        assert!(!node.client.session(&alone).await.unwrap().state.is_live());
        let live = node.client.sessions(&ListSessions::default()).await.unwrap().items;
        assert!(live.is_empty(), "{live:?}");
        node.stop().await;
    });
}

#[test]
fn a_second_node_in_the_same_home_is_refused_and_the_first_one_goes_on() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let home = dir.join("home");
        let node = Node::local(&home, &[]).await;
        let options = options(&home, &[], None);
        let second = std::thread::spawn(move || cis_node::run(options, |_| ()).map(drop));
        let refused = second.join().unwrap().unwrap_err().to_string();
        assert!(refused.contains("a node runs already in"), "{refused}");
        let run = node.submit_in(dir, &dag("[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n")).await;
        node.reaches(&run, RunState::Succeeded).await;
        node.stop().await;
    });
}

#[test]
fn sessions_without_a_run_outlive_the_node_and_end_as_their_programs_do() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let size = Some(TermSize { cols: 80, rows: 24 });
        let input: InputId = serde_json::from_value(json!("01K00000000000000000000007")).unwrap();
        let script = "echo \"$0 $OWN\"; while read -r line; do echo \"got $line\"; done";
        let env =
            [("PATH", "/usr/bin:/bin"), ("OWN", "mine")].map(|(name, value)| (name.into(), value.into()));
        let reader = CreateSession {
            name: Some("reader".to_owned()),
            env: Some(env.into()),
            input,
            ..session(dir, script, size)
        };
        let made = node.client.create_session(&reader).await.unwrap();
        let id = made.id.to_string();
        assert_eq!(node.client.create_session(&reader).await.unwrap().id, made.id, "made once");
        let failing = session(dir, "until [ -e go ]; do sleep 0.05; done; exit 7", None);
        let failing = node.client.create_session(&failing).await.unwrap().id.to_string();
        let brief = CreateSession { lifetime_ms: Some(200), ..session(dir, "exec sleep 300", None) };
        let brief = node.client.create_session(&brief).await.unwrap().id.to_string();
        assert!(node.ended(&brief).await.detail.is_some());
        let missing = CreateSession { argv: vec!["/missing/program".to_owned()], ..session(dir, "", None) };
        let refused = problem_of(node.client.create_session(&missing).await);
        assert_eq!(refused.status, 400);
        assert!(refused.detail.contains("/missing/program"), "{refused:?}");
        node.leave().await;
        std::fs::write(dir.join("go"), "").unwrap();
        let node = Node::local(&dir.join("home"), &[]).await;
        let client = &node.client;
        assert_eq!(node.ended(&failing).await.exit_code, Some(7));
        assert_eq!(client.create_session(&reader).await.unwrap().id, made.id, "also after a restart");
        let typed = SendInput { data: b"one\r".to_vec(), input: InputId::NONE };
        client.send_input("reader", &typed).await.unwrap();
        let plain = ReadLog { plain: true, ..ReadLog::default() };
        let text = eventually("it got the line", async || {
            Some(log(&node, &id, &plain).await).filter(|log| log.contains("got one"))
        })
        .await;
        assert!(text.starts_with("sh mine\n"), "{text}");
        client.kill_session(&id, &KillSession { grace_ms: Some(100) }).await.unwrap();
        assert_eq!(node.ended(&id).await.state, SessionState::Terminated);
        let all = ListSessions { all: true, standalone: true, ..ListSessions::default() };
        let all = client.all_sessions(&all).await.unwrap().items;
        assert!(all.len() >= 3 && all.iter().all(|session| !session.state.is_live()), "{all:?}");
        assert!(client.sessions(&ListSessions::default()).await.unwrap().items.is_empty());
        node.stop().await;
    });
}

#[test]
fn a_run_whose_file_is_lost_waits_until_it_is_back_and_its_session_is_left_alone() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let home = dir.join("home");
        let node = Node::local(&home, &[]).await;
        let text =
            dag("[[tasks]]\nid = \"a\"\nscript = 'echo x >> a; until [ -e go ]; do sleep 0.05; done'\n\
             [[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = 'echo x >> b'\n");
        let run = node.submit_in(dir, &text).await;
        eventually("it runs", async || (lines(&dir.join("a")).len() == 1).then_some(())).await;
        node.leave().await;
        // The blob whose content is the text of the run.
        let blobs = std::fs::read_dir(home.join("blobs"))
            .unwrap()
            .flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap());
        let mut of_text = blobs.map(|file| file.unwrap().path());
        let blob = of_text.find(|path| std::fs::read(path).unwrap() == text.as_bytes()).unwrap();
        std::fs::rename(&blob, dir.join("aside")).unwrap();
        let node = Node::local(&home, &[]).await;
        let warnings = node.client.node().await.unwrap().warnings.join(" ");
        assert!(warnings.contains(&run), "{warnings}");
        let refused = problem_of(node.client.pause_run(&run).await);
        assert!(refused.status == 503 && refused.detail.contains("restore"), "{refused:?}");
        let shown = node.client.runs(&ListRuns::default()).await.unwrap().items;
        assert_eq!((shown.len(), shown[0].state), (1, RunState::Running));
        let other = node.submit_in(dir, &dag("[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n")).await;
        node.reaches(&other, RunState::Succeeded).await;
        std::fs::rename(dir.join("aside"), &blob).unwrap();
        // What people ask of it makes the node look again.
        node.client.pause_run(&run).await.unwrap();
        node.client.resume_run(&run).await.unwrap();
        std::fs::write(dir.join("go"), "").unwrap();
        let ended = node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(
            (lines(&dir.join("a")).len(), lines(&dir.join("b")).len(), task(&ended, "a").attempts),
            (1, 1, 1)
        );
        assert!(!node.client.node().await.unwrap().warnings.join(" ").contains(&run));
        node.stop().await;
    });
}
