//! What stands above a question belongs to it: another command there is another prompt, a clock is not.

use crate::monitor::ReaderHow::{Poll, Read};
use crate::monitor::arbiter::story::{LINES, RAW, Story};
use crate::monitor::{Modes, Seed};

const SAFE: &str = "ls /tmp";
const HARM: &str = "rm -rf /home";

pub(super) const MENU: &str = "Do you want to proceed?\n❯ 1. Yes\n  2. No\n";
const LS_MENU: &str = "Command: ls\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n";

pub(super) type Screen = Box<dyn Fn(&str) -> String>;

fn screen(text: &'static str) -> Screen {
    Box::new(move |command| text.replace("CMD", command))
}

/// The program shows the screen for one command, then by itself for another one, in the same place.
fn is_another(mut story: Story, screen: &Screen, about: &str) {
    story.shows(&screen(SAFE)).pass(6000);
    let told = story.take();
    assert!(told.contains("blocked 1") && !told.contains("over"), "{about}: {told}");
    assert!(story.holds(), "{about}");
    let first = story.arbiter.verdict().expect("a verdict").hash.clone();
    story.shows(&screen(HARM));
    assert!(!story.holds(), "{about}");
    story.pass(30_000);
    let told = story.take();
    assert!(told.contains("over 1") && told.contains("blocked 2"), "{about}: {told}");
    assert_eq!(told.lines().count(), 2, "{about}: {told}");
    assert!(story.holds(), "{about}");
    assert_ne!(story.arbiter.verdict().expect("a verdict").hash, first, "{about}");
}

pub(super) fn reads(how: crate::monitor::ReaderHow, modes: Modes, cursor: bool) -> Story {
    let mut story = Story::plain();
    story.reads("sh", how, modes);
    story.view.cursor_visible = cursor;
    story
}

#[test]
fn another_command_above_a_question_makes_it_another_prompt() {
    for text in [
        "Command: CMD\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n",
        "Command: CMD\n\n\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n  3. Always\n",
        "- CMD\nProceed?\n❯ 1. Yes\n  2. No\n\nEnter to confirm, Esc to cancel\n",
        "Command: CMD\n1) yes\n2) no\n3) all\n#? ",
        "Command: CMD\nReason: cleaning up\nIn: /srv\nAs: root\nRun this command? [y/N] ",
        "Command: CMD\n  it will take long\n  do not switch off\n  really\n\nPress 1 to run, 2 to skip\nContinue? (y/n) ",
    ] {
        is_another(reads(Read, LINES, true), &screen(text), text);
    }
    for text in [
        "Command: CMD\n\n? Do you want to proceed?\n❯ Yes\n  No\n",
        "Command: CMD\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n",
        "Command: CMD\n\n\nReason: cleaning up\n\n? Run it? (Y/n) ",
    ] {
        is_another(reads(Read, RAW, false), &screen(text), text);
        is_another(reads(Poll, RAW, false), &screen(text), text);
    }
}

pub(super) fn claude(rows: &[&str]) -> Screen {
    let rows: Vec<String> = rows.iter().map(|row| format!("   {row}")).collect();
    let rows = rows.join("\n");
    Box::new(move |command| {
        let rows = rows.replace("CMD", command);
        format!(
            "● Hello.\n\n{}\n Bash command\n\n{rows}\n   Clean up\n\n Do you want to proceed?\n ❯ 1. Yes\n   2. No, and tell Claude what to do differently (esc)\n\n Esc to cancel\n",
            "─".repeat(60)
        )
    })
}

#[test]
fn another_long_command_in_a_dialog_of_an_agent_makes_it_another_prompt() {
    let fourteen = ["CMD", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];
    for rows in [&["CMD"][..], &fourteen, &["CMD", "", "", "echo done"]] {
        is_another(Story::agent("claude"), &claude(rows), &format!("{rows:?}"));
    }
}

