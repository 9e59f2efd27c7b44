//! Keys that most tasks do without: `if`, `foreach`, `approval`, `artifacts`, `inputs` and `cache`.

use std::borrow::Cow;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::super::diagnose::{Mistake, quoted};
use super::super::globs;
use super::super::template::{self, MAX_ITEMS, MAX_ITEMS_BYTES};
use super::keys;
use super::read::{Node, Placed, Reader};
use super::values::{json, text};
use crate::people::{Allowed, Matcher};

/// What a task says with these keys.
#[derive(Debug, Default)]
pub(super) struct Extras {
    pub(super) condition: Option<Placed<String>>,
    pub(super) foreach: Option<Placed<Items>>,
    pub(super) approval: Option<Approval>,
    pub(super) artifacts: Vec<Placed<String>>,
    pub(super) inputs: Vec<String>,
    pub(super) cache: Option<Cache>,
}

/// `foreach`.
#[derive(Debug)]
pub(super) enum Items {
    List(Vec<Value>),
    Expression(Placed<String>),
}

/// `approval`.
#[derive(Debug)]
pub(super) struct Approval {
    pub(super) prompt: Placed<String>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) allowed: Option<Allowed>,
}

/// `cache`.
#[derive(Debug)]
pub(super) struct Cache {
    /// None: `"auto"`.
    pub(super) key: Option<Placed<String>>,
    pub(super) ttl_ms: Option<u64>,
}

/// Reads these keys of a task; none where it has none of them.
pub(super) fn extras(reader: &mut Reader, table: &DeTable<'_>) -> Option<Box<Extras>> {
    let mut extras: Option<Box<Extras>> = None;
    for (key, node) in table {
        let key: &str = key.get_ref();
        if !matches!(key, "if" | "foreach" | "approval" | "artifacts" | "inputs" | "cache") {
            continue;
        }
        let to = extras.get_or_insert_default();
        match key {
            "if" => to.condition = text(reader, key, node, "if = \"tasks.test.outputs.failed > 0\""),
            "foreach" => to.foreach = foreach(reader, node),
            "approval" => to.approval = approval(reader, node),
            "artifacts" => to.artifacts = globs(reader, key, node, "artifacts = [\"out/**\"]"),
            "inputs" => {
                let globs = globs(reader, key, node, "inputs = [\"src/**\"]");
                to.inputs = globs.into_iter().map(|glob| glob.value).collect();
            }
            "cache" => to.cache = cache(reader, node, table.contains_key("inputs")),
            _ => {}
        }
    }
    extras
}

fn foreach(reader: &mut Reader, node: &Node<'_>) -> Option<Placed<Items>> {
    let example = "foreach = [\"eu\", \"us\"], or foreach = \"tasks.plan.outputs.regions\"";
    let value = match node.get_ref() {
        DeValue::String(_) => Items::Expression(text(reader, "foreach", node, example)?),
        DeValue::Array(items) if items.len() > MAX_ITEMS => {
            let title = format!("`foreach` has {} items, and {MAX_ITEMS} are the most", items.len());
            reader.wrong(Mistake::new(node.span(), title).help("split the work, or have one item do more"));
            return None;
        }
        DeValue::Array(items) => {
            let mut values = Vec::with_capacity(items.len());
            let mut bytes = 0;
            for item in items {
                let value = json(reader, "foreach", item)?;
                bytes += value.as_str().map_or_else(|| value.to_string().len(), str::len);
                values.push(value);
            }
            if bytes > MAX_ITEMS_BYTES {
                let title = format!(
                    "the items of `foreach` are {bytes} bytes long, and {MAX_ITEMS_BYTES} are the most"
                );
                reader.wrong(Mistake::new(node.span(), title).help("have each name a file"));
                return None;
            }
            Items::List(values)
        }
        _ => {
            let title = "`foreach` must be a list or an expression in quotes";
            reader.wrong(Mistake::new(node.span(), title).help(format!("write {example}")));
            return None;
        }
    };
    Some(Placed { value, span: node.span() })
}

