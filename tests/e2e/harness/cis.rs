//! A `cis` with a home, a runtime directory and a working directory of its own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::output::{Output, Running};
use super::processes::{Process, kill_9, processes_with};
use super::terminal::Terminal;
use super::wait::{LONG, eventually, eventually_or, eventually_within};

/// A user without rights: `nobody`.
pub const NOBODY: u32 = 65534;

/// One installation. Dropping it ends all of it, and panics where something is left.
pub struct Cis {
    root: tempfile::TempDir,
    binary: PathBuf,
    env: Vec<(String, String)>,
    uid: Option<u32>,
    /// What it starts sees no other installation.
    apart: bool,
}

/// `sh -c APART sh ROOT PROGRAM ARGUMENTS`, in a mount namespace: of the folder of all installations, only ROOT is there.
const APART: &str = r#"
set -e
root=$1
shift
mount --bind "$root" /mnt
mount -t tmpfs tmpfs "${root%/*}"
mkdir "$root"
mount --bind /mnt "$root"
umount /mnt
cd "$root/work"
exec "$@"
"#;

impl Cis {
    /// An empty home, no node.
    pub fn new() -> Self {
        Self::make(None)
    }

    /// The same for another user; needs root.
    pub fn as_nobody() -> Self {
        Self::make(Some(NOBODY))
    }

    /// The same for the user with this uid.
    pub fn as_user(uid: u32) -> Self {
        Self::make(Some(uid))
    }

    /// An empty home for another program than the one under test: that of an earlier version.
    pub fn of(program: PathBuf) -> Self {
        let mut cis = Self::new();
        cis.binary = program;
        cis
    }

    /// An installation whose processes are in mount namespaces: they see no file of another one, as on a machine of
    /// their own. Needs root and mount namespaces; `None` where there are none.
    pub fn apart() -> Option<Self> {
        let mut cis = Self::new();
        cis.apart = true;
        let tried = cis.program("true").output();
        tried.is_ok_and(|tried| tried.status.success()).then_some(cis)
    }

    fn make(uid: Option<u32>) -> Self {
        let root = tempfile::Builder::new().prefix("cis-e2e-").tempdir().unwrap();
        let mut binary = PathBuf::from(env!("CARGO_BIN_EXE_cis"));
        if let Some(uid) = uid {
            // The build directory need not be open to others.
            fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let copy = root.path().join("cis");
            if fs::hard_link(&binary, &copy).is_err() {
                fs::copy(&binary, &copy).unwrap();
            }
            binary = copy;
            for folder in ["run", "work", "user"] {
                fs::create_dir(root.path().join(folder)).unwrap();
                chown(root.path().join(folder), Some(uid), Some(uid)).unwrap();
            }
        } else {
            for folder in ["run", "work", "user"] {
                fs::create_dir(root.path().join(folder)).unwrap();
            }
        }
        fs::set_permissions(root.path().join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        Self { root, binary, env: Vec::new(), uid, apart: false }
    }

    /// Another variable for everything that is started from now on.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `CIS_HOME`. It does not exist before the first command.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("user/.cis")
    }

    /// `XDG_RUNTIME_DIR`.
    pub fn runtime(&self) -> PathBuf {
        self.root.path().join("run")
    }