#[test]
fn rows_that_are_lost_without_a_scroll_make_another_prompt() {
    let mut story = reads(Read, LINES, true);
    let padded = |story: &mut Story, text: &str| {
        story.view.lines = text.split('\n').map(str::to_owned).collect();
        story.view.cursor_row = (story.view.lines.len() - 1) as u16;
        story.view.lines.resize(24, String::new());
        story.bytes(100);
    };
    padded(&mut story, &format!("Command: ls\n\n{MENU}"));
    story.pass(4000);
    assert!(story.holds());
    padded(&mut story, MENU);
    assert!(!story.holds());
}

/// The prompt stays the same while this happens to its screen.
fn stays(story: &mut Story, screens: impl Iterator<Item = String>, ms: i64) {
    for screen in screens {
        story.shows(&screen).pass(ms);
        if story.arbiter.verdict().is_some() {
            assert!(story.holds(), "{screen}");
        }
    }
    story.pass(10_000);
    let told = story.take();
    assert!(told.contains("blocked 1") && told.lines().count() == 1, "{told}");
}

#[test]
fn what_moves_with_time_above_a_prompt_leaves_it_the_same() {
    let spin = ["⠋", "⠙", "⠹", "⠸"];
    let moves: [Box<dyn Fn(usize) -> String>; 2] = [
        Box::new(move |turn| format!("{} Working {}s", spin[turn % 4], 9 + turn)),
        Box::new(|turn| format!("12:00:{turn:02} up 3 days")),
    ];
    for moving in moves {
        let screens = (0..20).map(|turn| format!("{}\n\n{LS_MENU}", moving(turn)));
        stays(&mut reads(Read, LINES, true), screens, 1000);
    }
}

/// Whatever else moves: the first answer is refused, the second one is typed, and people are told three times at most.
#[test]
fn what_moves_by_itself_above_a_prompt_is_hidden_and_not_compared() {
    let dots = ["·", "✢", "✳", "✶"];
    let moves: [Box<dyn Fn(usize) -> String>; 6] = [
        Box::new(move |turn| format!("{} Shimmying… ({turn}s · ↑ 1.{turn}k tokens)", dots[turn % 4])),
        Box::new(|turn| format!("[{}>{}] {}%", "=".repeat(turn), " ".repeat(60 - turn), turn)),
        Box::new(|turn| format!("layer 1: {turn}.5 MB / 90 MB at {turn} MB/s")),
        Box::new(|turn| format!("{} Running ls", if turn % 2 == 0 { "•" } else { "◦" })),
        Box::new(|turn| format!("Waiting{}", ".".repeat(turn % 4))),
        Box::new(|turn| format!("up {turn} min")),
    ];
    for (moving, ms) in moves.into_iter().flat_map(|moving| {
        let moving = std::rc::Rc::new(moving);
        [700, 3000].map(|ms| (std::rc::Rc::clone(&moving), ms))
    }) {
        let screen = |turn: usize| format!("{}\n\n{LS_MENU}", moving(turn));
        let mut story = reads(Read, LINES, true);
        story.shows(&screen(0)).pass(4000);
        for turn in 1..50 {
            story.shows(&screen(turn)).pass(ms);
            assert!(story.arbiter.verdict().is_some(), "{}", screen(turn));
            if turn == 11 {
                assert!(!story.holds(), "{}", screen(turn));
            }
            if turn == 20 || turn == 31 {
                assert!(story.holds(), "{}", screen(turn));
            }
        }
        let told = story.take();
        assert!(told.matches("blocked").count() <= 3, "{told}");
        // What people are shown is still compared.
        story.shows(&screen(49).replace("Command: ls", "Command: rm"));
        assert!(!story.holds());
    }
}

#[test]
fn a_row_that_changes_again_and_again_makes_few_prompts() {
    let dialog = |turn: i64| {
        let words = ["one", "two", "three", "four", "five"][(turn % 5) as usize];
        format!(
            "{}\n Bash command\n\n   ls /tmp\n   {words}\n\n Do you want to proceed?\n ❯ 1. Yes\n   2. No\n\n Esc to cancel\n",
            "─".repeat(40)
        )
    };
    let mut story = Story::agent("claude");
    story.shows(&dialog(0)).pass(3000);
    for turn in 0..100 {
        story.shows(&dialog(turn)).pass(300);
    }
    // Nobody was shown that the row moves.
    assert!(!story.holds());
    for turn in 100..110 {
        story.shows(&dialog(turn)).pass(300);
    }
    assert!(story.holds());
    let blocked = story.take().lines().filter(|line| line.contains("blocked")).count();
    assert!(blocked <= 3, "{blocked}");
    // What stands there in the end is what people are shown.
    story.shows(&dialog(1)).pass(8000);
    assert!(story.holds());
    // The command itself is no such row.
    story.shows(&dialog(1).replace("ls /tmp", HARM));
    assert!(!story.holds());
}

