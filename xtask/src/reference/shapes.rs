//! Reads the shapes of events out of their sources: structs and enums as rustfmt writes them, with
//! their texts and serde's attributes. It is no parser of Rust: a line that it does not know is an error.

use crate::Outcome;

/// A struct or an enum.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) text: String,
    /// serde's `tag`, of enums that have one.
    pub(super) tag: Option<String>,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Struct(Vec<Field>),
    Enum(Vec<Variant>),
}

/// A field of a struct or a variant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    /// As the source has it; of bytes that are written in base64, [`BASE64`].
    pub(super) of: String,
    pub(super) text: String,
    /// Its own fields stand beside the others.
    pub(super) flat: bool,
    /// It is left out where it has nothing to say.
    pub(super) absent: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variant {
    /// As JSON has it.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) fields: Vec<Field>,
    /// What a variant with one unnamed field holds.
    pub(super) holds: Option<String>,
    /// It stands for what no other variant is.
    pub(super) untagged: bool,
}

/// Type of a field with bytes that are written in base64.
pub(super) const BASE64: &str = "base64";

/// What stands before an item: the first paragraph of its text, and serde's attributes.
#[derive(Default)]
struct Before {
    text: String,
    serde: String,
    paragraph_over: bool,
    /// An attribute that goes on in the next line.
    is_open: bool,
    /// serde writes it.
    is_written: bool,
}

/// All public structs and enums of a source file that serde writes, in their order.
pub(super) fn read(source: &str) -> Outcome<Vec<Shape>> {
    let mut shapes = Vec::new();
    let mut before = Before::default();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if before.takes(line) {
            continue;
        }
        let (word, rest) = line.strip_prefix("pub ").and_then(|l| l.split_once(' ')).unwrap_or_default();
        let head = std::mem::take(&mut before);
        let (Some(name), "struct" | "enum") = (rest.strip_suffix(" {"), word) else { continue };
        let name = name.split_once('<').map_or(name, |(name, _)| name);
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
        if !head.is_written {
            continue;
        }
        let kind = if word == "struct" {
            Kind::Struct(fields(&body).map_err(|e| format!("{name}: {e}"))?)
        } else {
            Kind::Enum(variants(&body).map_err(|e| format!("{name}: {e}"))?)
        };
        shapes.push(Shape { name: name.to_owned(), text: head.text, tag: quoted(&head.serde, "tag"), kind });
    }
    Ok(shapes)
}

impl Before {
    /// Whether the line belongs to what comes after it.
    fn takes(&mut self, line: &str) -> bool {
        let line = line.trim();
        let goes_on = self.is_open;
        if goes_on || line.starts_with("#[") {
            self.is_written |= line.contains("Serialize,") || line.contains("Serialize)");
            self.is_open = !line.ends_with(']');
        }
        if goes_on {
            return true;
        }
        if let Some(text) = line.strip_prefix("///").map(str::trim) {
            self.paragraph_over |= text.is_empty();
            if self.paragraph_over {
                return true;
            }
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            self.text += text;
        } else if line.starts_with("#[serde(") {
            self.serde += line;
        } else {
            return line.starts_with("#[") || line.starts_with("//");
        }
        true
    }
}

fn fields(lines: &[&str]) -> Outcome<Vec<Field>> {
    let mut found = Vec::new();
    let mut before = Before::default();
    for line in lines {
        if before.takes(line) {
            continue;
        }
        let Before { text, serde, .. } = std::mem::take(&mut before);
        if serde.contains("serde(skip)") {
            continue;
        }
        let (name, of) = line
            .trim()
            .strip_suffix(',')
            .and_then(|field| field.trim_start_matches("pub ").split_once(": "))
            .ok_or_else(|| format!("not a field: {line}"))?;
        found.push(Field {
            name: name.to_owned(),
            of: if serde.contains("base64_bytes") { BASE64.to_owned() } else { of.to_owned() },
            text,
            flat: serde.contains("flatten"),
            absent: serde.contains("skip_serializing_if"),
        });
    }
    Ok(found)
}

fn variants(lines: &[&str]) -> Outcome<Vec<Variant>> {
    let mut found = Vec::new();
    let mut before = Before::default();
    let mut lines = lines.iter().copied();
    while let Some(line) = lines.next() {
        if before.takes(line) {
            continue;
        }
        let Before { text, serde, .. } = std::mem::take(&mut before);
        let line = line.trim();
        let end =
            line.find(|c: char| !c.is_alphanumeric()).ok_or_else(|| format!("not a variant: {line}"))?;
        let (name, rest) = line.split_at(end);
        let mut variant = Variant {
            name: quoted(&serde, "rename").unwrap_or_else(|| snake(name)),
            text,
            fields: Vec::new(),
            holds: None,
            untagged: serde.contains("untagged"),
        };
        match rest {
            "," | " {}," => {}
            " {" => {
                let body: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "},").collect();
                variant.fields = fields(&body)?;
            }
            _ => {
                let held = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix("),"));
                variant.holds = Some(held.ok_or_else(|| format!("not a variant: {line}"))?.to_owned());
            }
        }
        found.push(variant);
    }
    Ok(found)
}

/// The text of `key = "…"` among attributes.
fn quoted(attributes: &str, key: &str) -> Option<String> {
    let (_, rest) = attributes.split_once(&format!("{key} = \""))?;
    Some(rest.split('"').next()?.to_owned())
}

/// `RunCreated` as `run_created`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (index, c) in name.char_indices() {
        if c.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_as_serde_writes_them() {
        let source = "\
//! A file.
/// Why it
/// waits.
///
/// More.
#[derive(Debug, Serialize)]
#[serde(rename_all = \"snake_case\", tag = \"kind\")]
#[serde(bound(
    serialize = \"T: Serialize\"
))]
pub enum Why<T> {
    /// No slot.
    Slot,
    /// Later.
    RetryAt {
        /// When.
        #[serde(default, skip_serializing_if = \"Option::is_none\")]
        at_ms: Option<u64>,
    },
    #[serde(rename = \"x.y\")]
    Held(Box<Thing>),
}
impl Why {
    fn no() {}
}
pub struct Other {
    fn what() {}
}
#[derive(Serialize)]
pub struct Thing {
    /// A field.
    #[serde(flatten)]
    pub inner: Inner,
    #[serde(skip)]
    pub own: bool,
}
";
        let shapes = read(source).unwrap();
        assert_eq!(shapes.len(), 2);
        assert_eq!((shapes[0].text.as_str(), shapes[0].tag.as_deref()), ("Why it waits.", Some("kind")));
        let Kind::Enum(variants) = &shapes[0].kind else { panic!("{shapes:?}") };
        assert_eq!(variants.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["slot", "retry_at", "x.y"]);
        assert!(variants[1].fields[0].absent && variants[1].fields[0].of == "Option<u64>");
        assert_eq!(variants[2].holds.as_deref(), Some("Box<Thing>"));
        let Kind::Struct(fields) = &shapes[1].kind else { panic!("{shapes:?}") };
        assert!(
            fields.len() == 1 && fields[0].flat && fields[0].name == "inner" && fields[0].text == "A field."
        );
    }

    #[test]
    fn what_it_does_not_know_is_an_error() {
        assert!(read("#[derive(Serialize)]\npub struct A {\n    fn what() {}\n}\n").is_err());
        assert!(read("#[derive(Serialize)]\npub enum A {\n    B = 1\n}\n").is_err());
    }
}
