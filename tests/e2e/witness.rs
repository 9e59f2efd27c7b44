//! Rooms as others read them: clients that are not ours decrypt and check what the node says, with other implementations of
//! Ed25519, by what the reference says alone (`witness/`).

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::room::{Room, own_state};
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Installed, Running, installed};
use crate::matrix::logged_in;
use crate::rooms::{SLOW, all_is_told, asked, card_says, hybrid, journal_is_whole, room_of, waits};

const TEXT: &str = r#"
version = 1
[dag]
id = "ship"
[[tasks]]
id = "build"
tty = false
script = "echo built"
[[tasks]]
id = "lint"
tty = false
script = "echo 3 lint errors; exit 3"
[[tasks]]
id = "paint"
tty = false
script = '"$E2E_CIS" task ask "Which colour?" --option red --option blue > "$E2E_WORK/said"'
[[tasks]]
id = "deploy"
tty = false
command = ["true"]
approval = { prompt = "Deploy äöü 😀?" }
"#;

/// Starts a witness of `witness/` who reads as this user.
pub fn witness(agent: Installed, script: &str, user: &User, given: &Value) -> Running {
    let mut given = given.clone();
    for (name, value) in
        [("url", user.url()), ("user", &user.id), ("device", &user.device), ("token", &user.token)]
    {
        given[name] = value.into();
    }
    let mut command = script_of(agent, script);
    command.env("WITNESS", given.to_string());
    Running::start(command)
}

/// The command of a script of `witness/`, without arguments.
pub fn script_of(agent: Installed, script: &str) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/witness");
    let mut command = Command::new(installed(agent));
    command.arg(folder.join(script)).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

/// What a room shows of [`TEXT`], to whomever reads it.
#[track_caller]
fn tells_all(said: &Value, run: &str, did: &Value) {
    assert_eq!((&said["run"], &said["state"], &said["dids"]), (&run.into(), &"failed".into(), &json!([did])));
    let has = |value: &Value, text: &str| {
        let list = value.as_array().unwrap();
        list.iter().filter(|one| one.as_str().unwrap().contains(text)).count()
    };
    assert!(said["card"].as_str().unwrap().contains("lint: exit code 3"), "{said}");
    assert_eq!(
        (has(&said["thread"], "3 lint errors"), has(&said["rings"], "✗ ship failed")),
        (1, 1),
        "{said}"
    );
    announces_all(&said["announced"]);
    assert_eq!(said["questions"].as_array().map(Vec::len), Some(2), "{said}");
    assert_eq!((has(&said["questions"], "answered by"), has(&said["questions"], "blue")), (2, 1), "{said}");
    assert_eq!(said["entries"][0], "cis.dag.run.created");
    assert!(has(&said["entries"], "cis.dag.run.failed") == 1, "{said}");
    assert!(has(&said["entries"], "cis.dag.session.answered") == 1, "{said}");
    assert!(has(&said["entries"], "cis.dag.task.result") >= 4, "{said}");
    assert!(said["envelopes"].as_u64() >= Some(1), "{said}");
}

/// What programs look for by its type alone, and find of [`TEXT`].
const ANNOUNCED: &[&str] = &["cis.dag.run.created", "cis.dag.run.failed", "cis.dag.session.blocked"];

/// The bodies of announcements of [`TEXT`], by type.
#[track_caller]
fn announces_all(found: &Value) {
    let only = |kind: &str| {
        let [body] = found[kind].as_array().unwrap().as_slice() else { panic!("one {kind}: {found}") };
        assert_eq!(body["dag"], "ship", "{body}");
        body
    };
    assert_eq!(only("cis.dag.run.created")["tasks"], 4);
    let failed = only("cis.dag.run.failed");
    assert!(failed["state"] == "failed" && failed["detail"].as_str().unwrap().contains("lint"), "{failed}");
    let blocked = only("cis.dag.session.blocked");
    assert_eq!((&blocked["task"], &blocked["question"]), (&json!("paint"), &json!("Which colour?")));
    assert_eq!(blocked["options"][1]["label"], "blue", "{blocked}");
}

