//! What waits for people: approvals, prompts on terminals, questions of programs, and what happens without an answer.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cis_client::{AttachFrame, Client};
use cis_core::api::{
    Answer, AnswerReceipt, AnswerWith, Attach, CancelRun, CreateSession, Decide, InboxItem, ListInbox,
    Problem, SendInput, StartAgent, TermSize,
};
use cis_core::event::{PromptKind, RunState, SessionState, TaskState};
use cis_core::ids::InputId;
use serde_json::{Value, json};

use crate::harness::{Node, eventually, on_a_runtime, problem_of, read, request_in, task};

/// A file with this task.
fn dag(task: &str) -> String {
    format!("version = 1\n[dag]\nid = \"asks\"\nmax_parallel = 4\n{task}")
}

/// A file with one task, whose script asks.
fn asks(script: &str, keys: &str) -> String {
    dag(&format!("[[tasks]]\nid = \"ask\"\n{keys}\nscript = '''\n{script}\n'''\n"))
}

fn text(text: &str) -> AnswerWith {
    AnswerWith::Text { text: text.to_owned() }
}

fn option(option: &str) -> AnswerWith {
    AnswerWith::Option { option: option.to_owned() }
}

fn answer(with: AnswerWith) -> Answer {
    Answer { with, reason: None, hash: None, again: None, input: InputId::NONE }
}

async fn give(client: &Client, item: &InboxItem, with: AnswerWith) -> AnswerReceipt {
    client.answer(&item.id.to_string(), &answer(with)).await.unwrap()
}

async fn refused(client: &Client, item: &InboxItem, answer: &Answer) -> Problem {
    problem_of(client.answer(&item.id.to_string(), answer).await)
}

/// Waits for a question of a run that is not this one.
async fn next_question(node: &Node, run: &str, before: &InboxItem) -> InboxItem {
    let of_run = ListInbox { run: Some(run.to_owned()), ..ListInbox::default() };
    eventually("it asks something else", async || {
        let items = node.client.inbox(&of_run).await.unwrap().items;
        items.into_iter().find(|item| item.id != before.id)
    })
    .await
}

#[test]
fn an_answer_that_is_repeated_while_its_prompt_stands_is_typed_once_and_says_so() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let run = node.submit_in(dir, &asks("printf 'Continue? [y/N] '; read a; echo $a >> got", "")).await;
        let item = node.question(&run).await.id.to_string();
        let yes = Answer { input: cis_client::input_id().unwrap(), ..answer(option("y")) };
        let (one, other) = tokio::join!(node.client.answer(&item, &yes), node.client.answer(&item, &yes));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(one.repeated != other.repeated && one.by == other.by, "{one:?} {other:?}");
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(read(dir, "got"), "y\n");
        node.stop().await;
    });
}

#[test]
fn a_task_waits_for_its_approval_and_the_first_decision_counts() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let client = &node.client;
        let gate = dag(
            "params = { version = { type = \"string\", default = \"1.2\" } }\n[[tasks]]\nid = \"deploy\"\n\
             approval = { prompt = \"Deploy {{ params.version }}?\" }\nscript = 'echo x >> deployed'\n",
        );
        let run = node.submit_in(dir, &gate).await;
        let asked = node.question(&run).await;
        assert_eq!((asked.kind, asked.question.as_str()), (PromptKind::Approval, "Deploy 1.2?"));
        assert_eq!((&asked.session, asked.layer, asked.confidence), (&None, None, 100));
        let view = client.run(&run).await.unwrap();
        assert_eq!(view.run.approvals.iter().map(ToString::to_string).collect::<Vec<_>>(), ["deploy"]);
        assert_eq!(task(&view, "deploy").approval.as_ref().unwrap().prompt, "Deploy 1.2?");
        assert_eq!(refused(client, &asked, &answer(text("perhaps"))).await.status, 400);
        assert_eq!(read(dir, "deployed"), "");
        let input: InputId = serde_json::from_value(json!("01K0000000000000000000000A")).unwrap();
        let yes = Answer { input, ..answer(option("approve")) };
        let first = client.answer(&asked.id.to_string(), &yes).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        let again = client.answer(&asked.id.to_string(), &yes).await.unwrap();
        assert_eq!((first.repeated, again.repeated, &again.by), (false, true, &first.by));
        let late = refused(client, &asked, &answer(option("reject"))).await;
        assert_eq!(late.status, 409);
        assert!(late.detail.contains(&first.by), "{late:?}");
        assert_eq!(read(dir, "deployed"), "x\n");
        // The same by a decision about the task.
        let other = node.submit_in(dir, &gate).await;
        node.question(&other).await;
        let no = Decide { approve: false, reason: Some("it is Friday".to_owned()) };
        client.decide(&other, "deploy", &no).await.unwrap();
        let detail = node.reaches(&other, RunState::Failed).await.run.detail.unwrap();
        assert!(detail.contains("rejected by uid:") && detail.contains("it is Friday"), "{detail}");
        let yes = Decide { approve: true, reason: None };
        assert_eq!(problem_of(client.decide(&other, "deploy", &yes).await).status, 409);
        let history = client.run_history(&other, None).await.unwrap();
        let rejected = history.iter().find(|entry| entry.action.as_str() == "rejected").unwrap();
        assert_eq!(rejected.question.as_deref(), Some("Deploy 1.2?"));
        assert_eq!(rejected.comment.as_deref(), Some("it is Friday"));
        // Nobody decides.
        let run = node.submit_in(dir, &gate.replace("?\" }", "?\", timeout = \"200ms\" }")).await;
        let detail = node.reaches(&run, RunState::Failed).await.run.detail.unwrap();
        assert!(detail.contains("nobody approved it within 0.2s"), "{detail}");
        assert_eq!(read(dir, "deployed"), "x\n", "only what was approved ran");
        node.stop().await;
    });
}

