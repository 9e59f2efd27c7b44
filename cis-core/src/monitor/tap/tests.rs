//! Strings of real programs and of hostile ones, cut anywhere.

use proptest::prelude::*;

use super::*;

fn all(bytes: &[u8]) -> Vec<Signal> {
    let mut found = Vec::new();
    Tap::default().feed(bytes, &str::to_owned, &mut found);
    found
}

fn title(text: &str) -> Signal {
    Signal::Title { text: text.to_owned() }
}

fn notice(text: &str) -> Signal {
    Signal::Notification { text: text.to_owned() }
}

#[test]
fn titles_notifications_and_bells() {
    assert_eq!(
        all(b"a\x1b]0;one\x07b\x1b]2;two\x1b\\c\x1b]1;icon\x07\x07"),
        [title("one"), title("two"), Signal::Bell]
    );
    assert_eq!(
        all(b"\x1b]9;look here\x07\x1b]777;notify;Agent;needs you\x1b\\"),
        [notice("look here"), notice("Agent;needs you"),]
    );
    assert_eq!(
        all(b"\x1b]99;i=1:d=0;Hello\x1b\\\x1b]99;i=1:e=1:p=body;d29ybGQ=\x1b\\"),
        [notice("Hello"), notice("world"),]
    );
    assert_eq!(all(b"\x1b]9;4;1;50\x07\x1b]99;i=1:p=close;\x1b\\\x1b]777;precmd;x\x07"), []);
}

#[test]
fn brackets_around_pastes() {
    let (on, off) = (Signal::PasteBrackets { on: true }, Signal::PasteBrackets { on: false });
    assert_eq!(all(b"\x1b[?2004h$ \x1b[?1;2004l\x1b[?25h\x1b[2004h\x1b[?20040h"), [on, off]);
    assert_eq!(all(b"\x1b[?2004\x18h\x1b[?20\x0704h"), [Signal::Bell, Signal::PasteBrackets { on: true }]);
}

#[test]
fn marks_of_shells() {
    assert_eq!(
        all(b"\x1b]133;A;cl=m\x07\x1b]133;D;130\x07\x1b]133;D\x07\x1b]133;Z\x07"),
        [
            Signal::Shell { mark: 'A', code: None },
            Signal::Shell { mark: 'D', code: Some(130) },
            Signal::Shell { mark: 'D', code: None },
        ]
    );
}

#[test]
fn status_reports() {
    let report = b"\x1b]7501;state=blocked:app=codex:kind=permission:msg=UnVuIGl0Pw==\x1b\\";
    assert_eq!(
        all(report),
        [Signal::Status {
            state: "blocked".to_owned(),
            app: Some("codex".to_owned()),
            kind: Some("permission".to_owned()),
            message: Some("Run it?".to_owned()),
        }]
    );
    assert_eq!(all(b"\x1b]7501;?\x07"), [Signal::StatusQuery]);
    assert_eq!(all(b"\x1b]7501;app=x\x07\x1b]7501;\x07\x1b]7501;state=\x07"), []);
    let bad = all(b"\x1b]7501;state=idle:msg=%%%\x07");
    assert!(matches!(&bad[..], [Signal::Status { message: None, .. }]), "{bad:?}");
}

#[test]
fn a_string_ends_at_st_in_each_of_its_forms_and_not_inside_of_characters() {
    assert_eq!(all(b"\x1b]0;one\x9c\x1b]0;two\xc2\x9c\x07"), [title("one"), title("two"), Signal::Bell]);
    // U+271C is E2 9C 9C, U+1F31C ends with 9C.
    assert_eq!(all("\x1b]0;\u{271c} \u{1f31c}\x07".as_bytes()), [title("\u{271c} \u{1f31c}")]);
    assert_eq!(all(b"\x1b]0;cut\x18\x1b]0;off\x1a\x1b]0;whole\x07"), [title("whole")]);
    assert_eq!(all(b"\x1b]0;one\x1b]0;two\x07"), [title("one"), title("two")]);
}

#[test]
fn other_strings_hold_nothing() {
    assert_eq!(
        all(b"\x1bP\x07+q\x1b\\\x1b_\x07G\x1b\\\x1b^\x07\x1b\\\x1bX]0;x\x07\x1b\\\x07"),
        [Signal::Bell]
    );
    assert_eq!(all(b"\x1b[31m\x1b(B\x1b\x1b]0;x\x07"), [title("x")]);
}

#[test]
fn what_is_too_long_or_hostile_is_left_out() {
    let long = [b"\x1b]0;".as_slice(), &vec![b'x'; 1_000_000], b"\x07\x1b]0;next\x07"].concat();
    let mut tap = Tap::default();
    let mut found = Vec::new();
    tap.feed(&long, &str::to_owned, &mut found);
    assert_eq!(found, [title("next")]);
    assert!(tap.held.capacity() <= 2 * STRING_BYTES_MAX);
    assert_eq!(all(b"\x1b]0;a\x01\x0b\xff\xe2\x80\xaeb\x07"), [title("a\u{fffd}b")]);
}

/// What streams are made of.
const PIECES: &[&[u8]] = &[
    b"\x1b",
    b"]",
    b"\x07",
    b"\\",
    b"0;",
    b"2;t",
    b"9;",
    b"99;e=1;",
    b"133;D;1",
    b"7501;",
    b"state=blocked",
    b":msg=",
    b"QUJD",
    b"?",
    b"\x9c",
    b"\xc2",
    b"\xe2\x9c\x9c",
    b"\x18",
    b"P",
    b"_",
    b"text",
    b"\xff",
    b"\x1b]0;",
    b"\x1b\\",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_however_it_is_cut(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60),
        portion in 1usize..9,
    ) {
        let bytes = pieces.concat();
        let mut tap = Tap::default();
        let mut found = Vec::new();
        for part in bytes.chunks(portion) {
            tap.feed(part, &str::to_owned, &mut found);
        }
        prop_assert_eq!(found, all(&bytes));
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for signal in all(&bytes) {
            if let Signal::Title { text } | Signal::Notification { text } = signal {
                prop_assert!(!text.chars().any(char::is_control));
                prop_assert!(text.chars().count() <= TEXT_CHARS_MAX);
            }
        }
    }
}

#[test]
fn secrets_are_replaced_before_a_text_is_cut_or_its_blanks_are() {
    let hide = |text: &str| text.replace("two  blanks\tand a tab", "***");
    let at_the_end = format!("{} two  blanks\tand a tab", "x".repeat(TEXT_CHARS_MAX - 8));
    let encoded = "dHdvICBibGFua3MJYW5kIGEgdGFi";
    for said in [
        format!("\u{1b}]9;{at_the_end}\u{7}"),
        format!("\u{1b}]777;notify;{at_the_end}\u{7}"),
        format!("\u{1b}]99;;{at_the_end}\u{7}"),
        format!("\u{1b}]99;e=1;{encoded}\u{7}"),
        format!("\u{1b}]0;{at_the_end}\u{7}"),
        format!("\u{1b}]7501;state=blocked;msg={encoded}\u{7}"),
    ] {
        let mut found = Vec::new();
        Tap::default().feed(said.as_bytes(), &hide, &mut found);
        let text = format!("{found:?}");
        assert_eq!(found.len(), 1);
        assert!(!text.contains("two") && text.contains("***"), "{text}");
    }
}