#[test]
fn commands_that_take_turns_slowly_are_prompts_of_their_own() {
    let mut story = Story::agent("claude");
    let dialog = claude(&["CMD"]);
    for turn in 0..5 {
        let command = ["ls", "rm", "mv"][turn % 3];
        story.shows(&dialog(command)).pass(3000);
    }
    let blocked = |story: &mut Story| story.take().lines().filter(|line| line.contains("blocked")).count();
    assert_eq!(blocked(&mut story), 5);
    // From then on the row is one that changes again and again: people are shown that, and no command.
    for command in ["mv", "ls", "rm"] {
        story.shows(&dialog(command)).pass(3000);
    }
    assert_eq!(blocked(&mut story), 0);
    let shown = story.item_rows();
    assert!(!shown.contains("mv") && shown.contains("changes by itself"), "{shown}");
    assert_eq!(story.arbiter.verdict().expect("a verdict").question, "Do you want to proceed?");
}

#[test]
fn a_dialog_that_moves_on_the_screen_stays_the_same_prompt() {
    let above = (0..12).map(|row| format!("line {row}\n")).collect::<String>();
    let all = format!("{above}{LS_MENU}");
    let rows: Vec<&str> = all.split('\n').collect();
    // Something is printed below, and the screen scrolls.
    let mut story = reads(Read, LINES, true);
    story.shows(&all).pass(4000);
    for from in 0..12 {
        story.shows(&(rows[from..].join("\n") + &"\n".repeat(from))).pass(500);
    }
    assert_eq!(story.take().lines().count(), 1, "people are not told");
    // But what they were shown is not all there any more.
    assert!(!story.holds());
    assert!(story.take().contains("blocked 2") && story.holds());
    // What an agent prints above its dialog is not its dialog.
    let dialog = claude(&["ls"])("");
    let mut story = Story::agent("claude");
    story.shows(&dialog).pass(2000);
    stays(&mut story, (0..8).map(|row| format!("{}{dialog}", "● Read x\n".repeat(row))), 1500);
}

#[test]
fn another_width_leaves_a_prompt_the_same() {
    let long = "Command: find / -name target -exec rm -rf {} + and so on and on and on";
    let menu = "\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n";
    let mut story = reads(Read, LINES, true);
    story.shows(&format!("{long}{menu}")).pass(4000);
    let (first, second) = long.split_at(40);
    story.view.cols = 40;
    story.shows(&format!("{first}\n{second}{menu}")).pass(4000);
    assert_eq!(story.take().lines().count(), 1, "people are not told");
    // But they were shown something else.
    assert!(!story.holds());
    story.pass(1000);
    assert!(story.take().contains("blocked 2") && story.holds());
    // Another command in that width is another one.
    story.shows(&format!("{first}\nelse{menu}"));
    assert!(!story.holds());
}

#[test]
fn another_command_found_after_a_start_is_another_prompt() {
    let text = screen("Command: CMD\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n");
    let hash = |command: &str| {
        let mut story = reads(Read, LINES, true);
        story.shows(&text(command)).pass(4000);
        story.arbiter.verdict().expect("a verdict").hash.clone()
    };
    for (command, episode) in [(SAFE, 4), (HARM, 5)] {
        let seed = Seed { episode: 4, waiting: Some(hash(SAFE)), ..Seed::default() };
        let mut story = Story::seeded(crate::monitor::Profile::plain(), seed);
        story.reads("sh", Read, LINES).shows(&text(command)).pass(4000);
        assert_eq!(story.arbiter.verdict().expect("a verdict").episode, episode, "{command}");
    }
}

