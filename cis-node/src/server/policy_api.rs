//! What the API's policy of the node needs of the node behind it.

use std::future::Future;

use cis_core::api::{CheckPolicy, PolicyCheckView, PolicyRuleView, PolicyView, Problem};
use cis_core::event::NodeRule;
use cis_core::policy::{Permit, act};

type Outcome<T> = Result<T, Problem>;

/// What a node executes for others.
pub trait PolicyApi: Send + Sync + 'static {
    /// Its rules.
    fn policy(&self, permit: Permit<act::See>) -> impl Future<Output = Outcome<PolicyView>> + Send;
    /// Adds a rule.
    fn add_rule(
        &self,
        permit: Permit<act::ControlPolicy>,
        rule: NodeRule,
    ) -> impl Future<Output = Outcome<PolicyRuleView>> + Send;
    /// Removes a rule by its number.
    fn remove_rule(
        &self,
        permit: Permit<act::ControlPolicy>,
        number: u32,
    ) -> impl Future<Output = Outcome<PolicyRuleView>> + Send;
    /// Compares a file with the rules.
    fn check_policy(
        &self,
        permit: Permit<act::See>,
        request: CheckPolicy,
    ) -> impl Future<Output = Outcome<PolicyCheckView>> + Send;
}
