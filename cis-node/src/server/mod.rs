//! The API: HTTP and WebSocket over the node's Unix socket, and, where that is configured, over TCP with TLS and tokens.
//!
//! Owns routes, decoding, and the order admit → act → answer; over TCP also which connections are accepted. The actions are
//! behind [`NodeApi`]; this folder knows no store, no session and no scheduler.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "not a pure crate")]

mod answers;
mod body;
mod caller;
mod check;
mod cors;
mod descent;
mod describe;
mod encoding;
mod errors;
mod extract;
mod gate;
mod idempotency;
mod idempotency_api;
mod identity_api;
mod identity_routes;
mod inbox_api;
mod inbox_routes;
mod limits;
mod looks;
mod matrix_api;
mod matrix_routes;
mod me_routes;
mod new_run;
mod node_api;
mod nodes_api;
mod nodes_routes;
mod operations;
mod peer;
mod places;
mod policy_api;
mod policy_routes;
mod query;
mod range;
mod routes;
mod schemas;
mod serve;
mod streams;
mod tasks_api;
mod tasks_routes;
mod tcp;
mod token_guard;
mod tokens_api;
mod tokens_routes;
mod unauthenticated;
mod unread;
mod verification_api;
mod verification_routes;

pub use descent::{Descent, NoDescent};
pub use describe::Documents;
pub use idempotency_api::{Fingerprint, IdempotencyApi};
pub use identity_api::IdentityApi;
pub use inbox_api::InboxApi;
pub use looks::Client;
pub use matrix_api::MatrixApi;
pub use node_api::{AttachFrame, AttachInput, AttachPermit, AttachStreams, EventBatch, EventFrame, NodeApi};
pub use nodes_api::NodesApi;
pub use operations::documents;
pub use peer::Peer;
pub use policy_api::PolicyApi;
pub use serve::{Bound, UnderWay, serve};
pub use tasks_api::TasksApi;
pub use tcp::{TcpEndpoint, serve_tcp, tls};
pub use tokens_api::{Bearer, TokensApi};
pub use verification_api::VerificationApi;
