//! What the API needs of the node for idempotency keys.

use std::future::Future;

use cis_core::api::{Problem, RunView, SessionView};
use cis_core::ids::InputId;
use cis_core::policy::act::Act;
use cis_core::policy::{Permit, act};

/// SHA-256 of a request's content: equal fingerprints mean the same request.
pub type Fingerprint = [u8; 32];

/// The idempotency keys of a node.
pub trait IdempotencyApi: Send + Sync + 'static {
    /// Returns the id of requests with this key of the header `Idempotency-Key`. It cannot be computed from the key alone: ids are also
    /// chosen by callers, and another one could use it before.
    fn input_of(&self, key: &Fingerprint) -> InputId;
    /// Notes that a key is about to be used for this request. True: the same request was carried out before.
    ///
    /// # Errors
    /// The key was used for another request.
    fn begin_keyed<A: Act>(
        &self,
        permit: &Permit<A>,
        key: InputId,
        request: Fingerprint,
    ) -> impl Future<Output = Result<bool, Problem>> + Send;
    /// Returns the run that the request with a key made. `None`: it made none, or this is not durable yet.
    ///
    /// # Errors
    /// The store cannot be read.
    fn created_run(
        &self,
        permit: &Permit<act::CreateRun>,
        key: InputId,
    ) -> impl Future<Output = Result<Option<RunView>, Problem>> + Send;
    /// Returns the session that the request with a key made, like [`Self::created_run`].
    ///
    /// # Errors
    /// The store cannot be read.
    fn created_session(
        &self,
        permit: &Permit<act::CreateSession>,
        key: InputId,
    ) -> impl Future<Output = Result<Option<SessionView>, Problem>> + Send;
    /// Forgets the note if the request made nothing, so that its key can be used again.
    fn end_keyed<A: Act>(&self, permit: &Permit<A>, key: InputId);
}
