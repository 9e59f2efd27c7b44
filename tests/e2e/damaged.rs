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
