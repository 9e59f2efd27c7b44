//! What every verb has: the global flags, the part of the environment that counts, and the way to the node.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cis_client::{Client, ClientError};
use cis_local::Place;
use cis_node::config::Config;
use clap::Args;

use crate::error::CliError;
use crate::home::{self, Home};
use crate::node_start::Found;
use crate::remote::{Elsewhere, Remote};
use crate::{lock_holders, node_start, output, settings};

/// How long a command inside of a session waits for its node to be back.
const SESSION_PATIENCE: Duration = Duration::from_secs(30);

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// Print JSON: one document, or one line per item for streams
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Directory of the node's files [default: ~/.cis] [env: CIS_HOME]
    // The variable is read where the home is found: as clap's own it would stand in every usage line.
    #[arg(long, global = true, value_name = "DIR")]
    #[arg(help_heading = "Global options")]
    pub(crate) home: Option<PathBuf>,
    /// Disable colors, as does NO_COLOR in the environment
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_color: bool,
}

/// What a verb works with.
pub(crate) struct Context {
    /// Output for programs.
    pub(crate) json: bool,
    /// Where the node's files are.
    pub(crate) home: Home,
    /// Settings of this call, `KEY=VALUE`.
    pub(crate) overrides: Vec<String>,
    session: Option<InSession>,
    remote: Option<Remote>,
}

/// We run inside of a session.
struct InSession {
    socket: Option<PathBuf>,
    token: Option<String>,
}

impl Context {
    pub(crate) fn new(
        globals: Globals,
        elsewhere: &Elsewhere,
        overrides: Vec<String>,
    ) -> Result<Self, CliError> {
        if globals.no_color {
            anstream::ColorChoice::Never.write_global();
        }
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let session = (var("CIS_TOKEN").is_some() || var("CIS_ATTEMPT").is_some()).then(|| InSession {
            socket: var("CIS_SOCKET").map(PathBuf::from),
            token: var("CIS_TOKEN").and_then(|token| token.into_string().ok()),
        });
        let remote = Remote::of(elsewhere, var);
        let home = globals.home.map(OsString::from).or_else(|| std::env::var_os("CIS_HOME"));
        let home = home::locate(home, var("HOME"), var("XDG_RUNTIME_DIR"))?;
        Ok(Self { json: globals.json, home, overrides, session, remote })
    }

    /// The place where the node of the session, or else the node of the home, listens.
    pub(crate) fn place(&self) -> Place {
        match self.session.as_ref().and_then(|session| session.socket.as_deref()) {
            None => self.home.node_place(),
            // The node of this home may listen elsewhere than when the session started.
            Some(socket) if self.home.is_node_socket(socket) => {
                Place::of_holder(socket, self.home.node_lock())
            }
            Some(socket) => Place::at(socket),
        }
    }

