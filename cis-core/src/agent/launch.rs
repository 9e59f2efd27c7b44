//! From a profile and a prompt to what is run.

use super::{Agent, Delivery, PROMPT_PLACE};
use crate::dag::PROMPT_BYTES_MAX;
use crate::dag::template::MAX_ARGUMENT_BYTES;

/// What a session is started from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Launch {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its standard input, where that is not the terminal.
    pub stdin: Option<String>,
    /// What is typed when it waits for input.
    pub typed: Option<String>,
}

/// Why an agent cannot get its prompt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// It would not fit.
    #[error(
        "the prompt of agent `{agent}` is {bytes} bytes long, and at most {limit} are possible: let it read a file"
    )]
    TooLong {
        /// Which agent.
        agent: String,
        /// With what stands around it.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// It takes none.
    #[error(
        "agent `{agent}` takes no prompt (prompt = \"none\"): leave it out, or give the work as the script of a task"
    )]
    None {
        /// Which agent.
        agent: String,
    },
    /// No argument and no terminal can carry it.
    #[error("the prompt of agent `{agent}` holds a {what} character")]
    Unfit {
        /// Which agent.
        agent: String,
        /// Which one.
        what: &'static str,
    },
}

impl Agent {
    /// What is run, with this prompt or without any.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub fn launch(&self, prompt: Option<&str>) -> Result<Launch, LaunchError> {
        let mut launch = Launch { argv: self.command.clone(), ..Launch::default() };
        let Some(prompt) = prompt else { return Ok(launch) };
        self.check(prompt)?;
        let mut placed = false;
        for argument in &self.prompt_args {
            let here = self.prompt == Delivery::Argument && argument.contains(PROMPT_PLACE);
            placed |= here;
            launch.argv.push(if here { argument.replace(PROMPT_PLACE, prompt) } else { argument.clone() });
        }
        match self.prompt {
            Delivery::Argument if !placed => launch.argv.push(prompt.to_owned()),
            Delivery::Argument => {}
            Delivery::Stdin => launch.stdin = Some(prompt.to_owned()),
            Delivery::Typed => launch.typed = Some(prompt.to_owned()),
            Delivery::None => return Err(LaunchError::None { agent: self.name.clone() }),
        }
        let longest = launch.argv.iter().map(String::len).max().unwrap_or(0);
        self.fits(longest, MAX_ARGUMENT_BYTES)?;
        Ok(launch)
    }

    fn check(&self, prompt: &str) -> Result<(), LaunchError> {
        let unfit = |what| Err(LaunchError::Unfit { agent: self.name.clone(), what });
        if prompt.contains('\0') {
            return unfit("NUL");
        }
        // What is typed is keys: a control character would be one that nobody pressed.
        let is_key = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        if self.prompt == Delivery::Typed && prompt.contains(is_key) {
            return unfit("control");
        }
        self.fits(prompt.len(), PROMPT_BYTES_MAX)
    }

    fn fits(&self, bytes: usize, limit: usize) -> Result<(), LaunchError> {
        if bytes > limit {
            return Err(LaunchError::TooLong { agent: self.name.clone(), bytes, limit });
        }
        Ok(())
    }
}
