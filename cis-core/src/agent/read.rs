//! The keys of a profile, as they stand in a file of one's own or in `[agents.NAME]`.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use toml::de::{DeTable, ValueDeserializer};

use super::{Delivery, Login, PROMPT_PLACE};
use crate::dag::diagnose::{Mistake, listed, nearest, quoted};
use crate::dag::spec::read::{Node, Placed, Reader};
use crate::monitor::Idle;

/// What a profile can say of its start; what its screen means is said beside.
pub const KEYS: &[&str] = &[
    "extends",
    "command",
    "prompt",
    "prompt_args",
    "env",
    "account",
    "idle",
    "login",
    "login_final",
    "exit",
    "timeout",
    "screen",
];

/// More steps to end an agent are a mistake.
const EXIT_STEPS_MAX: usize = 8;

/// What one table says; none where it says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer {
    pub(crate) command: Option<Vec<String>>,
    pub(crate) prompt: Option<Delivery>,
    pub(crate) prompt_args: Option<Vec<String>>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) account: Option<String>,
    pub(crate) idle: Option<Idle>,
    pub(crate) login: Option<Login>,
    pub(crate) login_final: Option<Vec<String>>,
    pub(crate) exit: Option<Vec<String>>,
    pub(crate) timeout_ms: Option<u64>,
    /// What it says of its screen, to be laid over what it extends.
    pub(crate) screen: Option<toml::Table>,
}

impl Layer {
    /// This one where it says something, else `below`.
    pub(crate) fn over(self, below: &Self) -> Self {
        let mut env = below.env.clone();
        env.extend(self.env);
        Self {
            command: self.command.or_else(|| below.command.clone()),
            prompt: self.prompt.or(below.prompt),
            prompt_args: self.prompt_args.or_else(|| below.prompt_args.clone()),
            env,
            account: self.account.or_else(|| below.account.clone()),
            idle: self.idle.or(below.idle),
            login: self.login.or(below.login),
            login_final: self.login_final.or_else(|| below.login_final.clone()),
            exit: self.exit.or_else(|| below.exit.clone()),
            timeout_ms: self.timeout_ms.or(below.timeout_ms),
            // Laid over each other by whoever knows what the keys mean.
            screen: None,
        }
    }
}

/// Reads a profile's table: what it extends, and what it says. Keys that are not known are mistakes.
pub fn read(reader: &mut Reader, name: &str, table: &DeTable<'_>) -> (Option<Placed<String>>, Layer) {
    known_keys(reader, name, table);
    let (mut extends, mut layer) = (None, Layer::default());
    for (key, node) in table {
        let key: &str = key.get_ref();
        match key {
            "extends" => {
                let text = reader.string(key, node, "extends = \"gemini\"");
                extends = text.map(|text| Placed { value: text.to_owned(), span: node.span() });
            }
            "command" => layer.command = command(reader, node),
            "prompt" => {
                let choices = [
                    ("argument", Delivery::Argument),
                    ("stdin", Delivery::Stdin),
                    ("typed", Delivery::Typed),
                    ("none", Delivery::None),
                ];
                layer.prompt = reader.choice(key, node, &choices);
            }
            "prompt_args" => layer.prompt_args = prompt_args(reader, node),
            "env" => layer.env = env(reader, node),
            "account" => layer.account = filled(reader, key, node, "account = \"work\""),
            "idle" => layer.idle = reader.choice(key, node, &[("done", Idle::Done), ("ask", Idle::Ask)]),
            "login" => {
                layer.login = reader.choice(key, node, &[("retry", Login::Retry), ("ask", Login::Ask)])
            }
            "login_final" => {
                layer.login_final = texts(reader, key, node, "login_final = [\"invalid API key\"]")
            }
            "exit" => layer.exit = exit(reader, node),
            "screen" => layer.screen = screen(reader, node),
            "timeout" => layer.timeout_ms = reader.duration(key, node, false),
            _ => {}
        }
    }
    (extends, layer)
}

