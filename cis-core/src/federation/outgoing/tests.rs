//! Envelopes as they leave, and a run as a whole.

use serde_json::json;

use super::*;
use crate::federation::announcement::{ANNOUNCED, Announcement, Announcer, announced_type};
use crate::federation::envelope::{Carrier, SIZE_MAX, SIZE_MAX_ENCRYPTED, verify};
use crate::federation::journal::{Batch, Fact, Page, Position, Reader, Told, Writer};
use crate::federation::recovery::{Found, Recovery};
use crate::federation::room_event::to_facts;
use crate::federation::sample::{SPEC, fold, key, run_id, story};
use crate::identity::Standing;

fn outgoing(size_max: usize) -> Outgoing {
    let numbering = Numbering::begin(None, true, 1);
    Outgoing { room: "!r:x".into(), sender: Some("@n:x".into()), size_max, numbering }
}

fn about() -> About {
    About { run: Some(run_id()), epoch: 0 }
}

fn read(kind: EnvelopeType, body: Value) -> Verified {
    let signed = outgoing(SIZE_MAX).envelope(kind, Ulid::nil(), about(), body, &key(1)).unwrap();
    let carrier = Carrier { room: "!r:x", type_name: kind.name, sender: Some("@n:x") };
    verify(&signed.content(), carrier, |_| Standing::Trusted).unwrap()
}

#[test]
fn only_what_leaves_is_counted() {
    let mut out = outgoing(SIZE_MAX);
    let mut send = |body| out.envelope(JOURNAL, Ulid::nil(), About::default(), body, &key(1));
    assert_eq!(send(json!(1)).unwrap().content()["seq"], json!({"incarnation": 1, "n": 1}));
    assert!(send(json!(0.5)).is_err());
    assert_eq!(send(json!(1)).unwrap().content()["seq"], json!({"incarnation": 1, "n": 2}));
}

#[test]
fn a_body_of_the_size_that_is_told_fits() {
    for size_max in [SIZE_MAX, SIZE_MAX_ENCRYPTED] {
        let mut out = outgoing(size_max);
        let most = out.body_max(JOURNAL, about(), &key(1).did());
        let body = json!("x".repeat(most - 2));
        assert!(out.envelope(JOURNAL, Ulid::nil(), about(), body, &key(1)).unwrap().size() <= size_max);
    }
}

#[test]
fn types_of_envelopes_have_one_name_each() {
    let mut names: Vec<&str> = TYPES.iter().map(|kind| kind.name).collect();
    names.dedup();
    assert_eq!(names.len(), TYPES.len());
    assert!(TYPES.iter().all(|kind| kind.name.starts_with("cis.dag.")));
}

#[test]
fn an_announcement_is_signed_has_no_number_and_changes_nothing() {
    let kind = announced_type("cis.dag.run.failed").unwrap();
    let mut out = outgoing(SIZE_MAX);
    let body = json!({ "state": "failed" });
    let signed = out.envelope(kind, Ulid::nil(), about(), body, &key(1)).unwrap().content();
    assert_eq!((signed.get("seq"), out.numbering.newest()), (None, 0));
    let mut recovery = Recovery::new("!r:x".into(), Default::default());
    let mut hear = |content: &Value| {
        let found = Found { type_name: kind.name, sender: "@n:x", content };
        assert!(recovery.hear(found, |_| Standing::Trusted).is_none());
    };
    hear(&signed);
    let mut forged = signed.clone();
    forged["body"]["state"] = "succeeded".into();
    hear(&forged);
    assert_eq!(recovery.refused(), 1, "the forged one");
    assert!(recovery.runs().is_empty());
}

#[test]
fn an_announcement_names_the_entry_that_says_the_same() {
    let by = key(1).did();
    let wanted: Vec<String> = ANNOUNCED.iter().map(|kind| kind.name.to_owned()).collect();
    let mut writer = Writer::begin(run_id(), by.clone(), Some(SPEC.to_owned()))
        .announcing(Announcer::new("sample", &wanted));
    story(9, &by).into_iter().for_each(|fact| writer.push(fact));
    let pages = writer.flush(1 << 30, 1);
    let [Page::Inline { body, .. }] = &pages[..] else { panic!("one page") };
    let announcements = writer.announcements();
    assert!(announcements.len() > 2, "{announcements:?}");
    for Announcement { kind, body: said } in announcements {
        let n = usize::try_from(said["entry"]["n"].as_u64().unwrap()).unwrap();
        let of = body["entries"][n - 1]["type"].as_str().unwrap();
        assert!(
            of == kind.name || kind.name == "cis.dag.task.status" && of.starts_with("cis.dag.task."),
            "{of}"
        );
    }
}

