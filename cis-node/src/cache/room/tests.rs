use cis_core::event::FileReaders;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::cache::{Cache, plain_spec as spec, recipe};
use crate::files::{Globs, Stop};
use cis_core::dag::ValueType;
use cis_core::event::Submitter;
use cis_core::ids::TaskId;

const ROOM: &str = "!r:x";

fn did(name: &str) -> NodeDid {
    NodeDid(format!("did:key:{name}"))
}

fn auto() -> CacheUse {
    CacheUse {
        key: CacheKey::Auto,
        inputs: Vec::new(),
        ttl_ms: None,
        refresh: false,
        cwd: ".".to_owned(),
        scope: "dag/task".to_owned(),
        submitter: None,
    }
}

fn file(path: &str, content: &[u8], executable: bool) -> ArtifactRecord {
    let blob = BlobId::of(content);
    ArtifactRecord {
        path: path.to_owned(),
        blob,
        size: content.len() as u64,
        executable,
        readers: FileReaders::default(),
    }
}

/// What a key is made of.
struct Case {
    spec: TaskSpec,
    cache: CacheUse,
    room: String,
    placement: Placement,
    coordinator: NodeDid,
    files: Vec<ArtifactRecord>,
}

impl Case {
    fn new() -> Self {
        Self {
            spec: spec(&["make", "all"]),
            cache: auto(),
            room: ROOM.to_owned(),
            placement: Placement::default(),
            coordinator: did("ann"),
            files: vec![file("a", b"1", false)],
        }
    }

    fn key(&self) -> RoomKey {
        let Self { room, placement, coordinator, .. } = self;
        let placement = (*placement != Placement::default()).then_some(placement);
        RoomRecipe::new(&self.spec, &self.cache, &Placed { room, placement, coordinator }).finish(&self.files)
    }
}

fn changed(change: fn(&mut Case)) -> RoomKey {
    let mut case = Case::new();
    change(&mut case);
    case.key()
}

#[test]
fn what_reaches_a_task_on_another_node_changes_the_key_and_what_stays_with_the_submitter_does_not() {
    let same = Case::new().key();
    let unchanged = [
        changed(|case| case.coordinator = did("bob")),
        changed(|case| case.cache.submitter = Some(Submitter::Member { room: "!s:x".to_owned() })),
        changed(|case| case.cache.scope = "other".to_owned()),
        changed(|case| case.cache.ttl_ms = Some(1)),
        changed(|case| case.spec.cwd = "/elsewhere".to_owned()),
        changed(|case| case.spec.umask = Some(0)),
        changed(|case| case.spec.base_env = Some(BlobId::of(b"PATH=/bin"))),
        changed(|case| case.spec.timeout_ms = Some(9)),
    ];
    assert!(unchanged.iter().all(|other| *other == same));
    let named = |case: &mut Case| case.cache.key = CacheKey::Text("v1".to_owned());
    let keys = [
        same,
        changed(|case| case.room = "!s:x".to_owned()),
        changed(|case| case.spec = spec(&["make all"])),
        changed(|case| drop(case.spec.env.insert("A".to_owned(), "1".to_owned()))),
        changed(|case| case.spec.tty = true),
        changed(|case| (case.spec.tty, case.coordinator) = (true, did("bob"))),
        changed(|case| case.spec.outputs.extend([("n".to_owned(), ValueType::Integer)])),
        changed(|case| case.spec.artifacts.push("out/*".to_owned())),
        changed(|case| case.placement.tags.push("gpu".to_owned())),
        changed(|case| case.placement.nodes.push("gpu".to_owned())),
        changed(|case| case.files.clear()),
        changed(|case| case.files = vec![file("a", b"2", false)]),
        changed(|case| case.files = vec![file("b", b"1", false)]),
        changed(|case| case.files = vec![file("a", b"1", true)]),
        changed(named),
        changed(|case| {
            case.cache.key = CacheKey::Text("v1".to_owned());
            case.coordinator = did("bob");
        }),
        changed(|case| {
            case.cache.key = CacheKey::Text("v1".to_owned());
            case.cache.scope = "other".to_owned();
        }),
        changed(|case| {
            case.cache.key = CacheKey::Text("v1".to_owned());
            case.cache.submitter = Some(Submitter::Member { room: ROOM.to_owned() });
        }),
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(
            keys[..at].iter().all(|other| other.hash != key.hash && other.entry() != key.entry()),
            "{at}"
        );
    }
}

#[test]
fn the_form_of_keys_stays() {
    // Another value means that nodes of other versions find nothing: change `FORM` too.
    let key = Case::new().key();
    assert_eq!(key.told(), Some("607a3e8db3c0c8caa1495fac8f73d5c3b9e4b62e440e053189a52cc304e2308d"));
    assert_eq!(key.entry(), "b327a7ec421f1f23e5b0649923bd2c46fce88d67b8eb8f0a6f5cf0098d30441a");
}

