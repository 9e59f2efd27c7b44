//! `cis node policy deny`.

use super::selectors::{Selectors, add};
use crate::context::Context;
use crate::error::{CliError, Exit};
use cis_core::event::RuleEffect;

/// Never execute tasks of other nodes that match all selectors
///
/// Deny rules take precedence over allow rules. The rule holds for the next task that is granted; running tasks continue.
///
/// --command finds the pattern anywhere in the command, script and variables of a task. A script can hide what it runs, so this
/// protects against mistakes. To be sure, use `cis node policy allow`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node policy deny --command 'rm *'
  cis node policy deny --agent claude
  cis node policy deny --coordinator did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK --tag gpu")]
pub(crate) struct Args {
    #[command(flatten)]
    selectors: Selectors,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    add(context, RuleEffect::Deny, &args.selectors, &[])
}
