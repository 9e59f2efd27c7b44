//! Tests against real files.

mod measure;
mod support;
