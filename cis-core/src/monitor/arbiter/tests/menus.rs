//! Menus of agents that no rule of their profile knows, and logins that are quoted above an open dialog.

use crate::monitor::Profile;
use crate::monitor::ReaderHow::Poll;
use crate::monitor::arbiter::story::{RAW, Story};

/// An old dialog: a box without a row that names keys below it.
const BOXED: &str = "╭──────────────────────────────────────────────╮\n│ Bash command                                 │\n│                                              │\n│   make test                                  │\n│                                              │\n│ Do you want to proceed?                      │\n│ ❯ 1. Yes                                     │\n│   2. Yes, and don't ask again                │\n│   3. No, and tell Claude what to do differently (esc) │\n╰──────────────────────────────────────────────╯\n";
const TWO: &str = "╭──────────────────────────────────────────────╮\n│ Bash command                                 │\n│   make test                                  │\n│ Do you want to proceed?                      │\n│ ❯ 1. Yes                                     │\n│   2. No, and tell Claude what to do (esc)    │\n╰──────────────────────────────────────────────╯\n";
const LINE: &str = "────────────────────────────────────────────────────────────────────────────\n";
/// The present one, which a rule knows by its last row.
const KNOWN: &str = " Bash command\n\n   make test\n   Run it\n\n Do you want to proceed?\n ❯ 1. Yes\n   2. Yes, and don't ask again for: make test\n   3. No\n\n Esc to cancel · Tab to amend\n";
const WITHOUT_KEYS: &str = " Bash command\n\n   ls\n\n Do you want to proceed?\n ❯ 1. Yes\n   2. Yes, and don't ask again for: ls\n   3. No\n";
const PLAN: &str = " Ready to code?\n\n Here is the plan: remove x\n\n Would you like to proceed?\n\n ❯ 1. Yes, and auto-accept edits\n   2. Yes, and manually approve edits\n   3. No, keep planning\n";
const NEW: &str = " Something new in version 9\n\n Shall I restart the daemon?\n\n ❯ 1. Restart it\n   2. Leave it\n\n ctrl-g to edit in Vim · ~/plan.md\n";
/// A line stands between what it asks and the options.
const PARTED: &str =
    " Choose a model\n ──────────────\n ❯ 1. Small one\n   2. Large one\n\n Enter to choose\n";
const CODEX: &str = "• Ran touch a\n\n\n  Pick a model for the review?\n\n› 1. Small one\n     quick\n  2. Large one\n     slow\n";
const GEMINI: &str = "✦ Hello.\n\n╭──────────────────────────────╮\n│ ?  Memory                    │\n│                              │\n│ Keep this fact?              │\n│                              │\n│ ● 1. Yes, keep it            │\n│   2. No (esc)                │\n│                              │\n╰──────────────────────────────╯\n\n ~/w     no sandbox     gemini-2.5-pro (99% context left)\n";

fn told(name: &str, screen: &str, ms: i64) -> String {
    let mut story = Story::agent(name);
    story.shows("● Working.\n").pass(1000).shows(screen).pass(ms);
    story.take()
}

