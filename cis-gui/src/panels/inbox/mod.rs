//! The inbox: what waits for a human, oldest first, and how it is answered.

mod ui;
mod view;

pub use ui::{Inbox, show};
pub use view::{Card, cards, title};