#[test]
fn a_row_that_asks_and_scrolls_off_the_screen_makes_no_other_prompt() {
    let table: toml::Table = "markers = true".parse().expect("TOML");
    let mut story = Story::of(crate::monitor::Profile::from_table("x", None, &table).expect("a profile"));
    let mut rows = vec!["a".to_owned(), "b".to_owned(), "QUESTION: which colour?".to_owned()];
    for turn in 0..30 {
        rows.push(format!("step {}", "x".repeat(turn)));
        let from = rows.len().saturating_sub(10);
        story.shows(&(rows[from..].join("\n") + "\n")).pass(1500);
    }
    let told = story.take();
    assert_eq!(told.lines().filter(|line| line.contains("blocked")).count(), 1, "{told}");
}

#[test]
fn what_stands_above_the_box_of_a_dialog_is_not_its_own() {
    let dialog = |above: &str, hint: &str| {
        format!(
            "{above}╭──────────────╮\n│ ? Shell touch a{hint} │\n│ Allow execution of [Shell]?  │\n│                      │\n│ ● 1. Allow once      │\n│   2. No, suggest changes (esc)   │\n╰──────────────╯\n"
        )
    };
    let mut story = Story::agent("gemini");
    story.shows(&dialog("", "")).pass(2000);
    let screens = ["Hello.\n", "Hello.\nTips.\n", "Hello.\n"].map(|above| dialog(above, "  (Tab to focus)"));
    stays(&mut story, screens.into_iter(), 1500);
    // A box around the question alone does not say what is decided.
    let bare = |command: &str| {
        format!(
            "Command: {command}\n╭──────────────╮\n│ Allow execution of [Shell]?  │\n│ ● 1. Allow once      │\n│   2. No (esc)   │\n╰──────────────╯\n"
        )
    };
    is_another(Story::agent("gemini"), &(Box::new(bare) as Screen), "a bare box");
}

/// What counts in a row is no reason to leave out its words.
#[test]
fn a_command_beside_something_that_counts_is_still_a_command() {
    let screen = |command: &str, step: usize| {
        format!("Command: {command} (step {step})\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n")
    };
    let mut story = reads(Read, LINES, true);
    story.shows(&screen(SAFE, 0)).pass(4000);
    for step in 1..12 {
        story.shows(&screen(SAFE, step)).pass(1000);
        match step {
            // Until an answer is refused, nobody is shown that the step counts.
            4 => assert!(!story.holds()),
            5.. => assert!(story.holds(), "step {step}"),
            _ => {}
        }
    }
    story.shows(&screen(HARM, 12));
    assert!(!story.holds());
    story.pass(30_000);
    assert!(story.holds(), "the other command is a prompt of its own: {}", story.take());
}

#[test]
fn a_command_that_differs_in_a_blank_is_another_one() {
    for text in [
        "Command: CMD\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n",
        "Command: CMD\n\n\n\n\nRun it? [y/N] ",
    ] {
        let mut story = reads(Read, LINES, true);
        story.shows(&text.replace("CMD", "rm -rf /usr/lib/x")).pass(6000);
        assert!(story.holds(), "{text}");
        story.shows(&text.replace("CMD", "rm -rf /usr /lib/x"));
        assert!(!story.holds(), "{text}");
    }
}

/// A menu below a log waits, however often the log gets a line.
#[test]
fn a_menu_below_a_slow_log_stays_listed() {
    let mut story = reads(Read, LINES, true);
    let screen = |line: usize| {
        format!("module {}{} compiled\n\n{LS_MENU}", ["a", "b", "c", "d"][line % 4], "x".repeat(line % 7))
    };
    story.shows(&screen(0)).pass(4000);
    let mut listed = 0;
    for line in 1..40 {
        story.shows(&screen(line)).pass(3000);
        listed += usize::from(story.arbiter.verdict().is_some());
    }
    let told = story.take();
    assert!(listed >= 38, "{listed} of 39: {told}");
    assert!(told.matches("blocked").count() <= 14, "{told}");
}

