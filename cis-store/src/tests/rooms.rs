//! What is kept about rooms.

use super::support::{Home, run_id};
use crate::{Reader, Writer};
use cis_core::api::{
    FollowedRun, OutboxEntry, Outgoing, Priority, RoomMessage, RoomState, RoomWrite, SealedEvent,
};

const ROOM: &str = "!r:example.org";

fn message(what: &str, priority: Priority, payload: &str, due_ms: i64) -> Outgoing {
    Outgoing {
        room: ROOM.to_owned(),
        priority,
        what: what.to_owned(),
        run: Some(run_id(1)),
        item: None,
        payload: payload.to_owned(),
        due_ms,
    }
}

fn write(writer: &mut Writer, writes: &[RoomWrite]) {
    for one in writes {
        writer.room(one).unwrap();
    }
    writer.commit().unwrap();
}

fn whats(entries: &[OutboxEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.message.what.as_str()).collect()
}

fn reader(home: &Home) -> Reader {
    home.readers().get().unwrap()
}

#[test]
fn the_outbox_gives_the_most_urgent_first() {
    let home = Home::new();
    let mut writer = home.writer();
    let queue = |what, priority, due| RoomWrite::Queue(message(what, priority, "{}", due));
    write(
        &mut writer,
        &[
            queue("late", Priority::Human, 100),
            queue("card", Priority::Progress, 1),
            queue("end", Priority::Terminal, 2),
        ],
    );
    let reader = reader(&home);
    assert_eq!(whats(&reader.outbox_due(50, 10).unwrap()), ["end", "card"]);
    assert_eq!(whats(&reader.outbox_due(100, 1).unwrap()), ["late", "end", "card"]);
    let due = reader.outbox_due(100, 10).unwrap();
    let (end, card) = (due[1].id, due[2].id);
    write(
        &mut writer,
        &[RoomWrite::Settle { id: end, message: None }, RoomWrite::Postpone { id: card, due_ms: 200 }],
    );
    assert_eq!(whats(&reader.outbox_due(100, 10).unwrap()), ["late"]);
    let postponed = reader.outbox_due(200, 10).unwrap().pop().unwrap();
    assert_eq!((postponed.id, postponed.tries, postponed.message.priority), (card, 1, Priority::Progress));
    assert_eq!(reader.outbox_after(99).unwrap(), Some(100));
    assert_eq!(reader.outbox_after(1_000_000).unwrap(), None);
    for entry in reader.outbox_due(i64::MAX, 10).unwrap() {
        write(&mut writer, &[RoomWrite::Settle { id: entry.id, message: None }]);
    }
    assert_eq!((reader.outbox_len().unwrap(), writer.outbox_waits().unwrap()), (0, false));
    write(&mut writer, &[queue("new", Priority::Human, 1)]);
    assert!(reader.outbox_due(1, 1).unwrap()[0].id > card, "ids are never used twice");
}

#[test]
fn what_people_reply_to_is_found_while_it_waits_to_be_sent() {
    let home = Home::new();
    let mut writer = home.writer();
    let queue = |what| RoomWrite::Queue(message(what, Priority::Human, "{}", i64::MAX));
    write(
        &mut writer,
        &[queue("journal"), queue("question"), queue("escalated"), queue("reply"), queue("card")],
    );
    let reader = reader(&home);
    let room = reader.outbox_due(i64::MAX, 1).unwrap().remove(0).message.room;
    assert_eq!(whats(&reader.outbox_replyable(&room).unwrap()), ["question", "escalated", "card"]);
    assert_eq!(reader.outbox_replyable("!other:x").unwrap(), []);
}

#[test]
fn no_kind_of_message_hides_another_one() {
    let home = Home::new();
    let mut writer = home.writer();
    let queue = |what, due| RoomWrite::Queue(message(what, Priority::Terminal, "{}", due));
    let mut all: Vec<RoomWrite> = (0..20).flat_map(|n| [queue("reply", n), queue("failed", n)]).collect();
    all.extend([queue("journal", 30), queue("rotated", 40)]);
    all.push(RoomWrite::Queue(message("card", Priority::Progress, "{}", 40)));
    write(&mut writer, &all);
    let due = reader(&home).outbox_due(50, 2).unwrap();
    assert_eq!(whats(&due), ["journal", "rotated", "failed", "failed", "reply", "reply", "card"]);
}

