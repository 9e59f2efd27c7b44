//! `on_blocked`: what happens when the session of a task waits for a human.

use toml::de::{DeTable, DeValue};

use super::super::diagnose::{Mistake, listed, nearest, quoted};
use super::super::model::{BlockedAction, OnBlocked};
use super::action::{self, DraftAction};
use super::read::{Node, Placed, Reader};
use super::{keys, values};
use crate::prompt::PromptKind;

const EXAMPLE: &str = "on_blocked = \"fail\", or on_blocked = { deadline = \"1h\", default = \"no\" }";

/// What is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Ask,
    Skip,
    Fail,
    Run,
}

/// `on_blocked`, key by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocked {
    action: Option<Word>,
    kinds: Option<Vec<PromptKind>>,
    escalate_after_ms: Option<Placed<u64>>,
    deadline_ms: Option<u64>,
    pub(super) notify: Option<Vec<Placed<String>>>,
    pub(super) default: Option<Placed<String>>,
    pub(super) run: Option<DraftAction>,
}

impl Blocked {
    pub(super) fn read(reader: &mut Reader, node: &Node<'_>) -> Self {
        let mut blocked = Self::default();
        if let DeValue::String(text) = node.get_ref() {
            if text.as_ref() == "run" {
                reader.wrong(no_command(node));
                return blocked;
            }
            let words = [("ask", Word::Ask), ("skip", Word::Skip), ("fail", Word::Fail)];
            blocked.action = reader.choice("value of on_blocked", node, &words);
            return blocked;
        }
        let Some(table) = reader.table("on_blocked", node, EXAMPLE) else { return blocked };
        reader.known_keys(table, "`on_blocked`", keys::ON_BLOCKED, &[]);
        for (key, node) in table {
            let key: &str = key.get_ref();
            match key {
                "action" => {
                    let words =
                        [("ask", Word::Ask), ("skip", Word::Skip), ("fail", Word::Fail), ("run", Word::Run)];
                    blocked.action = reader.choice(key, node, &words);
                }
                "kinds" => blocked.kinds = Some(kinds(reader, node)),
                "notify" => blocked.notify = Some(people(reader, node)),
                "escalate_after" => {
                    let ms = reader.duration(key, node, false);
                    blocked.escalate_after_ms = ms.map(|value| Placed { value, span: node.span() });
                }
                "deadline" => blocked.deadline_ms = reader.duration(key, node, false),
                "default" => blocked.default = values::text(reader, key, node, "default = \"no\""),
                "run" => blocked.run = run(reader, node),
                _ => {}
            }
        }
        blocked.fits(reader, node, table);
        blocked
    }

    /// That the keys of one table go together.
    fn fits(&mut self, reader: &mut Reader, node: &Node<'_>, table: &DeTable<'_>) {
        match (self.action, table.get("run")) {
            (Some(Word::Run), None) => reader.wrong(no_command(table.get("action").unwrap_or(node))),
            (None, Some(_)) => self.action = Some(Word::Run),
            (Some(word), Some(node)) if word != Word::Run => reader.wrong(
                Mistake::new(node.span(), "`run` is for action = \"run\"")
                    .label("nothing runs it")
                    .help("leave one of the two out"),
            ),
            _ => {}
        }
        let ends = match self.action {
            Some(Word::Skip) => "is skipped",
            Some(Word::Fail) => "fails",
            _ => return,
        };
        for key in ["notify", "escalate_after", "deadline", "default"] {
            if let Some(node) = table.get(key) {
                let title = format!("`{key}` is for a session that waits, and this one {ends} at once");
                reader.wrong(Mistake::new(node.span(), title).help("leave one of the two out"));
            }
        }
    }

    /// That what holds in the end goes together.
    pub(super) fn check(&self, reader: &mut Reader) {
        if self.ends_at_once() {
            return;
        }
        if let (Some(default), None) = (&self.default, self.deadline_ms) {
            reader.wrong(
                Mistake::new(default.span.clone(), "`default` is answered at a deadline, and there is none")
                    .help("add deadline = \"1h\""),
            );
        }
        if let (Some(tell), Some(deadline_ms)) = (&self.escalate_after_ms, self.deadline_ms)
            && tell.value >= deadline_ms
        {
            reader.wrong(
                Mistake::new(tell.span.clone(), "`escalate_after` is not shorter than `deadline`")
                    .label("nobody would be told")
                    .help("make it shorter"),
            );
        }
    }

