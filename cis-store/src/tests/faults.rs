//! What must not harm a store: kill -9, a full disk, a disk that cannot be written.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::support::{Home, assert_sound, draft, run_id, store, turn, ulid};
use crate::pulse::Pace;
use crate::{Blobs, Checkpointer, Readers, Safety, StoreError, Writer};
use cis_core::event::EventBody;

/// This test binary again, to run one of the tests that are parts of others.
fn part(name: &str) -> Vec<String> {
    let exe = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    [exe.as_str(), "--exact", &format!("tests::faults::{name}"), "--ignored", "--nocapture"]
        .map(str::to_owned)
        .into()
}

const PATH: &str = "CIS_TEST_STORE";

/// Runs a part with mounts of its own, which `script` makes at `dir` (`$1`). None: this machine lets nobody
/// but the administrator do that.
fn with_mounts(script: &str, dir: &Path, argv: &[String], store: &Path) -> Option<Output> {
    let unshare = ["--map-root-user", "--mount", "sh", "-c"];
    if !Command::new("unshare").args(&unshare[..2]).arg("true").status().is_ok_and(|status| status.success())
    {
        eprintln!("SKIPPED: no user namespaces here");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(unshare).args([script, "sh"]).arg(dir).args(argv).env(PATH, store);
    Some(command.output().unwrap())
}

/// The part came to its end.
fn assert_survived(out: &Output) {
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("survived"), "{text}{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
#[ignore = "the process that is killed by kill_9_leaves_whole_turns"]
fn part_that_writes_until_killed() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let mut writer = Writer::open(Path::new(&path)).unwrap();
    let _checkpointer =
        Checkpointer::start_at(&writer, Pace { events: 30, pages_long: 50, idle: Duration::from_millis(5) });
    loop {
        let next = writer.last_offset() / 3 + 1;
        turn(&mut writer, next).unwrap();
        writer.maintain().unwrap();
        println!("committed {}", writer.last_offset());
    }
}

#[test]
fn kill_9_leaves_whole_turns() {
    let home = Home::new();
    let argv = part("part_that_writes_until_killed");
    for round in 1..=12_u64 {
        let mut child = Command::new(&argv[0])
            .args(&argv[1..])
            .env(PATH, home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = 1 + round * 37 % 90;
        let mut said = 0;
        for line in lines.map_while(Result::ok) {
            if let Some((_, offset)) = line.split_once("committed ") {
                said = offset.parse::<u64>().unwrap();
                if said >= round + wanted && said % 7 == round % 7 {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(said > 0, "it wrote something");
        let writer = home.writer();
        assert!(writer.last_offset() >= said, "what was said to be committed is there");
        assert_eq!(writer.last_offset() % 3, 0, "no part of a turn is");
        drop(writer);
        assert_sound(&home.path());
    }
}

/// Writes turns until one fails. Gives the error and how many were written.
fn fill(writer: &mut Writer) -> (StoreError, u64) {
    for n in writer.last_offset() / 3 + 1.. {
        if let Err(error) = turn(writer, n) {
            return (error, n - 1);
        }
    }
    unreachable!()
}

/// After `fill`: nothing is half done, nothing goes on without a rollback, and with room it works again.
fn assert_survives(writer: &mut Writer, written: u64, make_room: impl FnOnce(&Writer)) {
    assert_eq!(writer.last_offset(), written * 3);
    let more = draft(Some(run_id(1)), 9, EventBody::RunStarted {});
    assert!(matches!(writer.append(&more, ulid(1)), Err(StoreError::Undone)));
    assert!(matches!(writer.commit(), Err(StoreError::Undone)));
    assert!(matches!(writer.set_meta("a", "b"), Err(StoreError::Undone)));
    writer.rollback();
    let reader = Readers::open(writer.path()).unwrap().get().unwrap();
    assert_eq!(reader.last_offset().unwrap(), written * 3, "readers go on");
    make_room(writer);
    turn(writer, written + 1).unwrap();
    assert_eq!(reader.last_offset().unwrap(), (written + 1) * 3);
    assert_sound(writer.path());
}

#[test]
fn a_full_database_undoes_the_turn_and_goes_on_with_room() {
    let home = Home::new();
    let mut writer = home.writer();
    let limit = |writer: &Writer, pages: i64| {
        writer
            .connection()
            .query_row(&format!("PRAGMA max_page_count={pages}"), (), |row| row.get::<_, i64>(0))
            .unwrap();
    };
    limit(&writer, 60);
    let (error, written) = fill(&mut writer);
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.may_pass() && written > 0);
    assert_survives(&mut writer, written, |writer| limit(writer, 1_000_000));
}

#[test]
#[ignore = "the process of the two tests that follow"]
fn part_that_fills_its_disk() {
    let Some(path) = std::env::var_os(PATH).map(PathBuf::from) else { return };
    let mut writer = Writer::open(&path).unwrap();
    let ballast = path.with_file_name("ballast");
    if ballast.exists() {
        let (error, written) = fill(&mut writer);
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert_survives(&mut writer, written, |_| fs::remove_file(&ballast).unwrap());
    } else {
        let (error, written) = fill(&mut writer);
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        assert!(error.may_pass());
        assert_survives(&mut writer, written, |_| {
            use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
            let maximum = getrlimit(Resource::Fsize).maximum;
            setrlimit(Resource::Fsize, Rlimit { current: maximum, maximum }).unwrap();
        });
    }
    println!("survived");
}

#[test]
fn a_write_that_the_system_refuses_undoes_the_turn() {
    let home = Home::new();
    let argv = part("part_that_fills_its_disk");
    let out = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -S -f 1000; exec "$@""#, "sh"])
        .args(&argv)
        .env(PATH, home.path())
        .output()
        .unwrap();
    assert_survived(&out);
    assert_sound(&home.path());
}

#[test]
fn a_full_disk_undoes_the_turn_and_goes_on_with_room() {
    let home = Home::new();
    let mount = home.dir.path().join("disk");
    fs::create_dir(&mount).unwrap();
    let argv = part("part_that_fills_its_disk");
    let script = r#"mount -t tmpfs -o size=3m,mode=700 none "$1" || exit 99
        head -c 1000000 /dev/zero > "$1/ballast" || exit 98
        shift; exec "$@""#;
    let Some(out) = with_mounts(script, &mount, &argv, &mount.join("cis.db")) else { return };
    assert_survived(&out);
}

#[test]
#[ignore = "the process of the test that follows"]
fn part_that_finds_its_disk_read_only() {
    let Some(path) = std::env::var_os(PATH).map(PathBuf::from) else { return };
    let error = Writer::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    let error = Blobs::new(path.parent().unwrap()).put(b"x", Safety::Processes).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    println!("survived");
}

#[test]
fn a_read_only_home_is_told() {
    let home = store(1);
    let argv = part("part_that_finds_its_disk_read_only");
    let script = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 99
        shift; exec "$@""#;
    let Some(out) = with_mounts(script, home.dir.path(), &argv, &home.path()) else { return };
    assert_survived(&out);
    assert_sound(&home.path());
}
