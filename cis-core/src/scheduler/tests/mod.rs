//! The machine, read from outside: inputs in, exact events and effects out.

mod ahead;
mod approval;
mod bench;
mod control;
mod foreach;
mod groups;
mod handlers;
mod limits;
mod losses;
mod outcomes;
mod reducing;
mod times;
mod triggers;
mod why;