#[test]
fn a_prompt_on_a_terminal_is_answered_once_and_only_as_the_one_that_was_shown() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let client = &node.client;
        let script = "printf 'Overwrite the file? [y/N] '; read -r a; echo \"$a\" >> answers\n\
                      printf 'Which name? '; read -r a; echo \"$a\" >> answers\n\
                      until [ -e go ]; do sleep 0.05; done";
        let run = node.submit_in(dir, &asks(script, "")).await;
        let asked = node.question(&run).await;
        assert!(asked.question.contains("Overwrite the file?"), "{asked:?}");
        assert_eq!((asked.kind, asked.episode), (PromptKind::Permission, Some(1)));
        assert_eq!(asked.options.iter().map(|option| option.id.as_str()).collect::<Vec<_>>(), ["y", "n"]);
        let session = asked.session.unwrap().to_string();
        assert_eq!(client.session(&session).await.unwrap().state, SessionState::Blocked);
        let view = client.task(&run, "ask").await.unwrap();
        assert_eq!(view.waits.unwrap().item, asked.id);
        assert!(client.screen(&session).await.unwrap().contains("Overwrite the file?"));
        let explained = client.explain(&session).await.unwrap();
        assert_eq!(explained.item.as_ref(), Some(&asked.id));
        let wrong = Answer { hash: Some("0".repeat(asked.hash.len())), ..answer(option("y")) };
        assert_eq!(refused(client, &asked, &wrong).await.status, 409);
        assert_eq!(refused(client, &asked, &answer(option("maybe"))).await.status, 400);
        assert_eq!(read(dir, "answers"), "");
        let input: InputId = serde_json::from_value(json!("01K0000000000000000000000B")).unwrap();
        let yes = Answer { hash: Some(asked.hash.clone()), input, ..answer(option("yes")) };
        let receipt = client.answer(&asked.id.to_string(), &yes).await.unwrap();
        assert!(receipt.bytes > 0 && receipt.output_offset.is_some(), "{receipt:?}");
        let again = client.answer(&asked.id.to_string(), &yes).await.unwrap();
        assert_eq!((&again.by, again.bytes), (&receipt.by, receipt.bytes), "it counts once");
        let second = next_question(&node, &run, &asked).await;
        assert_eq!((second.episode, second.question.contains("Which name?")), (Some(2), true), "{second:?}");
        let late = refused(client, &asked, &answer(option("n"))).await;
        assert!(late.status == 409 && late.detail.contains(&receipt.by), "{late:?}");
        give(client, &second, text("Ann Lee")).await;
        eventually("it got both", async || (read(dir, "answers") == "y\nAnn Lee\n").then_some(())).await;
        let closed = eventually("the item is closed", async || {
            client.inbox_item(&second.id.to_string()).await.unwrap().closed
        })
        .await;
        assert_eq!((closed.how.as_str(), closed.by), ("answered", Some(receipt.by)));
        std::fs::write(dir.join("go"), "").unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        assert!(client.inbox(&ListInbox::default()).await.unwrap().items.is_empty());
        node.stop().await;
    });
}

