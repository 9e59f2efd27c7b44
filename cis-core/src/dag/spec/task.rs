//! One of `[[tasks]]`, read and laid over the defaults. Who it needs is only known by name here.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;

use super::super::diagnose::{Mistake, quoted};
use super::super::model::{Trigger, ValueType};
use super::super::template::{MAX_ARGUMENT_BYTES, MAX_SCRIPT_BYTES};
use super::extras::{self, Extras};
use super::layer::{self, Layer};
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

/// `command` or `script`.
#[derive(Debug, Clone)]
pub(super) enum DraftAction {
    Command(Vec<Placed<String>>),
    Script(Placed<String>),
}

/// Reads one task; `span` is where it begins.
pub(super) fn draft(reader: &mut Reader, span: Range<usize>, table: &DeTable<'_>, base: &Layer) -> Draft {
    reader.known_keys(table, "a task", keys::TASK, &[("[dag]", keys::DAG)]);
    let own = Layer::read(reader, table);
    let id = id(reader, &span, table);
    let needs = table.get("needs").map(|node| needs(reader, node)).unwrap_or_default();
    let action = action(reader, &span, table);
    if let (Some(shell), Some(DraftAction::Command(_))) = (&own.shell, &action) {
        reader.wrong(
            Mistake::new(shell.span.clone(), "`shell` is for scripts")
                .label("this task has a command, which runs without a shell")
                .help("leave it out, or write script instead of command"),
        );
    }
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

fn action(reader: &mut Reader, span: &Range<usize>, table: &DeTable<'_>) -> Option<DraftAction> {
    match (table.get_key_value("command"), table.get_key_value("script")) {
        (None, None) => {
            reader.wrong(
                Mistake::new(span.clone(), "this task does nothing")
                    .help("add command = [\"program\", \"argument\"] or script = \"…\""),
            );
            None
        }
        (Some((command, _)), Some((script, _))) => {
            let (first, second) = if command.span().start < script.span().start {
                (command, script)
            } else {
                (script, command)
            };
            reader.wrong(
                Mistake::new(second.span(), "this task has a command and a script")
                    .label("leave one of them out")
                    .also(first.span(), "here is the other"),
            );
            None
        }
        (Some((_, node)), None) => command(reader, "command", node),
        (None, Some((_, node))) => script(reader, "script", node),
    }
}

pub(super) fn script(reader: &mut Reader, key: &str, node: &Node<'_>) -> Option<DraftAction> {
    let script = layer::filled(reader, key, node, &format!("{key} = \"./test.sh\""))?;
    too_long(reader, key, &script, MAX_SCRIPT_BYTES);
    Some(DraftAction::Script(script))
}

pub(super) fn command(reader: &mut Reader, key: &str, node: &Node<'_>) -> Option<DraftAction> {
    let example = format!("{key} = [\"cargo\", \"test\"]");
    let fix = |text: &str| {
        let simple = text.chars().all(|c| c.is_alphanumeric() || " -_./:=@%+,".contains(c));
        let words = text.split_whitespace().map(|word| format!("\"{word}\"")).collect::<Vec<_>>();
        if simple && !words.is_empty() {
            format!("{key} = [{}]; or script = \"{text}\" to have a shell run it", words.join(", "))
        } else {
            format!("{example}; or script = \"…\" to have a shell run it")
        }
    };
    let items = reader.list(key, node, fix, &example);
    node.get_ref().as_array()?;
    let mut argv = Vec::with_capacity(items.len());
    for item in items {
        if let Some(text) = reader.string(key, item, &example) {
            let argument = Placed { value: text.to_owned(), span: item.span() };
            too_long(reader, "an argument", &argument, MAX_ARGUMENT_BYTES);
            argv.push(argument);
        }
    }
    let empty = match (items.len(), argv.first()) {
        (0, _) => Some(node.span()),
        (_, Some(program)) if program.value.trim().is_empty() => Some(program.span.clone()),
        _ => None,
    };
    if let Some(span) = empty {
        reader
            .wrong(Mistake::new(span, format!("`{key}` names no program")).help(format!("write {example}")));
    }
    Some(DraftAction::Command(argv))
}

fn too_long(reader: &mut Reader, what: &str, text: &Placed<String>, limit: usize) {
    if text.value.len() > limit {
        reader.wrong(
            Mistake::new(
                text.span.clone(),
                format!("{what} is {} bytes long, and {limit} are the most", text.value.len()),
            )
            .help("put it into a file"),
        );
    }
}
