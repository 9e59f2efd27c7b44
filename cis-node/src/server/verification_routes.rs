//! Handlers of the Matrix account's device, and of logins through a browser.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::body::Body;
use super::caller::Caller;
use super::describe::{Created, Operations, operations};
use super::errors::Failure;
use super::extract::{Args, Name, Outcome};
use super::node_api::NodeApi;
use cis_core::api::{
    BeginMatrixSso, BeginVerification, MatrixSsoView, MatrixStandingView, NewRecoveryView, ReadVerification,
    RecoverMatrix, SayVerification, VerificationView, paths,
};
use cis_core::policy::{Action, act};

pub(super) fn operations<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Says how the device of the node's account stands.
        get_matrix_device: GET paths::MATRIX_STANDING, Matrix, Action::ReadMatrix, [NotFound, Conflict] => standing::<N>;
        /// Signs the device with the account's recovery key.
        recover_matrix: POST paths::MATRIX_RECOVERY, Matrix, Action::ControlMatrix, [NotFound, Conflict] => recover::<N>;
        /// Makes a recovery key.
        new_matrix_recovery: PUT paths::MATRIX_RECOVERY, Matrix, Action::ControlMatrix, [NotFound, Conflict] => new_recovery::<N>;
        /// Begins to compare emoji with somebody.
        begin_verification: POST paths::MATRIX_VERIFICATIONS, Matrix, Action::ControlMatrix, [NotFound, Conflict] => begin::<N>;
        /// Says how a comparison stands; can wait for a change.
        get_verification: GET paths::MATRIX_VERIFICATION, Matrix, Action::ControlMatrix, [NotFound, Conflict] => read::<N>;
        /// Says something of a comparison.
        say_verification: POST paths::MATRIX_VERIFICATION, Matrix, Action::ControlMatrix, [NotFound, Conflict] => say::<N>;
        /// Asks where a login through a browser begins.
        begin_matrix_sso: POST paths::MATRIX_SSO, Matrix, Action::ControlMatrix, [NotFound, Conflict] => sso::<N>;
    }
}

async fn standing<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
) -> Outcome<MatrixStandingView> {
    let permit = node.admit(&who, act::ReadMatrix)?;
    Ok(Json(node.matrix_standing(permit).await?))
}

async fn recover<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<RecoverMatrix>,
) -> Outcome<MatrixStandingView> {
    let permit = node.admit(&who, act::ControlMatrix)?;
    Ok(Json(node.recover_matrix(permit, body.read().await?).await?))
}

async fn new_recovery<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
) -> Outcome<NewRecoveryView> {
    let permit = node.admit(&who, act::ControlMatrix)?;
    Ok(Json(node.new_matrix_recovery(permit).await?))
}

async fn begin<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<BeginVerification>,
) -> Result<Created<VerificationView>, Failure> {
    let permit = node.admit(&who, act::ControlMatrix)?;
    Ok(Created(node.begin_verification(permit, body.read().await?).await?))
}

async fn read<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(id): Name<String>,
    query: Args<ReadVerification>,
) -> Outcome<VerificationView> {
    let permit = node.admit(&who, act::ControlMatrix)?;
    Ok(Json(node.read_verification(permit, id, query?.0).await?))
}

async fn say<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(id): Name<String>,
    body: Body<SayVerification>,
) -> Outcome<VerificationView> {
    let permit = node.admit(&who, act::ControlMatrix)?;
    Ok(Json(node.say_verification(permit, id, body.read().await?).await?))
}

async fn sso<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<BeginMatrixSso>,
) -> Outcome<MatrixSsoView> {
    let permit = node.admit(&who, act::ControlMatrix)?;
    Ok(Json(node.begin_matrix_sso(permit, body.read().await?).await?))
}
