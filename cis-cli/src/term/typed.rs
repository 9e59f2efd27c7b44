//! A line that somebody may type while something else is waited for. Whichever comes first, the terminal is as it was afterwards.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::oneshot;

use super::secret::{BYTES_MAX, Key, Silent, take, tty};

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// This was typed.
    Text(String),
    /// Ctrl+C, where the terminal shows nothing of what is typed.
    Cancelled,
    /// Nobody can type any more.
    Gone,
}

/// A line that is waited for. Dropping it gives it up.
pub(crate) struct Typed {
    line: oneshot::Receiver<Line>,
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Typed {
    /// Asks on the terminal, or without one of standard input.
    pub(crate) fn ask(prompt: &str) -> io::Result<Self> {
        let source = match tty() {
            Ok(mut tty) => {
                tty.write_all(prompt.as_bytes())?;
                tty
            }
            Err(_) => File::from(io::stdin().as_fd().try_clone_to_owned()?),
        };
        Self::start(move |stop| shown(&source, stop))
    }

    /// Asks on the terminal, which shows nothing of what is typed.
    pub(crate) fn ask_silently(prompt: &str) -> io::Result<Self> {
        let mut silent = Silent::new(tty()?)?;
        silent.tty.write_all(prompt.as_bytes())?;
        Self::start(move |stop| hidden(&mut silent, stop))
    }

    fn start(read: impl FnOnce(&PipeReader) -> io::Result<Line> + Send + 'static) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let (found, line) = oneshot::channel();
        let thread = std::thread::Builder::new().name("typed".to_owned()).spawn(move || {
            let line = read(&stopped).unwrap_or(Line::Gone);
            // Nobody waits any more where something else came first.
            let _ = found.send(line);
        })?;
        Ok(Self { line, stop: Some(stop), thread: Some(thread) })
    }

    /// The line. To be called until it came once.
    async fn line(&mut self) -> Line {
        (&mut self.line).await.unwrap_or(Line::Gone)
    }
}

/// The line that is waited for; for ever where none is.
pub(crate) async fn line(typed: &mut Option<Typed>) -> Line {
    match typed {
        Some(typed) => typed.line().await,
        None => std::future::pending().await,
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It puts the terminal back.
            let _ = thread.join();
        }
    }
}

/// The next bytes; none: it was given up.
fn more(source: &mut &File, stop: &PipeReader, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        let mut both = [PollFd::new(*source, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        match poll(&mut both, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if !both[1].revents().is_empty() {
            return Ok(None);
        }
        return source.read(buffer).map(Some);
    }
}

fn shown(mut source: &File, stop: &PipeReader) -> io::Result<Line> {
    let mut typed = Vec::new();
    loop {
        let mut byte = [0];
        match more(&mut source, stop, &mut byte)? {
            None => return Ok(Line::Gone),
            Some(0) if typed.is_empty() => return Ok(Line::Gone),
            Some(count) if count > 0 && byte[0] != b'\n' => {
                if typed.len() < BYTES_MAX {
                    typed.push(byte[0]);
                }
            }
            _ => return Ok(Line::Text(String::from_utf8_lossy(&typed).trim().to_owned())),
        }
    }
}

fn hidden(silent: &mut Silent, stop: &PipeReader) -> io::Result<Line> {
    let mut typed = Vec::new();
    let line = loop {
        let mut byte = [0];
        match more(&mut &silent.tty, stop, &mut byte)? {
            None | Some(0) => break Line::Gone,
            Some(_) => match take(&mut typed, byte[0]) {
                Key::More => {}
                Key::Done => break Line::Text(String::from_utf8_lossy(&typed).trim().to_owned()),
                Key::Cancelled => break Line::Cancelled,
            },
        }
    };
    silent.tty.write_all(b"\n")?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, ends: bool) -> Line {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        let (stopped, stop) = io::pipe().unwrap();
        let thread =
            std::thread::spawn(move || shown(&File::from(std::os::fd::OwnedFd::from(reader)), &stopped));
        if ends {
            drop(writer);
        } else if !text.contains('\n') {
            drop(stop);
        }
        thread.join().unwrap().unwrap()
    }

    #[test]
    fn a_line_is_read_or_given_up() {
        assert_eq!(of(" yes\nmore", false), Line::Text("yes".to_owned()));
        assert_eq!(of("no", true), Line::Text("no".to_owned()));
        assert_eq!(of("", true), Line::Gone);
        assert_eq!(of("half", false), Line::Gone);
    }
}
