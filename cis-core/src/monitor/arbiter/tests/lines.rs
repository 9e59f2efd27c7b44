//! Programs that ask a line at a time: read(tty), passwords, those that poll.

use crate::monitor::ReaderHow::{Poll, Read};
use crate::monitor::arbiter::story::{HIDDEN, LINES, RAW, Story};
use crate::monitor::{Modes, Reader, ReaderHow, Signal};

#[test]
fn a_question_counts_after_a_second_of_still_cells() {
    let mut story = Story::plain();
    story.shows("Overwrite b? [y/N] ").reads("cp", Read, LINES).pass(3000);
    assert_eq!(
        story.take(),
        "  1000 blocked 1 permission by kernel: Overwrite b? [y/N] [yes allow_once \"y\\r\"] [no deny \"n\\r\"]\n"
    );
}

#[test]
fn a_password_is_known_by_the_terminal_in_every_language() {
    let mut story = Story::plain();
    story.shows("Geheimnis für x: ").reads("su", Read, HIDDEN).pass(2000);
    assert_eq!(story.take(), "  1000 blocked 1 password by kernel: Geheimnis für x:\n");
    let mut sudo = Story::plain();
    sudo.shows("[sudo] password for nobody: ");
    sudo.evidence.modes = Some(HIDDEN);
    sudo.evidence.opaque = true;
    sudo.pass(2000);
    assert_eq!(sudo.take(), "  1000 blocked 1 password by kernel: [sudo] password for nobody:\n");
}

#[test]
fn a_program_that_shows_nothing_and_reads_waits_too() {
    let mut story = Story::plain();
    story.reads("cat", Read, LINES).pass(3000);
    assert_eq!(story.take(), "  1000 blocked 1 unknown by kernel: \n");
}

#[test]
fn who_polls_needs_text_before_the_cursor() {
    let mut story = Story::plain();
    story.shows("package name: (classic) ").reads("node", Poll, RAW).pass(4000);
    assert_eq!(story.take(), "  2500 blocked 1 question by kernel: package name: (classic)\n");
    let mut server = Story::plain();
    server
        .shows("  Local:   http://localhost:5173/\n  press h + enter to show help\n")
        .reads("node", Poll, LINES);
    server.pass(100_000);
    assert_eq!(server.take(), "");
    let mut progress = Story::plain();
    progress.shows("Fetching packages... ").reads("node", Poll, RAW).pass(60_000);
    assert_eq!(progress.take(), "");
}

#[test]
fn nobody_reads_nobody_waits() {
    for screen in ["Proceed? [y/N] ", "error: cannot continue?\n", "$ ", "Waiting for deploy? "] {
        let mut story = Story::plain();
        story.shows(screen).pass(100_000);
        assert_eq!(story.take(), "", "{screen}");
    }
}

#[test]
fn shells_and_repls_at_rest_are_idle() {
    for prompt in ["bash-5.2# ", ">>> ", "(gdb) ", "sqlite> "] {
        let mut story = Story::plain();
        story.shows(prompt).reads("x", Poll, RAW).pass(3000);
        assert_eq!(story.take(), format!("  2500 blocked 1 idle by kernel: {}\n", prompt.trim()), "{prompt}");
    }
}

#[test]
fn monitors_that_paint_themselves_anew_do_not_wait() {
    let mut story = Story::plain();
    story.view.cursor_visible = false;
    story.reads("top", Poll, RAW);
    for second in 0..40 {
        story.shows(&format!("top - 09:03:{second:02} up 3 days\n%Cpu(s): {second}.0 us\n")).pass(3000);
    }
    assert_eq!(story.take(), "");
}

#[test]
fn menus_are_found_by_their_look() {
    let mut story = Story::plain();
    story.reads("node", Poll, RAW).shows("? Which one?\n❯ red\n  blue\n");
    story.view.cursor_visible = false;
    story.pass(4000);
    assert_eq!(
        story.take(),
        "  2500 blocked 1 question by kernel: Which one? [red - \"\\r\"] [blue - \"\\u{1b}[B\\r\"]\n"
    );
}

#[test]
fn a_server_that_sits_in_a_read_does_not_wait() {
    let mut story = Story::plain();
    story.shows("Listening on http://127.0.0.1:8080\n").reads("serve", Read, LINES).pass(60_000);
    assert_eq!(story.take(), "");
}