    /// Where commands are started.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The program under test.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Writes a file into [`Self::work`].
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        fs::write(&path, text).unwrap();
        if let Some(uid) = self.uid {
            chown(&path, Some(uid), Some(uid)).unwrap();
        }
        path
    }

    /// Writes a program into [`Self::work`].
    pub fn write_program(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Writes `config.toml`. The home may not be there yet.
    pub fn configure(&self, text: &str) -> PathBuf {
        fs::create_dir_all(self.home()).unwrap();
        fs::set_permissions(self.home(), fs::Permissions::from_mode(0o700)).unwrap();
        let path = self.home().join("config.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// A file of [`Self::work`]; empty where it is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.work().join(name)).unwrap_or_default()
    }

    /// The text by which our processes are known.
    pub fn mark(&self) -> String {
        format!("E2E_MARK={}", self.root.path().display())
    }

    /// The variables that everything of ours gets, and no other.
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
        let text = |path: &Path| path.display().to_string();
        let mut all = vec![
            ("PATH".to_owned(), path),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("HOME".to_owned(), text(&self.root.path().join("user"))),
            ("CIS_HOME".to_owned(), text(&self.home())),
            ("XDG_RUNTIME_DIR".to_owned(), text(&self.runtime())),
            ("E2E_MARK".to_owned(), text(self.root.path())),
            ("E2E_CIS".to_owned(), text(&self.binary)),
            ("E2E_WORK".to_owned(), text(&self.work())),
        ];
        all.extend(self.env.clone());
        all
    }

    /// `cis ARGUMENTS`, not started.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(&self.binary);
        command.args(arguments);
        command
    }

    /// Another program of the same user, not started.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self.uid {
            None if self.apart => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", APART, "sh"]).arg(self.root.path());
                command.arg(program);
                command
            }
            None => Command::new(program),
            Some(uid) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={uid}"))
                    .arg(format!("--regid={uid}"))
                    .args(["--clear-groups", "--"]);
                command.arg(program);
                command
            }
        };
        command.current_dir(self.work()).env_clear().envs(self.environment()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end, whatever that is.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.spawn(arguments).wait()
    }

    /// Runs it; it must succeed. Gives stdout.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        self.run(arguments).expect(0).stdout
    }

    /// Runs it with `--json`; it must succeed. Gives the document.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(arguments.iter().chain(&["--json"])).expect(0).json()
    }

    /// Starts it.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        Running::start(self.command(arguments))
    }

    /// Starts it on a terminal of 80 × 24.
    pub fn terminal(&self, arguments: &[&str]) -> Terminal {
        let mut words = vec![self.binary.display().to_string()];
        words.extend(arguments.iter().map(|&word| word.to_owned()));
        Terminal::start(&words, &self.work(), self.environment())
    }

    /// A shell on a terminal of its own, with the prompt `shell> `.
    pub fn shell(&self) -> Terminal {
        let mut environment = self.environment();
        environment.push(("PS1".to_owned(), "shell> ".to_owned()));
        Terminal::start(&["/bin/sh".to_owned(), "-i".to_owned()], &self.work(), environment)
    }

    /// Starts a run of this text and gives its id.
    #[track_caller]
    pub fn start(&self, text: &str) -> String {
        let file = self.write("started.toml", text);
        ulid_in(&self.ok([OsStr::new("dag"), "run".as_ref(), "--detach".as_ref(), file.as_os_str()]))
    }

    /// Starts a run of one task of this name, with these other keys, and gives its id.
    #[track_caller]
    pub fn start_task(&self, name: &str, keys: &str) -> String {
        self.start(&format!("version = 1\n[dag]\nid = \"{name}\"\n[[tasks]]\nid = \"{name}\"\n{keys}\n"))
    }

    /// Runs this text to its end.
    #[track_caller]
    pub fn dag(&self, text: &str, more: &[&str]) -> Output {
        self.spawn_dag(text, more).wait()
    }

    /// Starts a command that runs this text to its end.
    pub fn spawn_dag(&self, text: &str, more: &[&str]) -> Running {
        let file = self.write("dag.toml", text);
        self.spawn(["dag", "run", file.to_str().unwrap()].iter().chain(more))
    }

    /// What `dag show` says of a run.
    #[track_caller]
    pub fn show(&self, run: &str) -> Value {
        self.json(&["dag", "show", run])
    }

    /// One task of it.
    #[track_caller]
    pub fn task(&self, run: &str, task: &str) -> Value {
        let detail = self.show(run);
        let tasks = detail["tasks"].as_array().unwrap_or_else(|| panic!("no tasks in {detail}"));
        tasks.iter().find(|t| t["id"] == task).unwrap_or_else(|| panic!("no task {task} in {detail}")).clone()
    }

    /// Waits until a task is in a state.
    #[track_caller]
    pub fn wait_task(&self, run: &str, task: &str, state: &str) -> Value {
        let look = || Some(self.task(run, task)).filter(|task| task["state"] == state);
        eventually_or(LONG, look, || format!("task {task} is {state}: {}", self.show(run)))
    }

    /// Waits until a run is in a state.
    #[track_caller]
    pub fn wait_run(&self, run: &str, state: &str) -> Value {
        let look = || Some(self.show(run)).filter(|detail| detail["run"]["state"] == state);
        eventually_or(LONG, look, || {
            let shown = self.show(run);
            let tasks = shown["tasks"].as_array().into_iter().flatten();
            let open = tasks.filter(|task| task["ended_ms"].is_null() || task["state"] == "queued");
            let ids = open.filter_map(|task| task["id"].as_str()).take(3);
            let why: Vec<String> = ids.map(|id| self.run(["dag", "why", run, id]).stdout).collect();
            format!("run {run} is {state}: {shown}\n{}\nalive: {:#?}", why.concat(), self.processes())
        })
    }

    /// The only live session of a task.
    #[track_caller]
    pub fn session_of(&self, task: &str) -> Value {
        eventually(&format!("task {task} has a live session with a pid"), || {
            let listing = self.json(&["dag", "sessions"]);
            listing["items"].as_array()?.iter().find(|s| s["task"] == task && s["pid"].is_u64()).cloned()
        })
    }

    /// Answers what a session waits at, once it is known to wait.
    #[track_caller]
    pub fn unblock(&self, arguments: &[&str]) {
        eventually(&format!("{arguments:?} waits"), || {
            let out = self.run(["dag", "unblock"].iter().chain(arguments));
            let is_early =
                ["does not wait for input", "no session"].iter().any(|early| out.stderr.contains(early));
            assert!(out.code == Some(0) || is_early, "{out:?}");
            (out.code == Some(0)).then_some(())
        });
    }

    /// `node status`.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.json(&["node", "status"])
    }

    /// Pid of the node, where one runs.
    pub fn node_pid(&self) -> Option<u32> {
        let status = self.status();
        if status["running"] == false { None } else { pid_in(&status["pid"]) }
    }

    /// Pid of the session host, where one runs.
    pub fn host_pid(&self) -> Option<u32> {
        pid_in(&self.status()["host_pid"])
    }

    /// Everything of ours that is alive.
    pub fn processes(&self) -> Vec<Process> {
        processes_with(&self.mark(), &self.home().display().to_string())
    }

    /// Ends node, host and sessions, as a person would.
    pub fn stop(&self) {
        self.ok(["node", "stop", "--kill-sessions"]);
    }
}

impl Drop for Cis {
    fn drop(&mut self) {
        if !self.processes().is_empty() && !std::thread::panicking() {
            // A test may have broken the home on purpose: what counts is what is left.
            let _ = self.spawn(["node", "stop", "--kill-sessions"]).wait_within(Duration::from_secs(30));
            eventually_within(
                Duration::from_secs(20),
                &format!("nothing is left, but there is {:?}", self.processes()),
                || self.processes().is_empty().then_some(()),
            );
        }
        // After a failure. Again and again, as the host starts a node that is killed.
        for _ in 0..50 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            left.iter().for_each(|process| kill_9(process.pid));
        }
    }
}

fn pid_in(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|pid| u32::try_from(pid).ok())
}

/// The first id in a text.
#[track_caller]
pub fn ulid_in(text: &str) -> String {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| word.len() == 26)
        .unwrap_or_else(|| panic!("no id in: {text}"))
        .to_owned()
}
