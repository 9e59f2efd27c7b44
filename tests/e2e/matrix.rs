//! The node's Matrix account and its rooms, with a real homeserver.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, Output, Running, eventually, kill_9, signal};

/// Runs `cis matrix login` with this on standard input.
#[track_caller]
pub(super) fn login(cis: &Cis, synapse: &Synapse, user: &User, how: &str, secret: &str) -> Output {
    login_at(cis, synapse.url(), user, how, secret)
}

/// The same at another address of the homeserver.
#[track_caller]
pub(super) fn login_at(cis: &Cis, url: &str, user: &User, how: &str, secret: &str) -> Output {
    let file = cis.write("secret", format!("{secret}\n"));
    let words = ["matrix", "login", "--homeserver", url, "--user", &user.name, how, "--json"];
    let mut command = cis.command(words);
    command.stdin(File::open(file).unwrap());
    let out = Running::start(command).wait();
    fs::remove_file(cis.work().join("secret")).unwrap();
    out
}

/// A node with the account of a user.
pub(super) fn logged_in(synapse: &Synapse) -> (Cis, User) {
    let (cis, user) = (Cis::new(), synapse.register("cis"));
    log_in(&cis, synapse, &user);
    (cis, user)
}

/// Gives a node this account.
#[track_caller]
pub(super) fn log_in(cis: &Cis, synapse: &Synapse, user: &User) {
    log_in_at(cis, synapse.url(), user);
}

/// The same at another address of the homeserver.
pub(super) fn log_in_at(cis: &Cis, url: &str, user: &User) {
    let account = login_at(cis, url, user, "--token-stdin", &user.token).expect(0).json();
    assert_eq!(account["user_id"], user.id.as_str());
}

/// Whether a text stands in a file of a folder.
pub(super) fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    })
}

#[test]
fn an_account_is_logged_in_kept_over_a_crash_and_logged_out() {
    let synapse = Synapse::shared();
    let (cis, user) = (Cis::new(), synapse.register("cis"));
    let none = cis.run(["matrix", "whoami"]).expect(3);
    assert!(
        none.stderr.contains("has no Matrix account") && none.stderr.contains("cis matrix login"),
        "{none:?}"
    );

    let out = login(&cis, &synapse, &user, "--password-stdin", &user.password).expect(0);
    let account = out.json();
    assert_eq!((&account["user_id"], &account["other_devices"]), (&json!(user.id), &json!(1)));
    assert!(out.stderr.contains("somebody's own account"), "the registration made a device: {}", out.stderr);
    assert!(!holds(&cis.home(), &user.password), "the password stands in a file");
    let mode = |name: &str| fs::metadata(cis.home().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("matrix"), mode("matrix/session.json")), (0o700, 0o600));
    let again = login(&cis, &synapse, &user, "--token-stdin", &user.token).expect(3);
    assert!(again.stderr.contains("is logged in as"), "{again:?}");

    kill_9(cis.node_pid().unwrap());
    assert_eq!(cis.json(&["matrix", "whoami"])["device_id"], account["device_id"]);
    let kept: Value =
        serde_json::from_slice(&fs::read(cis.home().join("matrix/session.json")).unwrap()).unwrap();
    let token = kept["token"].as_str().unwrap();
    assert!(!fs::read_to_string(cis.home().join("node.log")).unwrap().contains(token));
    user.end_login(token);
    let over = cis.run(["matrix", "whoami"]).expect(3);
    assert!(over.stderr.contains("does not know this login"), "{over:?}");
    assert_eq!(cis.json(&["matrix", "logout"]), json!({ "logged_out": true }));
    assert_eq!(fs::read_dir(cis.home().join("matrix")).unwrap().count(), 0);
    cis.run(["matrix", "logout"]).expect(3);
}

#[test]
fn a_login_that_cannot_be_says_why() {
    let synapse = Synapse::shared();
    let (cis, user) = (Cis::new(), synapse.register("cis"));
    let out = login(&cis, &synapse, &user, "--token-stdin", "nobodys").expect(2);
    assert!(out.stderr.contains("does not know this token"), "{out:?}");
    let empty = login(&cis, &synapse, &user, "--token-stdin", "").expect(2);
    assert!(empty.stderr.contains("no access token on standard input"), "{empty:?}");
    assert!(!cis.home().join("matrix/session.json").exists());
    // Without a terminal nobody can be asked.
    let words = ["matrix", "login", "--homeserver", synapse.url(), "--user", &user.name];
    let mut alone = std::process::Command::new("setsid");
    alone.arg("--wait").arg(cis.binary()).args(words).env_clear().envs(cis.environment());
    let out = Running::start(alone).wait().expect(2);
    assert!(out.stderr.contains("--password-stdin"), "{out:?}");
}

