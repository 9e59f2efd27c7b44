//! When a prompt is over, when it is the same, and when it is another.

use crate::monitor::ReaderHow::{Poll, Read};
use crate::monitor::arbiter::story::{LINES, RAW, Story};
use crate::monitor::{Profile, Seed};

fn asked() -> Story {
    let mut story = Story::plain();
    story.shows("Name: ").reads("bash", Read, LINES).pass(1500);
    assert!(story.take().contains("blocked 1"));
    story
}

#[test]
fn what_is_typed_at_it_does_not_end_it() {
    let mut story = asked();
    for text in ["Name: J", "Name: Ja", "Name: Jan"] {
        story.typed().shows(text).pass(400);
    }
    assert_eq!(story.take(), "");
    story.typed().shows("Name: Jan\n").nobody_reads().pass(1000);
    assert_eq!(story.take().trim().split(' ').next_back(), Some("1"));
    assert!(story.arbiter.verdict().is_none());
}

#[test]
fn the_same_question_asked_again_is_another_episode() {
    let mut story = asked();
    let first = story.arbiter.verdict().map(|verdict| verdict.hash.clone());
    story.typed().shows("Name: Jan\nName: ").pass(2500);
    let told = story.take();
    assert!(told.contains("over 1") && told.contains("blocked 2 question"), "{told}");
    assert_ne!(first, story.arbiter.verdict().map(|verdict| verdict.hash.clone()));
    // Also where the screen is cleared in between, and shows exactly the same.
    let mut cleared = asked();
    cleared.typed().shows("Name: ").pass(2500);
    let told = cleared.take();
    assert!(told.contains("over 1") && told.contains("blocked 2 question"), "{told}");
}

#[test]
fn a_prompt_that_is_painted_anew_before_the_answer_shows_is_not_asked_again() {
    // So does rlwrap, after Enter.
    for (how, modes) in [(Read, LINES), (Poll, RAW), (Read, RAW)] {
        for stood_ms in [3000, 5500, 11_000] {
            let mut story = Story::plain();
            story.shows("").pass(100).shows("Name: ").reads("rlwrap", how, modes).pass(stood_ms);
            assert!(story.take().contains("blocked 1"));
            story.typed().puts("Name: ");
            story.bytes(80);
            story.shows("Name: Jan\n").nobody_reads().pass(3000);
            let told = story.take();
            let told: Vec<&str> = told.split_whitespace().skip(1).collect();
            assert_eq!(told, ["over", "1"], "{how:?}, {stood_ms} ms");
        }
    }
}

#[test]
fn neither_is_one_beside_rows_that_move() {
    for how in [Read, Poll] {
        let mut story = Story::plain();
        let screen = |turn: usize, typed: &str| format!("tick {turn}\nDelete all files? [y/N] {typed}");
        for turn in 0..48 {
            story.shows(&screen(turn, "")).reads("rlwrap", how, RAW).pass(250);
        }
        assert!(story.take().contains("blocked 1"), "{how:?}");
        story.typed();
        for turn in 48..52 {
            story.shows(&screen(turn, "")).pass(250);
        }
        story.shows(&screen(52, "y\n")).nobody_reads().pass(3000);
        let told = story.take();
        assert!(told.contains("over 1") && !told.contains("blocked"), "{how:?}: {told}");
    }
}

#[test]
fn a_repaint_does_not_end_it() {
    let mut story = asked();
    story.shows("").pass(100).shows("Name: ").pass(5000);
    assert_eq!(story.take(), "");
}

