//! What moves above a question before it is listed hides nothing of it, and makes no second prompt.

use super::above::{MENU, Screen, claude, reads};
use crate::monitor::ReaderHow::{Poll, Read};
use crate::monitor::arbiter::story::{RAW, Story};

/// Rows that moved before a prompt counted make no second prompt when they move afterwards.
#[test]
fn rows_that_moved_before_a_prompt_was_listed_leave_it_the_same() {
    for menu in [MENU, "Run it? [y/N] "] {
        for every in [800, 1200, 1500, 1900] {
            let screen = |turn: usize| format!("Log {}\n\nCommand: ls\n{menu}", "x".repeat(turn % 7));
            let mut story = reads(Poll, RAW, menu.starts_with("Run"));
            for turn in 0..20 {
                story.shows(&screen(turn)).pass(every);
            }
            let told = story.take();
            assert!(told.contains("blocked 1") && told.lines().count() == 1, "{menu} {every}: {told}");
            story.shows(&screen(20).replace("ls", "rm"));
            assert!(!story.holds(), "{menu}");
        }
    }
}

/// Writes a command in pieces into the screen. It is shown, and no answer is for another one.
fn is_shown(mut story: Story, screen: &Screen, pieces: usize, every: i64) {
    let command = "rm -r /home/pat/a/b/c/d";
    for piece in 1..=pieces {
        story.shows(&screen(&command[..command.len() * piece / pieces])).pass(every);
    }
    story.pass(10_000);
    let rows = story.item_rows();
    assert!(rows.contains(command), "{pieces}: {rows}");
    assert!(story.holds(), "{pieces}: {rows}");
    story.shows(&screen("rm -r /"));
    assert!(!story.holds(), "{pieces}: {rows}");
}

#[test]
fn a_command_that_is_written_while_its_question_stands_is_shown() {
    for (menu, how) in [(MENU, Poll), ("Run it? [y/N] ", Poll), (MENU, Read)] {
        let screen: Screen = Box::new(move |command| format!("Log\n{command}\n{menu}"));
        for (pieces, every) in [(5, 500), (9, 300), (3, 900)] {
            is_shown(reads(how, RAW, menu.starts_with("Run")), &screen, pieces, every);
        }
    }
}

/// A rule finds the dialog.
#[test]
fn a_command_that_an_agent_writes_in_pieces_is_shown() {
    for (pieces, every) in [(5, 300), (4, 700)] {
        is_shown(Story::agent("claude"), &claude(&["CMD"]), pieces, every);
    }
}

/// Nothing is asked on a screen that shows a list without a cursor. It is one item, and an answer is for what was shown.
#[test]
fn a_list_without_a_cursor_that_is_updated_is_one_item() {
    let mut story = reads(Poll, RAW, false);
    story.view.alternate = true;
    let screen = |turn: usize| format!("a.txt {} kB\nb.txt\n\nsorted by size", 10 + turn);
    for turn in 0..8 {
        story.shows(&screen(turn)).pass(100_000);
    }
    let told = story.take();
    assert!(told.contains("question") && told.matches("blocked").count() == 1, "{told}");
    story.shows(&screen(8));
    assert!(!story.holds());
}

/// A command that came once, right above rows that move, is shown.
#[test]
fn a_command_above_rows_that_moved_before_is_shown() {
    let screen = |turn: usize| {
        let command = if turn < 2 { "" } else { "rm -r /home/pat" };
        format!("{command}\nLog {turn} {}\nRun it? [y/N] ", "x".repeat(turn % 7))
    };
    let mut story = reads(Poll, RAW, true);
    for turn in 0..6 {
        story.shows(&screen(turn)).pass(600);
    }
    assert!(story.arbiter.verdict().is_some(), "{}", story.take());
    assert!(story.item_rows().contains("rm -r /home/pat"), "{}", story.item_rows());
}
