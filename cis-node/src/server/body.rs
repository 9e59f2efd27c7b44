//! The body of a request, which a handler reads only after the caller was authorized.
//!
//! Owns the limits of bodies in bytes and time, and the messages about wrong bodies. [`super::unread`] discards a body that is
//! not read, without holding it in memory.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::check::Checker;
use super::errors::Failure;
use cis_core::api::{Problem, ProblemKind};

/// Limit of most bodies, bytes: a few words of a person.
const USUAL_BYTES_MAX: usize = 1 << 20;
/// Limit of bodies with an environment or input for a session (1 MiB, which may be encoded as hex), bytes.
pub(super) const LARGE_BYTES_MAX: usize = 8 << 20;
/// Limit of the body of a new run, bytes: a DAG file of 64 MiB, which may be encoded as hex.
pub(super) const RUN_BYTES_MAX: usize = 160 << 20;

/// Maximum time between two parts of a body.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Maximum time for a whole body, plus one second for each [`BYTES_PER_SECOND_MIN`] bytes.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Minimum speed of a long body.
const BYTES_PER_SECOND_MIN: usize = 64 << 10;

/// A JSON body that is not read yet.
pub(super) struct Body<T> {
    request: Request,
    body: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + ToSchema + 'static> Body<T> {
    /// Reads a body of the usual size, at most 1 MiB.
    ///
    /// # Errors
    /// The body is too long, too slow or not as described, or the connection broke.
    pub(super) async fn read(self) -> Result<T, Failure> {
        must_be_json(self.request.headers())?;
        strict(&collect(self.request, USUAL_BYTES_MAX).await?)
    }
}

impl<T> Body<T> {
    /// Returns the request with its body unread.
    pub(super) fn into_request(self) -> Request {
        self.request
    }
}

impl<S: Send + Sync, T> FromRequest<S> for Body<T> {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self { request, body: PhantomData })
    }
}

/// Returns the content type of a request without its parameters, in lower case.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

pub(super) fn is_json(content_type: &str) -> bool {
    content_type == "application/json"
        || (content_type.starts_with("application/") && content_type.ends_with("+json"))
}

/// Refuses a body that is not said to be JSON.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), Failure> {
    match content_type(headers) {
        Some(kind) if is_json(&kind) => Ok(()),
        given => Err(other_type(given, "application/json")),
    }
}

/// The problem of a content type other than `wanted`.
pub(super) fn other_type(given: Option<String>, wanted: &str) -> Failure {
    let detail = match given {
        Some(given) => format!("the request body is `{}`, not {wanted}", given.escape_debug()),
        None => format!("the request has no content type: {wanted} is needed"),
    };
    Failure(Problem::new(ProblemKind::UnsupportedMediaType, detail))
}

/// Reads the bytes of a body.
///
/// # Errors
/// The body is longer than `bytes_max` or too slow, or the connection broke.
pub(super) async fn collect(request: Request, bytes_max: usize) -> Result<Bytes, Failure> {
    let body = request.into_body();
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    let mut parts = body.into_data_stream();
    let begun = Instant::now();
    let mut first: Option<Bytes> = None;
    let mut all: Vec<u8> = Vec::new();
    loop {
        let part = match timeout(SILENCE_MAX, parts.next()).await {
            Ok(Some(Ok(part))) => part,
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                let detail = "the connection broke before the request body was complete";
                return Err(Failure(Problem::new(ProblemKind::BadInput, detail)));
            }
            Err(_) => return Err(too_slow(&format!("nothing came for {} s", SILENCE_MAX.as_secs()))),
        };
        let length = all.len().max(first.as_ref().map_or(0, Bytes::len)) + part.len();
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        let allowed = TIME_MAX + Duration::from_secs((length / BYTES_PER_SECOND_MIN) as u64);
        if begun.elapsed() > allowed {
            return Err(too_slow(&format!("{length} bytes in {} s", begun.elapsed().as_secs())));
        }
        // Most bodies have a single part, which is not copied.
        match first.take() {
            None if all.is_empty() => first = Some(part),
            before => {
                all.extend_from_slice(&before.unwrap_or_default());
                all.extend_from_slice(&part);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.into()))
}

fn too_large(bytes_max: usize) -> Failure {
    let detail = format!("the request body is too large: this path takes at most {} MiB", bytes_max >> 20);
    Failure(Problem::new(ProblemKind::TooLarge, detail))
}

fn too_slow(what: &str) -> Failure {
    let detail = format!("the request body did not arrive in time: {what}");
    Failure(Problem::new(ProblemKind::RequestTimeout, detail))
}

fn bad(detail: String) -> Failure {
    Failure(Problem::new(ProblemKind::BadInput, detail))
}

fn json(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        bad(format!("the request body is not valid JSON ({place})"))
    })
}

/// Reads a JSON value after comparing it with the description.
pub(super) fn strict<T: DeserializeOwned + ToSchema + 'static>(bytes: &[u8]) -> Result<T, Failure> {
    let value = json(bytes)?;
    Checker::of_body::<T>()
        .check(&value)
        .map_err(|wrong| bad(format!("the request body is invalid: {wrong}")))?;
    serde_json::from_value(value).map_err(|error| {
        tracing::debug!(%error, "a body that the description allows cannot be read");
        bad("the request body is not as described in /v1/openapi.json".to_owned())
    })
}

/// Reads a JSON value, and compares it with the description only if that fails. For types without internally tagged enums: serde
/// is as strict as the description there, and long bodies are parsed once.
pub(super) fn strict_where_wrong<T: DeserializeOwned + ToSchema + 'static>(
    bytes: &[u8],
) -> Result<T, Failure> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(_) => strict(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::api::{CreateSession, Decide};

    fn said<T: DeserializeOwned + ToSchema + 'static>(body: &str) -> String {
        strict::<T>(body.as_bytes()).map_or_else(|failure| failure.0.detail, |_| String::new())
    }

    #[test]
    fn a_wrong_body_is_described_in_words_of_the_api() {
        assert_eq!(said::<Decide>("{"), "the request body is not valid JSON (line 1, column 1)");
        assert_eq!(said::<Decide>("{}"), "the request body is invalid: `approve` is missing");
        assert_eq!(said::<Decide>("[]"), "the request body is invalid: it must be an object, not an array");
        assert_eq!(said::<Decide>(r#"{"approve":true,"later":1}"#), "");
        let wrong = strict_where_wrong::<CreateSession>(br#"{"argv":"ls","cwd":"/"}"#);
        let said = wrong.map(|_| ()).map_err(|failure| failure.0.detail).unwrap_err();
        assert_eq!(said, "the request body is invalid: `argv` must be an array, not `ls`");
    }
}
