//! Uploads. Owns the request and its time limit.
//!
//! The SDK's own upload copies the bytes of a file twice. Here the connection reads them from where they are.

use std::borrow::Cow;

use bytes::Bytes;
use matrix_sdk::reqwest::Request;
use matrix_sdk::ruma::OwnedMxcUri;
use matrix_sdk::ruma::api::auth_scheme::SendAccessToken;
use matrix_sdk::ruma::api::client::media::create_content::v3;
use matrix_sdk::ruma::api::{IncomingResponse, OutgoingRequest};
use matrix_sdk::{Client, HttpError};

use super::download::{read, refusal, time_max};
use crate::MatrixError;

/// Maximum number of bytes that are read from the response.
const RESPONSE_BYTES_MAX: u64 = 64 << 10;

/// Uploads a file as it is.
pub(super) async fn upload(sdk: &Client, bytes: Bytes) -> Result<OwnedMxcUri, MatrixError> {
    let versions = Cow::Owned(sdk.supported_versions().await?);
    let (homeserver, token) = (sdk.homeserver(), sdk.access_token());
    let token = token.as_deref().map_or(SendAccessToken::None, SendAccessToken::IfRequired);
    let mut description = v3::Request::new(Vec::new());
    description.content_type = Some(mime::APPLICATION_OCTET_STREAM.to_string());
    let request = description.try_into_http_request::<Vec<u8>>(homeserver.as_str(), token, versions);
    let mut request = Request::try_from(request.map_err(MatrixError::other)?).map_err(MatrixError::other)?;
    *request.timeout_mut() = Some(time_max(bytes.len() as u64));
    *request.body_mut() = Some(bytes.into());
    let mut response = sdk.http_client().execute(request).await.map_err(HttpError::from)?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let body = read(&mut response, RESPONSE_BYTES_MAX).await?.unwrap_or_default();
    let response = http::Response::from(response).map(|_| body);
    let uploaded = v3::Response::try_from_http_response(response).map_err(HttpError::from)?;
    Ok(uploaded.content_uri)
}
