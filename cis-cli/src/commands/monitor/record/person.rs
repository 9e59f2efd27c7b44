//! A person at the recorded command: keys in, output out, until it ends.

use std::io::Write;

use cis_host::recorder::{Happened, Recorder, Start};
use tokio::signal::unix::{SignalKind, signal};

use super::failed;
use crate::error::CliError;
use crate::signals::Ending;
use crate::term::raw::{RawTerminal, unusable};

/// How a recording ended.
pub(super) enum End {
    /// The command ended with this exit code.
    Exited(i32),
    /// This signal ended the recording, and the command with it.
    Signal(i32),
}

/// Records until the command ends, or a signal ends the recording.
pub(super) async fn record(start: &Start, out: impl Write) -> Result<End, CliError> {
    // Before anything here handles signals.
    let mut recorder = Recorder::start(start, out).map_err(failed)?;
    let left = at_terminal(&mut recorder).await;
    // Also where the terminal is gone: nothing is to run on, and the file is to be whole.
    recorder.finish().await.map_err(failed)?;
    left
}

async fn at_terminal(recorder: &mut Recorder<impl Write>) -> Result<End, CliError> {
    let mut resized = signal(SignalKind::window_change()).map_err(unusable)?;
    let mut ending = Ending::new().map_err(unusable)?;
    let terminal = RawTerminal::enter().map_err(unusable)?;
    let mut typed = [0; 4096];
    let mut shown: Vec<u8> = Vec::new();
    let mut code = None;
    loop {
        if let (Some(code), true) = (code, shown.is_empty()) {
            return Ok(End::Exited(code));
        }
        tokio::select! {
            biased;
            number = ending.recv() => return Ok(End::Signal(number)),
            _ = resized.recv() => recorder.resize(terminal.size()).map_err(failed)?,
            read = terminal.read(&mut typed), if code.is_none() => match read {
                Ok(count @ 1..) => recorder.type_in(&typed[..count]).await.map_err(failed)?,
                _ => return Ok(End::Signal(SignalKind::hangup().as_raw_value())),
            },
            written = terminal.write(&shown), if !shown.is_empty() => {
                let count = written.map_err(unusable)?;
                shown.drain(..count);
            }
            happened = recorder.next(), if code.is_none() && shown.is_empty() => match happened.map_err(failed)? {
                Happened::Output(bytes) => shown = bytes,
                Happened::Ended(ended) => code = Some(ended),
            },
        }
    }
}
