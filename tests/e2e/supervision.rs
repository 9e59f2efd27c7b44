//! Agents that need looking after: logged out, killed nodes before their prompts, markers. Their programs are scripts.

use std::time::Duration;

use serde_json::Value;

use super::agents::{scripted, typed_at};
use super::harness::{Cis, eventually, eventually_within, kill_9};

/// Tries of a logged-out agent take 1 s and 2 s between them, and its screen is looked at beside that.
const TRIES_TAKE: Duration = Duration::from_secs(60);

/// The screen of an agent whose login is missing.
pub const LOGGED_OUT: &str = "\n[[agents.out.screen.rules]]\nname = \"out\"\nis = \"login\"\nall = [\"Please log in\"]\nquestion = \"Please log in\"\n";

/// A DAG with tasks of this agent.
fn working(dag: &str, agent: &str, tasks: &[&str]) -> String {
    let task = |id: &&str| format!("[[tasks]]\nid = \"{id}\"\nagent = \"{agent}\"\nprompt = \"work\"\n");
    let tasks: String = tasks.iter().map(task).collect();
    format!("version = 1\n[dag]\nid = \"{dag}\"\n{tasks}")
}

fn lines(cis: &Cis, file: &str) -> usize {
    cis.read(file).lines().count()
}

fn times(cis: &Cis, file: &str) -> Vec<i64> {
    cis.read(file).lines().map(|line| line.parse().unwrap()).collect()
}

/// Appends the time of its start to `tries`, and gets on once there is a file `in`.
const LOGS_IN: &str = r#"date +%s%3N >> "$E2E_WORK/tries"
[ -e "$E2E_WORK/in" ] && { sleep 1; echo done; exit 0; }
printf 'Please log in first: your key has run out\n> '; read -r x"#;

#[test]
fn a_logged_out_agent_is_tried_three_times_and_its_account_rests() {
    let cis = Cis::new();
    let profile = scripted(&cis, "out", "account = \"shared\"", LOGS_IN);
    cis.configure(&format!("[logins]\npause = \"8s\"\n{profile}{LOGGED_OUT}"));
    let first = cis.start(&working("first", "out", &["a"]));
    let ended = eventually_within(TRIES_TAKE, "its tries are over", || {
        Some(cis.show(&first)).filter(|detail| detail["run"]["state"] == "failed")
    });
    assert!(ended.to_string().contains("MAX_ATTEMPTS_EXCEEDED"), "{ended}");
    let tries = times(&cis, "tries");
    assert_eq!(tries.len(), 3, "{tries:?}");
    assert!(tries[1] - tries[0] >= 1000 && tries[2] - tries[1] >= 2000, "{tries:?}");
    assert!(cis.json(&["inbox"])["items"].as_array().unwrap().is_empty(), "nobody is asked to answer that");

    // Its account rests for whatever run, and says so.
    let second = cis.start(&working("second", "out", &["b", "c"]));
    let why = eventually("it is held", || {
        Some(cis.ok(["dag", "why", "b", "--run", &second])).filter(|why| why.contains("account `shared`"))
    });
    assert!(why.contains("logged out") && why.contains("then one tries"), "{why}");
    assert_eq!(lines(&cis, "tries"), 3);
    cis.write("in", "");
    // One session tries, and the other waits for it.
    eventually_within(TRIES_TAKE, "one tries", || (lines(&cis, "tries") == 4).then_some(()));
    let resting = times(&cis, "tries")[3] - tries[2];
    assert!(resting >= 8000, "{resting} ms after the third");
    let states = || ["b", "c"].map(|task| cis.task(&second, task)["state"].as_str().unwrap().to_owned());
    assert!(states().contains(&"queued".to_owned()) || lines(&cis, "tries") > 4, "{:?}", states());
    eventually_within(TRIES_TAKE, "both are done", || {
        (cis.show(&second)["run"]["state"] == "succeeded").then_some(())
    });
    assert_eq!(lines(&cis, "tries"), 5);
    let between = times(&cis, "tries");
    assert!(between[4] - between[3] >= 1000, "the other one waited until the first was done: {between:?}");
}