#[test]
fn a_busy_tree_behind_a_silent_reader_works() {
    let mut story = Story::plain();
    story.reads("go", Read, LINES).shows("building\n");
    for _ in 0..20 {
        story.evidence.cpu_ms += 900;
        story.pass(1000);
    }
    assert_eq!(story.take(), "");
}

fn nested(how: ReaderHow) -> Reader {
    Reader { nested: true, ..Reader::new(9, "bash", how, Some(LINES)) }
}

#[test]
fn a_terminal_inside_is_seen_while_the_screen_outside_spins() {
    let mut story = Story::agent("gemini");
    story.evidence.readers.push(nested(Read));
    for turn in 0..30 {
        let spinner = ['⠋', '⠙', '⠹'][turn % 3];
        story.shows(&format!("╭────────╮\n│ Shell read -p │\n│ Name: │\n╰────────╯\n {spinner} Thinking... (esc to cancel, {turn}s)\n > "));
        story.pass(100);
    }
    assert!(story.take().starts_with("  1"), "within two seconds");
    assert_eq!(story.arbiter.verdict().map(|verdict| verdict.question.as_str()), Some("Name:"));
    story.evidence.readers.pop();
    story.bytes(10).pass(3000);
    assert!(story.take().contains("over 1"));
}

/// A multiplexer draws on a screen of its own, with a clock below.
#[test]
fn a_question_that_names_its_answers_is_found_inside_of_a_multiplexer() {
    let mut story = Story::plain();
    story.reads("tmux: client", Poll, RAW);
    story.evidence.readers.push(nested(Read));
    story.view.alternate = true;
    for turn in 0..10 {
        story.puts(&format!("Go on? [y/N]\n\n[0] 0:bash*   12:00:{turn:02} 23-Nov-26"));
        (story.view.cursor_row, story.view.cursor_col) = (0, 13);
        story.bytes(20).pass(400);
    }
    let told = story.take();
    assert!(
        told.starts_with("  1") && told.contains("blocked 1 permission by kernel: Go on? [y/N]"),
        "{told}"
    );
}

#[test]
fn a_terminal_inside_of_a_plain_program_counts_as_its_own() {
    let mut story = Story::plain();
    story.reads("script", Poll, RAW).shows("Nested: ");
    story.evidence.readers.push(nested(Read));
    story.pass(2500);
    assert_eq!(story.take(), "  2000 blocked 1 question by kernel: Nested:\n");
}

/// What a program at work wrote into a terminal inside stands before the cursor outside.
#[test]
fn a_program_that_works_in_a_terminal_inside_asks_nothing() {
    for (name, text) in [
        ("script", "Delete all? [y/N] "),
        ("python3", "Overwrite the cache (yes/no)? "),
        ("ssh", "building 12 of 30"),
    ] {
        for alternate in [false, true] {
            let mut story = Story::plain();
            story.reads(name, Poll, RAW).beside(1).view.alternate = alternate;
            story.shows(text).pass(300_000);
            assert_eq!(story.take(), "", "{name} {text} {alternate}");
            story.evidence.readers.push(nested(Read));
            story.shows("Format the disk? [y/N] ").pass(10_000);
            assert!(story.take().contains("blocked 1"), "{name} {text} {alternate}");
        }
    }
}

#[test]
fn somebody_inside_who_waits_in_another_way_or_cannot_be_looked_into_may_ask() {
    let asks = |change: fn(&mut Story)| {
        let mut story = Story::plain();
        story.reads("script", Poll, RAW).beside(1);
        change(&mut story);
        story.shows("Delete all? [y/N] ").pass(60_000);
        story.take().contains("blocked 1")
    };
    assert!(!asks(|_| ()));
    assert!(asks(|story| story.evidence.inside_opaque = true));
    assert!(asks(|story| story.evidence.readers.push(nested(Poll))));
    assert!(asks(|story| _ = story.beside(0)));
    assert!(asks(|story| _ = story.reads("bash", Read, LINES).beside(1)), "it reads for itself");
}

