use super::*;

fn user(text: &str) -> UserId {
    text.parse().unwrap()
}

fn list(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

#[test]
fn a_role_is_given_by_name_server_and_power() {
    let viewer = list(&["*:example.org"]);
    let operator = list(&["@ann:example.org", "pl>=50"]);
    let roles = Roles::parse(Some(&viewer), Some(&operator), None).unwrap();
    let cases = [
        ("@bob:example.org", Power::Level(0), Some(Role::Viewer)),
        ("@bob:example.org.evil.net", Power::Level(0), None),
        ("@bob:evil.net", Power::Level(49), None),
        ("@bob:evil.net", Power::Level(50), Some(Role::Operator)),
        ("@ann:example.org", Power::Level(-5), Some(Role::Operator)),
        ("@Ann:example.org", Power::Level(0), Some(Role::Viewer)),
        ("@eve:evil.net", Power::Level(100), Some(Role::Admin)),
        ("@eve:evil.net", Power::Infinite, Some(Role::Admin)),
    ];
    for (id, power, role) in cases {
        assert_eq!(roles.of(Person { id: &user(id), power }), role, "{id} {power:?}");
    }
}

#[test]
fn without_a_list_level_50_may_operate_and_others_nothing() {
    let id = user("@bob:x");
    let of = |level| Roles::default().of(Person { id: &id, power: Power::Level(level) });
    assert_eq!([of(0), of(50), of(100)], [None, Some(Role::Operator), Some(Role::Admin)]);
}

#[test]
fn who_decides_is_whom_the_list_names() {
    let id = user("@bob:x");
    let allowed = Allowed::parse(&list(&["pl>=50", "@ann:example.org"])).unwrap();
    let said = allowed.check(Person { id: &id, power: Power::Level(0) }).unwrap_err().to_string();
    assert_eq!(said, "this is decided by everybody of level 50 and above, @ann:example.org");
    assert!(allowed.check(Person { id: &user("@ann:example.org"), power: Power::Level(0) }).is_ok());
    assert!(allowed.check(Person { id: &id, power: Power::Infinite }).is_ok());
}

#[test]
fn what_is_no_entry_says_what_is() {
    for good in ["pl>=50", "pl >= -1", "*", "*:localhost:8448", "@a:b"] {
        assert!(good.parse::<Matcher>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "ann",
        "pl>50",
        "pl>=",
        "pl>=9007199254740993",
        "pl>=1e3",
        "*:",
        "*:a b",
        "*.org",
        "@ann",
        "example.org",
    ] {
        let said = bad.parse::<Matcher>().unwrap_err().to_string();
        assert!(said.contains("\"pl>=50\""), "{bad}: {said}");
    }
    assert_eq!(Allowed::parse(&[]), Err(MatcherError::Empty));
    let entries = list(&["pl>=-1", "*", "*:localhost:8448", "@a:b"]);
    let allowed = Allowed::parse(&entries).unwrap();
    let json = serde_json::to_string(&allowed).unwrap();
    assert_eq!(json, serde_json::to_string(&entries).unwrap());
    assert_eq!(serde_json::from_str::<Allowed>(&json).unwrap(), allowed);
    assert!(serde_json::from_str::<Allowed>("[]").is_err());
    let mut roles = Roles::default();
    roles.set(Role::Viewer, entries.iter().map(|entry| entry.parse().unwrap()).collect());
    assert_eq!(roles.entries(Role::Viewer), entries);
    assert_eq!(Roles::parse(None, Some(&list(&["x"])), None).unwrap_err().0, Role::Operator);
}

#[test]
fn whoever_is_named_as_admin_lets_nodes_in_and_otherwise_each_admin() {
    let check = |roles: &Roles, id: &str, power| {
        roles.check_trust(Person { id: &user(id), power: Power::Level(power) })
    };
    let of = |admin: &[&str]| Roles::parse(None, None, Some(&list(admin))).unwrap();
    let named = of(&["@ann:x", "*:x", "pl>=100"]);
    assert_eq!(check(&named, "@ann:x", 0), Ok(()));
    assert_eq!(check(&named, "@bob:x", 100), Err(Refusal::TrustNotNamed));
    assert_eq!(check(&of(&["*:x", "pl>=100"]), "@bob:x", 0), Ok(()));
    assert_eq!(check(&Roles::default(), "@bob:x", 100), Ok(()));
}

#[test]
fn in_an_encrypted_room_only_what_nobody_between_could_have_made_decides() {
    let strict = Carriers::default();
    let plain = Carried { room_encrypted: false, encrypted: false, device: DeviceTrust::Unsigned };
    let clear = Carried { room_encrypted: true, ..plain };
    let unsigned = Carried { encrypted: true, ..clear };
    let signed = Carried { device: DeviceTrust::Signed, ..unsigned };
    let changed = Carried { device: DeviceTrust::IdentityChanged, ..unsigned };
    for act in [Act::ReactToQuestion, Act::ReactToDecide, Act::Words] {
        assert_eq!(strict.check(plain, act), Ok(()));
    }
    assert_eq!(strict.check(clear, Act::ReactToQuestion), Ok(()));
    assert_eq!(strict.check(clear, Act::ReactToDecide), Err(Refusal::ReactionInClear));
    assert_eq!(strict.check(clear, Act::Words), Err(Refusal::MessageInClear));
    assert_eq!(strict.check(unsigned, Act::Words), Err(Refusal::Unverified));
    assert_eq!(strict.check(signed, Act::Words), Ok(()));
    assert_eq!(strict.check(changed, Act::Words), Err(Refusal::IdentityChanged));
    assert_eq!(strict.check(changed, Act::ReplyToQuestion), Err(Refusal::IdentityChanged));
    assert_eq!(strict.check(signed, Act::ReplyToQuestion), Ok(()));
    assert_eq!(strict.check(clear, Act::ReplyToQuestion), Err(Refusal::MessageInClear));
    assert_eq!(strict.check(signed, Act::ReplyToDecide), Err(Refusal::ReplyInClear));
    assert_eq!(strict.check(plain, Act::ReplyToDecide), Ok(()));
    assert!(strict.reactions_count(true, crate::event::PromptKind::Question));
    assert!(!strict.reactions_count(true, crate::event::PromptKind::Unknown));
    assert!(strict.reactions_count(false, crate::event::PromptKind::Approval));
    let lax = Carriers { reactions_decide: true, unsigned_devices: true };
    assert_eq!(lax.check(clear, Act::ReactToDecide), Ok(()));
    assert_eq!(lax.check(unsigned, Act::Words), Ok(()));
    assert_eq!(lax.check(clear, Act::Words), Err(Refusal::MessageInClear));
}

#[test]
fn each_is_told_once_and_a_crowd_not_all() {
    let mut told = Told::new();
    assert!(told.tell(&user("@a:x"), 0));
    assert!(!told.tell(&user("@a:x"), 9_999_999));
    let crowd = (0..10_000).filter(|n| told.tell(&user(&format!("@u{n}:x")), 10_000_000)).count();
    assert_eq!(crowd, 5);
    let minutes =
        (0..5000).filter(|n| told.tell(&user(&format!("@v{n}:x")), 20_000_000 + n * 60_000)).count();
    assert_eq!(minutes, 5000, "one a minute");
    assert_eq!(told.known.len(), 1000);
    assert_eq!(told.order.len(), 1000);
}

#[test]
fn one_person_asks_so_often_and_does_not_take_from_others() {
    let mut patience = Patience::default();
    let (ann, bob) = (user("@ann:x"), user("@bob:x"));
    assert_eq!((0..100).filter(|_| patience.take(&ann, 1000).is_ok()).count(), 10);
    assert_eq!(patience.take(&bob, 1000), Ok(()));
    assert_eq!(patience.take(&ann, 5999), Err(TooOften { wait_ms: 1, first: false }));
    assert_eq!(patience.take(&ann, 6000), Ok(()));
    let said = patience.take(&ann, 6001).unwrap_err();
    assert!(said.first, "they are told once more");
    assert_eq!(said.to_string(), "you ask faster than I can answer here: wait 4.9s and say it again");
    assert!(!patience.take(&ann, 6002).unwrap_err().first);
    assert!(patience.take(&ann, 100).is_err(), "a clock that goes back gives nothing away");
    for n in 0..5000 {
        let _ = patience.take(&user(&format!("@u{n}:x")), 7000);
    }
    assert!(patience.people.len() <= 1000);
}
