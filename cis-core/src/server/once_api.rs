//! What the API needs of the node for idempotency keys.

use std::future::Future;

use crate::api::Problem;
use crate::ids::InputId;

/// SHA-256 of a request's content: equal fingerprints mean the same request.
pub type Fingerprint = [u8; 32];

/// The idempotency keys of a node.
pub trait OnceApi: Send + Sync + 'static {
    /// Notes that a key is about to be used for this request. True: the same request was carried out before.
    ///
    /// # Errors
    /// The key was used for another request.
    fn begin_once(
        &self,
        key: InputId,
        request: Fingerprint,
    ) -> impl Future<Output = Result<bool, Problem>> + Send;
    /// Forgets the note if the request made nothing, so that its key can be used again.
    fn end_once(&self, key: InputId);
}
