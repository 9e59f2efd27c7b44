//! The SDK's store of keys, with the devices and identities of accounts held in memory.
//!
//! The SDK asks for them several times for each message from device to device, and each question is a query in another thread: two
//! thirds of all queries of a node whose tasks are short. Owns what is held; everything else, and each change, is the store's. One
//! client at a time has the store open.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use matrix_sdk::cross_process_lock::CrossProcessLockGeneration;
use matrix_sdk::executor::spawn;
use matrix_sdk::ruma::events::secret::request::SecretName;
use matrix_sdk::ruma::{DeviceId, OwnedDeviceId, OwnedUserId, RoomId, TransactionId, UserId};
use matrix_sdk::{SqliteCryptoStore, async_trait};
use matrix_sdk_crypto::olm::{
    Curve25519PublicKey, InboundGroupSession, OlmMessageHash, OutboundGroupSession,
    PrivateCrossSigningIdentity, SenderDataType, Session,
};
use matrix_sdk_crypto::store::types::{
    BackupKeys, Changes, DehydratedDeviceKey, PendingChanges, RoomKeyCounts, RoomKeyWithheldEntry,
    RoomPendingKeyBundleDetails, RoomSettings, StoredRoomKeyBundleData, TrackedUser,
};
use matrix_sdk_crypto::store::{CryptoStore, CryptoStoreError};
use matrix_sdk_crypto::{Account, DeviceData, GossipRequest, SecretInfo, UserIdentityData};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// So much is held, by [`size`]; with more, it begins anew.
const HELD_BYTES_MAX: usize = 16 << 20;

/// The devices of an account are not held if they have more.
const OF_ACCOUNT_BYTES_MAX: usize = HELD_BYTES_MAX / 16;

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 128;

type Devices = HashMap<OwnedDeviceId, Vec<u8>>;

/// Devices and identities, each as the store has it: everybody who asks gets values of their own. Those of the SDK can be changed through
/// each copy, and it compares what it saves with what the store has.
#[derive(Debug, Default)]
struct Memory {
    devices: HashMap<OwnedUserId, Arc<Devices>>,
    /// None: the account has none.
    identities: HashMap<OwnedUserId, Option<Arc<[u8]>>>,
    /// What both have.
    bytes: usize,
    /// Changes that began. What was read before the newest one, or during it, may be old.
    begun: u64,
    /// Changes that ended.
    ended: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Keys {
    store: SqliteCryptoStore,
    memory: Arc<Mutex<Memory>>,
}

impl Memory {
    /// How many changes there were, if none is under way.
    fn settled(&self) -> Option<u64> {
        (self.begun == self.ended).then_some(self.begun)
    }

    fn forget(&mut self, of: &UserId) {
        let devices = self.devices.remove(of).map_or(0, |devices| size(devices.values()));
        let identity = self.identities.remove(of).map_or(0, |identity| size(identity.as_deref()));
        self.bytes -= devices + identity;
    }

    fn forget_all(&mut self) {
        self.devices.clear();
        self.identities.clear();
        self.bytes = 0;
    }

