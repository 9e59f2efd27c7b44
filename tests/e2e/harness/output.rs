//! A command that ran, or runs: its output and exit code.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::wait::{LONG, eventually, eventually_within};

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    pub line: String,
    /// None: a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Panics unless it exited with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "`{}` ended differently\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| {
            panic!("`{}` printed no JSON ({e}):\n{}\n{}", self.line, self.stdout, self.stderr)
        })
    }

    /// stdout as newline-delimited JSON.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// A command that runs. Dropping it kills it.
pub struct Running {
    line: String,
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Stream {
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (done, ended) = channel();
        let into = Arc::clone(&bytes);
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
            // Nobody waits any more where the test ended first.
            let _ = done.send(());
        });
        Self { bytes, ended }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let line = format!("{command:?}");
        let line = line
            .rsplit_once("/cis\" ")
            .map_or(line.clone(), |(_, rest)| format!("cis {rest}"))
            .replace('"', "");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start `{line}`: {e}"));
        let stdout = Stream::read(child.stdout.take().unwrap());
        let stderr = Stream::read(child.stderr.take().unwrap());
        Self { line, child, stdout, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Waits until stdout has this text.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        eventually(
            &format!(
                "`{}` prints `{text}`; it printed\n{}\n{}",
                self.line,
                self.stdout(),
                self.stderr.text()
            ),
            || self.stdout().contains(text).then_some(()),
        );
    }

    /// Waits until stderr has this text.
    #[track_caller]
    pub fn wait_for_note(&self, text: &str) {
        eventually(&format!("`{}` says `{text}`", self.line), || {
            self.stderr.text().contains(text).then_some(())
        });
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(self) -> Output {
        self.wait_within(LONG)
    }

    /// Waits for its end, and for the end of its output: nobody else may hold that open.
    #[track_caller]
    pub fn wait_within(mut self, limit: Duration) -> Output {
        let line = self.line.clone();
        let status: ExitStatus =
            eventually_within(limit, &format!("`{line}` ends"), || self.child.try_wait().unwrap());
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let end = stream.ended.recv_timeout(Duration::from_secs(5));
            assert!(end.is_ok(), "`{line}` ended, but something it started holds its {name} open");
        }
        Output { line, code: status.code(), stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
