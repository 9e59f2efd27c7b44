//! Tests of commands in a room: looking at runs, steering them, and starting them from files.

use std::fs;
use std::os::unix::fs::symlink;

use cis_core::event::{RunState, TaskState};
use serde_json::json;

use super::heard::{EVE, Place, WAITS, answer_in, hears, runs, state_of};
use super::{ANN, ASKS, BOB, CIS, followed, warns};
use crate::harness::{eventually, on_a_runtime};
use crate::homeserver::reply;

#[test]
fn a_room_sees_and_controls_its_own_runs_only() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let other = place.server.room("elsewhere", EVE, &[CIS]);
        let run = place.run(&node, ASKS).await;
        let (_, item) = place.asked(&run).await;
        let theirs = node.submit_as(followed(WAITS, &other)).await;
        hears(&node, &other).await;
        let say = async |text: &str| {
            let event = place.server.writes(&other, EVE, text);
            answer_in(&place.server, &other, &event).await
        };
        let listed = say("!cis runs").await;
        assert!(listed.contains("waits") && !listed.contains("asks"), "{listed}");
        assert!(say("!cis status").await.contains("0 waiting for you"));
        for (command, says) in [
            (format!("!cis cancel {run}"), format!("There is no run “{run}” of this room.")),
            (format!("!cis answer {item} y"), format!("There is no question “{item}” of this room.")),
            ("!cis logs t".to_owned(), "There is no task “t” of this room.".to_owned()),
            (format!("!cis logs {run}:t"), format!("There is no task “{run}:t” of this room.")),
            ("!cis screen t".to_owned(), "There is no session “t” of this room.".to_owned()),
        ] {
            let said = say(&command).await;
            assert!(said.contains(&says), "{command}: {said}");
        }
        // The question of the other room is none here.
        let (question, _) = place.asked(&run).await;
        place.server.says(&other, EVE, ("m.room.message", reply(&question.id, "yes")));
        say("!cis help").await;
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        say("!cis cancel waits").await;
        node.reaches(&theirs, RunState::Cancelled).await;
        node.stop().await;
    });
}

#[test]
fn a_run_is_cancelled_and_retried_by_the_name_that_people_give_it() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let first = place.run(&node, WAITS).await;
        let second = place.run(&node, WAITS).await;
        let which = place.told(BOB, "!cis cancel waits").await;
        assert!(which.contains("Which run? There are:"), "{which}");
        let said = place.told(BOB, &format!("!cis cancel {first}")).await;
        assert!(said.contains("waits is being cancelled"), "{said}");
        node.reaches(&first, RunState::Cancelled).await;
        // One is open now.
        place.told(BOB, "!cis cancel waits").await;
        node.reaches(&second, RunState::Cancelled).await;
        let over = place.told(BOB, &format!("!cis cancel {second}")).await;
        assert!(over.contains("Not done:"), "{over}");
        let text = format!(
            "version = 1\n[dag]\nid = \"flaky\"\n[[tasks]]\nid = \"f\"\ntty = false\nscript = \"[ -e {0} ]\"\n",
            place.scratch.path().join("fixed").display()
        );
        let run = place.run(&node, &text).await;
        node.reaches(&run, RunState::Failed).await;
        fs::write(place.scratch.path().join("fixed"), "").unwrap();
        let said = place.told(BOB, "!cis retry flaky").await;
        assert!(said.contains("flaky is tried again"), "{said}");
        eventually("it succeeds", async || {
            (state_of(&node, &run).await == RunState::Succeeded).then_some(())
        })
        .await;
        node.stop().await;
    });
}

#[test]
fn what_a_task_printed_and_what_its_terminal_shows_is_shown_in_the_room() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, ASKS).await;
        let (question, _) = place.asked(&run).await;
        let session = node.client.task(&run, "t").await.unwrap().session.unwrap().to_string();
        let shown = place.told(BOB, &format!("!cis screen {session}")).await;
        assert!(shown.contains("Screen of") && shown.contains("Deploy?"), "{shown}");
        place.replies(BOB, &question.id, "yes");
        node.reaches(&run, RunState::Succeeded).await;
        let log = place.told(BOB, &format!("!cis logs {run}:t")).await;
        assert!(log.contains("Log of t") && log.contains("got y"), "{log}");
        let ended = place.told(BOB, "!cis screen t").await;
        assert!(ended.contains("has ended") && ended.contains(":t"), "{ended}");
        let silent = place.run(&node, &WAITS.replace("echo begun; ", "")).await;
        node.task_is(&silent, "w", TaskState::Running).await;
        let log = place.told(BOB, "!cis logs w").await;
        assert!(log.contains("nothing was printed"), "{log}");
        let none = place.told(BOB, "!cis logs nothing").await;
        assert!(none.contains("There is no task “nothing”"), "{none}");
        node.stop().await;
    });
}

#[test]
fn a_wrong_verdict_about_a_session_is_reported_from_the_room() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, ASKS).await;
        place.asked(&run).await;
        let said = place.told(BOB, "!cis report t perhaps").await;
        assert!(said.contains("Say also what it waits for"), "{said}");
        assert!(!place.home().join("reports").exists());
        let said = place.told(BOB, "!cis report t none").await;
        assert!(said.contains("Kept on the machine of the node"), "{said}");
        assert_eq!(fs::read_dir(place.home().join("reports")).unwrap().count(), 1);
        let said = place.told(BOB, "!cis report nowhere none").await;
        assert!(said.contains("There is no session “nowhere”"), "{said}");
        node.stop().await;
    });
}

