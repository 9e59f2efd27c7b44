use proptest::prelude::*;

use super::*;

mod corpus;
mod outside;
mod streams;

fn viewer(bytes: &[u8]) -> Vec<u8> {
    ViewerFilter::default().push(bytes)
}

#[test]
fn nothing_hides_in_what_terminals_read_differently() {
    for (bytes, want) in [
        // Aborted strings and sequences.
        (b"\x1b]0;title\x1b[c.".as_slice(), b"\x1b]0;title\x1b\\.".as_slice()),
        (b"\x1b]0;title\x18.", b"\x1b]0;title\x1b\\."),
        (b"\x1b]52;c;YQ==\x1b[c.", b"."),
        (b"\x1b]11;?\x1b[1m.", b"\x1b[1m."),
        (b"\x1b]11;?\x18.", b"."),
        (b"\x1b[1\x1b[c.", b"."),
        (b"\x1b[3\x18text", b"text"),
        (b"\x1bP1$r\xc2\x9bc.", b""),
        (b"\x1b\x1bZ.", b"."),
        // What is left when something is taken out must not be one either.
        (b"\x1b\x1b[cZ.", b"Z."),
        (b"\x1b[\x1b[cc.", b"c."),
        (b"\xc2\x1b[c\x9bc.", b"\xef\xbf\xbdc."),
        // Control characters inside are carried out by terminals.
        (b"\x1b[\nc.", b"\n."),
        (b"\x1b[0\x05c.", b"."),
        (b"\x1b]1\n1;?\x07.", b"."),
        (b"\xc2\x05\x9bc.", b"\xef\xbf\xbdc."),
        // Characters inside.
        (b"\x1b\xc2\x9bc.", b"\x1bc."),
        (b"\x1b[\xc3\xa9c.", b"."),
        (b"\x1b]0;\xc2\x9ctitle\x07.", b"."),
        // Malformed.
        (b"\x1b[0?c.", b"."),
        (b"\x1b[?1;?25h.", b"."),
        (b"\x1b]02;title\x07.", b"."),
        // No characters.
        (b"\xff\xc3(\x9b31m\xe6\xbc", b"\xef\xbf\xbd\xef\xbf\xbd(31m"),
    ] {
        assert_eq!(
            viewer(bytes).escape_ascii().to_string(),
            want.escape_ascii().to_string(),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn a_sequence_passes_when_it_is_complete() {
    let mut filter = ViewerFilter::default();
    assert!(filter.push(b"\x1b]0;a title").is_empty() && !filter.is_settled());
    assert_eq!(filter.push(b"\x07"), b"\x1b]0;a title\x07");
    assert!(filter.is_settled());
    assert_eq!(filter.push("a漢".as_bytes().split_at(3).0), b"a");
    assert!(!filter.is_settled());
    assert_eq!(filter.push("a漢".as_bytes().split_at(3).1), "漢".as_bytes());
    assert!(filter.is_settled());
}

#[test]
fn memory_is_bounded() {
    for start in [
        b"\x1b[".as_slice(),
        b"\x1b]4;",
        b"\x1b]4",
        b"\x1bP1",
        b"\x1b_G",
        b"\x1b]52;c;",
        b"\x1bXs",
        b"\x1b ",
        b"\x1b",
    ] {
        let mut filter = ViewerFilter::default();
        assert!(filter.push(start).is_empty());
        let more = if start == b"\x1b" {
            [0x80; 100]
        } else if start == b"\x1b " {
            [b'+'; 100]
        } else {
            [b'1'; 100]
        };
        for _ in 0..200 {
            assert!(filter.push(&more).is_empty());
        }
        assert!(filter.held.capacity() <= 2 * STRING_BYTES_MAX, "{start:?}");
        // And it finds its way out.
        let _ = filter.push(b"\x18\x1b\\");
        assert_eq!(filter.push(b"ok"), b"ok");
    }
    // A link that is too long ends the one before it.
    let long = [b"\x1b]8;;https://x/".as_slice(), &[b'x'; 9000], b"\x07"].concat();
    assert_eq!(viewer(&long), b"\x1b]8;;\x1b\\");
}

fn typed(chunks: &[&[u8]]) -> Vec<u8> {
    let mut filter = TypedFilter::default();
    chunks.iter().flat_map(|chunk| filter.push(chunk)).collect()
}

const REPLIES: &[&[u8]] = &[
    b"\x1b[?62;22c",
    b"\x1b[>0;276;0c",
    b"\x1b[24;80R",
    b"\x1b[1;80R",
    b"\x1b[?1;2R",
    b"\x1b[0n",
    b"\x1b[?997;1n",
    b"\x1b[?2026;2$y",
    b"\x1b[?1u",
    b"\x1b[8;24;80t",
    b"\x1b[48;24;80;480;640t",
    b"\x1b]11;rgb:0000/0000/0000\x07",
    b"\x1b]4;1;rgb:0000/0000/0000\x1b\\",
    b"\x1b]52;c;aGVsbG8=\x1b\\",
    b"\x1b]7501;?\x1b\\",
    b"\x1bP>|XTerm(370)\x1b\\",
    b"\x1bP!|00000000\x1b\\",
    b"\x1bP1+r544e=78\x1b\\",
    b"\x1b_Gi=1;OK\x1b\\",
];

const KEYS: &[&[u8]] = &[
    b"hello\r",
    b"\x1b",
    b"\x1b[A\x1b[1;5C\x1bOP\x1b[15~\x1b[1;2R\x1b[3;5~",
    b"\x1b]",
    b"\x1bP",
    b"\x1bX",
    b"\x1b[",
    b"\x1bx\x1b\x7f",
    b"\x1b[<0;12;7M\x1b[<0;12;7m\x1b[M !!\x1b[I\x1b[O",
    b"\x1b[97;5u\x1b[27;5;97~",
    b"\x1b[200~pasted \x1b[201~",
    "日本".as_bytes(),
];

#[test]
fn replies_are_dropped_and_keys_pass_at_once() {
    for reply in REPLIES {
        assert_eq!(typed(&[b"a", reply, b"b"]), b"ab", "{}", reply.escape_ascii());
        assert_eq!(typed(&[&[b"a", *reply, b"b"].concat()]), b"ab", "{}", reply.escape_ascii());
    }
    for keys in KEYS {
        let mut filter = TypedFilter::default();
        assert_eq!(filter.push(keys), *keys, "{}", keys.escape_ascii());
        assert_eq!(filter.push(b"x"), b"x", "{}", keys.escape_ascii());
    }
}

#[test]
fn typing_after_alt_and_a_bracket_is_not_swallowed() {
    assert_eq!(typed(&[b"\x1b]", b"1", b"1", b";", b"ls\r"]), b"\x1b]11;ls\r");
    assert_eq!(typed(&[b"\x1b]1x ls\r"]), b"\x1b]1x ls\r");
    assert_eq!(typed(&[b"\x1bP", b"ls\r"]), b"\x1bPls\r");
}

/// Streams of known sequences, whole or cut, and of bytes that resemble sequences.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> = corpus::reactions().into_iter().map(|one| one.sequence).collect();
    let part = (prop::sample::select(known.clone()), any::<prop::sample::Index>());
    let piece = prop_oneof![
        4 => prop::sample::select(known),
        1 => part.prop_map(|(sequence, at)| sequence[..at.index(sequence.len())].to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..5),
        2 => prop::collection::vec(
            prop::sample::select(b"\x1b[]P_?>;:0123456789cnqptmhl$+\x07\\\xc2\x9b\x9c\x18ab \r\n".to_vec()),
            0..12
        ),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_passed_passes_again_unchanged(bytes in pieces()) {
        // Nothing that is put together by taking something out is a query.
        let once = viewer(&bytes);
        prop_assert_eq!(viewer(&once).escape_ascii().to_string(), once.escape_ascii().to_string());
    }

    #[test]
    fn replies_are_dropped_wherever_the_read_is_cut_behind_their_third_byte(
        reply in prop::sample::select(REPLIES),
        at in any::<prop::sample::Index>(),
    ) {
        let at = 3 + at.index(reply.len() - 2);
        prop_assert_eq!(typed(&[b"a", &reply[..at], &reply[at..], b"b"]), b"ab");
    }

    #[test]
    fn typed_text_without_escapes_is_exact(bytes in prop::collection::vec(prop::sample::select(b"abc[]P0;\r\x07\xc3\xa9\x9b".to_vec()), 0..40)) {
        prop_assert_eq!(typed(&[&bytes]), bytes);
    }
}
