//! What would have changed a verdict.

use crate::monitor::ReaderHow::{Poll, Read};
use crate::monitor::arbiter::story::{LINES, RAW, Story};

fn what_if(story: &Story) -> String {
    story.arbiter.explain(story.now).what_if.join("\n")
}

#[test]
fn a_prompt_is_none_where_nobody_reads() {
    let mut story = Story::plain();
    story.shows("Go on? [y/N] ").reads("sh", Read, LINES).pass(3000);
    assert_eq!(what_if(&story), "If no process waited for its terminal, it would not count as waiting.");
}

#[test]
fn a_program_at_work_is_told_what_a_reader_would_change() {
    let mut story = Story::plain();
    story.shows("Go on? [y/N] ").pass(3000);
    let told = what_if(&story);
    assert!(
        told.contains("If a process sat in a read of its terminal, it would count as permission."),
        "{told}"
    );
    assert!(told.contains("If a process polled its terminal, it would count as permission"), "{told}");
    assert!(!told.contains("no process"), "{told}");
}

#[test]
fn a_listener_that_computes_would_be_asked_if_it_did_not() {
    let mut story = Story::plain();
    story.shows("waits for something").reads("server", Poll, RAW);
    for _ in 0..20 {
        story.evidence.cpu_ms += 1000;
        story.pass(1000);
        story.late(0);
    }
    let told = what_if(&story);
    assert!(told.contains("If its processes did not compute, it would count as"), "{told}");
}
