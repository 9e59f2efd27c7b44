//! A verdict is of one moment: its question stands where somebody reads, and what stands there instead is
//! another prompt.

use crate::monitor::ReaderHow::{Poll, Read};
use crate::monitor::arbiter::story::{HIDDEN, LINES, RAW, Story};
use crate::monitor::{Modes, Profile, Reader, Signal};

/// A prompt that counts, and what it asks.
fn asked(screen: &str) -> Story {
    let mut story = Story::plain();
    story.shows(screen).reads("bash", Read, LINES).pass(1500);
    assert!(story.take().contains("blocked 1"), "{screen}");
    story
}

fn question(story: &Story) -> Option<&str> {
    story.arbiter.verdict().map(|verdict| verdict.question.as_str())
}

#[test]
fn a_screen_that_was_not_looked_at_makes_no_verdict() {
    let mut story = Story::plain();
    story.shows("Name: ").reads("bash", Read, LINES).pass(900);
    // The node is late: the question changes, and who reads is told before anybody looks at it.
    story.unseen("Remove everything? [y/N] ");
    story.late(1200).pass(3000);
    let told = story.take();
    assert!(told.contains("blocked 1 permission by kernel: Remove everything?"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn who_read_at_another_screen_is_asked_again() {
    let mut story = Story::plain();
    story.shows("Name: ").reads("bash", Read, LINES).pass(900);
    // Who read there reads no more when the screen is looked at.
    story.unseen("Street: ");
    let evidence = story.evidence.clone();
    story.arbiter.kernel(&evidence, story.now);
    story.unseen("Compiling: ");
    story.nobody_reads().pass(60_000);
    assert_eq!(story.take(), "");
}

#[test]
fn what_is_printed_at_the_place_of_a_prompt_is_another_prompt() {
    for (first, second, asks) in [
        ("Which one?\n", "Which one?\nRemove it? [y/N] ", "Remove it? [y/N]"),
        ("", "Remove it? [y/N] ", "Remove it? [y/N]"),
        ("Continue? ", "Continue? And remove all? ", "Continue? And remove all?"),
        ("Continue", "Continue? ", "Continue?"),
    ] {
        let mut story = asked(first);
        story.shows(second);
        assert!(!story.holds(), "{first:?}");
        story.pass(3000);
        let told = story.take();
        assert!(told.contains("over 1") && told.contains("blocked 2"), "{first:?}: {told}");
        assert_eq!(question(&story), Some(asks));
    }
}

#[test]
fn what_is_typed_where_nothing_stood_is_no_prompt() {
    let mut story = asked("Which one?\n");
    story.typed().shows("Which one?\nthe red").pass(3000);
    assert_eq!(story.take(), "");
    // What is there now is not what was asked.
    assert!(!story.holds());
    story.shows("Which one?\nRemove it? [y/N] ").pass(3000);
    assert!(story.take().contains("blocked 2"));
}

#[test]
fn a_list_whose_upper_rows_changed_is_another_prompt() {
    let list = |first: &str| format!("1) {first}\n2) b\n3) c\n4) d\n5) e\n#? ");
    let mut story = asked(&list("keep"));
    story.shows(&list("remove"));
    assert!(!story.holds());
    story.pass(3000);
    let told = story.take();
    assert!(told.contains("over 1") && told.contains("[remove"), "{told}");
}

#[test]
fn a_prompt_that_is_gone_is_over_though_output_flows() {
    let mut story = asked("Name: ");
    story.typed().nobody_reads();
    for turn in 0..20 {
        story.shows(&format!("Name: Jan\nline {turn}\n")).pass(100);
    }
    assert!(story.take().contains("over 1"));
}

#[test]
fn the_same_words_without_an_echo_ask_for_a_secret() {
    let mut story = asked("Value: ");
    story.reads("bash", Read, HIDDEN).shows("Value: ").pass(3000);
    let told = story.take();
    assert!(told.contains("over 1") && told.contains("blocked 2 password"), "{told}");
}

#[test]
fn a_report_with_other_words_is_another_prompt() {
    let says = |message: &str| Signal::Status {
        state: "blocked".to_owned(),
        app: None,
        kind: Some("permission".to_owned()),
        message: Some(message.to_owned()),
    };
    let mut story = Story::agent("claude");
    story.shows("some text").signal(&says("Ship it?")).pass(1000);
    assert_eq!(question(&story), Some("Ship it?"));
    story.signal(&says("Remove it?")).pass(1000);
    assert_eq!(question(&story), Some("Remove it?"));
    assert!(story.take().contains("over 1"));
    // The screen that people were shown is not there any more.
    assert!(story.holds());
    story.shows("something else");
    assert!(!story.holds());
}

#[test]
fn a_marker_with_other_words_is_another_prompt() {
    let table: toml::Table = "markers = true".parse().expect("TOML");
    let mut story = Story::of(Profile::from_table("x", None, &table).expect("a profile"));
    story.shows("QUESTION: which colour?\n").pass(3000);
    story.shows("QUESTION: which colour?\nQUESTION: remove all?\n");
    assert!(!story.holds());
    story.pass(3000);
    assert_eq!(question(&story), Some("remove all?"));
}

#[test]
fn a_terminal_inside_that_asks_something_else_is_another_prompt() {
    let mut story = Story::agent("gemini");
    let inside = Reader { nested: true, ..Reader::new(9, "bash", Read, Some(LINES)) };
    story.evidence.readers.push(inside);
    let asks = |row: &str, turn: i64| {
        format!("╭────────╮\n│ Shell x │\n│ {row} │\n╰────────╯\n Thinking... (esc to cancel, {turn}s)\n > ")
    };
    for turn in 0..30 {
        story.shows(&asks("Name:", turn)).pass(100);
    }
    assert_eq!(question(&story), Some("Name:"));
    story.shows(&asks("Name: and remove all?", 30));
    assert!(!story.holds());
    for turn in 30..60 {
        story.shows(&asks("Name: and remove all?", turn)).pass(100);
    }
    assert_eq!(question(&story), Some("Name: and remove all?"));
}

#[test]
fn who_polls_behind_another_text_waits_at_another_prompt() {
    let mut story = Story::plain();
    story.shows("package name: (a) ").reads("node", Poll, RAW).pass(4000);
    assert_eq!(question(&story), Some("package name: (a)"));
    story.shows("package name: (a) version: ").pass(5000);
    assert_eq!(question(&story), Some("package name: (a) version:"));
}

#[test]
fn what_is_asked_behind_an_answer_that_is_not_shown_is_another_prompt() {
    let mut story = Story::plain();
    story.shows("Continue? ").reads("x", Read, RAW).pass(2000);
    assert_eq!(question(&story), Some("Continue?"));
    story.typed().shows("Continue? Really all? ");
    assert!(!story.holds());
    story.pass(3000);
    assert_eq!(question(&story), Some("Continue? Really all?"));
}

/// Programs that take one key write the next question behind it, in the same row, whether they show the key or not.
#[test]
fn a_question_behind_an_answered_one_in_its_row_is_another_prompt() {
    const SHOWN: Modes = Modes { canonical: false, echo: true };
    for (name, how, modes, until) in [
        ("bash", Read, SHOWN, 1100),
        ("python3", Read, RAW, 1100),
        ("python3", Poll, RAW, 2600),
        ("cat", Read, LINES, 1100),
    ] {
        for key in ["n", ""] {
            let mut story = Story::plain();
            story.shows("Keep the notes? [y/N] ").reads(name, how, modes).pass(3000);
            assert_eq!(question(&story), Some("Keep the notes? [y/N]"));
            story.take();
            story.typed().shows(&format!("Keep the notes? [y/N] {key}  Delete the backup? [y/N] "));
            assert!(!story.holds(), "{name}");
            story.pass(until);
            let told = story.take();
            let asks = "blocked 2 permission by kernel: Delete the backup? [y/N] [yes allow_once";
            assert!(told.contains("over 1") && told.contains(asks), "{name} {how:?} {key:?}: {told}");
            // And one more.
            let row = format!("Keep the notes? [y/N] {key}  Delete the backup? [y/N] y  Done? Press any key");
            story.typed().shows(&row).pass(until);
            assert!(story.take().contains("blocked 3"), "{name} {how:?} {key:?}");
        }
    }
}

#[test]
fn what_is_typed_behind_a_question_is_no_other_one() {
    for typed in ["n", "none of [a] or (b)", "as in y/n", "what> "] {
        let mut story = Story::plain();
        story.shows("Keep the notes? [y/N] ").reads("bash", Poll, RAW).pass(3000);
        story.take();
        story.typed().shows(&format!("Keep the notes? [y/N] {typed}")).pass(4000);
        assert_eq!(story.take(), "", "{typed}");
    }
}

/// Nobody answers, and its program asks again in the same words.
#[test]
fn a_question_that_is_written_again_and_again_is_one_prompt() {
    let mut story = Story::plain();
    story.reads("python", Poll, LINES);
    let mut shown = "Upload failed. Try again? [y/N] ".to_owned();
    for _ in 0..6 {
        story.shows(&shown).pass(4000);
        shown.push_str("\nUpload failed. Try again? [y/N] ");
    }
    let told = story.take();
    assert!(told.contains("blocked 1") && !told.contains("over") && !told.contains("blocked 2"), "{told}");
}

/// A program that places each row itself has wrapped its question.
#[test]
fn a_question_that_goes_on_in_the_next_row_is_read_from_its_sign_on() {
    let mut story = Story::plain();
    story.view.cols = 40;
    story.reads("node", Poll, RAW);
    story.shows("? Name: a\n? Overwrite the files of an older one\nwith the same name? (Y/n) ").pass(10_000);
    let told = story.take();
    assert!(told.contains("Overwrite the files of an older one with the same name? (Y/n)"), "{told}");
}

#[test]
fn a_report_that_is_used_up_raises_no_other_prompt() {
    let rows = "xxxxxxxxxxxxxxxxxxxx\n".repeat(3);
    for first in [format!("{rows}xxx"), String::new(), format!("{rows}Which? ")] {
        let mut story = Story::plain();
        story.status("blocked", Some("permission")).shows(&first).pass(800);
        assert!(story.take().contains("blocked 1 permission by terminal"));
        story.shows(&format!("{rows}Continue? ")).pass(100).reads("sh", Read, LINES).pass(3000);
        let told = story.take();
        assert_eq!(told.matches("blocked").count(), 1, "{first:?}: {told}");
        assert!(told.contains("blocked 2 permission by kernel: Continue?"), "{told}");
        assert!(story.holds());
    }
}
