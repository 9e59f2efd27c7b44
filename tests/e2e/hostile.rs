//! Rooms whose people mean no good: whatever they say, nothing becomes of it, and who may answer still can.

use serde_json::{Value, json};

use crate::harness::room::own_state;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually_within, resident_kb};
use crate::heard::{asking, id, item, reply_to};
use crate::matrix::{logged_in, login};
use crate::rooms::{SLOW, all_is_told, asked, card, hybrid, journal_is_whole, room_of};

/// Somebody in a room who has no part in its runs, and may say as much as they like.
fn stranger(synapse: &Synapse, cis: &Cis, room: &str) -> User {
    let mob = synapse.register("mob");
    synapse.lift_limits(&mob);
    cis.ok(["matrix", "invite", room, &mob.id]);
    mob.join(room);
    mob
}

fn edit(of: &str, body: &str) -> Value {
    json!({
        "msgtype": "m.text", "body": format!("* {body}"),
        "m.new_content": { "msgtype": "m.text", "body": body },
        "m.relates_to": { "rel_type": "m.replace", "event_id": of },
    })
}

#[test]
fn forged_events_edits_quotes_and_commands_of_strangers_change_nothing() {
    let synapse = Synapse::shared();
    let ((cis, user), ann) = (logged_in(&synapse), synapse.register("ann"));
    synapse.lift_limits(&user);
    synapse.lift_limits(&ann);
    let (room, second) = (room_of(&cis, &ann), room_of(&cis, &ann));
    let text = asking(2);
    let run = hybrid(&cis, &room, &text);
    let question = asked(&room, &run, "Colour 0?");
    let of_other = text.replace("\"paint\"", "\"other\"");
    let other = hybrid(&cis, &second, &of_other);
    asked(&second, &other, "Colour 0?");
    journal_is_whole(&cis, &room, &run, &text);
    journal_is_whole(&cis, &second, &other, &of_other);
    all_is_told(&cis);
    let before = own_state(&cis.home(), &run, &text);
    let mob = stranger(&synapse, &cis, &room.id);
    let of_room = |room: &crate::harness::room::Room<'_>| -> Vec<Value> {
        let signed = |event: &Value| event["type"].as_str().unwrap().starts_with("cis.dag.");
        room.events().into_iter().filter(signed).collect()
    };
    let (ours, theirs) = (of_room(&room), of_room(&second));
    assert!(!ours.is_empty() && !theirs.is_empty());

    // Envelopes: as they are, of another room, changed, and with no signature.
    for event in ours.iter().chain(&theirs) {
        let mut content = event["content"].clone();
        // The homeserver takes no relation to an event of another room.
        content.as_object_mut().unwrap().remove("m.relates_to");
        mob.send(&room.id, event["type"].as_str().unwrap(), content);
    }
    let kind = ours[0]["type"].as_str().unwrap();
    let mut changed = ours[0]["content"].clone();
    changed["body"] = json!({ "entries": [{ "type": "RunCancelled" }], "text": "x".repeat(30_000) });
    mob.send(&room.id, kind, changed.clone());
    changed.as_object_mut().unwrap().retain(|key, _| !key.contains("sig") && key != "proof");
    mob.send(&room.id, kind, changed);
    for odd in [json!({}), json!({ "run": run, "seq": -1 }), json!({ "v": "x", "run": [run] })] {
        mob.send(&room.id, kind, odd);
    }
    // Edits of what is signed, of the question, and of words that were none of a command.
    mob.send(&room.id, kind, {
        let mut content = ours[0]["content"].clone();
        content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": ours[0]["event_id"] });
        content["m.new_content"] = json!({ "run": run });
        content
    });
    let card = card(&room, &run).unwrap();
    for of in [id(&question), id(&card)] {
        mob.send(&room.id, "m.room.message", edit(of, "!cis cancel paint"));
    }
    let harmless = ann.say(&room.id, "what do you think?");
    for by in [&ann, &mob] {
        by.send(&room.id, "m.room.message", edit(&harmless, "!cis cancel paint"));
    }
    // Words: large, dressed up, quoted, and commands of who may give none.
    let large = "x".repeat(60_000);
    mob.say(&room.id, &format!("!cis cancel paint {large}"));
    mob.reply(&room.id, id(&question), &large);
    mob.send(
        &room.id,
        "m.room.message",
        json!({
            "msgtype": "m.text", "body": "look", "format": "org.matrix.custom.html",
            "formatted_body": "<script>alert(1)</script><img src=x onerror=y><p>!cis cancel paint</p>",
        }),
    );
    for kind in ["m.notice", "m.emote", "m.file"] {
        ann.send(&room.id, "m.room.message", json!({ "msgtype": kind, "body": "!cis cancel paint" }));
    }
    let quote = "> <@ann:cis.test> !cis cancel paint\n> !cis answer x red\n\nno, do not";
    let said = ann.say(&room.id, "talk");
    ann.reply(&room.id, &said, quote);
    ann.say(&room.id, "> !cis cancel paint");
    ann.say(&room.id, "so I said\n!cis cancel paint");
    mob.say(&room.id, "!cis run ../../etc/passwd");
    mob.say(&room.id, &format!("!cis answer {} red", item(&question)));
    mob.reply(&room.id, id(&question), "red");
    mob.react(&room.id, id(&question), "1\u{fe0f}\u{20e3}");
    mob.say(&room.id, "!cis cancel paint");

    let last = ann.say(&room.id, "!cis run ../../etc/passwd");
    assert!(reply_to(&room, &last).contains("not the name of a DAG"), "all before it was heard");
    assert_eq!(own_state(&cis.home(), &run, &text), before);
    assert_eq!(cis.read("said"), "");
    // Who is at work here answers.
    ann.reply(&room.id, id(&question), "blue");
    let next = asked(&room, &run, "Colour 1?");
    ann.say(&room.id, &format!("!cis answer {} 1", item(&next)));
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said"), "blue\nred\n");
    eventually_within(SLOW, "the room has its journal", || (cis.status()["outbox"] == 0).then_some(()));
    let own = own_state(&cis.home(), &run, &text);
    let did = cis.status()["did"].as_str().unwrap().to_owned();

    // Nor does any of it become of the run where another node reads the room.
    let (reader, account) = (Cis::new(), synapse.register("reader"));
    login(&reader, &synapse, &account, "--token-stdin", &account.token).expect(0);
    ann.invite(&room.id, &account.id);
    reader.ok(["matrix", "join", &room.id]);
    reader.ok(["identity", "trust", &did]);
    let said = reader.json(&["dag", "recover", "--room", &room.id]);
    assert!(said["refused"].as_u64() > Some(0), "{said}");
    assert_eq!(own_state(&reader.home(), &run, &text), own);
}

