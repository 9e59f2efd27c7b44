//! Statements in order and out of it, thresholds, revocations, join codes.

use proptest::prelude::*;

use super::*;
use crate::federation::envelope::{Carrier, Draft, verify};
use crate::identity::{NodeKey, Standing};

const ROOM: &str = "!room:x";

fn key(n: u8) -> NodeKey {
    NodeKey::from_seed(&[n; 32])
}

fn owners(keys: &[u8], threshold: usize) -> Owners {
    Owners { owners: keys.iter().map(|n| key(*n).did()).collect(), threshold }
}

fn signed(placed: &Placed, by: u8) -> Verified {
    signed_at(placed, by, 0)
}

fn signed_at(placed: &Placed, by: u8, ms: u64) -> Verified {
    signed_body(serde_json::to_value(placed).unwrap(), by, ms)
}

fn signed_body(body: Value, by: u8, ms: u64) -> Verified {
    let draft = Draft::of_room(TYPE, body, Ulid::from_parts(ms, 1), ROOM, "@owner:x");
    let envelope = draft.sign(&key(by), 60_000).unwrap();
    let carrier = Carrier { room: ROOM, type_name: TYPE, sender: Some("@owner:x") };
    let content = serde_json::from_str(&envelope.content().to_string()).unwrap();
    verify(&content, carrier, |_| Standing::Trusted).unwrap()
}

fn admit(n: u8, may: &[Right]) -> Statement {
    let may = may.iter().copied().collect();
    Statement::Admit { did: key(n).did(), may, tags: BTreeSet::new(), name: None }
}

/// Says something in the name of an owner.
fn says(room: &mut Membership, by: u8, statement: Statement) -> Result<Taken, Refused> {
    let placed = room.next(statement)?;
    room.take(&signed(&placed, by))
}

#[test]
fn owners_admit_members_and_nobody_else_does() {
    let mut room = Membership::new(ROOM, owners(&[1], 1));
    assert!(!room.may(&key(5).did(), Right::Execute), "a new node is pending");
    let refused = says(&mut room, 5, admit(5, &[Right::Execute])).unwrap_err();
    assert_eq!(refused, Refused::NotAnOwner(key(5).did()));
    says(&mut room, 1, admit(5, &[Right::Execute])).unwrap();
    assert!(room.may(&key(5).did(), Right::Execute));
    assert!(!room.may(&key(5).did(), Right::Submit));
    says(&mut room, 1, admit(5, &[Right::Submit])).unwrap();
    assert!(!room.may(&key(5).did(), Right::Execute), "rights are what was said last");
}

/// A coordinator that takes a run over waits for what it may still have at work.
#[test]
fn who_may_not_execute_any_more_is_known_for_a_while() {
    let mut room = Membership::new(ROOM, owners(&[1], 1));
    let mut say = |statement, ms| {
        let placed = room.next(statement).unwrap();
        room.take(&signed_at(&placed, 1, ms)).unwrap();
        let worked = |time| room.worked_after(time).cloned().collect::<Vec<_>>();
        (worked(1000), worked(1001))
    };
    let five = vec![key(5).did()];
    assert_eq!(say(admit(5, &[Right::Submit]), 900), (vec![], vec![]), "it never worked");
    assert_eq!(say(admit(5, &[Right::Execute]), 950), (vec![], vec![]));
    assert_eq!(say(admit(5, &[]), 1000), (five.clone(), vec![]));
    assert_eq!(
        say(admit(5, &[Right::Submit]), 2000),
        (five.clone(), vec![]),
        "it is the first time that counts"
    );
    assert_eq!(say(admit(5, &[Right::Execute]), 3000), (vec![], vec![]));
    let revoked = say(Statement::Revoke { did: key(5).did() }, 4000);
    assert_eq!(revoked, (five.clone(), five));
}

#[test]
fn a_statement_is_taken_once_and_in_its_place() {
    let mut room = Membership::new(ROOM, owners(&[1], 1));
    let first = signed(&room.next(admit(5, &[Right::Execute])).unwrap(), 1);
    room.take(&first).unwrap();
    assert_eq!(room.take(&first).unwrap_err(), Refused::OutOfPlace { n: 1, known: 1 });
    // Two owners' programs may say something at the same time: the second one signs it again.
    let (a, b) = (room.next(admit(6, &[])).unwrap(), room.next(admit(7, &[])).unwrap());
    room.take(&signed(&a, 1)).unwrap();
    assert_eq!(room.take(&signed(&b, 1)).unwrap_err(), Refused::OutOfPlace { n: 2, known: 2 });
    // One of another room does not fit, whatever its number.
    let other = Membership::new("!other:x", owners(&[1], 1));
    let placed = Placed { n: 3, ..other.next(admit(8, &[])).unwrap() };
    assert!(matches!(room.take(&signed(&placed, 1)), Err(Refused::OutOfPlace { .. })));
}

