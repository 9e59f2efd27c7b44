//! `[dag]`, and what it says for every task.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::super::diagnose::{Mistake, quoted};
use super::super::model::{Dag, Group};
use super::layer::Layer;
use super::read::{Node, Placed, Reader};
use super::{keys, layer, params};

/// `[dag]`, as far as it can be read by itself.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) dag: Dag,
    pub(super) base: Layer,
    /// `[dag.on]`: kinds of end, and the tasks named.
    pub(super) on: Vec<(Kind, Placed<String>)>,
}

/// When a handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Success,
    Failure,
    Cancel,
    Always,
    Blocked,
}

/// Reads `[dag]` of the whole file.
pub(super) fn head(reader: &mut Reader, text: &str, top: &DeTable<'_>) -> Head {
    let mut head = Head::default();
    let Some(node) = top.get("dag") else {
        let end = top.get("tasks").map_or(text.len(), |tasks| tasks.span().start);
        reader.wrong(
            Mistake::new(end..end, "the file has no [dag]").help("add [dag] with id = \"name-of-this-dag\""),
        );
        return head;
    };
    let Some(table) = reader.table("dag", node, "[dag]") else { return head };
    let others =
        [("[dag.defaults]", keys::DEFAULTS), ("a task", keys::TASK), ("the top of the file", keys::TOP)];
    reader.known_keys(table, "[dag]", keys::DAG, &others);
    match table.get("id") {
        Some(node) => {
            head.dag.id = named(reader, "id", node, "a DAG", "id = \"name-of-this-dag\"").unwrap_or_default();
        }
        None => {
            reader.wrong(Mistake::new(node.span(), "[dag] has no id").help("add id = \"name-of-this-dag\""))
        }
    }
    for (key, node) in table {
        let key: &str = key.get_ref();
        match key {
            "params" => head.dag.params = params::params(reader, node),
            "max_parallel" => head.dag.max_parallel = reader.count(key, node, 1),
            "timeout" => head.dag.timeout_ms = reader.duration(key, node, false),
            "env" => head.base.env = layer::env(reader, node),
            "cwd" => head.base.cwd = layer::filled(reader, key, node, "cwd = \"sub/directory\""),
            "groups" => head.dag.groups = groups(reader, "[dag.groups.NAME] with limit = 1", node),
            "on" => head.on = on(reader, node),
            _ => {}
        }
    }
    if let Some(defaults) = table.get("defaults")
        && let Some(table) = reader.table("defaults", defaults, "[dag.defaults]")
    {
        let others = [("each task", keys::TASK), ("[dag]", keys::DAG)];
        reader.known_keys(table, "[dag.defaults]", keys::DEFAULTS, &others);
        head.base = Layer::read(reader, table).over(&head.base);
        head.base.on_blocked.check(reader);
    }
    head
}

/// The name of a DAG or a group; also where it is no good one, so that it is one mistake and not two.
pub(super) fn named(
    reader: &mut Reader,
    key: &str,
    node: &Node<'_>,
    what: &str,
    example: &str,
) -> Option<String> {
    let text = reader.string(key, node, example)?;
    good_name(reader, text, node.span(), what);
    Some(text.to_owned())
}

fn good_name(reader: &mut Reader, text: &str, span: std::ops::Range<usize>, what: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let starts_well = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if !starts_well || text.len() > 64 || !text.bytes().all(plain) {
        reader.wrong(
            Mistake::new(span, format!("{} cannot be the id of {what}", quoted(text)))
                .help("use 1 to 64 letters, digits, `_`, `-` and `.`, a letter or digit first"),
        );
    }
}

/// Concurrency groups, of a DAG or of a node; `example` shows where one stands.
pub(crate) fn groups(reader: &mut Reader, example: &str, node: &Node<'_>) -> BTreeMap<String, Group> {
    let mut groups = BTreeMap::new();
    let Some(table) = reader.table("groups", node, example) else { return groups };
    for (key, node) in table {
        let name: &str = key.get_ref();
        good_name(reader, name, key.span(), "a group");
        let path = format!("groups.{name}");
        let Some(table) = reader.table(&path, node, &format!("{name} = {{ limit = 1 }}")) else { continue };
        reader.known_keys(table, "a group", keys::GROUP, &[]);
        let limit = match table.get("limit") {
            Some(node) => reader.count("limit", node, 1),
            None => {
                let title = format!("`{path}` has no limit");
                reader.wrong(Mistake::new(key.span(), title).help("add limit = 1"));
                None
            }
        };
        let frees =
            table.get("frees_when_blocked").and_then(|node| reader.boolean("frees_when_blocked", node));
        let group = Group { limit: limit.unwrap_or(1), frees_when_blocked: frees.unwrap_or(false) };
        groups.insert(name.to_owned(), group);
    }
    groups
}

fn on(reader: &mut Reader, node: &Node<'_>) -> Vec<(Kind, Placed<String>)> {
    let Some(table) = reader.table("on", node, "[dag.on] with failure = \"report\"") else {
        return Vec::new();
    };
    reader.known_keys(table, "[dag.on]", keys::ON, &[]);
    let mut named = Vec::new();
    for (name, kind) in [
        ("success", Kind::Success),
        ("failure", Kind::Failure),
        ("cancel", Kind::Cancel),
        ("always", Kind::Always),
        ("blocked", Kind::Blocked),
    ] {
        if let Some(node) = table.get(name)
            && let Some(task) = layer::filled(reader, name, node, &format!("{name} = \"report\""))
        {
            named.push((kind, task));
        }
    }
    named
}
