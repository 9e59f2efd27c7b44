//! `ci`: all checks of a change. Tests wait a good part of their time; the other checks run meanwhile, at the lowest priority.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use super::test;
use crate::Outcome;
use crate::workspace::root;

/// The commands of the other checks.
const OTHERS: &[&str] = &["lint", "deny", "docs"];

/// Runs all of them, also after one failed, and says at the end which did.
pub(crate) fn ci() -> Outcome {
    // The build writes this file anew, and the system then calls the one that runs here deleted.
    let program = std::env::current_exe().map_err(|e| format!("this program is not found: {e}"))?;
    let built = test::build();
    let ((tests, summary), others) = thread::scope(|scope| {
        // Before that they would hold up what is built for the tests.
        let others =
            scope.spawn(|| OTHERS.iter().map(|name| (*name, aside(&program, name))).collect::<Vec<_>>());
        let tests = match built {
            Ok(()) => test::test_with_summary(),
            Err(e) => (Err(e), Vec::new()),
        };
        (tests, others.join().expect("it does not panic"))
    });
    let mut outcomes = vec![("test", tests)];
    for (name, output) in others {
        outcomes.push((name, output.and_then(|output| shown(name, &output))));
    }
    eprintln!();
    let mut failed = Vec::new();
    for (name, outcome) in outcomes {
        match outcome {
            Ok(()) => eprintln!("ok      {name}"),
            Err(e) => {
                eprintln!("FAILED  {name}: {e}");
                failed.push(name);
            }
        }
    }
    for line in summary {
        eprintln!("{line}");
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Its arguments, at the lowest priority. Linux shares the processors among sessions of processes first (sched(7), autogroup), and the
/// nodes that tests start have sessions of their own.
const IDLY: &str = "{ echo 19 > /proc/self/autogroup; } 2> /dev/null; exec nice -n 19 \"$0\" \"$@\"";

/// Runs another command of this program, and keeps what it says. After Ctrl+C, what that command started goes on to its end.
fn aside(program: &Path, name: &str) -> Outcome<Output> {
    let mut command = Command::new("setsid");
    command.args(["--wait", "setpriv", "--pdeathsig", "TERM", "sh", "-c", IDLY]);
    command.arg(program).arg(name).current_dir(root());
    command.output().map_err(|e| format!("cannot start `setsid`: {e}"))
}

fn shown(name: &str, output: &Output) -> Outcome {
    let mut stderr = std::io::stderr().lock();
    // A closed terminal is no reason to lose the outcome.
    let _ = stderr.write_all(&output.stdout).and_then(|()| stderr.write_all(&output.stderr));
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("`cargo xtask {name}` ended with {}", output.status))
    }
}
