//! The node's Matrix account: one login, its files, and what is said in its rooms.
//!
//! Owns the session on disk, the one client of it, and the loop that asks the homeserver what happened. Nothing of it
//! exists before somebody asks for it: a node without an account pays nothing. What the homeserver is asked, and how,
//! is `cis-matrix`'s. Knows nothing of runs, sessions and the API.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "not a pure crate")]

mod backoff;
mod compare;
mod error;
mod feed;
mod files;
mod homeserver;
mod login;
mod read;

pub use backoff::Backoff;
pub use compare::{Comparison, Progress, Stands, Word};
pub use error::AccountError;
pub use feed::{Feed, News, boot_ms};
pub use homeserver::{Homeserver, TakeChunk};
pub use login::{Account, GivenAccount, NewLogin, Opened};
pub use read::Said;
