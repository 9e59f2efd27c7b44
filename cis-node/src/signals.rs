//! Signals that make a command leave without ending what it looks at: the terminal closed, or SIGTERM.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for both.
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
