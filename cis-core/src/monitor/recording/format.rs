//! The text of a recording: asciicast, version 3.
//!
//! Evidence of the kernel is written as what changed since the event before (`k`, a JSON object), without
//! what follows from the other events: time, output so far, and for how long there was none.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Header, Moment, Recording, What};
use crate::term_size::TermSize;

/// Longer recordings are refused, bytes.
const BYTES_MAX: usize = 256 << 20;
/// What the other events tell, and so does not stand in `k`.
const DERIVED: [&str; 3] = ["at_ms", "output_bytes", "quiet_ms"];

/// Why a text is no recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// It is empty.
    #[error("the recording is empty; its first line is its header")]
    Empty,
    /// It is too long.
    #[error("the recording has {bytes} bytes; at most {BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Another format, or another version of it.
    #[error("the recording is no asciicast of version 3: {0}")]
    Header(String),
    /// A line is wrong.
    #[error("line {line} of the recording: {why}")]
    Line {
        /// From 1.
        line: usize,
        /// In words.
        why: String,
    },
}

/// Writes a recording line by line, in the order of time.
#[derive(Debug, Default)]
pub struct Encoder {
    last_ms: u64,
    kernel: Map<String, Value>,
}

impl Encoder {
    /// The first line.
    #[must_use]
    pub fn header(header: &Header) -> String {
        let term = json!({ "cols": header.size.cols, "rows": header.size.rows, "type": "xterm-256color" });
        let mut map = Map::new();
        map.insert("version".to_owned(), json!(3));
        map.insert("term".to_owned(), term);
        map.insert("timestamp".to_owned(), json!(header.started_ms / 1000));
        map.insert("command".to_owned(), json!(header.command));
        let names =
            [("program", &header.program), ("scenario", &header.scenario), ("profile", &header.profile)];
        let own: Map<String, Value> = names
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))))
            .collect();
        if !own.is_empty() {
            map.insert("cis".to_owned(), Value::Object(own));
        }
        format!("{}\n", Value::Object(map))
    }

    /// The line of this moment, which is not before the last one.
    pub fn line(&mut self, moment: &Moment) -> String {
        let (code, data) = match &moment.what {
            What::Output(text) => ("o", text.clone()),
            What::Input(text) => ("i", text.clone()),
            What::Resize(size) => ("r", format!("{}x{}", size.cols, size.rows)),
            What::Kernel(evidence) => {
                ("k", self.changed(&serde_json::to_value(evidence).unwrap_or_default()))
            }
            What::Label(label) => ("m", label.to_string()),
            What::Remark(text) => ("m", text.clone()),
            What::Exit(code) => ("x", code.to_string()),
        };
        let since = moment.at_ms.saturating_sub(self.last_ms);
        self.last_ms = self.last_ms.max(moment.at_ms);
        let mut line = String::new();
        let _ = writeln!(line, "[{}.{:03}, \"{code}\", {}]", since / 1000, since % 1000, Value::String(data));
        line
    }

    fn changed(&mut self, now: &Value) -> String {
        let mut changed = Map::new();
        for (key, value) in now.as_object().into_iter().flatten() {
            if !DERIVED.contains(&key.as_str()) && self.kernel.get(key) != Some(value) {
                changed.insert(key.clone(), value.clone());
                self.kernel.insert(key.clone(), value.clone());
            }
        }
        Value::Object(changed).to_string()
    }
}

#[derive(Deserialize)]
struct RawHeader {
    version: u32,
    term: RawTerm,
    #[serde(default)]
    timestamp: i64,
    #[serde(default)]
    command: String,
    #[serde(default)]
    cis: RawOwn,
}

