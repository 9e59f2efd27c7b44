//! What a handler's signature says of its operation: its query, its body, its answers.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

use super::super::body::Body;
use super::super::caller::Caller;
use super::super::errors::Failure;
use super::super::extract::Name;
use super::super::idempotency::{KEY_HEADER, KeyedAnswer};
use super::super::new_run::{NewRun, TOML};
use super::super::query::Query;
use super::{Content, Good, Shape, Stream};
use cis_core::api::CreateRun;

/// A handler that can be described; `T` is a tuple of what it takes.
pub(in crate::server) trait Described<T> {
    /// It takes a query.
    const QUERY: bool;

    fn describe(shape: &mut Shape);
}

/// An argument of a handler.
pub(in crate::server) trait Takes {
    /// It is a query.
    const QUERY: bool = false;

    fn describe(shape: &mut Shape);
}

/// What a handler answers.
pub(in crate::server) trait Answers {
    fn describe(shape: &mut Shape);
}

macro_rules! described {
    ($($arg:ident),*) => {
        impl<F, Fut, R, $($arg),*> Described<($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Fut,
            Fut: Future<Output = R>,
            R: Answers,
            $($arg: Takes,)*
        {
            const QUERY: bool = false $(|| <$arg as Takes>::QUERY)*;

            fn describe(shape: &mut Shape) {
                $(<$arg as Takes>::describe(shape);)*
                R::describe(shape);
            }
        }
    };
}
described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);
described!(A, B, C, D, E);

impl<N> Takes for State<Arc<N>> {
    fn describe(_: &mut Shape) {}
}

impl Takes for Caller {
    fn describe(shape: &mut Shape) {
        // Over TCP the gate is passed before any route: no host, no token that counts, a page of another origin, another's name.
        shape.refusals.extend([400, 401, 403, 421]);
    }
}

impl<T> Takes for Name<T> {
    fn describe(shape: &mut Shape) {
        shape.refusals.insert(400);
    }
}

impl<T: IntoParams> Takes for Result<Query<T>, Failure> {
    const QUERY: bool = true;

    fn describe(shape: &mut Shape) {
        shape.parameters.extend(T::into_params(|| Some(ParameterIn::Query)));
        shape.refusals.insert(400);
    }
}

impl<T: ToSchema> Takes for Body<T> {
    fn describe(shape: &mut Shape) {
        let name = shape.schema_of::<T>();
        shape.bodies.push(("application/json", Content::Json(name)));
        shape.refusals.extend([400, 408, 413, 415]);
    }
}

impl Takes for NewRun {
    fn describe(shape: &mut Shape) {
        Body::<CreateRun>::describe(shape);
        shape.bodies.push((TOML, Content::Text(TOML)));
    }
}

/// The headers of a request, for conditional requests and ranges.
pub(in crate::server) struct Conditions(pub(in crate::server) HeaderMap);

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.clone()))
    }
}

impl Takes for Conditions {
    fn describe(_: &mut Shape) {}
}

/// The key of a request that counts once.
fn key_parameter() -> ParameterBuilder {
    // Keys may be quoted (RFC 9651).
    let key = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^([!#-\\[\\]-~]{1,255}|\"[!#-\\[\\]-~]{1,255}\")$"))
        .examples(["8e03978e-40d5-43dd-bc93-6894a57f9324"]);
    ParameterBuilder::new()
        .name(KEY_HEADER.as_str())
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "Idempotency key: the request counts once for it, however often it is sent. It replaces `input` in the body.",
        ))
        .schema(Some(key))
}

impl Takes for Result<WebSocketUpgrade, WebSocketUpgradeRejection> {
    fn describe(shape: &mut Shape) {
        shape.refusals.extend([400, 426]);
    }
}

impl Shape {
    /// Keeps the schema of a type and those that it refers to; gives its name.
    pub(super) fn schema_of<T: ToSchema>(&mut self) -> String {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        T::name().into_owned()
    }

    fn good(&mut self, status: StatusCode, words: &'static str, content: Content) {
        self.answers.push(Good { status: status.as_u16(), words, content, is_counted: false });
    }
}

