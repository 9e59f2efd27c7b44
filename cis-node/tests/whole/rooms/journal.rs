//! Tests of the journal of a run in its room: parts, files, other events next to it, and what is secret.

use std::collections::BTreeMap;
use std::fs;

use cis_core::api::CreateRun;
use cis_core::event::{ExecutionMode, RunState, TaskState};
use cis_matrix::RoomEvent;
use serde_json::{Value, json};

use super::told::{FAST, Place, all_is_told, chain, give, hybrid, long_text, whole_in};
use super::{ANN, CIS, content, is_well, warns};
use crate::harness::on_a_runtime;

#[test]
fn a_journal_goes_on_where_it_was_after_a_restart_of_its_node() {
    on_a_runtime(async {
        let place = Place::generous();
        let mut node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&chain(3))).await;
        let (card, _) = place.card(&run, "running").await;
        for n in 0..3 {
            // Once it stops before all is told.
            if n != 1 {
                all_is_told(&node).await;
            }
            node.leave().await;
            place.open(&format!("t{n}"));
            node = place.node(&[FAST]).await;
            node.task_is(&run, &format!("t{n}"), TaskState::Succeeded).await;
        }
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(place.card(&run, "succeeded").await.0, card);
        place.whole(&node, &run).await;
        assert_eq!(place.in_thread(&card, "✓ ship succeeded").await.len(), 1);
        let all = place.server.events(&place.room);
        let journal = all.iter().filter(|event| event.kind == "cis.dag.run.journal");
        let references = |event: &RoomEvent| content(event)["m.relates_to"].clone();
        let about_card = json!({ "rel_type": "m.reference", "event_id": card });
        assert!(journal.map(references).all(|relation| relation == about_card), "parts belong to the card");
        // Each envelope has its number; a life of the node is an incarnation.
        let numbers: Vec<Value> = all.iter().map(|event| content(event)["seq"].clone()).collect();
        let mut lives: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for seq in numbers.iter().filter(|seq| !seq.is_null()) {
            let life = lives.entry(seq["incarnation"].as_u64().unwrap()).or_default();
            life.push(seq["n"].as_u64().unwrap());
        }
        assert!(lives.len() > 1, "{lives:?}");
        for life in lives.values() {
            assert!(life.windows(2).all(|two| two[0] + 1 == two[1]), "{lives:?}");
        }
        node.stop().await;
    });
}

#[test]
fn what_is_larger_than_an_event_goes_into_the_room_as_a_file() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let text = long_text();
        let run = node.submit_as(place.run(&text)).await;
        place.card(&run, "running").await;
        all_is_told(&node).await;
        assert!(place.server.files() > 0 && place.server.a_file_has("# line 8999"));
        ["t0", "t1"].into_iter().for_each(|gate| place.open(gate));
        node.reaches(&run, RunState::Succeeded).await;
        place.whole(&node, &run).await;
        // A snapshot is one, too; of an encrypted room its file is encrypted.
        let other = place.server.room("other", ANN, &[CIS]);
        place.server.encrypt(&other);
        ["t0", "t1"].into_iter().for_each(|gate| fs::remove_file(place.scratch.path().join(gate)).unwrap());
        let local = CreateRun { mode: ExecutionMode::Local, room: None, ..place.run(&text) };
        let run = node.submit_as(local).await;
        let before = place.server.files();
        node.client.set_mode(&run, &hybrid(&other)).await.unwrap();
        let of_run = |content: &Value| content["run"] == run.as_str();
        let (_, snapshot) = place.server.event(&other, "cis.dag.run.snapshot", of_run).await;
        assert!(place.server.files() > before && snapshot.to_string().contains("mxc://tests/"), "{snapshot}");
        ["t0", "t1"].into_iter().for_each(|gate| place.open(gate));
        node.reaches(&run, RunState::Succeeded).await;
        whole_in(&node, &place.server, &other, &run).await;
        node.stop().await;
    });
}

