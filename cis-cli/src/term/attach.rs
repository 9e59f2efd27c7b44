//! The caller's terminal at a session, until one of the two is gone or the keys that detach are typed.

use std::pin::pin;
use std::time::Duration;

use cis_client::{AttachFrame, AttachStream, Client};
use cis_core::api::{Attach, AttachControl, AttachNotice, TermSize};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::detach::{Detach, has_ctrl_c};
use super::raw::{self, RawTerminal, unusable};
use super::switch::ScreenSwitches;
use crate::context::Context;
use crate::error::CliError;
use crate::restart::Restarts;
use crate::signals::TerminalSignals;

/// Output that waits for a slow terminal: beyond this nothing more is read from the node.
const OUTPUT_HELD_MAX: usize = 256 << 10;
/// Typed bytes that wait for the node: beyond this nothing more is read from the terminal.
const TYPED_HELD_MAX: usize = 64 << 10;
/// Typed bytes that have not left get so long when the person leaves.
const FLUSH_TIME_MAX: Duration = Duration::from_millis(200);
/// How long a node may be away before the terminal is given back.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is drawn over the session's screen while the node is away: on the last line, inverse, cursor kept.
fn away(stopped: bool) -> String {
    let how = if stopped { "was stopped" } else { "went away" };
    format!("\x1b7\x1b[999;1H\x1b[0;7m the node {how}; trying to reach it again \x1b[0m\x1b8")
}

/// Before the first paint of a new connection.
const FRESH: &[u8] = b"\x1b[0m\x1b[r\x1b[H\x1b[2J";

/// Why it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The keys were typed, or the terminal closed.
    Detached,
    /// This signal came.
    Signal(i32),
    /// The session ended.
    Ended {
        /// How the session ended, in words.
        detail: String,
        /// Text of its screen at the end.
        screen: Option<String>,
    },
    /// The node went away. `stopped`: it was told to.
    NodeAway { stopped: bool },
}

/// How to attach.
pub(crate) struct How {
    /// Look, do not type.
    pub(crate) read_only: bool,
    /// The keys that detach.
    pub(crate) detach: Detach,
}

/// Attaches the caller's terminal to `session`. It is as it was before when this returns.
pub(crate) async fn attach(
    context: &Context,
    client: &Client,
    session: &str,
    how: How,
) -> Result<Left, CliError> {
    let mut signals = TerminalSignals::new().map_err(unusable)?;
    // Refusals come before the screen is touched.
    let query = query(raw::size(rustix::stdio::stdout()), how.read_only);
    let mut stream = tokio::select! {
        biased;
        number = signals.ending.recv() => return Ok(Left::Signal(number)),
        stream = client.attach(session, &query) => stream?,
    };
    let terminal = RawTerminal::enter().map_err(unusable)?;
    let mut at = AtSession { terminal, how, switches: ScreenSwitches::default(), output: Vec::new() };
    let mut restarts = Restarts::default();
    loop {
        let stopped = match at.serve(&mut stream, &mut signals).await? {
            Served::Over(left) => return Ok(left),
            Served::Away { stopped } => stopped,
        };
        restarts.begin(context, stopped);
        match at.come_back(client, session, &mut signals, stopped).await? {
            Ok(again) => {
                stream = again;
                restarts.end();
            }
            Err(left) => return Ok(left),
        }
    }
}

fn query(size: TermSize, read_only: bool) -> Attach {
    Attach { cols: Some(size.cols), rows: Some(size.rows), read_only, ..Attach::default() }
}

/// How serving a terminal ended.
enum Served {
    /// For good.
    Over(Left),
    /// The node went away. `stopped`: it was told to.
    Away { stopped: bool },
}

struct AtSession {
    terminal: RawTerminal,
    how: How,
    switches: ScreenSwitches,
    /// For the terminal, not yet written.
    output: Vec<u8>,
}

