//! Runs that rooms follow, and people who answer there.

use cis_core::api::CreateRun;
use cis_core::event::{ExecutionMode, RunState};
use serde_json::json;

use crate::harness::{Node, on_a_runtime, request};
use crate::homeserver::{Server, reaction, reply};

pub(crate) const CIS: &str = "@cis:tests";
pub(crate) const ANN: &str = "@ann:tests";

/// Asks for permission, and prints what it was answered.
pub(crate) const ASKS: &str = "version = 1\n[dag]\nid = \"asks\"\n[[tasks]]\nid = \"t\"\nscript = 'echo \"Deploy? [y/N]\"; read a; echo got $a'\n";

/// A run of this text that a room follows.
pub(crate) fn followed(text: &str, room: &str) -> CreateRun {
    CreateRun { mode: ExecutionMode::Hybrid, room: Some(room.to_owned()), ..request(text) }
}

/// A homeserver, and a room on it that Ann has made for this node's account.
pub(crate) fn room_of_ann() -> (Server, String) {
    let server = Server::default();
    let room = server.room("builds", ANN, &[CIS]);
    (server, room)
}

#[test]
fn a_reply_a_reaction_and_a_command_answer_a_question() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = Node::with_account(dir.path(), &[], server.account(CIS, "CIS")).await;
        for way in 0..3 {
            let run = node.submit_as(followed(ASKS, &room)).await;
            let asks = |content: &serde_json::Value| content["cis.dag.question"]["run"] == run.as_str();
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
            let ended = |content: &serde_json::Value| {
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
