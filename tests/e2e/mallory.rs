//! A client in a room with a key and a device, and no node behind it: what tests let somebody say who may not say it, or says it in
//! another way than nodes do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cis_core::api::{Program, Report, TaskSpec};
use cis_core::event::{AttemptOutcome, Uploaded};
use cis_core::federation::control::{Control, ControlOutcome, ControlRequest, ControlResponse, Verb};
use cis_core::federation::direct::{self, RemoteSpec, TaskPayload};
use cis_core::federation::envelope::{Draft, SIZE_MAX};
use cis_core::federation::packed::unpack;
use cis_core::federation::protocol::message::{Grant, Granted, Message};
use cis_core::identity::NodeKey;
use cis_core::ids::{AttemptId, InputId, RunId, SessionId, TaskId};
use cis_core::scheduler::placement::NodeOffer;
use cis_matrix::{Client, Login, Media, Proof, Secret};
use serde_json::{Value, json};
use tokio::runtime::{EnterGuard, Runtime};

use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually};

pub struct Mallory {
    runtime: &'static Runtime,
    pub client: Client,
    pub user: User,
    pub room: String,
    pub key: NodeKey,
    pub nonce: u64,
    place: Option<String>,
    _store: tempfile::TempDir,
    /// The client ends in its runtime, which ends with the test.
    _entered: EnterGuard<'static>,
}

