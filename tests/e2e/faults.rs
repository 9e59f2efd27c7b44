//! What goes wrong between a node and its homeserver, in its rooms and with its account: the run goes on, and its
//! room hears all of it once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::proxy::{Fault, Proxy};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User, encoded};
use crate::harness::{Cis, eventually, eventually_within, kill_9};
use crate::heard::{asking, id, item};
use crate::matrix::{logged_in, login, login_at};
use crate::rooms::{
    SLOW, all_is_told, asked, asked_within, card, card_says, gated, hybrid, in_thread, journal_is_whole,
    open_gate, room_of,
};

/// A task asks, and the run ends with the answer.
const ASKS: &str = r#"
version = 1
[dag]
id = "paint"
[[tasks]]
id = "ask"
tty = false
script = '"$E2E_CIS" task ask "Which colour?" --option red --option blue > "$E2E_WORK/said"'
"#;

/// What a reverse proxy says of a homeserver that is away.
fn bad_gateway() -> Fault {
    let body = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>".to_owned();
    Fault::Answer { status: "502 Bad Gateway", kind: "text/html", body }
}

/// A node that reaches its homeserver through a proxy.
fn behind(synapse: &Synapse) -> (Proxy, Cis, User) {
    let (proxy, cis, user) = (Proxy::before(synapse.url()), Cis::new(), synapse.register("cis"));
    login_at(&cis, proxy.url(), &user, "--token-stdin", &user.token).expect(0);
    (proxy, cis, user)
}

/// What `cis node status` warns of. A node that has nothing more to do may have ended.
fn warnings(cis: &Cis) -> Vec<String> {
    let status = cis.run(["node", "status", "--json"]).json();
    let words = |warning: &Value| warning.as_str().unwrap().to_owned();
    status["warnings"].as_array().map(|all| all.iter().map(words).collect()).unwrap_or_default()
}

/// Waits until `cis node status` warns with these words.
#[track_caller]
fn warns(cis: &Cis, words: &[&str]) {
    eventually(&format!("the status says {words:?}: {:?}", warnings(cis)), || {
        let says = |warning: &String| words.iter().all(|word| warning.contains(word));
        warnings(cis).iter().any(says).then_some(())
    });
}

/// Waits until it warns of nothing.
#[track_caller]
fn is_well(cis: &Cis) {
    eventually_within(SLOW, &format!("all is well: {:?}", warnings(cis)), || {
        warnings(cis).is_empty().then_some(())
    });
}

/// Waits until a question is edited to these words.
#[track_caller]
fn question_says(room: &Room<'_>, question: &Value, words: &str) {
    eventually_within(SLOW, words, || {
        room.now(question).0["body"].as_str().filter(|body| body.contains(words)).map(drop)
    });
}

/// Changes the levels of a room.
#[track_caller]
fn levels(by: &User, room: &str, change: impl FnOnce(&mut Value)) {
    let path = format!("/rooms/{}/state/m.room.power_levels/", encoded(room));
    let mut levels = by.ok("GET", &path, None);
    change(&mut levels);
    by.ok("PUT", &path, Some(levels));
}

/// A room of somebody else, in which the node is an ordinary member.
#[track_caller]
fn guest_room<'a>(cis: &Cis, user: &User, host: &'a User) -> Room<'a> {
    let room = host.create_room("theirs", &[&user.id]);
    cis.ok(["matrix", "join", &room]);
    Room::joined(host, &room)
}

