//! Query strings. Each parameter must be described, given once, and of its type.

use std::borrow::Cow;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use super::check::Checker;
use super::errors::Failure;
use cis_core::api::{Problem, ProblemKind};
use cis_core::dag::diagnose::nearest;

/// The query of a request, read and checked.
pub(super) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + IntoParams + 'static> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Middleware that refuses any query, for operations that take none.
pub(super) async fn none(request: Request, next: Next) -> Result<Response, Failure> {
    if let Some((name, _)) = pairs(request.uri().query().unwrap_or_default()).next() {
        return Err(unknown(&name, &[]));
    }
    Ok(next.run(request).await)
}

fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

/// Reads a query as its type.
pub(super) fn read<T: DeserializeOwned + IntoParams + 'static>(query: &str) -> Result<T, Failure> {
    // Most requests have no query. If a parameter is required, the check below says which.
    if query.is_empty()
        && let Ok(nothing) = serde_json::from_value(Value::Object(Map::new()))
    {
        return Ok(nothing);
    }
    let checker = Checker::of_query::<T>();
    let mut given = Map::new();
    for (name, text) in pairs(query) {
        let Some((_, schema)) = checker.properties().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = checker.properties().map(|(known, _)| known).collect();
            return Err(unknown(&name, &known));
        };
        if let Some(Value::Array(values)) = given.get_mut(&*name) {
            values.push(typed(&schema["items"], &text));
        } else if given.contains_key(&*name) {
            return Err(bad(format!("the query parameter `{}` is given twice", name.escape_debug())));
        } else if is(schema, "array") {
            given.insert(name.into_owned(), vec![typed(&schema["items"], &text)].into());
        } else {
            given.insert(name.into_owned(), typed(schema, &text));
        }
    }
    let given = Value::Object(given);
    checker.check(&given).map_err(|wrong| bad(format!("the query is invalid: {wrong}")))?;
    serde_json::from_value(given).map_err(|error| {
        tracing::debug!(%error, "a query that the description allows cannot be read");
        bad("the query is not as described in /v1/openapi.json".to_owned())
    })
}

/// Converts a text to the type of its schema. A text that cannot be converted stays as it is, and the check refuses it.
fn typed(schema: &Value, text: &str) -> Value {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let fit = if is(schema, "integer") {
        read(text).filter(|value| value.is_i64() || value.is_u64())
    } else if is(schema, "boolean") {
        read(text).filter(Value::is_boolean)
    } else {
        None
    };
    fit.unwrap_or_else(|| text.into())
}

fn is(schema: &Value, name: &str) -> bool {
    schema["type"] == name || schema["type"].as_array().is_some_and(|names| names.iter().any(|of| of == name))
}

fn unknown(name: &str, known: &[&str]) -> Failure {
    let problem =
        Problem::new(ProblemKind::BadInput, format!("unknown query parameter `{}`", name.escape_debug()));
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    Failure(match nearest(name, known.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None if names.is_empty() => problem.hint("this operation takes no query"),
        None => problem.hint(format!("this operation takes {}", names.join(", "))),
    })
}

fn bad(detail: String) -> Failure {
    Failure(Problem::new(ProblemKind::BadInput, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::api::{FollowEvents, ListRuns};

    fn refused(query: &str) -> Problem {
        read::<ListRuns>(query).map(|_| ()).map_err(|failure| failure.0).unwrap_err()
    }

    #[test]
    fn parameters_are_known_single_and_typed() {
        let runs: ListRuns = read("open=true&limit=5&after=a%26b").map_err(|failure| failure.0).unwrap();
        assert_eq!((runs.open, runs.limit, runs.after.as_deref()), (true, Some(5), Some("a&b")));
        assert_eq!(refused("limt=5").detail, "unknown query parameter `limt`");
        assert_eq!(refused("limt=5").hint.unwrap(), "did you mean `limit`?");
        assert_eq!(refused("open=true&open=false").detail, "the query parameter `open` is given twice");
        for (query, said) in [
            ("limit=many", "the query is invalid: `limit` must be an integer, not `many`"),
            ("limit=", "the query is invalid: `limit` must be an integer, not ``"),
            ("limit=0", "the query is invalid: `limit` must be at least 1, not 0"),
            ("limit=1e3", "the query is invalid: `limit` must be an integer, not `1e3`"),
            ("open=1", "the query is invalid: `open` must be true or false, not `1`"),
            ("open", "the query is invalid: `open` must be true or false, not ``"),
        ] {
            assert_eq!(refused(query).detail, said, "{query}");
        }
        let events: FollowEvents = read("run=7&after=0").map_err(|failure| failure.0).unwrap();
        assert_eq!((events.run.as_deref(), events.after), (Some("7"), Some(0)));
    }
}