impl<T: Answers> Answers for Result<T, Failure> {
    fn describe(shape: &mut Shape) {
        T::describe(shape);
    }
}

impl<T: Answers> Answers for KeyedAnswer<T> {
    fn describe(shape: &mut Shape) {
        shape.parameters.push(key_parameter().build());
        shape.refusals.extend([400, 409]);
        T::describe(shape);
        shape.answers.iter_mut().for_each(|answer| answer.is_counted = true);
    }
}

impl<T: ToSchema> Answers for Json<T> {
    fn describe(shape: &mut Shape) {
        let name = shape.schema_of::<T>();
        shape.good(StatusCode::OK, "What was asked for.", Content::Json(name));
    }
}

impl Answers for String {
    fn describe(shape: &mut Shape) {
        shape.good(StatusCode::OK, "Text.", Content::Text("text/plain; charset=utf-8"));
    }
}

/// It was made: 201.
pub(in crate::server) struct Created<T>(pub(in crate::server) T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: ToSchema> Answers for Created<T> {
    fn describe(shape: &mut Shape) {
        let name = shape.schema_of::<T>();
        shape.good(StatusCode::CREATED, "It was made.", Content::Json(name));
    }
}

/// It was made: 201; or it was only checked, and is right: 204.
pub(in crate::server) struct CreatedOrChecked<T>(pub(in crate::server) Option<T>);

impl<T: Serialize> IntoResponse for CreatedOrChecked<T> {
    fn into_response(self) -> Response {
        match self.0 {
            Some(made) => Created(made).into_response(),
            None => Done.into_response(),
        }
    }
}

impl<T: ToSchema> Answers for CreatedOrChecked<T> {
    fn describe(shape: &mut Shape) {
        Created::<T>::describe(shape);
        shape.good(StatusCode::NO_CONTENT, "It was only checked, and is right.", Content::Nothing);
    }
}

/// It is done, and there is nothing to say: 204.
pub(in crate::server) struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl Answers for Done {
    fn describe(shape: &mut Shape) {
        shape.good(StatusCode::NO_CONTENT, "It is done.", Content::Nothing);
    }
}

/// Answers whose content no type of ours says.
macro_rules! response {
    ($(#[$doc:meta])* $name:ident, $status:expr, $words:literal, $content:expr, $stream:expr, $ranges:literal) => {
        $(#[$doc])*
        pub(in crate::server) struct $name(pub(in crate::server) Response);

        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                self.0
            }
        }

        impl Answers for $name {
            fn describe(shape: &mut Shape) {
                shape.good($status, $words, $content);
                if $ranges {
                    shape.good(StatusCode::PARTIAL_CONTENT, "The range that was asked for.", $content);
                    shape.refusals.insert(416);
                }
                shape.stream = $stream;
            }
        }
    };
}
response!(
    /// Bytes of a file.
    Octets, StatusCode::OK, "Its bytes.", Content::Bytes, None, true
);
response!(
    /// The text of a DAG file.
    DagText, StatusCode::OK, "Its text.", Content::Text(TOML), None, false
);
response!(
    /// A log, chunk by chunk.
    Log, StatusCode::OK, "Bytes of the log, chunk by chunk; with `plain`, text.", Content::Log, Some(Stream::Log), true
);
response!(
    /// A WebSocket of events.
    EventStream, StatusCode::SWITCHING_PROTOCOLS, "The WebSocket begins.", Content::Nothing, Some(Stream::Events), false
);
response!(
    /// A WebSocket of a terminal.
    Terminal, StatusCode::SWITCHING_PROTOCOLS, "The WebSocket begins.", Content::Nothing, Some(Stream::Terminal), false
);
response!(
    /// A document of JSON that describes the API.
    Document, StatusCode::OK, "The document.", Content::AnyJson, None, false
);
response!(
    /// A page for people.
    Page, StatusCode::OK, "The page.", Content::Text("text/html; charset=utf-8"), None, false
);