#[test]
fn keys_reach_a_program_that_takes_no_lines_and_a_second_answer_needs_to_name_the_first() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let client = &node.client;
        // It takes each key without a sound, and goes on reading.
        let script = "printf 'Proceed? [y/n] '; stty -icanon -echo\n\
                      until [ -e end ]; do dd bs=1 count=1 2> /dev/null >> got; done";
        let run = node.submit_in(dir, &asks(script, "")).await;
        let asked = node.question(&run).await;
        let keys = |key: &str| AnswerWith::Keys { data: key.as_bytes().to_vec(), names: key.to_owned() };
        give(client, &asked, keys("y")).await;
        eventually("it was typed", async || (read(dir, "got") == "y").then_some(())).await;
        let answered = eventually("it is known that it stays", async || {
            client.inbox_item(&asked.id.to_string()).await.unwrap().answered_ms
        })
        .await;
        assert_eq!(refused(client, &asked, &answer(keys("n"))).await.status, 409);
        let stale = Answer { again: Some(answered - 1), ..answer(keys("n")) };
        assert_eq!(refused(client, &asked, &stale).await.status, 409);
        std::fs::write(dir.join("end"), "").unwrap();
        let again = Answer { again: Some(answered), ..answer(keys("n")) };
        client.answer(&asked.id.to_string(), &again).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(read(dir, "got"), "yn");
        node.stop().await;
    });
}

#[test]
fn one_more_answer_is_refused_where_nobody_has_answered() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let client = &node.client;
        let own = "[[tasks]]\nid = \"ask\"\nscript = 'printf \"Proceed? [y/n] \"; read a; echo $a >> got'\n\
                   [[tasks]]\nid = \"gate\"\napproval = { prompt = \"Go?\" }\nscript = 'echo x >> gate'\n";
        let run = node.submit_in(dir, &dag(own)).await;
        let items = eventually("both ask", async || {
            let items = client.inbox(&ListInbox::default()).await.unwrap().items;
            (items.len() == 2).then_some(items)
        })
        .await;
        for item in &items {
            let with = if item.kind == PromptKind::Approval { option("approve") } else { text("y") };
            let again = Answer { again: Some(item.since), ..answer(with.clone()) };
            let problem = refused(client, item, &again).await;
            assert_eq!(problem.status, 409, "{problem:?}");
            assert!(problem.detail.contains("nobody has answered"), "{problem:?}");
            assert_eq!(client.inbox_item(&item.id.to_string()).await.unwrap().closed, None);
            give(client, item, with).await;
        }
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!((read(dir, "got").as_str(), read(dir, "gate").as_str()), ("y\n", "x\n"));
        node.stop().await;
    });
}

#[test]
fn a_password_is_typed_into_the_terminal_alone_and_nobody_sees_it() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let client = &node.client;
        let script =
            "stty -echo; printf 'Password: '; read -r x; stty echo; echo got ${#x}; echo \"$x\" > got";
        let run = node.submit_in(dir, &asks(script, "")).await;
        let asked = node.question(&run).await;
        assert_eq!(asked.kind, PromptKind::Password);
        let said = refused(client, &asked, &answer(text("hunter2-hunter2"))).await;
        assert!(said.status == 409 && format!("{said:?}").contains("attach"), "{said:?}");
        assert_eq!(read(dir, "got"), "");
        let session = asked.session.unwrap().to_string();
        let looks = Attach { cols: Some(80), rows: Some(24), read_only: true, ..Attach::default() };
        let types = Attach { read_only: false, ..looks };
        let mut watcher = client.attach(&session, &looks).await.unwrap();
        watcher.type_bytes(b"ignored\r");
        watcher.flush().await.unwrap();
        let mut terminal = client.attach(&session, &types).await.unwrap();
        terminal.type_bytes(b"hunter2-hunter2\r");
        let mut seen = Vec::new();
        loop {
            match terminal.next().await.unwrap() {
                AttachFrame::Bytes(bytes) => seen.extend_from_slice(&bytes),
                AttachFrame::Notice(_) => {}
                AttachFrame::Closed => break,
            }
        }
        let seen = String::from_utf8_lossy(&seen);
        assert!(seen.contains("got 15") && !seen.contains("hunter2"), "{seen}");
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(read(dir, "got"), "hunter2-hunter2\n");
        let history = serde_json::to_string(&client.run_history(&run, None).await.unwrap()).unwrap();
        assert!(!history.contains("hunter2"), "{history}");
        node.stop().await;
    });
}