fn approval(reader: &mut Reader, node: &Node<'_>) -> Option<Approval> {
    let example = "approval = { prompt = \"Deploy?\" }";
    let table = reader.table("approval", node, example)?;
    reader.known_keys(table, "`approval`", keys::APPROVAL, &[]);
    let timeout_ms = table.get("timeout").and_then(|node| reader.duration("timeout", node, false));
    let allowed = table.get("allowed").and_then(|node| allowed(reader, node));
    let Some(prompt) = table.get("prompt") else {
        let title = "`approval` does not say what is asked";
        reader.wrong(Mistake::new(node.span(), title).help(format!("write {example}")));
        return None;
    };
    let prompt = text(reader, "prompt", prompt, "prompt = \"Deploy?\"")?;
    Some(Approval { prompt, timeout_ms, allowed })
}

/// Who may decide from a room; none where something is wrong with it.
fn allowed(reader: &mut Reader, node: &Node<'_>) -> Option<Allowed> {
    let example = "allowed = [\"pl>=50\", \"@ann:example.org\"]";
    let items = reader.list("allowed", node, |text| format!("allowed = [\"{text}\"]"), example);
    let mut matchers = Vec::with_capacity(items.len());
    for item in items {
        match reader.string("allowed", item, example)?.parse::<Matcher>() {
            Ok(matcher) => matchers.push(matcher),
            Err(wrong) => reader.wrong(Mistake::new(item.span(), wrong.to_string())),
        }
    }
    if matchers.len() < items.len() || node.get_ref().as_array().is_none() {
        return None;
    }
    match Allowed::new(matchers) {
        Ok(allowed) => Some(allowed),
        Err(wrong) => {
            reader.wrong(Mistake::new(node.span(), format!("nobody could decide: {wrong}")));
            None
        }
    }
}

fn globs(reader: &mut Reader, key: &str, node: &Node<'_>, example: &str) -> Vec<Placed<String>> {
    let items = reader.list(key, node, |text| format!("{key} = [\"{text}\"]"), example);
    if items.len() > globs::MAX_GLOBS {
        let title = format!("`{key}` has {} globs, and {} are the most", items.len(), globs::MAX_GLOBS);
        reader.wrong(Mistake::new(node.span(), title).help("use wider ones, such as \"out/**\""));
        return Vec::new();
    }
    let mut globs = Vec::with_capacity(items.len());
    for item in items {
        let Some(glob) = reader.string(key, item, example) else { continue };
        // The value of a template is known when the task ends, and the glob is checked with it then. Errors in the
        // template itself are reported where all templates are checked.
        let checked = match key {
            "artifacts" => template::with_placeholders(glob, "x"),
            _ => Some(Cow::Borrowed(glob)),
        };
        if let Some(Err((why, help))) = checked.map(|glob| reader.glob(&glob)) {
            let title = format!("{} cannot be a glob of `{key}`", quoted(glob));
            reader.wrong(Mistake::new(item.span(), title).label(why).help(help));
        }
        globs.push(Placed { span: item.span(), value: glob.to_owned() });
    }
    globs
}

fn cache(reader: &mut Reader, node: &Node<'_>, has_inputs: bool) -> Option<Cache> {
    let mut cache = Cache { key: None, ttl_ms: None };
    let mut span = node.span();
    match node.get_ref() {
        DeValue::Boolean(false) => return None,
        DeValue::Boolean(true) => {}
        _ => {
            let example = "cache = true, or cache = { key = \"auto\", ttl = \"7d\" }";
            let table = reader.table("cache", node, example)?;
            reader.known_keys(table, "`cache`", keys::CACHE, &[]);
            cache.ttl_ms = table.get("ttl").and_then(|node| reader.duration("ttl", node, false));
            if let Some(node) = table.get("key") {
                let key = text(reader, "key", node, "key = \"auto\"")?;
                span = node.span();
                cache.key = Some(key).filter(|key| key.value != "auto");
            }
        }
    }
    if cache.key.is_none() && !has_inputs {
        reader.wrong(
            Mistake::new(span, "this cache does not know what the result depends on")
                .label("\"auto\" needs `inputs`")
                .help("add inputs = [\"src/**\"]; [] if it reads no files; or write key = \"a text with {{ … }}\""),
        );
    }
    Some(cache)
}
