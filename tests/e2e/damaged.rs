//! Random damage to a node's database, tested through the program: it never panics, every error names the next step,
//! and after a rebuild the node works.
//!
//! To repeat one case: `E2E_SEED=…`.

use std::fs;
use std::path::{Path, PathBuf};

use super::harness::{Cis, Output, eventually, is_alive, kill_9};

/// A run that has ended, and one that waits without a session.
const ENDED: &str = "version = 1\n[dag]\nid = \"ended\"\n[[tasks]]\nid = \"a\"\noutputs = { x = { type = \"string\" } }\nscript = 'echo \"x=1\" >> \"$CIS_OUTPUT\"'\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\ncommand = [\"true\"]\n";
const OPEN: &str = "version = 1\n[dag]\nid = \"open\"\n[[tasks]]\nid = \"a\"\napproval = { prompt = \"Go on?\" }\ncommand = [\"true\"]\n";

/// The random number generator SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((value ^ (value >> 31)) % end.max(1) as u64).unwrap()
    }
}

fn files(cis: &Cis) -> [PathBuf; 2] {
    ["cis.db", "cis.db-wal"].map(|name| cis.home().join(name))
}

/// Damages one of the two, mostly a little.
fn damage(random: &mut Random, files: &mut [Vec<u8>; 2]) -> String {
    let which = usize::from(random.below(4) == 0 && !files[1].is_empty());
    let bytes = &mut files[which];
    let at = random.below(bytes.len());
    let what = match random.below(5) {
        0 => {
            for _ in 0..=random.below(30) {
                let at = random.below(bytes.len());
                bytes[at] = u8::try_from(random.below(256)).unwrap();
            }
            "single bytes"
        }
        1 => {
            let end = (at + 1 + random.below(9000)).min(bytes.len());
            bytes[at..end].fill(0);
            "zeros"
        }
        2 => {
            bytes.truncate(at);
            "cut off"
        }
        3 => {
            // Changed digits in texts and numbers: JSON that is valid but wrong.
            let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
            for _ in 0..=random.below(40) {
                bytes[digits[random.below(digits.len())]] = b'0' + u8::try_from(random.below(10)).unwrap();
            }
            "other digits"
        }
        _ => {
            let letters: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_lowercase()).collect();
            for _ in 0..=random.below(8) {
                bytes[letters[random.below(letters.len())]] = 0xFF;
            }
            "invalid UTF-8"
        }
    };
    format!("{what} in {}", ["the database", "its log"][which])
}

fn calm(out: &Output, what: &str) {
    let text = format!("{}{}", out.stdout, out.stderr);
    assert!(!text.contains("panicked") && out.code.is_some_and(|code| code < 100), "{what}: {out:?}");
}