#[test]
fn rooms_are_made_listed_joined_and_people_invited() {
    let synapse = Synapse::shared();
    let (cis, user) = logged_in(&synapse);
    let (ann, bob) = (synapse.register("ann"), synapse.register("bob"));
    let made = cis.json(&["matrix", "create-room", "builds", "--invite", &ann.id]);
    let room = made["room_id"].as_str().unwrap();
    ann.join(room);
    // Operators may set state.
    let path = format!("/rooms/{}/state/m.room.topic/", room.replace('!', "%21"));
    ann.ok("PUT", &path, Some(json!({ "topic": "what is built" })));
    let invited = cis.json(&["matrix", "invite", room, &ann.id, &bob.id]);
    assert_eq!(invited, json!({ "room": room, "users": [ann.id, bob.id], "invited": true }));
    bob.join(room);
    let listed = eventually("the topic is known", || {
        let rooms = cis.json(&["matrix", "list-rooms"]);
        (rooms["items"][0]["topic"] == "what is built").then_some(rooms)
    });
    assert_eq!(
        (&listed["items"][0]["room_id"], &listed["items"][0]["encrypted"]),
        (&made["room_id"], &json!(false))
    );

    let theirs = bob.create_room("theirs", &[&user.id]);
    let link = format!("https://matrix.to/#/{theirs}?via=cis.test");
    assert_eq!(cis.json(&["matrix", "join", &link])["room_id"], theirs.as_str());
    let closed = ann.create_room("closed", &[]);
    cis.run(["matrix", "join", &closed]).expect(3);
    let wrong = cis.run(["matrix", "join", "builds"]).expect(2);
    assert!(wrong.stderr.contains("names no room"), "{wrong:?}");
    let secret = cis.json(&["matrix", "create-room", "secret", "--encrypted"]);
    assert_eq!(secret["encrypted"], true);
    let table = cis.ok(["matrix", "list-rooms"]);
    assert!(["builds", "theirs", "secret"].iter().all(|name| table.contains(name)), "{table}");
}

#[test]
fn a_session_has_no_part_in_the_account() {
    let synapse = Synapse::shared();
    let (cis, _) = logged_in(&synapse);
    let text = "version = 1\n[dag]\nid = \"t\"\n[[tasks]]\nid = \"t\"\nscript = '''\n\
                for verb in whoami list-rooms 'create-room x' logout; do \"$E2E_CIS\" matrix $verb && exit 9; done\nexit 0\n'''\n";
    cis.dag(text, &[]).expect(0);
    let log = cis.ok(["dag", "logs", "t"]);
    assert_eq!(log.matches(" may not ").count(), 4, "{log}");
    cis.json(&["matrix", "whoami"]);
}

/// Lines of a subscription, read as JSON.
pub(super) fn bodies(running: &Running) -> Vec<String> {
    let stdout = running.stdout();
    let lines = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_subscription_misses_nothing_over_restarts_of_homeserver_and_node() {
    let mut synapse = Synapse::own();
    let (cis, user) = (Cis::new(), synapse.register("cis"));
    // By the terminal, which shows nothing of what is typed.
    let mut asked = cis.terminal(&["matrix", "login", "--homeserver", synapse.url(), "--user", &user.name]);
    asked.wait_for("Password of");
    asked.type_keys(&format!("{}\r", user.password));
    asked.wait_for("Logged in as");
    assert!(!asked.screen().contains("password of"), "{}", asked.screen());
    assert_eq!(asked.wait_exit(), 0);
    assert_eq!(asked.settings(), asked.settings_before());
    drop(asked);

    let ann = synapse.register("ann");
    let room = ann.create_room("followed", &[&user.id]);
    cis.ok(["matrix", "join", &room]);
    let first = ann.say(&room, "a");
    ann.say(&room, "b");
    let follow = |since: &[&str]| cis.spawn([&["matrix", "subscribe", &room, "--json"][..], since].concat());
    let running = follow(&["--since", &first]);
    let sees = |running: &Running, wanted: &[&str]| {
        eventually(&format!("{wanted:?} is seen: {}", running.stdout()), || {
            (bodies(running) == wanted).then_some(())
        });
    };
    sees(&running, &["b"]);
    ann.say(&room, "live");
    sees(&running, &["b", "live"]);

    synapse.stop();
    synapse.start();
    ann.say(&room, "after the homeserver");
    sees(&running, &["b", "live", "after the homeserver"]);
    kill_9(cis.node_pid().unwrap());
    ann.say(&room, "after the node");
    let all = ["b", "live", "after the homeserver", "after the node"];
    sees(&running, &all);

    signal(running.pid(), Signal::INT);
    let out = running.wait();
    assert_eq!(out.code, Some(130), "{out:?}");
    let last = out.json_lines().pop().unwrap()["id"].as_str().unwrap().to_owned();
    ann.say(&room, "later");
    let again = follow(&["--since", &last]);
    sees(&again, &["later"]);
    cis.ok(["node", "stop"]);
    let out = again.wait().expect(3);
    assert!(out.stderr.contains("the node was stopped"), "{}", out.stderr);
    assert_eq!(cis.node_pid(), None);
}
