//! The configuration as commands read it, and its mistakes as they report them.

use std::time::Duration;

use cis_core::api::{Problem, ProblemKind};
use cis_node::config::{self, Config, ConfigError, FileError, SETTINGS, Scope};

use crate::error::CliError;
use crate::home::Home;

/// Reads it. `overrides` are `KEY=VALUE`.
pub(crate) fn load(home: &Home, overrides: &[String]) -> Result<Config, CliError> {
    config::load(home, |name| std::env::var_os(name), overrides).map_err(error)
}

/// Returns a warning if some of these `KEY=VALUE` only count when a node starts. `restart`: this command can start it again.
pub(crate) fn without_effect(overrides: &[String], restart: bool) -> Option<String> {
    let is_of_node =
        |key: &&str| SETTINGS.iter().any(|known| known.key == *key && known.scope == Scope::Node);
    let keys = overrides.iter().filter_map(|setting| setting.split('=').next().map(str::trim));
    let keys: Vec<String> = keys.filter(is_of_node).map(|key| format!("`-c {key}`")).collect();
    let (has, them) = match keys.len() {
        0 => return None,
        1 => ("has", "this setting"),
        _ => ("have", "these settings"),
    };
    let how =
        if restart { "; to restart the node, run `cis node stop`, then this command again" } else { "" };
    let keys = keys.join(", ");
    Some(format!("{keys} {has} no effect: the node runs already and reads {them} only when it starts{how}"))
}

/// All that is wrong, each mistake of the file with its place.
pub(crate) fn error(error: ConfigError) -> CliError {
    let mut sentences = error.others;
    let mut problem = Problem::new(ProblemKind::BadInput, "");
    match error.file {
        Some(FileError::Mistakes(mistakes, path)) => {
            sentences.insert(0, mistakes.summary(&path.display().to_string()));
            problem.diagnostics = mistakes.findings;
        }
        Some(other) => sentences.insert(0, other.to_string()),
        None => {}
    }
    problem.detail = sentences.join("\n");
    problem.hint("`cis config default` shows every setting with its default").into()
}

/// Reads a time that an option gives, such as `90s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text != "0" {
        config::check_unit(text)?;
    }
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_a_running_node_does_not_read_any_more_are_named() {
        let overrides = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        for read_by_the_command in [&[][..], &["attach.detach_keys=C-b d", "dag.room_id=!r:a"]] {
            assert_eq!(without_effect(&overrides(read_by_the_command), true), None);
        }
        let both = overrides(&["retention.max_age=1d", "timeouts.exec_max=1h", "node.max_sessions = 8"]);
        insta::assert_snapshot!(without_effect(&both, true).unwrap(), @"`-c retention.max_age`, `-c node.max_sessions` have no effect: the node runs already and reads these settings only when it starts; to restart the node, run `cis node stop`, then this command again");
        let elsewhere = without_effect(&both[..1], false).unwrap();
        assert!(elsewhere.ends_with("reads this setting only when it starts"), "{elsewhere}");
    }

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7"), Err("has no unit: write `7s` for seconds".to_owned()));
        assert!(duration("soon").is_err());
    }
}
