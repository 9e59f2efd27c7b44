//! Idempotency keys, which the driver keeps.

use std::str::FromStr;

use super::Answer;
use crate::commands::Command;
use crate::driver::idempotency::made;
use crate::node::Node;
use crate::server::{Fingerprint, IdempotencyApi};
use cis_core::api::{Problem, ProblemKind, RunView, SessionView};
use cis_core::ids::InputId;
use cis_core::policy::act::Act;
use cis_core::policy::{Permit, act};

impl Node {
    /// Returns what a request with this key made, if that is a `T`.
    pub(crate) async fn made<T: FromStr>(&self, key: InputId) -> Answer<Option<T>> {
        let noted = self.read(move |reader| reader.find_input(key)).await?;
        Ok(noted.and_then(|noted| made(&noted).parse().ok()))
    }
}

impl IdempotencyApi for Node {
    fn input_of(&self, key: &Fingerprint) -> InputId {
        InputId(ulid::Ulid::from_bytes(self.keys.keyed_digest(key)))
    }

    async fn begin_keyed<A: Act>(&self, _: &Permit<A>, key: InputId, request: Fingerprint) -> Answer<bool> {
        // Everybody could guess a short request, such as a typed password, from a hash without a key.
        let digest = hex::encode(self.keys.keyed_digest(&request));
        self.driver.ask(|reply| Command::Begin { input: key, digest, reply }).await
    }

    async fn created_run(&self, _: &Permit<act::CreateRun>, key: InputId) -> Answer<Option<RunView>> {
        match self.made(key).await? {
            Some(run) => self.run_view(run).await.map(Some),
            None => Ok(None),
        }
    }

    async fn created_session(
        &self,
        _: &Permit<act::CreateSession>,
        key: InputId,
    ) -> Answer<Option<SessionView>> {
        let Some(session) = self.made(key).await? else { return Ok(None) };
        match self.read(move |reader| reader.session_not_started(session)).await? {
            None => self.session_view(session).await.map(Some),
            // The first request failed too, or its answer never came. Sending it again does not help.
            Some(why) => {
                Err(Problem::new(ProblemKind::Conflict, format!("session {session} was not started: {why}"))
                    .hint("to create it again, send the request with another key"))
            }
        }
    }

    fn end_keyed<A: Act>(&self, _: &Permit<A>, key: InputId) {
        self.driver.leave(Command::End { input: key });
    }
}
