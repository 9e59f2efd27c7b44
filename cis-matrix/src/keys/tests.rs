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
        keys.hold(&bob(), Arc::default(), read_at, |memory| &mut memory.devices);
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
