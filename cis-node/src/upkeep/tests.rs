//! Backups that are damaged, or made to do harm; cleaning with a store of its own.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tar::{EntryType, Header};

use super::archive::{ArchiveWriter, DATABASE, FORMAT, HEAD, Head, SUMS};
use super::clean::Cleaner;
use super::*;
use crate::again::keep_for;
use crate::config::Retention;
use crate::restore::load_run;
use crate::victims::Victims;
use cis_core::agent::Agents;
use cis_core::api::{CleanReport, Problem};
use cis_core::event::{EndReason, EventBody, EventDraft, RetryScope, RunCreated, TaskChange, TaskState};
use cis_core::ids::{BlobId, NodeDid, RunId, TaskId};
use cis_local::Home;
use cis_store::{Blobs, Readers, Safety, StoreError, TaskSeed, Writer};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Place {
    dir: tempfile::TempDir,
    home: Home,
    blobs: Blobs,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::locate(Some(dir.path().join("h").into()), None, Some(dir.path().into())).unwrap();
    home.make().unwrap();
    let blobs = Blobs::new(&home.dir);
    Place { dir, home, blobs }
}

impl Place {
    /// A run with a log, made now, that ended so many days ago, or has not.
    fn run(&self, n: u128, ended: Option<u32>, spec: &str) -> (RunId, BlobId) {
        let run = RunId::from_parts(1, n);
        let tasks = spec.matches("[[tasks]]").count();
        let spec = self.blobs.put(spec.as_bytes(), Safety::Processes).unwrap();
        let facts =
            RunCreated { spec: spec.clone(), ..RunCreated::sample("x", tasks, NodeDid("did:key:z".into())) };
        let mut writer = Writer::open(&self.home.database()).unwrap();
        let draft = |at_ms, body| EventDraft { run: Some(run), at_ms, actor: None, cause: None, body };
        let a = || TaskId::new("a").unwrap();
        let seeds: Vec<TaskSeed> = (0..tasks).map(|_| TaskSeed { id: a(), needs: Vec::new() }).collect();
        let id = ulid::Ulid::from_parts(n as u64, 1);
        writer.append_run(&draft(1, EventBody::RunCreated(facts.into())), id, &seeds).unwrap();
        if let Some(days) = ended {
            let at = now().checked_sub(DAY * days).unwrap();
            let at_ms = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
            let started = draft(at_ms, EventBody::RunStarted {});
            writer.append(&started, ulid::Ulid::from_parts(n as u64, 2)).unwrap();
            let end = Some(EndReason::RunCancelled);
            let changes: Vec<TaskChange> = (0..tasks)
                .map(|_| TaskChange {
                    task: a(),
                    state: TaskState::Cancelled,
                    end: end.clone(),
                    queued: None,
                })
                .collect();
            if !changes.is_empty() {
                let change = draft(at_ms, EventBody::TaskStatus { changes });
                writer.append(&change, ulid::Ulid::from_parts(n as u64, 3)).unwrap();
            }
            let ended = draft(at_ms, EventBody::RunCompleted {});
            writer.append(&ended, ulid::Ulid::from_parts(n as u64, 4)).unwrap();
        }
        writer.commit().unwrap();
        let logs = self.home.run_logs(run);
        fs::create_dir_all(&logs).unwrap();
        fs::write(logs.join("a.1.log"), vec![b'x'; 1000]).unwrap();
        self.age();
        (run, spec)
    }

    /// Makes every file old enough to be removed.
    fn age(&self) {
        let ago = now() - Duration::from_secs(3600);
        for stored in self.blobs.list().unwrap() {
            let path = self.blobs.file(&stored.id.unwrap()).unwrap();
            File::options().append(true).open(path).unwrap().set_modified(ago).unwrap();
        }
    }

    fn clean(&self, max_age_days: Option<u64>, max_bytes: Option<u64>, dry_run: bool) -> CleanReport {
        self.clean_while(max_age_days, max_bytes, dry_run, &mut || {})
    }

    /// `recorded` happens once it is durable what goes, and before anything has gone.
    fn clean_while(
        &self,
        max_age_days: Option<u64>,
        max_bytes: Option<u64>,
        dry_run: bool,
        recorded: &mut dyn FnMut(),
    ) -> CleanReport {
        self.clean_where(max_age_days, max_bytes, dry_run, &|| Ok(()), recorded).unwrap()
    }

