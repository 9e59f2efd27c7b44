//! A member of a room that says what it may not: a client of its own, with a key and a device, and no node behind it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cis_core::api::{Refusal, Report};
use cis_core::event::{ArtifactRecord, AttemptOutcome, FileReaders, Uploaded};
use cis_core::federation::control::Verb;
use cis_core::federation::protocol::message::{Grant, Granted, HeldRecord, HeldState, Message};
use cis_core::federation::transfer::{FileList, PART_BYTES_MAX, Part, PartMedia, Piece};
use cis_core::ids::{AttemptId, BlobId, RunId, SessionId, TaskId};
use cis_core::scheduler::placement::NodeOffer;
use serde_json::{Value, json};

use crate::bounds::peak;
use crate::federation::{did, execute, lines_in, member, waiting_for};
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, audit_of, eventually, eventually_within};
use crate::mallory::{Mallory, touches};
use crate::matrix::logged_in;
use crate::rooms::room_of;

#[test]
fn a_node_that_may_only_execute_changes_nothing_of_what_others_do() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    eventually("its session works", || (lines_in(&go.with_extension("pids")) == 1).then_some(()));
    let mut mallory = Mallory::new(&synapse, &room, &ann);
    let who = mallory.key.did().to_string();
    let run_id: RunId = run.parse().unwrap();
    let attempt = |task: &str, number| AttemptId { run: run_id, task: TaskId::new(task).unwrap(), number };
    let granted = Granted { attempt: attempt("b", 1), fence: cis_core::fence::next(0, 0) };
    let newer = Granted { attempt: attempt("b", 2), fence: cis_core::fence::next(0, 7) };
    let touched = cis.work().join("touched");
    let session = SessionId(ulid::Ulid::new());
    let grant = |granted: &Granted| Message::Grant {
        epoch: 7,
        nonce: u64::MAX,
        lease_ms: 1_000_000,
        grant: Grant { granted: granted.clone(), session, spec: touches(&touched) },
    };
    let report = Report::bare(AttemptOutcome::Succeeded, Some(0), 1);
    let held = HeldRecord { granted: newer.clone(), session, state: HeldState::Working };
    let reason = Refusal::Policy { detail: "no".to_owned() };
    let as_coordinator = [
        grant(&newer),
        grant(&granted),
        Message::Recover { run: run_id, epoch: 7 },
        Message::Renew { run: run_id, epoch: 7, nonce: 1, lease_ms: 1, grants: vec![granted.clone()] },
        Message::Cancel { epoch: 7, granted: granted.clone(), grace_ms: 0, keep: false },
        Message::Forget { epoch: 7, granted: granted.clone() },
        Message::Alive {},
    ];
    let as_worker = [
        Message::Result { granted: granted.clone(), report: report.clone() },
        Message::Result { granted: newer.clone(), report },
        Message::Claimed { granted: newer },
        Message::Refused { granted: granted.clone(), reason },
        Message::Unknown { granted },
        Message::Holding { run: run_id, epoch: 0, held: vec![held] },
    ];
    // Nobody knows its key yet: nothing of this is even answered.
    for message in as_coordinator.iter().chain(&as_worker) {
        mallory.say(&worker, message);
        mallory.say(&cis, message);
    }
    mallory.request(&cis, run_id, Verb::Cancel { now: false });
    assert_eq!(mallory.hear(), []);
    let denied = |cis: &Cis, action: &str| {
        let of = |event: &&(String, Value, Value)| {
            event.0 == "cis.dag.node.denied" && event.1["name"] == who.as_str()
        };
        let events = audit_of(cis);
        let found = events.iter().filter(of).map(|event| event.2["action"].to_string());
        found.filter(|said| said.contains(action)).count()
    };
    for node in [&worker, &cis] {
        eventually("it is in the audit", || (denied(node, "act as a node of room") > 0).then_some(()));
    }
    // It may execute from now on, and goes on as before.
    cis.ok(["identity", "trust", &who, "--room", &room.id, "--may", "execute", "--name", "mallory"]);
    eventually("the worker knows it", || worker.ok(["node", "list", "--json"]).contains(&who).then_some(()));
    for message in as_coordinator.iter().chain(&as_worker) {
        mallory.say(&worker, message);
        mallory.say(&cis, message);
    }
    let wish = mallory.request(&cis, run_id, Verb::Cancel { now: false });
    let refusal = mallory.refusal(wish);
    assert!(refusal.contains("may not control runs"), "{refusal}");
    let lines =
        [(&worker, "give tasks to nodes"), (&cis, "say something about tasks"), (&cis, "control runs")];
    for (node, action) in lines {
        eventually("it is in the audit", || (denied(node, action) > 0).then_some(()));
    }
    // What was at work goes on, and counts once.
    assert_eq!(lines_in(&go.with_extension("pids")), 1);
    assert_eq!(cis.task(&run, "b")["state"], "running");
    std::fs::write(&go, "").unwrap();
    cis.wait_run(&run, "succeeded");
    assert_eq!((&cis.task(&run, "b")["attempts"], lines_in(&go.with_extension("pids"))), (&1.into(), 1));
    assert!(!touched.exists(), "somebody worked for it");
    let untrusted = "act as a node of room";
    for (node, action) in lines.into_iter().chain([(&worker, untrusted), (&cis, untrusted)]) {
        assert_eq!(denied(node, action), 1, "a line, not one for each message: {action}");
    }
    assert_eq!(cis.show(&run)["run"]["node"], did(&cis));
}

