//! The keys that a task shares with `[dag.defaults]`, and how the two are laid over each other.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::super::diagnose::{Mistake, nearest, quoted};
use super::super::model::{Backoff, Commit, RetryOn, RetryPolicy, SecretSource, Trigger};
use super::blocked::Blocked;
use super::keys;
use super::read::{Node, Placed, Reader};
use super::values::{self, env, filled, variable};

/// What a task or the defaults say; `None` where they say nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    pub(super) env: BTreeMap<String, Placed<String>>,
    pub(super) secrets: BTreeMap<String, Placed<SecretSource>>,
    pub(super) cwd: Option<Placed<String>>,
    pub(super) shell: Option<Placed<String>>,
    pub(super) trigger: Option<Placed<Trigger>>,
    pub(super) tty: Option<bool>,
    pub(super) keeps_log: Option<bool>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) idle_ms: Option<u64>,
    pub(super) grace_ms: Option<u64>,
    pub(super) priority: Option<i32>,
    pub(super) group: Option<String>,
    pub(super) allow_failure: Option<bool>,
    pub(super) retry_lost: Option<bool>,
    pub(super) commit: Option<Commit>,
    pub(super) retries: Retries,
    pub(super) on_blocked: Box<Blocked>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) nodes: Option<Vec<String>>,
}

/// `retries`, key by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Retries {
    count: Option<u32>,
    backoff: Option<Backoff>,
    delay_ms: Option<u64>,
    max_delay_ms: Option<u64>,
    jitter: Option<bool>,
    on: Option<Vec<RetryOn>>,
}

impl Layer {
    /// Reads the keys of a layer out of `table`; other keys are the caller's.
    pub(super) fn read(reader: &mut Reader, table: &DeTable<'_>) -> Self {
        let mut layer = Self::default();
        for (key, node) in table {
            let key: &str = key.get_ref();
            match key {
                "env" => layer.env = env(reader, node),
                "secrets" => layer.secrets = secrets(reader, node),
                "cwd" => layer.cwd = filled(reader, key, node, "cwd = \"sub/directory\""),
                "shell" => layer.shell = shell(reader, node),
                "trigger" => layer.trigger = trigger(reader, node),
                "tty" => layer.tty = reader.boolean(key, node),
                "logs" => {
                    layer.keeps_log = reader.choice("logs", node, &[("upload", false), ("keep", true)]);
                }
                "timeout" => layer.timeout_ms = reader.duration(key, node, false),
                "idle" => layer.idle_ms = reader.duration(key, node, false),
                "priority" => layer.priority = reader.number(key, node),
                "concurrency" => layer.group = concurrency(reader, node),
                "grace" => layer.grace_ms = reader.duration(key, node, true),
                "allow_failure" => layer.allow_failure = reader.boolean(key, node),
                "retry_lost" => layer.retry_lost = reader.boolean(key, node),
                "commit" => {
                    let choices = [("coordinator", Commit::Coordinator), ("room", Commit::Room)];
                    layer.commit = reader.choice(key, node, &choices);
                }
                "retries" => layer.retries = Retries::read(reader, node),
                "tags" => layer.tags = Some(words(reader, key, node, "tags = [\"gpu\"]")),
                "nodes" => layer.nodes = Some(words(reader, key, node, "nodes = [\"build-1\"]")),
                "on_blocked" => *layer.on_blocked = Blocked::read(reader, node),
                _ => {}
            }
        }
        for (name, secret) in &layer.secrets {
            if let Some(variable) = layer.env.get(name) {
                reader.wrong(
                    Mistake::new(secret.span.clone(), format!("variable {} is set twice", quoted(name)))
                        .label("here as a secret")
                        .also(variable.span.clone(), "and here in the open"),
                );
            }
        }
        layer
    }

    /// This one where it says something, else `below`. Tables are laid over each other key by key.
    pub(super) fn over(self, below: &Self) -> Self {
        let mut env = below.env.clone();
        let mut secrets = below.secrets.clone();
        // The nearer one decides also whether a variable is secret.
        env.retain(|name, _| !self.secrets.contains_key(name));
        secrets.retain(|name, _| !self.env.contains_key(name));
        env.extend(self.env);
        secrets.extend(self.secrets);
        Self {
            env,
            secrets,
            cwd: self.cwd.or_else(|| below.cwd.clone()),
            shell: self.shell.or_else(|| below.shell.clone()),
            trigger: self.trigger.or_else(|| below.trigger.clone()),
            tty: self.tty.or(below.tty),
            keeps_log: self.keeps_log.or(below.keeps_log),
            timeout_ms: self.timeout_ms.or(below.timeout_ms),
            idle_ms: self.idle_ms.or(below.idle_ms),
            grace_ms: self.grace_ms.or(below.grace_ms),
            priority: self.priority.or(below.priority),
            group: self.group.or_else(|| below.group.clone()),
            allow_failure: self.allow_failure.or(below.allow_failure),
            retry_lost: self.retry_lost.or(below.retry_lost),
            commit: self.commit.or(below.commit),
            retries: self.retries.over(&below.retries),
            on_blocked: Box::new(self.on_blocked.over(&below.on_blocked)),
            tags: self.tags.or_else(|| below.tags.clone()),
            nodes: self.nodes.or_else(|| below.nodes.clone()),
        }
    }
}