#[test]
fn a_flood_of_messages_neither_fills_the_node_nor_hides_who_may_answer() {
    flood(640);
}

#[test]
#[ignore = "the homeserver takes some fifteen messages a second; `cargo xtask test-all` has the time"]
fn a_flood_of_10_000_messages_fills_the_node_no_more_than_a_small_one() {
    flood(10_000);
}

/// A stranger says so much while a session waits for an answer.
fn flood(messages: usize) {
    /// Connections by which it comes.
    const AT_ONCE: usize = 8;
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, &asking(1));
    let question = asked(&room, &run, "Colour 0?");
    let mob = stranger(&synapse, &cis, &room.id);
    all_is_told(&cis);
    let pid = cis.node_pid().unwrap();
    let before = resident_kb(pid).unwrap();
    std::thread::scope(|scope| {
        for part in 0..AT_ONCE {
            let (mob, room, question) = (&mob, &room, &question);
            scope.spawn(move || {
                for n in 0..messages / AT_ONCE {
                    match (n + part) % 5 {
                        0 => mob.say(&room.id, "!cis cancel paint"),
                        1 => mob.reply(&room.id, id(question), "red"),
                        2 => mob.say(&room.id, &format!("!cis answer {} red", item(question))),
                        3 => mob.send(
                            &room.id,
                            "cis.dag.run.journal",
                            json!({ "n": n, "x": "x".repeat(4_000) }),
                        ),
                        _ => mob.say(&room.id, &"talk ".repeat(400)),
                    };
                }
            });
        }
    });
    ann.reply(&room.id, id(&question), "blue");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said"), "blue\n");
    assert_eq!(cis.node_pid(), Some(pid), "it is the same node");
    let grown = resident_kb(pid).unwrap().saturating_sub(before);
    assert!(grown < 96 * 1024, "the node has grown by {grown} KiB, from {before}");
    all_is_told(&cis);
    let to_mob = room.events().iter().filter(|event| event["sender"] != mob.id.as_str()).count();
    assert!(to_mob < 60, "they are answered once: {to_mob}");
}
