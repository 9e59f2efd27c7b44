//! What the API's routes of the Matrix account's device need of the node behind it.

use std::future::Future;

use cis_core::api::{
    BeginMatrixSso, BeginVerification, MatrixSsoView, MatrixStandingView, NewRecoveryView, Problem,
    ReadVerification, RecoverMatrix, SayVerification, VerificationView,
};
use cis_core::policy::{Permit, act};

type Outcome<T> = Result<T, Problem>;

/// The device that a node's Matrix account is.
pub trait VerificationApi: Send + Sync + 'static {
    /// How it stands.
    fn matrix_standing(
        &self,
        permit: Permit<act::ReadMatrix>,
    ) -> impl Future<Output = Outcome<MatrixStandingView>> + Send;
    /// Signs it with the account's recovery key.
    fn recover_matrix(
        &self,
        permit: Permit<act::ControlMatrix>,
        request: RecoverMatrix,
    ) -> impl Future<Output = Outcome<MatrixStandingView>> + Send;
    /// Makes a recovery key.
    fn new_matrix_recovery(
        &self,
        permit: Permit<act::ControlMatrix>,
    ) -> impl Future<Output = Outcome<NewRecoveryView>> + Send;
    /// Begins to compare emoji with somebody.
    fn begin_verification(
        &self,
        permit: Permit<act::ControlMatrix>,
        request: BeginVerification,
    ) -> impl Future<Output = Outcome<VerificationView>> + Send;
    /// How that stands.
    fn read_verification(
        &self,
        permit: Permit<act::ControlMatrix>,
        id: String,
        query: ReadVerification,
    ) -> impl Future<Output = Outcome<VerificationView>> + Send;
    /// Says something of it.
    fn say_verification(
        &self,
        permit: Permit<act::ControlMatrix>,
        id: String,
        request: SayVerification,
    ) -> impl Future<Output = Outcome<VerificationView>> + Send;
    /// Where a login through a browser begins.
    fn begin_matrix_sso(
        &self,
        permit: Permit<act::ControlMatrix>,
        request: BeginMatrixSso,
    ) -> impl Future<Output = Outcome<MatrixSsoView>> + Send;
}
