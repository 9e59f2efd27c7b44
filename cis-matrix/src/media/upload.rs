//! Uploads. Owns the request and its time limit.
//!
//! The SDK's own upload copies the bytes of a file twice. Here the connection takes them from where they are.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use matrix_sdk::reqwest::{self, Request, Response};
use matrix_sdk::ruma::OwnedMxcUri;
use matrix_sdk::ruma::api::auth_scheme::SendAccessToken;
use matrix_sdk::ruma::api::client::media::create_content::v3;
use matrix_sdk::ruma::api::{IncomingResponse, OutgoingRequest};
use matrix_sdk::{Client, HttpError};

use super::body::{Content, FileBody, unreadable};
use super::download::{read, refusal, time_max};
use crate::MatrixError;

/// Maximum number of bytes that are read from the response.
const RESPONSE_BYTES_MAX: u64 = 64 << 10;

/// Uploads something as it is.
pub(super) async fn upload(sdk: &Client, content: Content) -> Result<OwnedMxcUri, MatrixError> {
    let mut response = send(sdk, content.clone()).await?;
    // What was read from a file is gone: only bytes can be sent once more, to another address.
    if response.status().is_redirection() && matches!(content, Content::File(_)) {
        response = send(sdk, content.into_bytes().await?.into()).await?;
    }
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let body = read(&mut response, RESPONSE_BYTES_MAX).await?.unwrap_or_default();
    let response = http::Response::from(response).map(|_| body);
    let uploaded = v3::Response::try_from_http_response(response).map_err(HttpError::from)?;
    Ok(uploaded.content_uri)
}

async fn send(sdk: &Client, content: Content) -> Result<Response, MatrixError> {
    let versions = Cow::Owned(sdk.supported_versions().await?);
    let (homeserver, token) = (sdk.homeserver(), sdk.access_token());
    let token = token.as_deref().map_or(SendAccessToken::None, SendAccessToken::IfRequired);
    let mut description = v3::Request::new(Vec::new());
    description.content_type = Some(mime::APPLICATION_OCTET_STREAM.to_string());
    let request = description.try_into_http_request::<Vec<u8>>(homeserver.as_str(), token, versions);
    let mut request = Request::try_from(request.map_err(MatrixError::other)?).map_err(MatrixError::other)?;
    let (size, failed) = (content.size(), Arc::new(OnceLock::new()));
    *request.timeout_mut() = Some(time_max(size));
    *request.body_mut() = Some(match content {
        Content::Bytes(bytes) => bytes.into(),
        Content::File(part) => reqwest::Body::wrap(FileBody::new(part, Arc::clone(&failed))),
    });
    let response = sdk.http_client().execute(request).await;
    match failed.get() {
        Some(why) => Err(unreadable(why)),
        None => Ok(response.map_err(HttpError::from)?),
    }
}
