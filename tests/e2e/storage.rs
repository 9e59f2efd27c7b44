//! Disks and files that fail: full, read-only, corrupted; programs that write without end.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{Cis, eventually, is_root, peak_kb, skip};

/// Files below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    entries_below(folder).into_iter().filter(|path| path.is_file()).collect()
}

/// Files, folders, sockets below a folder, and itself.
pub fn entries_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries.map_while(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(entries_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// The database of a home.
pub fn database(cis: &Cis) -> PathBuf {
    let is_database = |path: &PathBuf| {
        let head = std::fs::read(path).unwrap_or_default();
        head.starts_with(b"SQLite format 3\0")
    };
    files_below(&cis.home()).into_iter().find(is_database).expect("a home has a database")
}

/// The database of a home, to be read only.
pub fn read_database(cis: &Cis) -> rusqlite::Connection {
    rusqlite::Connection::open_with_flags(database(cis), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// A small file system, mounted at `CIS_HOME`; unmounted at the end.
pub struct Mounted(PathBuf);

impl Mounted {
    /// None where we may not mount.
    pub fn at(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let options = format!("size={size},mode=0700");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "cis-e2e"])
            .arg(path)
            .output()
            .unwrap();
        if !is_root() || !mount.status.success() {
            skip(&format!("mounting needs root: {}", String::from_utf8_lossy(&mount.stderr)));
            return None;
        }
        Some(Self(path.to_owned()))
    }

    pub fn read_only(&self, yes: bool) {
        let options = if yes { "remount,ro" } else { "remount,rw" };
        assert!(Command::new("mount").args(["-o", options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a process that is being ended may still stand in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_nothing_that_runs_and_is_said() {
    let cis = Cis::new();
    let Some(_mounted) = Mounted::at(&cis.home(), "24m") else { return };
    let text = r#"
version = 1
[dag]
id = "full"
[[tasks]]
id = "talks"
script = '''
i=0
while [ ! -e "$E2E_WORK/open" ]; do
  i=$((i+1)); echo "line $i of a program that goes on while the disk is full"; echo $i > "$E2E_WORK/progress"; sleep 0.01
done
'''
[[tasks]]
id = "after"
needs = ["talks"]
script = 'touch "$E2E_WORK/after"'
"#;
    let run = cis.start(text);
    cis.session_of("talks");
    fill(&cis.home().join("ballast"));
    let progress = || cis.read("progress").trim().parse::<u64>().unwrap_or_default();
    let at_full = progress();
    eventually("the program goes on", || (progress() > at_full + 200).then_some(()));
    cis.write("open", "");
    super::harness::pause(std::time::Duration::from_secs(2));
    let said = format!("{}{}", cis.run(["node", "status"]).stdout, cis.run(["dag", "why", "after"]).stdout);
    std::fs::remove_file(cis.home().join("ballast")).unwrap();
    cis.wait_run(&run, "succeeded");
    assert!(cis.work().join("after").exists());
    assert!(said.contains("disk") || said.contains("space"), "nobody was told: {said}");
    cis.stop();
}

#[test]
fn files_that_a_full_disk_cannot_keep_are_not_the_fault_of_their_task() {
    let cis = Cis::new();
    let Some(_mounted) = Mounted::at(&cis.home(), "24m") else { return };
    let text = "version = 1\n[dag]\nid = \"large\"\n[[tasks]]\nid = \"a\"\ntty = false\nartifacts = [\"large\"]\nscript = 'head -c 40000000 /dev/zero > large'\n";
    let run = cis.start(text);
    cis.wait_run(&run, "error");
    let why = cis.ok(["dag", "why", "a"]);
    assert!(why.contains("its artifacts cannot be kept: no space left"), "{why}");
    cis.stop();
}

#[test]
fn what_a_full_disk_kept_from_being_recorded_is_not_confirmed_by_a_stop() {
    let cis = Cis::new();
    let Some(_mounted) = Mounted::at(&cis.home(), "24m") else { return };
    let run = cis.start("version = 1\n[dag]\nid = \"stays\"\n[[tasks]]\nid = \"a\"\nscript = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n");
    cis.session_of("a");
    fill(&cis.home().join("ballast"));
    let pause = cis.spawn(["dag", "pause", &run]);
    eventually("it cannot be recorded", || {
        let said = cis.run(["node", "status"]).stdout;
        (said.contains("disk") || said.contains("space")).then_some(())
    });
    cis.ok(["node", "stop"]);
    let out = pause.wait();
    assert_ne!(out.code, Some(0), "{}{}", out.stdout, out.stderr);
    std::fs::remove_file(cis.home().join("ballast")).unwrap();
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    cis.stop();
}

#[test]
fn a_full_disk_costs_no_cpu() {
    let cis = Cis::new();
    let Some(_mounted) = Mounted::at(&cis.home(), "24m") else { return };
    let text = r#"
version = 1
[dag]
id = "again"
[[tasks]]
id = "a"
retries = { count = 5, delay = "500ms" }
script = 'exit $(cat "$E2E_WORK/code")'
[[tasks]]
id = "b"
script = 'while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done'
"#;
    cis.write("code", "1");
    let run = cis.start(text);
    cis.session_of("b");
    fill(&cis.home().join("ballast"));
    eventually("nothing can be recorded", || {
        cis.ok(["node", "status"]).contains("nothing starts").then_some(())
    });
    let node = cis.node_pid().unwrap();
    // Time to come and go for every deadline that there is.
    super::harness::pause(std::time::Duration::from_secs(1));
    let before = cpu_ticks(node);
    super::harness::pause(std::time::Duration::from_secs(2));
    let used = cpu_ticks(node) - before;
    std::fs::remove_file(cis.home().join("ballast")).unwrap();
    cis.write("code", "0");
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    cis.stop();
    assert!(used < 20, "{used} ticks of 10 ms in 2 s without anything to do");
}

/// Processor time of a process in ticks of 10 ms: fields 14 and 15 of proc_pid_stat(5).
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

/// Takes all space that there is.
pub fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    for block in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![b'x'; block]).and_then(|()| file.flush()).is_ok() {}
    }
}

#[test]
fn a_read_only_home_is_said() {
    let cis = Cis::new();
    let Some(mounted) = Mounted::at(&cis.home(), "8m") else { return };
    mounted.read_only(true);
    let out = cis
        .dag("version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n", &[])
        .expect(3);
    let said = &out.stderr;
    assert!(said.contains("Read-only") && said.contains(cis.home().to_str().unwrap()), "{said}");
    mounted.read_only(false);
    cis.dag("version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n", &[]).expect(0);
    cis.stop();
}

#[test]
fn a_corrupted_database_is_said_and_left_as_it_is() {
    let cis = Cis::new();
    cis.dag("version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n", &[]).expect(0);
    cis.stop();
    let path = database(&cis);
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    // Page 2 and what follows; the header stays, so that it still looks like a database.
    let end = bad.len().min(40_000);
    bad[4096..end].fill(0xA5);
    std::fs::write(&path, &bad).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display())); // Gone after a clean stop.
    }
    let out = cis.run(["dag", "list"]).expect(3);
    assert!(
        out.stderr.contains("cis store check") && out.stderr.contains("cis store rebuild"),
        "{}",
        out.stderr
    );
    assert_eq!(std::fs::read(&path).unwrap()[4096..end], bad[4096..end], "the evidence was changed");
    cis.run(["store", "check"]).expect(3);
    std::fs::write(&path, &good).unwrap();
    cis.ok(["store", "check"]);
    cis.ok(["store", "rebuild"]);
    assert_eq!(cis.json(&["dag", "list"])["items"][0]["state"], "succeeded");
}

/// The bytes of an id (Crockford's Base32, <https://github.com/ulid/spec>).
fn ulid_bytes(text: &str) -> [u8; 16] {
    const LETTERS: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let value = |letter: u8| LETTERS.iter().position(|one| *one == letter).unwrap() as u128;
    text.bytes().fold(0, |all: u128, letter| (all << 5) | value(letter)).to_be_bytes()
}

#[test]
fn a_damaged_event_is_named_with_its_run_and_a_rebuild_loses_nothing_else() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n";
    cis.dag(text, &[]).expect(0);
    cis.dag(&text.replace("\"x\"", "\"y\""), &[]).expect(0);
    cis.stop();
    let run = cis.json(&["dag", "list"])["items"][1]["id"].as_str().unwrap().to_owned();
    cis.stop();
    let path = database(&cis);
    let mut bytes = std::fs::read(&path).unwrap();
    let word = b"cis.dag.run.completed";
    // The id of the run stands before the type, with at most one byte between them.
    let id = ulid_bytes(&run);
    let of_run = |at: usize| bytes[at - 17..at].windows(16).any(|part| part == id);
    let mut places = bytes.windows(word.len()).enumerate().filter(|(_, part)| part == word);
    let at = places.find(|(at, _)| of_run(*at)).expect("the end of the run").0;
    bytes[at + 9] = 0xFF;
    std::fs::write(&path, &bytes).unwrap();

    assert!(cis.ok(["dag", "list"]).contains("succeeded"), "the damage lies elsewhere");
    cis.stop();
    let check = cis.run(["store", "check"]).expect(3).stdout;
    for words in ["A node can start with this store", &format!("of run {run}"), "saves everything except"] {
        assert!(check.contains(words), "{words}: {check}");
    }
    let rebuild = cis.run(["store", "rebuild"]).expect(0).stdout;
    assert!(
        rebuild.contains(&format!("of run {run}")) && rebuild.contains("ended with an error"),
        "{rebuild}"
    );
    assert_eq!(cis.show(&run)["run"]["state"], "error");
    cis.ok(["store", "check"]);
    assert_eq!(cis.json(&["dag", "list"])["items"][0]["state"], "succeeded", "the other one is as it was");
}

