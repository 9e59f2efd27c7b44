//! `fresh`: runs the README's commands in a Debian root that has only the packages that the README asks for.
//!
//! Owns the life cycle of the root: creation, mounts, commands, removal. Knows nothing of what the commands do. All files are
//! below the target directory; the mounts are in a mount namespace of their own, and end with its last process. A helper
//! process, which does not get signals from the terminal, removes the root after this process has ended in any way.

mod environment;
mod readme;
mod removal;
mod root;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::process::{program, stdout_of};
use crate::workspace::root as checkout;

use removal::Removal;
pub(crate) use removal::remove_when_left;
use root::Fresh;

/// How long leftover processes of a command may hold its standard error open.
const LEFTOVER_TIME_MAX: Duration = Duration::from_secs(10);

/// Mounts directories of this machine into the root, then runs a shell line in it. Arguments: the root, the
/// toolchain, the line, and the environment as `NAME=VALUE`. All processes end with the namespace.
const ENTER: &str = r#"set -e
root=$1 toolchain=$2 line=$3; shift 3
mkdir -p "$root$toolchain"
mount --bind "$toolchain" "$root$toolchain"
mount -o remount,bind,ro "$root$toolchain"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
exec chroot "$root" /usr/bin/env -i "$@" /bin/sh -c "cd /src/cis && $line"
"#;

/// The arguments of `fresh`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Keep the root.
    keep: bool,
    /// Commands to run instead of the README's.
    commands: Vec<String>,
}

impl Wanted {
    fn of(arguments: &[String]) -> Outcome<Self> {
        let mut wanted = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--keep" => wanted.keep = true,
                "--command" => {
                    let command = rest.next().ok_or("--command needs a shell line")?;
                    wanted.commands.push(command.clone());
                }
                other => return Err(format!("unknown argument `{other}`: fresh [--keep] [--command LINE]…")),
            }
        }
        Ok(wanted)
    }
}

/// Makes a root, clones the checkout into it, and runs the README's commands there, or others.
pub(crate) fn fresh(arguments: &[String]) -> Outcome {
    let wanted = Wanted::of(arguments)?;
    if !rustix::process::geteuid().is_root() {
        return Err("fresh needs root, for mounts and a Debian root: sudo -E cargo xtask fresh".to_owned());
    }
    let commands = match wanted.commands.is_empty() {
        true => readme::commands(&checkout())?,
        false => wanted.commands,
    };
    let toolchain = toolchain()?;
    let removal = Removal::begin(wanted.keep)?;
    let outcome = Fresh::make(removal.path()).and_then(|made| run_all(&made, &toolchain, &commands));
    removal.finish()?;
    outcome
}

/// Returns the directory of the current toolchain, with `bin/cargo` in it.
fn toolchain() -> Outcome<PathBuf> {
    let path = PathBuf::from(stdout_of(program("rustc", &["--print", "sysroot"]))?.trim());
    if path == Path::new("/usr") || !path.join("bin/cargo").exists() {
        return Err(format!(
            "cannot use the toolchain in {}: fresh needs one in a directory of its own, such as rustup's",
            path.display()
        ));
    }
    Ok(path)
}

/// Runs every command, even after a failed one. The error names all failed commands and tests.
fn run_all(made: &Fresh, toolchain: &Path, commands: &[String]) -> Outcome {
    let mut failed = Vec::new();
    for command in commands {
        eprintln!("xtask: in the fresh root: {command}");
        let (outcome, lines) = run_to_end(entered(made, toolchain, command), made.path())?;
        if !outcome.success() {
            failed.push(format!("`{command}` ended with {outcome}"));
            failed.extend(lines.iter().map(|line| format!("  {}", line.trim())));
        }
    }
    match failed.is_empty() {
        true => {
            eprintln!("xtask: {} of {} commands succeeded in a fresh root", commands.len(), commands.len());
            Ok(())
        }
        false => Err(failed.join("\n")),
    }
}

/// Runs a command, and ends leftover processes that hold its standard error open. Returns its status, and the lines that
/// name failures.
fn run_to_end(mut command: Command, root: &Path) -> Outcome<(ExitStatus, Vec<String>)> {
    let mut child =
        command.stderr(Stdio::piped()).spawn().map_err(|e| format!("cannot enter the root: {e}"))?;
    let stderr = child.stderr.take();
    let (done, is_done) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut kept = Vec::new();
        for line in
            stderr.into_iter().flat_map(|from| BufReader::new(from).split(b'\n')).map_while(Result::ok)
        {
            let line = String::from_utf8_lossy(&line);
            eprintln!("{line}");
            if is_failure(&line) {
                kept.push(line.into_owned());
            }
        }
        let _ = done.send(kept);
    });
    let status = child.wait().map_err(|e| format!("cannot wait for the command: {e}"))?;
    let lines = match is_done.recv_timeout(LEFTOVER_TIME_MAX) {
        Ok(lines) => lines,
        Err(_) => {
            eprintln!("xtask: ending processes that the command left running");
            removal::end_processes(root)?;
            is_done.recv().unwrap_or_default()
        }
    };
    let _ = reader.join();
    Ok((status, lines))
}

fn entered(made: &Fresh, toolchain: &Path, line: &str) -> Command {
    let mut command = program("unshare", &["--mount", "sh", "-c", ENTER, "fresh"]);
    command.arg(made.path()).arg(toolchain).arg(line).args(environment::variables(toolchain));
    // Some of the programs are in directories outside of an ordinary PATH.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Whether a line of nextest names a failed test, or is the summary.
fn is_failure(line: &str) -> bool {
    let line = line.trim_start();
    ["FAIL ", "FAIL [", "TIMEOUT ", "SIGABRT ", "SIGSEGV ", "LEAK-FAIL ", "Summary "]
        .iter()
        .any(|begin| line.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let of =
            |words: &[&str]| Wanted::of(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]).unwrap(), Wanted::default());
        let wanted = of(&["--command", "true", "--keep", "--command", "cargo build"]).unwrap();
        assert_eq!(
            wanted,
            Wanted { keep: true, commands: vec!["true".to_owned(), "cargo build".to_owned()] }
        );
        assert!(of(&["--command"]).is_err() && of(&["--quick"]).is_err());
    }
}