/// Which of two panes is the active one, nobody knows: also side by side, where the cursor may stand in the row of the question, and
/// where one of them is not shown.
#[test]
fn what_is_asked_in_one_of_several_terminals_inside_is_elsewhere() {
    let elsewhere = |name: &str, how: ReaderHow, terminals: u32, is_nested: bool| {
        [false, true].map(|alternate| {
            let mut story = Story::plain();
            story.reads(name, how, RAW).beside(terminals).view.alternate = alternate;
            story.evidence.readers.extend(is_nested.then(|| nested(Read)));
            story.shows("Delete? [y/N] ").pass(60_000);
            assert!(story.take().contains("blocked 1"), "{name} {terminals}");
            story.arbiter.asks_elsewhere(&story.view)
        })
    };
    assert_eq!(elsewhere("tmux: client", Poll, 2, true), [true; 2]);
    assert_eq!(elsewhere("python3", Poll, 2, true), [true; 2]);
    assert_eq!(elsewhere("script", Read, 2, true), [true; 2]);
    assert_eq!(elsewhere("tmux: client", Poll, 1, true), [false; 2]);
    assert_eq!(elsewhere("python3", Poll, 0, false), [false; 2]);
    assert_eq!(elsewhere("bash", Read, 2, false), [false; 2], "it asks by itself");
}

/// A program that has given up its question, and shows nothing of that.
#[test]
fn who_asked_is_awaited_for_as_long_as_it_waits() {
    for how in [Read, Poll] {
        let mut story = Story::plain();
        story.reads("bash", how, LINES).shows("Keep A? [y/n] ").pass(10_000);
        assert!(story.take().contains("blocked 1"));
        let reader = story.evidence.readers[0].clone();
        let mut look = story.evidence.clone();
        let mut waits = |readers: &[Reader], lives: bool| {
            look.readers = readers.to_vec();
            story.arbiter.is_awaited(&look, |_| lives)
        };
        assert!(waits(std::slice::from_ref(&reader), true));
        assert!(!waits(&[], true) && !waits(&[], false));
        let other = |pid: u32, name: &str| [Reader { pid, name: name.to_owned(), ..reader.clone() }];
        assert!(!waits(&other(8, "cat"), false), "another program");
        assert!(!waits(&other(7, "python3"), true), "the same process, which has become another program");
        assert!(!waits(&other(8, "bash"), true), "a child, or one in the background");
        assert!(waits(&other(8, "bash"), false), "the next one of a loop");
        assert!(!waits(&[Reader { nested: true, pid: 7, ..reader }], true));
        look.opaque = true;
        assert!(story.arbiter.is_awaited(&look, |_| true), "nobody knows");
    }
}

#[test]
fn who_asked_in_a_terminal_inside_is_awaited_whatever_passes_on_what_is_typed() {
    for how in [Read, Poll] {
        let mut story = Story::plain();
        story.reads("script", Poll, RAW).evidence.readers.push(nested(how));
        story.shows("Keep A? [y/n] ").pass(60_000);
        assert!(story.take().contains("blocked 1"), "{how:?}");
        assert!(story.arbiter.is_awaited(&story.evidence, |_| true), "{how:?}");
        story.evidence.readers.pop();
        assert!(!story.arbiter.is_awaited(&story.evidence, |_| true), "{how:?}");
    }
}

/// The server of `tmux` leaves its parents: the host may see it only some time later.
#[test]
fn who_passes_on_what_is_typed_is_not_who_asks_once_somebody_is_seen_inside() {
    let mut story = Story::plain();
    story.reads("tmux: client", Poll, RAW).shows("Keep A? [y/n] ").pass(60_000);
    assert!(story.take().contains("blocked 1"));
    assert!(story.arbiter.is_awaited(&story.evidence, |_| true), "nobody is seen inside");
    story.beside(1).evidence.readers.push(nested(Read));
    assert!(story.arbiter.is_awaited(&story.evidence, |_| true));
    story.evidence.readers.pop();
    assert!(!story.arbiter.is_awaited(&story.evidence, |_| true), "it works");
}

/// A command line in raw mode, with a job of its own in a terminal inside.
#[test]
fn a_menu_is_awaited_whoever_works_in_a_terminal_inside() {
    let mut story = Story::plain();
    story.view.cursor_visible = false;
    story.reads("app", Poll, RAW).beside(1).shows("? Which fruit?\n> apple\n  banana\n").pass(60_000);
    assert!(story.take().contains("blocked 1"));
    assert!(story.arbiter.is_awaited(&story.evidence, |_| true));
}

