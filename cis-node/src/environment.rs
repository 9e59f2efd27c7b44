//! The environment of a session: what is told to its processes, and which secrets they get.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::small_file::{self, Links};
use crate::config::Keys;
use cis_core::api::TaskSpec;
use cis_core::dag::SecretSource;
use cis_core::ids::{AttemptId, SessionId};
use cis_core::policy::redact::Redactor;
use cis_local::Home;

/// A secret's file is read no further: as much as all secrets of a task may have together.
const SECRET_FILE_BYTES_MAX: usize = cis_core::policy::redact::SECRETS_BYTES_MAX;

/// Why a secret has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretError {
    #[error(
        "the secret `{name}` comes from the variable {variable}, which is not set; set it and call `cis dag run` again: \
         `cis dag retry` has the environment of the first call"
    )]
    NotSet { name: String, variable: String },
    #[error("the secret `{name}` comes from the file {path}, which cannot be read: {why}")]
    Unreadable { name: String, path: String, why: String },
    #[error(
        "the secret `{name}` comes from the file {path}, which is longer than {} KiB: give the task the file's path instead",
        SECRET_FILE_BYTES_MAX >> 10
    )]
    TooLong { name: String, path: String },
    #[error("the secret `{name}` is not text without NUL bytes, so it cannot be an environment variable")]
    NotText { name: String },
    #[error("the secret `{name}` {why}; it comes from {from}")]
    Unusable { name: String, from: String, why: String },
}

/// Values of a task's secrets, by name.
pub(super) fn secrets(
    spec: &TaskSpec,
    base: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, SecretError> {
    let mut values = BTreeMap::new();
    for (name, source) in &spec.secrets {
        let value = match source {
            SecretSource::Env(variable) => base
                .get(variable)
                .cloned()
                .ok_or_else(|| SecretError::NotSet { name: name.clone(), variable: variable.clone() })?,
            SecretSource::File(path) => from_file(name, path)?,
        };
        if value.contains('\0') {
            return Err(SecretError::NotText { name: name.clone() });
        }
        if let Err(error) = Redactor::check([value.as_str()]) {
            let from = match source {
                SecretSource::Env(variable) => format!("the variable {variable}"),
                SecretSource::File(path) => format!("the file {path}"),
            };
            return Err(SecretError::Unusable { name: name.clone(), from, why: error.why() });
        }
        values.insert(name.clone(), value);
    }
    Ok(values)
}

fn from_file(name: &str, path: &str) -> Result<String, SecretError> {
    let (name, path) = (name.to_owned(), path.to_owned());
    let bytes = match small_file::read(Path::new(&path), SECRET_FILE_BYTES_MAX as u64, Links::Follow) {
        Ok(bytes) => bytes,
        Err(why) => return Err(SecretError::Unreadable { name, path, why: why.to_string() }),
    };
    if bytes.len() > SECRET_FILE_BYTES_MAX {
        return Err(SecretError::TooLong { name, path });
    }
    let mut text = String::from_utf8(bytes).map_err(|_| SecretError::NotText { name })?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// Returns the values of these secrets that exist and can be hidden. A task that declares a secret without a
/// usable value fails with the reason.
pub(super) fn secret_values(secrets: &[SecretSource], base: &BTreeMap<String, String>) -> BTreeSet<String> {
    let value = |source: &SecretSource| match source {
        SecretSource::Env(variable) => base.get(variable).cloned(),
        SecretSource::File(path) => from_file("", path).ok(),
    };
    let values = secrets.iter().filter_map(value);
    values.filter(|value| Redactor::check([value.as_str()]).is_ok()).collect()
}

/// The variables that these secrets come from.
pub(super) fn variables_of(secrets: &[SecretSource]) -> impl Iterator<Item = &str> {
    secrets.iter().filter_map(|source| match source {
        SecretSource::Env(variable) => Some(variable.as_str()),
        SecretSource::File(_) => None,
    })
}

/// Adds the variables that a task's secrets come from: a task gets those of its own secrets too, unless its `env` sets them.
/// `secrets`: values by name.
pub(super) fn add_sources(spec: &TaskSpec, secrets: &mut BTreeMap<String, String>) {
    for (name, source) in &spec.secrets {
        if let (SecretSource::Env(variable), Some(value)) = (source, secrets.get(name).cloned())
            && !spec.env.contains_key(variable)
        {
            secrets.entry(variable.clone()).or_insert(value);
        }
    }
}

/// Removes the variables that these secrets come from.
pub(super) fn remove_secrets(env: &mut BTreeMap<String, String>, secrets: &[SecretSource]) {
    variables_of(secrets).for_each(|variable| drop(env.remove(variable)));
}

/// What every session is told beside its own variables.
pub(super) fn session_variables(
    env: &mut BTreeMap<String, String>,
    home: &Home,
    keys: &Keys,
    session: SessionId,
    label: &str,
    tty: bool,
) {
    env.insert("CIS_ATTEMPT".to_owned(), label.to_owned());
    env.insert("CIS_SOCKET".to_owned(), home.node_socket().display().to_string());
    // The lock in it names the socket if the node listens elsewhere later.
    env.insert("CIS_HOME".to_owned(), home.dir.display().to_string());
    env.insert("CIS_TOKEN".to_owned(), keys.token(session));
    if tty {
        // What the terminal model understands, whatever terminal the submitter had.
        env.insert("TERM".to_owned(), "xterm-256color".to_owned());
        env.insert("COLORTERM".to_owned(), "truecolor".to_owned());
    }
}

/// What the sessions of a task are told beside that.
pub(super) fn task_variables(
    env: &mut BTreeMap<String, String>,
    home: &Home,
    attempt: &AttemptId,
    session: SessionId,
) {
    env.insert("CIS_RUN_ID".to_owned(), attempt.run.to_string());
    env.insert("CIS_TASK_ID".to_owned(), attempt.task.to_string());
    env.insert("CIS_OUTPUT".to_owned(), home.output_file(session).display().to_string());
}

/// Variables of a caller or of this process that may reach a session: everything but our own, and but
/// those that describe the caller's terminal.
pub(super) fn inherited(vars: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    vars.into_iter()
        .filter(|(name, value)| {
            let ours = name.starts_with("CIS_");
            let terminal =
                matches!(name.as_str(), "COLUMNS" | "LINES" | "TERMCAP" | "TMUX" | "TMUX_PANE" | "STY");
            let sound = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
            !ours && !terminal && sound
        })
        .collect()
}
