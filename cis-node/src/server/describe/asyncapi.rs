//! The AsyncAPI 3.0 document: a channel for each operation that answers with a stream, and what it carries.

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::openapi::{name_words, names, words};
use super::{Operation, Shape, Stream};
use crate::server::schemas::{Schemas, collect, tidy};
use cis_core::api::{AttachControl, AttachNotice, BEHIND};
use cis_core::event::{Event, EventBody};

const WORDS: &str = "\
Streams of a CIS node, over its Unix socket, and, where its configuration says so, over TCP with TLS. What is asked and \
answered without a stream is described in `/v1/openapi.json`.

A page in a browser, whose WebSockets send no header of its own, shows its token among their protocols: \
`cis.v1` and `cis.bearer.TOKEN`; the first of them is answered.

Every stream can be gone on with after its connection was lost: events behind an offset (`after`), logs from a byte \
(`from`), terminals from a byte (`from`, with `marks`).";

/// Makes it.
pub(super) fn document(operations: &[Operation]) -> Value {
    let mut schemas = Schemas::new();
    schemas.insert(Event::name().into_owned(), Event::schema());
    let mut found = Vec::new();
    Event::schemas(&mut found);
    EventBody::schemas(&mut found);
    for (name, schema) in
        [(AttachControl::name(), AttachControl::schema()), (AttachNotice::name(), AttachNotice::schema())]
    {
        found.push((name.into_owned(), schema));
    }
    AttachControl::schemas(&mut found);
    AttachNotice::schemas(&mut found);
    collect(&mut schemas, found);
    let mut schemas = serde_json::to_value(&schemas).unwrap_or(Value::Null);
    let kinds = add_kinds(&mut schemas);

    let (mut channels, mut actions) = (Map::new(), Map::new());
    for operation in operations {
        let mut shape = Shape::default();
        (operation.shape)(&mut shape);
        let Some(stream) = shape.stream else { continue };
        channels.insert(operation.id.to_owned(), channel(operation, &shape, stream));
        actions.extend(sent_and_received(operation, stream));
    }
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": { "title": "CIS", "version": env!("CARGO_PKG_VERSION"), "description": WORDS,
            "license": { "name": "MIT OR Apache-2.0" } },
        "defaultContentType": "application/json",
        "servers": {
            "webSocket": { "host": "localhost", "protocol": "ws", "description": "WebSocket over the node's Unix socket; over TCP it is wss." },
            "http": { "host": "localhost", "protocol": "http", "description": "HTTP/1.1 over the node's Unix socket; over TCP it is https." },
        },
        "channels": channels,
        "operations": actions,
        "components": { "messages": messages(&kinds), "schemas": schemas },
    });
    tidy(&mut document);
    document
}

/// Adds a schema for each type of event: the row around it with the type's own body. Gives their names.
fn add_kinds(schemas: &mut Value) -> Vec<String> {
    let bodies = serde_json::to_value(EventBody::schema()).unwrap_or(Value::Null);
    let Some(schemas) = schemas.as_object_mut() else { return Vec::new() };
    let mut kinds = Vec::new();
    for tagged in bodies["oneOf"].as_array().into_iter().flatten() {
        let Some(name) = tagged["properties"]["type"]["enum"][0].as_str() else { continue };
        let body = match &tagged["properties"]["body"] {
            Value::Null => json!({ "type": "object" }),
            body => body.clone(),
        };
        let kind = json!({
            "title": name,
            "description": tagged["description"],
            "allOf": [
                { "$ref": "#/components/schemas/Event" },
                { "type": "object", "required": ["type", "body"],
                    "properties": { "type": { "type": "string", "const": name }, "body": body } },
            ],
        });
        schemas.insert(name.to_owned(), kind);
        kinds.push(name.to_owned());
    }
    kinds
}

