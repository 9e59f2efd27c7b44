//! The list of trust: what may be changed, and that nobody else changed its file.

use proptest::prelude::*;

use super::*;
use crate::identity::NodeKey;

fn key(n: u8) -> NodeKey {
    NodeKey::from_seed(&[n; 32])
}

fn did(n: u8) -> NodeDid {
    key(n).did()
}

fn list() -> TrustList {
    let mut list = TrustList::default();
    list.trust(&did(2), &did(1), Some("m1".into()), 5).unwrap();
    list.trust(&did(3), &did(1), None, 6).unwrap();
    list.revoke(&did(4), &did(1), 7).unwrap();
    list
}

#[test]
fn nobody_is_obeyed_who_is_not_on_the_list() {
    let list = list();
    let words = [1, 2, 3, 4, 5].map(|n| list.standing(&did(n), &did(1)).word());
    assert_eq!(words, ["own", "trusted", "trusted", "revoked", "unknown"]);
    let obeyed = [1, 2, 3, 4, 5].map(|n| list.standing(&did(n), &did(1)).is_obeyed());
    assert_eq!(obeyed, [true, true, true, false, false]);
}

#[test]
fn a_revoked_key_stays_so() {
    let mut list = list();
    list.revoke(&did(2), &did(1), 8).unwrap();
    assert_eq!(list.trust(&did(2), &did(1), None, 9), Err(TrustError::Revoked(did(2))));
    assert_eq!(list.revoke(&did(2), &did(1), 9), Ok(false));
    // A thief of the key cannot lead trust to another one.
    let stolen = Rotation::new(&key(2), &key(6), 9);
    assert_eq!(list.rotate(&stolen, &did(1)), Err(TrustError::Revoked(did(2))));
    let back = Rotation::new(&key(3), &key(2), 9);
    assert_eq!(list.rotate(&back, &did(1)), Err(TrustError::Revoked(did(2))));
}

#[test]
fn trust_goes_on_with_the_new_key_alone() {
    let mut list = list();
    assert_eq!(list.rotate(&Rotation::new(&key(2), &key(6), 9), &did(1)), Ok(true));
    assert_eq!(list.rotate(&Rotation::new(&key(2), &key(6), 9), &did(1)), Ok(false));
    assert_eq!(list.standing(&did(2), &did(1)), Standing::Replaced(did(6)));
    assert!(!list.standing(&did(2), &did(1)).is_obeyed() && list.standing(&did(2), &did(1)).counts_in_history());
    assert_eq!(list.trusted().find(|entry| entry.did == did(6)).unwrap().name.as_deref(), Some("m1"));
    let second = Rotation::new(&key(2), &key(7), 9);
    assert!(matches!(list.rotate(&second, &did(1)), Err(TrustError::Replaced { .. })));
    let stranger = Rotation::new(&key(8), &key(9), 9);
    assert_eq!(list.rotate(&stranger, &did(1)), Err(TrustError::NotTrusted(did(8))));
    let forged = Rotation { new: did(9), ..Rotation::new(&key(3), &key(6), 9) };
    assert!(matches!(list.rotate(&forged, &did(1)), Err(TrustError::Rotation(_))));
}

#[test]
fn a_node_knows_what_it_was() {
    let mut list = list();
    list.rotate(&Rotation::new(&key(1), &key(6), 8), &did(1)).unwrap();
    list.rotate(&Rotation::new(&key(6), &key(7), 9), &did(6)).unwrap();
    assert_eq!(list.former(&did(7)), [did(6), did(1)]);
    assert_eq!(list.former(&did(1)), []);
    assert_eq!(list.standing(&did(1), &did(7)), Standing::Replaced(did(6)));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut list = list();
    let own = did(1);
    assert_eq!(list.trust(&own, &own, None, 1), Err(TrustError::Own(own.clone())));
    assert_eq!(list.revoke(&own, &own, 1), Err(TrustError::Own(own.clone())));
    assert_eq!(list.untrust(&did(5)), Err(TrustError::NotTrusted(did(5))));
    let word = NodeDid("did:key:zNobody".into());
    assert_eq!(list.trust(&word, &own, None, 1), Err(TrustError::NotADid(word.0.clone())));
    for name in ["", "  ", "a\nb", "\u{202e}x", &"x".repeat(65)] {
        assert_eq!(list.trust(&did(5), &own, Some(name.into()), 1), Err(TrustError::Name), "{name:?}");
    }
    let before = list.revision();
    assert_eq!(list.trust(&did(2), &own, None, 1), Ok(false));
    assert_eq!(list.revision(), before);
}

#[test]
fn the_file_reads_back_and_no_change_of_it_does() {
    let mut list = list();
    list.rotate(&Rotation::new(&key(3), &key(6), 9), &did(1)).unwrap();
    let text = list.to_text(&key(1)).unwrap();
    assert_eq!(TrustList::from_text(&text, &did(1)), Ok(list));
    let other = text.replace(&did(2).0, &did(5).0);
    assert!(matches!(TrustList::from_text(&other, &did(1)), Err(BadTrustFile::Signature(_))));
    let older = text.replace("revision = 4", "revision = 3");
    assert_ne!(older, text);
    assert!(matches!(TrustList::from_text(&older, &did(1)), Err(BadTrustFile::Signature(_))));
    assert!(matches!(TrustList::from_text(&text, &did(2)), Err(BadTrustFile::Signer { .. })));
    let newer = text.replace("format = 1", "format = 2");
    assert_eq!(TrustList::from_text(&newer, &did(1)), Err(BadTrustFile::Format(2)));
    assert!(matches!(TrustList::from_text("x", &did(1)), Err(BadTrustFile::Shape(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is in the home: it is the list or an error, never a panic, and never somebody's who did not sign.
    #[test]
    fn fuzz_files(text in "\\PC{0,200}", at in 0usize..600, put in "[ -~]{1,4}") {
        let _ = TrustList::from_text(&text, &did(1));
        let good = list().to_text(&key(1)).unwrap();
        let at = at.min(good.len());
        let changed = format!("{}{put}{}", &good[..at], &good[at..]);
        if let Ok(read) = TrustList::from_text(&changed, &did(1)) {
            prop_assert_eq!(read, list());
        }
    }
}
