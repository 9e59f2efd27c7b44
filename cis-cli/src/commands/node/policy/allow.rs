//! `cis node policy allow`.

use super::selectors::{Selectors, add};
use crate::context::Context;
use crate::error::{CliError, Exit};
use cis_core::event::RuleEffect;

/// Execute tasks of other nodes that match all selectors, and only such tasks
///
/// If a node has allow rules that can apply to a room, it executes only those tasks of the room that an allow rule matches and
/// no deny rule does. The rule holds for the next task that is granted; running tasks continue.
///
/// --command compares the pattern with the words of `command`, or with the text of `script`. A script that a shell could
/// understand in more than one way (with `;`, `|`, `$`, a line break, …) must be the same text as the pattern. A task that sets
/// variables is allowed only if the rule names all of them with --env. A task with an agent needs a rule with --agent.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node policy allow --command 'make *'
  cis node policy allow --command 'cargo test*' --env RUSTFLAGS
  cis node policy allow --room '#builds:example.org' --tag gpu
  cis node policy allow --agent claude --by did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")]
pub(crate) struct Args {
    #[command(flatten)]
    selectors: Selectors,
    /// Variable that tasks with this command may set; can be given several times
    #[arg(long, value_name = "NAME", requires = "command")]
    env: Vec<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    add(context, RuleEffect::Allow, &args.selectors, &args.env)
}
