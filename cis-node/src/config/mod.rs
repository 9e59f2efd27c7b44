//! Keys, tokens and certificates of a node on disk, and what is configured.
//!
//! Owns these files, and the one table of settings. Knows nothing of who reads a setting.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "not a pure crate")]

mod certificate;
mod file;
mod identity;
mod keys;
mod kind;
mod load;
mod pages;
mod programs;
pub(crate) mod settings;
mod tokens;

pub use certificate::{Certificate, CertificateError};
pub use file::{FileError, NAMED_TABLES};
pub use identity::{Identity, IdentityError};
pub use keys::{KeyError, Keys};
pub use kind::{Item, Kind, Value, check_unit, detach_keys};
pub use load::{Config, ConfigError, Entry, Origin, load, unknown_variables};
pub use pages::default_file;
pub use programs::{find_program, inherited_path, missing_agents};
pub use settings::{
    ApiSettings, AttachSettings, DagMatrix, DagSettings, MatrixSettings, NodeSettings, Retention, SETTINGS,
    Scope, Setting, Settings, Timeouts,
};
pub use tokens::{Tokens, TokensError, view as token_view};