#[test]
fn menus_that_no_rule_knows_are_listed_with_their_options() {
    let yes = "[Yes allow_once \"1\"]";
    for (name, screen, wanted) in [
        (
            "claude",
            BOXED.to_owned(),
            ["blocked 1 permission by screen: Do you want to proceed? — Bash command · make test", yes],
        ),
        (
            "claude",
            format!("● I will run it.\n\n{TWO}"),
            ["blocked 1 permission by screen: Do you want to proceed?", yes],
        ),
        (
            "claude",
            format!("{BOXED} Esc to cancel · Tab to amend\n"),
            ["blocked 1 permission by screen: Do you want to proceed?", yes],
        ),
        (
            "claude",
            format!("{LINE}{WITHOUT_KEYS}"),
            ["blocked 1 permission by screen: Do you want to proceed?", "[No deny \"3\"]"],
        ),
        (
            "claude",
            format!("{LINE}{PLAN}"),
            [
                "blocked 1 permission by screen: Would you like to proceed?",
                "[Yes, and manually approve edits allow_once \"2\"]",
            ],
        ),
        (
            "claude",
            format!("{LINE}{NEW}"),
            ["by screen: Shall I restart the daemon? — Something new in version 9", "[Leave it - "],
        ),
        (
            "claude",
            format!("{LINE}{PARTED}"),
            ["blocked 1 question by screen: Choose a model", "[Small one - \"\\r\"] [Large one"],
        ),
        (
            "codex",
            CODEX.to_owned(),
            [
                "blocked 1 question by screen: Pick a model for the review?",
                "[Small one - \"\\r\"] [Large one - \"\\u{1b}[B\\r\"]",
            ],
        ),
        (
            "gemini",
            GEMINI.to_owned(),
            ["by screen: Keep this fact?", "[Yes, keep it - \"1\"] [No deny \"2\"]"],
        ),
    ] {
        let told = told(name, &screen, 4000);
        assert!(wanted.iter().all(|part| told.contains(part)), "{name}: {told}\n{screen}");
        assert_eq!(told.lines().count(), 1, "{name}: {told}");
    }
}

#[test]
fn a_menu_counts_once_the_screen_is_still() {
    let screen = format!("● I will run it.\n\n{BOXED}");
    let mut story = Story::agent("claude");
    story.shows(&screen).pass(2900);
    assert_eq!(story.take(), "");
    story.pass(500);
    assert!(story.take().contains("blocked 1 permission"));
    // It stays while the program paints it anew, and is over when it is gone.
    story.shows(&screen).pass(2000);
    assert_eq!(story.take(), "");
    assert!(story.holds());
    story.typed().shows("● Done.\n").pass(2000);
    assert!(story.take().contains("over 1"));
}

#[test]
fn a_menu_is_none_while_something_moves_beside_it() {
    let mut story = Story::agent("claude");
    for second in 0..30 {
        story.shows(&format!("  Bash(make)\n  ⎿  Running… ({second}s)\n\n{BOXED}")).pass(1000);
    }
    assert_eq!(story.take(), "");
    // Nothing but a timer: it is stalled after its time, as without a menu.
    for second in 30..640 {
        story.shows(&format!("  Bash(make)\n  ⎿  Running… ({second}s)\n\n{BOXED}")).pass(1000);
    }
    assert!(story.take().contains("blocked 1 stalled"));
}

#[test]
fn a_menu_is_none_while_its_agent_says_that_it_works() {
    let mut story = Story::agent("claude");
    story.status("working", None).shows(BOXED).pass(20_000);
    assert_eq!(story.take(), "");
    story.status("blocked", Some("permission")).pass(500);
    let told = story.take();
    assert!(told.contains("blocked 1 permission by terminal: Do you want to proceed?"), "{told}");
    assert!(told.contains("[Yes allow_once \"1\"]"), "{told}");
}

#[test]
fn menus_above_an_input_line_are_quoted() {
    let old_box = "╭──────────────────────╮\n│ >                    │\n╰──────────────────────╯\n";
    let inputs = [
        ("claude", format!("{old_box}  ? for shortcuts\n")),
        ("claude", old_box.to_owned()),
        ("claude", "────────────\n❯ \n────────────\n".to_owned()),
        ("claude", "────────────\n❯ \n────────────\n  some new words of a status\n".to_owned()),
        ("claude", "● Is that the dialog?\n".to_owned()),
        ("claude", "✻ Brewed for 7s\n".to_owned()),
        ("claude", "✻ Brewing, 7s (esc to stop)\n".to_owned()),
        ("claude", "  That is what it looks like.\n".to_owned()),
        ("codex", "› Ask Codex to do anything\n\n  fake default · ~/w\n".to_owned()),
        ("gemini", "────────────\n >   Type your message or @path/to/file\n".to_owned()),
        ("opencode", "  ┃\n   ws          2 (0%)  ctrl+p commands\n".to_owned()),
    ];
    for (name, input) in inputs {
        for menu in [BOXED, WITHOUT_KEYS, PLAN, NEW] {
            let told = told(name, &format!("● It shows:\n{menu}\n{input}"), 60_000);
            assert!(!told.contains("proceed?") && !told.contains("daemon"), "{name}: {told}\n{menu}{input}");
        }
    }
}

