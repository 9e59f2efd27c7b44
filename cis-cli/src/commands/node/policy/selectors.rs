//! The selectors of a rule, as `allow` and `deny` take them.

use crate::commands::dag::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use cis_core::event::{NodeRule, RuleEffect};
use cis_core::ids::NodeDid;

/// Which tasks a rule matches.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "selectors", required = true, multiple = true)]
pub(super) struct Selectors {
    /// Tasks of this room: an id, an alias, or a matrix.to link
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Option<String>,
    /// Tasks of runs that this node submitted
    #[arg(long, value_name = "DID")]
    by: Option<String>,
    /// Tasks of runs that this node coordinates
    #[arg(long, value_name = "DID")]
    coordinator: Option<String>,
    /// Tasks that ask for this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Tasks that start this agent
    #[arg(long, value_name = "NAME", conflicts_with = "command")]
    agent: Option<String>,
    /// Tasks that run this command; `*` stands for any text
    #[arg(long, value_name = "PATTERN")]
    command: Option<String>,
}

impl Selectors {
    fn rule(&self, effect: RuleEffect, env: &[String]) -> NodeRule {
        let did = |did: &Option<String>| did.clone().map(NodeDid);
        NodeRule {
            effect,
            room: self.room.clone(),
            by: did(&self.by),
            coordinator: did(&self.coordinator),
            tag: self.tag.clone(),
            agent: self.agent.clone(),
            command: self.command.clone(),
            env: env.to_vec(),
        }
    }
}

/// Adds a rule, and prints it.
pub(super) fn add(
    context: &Context,
    effect: RuleEffect,
    selectors: &Selectors,
    env: &[String],
) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let added = client.add_policy_rule(&selectors.rule(effect, env)).await?;
        output::show(context.json, &added, |added| {
            format!("Rule {}: {}\n", added.number, output::clean::clean(&added.rule.to_string()))
        })?;
        Ok(Exit::OK)
    })
}
