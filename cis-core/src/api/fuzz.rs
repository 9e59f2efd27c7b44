//! Nothing that a client or a worker can send makes a decoder panic, and what is understood is
//! understood the same when it is said again.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attach_marks::read_mark;
use super::log_pieces::LogPieces;
use super::{
    AttachControl, AttachNotice, CreateRun, CreateSession, FromWorker, KillSession, Problem, RetryRun,
    SendInput, StopNode, ToWorker, paths,
};
use crate::event::{Event, EventBody};

/// Words and values from which something near to a message is made.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551616",
    "\"\\u0000\"",
    "\"text\"",
    "\"00ff\"",
    "\"source\"",
    "\"workdir\"",
    "\"/\"",
    "\"params\"",
    "\"env\"",
    "\"mode\"",
    "\"local\"",
    "\"start\"",
    "\"input\"",
    "\"01JD0V3Z8K6T9W2B5N7Q4R1XEC\"",
    "\"argv\"",
    "\"cwd\"",
    "\"size\"",
    "\"cols\"",
    "\"rows\"",
    "\"data\"",
    "\"scope\"",
    "\"from\"",
    "\"task\"",
    "\"type\"",
    "\"grant\"",
    "\"result\"",
    "\"attempt\"",
    "\"01JD0V3Z8K6T9W2B5N7Q4R1XEC:a#1\"",
    "\"fence\"",
    "\"report\"",
    "\"outcome\"",
    "\"failed\"",
    "\"cause\"",
    "\"kind\"",
    "\"body\"",
    "\"cis.dag.task.result\"",
    "\"cis.dag.run.created\"",
    "\"offset\"",
    "\"v\"",
    "\"at_ms\"",
    "\"id\"",
    "\"run\"",
    "\"state\"",
    "\"queued\"",
    "\"resize\"",
];

fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(first) = serde_json::from_slice::<T>(bytes) {
        let said = serde_json::to_value(&first).unwrap();
        let again: T = serde_json::from_value(said.clone()).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), said);
    }
}

fn decode_all(bytes: &[u8]) {
    decode::<CreateRun>(bytes);
    decode::<CreateSession>(bytes);
    decode::<SendInput>(bytes);
    decode::<RetryRun>(bytes);
    decode::<KillSession>(bytes);
    decode::<StopNode>(bytes);
    decode::<AttachControl>(bytes);
    decode::<AttachNotice>(bytes);
    decode::<ToWorker>(bytes);
    decode::<FromWorker>(bytes);
    decode::<Problem>(bytes);
    decode::<EventBody>(bytes);
    // What a client gets in frames.
    let _ = serde_json::from_slice::<Vec<Event>>(bytes);
    if let Some((_, at)) = read_mark(bytes) {
        assert!(at <= bytes.len());
    }
    let mut pieces = LogPieces::default();
    for part in bytes.chunks(7) {
        pieces.feed(part);
        while let Ok(Some(piece)) = pieces.next_piece() {
            assert!(piece.bytes.len() < bytes.len());
        }
    }
    if let Ok(event) = serde_json::from_slice::<Event>(bytes) {
        let _ = event.decode();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
    }

    #[test]
    fn pieces_of_messages(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        decode_all(pieces.concat().as_bytes());
    }

    #[test]
    fn objects_of_known_fields(fields in prop::collection::vec(
        (prop::sample::select(PIECES), prop::sample::select(PIECES)), 0..12,
    )) {
        let text: Vec<String> = fields.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        decode_all(format!("{{{}}}", text.join(",")).as_bytes());
    }

    #[test]
    fn bodies_of_any_type(name in "cis\\.dag\\.[a-z]{3,7}\\.[a-z]{3,9}", body in "[\\PC]{0,60}") {
        let _ = EventBody::from_parts(&name, &body);
    }

    #[test]
    fn names_in_paths_stay_one_segment(name in "\\PC{0,30}") {
        let path = paths::fill(paths::RUN, &[&name]);
        prop_assert_eq!(path.matches('/').count(), paths::RUN.matches('/').count());
        prop_assert!(path.is_ascii());
    }
}
