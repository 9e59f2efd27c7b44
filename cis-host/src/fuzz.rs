//! Nothing that comes over the host's socket makes its decoder panic, whichever side reads it.

use proptest::prelude::*;

use super::frames::{Decoder, Frame};
use super::protocol::{FromHost, ToHost};

/// What messages are made of.
const PIECES: &[&str] = &[
    "{\"type\":\"hello\",\"version\":1,\"role\":\"control\"}",
    "{\"type\":\"start\",\"session\":\"01JD0V3Z8K6T9W2B5N7Q4R1XEC\"",
    "{\"type\":\"exited\",\"status\":{\"code\":0}",
    "\"argv\":[\"sh\"]",
    "\"io\":{\"kind\":\"pty\",\"cols\":80,\"rows\":24}",
    "\"size\":{\"cols\":65536,\"rows\":-1}",
    ",",
    "}",
    "]",
    "\"",
    "null",
    "99999999999999999999",
    "\u{0}",
];

/// Feeds the bytes in portions and reads every frame as both sides would.
fn read(bytes: &[u8], portion: usize) {
    let mut decoder = Decoder::default();
    for part in bytes.chunks(portion.max(1)) {
        decoder.feed(part);
        loop {
            match decoder.next_frame() {
                Ok(Some(Frame::Json(text))) => {
                    let _ = serde_json::from_slice::<ToHost>(text);
                    let _ = serde_json::from_slice::<FromHost>(text);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), portion in 1usize..50) {
        read(&bytes, portion);
    }

    #[test]
    fn frames_of_anything(
        frames in prop::collection::vec((0u8..5, prop::collection::vec(prop::sample::select(PIECES), 0..8)), 0..6),
        lie in -3i64..4,
        portion in 1usize..50,
    ) {
        let mut bytes = Vec::new();
        for (kind, pieces) in frames {
            let payload = pieces.concat();
            let length = (payload.len() as i64 + 1 + lie).max(0) as u32;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.push(kind);
            bytes.extend_from_slice(payload.as_bytes());
        }
        read(&bytes, portion);
    }
}
