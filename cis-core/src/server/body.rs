//! The body of a request, which a handler reads only after the caller was authorized.
//!
//! Owns the limits of bodies. [`super::unread`] discards a body that is not read, without holding it in
//! memory.

use std::convert::Infallible;
use std::marker::PhantomData;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::errors::Failure;

/// Limit of most bodies, bytes: a few words of a person.
const USUAL_BYTES_MAX: usize = 1 << 20;
/// Limit of bodies with an environment or input for a session (1 MiB, encoded as hex), bytes.
const LARGE_BYTES_MAX: usize = 8 << 20;
/// Limit of the body of a new run, bytes: a DAG file of 64 MiB, encoded as hex.
pub(super) const RUN_BYTES_MAX: usize = 160 << 20;

/// A JSON body that is not read yet.
pub(super) struct Body<T> {
    request: Request,
    body: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Body<T> {
    /// Reads a body of the usual size, at most 1 MiB.
    ///
    /// # Errors
    /// The body is too long or is not JSON of this shape, or the connection broke.
    pub(super) async fn read(self) -> Result<T, Failure> {
        self.read_up_to(USUAL_BYTES_MAX).await
    }

    /// Reads a body that may hold an environment.
    ///
    /// # Errors
    /// See [`Self::read`].
    pub(super) async fn read_large(self) -> Result<T, Failure> {
        self.read_up_to(LARGE_BYTES_MAX).await
    }

    /// Reads a body that may hold a whole DAG file.
    ///
    /// # Errors
    /// See [`Self::read`].
    pub(super) async fn read_run(self) -> Result<T, Failure> {
        self.read_up_to(RUN_BYTES_MAX).await
    }

    async fn read_up_to(mut self, bytes: usize) -> Result<T, Failure> {
        DefaultBodyLimit::max(bytes).apply(&mut self.request);
        let read: Result<Json<T>, JsonRejection> = Json::from_request(self.request, &()).await;
        read.map(|Json(body)| body).map_err(|rejection| {
            let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            let mut failure = Failure::from(rejection);
            if too_large {
                failure.0.detail =
                    format!("the request body is too large: this path takes at most {} MiB", bytes >> 20);
            }
            failure
        })
    }
}

impl<S: Send + Sync, T> FromRequest<S> for Body<T> {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self { request, body: PhantomData })
    }
}
