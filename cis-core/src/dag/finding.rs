//! A mistake in a file, as people and programs get it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One mistake in a text, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// File name as the user gave it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The line itself with the place marked, several lines of text.
    pub rendered: String,
}
