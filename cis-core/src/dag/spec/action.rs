//! What a task or an entry of `on_blocked` runs.

use std::ops::Range;

use toml::de::DeTable;

use super::super::diagnose::Mistake;
use super::super::template::{MAX_ARGUMENT_BYTES, MAX_SCRIPT_BYTES};
use super::read::{Node, Placed, Reader};
use super::values;
use crate::dag::PROMPT_BYTES_MAX;

/// `command`, `script` or `agent`.
#[derive(Debug, Clone)]
pub(super) enum DraftAction {
    Command(Vec<Placed<String>>),
    Script(Placed<String>),
    Agent { agent: String, prompt: DraftPrompt },
}

/// `prompt` or `prompt_file`.
#[derive(Debug, Clone)]
pub(super) enum DraftPrompt {
    Text(Placed<String>),
    File(Placed<String>),
}

/// Reads one task; `span` is where it begins.
pub(super) fn action(reader: &mut Reader, span: &Range<usize>, table: &DeTable<'_>) -> Option<DraftAction> {
    let mut found: Vec<_> =
        ["command", "script", "agent"].iter().filter_map(|key| table.get_key_value(*key)).collect();
    found.sort_by_key(|(key, _)| key.span().start);
    match found.as_slice() {
        [] => {
            let help = "add command = [\"program\", \"argument\"], script = \"…\", or agent = \"NAME\" with a prompt";
            reader.wrong(Mistake::new(span.clone(), "this task does nothing").help(help));
            None
        }
        [(key, node)] => match key.get_ref().as_ref() {
            "command" => command(reader, "command", node),
            "agent" => agent(reader, table, node),
            _ => script(reader, "script", node),
        },
        [(first, _), (second, _), ..] => {
            let with_article =
                |key: &str| if key == "agent" { "an agent".to_owned() } else { format!("a {key}") };
            let (first_has, second_has) = (with_article(first.get_ref()), with_article(second.get_ref()));
            let title = format!("this task has {first_has} and {second_has}");
            reader.wrong(
                Mistake::new(second.span(), title)
                    .label("leave one of them out")
                    .also(first.span(), "here is the other"),
            );
            None
        }
    }
}

fn agent(reader: &mut Reader, table: &DeTable<'_>, node: &Node<'_>) -> Option<DraftAction> {
    let agent = values::named(reader, "agent", node, "an agent", "agent = \"claude\"")?;
    let prompt = match (table.get_key_value("prompt"), table.get_key_value("prompt_file")) {
        (None, None) => {
            reader.wrong(
                Mistake::new(node.span(), "this agent is not told what to do")
                    .help("add prompt = \"…\" or prompt_file = \"path\""),
            );
            return None;
        }
        (Some((text, _)), Some((file, _))) => {
            reader.wrong(
                Mistake::new(file.span(), "this task has a prompt and a prompt_file")
                    .label("leave one of them out")
                    .also(text.span(), "here is the other"),
            );
            return None;
        }
        (Some((_, node)), None) => {
            let text = values::filled(reader, "prompt", node, "prompt = \"Make the tests pass.\"")?;
            too_long(reader, "prompt", &text, PROMPT_BYTES_MAX);
            DraftPrompt::Text(text)
        }
        (None, Some((_, node))) => DraftPrompt::File(values::filled(
            reader,
            "prompt_file",
            node,
            "prompt_file = \"prompts/fix.md\"",
        )?),
    };
    Some(DraftAction::Agent { agent, prompt })
}

pub(super) fn script(reader: &mut Reader, key: &str, node: &Node<'_>) -> Option<DraftAction> {
    let script = values::filled(reader, key, node, &format!("{key} = \"./test.sh\""))?;
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