#[test]
fn a_journal_whose_file_is_not_taken_holds_up_no_card() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        place.server.set_file_bytes_max(1_000);
        ["t0", "t1"].into_iter().for_each(|gate| place.open(gate));
        let run = node.submit_as(place.run(&long_text())).await;
        place.card(&run, "succeeded").await;
        warns(&node, &["the journal of run", &place.room, "larger than the homeserver takes"]).await;
        assert!(!place.server.events(&place.room).iter().any(|event| event.kind == "cis.dag.run.journal"));
        place.server.set_file_bytes_max(1 << 20);
        place.server.says_levels(&place.room, ANN);
        place.whole(&node, &run).await;
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn no_secret_reaches_the_room() {
    const DECLARED: &str = "hunter2-correct-horse";
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let shaped = format!("ghp_{}", "aB3".repeat(12));
        let text = format!(
            r#"
version = 1
[dag]
id = "leak"
[[tasks]]
id = "fail"
tty = false
secrets = {{ TOKEN = {{ env = "MY_TOKEN" }} }}
script = 'echo "declared $TOKEN, shaped {shaped}, own $CIS_TOKEN"; exit 3'
[[tasks]]
id = "ask"
secrets = {{ TOKEN = {{ env = "MY_TOKEN" }} }}
script = """
echo "declared $TOKEN, shaped {shaped}, own $CIS_TOKEN"; echo "$CIS_TOKEN" > own
printf "Send $TOKEN, {shaped} or $CIS_TOKEN? [y/n] "; read -r answer
"""
"#
        );
        let env = [("PATH", "/usr/bin:/bin"), ("MY_TOKEN", DECLARED), ("PLAIN", "of-the-environment")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let run = node.submit_as(CreateRun { env: Some(env.into()), ..place.run(&text) }).await;
        let question = place.asked(&run, "Send ***").await;
        assert!(
            content(&question)["body"].as_str().unwrap().contains("declared ***, shaped "),
            "{question:?}"
        );
        let item = node.question(&run).await;
        give(&node, &item, "y").await;
        node.reaches(&run, RunState::Failed).await;
        let (card, _) = place.card(&run, "failed").await;
        place.whole(&node, &run).await;
        let failures = place.in_thread(&card, "✗ fail").await;
        assert!(failures[0]["body"].as_str().unwrap().contains("declared ***, shaped "), "{failures:?}");
        let own = fs::read_to_string(place.scratch.path().join("own")).unwrap();
        assert!(!own.trim().is_empty());
        for event in place.server.events(&place.room) {
            for secret in [DECLARED, &shaped, own.trim(), "of-the-environment"] {
                assert!(!event.content.get().contains(secret), "{secret}: {event:?}");
            }
        }
        node.stop().await;
    });
}

#[test]
fn only_the_events_that_are_wanted_stand_beside_the_journal() {
    on_a_runtime(async {
        for (wanted, kinds) in [
            ("[]", &[][..]),
            (
                r#"["cis.dag.run.completed","cis.dag.task.status"]"#,
                &["cis.dag.run.completed", "cis.dag.task.status"],
            ),
        ] {
            let place = Place::generous();
            let node = place.node(&[FAST, &format!("dag.matrix.events={wanted}")]).await;
            place.open("t0");
            let run = node.submit_as(place.run(&chain(1))).await;
            node.reaches(&run, RunState::Succeeded).await;
            place.whole(&node, &run).await;
            let beside = place.server.events(&place.room).into_iter().filter(|event| event.sender == CIS);
            let beside: Vec<RoomEvent> = beside
                .filter(|event| event.kind.starts_with("cis.dag.") && event.kind != "cis.dag.run.journal")
                .collect();
            let mut found: Vec<&str> = beside.iter().map(|event| event.kind.as_str()).collect();
            found.sort_unstable();
            found.dedup();
            assert_eq!(found, kinds);
            if let Some(status) = beside.iter().rfind(|event| event.kind == "cis.dag.task.status") {
                assert_eq!(content(status)["body"]["tasks"]["t0"], "succeeded");
            }
            node.stop().await;
        }
    });
}

#[test]
fn a_journal_goes_on_under_the_new_key_of_its_node() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&chain(2))).await;
        place.card(&run, "running").await;
        place.open("t0");
        node.task_is(&run, "t0", TaskState::Succeeded).await;
        all_is_told(&node).await;
        let old = node.did.clone();
        node.client.rotate_identity(old.clone()).await.unwrap();
        node.leave().await;
        let node = place.node(&[FAST]).await;
        assert_ne!(node.did, old);
        place.open("t1");
        node.reaches(&run, RunState::Succeeded).await;
        place.card(&run, "succeeded").await;
        assert_eq!(place.whole(&node, &run).await.node, node.did);
        let all = place.server.events(&place.room);
        let rotated: Vec<usize> =
            (0..all.len()).filter(|&at| all[at].kind == "cis.dag.node.rotated").collect();
        assert_eq!(rotated.len(), 1, "it is said once");
        let is_new = |event: &RoomEvent| content(event)["did"] == node.did.0.as_str();
        assert_eq!(all.iter().position(is_new), Some(rotated[0]), "and before all that the new key signs");
        node.stop().await;
    });
}
