//! `!cis …` into a request.

use std::collections::BTreeSet;

use super::shape::{DagName, ParamName, ShapeError, Target};
use super::{Hint, Request, VERBS, Verb};
use crate::event::PromptKind;
use crate::identity::{Right, key_of};
use crate::ids::NodeDid;
use crate::text::clean;

/// What begins a command.
const PREFIX: &str = "!cis";
/// A command is no longer, bytes.
const COMMAND_BYTES_MAX: usize = 8 << 10;
/// The words of an answer, a reason or a value are no longer, bytes.
pub(super) const WORDS_BYTES_MAX: usize = 4096;
/// So many parameters are taken.
const PARAMS_MAX: usize = 64;

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// Talk among people.
    NotForUs,
    /// Something to be done.
    Request(Request),
    /// Meant for us, and not understood.
    Hint(Hint),
}

/// Reads somebody's own words.
#[must_use]
pub fn command(body: &str) -> Read {
    let body = body.trim();
    let Some(rest) =
        body.strip_prefix(PREFIX).filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    else {
        return Read::NotForUs;
    };
    match request(rest.trim()) {
        Ok(request) => Read::Request(request),
        Err(hint) => Read::Hint(hint),
    }
}

fn request(rest: &str) -> Result<Request, Hint> {
    if rest.len() > COMMAND_BYTES_MAX {
        return Err(Hint::new("This is too long for a command."));
    }
    if rest.contains(['\n', '\r']) {
        return Err(Hint::new("A command has one line: please write each by itself."));
    }
    if rest.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Hint::new("A command has no control characters."));
    }
    let (verb, rest) = word(rest);
    match verb {
        "" | "help" | "?" => Ok(Request::Help),
        "status" => alone(verb, rest, Request::Status),
        "runs" => alone(verb, rest, Request::Runs),
        "nodes" => alone(verb, rest, Request::Nodes),
        "trust" => trust(rest),
        "run" => run(rest),
        "logs" => Ok(Request::Logs { task: only(verb, rest)? }),
        "screen" => Ok(Request::Screen { session: only(verb, rest)? }),
        "cancel" => Ok(Request::Cancel { run: only(verb, rest)? }),
        "retry" => Ok(Request::Retry { run: only(verb, rest)? }),
        "approve" => Ok(Request::Approve { item: only(verb, rest)? }),
        "report" => report(rest),
        "answer" => {
            let (item, words) = first(verb, rest)?;
            let words = words.ok_or_else(|| wants(verb, "Say also what you answer."))?;
            Ok(Request::Answer { item, words })
        }
        "reject" => {
            let (item, reason) = first(verb, rest)?;
            Ok(Request::Reject { item, reason })
        }
        other => Err(unknown(other)),
    }
}

/// A session, and what is true of it.
fn report(rest: &str) -> Result<Request, Hint> {
    let (session, kind) = first("report", rest)?;
    let waits_for = match kind.as_deref() {
        Some("none") => None,
        kind => Some(kind.and_then(PromptKind::parse).ok_or_else(|| {
            let kinds: Vec<&str> = PromptKind::ALL.iter().map(|kind| kind.as_str()).collect();
            wants("report", format!("Say also what it waits for: none, {}.", kinds.join(", ")))
        })?),
    };
    Ok(Request::Report { session, waits_for })
}

/// A node, and what it may do.
fn trust(rest: &str) -> Result<Request, Hint> {
    let (did, rights) = word(rest);
    let did = NodeDid(did.to_owned());
    if key_of(&did).is_err() {
        return Err(wants("trust", "Say also which node: `!cis nodes` shows the DID of each."));
    }
    let words = rights.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    let may: Result<BTreeSet<Right>, String> = words.map(str::parse).collect();
    let may = may.map_err(|_| wants("trust", "The rights are execute, coordinate and submit."))?;
    Ok(Request::Trust { did, may })
}

fn run(rest: &str) -> Result<Request, Hint> {
    let words = split(rest)?;
    let [name, params @ ..] = words.as_slice() else {
        return Err(wants("run", "Say also which DAG."));
    };
    let dag = DagName::new(name).map_err(|error| refused("run", &error))?;
    if params.len() > PARAMS_MAX {
        return Err(Hint::new(format!("At most {PARAMS_MAX} parameters can be given.")));
    }
    let mut read: Vec<(ParamName, String)> = Vec::new();
    for param in params {
        let (key, value) = param
            .split_once('=')
            .ok_or_else(|| wants("run", format!("“{}” is no KEY=VALUE.", clean::line(param, 40))))?;
        let key = ParamName::new(key).map_err(|error| refused("run", &error))?;
        if read.iter().any(|(known, _)| *known == key) {
            return Err(Hint::new(format!("“{}” is given twice.", key.as_str())));
        }
        read.push((key, value.to_owned()));
    }
    Ok(Request::Run { dag, params: read })
}

/// The first word, and what follows.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

fn alone(verb: &str, rest: &str, request: Request) -> Result<Request, Hint> {
    if rest.is_empty() { Ok(request) } else { Err(wants(verb, format!("`{verb}` stands alone."))) }
}

/// Exactly one target.
fn only(verb: &str, rest: &str) -> Result<Target, Hint> {
    match first(verb, rest)? {
        (target, None) => Ok(target),
        (_, Some(_)) => Err(wants(verb, format!("`{verb}` takes one id and nothing else."))),
    }
}

/// A target, and words where there are any.
fn first(verb: &str, rest: &str) -> Result<(Target, Option<String>), Hint> {
    let (target, words) = word(rest);
    if target.is_empty() {
        return Err(wants(verb, "Say also which one."));
    }
    let target = Target::new(target).map_err(|error| refused(verb, &error))?;
    if words.len() > WORDS_BYTES_MAX {
        return Err(Hint::new("Those are too many words for one answer."));
    }
    Ok((target, (!words.is_empty()).then(|| words.to_owned())))
}

/// Words between blanks; quotes of one kind hold blanks, also those that telephones write.
fn split(text: &str) -> Result<Vec<String>, Hint> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '"' | '\'' | '“') => {
                quote = Some(if c == '“' { '”' } else { c });
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Hint::new("A quote does not end."));
    }
    words.extend(word);
    Ok(words)
}

fn verb_of(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}

fn wants(verb: &str, says: impl Into<String>) -> Hint {
    let hint = Hint::new(says);
    match verb_of(verb) {
        Some(verb) => hint.usage(verb.usage),
        None => hint,
    }
}

fn refused(verb: &str, error: &ShapeError) -> Hint {
    wants(verb, format!("{error}."))
}

fn unknown(verb: &str) -> Hint {
    let shown = clean::line(verb, 40);
    let near = VERBS
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known.name, &shown.to_lowercase()), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 2);
    match near {
        Some((_, known)) => Hint::new(format!("There is no command “{shown}”. Perhaps:")).usage(known.usage),
        None => Hint::new(format!("There is no command “{shown}”.")).usage("!cis help"),
    }
}
