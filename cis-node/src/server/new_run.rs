//! The body of a new run: a DAG file (`application/toml`), or JSON with its text.

use std::convert::Infallible;

use axum::extract::{FromRequest, Request};

use super::body::{RUN_BYTES_MAX, collect, content_type, is_json, other_type, strict_where_wrong};
use super::errors::Failure;
use super::idempotency::{HeaderKey, Keyed};
use cis_core::api::{CreateRun, Problem, ProblemKind, SubmitRun};
use cis_core::policy::Principal;

/// Content type of a DAG file.
pub(super) const TOML: &str = "application/toml";

/// The body of a new run that is not read yet.
pub(super) struct NewRun(Request);

impl<S: Send + Sync> FromRequest<S> for NewRun {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request))
    }
}

impl NewRun {
    /// Reads the body. Parameters of the query replace fields of the body.
    ///
    /// # Errors
    /// The body is of another type, malformed, too long or too slow, or the connection broke.
    pub(super) async fn read(self, who: &Principal, query: SubmitRun) -> Result<Keyed<CreateRun>, Failure> {
        let Self(request) = self;
        let kind = content_type(request.headers());
        let is_file = match &kind {
            Some(kind) if kind == TOML => true,
            Some(kind) if is_json(kind) => false,
            _ => return Err(other_type(kind, "application/json or application/toml")),
        };
        let key = HeaderKey::of(request.headers(), who)?;
        let asked = request.uri().query().unwrap_or_default().to_owned();
        let bytes = collect(request, RUN_BYTES_MAX).await?;
        let (mut run, form) = match is_file {
            true => (CreateRun::of_file(bytes.to_vec()), TOML),
            false => (strict_where_wrong::<CreateRun>(&bytes)?, "json"),
        };
        query.apply(&mut run).map_err(|wrong| Problem::new(ProblemKind::BadInput, wrong))?;
        Keyed::new(run, key, &[form, &asked], &bytes)
    }
}
