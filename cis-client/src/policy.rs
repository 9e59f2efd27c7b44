//! Calls about the node's own policy.

use hyper::Method;
use hyper::body::Bytes;

use super::{Client, ClientError};
use cis_core::api::{CheckPolicy, PolicyCheckView, PolicyRuleView, PolicyView, paths};
use cis_core::event::NodeRule;

/// All of them fail alike: [`ClientError::Problem`] is the node's answer, the others say that there was none.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// The rules.
    pub async fn policy(&self) -> Result<PolicyView, ClientError> {
        self.get(paths::NODE_POLICY).await
    }

    /// Adds a rule. One that is there already is answered as it is.
    pub async fn add_policy_rule(&self, rule: &NodeRule) -> Result<PolicyRuleView, ClientError> {
        self.post(paths::NODE_POLICY, rule).await
    }

    /// Removes a rule by its number.
    pub async fn remove_policy_rule(&self, number: u32) -> Result<PolicyRuleView, ClientError> {
        let path = paths::fill(paths::NODE_POLICY_RULE, &[&number.to_string()]);
        let answer = self.send(Method::DELETE, &path, Bytes::new()).await?;
        serde_json::from_slice(&answer).map_err(ClientError::protocol)
    }

    /// Compares a file with the rules.
    pub async fn check_policy(&self, check: &CheckPolicy) -> Result<PolicyCheckView, ClientError> {
        self.post(paths::NODE_POLICY_CHECK, check).await
    }
}
