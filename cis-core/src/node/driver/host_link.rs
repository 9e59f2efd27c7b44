//! The line to the session host: found, started, lost, found again.

use std::os::fd::BorrowedFd;

use crate::config::Home;
use crate::ids::{HostInstance, InputId, SessionId, TimestampMs};
use crate::session::control::{self, HostClient};
use crate::session::protocol::{FromHost, Known, Role, ToHost};

/// Between tries to start a host that does not come up, ms.
const RETRY_MS: i64 = 1_000;

/// What a new connection brings.
pub(super) struct Greeting {
    pub(super) instance: HostInstance,
    pub(super) sessions: Vec<Known>,
}

/// See the module.
pub(super) struct HostLink {
    home: Home,
    command: Vec<String>,
    client: Option<HostClient>,
    instance: Option<HostInstance>,
    pid: Option<u32>,
    retry_at: Option<TimestampMs>,
    /// Why there is no host, for people.
    pub(super) trouble: Option<String>,
}

impl HostLink {
    pub(super) fn new(home: Home, command: Vec<String>) -> Self {
        Self { home, command, client: None, instance: None, pid: None, retry_at: None, trouble: None }
    }

    pub(super) fn instance(&self) -> Option<HostInstance> {
        self.instance
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.pid
    }

    pub(super) fn retry_at(&self) -> Option<TimestampMs> {
        self.retry_at
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.client.as_ref().map(HostClient::as_fd)
    }

    pub(super) fn wants_write(&self) -> bool {
        self.client.as_ref().is_some_and(HostClient::wants_write)
    }

    /// Connects to the host that is there, or starts one.
    pub(super) fn connect(&mut self, now: TimestampMs) -> Option<Greeting> {
        self.client = None;
        match self.try_connect() {
            Ok(greeting) => {
                self.retry_at = None;
                self.trouble = None;
                Some(greeting)
            }
            Err(error) => {
                tracing::error!(error, "no session host");
                self.trouble = Some(format!("no session host: {error}"));
                self.pid = None;
                self.retry_at = Some(now + RETRY_MS);
                None
            }
        }
    }

    fn try_connect(&mut self) -> Result<Greeting, String> {
        let socket = self.home.host_socket();
        let (client, welcome) = match HostClient::connect(&socket, Role::Control) {
            Ok(connected) => connected,
            Err(_) => {
                control::spawn_host(&self.command, &self.home.host_log()).map_err(|e| e.to_string())?;
                HostClient::connect(&socket, Role::Control).map_err(|e| e.to_string())?
            }
        };
        self.client = Some(client);
        self.instance = Some(welcome.instance);
        self.pid = Some(welcome.pid);
        Ok(Greeting { instance: welcome.instance, sessions: welcome.sessions })
    }

    /// What the host has said since; `None`: it is gone.
    pub(super) fn receive(&mut self) -> Option<Vec<FromHost>> {
        let Some(client) = &mut self.client else { return Some(Vec::new()) };
        match client.receive() {
            Ok(messages) => Some(messages),
            Err(error) => {
                tracing::error!(%error, "the session host is gone");
                self.client = None;
                self.pid = None;
                None
            }
        }
    }

    pub(super) fn send(&mut self, message: &ToHost) {
        if let Some(client) = &mut self.client {
            client.send(message);
        }
    }

    pub(super) fn send_input(&mut self, session: SessionId, input: InputId, data: &[u8]) {
        if let Some(client) = &mut self.client {
            client.send_input(session, Some(input), data);
        }
    }

    /// Writes what is buffered, as far as the socket takes it.
    pub(super) fn flush(&mut self) {
        // A broken connection shows at the next receive, which also tells the scheduler.
        if let Some(client) = &mut self.client
            && let Err(error) = client.flush()
        {
            tracing::debug!(%error, "the session host takes nothing");
        }
    }

    /// The node ends: its sessions go on, or end with it.
    pub(super) fn leave(&mut self, kill_sessions: bool) {
        self.send(&ToHost::Supervise { restart: None });
        if kill_sessions {
            self.send(&ToHost::Shutdown {});
        }
        if let Some(client) = &mut self.client
            && let Err(error) = client.flush_all()
        {
            tracing::error!(%error, "the session host could not be told that this node ends");
        }
        self.client = None;
    }
}
