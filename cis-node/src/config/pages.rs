//! The annotated default file, made from the table of settings.

use std::fmt::Write as _;

use super::settings::{SETTINGS, Scope};
use cis_core::text::wrapped;

const HEAD: &str = "\
# Configuration of CIS: CIS_HOME/config.toml (~/.cis/config.toml).
# Every line is a comment that shows the default; remove the # from each line that you change.
# The environment variable in brackets overrides this file, and `cis -c KEY=VALUE …` overrides both.
# `cis config show` shows every value and where it comes from, `cis config check` finds errors.
# Secrets do not belong here.
";

const GROUPS: &str = "
# Concurrency groups of this node: how many tasks of all runs work at the same time. Read when the
# node starts.
# A task belongs to one by `concurrency = { group = \"NAME\" }`; `cis group list` shows them.

# [groups.NAME]
# limit = 2                    # tasks at the same time
# frees_when_blocked = false   # a session that waits for a human leaves its place to another task
";

const AGENTS: &str = "
# Profiles of agents, for `agent = \"NAME\"` in a DAG and `cis session create --agent NAME`. Built in are aider,
# claude, codex, copilot, gemini, llm, opencode, qwen and shell; a table with such a name needs only the keys that
# differ. Read when the node starts.

# [agents.NAME]
# extends = \"gemini\"               # profile whose keys apply where this table has none
# command = [\"gemini\", \"--debug\"]  # program and arguments
# prompt = \"argument\"              # how it gets its prompt: argument, stdin, typed at its input line, or none
# prompt_args = [\"-i\"]             # arguments before the prompt; {prompt} in one of them is replaced by it
# env = { EDITOR = \"true\" }        # on top of the session's environment
# account = \"gemini\"               # login that it uses: if it is logged out, all sessions of this account wait
# idle = \"done\"                    # at its input line again, the task is done, or it waits for you: ask
# login = \"retry\"                 # at a login screen, a few more attempts, or it waits for you: ask
# login_final = []                  # texts of a login screen after which another attempt is useless
# exit = [\"/quit\", \"\\r\"]          # texts that are typed to end it, one after the other
# timeout = \"4h\"                   # longest duration of an attempt with this agent
# screen = { markers = false }      # how its screen is read: docs/guide/monitor.md
";

/// A file in which everything stands as it is without a file.
#[must_use]
pub fn default_file() -> String {
    let mut out = HEAD.to_owned();
    let mut table = "";
    for setting in SETTINGS {
        if setting.table() != table {
            table = setting.table();
            let _ = writeln!(out, "\n[{table}]");
        }
        let _ = writeln!(out);
        let when = if setting.scope == Scope::Node { " Read when the node starts." } else { "" };
        for line in wrapped(&format!("{}{when} [{}]", setting.doc, setting.variable()), 98) {
            let _ = writeln!(out, "# {line}");
        }
        let default = setting.kind.read(setting.default).map(|value| setting.kind.toml(&value));
        let _ = writeln!(out, "# {} = {}", setting.name(), default.unwrap_or_default());
    }
    out.push_str(GROUPS);
    out.push_str(AGENTS);
    out
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn the_default_file_changes_nothing_and_holds_everything() {
        let text = default_file();
        assert_eq!(file::parse(text.as_bytes(), "default").unwrap(), file::Layer::default());
        // With every value switched on, each reads as the default that it shows.
        let on: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest)
                    if rest.starts_with("[groups")
                        || rest.starts_with("[agents")
                        || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) =>
                {
                    rest
                }
                _ => line,
            })
            .map(|line| line.replace("NAME]", "name]") + "\n")
            .collect();
        let layer = file::parse(on.as_bytes(), "default").unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(layer.values.len(), SETTINGS.len());
        assert_eq!(layer.groups.len(), 1);
        let keys: Vec<&str> = layer.agent_keys.iter().filter_map(|(key, ..)| key.split('.').nth(2)).collect();
        assert!(cis_core::agent::KEYS.iter().all(|key| keys.contains(key)), "{keys:?}");
        for setting in SETTINGS {
            assert_eq!(setting.kind.write(&layer.values[setting.key].0), setting.default, "{}", setting.key);
        }
    }
}
