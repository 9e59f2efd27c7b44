//! Downloads with a size limit. Owns the request, its limits and the decryption; the caller decides how large a file may be.
//!
//! The SDK's own downloads read a response of any length to its end, and have no time limit.

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use matrix_sdk::reqwest::{Request, Response};
use matrix_sdk::ruma::MxcUri;
use matrix_sdk::ruma::api::auth_scheme::SendAccessToken;
use matrix_sdk::ruma::api::client::{authenticated_media, media};
use matrix_sdk::ruma::api::{IncomingResponse, Metadata, OutgoingRequest};
use matrix_sdk::ruma::events::room::EncryptedFile;
use matrix_sdk::{Client, HttpError};
use matrix_sdk_crypto::AttachmentDecryptor;

use crate::MatrixError;
use crate::account::REQUEST_TIME_MAX;

/// Maximum number of bytes that are read from an error response. Matrix errors are far shorter.
const ERROR_BYTES_MAX: u64 = 64 << 10;

/// Slowest accepted transfer, bytes per second.
const BYTES_PER_SECOND_MIN: u64 = 16 << 10;

/// Maximum number of bytes that are set aside for a body before it comes, as its announced length may be wrong.
const CAPACITY_MAX: usize = 16 << 20;

/// Minimum size of a chunk that is handed over before the end, bytes.
const CHUNK_BYTES_MIN: usize = 64 << 10;

/// Downloads a file as it is stored. A file of more than `bytes_max` bytes is an error as soon as its size is
/// known.
pub(super) async fn download(sdk: &Client, uri: &MxcUri, bytes_max: u64) -> Result<Vec<u8>, MatrixError> {
    let mut response = open(sdk, uri, bytes_max).await?;
    read(&mut response, bytes_max).await?.ok_or(MatrixError::FileTooLarge { bytes_max })
}

/// The same, in chunks as they come, but none that are small: each of them costs memory.
pub(super) async fn download_in_chunks(
    sdk: &Client,
    uri: &MxcUri,
    bytes_max: u64,
    mut take: impl FnMut(Bytes),
) -> Result<(), MatrixError> {
    let mut response = open(sdk, uri, bytes_max).await?;
    let mut gathered = BytesMut::new();
    let gather = |chunk: Bytes| {
        if gathered.is_empty() && chunk.len() >= CHUNK_BYTES_MIN {
            return take(chunk);
        }
        gathered.extend_from_slice(&chunk);
        if gathered.len() >= CHUNK_BYTES_MIN {
            take(gathered.split().freeze());
        }
    };
    let is_whole = chunks(&mut response, bytes_max, gather).await?;
    if !gathered.is_empty() {
        take(gathered.freeze());
    }
    if is_whole { Ok(()) } else { Err(MatrixError::FileTooLarge { bytes_max }) }
}

/// Asks for a file. Returns a response whose body is not announced to be larger than `bytes_max`.
async fn open(sdk: &Client, uri: &MxcUri, bytes_max: u64) -> Result<Response, MatrixError> {
    let mut request = request(sdk, uri).await?;
    *request.timeout_mut() = Some(time_max(bytes_max));
    // Redirects are followed; another server does not get the token.
    let response = sdk.http_client().execute(request).await.map_err(HttpError::from)?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let is_larger = response.content_length().is_some_and(|length| length > bytes_max);
    if is_larger { Err(MatrixError::FileTooLarge { bytes_max }) } else { Ok(response) }
}

/// Decrypts a file. Altered bytes are an error.
pub(super) fn decrypt(bytes: Vec<u8>, file: EncryptedFile) -> Result<Vec<u8>, MatrixError> {
    // A file has the same size encrypted and decrypted.
    let mut clear = Vec::with_capacity(bytes.len());
    let mut encrypted = Cursor::new(bytes);
    AttachmentDecryptor::new(&mut encrypted, file.into())
        .map_err(|error| MatrixError::BadInput {
            detail: format!("invalid description of the encrypted file: {error}"),
        })?
        .read_to_end(&mut clear)
        .map_err(MatrixError::other)?;
    Ok(clear)
}

/// Builds the request for a file, with the API version that the homeserver supports.
#[expect(deprecated, reason = "homeservers before Matrix 1.11 have only the API without a token")]
async fn request(sdk: &Client, uri: &MxcUri) -> Result<Request, MatrixError> {
    use authenticated_media::get_content::v1::Request as WithToken;
    use media::get_content::v3::Request as WithoutToken;

    let invalid = |error| MatrixError::BadInput { detail: format!("invalid media address: {error}") };
    let versions = sdk.supported_versions().await?;
    let (homeserver, token) = (sdk.homeserver(), sdk.access_token());
    let token = token.as_deref().map_or(SendAccessToken::None, SendAccessToken::IfRequired);
    let request = if WithToken::PATH_BUILDER.is_supported(&versions) {
        let request = WithToken::from_uri(uri).map_err(invalid)?;
        request.try_into_http_request::<Vec<u8>>(homeserver.as_str(), token, Cow::Owned(versions))
    } else {
        let request = WithoutToken::from_url(uri).map_err(invalid)?;
        request.try_into_http_request::<Vec<u8>>(homeserver.as_str(), token, Cow::Owned(versions))
    };
    Request::try_from(request.map_err(MatrixError::other)?).map_err(MatrixError::other)
}

pub(super) fn time_max(bytes_max: u64) -> Duration {
    REQUEST_TIME_MAX + Duration::from_secs(bytes_max / BYTES_PER_SECOND_MIN)
}

/// Reads the body of a response. `None`: it is longer than `bytes_max`; the rest is left unread.
pub(super) async fn read(response: &mut Response, bytes_max: u64) -> Result<Option<Vec<u8>>, MatrixError> {
    let announced = response.content_length().unwrap_or(0).min(bytes_max);
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(CAPACITY_MAX));
    let is_whole = chunks(response, bytes_max, |chunk| body.extend_from_slice(&chunk)).await?;
    Ok(is_whole.then_some(body))
}

/// Hands over the body of a response as it comes. False: it is longer than `bytes_max`; the rest is left unread.
async fn chunks(
    response: &mut Response,
    bytes_max: u64,
    mut take: impl FnMut(Bytes),
) -> Result<bool, MatrixError> {
    let mut left = bytes_max;
    while let Some(chunk) = response.chunk().await.map_err(HttpError::from)? {
        let Some(rest) = left.checked_sub(chunk.len() as u64) else { return Ok(false) };
        left = rest;
        take(chunk);
    }
    Ok(true)
}

/// Returns the error of a response.
pub(super) async fn refusal(mut response: Response) -> MatrixError {
    let body = match read(&mut response, ERROR_BYTES_MAX).await {
        Ok(body) => body.unwrap_or_default(),
        Err(error) => return error,
    };
    let status = response.status();
    let response = http::Response::from(response).map(|_| body);
    match authenticated_media::get_content::v1::Response::try_from_http_response(response) {
        Err(error) => HttpError::from(error).into(),
        Ok(_) => MatrixError::other(format!("HTTP status {}", status.as_u16())),
    }
}