/// An answer is for what was shown: while something else stands there, it is not typed, and the prompt comes again as it is.
fn comes_again(mut story: Story, screens: &[&str], ms: i64, about: &str) {
    story.shows(screens[0]).pass(6000);
    assert!(story.take().contains("blocked 1"), "{about}");
    for screen in &screens[1..] {
        story.pass(ms).shows(screen);
    }
    assert!(!story.holds(), "{about}");
    story.pass(10_000);
    let told = story.take();
    assert!(told.contains("over 1") && told.contains("blocked 2"), "{about}: {told}");
    assert!(story.holds(), "{about}: {told}");
}

#[test]
fn an_answer_is_for_what_was_shown() {
    for (was, is) in [
        ("rm -r ../..", "rm -r .."),
        ("rm a", "rm a ##"),
        ("⠋ ls /tmp", "⠋ rm /tmp"),
        ("○ all\n● none", "● all\n○ none"),
        ("rm --older 30m", "rm --older 3m"),
    ] {
        let screens = [format!("{was}\n{MENU}"), format!("{is}\n{MENU}")];
        comes_again(reads(Read, LINES, true), &[&screens[0], &screens[1]], 500, was);
    }
    let below = |command: &str| format!("{MENU}\nCommand: {command}\n");
    comes_again(reads(Read, RAW, false), &[&below(SAFE), &below(HARM)], 500, "below");
}

#[test]
fn a_command_that_is_written_in_steps_is_not_allowed_by_an_earlier_answer() {
    let screens: Vec<String> = ["ls /tmp", "r", "rm", "rm -rf", "rm -rf /home"]
        .map(|command| format!("Command: {command}\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n"))
        .into();
    let screens: Vec<&str> = screens.iter().map(String::as_str).collect();
    for ms in [100, 900, 1900] {
        comes_again(reads(Read, LINES, true), &screens, ms, &ms.to_string());
    }
}

#[test]
fn a_rule_in_a_dialog_is_no_edge_of_it() {
    for rule in ["─────────", "━━━━━━━━━━━━━━━━━━━━━━━━━━━━"]
    {
        is_another(Story::agent("claude"), &claude(&["CMD", rule, "echo done"]), rule);
    }
}

/// A log passes above a menu: the first answer is refused, the prompt that comes then takes one.
#[test]
fn a_menu_below_a_log_takes_an_answer() {
    let mut story = reads(Read, LINES, true);
    let screen = |line: usize| format!("{}\n\n{MENU}", ["one", "two", "three", "four"][line % 4]);
    story.shows(&screen(0)).pass(4000);
    for line in 1..20 {
        story.shows(&screen(line)).pass(300);
    }
    assert!(!story.holds());
    for line in 20..40 {
        story.shows(&screen(line)).pass(300);
        assert!(story.arbiter.verdict().is_some());
    }
    assert!(story.holds());
    let told = story.take();
    assert_eq!(told.matches("blocked").count(), 2, "{told}");
}

/// Whatever moves above what it asks: a session that sits in a read is listed, and stays so.
#[test]
fn a_prompt_below_rows_that_change_is_listed_all_the_while() {
    let menu = "Run this command?\n❯ 1. Yes\n  2. No\n";
    let words = ["Thinking", "Cooking", "Baking", "Brewing"];
    for (asks, modes) in [(menu, RAW), ("Go on? [y/N] ", LINES)] {
        for (ms, from_the_start) in
            [(1000, true), (1000, false), (3000, false), (8000, false), (20_000, false)]
        {
            let mut story = reads(Read, modes, true);
            let rows = |turn: usize| (0..turn / 4).map(|row| format!("log {row}\n")).collect::<String>();
            let screen = |turn: usize| format!("{}{}\n\n{asks}", rows(turn), words[turn % 4]);
            story.shows(&screen(0)).pass(if from_the_start { 500 } else { 6000 });
            let mut unlisted = 0;
            for turn in 1..40 {
                story.shows(&screen(turn)).pass(ms);
                unlisted += usize::from(story.arbiter.verdict().is_none());
            }
            let told = story.take();
            assert!(
                unlisted <= if from_the_start { 6 } else { 0 },
                "{ms} {from_the_start}: {unlisted}: {told}"
            );
            let most = 8 + (40 * ms / 30_000) as usize;
            assert!(told.matches("blocked").count() <= most, "{ms}: {told}");
        }
    }
}

