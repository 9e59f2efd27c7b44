//! The built-in profiles: the files of `config/agents`, read as a user's would be.

use std::sync::{Arc, LazyLock, OnceLock};

use super::{Profile, table};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../config/agents/", $name, ".toml")))),*]
    };
}

static FILES: &[(&str, &str)] =
    files!["aider", "claude", "codex", "copilot", "gemini", "llm", "opencode", "qwen", "shell"];

/// Each is read when it is first asked for.
static READ: LazyLock<Vec<LazyRead>> = LazyLock::new(|| FILES.iter().map(|_| OnceLock::new()).collect());

type LazyRead = OnceLock<Option<Arc<Profile>>>;

/// The table `screen` of a file.
pub(super) fn read(name: &str, text: &str) -> Result<Arc<Profile>, String> {
    let file: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let empty = toml::Table::new();
    let screen = match file.get("screen") {
        None => &empty,
        Some(screen) => screen.as_table().ok_or_else(|| "screen is not a table".to_owned())?,
    };
    let read = table::read(name, Profile::empty(name), screen, table::Source::Builtin);
    read.map(Arc::new).map_err(|error| error.to_string())
}

pub(super) fn of(name: &str) -> Option<Arc<Profile>> {
    if name == "plain" {
        return Some(Profile::plain());
    }
    let at = FILES.iter().position(|(known, _)| *known == name)?;
    READ[at].get_or_init(|| read(name, FILES[at].1).ok()).clone()
}

pub(super) fn names() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}

pub(super) fn text(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_reads() {
        for (name, text) in super::FILES {
            let read = super::read(name, text);
            assert!(read.is_ok(), "{name}: {read:?}");
            assert!(read.unwrap().patterns().all(super::super::rule::Pattern::compiles), "{name}");
        }
    }
}
