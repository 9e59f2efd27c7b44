//! Output of real programs, and random sequences that the model understands, look the same with and without
//! the filter.

use std::path::Path;

use proptest::prelude::*;

use super::{ViewerFilter, corpus, pieces, viewer};
use crate::monitor::recording::{Recording, What};
use crate::term_size::TermSize;
use crate::terminal::screen::Screen;
use crate::testing::split_at;

/// Returns what a screen shows: cells, styles, links, modes, title, cursor.
fn shown(screen: &mut Screen) -> String {
    let paint = String::from_utf8(screen.paint()).unwrap();
    // The model numbers links without a name.
    let mut links = paint.split("\x1b]8;id=");
    let mut text = links.next().unwrap_or_default().to_owned();
    text.extend(links.map(|link| link.split_once(';').unwrap_or_default().1));
    text
}

/// Returns what a screen shows, without title and colors.
fn drawn(screen: &mut Screen) -> String {
    let paint = shown(screen);
    let mut strings = paint.split("\x1b]");
    let mut text = strings.next().unwrap_or_default().to_owned();
    for string in strings {
        let (string, after) = string.split_once("\x1b\\").unwrap_or_default();
        text.push_str(if string.starts_with("8;") { string } else { "" });
        text.push_str(after);
    }
    text
}

/// Returns the two screens if they differ.
fn differ(bytes: &[u8], look: fn(&mut Screen) -> String) -> Option<(String, String)> {
    let size = TermSize { cols: 40, rows: 10 };
    let (mut session, mut seen) = (Screen::new(size), Screen::new(size));
    session.replay(bytes);
    seen.replay(&viewer(bytes));
    let (session, seen) = (look(&mut session), look(&mut seen));
    (session != seen).then(|| (session.escape_debug().to_string(), seen.escape_debug().to_string()))
}

/// Plays a recording, and fails if the two screens differ.
fn play(recording: &Recording) -> Result<u64, String> {
    let size = recording.header.size;
    let (mut session, mut seen) = (Screen::new(size), Screen::new(size));
    let (mut filter, mut bytes, mut compared) = (ViewerFilter::default(), 0, 0);
    for moment in &recording.moments {
        match &moment.what {
            What::Output(text) => {
                session.replay(text.as_bytes());
                seen.replay(&filter.push(text.as_bytes()));
                bytes += text.len() as u64;
            }
            What::Resize(size) => {
                session.resize(*size);
                seen.resize(*size);
            }
            _ => continue,
        }
        // Comparing after every output would take minutes.
        if filter.is_settled() && bytes > compared + 20_000 {
            compare(&mut session, &mut seen, moment.at_ms)?;
            compared = bytes;
        }
    }
    compare(&mut session, &mut seen, recording.length_ms())?;
    Ok(bytes)
}

fn compare(session: &mut Screen, seen: &mut Screen, at_ms: u64) -> Result<(), String> {
    let (session, seen) = (shown(session), shown(seen));
    let same = session == seen;
    same.then_some(())
        .ok_or_else(|| format!("at {at_ms} ms\n{}\n{}", session.escape_debug(), seen.escape_debug()))
}

fn recordings() -> Vec<(String, Recording)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/recordings");
    let mut found = Vec::new();
    for program in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(program.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if let Ok(recording) = Recording::parse(&std::fs::read_to_string(&path).unwrap()) {
                found.push((path.display().to_string(), recording));
            }
        }
    }
    found
}

#[test]
fn recorded_programs_look_the_same_through_the_filter() {
    let recordings = recordings();
    for program in ["vim", "htop", "top", "less", "tmux", "codex", "gemini", "aider"] {
        let of_it = |name: &str| name.contains(&format!("/{program}/"));
        assert!(recordings.iter().any(|(name, _)| of_it(name)), "no recording of {program}");
    }
    let mut bytes = 0;
    for (name, recording) in &recordings {
        match play(recording) {
            Ok(length) => bytes += length,
            Err(difference) => panic!("{name} {difference}"),
        }
    }
    assert!(bytes > 1_000_000, "{bytes}");
}

#[test]
fn allowed_parts_of_the_list_look_the_same() {
    for reaction in corpus::reactions().into_iter().filter(corpus::Reaction::passes) {
        let bytes = [b"before\r\n\x1b[4mx".as_slice(), &reaction.sequence, b"\x1b\\after"].concat();
        if let Some((session, seen)) = differ(&bytes, shown) {
            panic!("{}\n{session}\n{seen}", bytes.escape_ascii());
        }
    }
}

proptest! {
    /// The emulator of the model is a parser that shares no code with the filter.
    #[test]
    fn fuzz_the_model_draws_the_same_with_and_without_the_filter(mut bytes in pieces()) {
        // The emulator ends a DCS at the byte 9C in the middle of a character, prints DEL in sequences, accepts subparameters
        // where the filter does not, and accepts any parameters of SCOSC, SD and the keyboard modes.
        for byte in &mut bytes {
            if matches!(byte, 0x9C | 0x7F | b':' | b's' | b'T' | b'u') {
                *byte = b'x';
            }
        }
        // It would also take a shape of the cursor from the first of several parameters, where the filter takes one parameter only.
        for sequence in bytes.split_mut(|byte| matches!(byte, 0x1B | 0x9B)) {
            let Some(several) = memchr::memchr(b';', sequence) else { continue };
            for byte in &mut sequence[several..] {
                if *byte == b'q' {
                    *byte = b'x';
                }
            }
        }
        // The emulator would keep the mode in which the bell asks for attention.
        while let Some(at) = memchr::memmem::find(&bytes, b"1042") {
            bytes[at] = b'2';
        }
        // It would also keep links that the filter does not let through, and draw them.
        for link in [&b"]8;"[..], b"\x9d8;"] {
            while let Some(at) = memchr::memmem::find(&bytes, link) {
                bytes[at + 1] = b'9';
            }
        }
        prop_assert_eq!(differ(&bytes, drawn), None);
    }

    #[test]
    fn where_the_stream_is_cut_makes_no_difference(
        bytes in pieces(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut filter = ViewerFilter::default();
        let by_parts: Vec<u8> = split_at(&bytes, &cuts).into_iter().flat_map(|part| filter.push(part)).collect();
        prop_assert_eq!(by_parts.escape_ascii().to_string(), viewer(&bytes).escape_ascii().to_string());
    }
}
