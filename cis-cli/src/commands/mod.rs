//! The verbs. Each file holds one: its arguments, whose doc comments are the help, and what it does.

pub(crate) mod answer;
pub(crate) mod api;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dag;
pub(crate) mod doctor;
pub(crate) mod group;
pub(crate) mod gui;
pub(crate) mod identity;
pub(crate) mod inbox;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod matrix;
pub(crate) mod monitor;
pub(crate) mod node;
pub(crate) mod session;
pub(crate) mod session_host;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod task;
