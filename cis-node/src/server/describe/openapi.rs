//! The OpenAPI 3.1 document, made of the table of operations.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApiBuilder, Ref, Required, SecurityRequirement,
    ServerBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::{Content, Good, Operation, Shape, Tag};
use crate::server::caller::TOKEN_HEADER;
use crate::server::idempotency::REPLAYED_HEADER;
use crate::server::schemas::{Schemas, collect, tidy};
use cis_core::api::log_pieces::SESSION_HEADER;
use cis_core::api::{PROBLEM_JSON, Problem};
use cis_core::policy::{Action, Rights, needed};

/// What stands above all of it.
const WORDS: &str = "\
The API of a CIS node: HTTP/1.1 and WebSocket over the node's Unix socket (`cis node status` says where), and, where its \
configuration says so, over TCP with TLS.

Whoever may open the socket is the node's owner; a process inside a session shows the session's token and may do what \
that session may. Over TCP everybody shows a token that the owner made, and may do what its role may. Names of runs and sessions in paths are ids or unambiguous beginnings or ends of them. Every error is a problem \
document (RFC 9457) whose `kind` names it. Listings are pages: give `next` as `after` until there is none. Queries take only \
the parameters that are described, each once.

Requests that take `Idempotency-Key` count once for it, however often they are sent; the answer to a repeated one has \
`idempotent-replayed: true`, and another request with the same key is refused (409, `key-reused`). The field `input` of their \
bodies, a ULID, does the same without the header.

Answers have an `ETag` where they are one document: ask again with `If-None-Match`, and what has not changed is answered with 304. \
Documents and text are compressed for whoever accepts gzip or brotli. Files that tasks left, and logs that are not followed, can \
be read in ranges of bytes (`Range`).

Over TCP pages of the origins that the configuration names may use the node (CORS). A page shows its token as everybody \
does; its WebSockets show it among their protocols: `cis.v1` and `cis.bearer.TOKEN`.

Fields, paths, and values of enumerations are added and never renamed: readers ignore what they do not know. \
Streams are described in `/v1/asyncapi.json`.";

/// Statuses of problems, the name of their common answer, and what they mean.
const PROBLEMS: [(u16, &str, &str); 14] = [
    (400, "BadInput", "The request, or the DAG file in it, is not right."),
    (401, "Unauthenticated", "Over TCP: the token is missing or invalid."),
    (403, "Denied", "The caller may not do this; over TCP also: pages of this origin may not."),
    (404, "NotFound", "There is no such thing."),
    (405, "MethodNotAllowed", "The path does not take this method; `allow` names those that it takes."),
    (408, "RequestTimeout", "The body did not arrive in time."),
    (
        409,
        "Conflict",
        "The name fits several things, the thing is not in a state for that, or the key of the request was used for another one.",
    ),
    (413, "TooLarge", "The body is longer than the operation takes."),
    (415, "UnsupportedMediaType", "The body is not said to be of a type that the operation takes."),
    (
        416,
        "RangeNotSatisfiable",
        "Nothing of the content is in the range; `content-range` says how long it is.",
    ),
    (421, "Misdirected", "Over TCP: `Host` is not a name of this node."),
    (426, "UpgradeRequired", "This path speaks WebSocket (RFC 6455) only."),
    (500, "Internal", "Our fault."),
    (503, "Unavailable", "The node is stopping, or something that it needs is away."),
];

