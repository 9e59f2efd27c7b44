//! The release binary with a home of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::Outcome;

/// A home with a node that stays.
pub(crate) struct Cis {
    binary: PathBuf,
    home: PathBuf,
}

impl Cis {
    /// A home without a node.
    pub(crate) fn new(binary: &Path, home: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(home.join("runtime"))
            .map_err(|e| format!("cannot make {}: {e}", home.display()))?;
        Ok(Self { binary: binary.to_owned(), home: home.to_owned() })
    }

    /// A home with a node.
    pub(crate) fn start(binary: &Path, home: &Path) -> Outcome<Self> {
        let cis = Self::new(binary, home)?;
        cis.run(["node", "start", "--detach"])?;
        Ok(cis)
    }

    /// Ends the node and its sessions.
    pub(crate) fn stop(&self) -> Outcome {
        self.run(["node", "stop", "--kill-sessions"]).map(drop)
    }

    /// `cis …`, with this home and nothing else of ours in its environment: also the variables `CIS_…` of an experiment do not reach it.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(&self.home).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CIS_") {
                command.env_remove(name);
            }
        }
        command.env("CIS_HOME", self.home.join("cis")).env("XDG_RUNTIME_DIR", self.home.join("runtime"));
        command
    }

    /// Runs `cis …` and gives what it printed.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome<String> {
        crate::process::stdout_of(self.command(arguments))
    }

    /// Wall time of `cis dag run FILE`, which must succeed, ms.
    pub(crate) fn dag_run_ms(&self, file: &Path) -> Outcome<f64> {
        let mut command = self.command(["dag".as_ref(), "run".as_ref(), file.as_os_str()]);
        self.time(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// Wall time of a command, which must succeed, ms.
    pub(crate) fn time(&self, command: &mut Command) -> Outcome<f64> {
        let began = Instant::now();
        let status = command.status().map_err(|e| format!("cannot start {}: {e}", self.binary.display()))?;
        let ms = began.elapsed().as_secs_f64() * 1e3;
        if status.success() { Ok(ms) } else { Err(format!("`{command:?}` ended with {status}")) }
    }

    /// Creates a session and gives its id.
    pub(crate) fn session(&self, command: &[&str]) -> Outcome<String> {
        let mut arguments = vec!["session", "create", "--"];
        arguments.extend(command);
        let text = self.run(arguments)?;
        ulid_in(&text).ok_or_else(|| format!("`cis session create` printed no id: {text}"))
    }

    /// A number of `cis node status --json`.
    pub(crate) fn node_number(&self, field: &str) -> Outcome<u32> {
        let status = self.node_status()?;
        let number = status[field].as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| format!("`cis node status --json` has no number `{field}`: {status}"))
    }

    /// `cis node status --json`.
    pub(crate) fn node_status(&self) -> Outcome<Value> {
        let status = self.run(["node", "status", "--json"])?;
        serde_json::from_str(&status)
            .map_err(|e| format!("cannot read `cis node status --json`: {e}: {status}"))
    }
}

/// The first id in a text.
pub(crate) fn ulid_in(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.len() == 26).map(str::to_owned)
}
