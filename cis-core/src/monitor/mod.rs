//! The monitor: does a session wait for a human, for what, and on what evidence?
//!
//! Owns the evidence's shapes, the reading of terminal signals and of screens by rules, and the arbiter
//! that draws a verdict from them. Pure: whoever gathers evidence gives it with its time, asks when to
//! come back, and acts on what changed. Knows nothing of PTYs, processes, hubs or stores.

mod arbiter;
mod clean;
mod evidence;
mod keys;
pub mod measure;
mod profile;
pub mod recording;
mod screen;
mod tap;
mod verdict;

pub use arbiter::{Arbiter, Seed};
pub use evidence::{KernelEvidence, Lines, Modes, Pointed, PointedBy, Reader, ReaderHow, ScreenView, Signal};
pub use keys::TypedKeys;
pub use profile::{Idle, Profile, ProfileError};
pub use screen::{Around, Choice};
pub(crate) use screen::{allows, goes_beyond_once, meaning_of, shows_other_numbers};
pub use tap::Tap;
pub use verdict::{Change, Explanation, LayerReport, Verdict, Want};
