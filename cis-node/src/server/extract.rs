//! What most handlers take and answer: names in a path, a query, JSON.

use axum::Json;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::errors::Failure;
use super::query::Query;

/// The names in a path.
pub(super) struct Name<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Name<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(names) = Path::<T>::from_request_parts(parts, state).await?;
        Ok(Self(names))
    }
}

/// A JSON answer.
pub(super) type Outcome<T> = Result<Json<T>, Failure>;

/// A query, which a handler looks at only after the caller was admitted.
pub(super) type Args<T> = Result<Query<T>, Failure>;