#[test]
fn what_was_recorded_and_not_typed_is_not_typed_into_a_password_prompt_when_it_comes_again() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let client = &node.client;
        let script =
            "printf 'First? '; read -r a; stty -echo; printf 'Password: '; read -r x; echo \"$x\" > got";
        let run = node.submit_in(dir, &asks(script, "")).await;
        let session = node.question(&run).await.session.unwrap().to_string();
        let input = |text: Vec<u8>| SendInput { data: text, input: cis_client::input_id().unwrap() };
        // Too long for the host: it is recorded, and not typed, as if the node had been killed between the two.
        let lost = input(vec![b'x'; (1 << 20) + 1]);
        problem_of(client.send_input(&session, &lost).await);
        let typed = input(b"one\r".to_vec());
        let receipt = client.send_input(&session, &typed).await.unwrap();
        eventually("it asks for the password", async || {
            let items = client.inbox(&ListInbox::default()).await.unwrap().items;
            items.iter().any(|item| item.kind == PromptKind::Password).then_some(())
        })
        .await;
        let refused = problem_of(client.send_input(&session, &lost).await);
        assert!(refused.detail.contains("asks for a password"), "{refused:?}");
        assert_eq!(client.send_input(&session, &typed).await.unwrap(), receipt, "it was typed before that");
        assert_eq!(read(dir, "got"), "");
        client.cancel_run(&run, CancelRun::default()).await.unwrap();
        node.reaches(&run, RunState::Cancelled).await;
        node.stop().await;
    });
}

#[test]
fn a_session_that_waits_leaves_its_slot_and_takes_typed_input_once() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let client = &node.client;
        let script = "printf 'First? '; read -r a; printf 'Second? '; read -r b; echo \"$a/$b\" > got";
        let file = asks(script, "priority = 1").replace("max_parallel = 4", "max_parallel = 1");
        let run = node
            .submit_in(
                dir,
                &format!("{file}[[tasks]]\nid = \"other\"\ntty = false\nscript = 'echo x > other'\n"),
            )
            .await;
        let asked = node.question(&run).await;
        eventually("the other task has its slot", async || (read(dir, "other") == "x\n").then_some(())).await;
        let session = asked.session.unwrap().to_string();
        let input: InputId = serde_json::from_value(json!("01K0000000000000000000000C")).unwrap();
        let typed = SendInput { data: b"one\r".to_vec(), input };
        let receipt = client.send_input(&session, &typed).await.unwrap();
        assert_eq!(client.send_input(&session, &typed).await.unwrap(), receipt, "it counts once");
        let second = next_question(&node, &run, &asked).await;
        assert!(second.question.contains("Second?"), "{second:?}");
        let before = client.inbox_item(&asked.id.to_string()).await.unwrap();
        assert!(before.closed.is_some(), "what was typed ended it: {before:?}");
        give(client, &second, text("two")).await;
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(read(dir, "got"), "one/two\n");
        let piped = node.submit_in(dir, &asks("until [ -e go ]; do sleep 0.05; done", "tty = false")).await;
        let session = node.task_is(&piped, "ask", TaskState::Running).await.session.unwrap().to_string();
        node.has_begun(&session).await;
        let late = SendInput { data: b"x".to_vec(), input: InputId::NONE };
        let no_input = problem_of(client.send_input(&session, &late).await);
        assert!(no_input.detail.contains("takes no input"), "{no_input:?}");
        std::fs::write(dir.join("go"), "").unwrap();
        node.reaches(&piped, RunState::Succeeded).await;
        node.stop().await;
    });
}

