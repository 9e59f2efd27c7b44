//! The annotated default file, made from the table of settings.

use std::fmt::Write as _;

use super::settings::{SETTINGS, Scope};
use cis_core::text::wrapped;

const HEAD: &str = "\
# Configuration of CIS: CIS_HOME/config.toml (~/.cis/config.toml).
# Every line is a comment that shows the default; take the # away from what you change.
# The variable in brackets comes before this file, and `cis -c KEY=VALUE …` before both.
# `cis config show` tells every value with its origin, `cis config check` finds mistakes.
# Secrets do not belong here.
";

const GROUPS: &str = "
# Concurrency groups of this node: so many tasks of all runs at a time. Read when the node starts.
# A task belongs to one by `concurrency = { group = \"NAME\" }`; `cis group list` shows them.

# [groups.NAME]
# limit = 2                    # tasks at a time
# frees_when_blocked = false   # one that waits for a human leaves its place to another
";

const AGENTS: &str = "
# Profiles of agents, for `agent = \"NAME\"` in a DAG and `cis session create --agent NAME`. Built in are aider,
# claude, codex, gemini, llm, opencode and shell; a table of such a name says only what is other than
# there. Read when the node starts.

# [agents.NAME]
# extends = \"gemini\"               # another profile, whose keys hold where this one has none
# command = [\"gemini\", \"--debug\"]  # program and arguments
# prompt = \"argument\"              # how it gets its prompt: argument, stdin, typed at its own prompt, or none
# prompt_args = [\"-i\"]             # arguments before the prompt; {prompt} in one of them stands for it
# env = { EDITOR = \"true\" }        # on top of the session's environment
# account = \"gemini\"               # whose login it uses: sessions of an account share what a logout teaches
# idle = \"done\"                    # with nothing more to do it is done, or it asks: ask
# login = \"retry\"                 # not logged in, a task tries a few times, or it waits for you: ask
# login_final = []                  # words of its login screen by which another try is of no use
# exit = [\"/quit\", \"\\r\"]          # what is typed to end it, one after the other
# timeout = \"4h\"                   # a task of it takes so long at most
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
