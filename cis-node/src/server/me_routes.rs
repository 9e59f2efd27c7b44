//! Handler of `/v1/me`: who the caller is, and what the caller may do.

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::extract::State;

use super::caller::Caller;
use super::describe::{Operations, operations};
use super::extract::Outcome;
use super::node_api::NodeApi;
use cis_core::api::{CallerRole, CallerView, paths};
use cis_core::policy::{Action, Principal, Rights, Who, act, authorize};

/// `all` returns the id and the action of every operation of the whole table.
pub(super) fn operations<N: NodeApi>(all: fn() -> Vec<(&'static str, Action)>) -> Operations<Arc<N>> {
    operations! {
        /// Shows who you are to the node, and which operations you may use.
        get_me: GET paths::ME, Node, Action::SeeNode, [] => move |node: State<Arc<N>>, who: Caller| me(node, who, all);
    }
}

async fn me<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    all: fn() -> Vec<(&'static str, Action)>,
) -> Outcome<CallerView> {
    // There is one API in a process.
    static ALL: OnceLock<Vec<(&'static str, Action)>> = OnceLock::new();
    node.admit(&who, act::SeeNode)?;
    Ok(Json(view(&who, ALL.get_or_init(all))))
}

fn view(who: &Principal, all: &[(&'static str, Action)]) -> CallerView {
    let session = match &who.who {
        Who::Session { session, .. } => Some(*session),
        _ => None,
    };
    // Some actions are allowed to a session for itself alone.
    let own = |action| match action {
        Action::SeeSession(None) => Action::SeeSession(session),
        Action::SpeakAs(None) => Action::SpeakAs(session),
        action => action,
    };
    let may = |(_, action): &&(&'static str, Action)| authorize(who, own(*action)).is_ok();
    CallerView {
        name: who.actor().name,
        via: who.via,
        role: match who.rights {
            Rights::None => CallerRole::None,
            Rights::OwnSession => CallerRole::Session,
            Rights::Viewer => CallerRole::Viewer,
            Rights::Operator => CallerRole::Operator,
            Rights::Admin => CallerRole::Admin,
        },
        session,
        operations: all.iter().filter(may).map(|(id, _)| (*id).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::event::Via;
    use cis_core::ids::SessionId;

    const ALL: [(&str, Action); 5] = [
        ("get_node", Action::SeeNode),
        ("list_runs", Action::See),
        ("create_run", Action::ControlRun(None)),
        ("ask", Action::SpeakAs(None)),
        ("create_token", Action::ControlTokens),
    ];

    fn of(who: Who, via: Via, rights: Rights) -> CallerView {
        view(&Principal { who, via, rights }, &ALL)
    }

    #[test]
    fn everybody_is_told_what_they_may() {
        let owner = of(Who::User { uid: 1000 }, Via::Socket, Rights::Admin);
        assert_eq!(owner.operations, ["get_node", "list_runs", "create_run", "create_token"]);
        assert!(owner.may("create_run") && !owner.may("ask"));
        let token = Who::Token { id: cis_core::ids::TokenId::from_parts(1, 1), name: "ann".to_owned() };
        let viewer = of(token.clone(), Via::Http, Rights::Viewer);
        assert_eq!((viewer.name.as_str(), viewer.role), ("token:ann", CallerRole::Viewer));
        assert_eq!(viewer.operations, ["get_node", "list_runs"]);
        let admin = of(token, Via::Http, Rights::Admin);
        assert!(!admin.may("create_token"), "tokens are made on the node's machine");
        let session = SessionId::from_parts(1, 1);
        let inside = of(Who::Session { session, of: None }, Via::Socket, Rights::OwnSession);
        assert_eq!((inside.role, inside.session), (CallerRole::Session, Some(session)));
        assert_eq!(inside.operations, ["get_node", "ask"]);
    }
}
