//! The rights of the dashboard's user on this node: actions that they may not do are disabled.

use super::Model;
use crate::widgets::one_line;

/// The user of the dashboard, as the node sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Their name in events: `uid:1000`, `token:ann`.
    pub name: String,
    /// Their role: `viewer`, `operator`, `admin`.
    pub role: String,
    /// Whether they may start, end and answer.
    pub acts: bool,
}

/// Why actions are disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// The reason, in one sentence.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.0
    }
}

impl Model {
    /// Returns why actions are disabled; none: they are not, or the node did not state the role.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let caller = self.caller.as_ref().filter(|caller| !caller.acts)?;
        let (name, role) = (one_line(&caller.name, 60), one_line(&caller.role, 20));
        Some(Refusal(format!(
            "{name} is a {role} on this node: you can look, but starting, ending, answering and saving files need an operator's token"
        )))
    }

    /// Returns why rights of other nodes cannot be changed; none: they can, or the node did not state the role.
    #[must_use]
    pub fn admin_refusal(&self) -> Option<Refusal> {
        let caller = self.caller.as_ref().filter(|caller| caller.role != "admin")?;
        let (name, role) = (one_line(&caller.name, 60), one_line(&caller.role, 20));
        Some(Refusal(format!(
            "{name} is a {role} on this node: changing the rights of nodes needs an admin's token"
        )))
    }
}
