//! `cis config show`.

use cis_node::config::{Config, Entry, NAMED_TABLES, Origin};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::clean::clean;
use crate::output::style::{BOLD, DIM};
use crate::output::table::{Table, cell, plain};

/// Show settings, their values and the origin of each value
///
/// A shell with other variables may have other values. A node keeps the values of its start; `cis node status` says
/// which of them differ from the file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis config show
  cis config show timeouts
  cis config show --json | jq -r '.items[] | select(.origin != \"default\")'")]
pub(crate) struct Args {
    /// Only this setting, or the settings of this table
    #[arg(value_name = "KEY")]
    key: Option<String>,
}

#[derive(Serialize)]
struct Item<'c> {
    key: &'c str,
    value: &'c str,
    /// `default`, `file`, `variable` or `flag`.
    origin: &'static str,
    /// Of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    /// Of the variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<&'c str>,
}

#[derive(Serialize)]
struct Listing<'c> {
    path: String,
    items: Vec<Item<'c>>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let config = context.config()?;
    let wanted = |entry: &&Entry| {
        args.key.as_deref().is_none_or(|key| {
            entry.key == key || entry.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
        })
    };
    let entries: Vec<&Entry> = config.entries.iter().filter(wanted).collect();
    let without = args.key.as_deref().filter(|_| entries.is_empty());
    if let Some(key) = without.filter(|key| !NAMED_TABLES.contains(key)) {
        return Err(CliError::bad_input(format!("unknown setting `{key}`"))
            .hint("`cis config show` lists all of them"));
    }
    let listing = Listing {
        path: config.path.display().to_string(),
        items: entries.iter().map(|entry| item(entry)).collect(),
    };
    output::show(context.json, &listing, |listing| match without {
        Some(table) => format!("No {table} in {}.\n", clean(&listing.path)),
        None => human(&config, &entries),
    })?;
    Ok(Exit::OK)
}

fn item(entry: &Entry) -> Item<'_> {
    let (origin, line, variable) = match &entry.origin {
        Origin::Default => ("default", None, None),
        Origin::File { line } => ("file", Some(*line), None),
        Origin::Variable { name } => ("variable", None, Some(name.as_str())),
        Origin::Flag => ("flag", None, None),
    };
    Item { key: &entry.key, value: &entry.value, origin, line, variable }
}

fn human(config: &Config, entries: &[&Entry]) -> String {
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    for entry in entries {
        let changed = entry.origin != Origin::Default;
        let from = match &entry.origin {
            Origin::Default => "default".to_owned(),
            Origin::File { line } => format!("{}:{line}", config.path.display()),
            Origin::Variable { name } => name.clone(),
            Origin::Flag => "-c".to_owned(),
        };
        let value = if changed { cell(&entry.value, BOLD) } else { plain(&entry.value) };
        table.row(vec![plain(&entry.key), value, if changed { plain(from) } else { cell(from, DIM) }]);
    }
    table.render()
}