#[test]
fn spinners_and_clocks_elsewhere_do_not_end_it() {
    let mut story = Story::agent("claude");
    let screen = |turn: usize| {
        let spinner = ['✶', '✻', '✽'][turn % 3];
        format!(
            "{spinner} Waiting… ({turn}s)\n────────\n Bash command\n touch a\n Do you want to proceed?\n ❯ 1. Yes\n   2. No\n\n Esc to cancel\n"
        )
    };
    for turn in 0..40 {
        story.shows(&screen(turn)).pass(250);
    }
    let told = story.take();
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn who_reads_no_more_ends_it_without_a_word() {
    let mut story = asked();
    story.nobody_reads().pass(60_000);
    assert!(story.take().contains("over 1"));
}

#[test]
fn a_known_prompt_keeps_its_number_in_the_next_life() {
    let hash = asked().arbiter.verdict().map(|verdict| verdict.hash.clone());
    let mut again =
        Story::seeded(Profile::plain(), Seed { episode: 4, waiting: hash.clone(), ..Seed::default() });
    again.shows("Name: ").reads("bash", Read, LINES).pass(3000);
    assert_eq!(again.take(), "");
    assert_eq!(again.arbiter.verdict().map(|verdict| verdict.episode), Some(4));
    let mut other =
        Story::seeded(Profile::plain(), Seed { episode: 4, waiting: hash.clone(), ..Seed::default() });
    other.shows("Street: ").reads("bash", Read, LINES).pass(3000);
    assert_eq!(other.take(), "  1000 over 4\n  1000 blocked 5 question by kernel: Street:\n");
    let mut gone = Story::seeded(Profile::plain(), Seed { episode: 4, waiting: hash, ..Seed::default() });
    gone.shows("working\n").pass(20_000);
    assert!(gone.take().ends_with("over 4\n"));
}

#[test]
fn a_report_that_was_answered_asks_nothing_until_it_is_said_again() {
    let mut story = Story::plain();
    story
        .reads("bash", Read, LINES)
        .status("blocked", Some("permission"))
        .shows("Proceed 1? [y/N] ")
        .pass(500);
    assert!(story.take().contains("blocked 1"));
    // Its echo is looked at before the next question comes.
    story.typed().shows("Proceed 1? [y/N] y\n").pass(400);
    story.status("blocked", Some("permission")).shows("Proceed 1? [y/N] y\nProceed 2? [y/N] ").pass(700);
    let told = story.take();
    assert!(told.contains("over 1") && told.contains("blocked 2"), "{told}");
    let question = story.arbiter.verdict().map(|verdict| verdict.question.as_str());
    assert!(question.is_some_and(|question| question.ends_with("Proceed 2? [y/N]")), "{question:?}");
}

#[test]
fn the_next_life_says_that_it_has_not_looked_yet() {
    let hash = asked().arbiter.verdict().map(|verdict| verdict.hash.clone());
    let mut again = Story::seeded(Profile::plain(), Seed { episode: 4, waiting: hash, ..Seed::default() });
    assert_eq!(again.arbiter.explain(0).because, ["It has not been looked at yet."]);
    again.shows("working\n").pass(1000);
    let because = again.arbiter.explain(again.now).because;
    assert_eq!(because[0], "The prompt that it was last known to wait at has not been seen again yet.");
    again.pass(20_000);
    assert_eq!(again.arbiter.explain(again.now).because[0], "Nothing shows that it waits for a human.");
}

#[test]
fn an_answer_finds_its_prompt_or_does_not() {
    let mut story = asked();
    assert!(story.holds());
    story.view.lines = vec!["Name: Jan".to_owned(), "Street:".to_owned()];
    story.view.cursor_row = 1;
    story.view.cursor_col = 8;
    assert!(!story.holds());
}

#[test]
fn a_moved_highlight_is_another_menu() {
    let mut story = Story::plain();
    story.reads("node", Poll, RAW).shows("? Which one?\n❯ red\n  blue\n");
    story.view.cursor_visible = false;
    story.pass(4000);
    story.take();
    story.typed().shows("? Which one?\n  red\n❯ blue\n").pass(4000);
    let told = story.take();
    assert!(
        told.contains("over 1")
            && told.contains("blocked 2 question by kernel: Which one? [red - \"\\u{1b}[A\\r\"]"),
        "{told}"
    );
}

#[test]
fn a_prompt_that_gave_way_to_a_spinner_is_over_however_often_that_turns() {
    let mut story = Story::plain();
    story.view.cursor_visible = false;
    story.shows("◆  Registry password\n│  ").reads("node", Poll, RAW).pass(4000);
    assert!(story.take().contains("blocked 1"));
    story.typed();
    for turn in 0..60 {
        story.shows(["◒  Installing", "◐  Installing", "◓  Installing"][turn % 3]).pass(40);
    }
    assert!(story.take().contains("over 1"));
}

#[test]
fn who_goes_on_without_an_answer_is_believed_less() {
    // A player of recordings listens to keys all the while.
    let mut story = Story::plain();
    story.reads("player", Poll, RAW);
    for turn in 0..60 {
        story.shows(&format!("line {turn}\nContinue? [y/N] ")).pass(7000);
    }
    let told = story.take();
    let calls = told.lines().filter(|line| line.contains("blocked")).count();
    assert!((1..=2).contains(&calls), "{told}");
    // Nobody has to wait longer who is answered.
    let mut asks = Story::plain();
    asks.reads("asks", Poll, RAW);
    for turn in 0..20 {
        asks.shows(&format!("line {turn}\nContinue? [y/N] ")).pass(5000).typed().shows("y").pass(1000);
    }
    let told = asks.take();
    assert_eq!(told.lines().filter(|line| line.contains("blocked")).count(), 20, "{told}");
}