fn calm_log(home: &Path, what: &str) {
    let log = fs::read(home.join("node.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    assert!(!log.contains("panicked"), "{what}: {log}");
}

fn end_all(cis: &Cis) {
    if let Some(pid) = cis.run(["node", "status", "--json"]).json()["pid"].as_u64() {
        let pid = u32::try_from(pid).unwrap();
        calm(&cis.run(["node", "stop", "--kill-sessions"]), "stop");
        eventually("the node ends", || (!is_alive(pid)).then_some(()));
    }
}

fn cases(default: std::ops::Range<u64>) {
    let cis = Cis::new();
    for _ in 0..2 {
        cis.ok(["node", "start", "--detach"]);
        for _ in 0..2 {
            cis.dag(ENDED, &[]).expect(0);
            let open = cis.start(OPEN);
            eventually("the question", || (cis.show(&open)["run"]["approvals"][0] == "a").then_some(()));
        }
        // Moves the content of the log into the file.
        cis.stop();
    }
    cis.ok(["node", "start", "--detach"]);
    cis.dag(ENDED, &[]).expect(0);
    let run = cis.json(&["dag", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    let host = cis.host_pid();
    kill_9(cis.node_pid().unwrap());
    host.into_iter().for_each(kill_9);
    eventually("nothing runs", || cis.processes().is_empty().then_some(()));
    let good = files(&cis).map(|path| fs::read(path).unwrap());
    assert!(good[0].len() > 4096, "most of what happened is in the file");

    let seeds = match std::env::var("E2E_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => default.collect::<Vec<u64>>(),
    };
    for seed in seeds {
        let mut bad = good.clone();
        let what = format!("E2E_SEED={seed}: {}", damage(&mut Random(seed), &mut bad));
        eprintln!("{what}");
        for (path, bytes) in files(&cis).iter().zip(&bad) {
            fs::write(path, bytes).unwrap();
        }
        let _ = fs::remove_file(cis.home().join("cis.db-shm"));
        calm(&cis.run(["store", "check"]), &what);
        for words in [
            &["dag", "list"][..],
            &["dag", "show", &run],
            &["dag", "why", "--run", &run, "a"],
            &["inbox"],
            &["status"],
            &["dag", "logs", "--run", &run, "a"],
        ] {
            let out = cis.run(words);
            calm(&out, &what);
        }
        calm_log(&cis.home(), &what);
        end_all(&cis);
        // A node that could use the store has changed it.
        let out = cis.run(["store", "rebuild"]);
        calm(&out, &what);
        out.expect(0);
        cis.run(["store", "check"]).expect(0);
        cis.ok(["dag", "list"]);
        cis.dag(ENDED, &[]).expect(0);
        calm_log(&cis.home(), &what);
        end_all(&cis);
        for entry in fs::read_dir(cis.home()).unwrap().map_while(Result::ok) {
            if entry.file_name().to_string_lossy().contains(".before-rebuild-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
}

#[test]
fn a_node_on_a_damaged_database_never_panics() {
    cases(1..7);
}

#[test]
#[ignore = "150 damaged databases take minutes: cargo xtask test-all"]
fn a_node_on_many_damaged_databases_never_panics() {
    cases(100..250);
}

/// Tasks that write down that they ran, and an approval before the last one.
const WRITES: &str = "version = 1\n[dag]\nid = \"writes\"\n[[tasks]]\nid = \"item\"\nforeach = [1, 2, 3, 4, 5, 6, 7, 8]\nscript = 'echo x >> \"$E2E_WORK/ran\"'\n[[tasks]]\nid = \"gate\"\nneeds = [\"item\"]\napproval = { prompt = \"Go on?\" }\ncommand = [\"true\"]\n";

/// A home whose node and session host were killed before the log was copied into the database, with the id of its open
/// run and the content of the database, its log and the index of the log.
fn killed() -> (Cis, String, [Vec<u8>; 3]) {
    for _ in 0..5 {
        let cis = Cis::new();
        cis.ok(["node", "start", "--detach"]);
        cis.dag(ENDED, &[]).expect(0);
        cis.stop();
        let run = cis.start(WRITES);
        eventually("the question", || (cis.show(&run)["run"]["approvals"][0] == "gate").then_some(()));
        let (node, host) = (cis.node_pid().unwrap(), cis.host_pid());
        kill_9(node);
        host.into_iter().for_each(kill_9);
        eventually("nothing runs", || cis.processes().is_empty().then_some(()));
        let all = ["cis.db", "cis.db-wal", "cis.db-shm"]
            .map(|name| fs::read(cis.home().join(name)).unwrap_or_default());
        if all[1].len() > 100_000 {
            return (cis, run, all);
        }
    }
    panic!("the log was always copied before the node was killed");
}

/// What is done to a log.
type Damage = fn(&mut Vec<u8>);

#[test]
fn no_node_starts_with_a_damaged_log_and_the_steps_of_the_runbook_save_the_runs() {
    let (cis, run, good) = killed();
    let damages: [(&str, Damage); 6] = [
        ("nothing", |_| {}),
        ("a byte in the middle", |log| {
            // A page that later frames have as well, so that a rebuild finds every event.
            let frame = (16..).map(|n| 32 + n * 4120).find(|at| log[*at..at + 4] == [0, 0, 0, 3]).unwrap();
            log[frame + 2000] ^= 1;
        }),
        ("a byte of the header", |log| log[20] ^= 1),
        ("a byte of the end", |log| *log.last_mut().unwrap() ^= 1),
        ("cut off", |log| log.truncate(60_000)),
        ("removed", Vec::clear),
    ];
    for (what, damage) in damages {
        let mut bad = good.clone();
        damage(&mut bad[1]);
        for (name, bytes) in ["cis.db", "cis.db-wal", "cis.db-shm"].iter().zip(&bad) {
            fs::write(cis.home().join(name), bytes).unwrap();
        }
        if what == "nothing" {
            cis.ok(["store", "check"]);
            eventually("the run goes on", || (cis.show(&run)["run"]["approvals"][0] == "gate").then_some(()));
            cis.stop();
            continue;
        }
        for _ in 0..2 {
            let check = cis.run(["store", "check"]).expect(3).stdout;
            assert!(check.contains("No node can start"), "{what}: {check}");
            let out = cis.run(["dag", "list"]).expect(3);
            for words in ["write-ahead log", "`cis store check`", "`cis store rebuild`"] {
                assert!(out.stderr.contains(words), "{what}: {}", out.stderr);
            }
        }
        assert!(fs::read(&files(&cis)[1]).unwrap() == bad[1], "{what}: the log is as it was");
        cis.ok(["node", "stop"]);
        cis.run(["store", "backup", "backup.tar"]).expect(3);
        cis.ok(["store", "rebuild"]);
        cis.ok(["store", "check"]);
        let listed = cis.ok(["dag", "list"]);
        assert!(!listed.contains("waits for approval"), "{what}: {listed}");
        if what == "a byte in the middle" {
            an_ended_run_is_usable(&cis, &run);
        }
        end_all(&cis);
        assert_eq!(cis.read("ran").lines().count(), 8, "{what}: a finished task ran again");
    }
}

/// Looks at a run that a rebuild ended.
fn an_ended_run_is_usable(cis: &Cis, run: &str) {
    assert_eq!(cis.show(run)["run"]["state"], "error");
    assert!(cis.show(run)["run"]["approvals"].is_null());
    assert!(!cis.ok(["inbox"]).contains("Go on?"));
    let file = cis.work().join("started.toml");
    let anew = format!("cis dag run {}", file.display());
    let why = cis.ok(["dag", "why", "gate", "--run", run]);
    assert!(why.contains("events were lost") && why.contains(&anew), "{why}");
    for words in [
        &["dag", "retry", run][..],
        &["dag", "retry", run, "--failed"],
        &["dag", "cancel", run],
        &["dag", "approve", run, "gate"],
    ] {
        let out = cis.run(words);
        assert!(out.code != Some(0), "{words:?}: {out:?}");
        assert!(
            out.stderr.contains("events were lost") && out.stderr.contains(&anew),
            "{words:?}: {}",
            out.stderr
        );
        assert!(!out.stderr.contains("cis store check"), "{words:?}: {}", out.stderr);
    }
    cis.ok(["dag", "show", run]);
    cis.ok(["dag", "history", run]);
}

#[test]
fn a_node_with_any_damaged_page_can_be_looked_at_and_stopped() {
    let cis = Cis::new();
    cis.dag(ENDED, &[]).expect(0);
    let run = cis.start(OPEN);
    eventually("the question", || (cis.show(&run)["run"]["approvals"][0] == "a").then_some(()));
    cis.stop();
    let [path, _] = files(&cis);
    let good = fs::read(&path).unwrap();
    let mut ran = 0;
    for page in 1..good.len() / 4096 {
        let mut bad = good.clone();
        bad[page * 4096..(page + 1) * 4096].fill(0);
        fs::write(&path, &bad).unwrap();
        let _ = cis.run(["dag", "list"]);
        let status = cis.run(["node", "status", "--json"]).expect(0).json();
        ran += u32::from(status["running"] == true);
        let how = ["--kill-sessions"].iter().take(page % 2);
        cis.run(["node", "stop"].iter().chain(how)).expect(0);
        assert_eq!(cis.json(&["node", "status"])["running"], false);
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", path.display()));
        }
    }
    assert!(ran > 5, "{ran} nodes started");
    fs::write(&path, &good).unwrap();
}

#[test]
fn sessions_can_be_ended_although_no_node_can_start() {
    let cis = Cis::new();
    cis.start("version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"sleep\", \"1000\"]\n");
    let session = u32::try_from(cis.session_of("a")["pid"].as_u64().unwrap()).unwrap();
    cis.ok(["node", "stop"]);
    assert!(is_alive(session));
    let [path, _] = files(&cis);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..8192].fill(0xA5);
    fs::write(&path, &bytes).unwrap();
    cis.ok(["node", "stop"]);
    assert!(is_alive(session), "a session outlives its node");
    let out = cis.run(["node", "stop", "--kill-sessions"]).expect(0);
    assert!(out.stderr.contains("store"), "{}", out.stderr);
    eventually("the session ends", || (!is_alive(session)).then_some(()));
    cis.ok(["store", "rebuild"]);
}

#[test]
fn a_database_that_lost_its_newest_events_is_reported() {
    let cis = Cis::new();
    cis.dag(ENDED, &[]).expect(0);
    cis.stop();
    let [path, _] = files(&cis);
    let old = fs::read(&path).unwrap();
    let run =
        cis.start("version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"sleep\", \"1000\"]\n");
    cis.session_of("a");
    let log = cis.home().join("logs").join(&run);
    eventually("it has a log", || log.exists().then_some(()));
    cis.ok(["node", "stop"]);
    fs::write(&path, &old).unwrap();
    cis.ok(["node", "start", "--detach"]);
    let warning = cis.status()["warnings"][0].as_str().unwrap_or_default().to_owned();
    assert!(warning.contains("has lost its newest events"), "{warning}");
    // The run was found by its log, and its session at the session host: it is one warning.
    let warnings = eventually("the run and the session are reported", || {
        let warnings = cis.status()["warnings"].clone();
        let said = warnings.to_string();
        (said.contains(&run) && said.contains("1 session of the session host")).then_some(warnings)
    });
    assert_eq!(warnings.to_string().matches("has lost its newest events").count(), 1, "{warnings}");
    cis.stop();
}

#[test]
fn files_of_the_home_that_are_pipes_or_devices_are_named_at_once() {
    let cis = Cis::new();
    cis.ok(["dag", "list"]);
    cis.stop();
    for name in
        ["trust.toml", "api-tokens.json", "identity.key", "token.key", "runtime-dir", "node.lock", "node.log"]
    {
        let path = cis.home().join(name);
        let before = fs::read(&path).ok();
        for device in [None, Some("/dev/zero")] {
            let _ = fs::remove_file(&path);
            match device {
                Some(device) => std::os::unix::fs::symlink(device, &path).unwrap(),
                None => rustix::fs::mknodat(
                    rustix::fs::CWD,
                    &path,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
                    0,
                )
                .unwrap(),
            }
            // Of tokens that cannot be read none counts, and the node works.
            let tokens: &[&str] = &["node", "token", "list"];
            let out = cis.run(if name == "api-tokens.json" { tokens } else { &["dag", "list"] }).expect(3);
            let said = out.stderr;
            assert!(said.contains(name) && said.contains("not a regular file"), "{name}: {said}");
            fs::remove_file(&path).unwrap();
            before.iter().for_each(|bytes| fs::write(&path, bytes).unwrap());
            cis.run(["node", "stop"]);
        }
    }
    cis.ok(["dag", "list"]);
}

/// A home whose store was removed is no new home.
#[test]
fn a_store_that_is_gone_is_not_replaced_by_an_empty_one() {
    let cis = Cis::new();
    let run =
        cis.start("version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"echo\", \"hello\"]\n");
    cis.wait_run(&run, "succeeded");
    cis.ok(["node", "stop"]);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(cis.home().join(format!("cis.db{suffix}")));
    }
    for empty in [false, true] {
        if empty {
            fs::write(cis.home().join("cis.db"), "").unwrap();
        }
        let out = cis.run(["dag", "list"]);
        assert_ne!(out.code, Some(0), "{out:?}");
        assert!(
            out.stderr.contains("missing or empty") && out.stderr.contains("cis store restore"),
            "{out:?}"
        );
        for arguments in
            [&["store", "check"][..], &["store", "check", "--deep"], &["store", "check", "--quick"]]
        {
            let check = cis.run(arguments).expect(3).stdout;
            assert!(check.contains("missing or empty") && check.contains("the store is damaged"), "{check}");
        }
        let check: serde_json::Value =
            serde_json::from_str(&cis.run(["store", "check", "--json"]).expect(3).stdout).unwrap();
        let said = (&check["sound"], &check["node_can_start"], &check["rebuild_loses"]["end"]);
        assert_eq!(said, (&false.into(), &false.into(), &true.into()), "{check}");
        let out = cis.run(["store", "rebuild"]).expect(3);
        assert!(out.stderr.contains("missing or empty"), "{out:?}");
        cis.run(["dag", "list"]).expect(3);
    }
    fs::rename(cis.home().join("logs"), cis.home().join("logs.old")).unwrap();
    assert!(cis.ok(["dag", "list"]).contains("No runs"));
}

/// A task that writes down that it ran, and one that runs for long.
const LONG: &str = "version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"a\"\nscript = 'echo x >> \"$E2E_WORK/ran\"'\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = \"sleep 600\"\n";

/// A byte of the run, of the type and of the task of a result.
#[test]
fn a_result_with_a_damaged_byte_starts_no_finished_task_again() {
    let cis = Cis::new();
    let run = cis.start(LONG);
    cis.wait_task(&run, "b", "running");
    let other = cis.start(&OPEN.replace("\"open\"", "\"other\""));
    eventually("the question", || (cis.show(&other)["run"]["approvals"][0] == "a").then_some(()));
    cis.ok(["node", "stop", "--kill-sessions"]);
    let path = cis.home().join("cis.db");
    drop(cis_store::Writer::open(&path).unwrap());
    let good = fs::read(&path).unwrap();
    let kind = b"cis.dag.task.result";
    let at = good.windows(kind.len()).position(|part| part == kind).expect("the result");
    let task = at + good[at..].windows(10).position(|part| part == b"\"task\":\"a\"").expect("its task");
    let put = |database: &[u8]| {
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(cis.home().join(format!("cis.db{suffix}")));
        }
        fs::write(&path, database).unwrap();
    };
    for (what, byte) in [("type", at + 18), ("task", task + 8)] {
        let mut bad = good.clone();
        bad[byte] ^= 3;
        put(&bad);
        let check = cis.run(["store", "check"]).expect(3).stdout;
        for words in ["saves everything except", &format!("of run {run}"), "would end with an error"] {
            assert!(check.contains(words), "{what}: {words}: {check}");
        }
        let rebuild = cis.json(&["store", "rebuild"]);
        assert_eq!(rebuild["ended_runs"], serde_json::json!([run]), "{what}");
        assert_eq!(rebuild["hidden_runs"], serde_json::json!([]), "{what}");
        cis.ok(["store", "check", "--deep"]);
        assert_eq!(cis.show(&run)["run"]["state"], "error", "{what}");
        assert_ne!(cis.show(&other)["run"]["state"], "error", "{what}: it lacks no event");
        cis.ok(["node", "stop", "--kill-sessions"]);
        assert_eq!(cis.read("ran").lines().count(), 1, "{what}: a finished task ran again");
    }
    // Of another run than it was: the checksum says of which.
    let mut bad = good;
    bad[at - 4] ^= 3;
    put(&bad);
    let check = cis.run(["store", "check"]).expect(3).stdout;
    assert!(check.contains("cannot be read") && !check.contains("except"), "{check}");
    assert_eq!(cis.json(&["store", "rebuild"])["ended_runs"], serde_json::json!([]));
    cis.ok(["store", "check", "--deep"]);
    cis.ok(["node", "start", "--detach"]);
    cis.wait_task(&run, "a", "succeeded");
    assert_eq!(cis.read("ran").lines().count(), 1, "a finished task ran again");
    end_all(&cis);
}

/// A node that was stopped, and a result that is gone or says nothing.
#[test]
fn a_run_whose_result_was_removed_does_not_go_on() {
    let cis = Cis::new();
    let run = cis.start(LONG);
    cis.wait_task(&run, "b", "running");
    cis.ok(["node", "stop", "--kill-sessions"]);
    let path = cis.home().join("cis.db");
    drop(cis_store::Writer::open(&path).unwrap());
    let good = fs::read(&path).unwrap();
    let result = "WHERE offset = (SELECT min(offset) FROM events WHERE type = 'cis.dag.task.result')";
    for change in [
        "DELETE FROM events {}",
        "UPDATE events SET run = NULL {}",
        "UPDATE events SET sum = NULL, type = 'cis.dag.task.resolt' {}",
        "UPDATE events SET sum = NULL, body = replace(body, 'outcome', 'outcame') {}",
    ] {
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(cis.home().join(format!("cis.db{suffix}")));
        }
        fs::write(&path, &good).unwrap();
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
        conn.execute_batch(&change.replace("{}", result)).unwrap();
        drop(conn);
        cis.ok(["node", "start", "--detach"]);
        let warnings = cis.status()["warnings"].to_string();
        assert!(warnings.contains("`cis store check`"), "{change}: {warnings}");
        cis.ok(["node", "stop", "--kill-sessions"]);
        cis.run(["store", "check"]).expect(3);
        let rebuilt = cis.json(&["store", "rebuild"]);
        let ended = if change.contains("run = NULL") { vec![] } else { vec![&run] };
        assert_eq!(rebuilt["ended_runs"], serde_json::json!(ended), "{change}");
        assert_eq!(cis.read("ran").lines().count(), 1, "{change}: a finished task ran again");
    }
    end_all(&cis);
}
