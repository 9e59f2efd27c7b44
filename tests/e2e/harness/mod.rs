//! What the tests stand on: a `cis` with a home of its own, terminals to drive it through, a view of
//! the processes it left behind, waiting with deadlines, agents and a model server for them.

mod agents;
mod cis;
mod desk;
mod model;
mod output;
pub mod pair;
mod processes;
#[allow(dead_code, reason = "each of the two test binaries uses a part of it")]
pub mod proxy;
pub mod relay;
mod remote;
pub mod room;
mod session_http;
pub mod strait;
#[allow(dead_code, reason = "each of the two test binaries uses a part of it")]
pub mod synapse;
mod terminal;
mod ticker;
mod wait;
pub mod websocket;

pub use agents::{Installed, installed};
pub use cis::{Cis, ulid_in};
pub use desk::{Desk, Window};
pub use model::{Model, Reply};
pub use output::{Output, Running};
pub use processes::{
    is_alive, kill_9, kill_9_at_once, peak_kb, resident_kb, signal, state_of, wait_until_handled,
};
pub use remote::{Remote, audit_of};
pub use session_http::SESSION_HTTP;
pub use terminal::Terminal;
pub use ticker::Ticker;
pub use wait::{LONG, Seeded, eventually, eventually_or, eventually_within, is_root, pause, skip};
