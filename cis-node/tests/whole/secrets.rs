//! Secrets of tasks: hidden wherever a node tells of them, and given to those that need them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;

use axum::body::Body;
use cis_core::api::{Attach, CreateRun, ReadLog};
use cis_core::event::{RunState, TaskState};
use cis_node::upkeep;
use cis_store::Readers;

use crate::harness::{Node, eventually, on_a_runtime, request, task};
use crate::wire::send;

const SECRET: &str = "hunter2-correct-horse";

const DAG: &str = r#"
version = 1
[dag]
id = "secret"
[[tasks]]
id = "show"
secrets = { TOKEN = { env = "MY_TOKEN" }, KEY = { file = "key" } }
script = '''
echo "the token is $TOKEN and the key is $KEY"
echo "leak=$TOKEN!" >> "$CIS_OUTPUT"
while [ ! -e go ]; do sleep 0.05; done
'''
outputs = { leak = { type = "string" } }
[[tasks]]
id = "later"
needs = ["show"]
tty = false
script = 'printf "%s" {{ tasks.show.outputs.leak }} > later'
"#;

#[test]
fn a_secret_is_hidden_in_every_view_of_its_task_and_reaches_those_that_need_it() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let node = Node::local(&scratch.path().join("home"), &[]).await;
        fs::write(work.path().join("key"), "key-of-a-file").unwrap();
        let env = [("PATH", "/usr/bin:/bin"), ("MY_TOKEN", SECRET)];
        let env: BTreeMap<_, _> = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let workdir = work.path().to_str().unwrap().to_owned();
        let run = node.submit_as(CreateRun { workdir, env: Some(env), ..request(DAG) }).await;
        let session = eventually("it works", async || {
            let session = task(&node.client.run(&run).await.unwrap(), "show").session?.to_string();
            node.client.session(&session).await.unwrap().pid.map(|_| session)
        })
        .await;
        let hidden = |what: &str, text: &str| {
            assert!(!text.contains("hunter2") && !text.contains("key-of"), "{what}: {text}");
        };
        let screen = eventually("it shows something", async || {
            let screen = node.client.screen(&session).await.unwrap();
            screen.contains("the key is").then_some(screen)
        })
        .await;
        assert!(screen.contains("the token is ***"), "{screen}");
        hidden("screen", &screen);
        let mut terminal = node.client.attach(&session, &Attach::default()).await.unwrap();
        let mut picture = Vec::new();
        while !String::from_utf8_lossy(&picture).contains("the key is") {
            if let cis_client::AttachFrame::Bytes(bytes) = terminal.next().await.unwrap() {
                picture.extend_from_slice(&bytes);
            }
        }
        hidden("terminal", &String::from_utf8_lossy(&picture));
        drop(terminal);
        let follow = ReadLog { follow: true, plain: true, ..ReadLog::default() };
        let mut followed = node.client.task_log(&run, "show", &follow).await.unwrap();
        fs::write(work.path().join("go"), "").unwrap();
        let followed = String::from_utf8(followed.read_to_end(1 << 20).await.unwrap()).unwrap();
        assert_eq!(followed, "the token is *** and the key is ***\n");

        let ended = node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&ended, "show").outputs["leak"], "***!", "in what is kept of it");
        assert_eq!(fs::read_to_string(work.path().join("later")).unwrap(), format!("{SECRET}!"));
        for path in ["", "/history", "/time", "/tasks", "/tasks/later/context", "/tasks/show/log", "/dag"] {
            let reply = send(&node, &format!("GET /v1/runs/{run}{path}"), &[], Body::empty()).await;
            assert_eq!(reply.status, 200, "{path}");
            hidden(path, &String::from_utf8_lossy(&reply.body));
        }
        let raw = send(&node, "GET /v1/sessions?all=true", &[], Body::empty()).await;
        hidden("sessions", &String::from_utf8_lossy(&raw.body));

        // Without the file that says what is to be hidden, nothing is shown.
        let logs = node.home.logs().join(&run);
        fs::remove_file(logs.join("secrets")).unwrap();
        let plain = ReadLog { plain: true, ..ReadLog::default() };
        let mut log = node.client.task_log(&run, "show", &plain).await.unwrap();
        let shown = String::from_utf8(log.read_to_end(1 << 20).await.unwrap()).unwrap();
        assert!(shown.contains("withheld") && !shown.contains("the token"), "{shown}");
        let home = node.home.clone();
        node.stop().await;
        let findings = upkeep::deep_check(&home, &mut |_| {}).unwrap().findings;
        assert!(findings.concat().contains("withheld"), "{findings:?}");
    });
}

