//! The node's Matrix account as its API sees it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use cis_matrix::{CreateRoom, Invitation, MatrixError, Proof, RoomEvent, RoomInfo, RoomName, Secret};

use super::streams::Viewer;
use crate::account::{AccountError, NewLogin, Opened};
use crate::api::page_of;
use crate::node::Node;
use crate::server::MatrixApi;
use cis_core::api::{
    AuditReport, CreateMatrixRoom, InviteToMatrixRoom, JoinMatrixRoom, Listing, LoginMatrix, LogoutMatrix,
    MatrixAccountView, MatrixEncryptionView, MatrixEventView, MatrixProof, MatrixRoomEvents, MatrixRoomView,
    Page, Problem, ProblemKind, ReadMatrixRoom, RecoverReport, RecoverRuns,
};
use cis_core::policy::{Permit, act};

type Outcome<T> = Result<T, Problem>;

/// A client has to hear from us within its own patience.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(25);

/// Level of those who are invited: they may do what an operator does in a room.
const OPERATOR_LEVEL: i64 = 50;

/// More invitations at once are refused by every homeserver's limits.
const INVITES_MAX: usize = 100;

/// A room that is not known is looked for so often.
const LOOKS_MAX: usize = 3;

/// A homeserver tells within this time of a room that was just made.
const LISTED_WITHIN: Duration = Duration::from_secs(5);

/// A longer name or topic is no name or topic.
const TEXT_BYTES_MAX: usize = 1024;

impl MatrixApi for Node {
    async fn login_matrix(
        &self,
        _: Permit<act::ControlMatrix>,
        request: LoginMatrix,
    ) -> Outcome<MatrixAccountView> {
        let proof = match request.proof {
            MatrixProof::Password(text) => Proof::Password(Secret::new(text)),
            MatrixProof::Token(text) => Proof::Token(Secret::new(text)),
            MatrixProof::LoginToken(text) => Proof::LoginToken(Secret::new(text)),
        };
        let login = NewLogin {
            homeserver: request.homeserver,
            user: request.user,
            proof,
            device_name: request.device_name.unwrap_or_else(machine),
        };
        let _viewer = self.viewer();
        let opened = self.matrix.login(login).await.map_err(|error| account_problem(&error))?;
        self.rooms.wake();
        Ok(self.account_view(&opened).await)
    }

    async fn logout_matrix(&self, _: Permit<act::ControlMatrix>, request: LogoutMatrix) -> Outcome<()> {
        let _viewer = self.viewer();
        let done = self.matrix.logout(request.forget).await.map_err(|error| account_problem(&error));
        self.rooms.wake();
        done
    }

    async fn matrix_account(&self, _: Permit<act::ReadMatrix>) -> Outcome<MatrixAccountView> {
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        let view = self.account_view(&opened).await;
        if view.away.is_none() {
            // A login that the homeserver has ended is none.
            opened.client.whoami().await.map_err(|error| matrix_problem(&error))?;
        }
        Ok(view)
    }

    async fn matrix_rooms(
        &self,
        _: Permit<act::ReadMatrix>,
        query: Page,
    ) -> Outcome<Listing<MatrixRoomView>> {
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        opened.feed.refresh().await.map_err(|error| matrix_problem(&error))?;
        let rooms = opened.client.rooms().await.map_err(|error| matrix_problem(&error))?;
        page_of(rooms.into_iter().map(room_view).collect(), &query, |room: &MatrixRoomView| {
            room.room_id.clone()
        })
    }

    async fn create_matrix_room(
        &self,
        _: Permit<act::UseMatrix>,
        request: CreateMatrixRoom,
    ) -> Outcome<MatrixRoomView> {
        self.create_room(request).await
    }

    async fn join_matrix_room(
        &self,
        _: Permit<act::UseMatrix>,
        request: JoinMatrixRoom,
    ) -> Outcome<MatrixRoomView> {
        self.join_room(&request.room).await
    }

