//! A node that only reads a room: what others tell there, as they tell it.

use cis_core::event::EventBody;
use cis_core::federation::envelope::SIZE_MAX;
use cis_core::federation::journal::Fact;
use cis_core::federation::outgoing::{About, Numbering, Outgoing, SNAPSHOT, Snapshot};
use cis_core::identity::NodeKey;
use cis_core::ids::{NodeDid, RunId};
use serde_json::json;

use crate::harness::room::{fold, own_facts, own_state};
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, eventually_within, kill_9};
use crate::matrix::{logged_in, login};
use crate::rooms::{SLOW, hybrid, room_of, waits};

const TEXT: &str = r#"
version = 1
[dag]
id = "ship"
[[tasks]]
id = "plan"
tty = false
script = '"$E2E_CIS" task output colour=red'
[[tasks]]
id = "ask"
needs = ["plan"]
tty = false
script = '"$E2E_CIS" task ask "Which colour?" --option red --option blue'
[[tasks]]
id = "deploy"
needs = ["ask"]
tty = false
command = ["true"]
approval = { prompt = "Deploy?" }
"#;

#[test]
fn an_observer_sees_what_other_nodes_tell_and_has_no_part_in_it() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let ended = hybrid(
        &cis,
        &room,
        "version = 1\n[dag]\nid = \"first\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n",
    );
    cis.wait_run(&ended, "succeeded");
    let run = hybrid(&cis, &room, TEXT);
    let colour = waits(&cis, "Which colour?");

    let (observer, second) = (Cis::new(), synapse.register("observer"));
    login(&observer, &synapse, &second, "--token-stdin", &second.token).expect(0);
    ann.invite(&room.id, &second.id);
    observer.ok(["matrix", "join", &room.id]);
    observer.ok(["node", "stop"]);
    let start = ["node", "start", "--detach", "--room", &room.id, "--role", "observer"];
    observer.ok(start);
    // Whom it does not trust it does not believe, and says so.
    let did = cis.status()["did"].as_str().unwrap().to_owned();
    eventually_within(SLOW, "the warning", || {
        let warnings = observer.status()["warnings"].to_string();
        warnings.contains(&format!("cis identity trust {did}")).then_some(())
    });
    assert_eq!(observer.json(&["dag", "list", "--all"])["items"], json!([]));
    observer.ok(["identity", "trust", &did]);
    eventually_within(SLOW, "both runs", || {
        let runs = observer.json(&["dag", "list", "--all"])["items"].clone();
        runs.as_array().is_some_and(|runs| runs.len() == 2).then_some(())
    });
    observer.wait_run(&ended, "succeeded");
    waits(&observer, "Which colour?");
    observer.wait_task(&run, "plan", "succeeded");
    assert_eq!(observer.status()["observes"], json!([room.id]));
    // The dashboard of that room has a node that reads it; without a display it ends and says so.
    let gui = observer.run(["gui", "--room", &room.id]).expect(3).stderr;
    assert!(gui.contains("no window can be opened"), "{gui}");
    let other = observer.run(["gui", "--room", "!other:example.org"]).expect(2).stderr;
    assert!(other.contains("does not read !other:example.org") && other.contains("cis node stop"), "{other}");
    // It steers nothing.
    for words in [vec!["dag", "cancel", &run], vec!["answer", &colour, "red"], vec!["dag", "retry", &ended]] {
        let said = observer.run(words.clone()).expect(3).stderr;
        assert!(said.contains("coordinated by"), "{words:?}: {said}");
    }
    // It sees what happens, as it happens; also what happened while it was away.
    cis.ok(["answer", &colour, "blue"]);
    let deploy = waits(&observer, "Deploy?");
    kill_9(observer.node_pid().unwrap());
    cis.ok(["answer", &deploy, "approve"]);
    cis.wait_run(&run, "succeeded");
    observer.ok(start);
    observer.wait_run(&run, "succeeded");
    eventually_within(SLOW, "the same state", || {
        (own_state(&observer.home(), &run, TEXT) == own_state(&cis.home(), &run, TEXT)).then_some(())
    });
    assert_eq!(observer.json(&["inbox"])["items"], json!([]));
    assert_eq!(observer.status()["live_sessions"], 0);
}

/// A node that writes what it likes, signed.
struct Liar<'a> {
    key: NodeKey,
    outgoing: Outgoing,
    room: &'a crate::harness::room::Room<'a>,
    user: &'a crate::harness::synapse::User,
}

