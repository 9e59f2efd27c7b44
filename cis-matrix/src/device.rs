//! Messages from device to device: fast, encrypted for one device, kept nowhere, under no rate limit.
//!
//! They may be lost: the homeserver forgets a message once it has given it to a device, and whoever was given it may die
//! before it acts on it. So whoever needs an answer repeats the question.

use matrix_sdk::deserialized_responses::ProcessedToDeviceEvent;
use matrix_sdk::ruma::events::AnyToDeviceEventContent;
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk::ruma::{OwnedDeviceId, UserId};
use matrix_sdk::sync::SyncResponse;
use matrix_sdk_crypto::CollectStrategy;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::events::Encryption;
use crate::{Answer, Client, MatrixError, answer};

/// A message for this device. Everything in it is somebody else's word, but for how it was encrypted.
#[derive(Debug, Clone)]
pub struct DeviceMessage {
    /// Who sent it, `@name:server`.
    pub sender: String,
    /// Its type.
    pub kind: String,
    /// JSON, decrypted.
    pub content: Box<RawValue>,
    /// The device that encrypted it. What came in clear is left out.
    pub encryption: Encryption,
}

#[derive(Deserialize)]
struct Wire {
    sender: String,
    #[serde(rename = "type")]
    kind: String,
    content: Box<RawValue>,
}

impl Client {
    /// Sends a message to one device of somebody, encrypted.
    ///
    /// # Errors
    /// [`MatrixError::NotFound`] where that user has no such device; otherwise what the homeserver says.
    #[must_use]
    pub fn send_to_device(
        &self,
        user: &str,
        device: &str,
        kind: &str,
        content: &serde_json::Value,
    ) -> Answer<()> {
        let (sdk, kind) = (self.sdk.clone(), kind.to_owned());
        let to = UserId::parse(user).map_err(|_| MatrixError::BadInput {
            detail: format!("`{}` is not a user id: write @name:server", user.escape_debug()),
        });
        let device = OwnedDeviceId::from(device);
        let content = Raw::new(content).map_err(|error| MatrixError::BadInput { detail: error.to_string() });
        answer(async move {
            let (to, content) = (to?, content?.cast_unchecked::<AnyToDeviceEventContent>());
            let encryption = sdk.encryption();
            let missing = || MatrixError::NotFound { what: format!("device {device} of {to}") };
            let known = |e: matrix_sdk_crypto::CryptoStoreError| MatrixError::Store { detail: e.to_string() };
            let mut found = encryption.get_device(&to, &device).await.map_err(known)?;
            if found.is_none() {
                // Nobody shared a room with it when its keys were read last.
                encryption.request_user_identity(&to).await?;
                found = encryption.get_device(&to, &device).await.map_err(known)?;
            }
            let found = found.ok_or_else(missing)?;
            // The message itself is signed by a key that its receiver trusts; the device only carries it.
            let failed = encryption
                .encrypt_and_send_raw_to_device(vec![&found], &kind, content, CollectStrategy::AllDevices)
                .await?;
            if failed.is_empty() { Ok(()) } else { Err(missing()) }
        })
    }
}

/// The messages of a batch that came encrypted and could be decrypted, but for those of the Matrix protocol itself.
pub(crate) fn messages(response: &SyncResponse) -> Vec<DeviceMessage> {
    let read = |event: &ProcessedToDeviceEvent| match event {
        ProcessedToDeviceEvent::Decrypted { raw, encryption_info } => {
            let wire: Wire = serde_json::from_str(raw.json().get()).ok()?;
            let encryption = Encryption::of(encryption_info);
            Some(DeviceMessage { sender: wire.sender, kind: wire.kind, content: wire.content, encryption })
        }
        _ => None,
    };
    response.to_device.iter().filter_map(read).filter(|message| !message.kind.starts_with("m.")).collect()
}