#[test]
fn a_file_that_is_no_database_is_said() {
    let cis = Cis::new();
    cis.ok(["dag", "list"]);
    cis.stop();
    std::fs::write(database(&cis), "not a database at all, but long enough to be read as one").unwrap();
    let out = cis.run(["dag", "list"]).expect(3);
    assert!(out.stderr.contains("cis store check"), "{}", out.stderr);
}

/// Writes `megabytes` of lines and checks what is kept of them.
fn writes_without_end(megabytes: u32) {
    let cis = Cis::new();
    let text = format!(
        "version = 1\n[dag]\nid = \"loud\"\n[[tasks]]\nid = \"a\"\ntty = false\nscript = 'echo first; yes 0123456789abcdef | head -c {megabytes}000000; echo; echo last'\n"
    );
    let running = cis.spawn_dag(&text, &[]);
    cis.session_of("a");
    let pids = [cis.node_pid().unwrap(), cis.host_pid().unwrap()];
    running.wait_within(std::time::Duration::from_secs(600)).expect(0);
    let kept: u64 =
        files_below(&cis.home()).iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
    assert!(kept < 150_000_000, "{kept} bytes are on the disk");
    for pid in pids {
        let kilobytes = peak_kb(pid).unwrap_or(0);
        assert!(kilobytes < 300_000, "process {pid} grew to {kilobytes} KB");
    }
    let log = cis.ok(["dag", "logs", "--plain", "a"]);
    assert!(log.starts_with("first\n"), "{}", &log[..40]);
    assert!(log.ends_with("last\n"), "{}", &log[log.len() - 40..]);
    let marked = log.lines().any(|line| line.contains("cut") && !line.starts_with("0123"));
    assert!(marked, "the cut is not marked");
}

