//! How soon a prompt is an item of the inbox, and how soon its answer is read.
//!
//! The programs say themselves when they ask and when they have read, in µs of the system's clock.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::cis::Cis;
use super::figures::since_ms;
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
        if let Some(Shown { id, after_ms }) = Shown::read(&line)? {
            shown.push(after_ms);
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

/// A prompt that waits for an answer.
#[derive(Debug, PartialEq)]
struct Shown {
    /// Id of the prompt in the inbox.
    id: String,
    /// Time since its program printed it, ms.
    after_ms: f64,
}

impl Shown {
    /// Reads a line of `cis inbox --watch --json`. `None`: the item is closed, answered, or belongs to
    /// another program.
    fn read(line: &str) -> Outcome<Option<Self>> {
        let wrong = |why: String| format!("cannot read a line of the inbox: {why}: {line}");
        let change: Value = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
        let item = &change["item"];
        let (Some(id), Some(since_ms)) = (item["id"].as_str(), since_ms(item)) else {
            return Err(wrong("missing `id` or `since_ms`".to_owned()));
        };
        if !item["closed"].is_null() || !item["answered_by"].is_null() {
            return Ok(None);
        }
        let texts = [&item["question"], &item["screen"]];
        let printed_us = texts.into_iter().filter_map(Value::as_str).find_map(printed_us);
        Ok(printed_us.map(|us| Self { id: id.to_owned(), after_ms: since_ms - us / 1e3 }))
    }
}

/// Returns the time that a program printed after `at=`, µs.
fn printed_us(text: &str) -> Option<f64> {
    let rest = text.split_once("at=")?.1;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(more: &str) -> String {
        format!(
            r#"{{"item":{{"since_ms":1795188506117,"question":"\"id\":\"no\" \u0061t=1795188505117123? [y/N]","id":"kwwsrc"{more}}},"change":"waits"}}"#
        )
    }

    #[test]
    fn a_prompt_is_read_as_json_wherever_its_fields_stand() {
        let shown = Shown::read(&line("")).unwrap().unwrap();
        assert_eq!(shown.id, "kwwsrc");
        assert!((shown.after_ms - 999.877).abs() < 0.001, "{shown:?}");
        assert!(Shown::read("at=5").is_err());
    }

    #[test]
    fn closed_and_answered_prompts_are_skipped() {
        for more in [r#","closed":{"at_ms":1,"how":"answered"}"#, r#","answered_by":"uid:0""#] {
            assert_eq!(Shown::read(&line(more)), Ok(None));
        }
    }
}
