//! Questions with what is typed or chosen in the rows below them, and marks that look like progress or servers.

use crate::monitor::ReaderHow::{Poll, Read};
use crate::monitor::arbiter::story::{RAW, Story};

fn polls(screen: &str, hidden: bool) -> Story {
    let mut story = Story::plain();
    story.reads("node", Poll, RAW).view.cursor_visible = !hidden;
    story.shows(screen);
    story
}

fn told(screen: &str) -> String {
    polls(screen, true).pass(6000).take()
}

#[test]
fn a_question_above_its_input_is_found_without_a_cursor() {
    for (screen, asked) in [
        (
            "? Which theme?\n  1) dark\n  2) light\n  Answer: 1\n",
            "2500 blocked 1 question by kernel: ? Which theme?",
        ),
        ("? Save each night ?\nno / yes\n", "2500 blocked 1 permission by kernel: ? Save each night ?"),
        ("Where does the server run?\n>\n", "5000 blocked 1 question by kernel: Where does the server run?"),
        ("What is its name ?\nmy-project\n", "5000 blocked 1 question by kernel: What is its name ?"),
        ("Enter the name:\n", "5000 blocked 1 question by kernel: Enter the name:"),
    ] {
        let told = told(screen);
        assert!(told.contains(asked), "{told}\n{screen}");
    }
    for log in [
        "? Which theme?  dark\nCreating files\n",
        "? Description:\nCreating files\n",
        "Did you know?\n\nThere are 12 themes.\n",
        "Done:\n- one\n- two\n",
        "Serving at http://localhost:80\nAnything else?\nGET /\n",
    ] {
        assert_eq!(told(log), "", "{log}");
    }
}

#[test]
fn an_answered_question_that_stays_makes_room_for_the_next_one() {
    let mut story = polls("? Save each night ?\nno / yes\n", true);
    assert!(story.pass(3000).take().contains("? Save each night ?"));
    story.typed();
    story.shows("? Save each night ?\nno\n? Remove the lock now?\nno / yes\n").pass(4000);
    let told = story.take();
    assert!(told.contains("blocked 2") && told.contains("? Remove the lock now?"), "{told}");
}

#[test]
fn what_is_typed_over_an_offered_text_does_not_end_the_question() {
    let mut story = Story::plain();
    story.reads("node", Poll, RAW).puts("Where shall it go?\n./my-app");
    story.view.cursor_col = 0;
    story.bytes(30);
    let told = story.pass(6000).take();
    assert!(told.contains("blocked 1 question by kernel: Where shall it go?"), "{told}");
    story.typed();
    story.shows("Where shall it go?\n./b").pass(20_000);
    assert_eq!(story.take(), "");
}

#[test]
fn the_only_row_that_can_be_chosen_is_a_menu_where_keys_are_named() {
    let keys = "↑↓ navigate • ⏎ select\n";
    for rows in ["❯ npm\n", "❯ npm\n- pnpm not installed\n- yarn not installed\n\n"] {
        let told = told(&format!("? Which package manager do you want to\nuse?\n{rows}{keys}"));
        assert!(told.contains("[npm"), "{told}\n{rows}");
    }
    assert_eq!(told("? Which one  npm\n❯ npm\n- pnpm not installed\n"), "");
}

#[test]
fn an_interpreter_waits_for_the_rest_of_what_was_begun() {
    let told = polls("=> (defn f [x]\n... ", false).pass(6000).take();
    assert!(told.contains("idle by kernel"), "{told}");
    for work in ["Fetching... ", "Fetching\n..."] {
        let mut story = Story::plain();
        story.reads("node", Poll, crate::monitor::arbiter::story::LINES).shows(work).pass(60_000);
        assert_eq!(story.take(), "", "{work}");
    }
}

#[test]
fn a_prompt_may_be_an_address_and_a_key_may_end_it() {
    for (prompt, kind) in [
        ("http://127.0.0.1:18999> ", "idle"),
        ("Press Enter to quit", "question"),
        ("Press any key to exit...", "question"),
        ("Drücken Sie eine beliebige Taste, um fortzufahren . . .", "question"),
    ] {
        let told = polls(prompt, false).pass(4000).take();
        assert!(told.contains(kind), "{told}\n{prompt}");
    }
    for server in [
        "Now listening on http://localhost:5000\nPress Enter to stop",
        "Serving at http://127.0.0.1:8000\nPress Ctrl+C to quit ",
        "Press q to quit",
    ] {
        assert_eq!(polls(server, false).pass(60_000).take(), "", "{server}");
    }
}

/// An editor with this in its last row, and the cursor in its text.
fn edits(low: &str) -> Story {
    let mut story = Story::plain();
    story.reads("scribble", Read, RAW).puts(&editor(low));
    story.view.cursor_row = 1;
    story.view.cursor_col = 0;
    story.bytes(900);
    story
}