#[test]
fn without_an_answer_the_rules_of_the_task_count() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let ask = |id: &str, rule: &str, script: &str| {
            format!("[[tasks]]\nid = \"{id}\"\non_blocked = {rule}\nscript = '''\n{script}\n'''\n")
        };
        let asks = |id: &str| {
            format!("echo x >> {id}.tries; printf 'Proceed? [y/n] '; read -r a; echo \"$a\" > {id}")
        };
        let tasks = [
            ask(
                "words",
                "{ deadline = \"100ms\", default = \"the first\" }",
                &asks("words").replace(" [y/n]", ""),
            ),
            ask("option", "{ deadline = \"100ms\", default = \"yes\" }", &asks("option")),
            ask("unfit", "{ deadline = \"100ms\", default = \"perhaps\" }", &asks("unfit")),
            ask("late", "{ deadline = \"100ms\" }", &asks("late")),
            ask("skip", "\"skip\"", &asks("skip")),
            ask(
                "fail",
                "\"fail\"\nretries = { count = 1, delay = \"10ms\", on = [\"blocked\"] }",
                &asks("fail"),
            ),
            ask(
                "secret",
                "{ deadline = \"100ms\", default = \"y\" }",
                "stty -echo; printf 'Password: '; read -r a; echo \"$a\" > secret",
            ),
        ];
        let file = dag(&tasks.concat()).replace("max_parallel = 4", "max_parallel = 8");
        let run = node.submit_in(dir, &file).await;
        let ended = node.reaches(&run, RunState::Failed).await;
        let state = |id: &str| task(&ended, id).state;
        let reason = |id: &str| task(&ended, id).reason.clone().unwrap_or_default();
        assert_eq!((state("words"), read(dir, "words").as_str()), (TaskState::Succeeded, "the first\n"));
        assert_eq!((state("option"), read(dir, "option").as_str()), (TaskState::Succeeded, "y\n"));
        for id in ["unfit", "late", "fail", "secret"] {
            assert_eq!((state(id), read(dir, id).as_str()), (TaskState::Failed, ""), "{id}: {}", reason(id));
        }
        assert!(reason("late").contains("nobody answered within 0.1s"), "{}", reason("late"));
        assert!(reason("unfit").contains("perhaps"), "{}", reason("unfit"));
        assert_eq!((state("skip"), read(dir, "skip").as_str()), (TaskState::Completed, ""));
        assert_eq!((read(dir, "fail.tries").as_str(), read(dir, "late.tries").as_str()), ("x\nx\n", "x\n"));
        let history = node.client.run_history(&run, Some("option")).await.unwrap();
        let answered = history.iter().find(|entry| entry.action.as_str() == "answered").unwrap();
        assert!(!answered.actor.as_ref().is_some_and(|actor| actor.name.starts_with("uid:")), "{answered:?}");
        node.stop().await;
    });
}

/// A command that appends what it is told to a file.
fn tell(dir: &Path) -> String {
    let script = dir.join("tell.sh");
    let told = dir.join("told");
    let text = format!(
        "printf '%s\\n' \"$CIS_EVENT $CIS_KIND $CIS_TASK $CIS_NOTIFY ${{CIS_TOKEN-none}} $(cat)\" >> {}\n\
         test \"$CIS_EVENT\" != escalated\n",
        told.display()
    );
    std::fs::write(&script, text).unwrap();
    json!(["sh", script]).to_string()
}

#[test]
fn people_are_notified_by_the_commands_of_the_node_and_of_the_task() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[&format!("notify.command={}", tell(dir))]).await;
        let own = r#"
            env = { OWN = "mine" }
            [tasks.on_blocked]
            action = "run"
            run = ["sh", "-c", "echo $CIS_EVENT $CIS_TASK $OWN $1 >> own", "sh", "{{ task.id }}"]
            notify = ["@ops"]
            escalate_after = "100ms"
        "#;
        let gate = "[[tasks]]\nid = \"gate\"\napproval = { prompt = \"Go?\" }\ncommand = [\"true\"]\n";
        let own = format!("script = \"printf 'Proceed? [y/n] '; read -r a\"\n{own}");
        let file = dag(&format!("[[tasks]]\nid = \"ask\"\n{own}\n{gate}"));
        let run = node.submit_in(dir, &file).await;
        let told = async |event: &str, rest: &str| {
            eventually(&format!("{event}{rest} is told"), async || {
                let told = read(dir, "told");
                told.lines().find(|line| line.starts_with(event) && line.contains(rest)).map(str::to_owned)
            })
            .await
        };
        told("approval approval", " gate  none {").await;
        let blocked = told("blocked ", " ask  none {").await;
        let document: Value = serde_json::from_str(&blocked[blocked.find('{').unwrap()..]).unwrap();
        assert_eq!((&document["event"], &document["run"]), (&json!("blocked"), &json!(run)));
        assert!(document["question"].as_str().unwrap().contains("Proceed?"), "{document}");
        told("escalated ", " ask @ops none {").await;
        eventually("the task's own command ran", async || {
            (read(dir, "own") == "blocked ask mine ask\n").then_some(())
        })
        .await;
        eventually("a command that fails is a warning", async || {
            let warnings = node.client.node().await.unwrap().warnings.join(" ");
            warnings.contains("notify.command").then_some(())
        })
        .await;
        let yes = Decide { approve: true, reason: None };
        node.client.decide(&run, "gate", &yes).await.unwrap();
        let item = node.client.task(&run, "ask").await.unwrap().waits.unwrap().item;
        node.client.answer(&item.to_string(), &answer(option("y"))).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        node.stop().await;
    });
}

