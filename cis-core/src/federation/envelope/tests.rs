//! Copies, forgeries and oversize.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::federation::packed::pack;
use crate::identity::Standing;
use crate::identity::tests::any_json;

const ROOM: &str = "!builds:example.org";
const TYPE: &str = "cis.dag.run.journal";
const SENDER: &str = "@node:example.org";
const HERE: Carrier<'static> = Carrier { room: ROOM, type_name: TYPE, sender: Some(SENDER) };

fn key() -> NodeKey {
    NodeKey::from_seed(&[1; 32])
}

fn draft(body: Value) -> Draft {
    Draft {
        id: Ulid::from_parts(1, 2),
        room: ROOM.into(),
        run: Some(RunId::from_parts(3, 4)),
        epoch: 5,
        seq: Some(Seq { incarnation: 6, n: 7 }),
        type_name: TYPE.into(),
        v: 1,
        sender: Some(SENDER.into()),
        body,
    }
}

fn signed() -> Value {
    draft(json!({"a": [1, "ä"]})).sign(&key(), SIZE_MAX).unwrap().into_content()
}

fn trusted(_: &NodeDid) -> Standing {
    Standing::Trusted
}

fn refused(content: &Value, carrier: Carrier<'_>) -> Refused {
    verify(content, carrier, trusted).unwrap_err()
}

#[test]
fn what_was_signed_is_read() {
    let content = signed();
    let read = verify(&content, HERE, trusted).unwrap();
    assert_eq!((read.did(), read.run(), read.epoch()), (&key().did(), Some(RunId::from_parts(3, 4)), 5));
    assert_eq!((read.seq(), read.v()), (Some(Seq { incarnation: 6, n: 7 }), 1));
    assert_eq!(read.body(), &json!({"a": [1, "ä"]}));
    assert_eq!(read.size(), canonical_json(&content).unwrap().len());
    assert_eq!(read.size(), draft(json!({"a": [1, "ä"]})).sign(&key(), SIZE_MAX).unwrap().size());
}

#[test]
fn a_copy_elsewhere_does_not_verify() {
    let (content, did) = (signed(), key().did());
    let other = Carrier { room: "!other:example.org", ..HERE };
    assert_eq!(refused(&content, other), Refused::WrongRoom { did: did.clone() });
    let other = Carrier { sender: Some("@mallory:example.org"), ..HERE };
    assert_eq!(refused(&content, other), Refused::WrongSender { did: did.clone() });
    assert_eq!(
        refused(&content, Carrier { sender: None, ..HERE }),
        Refused::WrongSender { did: did.clone() }
    );
    let other = Carrier { type_name: "cis.dag.node.info", ..HERE };
    assert_eq!(refused(&content, other), Refused::WrongType { did });
}

#[test]
fn no_field_can_be_changed_added_or_taken_away() {
    let content = signed();
    let fields = content.as_object().unwrap();
    for name in fields.keys() {
        let mut less = fields.clone();
        less.remove(name);
        assert!(verify(&Value::Object(less), HERE, trusted).is_err(), "without {name}");
        let mut other = fields.clone();
        let value = match &fields[name] {
            Value::Number(n) => json!(n.as_u64().unwrap() + 1),
            Value::String(text) => json!(format!("{text}0")),
            _ => json!({"incarnation": 1, "n": 1}),
        };
        other.insert(name.clone(), value);
        assert!(verify(&Value::Object(other), HERE, trusted).is_err(), "another {name}");
    }
    let mut more = fields.clone();
    more.insert("more".into(), json!(1));
    assert_eq!(refused(&Value::Object(more), HERE), Refused::BadSignature { did: key().did() });
}

#[test]
fn reasons_are_typed() {
    let mut unsigned = signed();
    unsigned.as_object_mut().unwrap().remove("sig");
    assert_eq!(refused(&unsigned, HERE), Refused::Unsigned);
    let mut forged = signed();
    forged["body"] = json!({});
    assert_eq!(refused(&forged, HERE), Refused::BadSignature { did: key().did() });
    forged["did"] = json!("did:key:zNobody");
    assert_eq!(refused(&forged, HERE), Refused::NoKey("did:key:zNobody".into()));
    forged["body"] = json!(0.5);
    assert!(matches!(refused(&forged, HERE), Refused::NotCanonical(NotCanonical::Float { .. })));
    assert!(matches!(refused(&json!([]), HERE), Refused::Shape(_)));
    assert!(matches!(refused(&json!({"sig": "00"}), HERE), Refused::Shape(_)));
    let large = json!({"body": "x".repeat(SIZE_MAX)});
    assert!(matches!(refused(&large, HERE), Refused::TooLarge { .. }));
    let content = signed();
    let of = |standing: Standing| verify(&content, HERE, |_| standing).map(|read| read.standing().clone());
    assert_eq!(of(Standing::Unknown), Err(Refused::UnknownKey(key().did())));
    assert_eq!(of(Standing::Revoked), Err(Refused::Revoked(key().did())));
    let replaced = Standing::Replaced(NodeDid("x".into()));
    assert_eq!(of(replaced.clone()), Ok(replaced));
    assert_eq!(of(Standing::Own), Ok(Standing::Own));
}

#[test]
fn relations_are_beside_it_and_edits_are_none() {
    let mut content = signed();
    content["m.relates_to"] = json!({"rel_type": "m.reference", "event_id": "$x"});
    assert!(verify(&content, HERE, trusted).is_ok());
    content["m.relates_to"] = json!({"rel_type": "m.replace", "event_id": "$x"});
    assert_eq!(refused(&content, HERE), Refused::Edit);
    let mut content = signed();
    content["m.new_content"] = signed();
    assert_eq!(refused(&content, HERE), Refused::Edit);
}

#[test]
fn what_an_event_cannot_hold_is_not_signed() {
    let did = key().did();
    let room_left = SIZE_MAX - draft(Value::Null).overhead(&did);
    let fits = draft(json!("x".repeat(room_left - 2)));
    assert_eq!(fits.sign(&key(), SIZE_MAX).unwrap().size(), SIZE_MAX);
    let large = draft(json!("x".repeat(room_left - 1))).sign(&key(), usize::MAX);
    assert!(matches!(large, Err(Unsignable::TooLarge { size: 60_001, max: SIZE_MAX, .. })), "{large:?}");
    assert!(matches!(draft(json!(0.5)).sign(&key(), SIZE_MAX), Err(Unsignable::NotCanonical { .. })));
    let other_type = Draft { type_name: "cis.identity.trust".into(), ..draft(json!(1)) };
    assert!(matches!(other_type.sign(&key(), SIZE_MAX), Err(Unsignable::Name(_, "type"))));
}

/// Another implementation of Ed25519 has to come to the same: this pins bytes, key and signature.
#[test]
fn an_envelope_is_these_bytes() {
    insta::assert_json_snapshot!(signed());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_body_is_read_as_it_was_signed(body in any_json(true)) {
        let body = pack(body);
        let content = draft(body.clone()).sign(&key(), SIZE_MAX).unwrap();
        let text = serde_json::to_string(&content.content()).unwrap();
        let read = verify(&serde_json::from_str(&text).unwrap(), HERE, trusted).unwrap();
        prop_assert_eq!(read.body(), &body);
        prop_assert_eq!(content.size(), canonical_json(&content.content()).unwrap().len());
    }
}
