//! Helpers of tests with several nodes in a room: nodes that tell, read, take part or recover.

use std::path::Path;

use cis_core::api::{AuditedRun, CreateRun, HereAs, JoinMatrixRoom, RoomNodeView};
use cis_core::event::{ExecutionMode, RunState};
use cis_core::ids::NodeDid;
use cis_matrix::MatrixError;
use cis_node::NodeOptions;

use super::{BOB, CIS, generous, room_of_ann};
use crate::harness::{Node, SLOTS, eventually, options, request_in};
use crate::homeserver::Server;
use crate::shared::dag;

pub(super) const CARL: &str = "@carl:tests";

/// What carries the journal of a run.
pub(super) const JOURNAL: &str = "cis.dag.run.journal";

/// A run of two tasks that ends by itself.
pub(super) const SHORT: &str = "version = 1\n[dag]\nid = \"short\"\n[dag.defaults]\ntty = false\n[[tasks]]\nid = \"a\"\nscript = \"echo made\"\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = \"true\"\n";

pub(super) fn offline() -> MatrixError {
    MatrixError::Offline { detail: "the test lets it fail".to_owned(), reached: false }
}

pub(super) fn join(room: &str) -> JoinMatrixRoom {
    JoinMatrixRoom { room: room.to_owned() }
}

/// Waits until a room has all that a node knows of a run.
pub(super) async fn is_told(node: &Node, room: &str, run: &str) {
    eventually("the room has all of it", async || {
        let report = node.client.audit_matrix_room(room).await.unwrap();
        let same = |found: &AuditedRun| found.run.to_string() == run && found.here == Some(HereAs::Same);
        report.runs.iter().any(same).then_some(())
    })
    .await;
}

/// A node of `CIS` that may send as much as it wants.
pub(super) async fn teller(dir: &Path, server: &Server) -> Node {
    generous(dir, CIS);
    Node::with_account(dir, &[], server.account(CIS, "CIS")).await
}

/// A room whose runs a node of `CIS` tells, and in which `BOB` is as well.
pub(super) async fn told(dir: &Path) -> (Server, String, Node) {
    let (server, room) = room_of_ann();
    server.join(&room, BOB);
    let node = teller(&dir.join("n"), &server).await;
    (server, room, node)
}

/// Waits until a node knows a run that another one coordinates, in this state.
pub(super) async fn reads(node: &Node, run: &str, state: RunState) {
    eventually(&format!("run {run} is read"), async || {
        let detail = node.client.run(run).await.ok()?;
        (detail.run.state == state).then_some(())
    })
    .await;
}

/// A node that takes part in a room with this role.
pub(super) async fn member(dir: &Path, at: (&Server, &str), user: &str, role: &str) -> Node {
    Node::start_as(member_options(dir, at, user, role)).await
}

/// The same, for a worker that says what it offers only when there is a reason for that.
pub(super) async fn quiet_worker(dir: &Path, at: (&Server, &str), user: &str) -> Node {
    let of_member = member_options(dir, at, user, "worker");
    Node::start_as(NodeOptions { heartbeat_ms: Some(24 * 60 * 60 * 1000), ..of_member }).await
}

fn member_options(dir: &Path, (server, room): (&Server, &str), user: &str, role: &str) -> NodeOptions {
    generous(dir, user);
    let set = |key: &str, value: &str| format!("federation.{key}={value}");
    let tags = set("tags", r#"["gpu"]"#);
    let flags = [set("room", room), set("role", role), set("slots", &SLOTS.to_string()), tags];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    NodeOptions { account: Some(server.account(user, "CIS")), ..options(dir, &flags, None) }
}

/// What a node knows of another one in any room, once that fits.
pub(super) async fn listed(at: &Node, of: &NodeDid, fits: impl Fn(&RoomNodeView) -> bool) -> RoomNodeView {
    eventually("the node is listed so", async || {
        let nodes = at.client.nodes(None).await.unwrap().items;
        nodes.into_iter().find(|node| node.did == *of && fits(node))
    })
    .await
}

/// A run of these tasks in a directory that the nodes of a room share.
pub(super) fn shared_in(room: &str, dir: &Path, tasks: &str) -> CreateRun {
    let run = request_in(dir, &dag(tasks));
    CreateRun { mode: ExecutionMode::Matrix, room: Some(room.to_owned()), ..run }
}

/// A node that only reads a room.
pub(super) async fn observer(dir: &Path, server: &Server, room: &str) -> Node {
    observes(dir, server, (room, BOB)).await
}

/// The same with the account of a user.
pub(super) async fn observes(dir: &Path, server: &Server, (room, user): (&str, &str)) -> Node {
    let flag = format!("matrix.observe=[\"{room}\"]");
    Node::with_account(dir, &[&flag], server.account(user, "CIS")).await
}

/// A run that waits for an approval.
pub(super) const APPROVED: &str = "version = 1\n[dag]\nid = \"approved\"\n[dag.defaults]\ntty = false\n[[tasks]]\nid = \"a\"\nscript = \"echo made\"\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = \"true\"\napproval = { prompt = \"Deploy?\" }\n";
