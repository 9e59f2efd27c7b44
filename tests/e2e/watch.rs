//! `cis dag watch`, at a real terminal.

use super::harness::{Cis, eventually, kill_9, signal};

/// Two tasks: one echoes what is typed, one waits for a human.
const RUN: &str = r#"
version = 1
[dag]
id = "ship"
[[tasks]]
id = "plan"
script = 'echo planned'
[[tasks]]
id = "echo"
needs = ["plan"]
script = 'printf "banner\n"; while read -r line; do printf "<%s>\n" "$line"; done'
[[tasks]]
id = "deploy"
needs = ["plan"]
approval = { prompt = "Deploy to production?" }
script = 'echo deployed; echo yes > "$E2E_WORK/deployed"; read -r _'
"#;

const DETACH: &str = "\x1cd";

/// Goes down the list to the task of that name.
fn choose(terminal: &mut super::harness::Terminal, task: &str) {
    terminal.type_keys(&format!("/{task}\r"));
    terminal.wait_for(&format!("── {task} ─"));
}

#[test]
fn a_run_is_seen_attached_to_and_answered() {
    let cis = Cis::new();
    let run = cis.start(RUN);
    cis.session_of("echo");
    let mut terminal = cis.terminal(&["dag", "watch"]);
    let before = terminal.settings_before().to_owned();
    terminal.wait_for("1 waits for you: deploy (approval");
    terminal.wait_for("Deploy to production?");
    terminal.wait_for("✓ plan");
    choose(&mut terminal, "echo");
    // The session's screen, beside the list.
    terminal.wait_for("banner");
    terminal.type_keys("\r");
    eventually("the session has the terminal", || {
        (!terminal.screen().contains("waits for you")).then_some(())
    });
    terminal.type_keys("hello\r");
    terminal.wait_for("<hello>");
    terminal.type_keys(DETACH);
    terminal.wait_for("1 waits for you: deploy");
    terminal.wait_for("<hello>");
    terminal.type_keys("a");
    terminal.wait_for("1. approve");
    assert!(cis.read("deployed").is_empty());
    terminal.type_keys("1\r");
    terminal.wait_for("deploy is approved.");
    eventually("nobody waits any more", || (!terminal.screen().contains("waits for you")).then_some(()));
    terminal.wait_for("● deploy");
    assert_eq!(cis.show(&run)["run"]["approvals"].as_array().map_or(0, Vec::len), 0);
    terminal.type_keys("q");
    assert_eq!(terminal.wait_exit(), 0);
    assert_eq!(terminal.settings(), before);
    eventually("the modes are as before", || terminal.odd_modes().is_empty().then_some(()));
    assert_eq!(cis.show(&run)["run"]["state"], "running", "leaving ends nothing");
}

#[test]
fn a_prompt_of_a_session_is_answered_once_and_for_that_prompt() {
    let cis = Cis::new();
    cis.start_task(
        "ask",
        r#"script = 'printf "Your name: "; read -r x; echo "$x" >> "$E2E_WORK/got"; echo "got:$x"; read -r _'"#,
    );
    let mut terminal = cis.terminal(&["dag", "watch"]);
    terminal.wait_for("1 waits for you: ask (");
    terminal.type_keys("a");
    terminal.wait_for("In words:");
    terminal.type_keys("ada\r");
    terminal.wait_for("got:ada");
    assert_eq!(cis.read("got"), "ada\n");
    // It waits again: that is another prompt, and the form for the first one is gone.
    terminal.wait_for("1 waits for you: ask (");
    terminal.type_keys("q");
    assert_eq!(terminal.wait_exit(), 0);
}

