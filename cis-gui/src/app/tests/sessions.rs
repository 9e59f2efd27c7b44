//! A session's terminal: typed into, scrolled, selected, searched, and larger than its place.

use cis_core::api::TermSize;
use cis_core::ids::SessionId;
use egui::{Event, ImeEvent, MouseWheelUnit, PointerButton, Pos2, ViewportCommand, vec2};

use super::*;
use crate::terminal::{Standing, Terminal, ToSession};

const SESSION: &str = "01JD0V3Z8K6T9W2B5N7Q4R1XED";
/// Ctrl, as a window on Linux reports it.
const CTRL: Modifiers = Modifiers { command: true, ..Modifiers::CTRL };

/// A live terminal of this size that shows this.
pub(super) fn open(stage: &mut Stage, size: TermSize, bytes: &[u8]) -> Arc<Terminal> {
    let session: SessionId = SESSION.parse().unwrap();
    stage.go(Go::Session(session));
    let opened = stage.sent().into_iter().find_map(|command| match command {
        Command::Open(terminal) => Some(terminal),
        _ => None,
    });
    let terminal = opened.expect("the panel asks for the terminal");
    terminal.change(|shown| {
        shown.screen.resize(size);
        shown.screen.replay(bytes);
        shown.standing = Standing::Live { read_only: false };
    });
    stage.steps();
    terminal
}

fn small() -> TermSize {
    TermSize { cols: 80, rows: 24 }
}

fn lines(from: usize, to: usize) -> Vec<u8> {
    (from..to).flat_map(|n| format!("line {n}\r\n").into_bytes()).collect()
}

impl Stage {
    fn event(&mut self, event: Event) {
        self.harness.event(event);
        self.harness.step();
    }

    /// Presses a key and returns what the window is told to do then.
    fn press_key(&mut self, modifiers: Modifiers, key: Key) -> Vec<ViewportCommand> {
        self.event(Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers });
        self.harness.output().viewport_output[&egui::ViewportId::ROOT].commands.clone()
    }

    /// A key with its text, and all of it let go of, in one frame.
    fn type_key(&mut self, modifiers: Modifiers, key: Key, text: &str) {
        let event = |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers };
        let (text, free) = (Event::Text(text.into()), Event::ModifiersChanged(Modifiers::NONE));
        self.harness.input_mut().events.extend([event(true), text, event(false), free]);
        self.harness.step();
    }

    fn middle(&self) -> Pos2 {
        self.harness.get_by_label("Terminal").rect().center()
    }

    /// The first line that the window shows of the terminal.
    fn first_line(&self) -> String {
        let mut rows: Vec<_> = self
            .harness
            .query_all_by_label_contains("line ")
            .map(|node| (node.rect().top(), said(&node)))
            .collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        rows.first().map(|row| row.1.clone()).unwrap_or_default()
    }

    fn wheel(&mut self, points: f32) {
        let at = self.middle();
        self.event(Event::PointerMoved(at));
        let (unit, phase, source) =
            (MouseWheelUnit::Point, egui::TouchPhase::Move, egui::MouseWheelSource::Wheel);
        let (delta, modifiers) = (vec2(0.0, points), Modifiers::NONE);
        self.event(Event::MouseWheel { unit, phase, source, delta, modifiers });
    }

    fn button(&mut self, pos: Pos2, pressed: bool) {
        self.event(Event::PointerMoved(pos));
        let (button, modifiers) = (PointerButton::Primary, Modifiers::NONE);
        self.event(Event::PointerButton { pos, button, pressed, modifiers });
    }

    /// Selects from the place of a line to that of another one.
    fn drag(&mut self, from: Pos2, to: Pos2) {
        self.button(from, true);
        self.event(Event::PointerMoved(to));
        self.button(to, false);
    }

    /// Where a line begins.
    fn line_at(&self, label: &str) -> Pos2 {
        let rect = self.harness.get_by_label(label).rect();
        egui::pos2(rect.left() + 1.0, rect.center().y)
    }

    fn copied(&mut self) -> Option<String> {
        self.event(Event::Copy);
        self.clipboard()
    }

    /// What the last frame copied.
    fn clipboard(&self) -> Option<String> {
        self.harness.output().platform_output.commands.iter().find_map(|command| match command {
            egui::OutputCommand::CopyText(text) => Some(text.clone()),
            _ => None,
        })
    }
}