/// Calls the API as the session that runs it: method, path, body.
pub(crate) const API: &str = r#"
import http.client, os, socket, sys
class Node(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["CIS_SOCKET"])
headers = {"content-type": "application/json", "x-cis-token": os.environ["CIS_TOKEN"]}
node = Node("localhost")
node.request(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None, headers)
answer = node.getresponse()
print(answer.status, answer.read().decode())
"#;

/// Functions of a shell that ask as `cis task` does.
const SHELL: &str = r#"
api() { python3 api.py "$1" "/v1/sessions/self/$2" "$3"; }
ask() { api POST asks "$1" > asked; id=$(sed 's/.*"id":"\([a-z]*\)".*/\1/' asked); }
wait_for() { api GET "asks/$1?wait_ms=60000"; }
"#;

#[test]
fn a_program_in_a_session_asks_people_and_hears_who_answered_what() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        std::fs::write(dir.join("api.py"), API).unwrap();
        let node = Node::local(&dir.join("home"), &[]).await;
        let client = &node.client;
        let script = format!(
            r#"{SHELL}
            ask '{{"ask_type":"clarification","text":"Which database?","waits":true,
                   "options":["staging","production"]}}'
            first=$id; wait_for $id > first
            ask "{{\"ask_type\":\"permission\",\"text\":\"Drop $SECRET?\",\"thread\":\"$first\",\"waits\":true}}"
            wait_for $id > second
            api POST say '{{"kind":"progress","text":"half of it","percent":50}}' > said
            ask '{{"ask_type":"context","text":"Taken back?","options":[],"waits":false}}'
            api DELETE asks/$id > third
            python3 api.py GET /v1/inbox > forbidden
            python3 api.py POST "/v1/inbox/$first/answer" '{{"with":"option","option":"staging"}}' >> forbidden
            python3 api.py POST /v1/node/stop '{{}}' >> forbidden
            echo "made=1" >> "$CIS_OUTPUT"
            until [ -e go ]; do sleep 0.05; done
            api POST hand-in "{{\"text\":\"all is well with $SECRET\"}}"
            sleep 300
            "#
        );
        let file = asks(
            &script,
            "tty = false\noutputs = { made = { type = \"integer\" } }\nsecrets = { SECRET = { file = \"secret\" } }",
        );
        let file = format!(
            "{file}[[tasks]]\nid = \"next\"\nneeds = [\"ask\"]\ntty = false\n\
             command = [\"echo\", \"{{{{ tasks.ask.output }}}}\", \"{{{{ tasks.ask.outputs.made }}}}\"]\n"
        );
        std::fs::write(dir.join("secret"), "hunter2-correct-horse\n").unwrap();
        let run = node.submit_in(dir, &file).await;
        let first = node.question(&run).await;
        assert_eq!(first.question, "Which database?");
        assert_eq!((first.kind, first.confidence), (PromptKind::Question, 100));
        assert_eq!(refused(client, &first, &answer(option("testing"))).await.status, 400);
        give(client, &first, option("2")).await;
        let second = next_question(&node, &run, &first).await;
        assert_eq!((second.kind, second.question.as_str()), (PromptKind::Permission, "Drop ***?"));
        assert_eq!(second.thread, Some(first.id.clone()));
        let no = Answer { reason: Some("it is in use".to_owned()), ..answer(option("deny")) };
        client.answer(&second.id.to_string(), &no).await.unwrap();
        eventually("it has tried everything", async || {
            (read(dir, "forbidden").lines().count() == 3).then_some(())
        })
        .await;
        let of = |name: &str| -> (u16, Value) {
            let text = read(dir, name);
            let (status, body) = text.split_once(' ').unwrap();
            (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
        };
        let (status, got) = of("first");
        assert_eq!((status, &got["answer"]["text"]), (200, &json!("production")), "{got}");
        assert!(got["answer"]["by"].as_str().unwrap().starts_with("uid:"), "{got}");
        let (_, got) = of("second");
        assert_eq!(got["answer"]["reason"], "it is in use", "{got}");
        let (_, got) = of("third");
        assert!(got["withdrawn"].is_string() && got["answer"].is_null(), "{got}");
        let forbidden = read(dir, "forbidden");
        assert!(forbidden.lines().all(|line| line.starts_with("403 ")), "{forbidden}");
        let said = client.task(&run, "ask").await.unwrap().said.unwrap();
        assert_eq!((said.text.as_str(), said.percent), ("half of it", Some(50)));
        let thread = client.thread(&first.id.to_string()).await.unwrap().items;
        let whats: Vec<&str> = thread.iter().map(|message| message.what.as_str()).collect();
        assert_eq!(whats, ["asked", "answered", "asked", "answered"], "{thread:?}");
        std::fs::write(dir.join("go"), "").unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(node.log_of(&run, "next").await, "all is well with *** 1\n");
        let history = client.run_history(&run, Some("ask")).await.unwrap();
        let count = |action: &str| history.iter().filter(|entry| entry.action.as_str() == action).count();
        assert_eq!(["asked", "answered", "withdrawn", "handed_in"].map(count), [3, 2, 1, 1], "{history:?}");
        node.stop().await;
    });
}

