//! Starting a node when none runs, without polling: the child says on its standard output when it listens.
//!
//! The child (`cis node serve --ready-stdout`) makes its own session (setsid), and says one line:
//! `ready`; `running` where another node has the lock of this home; or `error: TEXT`.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use cis_client::ClientError;
use cis_core::api::CLIENT_VARIABLES;
use cis_host::hand_environment_over;
use cis_local::{ConnectError, Place, open_regular, reap};

use crate::error::CliError;
use crate::home::{self, Home};
use crate::lock_holders::untrusted;
use crate::output::clean::clean_lines;
use crate::{settings, wait};

/// A node says its line within this time, whatever it has to recover.
const READY_TIME_MAX: Duration = Duration::from_secs(60);
/// A node that has the lock listens within this time.
const OTHER_TIME_MAX: Duration = Duration::from_secs(10);
const LINE_BYTES_MAX: usize = 4096;
/// How much of a node's log is shown when it did not come up.
const LOG_LINES_SHOWN: usize = 5;

/// How it came that a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// One was there, or somebody else started one at the same time.
    Running,
    /// We started it.
    Started,
}

/// What a starting node said.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Ready,
    Running,
    Error(String),
    Nothing,
}

/// Makes sure that a node listens at the socket of `home`. `overrides`: settings of one that we start;
/// `stays`: it does not end by itself.
pub(crate) fn ensure(home: &Home, overrides: &[String], stays: bool) -> Result<Found, CliError> {
    let place = home.node_place();
    let give_up = Instant::now() + OTHER_TIME_MAX;
    loop {
        match place.connect() {
            Ok(_) => return Ok(Found::Running),
            // For any other reason, a node is started as well: its error says what is wrong.
            Err(
                ConnectError::Absent { .. } | ConnectError::NotListening { .. } | ConnectError::Io { .. },
            ) => {}
            Err(error @ ConnectError::Lock { .. }) => return Err(ClientError::from(error).into()),
            Err(
                error @ (ConnectError::Unsafe { .. }
                | ConnectError::Foreign { .. }
                | ConnectError::Limited { .. }),
            ) => {
                return Err(match untrusted(home, &error) {
                    Some(running) => running.problem(home),
                    None => ClientError::from(error).into(),
                });
            }
        }
        // Here its mistakes can be shown whole.
        settings::load(home, overrides)?;
        let mut line = spawn(home, overrides, stays)?;
        let said = read_line(&mut line).map_err(|error| {
            CliError::unavailable(format!("the node that was started does not answer: {error}"))
                .hint(format!("its log is {}", home.node_log().display()))
        })?;
        match said {
            Said::Ready => return Ok(Found::Started),
            Said::Running if wait_for_other(home, &place, give_up)? => return Ok(Found::Running),
            // That node was ending.
            Said::Running => {}
            Said::Error(text) => {
                let text = clean_lines(&text).into_owned();
                return Err(CliError::unavailable(format!("the node could not start: {text}")));
            }
            Said::Nothing => return Err(ended_early(home)),
        }
    }
}

/// Command line of a node of `home` with these settings.
pub(crate) fn serve_command(home: &Home, overrides: &[String], stays: bool) -> Command {
    // An upgrade may have replaced our file while we run: then its path is no longer ours.
    let exe = std::env::current_exe().ok().filter(|path| path.exists());
    let mut command = Command::new(exe.unwrap_or_else(|| PathBuf::from("/proc/self/exe")));
    // How another node is found is not this one's business, and a token no process's that it starts.
    for name in CLIENT_VARIABLES {
        command.env_remove(name);
    }
    command.arg("--home").arg(&home.dir);
    for setting in overrides {
        command.arg("-c").arg(setting);
    }
    command.args(["node", "serve"]);
    if stays {
        command.arg("--stays");
    }
    command
}

fn spawn(home: &Home, overrides: &[String], stays: bool) -> Result<ChildStdout, CliError> {
    let cannot = |error: &dyn Display| CliError::unavailable(format!("cannot start a node: {error}"));
    home::create(home).map_err(|error| cannot(&error))?;
    let log = home.node_log();
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let log = open_regular(&mut options, &log).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => home::READ_ONLY_HINT,
            _ => home::NOT_WRITABLE_HINT,
        };
        cannot(&format!("cannot write {}: {error}", log.display())).hint(hint)
    })?;
    serve(home, overrides, stays, log).map_err(|error| cannot(&error))
}

