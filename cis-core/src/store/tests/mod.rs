//! Tests against real files.

mod events;
mod faults;
mod find;
mod measure;
mod open;
mod support;
mod write;
