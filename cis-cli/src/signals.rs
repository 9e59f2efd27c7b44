//! Signals that make a command leave: the terminal closed, SIGTERM, and for most of them Ctrl+C. In raw mode, each that would
//! end it.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CliError, Exit};

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

    /// Does `work`, such as asking the node. `Err`: this signal came first.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, i32> {
        tokio::select! {
            biased;
            number = self.recv() => Err(number),
            done = work => Ok(done),
        }
    }
}

/// Listens for each signal that ends a process by default and that people and programs send. For commands with a terminal in raw mode:
/// keys raise no signals there, and the terminal has to be restored first.
pub(crate) struct Ending(Vec<(SignalKind, Signal)>);

impl Ending {
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::process::Signal as Number;
        let abort = SignalKind::from_raw(Number::ABORT.as_raw());
        let kinds = [
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::quit(),
            abort,
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
            SignalKind::alarm(),
            SignalKind::terminate(),
        ];
        kinds.into_iter().map(|kind| Ok((kind, signal(kind)?))).collect::<io::Result<_>>().map(Self)
    }

    /// The number of the one that came. Loses none when dropped.
    pub(crate) async fn recv(&mut self) -> i32 {
        poll_fn(|task| {
            for (kind, signal) in &mut self.0 {
                if signal.poll_recv(task).is_ready() {
                    return Poll::Ready(kind.as_raw_value());
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Listens for what a command with a terminal in raw mode has to know.
pub(crate) struct TerminalSignals {
    /// The terminal has another size.
    pub(crate) resized: Signal,
    /// The command was stopped, and goes on.
    pub(crate) continued: Signal,
    pub(crate) ending: Ending,
}

impl TerminalSignals {
    pub(crate) fn new() -> io::Result<Self> {
        let continued = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            continued: signal(continued)?,
            ending: Ending::new()?,
        })
    }
}

/// Ends this command by a signal that came, so that a shell sees it. The terminal is restored already.
pub(crate) fn die_by(number: i32) -> Exit {
    cis_host::die_by_signal(number);
    Exit::signal(number)
}
