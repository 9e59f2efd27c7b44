//! A run's journal: one writer, its coordinator; entries numbered (epoch, n), each bound to the one before by its hash.
//!
//! Owns what is merged before it is written (`coalesce`), batches of entries (`batch`),
//! the writer, and the reader with its answer to gaps, takeovers and forgeries (`line`, `reader`). It carries nothing:
//! envelopes come and go by others.

mod batch;
mod coalesce;
mod line;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use super::fact::{Fact, Life, Piece};
pub use super::link::{EntryHash, Position};
pub(crate) use batch::Blob;
pub use batch::{BadBatch, Batch, FILE_SIZE_MAX, FileRef, TYPE, Told, VERSION};
pub use coalesce::Coalescer;
pub use reader::{Missing, Placed, Reader, Report, Taken};
pub use writer::{FilePage, Page, Writer};
