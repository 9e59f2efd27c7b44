//! From the bytes of a DAG file to a checked [`Dag`], or to everything that is wrong with them.
//!
//! The TOML tree is walked by hand, not through serde: so every mistake is found in one go, and each
//! knows its place. The work is linear in the file, and nothing recurses by the file's will.

mod action;
mod blocked;
mod extras;
mod head;
mod keys;
mod layer;
mod offsets;
mod params;
pub mod read;
mod references;
mod schema;
mod task;
mod values;

pub use head::groups;
pub use schema::schema;
pub use values::good_name;

use std::borrow::Cow;

use toml::de::{DeTable, DeValue};

use self::layer::Layer;
use self::read::{Node, Reader, integer};
use self::task::Draft;
use super::diagnose::{Diagnostics, Mistake, Mistakes};
use super::model::Dag;

/// The longest file, bytes.
pub const MAX_FILE_BYTES: usize = 64 * 1024 * 1024;
/// The most tasks of a file.
pub const MAX_TASKS: usize = 1_000_000;

/// A file longer than this is not read on after its first mistake in TOML itself, bytes: garbage
/// would make more mistakes than fit into memory.
const MAX_RECOVERED_BYTES: usize = 1024 * 1024;

/// Reads a file. `source` is its name as the user gave it, for messages.
///
/// # Errors
/// At most 20 mistakes, each with its place, and how many more there are.
pub fn parse(text: &[u8], source: &str) -> Result<Dag, Diagnostics> {
    read(text, source, Reader::default())
}

/// Reads a file that a node, perhaps of an earlier version, has accepted: that of a run. Types that cannot be compared, and
/// secrets from variables that no run gets, are no mistake here, because earlier versions did not look for them, and the run
/// must go on. No expression is evaluated either.
///
/// # Errors
/// Those of [`parse`].
pub fn parse_accepted(text: &[u8], source: &str) -> Result<Dag, Diagnostics> {
    read(text, source, Reader::of_accepted())
}

fn read(text: &[u8], source: &str, mut reader: Reader) -> Result<Dag, Diagnostics> {
    let mut mistakes = Mistakes::default();
    if text.len() > MAX_FILE_BYTES {
        mistakes.add(
            Mistake::new(0..0, format!("the file is longer than {} MiB", MAX_FILE_BYTES / 1024 / 1024))
                .help("move large texts into files of their own"),
        );
        return Err(mistakes.finish("", source));
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => return Err(not_utf8(text, error.valid_up_to(), source)),
    };
    // In strings of several lines, TOML leaves line ends as they are (1.0, String). Shells take a carriage return for a part of the word before it.
    let text = &*unix_line_ends(text);
    let tree = toml_tree(text).map_err(|mistakes| mistakes.finish(text, source))?;
    let dag = file(&mut reader, text, tree);
    match dag {
        Some(dag) if reader.mistakes.is_empty() => Ok(dag),
        _ => Err(reader.mistakes.finish(text, source)),
    }
}

fn unix_line_ends(text: &str) -> Cow<'_, str> {
    if text.contains("\r\n") { text.replace("\r\n", "\n").into() } else { text.into() }
}

/// Says where a text is not UTF-8. `at`: so many bytes are.
pub fn not_utf8(bytes: &[u8], at: usize, source: &str) -> Diagnostics {
    // Only the line of the place is shown; decoding it keeps the bytes before the place as they are.
    let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end);
    let text = String::from_utf8_lossy(&bytes[..end.min(at + 200)]);
    let mut mistakes = Mistakes::default();
    mistakes.add(
        Mistake::new(at..at + 3, "the file is not UTF-8")
            .label(format!("byte 0x{:02x} starts no character", bytes.get(at).copied().unwrap_or_default()))
            .help("save the file as UTF-8"),
    );
    mistakes.finish(&text, source)
}

