//! `[dag]`, and what it says for every task.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::super::diagnose::Mistake;
use super::super::model::{Dag, Group};
use super::layer::Layer;
use super::read::{Node, Placed, Reader};
use super::{keys, params, values};

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
            head.dag.id =
                values::named(reader, "id", node, "a DAG", "id = \"name-of-this-dag\"").unwrap_or_default();
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
            "env" => head.base.env = values::env(reader, node),
            "cwd" => head.base.cwd = values::filled(reader, key, node, "cwd = \"sub/directory\""),
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

/// Concurrency groups, of a DAG or of a node; `example` shows where one stands.
pub fn groups(reader: &mut Reader, example: &str, node: &Node<'_>) -> BTreeMap<String, Group> {
    let mut groups = BTreeMap::new();
    let Some(table) = reader.table("groups", node, example) else { return groups };
    for (key, node) in table {
        let name: &str = key.get_ref();
        values::good_name(reader, name, key.span(), "a group");
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
            && let Some(task) = values::filled(reader, name, node, &format!("{name} = \"report\""))
        {
            named.push((kind, task));
        }
    }
    named
}
