//! A session's terminal in the window: its screen, and what is typed.

use super::ASKS;
use crate::asking::item;
use crate::harness::{Cis, Desk, eventually};

#[test]
fn what_is_typed_into_a_terminal_arrives_and_its_answer_is_shown() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = cis.start(
        "version = 1\n[dag]\nid = \"talk\"\n[[tasks]]\nid = \"loop\"\nscript = '''\nprintf '\\033[31mred\\033[0m line\\n'; while read -r x; do [ \"$x\" = stop ] && exit 0; echo \"heard $x\"; done\n'''\n",
    );
    cis.session_of("loop");
    let window = desk.open(&cis, &["gui"]);
    open_terminal(&window);
    window.wait_for("live: click into it to type");
    window.wait_for("red line");
    window.click("Terminal");
    window.wait_focused("Terminal");
    window.type_text("good morning");
    window.key("Return");
    window.wait_for("heard good morning");
    window.picture("typed");
    // Keys of the dashboard are the program's while the terminal has them.
    window.key("ctrl+2");
    window.type_text("stop");
    window.key("ctrl+u");
    window.type_text("stop");
    window.key("Return");
    cis.wait_run(&run, "succeeded");
    window.wait_for("over: ");
    window.picture("over");
}

#[test]
fn a_password_is_typed_into_its_terminal_from_the_inbox() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = cis.start(
        "version = 1\n[dag]\nid = \"p\"\n[[tasks]]\nid = \"ask\"\nscript = '''\nstty -echo; printf 'Password: '; read -r x; stty echo; echo \"$x\" > \"$E2E_WORK/secret\"\n'''\n",
    );
    assert_eq!(item(&cis)["kind"], "password");
    let window = desk.open(&cis, &["gui"]);
    window.wait_for("A password is typed into its terminal");
    assert!(window.find("Send").is_none());
    window.click("Open terminal");
    window.wait_for("live: click into it to type");
    window.click("Terminal");
    window.wait_focused("Terminal");
    window.type_text("hunter2");
    window.key("Return");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("secret").trim(), "hunter2");
}

#[test]
fn a_terminal_outlives_its_node() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = cis.start(ASKS);
    item(&cis);
    let window = desk.open(&cis, &["gui"]);
    window.click("Open terminal");
    window.wait_for("Paint it?");
    // Sessions stay, and nobody starts a node that was stopped.
    cis.ok(["node", "stop"]);
    window.wait_for("the node is away");
    window.picture("away");
    cis.ok(["node", "start", "--detach"]);
    window.wait_for("live: click into it to type");
    window.click("Terminal");
    window.wait_focused("Terminal");
    window.type_text("yes");
    window.key("Return");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said").trim(), "got yes");
}

/// From anywhere to the terminal of the only live session.
fn open_terminal(window: &crate::harness::Window<'_>) {
    window.key("ctrl+4");
    window.wait_for("Sessions");
    let link = window.wait_link();
    window.click(&link);
}

#[test]
fn hostile_bytes_and_foreign_writing_do_the_window_no_harm() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    // The fonts of this machine need not have the letters. What asks a terminal for an answer would get one, and that
    // would be read.
    let run = cis.start(
        "version = 1\n[dag]\nid = \"noise\"\n[[tasks]]\nid = \"n\"\nscript = '''\nhead -c 300000 /dev/urandom | tr -d '\\033\\005'; printf '\\033c'; printf 'שלום \u{202E}🎨🏳️‍🌈 漢字\\n'; printf 'Go on? [y/n] '; read -r x\n'''\n",
    );
    let window = desk.open(&cis, &["gui"]);
    window.wait_for("Go on?");
    window.picture("inbox");
    window.click("Open terminal");
    window.wait_for("live: click into it to type");
    window.wait_for("Go on?");
    window.picture("terminal");
    window.press_until("ctrl+3", "Search events");
    window.press_until("ctrl+1", "Open terminal");
    window.click("yes");
    cis.wait_run(&run, "succeeded");
    window.wait_for("Nothing waits for you");
}

#[test]
fn a_terminal_shows_lines_that_scrolled_out_before_it_was_opened() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = cis.start(
        "version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"rows\"\nscript = \"n=0; while [ $n -lt 300 ]; do n=$((n+1)); echo row $n of 300; done; while [ ! -e $E2E_WORK/go ]; do sleep 0.05; done; echo over\"\n",
    );
    cis.session_of("rows");
    eventually("all is written", || cis.ok(["dag", "logs", "rows"]).contains("row 300 of").then_some(()));
    let window = desk.open(&cis, &["gui"]);
    open_terminal(&window);
    window.wait_for("live: click into it to type");
    window.wait_for("row 300 of 300");
    window.key("ctrl+f");
    window.wait_focused("Search the terminal");
    window.type_text("row 13 of");
    window.wait_for("1 found");
    window.key("Return");
    window.wait_named("row 13 of 300");
    window.picture("scrolled-back");
    // Rows that were on the screen when it was opened are not repeated.
    window.key("ctrl+a");
    window.type_text("row 299 of");
    window.wait_for("1 found");
    cis.write("go", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_standalone_session_has_a_log() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    cis.ok(["session", "create", "--", "sh", "-c", "echo first words; echo last words"]);
    eventually("it has ended", || {
        cis.json(&["session", "list"])["items"].as_array()?.is_empty().then_some(())
    });
    let window = desk.open(&cis, &["gui"]);
    open_terminal(&window);
    window.wait_for("over: ");
    window.click("Log");
    window.wait_for("first words");
    window.wait_for("last words");
    window.picture("log");
}