fn typed(from: &mut UnboundedReceiver<ToSession>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(ToSession::Typed(bytes)) = from.try_recv() {
        all.extend(bytes);
    }
    all
}

#[test]
fn a_clicked_terminal_gets_every_key_until_it_is_left() {
    let mut stage = stage();
    let terminal = open(&mut stage, small(), b"$ ");
    let mut from = terminal.outgoing().unwrap();
    stage.press(Key::A);
    assert!(typed(&mut from).is_empty(), "nobody has clicked it");
    stage.click("Terminal");
    stage.event(Event::Text("ls".into()));
    stage.harness.key_press(Key::Enter);
    stage.harness.key_press(Key::Tab);
    stage.harness.key_press(Key::Escape);
    stage.harness.key_press_modifiers(Modifiers::CTRL, Key::Num1);
    stage.event(Event::Paste("a\nb".into()));
    stage.steps();
    let bytes = typed(&mut from);
    assert_eq!(String::from_utf8_lossy(&bytes), "ls\r\t\x1ba\rb");
    assert!(stage.shows("Terminal"), "its keys go nowhere else");
    // The way out for those without a mouse.
    stage.press_with(Modifiers::SHIFT, Key::Escape);
    assert!(!stage.harness.get_by_label("Terminal").is_focused());
    stage.press_with(Modifiers::CTRL, Key::Num2);
    assert!(stage.shows("Asking the node") && typed(&mut from).is_empty());
}

#[test]
fn keys_that_zoom_and_quit_are_the_programs_while_its_terminal_has_the_keys() {
    let mut stage = stage();
    let terminal = open(&mut stage, small(), b"$ ");
    let mut from = terminal.outgoing().unwrap();
    stage.click("Terminal");
    assert!(!stage.press_key(CTRL, Key::Q).contains(&ViewportCommand::Close));
    stage.press_key(CTRL, Key::Minus);
    stage.steps();
    assert_eq!(typed(&mut from), b"\x11\x1f");
    assert!((stage.harness.ctx.zoom_factor() - 1.0).abs() < 0.01);
    stage.harness.key_press_modifiers(Modifiers::SHIFT, Key::Escape);
    stage.steps();
    stage.press_key(CTRL, Key::Minus);
    stage.steps();
    assert!((stage.harness.ctx.zoom_factor() - 0.9).abs() < 0.01);
    assert!(stage.press_key(CTRL, Key::Q).contains(&ViewportCommand::Close));
    assert!(typed(&mut from).is_empty());
}

#[test]
fn a_letter_with_alt_is_sent_once_behind_an_escape() {
    let mut stage = stage();
    let terminal = open(&mut stage, small(), b"$ ");
    let mut from = terminal.outgoing().unwrap();
    stage.click("Terminal");
    stage.type_key(Modifiers::ALT, Key::B, "b");
    assert_eq!(typed(&mut from), b"\x1bb");
    stage.type_key(Modifiers::NONE, Key::B, "b");
    stage.type_key(CTRL | Modifiers::ALT, Key::Q, "@");
    assert_eq!(typed(&mut from), b"b@", "AltGr is no Alt");
    // A character of a key that egui has no name for.
    stage.event(Event::ModifiersChanged(Modifiers::ALT));
    stage.event(Event::Text("§".into()));
    stage.event(Event::ModifiersChanged(Modifiers::NONE));
    stage.event(Event::Text("§".into()));
    assert_eq!(String::from_utf8(typed(&mut from)).unwrap(), "\u{1b}§§");
    stage.press_key(Modifiers::ALT, Key::Enter);
    assert_eq!(typed(&mut from), b"\x1b\r");
}

