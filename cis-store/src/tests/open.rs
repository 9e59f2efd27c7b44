//! Opening: new stores, old ones, newer ones, and files that are none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use super::support::{Home, created, draft, run_id, ulid};
use crate::maintenance::{check, rebuild};
use crate::schema::{MIGRATIONS, Sharing, WORKS_FROM, beside, migrate, newest, open_writer, try_shared};
use crate::{Readers, StoreError, Writer};

/// The whole schema of a database, as text.
fn schema(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let mut read = conn.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
    let rows = read.query_map((), |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn pragma(path: &Path, name: &str) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, name, |row| row.get(0)).unwrap()
}

#[test]
fn every_earlier_version_becomes_the_newest() {
    let fresh = Home::new();
    drop(fresh.writer());
    assert_eq!(pragma(&fresh.path(), "user_version"), i64::from(newest()));
    for version in 0..MIGRATIONS.len() {
        let home = Home::new();
        if version > 0 {
            let mut old = Connection::open(home.path()).unwrap();
            migrate(&home.path(), &mut old, &MIGRATIONS[..version], WORKS_FROM).unwrap();
        }
        drop(home.writer());
        assert_eq!(schema(&home.path()), schema(&fresh.path()), "from version {version}");
        assert_eq!(pragma(&home.path(), "user_version"), i64::from(newest()));
    }
}

#[test]
fn a_named_pipe_in_place_of_a_file_is_refused() {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let home = Home::new();
        drop(home.writer());
        let pipe = beside(&home.path(), suffix);
        let _ = fs::remove_file(&pipe);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o600),
            0,
        )
        .unwrap();
        let is_refused = |error: &StoreError| matches!(error, StoreError::Foreign { path } if *path == pipe);
        assert!(Writer::open(&home.path()).is_err_and(|error| is_refused(&error)), "{suffix}");
        assert!(Readers::open(&home.path()).is_err_and(|error| is_refused(&error)), "{suffix}");
        assert!(check(&home.path(), true).is_err_and(|error| is_refused(&error)), "{suffix}");
    }
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let home = Home::new();
    drop(home.writer());
    let before = schema(&home.path());
    let mut conn = Connection::open(home.path()).unwrap();
    let mut steps = MIGRATIONS.to_vec();
    steps.extend(["CREATE TABLE next (a INTEGER) STRICT;", "CREATE TABLE next (a INTEGER) STRICT;"]);
    assert!(matches!(migrate(&home.path(), &mut conn, &steps, WORKS_FROM), Err(StoreError::Refused { .. })));
    drop(conn);
    assert_eq!(schema(&home.path()), before);
    assert_eq!(pragma(&home.path(), "user_version"), i64::from(newest()));
    let mut conn = Connection::open(home.path()).unwrap();
    migrate(&home.path(), &mut conn, &steps[..steps.len() - 1], WORKS_FROM).unwrap();
    drop(conn);
    assert_eq!(pragma(&home.path(), "user_version"), i64::from(newest()) + 1);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let home = Home::new();
    drop(home.writer());
    let conn = Connection::open(home.path()).unwrap();
    // Of a version that says nothing about programs of earlier ones.
    conn.execute_batch("DELETE FROM meta").unwrap();
    conn.pragma_update(None, "user_version", newest() + 1).unwrap();
    drop(conn);
    let known = newest();
    for error in [Writer::open(&home.path()).unwrap_err(), Readers::open(&home.path()).unwrap_err()] {
        assert!(
            matches!(error, StoreError::Newer { found, known: k, .. } if found == known + 1 && k == known)
        );
    }
    assert_eq!(pragma(&home.path(), "user_version"), i64::from(newest()) + 1);
}

/// The steps of a version after this one, which only expands.
fn next_version() -> Vec<&'static str> {
    let mut steps = MIGRATIONS.to_vec();
    steps.push(
        "ALTER TABLE runs ADD COLUMN colour TEXT; CREATE TABLE colours (run INTEGER PRIMARY KEY) STRICT;",
    );
    steps
}