#[test]
fn a_question_ends_with_the_session_that_asked_it() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        std::fs::write(dir.join("api.py"), API).unwrap();
        let node = Node::local(&dir.join("home"), &[]).await;
        let ask = r#"{"ask_type":"blocker","text":"Anybody?","options":[],"waits":false}"#;
        let script = format!("{SHELL}\nask '{ask}'\nuntil [ -e go ]; do sleep 0.05; done");
        let run = node.submit_in(dir, &asks(&script, "tty = false")).await;
        let asked = node.question(&run).await;
        assert_eq!(asked.episode, None, "it does not wait");
        std::fs::write(dir.join("go"), "").unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        let closed = eventually("it is closed", async || {
            node.client.inbox_item(&asked.id.to_string()).await.unwrap().closed
        })
        .await;
        assert_ne!(closed.how, "answered");
        assert_eq!(refused(&node.client, &asked, &answer(text("late"))).await.status, 409);
        // A prompt goes away when its program does, without an answer.
        let prompts =
            "printf 'Proceed? [y/n] '; (until [ -e stop ]; do sleep 0.05; done; kill $$) & read -r a";
        let run = node.submit_in(dir, &asks(prompts, "allow_failure = true")).await;
        let asked = node.question(&run).await;
        std::fs::write(dir.join("stop"), "").unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        let item = node.client.inbox_item(&asked.id.to_string()).await.unwrap();
        assert_eq!(item.closed.unwrap().by, None);
        assert!(node.client.inbox(&ListInbox::default()).await.unwrap().items.is_empty());
        node.stop().await;
    });
}

/// A profile whose program is a script, with these keys.
fn profile(dir: &Path, name: &str, keys: &str, script: &str) -> String {
    let program = dir.join(format!("{name}.sh"));
    std::fs::write(&program, script).unwrap();
    format!("[agents.{name}]\ncommand = {}\n{keys}\n", json!(["sh", program]))
}

#[test]
fn agents_get_their_prompts_as_their_profiles_say_and_no_shell_reads_them() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let home = dir.join("home");
        std::fs::create_dir(&home).unwrap();
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
        let at_prompt = "prompt = \"typed\"\nidle = \"ask\"\n[[agents.typed.screen.rules]]\nname = \"ready\"\n\
                         is = \"idle\"\nregion = \"last 1\"\nany = [\"your turn>\"]";
        let typed = "printf 'Which model? '; read -r m; printf 'your turn> '; read -r a; read -r b\n\
                     printf '%s|' $m \"$a\" \"$b\" > typed.got";
        let given = "printf %s \"$2\" > given.got; echo $A-$B";
        let profiles = [
            profile(
                dir,
                "piped",
                "prompt = \"stdin\"",
                "cat > piped.got; tty <&1 > /dev/null && echo terminal",
            ),
            profile(
                dir,
                "given",
                "prompt_args = [\"--\", \"<{prompt}>\"]\nenv = { A = \"agent\", B = \"agent\" }",
                given,
            ),
            profile(dir, "typed", at_prompt, typed),
            "[agents.absent]\ncommand = [\"no-such-agent\"]\n".to_owned(),
        ];
        std::fs::write(home.join("config.toml"), profiles.concat()).unwrap();
        std::fs::write(dir.join("prompt.md"), "a {{ no.template }}\n$(touch hacked) `x` \"'\n").unwrap();
        let node = Node::local(&home, &[]).await;
        let tasks = r#"
            [[tasks]]
            id = "piped"
            agent = "piped"
            prompt_file = "prompt.md"
            [[tasks]]
            id = "given"
            agent = "given"
            prompt = "--x; $(touch hacked)\n{{ dag.id }}"
            env = { B = "task" }
            [[tasks]]
            id = "typed"
            agent = "typed"
            prompt = "first line\n$(touch hacked)"
            [[tasks]]
            id = "reader"
            needs = ["given"]
            tty = false
            command = ["echo", "{{ tasks.given.output }}"]
        "#;
        let run = node.submit_in(dir, &dag(tasks)).await;
        let asked = node.question(&run).await;
        assert!(asked.question.contains("Which model?"), "{asked:?}");
        give(&node.client, &asked, text("small")).await;
        let ended = node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&ended, "typed").agent.as_deref(), Some("typed"));
        assert_eq!(read(dir, "piped.got"), "a {{ no.template }}\n$(touch hacked) `x` \"'\n");
        assert_eq!(node.log_of(&run, "piped").await, "terminal\n");
        assert_eq!(read(dir, "given.got"), "<--x; $(touch hacked)\nasks>");
        assert_eq!(node.log_of(&run, "reader").await.trim(), "agent-task");
        assert_eq!(read(dir, "typed.got"), "small|first line|$(touch hacked)|");
        assert!(!dir.join("hacked").exists());
        for (agent, said) in [("absent", "no-such-agent"), ("claud", "did you mean `claude`?")] {
            let file = dag(&format!("[[tasks]]\nid = \"a\"\nagent = \"{agent}\"\nprompt = \"x\"\n"));
            let refused = problem_of(node.client.create_run(&request_in(dir, &file)).await);
            assert!(refused.status == 400 && refused.detail.contains(said), "{refused:?}");
        }
        // Alone, without a run.
        let alone = CreateSession {
            argv: Vec::new(),
            agent: Some(StartAgent { profile: "given".to_owned(), prompt: Some("alone".to_owned()) }),
            name: None,
            cwd: dir.to_str().unwrap().to_owned(),
            env: None,
            umask: None,
            size: Some(TermSize { cols: 80, rows: 24 }),
            idle_ms: None,
            lifetime_ms: None,
            input: InputId::NONE,
        };
        node.client.create_session(&alone).await.unwrap();
        eventually("it got its prompt", async || (read(dir, "given.got") == "<alone>").then_some(())).await;
        node.stop().await;
    });
}

