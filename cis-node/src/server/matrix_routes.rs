//! Handlers of the node's Matrix account.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::body::Body;
use super::caller::Caller;
use super::describe::{Created, Done, Operations, operations};
use super::errors::Failure;
use super::extract::{Args, Name, Outcome};
use super::node_api::NodeApi;
use cis_core::api::{
    AuditReport, CreateMatrixRoom, InviteToMatrixRoom, JoinMatrixRoom, Listing, LoginMatrix, LogoutMatrix,
    MatrixAccountView, MatrixRoomEvents, MatrixRoomView, Page, ReadMatrixRoom, RecoverReport, RecoverRuns,
    paths,
};
use cis_core::policy::{Action, act};

pub(super) fn operations<N: NodeApi>() -> Operations<Arc<N>> {
    operations! {
        /// Shows the node's Matrix account.
        get_matrix_account: GET paths::MATRIX_ACCOUNT, Matrix, Action::ReadMatrix, [NotFound, Conflict] => account::<N>;
        /// Logs the node's Matrix account in.
        login_matrix: POST paths::MATRIX_ACCOUNT, Matrix, Action::ControlMatrix, [NotFound, Conflict] => login::<N>;
        /// Logs the node's Matrix account out.
        logout_matrix: DELETE paths::MATRIX_ACCOUNT, Matrix, Action::ControlMatrix, [NotFound, Conflict] => logout::<N>;
        /// Lists rooms of the account.
        list_matrix_rooms: GET paths::MATRIX_ROOMS, Matrix, Action::ReadMatrix, [NotFound, Conflict] => rooms::<N>;
        /// Makes a private room.
        create_matrix_room: POST paths::MATRIX_ROOMS, Matrix, Action::UseMatrix, [NotFound, Conflict] => create::<N>;
        /// Joins a room.
        join_matrix_room: POST paths::MATRIX_JOIN, Matrix, Action::UseMatrix, [NotFound, Conflict] => join::<N>;
        /// Invites people into a room.
        invite_to_matrix_room: POST paths::MATRIX_INVITE, Matrix, Action::UseMatrix, [NotFound, Conflict] => invite::<N>;
        /// Takes the runs that a room tells of into the store.
        recover_runs: POST paths::MATRIX_RECOVER, Matrix, Action::RecoverRuns, [NotFound, Conflict] => recover::<N>;
        /// Checks all that a room has of nodes and runs.
        audit_matrix_room: GET paths::MATRIX_AUDIT, Matrix, Action::ReadMatrix, [NotFound, Conflict] => audit::<N>;
        /// Reads what is said in a room; can wait for it.
        read_matrix_room: GET paths::MATRIX_EVENTS, Matrix, Action::ReadMatrix, [NotFound, Conflict] => events::<N>;
    }
}

async fn account<N: NodeApi>(State(node): State<Arc<N>>, Caller(who): Caller) -> Outcome<MatrixAccountView> {
    let permit = node.admit(&who, act::ReadMatrix)?;
    Ok(Json(node.matrix_account(permit).await?))
}

async fn login<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<LoginMatrix>,
) -> Result<Created<MatrixAccountView>, Failure> {
    let permit = node.admit(&who, act::ControlMatrix)?;
    Ok(Created(node.login_matrix(permit, body.read().await?).await?))
}

async fn logout<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<LogoutMatrix>,
) -> Result<Done, Failure> {
    let permit = node.admit(&who, act::ControlMatrix)?;
    node.logout_matrix(permit, query?.0).await?;
    Ok(Done)
}

async fn rooms<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    query: Args<Page>,
) -> Outcome<Listing<MatrixRoomView>> {
    let permit = node.admit(&who, act::ReadMatrix)?;
    Ok(Json(node.matrix_rooms(permit, query?.0).await?))
}

async fn create<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<CreateMatrixRoom>,
) -> Result<Created<MatrixRoomView>, Failure> {
    let permit = node.admit(&who, act::UseMatrix)?;
    Ok(Created(node.create_matrix_room(permit, body.read().await?).await?))
}

async fn join<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    body: Body<JoinMatrixRoom>,
) -> Outcome<MatrixRoomView> {
    let permit = node.admit(&who, act::UseMatrix)?;
    Ok(Json(node.join_matrix_room(permit, body.read().await?).await?))
}

async fn invite<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(room): Name<String>,
    body: Body<InviteToMatrixRoom>,
) -> Result<Done, Failure> {
    let permit = node.admit(&who, act::UseMatrix)?;
    node.invite_to_matrix_room(permit, room, body.read().await?).await?;
    Ok(Done)
}

async fn recover<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(room): Name<String>,
    body: Body<RecoverRuns>,
) -> Outcome<RecoverReport> {
    let permit = node.admit(&who, act::RecoverRuns)?;
    Ok(Json(node.recover_runs(permit, room, body.read().await?).await?))
}

async fn audit<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(room): Name<String>,
) -> Outcome<AuditReport> {
    let permit = node.admit(&who, act::ReadMatrix)?;
    Ok(Json(node.audit_room(permit, room).await?))
}

async fn events<N: NodeApi>(
    State(node): State<Arc<N>>,
    Caller(who): Caller,
    Name(room): Name<String>,
    query: Args<ReadMatrixRoom>,
) -> Outcome<MatrixRoomEvents> {
    let permit = node.admit(&who, act::ReadMatrix)?;
    Ok(Json(node.read_matrix_room(permit, room, query?.0).await?))
}