/// A report of the program that names no row is about the whole screen.
#[test]
fn a_screen_that_a_program_reported_is_compared_as_well() {
    let mut story = reads(Read, RAW, false);
    story.shows("ship a\nkeep 30m\n").status("blocked", Some("permission")).pass(2000);
    assert!(story.take().contains("blocked 1") && story.holds());
    for screen in ["ship a\nkeep 3m\n", "ship b\nkeep 3m\n"] {
        story.shows(screen);
        assert!(!story.holds(), "{screen}");
        story.pass(3000);
        let told = story.take();
        assert!(told.contains("over") && told.contains("blocked"), "{screen}: {told}");
        assert!(story.holds(), "{screen}");
    }
}

#[test]
fn what_was_typed_at_a_menu_lets_no_other_command_through() {
    let screen =
        |command: &str| format!("Command: {command}\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No\n");
    let mut story = reads(Read, RAW, false);
    story.shows(&screen("prune 30m")).pass(4000);
    story.typed();
    assert!(story.holds());
    story.shows(&screen("prune 3m"));
    assert!(!story.holds());
}

/// A resize without a word of the program moves rows as well.
#[test]
fn a_prompt_on_a_terminal_of_another_size_takes_the_second_answer() {
    let mut story = reads(Read, LINES, true);
    story.shows("Command: ls\n\nGo on? [y/N] ").pass(4000);
    story.take();
    story.view.cols = 100;
    assert!(!story.holds());
    assert!(story.take().contains("blocked 2") && story.holds());
    let waited_ms = story.arbiter.verdict().expect("a verdict").waited_ms;
    assert!((2000..4000).contains(&waited_ms), "its deadline goes on: {waited_ms}");
}

#[test]
fn a_menu_that_offers_something_else_gets_a_deadline_of_its_own() {
    for (rows, goes_on) in [
        ("1) keep\n2) drop", false),
        ("1) drop\n2) keep\n3) stop", false),
        ("1) drop\n2) keep", true),
        ("Note\n1) drop\n2) keep", true),
    ] {
        let mut story = reads(Read, LINES, true);
        story.shows("Pick:\n1) drop\n2) keep\n#? ").pass(4000);
        assert!(story.take().contains("blocked 1"));
        story.view.cols = 100;
        story.shows(&format!("Pick:\n{rows}\n#? ")).pass(1500);
        story.holds();
        story.pass(3000);
        let waited_ms = story.arbiter.verdict().expect("a verdict").waited_ms;
        assert_eq!(waited_ms >= 2000, goes_on, "{rows}: {waited_ms}");
    }
}

/// A clock that shows no seconds changes once a minute.
#[test]
fn a_prompt_beside_a_slow_clock_takes_an_answer() {
    let mut story = reads(Read, RAW, false);
    let screen = |minute: usize| format!("Run it?\n❯ 1. Yes\n  2. No\n\n[0] sh    12:{minute:02}\n");
    story.shows(&screen(0)).pass(4000);
    for minute in 1..10 {
        story.pass(60_000).shows(&screen(minute)).pass(100);
        match minute {
            6 => assert!(!story.holds()),
            7.. => assert!(story.holds(), "{minute}"),
            _ => {}
        }
    }
    assert!(story.take().matches("blocked").count() <= 2);
}

/// The cursor of a program that hides it may stand anywhere.
#[test]
fn a_menu_of_a_hidden_cursor_is_listed_while_a_row_moves() {
    let mut story = reads(Read, RAW, false);
    for turn in 0..30 {
        story.shows(&format!("⠋ {turn} of 30\nRun it?\n❯ 1. Yes\n  2. No\n"));
        (story.view.cursor_row, story.view.cursor_col) = (0, 4 + u16::from(turn > 9));
        story.pass(1000);
    }
    let told = story.take();
    assert!(story.arbiter.verdict().is_some() && told.matches("blocked").count() <= 3, "{told}");
}

