//! Messages from device to device.

use cis_matrix::{CreateRoom, Invitation, MatrixError};
use serde_json::json;

use crate::synapse::Synapse;
use crate::{Logged, WAIT};

#[tokio::test]
async fn a_message_reaches_the_device_that_is_named_and_no_other() {
    let synapse = Synapse::shared();
    let (user, other) = (synapse.register("ann"), synapse.register("bob"));
    let (ann, bob) = (Logged::new(&user, &synapse).await, Logged::new(&other, &synapse).await);
    let invite = vec![Invitation { user: other.id.clone(), level: 50 }];
    let room = ann.client.create_room(CreateRoom { invite, ..CreateRoom::default() }).await.unwrap().room_id;
    let place = bob.client.next(None, WAIT).await.unwrap().next_batch;
    bob.client.join(room.parse().unwrap()).await.unwrap();
    let mut place = bob.client.next(Some(&place), WAIT).await.unwrap().next_batch;
    ann.client.next(None, WAIT).await.unwrap();

    let content = json!({ "n": 1, "unknown": [null] });
    ann.client.send_to_device(&other.id, &other.device, "cis.dag.x", &content).await.unwrap();
    // A member can send one in clear, and claim anything in it: it is left out.
    user.to_device(&other.id, &other.device, "cis.dag.x", &json!({ "n": 2 }));
    ann.client.send_to_device(&other.id, &other.device, "cis.dag.y", &json!({})).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 2 {
        let batch = bob.client.next(Some(&place), WAIT).await.unwrap();
        assert_ne!(batch.next_batch, place, "nothing comes: {got:?}");
        place = batch.next_batch;
        got.extend(batch.messages);
    }
    assert_eq!([&*got[0].kind, &*got[1].kind], ["cis.dag.x", "cis.dag.y"]);
    assert_eq!(got[0].sender, user.id);
    assert_eq!(serde_json::from_str::<serde_json::Value>(got[0].content.get()).unwrap()["n"], 1);
    assert_eq!(got[0].encryption.device.as_deref(), Some(user.device.as_str()));

    let gone = ann.client.send_to_device(&other.id, "NOTTHERE", "cis.dag.x", &json!({})).await.unwrap_err();
    assert!(matches!(gone, MatrixError::NotFound { .. }), "{gone:?}");
}
