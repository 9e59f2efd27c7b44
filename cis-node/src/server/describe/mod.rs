//! The API's description: one table of operations makes both the router and the documents.
//!
//! Owns the table's form ([`operations!`]), what is inferred of a handler's signature (`inferred`), the
//! documents made of both (`openapi`, `asyncapi`, `page`) and the routes that serve them (`served`). A
//! handler that takes or answers something else describes itself differently without being touched here.

mod asyncapi;
mod inferred;
mod openapi;
mod page;
mod served;

use std::collections::BTreeSet;

use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use axum::{Router, middleware};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::Schema;

pub(super) use inferred::{
    Conditions, Created, CreatedOrChecked, DagText, Described, Done, EventStream, Log, Octets, Terminal,
};
pub(super) use served::operations as routes;

use super::query;
use cis_core::api::ProblemKind;
use cis_core::policy::Action;

/// What an operation is about: its group in the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tag {
    Runs,
    Tasks,
    Sessions,
    Inbox,
    Events,
    Groups,
    Node,
    Tokens,
    Store,
    Identity,
    Nodes,
    Matrix,
}

impl Tag {
    pub(super) const ALL: [Self; 12] = [
        Self::Runs,
        Self::Tasks,
        Self::Sessions,
        Self::Inbox,
        Self::Events,
        Self::Groups,
        Self::Node,
        Self::Tokens,
        Self::Store,
        Self::Identity,
        Self::Nodes,
        Self::Matrix,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Tasks => "tasks",
            Self::Sessions => "sessions",
            Self::Inbox => "inbox",
            Self::Events => "events",
            Self::Groups => "groups",
            Self::Node => "node",
            Self::Tokens => "tokens",
            Self::Store => "store",
            Self::Identity => "identity",
            Self::Nodes => "nodes",
            Self::Matrix => "matrix",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Runs => "Executions of DAG files.",
            Self::Tasks => "Tasks of a run: why they are where they are, what they left.",
            Self::Sessions => "Processes in terminals or on pipes: of tasks, and those created alone.",
            Self::Inbox => "What waits for a human, and what sessions say by themselves.",
            Self::Events => "Everything that happens, as it becomes durable.",
            Self::Groups => "Concurrency groups: how many tasks of a kind may work at a time.",
            Self::Node => "The node itself, and these documents.",
            Self::Tokens => "By which the node is used over TCP; made on its own machine.",
            Self::Store => "What the node keeps.",
            Self::Identity => "Who the node is to others, and whom it trusts.",
            Self::Nodes => "The nodes of rooms that share tasks with this one.",
            Self::Matrix => "The node's Matrix account, its device and its rooms.",
        }
    }
}

/// One operation. Everything else about it is inferred of its handler.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    /// In capitals.
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Unique.
    pub(super) id: &'static str,
    pub(super) tag: Tag,
    /// The first line is a summary.
    pub(super) words: &'static str,
    /// What the caller must be allowed to do.
    pub(super) action: Action,
    /// Problems that are its own, beside those that follow from what it takes.
    pub(super) problems: &'static [ProblemKind],
    /// Not called before a document is asked for.
    pub(super) shape: fn(&mut Shape),
}

/// What is inferred of a handler.
#[derive(Default)]
pub(super) struct Shape {
    /// Of the query and the head.
    pub(super) parameters: Vec<Parameter>,
    /// Content types of the body, and what is in it.
    pub(super) bodies: Vec<(&'static str, Content)>,
    pub(super) answers: Vec<Good>,
    /// HTTP statuses of problems that follow from what it takes.
    pub(super) refusals: BTreeSet<u16>,
    /// Schemas that it needs, by name.
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    /// It answers with a stream.
    pub(super) stream: Option<Stream>,
}

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Events,
    Terminal,
    Log,
}

/// An answer of success.
pub(super) struct Good {
    pub(super) status: u16,
    pub(super) words: &'static str,
    pub(super) content: Content,
    /// It may be marked as one that was given before.
    pub(super) is_counted: bool,
}

/// What is in it.
pub(super) enum Content {
    Nothing,
    /// JSON of the schema with this name.
    Json(String),
    /// JSON without a schema of ours.
    AnyJson,
    Text(&'static str),
    Bytes,
    /// Bytes or text, and the session that they are of in a header.
    Log,
}

/// The table: operations, and the router made of them.
pub(super) struct Operations<S> {
    list: Vec<Operation>,
    router: Router<S>,
}

impl<S: Clone + Send + Sync + 'static> Operations<S> {
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), router: Router::new() }
    }

    /// Adds an operation with its handler; its `shape` is replaced by the handler's own.
    pub(super) fn add<H, M, D>(mut self, operation: Operation, method: MethodFilter, handler: H) -> Self
    where
        H: Handler<M, S> + Described<D>,
        M: 'static,
    {
        let path = operation.path;
        self.list.push(Operation { shape: H::describe, ..operation });
        let mut route = on(method, handler);
        if !H::QUERY {
            route = route.route_layer(middleware::from_fn(query::none));
        }
        self.router = self.router.route(path, route);
        self
    }

    /// Ids of the operations, and what each needs.
    pub(super) fn actions(&self) -> Vec<(&'static str, Action)> {
        self.list.iter().map(|operation| (operation.id, operation.action)).collect()
    }

    /// Takes the operations of another table as well.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.list.extend(other.list);
        self.router = self.router.merge(other.router);
        self
    }

    pub(super) fn into_router(self) -> Router<S> {
        self.router
    }

    /// The documents of everything in the table.
    pub(super) fn documents(&self) -> Documents {
        let openapi = openapi::document(&self.list);
        let asyncapi = asyncapi::document(&self.list);
        let page = page::page(&openapi, &asyncapi);
        Documents { openapi, asyncapi, page }
    }
}

/// What the API says of itself.
pub struct Documents {
    /// OpenAPI 3.1: requests and answers.
    pub openapi: Value,
    /// AsyncAPI 3.0: streams.
    pub asyncapi: Value,
    /// Both for people: HTML.
    pub page: String,
}

/// A table of operations. Each has its description as a doc comment (the first line is a summary), an id,
/// method and path, its tag, what its caller must be allowed to do, problems of its own, and its handler:
///
/// ```text
/// /// Lists runs.
/// list_runs: GET paths::RUNS, Runs, Action::See, [BadInput] => list_runs::<N>;
/// ```
macro_rules! operations {
    ($($(#[doc = $words:literal])+ $id:ident: $method:ident $path:expr, $tag:ident, $action:expr,
        [$($problem:ident),*] => $handler:expr;)+) => {
        $crate::server::describe::Operations::new()$(
            .add(
                $crate::server::describe::Operation {
                    method: stringify!($method),
                    path: $path,
                    id: stringify!($id),
                    tag: $crate::server::describe::Tag::$tag,
                    words: concat!($($words, "\n"),+),
                    action: $action,
                    problems: &[$(cis_core::api::ProblemKind::$problem),*],
                    shape: |_| {},
                },
                axum::routing::MethodFilter::$method,
                $handler,
            )
        )+
    };
}
pub(super) use operations;
