//! Calls about the device that the node's Matrix account is.

use hyper::Method;
use hyper::body::Bytes;

use super::query::ToQuery as _;
use super::{Client, ClientError};
use cis_core::api::{
    BeginMatrixSso, BeginVerification, MatrixSsoView, MatrixStandingView, NewRecoveryView, ReadVerification,
    RecoverMatrix, SayVerification, VerificationView, VerificationWord, paths,
};

/// All of them fail alike: [`ClientError::Problem`] is the node's answer, the others say that there was none.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// How the device stands.
    pub async fn matrix_standing(&self) -> Result<MatrixStandingView, ClientError> {
        self.get_long(paths::MATRIX_STANDING).await
    }

    /// Signs it with the account's recovery key.
    pub async fn recover_matrix(&self, with: &RecoverMatrix) -> Result<MatrixStandingView, ClientError> {
        self.post_long(paths::MATRIX_RECOVERY, with).await
    }

    /// Makes a recovery key. One that was there before is void.
    pub async fn new_matrix_recovery(&self) -> Result<NewRecoveryView, ClientError> {
        let bytes = self.call_long(Method::PUT, paths::MATRIX_RECOVERY, Bytes::new()).await?;
        serde_json::from_slice(&bytes).map_err(ClientError::protocol)
    }

    /// Begins to compare emoji with somebody.
    pub async fn begin_verification(
        &self,
        with: &BeginVerification,
    ) -> Result<VerificationView, ClientError> {
        self.post_long(paths::MATRIX_VERIFICATIONS, with).await
    }

    /// How that stands.
    pub async fn read_verification(
        &self,
        id: &str,
        how: &ReadVerification,
    ) -> Result<VerificationView, ClientError> {
        self.get_long(&how.on(paths::fill(paths::MATRIX_VERIFICATION, &[id]))).await
    }

    /// Says something of it.
    pub async fn say_verification(
        &self,
        id: &str,
        say: VerificationWord,
    ) -> Result<VerificationView, ClientError> {
        self.post_long(&paths::fill(paths::MATRIX_VERIFICATION, &[id]), &SayVerification { say }).await
    }

    /// Where a login through a browser begins.
    pub async fn begin_matrix_sso(&self, how: &BeginMatrixSso) -> Result<MatrixSsoView, ClientError> {
        self.post_long(paths::MATRIX_SSO, how).await
    }
}
