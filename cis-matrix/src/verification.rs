//! Comparing emoji with somebody: that the keys which the homeserver shows for them are theirs.
//!
//! One request is one [`Verification`]. Nothing drives it but [`Verification::next`], which also does what is ours to do on
//! the way (accept, begin, agree on keys); what the other side does comes with the batches of [`Client::next`].
//! Another account is asked in a direct room with it, the own account's other devices by messages to devices: as the
//! specification has it, and all clients.

use futures_util::future::select;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use matrix_sdk::Room;
use matrix_sdk::encryption::identities::{RequestVerificationError, UserIdentity};
use matrix_sdk::encryption::verification::{
    CancelInfo, SasState, SasVerification, Verification as Begun, VerificationRequest,
    VerificationRequestState,
};
use matrix_sdk::ruma::UserId;
use matrix_sdk::ruma::events::key::verification::VerificationMethod;

use crate::name::user_id;
use crate::{Answer, Client, MatrixError, answer};

/// One of seven pictures that both sides see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emoji {
    /// The picture.
    pub symbol: String,
    /// Its name, in English.
    pub name: String,
}

/// How a verification stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The other side was asked, and has not accepted yet.
    Asked,
    /// Both sides take part; keys are exchanged.
    Accepted,
    /// What both sides see, to be compared by people.
    Compare {
        /// Seven; none: the other side shows numbers alone.
        emoji: Vec<Emoji>,
        /// The same as three numbers.
        numbers: [u16; 3],
        /// The other side's device.
        device: String,
    },
    /// This side said that it is the same; the other one has not yet.
    Confirmed,
    /// Both said so.
    Done,
    /// It came to nothing.
    Cancelled {
        /// This side ended it.
        by_us: bool,
        /// Why, as the specification writes it: `m.user`, `m.mismatched_sas` …
        code: String,
    },
}

impl Step {
    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Done | Self::Cancelled { .. })
    }
}

/// A comparison under way. Copies are the same one.
#[derive(Clone)]
pub struct Verification {
    request: VerificationRequest,
}

impl Client {
    /// Whether somebody can be verified by this account: they exist, have an identity, and this device may sign.
    #[must_use]
    pub fn check_verifiable(&self, user: &str) -> Answer<()> {
        let (client, user) = (self.clone(), user_id(user));
        answer(async move { client.identity_to_verify(&user?).await.map(drop) })
    }

    /// Asks somebody to compare emoji; the account itself: its other devices.
    #[must_use]
    pub fn verify(&self, user: &str) -> Answer<Verification> {
        let (client, user) = (self.clone(), user_id(user));
        answer(async move {
            let identity = client.identity_to_verify(&user?).await?;
            let asked = identity.request_verification_with_methods(vec![VerificationMethod::SasV1]).await;
            let request = asked.map_err(|error| match error {
                RequestVerificationError::Sdk(error) => MatrixError::from(error),
                other => MatrixError::other(other),
            })?;
            Ok(Verification { request })
        })
    }

    /// The newest request of somebody that still waits for being accepted: the first call of [`Verification::next`]
    /// does so.
    #[must_use]
    pub fn asked_by(&self, user: &str) -> Answer<Option<Verification>> {
        let (client, user) = (self.clone(), user_id(user));
        answer(async move {
            let user = user?;
            for flow in client.asked.of(&user) {
                let found = client.sdk.encryption().get_verification_request(&user, &flow).await;
                let waits = |request: &VerificationRequest| {
                    matches!(request.state(), VerificationRequestState::Requested { .. })
                };
                if let Some(request) = found.filter(waits) {
                    return Ok(Some(Verification { request }));
                }
            }
            Ok(None)
        })
    }

    /// Whether somebody invited us to a direct room: their request comes in such a room.
    #[must_use]
    pub fn is_invited_by(&self, user: &str) -> Answer<bool> {
        let (client, user) = (self.clone(), user_id(user));
        answer(async move { Ok(!client.direct_invitations_of(&user?).await.is_empty()) })
    }

