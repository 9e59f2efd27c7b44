//! `cis dag attach`, at a real terminal.

use super::asking::found;
use super::harness::{Cis, eventually, kill_9, signal, wait_until_handled};

/// Shows a banner, then echoes lines in angle brackets.
const ECHO: &str = r#"
version = 1
[dag]
id = "echo"
[[tasks]]
id = "echo"
script = 'printf "banner\n"; while read -r line; do printf "<%s>\n" "$line"; done'
"#;

const DETACH: &str = "\x1cd";

#[test]
fn the_screen_is_painted_first_and_keys_reach_the_program() {
    let cis = Cis::new();
    cis.start(ECHO);
    cis.session_of("echo");
    let mut terminal = cis.terminal(&["dag", "attach", "echo"]);
    terminal.wait_for("banner");
    terminal.type_keys("hello\r");
    terminal.wait_for("<hello>");
    terminal.type_keys(DETACH);
    assert_eq!(terminal.wait_exit(), 0);
    // Somebody who comes later sees the same screen.
    let later = cis.terminal(&["dag", "attach", "echo"]);
    later.wait_for("<hello>");
    assert!(later.screen().contains("banner"));
}

#[test]
fn the_terminal_is_as_before_after_detaching() {
    let cis = Cis::new();
    cis.start(
        &ECHO.replace(
            "printf \"banner\\n\"",
            "printf \"\\033[?1049h\\033[?1000h\\033[?2004h\\033[?25lbanner\"",
        ),
    );
    cis.session_of("echo");
    let mut terminal = cis.terminal(&["dag", "attach", "echo"]);
    let before = terminal.settings_before().to_owned();
    terminal.wait_for("banner");
    assert_ne!(terminal.settings(), before, "attach did not go into raw mode");
    terminal.type_keys(DETACH);
    assert_eq!(terminal.wait_exit(), 0);
    assert_eq!(terminal.settings(), before);
    // Its last bytes may still be on their way to the emulator.
    eventually("the modes are as before", || terminal.odd_modes().is_empty().then_some(()));
}

#[test]
fn the_terminal_is_as_before_when_the_session_ends_or_attach_is_terminated() {
    let cis = Cis::new();
    cis.start(ECHO);
    cis.session_of("echo");
    let mut first = cis.terminal(&["dag", "attach", "echo"]);
    let mut second = cis.terminal(&["dag", "attach", "echo"]);
    let before = first.settings_before().to_owned();
    first.wait_for("banner");
    second.wait_for("banner");
    signal(second.pid(), rustix::process::Signal::TERM);
    second.wait_exit();
    assert_eq!(second.settings(), before);
    first.type_keys("\x04");
    first.wait_exit();
    assert_eq!(first.settings(), before);
    eventually("the modes are as before", || first.odd_modes().is_empty().then_some(()));
}

#[test]
fn every_signal_that_ends_attach_or_watch_restores_the_terminal_first() {
    use rustix::process::Signal;
    let cis = Cis::new();
    cis.start(ECHO);
    cis.session_of("echo");
    let signals =
        [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::ALARM];
    for (words, shown) in [(&["dag", "attach", "echo"][..], "banner"), (&["dag", "watch"], "● echo")] {
        for signal in signals {
            let mut terminal = cis.terminal(words);
            let before = terminal.settings_before().to_owned();
            terminal.wait_for(shown);
            super::harness::signal(terminal.pid(), signal);
            // A shell sees that the signal ended it.
            assert_eq!(terminal.wait_signal(), Some(signal), "{words:?}");
            assert_eq!(terminal.settings(), before, "{words:?} {signal:?}");
            assert!(terminal.odd_modes().is_empty(), "{words:?} {signal:?}: {:?}", terminal.odd_modes());
        }
    }
}

/// The kernel takes connections also for a node that is stopped.
#[test]
fn ctrl_c_leaves_a_command_whose_node_takes_connections_and_does_not_answer() {
    use rustix::process::Signal;
    let cis = Cis::new();
    cis.start(ECHO);
    cis.session_of("echo");
    let node = cis.node_pid().unwrap();
    signal(node, Signal::STOP);
    for number in [Signal::INT, Signal::TERM] {
        for words in [&["inbox", "--watch"][..], &["matrix", "verify", "@ann:example.org"]] {
            let mut terminal = cis.terminal(words);
            wait_until_handled(terminal.pid(), number);
            signal(terminal.pid(), number);
            assert_eq!(terminal.wait_exit(), 128 + number.as_raw().unsigned_abs(), "{words:?}");
        }
    }
    let mut terminal = cis.terminal(&["dag", "attach", "echo"]);
    wait_until_handled(terminal.pid(), Signal::INT);
    terminal.type_keys("\x03");
    assert_eq!(terminal.wait_signal(), Some(Signal::INT));
    signal(node, Signal::CONT);
}