/// Lines of a log that still fills the screen stand where nothing stood.
#[test]
fn a_log_that_fills_the_screen_lets_an_answer_through() {
    let mut story = reads(Read, RAW, false);
    let screen = |lines: usize| {
        let rows: String =
            (0..lines).map(|line| format!("module {line} {}\n", "x".repeat(line % 5))).collect();
        format!("{rows}Run it?\n❯ 1. Yes\n  2. No\n{}", "\n".repeat(20 - lines))
    };
    story.shows(&screen(2)).pass(4000);
    for lines in 3..12 {
        story.shows(&screen(lines)).pass(1000);
    }
    // Refused or not: from here on people know that it moves.
    story.holds();
    for lines in 12..16 {
        story.shows(&screen(lines)).pass(1000);
        assert!(story.holds(), "{lines}");
    }
}

/// Dialogs that come one after the other are no rows that move.
#[test]
fn the_command_of_a_dialog_that_follows_others_is_shown() {
    let mut story = Story::agent("claude");
    let dialog = claude(&["CMD"]);
    for command in ["deploy a", "deploy b", "deploy c", "deploy d", "deploy e", "deploy f"] {
        story.shows(&dialog(command)).pass(8000);
        let shown = story.item_rows();
        assert!(shown.contains(command), "{shown}");
        story.shows("● Hello.\n\n✻ Working… (esc to interrupt)\n").pass(2000);
    }
}

/// A program that polls is listed, too, where its menu stays while rows move from the first look on.
#[test]
fn a_menu_of_who_polls_is_listed_though_rows_move() {
    for menu in [MENU, "Run it? [y/N] "] {
        let screen = |turn: usize| format!("Log {turn} {}\n\nCommand: ls\n{menu}", "x".repeat(turn % 7));
        let mut story = reads(Poll, RAW, menu.starts_with("Run"));
        for turn in 0..20 {
            story.shows(&screen(turn)).pass(500);
        }
        let told = story.take();
        assert!(told.contains("blocked 1") && told.lines().count() == 1, "{menu}: {told}");
        story.holds();
        for turn in 20..40 {
            story.shows(&screen(turn)).pass(500);
        }
        assert!(story.holds(), "{menu}");
        story.shows(&screen(40).replace("ls", "rm"));
        assert!(!story.holds(), "{menu}");
    }
}

/// Looks at who reads that come with each output find the program while it writes.
#[test]
fn who_polls_between_ticks_of_a_clock_is_listed() {
    for every in [300, 500, 700, 999, 1000, 1001, 1500, 2000] {
        for below in ["", "\nF1 help"] {
            let mut story = reads(Poll, RAW, true);
            for turn in 0..12_000 / every {
                story.nobody_reads().shows(&format!("12:00:{:02} up\nContinue? [y/N] {below}", turn % 60));
                (story.view.cursor_row, story.view.cursor_col) = (1, 16);
                story.pass(30).reads("python3", Poll, RAW).pass(every - 30);
            }
            let told = story.take();
            assert!(told.contains("blocked 1") && told.lines().count() == 1, "{every} {below}: {told}");
            let listed: i64 = told.split_whitespace().next().unwrap().parse().unwrap();
            assert!(listed < 5000, "{every} {below}: {told}");
        }
    }
}

#[test]
fn who_polls_behind_words_alone_is_not_listed_while_rows_move() {
    for end in [
        "tests: 3 passed\nqueue> ",
        "Uploading part 7: ",
        "  home/\n> etc/\n",
        "Ask: proceed? [y/N] y (assumed)\n",
    ] {
        let mut story = reads(Poll, RAW, true);
        for turn in 0..60 {
            story.shows(&format!("Log {turn}\n{end}")).pass(500);
        }
        assert_eq!(story.take(), "", "{end}");
    }
}

/// A session that resumes on its own is believed later, but not by a person who just tried to answer.
#[test]
fn what_replaces_a_prompt_is_told_soon_after_an_answer_to_it_was_refused() {
    for refused in [false, true] {
        let mut story = reads(Poll, LINES, true);
        for file in 0..4 {
            story.shows(&format!("Overwrite file {file}? [y/N] ")).pass(12_000);
            story.shows("Skipped, as nobody answered.\n").pass(1500);
        }
        story.take();
        story.shows("Overwrite file 5? [y/N] ");
        if refused {
            assert!(!story.holds());
            story.arbiter.answer_refused();
        }
        story.pass(3000);
        assert_eq!(story.take().contains("blocked"), refused);
    }
}

