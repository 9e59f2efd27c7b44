//! Whose devices are whose: two nodes compare emoji over a real homeserver, and a new device is signed by a recovery key.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, Output, Running, Terminal, eventually_within, kill_9, signal, ulid_in};
use crate::matrix::{holds, logged_in, login};
use crate::rooms::{SLOW, all_is_told};

/// Two nodes with accounts of their own.
struct Two {
    _synapse: Synapse,
    ann: (Cis, User),
    bob: (Cis, User),
}

impl Two {
    fn new() -> Self {
        let synapse = Synapse::shared();
        Self { ann: logged_in(&synapse), bob: logged_in(&synapse), _synapse: synapse }
    }

    /// Both compare, on terminals: one asks, and the other one takes it.
    fn compare(&self) -> (Terminal, Terminal) {
        let (ann, bob) = (&self.ann, &self.bob);
        let asks = ann.0.terminal(&["matrix", "verify", &bob.1.id]);
        asks.wait_for("Ctrl+C cancels");
        let takes = bob.0.terminal(&["matrix", "verify", &ann.1.id]);
        asks.wait_for("Do they match?");
        takes.wait_for("Do they match?");
        (asks, takes)
    }
}

/// The lines with the seven emoji and the numbers.
fn shown(terminal: &Terminal) -> Vec<String> {
    let screen = terminal.screen();
    let lines = screen.lines().skip_while(|line| !line.starts_with("Compare with"));
    let lines: Vec<String> = lines
        .filter(|line| line.starts_with("  "))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(lines.len(), 8, "{screen}");
    lines
}

/// With this on standard input, and without a terminal.
fn alone(cis: &Cis, words: &[&str], stdin: Stdio) -> Running {
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(cis.binary()).args(words).env_clear().envs(cis.environment());
    command.current_dir(cis.work()).stdin(stdin);
    Running::start(command)
}

/// With a key on standard input.
fn with_key(cis: &Cis, key: &str) -> Output {
    let file = cis.write("key", format!("{key}\n"));
    let stdin = fs::File::open(&file).unwrap();
    fs::remove_file(file).unwrap();
    alone(cis, &["matrix", "verify", "--recovery-key-stdin", "--json"], stdin.into()).wait()
}

#[test]
fn two_nodes_see_the_same_emoji_and_are_verified() {
    let two = Two::new();
    let (mut asks, mut takes) = two.compare();
    assert_eq!(shown(&asks), shown(&takes));
    asks.type_keys("y\r");
    asks.wait_for("to confirm");
    takes.type_keys("yes\r");
    asks.wait_for("Verified: both sides see the same");
    takes.wait_for("Verified: both sides see the same");
    assert_eq!((asks.wait_exit(), takes.wait_exit()), (0, 0));
    assert_eq!(asks.settings(), asks.settings_before());

    // What the one says in an encrypted room, the other one knows as theirs.
    let ((ann, _), (bob, user)) = (&two.ann, &two.bob);
    let room = ann.json(&["matrix", "create-room", "quiet", "--encrypted", "--invite", &user.id]);
    let room = room["room_id"].as_str().unwrap();
    bob.ok(["matrix", "join", room]);
    let listens = ann.spawn(["matrix", "subscribe", room, "--json"]);
    let text = "version = 1\n[dag]\nid = \"t\"\n[[tasks]]\nid = \"t\"\ncommand = [\"true\"]\n";
    let file = bob.write("t.toml", text);
    bob.ok(["dag", "execute", "--hybrid", "--room", room, "--detach", file.to_str().unwrap()]);
    let trust = eventually_within(SLOW, "something of the run is said", || {
        let stdout = listens.stdout();
        let lines = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|event| event["sender"] == user.id.as_str())
            .find_map(|event| event["encryption"]["trust"].as_str().map(str::to_owned))
    });
    assert_eq!(trust, "verified");
}

