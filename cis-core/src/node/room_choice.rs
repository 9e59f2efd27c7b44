//! Which room follows a run: the one that was named, the one that is configured, or the node's own.

use super::api::Node;
use crate::api::{Problem, ProblemKind};
use crate::event::ExecutionMode;
use crate::room::names_a_room;

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
            (ExecutionMode::Matrix, _) => {
                return Err(bad("this node has local and hybrid runs, no matrix ones".to_owned())
                    .hint("use --hybrid: it is executed here, and a room follows it"));
            }
            (ExecutionMode::Hybrid, _) => {}
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
            None if settings.matrix.auto_create_room => self.own_room().await.map(Some),
            None => Err(bad("a hybrid run needs a room that follows it".to_owned()).hint(
                "give --room ROOM, or set `room_id` or `auto_create_room` (cis config default); --local goes on without one",
            )),
        }
    }
}

impl Node {
    /// The id of a room, which the account is in from now on.
    async fn joined_room(&self, _name: &str) -> Result<String, Problem> {
        Err(no_account())
    }

    /// The id of the room that this node made for such runs; it makes it where it has none.
    async fn own_room(&self) -> Result<String, Problem> {
        Err(no_account())
    }
}

fn no_account() -> Problem {
    Problem::new(ProblemKind::Conflict, "this node has no Matrix account, so no room can follow a run")
        .hint("`cis matrix login` gives it one; --local goes on without a room")
}
