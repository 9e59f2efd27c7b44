//! Kinds of settings: how a value is written in a file, a variable or a flag, and what it must be.

use std::net::SocketAddr;
use std::time::Duration;

use cis_core::api::web::{host_name, origin};
use cis_core::federation::announcement::{ANNOUNCED, announced_type};
use cis_core::people::{Matcher, Mention};
use cis_core::room::{UserId, names_a_room};
use cis_core::text::control_byte;

/// The word for no limit.
const UNLIMITED: &str = "unlimited";
/// Ten years, ms: longer is a mistake, and sums of such times must not overflow.
const LONGEST_MS: u128 = 10 * 365 * 24 * 3600 * 1000;
/// Longer commands and lists are not taken, bytes.
const LIST_BYTES_MAX: usize = 16 << 10;
/// Longer texts are not taken, bytes.
const TEXT_BYTES_MAX: usize = 255;
/// Longer sequences of keys are not taken.
const KEYS_MAX: usize = 8;
/// Units of sizes, the longest suffixes first.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

/// What a value of a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, from this one to `u32::MAX`.
    Count {
        /// The smallest.
        least: u32,
    },
    /// A time with its unit, longer than nothing.
    Time,
    /// The same, or `unlimited`.
    TimeOrUnlimited,
    /// A size in bytes, with or without a unit; at least this one.
    Size {
        /// The smallest, bytes.
        least: u64,
    },
    /// The same, or `unlimited`.
    SizeOrUnlimited,
    /// A program and its arguments; none where it is empty.
    Command,
    /// Names of keys: ASCII characters, and `C-x` for Ctrl with one.
    Keys,
    /// `true` or `false`.
    Flag,
    /// How a run is executed: `local` or `hybrid`.
    Mode,
    /// What a node does for the runs of its room.
    Role,
    /// Which of the nodes that could run a task gets it: `spread` or `pack`.
    Placement,
    /// A room: its id, an alias or a link; or nothing.
    Room,
    /// One line of text.
    Text,
    /// An IP address with a port; or nothing.
    Address,
    /// An absolute path; or nothing.
    File,
    /// Any number of these.
    List(Item),
}

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// Users of Matrix.
    Users,
    /// People by name, server or power.
    People,
    /// Absolute directories.
    Dirs,
    /// Rooms of Matrix.
    Rooms,
    /// Names or addresses of machines.
    Hosts,
    /// Origins of web pages.
    Origins,
    /// Types of events that rooms get beside the journal.
    RoomEvents,
    /// Whom a message rings for.
    Mentions,
    /// Words without blanks.
    Tags,
}

/// A value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A count, ms, or bytes; none: unlimited.
    Number(Option<u64>),
    /// Text; of a list its JSON.
    Text(String),
    /// Yes or no.
    Flag(bool),
}

