//! Nothing that is not on the allow-lists passes, however the stream is cut. The output is read by another parser (`vte`) and
//! compared with a second copy of the lists in this file.

use alacritty_terminal::vte::{Params, Parser, Perform};
use proptest::prelude::*;

use super::{ViewerFilter, corpus, pieces};

/// Prefix, intermediate and final byte of control sequences.
const SEQUENCES: &str =
    "@ A B C D E F G H I J K L M P S T X Z ` a b d e f g h l m r s t u ?h ?l ?W >m >u <u =u \u{20}q";
const SET: [&[u16]; 2] = [
    &[4, 20],
    &[1, 5, 6, 7, 12, 25, 47, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1047, 1048, 1049, 2004, 2026],
];
const ESCAPES: &[&str] = &[
    "7", "8", "=", ">", "D", "E", "H", "M", "c", "(0", "(B", ")0", ")B", "*0", "*B", "+0", "+B", "#8", "\\",
];
const STRINGS: &[&str] = &["0", "1", "2", "4", "8", "10", "11", "12", "104", "110", "111", "112"];

/// Checks the output of the filter.
#[derive(Default)]
struct Outside {
    printed: Option<char>,
}

impl Perform for Outside {
    fn print(&mut self, c: char) {
        assert!(!c.is_control(), "{c:?}");
        self.printed = Some(c);
    }

    fn execute(&mut self, byte: u8) {
        assert!((7..=15).contains(&byte), "control {byte:#x}");
    }

    fn hook(&mut self, _: &Params, intermediates: &[u8], _: bool, action: char) {
        panic!("DCS {} {action}", intermediates.escape_ascii());
    }

    fn osc_dispatch(&mut self, fields: &[&[u8]], _: bool) {
        let text: Vec<&str> = fields.iter().map(|field| std::str::from_utf8(field).unwrap()).collect();
        assert!(STRINGS.contains(&text[0]), "OSC {text:?}");
        assert!(!text.iter().any(|field| field.contains(char::is_control)), "OSC {text:?}");
        if matches!(text[0], "4" | "10" | "11" | "12") {
            assert!(!text.iter().any(|field| field.contains('?')), "OSC {text:?}");
            assert!(text[0] == "4" || text[0].parse::<usize>().unwrap() + text.len() <= 14, "OSC {text:?}");
        }
        if text[0] == "8" {
            let uri = text[2..].join(";");
            let opens =
                ["http:", "https:", "mailto:"].iter().any(|scheme| uri.to_lowercase().starts_with(scheme));
            assert!(uri.is_empty() || opens, "OSC {text:?}");
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        let name = format!("{}{action}", intermediates.escape_ascii());
        let said = format!("CSI {name} {params:?}");
        assert!(!ignore && SEQUENCES.split(' ').chain([" q"]).any(|known| known == name), "{said}");
        let numbers: Vec<u16> = params.iter().map(|param| param[0]).collect();
        assert!(name == "m" || params.iter().all(|param| param.len() == 1), "{said}");
        match name.as_str() {
            "h" | "l" => assert!(numbers.iter().all(|mode| SET[0].contains(mode)), "{said}"),
            "?h" => assert!(numbers.iter().all(|mode| SET[1].contains(mode)), "{said}"),
            "?l" => assert!(numbers.iter().all(|mode| SET[1].contains(mode) || *mode == 1042), "{said}"),
            "J" | "K" => assert!(numbers.len() == 1 && numbers[0] <= 2, "{said}"),
            "t" => assert!(matches!(numbers[0], 22 | 23), "{said}"),
            "b" => assert!(numbers.len() == 1 && numbers[0] <= 4096, "{said}"),
            "T" => assert!(numbers.len() == 1, "{said}"),
            "s" | "u" => assert!(numbers == [0], "{said}"),
            ">m" => assert!(numbers[0] == 4, "{said}"),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _: bool, byte: u8) {
        let name = format!("{}{}", intermediates.escape_ascii(), char::from(byte));
        // ST ends a title, a color or a link: after them, it is a sequence of its own for this parser.
        assert!(ESCAPES.contains(&name.replace("\\x", "").as_str()), "ESC {name}");
    }
}

/// Passes `bytes` to the filter in pieces of at most `size` bytes, and checks the output after each piece.
fn read(bytes: &[u8], size: usize) {
    let (mut filter, mut parser, mut outside) = (ViewerFilter::default(), Parser::new(), Outside::default());
    for piece in bytes.chunks(size) {
        let out = filter.push(piece);
        assert!(std::str::from_utf8(&out).is_ok(), "{}", out.escape_ascii());
        parser.advance(&mut outside, &out);
        // After this output a terminal is not in the middle of a sequence, so the next bytes are text.
        outside.printed = None;
        parser.advance(&mut outside, b"x");
        assert_eq!(outside.printed, Some('x'), "after {}", out.escape_ascii());
    }
}

#[test]
fn only_allowed_parts_of_the_list_pass_in_any_pieces() {
    for one in corpus::reactions() {
        for other in corpus::reactions() {
            // A sequence that is cut off by another one.
            for end in [one.sequence.len(), one.sequence.len() / 2, one.sequence.len() - 1] {
                read(&[&one.sequence[..end], other.sequence.as_slice()].concat(), usize::MAX);
            }
        }
        read(&[one.sequence.as_slice(), b"\x1b\\"].concat(), 1);
    }
}

proptest! {
    #[test]
    fn fuzz_only_allowed_sequences_pass(bytes in pieces(), size in 1_usize..20) {
        read(&bytes, size);
        read(&bytes, 1);
    }

    #[test]
    fn fuzz_only_allowed_parts_of_any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes, 1);
        read(&bytes, 7);
    }
}
