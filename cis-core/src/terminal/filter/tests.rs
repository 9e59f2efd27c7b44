use proptest::prelude::*;

use super::*;

fn viewer(bytes: &[u8]) -> Vec<u8> {
    ViewerFilter::default().push(bytes)
}

/// Sequences that would make a terminal answer, or reach out of it.
const QUERIES: &[&[u8]] = &[
    b"\x05",
    b"\x1bZ",
    b"\xc2\x9a",
    b"\x1b[c",
    b"\x1b[0c",
    b"\xc2\x9bc",
    b"\x1b[>c",
    b"\x1b[>0c",
    b"\x1b[=c",
    b"\x1b[5n",
    b"\x1b[6n",
    b"\x1b[?6n",
    b"\x1b[?996n",
    b"\x1b[?2026$p",
    b"\x1b[4$p",
    b"\x1b[>q",
    b"\x1b[>0q",
    b"\x1b[?u",
    b"\x1b[14t",
    b"\x1b[018t",
    b"\x1b[21t",
    b"\x1b[x",
    b"\x1b[1;1;1;1;5;5*y",
    b"\x1b[1$w",
    b"\x1b[?1;1;0S",
    b"\x1b[?4m",
    b"\x1bP+q544e\x1b\\",
    b"\x1bP$qm\x1b\\",
    b"\xc2\x90$qm\xc2\x9c",
    b"\x1bP0;1|17/68656c6c6f\x1b\\",
    b"\x1bPtmux;\x1b\\",
    b"\x1b]4;1;?\x07",
    b"\x1b]10;?\x1b\\",
    b"\x1b]11;?\x07",
    b"\x1b]10;#ffffff;?\x07",
    b"\xc2\x9d11;?\xc2\x9c",
    b"\x1b]21;foreground=?\x07",
    b"\x1b]52;c;?\x07",
    b"\x1b]52;c;aGVsbG8=\x07",
    b"\x1b]052;c;aGVsbG8=\x1b\\",
    b"\x1b]7501;?\x07",
    b"\x1b]7501;state=working\x1b\\",
    b"\x1b]1337;ReportCellSize\x07",
    b"\x1b]99;i=1:p=?;\x1b\\",
    b"\x1b_Ga=q,i=1;AAAA\x1b\\",
];

/// Sequences and texts that pass.
const HARMLESS: &[&[u8]] = &[
    b"plain text\r\n",
    "déjà vu ▶ 漢字 \u{a0}".as_bytes(),
    b"\xc2\xa9\xff\xfe",
    b"\x1b[31;1mred\x1b[0m",
    b"\x1b[38:2::1:2:3m",
    b"\x1b[2J\x1b[H\x1b[?25l\x1b[?1049h\x1b[?1c",
    b"\x1b[>4;1m\x1b[>1u\x1b[<u\x1b[=1;1u\x1b[!p\x1b[2 q\x1b[22;0t\x1b[8;24;80t",
    b"\x1b(0\x1b)B\x1b7\x1b8\x1bc\x1b=\x1b>\x1bM\x0e\x0f",
    b"\x1b]0;what? ;?\x07",
    b"\x1b]8;;http://x/?a=?\x1b\\link\x1b]8;;\x1b\\",
    b"\x1b]4;1;rgb:aa/bb/cc\x1b\\",
    b"\x1b]112\x07\x1b]104;\x07",
    b"\x1b]9;4;1;50\x07\x1b]133;A\x07\x1b]777;notify;a;b?\x07",
    b"\x1bP0;1;0q#0;2;0;0;0~~\x1b\\",
    b"\x1bP=1s\x1b\\",
    b"\x1b_hello\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\",
    b"\xc2\x9b31m\xc2\x85",
    b"\x1b[3\n1m",
    b"\x1b[3\x18text",
];

#[test]
fn queries_are_taken_out_and_the_text_around_them_stays() {
    for query in QUERIES {
        let bytes = [b"a".as_slice(), query, b"b"].concat();
        assert_eq!(viewer(&bytes), b"ab", "{}", query.escape_ascii());
    }
}

#[test]
fn everything_else_passes_byte_by_byte() {
    for text in HARMLESS {
        assert_eq!(viewer(text), *text, "{}", text.escape_ascii());
    }
}

#[test]
fn a_query_does_not_hide_in_what_terminals_read_differently() {
    for (bytes, want) in [
        // Aborted strings and sequences.
        (b"\x1b]0;title\x1b[c.".as_slice(), b"\x1b]0;title\x1b\\.".as_slice()),
        (b"\x1b]52;c;YQ==\x1b[c.", b"."),
        (b"\x1b]11;?\x1b[1m.", b"\x1b[1m."),
        (b"\x1b]11;?\x18.", b"\x18."),
        (b"\x1b[1\x1b[c.", b"."),
        (b"\x1bP1$r\xc2\x9bc.", b"\x1bP1$r\x1b\\."),
        (b"\x1b\x1bZ.", b"."),
        // What is left when something is taken out must not be one either.
        (b"\x1b\x1b[cZ.", b"Z."),
        (b"\x1b[\x1b[cc.", b"c."),
        (b"\xc2\x1b[c\x9bc.", b"\xef\xbf\xbd\x9bc."),
        // Control characters inside are carried out by terminals.
        (b"\x1b[\nc.", b"\n."),
        (b"\x1b[0\x05c.", b"."),
        (b"\x1b]1\n1;?\x07.", b"."),
        (b"\xc2\x05\x9bc.", b"."),
        // Characters inside.
        (b"\x1b\xc2\x9bc.", b"."),
        (b"\x1b[\xc3\xa9c.", b"."),
        // Malformed.
        (b"\x1b[0?c.", b"."),
    ] {
        assert_eq!(viewer(bytes).escape_ascii().to_string(), want.escape_ascii().to_string());
    }
}

#[test]
fn memory_is_bounded() {
    for start in
        [b"\x1b[".as_slice(), b"\x1b]4;", b"\x1b]4", b"\x1bP1", b"\x1b_G", b"\x1b]52;c;", b"\x1b ", b"\x1b"]
    {
        let mut filter = ViewerFilter::default();
        assert!(filter.push(start).is_empty());
        for _ in 0..200 {
            let _ = filter
                .push(&[b'1'; 100].map(|b| if start == b"\x1b " || start == b"\x1b" { 0x80 } else { b }));
        }
        assert!(filter.held.capacity() <= 2 * STRING_BYTES_MAX, "{start:?}");
        // And it finds its way out.
        let _ = filter.push(b"\x18\x1b\\");
        assert_eq!(filter.push(b"ok"), b"ok");
    }
    // A picture passes while it comes.
    let mut filter = ViewerFilter::default();
    assert_eq!(filter.push(b"\x1bPq"), b"\x1bPq");
    assert_eq!(filter.push(&[b'~'; 9000]).len(), 9000);
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

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static [u8]> = [QUERIES, HARMLESS].concat();
    let piece = prop_oneof![
        prop::sample::select(known).prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..5),
        prop::collection::vec(
            prop::sample::select(b"\x1b[]P_?>;:0123456789cnqpt$+\x07\\\xc2\x9b\x9c\x18".to_vec()),
            0..12
        ),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn where_the_stream_is_cut_makes_no_difference(
        bytes in pieces(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut filter = ViewerFilter::default();
        let by_parts: Vec<u8> = cut(&bytes, &cuts).into_iter().flat_map(|part| filter.push(part)).collect();
        prop_assert_eq!(by_parts.escape_ascii().to_string(), viewer(&bytes).escape_ascii().to_string());
    }

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
