//! Tests of answers in a room: to which question, from whom, and what is said to those that do not count.

use cis_core::api::SetMode;
use cis_core::event::{ExecutionMode, RunState, TaskState};
use cis_local::now_ms;
use serde_json::json;

use super::heard::{EVE, GATE, MINUTE_MS, Place, WAITS, asked_in, hears, in_thread, state_of};
use super::{ANN, ASKS, BOB, CIS, content};
use crate::harness::on_a_runtime;
use crate::homeserver::{reaction, words};

#[test]
fn a_gate_is_approved_and_rejected_by_a_command_and_only_by_those_whom_its_file_names() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, GATE).await;
        let (_, item) = place.asked(&run).await;
        let wrong = place.told(BOB, &format!("!cis answer {item} perhaps")).await;
        assert!(wrong.contains("It does not take “perhaps”. Its options:"), "{wrong}");
        place.writes(BOB, &format!("!cis approve {item}"));
        node.reaches(&run, RunState::Succeeded).await;
        let run = place.run(&node, GATE).await;
        place.asked(&run).await;
        place.writes(BOB, &format!("!cis reject {run}:g it is Friday"));
        let failed = node.reaches(&run, RunState::Failed).await;
        let detail = failed.run.detail.unwrap();
        assert!(detail.contains("it is Friday") && detail.contains(BOB), "{detail}");
        let named = GATE.replace("Ship it?\"", "Ship it?\", allowed = [\"@eve:tests\"]");
        let run = place.run(&node, &named).await;
        let (question, item) = place.asked(&run).await;
        assert_eq!(
            content(&question)["m.mentions"]["user_ids"],
            json!([EVE]),
            "only who may decide is called"
        );
        let refused = place.told(ANN, &format!("!cis approve {item}")).await;
        assert!(refused.contains("this is decided by") && refused.contains("eve:tests"), "{refused}");
        assert!(!refused.contains("@eve:tests"), "it rings for nobody");
        assert_eq!(node.client.task(&run, "g").await.unwrap().state, TaskState::Queued);
        // She has no role, and the file names her.
        place.server.says(&place.room, EVE, reaction(&question.id, "👍🏽"));
        node.reaches(&run, RunState::Succeeded).await;
        node.stop().await;
    });
}

#[test]
fn words_to_the_card_of_a_run_that_moved_show_nothing_of_it() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let other = place.server.room("other", ANN, &[CIS]);
        // The node goes on hearing the room.
        place.run(&node, WAITS).await;
        let run = place.run(&node, GATE).await;
        let card = place.card(&run).await;
        let there = SetMode { mode: ExecutionMode::Hybrid, room: Some(other.clone()) };
        node.client.set_mode(&run, &there).await.unwrap();
        asked_in(&place.server, &other, &run).await;
        let event = place.replies(BOB, &card, "what waits there?");
        place.all_is_heard().await;
        assert!(place.answers_to(&event).is_empty(), "{:?}", place.answers_to(&event));
        node.stop().await;
    });
}

#[test]
fn words_to_a_card_point_once_to_the_questions_of_its_run() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, ASKS).await;
        let (question, item) = place.asked(&run).await;
        let card = place.card(&run).await;
        let event = place.replies(BOB, &card, "yes");
        let pointed = place.answer_to(&event).await;
        assert!(pointed.contains("This card asks nothing"), "{pointed}");
        assert!(pointed.contains(&format!("!cis answer {item} ")), "{pointed}");
        let silent = [
            place.replies(BOB, &card, "yes!"),
            place.replies(EVE, &card, "yes"),
            place.server.says(&place.room, ANN, reaction(&card, "✅")),
        ];
        place.all_is_heard().await;
        for event in &silent {
            assert!(place.answers_to(event).is_empty() && !place.server.has_read(CIS, event));
        }
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        place.replies(BOB, &question.id, "yes");
        node.reaches(&run, RunState::Succeeded).await;
        let event = place.replies(ANN, &card, "and now?");
        let pointed = place.answer_to(&event).await;
        assert!(pointed.contains("Nothing in this run waits for an answer now"), "{pointed}");
        node.stop().await;
    });
}

#[test]
fn what_is_no_answer_to_a_question_gets_a_hint_and_who_answers_late_hears_who_was_first() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, GATE).await;
        let (question, item) = place.asked(&run).await;
        let event = place.replies(BOB, &question.id, "> <@cis:tests> Ship it?\n\nmaybe");
        let hint = place.answer_to(&event).await;
        assert!(hint.contains("It does not take “maybe”. Its options:"), "{hint}");
        assert!(hint.contains(&format!("!cis answer {item} ")), "{hint}");
        let event = place.replies(BOB, &question.id, "> approve");
        assert!(place.answer_to(&event).await.contains("That says nothing."));
        // What is said to a reaction stands with the question.
        place.server.says(&place.room, BOB, reaction(&question.id, "9\u{fe0f}\u{20e3}"));
        assert!(place.answer_to(&question.id).await.contains("It does not take that number"));
        place.server.says(&place.room, BOB, reaction(&question.id, "🎉"));
        // In its thread people talk about it.
        let talk = place.server.says(&place.room, BOB, in_thread(&question.id, "approve it tomorrow?"));
        place.all_is_heard().await;
        assert_eq!(place.answers_to(&question.id).len(), 1);
        assert!(!place.server.has_read(CIS, &talk));
        assert_eq!(node.client.task(&run, "g").await.unwrap().state, TaskState::Queued);
        place.server.says(&place.room, BOB, in_thread(&question.id, "approve"));
        node.reaches(&run, RunState::Succeeded).await;
        let late = place.replies(ANN, &question.id, "reject");
        let said = place.answer_to(&late).await;
        assert!(said.contains("Not done:") && said.contains("bob:tests"), "{said}");
        let late = place.replies(ANN, &question.id, "maybe");
        let said = place.answer_to(&late).await;
        assert!(said.contains("Not done:") && said.contains("bob:tests"), "{said}");
        place.server.says(&place.room, ANN, reaction(&question.id, "8\u{fe0f}\u{20e3}"));
        let said = place
            .server
            .until(&place.room, "what is said to the reaction", |_| {
                place.answers_to(&question.id).into_iter().nth(1)
            })
            .await;
        assert!(said.contains("Not done:") && said.contains("bob:tests"), "{said}");
        node.stop().await;
    });
}