#[test]
fn a_task_whose_secret_is_missing_fails_and_says_which() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let node = Node::local(&scratch.path().join("home"), &[]).await;
        fs::write(work.path().join("key"), "key-of-a-file").unwrap();
        let workdir = work.path().to_str().unwrap().to_owned();
        let env = Some(BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]));
        let run = node.submit_as(CreateRun { workdir, env, ..request(DAG) }).await;
        let run = node.reaches(&run, RunState::Failed).await;
        let reason = task(&run, "show").reason.clone().unwrap();
        assert!(reason.contains("MY_TOKEN"), "{reason}");
        assert_eq!(task(&run, "later").attempts, 0);
        node.stop().await;
    });
}

/// What agents say with a secret: at a login screen, and of the result.
const AGENTS: &str = r#"
[agents.out]
command = ["sh", "out.sh"]
login_final = ["please log in"]
[[agents.out.screen.rules]]
name = "out"
is = "login"
all = ["Please log in"]
question = "Please log in"
[agents.works]
command = ["sh", "works.sh"]
[agents.works.screen]
markers = true
"#;

const WORK_OF_AGENTS: &str = r#"
version = 1
[dag]
id = "agents"
[[tasks]]
id = "out"
agent = "out"
prompt = "x"
secrets = { KEY = { file = "key" } }
[[tasks]]
id = "works"
agent = "works"
prompt = "x"
secrets = { KEY = { file = "key" } }
[[tasks]]
id = "later"
needs = ["works"]
tty = false
command = ["echo", "{{ tasks.works.output }}"]
"#;

#[test]
fn a_secret_is_hidden_in_what_agents_say_of_their_login_and_their_result() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let work = tempfile::tempdir().unwrap();
        let home = scratch.path().join("home");
        fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
        fs::write(home.join("config.toml"), AGENTS).unwrap();
        fs::write(work.path().join("key"), "key-of-a-file").unwrap();
        fs::write(work.path().join("out.sh"), "printf \"Please log in: $KEY is old\\n> \"; read -r x")
            .unwrap();
        fs::write(
            work.path().join("works.sh"),
            "echo \"ERROR: $KEY is old\"; echo \"COMPLETE: made with $KEY\"; sleep 300",
        )
        .unwrap();
        let node = Node::local(&home, &[]).await;
        let run = node.submit_in(work.path(), WORK_OF_AGENTS).await;
        let ended = node.reaches(&run, RunState::Failed).await;
        let reason = task(&ended, "out").reason.clone().unwrap();
        assert!(reason.contains("Please log in: ***"), "{reason}");
        node.task_is(&run, "later", TaskState::Succeeded).await;
        let log = node.log_of(&run, "later").await;
        assert!(log.starts_with("made with ***"), "{log}");
        let readers = Readers::open(&node.home.database()).unwrap();
        let events = readers.get().unwrap().events(0, None, 10_000).unwrap();
        let told = |text: &str| events.iter().filter(|event| format!("{event:?}").contains(text)).count();
        // The login, the error, and the result.
        assert!(told("Please log in: ***") > 0 && told("*** is old") > 1, "{events:#?}");
        assert!(told("made with ***") > 0, "{events:#?}");
        assert_eq!(told("key-of-a-file"), 0, "{events:#?}");
        node.stop().await;
    });
}