    fn make_room(&mut self, bytes: usize) {
        if self.bytes + bytes > HELD_BYTES_MAX {
            self.forget_all();
        }
        self.bytes += bytes;
    }
}

/// What an entry with these values costs.
fn size(values: impl IntoIterator<Item = impl AsRef<[u8]>>) -> usize {
    ENTRY_BYTES + values.into_iter().map(|value| ENTRY_BYTES + value.as_ref().len()).sum::<usize>()
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A change that is under way, as long as this lives.
struct Change(Arc<Mutex<Memory>>);

impl Change {
    fn begin(memory: &Arc<Mutex<Memory>>, of: BTreeSet<&UserId>) -> Self {
        let mut held = lock(memory);
        held.begun += 1;
        of.into_iter().for_each(|user| held.forget(user));
        Self(Arc::clone(memory))
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        lock(&self.0).ended += 1;
    }
}

type Stored<T> = Result<T, CryptoStoreError>;

/// In the format of the store: what it can give can be held. JSON may not be nested as deep.
fn encoded<T: Serialize>(value: &T) -> Stored<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(CryptoStoreError::backend)
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Stored<T> {
    rmp_serde::from_slice(bytes).map_err(CryptoStoreError::backend)
}

impl Keys {
    pub(crate) fn new(store: SqliteCryptoStore) -> Self {
        Self { store, memory: Arc::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    /// Holds what was read since `begun`, unless it may be old.
    fn hold(&self, bytes: usize, begun: Option<u64>, put: impl FnOnce(&mut Memory)) {
        let mut memory = self.memory();
        if begun.is_some() && memory.settled() == begun && bytes <= OF_ACCOUNT_BYTES_MAX {
            memory.make_room(bytes);
            put(&mut memory);
        }
    }

    async fn devices(&self, of: &UserId) -> Stored<Arc<Devices>> {
        if let Some(devices) = self.memory().devices.get(of) {
            return Ok(Arc::clone(devices));
        }
        let begun = self.memory().settled();
        let found = self.store.get_user_devices(of).await?;
        let one = |(id, device)| Ok((id, encoded(&device)?));
        let devices = Arc::new(found.into_iter().map(one).collect::<Stored<Devices>>()?);
        self.hold(size(devices.values()), begun, |memory| {
            let before = memory.devices.insert(of.to_owned(), Arc::clone(&devices));
            // Two asked at the same time.
            memory.bytes -= before.map_or(0, |before| size(before.values()));
        });
        Ok(devices)
    }

    async fn identity(&self, of: &UserId) -> Stored<Option<Arc<[u8]>>> {
        if let Some(identity) = self.memory().identities.get(of) {
            return Ok(identity.clone());
        }
        let begun = self.memory().settled();
        let found = self.store.get_user_identity(of).await?;
        let identity: Option<Arc<[u8]>> = found.as_ref().map(encoded).transpose()?.map(Arc::from);
        self.hold(size(identity.as_deref()), begun, |memory| {
            let before = memory.identities.insert(of.to_owned(), identity.clone());
            memory.bytes -= before.map_or(0, |before| size(before.as_deref()));
        });
        Ok(identity)
    }
}

/// Accounts whose devices or identity are among these changes.
fn accounts(changes: &Changes) -> BTreeSet<&UserId> {
    let (identities, devices) = (&changes.identities, &changes.devices);
    let identities = identities.new.iter().chain(&identities.changed).map(UserIdentityData::user_id);
    let devices = devices.new.iter().chain(&devices.changed).chain(&devices.deleted).map(DeviceData::user_id);
    identities.chain(devices).collect()
}

/// The store's answers as they are, except for the methods in the braces.
macro_rules! answers_of_the_store {
    ({ $($own:tt)* } $(fn $name:ident($($arg:ident: $of:ty),*) -> $gives:ty;)*) => {
        #[async_trait]
        impl CryptoStore for Keys {
            type Error = CryptoStoreError;

            $($own)*

            $(async fn $name(&self, $($arg: $of),*) -> Stored<$gives> {
                Ok(self.store.$name($($arg),*).await?)
            })*
        }
    };
}

answers_of_the_store! {
    {
        async fn save_changes(&self, changes: Changes) -> Stored<()> {
            let of = accounts(&changes);
            if of.is_empty() {
                return Ok(self.store.save_changes(changes).await?);
            }
            let (store, change) = (self.store.clone(), Change::begin(&self.memory, of));
            // A task of its own: who waits may go away, and the database makes the change even so.
            let saved = spawn(async move {
                let saved = store.save_changes(changes).await;
                drop(change);
                saved
            });
            Ok(saved.await.map_err(CryptoStoreError::backend)??)
        }

        async fn get_device(&self, of: &UserId, device: &DeviceId) -> Stored<Option<DeviceData>> {
            self.devices(of).await?.get(device).map(|bytes| decoded(bytes)).transpose()
        }

        async fn get_user_devices(&self, of: &UserId) -> Stored<HashMap<OwnedDeviceId, DeviceData>> {
            let devices = self.devices(of).await?;
            devices.iter().map(|(id, bytes)| Ok((id.clone(), decoded(bytes)?))).collect()
        }

        async fn get_user_identity(&self, of: &UserId) -> Stored<Option<UserIdentityData>> {
            self.identity(of).await?.map(|bytes| decoded(&bytes)).transpose()
        }

        /// Until then another process may have the database.
        async fn reopen(&self) -> Stored<()> {
            self.memory().forget_all();
            Ok(self.store.reopen().await?)
        }
    }

    fn load_account() -> Option<Account>;
    fn load_identity() -> Option<PrivateCrossSigningIdentity>;
    fn save_pending_changes(changes: PendingChanges) -> ();
    fn save_inbound_group_sessions(sessions: Vec<InboundGroupSession>, version: Option<&str>) -> ();
    fn get_sessions(sender_key: &str) -> Option<Vec<Session>>;
    fn get_inbound_group_session(room: &RoomId, session: &str) -> Option<InboundGroupSession>;
    fn get_withheld_info(room: &RoomId, session: &str) -> Option<RoomKeyWithheldEntry>;
    fn get_withheld_sessions_by_room_id(room: &RoomId) -> Vec<RoomKeyWithheldEntry>;
    fn get_inbound_group_sessions() -> Vec<InboundGroupSession>;
    fn inbound_group_session_counts(version: Option<&str>) -> RoomKeyCounts;
    fn get_inbound_group_sessions_by_room_id(room: &RoomId) -> Vec<InboundGroupSession>;
    fn get_inbound_group_sessions_for_device_batch(
        key: Curve25519PublicKey, kind: SenderDataType, after: Option<String>, limit: usize
    ) -> Vec<InboundGroupSession>;
    fn inbound_group_sessions_for_backup(version: &str, limit: usize) -> Vec<InboundGroupSession>;
    fn mark_inbound_group_sessions_as_backed_up(version: &str, ids: &[(&RoomId, &str)]) -> ();
    fn reset_backup_state() -> ();
    fn load_backup_keys() -> BackupKeys;
    fn load_dehydrated_device_pickle_key() -> Option<DehydratedDeviceKey>;
    fn delete_dehydrated_device_pickle_key() -> ();
    fn get_outbound_group_session(room: &RoomId) -> Option<OutboundGroupSession>;
    fn load_tracked_users() -> Vec<TrackedUser>;
    fn save_tracked_users(users: &[(&UserId, bool)]) -> ();
    fn get_own_device() -> DeviceData;
    fn is_message_known(hash: &OlmMessageHash) -> bool;
    fn get_outgoing_secret_requests(id: &TransactionId) -> Option<GossipRequest>;
    fn get_secret_request_by_info(info: &SecretInfo) -> Option<GossipRequest>;
    fn get_unsent_secret_requests() -> Vec<GossipRequest>;
    fn delete_outgoing_secret_requests(id: &TransactionId) -> ();
    fn get_secrets_from_inbox(name: &SecretName) -> Vec<Zeroizing<String>>;
    fn delete_secrets_from_inbox(name: &SecretName) -> ();
    fn get_room_settings(room: &RoomId) -> Option<RoomSettings>;
    fn get_received_room_key_bundle_data(room: &RoomId, user: &UserId) -> Option<StoredRoomKeyBundleData>;
    fn get_pending_key_bundle_details_for_room(room: &RoomId) -> Option<RoomPendingKeyBundleDetails>;
    fn get_all_rooms_pending_key_bundles() -> Vec<RoomPendingKeyBundleDetails>;
    fn has_downloaded_all_room_keys(room: &RoomId) -> bool;
    fn get_custom_value(key: &str) -> Option<Vec<u8>>;
    fn set_custom_value(key: &str, value: Vec<u8>) -> ();
    fn remove_custom_value(key: &str) -> ();
    fn try_take_leased_lock(
        duration_ms: u32, key: &str, holder: &str
    ) -> Option<CrossProcessLockGeneration>;
    fn next_batch_token() -> Option<String>;
    fn close() -> ();
    fn get_size() -> Option<usize>;
}

#[cfg(test)]
mod tests;