#[test]
fn text_of_an_input_method_is_shown_at_the_cursor_and_sent_when_it_is_committed() {
    let mut stage = stage();
    let terminal = open(&mut stage, small(), b"words\r\n$ ");
    let mut from = terminal.outgoing().unwrap();
    let ime = |stage: &Stage| stage.harness.output().platform_output.ime;
    let composed = |text: &str| Event::Ime(ImeEvent::Preedit { text: text.into(), active_range_chars: None });
    assert_eq!(ime(&stage), None, "nothing is typed yet");
    stage.click("Terminal");
    let told = ime(&stage).expect("where the cursor is");
    assert_eq!(told.purpose, egui::IMEPurpose::Terminal);
    let (line, cursor) = (stage.harness.get_by_label("words").rect(), told.cursor_rect);
    assert!(told.rect.contains_rect(cursor), "{told:?}");
    assert!((cursor.top() - line.bottom()).abs() < 1.0 && cursor.left() > line.left(), "{cursor} {line}");
    stage.event(composed("zhong"));
    assert!(stage.shows("zhong") && typed(&mut from).is_empty());
    stage.event(composed(""));
    stage.event(Event::Ime(ImeEvent::Commit("中文".into())));
    assert!(!stage.shows("zhong"));
    assert_eq!(String::from_utf8(typed(&mut from)).unwrap(), "中文");
    // What is not committed is gone with the keys.
    stage.event(composed("zhong"));
    stage.harness.key_press_modifiers(Modifiers::SHIFT, Key::Escape);
    stage.steps();
    assert!(!stage.shows("zhong") && ime(&stage).is_none());
    stage.event(Event::Ime(ImeEvent::Commit("中文".into())));
    assert!(typed(&mut from).is_empty());
}

#[test]
fn a_terminal_copies_and_pastes_with_the_keys_of_other_terminals() {
    let mut stage = stage();
    let both = CTRL | Modifiers::SHIFT;
    let terminal = open(&mut stage, small(), b"some words");
    let mut from = terminal.outgoing().unwrap();
    let select = |stage: &mut Stage| {
        let line = stage.line_at("some words");
        stage.drag(line, line + vec2(500.0, 0.0));
    };
    select(&mut stage);
    stage.press_key(both, Key::C);
    assert_eq!(stage.clipboard().as_deref(), Some("some words"));
    stage.press_key(both, Key::C);
    assert_eq!(stage.clipboard(), None, "nothing is selected");
    for (modifiers, key) in [(both, Key::V), (Modifiers::SHIFT, Key::Insert)] {
        let told = stage.press_key(modifiers, key);
        assert!(told.contains(&ViewportCommand::RequestPaste), "{key:?}: {told:?}");
    }
    stage.steps();
    assert!(typed(&mut from).is_empty(), "no program gets these keys");
    // It can be copied from also while nothing can be typed, with the keys and without.
    terminal.change(|shown| shown.standing = Standing::Away { why: None });
    stage.steps();
    for has_keys in [true, false] {
        assert_eq!(stage.harness.get_by_label("Terminal").is_focused(), has_keys);
        assert!(!stage.press_key(both, Key::V).contains(&ViewportCommand::RequestPaste));
        select(&mut stage);
        stage.press_key(both, Key::C);
        assert_eq!(stage.clipboard().as_deref(), Some("some words"));
        stage.harness.key_press_modifiers(Modifiers::SHIFT, Key::Escape);
        stage.steps();
    }
}

#[test]
fn a_terminal_that_takes_no_keys_leaves_them_to_the_dashboard() {
    let away = [
        Standing::Away { why: None },
        Standing::Ended { detail: "exit code 0".into() },
        Standing::Live { read_only: true },
        Standing::Opening { why: None },
    ];
    for standing in away {
        let mut stage = stage();
        let terminal = open(&mut stage, small(), b"some words");
        terminal.change(|shown| shown.standing = standing.clone());
        stage.steps();
        if standing != (Standing::Opening { why: None }) {
            // It can be selected and copied, and takes no keys by that.
            let from = stage.line_at("some words");
            stage.drag(from, from + vec2(500.0, 0.0));
            assert_eq!(stage.copied().as_deref(), Some("some words"), "{standing:?}");
            stage.click("Terminal");
        }
        stage.press_with(Modifiers::CTRL, Key::Num2);
        assert!(stage.shows("Asking the node"), "{standing:?}");
    }
}