#[test]
fn one_refusal_after_the_other_loses_nothing_and_doubles_nothing() {
    let synapse = Synapse::shared();
    let ((proxy, cis, _), ann) = (behind(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let send = ["PUT", "/send/"];
    let _chain = [
        proxy.fault(&send, Fault::LosesAnswer, 1),
        proxy.fault(&send, bad_gateway(), 1),
        proxy.fault(&send, Fault::Refused, 1),
        proxy.fault(&send, Fault::error("500 Internal Server Error", "M_UNKNOWN", ""), 1),
        proxy.fault(&send, Fault::error("413 Payload Too Large", "M_TOO_LARGE", ""), 1),
        proxy.fault(&send, Fault::LosesAnswer, 1),
    ];
    let run = hybrid(&cis, &room, ASKS);
    let question = asked(&room, &run, "Which colour?");
    cis.ok(["answer", item(&question), "blue"]);
    cis.wait_run(&run, "succeeded");
    question_says(&room, &question, "answered by");
    let card = card_says(&room, &run, "succeeded");
    journal_is_whole(&cis, &room, &run, ASKS);
    all_is_told(&cis);
    assert_eq!(room.messages("cis.dag.question", &run).len(), 1);
    assert_eq!(in_thread(&room, &card, "✓ paint succeeded"), 1, "{:?}", room.thread(&card));

    let sent = proxy.seen(&send);
    let lost: Vec<usize> = (0..sent.len()).filter(|&n| sent[n].status.is_none()).collect();
    assert_eq!(lost.len(), 3, "{sent:?}");
    let transactions = proxy.transactions();
    for n in lost {
        assert!(transactions[n + 1..].contains(&transactions[n]), "it is sent again as the same: {sent:?}");
    }
}

#[test]
fn a_refusal_that_says_when_is_waited_for_and_remembered() {
    let synapse = Synapse::shared();
    let ((proxy, cis, user), ann) = (behind(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let send = ["PUT", "/send/"];
    let wait = Fault::error("429 Too Many Requests", "M_LIMIT_EXCEEDED", ",\"retry_after_ms\":6000");
    let _once = proxy.fault(&send, wait, 1);
    let text = gated(1);
    let run = hybrid(&cis, &room, &text);
    card_says(&room, &run, "running");
    let sent = proxy.seen(&send);
    let passed = sent[1].at.duration_since(sent[0].at);
    assert!(passed >= Duration::from_millis(6000), "it was said when the next one is taken: {passed:?}");
    assert_eq!(proxy.transactions()[0], proxy.transactions()[1]);
    let kept = || -> Value {
        let text = std::fs::read_to_string(cis.home().join("allowance.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let learned = kept();
    // One in 6 s, no more.
    assert_eq!((&learned["user"], &learned["per_1000_s"]), (&json!(user.id), &json!(166)));
    kill_9(cis.node_pid().unwrap());
    open_gate(&cis, 0);
    cis.wait_run(&run, "succeeded");
    card_says(&room, &run, "succeeded");
    assert_eq!(kept(), learned, "another life of the node knows it");
}

#[test]
fn a_question_that_arrived_unknown_to_the_node_ends_in_its_room() {
    let synapse = Synapse::shared();
    let ((proxy, cis, _), ann) = (behind(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let lost = proxy.fault(&["PUT", "/send/", "cis.dag.question"], Fault::LosesAnswer, 1);
    let cut = proxy.fault(&["PUT", "/send/", "Which colour?"], Fault::Refused, usize::MAX);
    let run = hybrid(&cis, &room, ASKS);
    let question = asked(&room, &run, "Which colour?");
    cis.ok(["answer", item(&question), "blue"]);
    cis.wait_run(&run, "succeeded");
    drop((lost, cut));
    question_says(&room, &question, "answered by");
    card_says(&room, &run, "succeeded");
    all_is_told(&cis);
    assert_eq!(room.messages("cis.dag.question", &run).len(), 1);
}

#[test]
fn a_question_that_arrived_unknown_to_the_node_is_answered_in_its_room() {
    let synapse = Synapse::shared();
    let ((proxy, cis, _), ann) = (behind(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let lost = proxy.fault(&["PUT", "/send/", "cis.dag.question"], Fault::LosesAnswer, 1);
    let cut = proxy.fault(&["PUT", "/send/", "Which colour?"], Fault::Refused, usize::MAX);
    let run = hybrid(&cis, &room, ASKS);
    let question = asked(&room, &run, "Which colour?");
    ann.reply(&room.id, id(&question), "blue");
    cis.wait_run(&run, "succeeded");
    drop((lost, cut));
    question_says(&room, &question, "answered by");
    all_is_told(&cis);
    assert_eq!(room.messages("cis.dag.question", &run).len(), 1);
}

#[test]
fn a_card_that_arrived_unknown_to_the_node_says_how_the_run_ended() {
    let synapse = Synapse::shared();
    let ((proxy, cis, _), ann) = (behind(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let text = gated(1);
    let lost = proxy.fault(&["PUT", "/send/", "cis.dag.card"], Fault::LosesAnswer, 1);
    let cut = proxy.fault(&["PUT", "/send/"], Fault::Refused, usize::MAX);
    let run = hybrid(&cis, &room, &text);
    eventually("the card", || card(&room, &run));
    open_gate(&cis, 0);
    cis.wait_run(&run, "succeeded");
    drop((lost, cut));
    card_says(&room, &run, "succeeded");
    all_is_told(&cis);
}

#[test]
fn a_homeserver_that_does_not_answer_holds_up_no_run() {
    let synapse = Synapse::shared();
    let ((proxy, cis, _), ann) = (behind(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let text = gated(3);
    let slow = proxy.fault(&["PUT", "/send/"], Fault::AnswerHeld, usize::MAX);
    let run = hybrid(&cis, &room, &text);
    proxy.wait(&["PUT", "/send/"], 1);
    (0..3).for_each(|n| open_gate(&cis, n));
    cis.wait_run(&run, "succeeded");
    assert_ne!(cis.status()["outbox"], 0);
    drop(slow);
    let card = card_says(&room, &run, "succeeded");
    journal_is_whole(&cis, &room, &run, &text);
    all_is_told(&cis);
    assert_eq!(in_thread(&room, &card, "✓ long succeeded"), 1, "{:?}", room.thread(&card));
}

#[test]
fn an_outage_is_shown_while_it_lasts_and_rooms_are_heard_and_told_after_it() {
    let mut synapse = Synapse::own();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, ASKS);
    let question = asked(&room, &run, "Which colour?");
    eventually("the room is heard", || (cis.status()["rooms"] == json!([room.id])).then_some(()));
    synapse.stop();
    warns(&cis, &["the node cannot read its rooms", "does not answer"]);
    assert_eq!(cis.status()["rooms"], Value::Null, "no room is");
    synapse.start();
    ann.reply(&room.id, id(&question), "blue");
    cis.wait_run(&run, "succeeded");
    is_well(&cis);
    assert_eq!(cis.status()["rooms"], json!([room.id]));
    card_says(&room, &run, "succeeded");
}

#[test]
fn a_login_that_was_ended_stops_no_run_and_the_next_one_tells_it() {
    let synapse = Synapse::shared();
    let ((cis, user), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let text = gated(2);
    let run = hybrid(&cis, &room, &text);
    card_says(&room, &run, "running");
    user.end_login(&user.token);
    open_gate(&cis, 0);
    cis.wait_task(&run, "t0", "succeeded");
    warns(&cis, &["does not know this login", "cis matrix logout --forget", "cis matrix login"]);
    let said = cis.run(["matrix", "list-rooms"]).expect(3).stderr;
    assert!(said.contains("cis matrix login"), "{said}");
    cis.ok(["matrix", "logout", "--forget"]);
    warns(&cis, &["no Matrix account", "cis matrix login"]);
    open_gate(&cis, 1);
    cis.wait_run(&run, "succeeded");
    login(&cis, &synapse, &user, "--password-stdin", &user.password).expect(0);
    card_says(&room, &run, "succeeded");
    journal_is_whole(&cis, &room, &run, &text);
    all_is_told(&cis);
    is_well(&cis);
}

#[test]
fn a_room_that_lets_the_node_say_nothing_is_told_all_when_it_may_again() {
    let synapse = Synapse::shared();
    let ((cis, user), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = guest_room(&cis, &user, &ann);
    let run = hybrid(&cis, &room, ASKS);
    let question = asked(&room, &run, "Which colour?");
    all_is_told(&cis);
    levels(&ann, &room.id, |levels| levels["events_default"] = json!(50));
    cis.ok(["answer", item(&question), "red"]);
    cis.wait_run(&run, "succeeded");
    warns(&cis, &[&room.id, "accepts no messages", "level"]);
    levels(&ann, &room.id, |levels| levels["users"][&user.id] = json!(50));
    let card = card_says(&room, &run, "succeeded");
    question_says(&room, &question, "answered by");
    journal_is_whole(&cis, &room, &run, ASKS);
    all_is_told(&cis);
    is_well(&cis);
    assert_eq!(in_thread(&room, &card, "✓ paint succeeded"), 1);
    let (_, edits) = room.now(&card);
    assert!(edits <= 4, "edits that say the same: {edits}");
}

#[test]
fn a_node_that_was_removed_from_one_room_tells_the_others_and_comes_back() {
    let synapse = Synapse::shared();
    let ((cis, user), ann) = (logged_in(&synapse), synapse.register("ann"));
    synapse.lift_limits(&user);
    let (left, other) = (guest_room(&cis, &user, &ann), guest_room(&cis, &user, &ann));
    let text = gated(3);
    let run = hybrid(&cis, &left, &text);
    card_says(&left, &run, "running");
    let kick = |how: &str| {
        let path = format!("/rooms/{}/{how}", encoded(&left.id));
        ann.ok("POST", &path, Some(json!({ "user_id": user.id })));
    };
    kick("kick");
    open_gate(&cis, 0);
    cis.wait_task(&run, "t0", "succeeded");
    warns(&cis, &[&left.id, "must be invited"]);
    // What is wrong with one room is that room's.
    let second = hybrid(&cis, &other, ASKS);
    let question = eventually("another room's question", || {
        other.messages("cis.dag.question", &second).into_iter().next()
    });
    ann.reply(&other.id, id(&question), "blue");
    cis.wait_run(&second, "succeeded");
    card_says(&other, &second, "succeeded");

    kick("invite");
    cis.ok(["matrix", "join", &left.id]);
    (1..3).for_each(|n| open_gate(&cis, n));
    cis.wait_run(&run, "succeeded");
    let card = card_says(&left, &run, "succeeded");
    journal_is_whole(&cis, &left, &run, &text);
    all_is_told(&cis);
    is_well(&cis);
    assert_eq!(in_thread(&left, &card, "✓ long succeeded"), 1);
}

/// Puts another room in the place of one; gives its id.
#[track_caller]
fn upgrade(by: &User, room: &str) -> String {
    let path = format!("/rooms/{}/upgrade", encoded(room));
    let made = by.ok("POST", &path, Some(json!({ "new_version": "12" })));
    made["replacement_room"].as_str().unwrap().to_owned()
}

fn invite(by: &User, room: &str, user: &User) {
    by.invite(room, &user.id);
}

#[test]
fn a_room_that_was_replaced_is_followed_to_the_new_one() {
    let synapse = Synapse::shared();
    let ((cis, user), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = guest_room(&cis, &user, &ann);
    let run = hybrid(&cis, &room, ASKS);
    asked(&room, &run, "Which colour?");
    all_is_told(&cis);
    let new = upgrade(&ann, &room.id);
    warns(&cis, &[&room.id, "was upgraded to", &new, "invite", &user.id]);
    invite(&ann, &new, &user);
    let there = Room::joined(&ann, &new);
    let question = asked(&there, &run, "Which colour?");
    assert_eq!(cis.show(&run)["run"]["room"], new.as_str());
    is_well(&cis);
    ann.reply(&new, id(&question), "blue");
    cis.wait_run(&run, "succeeded");
    let card = card_says(&there, &run, "succeeded");
    let followed = journal_is_whole(&cis, &there, &run, ASKS);
    assert!(followed.from_snapshot);
    all_is_told(&cis);
    assert_eq!(in_thread(&there, &card, "✓ paint succeeded"), 1);
}

#[test]
fn a_room_that_leads_elsewhere_than_it_may_is_not_followed() {
    let synapse = Synapse::shared();
    let ((cis, user), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = guest_room(&cis, &user, &ann);
    let run = hybrid(&cis, &room, ASKS);
    let question = asked(&room, &run, "Which colour?");
    // One that knows nothing of the other one.
    let elsewhere = ann.create_room("elsewhere", &[&user.id]);
    let path = format!("/rooms/{}/state/m.room.tombstone/", encoded(&room.id));
    ann.ok("PUT", &path, Some(json!({ "body": "go there", "replacement_room": elsewhere })));
    warns(&cis, &[&elsewhere, "does not say that it took that one's place", "cis dag mode"]);
    assert_eq!(cis.show(&run)["run"]["room"], room.id.as_str());
    // Whoever may speak in the old one is heard there.
    ann.reply(&room.id, id(&question), "red");
    cis.wait_run(&run, "succeeded");
    card_says(&room, &run, "succeeded");
    assert_eq!(Room::joined(&ann, &elsewhere).messages("cis.dag.card", &run).len(), 0);
}

#[test]
fn a_room_that_a_run_leaves_is_told_so_and_asked_anew_when_it_comes_back() {
    let synapse = Synapse::shared();
    let ((cis, user), ann) = (logged_in(&synapse), synapse.register("ann"));
    synapse.lift_limits(&user);
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, &asking(2));
    let first = asked(&room, &run, "Colour 0?");
    all_is_told(&cis);
    let card = card(&room, &run).unwrap();
    let left = |what: &str| {
        eventually_within(SLOW, what, || {
            (room.now(&card).0["cis.dag.card"]["left"] == json!(true)).then_some(())
        });
    };
    cis.ok(["dag", "mode", &run, "local"]);
    left("the card says that it is not followed here");
    question_says(&room, &first, "no longer asked here");
    all_is_told(&cis);
    assert!(room.now(&card).0["body"].as_str().unwrap().contains("No longer followed here"));
    let before = room.events().len();
    cis.ok(["dag", "mode", &run, "hybrid", "--room", &room.id]);
    let again = eventually_within(SLOW, "it is asked anew", || {
        room.messages("cis.dag.question", &run).into_iter().find(|event| id(event) != id(&first))
    });
    ann.reply(&room.id, id(&again), "blue");
    let second = asked(&room, &run, "Colour 1?");
    question_says(&room, &again, "answered by");
    assert!(room.events().len() > before);

    let other = room_of(&cis, &ann);
    cis.ok(["dag", "mode", &run, "hybrid", "--room", &other.id]);
    let there = asked(&other, &run, "Colour 1?");
    left("the card says that it is followed elsewhere");
    question_says(&room, &second, "no longer asked here");
    ann.reply(&other.id, id(&there), "red");
    cis.wait_run(&run, "succeeded");
    card_says(&other, &run, "succeeded");
    question_says(&other, &there, "answered by");
    journal_is_whole(&cis, &other, &run, &asking(2));
    all_is_told(&cis);
    assert_eq!(room.now(&card).0["cis.dag.card"]["left"], true);
    assert_eq!(cis.read("said"), "blue\nred\n");
}

#[test]
fn more_than_a_sync_holds_is_heard_in_full_and_a_command_among_it_once() {
    let synapse = Synapse::shared();
    let ((proxy, cis, _), ann) = (behind(&synapse), synapse.register("ann"));
    synapse.lift_limits(&ann);
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, &asking(2));
    let first = asked(&room, &run, "Colour 0?");
    let start = ann.say(&room.id, "start");
    let running = cis.spawn(["matrix", "subscribe", &room.id, "--json", "--since", &start]);
    let held = proxy.fault(&["GET", "/sync"], Fault::Held, usize::MAX);
    // The request that waits now is answered by the first of these.
    for n in 0..200 {
        ann.say(&room.id, &format!("number {n}"));
        if n == 100 {
            ann.say(&room.id, &format!("!cis answer {} red", item(&first)));
        }
    }
    drop(held);
    asked(&room, &run, "Colour 1?");
    assert_eq!(cis.read("said"), "red\n");
    let wanted: Vec<String> = (0..200).map(|n| format!("number {n}")).collect();
    eventually(&format!("all of them are seen: {}", running.stdout().len()), || {
        let seen: Vec<String> =
            crate::matrix::bodies(&running).into_iter().filter(|body| body.starts_with("number ")).collect();
        assert!(wanted.starts_with(&seen), "in order, each once: {seen:?}");
        (seen == wanted).then_some(())
    });
    ann.reply(&room.id, id(&asked(&room, &run, "Colour 1?")), "blue");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said"), "red\nblue\n");
}

/// How long a question may need while another program takes whatever the account may send: the node and that program
/// compete for each message. Nextest allows this test more time.
const STARVED: Duration = Duration::from_secs(400);

#[test]
fn another_program_that_uses_up_the_account_keeps_no_question_back() {
    let synapse = Synapse::shared();
    let ((cis, user), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let noise = user.create_room("noise", &[]);
    let other = user.with_token(synapse.other_token(&user));
    let (stop, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let shouts = || {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            n += 1;
            let path = format!("/rooms/{}/send/m.room.message/noise-{n}", encoded(&noise));
            let (status, _) = other.ask("PUT", &path, Some(json!({ "msgtype": "m.text", "body": "noise" })));
            refused.fetch_add(usize::from(status == 429), Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(shouts);
        // Whatever becomes of the test, the other program ends.
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("it has used up what there is", || {
                (refused.load(Ordering::Relaxed) > 2).then_some(())
            });
            let run = hybrid(&cis, &room, ASKS);
            let question = asked_within(STARVED, &room, &run, "Which colour?");
            ann.reply(&room.id, id(&question), "blue");
            cis.wait_run(&run, "succeeded");
            (run, question)
        }));
        stop.store(true, Ordering::Relaxed);
        let (run, question) = told.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        question_says(&room, &question, "answered by");
        // What nobody waits for comes at the pace that was learned.
        journal_is_whole(&cis, &room, &run, ASKS);
    });
}

#[test]
fn a_run_that_ended_long_ago_is_followed_no_longer_but_when_it_is_tried_again() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    cis.ok(["node", "stop"]);
    cis.configure("[matrix]\nended_age = \"2s\"\n");
    let _node = cis.spawn(["node", "start"]);
    let text = ASKS.replace("> \"$E2E_WORK/said\"", "> \"$E2E_WORK/said\"; test -e \"$E2E_WORK/ok\"");
    let run = hybrid(&cis, &room, &text);
    let question = asked(&room, &run, "Which colour?");
    cis.ok(["answer", item(&question), "blue"]);
    cis.wait_run(&run, "failed");
    card_says(&room, &run, "failed");
    all_is_told(&cis);
    eventually("nobody listens any more", || cis.status()["rooms"].is_null().then_some(()));
    std::fs::write(cis.work().join("ok"), "").unwrap();
    cis.ok(["dag", "retry", &run]);
    let again = eventually_within(SLOW, "it is asked again", || {
        room.messages("cis.dag.question", &run).into_iter().find(|event| id(event) != id(&question))
    });
    ann.reply(&room.id, id(&again), "red");
    cis.wait_run(&run, "succeeded");
    card_says(&room, &run, "succeeded");
    journal_is_whole(&cis, &room, &run, &text);
    all_is_told(&cis);
    eventually("nobody listens any more", || cis.status()["rooms"].is_null().then_some(()));
}
