//! What a room is told of a run, with a real homeserver and its default limits: what people see, what nodes read, and
//! that nothing is lost or said twice.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::harness::room::{Room, own_state};
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually, eventually_within, kill_9, pause};
use crate::matrix::logged_in;

/// At one message in five seconds everything takes its time.
pub const SLOW: Duration = Duration::from_secs(150);

/// A node with an account, somebody who may answer it, and the room of both.
pub fn room_of<'a>(cis: &Cis, ann: &'a User) -> Room<'a> {
    let made = cis.json(&["matrix", "create-room", "builds", "--invite", &ann.id]);
    Room::joined(ann, made["room_id"].as_str().unwrap())
}

/// Starts a run that the room follows.
pub fn hybrid(cis: &Cis, room: &Room<'_>, text: &str) -> String {
    let file = cis.write("hybrid.toml", text);
    let words = ["dag", "execute", "--hybrid", "--room", &room.id, "--detach", file.to_str().unwrap()];
    crate::harness::ulid_in(&cis.ok(words))
}

fn did(cis: &Cis) -> String {
    cis.status()["did"].as_str().unwrap().to_owned()
}

/// The run's card, the only one.
#[track_caller]
pub fn card(room: &Room<'_>, run: &str) -> Option<Value> {
    let cards = room.messages("cis.dag.card", run);
    assert!(cards.len() <= 1, "{cards:?}");
    cards.into_iter().next()
}

/// Waits for an item of the inbox with this question. Its id.
#[track_caller]
pub fn waits(cis: &Cis, question: &str) -> String {
    eventually_within(SLOW, question, || {
        let items = cis.json(&["inbox"])["items"].clone();
        let one = items.as_array()?.iter().find(|item| item["question"] == question)?;
        one["id"].as_str().map(str::to_owned)
    })
}

/// Waits for the question with these words.
#[track_caller]
pub fn asked(room: &Room<'_>, run: &str, words: &str) -> Value {
    asked_within(SLOW, room, run, words)
}

/// Waits for the question with these words, at most for `limit`.
#[track_caller]
pub fn asked_within(limit: Duration, room: &Room<'_>, run: &str, words: &str) -> Value {
    eventually_within(limit, words, || {
        let questions = room.messages("cis.dag.question", run);
        questions.into_iter().find(|event| event["content"]["body"].as_str().unwrap().contains(words))
    })
}

/// Waits until the card says that state.
#[track_caller]
pub fn card_says(room: &Room<'_>, run: &str, state: &str) -> Value {
    eventually_within(SLOW, &format!("the card says {state}"), || {
        let card = card(room, run)?;
        (room.now(&card).0["cis.dag.card"]["state"] == state).then_some(card)
    })
}

/// Waits until what the room has of a run folds to what its node knows.
#[track_caller]
pub fn journal_is_whole(cis: &Cis, room: &Room<'_>, run: &str, text: &str) -> crate::harness::room::Followed {
    let (own, did) = (own_state(&cis.home(), run, text), did(cis));
    eventually_within(SLOW, "the room has the whole journal", || {
        room.follow(run, &did, text).filter(|followed| followed.state == own)
    })
}

/// Nothing waits to be sent.
#[track_caller]
pub fn all_is_told(cis: &Cis) {
    eventually_within(SLOW, "the outbox is empty", || (cis.status()["outbox"] == 0).then_some(()));
}

/// Messages in the card's thread that begin so.
pub fn in_thread(room: &Room<'_>, card: &Value, begins: &str) -> usize {
    let begins = |event: &&Value| event["content"]["body"].as_str().unwrap().starts_with(begins);
    room.thread(card).iter().filter(begins).count()
}

#[test]
fn a_room_sees_how_a_run_goes_what_failed_and_what_waits() {
    const TEXT: &str = r#"
version = 1
[dag]
id = "ship"
[[tasks]]
id = "build"
tty = false
script = "echo built"
[[tasks]]
id = "lint"
tty = false
script = "echo 3 lint errors; exit 3"
[[tasks]]
id = "paint"
tty = false
script = '"$E2E_CIS" task ask "Which colour?" --option red --option blue > "$E2E_WORK/said"'
"#;
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, TEXT);

    let question = eventually_within(SLOW, "the question is asked", || {
        room.messages("cis.dag.question", &run).into_iter().next()
    });
    let said = &question["content"];
    assert_eq!(
        (&said["msgtype"], &said["m.mentions"]["user_ids"][0]),
        (&"m.text".into(), &ann.id.as_str().into())
    );
    assert!(said["body"].as_str().unwrap().contains("Which colour?"), "{said}");
    assert_eq!(said["m.relates_to"], Value::Null, "it stands in the main timeline");
    let card = card(&room, &run).expect("the card came before");
    assert_eq!(
        (&card["content"]["msgtype"], &card["content"]["m.mentions"]),
        (&"m.notice".into(), &serde_json::json!({}))
    );

    cis.ok(["answer", said["cis.dag.question"]["item"].as_str().unwrap(), "2"]);
    cis.wait_run(&run, "failed");
    assert_eq!(cis.read("said").trim(), "blue");
    eventually_within(SLOW, "the question says who answered", || {
        let (now, _) = room.now(&question);
        let body = now["body"].as_str()?;
        (body.contains("answered by") && body.contains("blue")).then_some(())
    });
    card_says(&room, &run, "failed");
    all_is_told(&cis);
    let failure = eventually_within(SLOW, "the failure stands in the thread", || {
        let thread = room.thread(&card);
        thread.into_iter().find(|event| event["content"]["body"].as_str().unwrap().contains("3 lint errors"))
    });
    assert!(failure["content"]["body"].as_str().unwrap().contains("lint"), "{failure}");
    // That it failed rings, once; success does not.
    let rings = room.messages("cis.dag.summary", &run);
    assert_eq!(rings.len(), 1, "{rings:?}");
    let rang = &rings[0]["content"];
    assert_eq!(
        (&rang["msgtype"], &rang["m.mentions"]["user_ids"]),
        (&"m.text".into(), &serde_json::json!([ann.id]))
    );
    assert!(rang["body"].as_str().unwrap().starts_with("✗ ship failed"), "{rang}");
    assert_eq!(rang["m.relates_to"], Value::Null, "it stands in the main timeline");
    assert_eq!(room.messages("cis.dag.question", &run).len(), 1);
    let followed = journal_is_whole(&cis, &room, &run, TEXT);
    assert!(!followed.from_snapshot);
}