#[test]
fn whatever_a_coordinator_tells_names_no_entry_of_local_tasks_other_rooms_or_texts() {
    let key = Case::new().key();
    let told = RoomKey::of_told(ROOM, key.told().unwrap()).unwrap();
    assert_eq!(told, key);
    let dir = tempfile::tempdir().unwrap();
    let none = Globs::new(&[]).unwrap();
    let local =
        recipe(&spec(&["make", "all"]), &auto(), None).finish(dir.path(), &[], &none, &Stop::default());
    let local = local.unwrap().key;
    assert_ne!(RoomKey::of_told(ROOM, &local).unwrap().entry(), local);
    let elsewhere = RoomKey::of_told("!s:x", key.told().unwrap()).unwrap();
    assert_ne!(elsewhere.entry(), key.entry());
    // A key that is a text, or of a task into whose terminal people can type, is not told, and nobody else can tell it.
    let text = changed(|case| case.cache.key = CacheKey::Text("v1".to_owned()));
    for own in [text, changed(|case| case.spec.tty = true)] {
        assert_eq!(own.told(), None);
        assert_ne!(RoomKey::of_told(ROOM, &own.hash).unwrap().entry(), own.entry());
    }
    for bad in ["", "../../../../etc/passwd", &key.hash.to_uppercase(), &key.hash[1..]] {
        assert_eq!(RoomKey::of_told(ROOM, bad), None, "{bad:?}");
    }
}

fn report() -> Report {
    let outputs = BTreeMap::from([(
        "n".to_owned(),
        OutputRecord { value: 7.into(), hash: String::new(), blob: None, hidden: false },
    )]);
    let exit = Some(ExitStatus::Code(0));
    Report { exit, outputs, ..Report::bare(AttemptOutcome::Succeeded, Some(1), 5) }
}

fn attempt() -> AttemptId {
    AttemptId { run: RunId(ulid::Ulid::from(7_u128)), task: TaskId::new("a").unwrap(), number: 2 }
}

#[test]
fn only_whole_successes_are_kept() {
    let kept = |change: fn(&mut Report)| {
        let mut report = report();
        change(&mut report);
        Success::of_report(&attempt(), &report).is_some()
    };
    assert!(kept(|_| {}));
    assert!(!kept(|report| report.outcome = AttemptOutcome::Cancelled));
    assert!(!kept(|report| report.exit = Some(ExitStatus::Code(1))));
    assert!(!kept(|report| report.exit = None));
    assert!(!kept(|report| report.cached = Some("x:a#1".to_owned())));
    assert!(!kept(|report| report.artifacts.push(file("a", b"1", false))), "nobody could get its files");
    assert!(!kept(|report| report.outputs.values_mut().for_each(|output| output.hidden = true)));
    assert!(!kept(|report| {
        report.outputs.values_mut().for_each(|output| output.blob = Some(BlobId::of(b"real")));
    }));
}

#[test]
fn entries_come_back_and_those_of_earlier_versions_too() {
    let home = tempfile::tempdir().unwrap();
    let cache = Cache::new(home.path());
    let success = Success::of_report(&attempt(), &report()).unwrap();
    let entry = success.entry(&Case::new().key(), did("worker"), did("ann"), 3);
    assert_eq!((entry.made_ms, entry.from.parse::<AttemptId>().unwrap()), (3, attempt()));
    cache.keep(&entry).unwrap();
    assert_eq!(cache.read(&entry.key).unwrap(), Some(entry.clone()));
    let mut earlier = serde_json::to_value(&entry).unwrap();
    assert!(earlier.as_object_mut().unwrap().remove("vouched").is_some());
    let earlier: Entry = serde_json::from_value(earlier).unwrap();
    assert_eq!(earlier, Entry { vouched: None, ..entry.clone() });
    let outside = Entry { key: "../../outside".to_owned(), ..entry };
    assert!(cache.keep(&outside).is_err());
    assert!(fs::read_dir(home.path()).unwrap().all(|found| found.unwrap().file_name() == "cache"));
}

fn lists() -> impl Strategy<Value = Vec<ArtifactRecord>> {
    let one = ("[ab/]{1,3}", "[ab]{0,2}", any::<bool>());
    prop::collection::btree_map("[ab/]{1,3}", one, 0..4).prop_map(|files| {
        files.into_iter().map(|(path, (_, content, is))| file(&path, content.as_bytes(), is)).collect()
    })
}

proptest! {
    #[test]
    fn two_lists_have_one_key_only_if_they_are_the_same(one in lists(), other in lists()) {
        let of = |files: &[ArtifactRecord]| Case { files: files.to_vec(), ..Case::new() }.key();
        prop_assert_eq!(of(&one) == of(&other), one == other);
        prop_assert_eq!(of(&one), of(&one));
    }
}
