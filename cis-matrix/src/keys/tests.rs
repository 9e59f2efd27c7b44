use futures_util::FutureExt as _;
use matrix_sdk_crypto::store::types::DeviceChanges;

use super::*;

struct Opened {
    keys: Keys,
    _folder: tempfile::TempDir,
}

async fn open() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(SqliteCryptoStore::open(folder.path(), None).await.unwrap());
    Opened { keys, _folder: folder }
}

fn bob() -> OwnedUserId {
    UserId::parse("@bob:example.org").unwrap()
}

fn device(name: &str) -> DeviceData {
    DeviceData::from_account(&Account::with_device_id(&bob(), name.into()))
}

fn new(device: &DeviceData) -> Changes {
    Changes {
        devices: DeviceChanges { new: vec![device.clone()], ..Default::default() },
        ..Default::default()
    }
}

fn deleted(device: &DeviceData) -> Changes {
    let devices = DeviceChanges { deleted: vec![device.clone()], ..Default::default() };
    Changes { devices, ..Default::default() }
}

async fn names(keys: &Keys) -> Vec<String> {
    let devices = keys.get_user_devices(&bob()).await.unwrap();
    let mut names: Vec<_> = devices.into_keys().map(|name| name.to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_change_is_seen_at_once() {
    let Opened { keys, _folder } = open().await;
    let (phone, laptop) = (device("PHONE"), device("LAPTOP"));
    assert_eq!(names(&keys).await, [""; 0]);
    assert!(keys.get_user_identity(&bob()).await.unwrap().is_none());

    keys.save_changes(new(&phone)).await.unwrap();
    assert_eq!(names(&keys).await, ["PHONE"]);
    assert_eq!(keys.get_device(&bob(), "PHONE".into()).await.unwrap(), Some(phone.clone()));

    keys.save_changes(new(&laptop)).await.unwrap();
    assert_eq!(names(&keys).await, ["LAPTOP", "PHONE"]);

    keys.save_changes(deleted(&phone)).await.unwrap();
    assert_eq!(names(&keys).await, ["LAPTOP"]);
    assert_eq!(keys.get_device(&bob(), "PHONE".into()).await.unwrap(), None);
}

#[tokio::test]
async fn the_second_question_is_not_the_stores() {
    let Opened { keys, _folder } = open().await;
    keys.save_changes(new(&device("PHONE"))).await.unwrap();
    assert_eq!(names(&keys).await, ["PHONE"]);
    // Behind its back: it would see that.
    keys.store.save_changes(new(&device("LAPTOP"))).await.unwrap();
    assert_eq!(names(&keys).await, ["PHONE"]);
}

#[tokio::test]
async fn what_was_read_before_or_during_a_change_is_not_held() {
    let Opened { keys, _folder } = open().await;
    let before = keys.memory().settled();
    let change = keys.save_changes(new(&device("PHONE")));
    tokio::pin!(change);
    assert!(change.as_mut().now_or_never().is_none());
    let during = keys.memory().settled();
    change.await.unwrap();
    for read_at in [before, during] {
        keys.hold(0, read_at, |memory| drop(memory.devices.insert(bob(), Arc::default())));
        assert_eq!(keys.memory().devices.len(), 0);
    }
    assert_eq!(names(&keys).await, ["PHONE"]);
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_is_made_and_seen() {
    let Opened { keys, _folder } = open().await;
    assert_eq!(names(&keys).await, [""; 0]);
    assert!(keys.save_changes(new(&device("PHONE"))).now_or_never().is_none());
    while keys.memory().settled().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(names(&keys).await, ["PHONE"]);
    assert_eq!(keys.memory().devices.len(), 1);
}

#[tokio::test]
async fn a_change_of_one_account_leaves_the_others_held() {
    let Opened { keys, _folder } = open().await;
    let alice = UserId::parse("@alice:example.org").unwrap();
    assert!(keys.get_user_identity(&alice).await.unwrap().is_none());
    assert!(keys.get_user_devices(&alice).await.unwrap().is_empty());
    assert_eq!(names(&keys).await, [""; 0]);
    keys.save_changes(new(&device("PHONE"))).await.unwrap();
    let held = keys.memory().devices.keys().cloned().collect::<Vec<_>>();
    assert_eq!((held, keys.memory().identities.len()), (vec![alice.clone()], 1));
    keys.memory().forget(&alice);
    assert_eq!(keys.memory().bytes, 0);
}

/// Unknown fields of a device are kept: nested as deep as JSON may be, they do not make its account unreadable.
#[tokio::test]
async fn a_device_is_held_however_deep_its_unknown_fields_are() {
    let Opened { keys, _folder } = open().await;
    let mut deep = serde_json::to_value(device("PHONE")).unwrap();
    deep["device_keys"]["x"] = (0..126).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    let deep: DeviceData = serde_json::from_value(deep).unwrap();
    assert!(serde_json::to_string(&deep).unwrap().contains(&"[".repeat(126)));
    keys.save_changes(new(&deep)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(names(&keys).await, ["PHONE"]);
    }
    assert_eq!(keys.get_device(&bob(), "PHONE".into()).await.unwrap(), Some(deep));
    assert_eq!(keys.memory().devices.len(), 1);
}

#[tokio::test]
async fn an_account_with_more_devices_than_people_have_is_not_held() {
    let Opened { keys, _folder } = open().await;
    let begun = keys.memory().settled();
    keys.hold(OF_ACCOUNT_BYTES_MAX + 1, begun, |_| panic!("it is too much"));
    for _ in 0..HELD_BYTES_MAX / OF_ACCOUNT_BYTES_MAX + 1 {
        keys.hold(OF_ACCOUNT_BYTES_MAX, begun, |_| ());
        assert!(keys.memory().bytes <= HELD_BYTES_MAX);
    }
}
