//! The list of runs, newest first: how far they are, and what can be done with each.

mod ui;
mod view;

pub(in crate::panels) use ui::actions;
pub use ui::{Runs, show};
pub(in crate::panels) use view::counts;
pub use view::{Filter, Row, entries, row};
