//! Where the time of a run went: a bar for each task that has had its turn.

mod ui;
mod view;

pub(super) use ui::Timeline;
pub(super) use view::critical;