#[test]
fn a_terminal_that_stops_reading_gives_the_keys_to_the_dashboard_only_when_told() {
    let ends = [
        Standing::Away { why: None },
        Standing::Ended { detail: "exit code 0".into() },
        Standing::Live { read_only: true },
    ];
    for standing in ends {
        let mut stage = stage();
        let terminal = open(&mut stage, small(), b"some words");
        let mut from = terminal.outgoing().unwrap();
        stage.click("Terminal");
        terminal.change(|shown| shown.standing = standing.clone());
        stage.steps();
        stage.harness.key_press(Key::Escape);
        stage.harness.key_press(Key::Escape);
        stage.event(Event::Text("k".into()));
        stage.harness.key_press(Key::Enter);
        stage.press_with(Modifiers::CTRL, Key::Num2);
        assert!(stage.harness.get_by_label("Terminal").is_focused(), "{standing:?}");
        assert!(typed(&mut from).is_empty(), "{standing:?}");
        stage.press_with(Modifiers::SHIFT, Key::Escape);
        assert!(!stage.harness.get_by_label("Terminal").is_focused(), "{standing:?}: it is shown still");
        stage.press_with(Modifiers::CTRL, Key::Num2);
        assert!(stage.shows("Asking the node"), "{standing:?}");
    }
    // A node that comes back finds the terminal as it was.
    let mut stage = stage();
    let terminal = open(&mut stage, small(), b"some words");
    let mut from = terminal.outgoing().unwrap();
    stage.click("Terminal");
    terminal.change(|shown| shown.standing = Standing::Away { why: None });
    stage.steps();
    stage.event(Event::Text("lost".into()));
    terminal.change(|shown| shown.standing = Standing::Live { read_only: false });
    stage.steps();
    stage.event(Event::Text("typed".into()));
    assert_eq!(typed(&mut from), b"typed");
}

#[test]
fn a_terminal_that_cannot_be_shown_now_says_why() {
    let mut stage = stage();
    let terminal = open(&mut stage, small(), b"some words");
    let why = "what session 01JD shows is withheld: its secrets cannot be read".to_owned();
    terminal.change(|shown| shown.standing = Standing::Away { why: Some(why.clone()) });
    stage.steps();
    assert!(stage.shows(&why) && !stage.shows("the node is away"));
    terminal.change(|shown| shown.standing = Standing::Away { why: None });
    stage.steps();
    assert!(stage.shows("the node is away; tried again by itself"));
    let why = "session 01JD has not started yet".to_owned();
    terminal.change(|shown| shown.standing = Standing::Opening { why: Some(why.clone()) });
    stage.steps();
    assert!(stage.shows("Opening…") && stage.shows(&why) && !stage.shows("over: "));
}

#[test]
fn more_than_a_session_reads_is_refused_in_words() {
    let mut stage = stage();
    let terminal = open(&mut stage, small(), b"$ ");
    let mut from = terminal.outgoing().unwrap();
    stage.click("Terminal");
    stage.event(Event::Paste("a".repeat(900_000)));
    assert!(stage.harness.query_by_label_contains("Not typed").is_none());
    stage.event(Event::Paste("b".repeat(900_000)));
    stage.steps();
    assert!(stage.harness.query_by_label_contains("Not typed").is_some());
    stage.event(Event::Text("c".into()));
    stage.steps();
    assert!(stage.harness.query_by_label_contains("Not typed").is_none());
    let bytes = typed(&mut from);
    assert_eq!((bytes.len(), bytes.last()), (900_001, Some(&b'c')));
}

