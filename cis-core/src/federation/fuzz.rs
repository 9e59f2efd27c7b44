//! Whatever a room holds, checking it ends in an answer.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::envelope::{Carrier, SIZE_MAX, verify};
use super::packed::{pack, unpack};
use crate::identity::Standing;
use crate::identity::tests::any_json;

const CARRIER: Carrier<'static> =
    Carrier { room: "!r:x", type_name: "cis.dag.run.journal", sender: Some("@a:x") };

/// Fields of envelopes, and what may stand there.
fn near_envelope() -> impl Strategy<Value = Value> {
    let names =
        ["id", "did", "room", "run", "epoch", "seq", "type", "v", "sender", "body", "sig", "m.relates_to"];
    let values = [
        json!("01JD0V3Z8K6T9W2B5N7Q4R1XEC"),
        json!("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"),
        json!("!r:x"),
        json!("cis.dag.run.journal"),
        json!("@a:x"),
        json!(0),
        json!(-1),
        json!(1e300),
        json!({"incarnation": 1, "n": 1}),
        json!({"rel_type": "m.replace"}),
        json!("00".repeat(64)),
        json!(null),
    ];
    let value = prop_oneof![4 => prop::sample::select(values.to_vec()), 1 => any_json(true)];
    let fields = prop::collection::vec((prop::sample::select(names.to_vec()), value), 0..16);
    fields.prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fuzz_any_content(content in any_json(true)) {
        prop_assert!(verify(&content, CARRIER, |_| Standing::Trusted).is_err());
        if let Ok(value) = unpack(content) {
            prop_assert_eq!(unpack(pack(value.clone())).unwrap().to_string(), value.to_string());
        }
    }

    #[test]
    fn fuzz_fields_of_envelopes(content in near_envelope()) {
        prop_assert!(verify(&content, CARRIER, |_| Standing::Trusted).is_err(), "nobody signed {content}");
    }

    #[test]
    fn fuzz_any_text(text in "\\PC{0,300}") {
        if let Ok(content) = serde_json::from_str::<Value>(&text) {
            prop_assert!(verify(&content, CARRIER, |_| Standing::Trusted).is_err());
        }
    }
}

#[test]
fn an_envelope_of_the_size_of_an_event_is_refused_without_more() {
    let content = json!({ "body": "x".repeat(SIZE_MAX * 20) });
    assert!(verify(&content, CARRIER, |_| Standing::Trusted).is_err());
}