#[test]
fn lists_that_are_no_menus() {
    for (name, screen) in [
        // What a person typed, in the chat and in the input box.
        (
            "claude",
            "❯ 1. Read the file\n  2. Write another\n\n✶ Shimmying…\n────────────\n❯ \n────────────\n"
                .to_owned(),
        ),
        ("claude", format!("● Hi.\n\n{LINE}❯ 1. Read the file\n  2. Write another\n{LINE}  new words\n")),
        ("claude", format!("● Hi.\n\n{LINE}❯ 1. Read the file\n  2. Write another\n{LINE}")),
        // An answer that begins with a list.
        ("claude", "❯ what now?\n\n● 1. Read the file\n  2. Write another\n".to_owned()),
        ("claude", "● Steps:\n  1. Read the file\n  2. Write another\n".to_owned()),
    ] {
        let told = told(name, &screen, 60_000);
        assert!(!told.contains("Read the file"), "{name}: {told}\n{screen}");
    }
}

const QUOTED: [&str; 5] = [
    "● Bash(cat notes)\n  ⎿  Browser didn't open? Use the url below to sign in:\n     https://claude.ai/oauth/authorize?code=true\n     Paste code here if prompted >\n",
    "● Here is the file:\n\n Select login method:\n\n ❯ 1. Claude account with subscription · Pro, Max, Team, or Enterprise\n   2. Anthropic Console account · API usage billing\n\n",
    "● Read(login.txt)\n  ⎿  Select login method:\n\n     ❯ 1. Claude account with subscription · Pro, Max, Team, or Enterprise\n       2. Anthropic Console account · API usage billing\n\n",
    "● The log says:\n  ⎿  Invalid API key · Please run /login\n",
    "● Here is the file:\n\nSelect login method:\n",
];

#[test]
fn login_words_above_an_open_dialog_of_the_agent_are_quoted() {
    let known = format!("{LINE}{KNOWN}");
    let without_keys = format!("{LINE}{WITHOUT_KEYS}");
    let new = format!("{LINE}{NEW}");
    let question = format!(
        "{LINE} ☐ Color\n\nWhich color?\n\n❯ 1. Red\n     warm\n  2. Blue\n     cold\n\nEnter to select · Tab/Arrow keys to navigate · Esc to cancel\n"
    );
    for quoted in QUOTED {
        for (dialog, asks) in [
            (BOXED, "Do you want to proceed?"),
            (TWO, "Do you want to proceed?"),
            (&known, "Do you want to proceed?"),
            (&without_keys, "Do you want to proceed?"),
            (&new, "Shall I restart the daemon?"),
            (&question, "Which color?"),
            (WITHOUT_KEYS, "Do you want to proceed?"),
        ] {
            let told = told("claude", &format!("{quoted}{dialog}"), 30_000);
            assert!(told.contains(asks) && !told.contains("login by"), "{told}\n{quoted}{dialog}");
        }
    }
}

#[test]
fn login_words_of_an_answer_are_quoted_also_where_nothing_stands_below() {
    for quoted in &QUOTED[..3] {
        let told = told("claude", quoted, 2500);
        assert_eq!(told, "", "{quoted}");
    }
}

#[test]
fn login_words_inside_of_a_dialog_are_what_it_would_run() {
    let command =
        WITHOUT_KEYS.replace("   ls\n", "   cat <<EOF\n   Select login method:\n   1. one\n   EOF\n");
    for screen in [format!("{LINE}{command}"), format!("{LINE}{command}\n Esc to cancel · Tab to amend\n")] {
        let told = told("claude", &screen, 30_000);
        assert!(told.contains("blocked 1 permission by screen: Do you want to proceed?"), "{told}\n{screen}");
    }
}