fn known_keys(reader: &mut Reader, name: &str, table: &DeTable<'_>) {
    for (key, _) in table {
        let found: &str = key.get_ref();
        if KEYS.contains(&found) {
            continue;
        }
        let place = format!("agent {}", quoted(name));
        let mut mistake = Mistake::new(key.span(), format!("unknown key {} in {place}", quoted(found)));
        mistake = match nearest(found, KEYS.iter().copied()) {
            Some(near) => mistake.label(format!("did you mean `{near}`?")),
            None => mistake.help(format!("an agent has {}", listed(KEYS.iter().copied()))),
        };
        reader.wrong(mistake);
    }
}

fn texts(reader: &mut Reader, key: &str, node: &Node<'_>, example: &str) -> Option<Vec<String>> {
    let items = reader.list(key, node, |text| format!("{key} = [\"{text}\"]"), example);
    node.get_ref().as_array()?;
    items.iter().map(|item| reader.string(key, item, example).map(str::to_owned)).collect()
}

fn command(reader: &mut Reader, node: &Node<'_>) -> Option<Vec<String>> {
    let example = "command = [\"gemini\"]";
    let argv = texts(reader, "command", node, example)?;
    if argv.first().is_none_or(|program| program.trim().is_empty()) {
        let title = "`command` names no program";
        reader.wrong(Mistake::new(node.span(), title).help(format!("write {example}")));
        return None;
    }
    Some(argv)
}

fn prompt_args(reader: &mut Reader, node: &Node<'_>) -> Option<Vec<String>> {
    let arguments = texts(reader, "prompt_args", node, "prompt_args = [\"-i\"]")?;
    if arguments.iter().map(|argument| argument.matches(PROMPT_PLACE).count()).sum::<usize>() > 1 {
        let title = format!("`prompt_args` has more than one {PROMPT_PLACE}");
        reader.wrong(Mistake::new(node.span(), title).help("the prompt is given once"));
        return None;
    }
    Some(arguments)
}

fn exit(reader: &mut Reader, node: &Node<'_>) -> Option<Vec<String>> {
    let example = "exit = [\"/quit\", \"\\r\"]";
    let steps = texts(reader, "exit", node, example)?;
    if steps.len() > EXIT_STEPS_MAX || steps.iter().any(String::is_empty) {
        let title = format!("`exit` is at most {EXIT_STEPS_MAX} texts, each with something in it");
        reader.wrong(Mistake::new(node.span(), title).help(format!("write {example}")));
        return None;
    }
    Some(steps)
}

fn filled(reader: &mut Reader, key: &str, node: &Node<'_>, example: &str) -> Option<String> {
    let text = reader.string(key, node, example)?;
    if text.trim().is_empty() {
        reader.wrong(Mistake::new(node.span(), format!("`{key}` is empty")).help(format!("write {example}")));
        return None;
    }
    Some(text.to_owned())
}

/// As it stands there: what its keys may be is the monitor's to say.
fn screen(reader: &mut Reader, node: &Node<'_>) -> Option<toml::Table> {
    reader.table("screen", node, "[agents.NAME.screen] with rules")?;
    match toml::Table::deserialize(ValueDeserializer::from(node.clone())) {
        Ok(table) => Some(table),
        Err(error) => {
            reader.wrong(Mistake::new(node.span(), "`screen` cannot be read").label(error.message()));
            None
        }
    }
}

fn env(reader: &mut Reader, node: &Node<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let example = "env = { NAME = \"value\" }";
    let Some(table) = reader.table("env", node, example) else { return env };
    for (key, node) in table {
        let name: &str = key.get_ref();
        if name.is_empty() || name.contains(['=', '\0']) || name.starts_with("CIS_") {
            let title = format!("{} cannot be the name of a variable", quoted(name));
            let help = "use letters, digits and `_`; names that start with CIS_ are set by CIS";
            reader.wrong(Mistake::new(key.span(), title).help(help));
        } else if let Some(text) = reader.string(&format!("env.{name}"), node, example) {
            env.insert(name.to_owned(), text.to_owned());
        }
    }
    env
}
