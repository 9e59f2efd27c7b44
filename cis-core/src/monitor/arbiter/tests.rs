//! Stories of programs, and what is concluded when.

mod agents;
mod endings;
mod lines;
mod logins;
mod moments;
mod properties;
mod quiet;
