//! Full-screen agents: their rules, titles and reports.

use std::sync::Arc;

use crate::monitor::arbiter::story::{LINES, RAW, Story};
use crate::monitor::{Idle, Profile, ReaderHow, Seed, Signal};

const CLAUDE: &str = "● Hello.\n\n❯ go\n\n────────────\n Bash command\n touch ws/a\n Do you want to proceed?\n ❯ 1. Yes\n   2. Yes, and always allow access to ws from this project\n   3. No\n\n Esc to cancel · Tab to amend\n";
const CODEX: &str = "• Running touch a\n\n\n  Would you like to run the following command?\n\n  Reason: Try it?\n\n  $ touch a\n\n› 1. Yes, proceed (y)\n  2. Yes, and don't ask again for commands that start with `touch a` (p)\n  3. No, and tell Codex what to do differently (esc)\n\n  Press enter to confirm or esc to cancel\n";
const GEMINI: &str = "✦ Hello.\n\n╭──────────────╮\n│ ? Shell  touch a       │\n│ Allow execution of [Shell]?   │\n│                      │\n│ ● 1. Allow once      │\n│   2. Allow for this session  │\n│   3. No, suggest changes (esc)   │\n╰──────────────╯\n";
const OPENCODE: &str = "  ┃\n  ┃  △ Permission required\n  ┃    ← Access external directory ws\n  ┃\n  ┃   Allow once   Allow always   Reject       ctrl+f fullscreen  ⇆ select  enter confirm\n  ┃\n";

#[test]
fn permission_dialogs_with_their_real_options() {
    let told = |name: &str, screen: &str| {
        let mut story = Story::agent(name);
        story.shows(screen).pass(3000);
        story.take()
    };
    assert_eq!(
        told("claude", CLAUDE),
        "   360 blocked 1 permission by screen: Do you want to proceed? — Bash command · touch ws/a [Yes allow_once \"1\"] [Yes, and always allow access to ws from this project allow_always \"2\"] [No deny \"3\"]\n"
    );
    assert_eq!(
        told("codex", CODEX),
        "   360 blocked 1 permission by screen: Would you like to run the following command? — Reason: Try it? · $ touch a [Yes, proceed allow_once \"y\"] [Yes, and don't ask again for commands that start with `touch a` allow_always \"p\"] [No, and tell Codex what to do differently deny_and_say \"\\u{1b}\"]\n"
    );
    assert_eq!(
        told("gemini", GEMINI),
        "   360 blocked 1 permission by screen: Allow execution of [Shell]? — ? Shell touch a [Allow once allow_once \"1\"] [Allow for this session allow_session \"2\"] [No, suggest changes deny_and_say \"3\"]\n"
    );
    assert_eq!(
        told("opencode", OPENCODE),
        "   360 blocked 1 permission by screen: △ Permission required — ← Access external directory ws [Allow once allow_once \"\\r\"] [Allow always allow_always \"\\u{1b}[C\\r\"] [Reject deny \"\\u{1b}[C\\u{1b}[C\\r\"]\n"
    );
}

#[test]
fn quoted_dialogs_are_no_dialogs() {
    let quoted = format!(
        "{CLAUDE}\n● That is what it looks like.\n\n────────────\n❯ \n────────────\n  esc to interrupt · ← for agents\n"
    );
    let mut story = Story::agent("claude");
    story.shows(&quoted).pass(60_000);
    assert_eq!(story.take(), "");
    let quoted = format!(
        "{GEMINI}\n ⠙ Thinking... (esc to cancel, 2s)\n────────────\n >   Type your message or @path/to/file\n"
    );
    let mut story = Story::agent("gemini");
    story.shows(&quoted).pass(60_000);
    assert_eq!(story.take(), "");
}

