//! The stream of events: everything is loaded once, then what happens is folded into it.

use std::sync::Arc;
use std::time::Duration;

use cis_client::{Client, ClientError, Followed};
use cis_core::api::{CallerRole, CallerView, ListInbox, ListRuns};
use tokio::sync::Notify;

use super::{Shared, problem};
use crate::model::{Caller, Link, Update};
use cis_local::now_ms;

/// Runs that are listed at first; older ones come with their events.
const RUNS: u32 = 500;
/// The stream itself comes back to a node that was restarted; it gives up after so long, and is begun anew.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A node that is away, or refuses, is tried again after so long.
const RETRY: Duration = Duration::from_secs(2);

/// Keeps the model up to date, for ever.
pub(super) async fn keep(client: Arc<Client>, shared: Arc<Shared>) {
    loop {
        let Err(error) = follow(&client, &shared).await else { continue };
        let link = link(error);
        let told = {
            // Since when it is away is said once.
            let model = shared.model();
            matches!((&model.link, &link), (Link::Lost { .. }, Link::Lost { .. })) || model.link == link
        };
        if !told {
            shared.apply(Update::Link(link));
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shared.at_once.notified() => {}
        }
    }
}

/// A node that does not answer may come back by itself; one that answers otherwise than a node does needs a person.
fn link(error: ClientError) -> Link {
    // One that is elsewhere is started there.
    let here = matches!(error, ClientError::NotRunning { .. });
    let away = error.is_away() || matches!(error, ClientError::Timeout { .. });
    let unexplained = matches!(&error, ClientError::Problem(problem) if problem.hint.is_none());
    let mut problem = problem(error);
    if away {
        let advice = if here { ". `cis node start` starts one" } else { "" };
        return Link::Lost { since_ms: now_ms(), why: problem.detail + advice };
    }
    if unexplained {
        problem.hint = Some("do `cis --version` and `cis node status` agree?".to_owned());
    }
    Link::Refused(Box::new(problem))
}

/// Why a stream that was there is gone.
fn gone(stopped: bool) -> String {
    if stopped {
        "the node was stopped; `cis node start` on its machine starts it again".to_owned()
    } else {
        "the node went away; it is tried again by itself, and `cis node start` on its machine starts one that was \
         stopped"
            .to_owned()
    }
}

/// What comes next, or nothing where the stream tries to come back and a person would not wait for that.
async fn unless<T>(next: impl Future<Output = T>, away: bool, at_once: &Notify) -> Option<T> {
    tokio::select! {
        biased;
        next = next => Some(next),
        () = at_once.notified(), if away => None,
    }
}

/// Follows what happens until that fails, or is to be begun anew at once.
async fn follow(client: &Client, shared: &Shared) -> Result<(), ClientError> {
    // The stream first: what happens while everything is loaded is in it.
    let mut stream = client.events(None, None).await?.patience(PATIENCE);
    load_all(client, shared).await?;
    shared.apply(Update::Link(Link::Up));
    let mut away = false;
    loop {
        let Some(next) = unless(stream.next(), away, &shared.at_once).await else { return Ok(()) };
        match next? {
            Followed::Frame(frame) => shared.apply(Update::Events(frame.events()?)),
            Followed::Lost { stopped } => {
                away = true;
                let why = gone(stopped);
                shared.apply(Update::Link(Link::Lost { since_ms: now_ms(), why }));
            }
            Followed::Back => {
                away = false;
                load_all(client, shared).await?;
                shared.apply(Update::Link(Link::Up));
            }
        }
    }
}

async fn load_all(client: &Client, shared: &Shared) -> Result<(), ClientError> {
    shared.apply(Update::Node(Box::new(client.node().await?)));
    shared.apply(Update::Caller(caller(client).await));
    let which = ListRuns { limit: Some(RUNS), ..ListRuns::default() };
    let listing = client.runs(&which).await?;
    shared.apply(Update::Listing { whole: listing.next.is_none(), runs: listing.items });
    shared.apply(Update::Inbox(client.whole_inbox(ListInbox::default()).await?));
    shared.apply(Update::Sessions(super::sessions(client).await?));
    shared.apply(Update::Groups(client.groups().await?.items));
    Ok(())
}

/// Returns the user of the dashboard. `None`: the node does not name them.
async fn caller(client: &Client) -> Option<Caller> {
    let CallerView { name, role, .. } = client.me().await.ok()?;
    let acts = role >= CallerRole::Operator;
    let role = match role {
        CallerRole::Admin => "admin",
        CallerRole::Operator => "operator",
        CallerRole::Viewer => "viewer",
        CallerRole::Session | CallerRole::None => "guest",
    };
    Some(Caller { name, role: role.to_owned(), acts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_tries_to_come_back_is_begun_anew_when_a_person_says_so() {
        let at_once = Notify::new();
        at_once.notify_one();
        let shortly = |away| {
            let next = unless(std::future::pending::<()>(), away, &at_once);
            tokio::time::timeout(Duration::from_millis(50), next)
        };
        assert!(shortly(false).await.is_err(), "while it is there, nothing is begun anew");
        assert_eq!(shortly(true).await, Ok(None));
        assert!(shortly(true).await.is_err(), "once");
        at_once.notify_one();
        assert_eq!(unless(std::future::ready(1), true, &at_once).await, Some(1), "it came back by itself");
    }

    #[test]
    fn what_is_no_node_is_not_waited_for_as_one_that_is_away() {
        let other = ClientError::Protocol { detail: "no such field".to_owned() };
        assert!(matches!(link(other), Link::Refused(problem) if problem.detail.contains("cis --version")));
        let slow = ClientError::Timeout { seconds: 10 };
        assert!(matches!(link(slow), Link::Lost { .. }));
        let gone = ClientError::NotRunning { socket: "/run/node.sock".into() };
        assert!(matches!(link(gone), Link::Lost { why, .. } if why.contains("`cis node start` starts one")));
    }
}