/// Returns the process whose command line has these words.
fn process_of(cis: &Cis, words: &str) -> u32 {
    eventually(words, || {
        cis.processes().into_iter().map(|process| process.pid).find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(words)
        })
    })
}

#[test]
fn the_next_command_restores_a_terminal_whose_attach_was_killed() {
    let cis = Cis::new();
    cis.start(
        &ECHO.replace("printf \"banner\\n\"", "printf \"\\033[?1000h\\033[?2004h\\033[?25lbanner\\n\""),
    );
    cis.session_of("echo");
    let mut shell = cis.shell();
    shell.wait_for("shell>");
    // Other shells change the settings while they read a line; this one does not.
    let before = shell.settings();
    shell.type_keys("\"$E2E_CIS\" dag attach echo\r");
    shell.wait_for("banner");
    eventually("it holds the terminal", || (!shell.odd_modes().is_empty()).then_some(()));
    kill_9(process_of(&cis, "dag attach echo"));
    // In a raw terminal Enter does not end a line.
    eventually("the shell reads again, and the next command restores the terminal", || {
        shell.type_keys("\"$E2E_CIS\" status >/dev/null\n");
        (shell.odd_modes().is_empty() && shell.settings() == before).then_some(())
    });
    shell.wait_for("this terminal is restored");
    let left = std::fs::read_dir(cis.runtime()).unwrap().flatten().filter(|dir| dir.path().is_dir());
    let records = left.flat_map(|dir| std::fs::read_dir(dir.path()).unwrap().flatten());
    let names: Vec<_> = records.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.starts_with("terminal-")), "{names:?}");
}

#[test]
fn the_last_output_of_a_session_stays_when_it_ends() {
    let cis = Cis::new();
    let last = "\\033[31mlast words\\033[0m \\033]52;c;eA==\\007of it\\n";
    for (tty, id) in [("true", "terminal"), ("false", "pipes")] {
        let go = cis.work().join(id).display().to_string();
        let script =
            format!("echo banner; while [ ! -e {go} ]; do sleep 0.05; done; printf \"{last}\"; exit 3");
        cis.start(&format!("version = 1\n[dag]\nid = \"{id}\"\n[[tasks]]\nid = \"{id}\"\ntty = {tty}\nscript = '''{script}'''\n"));
        cis.session_of(id);
        let mut terminal = cis.terminal(&["dag", "attach", id]);
        terminal.wait_for("banner");
        cis.write(id, "");
        assert_eq!(terminal.wait_exit(), 0);
        eventually("its modes are as before", || terminal.odd_modes().is_empty().then_some(()));
        let screen = eventually("what it showed stands before its end", || {
            Some(terminal.screen()).filter(|screen| screen.contains("[ended: exit code 3]"))
        });
        assert_eq!(screen.trim_end(), "banner\nlast words of it\n[ended: exit code 3]");
    }
}

#[test]
fn several_attach_at_once_and_a_reader_cannot_type() {
    let cis = Cis::new();
    cis.start(ECHO);
    cis.session_of("echo");
    let mut typist = cis.terminal(&["dag", "attach", "echo"]);
    let mut reader = cis.terminal(&["dag", "attach", "--read-only", "echo"]);
    typist.wait_for("banner");
    reader.wait_for("banner");
    reader.type_keys("from the reader\r");
    typist.type_keys("from the typist\r");
    for terminal in [&typist, &reader] {
        terminal.wait_for("<from the typist>");
        assert!(!terminal.screen().contains("from the reader"), "{}", terminal.screen());
    }
    reader.type_keys(DETACH);
    assert_eq!(reader.wait_exit(), 0);
    typist.type_keys("still here\r");
    typist.wait_for("<still here>");
}