impl Mallory {
    /// In the room, with a device that everybody can write to.
    pub fn new(synapse: &Synapse, room: &Room<'_>, ann: &User) -> Self {
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
            nonce: 0,
            place: None,
            _store: store,
            _entered: runtime.enter(),
        };
        mallory.hear();
        mallory
    }

    /// The same, as a node to which an owner of the room gives rights.
    pub fn admitted(synapse: &Synapse, room: &Room<'_>, ann: &User, owner: &Cis, rights: &[&str]) -> Self {
        let mallory = Self::new(synapse, room, ann);
        let who = mallory.key.did().to_string();
        owner.ok([&["identity", "trust", &who, "--room", &room.id, "--may"], rights].concat());
        mallory
    }

    /// What came for its device.
    pub fn hear(&mut self) -> Vec<(String, String)> {
        let asked = self.client.next(self.place.as_deref(), Duration::from_millis(200));
        let batch = self.runtime.block_on(asked).unwrap();
        self.place = Some(batch.next_batch);
        batch.messages.iter().map(|said| (said.kind.clone(), said.content.get().to_owned())).collect()
    }

    pub fn send(&self, to: &Cis, draft: &Draft, key: &NodeKey) {
        let account = to.json(&["matrix", "whoami"]);
        let (user, device) = (account["user_id"].as_str().unwrap(), account["device_id"].as_str().unwrap());
        let content = draft.sign(key, SIZE_MAX).unwrap().content();
        // A device that is new has no keys yet.
        eventually("the device is known", || {
            let sent = self.client.send_to_device(user, device, &draft.type_name, &content);
            self.runtime.block_on(sent).ok()
        });
    }

    pub fn say(&self, to: &Cis, message: &Message<TaskPayload>) {
        let draft = direct::draft(message, ulid::Ulid::new(), &self.room, &self.user.id);
        self.send(to, &draft, &self.key);
    }

    pub fn request(&self, to: &Cis, run: RunId, verb: Verb) -> InputId {
        let id = InputId(ulid::Ulid::new());
        self.request_as(to, id, run, verb);
        id
    }

    /// The same under an id of its own choice.
    pub fn request_as(&self, to: &Cis, id: InputId, run: RunId, verb: Verb) {
        let wanted = ControlRequest { id, run, verb, by: "uid:0".to_owned() };
        self.send(to, &Control::Request(wanted).draft(&self.room, &self.user.id), &self.key);
    }

    pub fn upload(&self, bytes: Vec<u8>) -> Value {
        let Media::Plain(url) = self.runtime.block_on(self.client.upload(&self.room, bytes)).unwrap() else {
            panic!("the room is not encrypted")
        };
        json!({ "url": url })
    }

    /// What nodes said to it.
    pub fn bodies(&mut self) -> Vec<Value> {
        let said = self.hear().into_iter().map(|(_, content)| {
            let content: Value = serde_json::from_str(&content).unwrap();
            unpack(content["body"].clone()).unwrap()
        });
        said.collect()
    }

    /// Leases count from a word of the worker.
    pub fn waits_for_heartbeat(&mut self, worker: &Cis) {
        self.say(worker, &Message::Alive {});
        self.nonce = eventually("a heartbeat", || {
            self.bodies().iter().find(|body| body["kind"] == "heartbeat")?["nonce"].as_u64()
        });
    }

    /// Gives a task with these files to a worker; what that says of its end.
    pub fn end_of(&mut self, worker: &Cis, files: Uploaded, touched: &Path) -> String {
        let run = RunId(ulid::Ulid::new());
        let attempt = AttemptId { run, task: TaskId::new("a").unwrap(), number: 1 };
        let granted = Granted { attempt, fence: cis_core::fence::next(0, 0) };
        let spec = RemoteSpec { files: Some(files), ..touches(touched) };
        let session = SessionId(ulid::Ulid::new());
        let grant = Grant { granted: granted.clone(), session, spec };
        self.say(worker, &Message::Grant { epoch: 0, nonce: self.nonce, lease_ms: 60_000, grant });
        let said = eventually("a result", || {
            let results = self.bodies().into_iter().filter(|body| body["kind"] == "result");
            results.map(|body| body.to_string()).find(|said| said.contains(&run.to_string()))
        });
        self.say(worker, &Message::Forget { epoch: 0, granted });
        said
    }

    /// Offers to work until it is given a task.
    pub fn is_given(&mut self, by: &Cis) -> Granted {
        let status = NodeOffer { name: "mallory".to_owned(), slots: 1, files: true, ..NodeOffer::default() };
        self.is_given_for(by, &status)
    }

    /// The same with an offer of its own choice.
    pub fn is_given_for(&mut self, by: &Cis, status: &NodeOffer) -> Granted {
        eventually("a grant", || {
            self.nonce += 1;
            self.say(by, &Message::Heartbeat { nonce: self.nonce, status: status.clone() });
            let grant = self.bodies().into_iter().find(|body| body["kind"] == "grant")?;
            let grant: Grant<RemoteSpec> = serde_json::from_value(grant["grant"].clone()).unwrap();
            Some(grant.granted)
        })
    }

    /// Ends a task with files.
    pub fn hands_in(&self, to: &Cis, granted: Granted, (uploaded, bytes): (Uploaded, Vec<u8>)) {
        let files = Some(Uploaded { media: self.upload(bytes), ..uploaded });
        let report = Report { files, ..Report::bare(AttemptOutcome::Succeeded, Some(0), 1) };
        self.say(to, &Message::Claimed { granted: granted.clone() });
        self.say(to, &Message::Result { granted, report });
    }

    /// What a node answers to a request.
    pub fn outcome(&mut self, id: InputId) -> ControlOutcome {
        eventually("an answer", || self.outcome_of(id))
    }

    /// Sends a request again until it is answered: a node that just began hears nothing yet.
    pub fn outcome_of_copies(&mut self, to: &Cis, id: InputId, run: RunId, verb: &Verb) -> ControlOutcome {
        eventually("an answer", || {
            self.request_as(to, id, run, verb.clone());
            self.outcome_of(id)
        })
    }

    fn outcome_of(&mut self, id: InputId) -> Option<ControlOutcome> {
        let responses = self.hear().into_iter().filter(|(kind, _)| kind == "cis.dag.run.control_response");
        let mut responses = responses.map(|(_, content)| {
            let content: Value = serde_json::from_str(&content).unwrap();
            serde_json::from_value::<ControlResponse>(unpack(content["body"].clone()).unwrap()).unwrap()
        });
        responses.find(|response| response.id == id).map(|response| response.outcome)
    }

    /// Why a node refuses a request.
    pub fn refusal(&mut self, id: InputId) -> String {
        why_refused(self.outcome(id))
    }
}

pub fn why_refused(outcome: ControlOutcome) -> String {
    match outcome {
        ControlOutcome::Refused { why } => why.detail,
        done => panic!("it was done: {done:?}"),
    }
}

/// Leaves a file behind where it is run.
pub fn touches(file: &Path) -> RemoteSpec {
    let spec = TaskSpec {
        program: Program::Argv(vec!["touch".to_owned(), file.display().to_string()]),
        env: BTreeMap::new(),
        base_env: None,
        umask: None,
        cwd: String::new(),
        tty: false,
        keeps_log: false,
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
    RemoteSpec { slots: 1, files: None, tags: None, spec: Box::new(spec), sealed: None, commit: false }
}
