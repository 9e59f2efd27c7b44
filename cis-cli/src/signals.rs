//! Signals that make a command leave: the terminal closed, SIGTERM, and for most of them Ctrl+C.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;

/// Listens for those that never end what a command looks at: the terminal closed, or SIGTERM.
pub(crate) struct Leaving {
    hangup: Signal,
    terminate: Signal,
}

impl Leaving {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { hangup: signal(SignalKind::hangup())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The number of the one that came. Loses none when dropped.
    pub(crate) async fn recv(&mut self) -> i32 {
        let kind = tokio::select! {
            _ = self.hangup.recv() => SignalKind::hangup(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        kind.as_raw_value()
    }
}

/// Listens for these and for Ctrl+C, for commands that it makes leave as well.
pub(crate) struct AnyLeaving {
    interrupt: Signal,
    leaving: Leaving,
}

impl AnyLeaving {
    pub(crate) fn new() -> Result<Self, CliError> {
        let failed = |error| CliError::unavailable(format!("cannot listen for signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            leaving: Leaving::new().map_err(failed)?,
        })
    }

    /// The number of the one that came. Loses none when dropped.
    pub(crate) async fn recv(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            number = self.leaving.recv() => number,
        }
    }
}
