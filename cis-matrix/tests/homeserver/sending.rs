//! Sending: once, within limits, with errors that say what follows.

use std::time::Duration;

use cis_matrix::{Client, CreateRoom, MatrixError};
use serde_json::json;

use crate::synapse::Synapse;
use crate::{Logged, WAIT, texts};

const MESSAGE: &str = "m.room.message";

fn text(body: &str) -> serde_json::Value {
    json!({ "msgtype": "m.text", "body": body })
}

#[tokio::test]
async fn a_transaction_is_one_event_also_of_the_next_process() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    let ann = Logged::new(&user, &synapse).await;
    let room = ann.client.create_room(CreateRoom::default()).await.unwrap().room_id;
    let first = ann.client.send(&room, MESSAGE, text("once"), "t1").await.unwrap();
    assert_eq!(ann.client.send(&room, MESSAGE, text("once"), "t1").await.unwrap(), first);
    let batch = ann.client.next(None, WAIT).await.unwrap();
    drop(ann.client);
    let again = Client::restore(ann.store.path().join("store"), ann.session).await.unwrap();
    assert_eq!(again.send(&room, MESSAGE, text("once"), "t1").await.unwrap(), first);
    let events = crate::of(&batch, &room);
    let own = events.iter().find(|event| event.id == first).unwrap();
    assert_eq!(own.transaction.as_deref(), Some("t1"), "the sending device knows its own");
    assert_eq!(texts(&events), ["once"]);
}

#[tokio::test]
async fn the_device_that_sent_an_event_finds_its_transaction_in_clear_and_encrypted() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    let ann = Logged::new(&user, &synapse).await;
    for encrypted in [false, true] {
        let room =
            ann.client.create_room(CreateRoom { encrypted, ..CreateRoom::default() }).await.unwrap().room_id;
        ann.client.next(None, Duration::ZERO).await.unwrap();
        let sent = ann.client.send(&room, MESSAGE, text("mine"), "t").await.unwrap();
        let found = ann.client.event(&room, &sent).await.unwrap().unwrap();
        assert_eq!(found.transaction.as_deref(), Some("t"), "encrypted: {encrypted}");
        assert_eq!(texts(std::slice::from_ref(&found)), ["mine"]);
    }
}

#[tokio::test]
async fn a_rate_limit_is_an_error_at_once_that_says_how_long() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    let ann = Logged::new(&user, &synapse).await;
    let room = ann.client.create_room(CreateRoom::default()).await.unwrap().room_id;
    let mut sent = 0;
    let error = loop {
        match ann.client.send(&room, MESSAGE, text("x"), &format!("t{sent}")).await {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
    };
    let MatrixError::RateLimited { retry_after } = error else { panic!("{error}") };
    assert!(sent >= 9, "the burst is ten: {sent}");
    assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_secs(6), "{retry_after:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_says_what_follows() {
    let synapse = Synapse::shared();
    let (user, owner) = (synapse.register("ann"), synapse.register("owner"));
    let ann = Logged::new(&user, &synapse).await;
    let send = |room: &str, body: &str| ann.client.send(room, MESSAGE, text(body), body);
    let error = send("!nowhere", "a").await.unwrap_err();
    assert!(matches!(error, MatrixError::NotJoined { .. }), "{error}");
    assert!(matches!(send("nowhere", "b").await.unwrap_err(), MatrixError::BadInput { .. }));

    let room = owner.create_room("theirs", &[&user.id]);
    ann.client.next(None, WAIT).await.unwrap();
    assert!(matches!(send(&room, "c").await.unwrap_err(), MatrixError::NotJoined { .. }), "invited only");
    ann.client.join(room.parse().unwrap()).await.unwrap();
    send(&room, "d").await.unwrap();
    let large = "x".repeat(70_000);
    let error = ann.client.send(&room, MESSAGE, text(&large), "large").await.unwrap_err();
    assert!(matches!(error, MatrixError::TooLarge { .. }), "{error}");
    let error = ann.client.send_state(&room, "cis.x", "", json!({})).await.unwrap_err();
    assert!(matches!(error, MatrixError::Forbidden { .. }), "{error}");

    let kick = format!("/rooms/{}/kick", room.replace('!', "%21"));
    owner.ok("POST", &kick, Some(json!({ "user_id": user.id })));
    // Before and after we know of it.
    let error = send(&room, "e").await.unwrap_err();
    assert!(matches!(error, MatrixError::NotJoined { .. }), "{error}");
    let position = ann.client.position().await.unwrap();
    let batch = ann.client.next(position.as_deref(), WAIT).await.unwrap();
    assert_eq!(batch.left, std::slice::from_ref(&room));
    assert!(matches!(send(&room, "f").await.unwrap_err(), MatrixError::NotJoined { .. }));
}

#[tokio::test]
async fn events_can_be_taken_away_and_read_along_relations() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    let ann = Logged::new(&user, &synapse).await;
    let room = ann.client.create_room(CreateRoom::default()).await.unwrap().room_id;
    let root = ann.client.send(&room, MESSAGE, text("root"), "root").await.unwrap();
    let mut sent = Vec::new();
    for n in 0..3 {
        let mut content = text(&format!("reply {n}"));
        content["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": root });
        sent.push(ann.client.send(&room, MESSAGE, content, &format!("r{n}")).await.unwrap());
    }
    let mut which =
        cis_matrix::Related { relation: Some("m.thread".to_owned()), limit: 2, ..Default::default() };
    let first = ann.client.related(&room, &root, which.clone()).await.unwrap();
    assert_eq!(texts(&first.events), ["reply 0", "reply 1"]);
    which.from = first.next;
    let second = ann.client.related(&room, &root, which).await.unwrap();
    assert_eq!(texts(&second.events), ["reply 2"]);

    ann.client.redact(&room, &sent[0], "a mistake", "away").await.unwrap();
    let gone = ann.client.event(&room, &sent[0]).await.unwrap().unwrap();
    assert_eq!(gone.content.get(), "{}");
}
