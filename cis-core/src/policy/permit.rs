//! The one door: [`admit`] makes a [`Permit`] for somebody who may do something, and nothing else makes one.
//!
//! Functions of the node that a person, a session or a room can ask for take a permit in place of a principal, so a
//! call without authorization does not compile:
//!
//! ```compile_fail,E0451
//! use cis_core::policy::{Permit, Principal, act};
//!
//! fn forge(principal: Principal) -> Permit<act::StopNode> {
//!     Permit { principal, act: act::StopNode }
//! }
//! ```
//!
//! and neither does a call with a permit for something else:
//!
//! ```compile_fail,E0308
//! use cis_core::policy::{Denied, Permit, Principal, act, admit};
//!
//! fn stop(_: Permit<act::StopNode>) {}
//!
//! fn look(principal: &Principal) -> Result<(), Denied> {
//!     Ok(stop(admit(principal, act::SeeNode)?))
//! }
//! ```

use super::act::{self, Act, Targeted};
use super::{Denied, Principal, authorize, authorize_decision};
use crate::event::Actor;
use crate::ids::RunId;
use crate::people::Allowed;

/// Proof that a principal may do `A`.
#[derive(Debug, Clone)]
pub struct Permit<A> {
    principal: Principal,
    act: A,
}

/// Admits a principal that may do `act`.
///
/// # Errors
/// [`Denied`] with the reason, to be answered and audited.
pub fn admit<A: Act>(principal: &Principal, act: A) -> Result<Permit<A>, Denied> {
    authorize(principal, act.action())?;
    Ok(Permit { principal: principal.clone(), act })
}

/// Admits a principal that may decide an approval of `run`, as [`authorize_decision`] says.
///
/// # Errors
/// [`Denied`] with the reason.
pub fn admit_decision(
    principal: &Principal,
    run: RunId,
    allowed: Option<&Allowed>,
) -> Result<Permit<act::Answer>, Denied> {
    authorize_decision(principal, run, allowed)?;
    Ok(Permit { principal: principal.clone(), act: act::Answer })
}

impl<A> Permit<A> {
    /// Who was admitted.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The principal as it stands in events.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.principal.actor()
    }
}

impl<A: Targeted> Permit<A> {
    /// The run or session that it is for.
    #[must_use]
    pub fn target(&self) -> A::Target {
        self.act.target()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Via;
    use crate::ids::SessionId;
    use crate::policy::{Action, Rights, Who};

    fn inside(session: SessionId) -> Principal {
        Principal { who: Who::Session { session, of: None }, via: Via::Socket, rights: Rights::OwnSession }
    }

    #[test]
    fn a_permit_is_for_the_target_that_was_asked_for() {
        let (own, other) = (SessionId::from_parts(1, 1), SessionId::from_parts(1, 2));
        let permit = admit(&inside(own), act::SpeakAs::on(own)).unwrap();
        assert_eq!((permit.target(), permit.actor().name), (own, own.to_string()));
        assert!(admit(&inside(own), act::SpeakAs::on(other)).is_err());
        assert!(admit(&inside(own), act::ControlSession::on(own)).is_err());
    }

    #[test]
    fn an_act_needs_what_its_action_needs() {
        let (run, session) = (RunId::from_parts(1, 1), SessionId::from_parts(1, 1));
        assert_eq!(act::ControlRun::on(run).action(), Action::ControlRun(Some(run)));
        assert_eq!(act::SeeRun::on(run).action(), Action::See);
        assert_eq!(act::ReadRun::on(run).action(), Action::ReadSession(None));
        assert_eq!(act::SpeakAs::on(session).action(), Action::SpeakAs(Some(session)));
        assert_eq!(act::SpeakAs::action_on(None), Action::SpeakAs(None));
        assert_eq!(act::Answer.action(), Action::ControlSession(None));
    }
}