/// A question in which a countdown runs is one question, and can be answered.
#[test]
fn a_countdown_in_a_question_leaves_it_the_same() {
    for (how, modes, text) in [
        (Read, LINES, "Command: CMD\nGo on? [y/N] (yes in TIMEs) "),
        (Poll, RAW, "Command: CMD\nGo on? [y/N] (yes in TIMEs) "),
        (Read, LINES, "Command: CMD\nDo you want to proceed? (TIMEs)\n❯ 1. Yes\n  2. No\n"),
        (Poll, RAW, "Command: CMD\nDo you want to proceed? (TIMEs)\n❯ 1. Yes\n  2. No\n"),
        (Poll, RAW, "Command: CMD\nDo you want to proceed?\n❯ 1. Yes\n  2. No (TIMEs)\n"),
        (Read, RAW, "Command: CMD\nDo you want to proceed?\n❯ 1. Yes\n  2. No (TIMEs)\n"),
    ] {
        let screen =
            |left: i64, command: &str| text.replace("TIME", &left.to_string()).replace("CMD", command);
        let mut story = reads(how, modes, true);
        for left in (40..60).rev() {
            story.shows(&screen(left, SAFE)).pass(1000);
        }
        assert!(story.holds(), "{text}");
        let told = story.take();
        assert!(told.contains("blocked 1") && told.lines().count() == 1, "{text}: {told}");
        // A leap is not the clock's doing.
        story.shows(&screen(400, SAFE));
        assert!(!story.holds(), "{text}");
        story.shows(&screen(39, HARM));
        assert!(!story.holds(), "{text}");
    }
}

/// Other counters, and spinners in the row of the question: it is listed, and can be answered at the second try.
#[test]
fn a_question_whose_own_row_moves_is_listed() {
    let dots = ["⠋", "⠙", "⠹", "⠸"];
    for (how, modes) in [(Read, LINES), (Poll, RAW)] {
        let rows: [Box<dyn Fn(usize) -> String>; 5] = [
            Box::new(|turn| format!("Go on? [y/N] (8:{:02}) ", 59 - turn)),
            Box::new(|turn| format!("Go on? [y/N] ({}) ", 90 - turn)),
            Box::new(move |turn| format!("{} Go on? [y/N] ", dots[turn % 4])),
            Box::new(move |turn| format!("Go on? [y/N] {}", dots[turn % 4])),
            Box::new(move |turn| format!("{} Go on?\n❯ 1. Yes\n  2. No\n", dots[turn % 4])),
        ];
        for row in rows {
            let mut story = reads(how, modes, true);
            let about = row(0);
            for turn in 0..20 {
                story.shows(&row(turn)).pass(900);
            }
            let told = story.take();
            assert!(told.contains("blocked 1") && told.lines().count() == 1, "{how:?} {about}: {told}");
            story.holds();
            for turn in 20..30 {
                story.shows(&row(turn)).pass(900);
            }
            assert!(story.holds(), "{how:?} {about}: {}", story.take());
            story.shows("Remove all? [y/N] ");
            assert!(!story.holds(), "{how:?} {about}");
        }
    }
}

#[test]
fn a_question_above_rows_that_move_is_listed() {
    for cursor in [true, false] {
        let mut story = reads(Poll, RAW, cursor);
        for turn in 0..20 {
            // A painted prompt without a cursor is the lowest row.
            let (above, below) =
                if cursor { ("", format!("\n\nfile {turn}")) } else { ("file", String::new()) };
            story.shows(&format!("{above} {turn}\nDelete 3 files? [y/N] {below}"));
            (story.view.cursor_row, story.view.cursor_col) = (1, 22);
            story.bytes(10).pass(500);
        }
        let told = story.take();
        assert!(told.contains("blocked 1") && told.contains("[yes allow_once"), "{cursor}: {told}");
    }
}

#[test]
fn steps_of_work_that_goes_on_are_no_menu() {
    let mut story = reads(Poll, RAW, false);
    for turn in 0..60 {
        story.shows(&format!("Deploying\n❯ 1. Build image\n  2. Push\n\nlayer {turn}\n")).pass(500);
    }
    assert_eq!(story.take(), "");
}
