//! Tests of questions in a room: how they are asked, how they ring, and how they end.

use cis_core::api::CancelRun;
use cis_core::event::RunState;
use serde_json::{Value, json};

use super::told::{APPROVED, FAST, Place, SLOW, all_is_told, dag, gated, give};
use super::{ANN, content};
use crate::harness::on_a_runtime;
use crate::homeserver::reply;

/// Asks in clear on a terminal, of which there is one.
fn asks(more: &str) -> String {
    format!(
        "version = 1\n[dag]\nid = \"asks\"\n[[tasks]]\nid = \"t\"\n{more}\nscript = 'echo \"Deploy? [y/N]\"; read a; echo got $a'\n"
    )
}

#[test]
fn a_question_that_nobody_answers_rings_again_and_its_answer_ends_both() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&asks("on_blocked = { escalate_after = \"300ms\" }"))).await;
        let again = place
            .server
            .until(&place.room, "it rings again", |_| place.said("cis.dag.question", &run).into_iter().nth(1))
            .await
            .0;
        all_is_told(&node).await;
        for (event, _) in place.said("cis.dag.question", &run) {
            let content = content(&event);
            assert_eq!(content["m.mentions"]["user_ids"], json!([ANN]), "only who may answer is called");
        }
        place.server.says(&place.room, ANN, ("m.room.message", reply(&again.id, "y")));
        node.reaches(&run, RunState::Succeeded).await;
        assert!(node.log_of(&run, "t").await.contains("got y"));
        all_is_told(&node).await;
        let asked = place.said("cis.dag.question", &run);
        assert_eq!(asked.len(), 2);
        for (_, now) in asked {
            assert!(now["body"].as_str().unwrap().contains("answered by"), "{now}");
            assert_eq!(now["cis.dag.question"]["closed"], "answered");
        }
        node.stop().await;
    });
}

#[test]
fn a_question_that_ends_without_people_says_how() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let give_up = "script = 'printf \"Deploy? [y/N] \"; timeout --foreground 2 head -n 1; printf \"\\ngoing on\\n\"; until [ -e go ]; do sleep 0.05; done'\n";
        let gives_up = format!("version = 1\n[dag]\nid = \"asks\"\n[[tasks]]\nid = \"t\"\n{give_up}");
        let deadline = asks("on_blocked = { deadline = \"500ms\", default = \"n\" }");
        let forever = asks("");
        let ends = [
            (gives_up, "went away by itself"),
            (deadline, "answered by on_blocked.default"),
            (forever, "has ended"),
        ];
        let mut runs = Vec::new();
        for (text, words) in ends {
            runs.push((node.submit_as(place.run(&text)).await, words));
        }
        for (run, words) in &runs {
            let question = place.asked(run, "Deploy?").await;
            if *words == "has ended" {
                node.client.cancel_run(run, CancelRun { now: true }).await.unwrap();
                node.reaches(run, RunState::Cancelled).await;
            }
            place.says(&question, words).await;
        }
        place.open("go");
        for (run, words) in &runs {
            if *words != "has ended" {
                node.reaches(run, RunState::Succeeded).await;
            }
            place.whole(&node, run).await;
        }
        node.stop().await;
    });
}

#[test]
fn what_is_decided_elsewhere_is_edited_once_and_does_not_say_who_that_is_on_the_machine() {
    on_a_runtime(async {
        let place = Place::generous();
        place.server.encrypt(&place.room);
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&dag(APPROVED))).await;
        let question = place.asked(&run, "Deploy now?").await;
        let said = content(&question);
        let body = said["body"].as_str().unwrap();
        assert!(
            body.contains("Write !cis answer") && !body.contains("react"),
            "of a room that is encrypted: {body}"
        );
        let item = node.question(&run).await;
        give(&node, &item, "approve").await;
        place.says(&question, "answered by").await;
        node.reaches(&run, RunState::Succeeded).await;
        place.whole(&node, &run).await;
        let edits = place.server.events(&place.room).into_iter().map(|event| content(&event));
        let edits: Vec<Value> =
            edits.filter(|edit| edit["m.relates_to"]["event_id"] == question.id.as_str()).collect();
        assert_eq!(edits.len(), 1, "{edits:?}");
        assert!(!edits[0].to_string().contains("uid:"), "{edits:?}");
        node.stop().await;
    });
}

#[test]
fn a_question_that_arrived_unknown_to_the_node_before_a_restart_ends_in_its_room() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[SLOW]).await;
        let approved = APPROVED.replace("command", "needs = [\"t0\"]\ncommand");
        let run = node.submit_as(place.run(&dag(&format!("{}{approved}", gated("t0", ""))))).await;
        place.card(&run, "running").await;
        all_is_told(&node).await;
        place.server.lose_answer("send");
        place.open("t0");
        let question = place.asked(&run, "Deploy now?").await;
        place.server.set_away(true);
        node.leave().await;
        let node = place.node(&[SLOW]).await;
        let item = node.question(&run).await;
        give(&node, &item, "approve").await;
        node.reaches(&run, RunState::Succeeded).await;
        place.server.set_away(false);
        place.says(&question, "answered by").await;
        place.whole(&node, &run).await;
        assert_eq!(place.said("cis.dag.question", &run).len(), 1);
        node.stop().await;
    });
}

#[test]
fn a_question_that_is_over_before_it_could_be_asked_is_not_asked() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let approved = APPROVED.replace("command", "needs = [\"t0\"]\ncommand");
        let run = node.submit_as(place.run(&dag(&format!("{}{approved}", gated("t0", ""))))).await;
        place.card(&run, "running").await;
        all_is_told(&node).await;
        place.server.set_away(true);
        place.open("t0");
        let item = node.question(&run).await;
        give(&node, &item, "approve").await;
        node.reaches(&run, RunState::Succeeded).await;
        place.server.set_away(false);
        place.card(&run, "succeeded").await;
        place.whole(&node, &run).await;
        assert_eq!(place.said("cis.dag.question", &run).len(), 0);
        node.stop().await;
    });
}
