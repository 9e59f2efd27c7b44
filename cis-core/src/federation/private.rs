//! What only one node may read of a grant or a result: specifications with secrets, and outputs that hold one.
//!
//! Owns what is sealed, and what the sealed data is bound to. Does not decide which node gets it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::direct::RemoteSpec;
use super::protocol::message::{Grant, Granted};
use crate::api::{Program, TaskSpec};
use crate::identity::sealed::{CannotOpen, Sealed};
use crate::identity::{NodeKey, NotADidKey};
use crate::ids::{NodeDid, SessionId};

/// A specification, and the secrets of its task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrivateSpec {
    /// The complete specification.
    pub spec: TaskSpec,
    /// Environment variables with the values of its secrets.
    pub secrets: BTreeMap<String, String>,
}

impl PrivateSpec {
    /// Seals this to the node that gets the grant. The rest of the grant then says only what a node must know to prepare a
    /// session: names, limits and options.
    ///
    /// # Errors
    /// [`NotADidKey`]: the node has no usable key.
    pub fn seal_in(
        self,
        grant: &mut Grant<RemoteSpec>,
        to: &NodeDid,
        randomness: [u8; 32],
    ) -> Result<(), NotADidKey> {
        let context = context("spec", &grant.granted, Some(grant.session));
        // Plain structs with text keys: they have JSON.
        let bytes = serde_json::to_vec(&self).unwrap_or_default();
        grant.spec.sealed = Some(Sealed::new(to, &context, &bytes, randomness)?);
        *grant.spec.spec = outline(self.spec);
        Ok(())
    }

    /// Reads the specification of a grant, sealed or not.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn of(
        remote: &RemoteSpec,
        granted: &Granted,
        session: SessionId,
        key: &NodeKey,
    ) -> Result<Self, CannotOpen> {
        let Some(sealed) = &remote.sealed else {
            return Ok(Self { spec: (*remote.spec).clone(), secrets: BTreeMap::new() });
        };
        let bytes = key.open(sealed, &context("spec", granted, Some(session)))?;
        serde_json::from_slice(&bytes).map_err(|_| CannotOpen)
    }
}

/// What everybody may know of a specification with secrets. Texts with values are left out.
fn outline(spec: TaskSpec) -> TaskSpec {
    let program = match spec.program {
        Program::Agent { agent, .. } => Program::Agent { agent, prompt: String::new() },
        Program::Argv(_) | Program::Script { .. } => Program::Argv(Vec::new()),
    };
    TaskSpec {
        program,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        sensitive: Vec::new(),
        artifacts: Vec::new(),
        context: None,
        ..spec
    }
}

/// Seals the real value of an output to the coordinator that gets the result.
///
/// # Errors
/// [`NotADidKey`]: the coordinator has no usable key.
pub fn seal_output(
    to: &NodeDid,
    granted: &Granted,
    name: &str,
    value: &Value,
    randomness: [u8; 32],
) -> Result<Sealed, NotADidKey> {
    Sealed::new(to, &context_of_output(granted, name), value.to_string().as_bytes(), randomness)
}

/// Opens the real value of an output.
///
/// # Errors
/// [`CannotOpen`].
pub fn open_output(
    key: &NodeKey,
    granted: &Granted,
    name: &str,
    sealed: &Sealed,
) -> Result<Value, CannotOpen> {
    let bytes = key.open(sealed, &context_of_output(granted, name))?;
    serde_json::from_slice(&bytes).map_err(|_| CannotOpen)
}

fn context_of_output(granted: &Granted, name: &str) -> Vec<u8> {
    let mut of = context("output", granted, None);
    of.extend_from_slice(name.as_bytes());
    of
}

/// What sealed data belongs to: nobody can use it in another grant or result.
fn context(what: &str, granted: &Granted, session: Option<SessionId>) -> Vec<u8> {
    let Granted { attempt, fence } = granted;
    let session = session.map(|session| session.to_string()).unwrap_or_default();
    format!("{what}\n{attempt}\n{fence}\n{session}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::sample::{run_id, session, task};
    use crate::ids::AttemptId;

    fn spec(program: Program) -> TaskSpec {
        TaskSpec {
            program,
            env: BTreeMap::from([("A".to_owned(), "hunter2".to_owned())]),
            base_env: None,
            umask: None,
            cwd: String::new(),
            tty: true,
            keeps_log: true,
            secrets: BTreeMap::new(),
            run_secrets: Vec::new(),
            sensitive: vec!["hunter2".to_owned()],
            timeout_ms: Some(1),
            idle_ms: None,
            grace_ms: 2,
            log_limit_bytes: u64::MAX,
            outputs: BTreeMap::new(),
            artifacts: vec!["out/**".to_owned()],
            cache: None,
            context: None,
            profile: None,
            inputs: BTreeMap::new(),
        }
    }

    fn granted(number: u32) -> Granted {
        let attempt = AttemptId { run: run_id(), task: task(1), number };
        Granted { attempt, fence: crate::fence::next(0, 3) }
    }

    #[test]
    fn a_sealed_grant_shows_no_value_and_opens_only_as_the_grant_that_it_was_made_for() {
        let (worker, other) = (NodeKey::from_seed(&[1; 32]), NodeKey::from_seed(&[2; 32]));
        let programs = [
            Program::Argv(vec!["use".to_owned(), "hunter2".to_owned()]),
            Program::Script { shell: "sh".to_owned(), text: "echo hunter2".to_owned() },
            Program::Agent { agent: "claude".to_owned(), prompt: "use hunter2".to_owned() },
        ];
        for program in programs {
            let secrets = BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]);
            let private = PrivateSpec { spec: spec(program), secrets };
            let remote = RemoteSpec::of(private.spec.clone(), "", 1, Vec::new()).unwrap();
            let mut grant = Grant { granted: granted(1), session: session(1), spec: remote };
            private.clone().seal_in(&mut grant, &worker.did(), [7; 32]).unwrap();
            let sent = serde_json::to_string(&grant.spec).unwrap();
            assert!(!sent.contains("hunter2"), "{sent}");
            assert!(grant.spec.spec.keeps_log && grant.spec.spec.tty);
            let opened = |key, number, at| PrivateSpec::of(&grant.spec, &granted(number), session(at), key);
            assert_eq!(opened(&worker, 1, 1), Ok(private));
            assert_eq!(opened(&worker, 2, 1), Err(CannotOpen));
            assert_eq!(opened(&worker, 1, 2), Err(CannotOpen));
            assert_eq!(opened(&other, 1, 1), Err(CannotOpen));
        }
    }

    #[test]
    fn an_output_opens_only_as_the_output_that_it_is() {
        let key = NodeKey::from_seed(&[1; 32]);
        let value = serde_json::json!({ "a": [1, "hunter2"] });
        let sealed = seal_output(&key.did(), &granted(1), "token", &value, [7; 32]).unwrap();
        assert_eq!(open_output(&key, &granted(1), "token", &sealed), Ok(value));
        assert_eq!(open_output(&key, &granted(1), "other", &sealed), Err(CannotOpen));
        assert_eq!(open_output(&key, &granted(2), "token", &sealed), Err(CannotOpen));
    }
}
