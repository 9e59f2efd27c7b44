//! Tests against real files.

mod corruption;
mod crowd;
mod damage;
mod events;
mod faults;
mod find;
mod gates;
mod glance;
mod inbox;
mod measure;
mod open;
mod rooms;
mod support;
mod write;
