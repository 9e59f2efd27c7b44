//! Starting a run: a file is chosen, its parameters are filled in.

mod ui;
mod view;

pub use ui::{Start, show};