    /// `room` says before each record whether there is space for it.
    fn clean_where(
        &self,
        max_age_days: Option<u64>,
        max_bytes: Option<u64>,
        dry_run: bool,
        room: &dyn Fn() -> Result<(), StoreError>,
        recorded: &mut dyn FnMut(),
    ) -> Result<CleanReport, UpkeepError> {
        let rules = Retention {
            max_age_ms: max_age_days.map(|days| days * 86_400_000),
            max_bytes,
            ..Retention::default()
        };
        let cleaner = Cleaner { home: &self.home, blobs: &self.blobs, rules, now: now() };
        let mut writer = Writer::open(&self.home.database()).unwrap();
        let actor = cis_core::event::Actor {
            kind: cis_core::event::ActorKind::Policy,
            name: "test".into(),
            via: cis_core::event::Via::Internal,
        };
        let mut record = |victims: Vec<Victims>| {
            room().map_err(|error| Problem::from(&error))?;
            for body in victims.iter().flat_map(Victims::events) {
                let draft = EventDraft { run: None, at_ms: 5, actor: Some(actor.clone()), cause: None, body };
                writer.append(&draft, ulid::Ulid::new()).unwrap();
            }
            writer.commit().unwrap();
            recorded();
            Ok(victims)
        };
        let hold = Cleaner::hold(&self.home, dry_run, Duration::ZERO, || true)?;
        cleaner.clean(dry_run, &hold, &mut record)
    }

    fn has_log(&self, run: RunId) -> bool {
        self.home.run_logs(run).join("a.1.log").exists()
    }
}

/// Later than anything that is written from here on.
fn now() -> SystemTime {
    SystemTime::now() + Duration::from_secs(1)
}

#[test]
fn the_reserve_is_released_where_no_statistic_says_that_the_disk_is_full() {
    // A quota is exceeded, or what is recorded is longer than what is free.
    let place = place();
    let (run, _) = place.run(1, Some(40), "old");
    let reserve = place.home.dir.join("disk-reserve");
    reserve::keep(&place.home.dir);
    assert!(reserve.exists());
    let room = || if reserve.exists() { Err(StoreError::Full { path: reserve.clone() }) } else { Ok(()) };
    let mut had_log = false;
    let report = place.clean_where(Some(30), None, false, &room, &mut || had_log = place.has_log(run));
    assert_eq!(report.unwrap().runs, 1);
    assert!(had_log, "it was recorded before it was removed");
    assert!(!place.has_log(run) && reserve.exists());
}

#[test]
fn what_another_process_keeps_from_being_recorded_is_not_removed() {
    let place = place();
    let (run, _) = place.run(1, Some(40), "old");
    reserve::keep(&place.home.dir);
    let room = || Err(StoreError::InUse { path: place.home.database() });
    let said = place.clean_where(Some(30), None, false, &room, &mut || {}).unwrap_err().to_string();
    assert!(said.contains("in use"), "{said}");
    assert!(place.has_log(run) && place.home.dir.join("disk-reserve").exists());
}

#[test]
fn old_runs_go_and_open_and_young_ones_keep_everything() {
    let place = place();
    let (old, old_spec) = place.run(1, Some(40), "old");
    let (young, young_spec) = place.run(2, Some(1), "young");
    let (open, open_spec) = place.run(3, None, "open");
    let (shared, shared_spec) = place.run(4, Some(50), "young");
    assert_eq!(shared_spec, young_spec);
    let dry = place.clean(Some(30), None, true);
    assert!(place.has_log(old) && place.blobs.has(&old_spec));
    let report = place.clean(Some(30), None, false);
    assert_eq!((dry.runs, dry.log_bytes, dry.blobs, dry.blob_bytes), (2, 2000, 1, 3));
    assert_eq!((report.runs, report.log_bytes, report.blobs, report.blob_bytes), (2, 2000, 1, 3));
    assert_eq!(dry.kept_bytes, report.kept_bytes);
    assert!(!place.has_log(old) && !place.has_log(shared) && !place.blobs.has(&old_spec));
    assert!(place.has_log(young) && place.has_log(open));
    assert!(place.blobs.has(&young_spec) && place.blobs.has(&open_spec), "another run needs it");
    let reader = Readers::open(&place.home.database()).unwrap().get().unwrap();
    let said = reader.cleaned(Some(old), None).unwrap().unwrap();
    assert_eq!((said.at_ms, said.rule.as_str()), (5, "what ended more than 30days ago is removed"));
    assert_eq!(reader.cleaned(Some(young), None).unwrap(), None);
    assert_eq!(place.clean(Some(30), None, false).runs, 0, "each goes once");
}

