//! Programs that listen to their terminal all the while, whatever they show.

use crate::monitor::ReaderHow::{Poll, Read};
use crate::monitor::arbiter::story::{RAW, Story};

#[test]
fn who_polls_also_while_it_prints_is_believed_when_it_rests_for_longer_than_ever() {
    let mut story = Story::plain();
    story.reads("watcher", Poll, RAW);
    for turn in 0..6 {
        story.shows(&format!("built {turn}, watching")).pass(3500);
    }
    story.shows("changed since the last build:").pass(6000);
    assert_eq!(story.take(), "");
    story.pass(2000);
    assert!(story.take().contains("blocked 1 question"), "it is at rest for twice as long as ever");
}

#[test]
fn who_begins_to_poll_when_it_asks_is_believed_soon() {
    let mut story = Story::plain();
    for turn in 0..6 {
        story.nobody_reads().shows(&format!("step {turn}\n")).pass(3500);
    }
    story.shows("Name of the release: ").reads("node", Poll, RAW).pass(2600);
    assert!(story.take().contains("blocked 1 question"));
}

#[test]
fn a_listener_that_computes_does_not_wait() {
    let mut story = Story::plain();
    story.reads("bundler", Poll, RAW);
    for turn in 0..6 {
        story.shows(&format!("pass {turn}")).pass(1500);
    }
    story.shows("rebuilding because of these:");
    for _ in 0..20 {
        story.evidence.cpu_ms += 700;
        story.pass(1000);
    }
    assert_eq!(story.take(), "");
}

#[test]
fn a_painted_screen_that_moves_by_itself_is_not_at_rest_because_a_thread_reads() {
    let mut story = Story::plain();
    story.reads("player", Read, RAW).view.alternate = true;
    for turn in 0..12 {
        story.shows(&format!("song {turn}\nplaying")).pass(6000);
        if turn == 0 {
            // Nothing is known of it yet.
            story.take();
        }
    }
    story.shows("the next song\nplaying");
    assert_eq!(story.take().lines().filter(|line| line.contains("blocked")).count(), 0);
}
