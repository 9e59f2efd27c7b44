//! The list of sequences that terminals react to, and whether each one passes.

use super::viewer;

const REACTIONS: &str = include_str!("reactions.tsv");

pub(super) struct Reaction {
    pub(super) sequence: Vec<u8>,
    /// Expected output of the filter.
    expected: Vec<u8>,
    line: &'static str,
}

impl Reaction {
    /// Whether a part of the sequence passes.
    pub(super) fn passes(&self) -> bool {
        !self.expected.is_empty()
    }
}

pub(super) fn reactions() -> Vec<Reaction> {
    REACTIONS.lines().filter(|line| !line.starts_with('#')).map(reaction).collect()
}

fn reaction(line: &'static str) -> Reaction {
    let fields: Vec<&str> = line.split('\t').collect();
    let [sequence, verdict, terminals, effect, source] = fields[..] else { panic!("five fields: {line}") };
    assert!([terminals, effect, source].iter().all(|field| !field.is_empty()), "{line}");
    let sequence = unescaped(sequence);
    let expected = match verdict.strip_prefix("= ") {
        Some(rest) => unescaped(rest),
        None if verdict == "pass" => sequence.clone(),
        None if verdict == "drop" => Vec::new(),
        None => panic!("pass, drop or `= …`: {line}"),
    };
    Reaction { sequence, expected, line }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = match after.as_bytes()[0] {
            b'e' => (0x1B, 1),
            b'a' => (0x07, 1),
            b'b' => (0x08, 1),
            b'n' => (b'\n', 1),
            b'r' => (b'\r', 1),
            b't' => (b'\t', 1),
            b'\\' => (b'\\', 1),
            b'x' => (u8::from_str_radix(&after[1..3], 16).unwrap(), 3),
            other => panic!("\\{} in {text}", char::from(other)),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn sequences_that_terminals_react_to_pass_only_if_listed() {
    for Reaction { sequence, expected, line } in reactions() {
        // A sequence that begins a string is ended first; the text after it is neither lost nor held.
        let bytes = [b"a".as_slice(), &sequence, b"\x1b\\b"].concat();
        let want = [b"a".as_slice(), &expected, b"b"].concat();
        assert_eq!(viewer(&bytes).escape_ascii().to_string(), want.escape_ascii().to_string(), "{line}");
    }
}

#[test]
fn the_list_names_the_terminals_that_people_use() {
    for terminal in [
        "xterm",
        "kitty",
        "iTerm2",
        "WezTerm",
        "foot",
        "Ghostty",
        "tmux",
        "VTE",
        "Windows-Terminal",
        "Konsole",
    ] {
        let rows = REACTIONS.lines().filter(|line| line.split([' ', '\t']).any(|word| word == terminal));
        assert!(rows.count() >= 3, "{terminal}");
    }
    assert!(reactions().len() > 180);
}
