//! How clients talk to models: OpenAI's chat completions, Google's generateContent.

use serde_json::{Value, json};

use super::http::{Request, SentEvent};
use super::{Reply, Turn};

/// One way of talking.
pub struct Dialect {
    /// What matters of a request.
    pub turn: fn(&Value) -> Turn,
    /// An answer as events.
    pub stream: fn(&Reply, &Turn) -> Vec<SentEvent>,
    /// An answer as one document.
    pub whole: fn(&Reply, &Turn) -> Value,
    /// Requests that want one document are turns of the conversation too.
    pub converses_whole: bool,
    /// Whether a request wants events.
    wants_stream: fn(&Request, &Value) -> bool,
}

impl Dialect {
    pub fn streams(&self, request: &Request, body: &Value) -> bool {
        (self.wants_stream)(request, body)
    }
}

const CHAT: Dialect = Dialect {
    turn: chat_turn,
    stream: chat_stream,
    whole: chat_whole,
    converses_whole: true,
    wants_stream: |_, body| body["stream"] == true,
};

const GEMINI: Dialect = Dialect {
    turn: gemini_turn,
    stream: gemini_stream,
    whole: |_, _| json!({}),
    converses_whole: false,
    wants_stream: |request, _| request.path.contains(":streamGenerateContent"),
};

/// The dialect of a request; none: it is about something else.
pub fn of(request: &Request) -> Option<&'static Dialect> {
    let path = request.path.as_str();
    if path.ends_with("/chat/completions") {
        Some(&CHAT)
    } else if path.contains("enerateContent") {
        Some(&GEMINI)
    } else {
        None
    }
}

/// Lists of models and counts of tokens.
pub fn other(request: &Request) -> Value {
    if request.path.contains("ountTokens") {
        return json!({ "totalTokens": 7 });
    }
    json!({ "object": "list", "data": [{ "id": "scripted", "object": "model" }], "models": [] })
}

/// A question beside the conversation, which wants JSON of some shape: a document with the fields that are asked for.
pub fn aside(body: &Value) -> Value {
    let schema = &body["generationConfig"]["responseJsonSchema"];
    let schema = if schema.is_null() { &body["generationConfig"]["responseSchema"] } else { schema };
    let mut answer = serde_json::Map::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        answer.insert(name.clone(), plain_value(field));
    }
    gemini_chunk(&json!({ "text": Value::Object(answer).to_string() }), true)
}

fn plain_value(field: &Value) -> Value {
    let choices = field["enum"].as_array();
    match field["type"].as_str().unwrap_or("string").to_ascii_lowercase().as_str() {
        "number" | "integer" => json!(1),
        "boolean" => json!(false),
        "array" => json!([]),
        "object" => json!({}),
        // Of who speaks next it is the user.
        _ => choices
            .and_then(|choices| choices.iter().find(|one| **one == "user").or(choices.first()))
            .cloned()
            .unwrap_or(json!("so")),
    }
}

/// All text of a content, which is one text or a list of parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn names(list: &Value, name: impl Fn(&Value) -> &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|tool| name(tool).as_str()).map(str::to_owned).collect()
}

/// The tool that runs commands, and what it wants.
fn command_tool(turn: &Turn, command: &str) -> (String, Value) {
    let known = [
        ("run_shell_command", json!({ "command": command, "description": "scripted" })),
        ("run", json!({ "command": command })),
    ];
    let found = known.into_iter().find(|(name, _)| turn.tools.iter().any(|tool| tool == name));
    let (name, arguments) = found.unwrap_or_else(|| panic!("none of {:?} runs commands", turn.tools));
    (name.to_owned(), arguments)
}

fn words(reply: &Reply) -> String {
    match reply {
        Reply::Text(text) => text.clone(),
        Reply::Run(_) => String::new(),
    }
}

fn chat_turn(body: &Value) -> Turn {
    let mut turn = Turn { tools: names(&body["tools"], |tool| &tool["function"]["name"]), ..Turn::default() };
    for message in body["messages"].as_array().into_iter().flatten() {
        match message["role"].as_str() {
            Some("user") => {
                turn.user = text_of(&message["content"]);
                turn.results.clear();
            }
            Some("tool") => turn.results.push(text_of(&message["content"])),
            _ => {}
        }
    }
    turn
}

fn chat_call(reply: &Reply, turn: &Turn) -> Option<Value> {
    let Reply::Run(command) = reply else { return None };
    let (name, arguments) = command_tool(turn, command);
    let id = format!("call_{}", turn.results.len());
    Some(
        json!([{ "index": 0, "id": id, "type": "function", "function": { "name": name, "arguments": arguments.to_string() } }]),
    )
}

fn chat_stream(reply: &Reply, turn: &Turn) -> Vec<SentEvent> {
    let chunk = |delta: Value, end: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": end });
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": [choice] });
        (None, chunk.to_string())
    };
    let begin = chunk(json!({ "role": "assistant", "content": "" }), None);
    let rest = match chat_call(reply, turn) {
        Some(calls) => [chunk(json!({ "tool_calls": calls }), None), chunk(json!({}), Some("tool_calls"))],
        None => [chunk(json!({ "content": words(reply) }), None), chunk(json!({}), Some("stop"))],
    };
    let [first, last] = rest;
    vec![begin, first, last, (None, "[DONE]".to_owned())]
}

fn chat_whole(reply: &Reply, turn: &Turn) -> Value {
    let call = chat_call(reply, turn);
    let end = if call.is_some() { "tool_calls" } else { "stop" };
    let mut message = json!({ "role": "assistant", "content": words(reply) });
    if let Some(calls) = call {
        message["tool_calls"] = calls;
    }
    let choice = json!({ "index": 0, "message": message, "finish_reason": end });
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "scripted", "choices": [choice], "usage": usage })
}

fn gemini_turn(body: &Value) -> Turn {
    let mut turn = Turn::default();
    for tool in body["tools"].as_array().into_iter().flatten() {
        turn.tools.extend(names(&tool["functionDeclarations"], |function| &function["name"]));
    }
    for content in
        body["contents"].as_array().into_iter().flatten().filter(|content| content["role"] == "user")
    {
        let parts = content["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let results: Vec<String> = parts
            .iter()
            .map(|part| &part["functionResponse"])
            .filter(|result| !result.is_null())
            .map(|result| result["response"].to_string())
            .collect();
        if results.is_empty() {
            turn.user = text_of(&content["parts"]);
            turn.results.clear();
        } else {
            turn.results.extend(results);
        }
    }
    turn
}

fn gemini_chunk(part: &Value, last: bool) -> Value {
    let mut candidate = json!({ "index": 0, "content": { "role": "model", "parts": [part] } });
    if last {
        candidate["finishReason"] = json!("STOP");
    }
    let usage = json!({ "promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2 });
    json!({ "candidates": [candidate], "usageMetadata": usage, "modelVersion": "scripted", "responseId": "r" })
}

fn gemini_stream(reply: &Reply, turn: &Turn) -> Vec<SentEvent> {
    let part = match reply {
        Reply::Run(command) => {
            let (name, args) = command_tool(turn, command);
            json!({ "functionCall": { "name": name, "args": args } })
        }
        _ => json!({ "text": words(reply) }),
    };
    vec![(None, gemini_chunk(&part, true).to_string())]
}
