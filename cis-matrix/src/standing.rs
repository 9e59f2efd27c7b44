//! How the account's device stands: whether its account has signed it, and whether room keys can be recovered.
//!
//! The recovery key opens what the homeserver keeps of the account, encrypted: the keys that sign its devices, and the
//! key of the backup of room keys. It is nobody's but the person's: it is given once, and kept nowhere here.

use matrix_sdk::encryption::recovery::RecoveryError;
use matrix_sdk::encryption::secret_storage::{ImportError, SecretStorageError};

use crate::{Answer, Client, MatrixError, Secret, answer};

/// How the account's device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `@name:server`.
    pub user: String,
    /// The device that we are.
    pub device: String,
    /// Its key, which others see as the device's fingerprint: Ed25519, base64.
    pub key: String,
    /// The account has an identity: keys that sign devices.
    pub identity: bool,
    /// That identity has signed this device.
    pub signed: bool,
    /// This device has the keys of the identity, and can sign others.
    pub may_sign: bool,
    /// There is a recovery key.
    pub recovery: bool,
    /// The homeserver has a backup of room keys.
    pub backup: bool,
    /// This device writes into it.
    pub backs_up: bool,
}

impl Client {
    /// Asks the homeserver how the account's device stands.
    #[must_use]
    pub fn standing(&self) -> Answer<Standing> {
        let sdk = self.sdk.clone();
        answer(async move {
            let encryption = sdk.encryption();
            let (Some(user), Some(device)) = (sdk.user_id(), sdk.device_id()) else {
                return Err(MatrixError::other("nobody is logged in"));
            };
            let identity = encryption.request_user_identity(user).await?;
            let own = encryption.get_own_device().await;
            let own = own.map_err(|error| MatrixError::Store { detail: error.to_string() })?;
            Ok(Standing {
                user: user.to_string(),
                device: device.to_string(),
                key: encryption.ed25519_key().await.unwrap_or_default(),
                identity: identity.is_some(),
                signed: own.is_some_and(|device| device.is_cross_signed_by_owner()),
                may_sign: encryption.cross_signing_status().await.is_some_and(|status| status.is_complete()),
                recovery: encryption.secret_storage().is_enabled().await?,
                backup: encryption.backups().fetch_exists_on_server().await?,
                backs_up: encryption.backups().are_enabled().await,
            })
        })
    }

    /// Signs this device with what the recovery key opens, and reads the backup of room keys, as far as this account's
    /// rooms are known. A passphrase that was set in its place does as well.
    #[must_use]
    pub fn recover(&self, key: Secret) -> Answer<()> {
        let sdk = self.sdk.clone();
        answer(async move {
            let encryption = sdk.encryption();
            match encryption.recovery().recover(key.reveal().trim()).await {
                // The device is signed by then; how the standing tells that the backup is not read.
                Ok(())
                | Err(RecoveryError::SecretStorage(
                    SecretStorageError::InconsistentBackupDecryptionKey
                    | SecretStorageError::MissingOrInvalidBackupDecryptionKey,
                )) => {}
                Err(error) => return Err(not_recovered(error)),
            }
            for room in sdk.joined_rooms() {
                // What is not there now comes when it is needed.
                let _ = encryption.backups().download_room_keys_for_room(room.room_id()).await;
            }
            Ok(())
        })
    }

    /// Sets recovery up, with a backup of room keys, and gives the new recovery key. One that was there before is void.
    #[must_use]
    pub fn new_recovery(&self) -> Answer<Secret> {
        let sdk = self.sdk.clone();
        answer(async move {
            let encryption = sdk.encryption();
            if !encryption.cross_signing_status().await.is_some_and(|status| status.is_complete()) {
                return Err(MatrixError::Unsigned);
            }
            let (recovery, backups) = (encryption.recovery(), encryption.backups());
            if !encryption.secret_storage().is_enabled().await? {
                let key = recovery.enable().wait_for_backups_to_upload().await.map_err(not_set_up)?;
                return Ok(Secret::new(key));
            }
            if !backups.are_enabled().await {
                // A new key would not open it, and the old one would be void.
                if backups.fetch_exists_on_server().await? {
                    return Err(not_set_up(RecoveryError::BackupExistsOnServer));
                }
                recovery.enable_backup().await.map_err(not_set_up)?;
            }
            Ok(Secret::new(recovery.reset_key().await.map_err(not_set_up)?))
        })
    }
}

fn not_set_up(error: RecoveryError) -> MatrixError {
    match error {
        RecoveryError::BackupExistsOnServer => MatrixError::BadInput {
            detail: "the account has a backup of room keys that this device has no key of, and nothing was changed. Give \
                     this device the account's recovery key first (`cis matrix verify --recovery-key-stdin`), or set recovery up \
                     with the device that made the backup"
                .to_owned(),
        },
        other => of_recovery(other),
    }
}

fn not_recovered(error: RecoveryError) -> MatrixError {
    let detail = match &error {
        RecoveryError::SecretStorage(SecretStorageError::SecretStorageKey(_)) => {
            "this is not the recovery key of the account: nothing was changed"
        }
        // One that was switched off is an empty text.
        RecoveryError::SecretStorage(
            SecretStorageError::MissingKeyInfo { .. } | SecretStorageError::Json(_),
        ) => "the account has no recovery key, so there is nothing that one could open",
        RecoveryError::SecretStorage(SecretStorageError::ImportError {
            error: ImportError::MismatchedPublicKeys,
            ..
        }) => {
            "what this recovery key opens belongs to an earlier identity of the account, which was reset since: set recovery \
             up anew with a device of the present identity"
        }
        _ => return of_recovery(error),
    };
    MatrixError::BadInput { detail: detail.to_owned() }
}

fn of_recovery(error: RecoveryError) -> MatrixError {
    match error {
        RecoveryError::Sdk(error) | RecoveryError::SecretStorage(SecretStorageError::Sdk(error)) => {
            error.into()
        }
        other => MatrixError::other(other),
    }
}
