//! Much output through one session: read, logged, and the screen right at the end; against tmux, which
//! keeps a screen too, and `script`, which is the bare PTY.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::cis::Cis;
use super::last;
use super::report::{Report, Row};
use super::stats::{median, ratios};
use super::usage::{peak_kb, resident_kb};
use super::work::Scratch;
use crate::Outcome;
use crate::process::stdout_of;
use crate::tools::ensure_debian;

/// Lines, of 56 bytes each.
const LINES: u32 = 2_000_000;
const ROUNDS: u32 = 5;
/// Nothing that is measured takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// The last line that is shown.
const END: &str = "that was all";

/// Alternating rounds of all three.
pub(crate) fn measure(cis: &Cis, scratch: &Scratch, report: &mut Report) -> Outcome {
    ensure_debian("tmux", "tmux")?;
    ensure_debian("script", "bsdutils")?;
    let file = write_lines(scratch.path())?;
    let megabytes = file.metadata_mb()?;
    let pids = [cis.node_number("pid")?, cis.node_number("host_pid")?];
    let (mut ours, mut tmux, mut script) = (Vec::new(), Vec::new(), Vec::new());
    let mut grown = f64::NAN;
    for round in 1..=ROUNDS {
        let (ms, screen) = file.through_tmux(scratch.path())?;
        tmux.push(megabytes / ms * 1e3);
        script.push(megabytes / file.through_script()? * 1e3);
        let (ms, shown) = file.through_session(cis)?;
        ours.push(megabytes / ms * 1e3);
        if shown != screen {
            return Err(format!("the screens differ at the end:\n--- tmux\n{screen}\n--- cis\n{shown}"));
        }
        if round == 1 {
            // What is held from then on is not of one flood.
            grown = resident_kb(&pids)?;
        }
        eprintln!(
            "flood round {round}: tmux {:.0}, script {:.0}, cis {:.0} MB/s",
            last(&tmux),
            last(&script),
            last(&ours)
        );
    }
    let grown = (peak_kb(&pids)? - grown) / 1e3;
    let figures = format!(
        "{:.0} MB/s, tmux {:.0}, `script` {:.0}; node and host grew by {grown:.1} MB after the first of {ROUNDS} floods",
        median(&ours),
        median(&tmux),
        median(&script)
    );
    let what = format!("{megabytes:.0} MB of lines through a session, screen right at the end,");
    let row = |peer: &str, theirs: &[f64]| (format!("{what} speed / {peer}"), median(&ratios(&ours, theirs)));
    // The gate is held against tmux, the goal against the bare PTY.
    let (name, value) = row("tmux", &tmux);
    report.add(Row::ratio(&name, value, (0.8, 0.8), figures).at_least());
    let (name, value) = row("`script`", &script);
    report.add(Row::ratio(&name, value, (0.0, 0.8), "no gate of its own".to_owned()).at_least());
    Ok(())
}

struct Lines(PathBuf);

fn write_lines(folder: &Path) -> Outcome<Lines> {
    let path = folder.join("lines");
    let failed = |e: std::io::Error| format!("cannot write {}: {e}", path.display());
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path).map_err(failed)?);
    for n in 0..LINES {
        writeln!(out, "{n:>8} abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRS").map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    Ok(Lines(path))
}

impl Lines {
    /// As the terminal sees it: each line ends in two bytes there.
    fn metadata_mb(&self) -> Outcome<f64> {
        let bytes = self.0.metadata().map_err(|e| format!("cannot look at {}: {e}", self.0.display()))?.len();
        #[allow(clippy::cast_precision_loss)]
        let bytes = bytes as f64;
        Ok((bytes + f64::from(LINES)) / 1e6)
    }