#[derive(Deserialize)]
struct RawTerm {
    cols: u16,
    rows: u16,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawOwn {
    program: Option<String>,
    scenario: Option<String>,
    profile: Option<String>,
}

/// What is known while the lines are read.
#[derive(Default)]
struct Decoder {
    started_ms: i64,
    /// µs, as files of others may have such.
    now_us: u64,
    kernel: Map<String, Value>,
    output_bytes: u64,
    output_ms: u64,
}

impl Recording {
    /// Reads a recording. Events that it does not know are left out.
    ///
    /// # Errors
    /// [`RecordingError`], with the number of the line.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        if text.len() > BYTES_MAX {
            return Err(RecordingError::TooLong { bytes: text.len() });
        }
        let mut lines = text.lines().enumerate();
        let (_, first) = lines.next().ok_or(RecordingError::Empty)?;
        let header = header(first).map_err(RecordingError::Header)?;
        let mut decoder = Decoder { started_ms: header.started_ms, ..Decoder::default() };
        let mut moments = Vec::new();
        for (at, line) in lines {
            let line_text = line.trim();
            if line_text.is_empty() || line_text.starts_with('#') {
                continue;
            }
            let moment =
                decoder.moment(line_text).map_err(|why| RecordingError::Line { line: at + 1, why })?;
            moments.extend(moment);
        }
        Ok(Self { header, moments })
    }

    /// The text of it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut encoder = Encoder::default();
        let lines: String = self.moments.iter().map(|moment| encoder.line(moment)).collect();
        Encoder::header(&self.header) + lines.as_str()
    }
}

fn header(line: &str) -> Result<Header, String> {
    let raw: RawHeader = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if raw.version != 3 {
        return Err(format!("it has version {}", raw.version));
    }
    Ok(Header {
        size: TermSize { cols: raw.term.cols, rows: raw.term.rows },
        started_ms: raw.timestamp.saturating_mul(1000),
        command: raw.command,
        program: raw.cis.program,
        scenario: raw.cis.scenario,
        profile: raw.cis.profile,
    })
}

impl Decoder {
    fn moment(&mut self, line: &str) -> Result<Option<Moment>, String> {
        let (since, code, data): (f64, String, String) = serde_json::from_str(line)
            .map_err(|error| format!("expected [TIME, \"CODE\", \"DATA\"]: {error}"))?;
        if !(0.0..=1e9).contains(&since) {
            return Err(format!("{since} seconds cannot have passed"));
        }
        self.now_us += (since * 1e6).round() as u64;
        let at_ms = self.now_us / 1000;
        let what = match code.as_str() {
            "o" => {
                self.output_bytes += data.len() as u64;
                self.output_ms = at_ms;
                What::Output(data)
            }
            "i" => What::Input(data),
            "r" => What::Resize(size(&data).ok_or_else(|| format!("`{data}` is no size: write COLSxROWS"))?),
            "k" => What::Kernel(Box::new(self.evidence(&data, at_ms)?)),
            "m" => data.parse().map_or_else(|_| What::Remark(data), What::Label),
            "x" => What::Exit(data.trim().parse().map_err(|_| format!("`{data}` is no exit code"))?),
            _ => return Ok(None),
        };
        Ok(Some(Moment { at_ms, what }))
    }

    fn evidence(&mut self, data: &str, at_ms: u64) -> Result<super::KernelEvidence, String> {
        let changed: Map<String, Value> = serde_json::from_str(data).map_err(|error| error.to_string())?;
        self.kernel.extend(changed);
        let mut whole = self.kernel.clone();
        let at = self.started_ms.saturating_add_unsigned(at_ms);
        let derived = [json!(at), json!(self.output_bytes), json!(at_ms.saturating_sub(self.output_ms))];
        whole.extend(DERIVED.map(str::to_owned).into_iter().zip(derived));
        serde_json::from_value(Value::Object(whole)).map_err(|error| format!("evidence: {error}"))
    }
}

fn size(text: &str) -> Option<TermSize> {
    let (cols, rows) = text.split_once('x')?;
    Some(TermSize { cols: cols.parse().ok()?, rows: rows.parse().ok()? })
}
