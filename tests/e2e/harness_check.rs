//! The harness itself: a check that cannot fail proves nothing.

use std::process::Command;

use super::harness::{Cis, eventually, kill_9};

#[test]
fn a_process_that_is_left_is_found_and_fails_the_test() {
    // No other process has these arguments.
    let seconds = format!("600.{}", std::process::id());
    let left = std::panic::catch_unwind(|| {
        let cis = Cis::new();
        // In a session of its own, as a child that tries to stay would be.
        let mut command = Command::new("setsid");
        command.args(["sleep", &seconds]).env_clear().envs(cis.environment());
        let mut child = command.spawn().unwrap();
        eventually("it is seen", || {
            cis.processes().iter().any(|process| process.command == format!("sleep {seconds}")).then_some(())
        });
        // Waits for it once it was killed, so that no zombie stays.
        std::thread::spawn(move || child.wait());
        panic!("as a failing test would");
    });
    assert!(left.is_err());
    let survivors = std::fs::read_dir("/proc").unwrap().map_while(Result::ok).filter(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line == format!("sleep\0{seconds}\0").as_bytes())
    });
    assert_eq!(survivors.count(), 0, "the harness left a process behind");
}

#[test]
fn a_terminal_shows_keeps_settings_and_knows_queries() {
    let cis = Cis::new();
    let words = [
        "sh",
        "-c",
        "stty -echo; printf '\\033[31mred\\033[0m \\033[6n'; read -r x; stty size; read -r y; exit 3",
    ];
    let mut terminal =
        super::harness::Terminal::start(&words.map(str::to_owned), &cis.work(), cis.environment());
    terminal.wait_for("red");
    assert_ne!(terminal.settings(), terminal.settings_before(), "-echo is not seen");
    assert_eq!(terminal.answers_to_queries(), ["\u{1b}[1;5R"]);
    assert!(terminal.odd_modes().is_empty());
    terminal.resize(132, 50);
    terminal.type_keys("\r");
    terminal.wait_for("50 132");
    terminal.type_keys("\r");
    assert_eq!(terminal.wait_exit(), 3);
    assert!(terminal.pid() > 1);
    kill_9(terminal.pid()); // Gone already, which is fine.
}
