//! The layers of the configuration: defaults, the file, variables, flags; each over the one before.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::file::{self, FileError, nearest_key};
use super::kind::Value;
use super::settings::{SETTINGS, Scope, Setting, Settings, find};
use cis_core::dag::Group;
use cis_core::dag::diagnose::nearest;
use cis_local::Home;

/// Variables that begin as those of settings do, and are none.
const OTHER_VARIABLES: [&str; 1] = ["CIS_API_TOKEN"];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said another.
    Default,
    /// The file, at this line.
    File {
        /// From 1.
        line: u32,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: String,
    },
    /// `cis -c KEY=VALUE`.
    Flag,
}

/// One value, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Table and key.
    pub key: String,
    /// As it is written.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Who reads it.
    pub scope: Scope,
}

/// What holds, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What holds.
    pub settings: Settings,
    /// The file; it need not be there.
    pub path: PathBuf,
    /// Every value with its origin.
    pub entries: Vec<Entry>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Default)]
pub struct ConfigError {
    /// With the file.
    pub file: Option<FileError>,
    /// With variables and flags, a sentence each.
    pub others: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.iter().map(ToString::to_string);
        let all: Vec<String> = file.chain(self.others.iter().cloned()).collect();
        f.write_str(&all.join("; "))
    }
}

impl std::error::Error for ConfigError {}

/// Reads the configuration of `home`. `variable` gives environment variables; `flags` are `KEY=VALUE`.
///
/// # Errors
/// [`ConfigError`]: all that is wrong, not only the first.
pub fn load(
    home: &Home,
    variable: impl Fn(&str) -> Option<OsString>,
    flags: &[String],
) -> Result<Config, ConfigError> {
    let path = home.config_file();
    let mut error = ConfigError::default();
    let layer = file::read(&path).unwrap_or_else(|wrong| {
        error.file = Some(wrong);
        file::Layer::default()
    });
    let mut settings = Settings::usual();
    let mut entries = Vec::new();
    let flags = read_flags(flags, &mut error.others);
    for setting in SETTINGS {
        let from_file =
            layer.values.get(setting.key).map(|(value, line)| (value.clone(), Origin::File { line: *line }));
        let from_variable = variable_of(setting, &variable, &mut error.others);
        let from_flag = flags.iter().rev().find(|(of, _)| of.key == setting.key);
        let from_flag = from_flag.map(|(_, value)| (value.clone(), Origin::Flag));
        let mut origin = Origin::Default;
        if let Some((value, from)) = from_flag.or(from_variable).or(from_file) {
            (setting.set)(&mut settings, &value);
            origin = from;
        }
        entries.push(entry(setting, &settings, origin));
    }
    for (name, (group, line)) in layer.groups {
        entries.extend(group_entries(&name, group, line));
        settings.groups.insert(name, group);
    }
    for (key, value, line) in layer.agent_keys {
        entries.push(Entry { key, value, origin: Origin::File { line }, scope: Scope::Node });
    }
    settings.agents = layer.agents;
    if error.file.is_none() && error.others.is_empty() {
        Ok(Config { settings, path, entries })
    } else {
        Err(error)
    }
}

/// What is wrong with the variables of these names: those that begin as settings do and are none.
#[must_use]
pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    let tables: Vec<String> = SETTINGS
        .iter()
        .map(|one| format!("CIS_{}_", one.table().replace('.', "_").to_ascii_uppercase()))
        .collect();
    let is_other = |name: &String| OTHER_VARIABLES.contains(&name.as_str()) || known.contains(name);
    let mut wrong: Vec<String> = names
        .filter(|name| tables.iter().any(|table| name.starts_with(table)) && !is_other(name))
        .map(|name| match nearest(&name, known.iter().map(String::as_str)) {
            Some(near) => format!("{name} is no setting: did you mean {near}?"),
            None => format!("{name} is no setting: `cis config show` lists all"),
        })
        .collect();
    wrong.sort_unstable();
    wrong
}

fn entry(setting: &Setting, settings: &Settings, origin: Origin) -> Entry {
    let value = setting.text(settings);
    Entry { key: setting.key.to_owned(), value, origin, scope: setting.scope }
}

