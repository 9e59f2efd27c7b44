//! Logins of agents: their own screens end an attempt, what they quote does not.

use crate::monitor::arbiter::story::{LINES, Story};
use crate::monitor::{Profile, Reader, ReaderHow};

const CLAUDE_AT_REST: &str = "────────────\n❯ \n────────────\n  ⏸ manual mode on · ? for shortcuts";
const CLAUDE_AT_WORK: &str =
    "✻ Brewing… (4s)\n────────────\n❯ \n────────────\n  ⏸ manual mode on · esc to interrupt";
const CODEX_AT_REST: &str =
    "\n› Ask Codex to do anything\n\n  fake default · ~/w\n  ← for agents · ? for shortcuts";
const CODEX_AT_WORK: &str = "• Working (1s • esc to interrupt)\n\n› Ask Codex to do anything\n\n  fake default · ~/w\n  ← for agents · ? for shortcuts";
const OPENCODE_AT_REST: &str = "  ┃\n  ┃  Build · fake fake\n   w          2 (0%)  ctrl+p commands";
const OPENCODE_AT_WORK: &str = "  ┃\n  ┃  Build · fake fake\n   ■■⬝⬝⬝⬝⬝⬝  esc interrupt     ctrl+p commands";

/// What each of them shows where nobody is logged in.
fn logins() -> Vec<(&'static str, String)> {
    let banner = format!("{:>70}\n{CLAUDE_AT_REST}", "Not logged in · run /login");
    vec![
        ("claude", "❯ hi\n▔▔▔▔▔▔\n  Login\n\n  Select login method:\n\n  ❯ 1. With a subscription\n    2. By usage\n\n  Esc to cancel".to_owned()),
        ("claude", "❯ hi\n▔▔▔▔▔▔\n  Login\n\n  Browser didn't open? Use the URL below to sign in (c to copy)\n\nhttps://example.invalid/oauth/authorize?code=true\n\n  Paste code here if prompted\n  ╭────╮\n  │    │\n  ╰────╯\n  Esc to cancel".to_owned()),
        ("claude", banner),
        ("claude", format!("❯ hi\n  ⎿  Not logged in · Please run /login\n\n{CLAUDE_AT_REST}")),
        ("claude", format!("● Read(a)\n  ⎿  Done\n\n  ⎿  Invalid API key · Please run /login\n\n{CLAUDE_AT_REST}")),
        ("codex", "  Welcome to Codex\n\n  Choose how you want to use Codex.\n\n> 1. Sign in with ChatGPT\n     With a plan\n\n  2. Sign in with Device Code\n\n  Press enter to continue".to_owned()),
        ("codex", format!("› hi\n\n\n■ unexpected status 401 Unauthorized: invalid x-api-key, url: http://a.invalid\n\n{CODEX_AT_REST}")),
        ("codex", format!("• Ran ls\n\n■ Your access token could not be refreshed. Please log out and sign in\nagain.\n\n{CODEX_AT_REST}")),
        ("opencode", format!("            Connect a provider                 esc\n\n            Search\n\n            Popular\n  ┃  Ask     One of them\n{OPENCODE_AT_REST}")),
    ]
}

#[test]
fn screens_that_ask_for_a_login() {
    for (name, screen) in logins() {
        let mut story = Story::agent(name);
        story.shows(&screen).pass(30_000);
        let told = story.take();
        assert!(told.contains("blocked 1 login by screen"), "{name}: {told}\n{screen}");
    }
}

#[test]
fn words_of_a_login_that_are_quoted() {
    let words = "Please log in. Please run /login. Not logged in. Log in again. codex login. Invalid API key";
    let list = "Select login method: Sign in with ChatGPT. Connect a provider. No providers configured";
    let rows = format!("{words}\n  {list}\n  1. Sign in with ChatGPT\n  Press enter to continue");
    for (name, rest, work) in [
        ("claude", CLAUDE_AT_REST, CLAUDE_AT_WORK),
        ("codex", CODEX_AT_REST, CODEX_AT_WORK),
        ("opencode", OPENCODE_AT_REST, OPENCODE_AT_WORK),
    ] {
        for (state, ui) in [("at rest", rest), ("at work", work)] {
            for mark in ["● ", "• ", "  ⎿  ", "  └ ", "  ┃  ", "  ", "● Bash(cat log)\n  ⎿  Not logged in · "]
            {
                let mut story = Story::agent(name);
                story.shows(&format!("{mark}{rows}\n\n{ui}")).pass(60_000);
                let told = story.take();
                assert!(!told.contains("login"), "{name} {state} after {mark:?}: {told}");
            }
        }
    }
}

#[test]
fn a_whole_login_screen_that_is_quoted() {
    for (name, screen) in logins() {
        let ui = match name {
            "claude" => CLAUDE_AT_WORK,
            "codex" => CODEX_AT_WORK,
            _ => OPENCODE_AT_WORK,
        };
        // An agent that works is logged in, whatever it shows.
        let mut story = Story::agent(name);
        story.shows(&format!("{screen}\n\n{ui}")).pass(60_000);
        assert_eq!(story.take(), "", "{name}: {screen}");
        let indented = screen.lines().map(|row| format!("    {row}\n")).collect::<String>();
        let rest = match name {
            "claude" => CLAUDE_AT_REST,
            "codex" => CODEX_AT_REST,
            _ => continue,
        };
        let mut story = Story::agent(name);
        story
            .shows(&format!("● It shows this:\n{indented}\n  That is all.\n  Go on?\n\n{rest}"))
            .pass(60_000);
        let told = story.take();
        assert!(!told.contains("login"), "{name}: {told}\n{screen}");
    }
}

#[test]
fn a_name_that_a_tool_asks_for_is_no_login_of_its_agent() {
    let mut story = Story::agent("claude");
    story.shows(&format!("● Bash(git push)\n  ⎿  Username for 'https://a.invalid':\n\n{CLAUDE_AT_WORK}"));
    let inside = Reader { nested: true, ..Reader::new(9, "git", ReaderHow::Read, Some(LINES)) };
    story.evidence.readers.push(inside);
    story.bytes(1).pass(10_000);
    let told = story.take();
    assert!(told.contains("blocked 1 question by kernel: "), "{told}");
}

#[test]
fn a_list_without_numbers_is_a_dialog_too() {
    let screen = "────────────\n Accessing workspace:\n\n Quick safety check: Is this a project you trust?\n\n Security guide\n\n ❯ No, exit\n   Yes, I trust this folder\n\n Enter to confirm · Esc to cancel";
    let mut story = Story::of(Profile::builtin("claude").expect("built in"));
    story.shows(screen).pass(3000);
    let told = story.take();
    assert!(told.contains("blocked 1 trust by screen"), "{told}");
    assert!(
        told.contains(r#"[No, exit deny "\r"] [Yes, I trust this folder allow_once "\u{1b}[B\r"]"#),
        "{told}"
    );
}