#[test]
fn a_question_that_is_decided_elsewhere_or_over_with_its_run_stands_open_in_no_room() {
    const TEXT: &str = r#"
version = 1
[dag]
id = "ship"
[[tasks]]
id = "deploy"
tty = false
command = ["true"]
approval = { prompt = "Deploy?" }
[[tasks]]
id = "paint"
tty = false
script = '"$E2E_CIS" task ask "Which colour?" --option red --option blue'
"#;
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, TEXT);
    let says = |question: &Value, what: &str| {
        eventually_within(SLOW, what, || {
            room.now(question).0["body"].as_str().filter(|body| body.contains(what)).map(drop)
        });
    };
    let (deploy, paint) = (asked(&room, &run, "Deploy?"), asked(&room, &run, "Which colour?"));
    cis.ok(["dag", "approve", &run, "deploy"]);
    says(&deploy, "answered by");
    assert!(!room.now(&deploy).0.to_string().contains("uid:"), "who that is says nothing in a room");
    // A node that does not remember what it asked looks it up.
    let pid = cis.node_pid().unwrap();
    kill_9(pid);
    eventually("it is gone", || (cis.node_pid() != Some(pid)).then_some(()));
    cis.ok(["dag", "cancel", &run]);
    says(&paint, "Was: ");
    all_is_told(&cis);
    assert_eq!(room.now(&deploy).1, 1, "it is edited once");
}

/// Tasks one after the other, each with its gate.
pub fn gated(count: usize) -> String {
    let mut text = "version = 1\n[dag]\nid = \"long\"\n".to_owned();
    for n in 0..count {
        let needs = if n == 0 { String::new() } else { format!("needs = [\"t{}\"]\n", n - 1) };
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\ntty = false\n{needs}script = 'while [ ! -e \"$E2E_WORK/go{n}\" ]; do sleep 0.05; done'\n"
        ));
    }
    text
}

pub fn open_gate(cis: &Cis, n: usize) {
    fs::write(cis.work().join(format!("go{n}")), "").unwrap();
}

#[test]
fn a_homeserver_that_is_away_delays_no_run_and_hears_all_of_it() {
    let mut synapse = Synapse::own();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let text = gated(4);
    let run = hybrid(&cis, &room, &text);
    card_says(&room, &run, "running");
    synapse.stop();
    (0..3).for_each(|n| open_gate(&cis, n));
    cis.wait_task(&run, "t2", "succeeded");
    open_gate(&cis, 3);
    cis.wait_run(&run, "succeeded");
    assert_ne!(cis.status()["outbox"], 0);
    synapse.start();
    let card = card_says(&room, &run, "succeeded");
    journal_is_whole(&cis, &room, &run, &text);
    all_is_told(&cis);
    assert_eq!(in_thread(&room, &card, "✓ long succeeded"), 1, "{:?}", room.thread(&card));
    let rings = |event: &Value| event["content"]["m.mentions"]["user_ids"].is_array();
    assert!(!room.events().iter().any(rings), "success rings for nobody");
    // Of a run without questions there are two small events beside the journal.
    let all = room.events();
    let types: Vec<&str> = all.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let small = types.iter().filter(|kind| kind.starts_with("cis.dag.") && **kind != "cis.dag.run.journal");
    assert_eq!(small.collect::<Vec<_>>(), [&"cis.dag.run.created", &"cis.dag.run.completed"]);
}

#[test]
fn a_node_that_is_killed_again_and_again_says_nothing_twice() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let text = gated(6);
    let run = hybrid(&cis, &room, &text);
    for n in 0..6 {
        // Wherever it is with the room.
        pause(Duration::from_millis(37 * (n as u64 + 1)));
        if let Some(pid) = cis.node_pid() {
            kill_9(pid);
        }
        open_gate(&cis, n);
        cis.wait_task(&run, &format!("t{n}"), "succeeded");
    }
    cis.wait_run(&run, "succeeded");
    let card = card_says(&room, &run, "succeeded");
    journal_is_whole(&cis, &room, &run, &text);
    all_is_told(&cis);
    assert_eq!(in_thread(&room, &card, "✓ long succeeded"), 1, "{:?}", room.thread(&card));
}

#[test]
fn a_run_that_becomes_hybrid_begins_in_its_room_with_a_snapshot() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let text = gated(3);
    let run = cis.start(&text);
    open_gate(&cis, 0);
    cis.wait_task(&run, "t0", "succeeded");
    cis.ok(["dag", "mode", &run, "hybrid", "--room", &room.id]);
    card_says(&room, &run, "running");
    (1..3).for_each(|n| open_gate(&cis, n));
    cis.wait_run(&run, "succeeded");
    card_says(&room, &run, "succeeded");
    let followed = journal_is_whole(&cis, &room, &run, &text);
    assert!(followed.from_snapshot && followed.envelopes >= 2);
    all_is_told(&cis);
}