#[test]
fn work_is_no_prompt_and_a_prompt_is_one_after_a_while() {
    for (name, working, idle) in [
        (
            "claude",
            "✶ Shimmying…\n────────\n❯ \n────────\n  ⏸ manual mode on · esc to interrupt",
            "● Hi.\n\n✻ Worked for 14s\n\n────────\n❯ \n────────\n  ? for shortcuts",
        ),
        (
            "codex",
            "• Working (1s • esc to interrupt)\n\n\n› Ask Codex to do anything\n\n  ? for shortcuts",
            "• Hi.\n\n\n› Ask Codex to do anything\n\n  ? for shortcuts",
        ),
        (
            "gemini",
            " ⠙ Thinking... (esc to cancel, 2s)\n────────\n >   Type your message or @path/to/file\n",
            "✦ Hi.\n\n────────\n >   Type your message or @path/to/file\n",
        ),
        (
            "opencode",
            "  ┃\n   ■■⬝⬝⬝  esc interrupt      ctrl+p commands",
            "  ┃\n   ws          2 (0%)  ctrl+p commands",
        ),
    ] {
        let mut story = Story::agent(name);
        for _ in 0..10 {
            story.shows(working).pass(1000);
        }
        assert_eq!(story.take(), "", "{name}");
        story.shows(idle).pass(3000);
        let told = story.take();
        assert!(told.contains("blocked 1 idle by screen"), "{name}: {told}");
    }
}

#[test]
fn an_agent_with_a_task_is_done_at_its_prompt() {
    let profile = Profile::builtin("gemini").expect("built in").with_idle(Idle::Done);
    let mut story = at_terminal(&profile);
    story.shows("────────\n >   Type your message\n").pass(5000);
    assert_eq!(story.take(), "");
    assert!(story.arbiter.at_rest());
    story.shows(" ⠙ Thinking... (esc to cancel, 2s)\n────────\n >   Type your message\n").pass(1000);
    story.shows(" > go\n\n✦ It is done.\n  All of it.\n\n────────\n >   Type your message\n").pass(30_000);
    assert_eq!(story.take(), "  7560 done: It is done.\nAll of it.\n");
    let mut long = at_terminal(&profile);
    long.shows(" ⠙ Thinking... (esc to cancel, 2s)\n────────\n >   Type your message\n").pass(1000);
    let answer = "✦ Plan:\n  - one\n      code()\n  ---\n  > it is a long sentence that is quoted\n  ✦ a mark\n\n  end";
    long.shows(&format!(" > go\n\n{answer}\n\n────────\n >   Type your message\n")).pass(30_000);
    let told = long.take();
    let lines =
        "done: Plan:\n- one\n    code()\n---\n> it is a long sentence that is quoted\n✦ a mark\n\nend\n";
    assert!(told.ends_with(lines), "{told}");
    // Too quick to be seen at work: known by its staying there.
    let mut quick = at_terminal(&profile);
    quick.shows("✦ Yes.\n\n────────\n >   Type your message\n").pass(60_000);
    assert!(quick.take().ends_with("done: Yes.\n"));
}

/// An agent that waits for its terminal, as real ones do in every state.
fn at_terminal(profile: &Arc<Profile>) -> Story {
    let mut story = Story::of(Arc::clone(profile));
    story.reads("node", ReaderHow::Poll, RAW);
    story
}

#[test]
fn an_agent_that_sleeps_at_its_prompt_is_not_done() {
    let profile = Profile::builtin("gemini").expect("built in").with_idle(Idle::Done);
    let working = " ⠙ Thinking... (esc to cancel, 2s)\n────────\n >   Type your message\n";
    let rests = "✦ So far.\n\n────────\n >   Type your message\n";
    // It sleeps for a tenth of a second again and again, and then for long: its last second looks as if it slept so again.
    let mut story = Story::of(profile.clone());
    story.reads("python3", ReaderHow::Poll, RAW).evidence.readers[0].sleeps = true;
    story.shows(working).pass(1000);
    story.shows(rests).nobody_reads().pass(9000).reads("python3", ReaderHow::Poll, RAW).evidence.readers[0]
        .sleeps = true;
    story.pass(900).shows(working);
    assert_eq!(story.take(), "");
    // Here it looks at its terminal between its naps.
    story.shows(&rests.replace("So far", "All")).pass(5000);
    let told = story.take();
    assert!(told.ends_with("done: All.\n"), "{told}");
    // Where the kernel shows nobody, time decides.
    let mut blind = Story::of(profile);
    blind.shows(working).pass(1000).shows(rests).pass(59_000);
    assert_eq!(blind.take(), "");
    blind.pass(2000);
    assert!(blind.take().ends_with("done: So far.\n"));
}