#[test]
fn a_login_that_no_try_mends_fails_at_once() {
    let cis = Cis::new();
    let profile = scripted(&cis, "out", "login_final = [\"Key Has Run Out\"]", LOGS_IN);
    cis.configure(&format!("{profile}{LOGGED_OUT}"));
    let run = cis.start(&working("final", "out", &["a"]));
    let ended = eventually_within(TRIES_TAKE, "it has failed", || {
        Some(cis.show(&run)).filter(|detail| detail["run"]["state"] == "failed")
    });
    assert_eq!(lines(&cis, "tries"), 1, "{ended}");
    assert!(ended.to_string().contains("your key has run out"), "{ended}");
}

#[test]
fn a_prompt_that_is_typed_is_typed_once_over_lives_of_the_node() {
    let cis = Cis::new();
    let script = r#"while [ ! -e "$E2E_WORK/go" ]; do sleep 0.05; done
printf 'your turn> '; read -r one; echo "$one" >> "$E2E_WORK/got"
while [ ! -e "$E2E_WORK/more" ]; do sleep 0.05; done
printf 'and now> '; read -r two; echo "$two" >> "$E2E_WORK/got""#;
    cis.configure(&scripted(&cis, "slow", &typed_at("slow", "your turn>"), script));
    let run = cis.start(&working("typed", "slow", &["a"]));
    cis.session_of("a");
    kill_9(cis.node_pid().unwrap());
    cis.session_of("a");
    cis.write("go", "");
    eventually("its prompt is typed", || (cis.read("got") == "work\n").then_some(()));
    kill_9(cis.node_pid().unwrap());
    cis.session_of("a");
    cis.write("more", "");
    let item: Value = eventually("what it asks then is for people", || {
        cis.json(&["inbox"])["items"].as_array()?.first().cloned()
    });
    assert!(item["question"].as_str().unwrap().contains("and now>"), "{item}");
    assert_eq!(cis.read("got"), "work\n");
    cis.ok(["answer", item["id"].as_str().unwrap(), "--text", "enough"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("got"), "work\nenough\n");
}

#[test]
fn markers_are_events_questions_and_results() {
    let cis = Cis::new();
    let script = r#"echo 'ERROR: no disk'; echo 'ERROR: no disk'; echo 'an ERROR: inside'
printf 'QUESTION: which colour?\n'; read -r colour
echo "COMPLETE: painted $2 $colour"; sleep 300"#;
    let profile = scripted(&cis, "painter", "prompt_args = [\"--\"]", script);
    cis.configure(&format!("{profile}\n[agents.painter.screen]\nmarkers = true\n"));
    let run = cis.start(
        "version = 1\n[dag]\nid = \"paint\"\n[[tasks]]\nid = \"work\"\nforeach = [\"door\", \"wall\"]\nagent = \"painter\"\nprompt = \"{{ item }}\"\n",
    );
    let shown = cis.ok(["dag", "show", &run]);
    assert!(shown.contains("AGENT") && shown.contains("painter"), "{shown}");
    assert_eq!(cis.task(&run, "work")["agent"], "painter");
    assert!(cis.ok(["dag", "graph", "started.toml"]).contains("agent painter"));
    assert!(cis.ok(["dag", "graph", &run]).contains("agent painter"));
    eventually("both copies ask", || {
        let items = cis.json(&["inbox"])["items"].as_array()?.clone();
        let asks =
            |item: &&Value| item["question"].as_str().is_some_and(|text| text.contains("which colour?"));
        (items.iter().filter(asks).count() == 2).then_some(())
    });
    cis.ok(["answer", "paint:work.1", "--text", "red"]);
    cis.ok(["answer", "paint:work.2", "--text", "blue"]);
    cis.wait_run(&run, "succeeded");
    let sql = "select group_concat(type || ' ' || body, char(10)) from events";
    let events: String = super::storage::read_database(&cis).query_row(sql, [], |row| row.get(0)).unwrap();
    let count = |text: &str| events.lines().filter(|line| line.contains(text)).count();
    assert_eq!(count("\"kind\":\"error\""), 4, "twice on each screen:\n{events}");
    assert!(count("painted door red") >= 1 && count("painted wall blue") >= 1, "{events}");
    let said = events.lines().filter(|line| line.starts_with("cis.dag.session.said"));
    assert!(!said.into_iter().any(|line| line.contains("inside")), "{events}");
}
