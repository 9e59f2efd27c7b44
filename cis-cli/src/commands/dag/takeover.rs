//! `cis dag takeover`.

use std::time::Duration;

use cis_client::ClientError;
use cis_core::api::Problem;
use tokio::time::sleep;

use super::said;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Between two requests while the node still reads what it needs. Nothing tells when it has.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Take over a run of another node: this node coordinates it from now on
///
/// Nodes with the role `coordinator` or `both` do this by themselves when the run's node stops answering. The run must have
/// been started with --matrix, and this node must have such a role in its room. Tasks that are running continue on
/// their nodes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag takeover 4r1xec --force")]
pub(crate) struct Args {
    /// The run: its id, the beginning or the last characters of it
    #[arg(value_name = "RUN")]
    run: String,
    /// Confirm: the run's node may be at work, and loses the run with this
    #[arg(long, required = true)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let mut answer = client.take_over_run(&args.run).await;
        // From now on, a node that somebody stops is not started again.
        let client = context.follower(client);
        let mut told = String::new();
        // Ctrl+C ends the command: nothing was begun before the node answers otherwise.
        while let Some(problem) = not_ready(&answer) {
            if told != problem.detail {
                told.clone_from(&problem.detail);
                output::note(&format!(
                    "Waiting: {}. `cis node status` says if something is wrong; Ctrl+C stops waiting.\n",
                    clean(&told)
                ));
            }
            sleep(ASK_EVERY).await;
            answer = client.take_over_run(&args.run).await;
        }
        let again = format!("cis dag takeover {} --force", args.run);
        let run = answer.map_err(|error| context.lost(error, &again))?;
        output::show(context.json, &run, |run| said(run, "is coordinated by this node now"))?;
        Ok(Exit::OK)
    })
}

/// The problem of a node that still reads what it needs. After any other one, a person has to look first: at a full disk, say, or at a
/// node that was faster, which an earlier version calls `unavailable` too.
fn not_ready<T>(answer: &Result<T, ClientError>) -> Option<&Problem> {
    match answer {
        Err(ClientError::Problem(problem)) if problem.not_ready => Some(problem),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cis_core::api::ProblemKind;

    use super::*;

    #[test]
    fn only_a_node_that_still_reads_is_waited_for() {
        let answer = |problem: Problem| Err::<(), _>(ClientError::Problem(Box::new(problem)));
        let unavailable = Problem::new(ProblemKind::Unavailable, "no space left for cis.db");
        assert_eq!(not_ready(&answer(unavailable.clone())), None);
        let reads = Problem { not_ready: true, ..unavailable };
        assert_eq!(not_ready(&answer(reads.clone())), Some(&reads));
        assert_eq!(not_ready(&Ok::<_, ClientError>(())), None);
    }
}
