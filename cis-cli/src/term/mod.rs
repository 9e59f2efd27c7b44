//! The caller's terminal: raw mode that is always undone, and filters for what is shown on it and typed at it.

pub(crate) mod attach;
pub(crate) mod detach;
pub(crate) mod keys;
mod leave;
pub(crate) mod raw;
pub(crate) mod record;
pub(crate) mod secret;
pub(crate) mod switch;
pub(crate) mod typed;
