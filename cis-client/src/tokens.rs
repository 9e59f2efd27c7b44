//! Calls about tokens.

use hyper::Method;
use hyper::body::Bytes;

use super::{Client, ClientError};
use cis_core::api::{CreateToken, Listing, NewTokenView, TokenView, paths};

/// All of them fail alike: [`ClientError::Problem`] is the node's answer, the others say that there was none.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// Tokens that were not revoked.
    pub async fn tokens(&self) -> Result<Listing<TokenView>, ClientError> {
        self.get(paths::TOKENS).await
    }

    /// Makes one. Its answer alone has the token.
    pub async fn create_token(&self, token: &CreateToken) -> Result<NewTokenView, ClientError> {
        self.post(paths::TOKENS, token).await
    }

    /// Makes one void, by its id or name.
    pub async fn revoke_token(&self, id_or_name: &str) -> Result<TokenView, ClientError> {
        let path = paths::fill(paths::TOKEN, &[id_or_name]);
        let answer = self.send(Method::DELETE, &path, Bytes::new()).await?;
        serde_json::from_slice(&answer).map_err(ClientError::protocol)
    }
}
