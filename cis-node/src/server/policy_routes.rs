//! Handlers of the node's own policy.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::body::Body;
use super::caller::Caller;
use super::describe::{Created, Operations, operations};
use super::errors::Failure;
use super::extract::{Name, Outcome};
use super::node_api::NodeApi;
use cis_core::api::{CheckPolicy, PolicyCheckView, PolicyRuleView, PolicyView, Problem, ProblemKind, paths};
use cis_core::event::NodeRule;
use cis_core::policy::{Action, act};

pub(super) fn operations<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Shows the node's own policy: which tasks of other nodes it executes.
        get_policy: GET paths::NODE_POLICY, Node, Action::See, [] => show::<N>;
        /// Adds a rule to the node's own policy.
        ///
        /// It holds for the next task that another node grants; what is running continues. A rule that is there already is answered as
        /// it is. A rule has at least one selector, and matches a task if all of its selectors do. Deny rules take precedence. If an
        /// allow rule can apply to a room, the node executes only those tasks of the room that an allow rule matches.
        add_policy_rule: POST paths::NODE_POLICY, Node, Action::ControlPolicy, [NotFound, Conflict] => add::<N>;
        /// Removes a rule of the node's own policy.
        remove_policy_rule: DELETE paths::NODE_POLICY_RULE, Node, Action::ControlPolicy, [NotFound] => remove::<N>;
        /// Compares a DAG file with the node's own policy.
        ///
        /// Nothing is created. The answer says for each task whether the node would execute it for another node, and why.
        check_policy: POST paths::NODE_POLICY_CHECK, Node, Action::See, [NotFound, Conflict] => check::<N>;
    }
}

async fn show<N: NodeApi>(State(node): State<Arc<N>>, Caller(who): Caller) -> Outcome<PolicyView> {
    let permit = node.admit(&who, act::See)?;
    Ok(Json(node.policy(permit).await?))
}

async fn add<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<NodeRule>,
) -> Result<Created<PolicyRuleView>, Failure> {
    let permit = node.admit(&who, act::ControlPolicy)?;
    Ok(Created(node.add_rule(permit, body.read().await?).await?))
}

async fn remove<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(number): Name<String>,
) -> Outcome<PolicyRuleView> {
    let permit = node.admit(&who, act::ControlPolicy)?;
    let number = number
        .parse()
        .map_err(|_| Problem::new(ProblemKind::NotFound, format!("the policy has no rule {number}")))?;
    Ok(Json(node.remove_rule(permit, number).await?))
}

async fn check<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CheckPolicy>,
) -> Outcome<PolicyCheckView> {
    let permit = node.admit(&who, act::See)?;
    Ok(Json(node.check_policy(permit, body.read().await?).await?))
}
