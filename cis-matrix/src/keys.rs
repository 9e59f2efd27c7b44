//! The SDK's store of keys, with the devices and identities of accounts held in memory.
//!
//! The SDK asks for them several times for each message from device to device, and each question is a query in another thread: two
//! thirds of all queries of a node whose tasks are short. Owns what is held; everything else, and each change, is the store's. One
//! client at a time has the store open.

use std::collections::HashMap;
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
use zeroize::Zeroizing;

/// So many accounts are held; with one more, it begins anew.
const HELD_MAX: usize = 1000;

/// Devices or an identity, each as JSON: everybody who asks gets values of their own. Those of the SDK can be changed through each
/// copy, and it compares what it saves with what the store has.
#[derive(Debug, Default)]
struct Memory {
    devices: HashMap<OwnedUserId, Arc<HashMap<OwnedDeviceId, Vec<u8>>>>,
    /// None: the account has none.
    identities: HashMap<OwnedUserId, Option<Arc<[u8]>>>,
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
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

type Stored<T> = Result<T, CryptoStoreError>;

impl Keys {
    pub(crate) fn new(store: SqliteCryptoStore) -> Self {
        Self { store, memory: Arc::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    /// Holds what the store gave, unless it may be old.
    fn hold<T>(
        &self,
        of: &UserId,
        found: T,
        begun: Option<u64>,
        map: fn(&mut Memory) -> &mut HashMap<OwnedUserId, T>,
    ) {
        let mut memory = self.memory();
        if begun.is_some() && memory.settled() == begun {
            let map = map(&mut memory);
            if map.len() >= HELD_MAX {
                map.clear();
            }
            map.insert(of.to_owned(), found);
        }
    }

    async fn devices(&self, of: &UserId) -> Stored<Arc<HashMap<OwnedDeviceId, Vec<u8>>>> {
        if let Some(devices) = self.memory().devices.get(of) {
            return Ok(Arc::clone(devices));
        }
        let begun = self.memory().settled();
        let found = self.store.get_user_devices(of).await?;
        let json = |(id, device)| Ok((id, serde_json::to_vec(&device)?));
        let devices = found.into_iter().map(json).collect::<Result<HashMap<_, _>, serde_json::Error>>()?;
        let devices = Arc::new(devices);
        self.hold(of, Arc::clone(&devices), begun, |memory| &mut memory.devices);
        Ok(devices)
    }
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
            let of_others = !(changes.identities.new.is_empty()
                && changes.identities.changed.is_empty()
                && changes.devices.new.is_empty()
                && changes.devices.changed.is_empty()
                && changes.devices.deleted.is_empty());
            if !of_others {
                return Ok(self.store.save_changes(changes).await?);
            }
            {
                let mut memory = self.memory();
                let (begun, ended) = (memory.begun + 1, memory.ended);
                *memory = Memory { begun, ended, ..Memory::default() };
            }
            let (store, memory) = (self.store.clone(), Arc::clone(&self.memory));
            // A task of its own: who waits may go away, and the database makes the change even so.
            let saved = spawn(async move {
                let saved = store.save_changes(changes).await;
                lock(&memory).ended += 1;
                saved
            });
            Ok(saved.await.map_err(CryptoStoreError::backend)??)
        }

        async fn get_device(&self, of: &UserId, device: &DeviceId) -> Stored<Option<DeviceData>> {
            let devices = self.devices(of).await?;
            Ok(devices.get(device).map(|json| serde_json::from_slice(json)).transpose()?)
        }

        async fn get_user_devices(&self, of: &UserId) -> Stored<HashMap<OwnedDeviceId, DeviceData>> {
            let devices = self.devices(of).await?;
            let one = |(id, json): (&OwnedDeviceId, &Vec<u8>)| Ok((id.clone(), serde_json::from_slice(json)?));
            devices.iter().map(one).collect()
        }

        async fn get_user_identity(&self, of: &UserId) -> Stored<Option<UserIdentityData>> {
            let held = self.memory().identities.get(of).cloned();
            if let Some(json) = held {
                return Ok(json.map(|json| serde_json::from_slice(&json)).transpose()?);
            }
            let begun = self.memory().settled();
            let found = self.store.get_user_identity(of).await?;
            let json = found.as_ref().map(serde_json::to_vec).transpose()?;
            self.hold(of, json.map(Arc::from), begun, |memory| &mut memory.identities);
            Ok(found)
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
    fn reopen() -> ();
    fn get_size() -> Option<usize>;
}

#[cfg(test)]
mod tests;
