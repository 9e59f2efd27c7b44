//! Helpers of tests of what people say in a room: a place with people in a room, what is said to them.

use std::fs;
use std::path::PathBuf;

use cis_core::api::{ListRuns, RoomNodeState};
use cis_core::event::RunState;
use cis_matrix::RoomEvent;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::nodes::listed;
use super::{ANN, BOB, CIS, content, followed, generous};
use crate::harness::{Node, eventually};
use crate::homeserver::{Server, reply};

/// May do nothing where nothing else is configured.
pub(super) const EVE: &str = "@eve:tests";

pub(super) const MINUTE_MS: i64 = 60_000;

/// Goes on until it is cancelled.
pub(super) const WAITS: &str = "version = 1\n[dag]\nid = \"waits\"\n[[tasks]]\nid = \"w\"\ntty = false\nscript = \"echo begun; sleep 600\"\n";

/// Waits for an approval.
pub(super) const GATE: &str = "version = 1\n[dag]\nid = \"gate\"\n[[tasks]]\nid = \"g\"\ntty = false\nscript = \"true\"\napproval = { prompt = \"Ship it?\" }\n";

/// A homeserver, a room on it with Ann (100), Bob (50) and Eve (0), and where a node of the room lives.
pub(super) struct Place {
    pub(super) server: Server,
    pub(super) room: String,
    pub(super) scratch: TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        let server = Server::default();
        let room = server.room("builds", ANN, &[CIS, BOB, EVE]);
        server.set_level(&room, BOB, 50);
        let place = Self { server, room, scratch: tempfile::tempdir().unwrap() };
        generous(&place.home(), CIS);
        place
    }

    pub(super) fn encrypted() -> Self {
        let place = Self::new();
        place.server.encrypt(&place.room);
        place
    }

    pub(super) fn home(&self) -> PathBuf {
        self.scratch.path().join("home")
    }

    /// A folder whose files may be run from rooms.
    pub(super) fn dags(&self) -> PathBuf {
        let dags = self.scratch.path().join("dags");
        fs::create_dir_all(&dags).unwrap();
        dags
    }

    pub(super) async fn node(&self, flags: &[&str]) -> Node {
        Node::with_account(&self.home(), flags, self.server.account(CIS, "CIS")).await
    }

    /// A node that starts files of its folder for this room.
    pub(super) async fn starter(&self) -> Node {
        let dirs = format!("matrix.run_dirs=[{:?}]", self.dags());
        let room = format!("dag.room_id={}", self.room);
        let node = self.node(&[&dirs, &room]).await;
        hears(&node, &self.room).await;
        node
    }

    /// A run of this text that the room follows and may talk about.
    pub(super) async fn run(&self, node: &Node, text: &str) -> String {
        let run = node.submit_as(followed(text, &self.room)).await;
        self.card(&run).await;
        hears(node, &self.room).await;
        run
    }

    /// The card of a run, once the room has it.
    pub(super) async fn card(&self, run: &str) -> String {
        let is_card = |content: &Value| content["cis.dag.card"]["run"] == run;
        self.server.event(&self.room, "m.room.message", is_card).await.0.id
    }

    /// The question of a run in the room, and the item that it is about.
    pub(super) async fn asked(&self, run: &str) -> (RoomEvent, String) {
        asked_in(&self.server, &self.room, run).await
    }

    pub(super) fn writes(&self, user: &str, text: &str) -> String {
        self.server.writes(&self.room, user, text)
    }

    pub(super) fn replies(&self, user: &str, to: &str, text: &str) -> String {
        self.server.says(&self.room, user, ("m.room.message", reply(to, text)))
    }

    /// Waits for what is said to an event.
    pub(super) async fn answer_to(&self, event: &str) -> String {
        answer_in(&self.server, &self.room, event).await
    }

    /// Somebody writes something; gives what is said to it.
    pub(super) async fn told(&self, user: &str, text: &str) -> String {
        let event = self.writes(user, text);
        self.answer_to(&event).await
    }

    /// All that was said to an event so far.
    pub(super) fn answers_to(&self, event: &str) -> Vec<String> {
        answers(&self.server.events(&self.room), event)
    }

    /// Waits until the node has shown that it read an event.
    pub(super) async fn is_read(&self, event: &str) {
        eventually(&format!("{event} is read"), async || self.server.has_read(CIS, event).then_some(()))
            .await;
    }

    /// A node of Bob that asked an owner of the room to let it in.
    pub(super) async fn applicant(&self, owner: &Node) -> Node {
        let invitation = owner.client.invite_nodes(&self.room).await.unwrap();
        let room = format!("federation.room={}", self.room);
        let dir = self.scratch.path().join("worker");
        let account = self.server.account(BOB, "CIS");
        let worker = Node::with_account(&dir, &[&room, "federation.role=worker"], account).await;
        worker.client.join_nodes(&invitation.code).await.unwrap();
        listed(owner, &worker.did, |node| node.state == RoomNodeState::Pending).await;
        worker
    }

    /// Waits until all that was written before was heard, and what is said to it has come.
    pub(super) async fn all_is_heard(&self) {
        let said = self.told(ANN, "!cis help").await;
        assert!(said.contains("What you can say here"), "{said}");
    }
}

/// Words in the thread of an event.
pub(super) fn in_thread(root: &str, text: &str) -> (&'static str, Value) {
    let relation = json!({
        "rel_type": "m.thread", "event_id": root, "is_falling_back": true,
        "m.in_reply_to": { "event_id": root },
    });
    ("m.room.message", json!({ "msgtype": "m.text", "body": text, "m.relates_to": relation }))
}

pub(super) fn answers(events: &[RoomEvent], to: &str) -> Vec<String> {
    let ours = events.iter().filter(|one| one.sender == CIS && one.kind == "m.room.message").map(content);
    ours.filter(|content| content["m.relates_to"]["m.in_reply_to"]["event_id"] == to)
        .map(|content| content["body"].as_str().unwrap().to_owned())
        .collect()
}

pub(super) async fn answer_in(server: &Server, room: &str, to: &str) -> String {
    server.until(room, "what is said to it", |events| answers(events, to).pop()).await
}

pub(super) async fn asked_in(server: &Server, room: &str, run: &str) -> (RoomEvent, String) {
    let asks = |content: &Value| content["cis.dag.question"]["run"] == run;
    let (event, content) = server.event(room, "m.room.message", asks).await;
    (event, content["cis.dag.question"]["item"].as_str().unwrap().to_owned())
}

/// Waits until a node hears what is said in a room.
pub(super) async fn hears(node: &Node, room: &str) {
    eventually(&format!("{room} is heard"), async || {
        node.client.node().await.unwrap().rooms.iter().any(|heard| heard == room).then_some(())
    })
    .await;
}

pub(super) async fn state_of(node: &Node, run: &str) -> RunState {
    node.client.run(run).await.unwrap().run.state
}

/// The runs of a node, the newest first.
pub(super) async fn runs(node: &Node) -> Vec<String> {
    let runs = node.client.runs(&ListRuns::default()).await.unwrap().items;
    runs.into_iter().map(|run| run.id.to_string()).collect()
}