/// Its numbers are as large as they can be, and it says thousands of words.
const ABSURD: &str = r#"
version = 1
[dag]
id = "absurd"
[dag.defaults]
tty = false
[[tasks]]
id = "a"
nodes = ["mallory"]
script = "true"
[[tasks]]
id = "b"
needs = ["a"]
nodes = ["builder"]
script = "true"
"#;

#[test]
fn a_worker_that_offers_more_than_there_can_be_does_no_harm() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let mut mallory = Mallory::admitted(&synapse, &room, &ann, &cis, &["execute", "--name", "mallory"]);
    let run = execute(&cis, &room, ABSURD);
    let status = NodeOffer {
        name: "\u{1b}[2J".repeat(100),
        version: "9".repeat(1000),
        tags: (0..500).map(|n| format!("tag-{n}")).collect(),
        agents: (0..500).map(|n| format!("agent-{n}")).collect(),
        slots: u32::MAX,
        sessions: u32::MAX - 1,
        load_permille: u32::MAX,
        files: true,
        ..NodeOffer::default()
    };
    let granted = mallory.is_given_for(&cis, &status);
    let report = Report::bare(AttemptOutcome::Succeeded, Some(0), i64::MAX);
    mallory.say(&cis, &Message::Claimed { granted: granted.clone() });
    mallory.say(&cis, &Message::Result { granted, report });
    cis.wait_run(&run, "succeeded");
    let list = cis.ok(["node", "list", "--room", &room.id]);
    assert!(list.contains("builder") && list.contains("mallory") && !list.contains('\u{1b}'), "{list}");
    drop(worker);
}

/// A coordinator may give tasks. It may not have files written where it wants, and what it sends is what it announced.
#[test]
fn a_coordinator_with_bad_lists_of_files_reaches_nothing_outside_of_a_task() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let mut mallory = Mallory::admitted(&synapse, &room, &ann, &cis, &["coordinate", "--name", "mallory"]);
    eventually("the worker knows it", || {
        worker.ok(["node", "list", "--json"]).contains(&mallory.key.did().0).then_some(())
    });
    mallory.waits_for_heartbeat(&worker);
    let (touched, text) = (cis.work().join("touched"), b"written by mallory".to_vec());
    let blob = BlobId::of(&text);
    let media = mallory.upload(text.clone());
    let file = |path: &str, blob: &BlobId| ArtifactRecord {
        path: path.to_owned(),
        blob: blob.clone(),
        size: text.len() as u64,
        executable: true,
        readers: FileReaders::default(),
    };
    let list = |files: Vec<ArtifactRecord>, media: &Value| {
        let piece =
            |file: &ArtifactRecord| Piece { blob: Some(file.blob.clone()), start: 0, size: file.size };
        let parts = vec![Part { media: PartMedia::from(media), pieces: vec![piece(&files[0])] }];
        FileList { files, parts }.pack().unwrap()
    };
    let mut end = |(uploaded, bytes): (Uploaded, Vec<u8>)| {
        let media = mallory.upload(bytes);
        mallory.end_of(&worker, Uploaded { media, ..uploaded }, &touched)
    };
    let outside = cis.work().join("outside").display().to_string();
    let up = format!("{}{outside}", "../".repeat(20));
    for path in [&outside, &up, "a/../../../../../../outside"] {
        let said = end(list(vec![file(path, &blob)], &media));
        assert!(said.contains("not below the task's directory"), "{said}");
    }
    let twice = vec![file("a", &blob), file("a/b", &blob)];
    assert!(end(list(twice, &media)).contains("as a file and as a directory"));
    let another = BlobId::of(b"what was announced");
    let said = end(list(vec![file("a", &another)], &media));
    assert!(said.contains("was altered on its way"), "{said}");
    for (server, why) in
        [("cis.test", "no longer has the files"), ("nowhere.invalid", "cannot be downloaded")]
    {
        let nothing = json!({ "url": format!("mxc://{server}/nothing") });
        let said = end(list(vec![file("a", &blob)], &nothing));
        assert!(said.contains(why), "{said}");
    }
    let (uploaded, _) = list(vec![file("a", &blob)], &media);
    assert!(end((uploaded, b"{}".to_vec())).contains("not the one that was announced"));
    assert!(!touched.exists() && !cis.work().join("outside").exists());
    // One that is as it should be, to show that the others were refused for what they are.
    let said = end(list(vec![file("a", &blob)], &media));
    assert!(said.contains("succeeded") && touched.exists(), "{said}");
    eventually("no file of theirs is left", || {
        files_below(&worker.home().join("remote")).is_empty().then_some(())
    });
}

