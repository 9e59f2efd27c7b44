//! Helpers of tests of what a room is told: a place with a room and its tasks, what stands in the room, files of runs.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use cis_core::api::{Answer, AnswerWith, AuditedRun, CreateRun, HereAs, InboxItem, SetMode};
use cis_core::event::ExecutionMode;
use cis_core::ids::InputId;
use cis_matrix::RoomEvent;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ANN, BOB, CIS, content, followed, generous};
use crate::harness::{Node, eventually};
use crate::homeserver::Server;

/// Nothing but a question is told within this interval.
pub(super) const SLOW: &str = "dag.matrix.broadcast_interval_ms=2000";

pub(super) const FAST: &str = "dag.matrix.broadcast_interval_ms=20";

/// A homeserver, a room on it, and where a node of the room and its tasks live.
pub(super) struct Place {
    pub(super) server: Server,
    pub(super) room: String,
    pub(super) scratch: TempDir,
}

impl Place {
    /// A node there whose account may send as much as it wants.
    pub(super) fn generous() -> Self {
        let place = Self::usual();
        generous(&place.home(), CIS);
        place
    }

    /// A node there whose account may send as much as homeservers let it.
    pub(super) fn usual() -> Self {
        let server = Server::default();
        let room = server.room("builds", ANN, &[CIS, BOB]);
        let place = Self { server, room, scratch: tempfile::tempdir().unwrap() };
        fs::DirBuilder::new().mode(0o700).create(place.home()).unwrap();
        place
    }

    pub(super) fn home(&self) -> PathBuf {
        self.scratch.path().join("home")
    }

    pub(super) async fn node(&self, flags: &[&str]) -> Node {
        Node::with_account(&self.home(), flags, self.server.account(CIS, "CIS")).await
    }

    /// A run of this text that the room follows, in the directory of the tasks.
    pub(super) fn run(&self, text: &str) -> CreateRun {
        let workdir = self.scratch.path().to_str().unwrap().to_owned();
        CreateRun { workdir, ..followed(text, &self.room) }
    }

    /// Opens a gate.
    pub(super) fn open(&self, gate: &str) {
        fs::write(self.scratch.path().join(gate), "").unwrap();
    }

    /// Waits until the card of a run is in this state; gives its event, and what it says.
    pub(super) async fn card(&self, run: &str, state: &str) -> (String, Value) {
        card_in(&self.server, &self.room, run, state).await
    }

    /// All that the room says now with this payload about a run.
    pub(super) fn said(&self, payload: &str, run: &str) -> Vec<(RoomEvent, Value)> {
        said_in(&self.server, &self.room, payload, run)
    }

    /// The only question of a run with these words, once it is asked.
    pub(super) async fn asked(&self, run: &str, words: &str) -> RoomEvent {
        asked_in(&self.server, &self.room, run, words).await
    }

    /// Waits until what an event says now contains these words.
    pub(super) async fn says(&self, event: &RoomEvent, words: &str) {
        self.server
            .until(&self.room, words, |all| {
                now_of(all, event)["body"].as_str().unwrap().contains(words).then_some(())
            })
            .await;
    }

    /// Messages in the thread of an event whose text begins so, once there is one.
    pub(super) async fn in_thread(&self, root: &str, begins: &str) -> Vec<Value> {
        self.server
            .until(&self.room, begins, |_| {
                let found = self.thread_now(root, begins);
                (!found.is_empty()).then_some(found)
            })
            .await
    }

    /// Messages in the thread of an event whose text begins so.
    pub(super) fn thread_now(&self, root: &str, begins: &str) -> Vec<Value> {
        let is_there = |content: &Value| {
            let relation = &content["m.relates_to"];
            (&relation["rel_type"], &relation["event_id"]) == (&json!("m.thread"), &json!(root))
                && content["body"].as_str().unwrap().starts_with(begins)
        };
        self.server.events(&self.room).iter().map(content).filter(is_there).collect()
    }

    /// What the room has of a run's journal, of which it has all.
    pub(super) async fn whole(&self, node: &Node, run: &str) -> AuditedRun {
        whole_in(node, &self.server, &self.room, run).await
    }
}

/// What an event says after its edits.
pub(super) fn now_of(all: &[RoomEvent], event: &RoomEvent) -> Value {
    let of = |edit: &Value| {
        let relation = &edit["m.relates_to"];
        relation["rel_type"] == "m.replace" && relation["event_id"] == event.id.as_str()
    };
    let mut edits = all.iter().filter(|edit| edit.sender == event.sender).map(content);
    match edits.rfind(of) {
        Some(edit) => edit["m.new_content"].clone(),
        None => content(event),
    }
}

