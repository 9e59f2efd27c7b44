//! Encrypted rooms: what arrives is what was sent, and by which device is known.

use cis_matrix::{CreateRoom, Invitation, Media, RoomEvent, RoomKeys, Trust};
use serde_json::json;

use crate::synapse::Synapse;
use crate::{Logged, WAIT, texts};

/// An encrypted room of `owner` in which `other` is; the place of `other` behind that.
async fn encrypted_room(owner: &Logged, other: &Logged) -> (String, String) {
    let invite = vec![Invitation { user: other.session.user.clone(), level: 50 }];
    let wanted = CreateRoom { encrypted: true, invite, ..CreateRoom::default() };
    let room = owner.client.create_room(wanted).await.unwrap().room_id;
    let place = other.client.next(None, WAIT).await.unwrap().next_batch;
    other.client.join(room.parse().unwrap()).await.unwrap();
    let (_, place) = other.until(Some(place), &room, |event| event.kind == "m.room.member").await;
    owner.client.next(None, WAIT).await.unwrap();
    (room, place)
}

#[tokio::test]
async fn an_encrypted_room_goes_both_ways_and_its_files_too() {
    let synapse = Synapse::shared();
    let (user, other) = (synapse.register("ann"), synapse.register("bob"));
    let (ann, bob) = (Logged::new(&user, &synapse).await, Logged::new(&other, &synapse).await);
    let (room, place) = encrypted_room(&ann, &bob).await;
    assert_eq!(ann.client.room(&room).await.unwrap().encrypted, Some(true));

    let id = ann.client.send(&room, "cis.x", json!({ "n": 1, "unknown": [null] }), "t1").await.unwrap();
    assert_eq!(ann.client.send(&room, "cis.x", json!({ "n": 1 }), "t1").await.unwrap(), id);
    let (events, place) = bob.until(Some(place), &room, |event| event.id == id).await;
    let got = events.iter().find(|event| event.id == id).unwrap();
    assert_eq!((got.kind.as_str(), got.sender.as_str()), ("cis.x", user.id.as_str()));
    assert_eq!(serde_json::from_str::<serde_json::Value>(got.content.get()).unwrap()["n"], 1);
    let encryption = got.encryption.as_ref().unwrap();
    assert_eq!(encryption.device.as_deref(), Some(user.device.as_str()));
    assert_eq!(encryption.trust, Trust::Signed, "by its user, whom nobody has verified");
    // The same message as another event, as a homeserver can make one, is the same one.
    let raw = user.newest(&room).into_iter().find(|event| event["event_id"] == id.as_str()).unwrap();
    let copy = user.send(&room, "m.room.encrypted", raw["content"].clone());
    let next = ann.client.send(&room, "cis.x", json!({ "n": 1, "unknown": [null] }), "t3").await.unwrap();
    let (more, place) = bob.until(Some(place), &room, |event| event.id == next).await;
    let seal = async |event: &RoomEvent| bob.client.seal(&room, event).await.unwrap().unwrap();
    let find = |id: &str| more.iter().find(|event| event.id == id).unwrap();
    assert_eq!(seal(got).await, seal(find(&copy)).await);
    assert_ne!(seal(got).await, seal(find(&next)).await);
    let other = RoomEvent { id: next.clone(), ..got.clone() };
    assert_eq!(bob.client.seal(&room, &other).await.unwrap(), Some(seal(find(&next)).await));
    let other = RoomEvent { kind: "cis.y".to_owned(), ..got.clone() };
    assert_eq!(bob.client.seal(&room, &other).await.unwrap(), None);

    let seen = user.newest(&room);
    assert_eq!(
        seen.iter().find(|event| event["event_id"] == id.as_str()).unwrap()["type"],
        "m.room.encrypted"
    );

    let bytes = vec![7; 100_000];
    let media = bob.client.upload(&room, bytes.clone()).await.unwrap();
    let Media::Encrypted(file) = &media else { panic!("{media:?}") };
    let content = json!({ "msgtype": "m.file", "body": "log", "file": file });
    let id = bob.client.send(&room, "m.room.message", content, "t2").await.unwrap();
    let position = ann.client.position().await.unwrap();
    let (events, _) = ann.until(position, &room, |event| event.id == id).await;
    assert_eq!(texts(&events), ["log"]);
    let got = events.iter().find(|event| event.id == id).unwrap();
    let content: serde_json::Value = serde_json::from_str(got.content.get()).unwrap();
    assert_eq!(ann.client.download(Media::Encrypted(content["file"].clone()), 100_000).await.unwrap(), bytes);
    assert!(ann.client.upload_bytes_max().await.unwrap() > 100_000);
    // Read again from the history, as after a crash.
    let page = bob.client.forward(&room, Some(&place), 50).await.unwrap();
    assert!(page.events.iter().any(|event| event.id == id));
}

/// A homeserver gives a device 100 messages at a time: a key may come after the event that needs it.
#[tokio::test]
async fn a_key_that_comes_late_is_told_with_the_session_that_it_opens() {
    let synapse = Synapse::shared();
    let (user, other) = (synapse.register("ann"), synapse.register("bob"));
    let (ann, bob) = (Logged::new(&user, &synapse).await, Logged::new(&other, &synapse).await);
    let (room, place) = encrypted_room(&ann, &bob).await;
    for n in 0..120 {
        user.to_device(&other.id, &other.device, "cis.dag.x", &json!({ "n": n }));
    }
    let id = ann.client.send(&room, "cis.x", json!({}), "t1").await.unwrap();
    let (events, mut place) = bob.until(Some(place), &room, |event| event.id == id).await;
    let session = events.iter().find(|event| event.id == id).unwrap().sealed_session().unwrap();
    let mut came = false;
    for _ in 0..10 {
        let batch = bob.client.next(Some(&place), WAIT).await.unwrap();
        assert_ne!(batch.keys, RoomKeys::Any);
        came = batch.keys.contains(&room, &session);
        if came {
            break;
        }
        place = batch.next_batch;
    }
    assert!(came);
    let event = bob.client.event(&room, &id).await.unwrap().unwrap();
    assert_eq!((event.kind.as_str(), event.sealed_session()), ("cis.x", None));
}

#[tokio::test]
async fn files_of_a_plain_room_are_plain() {
    let synapse = Synapse::shared();
    let ann = Logged::new(&synapse.register("ann"), &synapse).await;
    let room = ann.client.create_room(CreateRoom::default()).await.unwrap().room_id;
    let media = ann.client.upload(&room, b"bytes".to_vec()).await.unwrap();
    assert!(matches!(&media, Media::Plain(uri) if uri.starts_with("mxc://cis.test/")), "{media:?}");
    assert_eq!(ann.client.download(media, 5).await.unwrap(), b"bytes");
    let bad = Media::Encrypted(json!({ "url": "mxc://cis.test/x" }));
    assert!(ann.client.download(bad, 5).await.unwrap_err().to_string().contains("invalid description"));
}
