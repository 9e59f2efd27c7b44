//! Rights of the nodes of a room: who may change them through the API, and what a limit to tags does.

use serde_json::{Value, json};

use crate::federation::{did, execute, invited, listed, waiting_for};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, Remote, eventually, eventually_within};
use crate::matrix::log_in;
use crate::rooms::{SLOW, room_of};

/// A node that joined the room of its owner and works there, without rights yet.
fn pending(synapse: &Synapse, room: &Room<'_>, ann: &User, owner: &Cis, config: &str) -> Cis {
    let code = owner.ok(["node", "invite", "--room", &room.id]);
    let node = invited(synapse, room, ann, "builder");
    node.ok(["node", "join", code.trim()]);
    node.configure(config);
    node.ok(["node", "stop"]);
    node.ok(["node", "start", "--detach", "--room", &room.id, "--role", "worker"]);
    eventually_within(SLOW, "it is pending", || (listed(owner, &node)["state"] == "pending").then_some(()));
    node
}

/// Says what a node may do, through the API over TCP; gives the status and the answer.
fn admit(remote: &Remote, token: &str, body: &Value) -> (String, Value) {
    let (host, port) = remote.address();
    let body = body.to_string();
    let headers = [
        format!("host: {host}:{port}"),
        format!("authorization: Bearer {token}"),
        "content-type: application/json".to_owned(),
        format!("content-length: {}", body.len()),
    ];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let (head, answer) = remote.exchange_body("POST /v1/nodes/admit", &headers, body.as_bytes());
    let status = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
    (status, serde_json::from_str(&answer).unwrap())
}

#[test]
fn admins_alone_change_rights_of_nodes_through_the_api_and_an_event_says_who() {
    let synapse = Synapse::shared();
    let remote = Remote::start(&[]);
    let cis = &remote.node;
    log_in(cis, &synapse, &synapse.register("cis"));
    let ann = synapse.register("ann");
    let room = room_of(cis, &ann);
    let lends = "[federation]\nagents = [\"painter\"]\n[agents.painter]\ncommand = [\"cat\"]\n";
    let worker = pending(&synapse, &room, &ann, cis, lends);
    assert_eq!((&listed(cis, cis)["owner"], &listed(cis, &worker)["owner"]), (&json!(true), &Value::Null));

    let rights = |may: &[&str]| json!({ "room": room.id, "did": did(&worker), "may": may });
    for role in ["viewer", "operator"] {
        let (_, token) = remote.token(role, role, &[]);
        let (status, answer) = admit(&remote, &token, &rights(&["execute"]));
        assert_eq!(status, "403", "{answer}");
        assert!(
            answer["detail"].as_str().unwrap().contains("may not change whom this node trusts"),
            "{answer}"
        );
    }
    assert_eq!(listed(cis, &worker)["state"], "pending");
    let events = |kind: &str| {
        let mut events = remote.audit();
        events.retain(|event| event.0 == kind);
        events
    };
    let denied: Vec<Value> =
        events("cis.dag.node.denied").into_iter().map(|event| event.1["name"].clone()).collect();
    assert_eq!(denied, ["token:viewer", "token:operator"]);

    let (_, token) = remote.token("admin", "root", &[]);
    let (status, answer) = admit(&remote, &token, &rights(&["execute", "submit"]));
    assert_eq!(status, "200", "{answer}");
    let of = |did: &str| answer["items"].as_array().unwrap().iter().find(|node| node["did"] == did).cloned();
    assert_eq!(of(&did(&worker)).unwrap()["may"], json!(["submit", "execute"]), "{answer}");
    let recorded = |may: Value| json!({ "room": room.id, "node": did(&worker), "may": may });
    let (_, actor, body) = events("cis.dag.node.rights").pop().unwrap();
    assert_eq!((&actor["name"], &body), (&json!("token:root"), &recorded(json!(["submit", "execute"]))));
    // A node that does not own the room records nothing: it was never asked to sign.
    worker.run(["identity", "trust", &did(cis), "--room", &room.id]).expect(3);
    let of_worker = crate::harness::audit_of(&worker);
    assert!(of_worker.iter().all(|event| event.0 != "cis.dag.node.rights"), "{of_worker:?}");

    // The listing says what the node offers, and what it works on.
    let go = cis.work().join("go");
    let run = execute(cis, &room, &waiting_for(&go));
    cis.wait_task(&run, "b", "running");
    let node = eventually("its agents are known", || {
        Some(listed(cis, &worker)).filter(|node| node["agents"] == json!(["painter"]))
    });
    assert_eq!(node["tasks"], json!([{ "run": run, "task": "b" }]));
    eventually_within(SLOW, "the worker itself lists it", || {
        (listed(&worker, &worker)["tasks"] == json!([{ "run": run, "task": "b" }])).then_some(())
    });
    let table = cis.ok(["node", "list"]);
    assert!(table.contains("1: b") && table.contains("painter") && table.contains(&did(&worker)), "{table}");
    let mut narrow = cis.terminal(&["node", "list", "--room", &room.id]);
    assert_eq!(narrow.wait_exit(), 0);
    let screen = narrow.screen();
    let key = did(&worker);
    assert!(screen.contains("1: b") && screen.contains("painter"), "{screen}");
    assert!(screen.contains(&format!("…{}", &key[key.len() - 8..])), "the key is shortened: {screen}");
    let shown = cis.ok(["node", "show", &did(&worker)]);
    assert!(shown.contains("painter") && shown.contains("1: b of run"), "{shown}");
    std::fs::write(&go, "").unwrap();
    cis.wait_run(&run, "succeeded");

    let (status, answer) = admit(&remote, &token, &rights(&[]));
    assert_eq!(status, "200", "{answer}");
    assert_eq!(listed(cis, &worker)["may"], json!([]));
    assert_eq!(events("cis.dag.node.rights").pop().unwrap().2, recorded(json!([])));
    let waits = execute(cis, &room, &waiting_for(&go));
    let why = cis.run(["dag", "why", "a", "--run", &waits]).expect(0).stdout;
    assert!(why.contains("No node of the room offers to execute tasks"), "{why}");
    assert_eq!(cis.task(&waits, "a")["attempts"], 0);
    let (status, answer) = admit(&remote, &token, &rights(&["execute"]));
    assert_eq!(status, "200", "{answer}");
    cis.wait_run(&waits, "succeeded");
}