    /// Wall time of `script`, ms.
    fn through_script(&self) -> Outcome<f64> {
        let began = Instant::now();
        let status = Command::new("script")
            .args(["-qec", &format!("cat {}", self.0.display()), "/dev/null"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(|e| format!("cannot start script: {e}"))?;
        let ms = began.elapsed().as_secs_f64() * 1e3;
        if status.success() { Ok(ms) } else { Err(format!("script ended with {status}")) }
    }

    /// Wall time until tmux has taken everything, ms, and what its screen shows then.
    fn through_tmux(&self, folder: &Path) -> Outcome<(f64, String)> {
        let socket = folder.join("tmux");
        let tmux = |arguments: &[&str]| {
            let mut command = Command::new("tmux");
            command.arg("-S").arg(&socket).args(["-f", "/dev/null"]).args(arguments);
            command.env_remove("TMUX").stdin(Stdio::null());
            command
        };
        let work = format!(
            "cat {}; echo {END}; tmux -S {} wait-for -S taken; exec cat",
            self.0.display(),
            socket.display()
        );
        let began = Instant::now();
        stdout_of(tmux(&["new-session", "-d", "-x", "80", "-y", "24", &work]))?;
        stdout_of(tmux(&["wait-for", "taken"]))?;
        let mut ms = began.elapsed().as_secs_f64() * 1e3;
        let screen = loop {
            let screen = stdout_of(tmux(&["capture-pane", "-p"]))?;
            if screen.contains(END) || began.elapsed() > PATIENCE {
                break screen;
            }
            ms = began.elapsed().as_secs_f64() * 1e3;
        };
        stdout_of(tmux(&["kill-server"]))?;
        Ok((ms, trimmed(&screen)))
    }

    /// Wall time until the session's screen shows the end, ms, and what it shows.
    fn through_session(&self, cis: &Cis) -> Outcome<(f64, String)> {
        let mut screens = Screens::connect(cis)?;
        let began = Instant::now();
        let work = format!("cat {}; echo {END}; exec cat", self.0.display());
        let id = cis.session(&["sh", "-c", &work])?;
        let screen = loop {
            let screen = screens.get(&id)?;
            if screen.contains(END) || began.elapsed() > PATIENCE {
                break screen;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let ms = began.elapsed().as_secs_f64() * 1e3;
        cis.run(["session", "terminate", &id])?;
        Ok((ms, trimmed(&screen)))
    }
}

/// Without spaces and lines that hold nothing, at the end.
fn trimmed(screen: &str) -> String {
    let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

/// A connection to the node that asks for screens. A process for each question would cost more than
/// what is measured.
struct Screens(UnixStream);

impl Screens {
    fn connect(cis: &Cis) -> Outcome<Self> {
        let status = cis.node_status()?;
        let socket = status["socket"]
            .as_str()
            .ok_or_else(|| format!("`cis node status --json` names no socket: {status}"))?;
        UnixStream::connect(socket).map(Self).map_err(|e| format!("cannot connect to {socket}: {e}"))
    }

    /// The text of a screen; empty while the session is not there yet.
    fn get(&mut self, id: &str) -> Outcome<String> {
        let broken = |e: std::io::Error| format!("the node's API broke: {e}");
        write!(self.0, "GET /v1/sessions/{id}/screen HTTP/1.1\r\nHost: node\r\n\r\n").map_err(broken)?;
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        loop {
            let read = self.0.read(&mut part).map_err(broken)?;
            answer.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length: usize = head
                    .lines()
                    .filter_map(|line| line.split_once(':'))
                    .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    .and_then(|(_, value)| value.trim().parse().ok())
                    .ok_or_else(|| format!("the node's API gave no length: {head}"))?;
                if body.len() >= length {
                    let found = head.starts_with("HTTP/1.1 200");
                    return Ok(if found { body.to_owned() } else { String::new() });
                }
            }
            if read == 0 {
                return Err("the node's API closed the connection".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_of_a_screen_does_not_count() {
        assert_eq!(trimmed("a  \n b \n\n   \n"), "a\n b");
    }
}