#[test]
fn a_program_that_forwards_what_is_typed_to_nobody_who_is_seen_is_named() {
    let named = |name: &str, inside: &str| {
        let mut story = Story::plain();
        story.reads(name, Poll, RAW);
        if !inside.is_empty() {
            story.beside(1).evidence.readers.push(Reader { name: inside.to_owned(), ..nested(Poll) });
        }
        story.shows("Keep A? [y/n] ").pass(60_000);
        story.arbiter.passes_out_of_sight()
    };
    assert_eq!(named("ssh", "").as_deref(), Some("ssh"));
    assert_eq!(named("tmux: client", "").as_deref(), Some("tmux: client"));
    assert_eq!(named("script", "ssh").as_deref(), Some("ssh"));
    assert_eq!(named("script", "bash"), None);
    assert_eq!(named("bash", ""), None);
    let mut story = Story::plain();
    story.nobody_reads().evidence.opaque = true;
    story.evidence.foreground = vec!["sudo".to_owned(), "ssh".to_owned()];
    story.shows("Keep A? [y/n] ").pass(60_000);
    assert_eq!(story.arbiter.passes_out_of_sight().as_deref(), Some("sudo"));
}

#[test]
fn who_may_pass_on_what_is_typed_is_told_by_how_it_waits() {
    let named = |how: ReaderHow, modes: Modes, of: fn(&mut Reader)| {
        let mut story = Story::plain();
        story.reads("tool", how, modes);
        of(&mut story.evidence.readers[0]);
        story.shows("Keep A? [y/n] ").pass(60_000);
        story.arbiter.passes_out_of_sight().is_some()
    };
    let peer: fn(&mut Reader) = |one| one.peer = true;
    let ssh: fn(&mut Reader) = |one| one.name = "ssh".to_owned();
    assert!(named(Poll, LINES, peer) && named(Poll, RAW, peer) && named(Read, RAW, peer));
    assert!(named(Read, LINES, peer), "it passes on lines, as `docker exec -i` does");
    assert!(named(Poll, RAW, ssh));
    assert!(!named(Read, LINES, ssh), "a line of its own");
    let mut beside_sudo = Story::plain();
    beside_sudo.reads("bash", Read, LINES).evidence.opaque = true;
    beside_sudo.shows("Keep A? [y/n] ").pass(60_000);
    assert_eq!(beside_sudo.arbiter.passes_out_of_sight(), None, "it is seen to wait");
    assert!(!named(Poll, RAW, |_| ()));
    assert!(named(Poll, RAW, |one| one.sleeps = true));
    let mut copies = Story::plain();
    copies.reads("wrapper", Read, LINES).beside(1).shows("Keep A? [y/n] ").pass(60_000);
    assert!(copies.arbiter.passes_out_of_sight().is_some(), "a program inside is at work");
}

/// It looks for a key, and sleeps a little.
#[test]
fn who_sleeps_between_its_looks_waits_where_the_screen_asks() {
    for (text, asks) in [("Password: ", true), ("Keep A? [y/n] ", true), ("copying files", false)] {
        let mut story = Story::plain();
        story.reads("tool", Poll, RAW);
        story.evidence.readers[0].sleeps = true;
        story.shows(text).pass(60_000);
        assert_eq!(story.take().contains("blocked 1"), asks, "{text}");
    }
}

/// `script` in `script`, of which the inner one waits all the time.
#[test]
fn who_passes_on_what_is_typed_inside_is_not_who_asks() {
    let passes_on = || Reader { pid: 8, name: "script".to_owned(), outer: true, ..nested(Poll) };
    for how in [Read, Poll] {
        let mut story = Story::plain();
        story.reads("script", Poll, RAW).beside(1).evidence.readers.extend([passes_on(), nested(how)]);
        story.shows("Keep A? [y/n] ").pass(60_000);
        assert!(story.take().contains("blocked 1"), "{how:?}");
        assert!(story.arbiter.is_awaited(&story.evidence, |_| true), "{how:?}");
        story.evidence.readers.pop();
        assert!(!story.arbiter.is_awaited(&story.evidence, |_| true), "{how:?}");
    }
    let mut works = Story::plain();
    works.reads("script", Poll, RAW).beside(1).evidence.readers.push(passes_on());
    works.shows("Keep A? [y/n] ").pass(60_000);
    assert_eq!(works.take(), "", "nobody asks");
}