fn editor(low: &str) -> String {
    format!("Dear all,\n\n{}notes.txt   Ln 2, Col 1\n{low}", "~\n".repeat(12))
}

#[test]
fn what_an_editor_asks_below_its_text_is_a_prompt_of_its_own() {
    for (low, asked) in [
        ("Save modified buffer? (y/n)", "permission by kernel: Save modified buffer? (y/n)"),
        // The terminal is too narrow for its end.
        ("close: Save modified? (y=yes, n=no, C-c=", "permission by kernel: close: Save modified?"),
        ("Unsaved changes. Press Ctrl-Q 2 more times to quit.", "permission by kernel: Unsaved changes."),
        ("Press ^C again to exit without saving", "permission by kernel: Press ^C again"),
        ("Save as: draft (ESC to cancel)", "question by kernel: Save as: draft"),
    ] {
        let mut story = edits("saved");
        let told = story.pass(3000).take();
        assert!(told.contains("blocked 1 editor"), "{told}");
        story.typed();
        story.puts(&editor(low));
        (story.view.cursor_row, story.view.cursor_col) = (1, 0);
        let told = story.bytes(40).pass(3000).take();
        assert!(told.contains("blocked 2") && told.contains(asked), "{low}: {told}");
    }
    for message in ["3 lines written", "Press F1 for help", "Modified: 3 (F2 saves)", "Search: foo"] {
        let mut story = edits("saved");
        story.pass(3000).take();
        story.typed();
        story.puts(&editor(message));
        (story.view.cursor_row, story.view.cursor_col) = (1, 0);
        assert_eq!(story.bytes(40).pass(6000).take(), "", "{message}");
    }
}

#[test]
fn what_stands_in_the_text_of_an_editor_asks_nothing() {
    for words in ["read -p \"Overwrite the file? (y/n)\"", "Unsaved changes: press Ctrl-C again to quit."] {
        let mut story = Story::plain();
        let text = format!("#!/bin/sh\n{}{words}\n", "true\n".repeat(20));
        story.reads("vim", Read, RAW).puts(&text);
        (story.view.alternate, story.view.cursor_row, story.view.cursor_col) = (true, 1, 0);
        let told = story.bytes(900).pass(3000).take();
        assert!(told.contains("blocked 1 editor"), "{told}");
        // Without a row for messages, the text goes on to the last one.
        story.typed();
        story.puts(&text[10..text.len() - 1]);
        (story.view.cursor_row, story.view.cursor_col) = (1, 0);
        assert!(!story.bytes(900).pass(6000).take().contains("permission"), "{words}");
    }
}

#[test]
fn a_watcher_that_names_its_keys_asks_nothing() {
    let told = polls("Ran 12 tests, all passed\nPress q to quit, press Enter to run the tests again", true);
    assert_eq!({ told }.pass(20_000).take(), "");
}

#[test]
fn a_program_that_was_answered_and_polls_again_waits_again() {
    let answered = || {
        let mut story = polls("? Which theme?\n❯ dark\n  light\n", true);
        let told = story.pass(3000).take();
        assert!(told.contains("blocked 1 question"), "{told}");
        story.typed();
        story
    };
    let mut story = answered();
    let told = story.shows("Layout\n\n  wide   narrow\n").pass(7000).take();
    assert!(told.contains("blocked 2 question"), "{told}");
    // It works, or its words say so.
    let mut story = answered();
    assert!(!story.shows("Installing packages...\n").pass(20_000).take().contains("blocked 2"));
    let mut story = answered();
    story.nobody_reads();
    assert!(!story.shows("Layout\n\n  wide   narrow\n").pass(20_000).take().contains("blocked 2"));
    // A server writes when it is asked for something.
    let mut story = answered();
    story.nobody_reads().shows("Starting\n").pass(4000);
    story.reads("node", Poll, RAW);
    story.shows("GET /page/7 200 in 9ms\nGET /page/8 200 in 8ms\n");
    assert!(!story.pass(20_000).take().contains("blocked 2"));
    // Nobody has asked anything before.
    assert_eq!(polls("Layout\n\n  wide   narrow\n", true).pass(20_000).take(), "");
}

#[test]
fn a_view_with_a_counter_of_a_program_that_nobody_can_look_into_asks_nothing() {
    let mut story = Story::plain();
    story.evidence.modes = Some(RAW);
    story.evidence.opaque = true;
    (story.view.alternate, story.view.cursor_visible) = (true, false);
    for second in 0..20 {
        story.shows(&format!("Interface eth0\n\n\nPackets: 12{second:02}\n")).pass(1000);
    }
    assert_eq!(story.take(), "");
}