fn serve(home: &Home, overrides: &[String], stays: bool, log: File) -> io::Result<ChildStdout> {
    let mut command = serve_command(home, overrides, stays);
    command
        .arg("--ready-stdout")
        // A node must not hold the directory in which somebody happened to call it.
        .current_dir(&home.dir)
        .stdout(Stdio::piped())
        .stderr(log);
    hand_environment_over(&mut command)?;
    cis_host::mark_descriptors_close_on_exec();
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("its output is not connected"))?;
    // A command that follows a run outlives nodes, and would keep each one that died as a zombie.
    reap(child)?;
    Ok(stdout)
}

fn read_line(stdout: &mut ChildStdout) -> io::Result<Said> {
    let give_up = Instant::now() + READY_TIME_MAX;
    let mut line = Vec::new();
    let mut buffer = [0; 512];
    loop {
        if !wait::readable(&*stdout, give_up)? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 60 s"));
        }
        let count = stdout.read(&mut buffer)?;
        line.extend_from_slice(&buffer[..count]);
        if count == 0 || line.contains(&b'\n') || line.len() > LINE_BYTES_MAX {
            return Ok(understand(&line));
        }
    }
}

fn understand(line: &[u8]) -> Said {
    let text = String::from_utf8_lossy(line);
    match text.lines().next().unwrap_or_default().trim_end() {
        "ready" => Said::Ready,
        "running" => Said::Running,
        "" => Said::Nothing,
        other => Said::Error(other.strip_prefix("error: ").unwrap_or(other).to_owned()),
    }
}

/// Another node has the lock: it listens at once, is still recovering, or is ending. Returns whether it listens; if not, it has ended.
fn wait_for_other(home: &Home, place: &Place, give_up: Instant) -> Result<bool, CliError> {
    let mut pause = Duration::from_millis(2);
    // It is no child of ours, and nothing tells when somebody begins to listen: polled.
    while let Err(error) = place.connect() {
        if Instant::now() >= give_up {
            let log = home.node_log();
            return Err(CliError::unavailable(format!("cannot reach the node that runs: {error}")).hint(
                format!("`cis node stop` ends it, and its sessions continue; its log is {}", log.display()),
            ));
        }
        if matches!(error, ConnectError::Absent { .. }) {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    Ok(true)
}

fn ended_early(home: &Home) -> CliError {
    with_log(home, "the node ended before it was ready".to_owned())
}

/// Returns the error of a command that started nodes, each of which died.
pub(crate) fn died(home: &Home, starts: u32) -> CliError {
    let ended = match starts {
        1 => "the node was started again and ended".to_owned(),
        starts => format!("the node was started {starts} times and ended each time"),
    };
    with_log(home, ended)
}

fn with_log(home: &Home, mut detail: String) -> CliError {
    let path = home.node_log();
    let log = std::fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&log[log.len().saturating_sub(8192)..]).into_owned();
    let mut lines: Vec<&str> = text.lines().rev().take(LOG_LINES_SHOWN).collect();
    lines.reverse();
    if !lines.is_empty() {
        detail.push_str("; the last lines of its log:\n");
        detail.push_str(&clean_lines(&lines.join("\n")));
    }
    CliError::unavailable(detail).hint(format!("the whole log is {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_node_is_understood() {
        assert_eq!(understand(b"ready\n"), Said::Ready);
        assert_eq!(understand(b"running\n"), Said::Running);
        assert_eq!(understand(b"error: the store is damaged\n"), Said::Error("the store is damaged".into()));
        assert_eq!(understand(b"surprise"), Said::Error("surprise".into()));
        assert_eq!(understand(b""), Said::Nothing);
    }

    #[test]
    fn a_line_is_awaited_and_an_end_without_one_noticed() {
        let say = |script: &str| {
            let mut command = Command::new("sh");
            let child = command.args(["-c", script]).stdout(Stdio::piped()).spawn();
            let mut child = child.unwrap();
            let said = read_line(&mut child.stdout.take().unwrap()).unwrap();
            child.wait().unwrap();
            said
        };
        assert_eq!(say("printf rea; printf 'dy\\nmore'"), Said::Ready);
        assert_eq!(say("exit 3"), Said::Nothing);
    }

    #[test]
    fn what_a_node_that_did_not_come_up_wrote_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(dir.path().into()), None, None).unwrap();
        std::fs::write(home.node_log(), "1\n2\n3\n4\n5\ndisk \x1b[31mfull\n").unwrap();
        let CliError::Problem(problem) = ended_early(&home) else { panic!() };
        assert!(problem.detail.ends_with(":\n2\n3\n4\n5\ndisk ?[31mfull"), "{}", problem.detail);
    }
}
