//! A session's terminal: attached to while it lives, its log when it is over.

use std::sync::Arc;
use std::time::Duration;

use cis_core::api::{Attach, AttachNotice, Problem, ProblemKind, ReadLog};
use cis_core::client::{AttachFrame, Client, ClientError};
use tokio::sync::mpsc;

use super::{Shared, problem};
use crate::terminal::{Standing, Terminal, ToSession};

/// A node that went away is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);

/// Fills a terminal until its session is over, or nobody else holds it.
pub(super) async fn show(client: Arc<Client>, shared: Arc<Shared>, terminal: Arc<Terminal>) {
    let Some(mut from) = terminal.outgoing() else { return };
    loop {
        match attached(&client, &shared, &terminal, &mut from).await {
            Ok(()) => return,
            Err(ClientError::Problem(refused)) if refused.kind == ProblemKind::Conflict => {
                // It has ended, or has no terminal: what it wrote is there.
                match replayed(&client, &terminal).await {
                    Ok(()) => set(&shared, &terminal, Standing::Ended { detail: refused.detail }),
                    Err(failed) => set(&shared, &terminal, Standing::Refused(Box::new(failed))),
                }
                return;
            }
            Err(error) if error.is_away() => {
                set(&shared, &terminal, Standing::Away);
                tokio::time::sleep(RETRY).await;
                if Arc::strong_count(&terminal) == 1 {
                    return;
                }
            }
            Err(error) => return set(&shared, &terminal, Standing::Refused(Box::new(problem(error)))),
        }
    }
}

fn set(shared: &Shared, terminal: &Terminal, standing: Standing) {
    terminal.change(|shown| shown.standing = standing);
    shared.wake();
}

async fn attached(
    client: &Client,
    shared: &Shared,
    terminal: &Arc<Terminal>,
    from: &mut mpsc::UnboundedReceiver<ToSession>,
) -> Result<(), ClientError> {
    let session = terminal.session.to_string();
    // Without a size of its own it decides nobody else's.
    let mut stream = client.attach(&session, &Attach::default()).await?;
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        let frame = tokio::select! {
            frame = stream.next() => frame?,
            Some(typed) = from.recv() => {
                match typed {
                    ToSession::Typed(bytes) => stream.type_bytes(&bytes),
                    ToSession::Control(control) => stream.control(control)?,
                }
                continue;
            }
            _ = look.tick() => {
                if Arc::strong_count(terminal) == 1 {
                    return Ok(());
                }
                continue;
            }
        };
        match frame {
            AttachFrame::Bytes(bytes) => terminal.feed(&bytes),
            AttachFrame::Notice(AttachNotice::Attached { size, read_only, .. }) => terminal.change(|shown| {
                shown.screen.resize(size);
                shown.standing = Standing::Live { read_only };
            }),
            AttachFrame::Notice(AttachNotice::Resized(size)) => {
                terminal.change(|shown| shown.screen.resize(size));
            }
            AttachFrame::Notice(AttachNotice::Ended { detail, .. }) => {
                set(shared, terminal, Standing::Ended { detail });
                return Ok(());
            }
            AttachFrame::Closed => set(shared, terminal, Standing::Away),
        }
        shared.wake();
    }
}

/// What an ended session wrote.
async fn replayed(client: &Client, terminal: &Terminal) -> Result<(), Problem> {
    let session = terminal.session.to_string();
    let view = client.session(&session).await.map_err(problem)?;
    if let Some(size) = view.size {
        terminal.change(|shown| shown.screen.resize(size));
    }
    let mut log = client.session_log(&session, &ReadLog::default()).await.map_err(problem)?;
    while let Some(bytes) = log.next().await.map_err(problem)? {
        terminal.feed(&bytes);
    }
    Ok(())
}