/// Makes it.
pub(super) fn document(operations: &[Operation]) -> Value {
    let mut schemas = Schemas::new();
    schemas.insert(Problem::name().into_owned(), Problem::schema());
    let mut problem = Vec::new();
    Problem::schemas(&mut problem);
    collect(&mut schemas, problem);
    let mut paths = PathsBuilder::new();
    let mut items: Vec<(&str, PathItem)> = Vec::new();
    for operation in operations {
        let mut shape = Shape::default();
        (operation.shape)(&mut shape);
        collect(&mut schemas, std::mem::take(&mut shape.schemas));
        let item = PathItem::new(method(operation.method), described(operation, shape));
        match items.iter_mut().find(|(path, _)| *path == operation.path) {
            Some((_, there)) => there.merge_operations(item),
            None => items.push((operation.path, item)),
        }
    }
    for (path, item) in items {
        paths = paths.path(path, item);
    }
    let info =
        InfoBuilder::new().title("CIS").version(env!("CARGO_PKG_VERSION")).description(Some(WORDS)).license(
            Some(
                LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build(),
            ),
        );
    let document = OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new()
            .url("/")
            .description(Some("The node that serves this document."))
            .build()]))
        .tags(Some(
            Tag::ALL.map(|tag| TagBuilder::new().name(tag.name()).description(Some(tag.words())).build()),
        ))
        .security(Some([
            SecurityRequirement::default(),
            SecurityRequirement::new("session", [] as [&str; 0]),
            SecurityRequirement::new("bearer", [] as [&str; 0]),
        ]))
        .paths(paths.build())
        .components(Some(components(schemas)))
        .build();
    let mut document = serde_json::to_value(document).unwrap_or(Value::Null);
    tidy(&mut document);
    document
}

fn components(schemas: Schemas) -> utoipa::openapi::Components {
    let mut components = ComponentsBuilder::new().schemas_from_iter(schemas);
    for (_, name, words) in PROBLEMS {
        components = components.response(name, problem_answer(words));
    }
    let session =
        "The token of a session (`CIS_TOKEN`), shown by a process inside it; over the Unix socket only.";
    let bearer =
        "A token that the node's owner made (`cis node token create`); over TCP only, where it is needed.";
    components
        .security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(TOKEN_HEADER, session))),
        )
        .security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(bearer)).build(),
            ),
        )
        .build()
}

fn problem_answer(words: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
    ResponseBuilder::new().description(words).content(PROBLEM_JSON, content.build()).build()
}

fn method(name: &str) -> HttpMethod {
    match name {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        "PATCH" => HttpMethod::Patch,
        _ => HttpMethod::Get,
    }
}

fn described(operation: &Operation, shape: Shape) -> OperationBuilder {
    let (summary, more) = words(operation.words);
    let rights = rights(operation.action);
    let description = [more, format!("Needs: {}.", rights.words)].join("\n\n");
    let mut out = OperationBuilder::new()
        .tag(operation.tag.name())
        .operation_id(Some(operation.id))
        .summary(Some(summary))
        .description(Some(description.trim()))
        .extensions(Some(ExtensionsBuilder::new().add("x-cis-rights", json!(rights.name)).build()));
    for name in names(operation.path) {
        out = out.parameter(path_parameter(name));
    }
    for parameter in shape.parameters {
        out = out.parameter(parameter);
    }
    let body = shape.bodies.into_iter().fold(None, |body: Option<RequestBodyBuilder>, (kind, content)| {
        let body = body.unwrap_or_else(|| RequestBodyBuilder::new().required(Some(Required::True)));
        let content = match content {
            Content::Json(name) => ContentBuilder::new().schema(Some(Ref::from_schema_name(name))),
            _ => ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        };
        Some(body.content(kind, content.build()))
    });
    out = out.request_body(body.map(RequestBodyBuilder::build));
    for good in shape.answers {
        out = out.response(good.status.to_string(), good_answer(good));
    }
    let mut statuses: BTreeSet<u16> = shape.refusals;
    statuses.extend(operation.problems.iter().map(|kind| kind.status()));
    statuses.extend([403, 500, 503]);
    for (status, name, _) in PROBLEMS {
        if statuses.contains(&status) {
            out = out.response(status.to_string(), Ref::from_response_name(name));
        }
    }
    out
}