#[test]
fn both_may_ask_at_the_same_moment() {
    let synapse = Synapse::shared();
    let ((ann, annes), (bob, bobs)) = (logged_in(&synapse), logged_in(&synapse));
    for user in [&annes, &bobs] {
        // This is more than one comparison.
        synapse.lift_limits(user);
    }
    // Without a room of theirs, and in the one that there is then.
    for _ in 0..2 {
        let mut both =
            [ann.terminal(&["matrix", "verify", &bobs.id]), bob.terminal(&["matrix", "verify", &annes.id])];
        let patience = Instant::now() + SLOW;
        while !both.iter().all(|one| one.screen().contains("Do they match?")) {
            let ended = both.iter().any(|one| one.screen().contains("error")) || Instant::now() > patience;
            assert!(!ended, "{}\n\n{}", both[0].screen(), both[1].screen());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(shown(&both[0]), shown(&both[1]));
        for one in &mut both {
            one.type_keys("y\r");
        }
        for one in &mut both {
            assert_eq!(one.wait_exit(), 0, "{}", one.screen());
        }
    }
}

#[test]
fn emoji_that_differ_are_told_to_both() {
    let two = Two::new();
    let (mut asks, mut takes) = two.compare();
    asks.type_keys("y\r");
    takes.type_keys("n\r");
    takes.wait_for("you said that the emoji differ");
    asks.wait_for("said that the emoji differ");
    assert_eq!((asks.wait_exit(), takes.wait_exit()), (1, 1));
}

#[test]
fn whoever_leaves_ends_it_for_both() {
    let two = Two::new();
    let (mut asks, mut takes) = two.compare();
    takes.type_keys("\x03");
    asks.wait_for("cancelled the comparison");
    assert_eq!((asks.wait_exit(), takes.wait_exit()), (1, 130));
    // Before it was accepted, and with a signal: then there is nothing left to accept.
    let ((ann, _), (bob, user)) = (&two.ann, &two.bob);
    let running = ann.spawn(["matrix", "verify", &user.id, "--json"]);
    running.wait_for("\"asked\"");
    signal(running.pid(), Signal::INT);
    running.wait().expect(130);
    let late = bob.run(["matrix", "verify", &two.ann.1.id, "--timeout", "2s"]).expect(1);
    assert!(late.stderr.contains("within 2s"), "{late:?}");
}

#[test]
#[ignore = "it takes a minute until nobody is known to look"]
fn what_nobody_looks_at_any_more_is_ended_for_both() {
    let two = Two::new();
    let ((ann, _), (_, bob)) = (&two.ann, &two.bob);
    let mut running = ann.terminal(&["matrix", "verify", &bob.id]);
    running.wait_for("Ctrl+C cancels");
    let takes = two.bob.0.terminal(&["matrix", "verify", &two.ann.1.id]);
    takes.wait_for("Do they match?");
    kill_9(running.pid());
    running.wait_exit();
    let again = ann.run(["matrix", "verify", &bob.id]).expect(3);
    assert!(again.stderr.contains("under way already"), "{again:?}");
    // Whoever of both notices first that nobody goes on says so.
    eventually_within(Duration::from_secs(100), "the other side hears of it", || {
        let screen = takes.screen();
        (screen.contains("cancelled the comparison") || screen.contains("it took too long")).then_some(())
    });
    let late = ann.run(["matrix", "verify", &bob.id, "--timeout", "1s"]).expect(1);
    assert!(late.stderr.contains("within 1s"), "{late:?}");
}

#[test]
fn programs_read_lines_and_answer_on_standard_input() {
    let two = Two::new();
    let ((ann, annes), (bob, bobs)) = (&two.ann, &two.bob);
    let asks = alone(ann, &["matrix", "verify", &bobs.id, "--json"], Stdio::piped());
    asks.wait_for("\"asked\"");
    let again = ann.run(["matrix", "verify", &bobs.id]).expect(3);
    assert!(again.stderr.contains("under way already"), "{again:?}");
    let yes = fs::File::open(bob.write("yes", "yes\n")).unwrap();
    let takes = alone(bob, &["matrix", "verify", &annes.id, "--json"], yes.into());
    asks.wait_for("\"compare\"");
    // Nobody can say yes any more: it is ended, and the other side is told.
    takes.wait_for("\"confirmed\"");
    let lines =
        |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let emoji = |text: &str| {
        let lines = lines(text);
        lines.iter().find(|line| line["state"] == "compare").unwrap()["emoji"].clone()
    };
    assert_eq!(emoji(&asks.stdout()), emoji(&takes.stdout()));
    assert_eq!(emoji(&asks.stdout()).as_array().map(Vec::len), Some(7));
    signal(asks.pid(), Signal::TERM);
    let out = takes.wait().expect(1);
    let last = out.json_lines().pop().unwrap();
    assert_eq!(
        (&last["state"], &last["by_us"], &last["code"]),
        (&json!("cancelled"), &json!(false), &json!("m.user"))
    );
}

#[test]
fn whoever_cannot_be_verified_is_refused_and_nobody_is_waited_for_without_end() {
    let synapse = Synapse::shared();
    let (cis, user) = logged_in(&synapse);
    let nobody = cis.run(["matrix", "verify", "@nobody-at-all:cis.test"]).expect(2);
    assert!(nobody.stderr.contains("@nobody-at-all:cis.test is not there"), "{nobody:?}");
    let bare = synapse.register("bare");
    let without = cis.run(["matrix", "verify", &bare.id]).expect(2);
    assert!(without.stderr.contains("cross-signing is not set up"), "{without:?}");
    let own = cis.run(["matrix", "verify", &user.id]).expect(2);
    assert!(own.stderr.contains("no other device"), "{own:?}");
    cis.run(["matrix", "verify", "ann"]).expect(2);
    cis.run(["matrix", "verify", &bare.id, "--timeout", "1h"]).expect(2);
    let (_bob, bob) = logged_in(&synapse);
    let late = cis.run(["matrix", "verify", &bob.id, "--timeout", "1s"]).expect(1);
    assert!(
        late.stderr.contains("within 1s") && late.stderr.contains("accepted in their client"),
        "{late:?}"
    );
}

#[test]
fn a_session_neither_verifies_nor_sees_the_device() {
    let synapse = Synapse::shared();
    let (cis, _) = logged_in(&synapse);
    let text = "version = 1\n[dag]\nid = \"t\"\n[[tasks]]\nid = \"t\"\nscript = '''\n\
                for what in '' @x:cis.test --new-recovery-key; do \"$E2E_CIS\" matrix verify $what && exit 9; done\n\
                echo key | \"$E2E_CIS\" matrix verify --recovery-key-stdin && exit 9\nexit 0\n'''\n";
    cis.dag(text, &[]).expect(0);
    let log = cis.ok(["dag", "logs", "t"]);
    assert_eq!(log.matches(" may not ").count(), 4, "{log}");
}

#[test]
fn a_new_device_with_the_recovery_key_is_signed_and_reads_the_journal_of_an_encrypted_room() {
    let synapse = Synapse::shared();
    let (cis, user) = logged_in(&synapse);
    let standing = cis.json(&["matrix", "verify"]);
    assert_eq!((&standing["signed"], &standing["recovery"]), (&json!(true), &json!(false)), "{standing}");
    let text = cis.ok(["matrix", "verify"]);
    assert!(text.contains("--new-recovery-key"), "{text}");
    let made = cis.run(["matrix", "verify", "--new-recovery-key"]).expect(0);
    let key = made.stdout.trim();
    assert!(key.split(' ').all(|four| four.len() <= 4) && key.len() == 59, "{made:?}");
    assert!(made.stderr.contains("Keep this key") && !made.stderr.contains(key), "{made:?}");
    let standing = cis.json(&["matrix", "verify"]);
    assert_eq!((&standing["recovery"], &standing["backs_up"]), (&json!(true), &json!(true)), "{standing}");

    let room = cis.json(&["matrix", "create-room", "quiet", "--encrypted"]);
    let room = room["room_id"].as_str().unwrap();
    let text = "version = 1\n[dag]\nid = \"t\"\n[[tasks]]\nid = \"t\"\ncommand = [\"true\"]\n";
    let file = cis.write("t.toml", text);
    let run =
        ulid_in(&cis.ok(["dag", "execute", "--hybrid", "--room", room, "--detach", file.to_str().unwrap()]));
    cis.wait_run(&run, "succeeded");
    all_is_told(&cis);
    for secret in [key, &key.replace(' ', "")] {
        assert!(!holds(&cis.home(), secret), "the recovery key stands in a file");
    }

    // Another node of the same account: a new device.
    let other = Cis::new();
    let out = login(&other, &synapse, &user, "--password-stdin", &user.password).expect(0);
    assert!(out.stderr.contains("has not signed this device"), "{out:?}");
    other.ok(["identity", "trust", cis.status()["did"].as_str().unwrap()]);
    let standing = other.json(&["matrix", "verify"]);
    assert_eq!((&standing["signed"], &standing["identity"]), (&json!(false), &json!(true)), "{standing}");
    let text = other.ok(["matrix", "verify"]);
    assert!(text.contains("no: the account has not signed this device"), "{text}");
    let unsigned = other.run(["matrix", "verify", "--new-recovery-key"]).expect(3);
    assert!(unsigned.stderr.contains("--recovery-key-stdin"), "{unsigned:?}");
    let words = ["dag", "recover", "--room", room, "--json"];
    let said = other.run(words);
    assert!(said.json()["unreadable"].as_u64() > Some(0), "{said:?}");
    let wrong = "EsTj 3yST y93F SLpB jJsz eAXc 2XzA ygD3 w69H fGaN TKBj jXEd";
    let refused = with_key(&other, wrong).expect(2);
    assert!(refused.stderr.contains("not the recovery key"), "{refused:?}");
    assert!(!refused.stderr.contains("EsTj"), "{refused:?}");
    with_key(&other, "").expect(2);
    let standing = with_key(&other, key).expect(0).json();
    assert_eq!((&standing["signed"], &standing["backs_up"]), (&json!(true), &json!(true)), "{standing}");
    let said = other.run(words).json();
    assert_eq!(said["unreadable"], 0, "{said}");
    assert_eq!(
        (&said["runs"][0]["recovered"], &said["runs"][0]["state"]),
        (&json!(true), &json!("succeeded")),
        "{said}"
    );
    for home in [cis.home(), other.home()] {
        assert!(
            !holds(&home, key) && !holds(&home, &key.replace(' ', "")),
            "the recovery key stands in a file"
        );
    }
    // The two devices compare with each other as well.
    let mut asks = cis.terminal(&["matrix", "verify", &user.id]);
    asks.wait_for("Ctrl+C cancels");
    let mut takes = other.terminal(&["matrix", "verify", &user.id]);
    asks.wait_for("Do they match?");
    takes.wait_for("Do they match?");
    assert_eq!(shown(&asks), shown(&takes));
    asks.type_keys("y\r");
    takes.type_keys("y\r");
    assert_eq!((asks.wait_exit(), takes.wait_exit()), (0, 0), "{}\n{}", asks.screen(), takes.screen());
}
