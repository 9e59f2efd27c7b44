//! Rooms and who is in them.

use cis_matrix::{CreateRoom, Invitation, MatrixError, Power};
use serde_json::json;

use crate::synapse::Synapse;
use crate::{Logged, WAIT};

#[tokio::test]
async fn who_is_invited_when_a_room_is_made_has_the_level_that_was_said() {
    let synapse = Synapse::shared();
    let (user, other) = (synapse.register("ann"), synapse.register("bob"));
    let ann = Logged::new(&user, &synapse).await;
    let wanted = CreateRoom {
        name: "builds".to_owned(),
        topic: Some("what is built".to_owned()),
        encrypted: false,
        invite: vec![Invitation { user: other.id.clone(), level: 50 }],
        levels: [("cis.anybody".to_owned(), 0)].into(),
    };
    let made = ann.client.create_room(wanted).await.unwrap();
    ann.client.next(None, WAIT).await.unwrap();
    let power = |who: &str| ann.client.power(&made.room_id, who);
    assert_eq!(power(&user.id).await.unwrap(), Power::Creator);
    assert_eq!(power(&other.id).await.unwrap(), Power::Level(50));
    assert_eq!(power("@nobody:cis.test").await.unwrap(), Power::Level(0));
    assert!(ann.client.may_send_state(&made.room_id, "cis.x").await.unwrap());

    let listed = ann.client.rooms().await.unwrap();
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "builds"));
    assert_eq!((listed[0].encrypted, listed[0].invited), (Some(false), false));
    assert_eq!(listed[0].topic.as_deref(), Some("what is built"));

    let bob = Logged::new(&other, &synapse).await;
    let batch = bob.client.next(None, WAIT).await.unwrap();
    assert_eq!(batch.invited, std::slice::from_ref(&made.room_id));
    assert!(bob.client.rooms().await.unwrap()[0].invited);
    let link = format!("https://matrix.to/#/{}?via=cis.test", made.room_id);
    assert_eq!(bob.client.join(link.parse().unwrap()).await.unwrap().room_id, made.room_id);
    bob.client.join(made.room_id.parse().unwrap()).await.unwrap();
    bob.client.send_state(&made.room_id, "cis.x", "key", json!({ "n": 1 })).await.unwrap();
    let unknown = bob.client.members(&made.room_id).await.unwrap_err();
    assert!(
        matches!(unknown, MatrixError::NotFound { .. }),
        "nobody is taken for somebody without rights: {unknown}"
    );
    bob.client.next(Some(&batch.next_batch), WAIT).await.unwrap();
    let members = bob.client.members(&made.room_id).await.unwrap();
    let power = |id: &str| members.iter().find(|member| member.user == id).map(|member| member.power);
    assert_eq!((members.len(), power(&user.id)), (2, Some(Power::Creator)));
    assert_eq!(power(&other.id), Some(Power::Level(50)));
}

#[tokio::test]
async fn a_room_is_found_by_its_alias_and_people_are_invited_once() {
    let synapse = Synapse::shared();
    let (user, other) = (synapse.register("ann"), synapse.register("bob"));
    let (ann, bob) = (Logged::new(&user, &synapse).await, Logged::new(&other, &synapse).await);
    let room = ann.client.create_room(CreateRoom::default()).await.unwrap().room_id;
    let alias = format!("#{}:cis.test", user.name);
    let path = format!("/directory/room/{}", alias.replace('#', "%23").replace(':', "%3A"));
    user.ok("PUT", &path, Some(json!({ "room_id": room })));
    assert_eq!(bob.client.resolve(alias.parse().unwrap()).await.unwrap(), room);
    let nowhere = bob.client.resolve("#nowhere:cis.test".parse().unwrap()).await.unwrap_err();
    assert_eq!(nowhere, MatrixError::NotFound { what: "the room #nowhere:cis.test".to_owned() });

    let refused = bob.client.join(alias.parse().unwrap()).await.unwrap_err();
    assert!(matches!(refused, MatrixError::Forbidden { .. }), "{refused}");
    for _ in 0..2 {
        ann.client.invite(&room, &other.id).await.unwrap();
    }
    bob.client.join(alias.parse().unwrap()).await.unwrap();
    let error = ann.client.invite(&room, "bob").await.unwrap_err().to_string();
    assert!(error.contains("written @name:server"), "{error}");
    bob.client.leave(&room).await.unwrap();
}