impl Retries {
    fn read(reader: &mut Reader, node: &Node<'_>) -> Self {
        let mut retries = Self::default();
        if node.get_ref().is_integer() {
            retries.count = reader.count("retries", node, 0);
            return retries;
        }
        let example = "retries = 2, or retries = { count = 2, delay = \"1s\" }";
        let Some(table) = reader.table("retries", node, example) else { return retries };
        reader.known_keys(table, "`retries`", keys::RETRIES, &[]);
        let mut longest = None;
        for (key, node) in table {
            let key: &str = key.get_ref();
            match key {
                "count" => retries.count = reader.count(key, node, 0),
                "backoff" => {
                    let choices = [("fixed", Backoff::Fixed), ("exponential", Backoff::Exponential)];
                    retries.backoff = reader.choice(key, node, &choices);
                }
                "delay" => retries.delay_ms = reader.duration(key, node, true),
                "max_delay" => {
                    retries.max_delay_ms = reader.duration(key, node, true);
                    longest = Some(node.span());
                }
                "jitter" => retries.jitter = reader.boolean(key, node),
                "on" => retries.on = Some(endings(reader, node)),
                _ => {}
            }
        }
        if let (Some(delay), Some(max), Some(span)) = (retries.delay_ms, retries.max_delay_ms, longest)
            && max < delay
        {
            reader.wrong(
                Mistake::new(span, "`max_delay` is shorter than `delay`").help("make it as long at least"),
            );
        }
        retries
    }

    fn over(self, below: &Self) -> Self {
        Self {
            count: self.count.or(below.count),
            backoff: self.backoff.or(below.backoff),
            delay_ms: self.delay_ms.or(below.delay_ms),
            max_delay_ms: self.max_delay_ms.or(below.max_delay_ms),
            jitter: self.jitter.or(below.jitter),
            on: self.on.or_else(|| below.on.clone()),
        }
    }

    /// With what holds where nothing was said. A longer `delay` lifts the usual `max_delay`.
    pub(super) fn policy(self) -> RetryPolicy {
        let usual = RetryPolicy::default();
        let delay_ms = self.delay_ms.unwrap_or(usual.delay_ms);
        RetryPolicy {
            count: self.count.unwrap_or(usual.count),
            backoff: self.backoff.unwrap_or(usual.backoff),
            delay_ms,
            max_delay_ms: self.max_delay_ms.unwrap_or(usual.max_delay_ms).max(delay_ms),
            jitter: self.jitter.unwrap_or(usual.jitter),
            on: self.on.unwrap_or(usual.on),
        }
    }
}

/// Texts that are not empty, each once.
fn words(reader: &mut Reader, key: &str, node: &Node<'_>, example: &str) -> Vec<String> {
    let mut words = Vec::new();
    for item in reader.list(key, node, |text| format!("{key} = [\"{text}\"]"), example) {
        let Some(text) = filled(reader, key, item, example) else { continue };
        if !words.contains(&text.value) {
            words.push(text.value);
        }
    }
    words
}

/// `on` of `retries`: kinds of ending, each once.
fn endings(reader: &mut Reader, node: &Node<'_>) -> Vec<RetryOn> {
    const WORDS: &[(&str, RetryOn)] = &[
        ("timeout", RetryOn::Timeout),
        ("signal", RetryOn::Signal),
        ("outputs", RetryOn::Outputs),
        ("error", RetryOn::Error),
        ("blocked", RetryOn::Blocked),
        ("rate_limit", RetryOn::RateLimit),
        ("login", RetryOn::Login),
    ];
    let example = "on = [\"exit:75\", \"timeout\"]";
    let items = reader.list("on", node, |text| format!("on = [\"{text}\"]"), example);
    if items.is_empty() && node.get_ref().is_array() {
        let title = "`on` names no ending";
        reader.wrong(Mistake::new(node.span(), title).help("leave it out to try again after all of them"));
    }
    let mut endings = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = reader.string("on", item, example) else { continue };
        let ending = match text.strip_prefix("exit:") {
            Some(code) => code.parse().ok().filter(|code| (1..=255).contains(code)).map(RetryOn::Exit),
            None => WORDS.iter().find(|(word, _)| *word == text).map(|(_, ending)| *ending),
        };
        match ending {
            Some(ending) if !endings.contains(&ending) => endings.push(ending),
            Some(_) => {}
            None => {
                let mut mistake =
                    Mistake::new(item.span(), format!("{} is no ending that is tried again", quoted(text)));
                mistake = match nearest(text, WORDS.iter().map(|(word, _)| *word)) {
                    Some(near) => mistake.label(format!("did you mean \"{near}\"?")),
                    None => mistake
                        .help("there are exit:N with N from 1 to 255, timeout, signal, outputs, error, blocked, rate_limit and login"),
                };
                reader.wrong(mistake);
            }
        }
    }
    endings
}

