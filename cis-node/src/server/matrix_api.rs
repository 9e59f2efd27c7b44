//! What the API's Matrix routes need of the node behind it.

use std::future::Future;

use cis_core::api::{
    AuditReport, CreateMatrixRoom, InviteToMatrixRoom, JoinMatrixRoom, Listing, LoginMatrix, LogoutMatrix,
    MatrixAccountView, MatrixRoomEvents, MatrixRoomView, Page, Problem, ReadMatrixRoom, RecoverReport,
    RecoverRuns,
};
use cis_core::policy::{Permit, act};

type Outcome<T> = Result<T, Problem>;

/// The Matrix account of a node. Rooms are named by their id, an alias or a link.
pub trait MatrixApi: Send + Sync + 'static {
    /// Logs it in.
    fn login_matrix(
        &self,
        permit: Permit<act::ControlMatrix>,
        request: LoginMatrix,
    ) -> impl Future<Output = Outcome<MatrixAccountView>> + Send;
    /// Logs it out.
    fn logout_matrix(
        &self,
        permit: Permit<act::ControlMatrix>,
        request: LogoutMatrix,
    ) -> impl Future<Output = Outcome<()>> + Send;
    /// Who it is.
    fn matrix_account(
        &self,
        permit: Permit<act::ReadMatrix>,
    ) -> impl Future<Output = Outcome<MatrixAccountView>> + Send;
    /// Its rooms.
    fn matrix_rooms(
        &self,
        permit: Permit<act::ReadMatrix>,
        query: Page,
    ) -> impl Future<Output = Outcome<Listing<MatrixRoomView>>> + Send;
    /// Makes one.
    fn create_matrix_room(
        &self,
        permit: Permit<act::UseMatrix>,
        request: CreateMatrixRoom,
    ) -> impl Future<Output = Outcome<MatrixRoomView>> + Send;
    /// Joins one.
    fn join_matrix_room(
        &self,
        permit: Permit<act::UseMatrix>,
        request: JoinMatrixRoom,
    ) -> impl Future<Output = Outcome<MatrixRoomView>> + Send;
    /// Invites people into one.
    fn invite_to_matrix_room(
        &self,
        permit: Permit<act::UseMatrix>,
        room: String,
        request: InviteToMatrixRoom,
    ) -> impl Future<Output = Outcome<()>> + Send;
    /// Takes the runs that one tells of into the store.
    fn recover_runs(
        &self,
        permit: Permit<act::RecoverRuns>,
        room: String,
        request: RecoverRuns,
    ) -> impl Future<Output = Outcome<RecoverReport>> + Send;
    /// Checks all that one has of nodes and runs.
    fn audit_room(
        &self,
        permit: Permit<act::ReadMatrix>,
        room: String,
    ) -> impl Future<Output = Outcome<AuditReport>> + Send;
    /// What is said in one.
    fn read_matrix_room(
        &self,
        permit: Permit<act::ReadMatrix>,
        room: String,
        query: ReadMatrixRoom,
    ) -> impl Future<Output = Outcome<MatrixRoomEvents>> + Send;
}
