//! What waits for a human is answered in the window.

use super::ASKS;
use crate::asking::item;
use crate::harness::{Cis, Desk};

#[test]
fn a_question_is_answered_by_a_click_and_its_task_ends() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    // No node runs: the command starts it, finds the program, and becomes it.
    let window = desk.open(&cis, &["gui"]);
    window.wait_for("Nothing waits for you");
    window.picture("empty");
    let run = cis.start(ASKS);
    window.wait_for("Inbox (1)");
    window.wait_for("Paint it?");
    window.picture("asked");
    assert!(window.colors() > 20, "a window with text in it is drawn");
    window.click("yes");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said").trim(), "got y");
    window.wait_for("Nothing waits for you");
    window.wait_for("Answered:");
    window.picture("answered");
}

#[test]
fn words_and_approvals_are_given_with_the_keyboard_alone() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = cis.start(
        "version = 1\n[dag]\nid = \"words\"\n[[tasks]]\nid = \"name\"\ntty = false\nscript = '''\n\"$E2E_CIS\" task ask \"What is it called?\" > \"$E2E_WORK/said\"\n'''\n[[tasks]]\nid = \"deploy\"\nneeds = [\"name\"]\napproval = { prompt = \"Deploy it?\" }\nscript = 'true'\n",
    );
    item(&cis);
    let window = desk.open(&cis, &["gui"]);
    window.wait_for("What is it called?");
    window.key("a");
    window.wait_focused("Answer in words");
    window.type_text("Fred");
    window.picture("typed");
    window.key("Return");
    window.wait_for("Deploy it?");
    assert_eq!(cis.read("said").trim(), "Fred");
    // Once it takes answers: what comes to stand where another item stood has to be read first.
    window.key("Escape");
    window.wait_key("1", "approve");
    window.picture("focused");
    window.press_until("Return", "Nothing waits for you");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn an_answer_from_elsewhere_empties_the_window() {
    let cis = Cis::new();
    let desk = Desk::new(&cis);
    let run = cis.start(ASKS);
    let id = item(&cis)["id"].as_str().unwrap().to_owned();
    let window = desk.open(&cis, &["gui"]);
    window.wait_for("Paint it?");
    cis.ok(["answer", &id, "--text", "n"]);
    window.wait_for("Nothing waits for you");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("said").trim(), "got n");
}
