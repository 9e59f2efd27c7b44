//! The body of a request: read when its handler asks for it, which is after the caller was found to have the rights.
//!
//! Owns how long a body may be. What is not read is thrown away by [`super::unread`], and never held.

use std::convert::Infallible;
use std::marker::PhantomData;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::errors::Failure;

/// Of most requests, bytes: a few words of a person.
const USUAL_BYTES_MAX: usize = 1 << 20;
/// Of those that carry an environment, or what is typed into a session (1 MiB, which travels as hex), bytes.
const LARGE_BYTES_MAX: usize = 8 << 20;
/// Of a new run, bytes: a DAG file of 64 MiB travels as hex.
pub(super) const RUN_BYTES_MAX: usize = 160 << 20;

/// A body of JSON that was not read yet.
pub(super) struct Body<T> {
    request: Request,
    body: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Body<T> {
    /// Reads it.
    ///
    /// # Errors
    /// It is no JSON of this shape, or too long; or the connection broke.
    pub(super) async fn read(self) -> Result<T, Failure> {
        self.read_up_to(USUAL_BYTES_MAX).await
    }

    /// Reads one that may be as long as an environment.
    ///
    /// # Errors
    /// See [`Self::read`].
    pub(super) async fn read_large(self) -> Result<T, Failure> {
        self.read_up_to(LARGE_BYTES_MAX).await
    }

    /// Reads one that may have a whole DAG file.
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
