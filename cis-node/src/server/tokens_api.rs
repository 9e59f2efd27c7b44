//! What the API needs of the node behind it for tokens.

use std::future::Future;

use tokio::sync::watch;

use cis_core::api::{CreateToken, NewTokenView, Problem, TokenView};
use cis_core::ids::{TimestampMs, TokenId};
use cis_core::policy::{Permit, Principal, act};

type Outcome<T> = Result<T, Problem>;

/// Who showed a token that counts.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// The token.
    pub token: TokenId,
    /// Whoever has it.
    pub principal: Principal,
}

/// The tokens of a node.
pub trait TokensApi: Send + Sync + 'static {
    /// Who shows this token; none: it does not count.
    fn bearer(&self, token: &str) -> Option<Bearer>;
    /// For how long a token that was shown still counts, ms; none: not any more. One without an end counts for a
    /// very long time.
    fn counts_for(&self, token: TokenId) -> Option<TimestampMs>;
    /// Changes whenever a token may have become void.
    fn token_changes(&self) -> watch::Receiver<u64>;

    /// All of them.
    fn tokens(
        &self,
        permit: Permit<act::ControlTokens>,
    ) -> impl Future<Output = Outcome<Vec<TokenView>>> + Send;
    /// Makes one.
    fn create_token(
        &self,
        permit: Permit<act::ControlTokens>,
        request: CreateToken,
    ) -> impl Future<Output = Outcome<NewTokenView>> + Send;
    /// Makes one void, by its id or name.
    fn revoke_token(
        &self,
        permit: Permit<act::ControlTokens>,
        id_or_name: String,
    ) -> impl Future<Output = Outcome<TokenView>> + Send;
}
