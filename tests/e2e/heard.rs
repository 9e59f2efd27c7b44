//! What people say in a room, with a real homeserver: who is heard, what it does, and that it does it once.

use std::fs;

use serde_json::{Value, json};

use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually, eventually_within, kill_9};
use crate::matrix::{logged_in, login};
use crate::rooms::{
    SLOW, all_is_told, asked, card_says, gated, hybrid, journal_is_whole, open_gate, room_of,
};

/// Its tasks ask one after the other, and write down what they hear.
pub fn asking(questions: usize) -> String {
    let mut text = "version = 1\n[dag]\nid = \"paint\"\n".to_owned();
    for n in 0..questions {
        let needs = if n == 0 { String::new() } else { format!("needs = [\"q{}\"]\n", n - 1) };
        text.push_str(&format!(
            "[[tasks]]\nid = \"q{n}\"\ntty = false\n{needs}script = '\"$E2E_CIS\" task ask \"Colour {n}?\" --option red --option blue >> \"$E2E_WORK/said\"'\n"
        ));
    }
    text
}

pub fn id(event: &Value) -> &str {
    event["event_id"].as_str().unwrap()
}

pub fn item(question: &Value) -> &str {
    question["content"]["cis.dag.question"]["item"].as_str().unwrap()
}

/// Waits for what is said to an event.
#[track_caller]
pub fn reply_to(room: &Room<'_>, event: &str) -> String {
    eventually_within(SLOW, "a reply", || {
        let replies = |said: &&Value| said["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == event;
        room.events().iter().find(replies).map(|said| said["content"]["body"].as_str().unwrap().to_owned())
    })
}

#[test]
fn a_reply_a_reaction_and_a_command_answer_what_waits() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, &asking(3));
    let question = asked(&room, &run, "Colour 0?");
    ann.reply(&room.id, id(&question), "blue");
    let next = asked(&room, &run, "Colour 1?");
    let now = eventually_within(SLOW, "the question says who answered", || {
        let (now, _) = room.now(&question);
        let body = now["body"].as_str()?.to_owned();
        body.contains("answered by").then_some(body)
    });
    assert!(now.contains(&ann.name) && now.contains("blue"), "{now}");
    ann.react(&room.id, id(&next), "1\u{fe0f}\u{20e3}");
    let last = asked(&room, &run, "Colour 2?");
    ann.say(&room.id, &format!("!cis answer {} 2", item(&last)));
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said"), "blue\nred\nblue\n");
}

/// Waits until a user has read a room up to this event, as another user sees it.
#[track_caller]
fn wait_until_read(seen_by: &User, room: &Room<'_>, user: &str, event: &str) {
    let mut path = "/sync?timeout=0".to_owned();
    eventually("it is acknowledged", || {
        let said = seen_by.ok("GET", &path, None);
        // Synapse gives the same answer to the same initial request for two minutes.
        path = format!("/sync?timeout=0&since={}", said["next_batch"].as_str().unwrap());
        let receipts = said["rooms"]["join"][&room.id]["ephemeral"]["events"].as_array()?;
        let receipts = receipts.iter().filter(|event| event["type"] == "m.receipt");
        receipts.into_iter().any(|receipt| !receipt["content"][event]["m.read"][user].is_null()).then_some(())
    });
}

#[test]
fn words_that_name_no_option_answer_nothing_by_any_way() {
    let synapse = Synapse::shared();
    let ((cis, account), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, &asking(1));
    let question = asked(&room, &run, "Colour 0?");
    let said = ann.reply(&room.id, id(&question), "green");
    wait_until_read(&ann, &room, &account.id, &said);
    let hint = reply_to(&room, &said);
    assert!(hint.contains("“green”") && hint.contains("1 (red), 2 (blue)"), "{hint}");
    let said = ann.say(&room.id, &format!("!cis answer {} text green", item(&question)));
    assert!(reply_to(&room, &said).contains("Its options"));
    for words in [vec!["green"], vec!["--text", "green"]] {
        let line = ["answer", item(&question)].into_iter().chain(words);
        let said = cis.run(line).expect(2).stderr;
        assert!(said.contains("has no option `green`"), "{said}");
    }
    // A reply to the card is no answer, and whoever wrote it is told so.
    let card = crate::rooms::card(&room, &run).unwrap();
    let said = ann.reply(&room.id, id(&card), "blue");
    let pointed = reply_to(&room, &said);
    assert!(pointed.contains("asks nothing") && pointed.contains("!cis answer"), "{pointed}");
    assert_eq!(cis.show(&run)["run"]["state"], "running");
    ann.reply(&room.id, id(&question), "Blue");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said"), "blue\n");
}