/// `unbuffer`, or a script of `expect`, reads nothing of the session's terminal: an answer would wait there for the next question.
#[test]
fn a_terminal_inside_that_gets_nothing_of_what_is_typed_asks_nobody() {
    for (text, modes) in [("Overwrite the cache? [y/N] ", LINES), ("Secret: ", HIDDEN), ("building", LINES)] {
        let mut story = Story::plain();
        story.shows(text).nobody_reads();
        story.evidence.modes = Some(LINES);
        story.evidence.readers.push(Reader { modes: Some(modes), ..nested(Read) });
        story.pass(300_000);
        assert_eq!(story.take(), "", "{text}");
    }
}

/// Programs that take keys as they come paint a sign before what they ask, and stars or nothing of what is typed.
#[test]
fn a_secret_that_is_asked_for_by_name_in_raw_mode_is_a_password() {
    for text in [
        "[?] Password: ",
        "[?] Password?: ",
        "[?] Passphrase? ",
        "[?] PIN: ",
        "? PIN? ",
        "(?) Enter your passphrase: ",
        "[1/3] Password: ",
        "? Password: ***",
        "◆ API token: ",
        "[?] API token?: ",
    ] {
        for how in [Poll, Read] {
            let mut story = Story::plain();
            story.shows(text).reads("python3", how, RAW).pass(3000);
            let told = story.take();
            assert!(told.contains("blocked 1 password by kernel"), "{text} {how:?}: {told}");
        }
    }
    const SHOWN: Modes = Modes { canonical: false, echo: true };
    for (text, modes) in [
        ("[?] Username: ", RAW),
        ("[?] Token of the release? ", SHOWN),
        ("[?] API key: ", SHOWN),
        ("? Which password store? ", RAW),
        ("[?] Select the password store: ", RAW),
        ("[?] Change the password? (y/N): ", RAW),
    ] {
        let mut story = Story::plain();
        story.shows(text).reads("python3", Poll, modes).pass(3000);
        let told = story.take();
        assert!(told.contains("blocked 1") && !told.contains("password by"), "{text}: {told}");
    }
}

/// Whatever is known of the terminal inside, and whatever the words: what is typed there is no answer to a question.
#[test]
fn a_secret_that_a_terminal_inside_asks_for_is_never_a_question() {
    let hidden = [None, Some(RAW), Some(HIDDEN)];
    let named = ["Inner secret: ", "Passphrase for key 'a': ", "Enter PIN: ", "API token: ", "Passwort:"];
    let cases = named.iter().flat_map(|text| hidden.iter().map(move |modes| (*text, *modes)));
    let unnamed = [("Geheim: ", Some(HIDDEN)), ("Magic word [a/b]? ", Some(HIDDEN))];
    for (text, modes) in cases.chain(unnamed) {
        for (outer, alternate) in [("script", false), ("tmux: client", true)] {
            for rings in [false, true] {
                let mut story = Story::plain();
                story.reads(outer, Poll, RAW);
                story.evidence.readers.push(Reader { modes, ..nested(Read) });
                story.view.alternate = alternate;
                story.shows(text);
                if rings {
                    story.signal(&Signal::Bell);
                }
                story.pass(200_000);
                let told = story.take();
                assert!(told.contains("blocked 1 password by kernel"), "{outer} {text} {modes:?}: {told}");
                assert_eq!(told.lines().count(), 1, "{outer} {text} {modes:?}: {told}");
            }
        }
    }
}

#[test]
fn a_secret_inside_is_one_also_where_somebody_else_reads_another_terminal_inside() {
    let mut story = Story::plain();
    story.reads("tmux: client", Poll, RAW);
    story.view.alternate = true;
    story.evidence.readers.push(Reader { pid: 8, ..nested(Read) });
    story.pass(90_000).take();
    story.evidence.readers.push(Reader { modes: Some(HIDDEN), ..nested(Read) });
    story.shows("Geheim: ").pass(90_000);
    let told = story.take();
    assert!(told.contains("password by kernel: Geheim:") && !told.contains("question"), "{told}");
}

