//! A member of a room that says what it may not: a client of its own, with a key and a device, and no node behind it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cis_core::api::{Program, Refusal, Report, TaskSpec};
use cis_core::event::AttemptOutcome;
use cis_core::federation::control::{Control, ControlOutcome, ControlRequest, Verb};
use cis_core::federation::direct::{self, RemoteSpec, TaskPayload};
use cis_core::federation::envelope::{Draft, SIZE_MAX};
use cis_core::federation::protocol::message::{Grant, Granted, HeldRecord, HeldState, Message};
use cis_core::identity::NodeKey;
use cis_core::ids::{AttemptId, InputId, RunId, SessionId, TaskId};
use cis_matrix::{Client, Login, Proof, Secret};
use serde_json::Value;
use tokio::runtime::{EnterGuard, Runtime};

use crate::federation::{did, execute, lines_in, member, waiting_for};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, audit_of, eventually};
use crate::matrix::logged_in;
use crate::rooms::room_of;

struct Mallory {
    runtime: &'static Runtime,
    client: Client,
    user: User,
    room: String,
    key: NodeKey,
    place: Option<String>,
    _store: tempfile::TempDir,
    /// The client ends in its runtime, which ends with the test.
    _entered: EnterGuard<'static>,
}

impl Mallory {
    /// In the room, with a device that everybody can write to.
    fn new(synapse: &Synapse, room: &Room<'_>, ann: &User) -> Self {
        let runtime: &'static Runtime = Box::leak(Box::new(Runtime::new().unwrap()));
        let (store, user) = (tempfile::tempdir().unwrap(), synapse.register("mallory"));
        ann.invite(&room.id, &user.id);
        user.join(&room.id);
        let login = Login {
            homeserver: synapse.url().to_owned(),
            user: user.name.clone(),
            proof: Proof::Token(Secret::new(&user.token)),
            device_name: "mallory".to_owned(),
            store: store.path().join("store"),
        };
        let (client, _) = runtime.block_on(Client::login(login)).unwrap();
        let key = NodeKey::from_seed(&[66; 32]);
        let mut mallory = Self {
            runtime,
            client,
            user,
            room: room.id.clone(),
            key,
            place: None,
            _store: store,
            _entered: runtime.enter(),
        };
        mallory.hear();
        mallory
    }

    /// What came for its device.
    fn hear(&mut self) -> Vec<(String, String)> {
        let asked = self.client.next(self.place.as_deref(), Duration::from_millis(200));
        let batch = self.runtime.block_on(asked).unwrap();
        self.place = Some(batch.next_batch);
        batch.messages.iter().map(|said| (said.kind.clone(), said.content.get().to_owned())).collect()
    }

    fn send(&self, to: &Cis, draft: &Draft, key: &NodeKey) {
        let account = to.json(&["matrix", "whoami"]);
        let (user, device) = (account["user_id"].as_str().unwrap(), account["device_id"].as_str().unwrap());
        let content = draft.sign(key, SIZE_MAX).unwrap().content();
        let sent = self.client.send_to_device(user, device, &draft.type_name, &content);
        self.runtime.block_on(sent).unwrap();
    }

    fn say(&self, to: &Cis, message: &Message<TaskPayload>) {
        let draft = direct::draft(message, ulid::Ulid::new(), &self.room, &self.user.id);
        self.send(to, &draft, &self.key);
    }

    fn request(&self, to: &Cis, run: RunId, verb: Verb) -> InputId {
        let id = InputId(ulid::Ulid::new());
        let wanted = ControlRequest { id, run, verb, by: "uid:0".to_owned() };
        self.send(to, &Control::Request(wanted).draft(&self.room, &self.user.id), &self.key);
        id
    }

    /// What a node answers to a wish, in words.
    fn refusal(&mut self, id: InputId) -> String {
        eventually("an answer", || {
            let said = self.hear();
            let (_, content) = said.iter().find(|(kind, _)| kind == "cis.dag.run.control_response")?;
            let content: Value = serde_json::from_str(content).unwrap();
            let body = cis_core::federation::packed::unpack(content["body"].clone()).unwrap();
            let outcome: cis_core::federation::control::ControlResponse =
                serde_json::from_value(body).unwrap();
            let ControlOutcome::Refused { why } = outcome.outcome else { panic!("it was done: {content}") };
            (outcome.id == id).then_some(why.detail)
        })
    }
}

