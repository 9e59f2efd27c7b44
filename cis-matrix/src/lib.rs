//! Matrix for CIS: an account, its rooms, what is said in them.
//!
//! Owns everything of matrix-sdk and ruma; knows nothing of runs, sessions or CIS. What stands outside is plain
//! values and boxed futures: the SDK's asynchronous code is generated in here, so that nothing that uses this
//! crate is compiled with it (`docs/decisions/0016-matrix-crate.md`).
//!
//! Nothing is retried, and no request waits for a rate limit: an error says when trying again makes sense, and
//! whoever has an order and a budget of what to send decides. Nobody is called back: [`Client::next`] gives what
//! happened, batch by batch.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of it is io")]
#![recursion_limit = "256"] // The SDK's futures are deep.

mod account;
mod asked;
mod device;
mod error;
mod events;
mod files;
mod history;
mod keys;
mod media;
mod members;
mod name;
mod receipt;
mod room_keys;
mod rooms;
mod seal;
mod send;
mod session;
mod sso;
mod standing;
mod state;
mod sync;
mod verification;

use std::pin::Pin;

pub use account::{Client, Login, Proof};
pub use device::DeviceMessage;
pub use error::MatrixError;
pub use events::{Encryption, RoomEvent, Trust};
pub use history::{Beginning, Page, Related};
pub use media::{Content, FilePart, Media};
pub use members::{Member, Power};
pub use name::{RoomName, RoomNameError};
pub use room_keys::RoomKeys;
pub use rooms::{CreateRoom, Invitation, RoomInfo};
pub use seal::Seal;
pub use session::{Secret, Session};
pub use standing::Standing;
pub use state::StateEvent;
pub use sync::{Batch, RoomBatch};
pub use verification::{Emoji, Step, Verification};

/// What every request gives. It holds all that it needs, and does nothing before it is polled.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, MatrixError>> + Send>>;

/// A future of this crate, its code generated here.
fn answer<T>(work: impl Future<Output = Result<T, MatrixError>> + Send + 'static) -> Answer<T> {
    Box::pin(work)
}
