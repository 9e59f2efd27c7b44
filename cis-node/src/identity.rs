//! What stands behind the API's identity: the files of [`Identity`], written on a thread that may wait.

use std::sync::Arc;

use crate::config::{Identity, IdentityError};
use crate::node::Node;
use crate::problems::blocking;
use crate::server::IdentityApi;
use cis_core::api::{IdentityView, Problem, ProblemKind, RotateIdentity, TrustNode};
use cis_core::identity::TrustError;
use cis_core::ids::NodeDid;
use cis_core::policy::{Permit, act};
use cis_local::now_ms;

type Outcome<T> = Result<T, Problem>;

impl Node {
    /// Does something to the identity, and says how it is then.
    async fn with_identity(
        &self,
        act: impl FnOnce(&Identity) -> Result<(), IdentityError> + Send + 'static,
    ) -> Outcome<IdentityView> {
        let (identity, shared) = (Arc::clone(&self.identity), Arc::clone(&self.shared));
        let done = blocking(move || {
            let done = act(&identity).map(|()| identity.view());
            shared.trust.send_modify(|changes| *changes += 1);
            done
        });
        done.await?.map_err(|error| problem(&error))
    }
}

impl IdentityApi for Node {
    async fn identity(&self, _: Permit<act::See>) -> Outcome<IdentityView> {
        Ok(self.identity.view())
    }

    async fn rotate_identity(
        &self,
        _: Permit<act::ControlIdentity>,
        request: RotateIdentity,
    ) -> Outcome<IdentityView> {
        if let Some(room) = self.members.rooms().into_iter().find(|room| self.members.is_owner(room)) {
            let detail = format!(
                "cannot rotate the key: this node owns room {room}, and that right belongs to the present key"
            );
            return Err(Problem::new(ProblemKind::Conflict, detail).hint(
                "nobody would own the room any more; to rotate the key all the same, stop the node, and remove the room from rooms.json in its home",
            ));
        }
        self.with_identity(move |identity| {
            identity.rotate(&request.from, now_ms())?;
            tracing::info!(old = %request.from, new = %identity.view().did, "the node has another key");
            Ok(())
        })
        .await
    }

    async fn trust(
        &self,
        _: Permit<act::ControlIdentity>,
        did: NodeDid,
        request: TrustNode,
    ) -> Outcome<IdentityView> {
        self.with_identity(move |identity| {
            let changed = identity.change(|list, own| list.trust(&did, own, request.name, now_ms()))?;
            let allowed = match request.may {
                Some(may) => identity.change(|list, _| list.allow(&did, may.into_iter().collect()))?,
                None => false,
            };
            if changed || allowed {
                tracing::info!(%did, "a node is trusted");
            }
            Ok(())
        })
        .await
    }

    async fn untrust(&self, _: Permit<act::ControlIdentity>, did: NodeDid) -> Outcome<IdentityView> {
        self.with_identity(move |identity| {
            identity.change(|list, _| list.untrust(&did))?;
            tracing::info!(%did, "a node is trusted no more");
            Ok(())
        })
        .await
    }

    async fn revoke(&self, _: Permit<act::ControlIdentity>, did: NodeDid) -> Outcome<IdentityView> {
        self.with_identity(move |identity| {
            let changed = identity.change(|list, own| list.revoke(&did, own, now_ms()))?;
            if changed {
                tracing::info!(%did, "a key is void");
            }
            Ok(())
        })
        .await
    }
}

fn problem(error: &IdentityError) -> Problem {
    let of = |kind| Problem::new(kind, error.to_string());
    match error {
        IdentityError::Key(_) | IdentityError::Io { .. } => of(ProblemKind::Unavailable),
        IdentityError::List { path, .. } => of(ProblemKind::Conflict).hint(format!(
            "restore it from a backup, or move {} away: then nobody is trusted, and the list begins anew",
            path.display()
        )),
        IdentityError::Moved { .. } => of(ProblemKind::Conflict),
        IdentityError::Refused(refused) => of(match refused {
            TrustError::NotADid(_) | TrustError::Own(_) | TrustError::Name | TrustError::Rotation(_) => {
                ProblemKind::BadInput
            }
            TrustError::NotTrusted(_) => ProblemKind::NotFound,
            TrustError::Revoked(_) | TrustError::Replaced { .. } | TrustError::Full => ProblemKind::Conflict,
        }),
    }
}