#[test]
fn the_end_of_a_journal_comes_before_replies_to_commands() {
    const COMMANDS: usize = 10;
    const TEXT: &str =
        "version = 1\n[dag]\nid = \"short\"\n[[tasks]]\nid = \"a\"\ntty = false\ncommand = [\"true\"]\n";
    let synapse = Synapse::shared();
    let ((cis, account), ann) = (logged_in(&synapse), synapse.register("ann"));
    synapse.lift_limits(&ann);
    let room = room_of(&cis, &ann);
    let open = hybrid(&cis, &room, &gated(1));
    card_says(&room, &open, "running");
    let said: Vec<String> = (0..COMMANDS).map(|_| ann.say(&room.id, "!cis status")).collect();
    wait_until_read(&ann, &room, &account.id, said.last().unwrap());
    let run = hybrid(&cis, &room, TEXT);
    cis.wait_run(&run, "succeeded");
    journal_is_whole(&cis, &room, &run, TEXT);
    let replies = room.events().iter().filter(|event| is_reply_to(event, &ann, &room)).count();
    assert!(replies < COMMANDS, "all {replies} replies came before the journal");
    open_gate(&cis, 0);
}

#[test]
fn who_may_not_is_told_once_and_changes_nothing() {
    const TEXT: &str = r#"
version = 1
[dag]
id = "ship"
[[tasks]]
id = "deploy"
tty = false
command = ["true"]
approval = { prompt = "Deploy?", allowed = ["BOB"] }
"#;
    let synapse = Synapse::shared();
    let ((cis, _), ann, bob) = (logged_in(&synapse), synapse.register("ann"), synapse.register("bob"));
    let room = room_of(&cis, &ann);
    let guest = synapse.register("guest");
    for user in [&bob, &guest] {
        cis.ok(["matrix", "invite", &room.id, &user.id]);
        user.join(&room.id);
    }
    let run = hybrid(&cis, &room, &TEXT.replace("BOB", &bob.id));
    let question = asked(&room, &run, "Deploy?");
    let asked_first = guest.reply(&room.id, id(&question), "approve");
    assert!(reply_to(&room, &asked_first).contains("decided by"), "whom to ask");
    guest.say(&room.id, "!cis cancel ship");
    // Whoever operates here is not named by the file.
    let said = ann.reply(&room.id, id(&question), "yes");
    assert!(reply_to(&room, &said).contains(&bob.name));
    assert_eq!(cis.task(&run, "deploy")["state"], "queued");
    bob.react(&room.id, id(&question), "✅");
    cis.wait_run(&run, "succeeded");
    all_is_told(&cis);
    let to_guest = room.events().iter().filter(|event| is_reply_to(event, &guest, &room)).count();
    assert_eq!(to_guest, 1, "they are told once");
}

fn is_reply_to(event: &Value, user: &User, room: &Room<'_>) -> bool {
    let Some(to) = event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"].as_str() else {
        return false;
    };
    room.events().iter().any(|said| said["event_id"] == to && said["sender"] == user.id.as_str())
        && event["sender"] != user.id.as_str()
}