#[test]
fn a_program_that_writes_300_mb_fills_neither_memory_nor_disk() {
    writes_without_end(300);
}

#[test]
#[ignore = "10 GB take minutes: cargo xtask test-all"]
fn a_program_that_writes_10_gb_fills_neither_memory_nor_disk() {
    writes_without_end(10_000);
}

#[test]
fn without_descriptors_tasks_wait_with_the_reason() {
    let cis = Cis::new();
    let mut text = "version = 1\n[dag]\nid = \"short\"\nmax_parallel = 60\n".to_owned();
    for n in 0..60 {
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\nscript = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n"
        ));
    }
    let file = cis.write("short.toml", text);
    // Both node and host inherit it: room for some sessions, not for all.
    let line = format!("ulimit -n 60; exec {} dag run --detach {}", cis.binary().display(), file.display());
    let mut command = Command::new("sh");
    command.args(["-c", &line]).current_dir(cis.work()).env_clear().envs(cis.environment());
    let run = super::harness::ulid_in(&super::harness::Running::start(command).wait().expect(0).stdout);
    let reason = eventually("a task waits because something is short", || {
        let detail = cis.show(&run);
        let tasks = detail["tasks"].as_array()?.clone();
        tasks.iter().filter(|task| task["state"] == "queued").find_map(|task| {
            let reason = task["reason"].as_str()?.to_lowercase();
            (reason.contains("descriptor") || reason.contains("open files")).then_some(reason)
        })
    });
    assert!(!reason.is_empty());
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn runs_of_one_environment_share_one_copy_of_it() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n";
    let file = cis.write("x.toml", text);
    cis.ok(["node", "start", "--detach"]);
    for _ in 0..3 {
        cis.ok(["dag", "run", file.to_str().unwrap()]);
    }
    let secrets = cis.home().join("secrets");
    assert_eq!(files_below(&secrets).len(), 1, "{:?}", files_below(&secrets));
    let other = |value: &str| {
        let mut command = cis.command(["dag", "run", file.to_str().unwrap()]);
        command.env("OTHER", value);
        super::harness::Running::start(command).wait().expect(0);
    };
    other("1");
    assert_eq!(files_below(&secrets).len(), 2, "another environment has its own");
    // A copy that was lost in the meantime is made again.
    for file in files_below(&secrets) {
        std::fs::remove_file(file).unwrap();
    }
    other("1");
    assert_eq!(files_below(&secrets).len(), 1);
}