#[test]
fn another_client_reads_a_plain_room_and_refuses_what_was_forged() {
    let synapse = Synapse::shared();
    let ((cis, account), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let run = hybrid(&cis, &room, TEXT);
    let question = asked(&room, &run, "Which colour?");
    ann.reply(&room.id, question["event_id"].as_str().unwrap(), "blue");
    let question = asked(&room, &run, "Deploy");
    ann.reply(&room.id, question["event_id"].as_str().unwrap(), "approve");
    cis.wait_run(&run, "failed");
    assert_eq!(cis.read("said").trim(), "blue");
    card_says(&room, &run, "failed");
    journal_is_whole(&cis, &room, &run, TEXT);
    all_is_told(&cis);
    let reads = |room: &str| {
        let given = json!({ "room": room, "types": ANNOUNCED });
        let reader = witness(Installed::Nio, "plain.py", &ann, &given);
        reader.wait_within(SLOW)
    };
    let did = cis.status()["did"].clone();
    let said = reads(&room.id).expect(0).json();
    tells_all(&said, &run, &did);
    // So does a bot without a library.
    let given = json!({ "room": room.id, "types": ANNOUNCED });
    let bot = witness(Installed::Nio, "raw.py", &ann, &given).wait_within(SLOW).expect(0).json();
    announces_all(&bot["found"]);
    assert_eq!(bot["found"]["cis.dag.run.failed"][0]["run"], json!(run), "{bot}");

    // The account says things that the node did not sign so.
    synapse.lift_limits(&account);
    let is_journal = |event: &&Value| event["type"] == "cis.dag.run.journal";
    let true_one = room.events().iter().find(is_journal).unwrap()["content"].clone();
    let forged = |place: &str, value: Value| {
        let mut content = true_one.clone();
        *content.pointer_mut(place).unwrap() = value;
        content
    };
    let at_ms = true_one["body"]["entries"][0]["at_ms"].as_i64().unwrap();
    let mut sig = true_one["sig"].as_str().unwrap().to_owned();
    sig.replace_range(..1, if sig.starts_with('0') { "1" } else { "0" });
    let journal = "cis.dag.run.journal";
    let forgeries = [
        (&account, journal, forged("/body/entries/0/at_ms", (at_ms ^ 1).into()), "signature"),
        (&account, journal, forged("/sig", sig.into()), "signature"),
        (&account, journal, forged("/did", "did:key:z6Mkx".into()), "did"),
        (&account, "cis.dag.run.snapshot", true_one.clone(), "type"),
        (&ann, journal, true_one.clone(), "sender"),
    ];
    let sent: Vec<(String, &str)> = forgeries
        .into_iter()
        .map(|(user, kind, content, why)| (user.send(&room.id, kind, content), why))
        .collect();
    let said = reads(&room.id).expect(1).json();
    let refused = said["refused"].as_array().unwrap();
    assert_eq!((refused.len(), &said["faults"]), (sent.len(), &json!([])), "{said}");
    for (event, why) in sent {
        let one = refused.iter().find(|one| one["event"] == event.as_str()).unwrap();
        assert!(one["why"].as_str().unwrap().starts_with(why), "{one} is not refused for its {why}");
    }
    // Whole and in its place it is still one too many.
    account.send(&room.id, journal, true_one.clone());
    let twice = reads(&room.id).expect(1).json();
    assert!(twice["faults"].to_string().contains("seq:"), "{twice}");
}

#[test]
fn another_client_answers_and_reads_in_an_encrypted_room() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let made = cis.json(&["matrix", "create-room", "vault", "--encrypted", "--invite", &ann.id]);
    let id = made["room_id"].as_str().unwrap();
    let modules = installed(Installed::JsSdk).ancestors().nth(2).unwrap().display().to_string();
    let answers = json!({ "Which colour?": "blue", "Deploy": "!cis approve ITEM" });
    let given = json!({
        "room": id, "password": ann.password, "modules": modules, "answers": answers, "types": ANNOUNCED,
    });
    let reader = witness(Installed::JsSdk, "encrypted.mjs", &ann, &given);
    reader.wait_for("ready");
    let room = Room::joined(&ann, id);
    let run = hybrid(&cis, &room, TEXT);
    let out = reader.wait_within(SLOW);
    let said: Value = serde_json::from_str(out.stdout.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("the reader tells nothing: {out:?}"));
    out.expect(0);
    tells_all(&said, &run, &cis.status()["did"]);
    assert_eq!(cis.read("said").trim(), "blue");
    // Nothing of it stands at the homeserver. Whole words alone count: ciphertext in base64 has any four letters by chance.
    let shown = room.events().iter().map(Value::to_string).collect::<String>();
    assert!(!shown.contains("cis.dag"), "the homeserver shows types of events");
    for word in shown.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        assert!(!["colour", "blue", "lint"].contains(&word), "the homeserver shows {word}");
    }
}

#[test]
fn the_canonical_state_is_what_the_reference_says() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let run = cis.start(TEXT);
    let colour = waits(&cis, "Which colour?");
    cis.wait_task(&run, "lint", "failed");
    cis.ok(["dag", "mode", &run, "hybrid", "--room", &room.id]);
    cis.ok(["answer", &colour, "blue"]);
    let deploy = waits(&cis, "Deploy äöü 😀?");
    cis.ok(["answer", &deploy, "reject", "--reason", "not today"]);
    cis.wait_run(&run, "failed");
    assert!(journal_is_whole(&cis, &room, &run, TEXT).from_snapshot);
    let given = json!({ "room": room.id, "run": run });
    let said = witness(Installed::Nio, "fold.py", &ann, &given).wait_within(SLOW).expect(0).json();
    assert_eq!(
        (said["stated"].as_array().map(Vec::len), &said["stated"]),
        (Some(1), &said["folded"]),
        "{said}"
    );
    assert_eq!(said["canonical"], json!(own_state(&cis.home(), &run, TEXT)));
}
