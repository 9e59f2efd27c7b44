//! The dashboard of CIS: what waits for people, runs, their tasks and terminals, live.
//!
//! [`model`] is a pure fold of what the node says; [`feed`] keeps it up to date and carries out [`command`]s;
//! [`panels`] draw it. The frame loop never blocks, and draws only when something has changed.
#![allow(clippy::disallowed_types, reason = "what is drawn needs no order of hash maps")]

pub mod app;
pub mod command;
pub mod draft;
pub mod feed;
pub mod fonts;
pub mod graph;
pub mod model;
pub mod panels;
pub mod settings;
pub mod terminal;
pub mod theme;
pub mod widgets;
