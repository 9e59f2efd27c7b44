//! The recovery key: made once, and enough for a new device to be signed and to read what was said before it.

use cis_matrix::{Client, CreateRoom, MatrixError, Proof, Secret};
use serde_json::json;

use crate::synapse::{Synapse, User};
use crate::{Logged, WAIT, login};

/// Another device of a user.
async fn another(user: &User, synapse: &Synapse, store: &tempfile::TempDir) -> Client {
    let login = login(user, synapse, Proof::Password(Secret::new(&user.password)), store);
    Client::login(login).await.unwrap().0
}

#[tokio::test]
async fn a_new_device_with_the_recovery_key_is_signed_and_reads_what_was_said() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    let ann = Logged::new(&user, &synapse).await;
    ann.client.next(None, WAIT).await.unwrap();
    let before = ann.client.standing().await.unwrap();
    assert!(before.identity && before.signed && before.may_sign, "{before:?}");
    assert!(!before.recovery && !before.backup && !before.backs_up, "{before:?}");
    assert_eq!((before.device.as_str(), before.key.len()), (user.device.as_str(), 43));

    let wanted = CreateRoom { encrypted: true, ..CreateRoom::default() };
    let room = ann.client.create_room(wanted).await.unwrap().room_id;
    let said = ann.client.send(&room, "cis.x", json!({ "n": 1 }), "t1").await.unwrap();
    let first = ann.client.new_recovery().await.unwrap();
    let key = ann.client.new_recovery().await.unwrap();
    assert_ne!(first.reveal(), key.reveal());
    let after = ann.client.standing().await.unwrap();
    assert!(after.recovery && after.backup && after.backs_up, "{after:?}");

    let store = tempfile::tempdir().unwrap();
    let second = another(&user, &synapse, &store).await;
    second.next(None, WAIT).await.unwrap();
    assert!(!second.standing().await.unwrap().signed);
    let error = second.new_recovery().await.map(drop).unwrap_err();
    assert_eq!(error, MatrixError::Unsigned);
    for wrong in ["", "EsTj 3yST y93F SLpB jJsz eAXc 2XzA ygD3 w69H fGaN TKBj jXEd", first.reveal()] {
        let error = second.recover(Secret::new(wrong)).await.unwrap_err().to_string();
        assert!(error.contains("not the recovery key"), "{error}");
        assert!(wrong.is_empty() || !error.contains(wrong));
    }
    assert!(!second.standing().await.unwrap().signed);
    second.recover(Secret::new(format!("  {}\n", key.reveal()))).await.unwrap();
    let recovered = second.standing().await.unwrap();
    assert!(recovered.signed && recovered.may_sign && recovered.backs_up, "{recovered:?}");
    let page = second.forward(&room, None, 100).await.unwrap();
    let event = page.events.iter().find(|event| event.id == said).unwrap();
    assert_eq!(event.kind, "cis.x", "it is read: {event:?}");
}

#[tokio::test]
async fn an_account_without_recovery_has_nothing_that_a_key_opens() {
    let synapse = Synapse::shared();
    let user = synapse.register("ann");
    let _first = Logged::new(&user, &synapse).await;
    let store = tempfile::tempdir().unwrap();
    let second = another(&user, &synapse, &store).await;
    let error = second.recover(Secret::new("EsTj 3yST")).await.unwrap_err().to_string();
    assert!(error.contains("has no recovery key"), "{error}");
}