#[test]
fn as_many_owners_sign_as_the_room_asks_for() {
    let mut room = Membership::new(ROOM, owners(&[1, 2, 3], 2));
    let placed = room.next(admit(5, &[Right::Coordinate])).unwrap();
    let other = room.next(admit(6, &[Right::Coordinate])).unwrap();
    assert_eq!(room.take(&signed(&placed, 1)).unwrap(), Taken::Needs(1));
    assert_eq!(room.take(&signed(&placed, 1)).unwrap(), Taken::Needs(1), "one owner counts once");
    assert_eq!(room.take(&signed(&other, 2)).unwrap(), Taken::Needs(1), "not the same statement");
    assert!(matches!(room.take(&signed(&placed, 3)).unwrap(), Taken::Counts(_)));
    assert_eq!(room.voters(), [key(5).did()]);
    // A lost key is replaced by those that are left.
    let replaced = room.next(Statement::Owners(owners(&[1, 2, 4], 2))).unwrap();
    room.take(&signed(&replaced, 1)).unwrap();
    room.take(&signed(&replaced, 2)).unwrap();
    assert_eq!(room.owners(), &owners(&[1, 2, 4], 2));
    let placed = room.next(admit(7, &[])).unwrap();
    assert_eq!(room.take(&signed(&placed, 3)).unwrap_err(), Refused::NotAnOwner(key(3).did()));
}

#[test]
fn a_revoked_key_is_no_member_and_no_owner_any_more() {
    let mut room = Membership::new(ROOM, owners(&[1, 2], 1));
    let did = key(5).did();
    let revoke = |n: u8| Statement::Revoke { did: key(n).did() };
    let refused =
        |room: &mut Membership, by, n| matches!(says(room, by, revoke(n)), Err(Refused::Invalid(_)));
    assert!(refused(&mut room, 1, 5), "no member");
    says(&mut room, 1, admit(5, &[Right::Coordinate, Right::Execute])).unwrap();
    says(&mut room, 1, revoke(5)).unwrap();
    assert!(room.is_revoked(&did) && room.revoked().eq([&did]));
    assert!(!room.may(&did, Right::Coordinate) && room.voters().is_empty());
    assert!(room.worked_after(0).eq([&did]), "it may have some work");
    assert!(refused(&mut room, 1, 5), "twice");
    let again = says(&mut room, 1, admit(5, &[Right::Execute])).unwrap_err();
    assert!(matches!(again, Refused::Invalid(_)), "a void key stays void");
    // An owner whose key was stolen decides nothing any more; the last one cannot be revoked.
    says(&mut room, 1, revoke(2)).unwrap();
    assert_eq!(room.owners(), &owners(&[1], 1));
    assert_eq!(says(&mut room, 2, admit(6, &[])).unwrap_err(), Refused::NotAnOwner(key(2).did()));
    assert!(refused(&mut room, 1, 1));
}

#[test]
fn voters_take_over_in_the_order_in_which_they_were_admitted() {
    let mut room = Membership::new(ROOM, owners(&[1], 1));
    for n in [9, 5, 7] {
        says(&mut room, 1, admit(n, &[Right::Coordinate])).unwrap();
    }
    says(&mut room, 1, admit(9, &[Right::Coordinate, Right::Execute])).unwrap();
    assert_eq!(room.voters(), [9, 5, 7].map(|n| key(n).did()));
    let tagged = Statement::Admit {
        did: key(5).did(),
        may: [Right::Execute].into(),
        tags: ["gpu".to_owned()].into(),
        name: None,
    };
    says(&mut room, 1, tagged).unwrap();
    assert!(room.may_execute(&key(5).did(), &["gpu".to_owned()]));
    assert!(!room.may_execute(&key(5).did(), &[]) && room.may_execute(&key(9).did(), &[]));
}

#[test]
fn owners_that_could_never_sign_are_refused() {
    let room = Membership::new(ROOM, owners(&[1], 1));
    let bad = [owners(&[], 1), owners(&[1], 0), owners(&[1], 2), Owners::one(NodeDid("did:web:x".into()))];
    for owners in bad {
        assert!(matches!(room.next(Statement::Owners(owners)), Err(Refused::Invalid(_))));
    }
}

