//! Handlers of the node's Matrix account.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::errors::Failure;
use super::node_api::NodeApi;
use super::routes::{Args, Body, Caller, Name, Outcome, admit};
use crate::api::{
    AuditReport, CreateMatrixRoom, InviteToMatrixRoom, JoinMatrixRoom, Listing, LoginMatrix, LogoutMatrix,
    MatrixAccountView, MatrixRoomEvents, MatrixRoomView, ReadMatrixRoom, RecoverReport, RecoverRuns, paths,
};
use crate::policy::Action;

pub(super) fn routes<N: NodeApi>() -> Router<Arc<N>> {
    Router::new()
        .route(paths::MATRIX_ACCOUNT, get(account::<N>).post(login::<N>).delete(logout::<N>))
        .route(paths::MATRIX_ROOMS, get(rooms::<N>).post(create::<N>))
        .route(paths::MATRIX_JOIN, post(join::<N>))
        .route(paths::MATRIX_INVITE, post(invite::<N>))
        .route(paths::MATRIX_RECOVER, post(recover::<N>))
        .route(paths::MATRIX_AUDIT, get(audit::<N>))
        .route(paths::MATRIX_EVENTS, get(events::<N>))
}

async fn account<N: NodeApi>(State(node): State<Arc<N>>, Caller(who): Caller) -> Outcome<MatrixAccountView> {
    admit(&node, &who, Action::ReadMatrix)?;
    Ok(Json(node.matrix_account().await?))
}

async fn login<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<LoginMatrix>,
) -> Result<(StatusCode, Json<MatrixAccountView>), Failure> {
    admit(&node, &who, Action::ControlMatrix)?;
    Ok((StatusCode::CREATED, Json(node.login_matrix(body?.0).await?)))
}

async fn logout<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<LogoutMatrix>,
) -> Result<StatusCode, Failure> {
    admit(&node, &who, Action::ControlMatrix)?;
    node.logout_matrix(query?.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rooms<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
) -> Outcome<Listing<MatrixRoomView>> {
    admit(&node, &who, Action::ReadMatrix)?;
    Ok(Json(node.matrix_rooms().await?))
}

async fn create<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CreateMatrixRoom>,
) -> Result<(StatusCode, Json<MatrixRoomView>), Failure> {
    admit(&node, &who, Action::UseMatrix)?;
    Ok((StatusCode::CREATED, Json(node.create_matrix_room(body?.0).await?)))
}

async fn join<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<JoinMatrixRoom>,
) -> Outcome<MatrixRoomView> {
    admit(&node, &who, Action::UseMatrix)?;
    Ok(Json(node.join_matrix_room(body?.0).await?))
}

async fn invite<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(room): Name<String>,
    body: Body<InviteToMatrixRoom>,
) -> Result<StatusCode, Failure> {
    admit(&node, &who, Action::UseMatrix)?;
    node.invite_to_matrix_room(room, body?.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn recover<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(room): Name<String>,
    body: Body<RecoverRuns>,
) -> Outcome<RecoverReport> {
    admit(&node, &who, Action::RecoverRuns)?;
    Ok(Json(node.recover_runs(room, body?.0).await?))
}

async fn audit<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(room): Name<String>,
) -> Outcome<AuditReport> {
    admit(&node, &who, Action::ReadMatrix)?;
    Ok(Json(node.audit_room(room).await?))
}

async fn events<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(room): Name<String>,
    query: Args<ReadMatrixRoom>,
) -> Outcome<MatrixRoomEvents> {
    admit(&node, &who, Action::ReadMatrix)?;
    Ok(Json(node.read_matrix_room(room, query?.0).await?))
}
