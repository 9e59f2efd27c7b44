//! Types of envelopes.

use crate::event::Category;

/// By which way an envelope goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The room's timeline: durable, numbered, of the account's budget.
    Timeline,
    /// The room's timeline, without a number: nothing depends on it.
    Beside,
    /// To a device: fast, lossy, repeated until it is acknowledged.
    Device,
}

/// A type of envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeType {
    /// `cis.dag.…`.
    pub name: &'static str,
    /// Version of its body.
    pub v: u32,
    /// What it is about.
    pub category: Category,
    /// By which way it goes.
    pub way: Way,
}

impl EnvelopeType {
    /// The first version of one that goes to a device.
    #[must_use]
    pub const fn device(name: &'static str, category: Category) -> Self {
        Self { name, v: 1, category, way: Way::Device }
    }
}
