//! Reads values of a TOML tree as the types that the format wants, and says what is wrong with the rest.
//!
//! Every method answers `None` after it has recorded a mistake, so that reading goes on.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::diagnose::{Mistake, Mistakes, listed, nearest, quoted};
use super::super::globs;
use super::keys::{self, Keys};

/// A value and where it stands, bytes.
pub type Node<'i> = Spanned<DeValue<'i>>;

/// Something read, and where it stands, bytes.
#[derive(Debug, Clone)]
pub struct Placed<T> {
    /// What was read.
    pub value: T,
    /// Where.
    pub span: Range<usize>,
}

/// Ten years, ms: longer is a mistake, and sums of such times must not overflow.
const LONGEST_MS: u128 = 10 * 365 * 24 * 3600 * 1000;

/// Records mistakes.
#[derive(Debug, Default)]
pub struct Reader {
    /// Those so far.
    pub mistakes: Mistakes,
    /// The file is that of a run. See [`super::parse_accepted`].
    pub is_accepted: bool,
    good_globs: BTreeSet<String>,
}

impl Reader {
    /// Of the file of a run.
    pub fn of_accepted() -> Self {
        Self { is_accepted: true, ..Self::default() }
    }

    /// Adds a mistake.
    pub fn wrong(&mut self, mistake: Mistake) {
        self.mistakes.add(mistake);
    }

    /// `example` shows the right form, such as `timeout = "30s"`.
    fn wrong_type(&mut self, key: &str, node: &Node<'_>, wanted: &str, example: &str) {
        let found = with_article(node.get_ref());
        self.wrong(
            Mistake::new(node.span(), format!("`{key}` must be {wanted}"))
                .label(format!("this is {found}"))
                .help(format!("write {example}")),
        );
    }