#[test]
fn a_run_is_paused_cancelled_and_tried_again_and_its_end_stays_in_sight() {
    let cis = Cis::new();
    let run = cis.start(RUN);
    cis.session_of("echo");
    let mut terminal = cis.terminal(&["dag", "watch", &run, "--exit-code"]);
    terminal.wait_for("running");
    terminal.type_keys("p");
    terminal.wait_for("paused");
    terminal.type_keys("p");
    terminal.wait_for("ship");
    cis.wait_run(&run, "running");
    // One key alone cancels nothing.
    terminal.type_keys("cn");
    terminal.type_keys("c");
    terminal.wait_for("cancel the run?");
    assert_eq!(cis.show(&run)["run"]["state"], "running");
    terminal.type_keys("y");
    cis.wait_run(&run, "cancelled");
    terminal.wait_for("■ echo");
    terminal.type_keys("r");
    terminal.wait_for("run again?");
    terminal.type_keys("a");
    cis.wait_run(&run, "running");
    terminal.wait_for("● echo");
    cis.ok(["dag", "cancel", &run]);
    terminal.wait_for("■ echo");
    terminal.type_keys("\x03");
    assert_eq!(terminal.wait_exit(), 4, "the outcome, as it was asked for");
}

#[test]
fn a_log_is_read_and_goes_on() {
    let cis = Cis::new();
    cis.start_task(
        "count",
        r#"
tty = false
script = 'seq 1 100; while [ ! -e "$E2E_WORK/more" ]; do sleep 0.05; done; echo more; printf "\033]0;title\007\033[2Jend\n"'
"#,
    );
    let mut terminal = cis.terminal(&["dag", "watch"]);
    // Pipes have no screen: the end of the log.
    terminal.wait_for("100");
    terminal.type_keys("l");
    terminal.wait_for("log of count: 100 lines, goes on");
    terminal.type_keys("g");
    terminal.wait_for(" lines up");
    cis.write("more", "");
    terminal.wait_for("log of count: 102 lines");
    terminal.type_keys("G");
    terminal.wait_for("end");
    terminal.type_keys("q");
    terminal.wait_for("succeeded");
    terminal.type_keys("q");
    assert_eq!(terminal.wait_exit(), 0);
}

#[test]
fn the_node_may_be_killed_under_it_and_the_terminal_is_given_back_on_a_signal() {
    let cis = Cis::new();
    let run = cis.start(RUN);
    cis.session_of("echo");
    let mut terminal = cis.terminal(&["dag", "watch"]);
    let before = terminal.settings_before().to_owned();
    terminal.wait_for("● echo");
    kill_9(cis.node_pid().unwrap());
    eventually("another node is there", || cis.node_pid());
    cis.ok(["dag", "approve", &run, "deploy"]);
    // What happened since is seen, and keys count.
    terminal.wait_for("● deploy");
    terminal.type_keys("?");
    terminal.wait_for("leave; the run continues");
    signal(terminal.pid(), rustix::process::Signal::TERM);
    assert_eq!(terminal.wait_signal(), Some(rustix::process::Signal::TERM));
    assert_eq!(terminal.settings(), before);
    eventually("the modes are as before", || terminal.odd_modes().is_empty().then_some(()));
}

#[test]
fn of_several_open_runs_one_is_chosen_and_without_any_it_says_so() {
    let cis = Cis::new();
    let none = cis.run(["dag", "watch"]).expect(2).stderr;
    assert!(none.contains("needs a terminal"), "{none}");
    let mut terminal = cis.terminal(&["dag", "watch"]);
    terminal.wait_exit();
    eventually("why is said", || terminal.screen().contains("no runs yet").then_some(()));
    cis.start(RUN);
    cis.start(&RUN.replace("\"ship\"", "\"other\""));
    let mut terminal = cis.terminal(&["dag", "watch"]);
    terminal.wait_for("Watch which, 1 to 2?");
    terminal.type_keys("2\r");
    terminal.wait_for("── tasks");
    assert!(terminal.screen().contains(" ship "), "{}", terminal.screen());
    terminal.resize(40, 10);
    eventually("it is drawn for the new size", || {
        let lines: Vec<usize> = terminal.screen().lines().map(|line| line.chars().count()).collect();
        (lines.len() == 10 && lines.iter().all(|width| *width <= 40) && terminal.screen().contains("? help"))
            .then_some(())
    });
    terminal.type_keys("q");
    assert_eq!(terminal.wait_exit(), 0);
}
