//! One of `[[tasks]]`, read and laid over the defaults. Who it needs is only known by name here.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;

use super::super::diagnose::{Mistake, quoted};
use super::super::model::{Trigger, ValueType};
use super::action::{DraftAction, action};
use super::extras::{self, Extras};
use super::layer::Layer;
use super::read::{Node, Placed, Reader};
use super::{keys, params};

/// So that the ids of 10,000 items are ids of tasks too.
const MAX_FOREACH_ID: usize = 64 - ".10000".len();

/// A task before its names are resolved.
#[derive(Debug)]
pub(super) struct Draft {
    /// As written, also where it is no good id: naming it elsewhere is not another mistake.
    pub(super) id: Option<Placed<String>>,
    pub(super) needs: Vec<Placed<String>>,
    pub(super) action: Option<DraftAction>,
    pub(super) outputs: BTreeMap<String, ValueType>,
    pub(super) layer: Box<Layer>,
    pub(super) extras: Option<Box<Extras>>,
}

pub(super) fn draft(reader: &mut Reader, span: Range<usize>, table: &DeTable<'_>, base: &Layer) -> Draft {
    reader.known_keys(table, "a task", keys::TASK, &[("[dag]", keys::DAG)]);
    let own = Layer::read(reader, table);
    let id = id(reader, &span, table);
    let needs = table.get("needs").map(|node| needs(reader, node)).unwrap_or_default();
    let action = action(reader, &span, table);
    unfit(reader, table, &own, action.as_ref());
    if let Some(Placed { value: Trigger::OneFailed, span }) = &own.trigger
        && needs.is_empty()
    {
        let title = "trigger = \"one_failed\" without needs never lets the task run";
        reader.wrong(Mistake::new(span.clone(), title).help("add needs = [\"the task that may fail\"]"));
    }
    let outputs = table.get("outputs").map(|node| params::outputs(reader, node)).unwrap_or_default();
    let extras = extras::extras(reader, table);
    if let (Some(id), Some(foreach)) = (&id, extras.as_ref().and_then(|extras| extras.foreach.as_ref()))
        && id.value.len() > MAX_FOREACH_ID
    {
        let title = format!("the id of a task with foreach has at most {MAX_FOREACH_ID} characters");
        reader.wrong(
            Mistake::new(id.span.clone(), title)
                .label("its items are called `….1`, `….2` and so on")
                .also(foreach.span.clone(), "it has foreach here"),
        );
    }
    let says = !own.on_blocked.is_empty();
    let layer = Box::new(own.over(base));
    if says {
        layer.on_blocked.check(reader);
    }
    Draft { id, needs, action, outputs, layer, extras }
}

/// Keys that this kind of task has no use for.
fn unfit(reader: &mut Reader, table: &DeTable<'_>, own: &Layer, action: Option<&DraftAction>) {
    let is_agent = matches!(action, Some(DraftAction::Agent { .. }));
    if let (Some(shell), Some(DraftAction::Command(_) | DraftAction::Agent { .. })) = (&own.shell, action) {
        let (what, key) = if is_agent { ("an agent", "agent") } else { ("a command", "command") };
        reader.wrong(
            Mistake::new(shell.span.clone(), "`shell` is for scripts")
                .label(format!("this task has {what}, which runs without a shell"))
                .help(format!("leave it out, or write script instead of {key}")),
        );
    }
    if is_agent && let (Some(false), Some(node)) = (own.tty, table.get("tty")) {
        reader.wrong(
            Mistake::new(node.span(), "an agent needs a terminal")
                .help("leave it out, or write command = [\"program\", …] for one that works without"),
        );
    }
    if action.is_some() && !is_agent {
        for key in ["prompt", "prompt_file"] {
            if let Some((key, _)) = table.get_key_value(key) {
                let title = format!("`{}` is for agents", key.get_ref());
                reader.wrong(Mistake::new(key.span(), title).help("write agent = \"NAME\" beside it"));
            }
        }
    }
}

fn id(reader: &mut Reader, span: &Range<usize>, table: &DeTable<'_>) -> Option<Placed<String>> {
    let Some(node) = table.get("id") else {
        reader.wrong(Mistake::new(span.clone(), "this task has no id").help("add id = \"name\""));
        return None;
    };
    let text = reader.string("id", node, "id = \"name\"")?;
    if !is_id(text) {
        let mut mistake = Mistake::new(node.span(), format!("{} cannot be the id of a task", quoted(text)))
            .help("use 1 to 64 of a-z, 0-9, `_` and `-`");
        let plain = near_id(text);
        if is_id(&plain) {
            mistake = mistake.label(format!("did you mean \"{plain}\"?"));
        }
        reader.wrong(mistake);
    }
    Some(Placed { value: text.to_owned(), span: node.span() })
}

/// An id as a file may have it: the dot of [`crate::ids::TaskId`] is for items that CIS makes.
pub(super) fn is_id(text: &str) -> bool {
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(plain)
}

fn near_id(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    text.trim().chars().map(plain).take(64).collect::<String>().trim_matches('-').to_owned()
}

fn needs(reader: &mut Reader, node: &Node<'_>) -> Vec<Placed<String>> {
    let mut needs: Vec<Placed<String>> = Vec::new();
    for item in reader.list("needs", node, |text| format!("needs = [\"{text}\"]"), "needs = [\"build\"]") {
        if let Some(text) = reader.string("needs", item, "needs = [\"build\"]") {
            needs.push(Placed { value: text.to_owned(), span: item.span() });
        }
    }
    needs
}
