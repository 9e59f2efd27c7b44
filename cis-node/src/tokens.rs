//! What stands behind the API's tokens: the file of [`Tokens`], and an event for every change of it.

use std::sync::Arc;

use tokio::sync::watch;

use super::commands::Command;
use crate::config::{Tokens, TokensError, token_view};
use crate::node::Node;
use crate::problems::blocking;
use crate::server::{Bearer, TokensApi};
use cis_core::api::{CreateToken, NewTokenView, Problem, ProblemKind, TokenView};
use cis_core::event::{Actor, EventBody, Via};
use cis_core::ids::{TimestampMs, TokenId};
use cis_core::people::Role;
use cis_core::policy::token::{KeptToken, TokenError};
use cis_core::policy::{Permit, Principal, Who, act};
use cis_local::now_ms;

type Outcome<T> = Result<T, Problem>;

impl Node {
    /// Does something to the tokens where it may wait for the disk.
    async fn with_tokens<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Tokens) -> Result<T, TokensError> + Send + 'static,
    ) -> Outcome<T> {
        let tokens = Arc::clone(&self.tokens);
        let done = blocking(move || act(&tokens)).await?;
        done.map_err(|error| problem(&error))
    }

    /// Records what a token may do from now on.
    async fn record_token(&self, token: &KeptToken, role: Option<Role>, actor: Actor) -> Outcome<()> {
        let expires_ms = token.expires_ms.filter(|_| role.is_some());
        let body = EventBody::NodeToken { token: token.id, name: token.name.clone(), role, expires_ms };
        self.driver.ask(|reply| Command::Record { body: Box::new(body), actor, reply }).await
    }
}

impl TokensApi for Node {
    fn bearer(&self, token: &str) -> Option<Bearer> {
        let KeptToken { id, name, role, .. } = self.tokens.shown(token, now_ms())?;
        let principal = Principal { who: Who::Token { id, name }, via: Via::Http, rights: role.rights() };
        Some(Bearer { token: id, principal })
    }

    fn counts_for(&self, token: TokenId) -> Option<TimestampMs> {
        let now = now_ms();
        let kept = self.tokens.counting(token, now)?;
        Some(kept.expires_ms.map_or(TimestampMs::MAX, |end| end.saturating_sub(now)))
    }

    fn token_changes(&self) -> watch::Receiver<u64> {
        self.shared.tokens.subscribe()
    }

    async fn tokens(&self, _: Permit<act::ControlTokens>) -> Outcome<Vec<TokenView>> {
        self.tokens.views(now_ms()).map_err(|error| problem(&error))
    }

    async fn create_token(
        &self,
        permit: Permit<act::ControlTokens>,
        request: CreateToken,
    ) -> Outcome<NewTokenView> {
        let id = TokenId(ulid::Ulid::new());
        let drafted = self.with_tokens(move |tokens| tokens.draft(&request, id, now_ms())).await;
        let (token, kept) = drafted?;
        // Never a token without its event.
        self.record_token(&kept, Some(kept.role), permit.actor()).await?;
        let about = token_view(&kept, kept.created_ms);
        self.with_tokens(move |tokens| tokens.keep(kept)).await?;
        tracing::info!(name = about.name, role = %about.role, "a token was made");
        Ok(NewTokenView { token, about })
    }

    async fn revoke_token(
        &self,
        permit: Permit<act::ControlTokens>,
        id_or_name: String,
    ) -> Outcome<TokenView> {
        let shared = Arc::clone(&self.shared);
        let revoked = self.with_tokens(move |tokens| {
            let kept = tokens.revoke(&id_or_name)?;
            shared.tokens.send_modify(|changes| *changes += 1);
            Ok(kept)
        });
        let kept = revoked.await?;
        tracing::info!(name = kept.name, "a token is void");
        // It is void already: that this cannot be recorded keeps nobody from it.
        if let Err(why) = self.record_token(&kept, None, permit.actor()).await {
            tracing::error!(name = kept.name, %why, "that a token was revoked is not recorded");
        }
        Ok(token_view(&kept, kept.created_ms))
    }
}

fn problem(error: &TokensError) -> Problem {
    let of = |kind| Problem::new(kind, error.to_string());
    match error {
        TokensError::Refused(TokenError::Name(_)) => of(ProblemKind::BadInput),
        TokensError::Refused(TokenError::Unknown(_)) => {
            of(ProblemKind::NotFound).hint("`cis node token list` shows them")
        }
        TokensError::Refused(TokenError::Taken(_) | TokenError::Full) => of(ProblemKind::Conflict),
        TokensError::Io { .. } | TokensError::Random(_) => of(ProblemKind::Unavailable),
        TokensError::Unreadable { path, .. } => of(ProblemKind::Conflict)
            .hint(format!("move {} away and start the node again: then there are no tokens", path.display())),
    }
}
