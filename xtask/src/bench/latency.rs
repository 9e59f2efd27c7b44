//! How soon a prompt is an item of the inbox, and how soon its answer is read.
//!
//! The programs say themselves when they ask and when they have read, in µs of the system's clock.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use super::cis::Cis;
use super::report::{Report, Row};
use super::stats::{median, percentile};
use crate::Outcome;

/// Sessions that ask at the same time.
const SESSIONS: u32 = 10;
/// How often each asks.
const PROMPTS: u32 = 10;
/// Nothing that is measured takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a prompt is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    /// With the time of the answer, which the program that asks reads itself.
    WithTime,
    /// With a text that another program reads than the one that waited: the end of that one would count.
    WithText,
    /// With this key.
    ByKey(&'static str),
    /// Not at all, for nobody but an attached terminal may: it gives up by itself.
    Never,
}

/// A way to ask.
struct Way {
    name: &'static str,
    /// Asks once, with the time in its question; `$ASKED` is that time.
    ask: &'static str,
    answered: Answered,
    /// Gate and goal, ms.
    limits: (f64, f64),
}

const WAYS: &[Way] = &[
    Way {
        name: "a report of the program (OSC 7501)",
        ask: r#"printf '\033]7501;state=blocked:kind=permission\aProceed at=%s? [y/N] ' "$ASKED"; read -r answer"#,
        answered: Answered::WithTime,
        limits: (500.0, 200.0),
    },
    Way {
        name: "read(tty)",
        ask: r#"printf 'Proceed at=%s? [y/N] ' "$ASKED"; read -r answer"#,
        answered: Answered::WithTime,
        limits: (1500.0, 1100.0),
    },
    Way {
        name: "a password",
        ask: r#"printf 'Password at=%s: ' "$ASKED"; read -rs -t 3 answer; echo"#,
        answered: Answered::Never,
        limits: (1500.0, 1100.0),
    },
    Way {
        name: "a poll reader",
        ask: r#"printf 'Name of it at=%s: ' "$ASKED"; python3 -c 'import select, sys; select.select([sys.stdin], [], [])'; read -r answer"#,
        answered: Answered::WithText,
        limits: (6000.0, 3000.0),
    },
    Way {
        name: "a full screen without a report",
        ask: r#"whiptail --yesno "Delete at=$ASKED now?" 10 60; answer="#,
        answered: Answered::ByKey("Enter"),
        limits: (6000.0, 3000.0),
    },
];

/// Lines of `cis inbox --watch --json`.
struct Inbox {
    child: Child,
    lines: Receiver<String>,
}

impl Inbox {
    fn watch(cis: &Cis) -> Outcome<Self> {
        let mut command = cis.command(["inbox", "--watch", "--json"]);
        let mut child =
            command.stdout(Stdio::piped()).spawn().map_err(|e| format!("cannot watch the inbox: {e}"))?;
        let out = child.stdout.take().ok_or("the watch of the inbox has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Both fail only where it ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every way to ask, and the answers.
pub(crate) fn measure(cis: &Cis, folder: &Path, report: &mut Report) -> Outcome {
    let mut answers = Vec::new();
    for (n, way) in WAYS.iter().enumerate() {
        let file = folder.join(format!("answers{n}"));
        let shown = measure_way(cis, way, &file)?;
        let samples = u32::try_from(shown.len()).unwrap_or(u32::MAX);
        let row = format!("prompt shown → item of the inbox, {}, p95", way.name);
        let row = Row::limit(&row, percentile(&shown, 95.0), "ms", way.limits, samples);
        report.add(row.beside(format!("median {:.0} ms", median(&shown))));
        if way.answered == Answered::WithTime {
            answers.extend(read_answers(&file)?);
        }
    }
    let samples = u32::try_from(answers.len()).unwrap_or(u32::MAX);
    let row = Row::limit(
        "`cis answer` started → read by the program, p95",
        percentile(&answers, 95.0),
        "ms",
        (50.0, 10.0),
        samples,
    );
    report.add(row.beside(format!("median {:.1} ms", median(&answers))));
    Ok(())
}

fn measure_way(cis: &Cis, way: &Way, file: &Path) -> Outcome<Vec<f64>> {
    let inbox = Inbox::watch(cis)?;
    let script = format!(
        "for i in $(seq {PROMPTS}); do ASKED=${{EPOCHREALTIME/./}}; {}; echo \"$answer ${{EPOCHREALTIME/./}}\" >> '{}'; done",
        way.ask,
        file.display()
    );
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(cis.session(&["bash", "-c", &script])?);
    }
    let mut shown = Vec::new();
    while shown.len() < (SESSIONS * PROMPTS) as usize {
        let line = inbox.lines.recv_timeout(PATIENCE).map_err(|_| {
            format!("{}: only {} of {} prompts were noticed", way.name, shown.len(), SESSIONS * PROMPTS)
        })?;
        // A line tells of what is new and of what is over.
        let (Some(asked), Some(since)) = (number(&line, "at="), number(&line, "\"since\":")) else {
            continue;
        };
        let Some(id) = word(&line, "\"id\":\"") else { continue };
        if !line.contains("\"closed\":{") && !line.contains("\"answered_by\":") {
            shown.push(since - asked / 1e3);
            let sent = micros().to_string();
            let how = match way.answered {
                Answered::WithTime | Answered::WithText => ["--text", &sent],
                Answered::ByKey(key) => ["--keys", key],
                Answered::Never => continue,
            };
            // One whose prompt was painted anew meanwhile comes again.
            if cis.run(["answer", &id, how[0], how[1]]).is_err() {
                shown.pop();
            }
        }
    }
    for session in sessions {
        // Those that have asked enough are gone.
        let _ = cis.run(["session", "terminate", &session]);
    }
    Ok(shown)
}

/// From sent to read, ms.
fn read_answers(file: &Path) -> Outcome<Vec<f64>> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    let times = text.lines().filter_map(|line| {
        let (sent, read) = line.split_once(' ')?;
        Some((read.parse::<f64>().ok()? - sent.parse::<f64>().ok()?) / 1e3)
    });
    Ok(times.collect())
}

fn micros() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros()
}

/// The number right behind the first `mark`.
fn number(line: &str, mark: &str) -> Option<f64> {
    let rest = line.split_once(mark)?.1;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The letters right behind the first `mark`.
fn word(line: &str, mark: &str) -> Option<String> {
    let rest = line.split_once(mark)?.1;
    Some(rest.chars().take_while(char::is_ascii_lowercase).collect()).filter(|word: &String| !word.is_empty())
}

#[cfg(test)]
mod tests {
    #[test]
    fn figures_are_found_in_a_line() {
        let line = r#"{"change":"new","item":{"id":"kwwsrc","question":"Proceed at=1795188505117123? [y/N]","since":1795188506117}}"#;
        assert_eq!(super::number(line, "at="), Some(1_795_188_505_117_123.0));
        assert_eq!(super::number(line, "\"since\":"), Some(1_795_188_506_117.0));
        assert_eq!(super::word(line, "\"id\":\"").as_deref(), Some("kwwsrc"));
        assert_eq!(super::number("no", "at="), None);
    }
}