    async fn invite_to_matrix_room(
        &self,
        _: Permit<act::UseMatrix>,
        room: String,
        request: InviteToMatrixRoom,
    ) -> Outcome<()> {
        not_too_many(&request.users)?;
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        let room = resolved(&opened, &room).await?;
        for user in &request.users {
            opened.client.invite(&room, user).await.map_err(|error| matrix_problem(&error))?;
        }
        Ok(())
    }

    async fn recover_runs(
        &self,
        _: Permit<act::RecoverRuns>,
        room: String,
        request: RecoverRuns,
    ) -> Outcome<RecoverReport> {
        if !Path::new(&request.workdir).is_absolute() {
            let detail = format!("the directory `{}` is not absolute", request.workdir.escape_debug());
            return Err(Problem::new(ProblemKind::BadInput, detail));
        }
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        let room = resolved(&opened, &room).await?;
        self.runs_out_of(&opened, room, &request.workdir).await
    }

    async fn audit_room(&self, _: Permit<act::ReadMatrix>, room: String) -> Outcome<AuditReport> {
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        let room = resolved(&opened, &room).await?;
        self.audit_of(&opened, room).await
    }

    async fn read_matrix_room(
        &self,
        _: Permit<act::ReadMatrix>,
        room: String,
        query: ReadMatrixRoom,
    ) -> Outcome<MatrixRoomEvents> {
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        let room = resolved(&opened, &room).await?;
        let wait = query.wait_ms.map_or(Duration::ZERO, Duration::from_millis).min(WAIT_MAX);
        let said = opened
            .read(&room, query.since.as_deref(), wait)
            .await
            .map_err(|error| account_problem(&error))?;
        let items = said.events.into_iter().map(event_view).collect();
        Ok(MatrixRoomEvents { room_id: room, items, next: said.next, away: said.away })
    }
}

impl Node {
    pub(super) async fn create_room(&self, request: CreateMatrixRoom) -> Outcome<MatrixRoomView> {
        let texts = [Some(&request.name), request.topic.as_ref()];
        if request.name.trim().is_empty() || texts.iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(Problem::new(
                ProblemKind::BadInput,
                "a room needs a name, of at most 1,024 bytes, as its topic",
            ));
        }
        not_too_many(&request.invite)?;
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        let invite = request.invite.into_iter();
        let wanted = CreateRoom {
            name: request.name,
            topic: request.topic,
            encrypted: request.encrypted,
            invite: invite.map(|user| Invitation { user, level: OPERATOR_LEVEL }).collect(),
            ..CreateRoom::default()
        };
        // What comes of rooms is read meanwhile.
        let mut news = opened.feed.subscribe();
        let made = opened.client.create_room(wanted).await.map_err(|error| matrix_problem(&error))?;
        // Before its state came, the room has no name in lists.
        let is_listed = async {
            while opened.client.room(&made.room_id).await.is_ok_and(|room| room.name != made.name) {
                if let Err(RecvError::Closed) = news.recv().await {
                    return;
                }
            }
        };
        let _ = timeout(LISTED_WITHIN, is_listed).await;
        Ok(room_view(made))
    }

    pub(super) async fn join_room(&self, room: &str) -> Outcome<MatrixRoomView> {
        let name = room_name(room)?;
        let _viewer = self.viewer();
        let opened = self.opened().await?;
        let joined = opened.client.join(name).await;
        // It may be one that follows runs, and that it was removed from.
        self.rooms.wake();
        joined.map(room_view).map_err(|error| matrix_problem(&error))
    }

    /// A node that somebody waits for does not end by itself.
    pub(super) fn viewer(&self) -> Viewer {
        Viewer::new(Arc::clone(&self.shared), self.driver.clone())
    }

    pub(super) async fn opened(&self) -> Outcome<Opened> {
        self.matrix.open().await.map_err(|error| account_problem(&error))
    }

    async fn account_view(&self, opened: &Opened) -> MatrixAccountView {
        let (other_devices, away) = match opened.client.other_devices().await {
            Ok(count) => (u64::try_from(count).ok(), None),
            Err(error) if error.is_passing() => (None, Some(error.to_string())),
            Err(_) => (None, None),
        };
        MatrixAccountView {
            user_id: opened.session.user.clone(),
            device_id: opened.session.device.clone(),
            homeserver: opened.session.homeserver.clone(),
            other_devices,
            away,
        }
    }
}

