//! What holds for every session, whatever it does.

use proptest::prelude::*;

use crate::monitor::arbiter::story::{HIDDEN, LINES, RAW, Story};
use crate::monitor::{Change, Modes, Profile, ReaderHow, Signal};

#[derive(Debug, Clone)]
enum Act {
    Shows(String),
    Bytes(u64),
    Reads(bool, u8),
    Nobody,
    Typed,
    Title(String),
    Status(&'static str),
    Mark(char),
    Pass(i64),
}

const SCREENS: &[&str] = &[
    "Name: ",
    "Name: x",
    "Name: x\nName: ",
    "$ ",
    "[y/N] ",
    "",
    "text\n",
    "1. a\n❯ 2. b\n",
    "QUESTION: a\n",
    "ERROR: b\n",
    "│ 1. Yes │\n❯ 1. Yes\n  2. No\n Do you want to x?\n Esc to cancel",
    "⠋ spin",
    "⠙ spin",
    "● a\n❯ \n? for shortcuts",
    "日本語：",
    "\u{202e}x? ",
];

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        prop::sample::select(SCREENS).prop_map(|screen| Act::Shows(screen.to_owned())),
        ".{0,40}".prop_map(Act::Shows),
        (1u64..100_000).prop_map(Act::Bytes),
        (any::<bool>(), 0u8..3).prop_map(|(read, modes)| Act::Reads(read, modes)),
        Just(Act::Nobody),
        Just(Act::Typed),
        ".{0,10}".prop_map(Act::Title),
        prop::sample::select(&["blocked", "working", "idle", "done", "error", "odd"][..])
            .prop_map(Act::Status),
        prop::sample::select(&['A', 'B', 'C', 'D'][..]).prop_map(Act::Mark),
        (1i64..4000).prop_map(Act::Pass),
    ]
}

fn play(story: &mut Story, act: &Act) {
    const MODES: [Modes; 3] = [LINES, HIDDEN, RAW];
    match act {
        Act::Shows(screen) => drop(story.shows(screen)),
        Act::Bytes(bytes) => drop(story.bytes(*bytes)),
        Act::Reads(read, modes) => {
            let how = if *read { ReaderHow::Read } else { ReaderHow::Poll };
            story.reads("x", how, MODES[usize::from(*modes)]);
        }
        Act::Nobody => drop(story.nobody_reads()),
        Act::Typed => drop(story.typed()),
        Act::Title(text) => drop(story.title(text)),
        Act::Status(state) => drop(story.status(state, Some("permission"))),
        Act::Mark(mark) => drop(story.signal(&Signal::Shell { mark: *mark, code: None })),
        Act::Pass(ms) => drop(story.pass(*ms)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn prompts_come_and_go_in_turn_and_their_numbers_grow(
        name in prop::sample::select(&["plain", "claude", "gemini", "aider"][..]),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let mut story = Story::of(Profile::builtin(name).expect("built in"));
        for act in &acts {
            play(&mut story, act);
            let explained = story.arbiter.explain(story.now);
            prop_assert_eq!(explained.verdict.as_ref(), story.arbiter.verdict());
        }
        let mut open = None;
        let mut last = 0;
        for line in story.take().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = || words[2].parse::<u32>().expect("a number");
            match words[1] {
                "blocked" => {
                    prop_assert_eq!(open, None);
                    prop_assert!(number() == last + 1);
                    last = number();
                    open = Some(last);
                }
                "over" => {
                    prop_assert_eq!(open, Some(number()));
                    open = None;
                }
                _ => {}
            }
        }
        prop_assert_eq!(open, story.arbiter.verdict().map(|verdict| verdict.episode));
    }

    #[test]
    fn any_screen(rows in prop::collection::vec(".{0,60}", 0..30), row in 0u16..40, col in 0u16..200) {
        let mut story = Story::plain();
        story.reads("x", ReaderHow::Read, LINES);
        story.view.lines = rows;
        story.view.cursor_row = row;
        story.view.cursor_col = col;
        story.bytes(10).pass(10_000);
        prop_assert!(story.arbiter.verdict().is_none_or(|verdict| !verdict.question.chars().any(char::is_control)));
    }
}

#[test]
fn changes_are_told_once() {
    let mut story = Story::plain();
    story.reads("x", ReaderHow::Read, LINES).shows("a? ").pass(2000);
    assert_eq!(story.arbiter.changes(story.now), Vec::<Change>::new());
}