impl Kind {
    /// What can be written, in words.
    #[must_use]
    pub fn form(self) -> &'static str {
        match self {
            Self::Count { .. } => "a whole number",
            Self::Time => "a time such as `30s`, `5m` or `1h 30m`",
            Self::TimeOrUnlimited => "a time such as `12h` or `30d`, or `unlimited`",
            Self::Size { .. } => "a size such as `64MiB` or `1GB`",
            Self::SizeOrUnlimited => "a size such as `500MB` or `20GiB`, or `unlimited`",
            Self::Command => "an array of texts such as `[\"notify-send\", \"CIS\"]`",
            Self::Keys => "characters and C-x with spaces between them, such as `C-\\ d` or `C-b d`",
            Self::Flag => "`true` or `false`",
            Self::Mode => "`local` or `hybrid`",
            Self::Role => "`worker`, `coordinator` or `both`",
            Self::Placement => "`spread` or `pack`",
            Self::Room => {
                "a room such as `!id:example.org` or `#builds:example.org`, or a link of matrix.to to it"
            }
            Self::Text => "one line of text",
            Self::Address => "an IP address with a port such as `127.0.0.1:7443` or `[::]:7443`",
            Self::File => "an absolute path such as `/etc/ssl/node.pem`",
            Self::List(Item::Tags) => "an array of words such as `[\"gpu\", \"linux\"]`",
            Self::List(Item::Hosts) => "an array of names such as `[\"node.example.org\", \"10.0.0.7\"]`",
            Self::List(Item::Origins) => "an array of origins such as `[\"https://board.example.org\"]`",
            Self::List(Item::Users) => "an array of users such as `[\"@ann:example.org\"]`",
            Self::List(Item::People) => {
                "an array such as `[\"@ann:example.org\", \"*:example.org\", \"pl>=50\"]`"
            }
            Self::List(Item::Rooms) => "an array of rooms such as `[\"#builds:example.org\"]`",
            Self::List(Item::RoomEvents) => "an array of types such as `[\"cis.dag.run.completed\"]`",
            Self::List(Item::Mentions) => {
                "an array such as `[\"submitter\", \"operators\", \"@ann:example.org\"]`"
            }
            Self::List(Item::Dirs) => "an array of absolute directories such as `[\"/srv/dags\"]`",
        }
    }

    /// Reads a value as a variable or a flag gives it.
    ///
    /// # Errors
    /// What is wrong with it, without the value.
    pub fn read(self, text: &str) -> Result<Value, String> {
        let trimmed = text.trim();
        match self {
            Self::Count { least } => {
                let wrong = || format!("must be a whole number from {least} to {}", u32::MAX);
                let count = trimmed.parse::<u32>().ok().filter(|count| *count >= least).ok_or_else(wrong)?;
                Ok(Value::Number(Some(count.into())))
            }
            Self::TimeOrUnlimited | Self::SizeOrUnlimited if trimmed == UNLIMITED => Ok(Value::Number(None)),
            Self::Time | Self::TimeOrUnlimited => self.time(trimmed),
            Self::Size { least } => self.size(trimmed, least),
            Self::SizeOrUnlimited => self.size(trimmed, 0),
            Self::Command => {
                let words = self.words(trimmed)?;
                if words.first().is_some_and(String::is_empty) {
                    return Err(self.wrong());
                }
                self.list(&words)
            }
            Self::List(item) => {
                let words = self.words(trimmed)?;
                words.iter().try_for_each(|word| item.check(word))?;
                self.list(&words)
            }
            Self::Keys => detach_keys(text).map(|_| Value::Text(trimmed.to_owned())),
            Self::Flag => trimmed.parse().map(Value::Flag).map_err(|_| self.wrong()),
            Self::Mode if matches!(trimmed, "local" | "hybrid") => Ok(Value::Text(trimmed.to_owned())),
            Self::Placement if matches!(trimmed, "spread" | "pack") => Ok(Value::Text(trimmed.to_owned())),
            Self::Role if matches!(trimmed, "worker" | "coordinator" | "both") => {
                Ok(Value::Text(trimmed.to_owned()))
            }
            Self::Room if trimmed.is_empty() || names_a_room(trimmed) => Ok(Value::Text(trimmed.to_owned())),
            Self::Text if trimmed.len() <= TEXT_BYTES_MAX && !trimmed.contains(char::is_control) => {
                Ok(Value::Text(trimmed.to_owned()))
            }
            Self::Text => Err(format!("must be one line of at most {TEXT_BYTES_MAX} bytes")),
            Self::Address | Self::File if trimmed.is_empty() => Ok(Value::Text(String::new())),
            Self::Address => {
                let address: SocketAddr = trimmed.parse().map_err(|_| self.wrong())?;
                Ok(Value::Text(address.to_string()))
            }
            Self::File if trimmed.starts_with('/') && !trimmed.contains(char::is_control) => {
                Ok(Value::Text(trimmed.to_owned()))
            }
            Self::Mode | Self::Role | Self::Placement | Self::Room | Self::File => Err(self.wrong()),
        }
    }

    fn wrong(self) -> String {
        format!("must be {}", self.form())
    }

    /// The texts of a JSON array.
    fn words(self, json: &str) -> Result<Vec<String>, String> {
        let words: Vec<String> = serde_json::from_str(json).map_err(|_| self.wrong())?;
        let sound = json.len() <= LIST_BYTES_MAX && words.iter().all(|word| !word.contains('\0'));
        if sound { Ok(words) } else { Err(self.wrong()) }
    }

    fn list(self, words: &[String]) -> Result<Value, String> {
        serde_json::to_string(words).map(Value::Text).map_err(|_| self.wrong())
    }

    fn time(self, text: &str) -> Result<Value, String> {
        check_unit(text)?;
        let time = humantime::parse_duration(text).map_err(|_| format!("must be {}", self.form()))?;
        match time.as_millis() {
            0 => Err("must be longer than nothing".to_owned()),
            ms if ms > LONGEST_MS => Err("is longer than ten years".to_owned()),
            ms => Ok(Value::Number(u64::try_from(ms).ok())),
        }
    }

    fn size(self, text: &str, least: u64) -> Result<Value, String> {
        let wrong = || format!("must be {}", self.form());
        let unit = UNITS.iter().find(|(unit, _)| {
            text.len() > unit.len()
                && text.get(text.len() - unit.len()..).is_some_and(|end| end.eq_ignore_ascii_case(unit))
        });
        let (number, factor) =
            unit.map_or((text, 1), |(unit, factor)| (&text[..text.len() - unit.len()], *factor));
        let number: u64 = number.trim().parse().map_err(|_| wrong())?;
        let bytes = number.checked_mul(factor).filter(|bytes| i64::try_from(*bytes).is_ok());
        let bytes = bytes.ok_or("is larger than any disk")?;
        if bytes < least {
            return Err(format!("must be at least {}", size_text(least)));
        }
        Ok(Value::Number(Some(bytes)))
    }

    /// A value as [`Self::read`] takes it.
    #[must_use]
    pub fn write(self, value: &Value) -> String {
        match (self, value) {
            (_, Value::Text(text)) => text.clone(),
            (_, Value::Flag(flag)) => flag.to_string(),
            (_, Value::Number(None)) => UNLIMITED.to_owned(),
            (Self::Time | Self::TimeOrUnlimited, Value::Number(Some(ms))) => {
                humantime::format_duration(Duration::from_millis(*ms)).to_string()
            }
            (Self::Size { .. } | Self::SizeOrUnlimited, Value::Number(Some(bytes))) => size_text(*bytes),
            (_, Value::Number(Some(number))) => number.to_string(),
        }
    }

    /// A value as it stands in TOML.
    #[must_use]
    pub fn toml(self, value: &Value) -> String {
        let text = self.write(value);
        match self {
            // As JSON writes an array of strings, TOML does.
            Self::Count { .. } | Self::Command | Self::Flag | Self::List(_) => text,
            _ if text.contains(['\\', '"']) => format!("'{text}'"),
            _ => format!("\"{text}\""),
        }
    }
}

