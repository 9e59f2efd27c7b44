//! Files and environment of a node: where its home is, its keys.
//!
//! Owns paths and the making of them. Knows nothing of what is written there by others.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "an io folder")]

mod home;
#[cfg(feature = "node")]
mod keys;

pub use home::{Home, HomeError};
#[cfg(feature = "node")]
pub use keys::{KeyError, Keys};
