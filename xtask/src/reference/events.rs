//! The page of the events: every type with its body, from the enum that they are.

use super::shapes::{Field, Kind, Shape, Variant, read};
use crate::Outcome;
use crate::workspace::root;

const HEAD: &str = "\
# Events

Every change of a run, a task, a session or a node is an event. [What `--json` prints](json.md#events) says what stands
around the body, and how streams behave; this page has the bodies. It is made from the code:
`cargo xtask reference --update`.

A field with `?` is absent where it has nothing to say. Times are Unix milliseconds, and readers ignore what they do
not know.
";

/// Files of the event's shapes.
const SOURCES: [&str; 6] = [
    "cis-core/src/event/body.rs",
    "cis-core/src/event/facts.rs",
    "cis-core/src/event/node_rule.rs",
    "cis-core/src/prompt.rs",
    "cis-core/src/event/states.rs",
    "cis-core/src/event/outcome.rs",
];
/// THE enum.
const EVENT: &str = "EventBody";

/// Makes it.
pub(super) fn page() -> Outcome<String> {
    let mut shapes = Vec::new();
    for path in SOURCES {
        let source =
            std::fs::read_to_string(root().join(path)).map_err(|e| format!("cannot read {path}: {e}"))?;
        shapes.extend(read(&source).map_err(|e| format!("{path}: {e}"))?);
    }
    let find = |name: &str| shapes.iter().find(|shape| shape.name == name);
    let Some(Shape { kind: Kind::Enum(types), .. }) = find(EVENT) else {
        return Err(format!("{} has no enum {EVENT}", SOURCES[0]));
    };
    let mut page = Page { text: HEAD.to_owned(), shapes: &shapes, named: Vec::new() };
    for event in types {
        page.event(event)?;
    }
    page.text += "\n## Shapes\n";
    let mut done = 0;
    // Shapes name others while they are written.
    while let Some(name) = page.named.get(done).cloned() {
        if let Some(shape) = find(&name) {
            page.shape(shape)?;
        }
        done += 1;
    }
    Ok(page.text)
}

struct Page<'a> {
    text: String,
    shapes: &'a [Shape],
    /// Shapes that were named, in order.
    named: Vec<String>,
}

impl Page<'_> {
    fn event(&mut self, event: &Variant) -> Outcome {
        self.text.push_str(&format!("\n## `{}`\n\n{}\n", event.name, event.text));
        let Some(held) = &event.holds else { return self.fields(&event.fields) };
        let held = held.trim_start_matches("Box<").trim_end_matches('>');
        match self.shapes.iter().find(|shape| shape.name == held).map(|shape| &shape.kind) {
            Some(Kind::Struct(fields)) => self.fields(fields),
            _ => Err(format!("{} holds {held}, which is no known struct", event.name)),
        }
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
            self.text.push_str(&format!("| {name} | {of} | {} |\n", field.text));
        }
        Ok(())
    }

    fn variants(&mut self, tag: Option<&str>, variants: &[Variant]) -> Outcome {
        let head = tag.map_or_else(|| "value".to_owned(), |tag| format!("`{tag}`"));
        self.text.push_str(&format!("\n| {head} | beside it | |\n|---|---|---|\n"));
        for variant in variants {
            let mut beside = Vec::new();
            for field in &variant.fields {
                let (name, of) = self.field(field)?;
                beside.push(format!("{name}: {of}"));
            }
            let name = match &variant.holds {
                Some(held) => format!("`{{\"{}\": {}}}`", variant.name, self.json_type(held)?),
                None => format!("`{}`", variant.name),
            };
            self.text.push_str(&format!("| {name} | {} | {} |\n", beside.join(", "), variant.text));
        }
        Ok(())
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
        if let Some(inner) = of.strip_prefix("Box<").and_then(|of| of.strip_suffix('>')) {
            return self.json_type(inner);
        }
        if let Some(inner) = of.strip_prefix("Vec<").and_then(|of| of.strip_suffix('>')) {
            return Ok(format!("array of {}", self.json_type(inner)?));
        }
        if let Some(inner) = of.strip_prefix("BTreeMap<String, ").and_then(|of| of.strip_suffix('>')) {
            return Ok(format!("object of {}", self.json_type(inner)?));
        }
        Ok(match of {
            "String" | "TaskId" | "AttemptId" | "NodeDid" | "BlobId" | "SessionId" | "InputId"
            | "HostInstance" | "RunId" | "InboxId" | "TokenId" | "Role" => "string".to_owned(),
            "u8" | "u32" | "u64" | "i32" | "i64" | "TimestampMs" | "Fence" | "Epoch" => "number".to_owned(),
            "bool" => "bool".to_owned(),
            "Value" => "any".to_owned(),
            "Group" => "`{limit: number, frees_when_blocked: bool}`".to_owned(),
            "Task" => "task of a [DAG file](../guide/dag-file.md)".to_owned(),
            shape if self.shapes.iter().any(|known| known.name == shape) => {
                if !self.named.iter().any(|named| named == shape) {
                    self.named.push(shape.to_owned());
                }
                format!("[{shape}](#{})", shape.to_lowercase())
            }
            other => return Err(format!("the type {other} of an event has no form in the reference yet")),
        })
    }
}