#[test]
fn an_answer_begins_where_it_scrolled_out() {
    let profile = Profile::builtin("claude").expect("built in");
    let rows: Vec<String> = (1..=40).map(|n| format!("  - {n}")).collect();
    let input =
        ["", "✻ Worked for 14s", "", "────────────────", "❯ ", "────────────────", "  ? for shortcuts"];
    let input: Vec<String> = input.map(str::to_owned).into();
    let all = [&["● Before.".to_owned(), String::new(), "● Plan:".to_owned()], &rows[..], &input].concat();
    let text = |rows: &[String]| rows.iter().map(|row| row.trim()).collect::<Vec<_>>().join("\n");
    assert_eq!(profile.answer(&all, 20), format!("Plan:\n{}", text(&rows)));
    let missing = "(The beginning of this answer is missing: it is no longer on the agent's screen.)\n";
    assert_eq!(profile.answer(&all[20..], 0), format!("{missing}{}", text(&rows[17..])));
    // An earlier answer is not this one.
    let first = ["● Welcome.", "❯ go", " ● Hi."].map(str::to_owned);
    let indented = [&first, &rows[..3], &input].concat();
    assert_eq!(profile.answer(&indented, 2), format!("Hi.\n{}", text(&rows[..3])));
    let other = [&["● Before.".to_owned(), "❯ next".to_owned()], &rows[..], &input].concat();
    assert_eq!(profile.answer(&other, 20), format!("{missing}{}", text(&rows[18..])));
}

#[test]
fn reports_count_within_moments_and_take_themselves_back() {
    let mut story = Story::plain();
    story.shows("Shall I? ").pass(50).status("blocked", Some("permission")).pass(150);
    assert_eq!(story.take(), "   170 blocked 1 permission by terminal: Shall I?\n");
    story.pass(500).status("working", None).pass(1);
    assert!(story.take().contains("over 1"));
}

#[test]
fn a_title_raises_what_the_rules_then_read() {
    let mut story = Story::agent("codex");
    story.shows("• Working (1s • esc to interrupt)\n› x\n  ? for shortcuts").pass(1000);
    story.title("[ ! ] Action Required").shows(CODEX).pass(200);
    let told = story.take();
    assert!(told.contains("blocked 1 permission by terminal: Would you like"), "{told}");
    let ms: i64 = told.trim().split(' ').next().and_then(|ms| ms.parse().ok()).expect("a time");
    assert!(ms <= 1200, "{ms}");
    story.title("codex").pass(500);
    assert!(story.take().contains("over 1"));
}

#[test]
fn a_title_that_says_nothing_any_more_keeps_nobody_from_being_done() {
    let done = "✦ It is done.\n\n────────\n >   Type your message\n";
    for last in ["✦  Working… (x)", "✋  Action Required (x)"] {
        let mut story = at_terminal(&Profile::builtin("gemini").expect("built in").with_idle(Idle::Done));
        story
            .title("✦  Working… (x)")
            .shows(" ⠙ Thinking... (esc to cancel, 2s)\n >   Type your message\n")
            .pass(2000);
        story.title(last).pass(500).title("◇  Ready (x)").shows(done).pass(30_000);
        let told = story.take();
        assert!(told.ends_with("done: It is done.\n"), "{last}: {told}");
    }
}

