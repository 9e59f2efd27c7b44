//! Removal of a root with its processes, mounts and files.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;
use crate::workspace::target_dir;

/// The argument that starts this program as the process that removes a root.
const COMMAND: &str = "fresh-removal";
const KEEP: &str = "keep";

/// A directory for a root that is removed when this process ends. Another process, which waits for the end of a pipe from
/// this one, removes it.
pub(super) struct Removal {
    path: PathBuf,
    remover: Child,
}

impl Removal {
    /// Makes an empty directory below the target directory. With `keep`, only the processes in it are ended.
    pub(super) fn begin(keep: bool) -> Outcome<Self> {
        let path = target_dir()?.join(format!("fresh/{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| format!("cannot make {}: {e}", path.display()))?;
        let own = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
        // In a process group of its own, so that it does not get Ctrl+C.
        let remover = Command::new(own)
            .args([COMMAND, if keep { KEEP } else { "remove" }])
            .arg(&path)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start the process that removes the root: {e}"))?;
        Ok(Self { path, remover })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory now.
    pub(super) fn finish(mut self) -> Outcome {
        drop(self.remover.stdin.take());
        let status = self.remover.wait().map_err(|e| format!("cannot wait for the removal: {e}"))?;
        if status.success() { Ok(()) } else { Err(format!("{} is not removed", self.path.display())) }
    }
}

/// Removes a root once standard input ends. Runs in the helper process.
pub(crate) fn remove_when_left(arguments: &[String]) -> Outcome {
    let [how, path] = arguments else { return Err(format!("only `fresh` may call {COMMAND}")) };
    let path = Path::new(path);
    // An error counts as the end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    end_processes(path)?;
    if how == KEEP {
        eprintln!("xtask: the root stays in {}", path.display());
        return Ok(());
    }
    // The removal would delete the files of other mounts.
    if is_mounted_below(path) {
        return Err(format!("something is mounted below {}: unmount it, then remove it", path.display()));
    }
    eprintln!("xtask: removing {}", path.display());
    std::fs::remove_dir_all(path).map_err(|e| format!("cannot remove {}: {e}", path.display()))
}

/// Ends all processes that have this root directory. Their mounts end with the last process.
pub(super) fn end_processes(root: &Path) -> Outcome {
    for _ in 0..1000 {
        let found = processes(root);
        if found.is_empty() {
            return Ok(());
        }
        for process in found {
            let _ = kill_process(process, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("processes in {} do not end", root.display()))
}

fn processes(root: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_in = |pid: &i32| std::fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|is| is == root);
    pids.filter(is_in).filter_map(Pid::from_raw).collect()
}

fn is_mounted_below(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let path = path.display().to_string();
    // The fifth field is the mount point, with spaces written in octal.
    mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|place| place.replace("\\040", " ").starts_with(&path))
}
