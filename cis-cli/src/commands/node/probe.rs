//! Whether a node runs and answers. One that hangs must not make us hang.

use std::time::Duration;

use cis_client::ClientError;
use cis_core::api::{NodeView, Problem, ProblemKind};

use crate::context::Context;
use crate::error::CliError;
use crate::lock_holders::{UnresponsiveNode, unresponsive_node, untrusted};

/// A node that works answers within this time, also when it is busy.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(4500);

/// Time after which a node that was ending is asked again.
pub(crate) const ENDING_PAUSE: Duration = Duration::from_millis(20);

/// What there is.
pub(crate) enum Probe {
    /// It answers.
    Running(Box<NodeView>),
    /// None runs.
    Absent,
    /// A node runs, but does not answer.
    Unresponsive(UnresponsiveNode),
}

/// Asks the node.
pub(crate) async fn probe(context: &Context) -> Result<Probe, CliError> {
    let client = context.client_of_running()?;
    let asked = async {
        let mut died = false;
        loop {
            match client.node().await {
                // It died while it was asked: what is true now?
                Err(ClientError::Io { .. }) if !died => died = true,
                // It is ending. Nothing tells when it has ended: asked again.
                Err(error) if error.is_unprocessed() && !context.is_remote() => {
                    tokio::time::sleep(ENDING_PAUSE).await;
                }
                answer => return answer,
            }
        }
    };
    match tokio::time::timeout(ANSWER_TIME_MAX, asked).await {
        Ok(Ok(node)) => Ok(Probe::Running(Box::new(node))),
        Ok(Err(ClientError::NotRunning { .. })) => Ok(Probe::Absent),
        Ok(Err(ClientError::NotListening { socket, .. })) => {
            let why = format!("nothing listens at {}", socket.display());
            Ok(Probe::Unresponsive(UnresponsiveNode { why: Some(why), ..unresponsive_node(&context.home) }))
        }
        // Such as a node whose store is damaged.
        Ok(Err(ClientError::Problem(problem))) if !context.is_remote() && is_failure(&problem) => {
            Ok(Probe::Unresponsive(UnresponsiveNode {
                answers: true,
                why: Some(format!("cannot answer: {}", problem.detail)),
                ..unresponsive_node(&context.home)
            }))
        }
        Ok(Err(ClientError::Untrusted(error))) => match untrusted(&context.home, &error) {
            Some(node) => Ok(Probe::Unresponsive(node)),
            None => Err(ClientError::Untrusted(error).into()),
        },
        Ok(Err(error)) => Err(error.into()),
        Err(_) if context.is_remote() => {
            Err(CliError::unavailable(format!("the node at {} does not answer within 5 s", client.place())))
        }
        Err(_) => Ok(Probe::Unresponsive(unresponsive_node(&context.home))),
    }
}

/// Whether the node failed, and did not refuse a request.
pub(super) fn is_failure(problem: &Problem) -> bool {
    matches!(problem.kind, ProblemKind::Internal | ProblemKind::Unavailable)
}
