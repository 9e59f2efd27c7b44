//! The configuration as commands read it, and its mistakes as they report them.

use std::time::Duration;

use cis_core::api::{Problem, ProblemKind};
use cis_node::config::{self, Config, ConfigError, FileError};

use crate::error::CliError;
use crate::home::Home;

/// Reads it. `overrides` are `KEY=VALUE`.
pub(crate) fn load(home: &Home, overrides: &[String]) -> Result<Config, CliError> {
    config::load(home, |name| std::env::var_os(name), overrides).map_err(error)
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
    fn a_time_has_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7"), Err("has no unit: write `7s` for seconds".to_owned()));
        assert!(duration("soon").is_err());
    }
}
