//! A page of shapes: tables of fields and variants as JSON has them, and what each of them names.
//!
//! Owns how they are written. What stands on a page is the page's matter.

use super::shapes::{BASE64, Field, Kind, Shape, Variant, read};
use crate::Outcome;
use crate::workspace::root;

/// A page that is being written.
pub(super) struct Page<'a> {
    pub(super) text: String,
    shapes: &'a [Shape],
    /// Shapes that were named, in order.
    named: Vec<String>,
}

/// Reads the shapes of these files.
pub(super) fn shapes(sources: &[&str]) -> Outcome<Vec<Shape>> {
    let mut shapes = Vec::new();
    for path in sources {
        let source =
            std::fs::read_to_string(root().join(path)).map_err(|e| format!("cannot read {path}: {e}"))?;
        shapes.extend(read(&source).map_err(|e| format!("{path}: {e}"))?);
    }
    Ok(shapes)
}

impl<'a> Page<'a> {
    pub(super) fn new(head: &str, shapes: &'a [Shape]) -> Self {
        Self { text: head.to_owned(), shapes, named: Vec::new() }
    }

    /// Returns the variants of an enum.
    pub(super) fn variants_of(&self, name: &str) -> Outcome<&'a [Variant]> {
        match self.find(name).map(|shape| &shape.kind) {
            Some(Kind::Enum(variants)) => Ok(variants),
            _ => Err(format!("there is no enum {name}")),
        }
    }

    fn find(&self, name: &str) -> Option<&'a Shape> {
        self.shapes.iter().find(|shape| shape.name == name)
    }

    /// Writes the fields of what a variant of an enum holds, or its own.
    pub(super) fn body(&mut self, variant: &Variant) -> Outcome {
        let Some(held) = &variant.holds else { return self.fields(&variant.fields) };
        self.fields_of(unboxed(held))
    }

    /// Writes the fields of a struct.
    pub(super) fn fields_of(&mut self, name: &str) -> Outcome {
        match self.find(name).map(|shape| &shape.kind) {
            Some(Kind::Struct(fields)) => self.fields(fields),
            _ => Err(format!("{name} is no known struct")),
        }
    }

    /// Writes all shapes that were named, and those that they name.
    pub(super) fn shapes(&mut self) -> Outcome {
        self.text += "\n## Shapes\n";
        let mut done = 0;
        while let Some(name) = self.named.get(done).cloned() {
            if let Some(shape) = self.find(&name) {
                self.shape(shape).map_err(|e| format!("{name}: {e}"))?;
            }
            done += 1;
        }
        Ok(())
    }

    fn shape(&mut self, shape: &Shape) -> Outcome {
        self.text.push_str(&format!("\n### {}\n\n{}\n", shape.name, shape.text));
        match &shape.kind {
            Kind::Struct(fields) => self.fields(fields),
            Kind::Enum(variants) => self.variants(shape.tag.as_deref(), variants),
        }
    }

    fn fields(&mut self, fields: &[Field]) -> Outcome {
        if fields.is_empty() {
            self.text += "\nIts body is empty.\n";
            return Ok(());
        }
        self.text += "\n| field | type | |\n|---|---|---|\n";
        for field in fields {
            let (name, of) = self.field(field)?;
            self.text.push_str(&format!("| {name} | {of} | {} |\n", self.linked(&field.text)));
        }
        Ok(())
    }

    fn variants(&mut self, tag: Option<&str>, variants: &[Variant]) -> Outcome {
        let head = tag.map_or_else(|| "value".to_owned(), |tag| format!("`{tag}`"));
        self.text.push_str(&format!("\n| {head} | its fields | |\n|---|---|---|\n"));
        for variant in variants {
            let mut beside = Vec::new();
            for field in &variant.fields {
                let (name, of) = self.field(field)?;
                beside.push(format!("{name}: {of}"));
            }
            let name = match (&variant.holds, tag) {
                _ if variant.untagged => "anything else".to_owned(),
                (Some(held), Some(_)) => {
                    beside.push(format!("fields of {}", self.json_type(held)?));
                    format!("`{}`", variant.name)
                }
                (Some(held), None) => format!("`{{\"{}\": {}}}`", variant.name, self.json_type(held)?),
                (None, None) if !beside.is_empty() => format!("`{{\"{}\": {{…}}}}`", variant.name),
                (None, _) => format!("`{}`", variant.name),
            };
            let text = self.linked(&variant.text);
            self.text.push_str(&format!("| {name} | {} | {text} |\n", beside.join(", ")));
        }
        Ok(())
    }

    /// A text of the source whose links lead to shapes of this page.
    fn linked(&self, text: &str) -> String {
        let mut pieces = text.split("[`");
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let Some((path, rest)) = piece.split_once("`]") else { return text.to_owned() };
            let name = path.rsplit("::").next().unwrap_or(path);
            // Of `[`text`](target)` nothing but the text can be shown here.
            let rest =
                rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest);
            out += &match self.find(name) {
                Some(_) => format!("[{name}](#{})", name.to_lowercase()),
                None => format!("`{name}`"),
            };
            out += rest;
        }
        out
    }

    /// Name and type of a field as JSON has them.
    fn field(&mut self, field: &Field) -> Outcome<(String, String)> {
        let inner = field.of.strip_prefix("Option<").and_then(|of| of.strip_suffix('>'));
        let of = self.json_type(inner.unwrap_or(&field.of))?;
        Ok(match (field.flat, field.absent, inner) {
            (true, ..) => (format!("fields of {of}"), String::new()),
            (_, true, _) => (format!("`{}`?", field.name), of),
            (_, false, Some(_)) => (format!("`{}`", field.name), format!("{of} \\| null")),
            _ => (format!("`{}`", field.name), of),
        })
    }

    fn json_type(&mut self, of: &str) -> Outcome<String> {
        let inner = |generic: &str| of.strip_prefix(generic).and_then(|of| of.strip_suffix('>'));
        if let Some(inner) = inner("Box<") {
            return self.json_type(inner);
        }
        if let Some(inner) = inner("Vec<").or(inner("BTreeSet<")) {
            return Ok(format!("array of {}", self.json_type(inner)?));
        }
        if let Some(inner) = inner("BTreeMap<String, ").or(inner("BTreeMap<TaskId, ")) {
            return Ok(format!("object of {}", self.json_type(inner)?));
        }
        if let Some((first, second)) =
            of.strip_prefix('(').and_then(|of| of.strip_suffix(')')?.split_once(", "))
        {
            return Ok(format!("[{}, {}]", self.json_type(first)?, self.json_type(second)?));
        }
        // What messages between nodes carry.
        let of = match of {
            "P::Spec" | "S" => "RemoteSpec",
            "P::Status" => "NodeOffer",
            "P::Progress" => "Progress",
            "P::Report" => "Report",
            "Grant<P::Spec>" => "Grant",
            other => other,
        };
        Ok(match of {
            "String" | "TaskId" | "AttemptId" | "NodeDid" | "BlobId" | "SessionId" | "InputId"
            | "HostInstance" | "RunId" | "InboxId" | "TokenId" | "Role" | "Right" | "EntryHash"
            | "ViewId" | "Sealed" => "string".to_owned(),
            "u8" | "u16" | "u32" | "u64" | "i32" | "i64" | "usize" | "TimestampMs" | "BootMs" | "Fence"
            | "Epoch" | "Nonce" | "ReportNonce" => "number".to_owned(),
            "bool" => "bool".to_owned(),
            "Value" => "any".to_owned(),
            "PartMedia" => "object".to_owned(),
            BASE64 => "string (base64)".to_owned(),
            "Answer" | "AnswerReceipt" | "Decide" | "Problem" | "RunView" | "SendInput" => {
                format!("`{of}` of the [API](openapi.json)")
            }
            "AttachControl" | "AttachNotice" => format!("`{of}` of the [API's streams](asyncapi.json)"),
            "Group" => "`{limit: number, frees_when_blocked: bool}`".to_owned(),
            "Task" => "task of a [DAG file](../guide/dag-file.md)".to_owned(),
            shape if self.shapes.iter().any(|known| known.name == shape) => {
                if !self.named.iter().any(|named| named == shape) {
                    self.named.push(shape.to_owned());
                }
                format!("[{shape}](#{})", shape.to_lowercase())
            }
            other => return Err(format!("the type {other} has no form in the reference yet")),
        })
    }
}

/// What a box holds.
fn unboxed(of: &str) -> &str {
    of.strip_prefix("Box<").and_then(|of| of.strip_suffix('>')).unwrap_or(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_shapes_of_the_page() {
        let shapes = read("#[derive(Serialize)]\npub enum Known {\n    /// One.\n    One,\n}\n").unwrap();
        let page = Page::new("", &shapes);
        let text = "As in [`super::Known`], at most [`MAX`], by [`x`](y::z).";
        assert_eq!(page.linked(text), "As in [Known](#known), at most `MAX`, by `x`.");
        assert_eq!(page.linked("plain"), "plain");
    }
}
