//! What programs paint around a question, and readers that a look finds awake.

use crate::monitor::ReaderHow::{Poll, Read};
use crate::monitor::arbiter::story::{LINES, RAW, Story};

fn painter(screen: &str) -> Story {
    let mut story = Story::plain();
    story.reads("node", Poll, RAW).view.cursor_visible = false;
    story.shows(screen);
    story
}

fn told(screen: &str, ms: i64) -> String {
    painter(screen).pass(ms).take()
}

#[test]
fn a_menu_in_an_indented_box_is_a_menu() {
    let boxed = "  ╭───────────────────────────╮\n  │ Trust this folder?         │\n  │                            │\n  │ › 1. Trust it              │\n  │   2. Don't trust it        │\n  ╰───────────────────────────╯\n";
    let told = told(boxed, 3000);
    assert!(told.contains("trust by kernel: Trust this folder? [Trust it"), "{told}");
}

#[test]
fn a_question_in_an_open_frame_is_found_whatever_stands_in_the_frame() {
    for (frame, asked) in [
        ("◇  Name\n│  a\n│\n◆  Write a title for the commit\n│\n└\n", "◆ Write a title"),
        (
            "│\n▲  What will it be called?\n│  My App!\n└  A name has lowercase letters only,\nand no blanks\n",
            "▲ What will it",
        ),
        ("◆  Add these files?\n│  Search:\n│  ◻ a.txt\n│  ↑/↓ to navigate\n└\n", "◆ Add these files?"),
    ] {
        let told = told(frame, 3000);
        assert!(told.contains("question by kernel") && told.contains(asked), "{told}\n{frame}");
    }
    assert_eq!(told("▲ Next.js 15\n├── a\n└── b\n", 20_000), "");
    // What was answered has another mark, and no corner below it.
    assert_eq!(told("◇  Write a title\n│  done\n│\n", 20_000), "");
    assert_eq!(told("◇  Write a title\n│  done\n│\n└  Done in 3 s\n", 20_000), "");
}

#[test]
fn a_question_that_is_wrapped_in_a_narrow_screen_is_read_whole() {
    let told = told("◆  Will you be using Tailwind CSS for\nstyling?\n│  ● Yes / ○ No\n└\n", 3000);
    assert!(told.contains("question by kernel: ◆ Will you be using Tailwind CSS for styling?"), "{told}");
}

#[test]
fn a_full_screen_without_words_is_a_question_sooner_after_a_key() {
    let form = "┌ New ─────────┐\n│ SQLite      ▼ │\n└──────────────┘\n\n";
    let mut story = painter("");
    story.view.alternate = true;
    story.pass(10_000).typed();
    story.shows(form).pass(3000);
    let at_key = story.take();
    assert!(at_key.contains("question by kernel"), "{at_key}");
    // What changes by itself may do so again.
    let mut story = Story::plain();
    story.reads("node", Poll, RAW).view.cursor_visible = false;
    story.view.alternate = true;
    story.shows(form).pass(3500);
    assert_eq!(story.take(), "");
    story.pass(2000);
    assert!(story.take().contains("question by kernel"));
}

#[test]
fn a_list_that_tells_somebody_to_choose_is_a_question_without_a_prompt() {
    let list = "Select boot device:\n\n1. Floppy\n2. DVD\n\n";
    let polls = |screen: &str| Story::plain().reads("qemu", Poll, RAW).shows(screen).pass(6000).take();
    assert!(polls(list).contains("question by kernel: Select boot device:\n"));
    assert_eq!(polls("What to do next:\n\n1. cd app\n2. npm install\n\n"), "");
    assert_eq!(polls("Steps of the build:\n\n1. fetch\n2. link\n\n"), "");
}

#[test]
fn a_line_that_asks_for_enter_is_no_server() {
    let scan =
        "Place document no. 1 on the scanner.\nPress <RETURN> to continue.\nPress Ctrl + D to terminate.\n";
    let reads = |screen: &str| Story::plain().reads("scanimage", Read, LINES).shows(screen).pass(3000).take();
    assert!(reads(scan).contains("question by kernel"));
    for server in
        ["Serving on port 8000\nPress Ctrl + C to quit.\n", "Listening\npress h + enter to show help\n"]
    {
        assert_eq!(reads(server), "");
    }
}