fn good_answer(good: Good) -> Response {
    let mut answer = ResponseBuilder::new().description(good.words);
    if good.is_counted {
        let header = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["true"]))))
            .description(Some("The same request was carried out before: this is its answer again."));
        answer = answer.header(REPLAYED_HEADER.as_str(), header.build());
    }
    let binary =
        || ObjectBuilder::new().schema_type(Type::String).content_media_type("application/octet-stream");
    let bytes = || ContentBuilder::new().schema(Some(binary())).build();
    match good.content {
        Content::Nothing => answer,
        Content::Json(name) => {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name)));
            answer.content("application/json", content.build())
        }
        Content::AnyJson => {
            let content = ContentBuilder::new().schema(Some(ObjectBuilder::new()));
            answer.content("application/json", content.build())
        }
        Content::Text(kind) => {
            let content = ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String)));
            answer.content(kind, content.build())
        }
        Content::Bytes => answer.content("application/octet-stream", bytes()),
        Content::Log => {
            let text = ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String)));
            let header = HeaderBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .description(Some("The session whose log it is."));
            answer
                .content("application/octet-stream", bytes())
                .content("text/plain; charset=utf-8", text.build())
                .header(SESSION_HEADER, header.build())
        }
    }
    .build()
}

/// A doc comment's first line, and the rest in paragraphs.
pub(super) fn words(comment: &str) -> (String, String) {
    let lines: Vec<&str> = comment.lines().map(str::trim).collect();
    let (first, rest) = lines.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
    let paragraphs: Vec<String> = rest
        .split(|line| line.is_empty())
        .filter(|lines| !lines.is_empty())
        .map(|lines| lines.join(" "))
        .collect();
    (first.trim_end_matches('.').to_owned(), paragraphs.join("\n\n"))
}

/// The names in braces of a path.
pub(super) fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

/// What a name in a path is.
pub(super) fn name_words(name: &str) -> (&'static str, &'static str) {
    match name {
        "run" => ("A run: its id, or a part of it that no other has.", "01JD0V3Z8K6T9W2B5N7Q4R1XEC"),
        "task" => ("A task of the run.", "build"),
        "session" => (
            "A session: its id, a part of it that no other has, its name, or its task. A session may call itself `self` where it speaks.",
            "01JD0V3Z8K6T9W2B5N7Q4R1XEC",
        ),
        "item" => ("An item of the inbox.", "kqzmwd"),
        "artifact" => (
            "A file that the task left: its path, percent-encoded, or the SHA-256 of its content.",
            "dist/app.tar.gz",
        ),
        "group" => ("A concurrency group.", "claude-account"),
        "did" => ("A node.", "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"),
        "room" => ("A room: its id, an alias, or a link of matrix.to.", "!room:example.org"),
        "token" => ("A token: its id or its name.", "ann@laptop"),
        "id" => ("Its id.", "01JD0V3Z8K6T9W2B5N7Q4R1XEC"),
        _ => ("A name.", "name"),
    }
}

fn path_parameter(name: &str) -> Parameter {
    let (words, example) = name_words(name);
    let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).examples([example]);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(words))
        .schema(Some(schema))
        .build()
}

struct Need {
    name: &'static str,
    words: &'static str,
}

/// What a caller must have to do this.
fn rights(action: Action) -> Need {
    let (name, words) = match (needed(action), action) {
        (None, _) => ("session", "the token of the session itself"),
        (Some(Rights::None), _) => ("none", "nothing"),
        (Some(Rights::OwnSession), _) => ("session", "the rights of a session, or more"),
        (Some(Rights::Viewer), Action::SeeSession(_)) => {
            ("viewer", "the rights of a viewer, or the token of that session")
        }
        (Some(Rights::Viewer), _) => ("viewer", "the rights of a viewer, or more"),
        (Some(Rights::Operator), _) => ("operator", "the rights of an operator, or more"),
        (Some(Rights::Admin), Action::ControlTokens) => {
            ("admin", "the rights of an administrator, over the Unix socket")
        }
        (Some(Rights::Admin), _) => ("admin", "the rights of an administrator"),
    };
    Need { name, words }
}