/// The id of a room that the account is in or knows.
pub(crate) async fn resolved(opened: &Opened, name: &str) -> Outcome<String> {
    let name = room_name(name)?;
    let id = opened.client.resolve(name).await.map_err(|error| matrix_problem(&error))?;
    // One that was entered by another device just now, or before this one logged in: what is read already may not have it yet.
    for _ in 0..LOOKS_MAX {
        if opened.client.room(&id).await.is_ok_and(|room| !room.invited) {
            break;
        }
        opened.feed.refresh().await.map_err(|error| matrix_problem(&error))?;
    }
    Ok(id)
}

fn room_name(text: &str) -> Outcome<RoomName> {
    text.parse()
        .map_err(|error: cis_matrix::RoomNameError| Problem::new(ProblemKind::BadInput, error.to_string()))
}

fn not_too_many(users: &[String]) -> Outcome<()> {
    if users.len() <= INVITES_MAX {
        return Ok(());
    }
    let detail = format!("{} people cannot be invited at once: take {INVITES_MAX}", users.len());
    Err(Problem::new(ProblemKind::BadInput, detail))
}

fn machine() -> String {
    format!("CIS on {}", crate::machine::name())
}

fn room_view(room: RoomInfo) -> MatrixRoomView {
    MatrixRoomView {
        room_id: room.room_id,
        name: room.name,
        alias: room.alias,
        topic: room.topic,
        encrypted: room.encrypted,
        invited: room.invited,
        members: room.members,
    }
}

fn event_view(event: RoomEvent) -> MatrixEventView {
    MatrixEventView {
        id: event.id,
        sender: event.sender,
        kind: event.kind,
        content: event.content,
        at_ms: event.sent_ms,
        state_key: event.state_key,
        encryption: event.encryption.map(|encryption| MatrixEncryptionView {
            device_id: encryption.device,
            trust: encryption.trust.as_str().to_owned(),
        }),
    }
}

pub(super) fn account_problem(error: &AccountError) -> Problem {
    let (kind, hint) = match error {
        AccountError::Matrix(error) => return matrix_problem(error),
        AccountError::NoAccount => (ProblemKind::Conflict, "`cis matrix login` gives it one"),
        AccountError::LoggedIn { .. } => (ProblemKind::Conflict, "`cis matrix logout` ends that login"),
        AccountError::Damaged { .. } => {
            (ProblemKind::Internal, "`cis matrix logout --forget` removes it; then log in again")
        }
        AccountError::Files { .. } => {
            (ProblemKind::Internal, "see who owns it, and whether the disk is full")
        }
        AccountError::Stopping => return Problem::new(ProblemKind::Unavailable, error.to_string()),
    };
    Problem::new(kind, error.to_string()).hint(hint)
}

pub(super) fn matrix_problem(error: &MatrixError) -> Problem {
    let (kind, hint) = match error {
        MatrixError::RateLimited { .. } => {
            (ProblemKind::Unavailable, Some("wait, or ask the homeserver's administrator to lift the limit"))
        }
        MatrixError::Offline { .. } => {
            (ProblemKind::Unavailable, Some("nothing was changed: try again later"))
        }
        MatrixError::Forbidden { .. } => (ProblemKind::Denied, None),
        MatrixError::TooLarge { .. } | MatrixError::BadInput { .. } => (ProblemKind::BadInput, None),
        MatrixError::NotFound { .. } => (ProblemKind::NotFound, None),
        MatrixError::NotJoined { .. } => {
            (ProblemKind::NotFound, Some("`cis matrix list-rooms` lists its rooms"))
        }
        MatrixError::Unsigned => (
            ProblemKind::Conflict,
            Some("`cis matrix verify --recovery-key-stdin` signs it with the account's recovery key"),
        ),
        MatrixError::Unauthorized { .. } => {
            (ProblemKind::Conflict, Some("`cis matrix logout`, then `cis matrix login`"))
        }
        _ => (ProblemKind::Internal, None),
    };
    let problem = Problem::new(kind, error.to_string());
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}
