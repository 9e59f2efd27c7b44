//! Where a new run is executed, who follows it and who works on it: the flags of `cis dag run` and `execute`.

use cis_core::event::{ExecutionMode, UseAgent};
use cis_core::room::names_a_room;

use crate::context::Context;
use crate::error::CliError;

/// `--local`, `--hybrid`, `--matrix` and `--room`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    /// Execute on this node, without a room [default: `dag.default_mode` of the configuration]
    #[arg(long, conflicts_with_all = ["hybrid", "matrix", "room"])]
    local: bool,
    /// Execute on this node and let a room follow: people there see the run and answer its questions
    #[arg(long, conflicts_with = "matrix")]
    hybrid: bool,
    /// Execute on the nodes of a room: those with `federation.room`, and that this node trusts to `execute`
    #[arg(long)]
    matrix: bool,
    /// The room: an id, an alias, or a matrix.to link; implies --hybrid unless --matrix is given
    #[arg(long, value_name = "ROOM", value_parser = room)]
    room: Option<String>,
}

/// `--use-agent`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Agent {
    /// Give every command a terminal, so that its questions are noticed; with =NAME, this agent runs the tasks that have no agent
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    use_agent: Option<String>,
}

/// A text with the shape of a room.
pub(in crate::commands) fn room(text: &str) -> Result<String, String> {
    let text = text.trim();
    if names_a_room(text) {
        return Ok(text.to_owned());
    }
    Err("expected an id (!id:example.org), an alias (#builds:example.org), or a link of matrix.to".to_owned())
}

impl Place {
    /// What was asked for; none: nothing.
    pub(super) fn asked(&self) -> Option<ExecutionMode> {
        match self {
            Self { local: true, .. } => Some(ExecutionMode::Local),
            Self { matrix: true, .. } => Some(ExecutionMode::Matrix),
            Self { hybrid: true, .. } | Self { room: Some(_), .. } => Some(ExecutionMode::Hybrid),
            _ => None,
        }
    }

    /// The mode of a new run, and its room where one is named, here or in the configuration.
    pub(super) fn of_new(&self, context: &Context) -> Result<(ExecutionMode, Option<String>), CliError> {
        if self.local {
            return Ok((ExecutionMode::Local, None));
        }
        let settings = context.config()?.settings.dag;
        let mode = self.asked().unwrap_or(settings.default_mode);
        let room = || self.room.clone().or(settings.room_id);
        Ok((mode, if mode == ExecutionMode::Local { None } else { room() }))
    }

    /// The room that was named.
    pub(super) fn room(&self) -> Option<String> {
        self.room.clone()
    }
}

impl Agent {
    /// Who works on the tasks, where that was said.
    pub(super) fn used(&self) -> Option<UseAgent> {
        let name = self.use_agent.clone()?;
        Some(UseAgent { profile: Some(name).filter(|name| !name.is_empty()) })
    }
}