fn messages(kinds: &[String]) -> Value {
    let kinds: Vec<Value> =
        kinds.iter().map(|name| json!({ "$ref": format!("#/components/schemas/{name}") })).collect();
    let bytes = |words: &str| {
        json!({ "contentType": "application/octet-stream", "summary": words,
            "payload": { "type": "string", "format": "binary" } })
    };
    let json_of = |words: &str, name: &str| {
        json!({ "contentType": "application/json", "summary": words,
            "payload": { "$ref": format!("#/components/schemas/{name}") } })
    };
    let known = "Events that became durable together, in order. Each is of one of the types here, or of a type of a later version: \
        then it is a row (`Event`) with a body of its own.";
    json!({
        "events": { "contentType": "application/json", "summary": "A text frame: a JSON array of events.",
            "description": known,
            "payload": { "type": "array", "minItems": 1,
                "items": { "anyOf": [{ "oneOf": kinds }, { "$ref": "#/components/schemas/Event" }] } } },
        "output": { "contentType": "application/octet-stream",
            "summary": "A binary frame: bytes for the viewer's terminal, safe to write there as they are.",
            "description": "With `marks` a frame begins with `next: u64`, little-endian: the first byte of the session's output that no \
                frame so far stands for, and the `from` to go on with; all ones where it is not known.",
            "payload": { "type": "string", "format": "binary" } },
        "notice": json_of("A text frame: something else to know.", "AttachNotice"),
        "typed": bytes("A binary frame: what was typed."),
        "control": json_of("A text frame: the viewer's terminal changed, or needs its picture again.", "AttachControl"),
        "log": bytes("Bytes of the log, secrets replaced."),
        "piece": { "contentType": "application/octet-stream",
            "summary": "With `marks`: a piece of the log that tells where it ends.",
            "description": "`flags: u8` (bit 0: the last one), `next: u64` and `length: u32`, little-endian, then that many bytes. \
                `next` is the first byte of the output that no piece so far stands for: the `from` to go on with; \
                all ones where it is not known. A stream that ends without a last piece was cut off.",
            "payload": { "type": "string", "format": "binary" } },
    })
}

/// Names of the messages that the node sends and takes.
fn carried(stream: Stream) -> (&'static [&'static str], &'static [&'static str]) {
    match stream {
        Stream::Events => (&["events"], &[]),
        Stream::Terminal => (&["output", "notice"], &["typed", "control"]),
        Stream::Log => (&["log", "piece"], &[]),
    }
}

fn channel(operation: &Operation, shape: &Shape, stream: Stream) -> Value {
    let (summary, more) = words(operation.words);
    let (sent, taken) = carried(stream);
    let messages: Map<String, Value> = sent
        .iter()
        .chain(taken)
        .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/messages/{name}") })))
        .collect();
    let parameters: Map<String, Value> = names(operation.path)
        .map(|name| {
            let (words, example) = name_words(name);
            (name.to_owned(), json!({ "description": words, "examples": [example] }))
        })
        .collect();
    let mut properties = Map::new();
    let query = serde_json::to_value(&shape.parameters).unwrap_or(Value::Null);
    for parameter in query.as_array().into_iter().flatten() {
        let mut schema = parameter["schema"].clone();
        if let (Some(schema), Some(words)) = (schema.as_object_mut(), parameter.get("description")) {
            schema.insert("description".to_owned(), words.clone());
        }
        properties.insert(parameter["name"].as_str().unwrap_or_default().to_owned(), schema);
    }
    let query = json!({ "type": "object", "properties": properties });
    let binding = match stream {
        Stream::Log => json!({}),
        Stream::Events | Stream::Terminal => json!({ "ws": { "method": "GET", "query": query } }),
    };
    let server = if stream == Stream::Log { "http" } else { "webSocket" };
    let mut description = more;
    if stream == Stream::Events {
        description.push_str(&format!(
            "\n\nA subscriber that does not read is dropped: what it gets last is a close frame with the code {BEHIND} and the \
             reason `{{\"after\":N}}`, where N is the offset of the newest event that was sent to it."
        ));
    }
    let mut channel = json!({
        "address": operation.path,
        "title": summary,
        "description": description.trim(),
        "servers": [{ "$ref": format!("#/servers/{server}") }],
        "parameters": parameters,
        "messages": messages,
        "bindings": binding,
    });
    if stream == Stream::Log
        && let Some(channel) = channel.as_object_mut()
    {
        channel.insert("x-cis-query".to_owned(), query);
    }
    channel
}

fn sent_and_received(operation: &Operation, stream: Stream) -> Vec<(String, Value)> {
    let (sent, taken) = carried(stream);
    let one = |action: &str, names: &[&str]| {
        let messages: Vec<Value> = names
            .iter()
            .map(|name| json!({ "$ref": format!("#/channels/{}/messages/{name}", operation.id) }))
            .collect();
        json!({ "action": action, "summary": words(operation.words).0, "channel": { "$ref": format!("#/channels/{}", operation.id) },
            "messages": messages })
    };
    let mut found = vec![(format!("send_{}", operation.id), one("send", sent))];
    if !taken.is_empty() {
        found.push((format!("receive_{}", operation.id), one("receive", taken)));
    }
    found
}