#[test]
fn what_is_made_when_it_is_sent_waits_once() {
    let home = Home::new();
    let mut writer = home.writer();
    let card = RoomWrite::Queue(message("card", Priority::Progress, "", 1));
    let entry = RoomWrite::Queue(message("journal", Priority::Terminal, "{}", 1));
    write(&mut writer, &[card.clone(), entry.clone(), card.clone(), entry]);
    let reader = reader(&home);
    assert_eq!(whats(&reader.outbox_due(1, 10).unwrap()), ["journal", "journal", "card"]);
    // One that was put off says what is true when it is sent.
    let id = reader.outbox_due(1, 10).unwrap()[2].id;
    write(&mut writer, &[RoomWrite::Postpone { id, due_ms: 5 }, card]);
    assert_eq!(whats(&reader.outbox_due(5, 10).unwrap()), ["journal", "journal", "card"]);
    let hasten = |room: &str| RoomWrite::Hasten { room: room.to_owned(), due_ms: 2 };
    write(&mut writer, &[hasten("!other")]);
    assert_eq!(reader.outbox_due(2, 10).unwrap().len(), 2);
    write(&mut writer, &[hasten(ROOM)]);
    assert_eq!(reader.outbox_due(2, 10).unwrap().len(), 3);
}

#[test]
fn a_run_that_goes_to_another_room_begins_anew_there_and_tells_the_one_it_left() {
    let home = Home::new();
    let mut writer = home.writer();
    let run = run_id(1);
    let follow = |room: &str, from| RoomWrite::Follow { run, room: room.to_owned(), from };
    let published =
        RoomWrite::Published { run, room: ROOM.to_owned(), offset: 7, journal: "{\"n\":3}".to_owned() };
    write(
        &mut writer,
        &[
            follow(ROOM, 4),
            published,
            RoomWrite::Told { run, room: ROOM.to_owned(), offset: 9 },
            follow(ROOM, 8),
        ],
    );
    let reader = reader(&home);
    let known = |room: &str, published, journal: &str| FollowedRun {
        run,
        room: room.to_owned(),
        told: 9,
        published,
        journal: journal.to_owned(),
    };
    assert_eq!(reader.followed_runs(0).unwrap(), [known(ROOM, 7, "{\"n\":3}")]);
    assert_eq!(reader.outbox_len().unwrap(), 0);
    write(&mut writer, &[follow("!other", 8)]);
    assert_eq!(reader.followed_runs(0).unwrap(), [known("!other", 8, "")]);
    // What was on its way for the room that it left says nothing of this one.
    let late =
        RoomWrite::Published { run, room: ROOM.to_owned(), offset: 8, journal: "{\"n\":4}".to_owned() };
    write(&mut writer, &[late, RoomWrite::Told { run, room: ROOM.to_owned(), offset: 12 }]);
    assert_eq!(reader.followed_runs(0).unwrap(), [known("!other", 8, "")]);
    write(&mut writer, &[RoomWrite::Unfollow { run }, RoomWrite::Unfollow { run }]);
    assert_eq!(reader.followed_runs(0).unwrap(), []);
    let left = reader.outbox_due(1, 10).unwrap();
    let rooms: Vec<&str> = left.iter().map(|entry| entry.message.room.as_str()).collect();
    assert_eq!((rooms, whats(&left)), (vec![ROOM, "!other"], vec!["left", "left"]));
    // Its journal goes on where it stands, also where the last part was on its way when the run left.
    let back =
        |room: &str, told, published, journal: &str| FollowedRun { told, ..known(room, published, journal) };
    write(&mut writer, &[follow(ROOM, 20)]);
    assert_eq!(reader.followed_runs(0).unwrap(), [back(ROOM, 20, 8, "{\"n\":4}")]);
    write(&mut writer, &[follow("!other", 21)]);
    assert_eq!(reader.followed_runs(0).unwrap(), [back("!other", 21, 8, "")], "it had not begun there");
    // What was told is not told again.
    write(&mut writer, &[RoomWrite::Told { run, room: "!other".to_owned(), offset: 9 }]);
    assert_eq!(reader.followed_runs(0).unwrap(), [back("!other", 21, 8, "")]);
    // Where its beginning never arrived, it begins anew.
    let broken = || RoomWrite::Broken { run, room: ROOM.to_owned() };
    write(&mut writer, &[broken(), follow(ROOM, 22)]);
    assert_eq!(reader.followed_runs(0).unwrap(), [back(ROOM, 22, 22, "")]);
    let journal = "{\"n\":5}".to_owned();
    write(&mut writer, &[RoomWrite::Published { run, room: ROOM.to_owned(), offset: 23, journal }, broken()]);
    assert_eq!(reader.followed_runs(0).unwrap(), [back(ROOM, 22, 23, "")]);
    // What is void goes on nowhere.
    write(&mut writer, &[RoomWrite::Void { run }, follow(ROOM, 30)]);
    assert_eq!(reader.followed_runs(0).unwrap(), [back(ROOM, 30, 30, "")]);
}