#[test]
fn login_words_of_other_agents_above_their_dialogs() {
    let command = "  Would you like to run the following command?\n\n  $ rm -rf build\n\n› 1. Yes, proceed (y)\n  2. No, and tell Codex what to do differently (esc)\n\n  Press enter to confirm or esc to cancel\n";
    let quoted =
        "• Ran cat notes\n  └ Welcome\n    1. Sign in with ChatGPT\n    2. Sign in with Device Code\n\n";
    let told_codex = told("codex", &format!("{quoted}{command}"), 30_000);
    assert!(told_codex.contains("blocked 1 permission by screen: Would you like to run"), "{told_codex}");
    let refused = "■ unexpected status 401 Unauthorized\n";
    let told_refused = told("codex", &format!("{refused}  Go on?\n› 1. Yes\n  2. No\n"), 30_000);
    assert!(!told_refused.contains("login by"), "{told_refused}");
    let told_gemini = told("gemini", &format!("✦ The page says Login with Google.\n\n{GEMINI}"), 30_000);
    assert!(told_gemini.contains("by screen: Keep this fact?"), "{told_gemini}");
}

#[test]
fn login_screens_with_a_menu_of_their_own() {
    let own =
        "Select login method:\n\n ❯ 1. Claude account with subscription\n   2. Anthropic Console account\n";
    for (name, screen) in [
        ("claude", format!(" Welcome to Claude Code v2.1\n\n {own}")),
        ("claude", format!(" Welcome to Claude Code v2.1\n\n {own}\n Enter to confirm · Esc to cancel\n")),
        ("claude", format!("● Hello.\n\n❯ /login\n\n {own}\n Esc to cancel\n")),
        ("claude", format!("● Hello.\n\n{LINE} {own}\n Esc to cancel\n")),
        ("gemini", "╭────────────────────╮\n│ ? Get started\n│ How would you like to authenticate for this project?\n│\n│ ● 1. Login with Google\n│   2. Use Gemini API Key\n│\n│ (Use Enter to select)\n╰────────────────────╯\n".to_owned()),
    ] {
        let told = told(name, &screen, 30_000);
        assert!(told.contains("blocked 1 login by screen"), "{name}: {told}\n{screen}");
    }
}

#[test]
fn a_profile_that_is_no_agents_has_no_menus_by_look() {
    let mut story = Story::of(Profile::builtin("aider").expect("built in"));
    story.nobody_reads().shows(BOXED).pass(60_000);
    assert_eq!(story.take(), "");
}

