//! Agent profiles: how the program of an agent is started, how it gets its prompt, and how it is ended.
//!
//! Owns the profiles that are built in, the reading of others, and the argument list that a profile and a
//! prompt make. Pure: it starts nothing and looks for no program. What the screen of an agent says is
//! for [`crate::monitor`] to read.

mod book;
mod launch;
mod read;
mod screen;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::monitor::Idle;

pub use book::Agents;
pub use book::Resolver;
pub use launch::{Launch, LaunchError};
pub use read::KEYS;
pub use read::{Layer, read};
pub use screen::Screen;

/// Stands in an argument for the prompt: `--message={prompt}` is one argument.
pub const PROMPT_PLACE: &str = "{prompt}";

/// How a program gets its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// As an argument, after `prompt_args` or in their `{prompt}`.
    #[default]
    Argument,
    /// As its standard input, which then ends; the terminal is its other two streams and `/dev/tty`.
    Stdin,
    /// Typed into its terminal when it waits for input: for programs that take it as a message, not as
    /// commands.
    Typed,
    /// Not at all: it is a shell, or the like, where words of others would be commands.
    None,
}

/// What happens when a task's agent turns out not to be logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// It is ended and started again a little later, a few times.
    #[default]
    Retry,
    /// It waits for a human, who logs it in.
    Ask,
}

/// A profile with everything in place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// How it gets a prompt.
    pub prompt: Delivery,
    /// Arguments that are only there with a prompt.
    pub prompt_args: Vec<String>,
    /// Its environment, below that of a task.
    pub env: BTreeMap<String, String>,
    /// Whose login it uses: what one session of an account learns holds for the others.
    pub account: String,
    /// What being at its prompt means, where it was given one.
    pub idle: Idle,
    /// How its screen is read.
    pub screen: Screen,
    /// What happens when it is not logged in.
    pub login: Login,
    /// Words of a screen that asks for a login by which another try is of no use.
    pub login_final: Vec<String>,
    /// What is typed, one after the other, so that it ends by itself.
    pub exit: Vec<String>,
    /// A task of it takes so long at most where the file does not say, ms.
    pub timeout_ms: Option<u64>,
}

#[cfg(test)]
mod tests;