/// Leaves a file behind where it is run.
fn touches(file: &Path) -> RemoteSpec {
    let spec = TaskSpec {
        program: Program::Argv(vec!["touch".to_owned(), file.display().to_string()]),
        env: BTreeMap::new(),
        base_env: None,
        umask: None,
        cwd: String::new(),
        tty: false,
        secrets: BTreeMap::new(),
        run_secrets: Vec::new(),
        sensitive: Vec::new(),
        timeout_ms: None,
        idle_ms: None,
        grace_ms: 100,
        log_limit_bytes: 1000,
        outputs: BTreeMap::new(),
        artifacts: Vec::new(),
        cache: None,
        context: None,
        profile: None,
        inputs: BTreeMap::new(),
    };
    RemoteSpec { slots: 1, files: None, spec: Box::new(spec) }
}

#[test]
fn a_node_that_may_only_execute_changes_nothing_of_what_others_do() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let go = cis.work().join("go");
    let run = execute(&cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    eventually("its session works", || (lines_in(&go.with_extension("pids")) == 1).then_some(()));
    let mut mallory = Mallory::new(&synapse, &room, &ann);
    let who = mallory.key.did().to_string();
    let run_id: RunId = run.parse().unwrap();
    let attempt = |task: &str, number| AttemptId { run: run_id, task: TaskId::new(task).unwrap(), number };
    let granted = Granted { attempt: attempt("b", 1), fence: cis_core::fence::next(0, 0) };
    let newer = Granted { attempt: attempt("b", 2), fence: cis_core::fence::next(0, 7) };
    let touched = cis.work().join("touched");
    let session = SessionId(ulid::Ulid::new());
    let grant = |granted: &Granted| Message::Grant {
        epoch: 7,
        nonce: u64::MAX,
        lease_ms: 1_000_000,
        grant: Grant { granted: granted.clone(), session, spec: touches(&touched) },
    };
    let report = Report::bare(AttemptOutcome::Succeeded, Some(0), 1);
    let held = HeldRecord { granted: newer.clone(), session, state: HeldState::Working };
    let reason = Refusal::Policy { detail: "no".to_owned() };
    let as_coordinator = [
        grant(&newer),
        grant(&granted),
        Message::Recover { run: run_id, epoch: 7 },
        Message::Renew { run: run_id, epoch: 7, nonce: 1, lease_ms: 1, grants: vec![granted.clone()] },
        Message::Cancel { epoch: 7, granted: granted.clone(), grace_ms: 0, keep: false },
        Message::Forget { epoch: 7, granted: granted.clone() },
        Message::Alive {},
    ];
    let as_worker = [
        Message::Result { granted: granted.clone(), report: report.clone() },
        Message::Result { granted: newer.clone(), report },
        Message::Claimed { granted: newer },
        Message::Refused { granted: granted.clone(), reason },
        Message::Unknown { granted },
        Message::Holding { run: run_id, epoch: 0, held: vec![held] },
    ];
    // Nobody knows its key yet: nothing of this is even answered.
    for message in as_coordinator.iter().chain(&as_worker) {
        mallory.say(&worker, message);
        mallory.say(&cis, message);
    }
    mallory.request(&cis, run_id, Verb::Cancel {});
    assert_eq!(mallory.hear(), []);
    // It may execute from now on, and goes on as before.
    cis.ok(["identity", "trust", &who, "--room", &room.id, "--may", "execute", "--name", "mallory"]);
    eventually("the worker knows it", || worker.ok(["node", "list", "--json"]).contains(&who).then_some(()));
    for message in as_coordinator.iter().chain(&as_worker) {
        mallory.say(&worker, message);
        mallory.say(&cis, message);
    }
    let wish = mallory.request(&cis, run_id, Verb::Cancel {});
    let refusal = mallory.refusal(wish);
    assert!(refusal.contains("may not control runs"), "{refusal}");
    let denied = |cis: &Cis, action: &str| {
        let of = |event: &&(String, Value, Value)| {
            event.0 == "cis.dag.node.denied" && event.1["name"] == who.as_str()
        };
        let events = audit_of(cis);
        let found = events.iter().filter(of).map(|event| event.2["action"].to_string());
        found.filter(|said| said.contains(action)).count()
    };
    let lines =
        [(&worker, "give tasks to nodes"), (&cis, "say something about tasks"), (&cis, "control runs")];
    for (node, action) in lines {
        eventually("it is in the audit", || (denied(node, action) > 0).then_some(()));
    }
    // What was at work goes on, and counts once.
    assert_eq!(lines_in(&go.with_extension("pids")), 1);
    assert_eq!(cis.task(&run, "b")["state"], "running");
    std::fs::write(&go, "").unwrap();
    cis.wait_run(&run, "succeeded");
    assert_eq!((&cis.task(&run, "b")["attempts"], lines_in(&go.with_extension("pids"))), (&1.into(), 1));
    assert!(!touched.exists(), "somebody worked for it");
    for (node, action) in lines {
        assert_eq!(denied(node, action), 1, "a line, not one for each message: {action}");
    }
    assert_eq!(cis.show(&run)["run"]["node"], did(&cis));
}
