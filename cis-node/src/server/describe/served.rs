//! The documents, as the node serves them. Made when the first of them is asked for.

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse as _;

use super::inferred::{Document, Page};
use super::{Documents, Operations, operations as table};
use crate::server::caller::Caller;
use crate::server::errors::Failure;
use crate::server::node_api::NodeApi;
use cis_core::api::paths;
use cis_core::policy::{Action, act};

/// The page loads nothing, and nobody may frame it.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `documents` makes the documents of the whole table.
pub(in crate::server) fn operations<N: NodeApi>(documents: fn() -> Documents) -> Operations<Arc<N>> {
    table! {
        /// Describes this API (OpenAPI 3.1).
        get_openapi: GET paths::OPENAPI, Node, Action::SeeNode, [] => move |node: Node<N>, who: Caller| openapi(node, who, documents);
        /// Describes the streams of this API (AsyncAPI 3.0).
        get_asyncapi: GET paths::ASYNCAPI, Node, Action::SeeNode, [] => move |node: Node<N>, who: Caller| asyncapi(node, who, documents);
        /// Both for people: a page of HTML.
        get_docs: GET paths::DOCS, Node, Action::SeeNode, [] => move |node: Node<N>, who: Caller| page(node, who, documents);
    }
}

type Node<N> = State<Arc<N>>;

/// As they go out.
struct Texts {
    openapi: String,
    asyncapi: String,
    page: String,
}

/// There is one API in a process.
fn texts(documents: fn() -> Documents) -> &'static Texts {
    static TEXTS: OnceLock<Texts> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let Documents { openapi, asyncapi, page } = documents();
        Texts { openapi: openapi.to_string(), asyncapi: asyncapi.to_string(), page }
    })
}

const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");

async fn openapi<N: NodeApi>(
    State(node): Node<N>,
    Caller(who): Caller,
    documents: fn() -> Documents,
) -> Result<Document, Failure> {
    node.admit(&who, act::SeeNode)?;
    Ok(Document(([JSON], texts(documents).openapi.as_str()).into_response()))
}

async fn asyncapi<N: NodeApi>(
    State(node): Node<N>,
    Caller(who): Caller,
    documents: fn() -> Documents,
) -> Result<Document, Failure> {
    node.admit(&who, act::SeeNode)?;
    Ok(Document(([JSON], texts(documents).asyncapi.as_str()).into_response()))
}

async fn page<N: NodeApi>(
    State(node): Node<N>,
    Caller(who): Caller,
    documents: fn() -> Documents,
) -> Result<Page, Failure> {
    node.admit(&who, act::SeeNode)?;
    let head = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok(Page((head, texts(documents).page.as_str()).into_response()))
}
