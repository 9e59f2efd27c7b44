use std::fmt::Write as _;

use alacritty_terminal::grid::{Cursor, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use proptest::prelude::*;

use super::text::glyph;
use super::*;
use crate::policy::redact::Redactor;
use crate::terminal::filter::ViewerFilter;

fn size(cols: u16, rows: u16) -> TermSize {
    TermSize { cols, rows }
}

fn screen(cols: u16, rows: u16, bytes: &[u8]) -> Screen {
    let mut screen = Screen::new(size(cols, rows));
    screen.replay(bytes);
    screen
}

fn pen(cell: &Cell) -> String {
    let marks =
        Flags::WRAPLINE | Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER;
    let link = cell.hyperlink().map(|link| (link.id().to_owned(), link.uri().to_owned()));
    format!("{:?} {:?} {:?} {:?} {link:?}", cell.fg, cell.bg, cell.flags - marks, cell.underline_color())
}

fn cursor(cursor: &Cursor<Cell>) -> String {
    let Cursor { point, template, charsets, input_needs_wrap } = cursor;
    format!("{point:?} {} {charsets:?} {input_needs_wrap}", pen(template))
}

fn grid(grid: &Grid<Cell>) -> String {
    let mut out = String::new();
    for line in 0..grid.screen_lines() {
        let row = &grid[Line(line as i32)];
        let mut col = 0;
        while col < grid.columns() {
            let glyph = glyph(row, col, grid.columns());
            let _ = writeln!(out, "{line} {col} {glyph:?} {}", pen(&row[Column(col)]));
            col += glyph.width();
        }
    }
    out + cursor(&grid.cursor).as_str() + "\n"
}

/// Everything that a paint restores.
fn everything(screen: &mut Screen) -> String {
    let mut out = grid(screen.term.grid());
    out.push_str(&cursor(&screen.term.grid().saved_cursor));
    let side = &screen.side;
    let tabs: Vec<bool> =
        side.tabs.clone().unwrap_or_else(|| (0..screen.term.columns()).map(|c| c % 8 == 0).collect());
    let style = side.cursor_styled.then(|| screen.term.cursor_style());
    let _ = writeln!(
        out,
        "\n{:?} {:?} {:?} {tabs:?} {style:?} {:?} {}",
        screen.term.mode(),
        side.region,
        side.charset,
        side.title,
        side.modify_other_keys,
    );
    for index in 0..259 {
        if let Some(color) = screen.term.colors()[index] {
            let _ = writeln!(out, "{index} {color:?}");
        }
    }
    if screen.is_alternate() {
        out += "below:\n";
        out.push_str(&grid(&screen.primary()));
    }
    out
}

fn assert_paints_itself(bytes: &[u8], cols: u16, rows: u16) {
    let mut model = screen(cols, rows, bytes);
    let before = everything(&mut model);
    let paint = model.paint();
    assert_eq!(everything(&mut model), before, "painting changes nothing");
    // A fresh terminal, and one in some other state.
    for other in
        [b"".as_slice(), b"\x1b[31;44mrest\x1b[2;3r\x1b[?6h\x1b[?1049hxx\x1b(0\x1b[4h\x1b]0;unfinished"]
    {
        let mut viewer = screen(cols, rows, other);
        viewer.replay(&paint);
        if other.is_empty() {
            let after = everything(&mut viewer);
            let differ = before.lines().zip(after.lines()).find(|(a, b)| a != b);
            assert!(
                before == after,
                "{differ:#?}\nof {}\nfrom {}",
                bytes.escape_ascii(),
                paint.escape_ascii()
            );
        }
        let shown = (viewer.text(), viewer.cursor());
        assert!(shown == (model.text(), model.cursor()), "{shown:?} of {}", bytes.escape_ascii());
    }
    // A viewer's filter passes all of a paint except the bytes at its beginning that end an open sequence.
    let begun = paint.strip_prefix(b"\x18\x1b\\").unwrap();
    let passed = ViewerFilter::default().push(&paint);
    assert_eq!(passed.escape_ascii().to_string(), begun.escape_ascii().to_string());
}

#[test]
fn a_shell_a_full_screen_program_and_a_wide_text_paint_themselves() {
    assert_paints_itself(b"$ ls\r\n\x1b[1;34mdir\x1b[0m file\r\n$ ", 20, 5);
    assert_paints_itself(
        b"$ vi\r\n\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h\x1b[?1006h\x1b[?1002h\x1b[H\x1b[7mstatus\x1b[27m\x1b[2;4r\x1b[3;3H\x1b[5 q\x1b]2;vi\x07",
        20, 5,
    );
    assert_paints_itself("漢字かな交じり文e\u{301}🙂 a".as_bytes(), 7, 5);
    assert_paints_itself(
        b"\x1b[38:2::1:2:3;48;5;200;4:3;58:5:9mx\x1b]8;id=a;http://x/\x1b\\link\x1b]8;;\x1b\\",
        20,
        5,
    );
    assert_paints_itself(
        b"\x1b[3g\x1b[4G\x1bH\x1b]4;1;#102030\x07\x1b]11;#000000\x07\x1b[>4;2m\x1b[=5u\x1b[?25l",
        20,
        5,
    );
}

#[test]
fn rows_that_were_wrapped_are_wrapped_again() {
    let mut model = screen(5, 4, "abcdefgh\r\n1234漢x".as_bytes());
    let mut viewer = Screen::new(size(5, 4));
    viewer.replay(&model.paint());
    model.resize(size(12, 4));
    viewer.resize(size(12, 4));
    assert_eq!(viewer.text(), model.text());
    assert!(viewer.text().contains("abcdefgh\n1234漢x"), "{}", viewer.text());
}

#[test]
fn queries_are_answered_live_and_never_in_replay() {
    let queries = b"\x1b[2;3H\x1b[c\x1b[>c\x1b[5n\x1b[6n\x1b[?25$p\x1b[?2026$p\x1b[4$p\x1b[18t\x1b]11;?\x07\x1b]4;1;?\x1b\\\x1b[?u\x1bZ\x05";
    let mut model = Screen::new(size(80, 24));
    let want = "\x1b[?62;22c\x1b[>1;10;0c\x1b[0n\x1b[2;3R\x1b[?25;1$y\x1b[?2026;2$y\x1b[4;2$y\x1b[8;24;80t\
        \x1b]11;rgb:0000/0000/0000\x07\x1b]4;1;rgb:cdcd/0000/0000\x1b\\\x1b[?0u\x1b[?62;22c";
    assert_eq!(
        String::from_utf8(model.feed(queries)).unwrap().escape_debug().to_string(),
        want.escape_debug().to_string()
    );
    model.replay(queries);
    assert!(model.feed(b"text").is_empty());
    // A query that began in replay and ends live is answered: nobody has seen it whole before.
    model.replay(b"\x1b[5");
    assert_eq!(model.feed(b"n"), b"\x1b[0n");
    // Its answers are of the kinds that a viewer's answers are, which are dropped.
    let mut typed = crate::terminal::filter::TypedFilter::default();
    assert!(typed.push(&Screen::new(size(80, 24)).feed(queries)).is_empty());
}

#[test]
fn answers_count_from_the_scroll_region_in_origin_mode() {
    let mut model = Screen::new(size(20, 10));
    assert_eq!(model.feed(b"\x1b[3;8r\x1b[?6h\x1b[2;5H\x1b[6n"), b"\x1b[2;5R");
    let flood = model.feed(&b"\x1b[c".repeat(10_000));
    assert!(flood.len() <= 16 << 10);
}

#[test]
fn text_is_what_a_person_sees() {
    let model =
        screen(20, 5, "a\tb  \r\n\x1b[8mhidden\x1b[0m!\r\n\u{202E}漢\u{200B}e\u{301}  \r\n\r\n".as_bytes());
    assert_eq!(model.text(), "a       b\n      !\n漢e\u{301}");
    assert_eq!(screen(20, 5, b"").text(), "");
}

#[test]
fn secrets_are_masked_whatever_nobody_sees_in_them() {
    let redactor = Redactor::new(["S3cr3t-Token".to_owned()]).unwrap();
    for c in ('\0'..=char::MAX).filter(|c| crate::text::is_invisible(*c)) {
        let text = screen(40, 2, format!("is S3cr3t{c}-Token end").as_bytes()).text_redacted(&redactor);
        assert!(
            text.starts_with("is ***") && text.ends_with(" end") && !text.contains("Token"),
            "{c:?}: {text:?}"
        );
    }
}

#[test]
fn a_secret_at_the_end_of_a_long_title_is_hidden() {
    let redactor = Redactor::new(["hunter2-hunter2".to_owned()]).unwrap();
    for before in 1000..1030 {
        let title =
            format!("\x1b]2;{}hunter2-hunter2 y\x07", "w ".repeat(before / 2) + &"x".repeat(before % 2));
        let paint =
            screen(10, 5, title.as_bytes()).paint_for(&Look { redactor: Some(&redactor), ..Look::default() });
        assert!(!String::from_utf8_lossy(&paint).contains("hu"), "{before}");
    }
}

#[test]
fn secrets_are_masked_where_the_terminal_wraps_them() {
    let redactor = Redactor::new(["hunter2-hunter2".to_owned()]).unwrap();
    let mut model = screen(10, 5, b"key hunter2-hunter2 end\r\n\x1b]2;hunter2-hunter2\x07");
    assert_eq!(model.text(), "key hunter\n2-hunter2\nend");
    assert_eq!(model.text_redacted(&redactor), "key ***\n\nend");
    let paint = model.paint_for(&Look { redactor: Some(&redactor), ..Look::default() });
    let mut viewer = Screen::new(size(10, 5));
    viewer.replay(&paint);
    assert_eq!(viewer.text(), "key ******\n*********\nend");
    assert_eq!(viewer.title(), Some("***"));
    assert_eq!(viewer.cursor(), model.cursor());
    assert!(!String::from_utf8_lossy(&paint).contains("hunter"));
}

#[test]
fn a_part_of_a_secret_whose_other_part_scrolled_out_is_masked() {
    let redactor = Redactor::new(["hunter2-battery-staple".to_owned()]).unwrap();
    let shown = |bytes: &[u8]| screen(12, 4, bytes).text_redacted(&redactor);
    assert_eq!(shown(b"is hunter2-battery-staple!\r\n1\r\n2"), "***\n!\n1\n2");
    assert_eq!(
        shown(b"is hunter2-battery-staple!\r\n1\r\n2\r\n3"),
        "e!\n1\n2\n3",
        "one character may be shown"
    );
    assert_eq!(shown(b"hunter2-battery-staple\n\r1\r\n2\r\n3\r\n4"), "1\n2\n3\n4");
    // Two characters of the secret may be shown.
    assert_eq!(shown(b"x\r\nle\r\n1"), "x\nle\n1");
    // A scrolling region below the first row.
    let region = b"top\x1b[2;4r\x1b[2;1His hunter2-battery-staple\r\n1";
    assert_eq!(shown(region), "top\n***\n\n1");
    // The row above it is full.
    let region = b"head 12 oct.\x1b[2;4r\x1b[2;1His hunter2-battery-staple\r\n1";
    assert_eq!(shown(region), "head 12 oct.\n***\n\n1");
    // Rows that leave the screen at its bottom.
    let below = b"\x1b[3;1His hunter2-battery-staple\x1b[1;1H\x1bM\x1bM";
    assert_eq!(shown(below), "\n\n\nis ***");
    let hex = hex::encode("hunter2-battery-staple");
    let wrapped =
        format!("{}\r\n{}\r\n{}\r\n{}\r\n1\r\n2", &hex[..12], &hex[12..24], &hex[24..36], &hex[36..]);
    assert_eq!(shown(wrapped.as_bytes()), "***\n\n1\n2");
    // Rows of the alternate screen that were wrapped stay so when it gets wider.
    let mut wider = screen(12, 4, b"\x1b[?1049h\x1b[1;1His hunter2-battery-staple");
    wider.resize(size(30, 4));
    assert_eq!(wider.text_redacted(&redactor), "is ***");
    let paint = screen(12, 4, b"is hunter2-battery-staple!\r\n1\r\n2")
        .paint_for(&Look { redactor: Some(&redactor), ..Look::default() });
    assert!(!String::from_utf8_lossy(&paint).contains("staple"));
}

#[test]
fn every_form_of_a_secret_is_masked_on_a_screen() {
    let values = [
        "hunter2 pass1",
        "correct horse battery staple",
        "ab1\ncd2\nef3\ngh4",
        "it's 'a long'\nsecond 'line'\nc",
        "é\"$x`\\&! 'ü",
        "ghp_11111111112222222222333333333344444444445555555555",
    ];
    for value in values {
        let redactor = Redactor::new([value.to_owned()]).unwrap();
        for form in crate::policy::redact::forms_of(value) {
            let lines = form.replace("\r\n", "\n").replace('\n', "\r\n");
            for (cols, step) in [(7, 1), (13, 1), (40, 3), (80, 7)] {
                for before in (0..cols).step_by(step) {
                    let text = format!("{}{lines}", ".".repeat(usize::from(before)));
                    let shown = screen(cols, 40, text.as_bytes()).text_redacted(&redactor);
                    let left: String =
                        shown.chars().filter(|c| !matches!(c, '.' | '*' | '\n' | ' ')).collect();
                    assert!(left.chars().count() <= 3, "{form:?} of {value:?} in {cols} columns: {shown}");
                }
            }
        }
    }
}

#[test]
fn a_secret_of_which_a_screen_draws_less_is_masked_on_it() {
    let values = [
        "pass\tword\t1",
        "a\tb\tc\td\te",
        "cafe\u{301} cre\u{300}me bru\u{302}le\u{301}e",
        "\u{1107}\u{1175}\u{1106}\u{1175}\u{11af}\u{1107}\u{1175}\u{11ab}",
        "ab1  \ncd2\t\nef3 \ngh4",
        "ab1\r\ncd2\r\nef3",
    ];
    for value in values {
        let redactor = Redactor::new([value.to_owned()]).unwrap();
        for lines in [value.replace('\n', "\r\n"), value.replace("\r\n", "\n").replace('\n', "\r\n")] {
            for cols in [3, 7, 13, 40, 80] {
                for before in 0..cols {
                    let text = format!("{}{lines}", ".".repeat(usize::from(before)));
                    let shown = screen(cols, 40, text.as_bytes()).text_redacted(&redactor);
                    let left = shown.chars().filter(|c| !matches!(c, '.' | '*' | '\n' | ' ')).count();
                    assert!(left <= 3, "{value:?} behind {before} in {cols} columns: {shown:?}");
                }
            }
        }
    }
}

#[test]
fn a_row_that_is_erased_behind_its_last_column_ends_at_the_cursor() {
    let redactor = Redactor::new(["hunter2-hunter2".to_owned()]).unwrap();
    for row in ["12345678\x1b[2K", "        ", "1234567\u{20}"] {
        let model = screen(8, 3, format!("\x1b[2;1Héééé\x1b[1;1H{row}").as_bytes());
        assert!(model.before_cursor().chars().all(|c| c != 'é'), "{row:?}");
        assert!(model.text_redacted(&redactor).ends_with("éééé"), "{row:?}");
    }
}

#[test]
fn a_secret_that_is_cut_at_the_right_edge_is_masked() {
    let secret = "ghp_Zq9secretW77xyABCDEFGHIJKLmnopqrstuvwxyz12";
    let redactor = Redactor::new([secret.to_owned()]).unwrap();
    // Without automatic wrap.
    for room in [9, 20, 45] {
        let text = format!("\x1b[?7l{}{secret}\r\nnext", ".".repeat(80 - room));
        let shown = screen(80, 5, text.as_bytes()).text_redacted(&redactor);
        assert_eq!(shown, format!("{}***\nnext", ".".repeat(80 - room)));
    }
    // A row of the alternate screen that has neither its beginning nor its end.
    for before in 0..80 {
        let text = format!("\x1b[?1049h\x1b[1;1H{}{secret}\r\nnext", ".".repeat(before));
        let mut narrow = screen(80, 5, text.as_bytes());
        narrow.resize(size(30, 5));
        let shown = narrow.text_redacted(&redactor);
        let left = shown.trim_end_matches("next").chars().filter(|c| c.is_ascii_alphanumeric()).count();
        assert!(left < 8, "behind {before}: {shown}");
    }
}

#[test]
fn a_secret_that_is_cut_at_the_right_edge_is_masked_whatever_stands_there() {
    let secret = "Zq9secretW77xyABCDEFGHIJKLmnop0123456789zzQ";
    let redactor = Redactor::new([secret.to_owned(), "correct horse battery staple".to_owned()]).unwrap();
    for (before, behind) in
        [(36, " ok? [y/N] "), (36, " ok? [y/N]"), (51, "\tend "), (37, "漢字 "), (36, "漢字x")]
    {
        let text = format!("\x1b[?7l{}{secret}{behind}", ".".repeat(before));
        let shown = screen(80, 3, text.as_bytes()).text_redacted(&redactor);
        let left = shown.strip_prefix(&".".repeat(before)).and_then(|shown| shown.strip_prefix("***"));
        assert!(left.is_some_and(|left| left.chars().count() <= 1), "{behind:?}: {shown}");
    }
    let shown = screen(20, 3, b"\x1b[?7lis it correct horse battery staple? [y/N] ").text_redacted(&redactor);
    assert_eq!(shown, "is it ***", "of words alone");
}

#[test]
fn a_piece_of_a_secret_is_masked_wherever_its_rest_went() {
    let secret = "ghp_Zq9secretW77xyABCDEFGHIJKLmnopqrstuvwxyz12";
    let redactor = Redactor::new([secret.to_owned()]).unwrap();
    let base64 = "Z2hwX1pxOXNlY3JldFc3N3h5QUJDREVGR0hJSktMbW5vcHFyc3R1dnd4eXoxMg==";
    for (what, text) in [
        ("overwritten from the beginning", format!("is {secret}\rDone: no")),
        ("overwritten in the middle", format!("is {secret}\x1b[25G and \r\nnext")),
        ("erased to the end", format!("is {secret}\x1b[25G\x1b[K\x1b[35Gof x")),
        ("erased from the beginning", format!("is {secret}, so\x1b[25G\x1b[1K\r\nnext")),
        ("deleted", format!("is {secret}, so\x1b[1;25H\x1b[20P\r\nnext")),
        ("moved to the right", format!("is {secret}\x1b[25G\x1b[3@and\x1b[9Gno\r\nnext")),
        ("inserted before", format!("\x1b[50G{secret}\x1b[1G\x1b[4h1234567890 \r\nnext")),
        ("behind a tab", format!("\x1b[?7l\x1b[62G{secret}\ta \r\nnext")),
        ("in hex", format!("is {}\r\x1b[30PDone", hex::encode(secret))),
        ("in base64", format!("is {base64}\x1b[30G and \r\nnext")),
    ] {
        let model = screen(80, 5, text.as_bytes());
        let shown = model.text_redacted(&redactor);
        let whole = [secret, base64, &hex::encode(secret)].join("|");
        assert!(!shares_piece(&whole, &shown), "{what}: {shown}");
        assert!(shares_piece(&whole, &model.text()), "{what}");
    }
}

#[test]
fn words_that_are_a_part_of_a_secret_are_shown() {
    let webhook = "https://hooks.example.com/services/T01234567/B01234567/password/X4";
    let redactor = Redactor::new([webhook.to_owned(), "-".repeat(40)]).unwrap();
    let text = "open https://login.example.net/device\n\rpassword: \n\ra -------------- b\n\rservices";
    let shown = screen(40, 5, text.as_bytes()).text_redacted(&redactor);
    assert_eq!(shown, "open https://login.example.net/device\npassword:\na -------------- b\n***");
}

/// Returns whether 8 bytes of the secret, or more, stand together in what is shown, blanks aside.
fn shares_piece(secret: &str, shown: &str) -> bool {
    let shown: String = shown.split_whitespace().collect();
    (0..secret.len() - 7).any(|at| shown.contains(&secret[at..at + 8]))
}

#[test]
fn wrapped_encodings_of_a_secret_are_masked_on_a_screen() {
    let value = "ghp_11111111112222222222333333333344444444445555555555";
    let redactor = Redactor::new([value.to_owned()]).unwrap();
    let hex = hex::encode(value);
    for columns in [60, 64, 76, 78] {
        let lines: Vec<&str> =
            (0..hex.len()).step_by(columns).map(|at| &hex[at..hex.len().min(at + columns)]).collect();
        for cols in [20, 40, 80, 100] {
            let shown = screen(cols, 20, (lines.join("\r\n") + "\r\n$ ").as_bytes()).text_redacted(&redactor);
            assert!(shown.chars().all(|c| "*\n$ ".contains(c)), "{columns} in {cols}: {shown}");
        }
    }
}

#[test]
fn the_beginning_of_a_secret_at_the_cursor_is_masked() {
    let redactor = Redactor::new(["hunter2-hunter2".to_owned()]).unwrap();
    let model = screen(20, 5, b"password: hunter2");
    assert_eq!(model.before_cursor(), "password: hunter2");
    assert_eq!(model.text_redacted(&redactor), "password: ***");
    assert_eq!(screen(20, 5, b"password: hunter2\r\n").text_redacted(&redactor), "password: hunter2");
}

#[test]
fn a_smaller_viewer_sees_the_part_with_the_cursor_and_a_larger_one_is_blank_around_it() {
    let mut model = screen(10, 4, "one\r\ntwo\r\nthree漢字x\r\nfour".as_bytes());
    let look = |cols, rows| Look { viewer: Some(size(cols, rows)), again: true, ..Look::default() };
    let mut small = screen(6, 2, b"old text that is there");
    small.replay(&model.paint_for(&look(6, 2)));
    assert_eq!(small.text(), "three\nfour");
    assert_eq!((small.cursor().row, small.cursor().col), (1, 4));
    let mut large = screen(14, 6, &b"old text that is there".repeat(5));
    large.replay(&model.paint_for(&look(14, 6)));
    assert_eq!(large.text(), "one\ntwo\nthree漢字x\nfour");
    assert_eq!((large.cursor().row, large.cursor().col), (3, 4));
}

#[test]
fn hostile_output_costs_little() {
    let mut model = Screen::new(size(80, 24));
    for _ in 0..1000 {
        model.replay(b"\x1b[65535b\x1b[?1049h\x1b[>31u\x1b[22t\x1b[65535S\x1b[65535L\x1b[65535@");
    }
    model.replay("a".as_bytes());
    model.replay("\u{301}".repeat(100_000).as_bytes());
    model.replay(b"\x1b]2;");
    for _ in 0..100 {
        model.replay(&[b'x'; 10_000]);
    }
    model.replay(b"\x07\x1b]8;;http://");
    model.replay(&[b'x'; 10_000]);
    model.replay(b"\x07\x1b[30;40r\x1b[99999;99999H\x1bD\x1bM");
    assert!(model.text().chars().count() < 80 * 24 * 10);
    assert!(model.title().unwrap().len() <= 8 << 10);
    assert!(model.paint().len() < 100_000);
    assert_eq!(Screen::new(size(0, 0)).size(), size(2, 1));
    assert_eq!(Screen::new(size(u16::MAX, u16::MAX)).size(), size(COLS_MAX, ROWS_MAX));
}

fn piece() -> impl Strategy<Value = String> {
    let n = || 0..12_u16;
    prop_oneof![
        8 => "[a-c #]{1,7}",
        3 => prop::sample::select(vec!["漢", "🙂", "e\u{301}", "\u{301}", "│", "ß", "\t", "\r\n", "\n", "\r", "\x08"]).prop_map(str::to_owned),
        3 => (n(), n()).prop_map(|(a, b)| format!("\x1b[{a};{b}H")),
        4 => prop::sample::select(vec![
            "0", "1", "2", "3", "4", "4:3", "21", "22", "7", "8", "9", "31", "42", "95", "104", "38;5;9", "48;2;1;2;3",
            "58:5:7", "39", "49", "24",
        ])
        .prop_map(|sgr| format!("\x1b[{sgr}m")),
        3 => (n(), prop::sample::select("@ABCDGJKLMPSTXZbdE".chars().collect::<Vec<_>>())).prop_map(|(a, c)| format!("\x1b[{a}{c}")),
        1 => (n(), n()).prop_map(|(a, b)| format!("\x1b[{a};{b}r")),
        2 => (prop::sample::select(vec![1, 7, 12, 25, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1049, 2004]), any::<bool>())
            .prop_map(|(mode, set)| format!("\x1b[?{mode}{}", if set { 'h' } else { 'l' })),
        1 => (prop::sample::select(vec![4, 20]), any::<bool>()).prop_map(|(mode, set)| format!("\x1b[{mode}{}", if set { 'h' } else { 'l' })),
        2 => prop::sample::select(vec![
            "\x1b7", "\x1b8", "\x1bM", "\x1bD", "\x1b(0", "\x1b(B", "\x1b)0", "\x0e", "\x0f", "\x1b=", "\x1b>", "\x1bH",
            "\x1b[g", "\x1b[3g", "\x1b[4 q", "\x1b[5 q", "\x1b[0 q", "\x1b]2;t1\x07", "\x1b]0;\x07", "\x1b[22t", "\x1b[23t",
            "\x1b]8;id=k;http://l/\x1b\\", "\x1b]8;;http://m/\x1b\\", "\x1b]8;;\x1b\\", "\x1b]4;5;#010203\x07", "\x1b]104\x07", "\x1b]10;#ffffff\x07",
            "\x1b#8", "\x1bc", "\x1b[>4;1m", "\x1b[=3u", "\x1b[>1u", "\x1b[<u",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn a_paint_shows_the_same_on_a_fresh_terminal(
        pieces in prop::collection::vec(piece(), 0..40),
        cols in 2..12_u16,
        rows in 1..6_u16,
    ) {
        assert_paints_itself(pieces.concat().as_bytes(), cols, rows);
    }

}

/// What cuts, moves and overwrites text.
fn drawing() -> impl Strategy<Value = String> {
    let n = || 0..30_u16;
    prop_oneof![
        (n(), n()).prop_map(|(a, b)| format!("\x1b[{a};{b}H")),
        (n(), prop::sample::select("@PXKJ1LMSTGdb`".chars().collect::<Vec<_>>()))
            .prop_map(|(n, c)| if c == '1' { "\x1b[1K".to_owned() } else { format!("\x1b[{n}{c}") }),
        (1..4_u16, 2..9_u16).prop_map(|(a, b)| format!("\x1b[{a};{}r", a + b)),
        "[ .!]{1,12}",
        prop::sample::select(vec![
            "\x1b[?7l",
            "\x1b[?7l",
            "\x1b[?7h",
            "\x1b[4h",
            "\x1b[4l",
            "\r",
            "\r\n",
            "\t",
            "\x08",
            "\x1bM",
            "漢",
            "界🙂",
            "e\u{301}",
            "\x1b[?1049h",
            "\x1b[?1049l",
            "\x1b[2;9s",
            "\x1b[?69h",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_piece_of_a_secret_is_shown_however_it_is_drawn(
        secret in "([a-z][A-Z0-9]){6,30}".prop_filter("a row of the same", |secret| {
            secret.as_bytes().windows(8).all(|piece| piece.iter().collect::<std::collections::BTreeSet<_>>().len() > 3)
        }),
        drawn in prop::collection::vec((drawing(), any::<bool>()), 1..20),
        [cols, wider] in prop::array::uniform2(9..60_u16),
        rows in 2..9_u16,
    ) {
        let redactor = Redactor::new([secret.clone()]).unwrap();
        let mut model = Screen::new(size(cols, rows));
        for (at, (operation, is_behind)) in drawn.iter().enumerate() {
            model.replay(operation.as_bytes());
            if *is_behind {
                model.replay(secret.as_bytes());
            }
            if at == drawn.len() / 2 {
                model.resize(size(wider, rows));
            }
            let shown = model.text_redacted(&redactor);
            prop_assert!(!shares_piece(&secret, &shown), "{}", shown);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_and_sizes_leave_the_model_alive(
        pieces in prop::collection::vec(
            prop_oneof![
                piece().prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..20),
                Just(b"\x1b[?6h".to_vec()),
            ],
            0..40,
        ),
        sizes in prop::collection::vec((0..20_u16, 0..10_u16), 1..6),
        secret in "[a-c]{4}",
    ) {
        let redactor = Redactor::new([secret.clone()]).unwrap();
        let mut model = Screen::with_history(size(7, 3), 5);
        for (at, piece) in pieces.iter().enumerate() {
            let _ = model.feed(piece);
            let (cols, rows) = sizes[at % sizes.len()];
            model.resize(size(cols, rows));
            let text = model.text_redacted(&redactor);
            prop_assert!(!text.contains(&secret));
            let _ = model.paint_for(&Look { redactor: Some(&redactor), viewer: Some(size(rows, cols)), again: false });
        }
        prop_assert!(!model.text().chars().any(|c| c.is_control() && c != '\n'));
    }
}

/// Only the terminal knows that it has wrapped a row.
#[test]
fn rows_that_were_wrapped_are_one_line_for_the_monitor() {
    let mut screen = Screen::new(TermSize { cols: 10, rows: 6 });
    screen.feed(b"first\r\nRemove all of it? [y/N] ");
    let view = screen.view(&Redactor::default());
    assert_eq!(view.lines, ["first", "Remove all of it? [y/N]", "", "", "", ""]);
    assert_eq!((view.cursor_row, view.cursor_col), (1, 24));
    assert_eq!(screen.lines_redacted(&Redactor::default()), view.lines);
    screen.feed(b"y\r\nabcdefghij\r\nnext");
    let view = screen.view(&Redactor::default());
    assert_eq!(
        view.lines[1..4],
        ["Remove all of it? [y/N] y", "abcdefghij", "next"],
        "a full row is not wrapped"
    );
    // The length of a secret shows nowhere.
    let shown = |secret: &str| {
        let mut screen = Screen::new(TermSize { cols: 10, rows: 6 });
        screen.feed(format!("key {secret} is wrong: ").as_bytes());
        screen.lines_redacted(&Redactor::new([secret.to_owned()]).unwrap())[0].clone()
    };
    assert_eq!(shown("opensesame"), "key *** is wrong:");
    assert_eq!(shown("opensesame"), shown("opensesame-opensesame"));
    let mut wide = Screen::new(TermSize { cols: 5, rows: 3 });
    wide.feed("削除しますか".as_bytes());
    assert_eq!(wide.view(&Redactor::default()).lines[0], "削除しますか");
    let mut full = Screen::new(TermSize { cols: 10, rows: 3 });
    full.feed(b"\x1b[?1049hRemove all of it?");
    assert_eq!(
        full.view(&Redactor::default()).lines,
        ["Remove all", " of it?", ""],
        "each row is placed there"
    );
}