#[test]
fn a_question_that_only_names_a_secret_is_one_inside_too() {
    let mut story = Story::plain();
    story.reads("script", Poll, RAW).shows("Change the password? (y/N) ");
    story.evidence.readers.push(Reader { modes: None, ..nested(Read) });
    story.pass(60_000);
    let told = story.take();
    assert!(told.contains("blocked 1 permission by kernel"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn what_a_terminal_answers_to_questions_about_itself_is_no_part_of_a_prompt() {
    let mut story = Story::plain();
    story.shows("Name: ^[[?62;22c^[[24;80R").reads("sh", Read, LINES).pass(1100);
    assert!(story.take().ends_with("blocked 1 question by kernel: Name:\n"));
}

#[test]
fn keys_get_their_words_from_the_rows_above() {
    let mut story = Story::plain();
    let screen = "e) Edit it\nd) Delete it\nq) Quit\ne/d/q> ";
    story.shows(screen).reads("tool", Read, LINES).pass(1500);
    let told = story.take();
    assert!(told.contains(r#"[Edit it - "e\r"] [Delete it - "d\r"] [Quit cancel "q\r"]"#), "{told}");
    let mut story = Story::plain();
    story.shows("n) New remote\ny) Yank it\ny/n> ").reads("tool", Read, LINES).pass(1500);
    let told = story.take();
    assert!(told.contains(r#"[Yank it - "y\r"] [New remote - "n\r"]"#), "{told}");
}

#[test]
fn keys_that_rows_above_turn_around_have_no_meaning() {
    for (rows, labels) in
        [("Press n to approve, y to refuse", ["n", "y"]), ("n) Approve\ny) Refuse", ["Approve", "Refuse"])]
    {
        let mut story = Story::plain();
        story.shows(&format!("{rows}\nYour choice [n/y]: ")).reads("tool", Read, LINES).pass(1500);
        let told = story.take();
        let [no, yes] = labels;
        assert!(told.contains(&format!(r#"[{no} - "n\r"] [{yes} - "y\r"]"#)), "{told}");
    }
}

#[test]
fn a_printed_numbered_menu_is_a_prompt_with_options() {
    let mut story = Story::plain();
    let menu = "Do you want to make this edit?\n❯ 1. Yes\n  2. Yes, allow all edits\n  3. No, and say what to do (esc)\n";
    story.shows(menu).reads("bash", Read, LINES).pass(3000);
    let told = story.take();
    assert!(
        told.contains("blocked 1 permission by kernel: Do you want to make this edit? [Yes allow_once"),
        "{told}"
    );
    assert!(told.contains(r#"[No, and say what to do deny_and_say "3\r"]"#), "{told}");
    assert!(story.holds(), "it is still there for an answer");
}

#[test]
fn a_numbered_menu_is_found_if_its_last_row_ends_like_a_prompt() {
    let mut story = Story::plain();
    story.shows("Proceed?\n❯ 1. Yes\n  2. No, and say why (esc)").reads("bash", Read, RAW).pass(3000);
    let told = story.take();
    let options = r#"Proceed? [Yes allow_once "\r"] [No, and say why deny_and_say "\u{1b}[B\r"]"#;
    assert!(told.contains(options), "{told}");
}

#[test]
fn prompts_of_shells_are_marked() {
    for (name, how, modes, prompt, at_shell) in [
        ("bash", Poll, RAW, "pat@vm:~$ ", true),
        ("dash", Read, LINES, "$ ", true),
        ("fish", Poll, RAW, "pat@vm ~> ", true),
        ("python3", Poll, RAW, ">>> ", false),
        ("sh", Read, LINES, "release> ", false),
    ] {
        let mut story = Story::plain();
        story.shows(prompt).reads(name, how, modes).pass(4000);
        let verdict = story.arbiter.verdict().unwrap_or_else(|| panic!("no verdict for {name}"));
        assert_eq!(verdict.at_shell, at_shell, "{name} {prompt}");
    }
    let mut marked = Story::plain();
    marked.signal(&Signal::Shell { mark: 'A', code: None }).shows("» ").pass(2000);
    assert!(marked.arbiter.verdict().is_some_and(|verdict| verdict.at_shell));
}

/// A log with times is no clock.
#[test]
fn a_time_that_stands_still_delays_nothing() {
    let log = "12:00:05 INFO starting\n";
    for (end, (row, col)) in
        [("Continue? [y/N] \nF1 help", (1, 16)), ("Run it?\n❯ red\n  blue\n\nF1 help", (2, 5))]
    {
        for (how, alternate, until) in
            [(Poll, false, 2600), (Poll, true, 5100), (Read, false, 1400), (Read, true, 1400)]
        {
            let mut story = Story::plain();
            story.reads("python3", how, RAW);
            story.view.alternate = alternate;
            story.puts(&format!("{log}{end}"));
            (story.view.cursor_row, story.view.cursor_col) = (row, col);
            story.bytes(50).pass(until);
            assert!(story.take().contains("blocked 1"), "{end} {how:?} {alternate}");
        }
    }
}