impl Item {
    /// What is wrong with one of them, and which.
    pub(super) fn check(self, word: &str) -> Result<(), String> {
        match self {
            Self::Users => match word.parse::<UserId>() {
                Ok(_) => Ok(()),
                Err(wrong) => Err(format!("holds a mistake: {wrong}")),
            },
            Self::People => match word.parse::<Matcher>() {
                Ok(_) => Ok(()),
                Err(wrong) => Err(format!("holds a mistake: {wrong}")),
            },
            Self::Rooms if names_a_room(word) => Ok(()),
            Self::Rooms => Err(format!("holds `{}`, which names no room", word.escape_debug())),
            Self::Dirs if word.starts_with('/') && !word.contains(char::is_control) => Ok(()),
            Self::Dirs => Err(format!("holds `{}`, which is no absolute directory", word.escape_debug())),
            Self::Tags if is_tag(word) => Ok(()),
            Self::Tags => Err(format!("holds `{}`, which is not one word", word.escape_debug())),
            Self::Hosts if host_name(word).is_some() => Ok(()),
            Self::Hosts => {
                Err(format!("holds `{}`, which is no name or address without a port", word.escape_debug()))
            }
            Self::Origins if origin(word).is_some() => Ok(()),
            Self::Origins => Err(format!(
                "holds `{}`, which is no origin such as `https://board.example.org`",
                word.escape_debug()
            )),
            Self::RoomEvents if announced_type(word).is_some() => Ok(()),
            Self::RoomEvents => {
                let known: Vec<&str> = ANNOUNCED.iter().map(|kind| kind.name).collect();
                let known = known.join("`, `");
                Err(format!("holds `{}`, which is none of `{known}`", word.escape_debug()))
            }
            Self::Mentions if word.parse::<Mention>().is_ok() => Ok(()),
            Self::Mentions => Err(format!(
                "holds `{}`, which is neither `submitter`, `operators` nor a user",
                word.escape_debug()
            )),
        }
    }
}

