//! Tests of commands that are repeated, old or too many.

use std::fs;

use cis_core::event::RunState;
use cis_local::now_ms;
use serde_json::Value;

use super::heard::{EVE, MINUTE_MS, Place, WAITS, runs, state_of};
use super::{ANN, ASKS, BOB, CIS};
use crate::harness::{eventually, on_a_runtime};
use crate::homeserver::{reply, words};

#[test]
fn a_command_that_comes_twice_acts_once_also_after_a_restart() {
    on_a_runtime(async {
        let place = Place::encrypted();
        fs::write(place.dags().join("waits.toml"), WAITS).unwrap();
        let node = place.starter().await;
        let command = place.writes(BOB, "!cis run waits");
        let question = place.writes(BOB, "!cis status");
        place.answer_to(&question).await;
        place.server.repeat(&command);
        place.server.repeat(&question);
        // Its homeserver gives the same words another name.
        place.server.replay(&command);
        place.all_is_heard().await;
        assert_eq!(runs(&node).await.len(), 1);
        assert_eq!(place.answers_to(&question).len(), 1);
        node.leave().await;
        place.server.repeat(&command);
        place.server.replay(&command);
        let node = place.starter().await;
        place.all_is_heard().await;
        let all = runs(&node).await;
        assert_eq!(all.len(), 1);
        // What was written once more is a command of its own.
        place.writes(BOB, "!cis run waits");
        eventually("there is another run", async || (runs(&node).await.len() == 2).then_some(())).await;
        node.stop().await;
    });
}

#[test]
fn commands_that_are_old_or_of_the_future_do_nothing_and_answers_may_be_older() {
    on_a_runtime(async {
        let place = Place::new();
        let now = now_ms();
        place.server.set_since(&place.room, CIS, now - 180 * MINUTE_MS);
        let node = place.node(&["matrix.answer_age=2h"]).await;
        let run = place.run(&node, ASKS).await;
        let (question, item) = place.asked(&run).await;
        let at = |user: &str, said: (&str, Value), minutes: i64| {
            place.server.says_at(&place.room, user, said, now + minutes * MINUTE_MS)
        };
        let cancel = || words("!cis cancel asks");
        let old = at(BOB, cancel(), -11);
        let said = place.answer_to(&old).await;
        assert!(said.contains("Not done: it was written 11m") && said.contains("say it again"), "{said}");
        let early = at(BOB, cancel(), 60);
        let said = place.answer_to(&early).await;
        assert!(said.contains("in the future: a clock is wrong"), "{said}");
        let late = at(BOB, words(&format!("!cis answer {item} n")), -125);
        assert!(place.answer_to(&late).await.contains("it was written 2h"));
        // Nothing is said to this: the node was not there, she may do nothing, and that is talk.
        let silent = [
            at(BOB, cancel(), -200),
            at(EVE, cancel(), -11),
            at(BOB, ("m.room.message", reply(&place.card(&run).await, "hm")), -11),
        ];
        place.all_is_heard().await;
        assert!(silent.iter().all(|event| place.answers_to(event).is_empty()));
        assert!(!place.server.has_read(CIS, &old), "it was not taken");
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        at(BOB, ("m.room.message", reply(&question.id, "yes")), -60);
        node.reaches(&run, RunState::Succeeded).await;
        node.stop().await;
    });
}

#[test]
fn who_asks_too_often_is_told_so_once_and_others_are_heard() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, ASKS).await;
        let other = place.run(&node, WAITS).await;
        let (question, _) = place.asked(&run).await;
        (0..10).for_each(|_| drop(place.writes(BOB, "!cis status")));
        let told = place.told(BOB, "!cis cancel waits").await;
        assert!(told.contains("you ask faster than I can answer here: wait"), "{told}");
        let silent = place.writes(BOB, "!cis cancel waits");
        place.all_is_heard().await;
        assert!(place.answers_to(&silent).is_empty());
        assert_eq!(state_of(&node, &other).await, RunState::Running);
        // Answers are no requests.
        place.replies(BOB, &question.id, "yes");
        node.reaches(&run, RunState::Succeeded).await;
        place.told(ANN, "!cis cancel waits").await;
        node.reaches(&other, RunState::Cancelled).await;
        node.stop().await;
    });
}

#[test]
fn nobody_pushes_out_sealed_words_of_others() {
    on_a_runtime(async {
        let place = Place::encrypted();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        let first = place.server.writes_sealed(&place.room, EVE, "!cis help");
        let command = place.server.writes_sealed(&place.room, BOB, "!cis cancel waits");
        (0..120).for_each(|_| drop(place.server.writes_sealed(&place.room, EVE, "!cis help")));
        place.all_is_heard().await;
        place.server.unseal(&first);
        place.server.unseal(&command);
        node.reaches(&run, RunState::Cancelled).await;
        place.all_is_heard().await;
        assert!(place.answers_to(&first).is_empty(), "she pushed out her own");
        node.stop().await;
    });
}

#[test]
fn a_crowd_that_may_do_nothing_gets_a_few_replies_and_leaves_some_to_others() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        let mut crowd = Vec::new();
        for n in 0..20 {
            let user = format!("@guest{n}:tests");
            place.server.join(&place.room, &user);
            crowd.push(place.writes(&user, "!cis cancel waits"));
        }
        place.all_is_heard().await;
        let told: Vec<String> = crowd.iter().flat_map(|event| place.answers_to(event)).collect();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told.iter().all(|said| said.contains("you have no role")), "{told:?}");
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        node.stop().await;
    });
}