fn concurrency(reader: &mut Reader, node: &Node<'_>) -> Option<String> {
    let example = "concurrency = { group = \"name\" }";
    let table = reader.table("concurrency", node, example)?;
    reader.known_keys(table, "`concurrency`", keys::CONCURRENCY, &[]);
    match table.get("group") {
        Some(node) => values::named(reader, "group", node, "a group", "group = \"name\""),
        None => {
            let title = "`concurrency` names no group";
            reader.wrong(Mistake::new(node.span(), title).help(format!("write {example}")));
            None
        }
    }
}

fn shell(reader: &mut Reader, node: &Node<'_>) -> Option<Placed<String>> {
    let shell = filled(reader, "shell", node, "shell = \"bash\"")?;
    let text = &shell.value;
    if text.contains("{{") {
        reader.wrong(
            Mistake::new(node.span(), "`shell` cannot be a template")
                .label("the quoting of values depends on it")
                .help("write shell = \"bash\""),
        );
        return None;
    }
    if !text.starts_with('/') && text.contains(char::is_whitespace) {
        let mut mistake = Mistake::new(node.span(), "`shell` is one program, without arguments");
        if let Some(name) = text.split_whitespace().next() {
            mistake =
                mistake.help(format!("write shell = \"{name}\", and `set -eu` or the like in the script"));
        }
        reader.wrong(mistake);
        return None;
    }
    Some(shell)
}

fn trigger(reader: &mut Reader, node: &Node<'_>) -> Option<Placed<Trigger>> {
    let choices = [
        ("all_success", Trigger::AllSuccess),
        ("all_done", Trigger::AllDone),
        ("one_failed", Trigger::OneFailed),
        ("always", Trigger::Always),
    ];
    reader.choice("trigger", node, &choices).map(|value| Placed { value, span: node.span() })
}

fn secrets(reader: &mut Reader, node: &Node<'_>) -> BTreeMap<String, Placed<SecretSource>> {
    let mut secrets = BTreeMap::new();
    let example = "secrets = { NPM_TOKEN = { env = \"NPM_TOKEN\" } }";
    let Some(table) = reader.table("secrets", node, example) else { return secrets };
    for (key, node) in table {
        let name: &str = key.get_ref();
        let is_name = variable(reader, name, key.span());
        let source = secret(reader, name, node);
        if let (true, Some(value)) = (is_name, source) {
            secrets.insert(name.to_owned(), Placed { value, span: node.span() });
        }
    }
    secrets
}

fn secret(reader: &mut Reader, name: &str, node: &Node<'_>) -> Option<SecretSource> {
    let key = format!("secrets.{name}");
    let example = format!("{name} = {{ env = \"{name}\" }} or {name} = {{ file = \"path\" }}");
    if node.get_ref().is_str() {
        // The text is not shown: whoever wrote a value here wrote a secret.
        reader.wrong(
            Mistake::new(node.span(), format!("`{key}` must say where its value is, not what it is"))
                .help(format!("write {example}")),
        );
        return None;
    }
    let table = reader.table(&key, node, &example)?;
    reader.known_keys(table, "a secret", keys::SECRET, &[]);
    match (table.get("env"), table.get("file")) {
        (Some(node), None) => {
            let text = filled(reader, "env", node, "env = \"NAME\"")?;
            if text.value.contains('=') {
                let title = format!("{} cannot be the name of a variable", quoted(&text.value));
                reader.wrong(Mistake::new(node.span(), title).label("it holds `=`"));
                return None;
            }
            // A run of an earlier version goes on: only the task without its secret fails.
            if text.value.starts_with("CIS_") && !reader.is_accepted {
                let title =
                    format!("`{key}` comes from {}, a variable that no run gets", quoted(&text.value));
                reader.wrong(
                    Mistake::new(node.span(), title)
                        .label("variables that start with CIS_ stay with the command")
                        .help("use a variable with another name, or file = \"path\""),
                );
                return None;
            }
            Some(SecretSource::Env(text.value))
        }
        (None, Some(node)) => {
            filled(reader, "file", node, "file = \"path\"").map(|p| SecretSource::File(p.value))
        }
        (Some(_), Some(_)) => {
            let title = format!("`{key}` has both env and file");
            reader.wrong(Mistake::new(node.span(), title).help(format!("write {example}")));
            None
        }
        (None, None) => {
            let title = format!("`{key}` does not say where its value is");
            reader.wrong(Mistake::new(node.span(), title).help(format!("write {example}")));
            None
        }
    }
}