impl AtSession {
    /// Serves both sides until the end.
    async fn serve(
        &mut self,
        stream: &mut AttachStream<'_>,
        signals: &mut TerminalSignals,
    ) -> Result<Served, CliError> {
        let mut typed = [0; 4096];
        loop {
            tokio::select! {
                biased;
                number = signals.ending.recv() => return Ok(Served::Over(Left::Signal(number))),
                _ = signals.resized.recv() => {
                    stream.control(AttachControl::Resize(self.terminal.size()))?;
                }
                _ = signals.continued.recv() => {
                    self.terminal.reenter().map_err(unusable)?;
                    stream.control(AttachControl::Resize(self.terminal.size()))?;
                    stream.control(AttachControl::Repaint)?;
                }
                read = self.terminal.read(&mut typed), if stream.queued_bytes() < TYPED_HELD_MAX => {
                    let Some(bytes) = read.ok().filter(|count| *count > 0).map(|count| &typed[..count]) else {
                        return Ok(Served::Over(Left::Detached));
                    };
                    if self.typed(bytes, Some(stream)) {
                        // What was typed before the keys still counts.
                        let _ = timeout(FLUSH_TIME_MAX, stream.flush()).await;
                        return Ok(Served::Over(Left::Detached));
                    }
                }
                written = self.terminal.write(&self.output), if !self.output.is_empty() => {
                    match written {
                        Ok(count) => drop(self.output.drain(..count)),
                        Err(_) => return Ok(Served::Over(Left::Detached)),
                    }
                }
                frame = stream.next(), if self.output.len() < OUTPUT_HELD_MAX => match frame {
                    Ok(AttachFrame::Bytes(bytes)) => {
                        if self.switches.pass(&bytes, &mut self.output) {
                            stream.control(AttachControl::Repaint)?;
                        }
                        if self.switches.coloured {
                            self.terminal.coloured();
                        }
                    }
                    Ok(AttachFrame::Notice(AttachNotice::Ended { detail, screen, .. })) => {
                        return Ok(Served::Over(Left::Ended { detail, screen }));
                    }
                    Ok(AttachFrame::Notice(AttachNotice::Attached { .. } | AttachNotice::Resized(_))) => {}
                    Ok(AttachFrame::Closed) => return Ok(Served::Away { stopped: true }),
                    Err(error) if error.is_away() => return Ok(Served::Away { stopped: false }),
                    Err(error) => return Err(error.into()),
                },
            }
        }
    }

    /// Takes what was typed; whether it was the keys that detach.
    fn typed(&mut self, bytes: &[u8], stream: Option<&mut AttachStream<'_>>) -> bool {
        let typed = self.how.detach.take(bytes);
        // Nothing else that is typed has a meaning there.
        let given_up = self.how.read_only && has_ctrl_c(&typed.forward);
        if let Some(stream) = stream
            && !self.how.read_only
            && !typed.forward.is_empty()
        {
            stream.type_bytes(&typed.forward);
        }
        typed.detach || given_up
    }

    /// Tries to reach the node again, for a while.
    async fn come_back<'a>(
        &mut self,
        client: &'a Client,
        session: &str,
        signals: &mut TerminalSignals,
        stopped: bool,
    ) -> Result<Result<AttachStream<'a>, Left>, CliError> {
        self.switches = ScreenSwitches::default();
        self.output.clear();
        self.output.extend_from_slice(away(stopped).as_bytes());
        let give_up = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(20);
        while Instant::now() < give_up {
            let query = query(self.terminal.size(), self.how.read_only);
            let attempt = Box::pin(timeout_at(give_up, client.attach(session, &query)));
            match self.during(attempt, signals).await {
                Ok(Ok(Ok(stream))) => {
                    self.output.extend_from_slice(FRESH);
                    return Ok(Ok(stream));
                }
                Ok(Ok(Err(error))) if error.is_away() => {}
                Ok(Ok(Err(error))) => return Err(error.into()),
                // It takes the connection and does not answer.
                Ok(Err(_)) => break,
                Err(left) => return Ok(Err(left)),
            }
            if let Err(left) = self.during(sleep(pause), signals).await {
                return Ok(Err(left));
            }
            pause = (pause * 2).min(Duration::from_millis(500));
        }
        Ok(Err(Left::NodeAway { stopped }))
    }

    /// Does `work` while the node is away. `Err`: the person left first.
    async fn during<T>(
        &mut self,
        work: impl Future<Output = T>,
        signals: &mut TerminalSignals,
    ) -> Result<T, Left> {
        let mut work = pin!(work);
        let mut typed = [0; 4096];
        loop {
            tokio::select! {
                number = signals.ending.recv() => return Err(Left::Signal(number)),
                done = &mut work => return Ok(done),
                read = self.terminal.read(&mut typed) => {
                    let count = read.unwrap_or(0);
                    // Without a node nothing typed can arrive: only the keys count.
                    if count == 0 || self.typed(&typed[..count], None) || has_ctrl_c(&typed[..count]) {
                        return Err(Left::Detached);
                    }
                }
                written = self.terminal.write(&self.output), if !self.output.is_empty() => {
                    match written {
                        Ok(count) => drop(self.output.drain(..count)),
                        Err(_) => return Err(Left::Detached),
                    }
                }
            }
        }
    }
}
