//! Nothing that a node can send in a frame makes a client panic, and all ways to look at one see the same events.

use proptest::prelude::*;

use super::EventFrame;
use cis_core::api::attach_marks::{mark_frame, read_mark};

/// Words from which something near to a frame is made.
const PIECES: &[&str] = &[
    "[",
    "]",
    ",",
    "{\"offset\":7,\"id\":\"01JD0V3Z8K6T9W2B5N7Q4R1XEC\",\"v\":1,\"type\":\"cis.dag.run.started\",\"at_ms\":1,\"body\":{}}",
    "{\"offset\":8,\"id\":\"01JD0V3Z8K6T9W2B5N7Q4R1XEC\",\"v\":9,\"type\":\"\\u0063\",\"at_ms\":-1,\"body\":[{\"offset\":9}]}",
    "{\"offset\":",
    "18446744073709551616",
    "\"type\"",
    "null",
    "\"\\ud800\"",
    "}",
];

fn look(text: String, seen: Option<u64>) {
    let frame = EventFrame::of(text.into(), seen);
    let events = frame.events();
    if let Ok(events) = &events {
        assert!(events.iter().all(|event| seen.is_none_or(|seen| event.offset > seen)));
        let views = frame.views().expect("what is an event has a place and a body");
        assert!(views.iter().map(|view| view.offset).eq(events.iter().map(|event| event.offset)));
        let raw = frame.raw_after(0).expect("and is JSON");
        assert_eq!(raw.len(), events.iter().filter(|event| event.offset > 0).count());
    }
    let _ = (frame.views().is_ok(), frame.raw_after(3).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in ".{0,200}", seen in any::<Option<u64>>()) {
        look(text, seen);
    }

    #[test]
    fn pieces_of_frames(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..20),
        seen in prop::option::of(0_u64..10),
    ) {
        look(pieces.concat(), seen);
        look(format!("[{}]", pieces.join(",")), seen);
    }

    #[test]
    fn any_frame_of_a_terminal(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        match read_mark(&bytes) {
            Some((next, at)) => prop_assert_eq!(mark_frame(&bytes[at..], next), bytes),
            None => prop_assert!(bytes.len() < 8),
        }
    }
}