#[test]
fn of_too_much_the_oldest_end_goes_first_and_no_more_than_needed() {
    let place = place();
    let runs: Vec<RunId> =
        [3, 1, 2].map(|days| place.run(days, Some(u32::try_from(days).unwrap()), "same").0).into();
    let (open, _) = place.run(9, None, "same");
    let report = place.clean(None, Some(3500), false);
    assert_eq!((report.runs, report.log_bytes, report.blobs), (1, 1000, 0));
    assert!(!place.has_log(runs[0]) && place.has_log(runs[1]) && place.has_log(runs[2]));
    let report = place.clean(None, Some(0), false);
    assert_eq!(report.runs, 2);
    assert!(place.has_log(open), "a run that has not ended keeps its log, whatever there is room for");
    assert_eq!(report.kept_bytes, 1004);
}

#[test]
fn a_retry_that_is_accepted_before_the_sweep_keeps_what_it_needs() {
    let place = place();
    let text = "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n";
    let (run, spec) = place.run(1, Some(40), text);
    let (_, other) = place.run(2, Some(40), "other");
    let readers = Readers::open(&place.home.database()).unwrap();
    let folded = load_run(&readers, &place.blobs, &Agents::default(), run).unwrap();
    let report = place.clean_while(Some(30), None, false, &mut || {
        keep_for(&readers, &place.blobs, &folded, &RetryScope::All).unwrap();
    });
    assert_eq!((report.runs, report.blobs), (2, 1));
    assert!(place.blobs.has(&spec) && !place.blobs.has(&other));
    place.age();
    place.clean(Some(30), None, false);
    let refused = keep_for(&readers, &place.blobs, &folded, &RetryScope::All).unwrap_err();
    assert!(
        refused.detail.contains("the file of run") && refused.detail.contains("was removed"),
        "{refused:?}"
    );
}

#[test]
fn what_was_put_just_now_stays() {
    let place = place();
    place.run(1, Some(40), "text");
    let about_to_be_used = place.blobs.put(b"text", Safety::Processes).unwrap();
    let orphan = place.blobs.put(b"nobody's", Safety::Processes).unwrap();
    let report = place.clean(Some(1), None, false);
    assert_eq!((report.runs, report.blobs, report.young_bytes), (1, 0, 12));
    assert!(place.blobs.has(&about_to_be_used) && place.blobs.has(&orphan));
    place.age();
    assert_eq!(place.clean(Some(1), None, false).blobs, 1);
    assert!(place.blobs.has(&orphan), "its run may be in a store that is to be brought back");
}

#[test]
fn a_cache_that_cannot_be_read_is_named_and_does_not_stop_the_cleaning() {
    let place = place();
    place.run(1, Some(40), "old");
    // Root may read what has no rights, but not this.
    std::os::unix::fs::symlink("cache", place.home.dir.join("cache")).unwrap();
    let dry = place.clean(Some(30), None, true);
    let report = place.clean(Some(30), None, false);
    assert_eq!((report.runs, report.blobs), (1, 1));
    assert!(report.failed.len() == 1 && report.failed[0].starts_with("cannot read"), "{:?}", report.failed);
    assert_eq!(dry.failed, report.failed);
}

#[test]
fn leftovers_go_once_they_are_old_and_their_session_is_gone() {
    let place = place();
    place.run(1, None, "x");
    let at = |name: &str| place.home.outputs().join(name);
    let session = cis_core::ids::SessionId::from_parts(1, 7);
    for name in [session.to_string(), format!("{session}.script"), "note".to_owned()] {
        fs::write(at(&name), "left").unwrap();
    }
    assert_eq!(place.clean(None, None, false).leftovers, 0, "too new");
    for name in [session.to_string(), format!("{session}.script"), "note".to_owned()] {
        let ago = SystemTime::now() - Duration::from_secs(7200);
        File::options().append(true).open(at(&name)).unwrap().set_modified(ago).unwrap();
    }
    fs::create_dir(place.home.dir.join(".backup-X")).unwrap();
    let report = place.clean(None, None, false);
    assert_eq!((report.leftovers, report.leftover_bytes), (3, 8));
    assert!(at("note").exists(), "not ours to remove");
}