impl Liar<'_> {
    /// Tells of a run of which these are the facts.
    fn tells(&mut self, run: RunId, facts: &[Fact], text: &str) {
        let snapshot =
            Snapshot::first(run, facts.to_vec(), &self.key.did(), Some(text), &fold(run, facts, text));
        let about = About { run: Some(run), epoch: 0 };
        let id = RunId::from_parts(u64::from(std::process::id()), self.outgoing.numbering.newest().into()).0;
        let body = snapshot.body(SIZE_MAX - 1_000).unwrap();
        let signed = self.outgoing.envelope(SNAPSHOT, id, about, body, &self.key).unwrap();
        self.user.send(&self.room.id, SNAPSHOT.name, signed.into_content());
    }
}

/// The same facts, of a run that `owner` made.
fn owned(facts: &[Fact], owner: &NodeDid) -> Vec<Fact> {
    let mut facts = facts.to_vec();
    let EventBody::RunCreated(created) = &mut facts[0].body else { panic!("{:?}", facts[0]) };
    created.owner = owner.clone();
    facts
}

#[test]
fn a_node_that_is_trusted_to_be_watched_makes_nobody_run_anything() {
    let synapse = Synapse::shared();
    let ((observer, second), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&observer, &ann);
    let text = format!(
        "version = 1\n[dag]\nid = \"lie\"\n[[tasks]]\nid = \"a\"\ncommand = [\"touch\", \"{}\"]\n",
        observer.work().join("lied").display()
    );
    // Its own run, whose name anybody may know.
    let own =
        observer.start("version = 1\n[dag]\nid = \"own\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n");
    observer.wait_run(&own, "succeeded");
    let sample = observer.start(&text);
    observer.wait_run(&sample, "succeeded");
    std::fs::remove_file(observer.work().join("lied")).unwrap();
    let own: RunId = own.parse().unwrap();
    let sample = own_facts(&observer.home(), sample.parse().unwrap());
    let before = own_facts(&observer.home(), own).len();
    let did = NodeDid(observer.status()["did"].as_str().unwrap().to_owned());
    observer.ok(["node", "stop"]);

    let key = NodeKey::from_seed(&[7; 32]);
    let outgoing = Outgoing {
        room: room.id.clone(),
        sender: Some(ann.id.clone()),
        size_max: SIZE_MAX,
        numbering: Numbering::begin(None, false, 1),
    };
    let liar_did = key.did();
    let mut liar = Liar { key, outgoing, room: &room, user: &ann };
    let open = &owned(&sample, &liar_did)[..2];
    let mut ours = open.to_vec();
    let taken = EventBody::RunTakenOver {
        owner: did.clone(),
        epoch: 1,
        cut: 1,
        forced: false,
        voted: false,
        lost: false,
    };
    ours.push(Fact { at_ms: ours[1].at_ms, actor: None, cause: None, body: taken });
    let (theirs, stolen) = (RunId::from_parts(1, 1), RunId::from_parts(1, 2));
    // It is made to be the observer's at its end; from the beginning; under the name of one that is; and as it should be.
    liar.tells(stolen, &ours, &text);
    liar.tells(RunId::from_parts(1, 3), &owned(&sample, &did)[..2], &text);
    liar.tells(own, &owned(&sample, &liar_did), &text);
    liar.tells(theirs, open, &text);

    observer.ok(["identity", "trust", &liar_did.0]);
    observer.ok(["node", "stop"]);
    let start = ["node", "start", "--detach", "--room", &room.id, "--role", "observer"];
    observer.ok(start);
    eventually_within(SLOW, "the run that is theirs", || {
        let runs = observer.json(&["dag", "list", "--all"])["items"].clone();
        runs.as_array()?.iter().any(|run| run["id"] == theirs.to_string()).then_some(())
    });
    let runs = observer.json(&["dag", "list", "--all"])["items"].clone();
    assert_eq!(runs.as_array().map(Vec::len), Some(3), "{runs}");
    assert_eq!(own_facts(&observer.home(), own).len(), before);
    // The runs are in the store before the status tells what is wrong with the others.
    eventually_within(SLOW, "a warning of the run that was stolen", || {
        let warnings = observer.status()["warnings"].to_string();
        let named = warnings.contains(&format!("run {stolen} of room"));
        (named && warnings.contains("who did not write it")).then_some(())
    });
    // Also not when it starts again.
    observer.ok(["node", "stop"]);
    observer.ok(start);
    eventually_within(SLOW, "the room is read again", || {
        (observer.status()["observes"] == json!([room.id])).then_some(())
    });
    assert!(!observer.work().join("lied").exists());
    assert_eq!(observer.show(&theirs.to_string())["run"]["node"], json!(liar_did.0));
    assert_eq!(second.id, observer.json(&["matrix", "whoami"])["user_id"].as_str().unwrap());
}