#[test]
fn a_store_that_a_newer_version_expanded_is_worked_with_after_the_update_is_taken_back() {
    let home = Home::new();
    let mut writer = home.writer();
    writer.append(&draft(Some(run_id(1)), 1, created("a", 0)), ulid(1)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let update = || {
        let mut conn = Connection::open(home.path()).unwrap();
        migrate(&home.path(), &mut conn, &next_version(), WORKS_FROM).unwrap();
    };
    let noted = || {
        let conn = Connection::open(home.path()).unwrap();
        let read = "SELECT value FROM meta WHERE key = 'older_wrote'";
        conn.query_row(read, (), |row| row.get::<_, String>(0)).ok()
    };
    update();
    assert_eq!(noted(), None);
    for run in 2..4 {
        let mut writer = home.writer();
        writer.append(&draft(Some(run_id(run)), 1, created("a", 0)), ulid(run)).unwrap();
        writer.commit().unwrap();
        drop(writer);
        assert_eq!(noted(), Some(newest().to_string()), "the next update has to fill in what this run lacks");
    }
    assert_eq!(pragma(&home.path(), "user_version"), i64::from(newest()) + 1);
    assert_eq!(home.readers().get().unwrap().list_runs(&Default::default()).unwrap().items.len(), 3);
    let report = check(&home.path(), false).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let refused = rebuild(&home.path(), |_| None);
    assert!(
        matches!(refused, Err(StoreError::Newer { .. })),
        "what only the newer version knows would be lost"
    );
    update();
    assert_eq!((noted(), pragma(&home.path(), "user_version")), (None, i64::from(newest()) + 1));
}

#[test]
fn a_store_is_refused_that_a_newer_version_changed_or_whose_version_is_damaged() {
    for (works_from, header) in [(newest() + 1, newest() + 1), (WORKS_FROM, newest() + 2)] {
        let is_right = |error: &StoreError| match error {
            StoreError::Newer { .. } => header == newest() + 1,
            StoreError::Corrupt { .. } => header == newest() + 2,
            _ => false,
        };
        let home = Home::new();
        drop(home.writer());
        let mut conn = Connection::open(home.path()).unwrap();
        migrate(&home.path(), &mut conn, &next_version(), works_from).unwrap();
        conn.pragma_update(None, "user_version", header).unwrap();
        drop(conn);
        assert!(Writer::open(&home.path()).is_err_and(|error| is_right(&error)), "{header}");
        assert!(Readers::open(&home.path()).is_err_and(|error| is_right(&error)), "{header}");
    }
}

#[test]
fn files_that_are_no_stores_are_refused_and_left_alone() {
    let home = Home::new();
    fs::write(home.path(), "dear diary, ".repeat(1000)).unwrap();
    assert!(matches!(Writer::open(&home.path()), Err(StoreError::Corrupt { .. })));
    assert_eq!(fs::read(home.path()).unwrap(), "dear diary, ".repeat(1000).as_bytes());

    let other = Home::new();
    Connection::open(other.path()).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    let before = fs::read(other.path()).unwrap();
    assert!(matches!(Writer::open(&other.path()), Err(StoreError::Foreign { .. })));
    assert!(matches!(Readers::open(&other.path()), Err(StoreError::Foreign { .. })));
    assert_eq!(fs::read(other.path()).unwrap(), before);
}

#[test]
fn one_process_writes() {
    let home = Home::new();
    let writer = home.writer();
    assert!(matches!(Writer::open(&home.path()), Err(StoreError::InUse { .. })));
    drop(writer);
    drop(home.writer());
}

#[test]
fn only_the_owner_reads_its_files() {
    let home = Home::new();
    let mut writer = home.writer();
    writer.append(&draft(Some(run_id(1)), 1, created("a", 0)), ulid(1)).unwrap();
    writer.commit().unwrap();
    let names = [
        home.path(),
        beside(&home.path(), "-wal"),
        beside(&home.path(), "-shm"),
        beside(&home.path(), ".lock"),
    ];
    for name in &names {
        assert_eq!(fs::metadata(name).unwrap().permissions().mode() & 0o777, 0o600, "{}", name.display());
    }
    drop(writer);
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o644)).unwrap();
    drop(home.writer());
    assert_eq!(fs::metadata(home.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn events_can_be_neither_changed_nor_removed() {
    let home = Home::new();
    let mut writer = home.writer();
    writer.append(&draft(Some(run_id(1)), 1, created("a", 0)), ulid(1)).unwrap();
    writer.commit().unwrap();
    for sql in ["UPDATE events SET body = '{}'", "DELETE FROM events"] {
        let error = writer.connection().execute(sql, ()).unwrap_err();
        assert!(error.to_string().contains("events are never"), "{error}");
    }
}

#[test]
fn a_file_system_without_shared_memory_is_refused_and_not_taken_for_a_full_disk() {
    let home = Home::new();
    let without = |path: &Path, sharing| match sharing {
        Sharing::Processes => {
            let detail = "its file system supports no shared memory".to_owned();
            Err(StoreError::Io { path: path.to_owned(), detail })
        }
        Sharing::Threads => open_writer(path, sharing),
    };
    let error = Writer::open_by(&home.path(), without).unwrap_err();
    assert!(error.to_string().contains("no shared memory"), "{error}");
    let full = |path: &Path, sharing| match sharing {
        Sharing::Processes => Err(StoreError::Full { path: path.to_owned() }),
        Sharing::Threads => open_writer(path, sharing),
    };
    let writer = Writer::open_by(&home.path(), full).unwrap();
    assert!(writer.excludes_processes() && writer.could_be_shared());
}

#[test]
fn whether_a_store_could_be_shared_is_tried_without_touching_it() {
    let home = Home::new();
    let dir = home.path().parent().unwrap().to_owned();
    let names = || {
        let names = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    try_shared(&dir).unwrap();
    assert_eq!(names(), before);
    fs::create_dir(dir.join("room.db")).unwrap();
    try_shared(&dir).unwrap_err();
}

#[test]
fn only_a_full_or_failing_disk_is_one() {
    let path = Path::new("x").to_owned();
    let detail = String::new;
    for (error, of_disk) in [
        (StoreError::Full { path: path.clone() }, true),
        (StoreError::Io { path: path.clone(), detail: detail() }, true),
        (StoreError::InUse { path: path.clone() }, false),
        (StoreError::Descriptors { path: path.clone() }, false),
        (StoreError::ReadOnly { path, detail: detail() }, false),
    ] {
        assert_eq!(error.is_of_disk(), of_disk, "{error}");
        assert!(error.may_pass());
    }
}

#[test]
fn a_file_that_was_removed_or_replaced_is_noticed() {
    let home = Home::new();
    let (writer, path) = (home.writer(), home.path());
    assert!(writer.is_in_place());
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    assert!(!writer.is_in_place());
    fs::write(&path, "another one").unwrap();
    assert!(!writer.is_in_place());
    fs::rename(&aside, &path).unwrap();
    assert!(writer.is_in_place());
}
