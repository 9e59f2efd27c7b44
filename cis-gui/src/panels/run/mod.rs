//! A run: its tasks as a graph or as a list, and one of them in detail.

mod asked;
mod canvas;
mod detail;
mod paint;
mod timeline;
mod times;
mod ui;
mod view;

pub use ui::{Run, show};
pub use view::{Line, line, lines};