/// Reads TOML, with the place of everything.
///
/// # Errors
/// What is wrong with it as TOML.
pub fn toml_tree(text: &str) -> Result<DeTable<'_>, Mistakes> {
    let (tree, errors) = if text.len() > MAX_RECOVERED_BYTES {
        match DeTable::parse(text) {
            Ok(tree) => return Ok(tree.into_inner()),
            Err(error) => (DeTable::new(), vec![error]),
        }
    } else {
        let (tree, errors) = DeTable::parse_recoverable(text);
        (tree.into_inner(), errors)
    };
    if errors.is_empty() {
        return Ok(tree);
    }
    let mut mistakes = Mistakes::default();
    let mut last_line = None;
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        // One mistake often makes several errors of its line; the first says it best.
        let line_start = text.as_bytes()[..span.start.min(text.len())].iter().rposition(|b| *b == b'\n');
        if last_line.replace(line_start) != Some(line_start) {
            mistakes.add(not_toml(text, span, error.message()));
        }
    }
    Err(mistakes)
}

fn not_toml(text: &str, span: std::ops::Range<usize>, message: &str) -> Mistake {
    if !message.starts_with("string values must be quoted") {
        return Mistake::new(span, format!("this is not TOML: {message}"));
    }
    match text.get(span.clone()).map(str::trim).filter(|word| !word.is_empty()) {
        Some(word) => {
            Mistake::new(span, "this is not TOML: a text stands in quotes").label(format!("write \"{word}\""))
        }
        None => Mistake::new(span, "this is not TOML: there is no value"),
    }
}

fn file(reader: &mut Reader, text: &str, mut top: DeTable<'_>) -> Option<Dag> {
    if !version(reader, &top) {
        return None;
    }
    let others = [("[dag]", keys::DAG), ("[dag.defaults]", keys::DEFAULTS), ("a task", keys::TASK)];
    reader.known_keys(&top, "the file", keys::TOP, &others);
    let mut head = head::head(reader, text, &top);
    let Some(node) = top.remove("tasks") else {
        reader.wrong(
            Mistake::new(text.len()..text.len(), "the file has no tasks")
                .help("add [[tasks]] with id = \"hello\" and command = [\"echo\", \"hello\"]"),
        );
        return None;
    };
    let drafts = drafts(reader, node, &head.base)?;
    references::resolve(reader, text, &mut head, drafts)?;
    Some(head.dag)
}

/// `false`: the rest of the file follows rules that are not known here.
fn version(reader: &mut Reader, top: &DeTable<'_>) -> bool {
    let Some(node) = top.get("version") else {
        reader.wrong(
            Mistake::new(0..0, "the file does not say its version").help("add version = 1 at its top"),
        );
        return true;
    };
    if integer(node.get_ref()) == Some(1) {
        return true;
    }
    let is_number = node.get_ref().is_integer();
    let mistake = if is_number {
        Mistake::new(node.span(), "this version of the format is not known here")
            .help("write version = 1, or use a newer cis")
    } else {
        Mistake::new(node.span(), "`version` must be 1, without quotes").help("write version = 1")
    };
    reader.wrong(mistake);
    !is_number
}

/// Each table is gone when its draft is made: together they are by far the largest thing here.
fn drafts(reader: &mut Reader, node: Node<'_>, base: &Layer) -> Option<Vec<Draft>> {
    let example = "[[tasks]] before the keys of each task";
    let span = node.span();
    let items = match node.into_inner() {
        DeValue::Array(items) => items,
        DeValue::Table(_) => {
            reader.wrong(
                Mistake::new(span, "`tasks` is one table, not a list")
                    .help("write [[tasks]], with two brackets"),
            );
            return None;
        }
        _ => {
            reader.wrong(
                Mistake::new(span, "`tasks` must be a list of tables").help(format!("write {example}")),
            );
            return None;
        }
    };
    if items.is_empty() || items.len() > MAX_TASKS {
        let title = if items.is_empty() {
            "there are no tasks in it".to_owned()
        } else {
            format!("there are {} tasks, and {MAX_TASKS} are the most", items.len())
        };
        reader.wrong(Mistake::new(span, title).help(format!("write {example}")));
        return None;
    }
    let mut drafts = Vec::with_capacity(items.len());
    for item in items {
        if let Some(table) = reader.table("each of tasks", &item, example) {
            drafts.push(task::draft(reader, item.span(), table, base));
        }
    }
    Some(drafts)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