    /// Joins the direct rooms that somebody invited us to. Whether there was one.
    #[must_use]
    pub fn join_direct_rooms_of(&self, user: &str) -> Answer<bool> {
        let (client, user) = (self.clone(), user_id(user));
        answer(async move {
            let rooms = client.direct_invitations_of(&user?).await;
            let mut joined = false;
            for room in &rooms {
                match room.join().await.map_err(MatrixError::from) {
                    Ok(()) => joined = true,
                    Err(error) if error.is_passing() => return Err(error),
                    // An old invitation, into a room that nobody can enter any more.
                    Err(_) => {}
                }
            }
            Ok(joined)
        })
    }

    /// Whether somebody's identity was verified by this account, and is still the same. After a comparison the signature goes
    /// out with the next request for news: it is known a moment after [`Step::Done`].
    #[must_use]
    pub fn is_verified(&self, user: &str) -> Answer<bool> {
        let (client, user) = (self.clone(), user_id(user));
        answer(async move {
            let identity = client.sdk.encryption().request_user_identity(&user?).await?;
            Ok(identity.is_some_and(|identity| identity.is_verified()))
        })
    }

    async fn direct_invitations_of(&self, user: &UserId) -> Vec<Room> {
        let mut found = Vec::new();
        for room in self.sdk.invited_rooms() {
            let theirs = room.invite_details().await.is_ok_and(|invite| invite.inviter_id == user);
            if theirs && room.is_direct().await.unwrap_or(false) {
                found.push(room);
            }
        }
        found
    }

    /// Whether the account has no device but this one.
    async fn is_alone(&self) -> Result<bool, MatrixError> {
        Ok(self.other_devices().await? == 0)
    }

    async fn identity_to_verify(&self, user: &UserId) -> Result<UserIdentity, MatrixError> {
        let is_me = self.sdk.user_id() == Some(user);
        if is_me && self.is_alone().await? {
            let detail = format!("{user} is this account, and it has no other device to compare with");
            return Err(MatrixError::BadInput { detail });
        }
        // Also so that a request of theirs finds their devices known.
        let encryption = self.sdk.encryption();
        let Some(identity) = encryption.request_user_identity(user).await? else {
            // Somebody's keys are asked in the same way whether they exist or not.
            if let Err(error) =
                self.sdk.account().fetch_user_profile_of(user).await.map_err(MatrixError::from)
                && !matches!(error, MatrixError::Forbidden { .. })
            {
                return Err(error.naming(&format!("the user {user}")));
            }
            let detail = format!(
                "{user} has no identity that could be verified: cross-signing is not set up. Logging in with a client that \
                 encrypts (Element, say) sets it up"
            );
            return Err(MatrixError::BadInput { detail });
        };
        let may_sign = encryption.cross_signing_status().await.is_some_and(|status| status.has_user_signing);
        if !is_me && !may_sign {
            return Err(MatrixError::Unsigned);
        }
        Ok(identity)
    }
}

impl Verification {
    /// With whom.
    #[must_use]
    pub fn user(&self) -> String {
        self.request.other_user_id().to_string()
    }

    /// How it stands, once that is something else than `after`. On the way it does what is ours to do.
    #[must_use]
    pub fn next(&self, after: Option<&Step>) -> Answer<Step> {
        let (this, after) = (self.clone(), after.cloned());
        answer(async move {
            // Before the first look, so that nothing falls between the two.
            let mut changes = this.request.changes().map(drop).boxed();
            loop {
                let mut keys = match this.sas() {
                    Some(sas) => sas.changes().map(drop).boxed(),
                    None => stream::pending().boxed(),
                };
                let step = this.go_on().await?;
                if Some(&step) != after.as_ref() {
                    return Ok(step);
                }
                let (ended, _) =
                    select(changes.next(), keys.next()).map(|either| either.factor_first()).await;
                if ended.is_none() {
                    return Err(MatrixError::other("the verification is not known any more"));
                }
            }
        })
    }