#[test]
fn a_command_of_on_blocked_runs_as_it_was_when_the_run_was_submitted() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        std::fs::write(dir.join("decide.sh"), "echo \"pinned $1 $CIS_ITEM\" >> decided\n").unwrap();
        let own = "on_blocked = { action = \"run\", run = [\"sh\", \"./decide.sh\", \"{{ params.word }}\"] }";
        let script = "echo 'echo changed >> decided' > decide.sh\n\
                      printf 'Proceed? [y/n] '; read -r a; echo \"$a\" > got";
        let file = asks(script, own)
            .replace("max_parallel = 4", "params = { word = { type = \"string\", default = \"$(id) x\" } }");
        let run = node.submit_in(dir, &file).await;
        let asked = node.question(&run).await;
        eventually("the command has run", async || (!read(dir, "decided").is_empty()).then_some(())).await;
        assert_eq!(read(dir, "decided"), format!("pinned $(id) x {}\n", asked.id));
        give(&node.client, &asked, option("n")).await;
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(read(dir, "got"), "n\n");
        assert_eq!(read(dir, "decided").lines().count(), 1, "once for each prompt");
        node.stop().await;
    });
}

#[test]
fn a_session_that_waits_leaves_its_place_in_a_group_that_says_so() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let node = Node::local(&dir.join("home"), &[]).await;
        let file = |frees: bool| {
            let groups = format!("[dag.groups.lock]\nlimit = 1\nfrees_when_blocked = {frees}\n");
            let member = "concurrency = { group = \"lock\" }";
            let asks = format!(
                "[[tasks]]\nid = \"ask\"\npriority = 1\n{member}\nscript = \"printf 'Go? [y/n] '; read -r a\"\n"
            );
            dag(&format!(
                "{groups}{asks}[[tasks]]\nid = \"other\"\ntty = false\n{member}\nscript = 'echo {frees} >> other'\n"
            ))
        };
        for frees in [false, true] {
            let run = node.submit_in(dir, &file(frees)).await;
            let asked = node.question(&run).await;
            if frees {
                node.task_is(&run, "other", TaskState::Succeeded).await;
            } else {
                let groups = node.client.groups().await.unwrap().items;
                let lock = groups.iter().find(|group| group.name == "lock").unwrap();
                assert_eq!((lock.active, lock.waiting, lock.origin.as_str()), (1, 1, "file"));
            }
            assert_eq!(read(dir, "other"), if frees { "false\ntrue\n" } else { "" });
            give(&node.client, &asked, option("y")).await;
            node.reaches(&run, RunState::Succeeded).await;
        }
        node.stop().await;
    });
}