/// Events of a room that carry this payload about a run, and what they say after their edits.
pub(super) fn said_in(server: &Server, room: &str, payload: &str, run: &str) -> Vec<(RoomEvent, Value)> {
    let all = server.events(room);
    let said = all.iter().filter(|event| content(event)[payload]["run"] == run);
    said.map(|event| (event.clone(), now_of(&all, event))).collect()
}

pub(super) async fn card_in(server: &Server, room: &str, run: &str, state: &str) -> (String, Value) {
    server
        .until(room, &format!("a card that says {state}"), |_| {
            let cards = said_in(server, room, "cis.dag.card", run);
            assert!(cards.len() <= 1, "{cards:?}");
            let (event, now) = cards.into_iter().next()?;
            (now["cis.dag.card"]["state"] == state).then_some((event.id, now))
        })
        .await
}

pub(super) async fn asked_in(server: &Server, room: &str, run: &str, words: &str) -> RoomEvent {
    server
        .until(room, words, |_| {
            let asked = said_in(server, room, "cis.dag.question", run).into_iter();
            asked.map(|(event, _)| event).find(|event| {
                let content = content(event);
                content["body"].as_str().unwrap().contains(words)
            })
        })
        .await
}

pub(super) async fn whole_in(node: &Node, server: &Server, room: &str, run: &str) -> AuditedRun {
    all_is_told(node).await;
    let report = node.client.audit_matrix_room(room).await.unwrap();
    let audited = report.runs.iter().find(|of| of.run.to_string() == run);
    let audited = audited.unwrap_or_else(|| panic!("{report:?}")).clone();
    assert!(report.is_whole() && audited.here == Some(HereAs::Same), "{report:?}");
    // The same without the code that audits: numbers without gaps, and each entry once.
    let mut next = None;
    for event in server.events(room) {
        let envelope = content(&event);
        if event.kind != "cis.dag.run.journal" || envelope["run"] != run {
            continue;
        }
        let body = &envelope["body"];
        let first = body["first"].as_u64().unwrap();
        assert_eq!(*next.get_or_insert(first), first, "entries in their order");
        let count = body["count"].as_u64().or(body["entries"].as_array().map(|all| all.len() as u64));
        next = Some(first + count.unwrap());
    }
    assert_eq!(next, Some(audited.entries + 1));
    audited
}

/// Waits until nothing waits to be sent.
pub(super) async fn all_is_told(node: &Node) {
    eventually("all is told", async || (node.client.node().await.unwrap().outbox == 0).then_some(())).await;
}

pub(super) fn answer(option: &str) -> Answer {
    let with = AnswerWith::Option { option: option.to_owned() };
    Answer { with, reason: None, hash: None, again: None, input: InputId::NONE }
}

pub(super) async fn give(node: &Node, item: &InboxItem, option: &str) {
    node.client.answer(&item.id.to_string(), &answer(option)).await.unwrap();
}

/// A file with these tasks, which have no terminal.
pub(super) fn dag(tasks: &str) -> String {
    format!("version = 1\n[dag]\nid = \"ship\"\nmax_parallel = 8\n[dag.defaults]\ntty = false\n{tasks}")
}

/// A task that ends when its gate opens.
pub(super) fn gated(id: &str, needs: &str) -> String {
    let script = format!("until [ -e {id} ]; do sleep 0.05; done");
    format!("[[tasks]]\nid = \"{id}\"\nneeds = [{needs}]\nscript = '{script}'\n")
}

/// Tasks one after the other, each with its gate.
pub(super) fn chain(count: usize) -> String {
    let one =
        |n: usize| gated(&format!("t{n}"), &if n > 0 { format!("\"t{}\"", n - 1) } else { String::new() });
    dag(&(0..count).map(one).collect::<String>())
}

/// A task that fails once it is let.
pub(super) const FAILS: &str = "[[tasks]]\nid = \"lint\"\nscript = 'until [ -e lint ]; do sleep 0.05; done; echo 3 lint errors; test -e fixed'\n";

/// A task that needs an approval.
pub(super) const APPROVED: &str =
    "[[tasks]]\nid = \"deploy\"\ncommand = [\"true\"]\napproval = { prompt = \"Deploy now?\" }\n";

pub(super) fn hybrid(room: &str) -> SetMode {
    SetMode { mode: ExecutionMode::Hybrid, room: Some(room.to_owned()) }
}

pub(super) const LOCAL: SetMode = SetMode { mode: ExecutionMode::Local, room: None };

/// A text whose beginning needs more than one envelope.
pub(super) fn long_text() -> String {
    let words: String = (0..9_000).map(|n| format!("# line {n}\n")).collect();
    format!("{words}{}", chain(2))
}
