//! The page of the command line: what `cis … --help` says, for every command that it lists.

use std::path::Path;

use crate::Outcome;
use crate::process::{build_programs, program, stdout_of};
use crate::workspace::target_dir;

const HEAD: &str = "\
# The command line

What `--help` says. This page is made from the program: `cargo xtask reference --update`.
";

const SETTINGS_HEAD: &str = "\
# Settings

What `cis config default` prints; [the guide](../guide/configuration.md) says how they work. This page is made from the
program: `cargo xtask reference --update`.
";

/// Builds `cis` and asks it.
pub(super) fn page() -> Outcome<String> {
    build_programs()?;
    let cis = target_dir()?.join("debug/cis");
    let mut page = HEAD.to_owned();
    add(&mut page, &cis, &mut Vec::new())?;
    Ok(page)
}

/// The page of the settings: what `cis config default` prints.
pub(super) fn settings() -> Outcome<String> {
    let cis = target_dir()?.join("debug/cis");
    let mut command = program(&cis.to_string_lossy(), &["config", "default"]);
    // Only where a home would be; nothing of it is read.
    command.env("HOME", "/");
    let file = stdout_of(command)?;
    Ok(format!("{SETTINGS_HEAD}\n```toml\n{}\n```\n", file.trim_end()))
}

/// The help of `cis VERBS`, then that of each command below it.
fn add(page: &mut String, cis: &Path, verbs: &mut Vec<String>) -> Outcome {
    let mut command = program(&cis.to_string_lossy(), &[]);
    // The width of no terminal, and no setting of whoever runs this, decide how it looks.
    command.args(&*verbs).arg("--help").env("COLUMNS", "100").env("NO_COLOR", "1");
    let help = stdout_of(command)?;
    let name = ["cis"].into_iter().chain(verbs.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    page.push_str(&format!("\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end()));
    for verb in commands(&help) {
        verbs.push(verb);
        add(page, cis, verbs)?;
        verbs.pop();
    }
    Ok(())
}

/// Names under `Commands:`, without `help`.
fn commands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Deeper lines continue the text of the one before.
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn commands_are_those_that_the_help_lists() {
        let help = "Does it\n\nUsage: x\n\nCommands:\n  run   Runs\n        long\n  kill  Ends\n  help  Print\n\nOptions:\n  -h\n";
        assert_eq!(super::commands(help), ["run", "kill"]);
        assert!(super::commands("Usage: x\n\nOptions:\n  -h\n").is_empty());
    }
}