fn group_entries(name: &str, group: Group, line: u32) -> [Entry; 2] {
    let one = |key: &str, value: String| Entry {
        key: format!("groups.{name}.{key}"),
        value,
        origin: Origin::File { line },
        scope: Scope::Node,
    };
    [one("limit", group.limit.to_string()), one("frees_when_blocked", group.frees_when_blocked.to_string())]
}

/// The value of a setting's variable; an empty one counts as not set.
fn variable_of(
    setting: &Setting,
    variable: &impl Fn(&str) -> Option<OsString>,
    wrong: &mut Vec<String>,
) -> Option<(Value, Origin)> {
    let name = setting.variable();
    let text = variable(&name).filter(|text| !text.is_empty())?;
    let read = match text.to_str() {
        Some(text) => setting.kind.read(text).map_err(|why| format!("{name}={} {why}", text.escape_debug())),
        None => Err(format!("{name} is not UTF-8")),
    };
    match read {
        Ok(value) => Some((value, Origin::Variable { name })),
        Err(why) => {
            wrong.push(why);
            None
        }
    }
}

fn read_flags(flags: &[String], wrong: &mut Vec<String>) -> Vec<(&'static Setting, Value)> {
    let mut found = Vec::new();
    for flag in flags {
        let (key, text) = flag.split_once('=').unwrap_or((flag, ""));
        let key = key.trim();
        match find(key) {
            Some(setting) => match setting.kind.read(text) {
                Ok(value) => found.push((setting, value)),
                Err(why) => wrong.push(format!("-c {}: {key} {why}", flag.escape_debug())),
            },
            None => {
                let hint = match nearest_key(key) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if key.starts_with("groups.") => {
                        "groups stand in the file, or are made by `cis group set`".to_owned()
                    }
                    None if key.starts_with("agents.") => "profiles of agents stand in the file".to_owned(),
                    None => "`cis config show` lists the settings".to_owned(),
                };
                wrong.push(format!("-c {}: there is no such setting; {hint}", flag.escape_debug()));
            }
        }
    }
    found
}

impl Config {
    /// Values that the node reads and that were given by a variable or a flag, as flags: what a node is
    /// started with again.
    #[must_use]
    pub fn node_flags(&self) -> Vec<String> {
        let given = |entry: &&Entry| matches!(entry.origin, Origin::Variable { .. } | Origin::Flag);
        let node = self.entries.iter().filter(|entry| entry.scope == Scope::Node);
        node.filter(given).map(|entry| format!("{}={}", entry.key, entry.value)).collect()
    }

