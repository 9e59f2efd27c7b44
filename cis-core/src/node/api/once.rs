//! Idempotency keys, which the driver keeps.

use super::{Answer, Node};
use crate::ids::InputId;
use crate::node::commands::Command;
use crate::server::{Fingerprint, OnceApi};

impl OnceApi for Node {
    async fn begin_once(&self, key: InputId, request: Fingerprint) -> Answer<bool> {
        // Everybody could guess a short request, such as a typed password, from a hash without a key.
        let digest = self.keys.keyed_digest(&request);
        self.driver.ask(|reply| Command::Begin { input: key, digest, reply }).await
    }

    fn end_once(&self, key: InputId) {
        self.driver.leave(Command::End { input: key });
    }
}
