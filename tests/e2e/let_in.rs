//! Nodes that are let into a room by somebody who writes there.

use std::fs;

use serde_json::{Value, json};

use crate::federation::{did, execute, invited, listed};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, Installed, Running, eventually_within, installed};
use crate::heard::reply_to;
use crate::matrix::logged_in;
use crate::rooms::SLOW;
use crate::witness::witness;

const TEXT: &str =
    "version = 1\n[dag]\nid = \"one\"\n[[tasks]]\nid = \"a\"\ntty = false\nscript = \"true\"\n";

/// A node that owns a room, hears what is said there, and obeys this admin.
struct Owner {
    cis: Cis,
    room: String,
    code: String,
    _node: Running,
}

impl Owner {
    fn new(synapse: &Synapse, ann: &User, encrypted: &[&str]) -> Self {
        let (cis, _) = logged_in(synapse);
        let words = [&["matrix", "create-room", "builds", "--invite", &ann.id], encrypted].concat();
        let room = cis.json(&words)["room_id"].as_str().unwrap().to_owned();
        let code = cis.ok(["node", "invite", "--room", &room]).trim().to_owned();
        cis.ok(["node", "stop"]);
        let file = cis.home().join("config.toml");
        let config = fs::read_to_string(&file).unwrap_or_default();
        let more = format!("[matrix]\ntrust_in_rooms = true\n[matrix.roles]\nadmin = [{:?}]\n", ann.id);
        fs::write(file, format!("{config}\n{more}")).unwrap();
        let node = cis.spawn(["node", "start"]);
        eventually_within(SLOW, "the room is heard", || {
            (cis.status()["rooms"] == json!([room])).then_some(())
        });
        Self { cis, room, code, _node: node }
    }

    /// A node that asks to be let in.
    fn pending(&self, synapse: &Synapse, room: &Room<'_>, ann: &User) -> Cis {
        let worker = invited(synapse, room, ann, "builder");
        worker.ok(["node", "join", &self.code]);
        worker.ok(["node", "stop"]);
        worker.ok(["node", "start", "--detach", "--room", &self.room, "--role", "worker"]);
        eventually_within(SLOW, "it is pending", || {
            (listed(&self.cis, &worker)["state"] == "pending").then_some(())
        });
        worker
    }
}

#[test]
fn an_admin_lets_a_node_in_from_an_encrypted_room() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let owner = Owner::new(&synapse, &ann, &["--encrypted"]);
    let room = Room::joined(&ann, &owner.room);
    let worker = owner.pending(&synapse, &room, &ann);
    let modules = installed(Installed::JsSdk).ancestors().nth(2).unwrap().display().to_string();
    let worker_did = did(&worker);
    let nobody = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
    let says =
        ["!cis nodes", &format!("!cis trust {nobody}"), &format!("!cis trust {worker_did}"), "!cis nodes"];
    let given = json!({ "room": owner.room, "password": ann.password, "modules": modules, "says": says });
    let out = witness(Installed::JsSdk, "speaks.mjs", &ann, &given).wait_within(SLOW).expect(0);
    let heard: Vec<String> = serde_json::from_str(out.stdout.lines().last().unwrap()).unwrap();
    let [pending, none, done, after] = heard.as_slice() else { panic!("{heard:?}") };
    assert!(pending.contains("is pending") && pending.contains(&worker_did), "{pending}");
    assert!(none.contains("No such node"), "{none}");
    assert!(done.contains("may execute here from now on"), "{done}");
    assert!(!after.contains("pending"), "{after}");
    assert_eq!(listed(&owner.cis, &worker)["may"], json!(["execute"]));
    let run = execute(&owner.cis, &room, TEXT);
    owner.cis.wait_run(&run, "succeeded");
    assert_ne!(owner.cis.task(&run, "a")["node"], Value::Null);
}

/// There the homeserver could have written it.
#[test]
fn nobody_is_let_in_from_a_plain_room() {
    let synapse = Synapse::shared();
    let (ann, bob) = (synapse.register("ann"), synapse.register("bob"));
    let owner = Owner::new(&synapse, &ann, &[]);
    let room = Room::joined(&ann, &owner.room);
    let worker = owner.pending(&synapse, &room, &ann);
    let command = format!("!cis trust {}", did(&worker));
    let said = ann.say(&room.id, &command);
    let refused = reply_to(&room, &said);
    assert!(refused.contains("not encrypted") && refused.contains("cis identity trust"), "{refused}");
    ann.invite(&room.id, &bob.id);
    Room::joined(&bob, &room.id);
    let said = bob.say(&room.id, &command);
    assert!(reply_to(&room, &said).contains("no role"), "who is no admin");
    let nodes = reply_to(&room, &ann.say(&room.id, "!cis nodes"));
    assert!(nodes.contains("is pending"), "{nodes}");
    assert_eq!(listed(&owner.cis, &worker)["state"], "pending");
}