    /// The path of the node's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.place().socket().to_owned()
    }

    /// What is configured.
    pub(crate) fn config(&self) -> Result<Config, CliError> {
        settings::load(&self.home, &self.overrides)
    }

    /// Whether we run inside of a session.
    pub(crate) fn in_session(&self) -> bool {
        self.session.is_some()
    }

    /// Whether a node may be started from here.
    pub(crate) fn may_start_node(&self) -> bool {
        self.session.is_none() && self.remote.is_none()
    }

    /// Whether the node of another machine is meant.
    pub(crate) fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Refuses what can only be done on the node's own machine.
    pub(crate) fn not_remote(&self, verb: &str) -> Result<(), CliError> {
        match &self.remote {
            None => Ok(()),
            Some(remote) => {
                Err(CliError::bad_input(format!("cannot run `cis {verb}` for the node at {}", remote.url))
                    .hint("run it on that machine, or omit --url and CIS_URL for the node of this machine"))
            }
        }
    }

    /// A client of the node, which is started where none runs. Inside of a session it is waited for instead:
    /// a node that a session started would be a process of that session.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        if let Some(remote) = &self.remote {
            self.warn_without_effect();
            return remote.client();
        }
        if self.session.is_some() {
            self.warn_without_effect();
            let place = self.place();
            wait_for_node(&place)?;
            let client = self.client_of_running()?;
            return Ok(client.with_revive(Arc::new(move || wait_for_node(&place).is_ok())));
        }
        if node_start::ensure(&self.home, &self.overrides, false)? == Found::Running {
            self.check_overrides()?;
        }
        let client = self.client_of_running()?;
        let (home, overrides) = (self.home.clone(), self.overrides.clone());
        Ok(client.with_revive(Arc::new(move || node_start::ensure(&home, &overrides, false).is_ok())))
    }

    /// Checks the settings of this call, as a node that starts does, and warns of those that the running node does not read any more.
    pub(crate) fn check_overrides(&self) -> Result<(), CliError> {
        if !self.overrides.is_empty() {
            self.config()?;
        }
        self.warn_without_effect();
        Ok(())
    }

    /// Warns of settings of this call that the running node does not read any more.
    pub(crate) fn warn_without_effect(&self) {
        if let Some(text) = settings::without_effect(&self.overrides, self.may_start_node()) {
            output::note(&output::human::warning(&text));
        }
    }

    /// The client of a command that follows, after its first call: it restarts a node that died, but not one that was stopped.
    pub(crate) fn follower(&self, client: Client) -> Client {
        if !self.may_start_node() {
            return client;
        }
        let (home, overrides) = (self.home.clone(), self.overrides.clone());
        client.with_revive(Arc::new(move || {
            !lock_holders::was_node_stopped(&home) && node_start::ensure(&home, &overrides, false).is_ok()
        }))
    }

    /// The error of a command whose connection ended, which says so if the node was stopped. `again` is the command that goes on.
    pub(crate) fn lost(&self, error: ClientError, again: &str) -> CliError {
        if error.is_disconnected() && !self.is_remote() && lock_holders::was_node_stopped(&self.home) {
            return self.node_stopped("the node was stopped", again);
        }
        error.into()
    }

    /// The error of a command that cannot go on because the node was stopped.
    pub(crate) fn node_stopped(&self, detail: &str, again: &str) -> CliError {
        let place = match (self.is_remote(), self.in_session()) {
            (true, _) => " on its machine",
            (false, true) => " outside of this session",
            (false, false) => "",
        };
        CliError::unavailable(detail)
            .hint(format!("start it{place} with `cis node start --detach`, then run `{again}`"))
    }

    /// A client of a node that is known to run, or may be away.
    pub(crate) fn client_of_running(&self) -> Result<Client, CliError> {
        if let Some(remote) = &self.remote {
            return remote.client();
        }
        let token = self.session.as_ref().and_then(|session| session.token.as_deref());
        Ok(Client::new(self.place(), token))
    }

    /// Runs a verb's future to its end.
    pub(crate) fn block_on<T>(&self, verb: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| CliError::unavailable(format!("cannot start the event loop: {error}")))?;
        let result = runtime.block_on(verb);
        // A read of standard input or a node's start may still be under way: do not wait for it.
        runtime.shutdown_background();
        result
    }
}

/// Waits for the node of this session.
fn wait_for_node(place: &Place) -> Result<(), CliError> {
    let give_up = Instant::now() + SESSION_PATIENCE;
    // Nothing tells when somebody begins to listen at a path: the condition is polled.
    loop {
        match place.connect() {
            Ok(_) => return Ok(()),
            Err(error) if error.is_away() && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) if error.is_away() => {
                let waited = SESSION_PATIENCE.as_secs();
                return Err(CliError::unavailable(format!(
                    "the node of this session did not answer for {waited} s: {error}"
                ))
                .hint(
                    "`cis` starts no node inside a session; outside of it, run `cis node start --detach`",
                ));
            }
            Err(error) => return Err(ClientError::from(error).into()),
        }
    }
}

/// The environment that a submitted run or session gets: ours, as far as it is not a session's own.
pub(crate) fn submitted_env() -> BTreeMap<String, String> {
    cis_core::api::submitted_env(std::env::vars_os())
}

/// The file mode creation mask that what we ask for is to have: ours.
pub(crate) fn submitted_umask() -> u32 {
    // Read by setting it, as there is no other way everywhere (umask(2)). For a moment it is the tightest.
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o777));
    rustix::process::umask(mask);
    mask.as_raw_mode()
}

/// The absolute current directory as text.
pub(crate) fn current_dir() -> Result<String, CliError> {
    let dir = std::env::current_dir()
        .map_err(|error| CliError::bad_input(format!("cannot find the current directory: {error}")))?;
    utf8(dir)
}

/// `path`, made absolute, as text.
pub(crate) fn absolute(path: &Path) -> Result<String, CliError> {
    let path = std::path::absolute(path)
        .map_err(|error| CliError::bad_input(format!("invalid path `{}`: {error}", path.display())))?;
    utf8(path)
}

fn utf8(path: PathBuf) -> Result<String, CliError> {
    path.into_os_string()
        .into_string()
        .map_err(|path| CliError::bad_input(format!("`{}` is not UTF-8", path.display())))
}