    /// Says that both sides see the same.
    #[must_use]
    pub fn confirm(&self) -> Answer<()> {
        let sas = self.sas();
        answer(async move {
            let sas = sas.ok_or_else(nothing_shown)?;
            if !sas.can_be_presented() {
                return Err(nothing_shown());
            }
            Ok(sas.confirm().await?)
        })
    }

    /// Says that they do not: somebody stands between.
    #[must_use]
    pub fn mismatch(&self) -> Answer<()> {
        let sas = self.sas();
        answer(async move { Ok(sas.ok_or_else(nothing_shown)?.mismatch().await?) })
    }

    /// Ends it, here and at the other side.
    #[must_use]
    pub fn cancel(&self) -> Answer<()> {
        let this = self.clone();
        answer(async move {
            match this.sas() {
                Some(sas) if sas.is_done() => Ok(()),
                Some(sas) => Ok(sas.cancel().await?),
                None => Ok(this.request.cancel().await?),
            }
        })
    }

    fn sas(&self) -> Option<SasVerification> {
        match self.request.state() {
            VerificationRequestState::Transitioned { verification: Begun::SasV1(sas) } => Some(sas),
            _ => None,
        }
    }

    async fn go_on(&self) -> Result<Step, MatrixError> {
        match self.request.state() {
            VerificationRequestState::Created { .. } => Ok(Step::Asked),
            VerificationRequestState::Requested { .. } => {
                self.request.accept_with_methods(vec![VerificationMethod::SasV1]).await?;
                Ok(Step::Accepted)
            }
            VerificationRequestState::Ready { their_methods, .. } => {
                if !their_methods.contains(&VerificationMethod::SasV1) {
                    self.request.cancel().await?;
                    let detail = "their client cannot compare emoji".to_owned();
                    return Err(MatrixError::BadInput { detail });
                }
                // Whoever asked begins: where both did, one of them would be told to stop.
                if self.request.we_started() {
                    self.request.start_sas().await?;
                }
                Ok(Step::Accepted)
            }
            VerificationRequestState::Transitioned { verification: Begun::SasV1(sas) } => agreed(&sas).await,
            VerificationRequestState::Transitioned { .. } => Ok(Step::Accepted),
            VerificationRequestState::Done => Ok(Step::Done),
            VerificationRequestState::Cancelled(info) => Ok(cancelled(&info)),
        }
    }
}

async fn agreed(sas: &SasVerification) -> Result<Step, MatrixError> {
    Ok(match sas.state() {
        SasState::Started { .. } => {
            sas.accept().await?;
            Step::Accepted
        }
        SasState::Created { .. } | SasState::Accepted { .. } => Step::Accepted,
        SasState::KeysExchanged { decimals: (a, b, c), .. } => Step::Compare {
            emoji: sas
                .emoji()
                .map(|all| all.map(|one| Emoji::of(one.symbol, one.description)).to_vec())
                .unwrap_or_default(),
            numbers: [a, b, c],
            device: sas.other_device().device_id().to_string(),
        },
        SasState::Confirmed => Step::Confirmed,
        SasState::Done { .. } => Step::Done,
        SasState::Cancelled(info) => cancelled(&info),
    })
}

fn cancelled(info: &CancelInfo) -> Step {
    Step::Cancelled { by_us: info.cancelled_by_us(), code: info.cancel_code().to_string() }
}

fn nothing_shown() -> MatrixError {
    MatrixError::BadInput { detail: "nothing is shown yet that could be compared".to_owned() }
}

impl Emoji {
    fn of(symbol: &str, name: &str) -> Self {
        Self { symbol: symbol.to_owned(), name: name.to_owned() }
    }
}