#[test]
fn letters_with_accents_of_their_own_are_said_and_copied_whole() {
    let mut stage = stage();
    stage.harness.ctx.set_missing_glyph_policy(MissingGlyphPolicy::Tofu);
    open(&mut stage, small(), "cafe\u{301} cre\u{300}me".as_bytes());
    let from = stage.line_at("cafe\u{301} cre\u{300}me");
    stage.drag(from, from + vec2(500.0, 0.0));
    assert_eq!(stage.copied().as_deref(), Some("cafe\u{301} cre\u{300}me"));
}

#[test]
fn a_long_history_is_searched_in_parts_and_then_nothing_is_asked_for() {
    let mut stage = stage();
    open(&mut stage, small(), &lines(0, 9_000));
    stage.press_with(Modifiers::CTRL, Key::F);
    stage.harness.get_by_label("Search the terminal").type_text("line 42");
    stage.harness.step();
    stage.harness.step();
    assert!(!stage.shows("111 found"), "not in one frame");
    for _ in 0..20 {
        stage.harness.step();
    }
    assert!(stage.shows("111 found"));
    let until = stage.harness.output().viewport_output[&egui::ViewportId::ROOT].repaint_delay;
    assert!(until > Duration::from_millis(100), "{until:?}");
}

#[test]
fn what_a_terminal_shows_is_there_for_screen_readers_too() {
    let mut stage = stage();
    open(&mut stage, small(), b"\x1b[31mred\x1b[0m and plain\r\n\r\nlast");
    assert!(stage.harness.query_by_label("red and plain").is_some());
    assert!(stage.harness.query_by_label("last").is_some());
}

#[test]
fn a_slow_wheel_scrolls_as_far_as_a_fast_one() {
    let mut stage = stage();
    open(&mut stage, small(), &lines(0, 200));
    let newest = stage.first_line();
    assert_eq!(newest, "line 177");
    for _ in 0..60 {
        stage.wheel(3.0);
    }
    stage.steps();
    let far: usize = stage.first_line().trim_start_matches("line ").parse().unwrap();
    assert!((160..173).contains(&far), "180 points are about ten lines: {far}");
    stage.click("To the newest");
    assert_eq!(stage.first_line(), newest);
}

#[test]
fn what_is_looked_at_and_selected_stays_while_output_comes() {
    let mut stage = stage();
    let terminal = open(&mut stage, small(), &lines(0, 200));
    for _ in 0..10 {
        stage.wheel(40.0);
    }
    stage.steps();
    let before = stage.first_line();
    assert_ne!(before, "line 177");
    let from = stage.line_at(&before);
    stage.drag(from, from + vec2(500.0, 0.0));
    terminal.change(|shown| shown.screen.replay(&lines(200, 250)));
    stage.steps();
    assert_eq!(stage.first_line(), before, "it stays where somebody reads");
    // A drag alone is enough to copy.
    assert_eq!(stage.copied().as_deref(), Some(before.as_str()));
}

#[test]
fn what_is_selected_and_found_stays_the_same_text_when_more_scrolls_out_than_is_kept() {
    let mut stage = stage();
    let terminal = open(&mut stage, small(), &lines(0, 10_500));
    for _ in 0..10 {
        stage.wheel(40.0);
    }
    stage.press_with(Modifiers::CTRL, Key::F);
    stage.harness.get_by_label("Search the terminal").type_text("line 104");
    stage.steps();
    stage.steps();
    let before = stage.first_line();
    let from = stage.line_at(&before);
    stage.drag(from, from + vec2(500.0, 0.0));
    let history = terminal.shown().screen.history();
    for n in 0..30 {
        terminal.change(|shown| shown.screen.replay(&lines(20_000 + 10 * n, 20_010 + 10 * n)));
        stage.harness.step();
    }
    assert_eq!(terminal.shown().screen.history(), history, "it is full");
    assert_eq!(stage.first_line(), before, "it stays where somebody reads");
    assert_eq!(stage.copied().as_deref(), Some(before.as_str()));
    // More than there is place for: what is gone is copied no more.
    let from = stage.line_at(&before);
    stage.drag(from, from + vec2(500.0, 0.0));
    terminal.change(|shown| shown.screen.replay(&lines(30_000, 45_000)));
    stage.steps();
    assert_eq!(stage.copied(), None);
}