#[test]
fn a_rotation_is_read_as_it_was_made() {
    let rotation = Rotation::new(&key(1), &key(2), 7);
    let told = read(ROTATED, rotated(&rotation));
    let same: Rotation = serde_json::from_value(told.body().clone()).unwrap();
    assert_eq!((same.verify(), same), (Ok(()), rotation));
}

/// A thief with a revoked key takes another one, before the revocation or after it, and signs the change with whichever.
#[test]
fn a_key_that_follows_a_revoked_one_is_void() {
    let (old, new) = (key(1), key(2));
    let mut writer = Writer::begin(run_id(), new.did(), None);
    story(2, &new.did()).into_iter().for_each(|fact| writer.push(fact));
    let Page::Inline { body, .. } = writer.flush(1 << 30, 1).remove(0) else { panic!("it is small") };
    let signed = |kind, body, by| outgoing(SIZE_MAX).envelope(kind, Ulid::nil(), about(), body, by).unwrap();
    let written = signed(JOURNAL, body, &new);
    for by in [&old, &new] {
        let rotation = signed(ROTATED, rotated(&Rotation::new(&old, &new, 7)), by);
        for (is_late, is_member) in [(false, false), (true, false), (false, true)] {
            let mut room = Recovery::new("!r:x".into(), Default::default());
            let mut hear = |signed: &Signed, name, is_revoked: bool| {
                let content = signed.content();
                let found = Found { type_name: name, sender: "@n:x", content: &content };
                let standing = |did: &NodeDid| match (did, is_revoked) {
                    (did, false) if *did == old.did() => Standing::Trusted,
                    (did, true) if *did == old.did() => Standing::Revoked,
                    _ if is_member => Standing::Trusted,
                    _ => Standing::Unknown,
                };
                assert!(room.hear(found, standing).is_none());
            };
            hear(&rotation, ROTATED.name, is_late);
            hear(&written, JOURNAL.name, true);
            // One that owners admitted by itself stays.
            assert_eq!(room.runs().is_empty(), !is_member, "late {is_late}, member {is_member}");
        }
    }
}

fn facts_of(snapshot: &ReadSnapshot) -> Vec<Fact> {
    snapshot.entries.iter().flat_map(|entry| to_facts(entry, &snapshot.by).unwrap()).collect()
}

/// A run that begins to be followed in its middle: the snapshot, and the journal after it.
#[test]
fn a_snapshot_stands_for_what_came_before() {
    let by = key(1).did();
    let facts = story(9, &by);
    for middle in [1, 2, 11, 20, facts.len()] {
        let (before, after) = facts.split_at(middle);
        let snapshot = Snapshot::first(run_id(), before.to_vec(), &by, Some(SPEC), &fold(before));
        let mut writer = Writer::resume(run_id(), by.clone(), snapshot.position());
        let body = snapshot.body(59_000).unwrap();
        let SnapshotTold::Whole(told) = SnapshotTold::read(&read(SNAPSHOT, body)).unwrap() else {
            panic!("it fits")
        };
        let mut all = facts_of(&told);
        assert!(told.is_state_of(&fold(&all)));
        after.iter().cloned().for_each(|fact| writer.push(fact));
        let mut reader = Reader::new(run_id());
        let mut entries = Vec::new();
        for page in writer.flush(59_000, 4) {
            let Page::Inline { body, .. } = page else { panic!("it fits") };
            let told = Batch::read(&read(JOURNAL, body)).unwrap();
            let Told::Batch(batch) = told else { panic!("it is whole") };
            entries.extend(reader.take(batch).entries);
        }
        assert!(entries.is_empty(), "the beginning is not known yet");
        entries.extend(reader.begin_after(told.at, told.by.clone()).entries);
        for placed in entries {
            all.extend(to_facts(&placed.entry, &placed.by).unwrap());
        }
        assert_eq!(fold(&all).canonical(), fold(&facts).canonical());
        assert_eq!(reader.position(), writer.position());
    }
}

#[test]
fn a_large_snapshot_goes_as_a_file() {
    let by = key(1).did();
    let facts = story(500, &by);
    let at = Position { n: 99, ..Position::start(run_id()) };
    let file = Snapshot::later(at, facts.clone(), &by, Some(SPEC), &fold(&facts)).body(59_000).unwrap_err();
    let bytes = file.bytes.clone();
    let SnapshotTold::File(told) = SnapshotTold::read(&read(SNAPSHOT, file.body(json!("mxc://x")))).unwrap()
    else {
        panic!("it is a file")
    };
    assert_eq!((told.media(), told.size()), (&json!("mxc://x"), bytes.len() as u64));
    assert!(told.clone().open(b"[]").is_err());
    let whole = told.open(&bytes).unwrap();
    assert_eq!(whole.at, at);
    assert!(whole.is_state_of(&fold(&facts_of(&whole))));
    let other = ReadSnapshot { state: "00".repeat(32), ..whole };
    assert!(!other.is_state_of(&fold(&facts)));
}
