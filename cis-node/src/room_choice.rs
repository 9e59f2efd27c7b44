//! Which room follows a run: the one that was named, the one that is configured, or the node's own.

use std::path::Path;

use super::own_room::{self, OwnRoom};
use crate::node::Node;
use crate::problems::blocking;
use cis_core::api::{CreateMatrixRoom, Problem, ProblemKind};
use cis_core::event::ExecutionMode;
use cis_core::room::names_a_room;

impl Node {
    /// The id of the room that follows a run of this mode; none of a local one.
    pub(super) async fn room_of(
        &self,
        mode: ExecutionMode,
        named: Option<String>,
    ) -> Result<Option<String>, Problem> {
        let bad = |detail: String| Problem::new(ProblemKind::BadInput, detail);
        let settings = &self.config.settings.dag;
        match (mode, &named) {
            (ExecutionMode::Local, None) => return Ok(None),
            (ExecutionMode::Local, Some(_)) => {
                return Err(bad("a local run has no room".to_owned())
                    .hint("leave --room out, or make it a hybrid run (--hybrid)"));
            }
            (ExecutionMode::Matrix | ExecutionMode::Hybrid, _) => {}
        }
        if !settings.matrix.enabled {
            let problem = Problem::new(ProblemKind::Conflict, "this node makes no hybrid runs");
            return Err(problem
                .hint("`dag.matrix.enabled` is false in its configuration; --local goes on without a room"));
        }
        match named.as_ref().or(settings.room_id.as_ref()) {
            Some(name) if names_a_room(name) => self.joined_room(name).await.map(Some),
            Some(name) => Err(bad(format!("`{}` names no room", name.escape_debug()))
                .hint("name it by its id (!id:example.org), an alias (#builds:example.org), or a link of matrix.to")),
            None if mode == ExecutionMode::Matrix => Err(bad("a run with --matrix needs a room".to_owned())
                .hint("give --room ROOM, or set `dag.room_id` (cis config default)")),
            None if settings.matrix.auto_create_room => self.own_room().await.map(Some),
            None => Err(bad("a hybrid run needs a room that follows it".to_owned()).hint(
                "give --room ROOM, or set `room_id` or `auto_create_room` (cis config default); --local goes on without one",
            )),
        }
    }
}

impl Node {
    /// The id of a room, which the account is in from now on.
    async fn joined_room(&self, name: &str) -> Result<String, Problem> {
        if self.rooms_in_memory.is_some() {
            return Ok(name.to_owned());
        }
        self.join_room(name).await.map(|room| room.room_id).map_err(or_local)
    }

    /// The id of the room that this node made for such runs; it makes it where its account has none.
    async fn own_room(&self) -> Result<String, Problem> {
        // Two runs at once would make two.
        let _one = self.shared.own_room.lock().await;
        let user = self.opened().await.map_err(or_local)?.session.user.clone();
        let path = self.home.own_room();
        let known = path.clone();
        let known = blocking(move || own_room::load(&known)).await?;
        if let Some(own) = known.map_err(|error| unusable(&path, &error))?.filter(|own| own.user == user) {
            return self.joined_room(&own.room).await;
        }
        let wanted = &self.config.settings.dag.matrix;
        let request = CreateMatrixRoom {
            name: wanted.room_name.clone(),
            topic: Some("Runs of CIS".to_owned()),
            encrypted: wanted.encrypted,
            invite: wanted.invite.clone(),
        };
        let room = self.create_room(request).await.map_err(or_local)?.room_id;
        let (own, to) = (OwnRoom { user, room: room.clone() }, path.clone());
        let kept = blocking(move || own_room::keep(&to, &own)).await?;
        kept.map_err(|error| unusable(&path, &error))?;
        tracing::info!(room, "a room was made for hybrid runs");
        Ok(room)
    }
}

/// Where the account cannot do it, the run need not wait for that.
fn or_local(mut problem: Problem) -> Problem {
    let also = "--local goes on without a room";
    problem.hint = Some(match problem.hint.take() {
        Some(hint) => format!("{hint}; {also}"),
        None => also.to_owned(),
    });
    problem
}

fn unusable(path: &Path, error: &std::io::Error) -> Problem {
    let detail = format!("cannot use {}, which says which room is this node's own: {error}", path.display());
    Problem::new(ProblemKind::Unavailable, detail)
        .hint("remove it, and another room is made; or set `room_id`")
}