/// Screens of libraries that ask, which poll in raw mode, with the cursor where they leave it.
#[test]
fn lists_that_programs_paint_around_their_cursor_are_listed() {
    let select = "? Which? (Use arrow keys)\n » Alpha build\n   Beta build\n   Gamma deploy";
    let options = "[Alpha build - \"\\r\"] [Beta build - \"\\u{1b}[B\\r\"]";
    let clack = "│\n◆  Which?\n│  ◻ Alpha build\n│  ◻ Beta build\n└\n";
    let boxes = "? Which? ›\nInstructions:\n    ↑/↓: Highlight option\n    enter/return: Complete answer\n◯   Alpha build\n◯   Beta build";
    let list = "Alpha build\nBeta build\nGamma deploy";
    for (screen, cursor, visible, told) in [
        (select.to_owned(), (0, 25), false, format!("question by kernel: Which? (Use arrow keys) {options}")),
        (select.to_owned(), (0, 0), false, "question by kernel: Which?".to_owned()),
        (select.to_owned(), (4, 0), false, "question by kernel: Which?".to_owned()),
        (clack.to_owned(), (5, 0), false, "question by kernel: ◆ Which?".to_owned()),
        (
            "? Which? (Use arrow keys to move, <space> to select)\n » ○ Alpha build\n   ○ Beta build"
                .to_owned(),
            (0, 52),
            false,
            "question by kernel: Which?".to_owned(),
        ),
        (boxes.to_owned(), (5, 14), false, "question by kernel: Which? ›".to_owned()),
        (format!("? Which auto? …\n{list}"), (0, 16), true, "question by kernel: Which auto?".to_owned()),
        (
            format!("? Which sort? …  (Use <shift>)\n{list}"),
            (0, 30),
            false,
            "question by kernel: Which sort?".to_owned(),
        ),
        (
            "? Password [input is masked]".to_owned(),
            (0, 28),
            false,
            "password by kernel: ? Password".to_owned(),
        ),
        (
            "? Password [input is masked]\nctrl+t toggle visibility".to_owned(),
            (0, 28),
            false,
            "password by kernel: ? Password".to_owned(),
        ),
        (
            "? Password \nctrl+t toggle visibility".to_owned(),
            (0, 11),
            true,
            "password by kernel: ? Password".to_owned(),
        ),
    ] {
        let mut story = Story::plain();
        story.reads("node", Poll, RAW).puts(&screen);
        (story.view.cursor_row, story.view.cursor_col, story.view.cursor_visible) =
            (cursor.0, cursor.1, visible);
        story.bytes(100).pass(2600);
        let asked = story.take();
        assert!(asked.contains(&format!("blocked 1 {told}")), "{asked}\n{screen}");
        assert!(story.holds(), "{screen}");
        story.pass(60_000);
        assert_eq!(story.take(), "", "{screen}");
    }
}

#[test]
fn rows_that_look_like_lists_are_no_prompts_of_who_polls() {
    for (screen, cursor) in [
        ("Changed:\n » src/a.rs\n   12 lines", (2, 11)),
        ("What is new?\n  * a first thing, told in\n    two rows", (2, 12)),
        ("? Which? red\n✔ Packages installed\n✔ Built\n⠋ Testing", (3, 9)),
        ("? Which? red\nInstalling\nFetching a\n", (3, 0)),
    ] {
        let mut story = Story::plain();
        story.reads("node", Poll, RAW).puts(screen);
        (story.view.cursor_row, story.view.cursor_col, story.view.cursor_visible) =
            (cursor.0, cursor.1, false);
        story.bytes(100).pass(100_000);
        assert_eq!(story.take(), "", "{screen}");
    }
}

/// Some programs leave their menus on the screen, with the answer.
#[test]
fn a_question_below_an_answered_menu_is_the_next_one() {
    let menu = "? Which fruit?\n> apple\n  banana\n";
    let mut story = Story::plain();
    story.view.cursor_visible = false;
    story.reads("python", Poll, RAW).shows(menu).pass(10_000);
    assert!(story.take().contains("blocked 1 question"));
    story.typed();
    story.view.cursor_visible = true;
    story.shows(&format!("{menu}Delete the others? [y/N] ")).pass(10_000);
    let told = story.take();
    assert!(told.contains("over 1") && told.contains("blocked 2 permission"), "{told}");
}

#[test]
fn a_dialog_of_an_editor_is_a_prompt_of_its_own() {
    let text = |row: &str| format!("notes.txt  [----] 0 L:[  1+ 0\nhello\n{row}\n\n 1Help   2Save   10Quit");
    let mut story = Story::plain();
    story.reads("mcedit", Poll, RAW).shows(&text("")).pass(10_000);
    assert!(story.take().contains("blocked 1 editor"));
    story.typed();
    story.puts(&text("│ Save before close? │\n│ [ Yes ]  [ No ] │"));
    (story.view.cursor_row, story.view.cursor_col) = (3, 3);
    story.bytes(100).pass(10_000);
    let told = story.take();
    assert!(told.contains("over 1") && told.contains("blocked 2 permission"), "{told}");
}
