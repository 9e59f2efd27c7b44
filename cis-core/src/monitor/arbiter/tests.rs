//! Stories of programs, and what is concluded when.

mod above;
mod agents;
mod asked;
mod before;
mod endings;
mod lines;
mod listeners;
mod lists;
mod logins;
mod menus;
mod moments;
mod painted;
mod properties;
mod quiet;
mod what_if;