#[test]
fn a_question_is_named_by_its_task_its_run_or_its_session_and_some_need_a_terminal() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let names = "version = 1\n[dag]\nid = \"names\"\n[[tasks]]\nid = \"t\"\nscript = 'printf \"Which name? \"; read -r a; echo got $a'\n";
        let first = place.run(&node, names).await;
        let (question, _) = place.asked(&first).await;
        let second = place.run(&node, ASKS).await;
        place.asked(&second).await;
        let which = place.told(BOB, "!cis answer t Ann").await;
        assert!(which.contains("Which of them? There are:"), "{which}");
        let event = place.replies(BOB, &question.id, "Ann\nand Bob");
        assert!(place.answer_to(&event).await.contains("An answer has one line."));
        place.writes(BOB, &format!("!cis answer {first}:t Ann and Bob"));
        node.reaches(&first, RunState::Succeeded).await;
        assert!(node.log_of(&first, "t").await.contains("got Ann and Bob"));
        let session = node.client.task(&second, "t").await.unwrap().session.unwrap();
        place.writes(BOB, &format!("!cis answer {session} y"));
        node.reaches(&second, RunState::Succeeded).await;
        let secret = "version = 1\n[dag]\nid = \"secret\"\n[[tasks]]\nid = \"p\"\nscript = 'stty -echo; printf \"Password: \"; read -r a'\n";
        let run = place.run(&node, secret).await;
        let (question, _) = place.asked(&run).await;
        let event = place.replies(ANN, &question.id, "hunter2");
        let said = place.answer_to(&event).await;
        assert!(said.contains("A password is typed only in a terminal, never in a room."), "{said}");
        assert!(said.contains("cis dag attach"), "{said}");
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        node.stop().await;
    });
}

#[test]
fn words_that_are_older_than_a_question_answer_it_only_by_its_letters() {
    on_a_runtime(async {
        let place = Place::new();
        let before = now_ms() - MINUTE_MS;
        place.server.set_since(&place.room, CIS, before - MINUTE_MS);
        let node = place.node(&[]).await;
        let run = place.run(&node, GATE).await;
        let (_, item) = place.asked(&run).await;
        let says = |text: &str| place.server.says_at(&place.room, BOB, words(text), before);
        for name in ["g".to_owned(), format!("{run}:g")] {
            let said = place.answer_to(&says(&format!("!cis approve {name}"))).await;
            assert!(said.contains("this was asked after you wrote that"), "{said}");
            assert!(said.contains(&format!("!cis answer {item} approve")), "{said}");
        }
        assert_eq!(node.client.task(&run, "g").await.unwrap().state, TaskState::Queued);
        says(&format!("!cis approve {item}"));
        node.reaches(&run, RunState::Succeeded).await;
        node.stop().await;
    });
}

#[test]
fn a_question_is_not_answered_in_a_room_that_its_run_has_left() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        // The room is heard for this one.
        place.run(&node, WAITS).await;
        let run = place.run(&node, ASKS).await;
        let (question, item) = place.asked(&run).await;
        let other = place.server.room("elsewhere", ANN, &[CIS]);
        let there = SetMode { mode: ExecutionMode::Hybrid, room: Some(other.clone()) };
        node.client.set_mode(&run, &there).await.unwrap();
        let (_, moved) = asked_in(&place.server, &other, &run).await;
        assert_eq!(moved, item);
        let event = place.replies(BOB, &question.id, "yes");
        let said = place.answer_to(&event).await;
        assert!(said.contains("This is not known any more."), "{said}");
        let said = place.told(BOB, &format!("!cis answer {item} y")).await;
        assert!(said.contains("There is no question"), "{said}");
        // Who may answer nothing learns nothing of that.
        let silent =
            [place.replies(EVE, &question.id, "yes"), place.writes(EVE, &format!("!cis answer {item} y"))];
        place.all_is_heard().await;
        assert!(silent.iter().all(|event| place.answers_to(event).is_empty()));
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        hears(&node, &other).await;
        place.server.writes(&other, ANN, &format!("!cis answer {item} y"));
        node.reaches(&run, RunState::Succeeded).await;
        node.stop().await;
    });
}