#[test]
fn a_blinking_title_is_no_output() {
    let mut story = Story::plain();
    story.shows("Name: ").reads("bash", ReaderHow::Read, LINES);
    for turn in 0..30 {
        story.title(if turn % 2 == 0 { "a" } else { "b" }).bytes(10).pass(100);
    }
    let told = story.take();
    assert!(told.contains("blocked 1 question"), "{told}");
    assert_eq!(told.lines().count(), 1);
}

#[test]
fn a_shell_with_marks_is_idle_at_once() {
    let mut story = Story::plain();
    story.shows("$ ").signal(&Signal::Shell { mark: 'B', code: None }).pass(400);
    assert!(story.take().contains("blocked 1 idle by terminal"));
    story.typed().shows("$ make\n").signal(&Signal::Shell { mark: 'C', code: None }).pass(500);
    assert!(story.take().contains("over 1"));
}

#[test]
fn bells_and_notifications_alone_say_nothing() {
    let mut story = Story::agent("claude");
    story
        .shows("some text")
        .signal(&Signal::Bell)
        .signal(&Signal::Notification { text: "Look!".to_owned() })
        .pass(60_000);
    assert_eq!(story.take(), "");
}

#[test]
fn markers_where_the_profile_says_so() {
    let table: toml::Table = "markers = true".parse().expect("TOML");
    let profile = Profile::from_table("x", None, &table).expect("a profile");
    let mut story = Story::of(profile);
    story
        .shows("ERROR: no disk\nan ERROR: inside\n")
        .pass(500)
        .shows("ERROR: no disk\nCOMPLETE: made it\n")
        .pass(500);
    assert_eq!(story.take(), "    60 marker error: no disk\n   560 complete: made it\n");
    story.shows("QUESTION: which colour?\n").pass(3000);
    assert!(story.take().contains("blocked 1 question by screen: which colour?"));
    let mut plain = Story::plain();
    plain.shows("QUESTION: which?\nERROR: x\n").pass(60_000);
    assert_eq!(plain.take(), "");
}

#[test]
fn leave_for_a_tool_is_not_answered_by_the_options_of_another_dialog() {
    let trust = "╭──────────────╮\n│ Do you trust the files in this folder?   │\n│ ● 1. Trust folder (w)   │\n│   2. Don't trust   │\n╰──────────────╯\n";
    for both in [format!("{GEMINI}{trust}"), format!("{trust}{GEMINI}")] {
        let mut story = Story::of(Profile::builtin("gemini").expect("built in"));
        story.shows(&both).pass(3000);
        let verdict = story.arbiter.verdict().expect("it waits");
        assert_eq!(verdict.kind, crate::event::PromptKind::Permission, "{both}");
        let labels: Vec<&str> = verdict.options.iter().map(|option| option.label.as_str()).collect();
        assert_eq!(labels, ["Allow once", "Allow for this session", "No, suggest changes"], "{both}");
    }
}

#[test]
fn an_agent_that_is_to_be_given_its_work_waits_for_it_at_its_prompt() {
    let profile = Profile::builtin("gemini").expect("built in").with_idle(Idle::Done);
    let mut story = Story::seeded(profile, Seed { work_due: true, ..Seed::default() });
    story.reads("node", ReaderHow::Poll, RAW);
    let at_prompt = "────────\n >   Type your message\n";
    story.shows(at_prompt).pass(5000);
    let told = story.take();
    assert!(told.contains("blocked 1 idle"), "{told}");
    story.typed().pass(100);
    assert!(story.take().contains("over 1"));
    story.shows(" ⠙ Thinking... (esc to cancel, 2s)\n────────\n >   Type your message\n").pass(1000);
    story.shows(" > go\n\n✦ It is done.\n\n────────\n >   Type your message\n").pass(3000);
    let told = story.take();
    assert!(told.contains("done: It is done.") && !told.contains("blocked"), "{told}");
}
