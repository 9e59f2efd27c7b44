//! `cis doctor`.

mod checks;
mod kernel;

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::node;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::clean::clean;
use crate::output::{self, style};

pub(crate) use kernel::hides_processes;

/// Check whether this machine can run sessions; changes nothing
///
/// The exit code is 3 if a check fails, and 0 if there are only warnings.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis doctor
  cis doctor --json | jq '.items[] | select(.outcome != \"ok\")'")]
pub(crate) struct Args {}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Ok,
    Warning,
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    /// What was found.
    detail: String,
    /// What helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Ok, detail: detail.into(), hint: None }
    }

    fn warning(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Warning, detail: detail.into(), hint: Some(hint.into()) }
    }

    fn failed(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Failed, detail: detail.into(), hint: Some(hint.into()) }
    }
}

#[derive(Serialize)]
struct Report {
    items: Vec<Check>,
}

pub(crate) fn run(context: &Context, _: &Args) -> Result<Exit, CliError> {
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut items = vec![
        kernel::version(),
        checks::home(&context.home.dir),
        checks::configuration(context.config()),
        checks::disk(&context.home.dir),
        checks::socket_path(&context.socket()),
        checks::runtime_dir(runtime_dir.as_deref(), &context.home.runtime),
        kernel::terminals(),
        kernel::descriptors(),
        kernel::processes(),
        kernel::realtime_limit(&context.home.dir),
        kernel::ptrace_scope("/proc/sys/kernel/yama/ptrace_scope".as_ref()),
        kernel::closed(hides_processes()),
        kernel::tracing("/proc/sys/kernel/yama/ptrace_scope".as_ref()),
        kernel::tiocsti("/proc/sys/dev/tty/legacy_tiocsti".as_ref()),
        checks::service("/proc/self/cgroup".as_ref(), "/var/lib/systemd/linger".as_ref()),
    ];
    items.push(context.block_on(async { Ok(checks::node(&node::view(context).await)) })?);
    let failed = items.iter().any(|check| check.outcome == Outcome::Failed);
    output::show(context.json, &Report { items }, |report| human(&report.items))?;
    Ok(if failed { Exit::ERROR } else { Exit::OK })
}

fn human(items: &[Check]) -> String {
    let mut text = String::new();
    for check in items {
        let (word, style) = match check.outcome {
            Outcome::Ok => ("ok", style::GOOD),
            Outcome::Warning => ("warning", style::ATTENTION),
            Outcome::Failed => ("failed", style::BAD),
        };
        let _ = writeln!(text, "{style}{word:>8}{style:#} {:<12} {}", check.name, clean(&check.detail));
        if let Some(hint) = &check.hint {
            let _ = writeln!(text, "{:21} {}", "", clean(hint));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_and_what_helps() {
        let items = [
            Check::ok("disk", "12.0 GB free"),
            Check::warning("ptrace", "scope 2", "sysctl"),
            Check::failed("home", "not writable", "chmod"),
        ];
        insta::assert_snapshot!(anstream::adapter::strip_str(&human(&items)).to_string(), @r"
              ok disk         12.0 GB free
         warning ptrace       scope 2
                              sysctl
          failed home         not writable
                              chmod
        ");
    }
}
