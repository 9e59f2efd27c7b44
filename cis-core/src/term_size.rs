//! How large a terminal is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Size of a terminal, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct TermSize {
    /// Width.
    pub cols: u16,
    /// Height.
    pub rows: u16,
}

impl Default for TermSize {
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}
