//! The machine, read from outside: inputs in, exact events and effects out.

mod ahead;
mod bench;
mod control;
mod limits;
mod losses;
mod outcomes;
mod reducing;
mod triggers;
mod why;