/// The size with the largest unit that says it exactly.
fn size_text(bytes: u64) -> String {
    let unit = UNITS.iter().filter(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    match unit.max_by_key(|(_, factor)| *factor) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// The bytes of keys that detach a terminal: one for each name.
///
/// # Errors
/// What is wrong with the names.
pub fn detach_keys(names: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("must be {}", Kind::Keys.form());
    let one = |name: &str| {
        let (ctrl, rest) = match name.strip_prefix("C-").or_else(|| name.strip_prefix("c-")) {
            Some(rest) if !rest.is_empty() => (true, rest),
            _ => (false, name),
        };
        let mut chars = rest.chars();
        match (chars.next().filter(char::is_ascii_graphic), chars.next(), ctrl) {
            (Some(c), None, true) => control_byte(c).ok_or_else(wrong),
            (Some(c), None, false) => u8::try_from(c).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    };
    let keys = names.split_whitespace().map(one).collect::<Result<Vec<_>, _>>()?;
    match keys.len() {
        0 => Err(wrong()),
        1..=KEYS_MAX => Ok(keys),
        _ => Err(format!("are more than {KEYS_MAX} keys")),
    }
}

/// A word that people and files can write without quotes.
fn is_tag(word: &str) -> bool {
    (1..=64).contains(&word.len()) && word.chars().all(|c| c.is_alphanumeric() || "._:+-/".contains(c))
}

/// Refuses a time that is a number alone.
///
/// # Errors
/// What to write instead.
pub fn check_unit(text: &str) -> Result<(), String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("has no unit: write `{text}s` for seconds"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_so_that_it_reads_the_same() {
        let count = Kind::Count { least: 1 };
        let size = Kind::Size { least: 1 };
        for (kind, text, written) in [
            (count, "1000", "1000"),
            (Kind::Time, "90s", "1m 30s"),
            (Kind::Time, "5m", "5m"),
            (Kind::TimeOrUnlimited, "unlimited", "unlimited"),
            (size, "64 MiB", "64MiB"),
            (size, "65536", "64KiB"),
            (size, "1500000", "1500KB"),
            (size, "7", "7B"),
            (Kind::SizeOrUnlimited, "20gib", "20GiB"),
            (Kind::SizeOrUnlimited, "0", "0"),
            (Kind::Keys, r"C-\ d", r"C-\ d"),
            (Kind::Command, r#" [ "a", "b \"c\\" ] "#, r#"["a","b \"c\\"]"#),
            (Kind::Command, "[]", "[]"),
            (Kind::Flag, " true", "true"),
            (Kind::Mode, "hybrid", "hybrid"),
            (Kind::Room, "", ""),
            (Kind::Room, "#b:example.org ", "#b:example.org"),
            (Kind::Text, " CIS at home ", "CIS at home"),
            (Kind::List(Item::Users), r#"[ "@a:b" ]"#, r#"["@a:b"]"#),
            (Kind::List(Item::People), r#"["*", "pl >= 5"]"#, r#"["*","pl >= 5"]"#),
            (Kind::List(Item::Dirs), r#"["/srv"]"#, r#"["/srv"]"#),
            (Kind::List(Item::Rooms), r##"["#b:x"]"##, r##"["#b:x"]"##),
            (Kind::Address, " 127.0.0.1:7443", "127.0.0.1:7443"),
            (Kind::Address, "[::1]:0", "[::1]:0"),
            (Kind::Address, "", ""),
            (Kind::File, "/etc/x.pem", "/etc/x.pem"),
            (Kind::List(Item::RoomEvents), r#"["cis.dag.run.failed"]"#, r#"["cis.dag.run.failed"]"#),
            (Kind::List(Item::Mentions), r#"["operators", "@a:b"]"#, r#"["operators","@a:b"]"#),
            (Kind::List(Item::Tags), r#"["gpu", "x86_64"]"#, r#"["gpu","x86_64"]"#),
            (Kind::List(Item::Hosts), r#"["a.example", "::1"]"#, r#"["a.example","::1"]"#),
            (Kind::List(Item::Origins), r#"["https://a:8"]"#, r#"["https://a:8"]"#),
        ] {
            let value = kind.read(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(kind.write(&value), written, "{text}");
            assert_eq!(kind.read(written).unwrap(), value, "{text}");
            let document: toml::Table = format!("x = {}", kind.toml(&value)).parse().unwrap();
            let in_toml = match &document["x"] {
                toml::Value::String(text) => text.clone(),
                array @ toml::Value::Array(_) => serde_json::to_string(array).unwrap(),
                other => other.to_string(),
            };
            assert_eq!(kind.read(&in_toml).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (kind, text) in [
            (Kind::Count { least: 1 }, "0"),
            (Kind::Count { least: 1 }, "4294967296"),
            (Kind::Count { least: 1 }, "many"),
            (Kind::Time, "5"),
            (Kind::Time, "0s"),
            (Kind::Time, "unlimited"),
            (Kind::Time, "20years"),
            (Kind::Size { least: 10 }, "9"),
            (Kind::Size { least: 1 }, "MiB"),
            (Kind::Size { least: 1 }, "-1"),
            (Kind::Size { least: 1 }, "99999999TiB"),
            (Kind::SizeOrUnlimited, "ä"),
            (Kind::Keys, ""),
            (Kind::Command, ""),
            (Kind::Command, "notify-send"),
            (Kind::Command, "[1]"),
            (Kind::Command, r#"[""]"#),
            (Kind::Command, r#"["a\u0000"]"#),
            (Kind::Flag, "yes"),
            (Kind::Mode, "matrix"),
            (Kind::Room, "builds"),
            (Kind::Text, "a\nb"),
            (Kind::List(Item::Users), r#"["ann"]"#),
            (Kind::List(Item::Users), "@ann:x"),
            (Kind::List(Item::People), r#"["pl>50"]"#),
            (Kind::List(Item::Dirs), r#"["dags"]"#),
            (Kind::List(Item::Rooms), r#"["builds"]"#),
            (Kind::Address, "7443"),
            (Kind::Address, "localhost:7443"),
            (Kind::File, "cert.pem"),
            (Kind::List(Item::RoomEvents), r#"["cis.dag.run.started"]"#),
            (Kind::List(Item::Mentions), r#"["ann"]"#),
            (Kind::List(Item::Tags), r#"["a b"]"#),
            (Kind::List(Item::Hosts), r#"["a:1"]"#),
            (Kind::List(Item::Origins), r#"["a.example"]"#),
            (Kind::List(Item::Origins), r#"["null"]"#),
            (Kind::Keys, "Up"),
            (Kind::Keys, "ä"),
            (Kind::Keys, "M-d"),
            (Kind::Keys, "a b c d e f g h i"),
        ] {
            assert!(kind.read(text).is_err(), "{kind:?} {text}");
        }
    }

    #[test]
    fn keys_are_one_byte_each() {
        assert_eq!(detach_keys(r"C-\ d").unwrap(), b"\x1cd");
        assert_eq!(detach_keys("C-b - c-").unwrap_err(), detach_keys("").unwrap_err());
        assert_eq!(detach_keys("C-? x").unwrap(), b"\x7fx");
    }
}