#[test]
fn the_program_gets_the_size_of_the_terminal() {
    let cis = Cis::new();
    cis.start(&ECHO.replace("<%s>\\n\" \"$line\"", "%s\\n\" \"$(stty size)\""));
    cis.session_of("echo");
    let mut terminal = cis.terminal(&["dag", "attach", "echo"]);
    terminal.wait_for("banner");
    terminal.resize(100, 30);
    eventually("the program sees 30 rows and 100 columns", || {
        terminal.type_keys("\r");
        terminal.screen().contains("30 100").then_some(())
    });
}

#[test]
fn only_the_nodes_terminal_answers_queries() {
    let cis = Cis::new();
    // Asks for the cursor's position and the kind of the terminal, and shows what came back.
    let text = ECHO.replace(
        "while read",
        "stty raw -echo; printf \"\\033[6n\\033[c\"; reply=$(dd bs=1 count=6 2>/dev/null | tr -d \"\\033\"); stty sane; echo \"reply:$reply\"; while read",
    );
    cis.start(&text);
    cis.session_of("echo");
    let terminal = cis.terminal(&["dag", "attach", "echo"]);
    terminal.wait_for("reply:[");
    assert_eq!(terminal.answers_to_queries(), Vec::<String>::new(), "a query reached the person's terminal");
}

#[test]
fn without_an_argument_the_only_session_or_a_picker() {
    let cis = Cis::new();
    cis.start(ECHO);
    cis.session_of("echo");
    let other = ECHO.replace("id = \"echo\"", "id = \"other\"").replace("banner", "second");
    cis.start(&other);
    cis.session_of("other");
    let mut terminal = cis.terminal(&["dag", "attach"]);
    terminal.wait_for("other");
    terminal.wait_for("echo");
    terminal.type_keys("\r");
    eventually("one of the two is shown", || {
        let screen = terminal.screen();
        (screen.contains("banner") || screen.contains("second")).then_some(())
    });
}

#[test]
fn when_the_node_dies_attach_goes_on_or_gives_the_terminal_back() {
    let cis = Cis::new();
    cis.start(ECHO);
    let pid = cis.session_of("echo")["pid"].clone();
    let mut terminal = cis.terminal(&["dag", "attach", "echo"]);
    let before = terminal.settings_before().to_owned();
    terminal.wait_for("banner");
    kill_9(cis.node_pid().unwrap());
    // Either it comes back to the session through the next node, or it ends; never a dead raw terminal.
    terminal.type_keys("after\r");
    eventually("the session has its pid under the next node", || {
        (cis.session_of("echo")["pid"] == pid).then_some(())
    });
    eventually("it is attached again, or has ended with the terminal restored", || {
        terminal.type_keys("again\r");
        (terminal.screen().contains("<again>") || terminal.settings() == before).then_some(())
    });
}

#[test]
fn attach_needs_a_terminal_and_a_session() {
    let cis = Cis::new();
    cis.start(ECHO);
    cis.session_of("echo");
    let out = cis.run(["dag", "attach", "echo"]);
    assert!(matches!(out.code, Some(2 | 3)) && out.stderr.contains("terminal"), "{out:?}");
    cis.run(["dag", "attach", "no-such-session"]).expect(2);
}

/// The terminal still has what somebody typed, also when another life of the node asks for the answer.
#[test]
fn an_answer_does_not_follow_a_line_that_was_begun_before_the_node_started() {
    let cis = Cis::new();
    let script = r#"script = 'printf "Keep it? [y/N] "; read -r x; echo "$x" > "$E2E_WORK/got"'"#;
    let run = cis.start_task("ask", script);
    let waits = |question: &str| {
        let item = eventually(question, || found(&cis, |item| item["question"] == question));
        item["id"].as_str().unwrap().to_owned()
    };
    waits("Keep it? [y/N]");
    let mut terminal = cis.terminal(&["dag", "attach", "ask"]);
    terminal.wait_for("Keep it?");
    terminal.type_keys("n");
    terminal.wait_for("[y/N] n");
    terminal.type_keys(DETACH);
    terminal.wait_exit();
    kill_9(cis.node_pid().unwrap());
    let item = waits("Keep it? [y/N] n");
    let refused = cis.run(["answer", &item, "--text", "y"]).expect(3).stderr;
    assert!(refused.contains("somebody typed"), "{refused}");
    let mut terminal = cis.terminal(&["dag", "attach", "ask"]);
    terminal.wait_for("[y/N] n");
    terminal.type_keys("o\r");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("got"), "no\n");
}