    /// What the node reads and the file says otherwise by now: each in words. Values that variables and
    /// flags gave stay as they are.
    #[must_use]
    pub fn changed_since(&self, home: &Home) -> Vec<String> {
        let now = match load(home, |_| None, &self.node_flags()) {
            Ok(now) => now,
            Err(error) => {
                return vec![format!(
                    "the configuration cannot be read any more, so that this node could not be started again: {error}; `cis config check` shows all"
                )];
            }
        };
        let find = |entries: &[Entry], key: &str| {
            entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.clone())
        };
        let node = |entry: &&Entry| entry.scope == Scope::Node;
        let mut keys: Vec<&str> = self.entries.iter().filter(node).map(|entry| entry.key.as_str()).collect();
        keys.extend(now.entries.iter().filter(node).map(|entry| entry.key.as_str()));
        keys.sort_unstable();
        keys.dedup();
        let changed = keys.into_iter().filter_map(|key| {
            let (old, new) = (find(&self.entries, key), find(&now.entries, key));
            (old != new).then(|| {
                let said = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
                format!("{key} is {} here and {} in the configuration", said(old), said(new))
            })
        });
        let changed: Vec<String> = changed.collect();
        if changed.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "the configuration changed since this node started: {}; `cis node stop`, and the next node has it (sessions go on)",
            changed.join(", ")
        )]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn home(dir: &tempfile::TempDir, text: &str) -> Home {
        let home = Home::locate(Some(dir.path().join("h").into()), None, None).unwrap();
        fs::create_dir_all(&home.dir).unwrap();
        fs::write(home.config_file(), text).unwrap();
        home
    }

    fn origin<'c>(config: &'c Config, key: &str) -> (&'c str, &'c Origin) {
        let entry = config.entries.iter().find(|entry| entry.key == key).unwrap();
        (&entry.value, &entry.origin)
    }

    #[test]
    fn variables_that_look_like_settings_and_are_none_are_told() {
        let names = [
            "CIS_NODE_MAX_SESIONS",
            "CIS_NODE_MAX_SESSIONS",
            "CIS_TIMEOUTS_X",
            "CIS_HOME",
            "CIS_API_TOKEN",
            "PATH",
        ];
        let wrong = unknown_variables(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(
            wrong,
            [
                "CIS_NODE_MAX_SESIONS is no setting: did you mean CIS_NODE_MAX_SESSIONS?",
                "CIS_TIMEOUTS_X is no setting: `cis config show` lists all",
            ]
        );
    }

    #[test]
    fn each_layer_lies_over_the_one_before_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(
            &dir,
            "[timeouts]\nexec_default = \"1m\"\nexec_max = \"2m\"\nsession_idle = \"3m\"\n[groups.g]\nlimit = 2\n",
        );
        let variable = |name: &str| match name {
            "CIS_TIMEOUTS_EXEC_MAX" => Some("4m".into()),
            "CIS_TIMEOUTS_SESSION_IDLE" => Some("5m".into()),
            "CIS_NODE_MAX_SESSIONS" => Some("".into()),
            _ => None,
        };
        let flags = ["timeouts.session_idle=1s".to_owned(), "timeouts.session_idle=6m".to_owned()];
        let config = load(&home, variable, &flags).unwrap();
        assert_eq!(origin(&config, "node.max_sessions"), ("1000", &Origin::Default));
        assert_eq!(origin(&config, "timeouts.exec_default"), ("1m", &Origin::File { line: 2 }));
        let name = "CIS_TIMEOUTS_EXEC_MAX".to_owned();
        assert_eq!(origin(&config, "timeouts.exec_max"), ("4m", &Origin::Variable { name }));
        assert_eq!(origin(&config, "timeouts.session_idle"), ("6m", &Origin::Flag), "the last counts");
        assert_eq!(origin(&config, "groups.g.limit"), ("2", &Origin::File { line: 5 }));
        assert_eq!(config.settings.timeouts.session_idle_ms, 360_000);
        assert_eq!(config.settings.groups["g"].limit, 2);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&dir, "[timeouts]\nexec_max = 4\n");
        let variable = |name: &str| (name == "CIS_NODE_MAX_SESSIONS").then(|| "none".into());
        let flags = ["node.max_session=3".to_owned(), "node.log_limit=1".to_owned(), "x".to_owned()];
        let error = load(&home, variable, &flags).unwrap_err();
        assert!(matches!(error.file, Some(FileError::Mistakes(..))));
        insta::assert_snapshot!(error.others.join("\n"), @r"
        -c node.max_session=3: there is no such setting; did you mean `node.max_sessions`?
        -c node.log_limit=1: node.log_limit must be at least 64KiB
        -c x: there is no such setting; `cis config show` lists the settings
        CIS_NODE_MAX_SESSIONS=none must be a whole number from 1 to 4294967295
        ");
    }

    #[test]
    fn a_node_notices_what_the_file_says_otherwise_by_now() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&dir, "[node]\nmax_sessions = 5\n[timeouts]\nexec_max = \"1h\"\n");
        let variable = |name: &str| (name == "CIS_NODE_IDLE_EXIT").then(|| "7s".into());
        let config = load(&home, variable, &[]).unwrap();
        assert_eq!(config.node_flags(), ["node.idle_exit=7s"]);
        assert_eq!(config.changed_since(&home), Vec::<String>::new());
        fs::write(home.config_file(), "[node]\nmax_sessions = 5\nidle_exit = \"9s\"\n").unwrap();
        assert_eq!(config.changed_since(&home), Vec::<String>::new(), "its variable still decides");
        fs::write(home.config_file(), "[node]\nmax_sessions = 6\n[groups.g]\nlimit = 1\n").unwrap();
        let [said] = config.changed_since(&home).try_into().unwrap();
        assert!(
            said.contains("max_sessions is 5 here and 6 in") && said.contains("groups.g.limit"),
            "{said}"
        );
        fs::write(home.config_file(), "[node]\nmax_sessions = x\n").unwrap();
        assert!(config.changed_since(&home)[0].contains("cis config check"));
    }
}