#[test]
fn what_a_room_was_not_told_is_tried_anew_when_the_run_leaves_it() {
    let home = Home::new();
    let mut writer = home.writer();
    let run = run_id(1);
    let follow = |room: &str| RoomWrite::Follow { run, room: room.to_owned(), from: 1 };
    let journal = RoomWrite::Queue(message("journal", Priority::Terminal, "{}", 1));
    write(&mut writer, &[follow(ROOM), journal]);
    let reader = reader(&home);
    let entry = || reader.outbox_due(9, 10).unwrap().into_iter().find(|one| one.message.what == "journal");
    let id = entry().unwrap().id;
    let put_off = |due_ms| RoomWrite::Postpone { id, due_ms };
    write(&mut writer, &[put_off(2), put_off(3), follow(ROOM)]);
    assert_eq!(entry().unwrap().tries, 2, "the run is there as before");
    write(&mut writer, &[follow("!other")]);
    assert_eq!((entry().unwrap().tries, entry().unwrap().message.due_ms), (0, 3));
    write(&mut writer, &[put_off(4), RoomWrite::Unfollow { run }]);
    assert_eq!(entry().unwrap().tries, 1, "it left another room");
}

#[test]
fn what_was_sent_is_found_by_its_event_and_by_what_it_is_of() {
    let home = Home::new();
    let mut writer = home.writer();
    let sent = RoomMessage {
        event: "$a".to_owned(),
        room: ROOM.to_owned(),
        what: "question".to_owned(),
        run: Some(run_id(1)),
        item: Some("kwwsrc".to_owned()),
        at_ms: 5,
    };
    write(&mut writer, &[RoomWrite::Queue(message("question", Priority::Human, "", 1))]);
    let reader = reader(&home);
    let id = reader.outbox_due(1, 1).unwrap()[0].id;
    let settle = RoomWrite::Settle { id, message: Some(sent.clone()) };
    // Told twice, as after a crash, it is there once.
    write(&mut writer, &[settle.clone(), settle]);
    assert_eq!(reader.room_message("$a").unwrap().as_ref(), Some(&sent));
    assert_eq!(reader.room_messages(Some(run_id(1)), "question", Some("kwwsrc")).unwrap(), [sent]);
    assert_eq!(reader.room_messages(Some(run_id(1)), "question", None).unwrap(), []);
    assert_eq!(reader.room_message("$b").unwrap(), None);
}

#[test]
fn numbering_and_reading_of_a_room_do_not_disturb_each_other() {
    let home = Home::new();
    let mut writer = home.writer();
    let read = |token: &str| RoomWrite::Read { room: ROOM.to_owned(), token: token.to_owned() };
    let numbered = RoomWrite::Numbered { room: ROOM.to_owned(), incarnation: 2, seq: 9 };
    write(&mut writer, &[read("s1"), numbered, read("s2")]);
    let state = RoomState { incarnation: 2, seq: 9, token: Some("s2".to_owned()) };
    assert_eq!(reader(&home).room_state(ROOM).unwrap(), state);
    assert_eq!(reader(&home).room_state("!other").unwrap(), RoomState::default());
}

#[test]
fn what_cannot_be_decrypted_is_kept_by_room_in_its_order_until_it_is_too_old() {
    let home = Home::new();
    let mut writer = home.writer();
    let sealed = |event: &str, sent_ms| SealedEvent {
        event: event.to_owned(),
        sender: "@ann:x".to_owned(),
        session: "s".to_owned(),
        sent_ms,
    };
    let keep = |room: &str, events: &[SealedEvent], since_ms| RoomWrite::Sealed {
        room: room.to_owned(),
        events: events.to_vec(),
        since_ms,
    };
    let (late, early) = (sealed("$b", 9), sealed("$a", 5));
    write(
        &mut writer,
        &[keep(ROOM, &[late.clone(), early.clone()], 0), keep("!other", std::slice::from_ref(&early), 0)],
    );
    let reader = reader(&home);
    assert_eq!(reader.sealed_events(ROOM, 0).unwrap(), [late.clone(), early]);
    assert_eq!(reader.sealed_events(ROOM, 6).unwrap(), [late]);
    write(&mut writer, &[keep(ROOM, &[], 6)]);
    assert_eq!(reader.sealed_events(ROOM, 0).unwrap(), []);
    assert_eq!(reader.sealed_events("!other", 0).unwrap(), []);
}