#[test]
fn a_search_finds_marks_and_is_left_without_leaving_the_terminal() {
    let mut stage = stage();
    open(&mut stage, small(), &lines(0, 200));
    stage.press_with(Modifiers::CTRL, Key::F);
    stage.harness.get_by_label("Search the terminal").type_text("line 42");
    stage.steps();
    assert!(stage.shows("1 found"));
    stage.press(Key::Enter);
    assert_eq!(stage.first_line(), "line 42");
    stage.press(Key::Escape);
    assert!(stage.shows("Terminal"), "Esc leaves the field, not the view");
    stage.press(Key::Escape);
    assert!(!stage.shows("Search the terminal"));
}

#[test]
fn esc_leads_back_to_where_one_came_from() {
    let mut stage = stage();
    stage.shared.apply(Update::Run(Box::new(detail(1, &["compile"]))));
    let run = stage.shared.model().runs.all().next().unwrap().view().id;
    stage.go(Go::Run(run));
    open(&mut stage, small(), b"x");
    stage.press(Key::Escape);
    assert!(stage.shows("of 1 tasks"));
}

#[test]
fn a_screen_of_500_by_1000_is_drawn_where_its_cursor_is_and_scrolled() {
    a_large_screen_is_drawn(TermSize { cols: 500, rows: 1000 });
    a_large_screen_is_drawn(TermSize { cols: 1000, rows: 500 });
}

/// In a screen higher than [`ROWS_MAX`](cis_core::terminal::screen::ROWS_MAX) the first lines have scrolled out.
fn a_large_screen_is_drawn(size: TermSize) {
    let mut stage = stage();
    let wide = "w".repeat(usize::from(size.cols) - 10);
    let mut bytes = lines(0, 998);
    bytes.extend(format!("{wide}\x1b[1;31m the end\x1b[0m\r\nline 999").as_bytes());
    open(&mut stage, size, &bytes);
    let place = stage.harness.get_by_label("Terminal").rect();
    assert!(stage.harness.query_by_label("line 999").is_some(), "where the cursor is");
    assert!(stage.harness.query_by_label("line 0").is_none());
    for _ in 0..400 {
        stage.wheel(60.0);
    }
    stage.steps();
    assert!(stage.harness.query_by_label("line 0").is_some(), "and by scrolling all of it");
    for row in stage.harness.query_all_by_label_contains("line ") {
        assert!(place.contains_rect(row.rect()), "{:?} in {place:?}", row.rect());
    }
    // Nothing is drawn so small that nobody reads it.
    let row = stage.harness.get_by_label("line 0").rect();
    assert!(row.height() >= 7.0, "{row:?}");
}

#[test]
fn hostile_bytes_are_drawn() {
    let mut stage = stage();
    stage.harness.ctx.set_missing_glyph_policy(MissingGlyphPolicy::Tofu);
    let terminal = open(&mut stage, small(), b"");
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..40 {
        let noise: Vec<u8> = (0..2_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Escapes are rare among bytes, and what matters.
                if state.is_multiple_of(9) { 0x1b } else { state.to_le_bytes()[3] }
            })
            .collect();
        terminal.change(|shown| shown.screen.replay(&noise));
        stage.steps();
    }
    let worse = "\u{202E}לטורפ\u{0301}\u{0301} 👩‍👩‍👧‍👦 漢字\u{200B}\x1b]0;title\x07\x1b[999;999H\x1b[8mhidden\x1b[0m\x00\x7f\u{85}\x1b[2Jall";
    terminal.change(|shown| shown.screen.replay(worse.as_bytes()));
    stage.steps();
    assert!(stage.shows("all"));
}
