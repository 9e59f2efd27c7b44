//! Tests of rooms: runs that rooms follow, people who speak there, nodes that share tasks there. Helpers of all of them.

mod answers;
mod api;
mod audit;
mod card;
mod commands;
mod fairness;
mod faults;
mod heard;
mod journal;
mod limits;
mod modes;
mod nodes;
mod observer;
mod outages;
mod owners;
mod questions;
mod recovery;
mod replaced;
mod replays;
mod roles;
mod sealed;
mod sharing;
mod told;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use cis_core::api::CreateRun;
use cis_core::event::{ExecutionMode, RunState};
use cis_matrix::RoomEvent;
use serde_json::{Value, json};

use crate::harness::{Node, eventually, on_a_runtime, request};
use crate::homeserver::{Server, reaction, reply};

pub(super) const CIS: &str = "@cis:tests";
pub(super) const ANN: &str = "@ann:tests";
pub(super) const BOB: &str = "@bob:tests";

/// Asks for permission, and prints what it was answered.
pub(super) const ASKS: &str = "version = 1\n[dag]\nid = \"asks\"\n[[tasks]]\nid = \"t\"\nscript = 'echo \"Deploy? [y/N]\"; read a; echo got $a'\n";

/// A run of this text that a room follows.
pub(super) fn followed(text: &str, room: &str) -> CreateRun {
    CreateRun { mode: ExecutionMode::Hybrid, room: Some(room.to_owned()), ..request(text) }
}

/// A homeserver, and a room on it that Ann has made for this node's account.
pub(super) fn room_of_ann() -> (Server, String) {
    let server = Server::default();
    let room = server.room("builds", ANN, &[CIS]);
    (server, room)
}

/// The home of a node whose account may send as much as it wants.
fn generous(dir: &Path, user: &str) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
    let learned = json!({ "user": user, "per_1000_s": 200_000, "try_again_ms": 0 });
    fs::write(dir.join("allowance.json"), learned.to_string()).unwrap();
}

fn content(event: &RoomEvent) -> Value {
    serde_json::from_str(event.content.get()).unwrap()
}

/// Waits until a node warns of something with all these words.
async fn warns(node: &Node, words: &[&str]) {
    eventually(&format!("the node warns of {words:?}"), async || {
        let warnings = node.client.node().await.unwrap().warnings;
        warnings.iter().any(|warning| words.iter().all(|word| warning.contains(word))).then_some(())
    })
    .await;
}

/// Waits until a node warns of nothing.
async fn is_well(node: &Node) {
    eventually("the node warns of nothing", async || {
        node.client.node().await.unwrap().warnings.is_empty().then_some(())
    })
    .await;
}

#[test]
fn a_reply_a_reaction_and_a_command_answer_a_question() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = Node::with_account(dir.path(), &[], server.account(CIS, "CIS")).await;
        for way in 0..3 {
            let run = node.submit_as(followed(ASKS, &room)).await;
            let asks = |content: &Value| content["cis.dag.question"]["run"] == run.as_str();
            let (question, content) = server.event(&room, "m.room.message", asks).await;
            match way {
                0 => server.says(&room, ANN, ("m.room.message", reply(&question.id, "yes"))),
                1 => server.says(&room, ANN, reaction(&question.id, "1\u{fe0f}\u{20e3}")),
                _ => {
                    let item = content["cis.dag.question"]["item"].as_str().unwrap();
                    server.writes(&room, ANN, &format!("!cis answer {item} y"))
                }
            };
            node.reaches(&run, RunState::Succeeded).await;
            assert!(node.log_of(&run, "t").await.contains("got y"));
            let ended = |content: &Value| {
                content["m.new_content"]["cis.dag.question"]["run"] == run.as_str()
                    && content["m.new_content"]["body"].as_str().unwrap().contains("answered by")
            };
            server.event(&room, "m.room.message", ended).await;
        }
        node.stop().await;
    });
}

#[test]
fn a_question_whose_sending_was_answered_late_is_answered_in_the_room() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = Node::with_account(dir.path(), &[], server.account(CIS, "CIS")).await;
        let run = node.submit_as(followed(ASKS, &room)).await;
        server.event(&room, "m.room.message", |content| content["cis.dag.card"]["v"] == json!(1)).await;
        // The question arrives, and the node does not know it.
        server.lose_answer("send");
        let question = server.words(&room, "Deploy?").await;
        server.says(&room, ANN, ("m.room.message", reply(&question.id, "yes")));
        node.reaches(&run, RunState::Succeeded).await;
        server.words(&room, "answered by").await;
        let asked =
            server.events(&room).into_iter().filter(|event| event.content.get().contains("Reply with a"));
        assert_eq!(asked.count(), 1, "it was sent once");
        node.stop().await;
    });
}