#[test]
fn commands_show_start_and_end_runs_and_no_name_leads_out_of_their_folders() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let dags = cis.work().join("dags");
    fs::create_dir_all(dags.join("deploy")).unwrap();
    let text = "version = 1\n[dag]\nid = \"hello\"\n[dag.params]\nwho = { type = \"string\", default = \"nobody\" }\n[[tasks]]\nid = \"say\"\ntty = false\ncommand = [\"echo\", \"hello {{ params.who }}\"]\n[[tasks]]\nid = \"wait\"\ntty = false\ncommand = [\"sleep\", \"600\"]\n";
    fs::write(dags.join("hello.toml"), text).unwrap();
    fs::write(dags.join("deploy/prod.toml"), text).unwrap();
    cis.ok(["node", "stop"]);
    let config = fs::read_to_string(cis.home().join("config.toml")).unwrap_or_default();
    cis.configure(&format!("{config}\n[dag]\nroom_id = {:?}\n[matrix]\nrun_dirs = [{dags:?}]\n", room.id));
    let _node = cis.spawn(["node", "start"]);
    eventually("the room is heard", || (cis.status()["rooms"] == json!([room.id])).then_some(()));

    let said = ann.say(&room.id, "!cis run ../../etc/passwd");
    assert!(reply_to(&room, &said).contains("not the name of a DAG"));
    let said = ann.say(&room.id, "!cis run shop");
    assert!(reply_to(&room, &said).contains("There are: deploy/prod, hello"));
    fs::write(dags.join("wrong.toml"), "version = 1\n[dag]\nid = \"wrong\"\nnonsense = \"hunter2\"\n")
        .unwrap();
    let said = ann.say(&room.id, "!cis run wrong");
    let wrong = reply_to(&room, &said);
    assert!(wrong.contains("cis dag validate") && !wrong.contains("hunter2"), "{wrong}");
    ann.say(&room.id, "!cis run hello who=ann");
    let run = eventually_within(SLOW, "the run", || {
        cis.json(&["dag", "list"])["items"][0]["id"].as_str().map(str::to_owned)
    });
    cis.wait_task(&run, "say", "succeeded");
    card_says(&room, &run, "running");
    let said = ann.say(&room.id, "!cis logs say");
    assert!(reply_to(&room, &said).contains("hello ann"));
    let said = ann.say(&room.id, "!cis screen say");
    let ended = reply_to(&room, &said);
    assert!(ended.contains("has ended") && ended.contains("!cis logs"), "{ended}");
    ann.say(&room.id, &format!("!cis cancel {run}"));
    cis.wait_run(&run, "cancelled");
    assert_eq!(cis.json(&["dag", "list"])["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn no_secret_reaches_the_homeserver() {
    const DECLARED: &str = "hunter2-correct-horse";
    let shaped = format!("ghp_{}", "aB3".repeat(12));
    let text = format!(
        r#"
version = 1
[dag]
id = "leak"
[[tasks]]
id = "fail"
tty = false
secrets = {{ TOKEN = {{ env = "MY_TOKEN" }} }}
script = 'echo "declared $TOKEN, shaped {shaped}, own $CIS_TOKEN"; exit 3'
[[tasks]]
id = "ask"
secrets = {{ TOKEN = {{ env = "MY_TOKEN" }} }}
script = '''
echo "declared $TOKEN, shaped {shaped}, own $CIS_TOKEN"; echo "$CIS_TOKEN" > "$E2E_WORK/own"
printf "Send $TOKEN? [y/n] "; read -r answer; echo "sent $TOKEN"
'''
"#
    );
    let mut synapse = Synapse::own();
    let (user, ann) = (synapse.register("cis"), synapse.register("ann"));
    let cis = Cis::new().env("MY_TOKEN", DECLARED);
    login(&cis, &synapse, &user, "--token-stdin", &user.token).expect(0);
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, &text);
    let question = asked(&room, &run, "Send");
    let shown = ann.say(&room.id, "!cis screen ask");
    assert!(reply_to(&room, &shown).contains("declared"), "the screen is shown");
    let log = ann.say(&room.id, "!cis logs fail");
    assert!(reply_to(&room, &log).contains("declared"), "the log is shown");
    ann.reply(&room.id, id(&question), "yes");
    cis.wait_run(&run, "failed");
    card_says(&room, &run, "failed");
    all_is_told(&cis);
    let own = cis.read("own");
    synapse.stop();
    let written = synapse.written();
    let has = |text: &str| written.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(has("declared"), "what is around them is there");
    for secret in [DECLARED, &shaped, own.trim()] {
        assert!(!secret.is_empty() && !has(secret), "the homeserver has {secret}");
    }
}

#[test]
fn what_was_said_while_the_node_was_away_counts_once_and_edits_never() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, &asking(2));
    let first = asked(&room, &run, "Colour 0?");
    kill_9(cis.node_pid().unwrap());
    let edited = json!({
        "msgtype": "m.text", "body": "* !cis cancel paint",
        "m.new_content": { "msgtype": "m.text", "body": format!("!cis answer {} red", item(&first)) },
        "m.relates_to": { "rel_type": "m.replace", "event_id": id(&first) },
    });
    ann.send(&room.id, "m.room.message", edited);
    ann.reply(&room.id, id(&first), "> <@x:y> red\n\nblue");
    ann.reply(&room.id, id(&first), "red");
    cis.show(&run);
    let second = asked(&room, &run, "Colour 1?");
    assert_eq!(cis.read("said"), "blue\n");
    kill_9(cis.node_pid().unwrap());
    cis.show(&run);
    ann.reply(&room.id, id(&second), "1");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said"), "blue\nred\n");
}
