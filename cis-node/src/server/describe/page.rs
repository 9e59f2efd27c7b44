//! The documents as a page: plain HTML that loads nothing, made once.
//!
//! Knows JSON Schema as far as the documents use it, and nothing of the API.

mod example;

use std::fmt::Write as _;

use serde_json::{Map, Value};

const STYLE: &str = include_str!("page/page.css");

/// Makes it.
pub(super) fn page(openapi: &Value, asyncapi: &Value) -> String {
    let mut out = Page { text: String::with_capacity(512 << 10), openapi };
    let title = text(&openapi["info"]["title"]);
    let version = text(&openapi["info"]["version"]);
    out.add("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.add("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.add("<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.add(&format!(
        "<title>{} {} API</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escape(title),
        escape(version)
    ));
    out.add("<a class=\"skip\" href=\"#main\">Skip to the operations</a>\n");
    out.navigation(asyncapi);
    out.add("<main id=\"main\">\n");
    out.add(&format!("<h1>{} <small>{}</small></h1>\n", escape(title), escape(version)));
    out.paragraphs(text(&openapi["info"]["description"]));
    out.add("<p>For programs: <a href=\"/v1/openapi.json\">openapi.json</a>, <a href=\"/v1/asyncapi.json\">asyncapi.json</a>.</p>\n");
    out.tags();
    out.streams(asyncapi);
    out.schemas("schema", "Schemas", &openapi["components"]["schemas"], &Map::new());
    let known = openapi["components"]["schemas"].as_object().cloned().unwrap_or_default();
    out.schemas("schema", "Events and other messages of streams", &asyncapi["components"]["schemas"], &known);
    out.add("</main>\n</body>\n</html>\n");
    out.text
}

struct Page<'a> {
    text: String,
    openapi: &'a Value,
}

/// An operation with its method and path.
type Operation<'a> = (&'a str, &'a str, &'a Value);

impl<'a> Page<'a> {
    fn add(&mut self, html: &str) {
        self.text.push_str(html);
    }

