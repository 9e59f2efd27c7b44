//! What it costs: how often evidence is wanted. And layer 5.

use crate::monitor::ReaderHow::Read;
use crate::monitor::arbiter::story::{LINES, Story};

#[test]
fn a_quiet_session_is_hardly_looked_at() {
    let mut story = Story::plain();
    story.shows("done\n").pass(120_000);
    let (screens, kernels) = (story.screens, story.kernels);
    story.pass(3_600_000);
    assert_eq!(story.screens, screens);
    assert!(story.kernels - kernels <= 61, "{}", story.kernels - kernels);
    assert!(kernels <= 12, "{kernels}");
}

#[test]
fn a_waiting_session_is_hardly_looked_at() {
    let mut story = Story::plain();
    story.shows("Name: ").reads("bash", Read, LINES).pass(120_000);
    let (screens, kernels) = (story.screens, story.kernels);
    story.pass(3_600_000);
    assert_eq!(story.screens, screens);
    assert!(story.kernels - kernels <= 61);
}

#[test]
fn while_output_flows_the_kernel_is_asked_once_a_second_and_the_screen_a_few_times() {
    let mut trickle = Story::plain();
    for turn in 0..200 {
        trickle.shows(&format!("line {turn}\n")).pass(50);
    }
    assert!(trickle.kernels <= 11, "{}", trickle.kernels);
    assert!(trickle.screens <= 42, "{}", trickle.screens);
    let mut flood = Story::plain();
    for turn in 0..1000 {
        flood.shows(&format!("line {turn}\n")).bytes(20_000).pass(10);
    }
    assert!(flood.screens <= 13, "{}", flood.screens);
}

#[test]
fn nothing_but_a_spinner_for_long_is_stalled() {
    let mut story = Story::plain();
    for turn in 0..700 {
        let spinner = ['|', '/', '-', '\\'][turn % 4];
        story.shows(&format!("Uploading\n{spinner} {turn}s")).pass(1000);
    }
    let told = story.take();
    assert!(told.contains("blocked 1 stalled by quiet"), "{told}");
    story.shows("Uploading\nnext part").pass(2000);
    assert!(story.take().contains("over 1"));
    let mut progress = Story::plain();
    for turn in 0..700 {
        progress.shows(&format!("Uploading {turn} of 700")).pass(1000);
    }
    assert_eq!(progress.take(), "");
}