fn group(name: &str, limit: Option<u32>) -> Statement {
    let group = limit.map(|limit| Group { limit, frees_when_blocked: false });
    Statement::Group { name: name.to_owned(), group }
}

#[test]
fn owners_make_change_and_remove_groups() {
    let mut room = Membership::new(ROOM, owners(&[1], 1));
    says(&mut room, 1, admit(5, &[Right::Coordinate])).unwrap();
    assert_eq!(
        says(&mut room, 5, group("gpu", Some(9))).unwrap_err(),
        Refused::NotAnOwner(key(5).did()),
        "a coordinator has no say in it"
    );
    let limit = |room: &Membership| room.groups().get("gpu").map(|group| group.limit);
    says(&mut room, 1, group("gpu", Some(2))).unwrap();
    assert_eq!(limit(&room), Some(2));
    says(&mut room, 1, group("gpu", Some(1))).unwrap();
    assert!(limit(&room) == Some(1) && room.holds(&group("gpu", Some(1))));
    says(&mut room, 1, group("gpu", None)).unwrap();
    assert!(limit(&room).is_none() && room.holds(&group("gpu", None)));
    for bad in [group("gpu", None), group("a b", Some(1)), group("gpu", Some(0))] {
        assert!(matches!(room.next(bad), Err(Refused::Invalid(_))));
    }
    for n in 0..ENTRIES_MAX {
        says(&mut room, 1, group(&format!("g{n}"), Some(1))).unwrap();
    }
    assert!(matches!(room.next(group("one-more", Some(1))), Err(Refused::Invalid(_))));
    says(&mut room, 1, group("g0", Some(7))).unwrap();
}

/// What a later version says would otherwise cut off all that follows it.
#[test]
fn what_is_not_understood_takes_its_place_and_changes_nothing() {
    let mut room = Membership::new(ROOM, owners(&[1, 2], 2));
    let placed = room.next(group("gpu", Some(1))).unwrap();
    let mut body = serde_json::to_value(&placed).unwrap();
    body["statement"] = json!({ "kind": "color", "of": { "room": "green" } });
    let later: Placed = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(serde_json::to_value(&later).unwrap(), body, "nothing of it is lost");
    assert_eq!(room.take(&signed(&later, 1)).unwrap(), Taken::Needs(1));
    assert!(matches!(room.take(&signed(&later, 2)).unwrap(), Taken::Counts(Statement::Unknown(_))));
    assert!(room.statements() == 1 && room.groups().is_empty());
    assert!(matches!(room.next(later.statement), Err(Refused::Invalid(_))), "nor is it said here");
    // One that is known, with more in it than is known.
    let mut body = serde_json::to_value(room.next(group("gpu", Some(3))).unwrap()).unwrap();
    body["statement"]["unit"] = json!("card");
    let (first, second) = (signed_body(body.clone(), 1, 0), signed_body(body.clone(), 2, 0));
    room.take(&first).unwrap();
    room.take(&second).unwrap();
    assert_eq!(room.groups().get("gpu").map(|group| group.limit), Some(3));
    let hashed = json!({ "room": ROOM, "placed": body });
    assert_eq!(room.next(group("gpu", None)).unwrap().prev, hash(&hashed), "of all that was signed");
}

fn code() -> JoinCode {
    JoinCode { room: ROOM.to_owned(), via: vec!["example.org".to_owned()], owners: owners(&[1, 2, 3], 2) }
}

#[test]
fn a_join_code_is_one_word_and_comes_back() {
    let text = code().to_string();
    assert!(text.starts_with("cis1") && text.chars().all(|c| c.is_ascii_alphanumeric()), "{text}");
    assert_eq!(format!(" {text}\n").parse(), Ok(code()));
    assert_eq!("cis2abc".parse::<JoinCode>(), Err(BadJoinCode::Other));
    assert_eq!("cis1".parse::<JoinCode>(), Err(BadJoinCode::Damaged));
    let nobody = JoinCode { owners: owners(&[], 1), ..code() };
    assert!(matches!(nobody.to_string().parse::<JoinCode>(), Err(BadJoinCode::Unusable(_))));
}

proptest! {
    #[test]
    fn any_text_is_a_join_code_or_not(text in "(cis1)?\\PC{0,80}") {
        let _ = text.parse::<JoinCode>();
    }

    #[test]
    fn a_mistyped_join_code_is_noticed(at in 4..100_usize, to in "[1-9A-HJ-NP-Za-km-z]") {
        let text = code().to_string();
        let at = at.min(text.len() - 1);
        let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
        prop_assert!(changed == text || changed.parse::<JoinCode>().is_err());
    }
}
