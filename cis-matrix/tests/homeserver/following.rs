//! Following rooms: in order, without a gap, also over a crash and over a homeserver that was away.

use std::time::Duration;

use cis_matrix::{Client, MatrixError, RoomEvent};

use crate::synapse::{Synapse, User};
use crate::{Logged, WAIT, of, texts};

/// All events of a room after a place, page by page, until the event `before`, or to the end.
async fn missed(client: &Client, room: &str, from: &str, before: Option<&str>) -> Vec<RoomEvent> {
    let (mut from, mut events) = (from.to_owned(), Vec::new());
    loop {
        let page = client.forward(room, Some(&from), 50).await.unwrap();
        for event in page.events {
            if Some(event.id.as_str()) == before {
                return events;
            }
            events.push(event);
        }
        let Some(next) = page.next else { return events };
        from = next;
    }
}

fn joined(synapse: &Synapse, owner: &User, user: &User) -> String {
    synapse.lift_limits(owner);
    let room = owner.create_room("followed", &[&user.id]);
    user.join(&room);
    room
}

#[tokio::test]
async fn batches_come_in_order_and_what_is_limited_is_paged() {
    let synapse = Synapse::shared();
    let (owner, user) = (synapse.register("owner"), synapse.register("ann"));
    let room = joined(&synapse, &owner, &user);
    let ann = Logged::new(&user, &synapse).await;
    let since = ann.client.next(None, WAIT).await.unwrap().next_batch;
    let empty = ann.client.next(Some(&since), Duration::ZERO).await.unwrap();
    assert!(empty.rooms.is_empty(), "{empty:?}");

    let wanted: Vec<_> = (0..130).map(|n| n.to_string()).collect();
    for text in &wanted {
        owner.say(&room, text);
    }
    // A batch may come before the homeserver has all of them in order.
    let (mut at, mut all, mut limited) = (since, Vec::new(), false);
    while texts(&all).last() != wanted.last() {
        let batch = ann.client.next(Some(&at), WAIT).await.unwrap();
        assert_eq!(batch.since.as_deref(), Some(at.as_str()));
        let newest = of(&batch, &room);
        if batch.rooms.iter().any(|update| update.room == room && update.limited) {
            limited = true;
            all.extend(missed(&ann.client, &room, &at, newest.first().map(|event| event.id.as_str())).await);
        }
        all.extend(newest);
        at = batch.next_batch;
    }
    assert!(limited);
    assert_eq!(texts(&all), wanted);

    let first = all.iter().find(|event| event.kind == "m.room.message").unwrap().id.clone();
    let place = ann.client.place_after(&room, &first).await.unwrap().unwrap();
    assert_eq!(texts(&missed(&ann.client, &room, &place, None).await), wanted[1..]);
    let page = ann.client.backward(&room, None, 3).await.unwrap();
    assert_eq!(texts(&page.events), ["129", "128", "127"]);
}

#[tokio::test]
async fn what_was_seen_and_not_done_before_a_crash_is_read_again() {
    let synapse = Synapse::shared();
    let (owner, user) = (synapse.register("owner"), synapse.register("ann"));
    let room = joined(&synapse, &owner, &user);
    let ann = Logged::new(&user, &synapse).await;
    let committed = ann.client.next(None, WAIT).await.unwrap().next_batch;
    owner.say(&room, "a");
    let (_, lost) = ann.until(Some(committed.clone()), &room, |event| event.kind == "m.room.message").await;
    assert_ne!(lost, committed);
    drop(ann.client);

    // Nothing newer has happened, which the SDK alone would take for nothing at all.
    let again = Client::restore(ann.store.path().join("store"), ann.session).await.unwrap();
    let behind = again.next(Some(&committed), Duration::ZERO).await.unwrap();
    let gap = behind.rooms.iter().find(|update| update.room == room).unwrap();
    assert!(gap.limited && gap.events.is_empty());
    assert_eq!(texts(&missed(&again, &room, &committed, None).await), ["a"]);
    owner.say(&room, "b");
    let batch = again.next(Some(&behind.next_batch), WAIT).await.unwrap();
    assert_eq!(texts(&of(&batch, &room)), ["b"]);
}

#[tokio::test]
async fn a_homeserver_that_was_away_is_followed_from_where_it_was() {
    let mut synapse = Synapse::own();
    let (owner, user) = (synapse.register("owner"), synapse.register("ann"));
    let room = joined(&synapse, &owner, &user);
    let ann = Logged::new(&user, &synapse).await;
    let since = ann.client.next(None, WAIT).await.unwrap().next_batch;
    synapse.stop();
    let error = ann.client.next(Some(&since), WAIT).await.unwrap_err();
    assert!(matches!(error, MatrixError::Offline { .. }), "{error}");
    synapse.start();
    owner.say(&room, "back");
    let (events, _) = ann.until(Some(since), &room, |event| event.kind == "m.room.message").await;
    assert_eq!(texts(&events), ["back"]);
}