    fn ends_at_once(&self) -> bool {
        matches!(self.action, Some(Word::Skip | Word::Fail))
    }

    /// This one where it says something, else `below`.
    pub(super) fn over(self, below: &Self) -> Self {
        Self {
            action: self.action.or(below.action),
            kinds: self.kinds.or_else(|| below.kinds.clone()),
            notify: self.notify.or_else(|| below.notify.clone()),
            escalate_after_ms: self.escalate_after_ms.or_else(|| below.escalate_after_ms.clone()),
            deadline_ms: self.deadline_ms.or(below.deadline_ms),
            default: self.default.or_else(|| below.default.clone()),
            run: self.run.or_else(|| below.run.clone()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self { action, kinds, escalate_after_ms, deadline_ms, notify, default, run } = self;
        action.is_none()
            && kinds.is_none()
            && escalate_after_ms.is_none()
            && deadline_ms.is_none()
            && notify.is_none()
            && default.is_none()
            && run.is_none()
    }

    /// What it means; none where nothing was said.
    pub(super) fn finish(self, shell: &str) -> Option<Box<OnBlocked>> {
        if self.is_empty() {
            return None;
        }
        let kinds = self.kinds.clone().unwrap_or_default();
        if self.ends_at_once() {
            // What the defaults say of one that waits does not matter here.
            let action =
                if self.action == Some(Word::Skip) { BlockedAction::Skip } else { BlockedAction::Fail };
            return Some(Box::new(OnBlocked { action, kinds, ..OnBlocked::default() }));
        }
        let action = match (self.action, self.run) {
            (Some(Word::Run), Some(run)) => BlockedAction::Run(run.finish(shell)),
            _ => BlockedAction::Ask,
        };
        Some(Box::new(OnBlocked {
            action,
            kinds,
            notify: self.notify.unwrap_or_default().into_iter().map(|who| who.value).collect(),
            escalate_after_ms: self.escalate_after_ms.map(|placed| placed.value),
            deadline_ms: self.deadline_ms,
            default: self.default.map(|placed| placed.value),
        }))
    }
}

fn no_command(node: &Node<'_>) -> Mistake {
    Mistake::new(node.span(), "`on_blocked` is to run something, and does not say what")
        .help("write on_blocked = { run = [\"./tell.sh\", \"{{ task.id }}\"] }")
}

/// A list is a command, a text is a script.
fn run(reader: &mut Reader, node: &Node<'_>) -> Option<DraftAction> {
    if node.get_ref().is_str() {
        action::script(reader, "run", node)
    } else {
        action::command(reader, "run", node)
    }
}

fn kinds(reader: &mut Reader, node: &Node<'_>) -> Vec<PromptKind> {
    let example = "kinds = [\"permission\", \"question\"]";
    let items = reader.list("kinds", node, |text| format!("kinds = [\"{text}\"]"), example);
    if items.is_empty() && node.get_ref().is_array() {
        let title = "`kinds` names no prompt";
        reader.wrong(Mistake::new(node.span(), title).help("leave it out to speak of all of them"));
    }
    let mut kinds: Vec<PromptKind> = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = reader.string("kinds", item, example) else { continue };
        match keys::PROMPTS.iter().find(|name| **name == text).and_then(|name| PromptKind::parse(name)) {
            Some(kind) if !kinds.contains(&kind) => kinds.push(kind),
            Some(_) => {}
            None => {
                let title = format!("{} is no kind of prompt", quoted(text));
                let mistake = Mistake::new(item.span(), title);
                reader.wrong(match nearest(text, keys::PROMPTS.iter().copied()) {
                    Some(near) => mistake.label(format!("did you mean \"{near}\"?")),
                    None => mistake.help(format!("there are {}", listed(keys::PROMPTS.iter().copied()))),
                });
            }
        }
    }
    kinds
}

fn people(reader: &mut Reader, node: &Node<'_>) -> Vec<Placed<String>> {
    let example = "notify = [\"@ann:example.org\"]";
    let items = reader.list("notify", node, |text| format!("notify = [\"{text}\"]"), example);
    items.iter().filter_map(|item| values::filled(reader, "notify", item, example)).collect()
}