    /// Paragraphs of words in which backticks mean code.
    fn paragraphs(&mut self, words: &str) {
        for paragraph in words.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            let html = format!("<p>{}</p>\n", inline(paragraph));
            self.add(&html);
        }
    }

    /// Operations of a tag, in the document's order.
    fn operations_of(&self, tag: &str) -> Vec<Operation<'a>> {
        let paths = self.openapi["paths"].as_object();
        let mut found = Vec::new();
        for (path, item) in paths.into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if operation["tags"][0] == tag {
                    found.push((method.as_str(), path.as_str(), operation));
                }
            }
        }
        found
    }

    fn navigation(&mut self, asyncapi: &Value) {
        self.add("<nav aria-label=\"Operations\">\n<ul>\n");
        let openapi = self.openapi;
        for tag in openapi["tags"].as_array().into_iter().flatten() {
            let name = text(&tag["name"]);
            self.add(&format!("<li><a href=\"#tag-{0}\">{0}</a>\n<ul>\n", escape(name)));
            for (method, path, operation) in self.operations_of(name) {
                let id = escape(text(&operation["operationId"]));
                self.add(&format!(
                    "<li><a href=\"#{id}\"><b class=\"{method}\">{}</b> {}</a></li>\n",
                    method.to_uppercase(),
                    escape(path.trim_start_matches("/v1"))
                ));
            }
            self.add("</ul></li>\n");
        }
        self.add("<li><a href=\"#streams\">streams</a>\n<ul>\n");
        for (id, channel) in asyncapi["channels"].as_object().into_iter().flatten() {
            self.add(&format!(
                "<li><a href=\"#stream-{}\">{}</a></li>\n",
                escape(id),
                escape(text(&channel["title"]))
            ));
        }
        self.add("</ul></li>\n<li><a href=\"#schemas\">schemas</a></li>\n</ul>\n</nav>\n");
    }

    fn tags(&mut self) {
        let openapi = self.openapi;
        for tag in openapi["tags"].as_array().into_iter().flatten() {
            let name = text(&tag["name"]);
            self.add(&format!("<section id=\"tag-{0}\">\n<h2>{0}</h2>\n", escape(name)));
            self.paragraphs(text(&tag["description"]));
            for operation in self.operations_of(name) {
                self.operation(operation);
            }
            self.add("</section>\n");
        }
    }

    fn operation(&mut self, (method, path, operation): Operation<'_>) {
        let id = escape(text(&operation["operationId"]));
        self.add(&format!(
            "<article id=\"{id}\">\n<h3><a href=\"#{id}\"><b class=\"{method}\">{}</b> <code>{}</code></a></h3>\n<p class=\"summary\">{}</p>\n",
            method.to_uppercase(),
            escape(path),
            inline(text(&operation["summary"]))
        ));
        self.paragraphs(text(&operation["description"]));
        if let Some(parameters) = operation["parameters"].as_array() {
            self.add("<h4>Parameters</h4>\n<table>\n<thead><tr><th>name</th><th>in</th><th>type</th><th></th></tr></thead>\n<tbody>\n");
            for parameter in parameters {
                let row = format!(
                    "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                    escape(text(&parameter["name"])),
                    if parameter["required"] == true { " <em>required</em>" } else { "" },
                    escape(text(&parameter["in"])),
                    kind(&parameter["schema"]),
                    inline(text(&parameter["description"]))
                );
                self.add(&row);
            }
            self.add("</tbody>\n</table>\n");
        }
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if !body.is_null() {
            self.add(&format!("<h4>Body</h4>\n<p>{}</p>\n", kind(body)));
        }
        self.answers(&operation["responses"]);
        self.examples(method, path, operation, body);
        self.add("</article>\n");
    }

    fn answers(&mut self, responses: &Value) {
        self.add("<h4>Answers</h4>\n<table>\n<thead><tr><th>status</th><th>content</th><th></th></tr></thead>\n<tbody>\n");
        for (status, answer) in responses.as_object().into_iter().flatten() {
            let answer = self.resolve(answer);
            let mut content = String::new();
            for (name, of) in answer["content"].as_object().into_iter().flatten() {
                let _ =
                    write!(content, "{} <span class=\"mime\">{}</span>", kind(&of["schema"]), escape(name));
            }
            let row = format!(
                "<tr><td><code>{}</code></td><td>{content}</td><td>{}</td></tr>\n",
                escape(status),
                inline(text(&answer["description"]))
            );
            self.add(&row);
        }
        self.add("</tbody>\n</table>\n");
    }

    fn examples(&mut self, method: &str, path: &str, operation: &Value, body: &Value) {
        let request = example::request(self.openapi, method, path, operation, body);
        self.add(&format!(
            "<details>\n<summary>Example</summary>\n<pre><code>{}</code></pre>\n",
            escape(&request)
        ));
        if let Some(answer) = example::answer(self.openapi, operation) {
            self.add(&format!("<pre><code>{}</code></pre>\n", escape(&answer)));
        }
        self.add("</details>\n");
    }

    /// What a reference leads to.
    fn resolve<'b>(&self, value: &'b Value) -> &'b Value
    where
        'a: 'b,
    {
        match value["$ref"].as_str() {
            Some(to) => self.openapi.pointer(to.trim_start_matches('#')).unwrap_or(value),
            None => value,
        }
    }

    fn streams(&mut self, asyncapi: &Value) {
        self.add("<section id=\"streams\">\n<h2>streams</h2>\n");
        self.paragraphs(text(&asyncapi["info"]["description"]));
        for (id, channel) in asyncapi["channels"].as_object().into_iter().flatten() {
            self.add(&format!(
                "<article id=\"stream-{0}\">\n<h3><a href=\"#stream-{0}\">{1}</a></h3>\n<p><code>{2}</code></p>\n",
                escape(id),
                escape(text(&channel["title"])),
                escape(text(&channel["address"]))
            ));
            self.paragraphs(text(&channel["description"]));
            for (name, _) in channel["messages"].as_object().into_iter().flatten() {
                let message = &asyncapi["components"]["messages"][name];
                self.add(&format!("<h4>{}</h4>\n", escape(name)));
                self.paragraphs(text(&message["summary"]));
                self.paragraphs(text(&message["description"]));
                self.add(&format!("<p>{}</p>\n", kind(&message["payload"])));
            }
            self.add("</article>\n");
        }
        self.add("</section>\n");
    }

    /// All of these schemas but those that are `known` already.
    fn schemas(&mut self, place: &str, title: &str, schemas: &Value, known: &Map<String, Value>) {
        let id = if known.is_empty() { "schemas" } else { "messages" };
        self.add(&format!("<section id=\"{id}\">\n<h2>{title}</h2>\n"));
        for (name, schema) in schemas.as_object().into_iter().flatten() {
            if known.contains_key(name) {
                continue;
            }
            self.add(&format!(
                "<article id=\"{place}-{0}\">\n<h3><a href=\"#{place}-{0}\">{0}</a></h3>\n",
                escape(name)
            ));
            self.paragraphs(text(&schema["description"]));
            self.shape(schema);
            self.add("</article>\n");
        }
        self.add("</section>\n");
    }

    fn shape(&mut self, schema: &Value) {
        for part in schema["allOf"].as_array().into_iter().flatten() {
            if part["properties"].is_object() {
                self.shape(part);
            } else {
                self.add(&format!("<p>All of {}, and:</p>\n", kind(part)));
            }
        }
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<String> =
                values.iter().map(|value| format!("<code>{}</code>", escape(&plain(value)))).collect();
            self.add(&format!("<p>One of {}.</p>\n", values.join(", ")));
        } else if let Some(properties) = schema["properties"].as_object() {
            self.properties(properties, &schema["required"]);
        } else if schema["oneOf"].is_array() || schema["anyOf"].is_array() {
            let parts = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
            self.add("<ul>\n");
            for part in parts.into_iter().flatten() {
                self.add(&format!("<li>{}", inline(text(&part["description"]))));
                if part["properties"].is_object() || part["allOf"].is_array() {
                    self.shape(part);
                } else {
                    self.add(&format!(" {}", kind(part)));
                }
                self.add("</li>\n");
            }
            self.add("</ul>\n");
        } else if !schema["allOf"].is_array() {
            self.add(&format!("<p>{}</p>\n", kind(schema)));
        }
    }

    fn properties(&mut self, properties: &Map<String, Value>, required: &Value) {
        self.add("<table>\n<thead><tr><th>field</th><th>type</th><th></th></tr></thead>\n<tbody>\n");
        let needed =
            |name: &str| required.as_array().is_some_and(|names| names.iter().any(|needed| needed == name));
        for (name, schema) in properties {
            let row = format!(
                "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td></tr>\n",
                escape(name),
                if needed(name) { "" } else { " <em>optional</em>" },
                kind(schema),
                inline(text(&schema["description"]))
            );
            self.add(&row);
        }
        self.add("</tbody>\n</table>\n");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A type in words, with a link to where it is described.
fn kind(schema: &Value) -> String {
    if let Some(to) = schema["$ref"].as_str() {
        let name = escape(to.rsplit('/').next().unwrap_or(to));
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    if let Some(value) = schema.get("const") {
        return format!("<code>{}</code>", escape(&plain(value)));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> =
            values.iter().map(|value| format!("<code>{}</code>", escape(&plain(value)))).collect();
        return values.join(" or ");
    }
    for (key, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        if let Some(parts) = schema[key].as_array() {
            return parts.iter().map(kind).collect::<Vec<_>>().join(between);
        }
    }
    let mut names: Vec<String> = match &schema["type"] {
        Value::Array(names) => names.iter().map(|name| text(name).to_owned()).collect(),
        Value::String(name) => vec![name.clone()],
        _ => return "any".to_owned(),
    };
    for name in &mut names {
        if name == "array" {
            *name = format!("array of {}", kind(&schema["items"]));
        } else if name == "object" && schema["additionalProperties"].is_object() {
            *name = format!("object of {}", kind(&schema["additionalProperties"]));
        }
    }
    names.join(" or ")
}

/// Words as HTML; what stands in backticks is code.
fn inline(words: &str) -> String {
    let mut out = String::with_capacity(words.len() + 16);
    for (number, part) in words.split('`').enumerate() {
        if number % 2 == 1 {
            let _ = write!(out, "<code>{}</code>", escape(part));
        } else {
            out.push_str(&escape(part));
        }
    }
    out
}

fn escape(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_never_become_markup() {
        assert_eq!(inline("a `<b>` & \"c\""), "a <code>&lt;b&gt;</code> &amp; &quot;c&quot;");
    }

    #[test]
    fn types_are_said_in_words() {
        let named = json!({ "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/RunView" }] });
        assert_eq!(kind(&named), "null or <a href=\"#schema-RunView\">RunView</a>");
        assert_eq!(
            kind(&json!({ "type": ["array", "null"], "items": { "type": "string" } })),
            "array of string or null"
        );
        assert_eq!(kind(&json!({})), "any");
    }
}
