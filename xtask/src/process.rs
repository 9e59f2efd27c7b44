//! Running other programs: shown before they start, and a failure names the command.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::workspace::root;

/// The cargo that runs us, at the repository's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    // `cargo run` puts these there for xtask; another package's build must not see them, or it is rebuilt.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}

/// Another program, at the repository's root.
pub(crate) fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(root());
    command
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    if let Some(name) = words[0].rsplit('/').next() {
        words[0] = name.to_owned();
    }
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs it, with our terminal.
///
/// # Errors
/// It could not be started, or did not exit with 0.
pub(crate) fn run(mut command: Command) -> Outcome {
    let line = line(&command);
    eprintln!("$ {line}");
    let status = command.status().map_err(|e| format!("cannot start `{line}`: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` ended with {status}")) }
}

/// Runs it and gives back what it wrote to stdout.
///
/// # Errors
/// It could not be started, did not exit with 0, or wrote something that is not UTF-8.
pub(crate) fn stdout_of(mut command: Command) -> Outcome<String> {
    let line = line(&command);
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|e| format!("cannot start `{line}`: {e}"))?;
    if !output.status.success() {
        return Err(format!("`{line}` ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{line}` wrote something that is not UTF-8"))
}

/// Runs it with a text on its standard input; what it says goes nowhere but with a failure.
///
/// # Errors
/// It could not be started, or did not exit with 0.
pub(crate) fn run_with(mut command: Command, input: &str) -> Outcome {
    let line = line(&command);
    let failed = |e: std::io::Error| format!("cannot run `{line}`: {e}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{line}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Runs it, shows its stderr as it comes, and gives back the lines of it that `wanted` takes,
/// also when it fails.
pub(crate) fn run_keeping(mut command: Command, wanted: impl Fn(&str) -> bool) -> (Outcome, Vec<String>) {
    let line = line(&command);
    eprintln!("$ {line}");
    let mut child = match command.stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(e) => return (Err(format!("cannot start `{line}`: {e}")), Vec::new()),
    };
    let mut kept = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut said = std::io::stderr().lock();
        for text in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&text);
            // A closed terminal is no reason to lose the outcome.
            let _ = writeln!(said, "{text}");
            if wanted(&text) {
                kept.push(text.into_owned());
            }
        }
    }
    let outcome = match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` ended with {status}")),
        Err(e) => Err(format!("`{line}` cannot be waited for: {e}")),
    };
    (outcome, kept)
}

/// Whether the command can be started and exits with 0; it is silent.
pub(crate) fn works(mut command: Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Builds the programs of the workspace, as its tests are built.
pub(crate) fn build_programs() -> Outcome {
    // Tests on the real binary start it by its path; a build that fails is said before any test. Without `--tests`, or with `--package`, other features of
    // libraries are used: half of all crates are built once more, and the program of tests that run is replaced.
    run(cargo(&["build", "--workspace", "--bins", "--tests", "--locked"]))
}
