//! Files beside events: what is too large for one. Encrypted where the room is.

mod body;
mod download;
mod upload;

use std::io::Cursor;

use bytes::Bytes;
use matrix_sdk::ruma::OwnedMxcUri;
use matrix_sdk::ruma::events::room::EncryptedFile;
use serde_json::Value;

use crate::{Answer, Client, MatrixError, answer};

pub use body::{Content, FilePart};

/// A file at the homeserver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// In clear: `mxc://…`.
    Plain(String),
    /// Encrypted: the object that events have as `file`, with the key.
    Encrypted(Value),
}

impl Client {
    /// Uploads something for a room. Uploading it again makes another file.
    #[must_use]
    pub fn upload(&self, room: &str, content: impl Into<Content>) -> Answer<Media> {
        let (sdk, room, content) = (self.sdk.clone(), self.joined(room), content.into());
        answer(async move {
            let encrypted = room?.latest_encryption_state().await?.is_encrypted();
            if encrypted {
                let bytes = content.into_bytes().await?;
                let file = sdk.upload_encrypted_file(&mut Cursor::new(bytes)).await?;
                return Ok(Media::Encrypted(serde_json::to_value(file)?));
            }
            Ok(Media::Plain(upload::upload(&sdk, content).await?.to_string()))
        })
    }

    /// Downloads a file of at most `bytes_max` bytes. A larger file is an error, and its rest is left unread. An altered
    /// encrypted file is an error; the content of a plain file is not checked.
    #[must_use]
    pub fn download(&self, media: Media, bytes_max: u64) -> Answer<Vec<u8>> {
        let sdk = self.sdk.clone();
        answer(async move {
            match media {
                Media::Plain(uri) => download::download(&sdk, &OwnedMxcUri::from(uri), bytes_max).await,
                Media::Encrypted(file) => decrypted(&sdk, file, bytes_max).await,
            }
        })
    }

    /// The same, in chunks: those of a plain file as they come. After an error the file is not complete.
    #[must_use]
    pub fn download_in_chunks(
        &self,
        media: Media,
        bytes_max: u64,
        mut take: impl FnMut(Bytes) + Send + 'static,
    ) -> Answer<()> {
        let sdk = self.sdk.clone();
        answer(async move {
            match media {
                Media::Plain(uri) => {
                    download::download_in_chunks(&sdk, &OwnedMxcUri::from(uri), bytes_max, take).await
                }
                Media::Encrypted(file) => {
                    take(decrypted(&sdk, file, bytes_max).await?.into());
                    Ok(())
                }
            }
        })
    }

    /// The largest file that the homeserver takes, in bytes.
    #[must_use]
    pub fn upload_bytes_max(&self) -> Answer<u64> {
        let sdk = self.sdk.clone();
        answer(async move { Ok(sdk.load_or_fetch_max_upload_size().await?.into()) })
    }
}

/// Downloads and decrypts the file that an event describes with `file`.
async fn decrypted(sdk: &matrix_sdk::Client, file: Value, bytes_max: u64) -> Result<Vec<u8>, MatrixError> {
    let file: EncryptedFile = serde_json::from_value(file).map_err(|error| MatrixError::BadInput {
        detail: format!("invalid description of the encrypted file: {error}"),
    })?;
    download::decrypt(download::download(sdk, &file.url, bytes_max).await?, file)
}

#[cfg(test)]
mod tests;
