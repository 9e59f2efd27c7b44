//! The file of a recording as it grows: in the order of time, also where something is said a little late.

use std::collections::VecDeque;
use std::io::{self, Write};

use cis_core::monitor::recording::{Encoder, Header, Moment, What};

/// Moments are kept back for so long: a label may come after what it is about, ms.
const KEPT_MS: u64 = 2000;

pub(super) struct Writer<W> {
    out: W,
    encoder: Encoder,
    kept: VecDeque<Moment>,
    /// The beginning of a character whose end has not come.
    partial: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut out: W, header: &Header) -> io::Result<Self> {
        out.write_all(Encoder::header(header).as_bytes())?;
        Ok(Self { out, encoder: Encoder::default(), kept: VecDeque::new(), partial: Vec::new() })
    }

    pub(super) fn output(&mut self, at_ms: u64, bytes: &[u8]) -> io::Result<()> {
        self.partial.extend_from_slice(bytes);
        let whole = whole_characters(&self.partial);
        let text = String::from_utf8_lossy(&self.partial[..whole]).into_owned();
        self.partial.drain(..whole);
        if text.is_empty() { Ok(()) } else { self.put(at_ms, What::Output(text)) }
    }

    pub(super) fn put(&mut self, at_ms: u64, what: What) -> io::Result<()> {
        let after = self.kept.partition_point(|kept| kept.at_ms <= at_ms);
        self.kept.insert(after, Moment { at_ms, what });
        let newest_ms = self.kept.back().map_or(at_ms, |last| last.at_ms);
        self.write_until(newest_ms.saturating_sub(KEPT_MS))
    }

    fn write_until(&mut self, until_ms: u64) -> io::Result<()> {
        while let Some(moment) = self.kept.pop_front_if(|moment| moment.at_ms <= until_ms) {
            self.out.write_all(self.encoder.line(&moment).as_bytes())?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write_until(u64::MAX)?;
        self.out.flush()
    }
}

/// Of so many bytes the characters are complete; bytes that are none count as such.
fn whole_characters(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let lead = bytes[from..].iter().rposition(|byte| byte & 0xC0 != 0x80).map(|at| from + at);
    match lead {
        Some(at) => match std::str::from_utf8(&bytes[at..]) {
            Err(error) if error.error_len().is_none() => at,
            _ => bytes.len(),
        },
        None => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::monitor::recording::{Label, Recording};

    #[test]
    fn a_late_label_stands_where_it_belongs() {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, &Header::default()).expect("header");
        for at_ms in [100, 900, 1500] {
            writer.output(at_ms, b"x").expect("written");
        }
        writer.put(900, What::Label(Label::Working)).expect("written");
        writer.put(4000, What::Exit(0)).expect("written");
        writer.finish().expect("written");
        let text = String::from_utf8(file).expect("text");
        let times: Vec<u64> =
            Recording::parse(&text).expect("a recording").moments.iter().map(|one| one.at_ms).collect();
        assert_eq!(times, [100, 900, 900, 1500, 4000]);
    }

    #[test]
    fn characters_in_pieces_come_out_whole() {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, &Header::default()).expect("header");
        for byte in "aü€🎉".bytes().chain([0xFF, b'z']) {
            writer.output(1, &[byte]).expect("written");
        }
        writer.finish().expect("written");
        let recording = Recording::parse(&String::from_utf8(file).expect("text")).expect("a recording");
        let shown: String = recording
            .moments
            .iter()
            .map(|one| if let What::Output(text) = &one.what { text.as_str() } else { "" })
            .collect();
        assert_eq!(shown, "aü€🎉\u{FFFD}z");
    }
}
