//! The machine, read from outside: inputs in, exact events and effects out.

mod ahead;
mod approval;
mod bench;
mod blocked;
mod control;
mod foreach;
mod groups;
mod handed_in;
mod handlers;
mod limits;
mod logins;
mod losses;
mod outcomes;
mod reducing;
mod rooms;
mod submitter;
mod times;
mod triggers;
mod why;