    /// Reads a table. `example` shows one.
    pub fn table<'n, 'i>(&mut self, key: &str, node: &'n Node<'i>, example: &str) -> Option<&'n DeTable<'i>> {
        let table = node.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(key, node, "a table", example);
        }
        table
    }

    /// A string without NUL.
    pub fn string<'n>(&mut self, key: &str, node: &'n Node<'_>, example: &str) -> Option<&'n str> {
        let Some(text) = node.get_ref().as_str() else {
            let example = match written_scalar(node.get_ref()) {
                Some(scalar) => format!("it in quotes: \"{scalar}\""),
                None => example.to_owned(),
            };
            self.wrong_type(key, node, "a string", &example);
            return None;
        };
        if text.contains('\0') {
            self.wrong(
                Mistake::new(node.span(), format!("`{key}` holds a NUL character"))
                    .label("no argument, variable or path can hold one")
                    .help("leave \\u0000 out"),
            );
            return None;
        }
        Some(text)
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self, key: &str, node: &Node<'_>) -> Option<bool> {
        let value = node.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type(key, node, "true or false", &format!("{key} = true, without quotes"));
        }
        value
    }

    /// A whole number of 32 bits.
    pub(super) fn number(&mut self, key: &str, node: &Node<'_>) -> Option<i32> {
        if node.get_ref().as_integer().is_none() {
            self.wrong_type(key, node, "a whole number", &format!("{key} = 5"));
            return None;
        }
        let value = integer(node.get_ref()).and_then(|n| i32::try_from(n).ok());
        if value.is_none() {
            let title = format!("`{key}` must be from {} to {}", i32::MIN, i32::MAX);
            self.wrong(Mistake::new(node.span(), title).help(format!("write {key} = 5")));
        }
        value
    }

    /// A whole number from `least` to `u32::MAX`.
    pub fn count(&mut self, key: &str, node: &Node<'_>, least: u32) -> Option<u32> {
        let example = format!("{key} = 3");
        if node.get_ref().as_integer().is_none() {
            self.wrong_type(key, node, "a whole number", &example);
            return None;
        }
        let value = integer(node.get_ref()).and_then(|n| u32::try_from(n).ok()).filter(|n| *n >= least);
        if value.is_none() {
            self.wrong(
                Mistake::new(node.span(), format!("`{key}` must be from {least} to {}", u32::MAX))
                    .help(format!("write {example}")),
            );
        }
        value
    }

    /// A time such as `"30s"`, ms.
    pub fn duration(&mut self, key: &str, node: &Node<'_>, may_be_zero: bool) -> Option<u64> {
        let forms = "`500ms`, `30s`, `5m`, `2h` or `1h 30m`";
        let Some(text) = node.get_ref().as_str() else {
            let example = match node.get_ref() {
                DeValue::Integer(n) => format!("{key} = \"{n}s\" for seconds, or another unit: {forms}"),
                _ => format!("{key} = \"30s\"; there are {forms}"),
            };
            self.wrong_type(key, node, "a time with its unit, as a string", &example);
            return None;
        };
        let wrong = |label: String| {
            Mistake::new(node.span(), format!("`{key}` is not a time"))
                .label(label)
                .help(format!("write {forms}"))
        };
        let Ok(duration) = humantime::parse_duration(text) else {
            let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let label = if bare { format!("did you mean \"{text}s\"?") } else { String::new() };
            self.wrong(wrong(label));
            return None;
        };
        let ms = duration.as_millis();
        let mistake = if ms > LONGEST_MS {
            "longer than ten years"
        } else if ms == 0 && !duration.is_zero() {
            "shorter than a millisecond"
        } else if ms == 0 && !may_be_zero {
            "must be longer than nothing"
        } else {
            return u64::try_from(ms).ok();
        };
        self.wrong(wrong(mistake.to_owned()));
        None
    }

    /// The items of an array of strings. `fix` writes a lone string as one.
    pub(crate) fn list<'n, 'i>(
        &mut self,
        key: &str,
        node: &'n Node<'i>,
        fix: impl Fn(&str) -> String,
        example: &str,
    ) -> &'n [Node<'i>] {
        match node.get_ref() {
            DeValue::Array(items) => items,
            other => {
                let mut mistake = Mistake::new(node.span(), format!("`{key}` must be an array of strings"));
                mistake = match other.as_str() {
                    Some(text) => mistake.label("this is a string").help(format!("write {}", fix(text))),
                    None => mistake.help(format!("write {example}")),
                };
                self.wrong(mistake);
                &[]
            }
        }
    }

    /// What is wrong with a glob, and what to write.
    pub(super) fn glob(&mut self, glob: &str) -> Result<(), (String, String)> {
        // Many tasks have the same few.
        if !self.good_globs.contains(glob) {
            globs::check(glob)?;
            self.good_globs.insert(glob.to_owned());
        }
        Ok(())
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, key: &str, node: &Node<'_>, choices: &[(&str, T)]) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let example = format!("one of {}", listed(names()));
        let text = self.string(key, node, &example)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let mut mistake = Mistake::new(node.span(), format!("{} is not a {key}", quoted(text)));
        mistake = match nearest(text, names()) {
            Some(near) => mistake.label(format!("did you mean \"{near}\"?")),
            None => mistake.help(format!("there are {}", listed(names()))),
        };
        self.wrong(mistake);
        None
    }

    /// Refuses keys that a table does not have. `others` are tables that a key may have been meant for.
    pub(super) fn known_keys(
        &mut self,
        table: &DeTable<'_>,
        place: &str,
        keys: Keys,
        others: &[(&str, Keys)],
    ) {
        for (key, _) in table {
            let name: &str = key.get_ref();
            if keys::has(keys, name) {
                continue;
            }
            if self.mistakes.is_full() {
                self.wrong(Mistake::new(key.span(), "unknown key"));
                continue;
            }
            let mut mistake = Mistake::new(key.span(), format!("unknown key {} in {place}", quoted(name)));
            let meant = keys::same_elsewhere(keys, name).or_else(|| nearest(name, keys::names(keys)));
            if let Some(near) = meant {
                mistake = mistake.label(format!("did you mean `{near}`?"));
            } else if let Some((other, _)) = others.iter().find(|(_, keys)| keys::has(keys, name)) {
                mistake = mistake.label(format!("it belongs in {other}"));
            } else {
                mistake = mistake.help(format!("{place} has {}", listed(keys::names(keys))));
            }
            self.wrong(mistake);
        }
    }
}

/// The integer of a value, if it fits.
pub(crate) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn written_scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(n) => Some(n.to_string()),
        DeValue::Float(n) => Some(n.as_str().to_owned()),
        DeValue::Boolean(b) => Some(b.to_string()),
        _ => None,
    }
}

fn with_article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