/// What Mallory makes goes into the submitter's directory.
const MADE_THERE: &str = r#"
version = 1
[dag]
id = "made-there"
[dag.defaults]
tty = false
[[tasks]]
id = "make"
nodes = ["mallory"]
artifacts = ["out/**"]
script = "mkdir out; echo made > out/made"
[[tasks]]
id = "use"
needs = ["make"]
cwd = "."
script = "cat out/made"
"#;

/// A worker may leave what its task is to leave, where it is to leave it.
#[test]
fn a_worker_that_hands_in_other_files_than_it_was_asked_for_places_none_of_them() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    cis.ok(["node", "invite", "--room", &room.id]);
    let mut mallory = Mallory::admitted(&synapse, &room, &ann, &cis, &["execute", "--name", "mallory"]);
    let text = b"written by mallory".to_vec();
    let (blob, media) = (BlobId::of(&text), PartMedia::from(&mallory.upload(text.clone())));
    let made = |path: &str| ArtifactRecord {
        path: path.to_owned(),
        blob: blob.clone(),
        size: text.len() as u64,
        executable: true,
        readers: FileReaders::default(),
    };
    let empty = ArtifactRecord { size: 0, ..made("out/empty") };
    let pieces = vec![Piece { blob: Some(blob.clone()), start: 0, size: text.len() as u64 }];
    let list = |files: Vec<ArtifactRecord>| {
        FileList { files, parts: vec![Part { media: media.clone(), pieces: pieces.clone() }] }.pack().unwrap()
    };
    let bad = [
        (list(vec![made(".git/hooks/pre-commit"), made("out/made")]), "artifacts"),
        (list(vec![made("out/.cis-restore-x/y"), made("out/made")]), "artifacts"),
        (list(vec![made("output")]), "artifacts"),
        (list(vec![empty, made("out/made")]), "does not tell where"),
    ];
    for (list, why) in bad {
        let run = execute(&cis, &room, MADE_THERE);
        let granted = mallory.is_given(&cis);
        mallory.hands_in(&cis, granted, list);
        cis.wait_run(&run, "error");
        let shown = cis.show(&run).to_string();
        assert!(shown.contains(why), "{shown}");
        let left: Vec<_> =
            files_below(&cis.work()).into_iter().filter(|path| !path.ends_with("dag.toml")).collect();
        assert!(!left.iter().any(|path| std::fs::read(path).unwrap() == text), "{left:?}");
    }
    // As it should be, to show that the others were refused for what they are.
    let run = execute(&cis, &room, MADE_THERE);
    let granted = mallory.is_given(&cis);
    mallory.hands_in(&cis, granted, list(vec![made("out/made")]));
    cis.wait_run(&run, "succeeded");
    assert_eq!(std::fs::read(cis.work().join("out/made")).unwrap(), text);
}

/// What a worker leaves passes through a coordinator without standing in its memory.
#[test]
#[ignore = "it needs 3 GB of disk: cargo xtask test-all"]
fn a_gigabyte_that_a_worker_hands_in_needs_little_memory() {
    const PART: u64 = PART_BYTES_MAX;
    const PARTS: u64 = 32;
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    cis.ok(["node", "invite", "--room", &room.id]);
    let mut mallory = Mallory::admitted(&synapse, &room, &ann, &cis, &["execute", "--name", "mallory"]);
    let whole = vec![b'x'; usize::try_from(PART * PARTS).unwrap()];
    let (blob, size) = (BlobId::of(&whole), whole.len() as u64);
    let media = PartMedia::from(&mallory.upload(whole[..usize::try_from(PART).unwrap()].to_vec()));
    drop(whole);
    let parts = (0..PARTS).map(|n| {
        let piece = Piece { blob: Some(blob.clone()), start: n * PART, size: PART };
        Part { media: media.clone(), pieces: vec![piece] }
    });
    let path = "out/made".to_owned();
    let file =
        ArtifactRecord { path, blob: blob.clone(), size, executable: false, readers: FileReaders::default() };
    let before = peak(&cis);
    let run = execute(&cis, &room, &MADE_THERE.replace("cat out/made", "wc -c out/made"));
    let granted = mallory.is_given(&cis);
    mallory.hands_in(&cis, granted, FileList { files: vec![file], parts: parts.collect() }.pack().unwrap());
    eventually_within(Duration::from_secs(300), "it ends", || {
        (cis.show(&run)["run"]["state"] != "running").then_some(())
    });
    let shown = cis.show(&run);
    assert_eq!(shown["run"]["state"], "succeeded", "{shown}");
    assert_eq!(std::fs::metadata(cis.work().join("out/made")).unwrap().len(), size);
    let more = peak(&cis) - before;
    assert!(more < 128 << 20, "{} MiB more", more >> 20);
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