/// `sealed` has a secret: tags that the node only gives itself are not enough for it.
const TAGGED: &str = r#"
version = 1
[dag]
id = "tagged"
[dag.defaults]
tty = false
[[tasks]]
id = "plain"
script = "true"
[[tasks]]
id = "gpu"
tags = ["gpu"]
script = "true"
[[tasks]]
id = "sealed"
tags = ["gpu"]
secrets = { TOKEN = { env = "TEST_SECRET" } }
script = 'test "$TOKEN" = tagged-secret-17'
"#;

#[test]
fn a_node_gets_tasks_with_the_tags_that_an_owner_gave_it() {
    let synapse = Synapse::shared();
    let cis = Cis::new().env("TEST_SECRET", "tagged-secret-17");
    log_in(&cis, &synapse, &synapse.register("cis"));
    let ann = synapse.register("ann");
    let room = room_of(&cis, &ann);
    let worker = pending(&synapse, &room, &ann, &cis, "[federation]\ntags = [\"gpu\", \"linux\"]\n");
    let trust = |tags: &[&str]| {
        let worker = did(&worker);
        let words = ["identity", "trust", &worker, "--room", &room.id, "--name", "builder"];
        cis.ok(words.iter().chain(tags));
    };
    let why_of = |run: &str, task: &str, words: &str| {
        eventually_within(SLOW, &format!("`why` of {task} says {words}"), || {
            cis.ok(["dag", "why", task, "--run", run]).contains(words).then_some(())
        });
    };

    // It announces `gpu`, and an owner gave it another tag.
    trust(&["--tags", "linux"]);
    assert_eq!(listed(&cis, &worker)["only_tags"], json!(["linux"]));
    let limited = execute(&cis, &room, TAGGED);
    for task in ["plain", "gpu", "sealed"] {
        why_of(&limited, task, "gets only tasks that ask for one of these tags: linux");
        assert_eq!(cis.task(&limited, task)["attempts"], 0);
    }
    let shown = cis.ok(["node", "show", "builder"]);
    assert!(shown.contains("only tasks that ask for a tag of: linux"), "{shown}");

    // Without a limit its own word is enough for a task, but not for a secret.
    trust(&[]);
    cis.wait_task(&limited, "gpu", "succeeded");
    cis.wait_task(&limited, "plain", "succeeded");
    why_of(&limited, "sealed", "gets no secrets");
    assert_eq!(cis.task(&limited, "sealed")["attempts"], 0);

    // An owner gave it `gpu`: it gets all tasks that ask for that, and no others.
    trust(&["--tags", "gpu"]);
    cis.wait_run(&limited, "succeeded");
    let run = execute(&cis, &room, TAGGED);
    cis.wait_task(&run, "gpu", "succeeded");
    cis.wait_task(&run, "sealed", "succeeded");
    why_of(&run, "plain", "gets only tasks that ask for one of these tags: gpu");
    assert_eq!(cis.task(&run, "plain")["attempts"], 0);
    for task in ["gpu", "sealed"] {
        assert_eq!(cis.task(&run, task)["node"]["did"], did(&worker), "{task}");
    }
}