#[test]
fn a_program_that_polls_and_is_awake_at_a_look_still_waits() {
    let mut story = Story::plain();
    story.reads("php", Poll, RAW).shows("Name: ").pass(1100);
    let readers = story.evidence.readers.clone();
    story.nobody_reads().pass(1500);
    assert!(story.take().contains("blocked 1 question"), "the look at 1.3 s found it awake");
    story.evidence.readers = readers;
    story.pass(60_000);
    assert_eq!(story.take(), "", "it polls again");
}

/// While nothing happens it is looked at every few seconds.
#[test]
fn a_program_that_polls_for_long_and_is_awake_at_one_look_still_waits() {
    let mut story = Story::plain();
    story.reads("textual", Poll, RAW).shows("Name: ").pass(60_000);
    assert!(story.take().contains("blocked 1 question"));
    let (readers, kernels) = (story.evidence.readers.clone(), story.kernels);
    story.nobody_reads();
    for _ in 0..2000 {
        if story.kernels == kernels {
            story.pass(50);
        }
    }
    assert_eq!(story.kernels, kernels + 1, "one look found it awake");
    story.evidence.readers = readers;
    story.pass(60_000);
    assert_eq!(story.take(), "");
    story.nobody_reads().pass(10_000);
    assert!(story.take().contains("over 1"));
}

#[test]
fn a_program_that_does_not_come_back_to_its_poll_waits_no_longer() {
    let mut story = Story::plain();
    story.reads("php", Poll, RAW).shows("Name: ").pass(1100);
    story.nobody_reads().pass(3400);
    assert!(story.take().contains("over 1"), "3.5 s after it polled last");
    assert_eq!(story.pass(60_000).take(), "");
}

#[test]
fn a_program_that_computes_or_got_a_key_does_not_poll_any_more() {
    let mut story = Story::plain();
    story.reads("php", Poll, RAW).shows("Name: ").pass(1100).nobody_reads();
    story.evidence.cpu_ms += 900;
    story.pass(5000);
    assert_eq!(story.take(), "");
    let mut story = Story::plain();
    story.reads("php", Poll, RAW).shows("Name: ").pass(2400).typed().nobody_reads().pass(5000);
    assert_eq!(story.take(), "");
}

#[test]
fn a_list_in_the_row_above_a_pager_or_an_interpreter_is_no_choice() {
    let pager = "    return max(a, b);\n:";
    let mut story = Story::plain();
    story.reads("less", Poll, RAW).view.alternate = true;
    story.shows(pager).pass(3000);
    assert!(story.take().contains("pager by kernel"));
    let told = Story::plain().reads("R", Poll, RAW).shows("Levels: (0,1] (1,2] (2,3]\n> ").pass(3000).take();
    assert!(told.contains("idle by kernel"), "{told}");
    let told =
        Story::plain().reads("sqlmap", Read, LINES).shows("test this form? [Y/n/q]\n> ").pass(3000).take();
    assert!(told.contains("[yes allow_once"), "{told}");
}

#[test]
fn a_row_of_a_log_above_a_menu_is_no_part_of_its_question() {
    let menu = |row: &str| format!("{row}\nDo you want to continue?\n❯ Yes\n  No\n");
    let told = told(&menu("When the migration runs, all existing data is erased"), 3000);
    assert!(told.contains("permission by kernel: Do you want to continue?"), "{told}");
    let mut story = painter(&menu("fetched 10001 of 23111 objects so far"));
    story.pass(3000);
    let first = story.take();
    for turn in 2..6 {
        story.shows(&menu(&format!("fetched 1000{turn} of 23111 objects so far"))).pass(1000);
    }
    assert!(first.contains("blocked 1 permission"), "{first}");
    assert_eq!(story.take(), "");
}

#[test]
fn leave_to_do_something_is_a_permission_however_it_is_asked() {
    for asked in [
        "Should the old database be deleted? [y/N] ",
        "Will you allow it to run as root? [y/N] ",
        "Overwrite the existing table? (? for help)",
    ] {
        let told = Story::plain().reads("tool", Read, LINES).shows(asked).pass(3000).take();
        assert!(told.contains("permission by kernel"), "{told}");
    }
}