#[test]
fn what_is_not_ours_in_a_home_is_not_looked_into() {
    let place = place();
    place.run(1, Some(40), "x");
    let elsewhere =
        ["lost+found", "logs/lost+found", "outputs/lost+found", "blobs/lost+found", "cache/lost+found"];
    for dir in elsewhere {
        let dir = place.home.dir.join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("found"), vec![b'x'; 100_000]).unwrap();
        // Root reads it nevertheless: then only the sizes below tell.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let report = place.clean(Some(30), Some(0), false);
    assert_eq!((report.runs, report.log_bytes, report.blobs, report.kept_bytes), (1, 1000, 1, 0));
    for dir in elsewhere {
        fs::set_permissions(place.home.dir.join(dir), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(place.home.dir.join(dir).join("found").exists(), "{dir}");
    }
}

#[test]
fn a_backup_comes_back_into_a_new_mount() {
    let from = place();
    from.run(1, None, "x");
    let (_, bytes) = backup(&from.home, &from.home.dir, Vec::new(), false, &mut |_| {}).unwrap();
    let to = place();
    let found = to.home.dir.join("lost+found");
    fs::create_dir_all(&found).unwrap();
    fs::write(found.join("#12"), "of the file system").unwrap();
    fs::set_permissions(&found, fs::Permissions::from_mode(0o000)).unwrap();
    let restored = restore(&to.home, bytes.as_slice(), false, &mut |_| {}).unwrap();
    fs::set_permissions(&found, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(restored.kept, None);
    assert!(to.home.database().exists() && found.join("#12").exists());
}

#[test]
fn a_log_that_is_cut_while_it_is_read_leaves_a_sound_backup() {
    let from = place();
    let (run, _) = from.run(1, None, "x");
    let log = from.home.run_logs(run).join("a.1.log");
    fs::write(&log, vec![b'y'; 3_000_000]).unwrap();
    let mut cut = false;
    let (report, bytes) = backup(&from.home, &from.home.dir, Vec::new(), false, &mut |at| {
        // Logs come last. A piece of it was read: all that follows goes.
        if !cut && at.total.is_some_and(|total| at.done + 3_000_000 > total && at.done < total) {
            File::options().write(true).open(&log).unwrap().set_len(10).unwrap();
            cut = true;
        }
    })
    .unwrap();
    assert!(cut && report.missing.is_empty());
    let to = place();
    restore(&to.home, bytes.as_slice(), false, &mut |_| {}).unwrap();
    let back = fs::read(to.home.run_logs(run).join("a.1.log")).unwrap();
    assert_eq!(back.len(), 3_000_000, "as long as the archive says");
    assert!(back.starts_with(b"yyyyyyyyyy") && back.ends_with(&[0; 1_000_000]), "what went is blank");
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let head = Head { format: FORMAT, cis: "0".into(), made_ms: 7, all_logs: false };
    let mut archive = ArchiveWriter::begin(Vec::new(), &head).unwrap();
    for (name, content) in files {
        archive.add(name, content.len() as u64, *content).unwrap();
    }
    archive.finish().unwrap()
}

fn refused(bytes: &[u8]) -> String {
    let place = place();
    fs::write(place.home.dir.join("mine"), "mine").unwrap();
    let error = restore(&place.home, bytes, true, &mut |_| {}).unwrap_err().to_string();
    let left: Vec<PathBuf> = fs::read_dir(place.dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(fs::read_to_string(place.home.dir.join("mine")).unwrap(), "mine");
    assert!(!place.home.database().exists());
    let strange = left.iter().filter(|path| !path.ends_with("h") && !path.ends_with("cis")).count();
    assert_eq!(strange, 0, "something is left: {left:?}");
    error
}

fn entry(tar: &mut tar::Builder<Vec<u8>>, name: &[u8], kind: EntryType, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

fn raw(name: &[u8], kind: EntryType, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let head = Head { format: FORMAT, cis: "0".into(), made_ms: 7, all_logs: false };
    entry(&mut tar, HEAD.as_bytes(), EntryType::Regular, &serde_json::to_vec(&head).unwrap());
    entry(&mut tar, name, kind, content);
    tar.into_inner().unwrap()
}

#[test]
fn archives_that_are_made_to_do_harm_are_refused_and_change_nothing() {
    for name in [&b"../h/identity.key"[..], b"/etc/cron.d/x", b"logs/../../x", b"node.lock", b"logs/a\xff"] {
        let said = refused(&raw(name, EntryType::Regular, b"x"));
        assert!(said.contains("has no place in it"), "{said}");
    }
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Fifo,
        EntryType::Char,
        EntryType::Directory,
        EntryType::GNUSparse,
        EntryType::GNULongName,
        EntryType::XHeader,
    ] {
        let said = refused(&raw(b"identity.key", kind, b""));
        assert!(said.contains("is not a plain file"), "{kind:?}: {said}");
    }
    let twice = archive(&[("identity.key", b"a"), ("identity.key", b"b")]);
    assert!(refused(&twice).contains("twice"));
    let newer = String::from_utf8_lossy(&archive(&[])).replacen("{\"format\":2", "{\"format\":9", 1);
    assert!(refused(newer.as_bytes()).contains("use a newer cis"));
}

#[test]
fn damaged_archives_are_refused_wherever_the_damage_is() {
    let whole = archive(&[(DATABASE, &[7; 3000]), ("identity.key", &[1; 32])]);
    assert!(refused(&[]).contains("empty"));
    assert!(refused(&[0; 2048]).contains("empty"));
    assert!(refused(b"not a tar archive, whatever its name says").contains("no backup of CIS"));
    for cut in [600, 1500, 3000, 6000] {
        refused(&whole[..cut]);
    }
    let sums = whole.windows(SUMS.len()).position(|window| window == SUMS.as_bytes()).unwrap();
    assert!(refused(&whole[..sums]).contains("end is missing"), "{}", refused(&whole[..sums]));
    let mut flipped = whole.clone();
    let at = whole.iter().position(|byte| *byte == 7).unwrap();
    flipped[at] ^= 1;
    assert!(refused(&flipped).contains("`cis.db` is not what was written"));
    assert!(refused(&archive(&[("identity.key", &[1; 32])])).contains("no database"));
    // Whole, but its database is none.
    assert!(refused(&whole).contains("database") || refused(&whole).contains("store"));
}

#[test]
fn a_home_comes_back_as_it_was_and_the_old_one_is_kept() {
    let from = place();
    let (open, spec) = from.run(1, None, "open");
    let (ended, _) = from.run(2, Some(1), "ended");
    fs::write(from.home.identity_key(), [1; 32]).unwrap();
    fs::write(from.home.rooms_file(), "who owns rooms").unwrap();
    fs::write(from.home.own_room(), "the own one").unwrap();
    fs::write(from.home.tokens_file(), "they may be revoked meanwhile").unwrap();
    fs::write(from.home.room_statements(), "earlier versions restore no backup with this file").unwrap();
    let secret = from.blobs.put_secret(b"nobody names it", Safety::Processes).unwrap();
    let (report, bytes) = backup(&from.home, &from.home.dir, Vec::new(), false, &mut |_| {}).unwrap();
    assert!(report.missing.is_empty());
    assert_eq!(
        fs::read_dir(&from.home.dir)
            .unwrap()
            .filter(|e| { e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.') })
            .count(),
        0,
        "nothing is left of the copy"
    );

    let to = place();
    fs::write(to.home.dir.join("mine"), "mine").unwrap();
    let error = restore(&to.home, bytes.as_slice(), false, &mut |_| {}).unwrap_err();
    assert!(matches!(error, UpkeepError::Occupied { .. }), "{error}");
    fs::create_dir(to.home.matrix()).unwrap();
    let login = to.home.matrix().join("session.json");
    for path in [login, to.home.tokens_file(), to.home.own_certificate(), to.home.room_statements()] {
        fs::write(path, "of this machine").unwrap();
    }
    let restored = restore(&to.home, bytes.as_slice(), true, &mut |_| {}).unwrap();
    let all = [
        NotInBackup::MatrixLogin,
        NotInBackup::ApiTokens,
        NotInBackup::ApiCertificate,
        NotInBackup::RoomStatements,
    ];
    assert_eq!(restored.not_in_backup, all);
    assert_eq!((restored.files, restored.bytes), (report.files, report.bytes));
    assert_eq!(fs::read_to_string(restored.kept.unwrap().join("mine")).unwrap(), "mine");
    assert_eq!(to.blobs.get(&spec).unwrap().unwrap(), b"open");
    assert!(to.has_log(open) && !to.has_log(ended) && !to.blobs.has(&secret));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&to.home.identity_key()), mode(&to.home.database())), (0o600, 0o600));
    let mut key = Vec::new();
    File::open(to.home.identity_key()).unwrap().read_to_end(&mut key).unwrap();
    assert_eq!(key, [1; 32]);
    assert_eq!(fs::read_to_string(to.home.rooms_file()).unwrap(), "who owns rooms");
    assert_eq!(fs::read_to_string(to.home.own_room()).unwrap(), "the own one");
    assert!(!to.home.tokens_file().exists() && !to.home.room_statements().exists());
    let reader = Readers::open(&to.home.database()).unwrap().get().unwrap();
    assert_eq!(reader.open_runs().unwrap().len(), 1);
    let writer = Writer::open(&to.home.database()).unwrap();
    assert!(writer.get_meta("restored").unwrap().unwrap().contains("made_ms"));

    let empty = place();
    let restored = restore(&empty.home, bytes.as_slice(), false, &mut |_| {}).unwrap();
    assert_eq!(restored.kept, None);
    assert!(empty.has_log(open) && empty.home.database().exists());
}

#[test]
fn an_old_home_that_cannot_be_renamed_stays_where_the_report_says() {
    let (from, mut to) = (place(), place());
    from.run(1, None, "x");
    let (_, bytes) = backup(&from.home, &from.home.dir, Vec::new(), false, &mut |_| {}).unwrap();
    // With the end of the new name, this one is too long for a file.
    let long = to.dir.path().join("h".repeat(240));
    fs::rename(&to.home.dir, &long).unwrap();
    to.home.dir = long;
    fs::write(to.home.dir.join("mine"), "mine").unwrap();
    // A login that was ended leaves an empty directory.
    fs::create_dir(to.home.matrix()).unwrap();
    let restored = restore(&to.home, bytes.as_slice(), true, &mut |_| {}).unwrap();
    assert!(restored.not_in_backup.is_empty());
    assert_eq!(fs::read_to_string(restored.kept.unwrap().join("mine")).unwrap(), "mine");
    assert!(to.home.database().exists() && !to.home.dir.join("mine").exists());
}

#[test]
fn a_home_that_is_in_use_is_not_replaced() {
    let (from, to) = (place(), place());
    from.run(1, None, "x");
    let (_, bytes) = backup(&from.home, &from.home.dir, Vec::new(), true, &mut |_| {}).unwrap();
    let host = File::create(to.home.host_lock()).unwrap();
    host.lock().unwrap();
    let error = restore(&to.home, bytes.as_slice(), true, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("a session host uses"), "{error}");
}

#[test]
fn a_deep_look_finds_what_is_missing_or_damaged_and_not_what_was_cleaned() {
    let place = place();
    let (_, cleaned) = place.run(1, Some(40), "cleaned");
    let (_, good) = place.run(2, None, "good");
    let (_, gone) = place.run(3, None, "gone");
    place.clean(Some(30), None, false);
    assert!(!place.blobs.has(&cleaned));
    assert_eq!(deep_check(&place.home, &mut |_| {}).unwrap(), DeepReport::default());
    fs::write(place.blobs.file(&good).unwrap(), "bad").unwrap();
    fs::remove_file(place.blobs.file(&gone).unwrap()).unwrap();
    let mut said = deep_check(&place.home, &mut |_| {}).unwrap().findings;
    said.sort();
    let mut expected = [format!("the blob {} is damaged", good.0), format!("the blob {} is missing", gone.0)];
    expected.sort();
    assert_eq!(said, expected);
    let (report, _) = backup(&place.home, &place.home.dir, Vec::new(), false, &mut |_| {}).unwrap();
    assert_eq!(report.missing, [gone]);
}
