//! Raw output of sessions on disk, bounded: the first half of the limit, then the newest part.
//!
//! Owns the files of a log: `LOG` (its head), `LOG.tail0` to `LOG.tail3` (the newest bytes, each with
//! its offset in front), `LOG.times` (when which offset was written). Knows no session and no socket.
//! What a reader finds is only ever what was written, in order, with the cut named.

mod layout;
mod reader;
mod replace;
#[cfg(test)]
mod tests;
mod times;
mod writer;

pub use layout::LIMIT_BYTES_MIN;
pub use reader::{Chunk, LogReader};
pub use replace::replace;
pub use times::{Mark, read_times};
pub(crate) use writer::PassedLog;
pub use writer::{LogWriter, Trouble};