#[test]
fn a_command_with_a_mistake_gets_a_hint_and_talk_gets_nothing() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        for (command, hint) in [
            ("!cis cancle waits", "!cis cancel RUN"),
            ("!cis dance", "There is no command “dance”."),
            ("!cis cancel", "Say also which one."),
            ("!cis status now", "`status` stands alone."),
            ("!cis cancel waits\n!cis help", "A command has one line"),
            ("!cis answer abc", "Say also what you answer."),
            ("!cis run ../../etc/passwd", "is not the name of a DAG"),
        ] {
            let event = place.writes(BOB, command);
            let said = place.answer_to(&event).await;
            assert!(said.contains(hint), "{command}: {said}");
            place.is_read(&event).await;
        }
        let edit = json!({
            "msgtype": "m.text", "body": "* !cis cancel waits",
            "m.new_content": { "msgtype": "m.text", "body": "!cis cancel waits" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": "$event0" },
        });
        let notice = json!({ "msgtype": "m.notice", "body": "!cis cancel waits" });
        let talk = [
            place.writes(ANN, "!cisco is down"),
            place.writes(ANN, "did you say !cis cancel waits?"),
            place.writes(CIS, "!cis cancel waits"),
            place.server.says(&place.room, ANN, ("m.room.message", edit)),
            place.server.says(&place.room, ANN, ("m.room.message", notice)),
            place.server.writes(&place.room, "@mallory:elsewhere", "!cis cancel waits"),
            place.server.writes(&place.room, "no user", "!cis cancel waits"),
        ];
        place.all_is_heard().await;
        for event in &talk {
            assert!(place.answers_to(event).is_empty() && !place.server.has_read(CIS, event), "{event}");
        }
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        node.stop().await;
    });
}

#[test]
fn files_are_started_from_a_room_with_parameters_and_only_those_below_their_folders() {
    on_a_runtime(async {
        let place = Place::new();
        let (dags, home) = (place.dags(), place.scratch.path());
        let text = "version = 1\n[dag]\nid = \"hello\"\n[dag.params]\nwho = { type = \"string\", default = \"nobody\" }\n[[tasks]]\nid = \"say\"\ntty = false\nscript = 'echo \"hello {{ params.who }} in $PWD\"'\n";
        fs::create_dir(dags.join("deploy")).unwrap();
        fs::write(dags.join("deploy/prod.toml"), text).unwrap();
        fs::write(home.join("secret.toml"), text).unwrap();
        symlink("../secret.toml", dags.join("out.toml")).unwrap();
        let node = place.starter().await;
        assert!(place.told(BOB, "!cis runs").await.contains("No runs."));
        let unknown = place.told(BOB, "!cis run shop").await;
        assert!(unknown.contains("There is no DAG “shop” here. There are: deploy/prod, out."), "{unknown}");
        let refused = place.told(BOB, "!cis run out").await;
        assert!(refused.contains("The DAG “out” cannot be read:"), "{refused}");
        assert!(!refused.contains(home.to_str().unwrap()), "{refused}");
        let refused = place.told(BOB, "!cis run deploy/prod colour=red").await;
        assert!(refused.contains("“deploy/prod” has no parameter “colour”."), "{refused}");
        fs::write(dags.join("wrong.toml"), "version = 1\nnonsense = \"hunter2\"\n").unwrap();
        let refused = place.told(BOB, "!cis run wrong").await;
        assert!(refused.contains("cis dag validate") && !refused.contains("hunter2"), "{refused}");
        place.told(EVE, "!cis run deploy/prod").await;
        assert!(runs(&node).await.is_empty());
        let command = place.writes(BOB, "!cis run deploy/prod.toml who=\"Ann & Bob\"");
        let run = eventually("it is started", async || runs(&node).await.pop()).await;
        let ended = node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(ended.run.room.as_ref(), Some(&place.room));
        let log = node.log_of(&run, "say").await;
        let expected = format!("hello Ann & Bob in {}", dags.join("deploy").display());
        assert!(log.contains(&expected), "{log}");
        place.card(&run).await;
        place.all_is_heard().await;
        assert!(place.answers_to(&command).is_empty(), "its card says it");
        node.stop().await;
    });
}

#[test]
fn a_room_that_is_configured_by_its_alias_starts_runs_and_others_start_none() {
    on_a_runtime(async {
        let place = Place::new();
        fs::write(place.dags().join("waits.toml"), WAITS).unwrap();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        let refused = place.told(BOB, "!cis run waits").await;
        assert!(refused.contains("No DAG can be started from a room here"), "{refused}");
        place.told(BOB, "!cis cancel waits").await;
        node.reaches(&run, RunState::Cancelled).await;
        node.stop().await;
        place.server.set_alias(&place.room, "#builds:tests");
        let dirs = format!("matrix.run_dirs=[{:?}]", place.dags());
        let flags = [dirs.as_str(), "dag.room_id=#builds:tests", "matrix.ended_age=1s"];
        let node = place.node(&flags).await;
        hears(&node, &place.room).await;
        place.writes(BOB, "!cis run waits");
        eventually("it is started", async || (runs(&node).await.len() == 2).then_some(())).await;
        node.stop().await;
        let node = place.node(&[&dirs, "dag.room_id=#nowhere:tests", "matrix.ended_age=1s"]).await;
        warns(&node, &["nothing that is said in room #nowhere:tests is heard"]).await;
        node.stop().await;
    });
}
