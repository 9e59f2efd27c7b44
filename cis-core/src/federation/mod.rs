//! What nodes say to each other, as bytes and rules: signed envelopes, a run's journal, its canonical state.
//!
//! Pure: owns what is signed, how a journal is written, read and cut, and what of an event a room gets. Knows nothing
//! of Matrix, sockets or the store: whoever carries envelopes says how they came, and to whom.

pub mod announcement;
pub mod audit;
mod base64_bytes;
pub mod canonical;
pub mod commit;
pub mod control;
pub mod direct;
pub mod envelope;
mod envelope_type;
pub mod export;
mod fact;
pub mod finality;
pub mod journal;
pub mod keepers;
pub mod lanes;
pub mod lead;
mod link;
pub mod membership;
pub mod outgoing;
pub mod packed;
pub mod parts;
pub mod private;
pub mod protocol;
pub mod recovery;
pub mod refusal;
pub mod room_event;
pub mod session_news;
pub mod transfer;
pub mod view;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod golden_messages;
#[cfg(test)]
mod sample;
