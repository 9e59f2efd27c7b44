//! Handlers of the Matrix account's device, and of logins through a browser.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::errors::Failure;
use super::node_api::NodeApi;
use super::routes::{Args, Body, Caller, Name, Outcome, admit};
use crate::api::{
    BeginMatrixSso, BeginVerification, MatrixSsoView, MatrixStandingView, NewRecoveryView, ReadVerification,
    RecoverMatrix, SayVerification, VerificationView, paths,
};
use crate::policy::Action;

pub(super) fn routes<N: NodeApi>() -> Router<Arc<N>> {
    Router::new()
        .route(paths::MATRIX_STANDING, get(standing::<N>))
        .route(paths::MATRIX_RECOVERY, post(recover::<N>).put(new_recovery::<N>))
        .route(paths::MATRIX_VERIFICATIONS, post(begin::<N>))
        .route(paths::MATRIX_VERIFICATION, get(read::<N>).post(say::<N>))
        .route(paths::MATRIX_SSO, post(sso::<N>))
}

async fn standing<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
) -> Outcome<MatrixStandingView> {
    admit(&node, &who, Action::ReadMatrix)?;
    Ok(Json(node.matrix_standing().await?))
}

async fn recover<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<RecoverMatrix>,
) -> Outcome<MatrixStandingView> {
    admit(&node, &who, Action::ControlMatrix)?;
    Ok(Json(node.recover_matrix(body?.0).await?))
}

async fn new_recovery<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
) -> Outcome<NewRecoveryView> {
    admit(&node, &who, Action::ControlMatrix)?;
    Ok(Json(node.new_matrix_recovery().await?))
}

async fn begin<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<BeginVerification>,
) -> Result<(StatusCode, Json<VerificationView>), Failure> {
    admit(&node, &who, Action::ControlMatrix)?;
    Ok((StatusCode::CREATED, Json(node.begin_verification(body?.0).await?)))
}

async fn read<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(id): Name<String>,
    query: Args<ReadVerification>,
) -> Outcome<VerificationView> {
    admit(&node, &who, Action::ControlMatrix)?;
    Ok(Json(node.read_verification(id, query?.0).await?))
}

async fn say<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(id): Name<String>,
    body: Body<SayVerification>,
) -> Outcome<VerificationView> {
    admit(&node, &who, Action::ControlMatrix)?;
    Ok(Json(node.say_verification(id, body?.0).await?))
}

async fn sso<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<BeginMatrixSso>,
) -> Outcome<MatrixSsoView> {
    admit(&node, &who, Action::ControlMatrix)?;
    Ok(Json(node.begin_matrix_sso(body?.0).await?))
}
