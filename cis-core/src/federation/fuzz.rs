//! Whatever a room holds, checking it ends in an answer.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::envelope::{Carrier, SIZE_MAX, verify};
use super::packed::{pack, unpack};
use super::transfer::FileList;
use crate::event::Uploaded;
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

/// Lists of files in which most is as it should be.
fn near_list() -> impl Strategy<Value = Value> {
    let blob = prop_oneof![
        4 => prop::sample::select(vec!["0".repeat(64), "ab".repeat(32)]).prop_map(Value::from),
        1 => any_json(true),
    ];
    let size = prop_oneof![4 => (0..9_u64).prop_map(Value::from), 1 => any::<u64>().prop_map(Value::from)];
    let path = prop_oneof![4 => "[a-c](/[a-c]){0,2}", 1 => "[./a\\PC]{0,6}"];
    let file = (path, blob.clone(), size.clone())
        .prop_map(|(path, blob, size)| json!({"path": path, "blob": blob, "size": size}));
    let piece = (blob, size.clone(), size)
        .prop_map(|(blob, start, size)| json!({"blob": blob, "start": start, "size": size}));
    let part = (prop::collection::vec(piece, 0..4), any_json(true))
        .prop_map(|(pieces, media)| json!({"media": media, "pieces": pieces}));
    let list = (prop::collection::vec(file, 0..4), prop::collection::vec(part, 0..4))
        .prop_map(|(files, parts)| json!({"files": files, "parts": parts}));
    prop_oneof![9 => list, 1 => any_json(true)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fuzz_lists_of_files(list in near_list()) {
        let bytes = list.to_string().into_bytes();
        let (empty, _) = FileList::default().pack().unwrap();
        let sha256 = crate::ids::BlobId(hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes)));
        let uploaded = Uploaded { sha256, size: bytes.len() as u64, ..empty };
        if let Ok(list) = FileList::open(&uploaded, &bytes) {
            let names = list.files.iter().flat_map(|file| file.path.split('/'));
            prop_assert!(names.into_iter().all(|name| !matches!(name, "" | "." | "..")));
            let merged = FileList::merged([list.clone(), list]).unwrap();
            let (uploaded, bytes) = merged.pack().unwrap();
            prop_assert!(FileList::open(&uploaded, &bytes).is_ok());
        }
    }

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
