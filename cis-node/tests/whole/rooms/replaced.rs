//! Tests of rooms that are replaced by other ones.

use cis_core::api::{CreateRun, SetMode};
use cis_core::event::{ExecutionMode, RunState};
use cis_matrix::RoomEvent;

use super::heard::{EVE, Place, WAITS, asked_in, hears};
use super::{ANN, ASKS, BOB, CIS, content, followed, is_well, warns};
use crate::harness::{Node, eventually, on_a_runtime, request};
use crate::homeserver::reply;

#[test]
fn runs_go_on_in_the_room_that_took_the_place_of_theirs() {
    on_a_runtime(async {
        let place = Place::encrypted();
        let node = place.node(&[]).await;
        let run = place.run(&node, ASKS).await;
        place.asked(&run).await;
        // It is encrypted, too, before anybody hears of it.
        let new = place.server.room("the next one", ANN, &[CIS]);
        place.server.encrypt(&new);
        place.server.set_predecessor(&new, &place.room);
        place.server.points_to(&place.room, ANN, &new);
        let (_, item) = asked_in(&place.server, &new, &run).await;
        assert_eq!(node.client.run(&run).await.unwrap().run.room.as_deref(), Some(new.as_str()));
        hears(&node, &new).await;
        is_well(&node).await;
        place.server.writes(&new, ANN, &format!("!cis answer {item} y"));
        node.reaches(&run, RunState::Succeeded).await;
        assert!(node.log_of(&run, "t").await.contains("got y"));
        node.stop().await;
    });
}

#[test]
fn runs_stay_where_a_room_is_replaced_by_one_that_says_or_keeps_less() {
    on_a_runtime(async {
        let place = Place::encrypted();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        let plain = place.server.replace(&place.room, ANN);
        warns(&node, &["it is not encrypted, as that one is"]).await;
        let room_of = async |run: &str| node.client.run(run).await.unwrap().run.room.unwrap_or_default();
        assert_eq!(room_of(&run).await, place.room);
        let said = place.told(BOB, "!cis runs").await;
        assert!(said.contains("waits"), "{said}");
        let about = |events: &[RoomEvent]| {
            events.iter().any(|event| content(event)["cis.dag.card"]["run"] == run.as_str())
        };
        assert!(!about(&place.server.events(&plain)), "nothing is told there");
        // The people who operate the node may take it there.
        let there = SetMode { mode: ExecutionMode::Hybrid, room: Some(plain.clone()) };
        node.client.set_mode(&run, &there).await.unwrap();
        place.server.until(&plain, "its card", |events| about(events).then_some(())).await;
        is_well(&node).await;
        // One that does not know of the other.
        let old = place.server.room("old", ANN, &[CIS]);
        let stranger = place.server.room("stranger", EVE, &[CIS]);
        let run = node.submit_as(followed(WAITS, &old)).await;
        hears(&node, &old).await;
        place.server.points_to(&old, ANN, &stranger);
        warns(&node, &["it does not say that it took that one's place"]).await;
        assert_eq!(room_of(&run).await, old);
        node.stop().await;
    });
}

#[test]
fn a_room_that_replaces_another_one_is_joined_once_the_node_is_invited() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, ASKS).await;
        let new = place.server.room("the next one", ANN, &[BOB]);
        place.server.set_level(&new, BOB, 50);
        place.server.set_predecessor(&new, &place.room);
        place.server.points_to(&place.room, ANN, &new);
        warns(&node, &["invite @cis:tests there, and it joins"]).await;
        place.server.invite(&new, CIS);
        let (question, _) = asked_in(&place.server, &new, &run).await;
        hears(&node, &new).await;
        place.server.says(&new, BOB, ("m.room.message", reply(&question.id, "yes")));
        node.reaches(&run, RunState::Succeeded).await;
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn the_room_that_replaces_a_nodes_own_one_is_its_own_from_then_on() {
    on_a_runtime(async {
        let place = Place::new();
        let dirs = format!("matrix.run_dirs=[{:?}]", place.dags());
        let flags = [
            dirs.as_str(),
            "dag.matrix.auto_create_room=true",
            "dag.matrix.encrypted=false",
            "dag.matrix.invite=[\"@ann:tests\"]",
        ];
        let node = place.node(&flags).await;
        let own = || CreateRun { mode: ExecutionMode::Hybrid, ..request(WAITS) };
        let room_of = async |node: &Node, run: &str| node.client.run(run).await.unwrap().run.room.unwrap();
        let run = node.submit_as(own()).await;
        let old = room_of(&node, &run).await;
        hears(&node, &old).await;
        place.server.join(&old, ANN);
        let new = place.server.replace(&old, ANN);
        hears(&node, &new).await;
        eventually("the run goes on there", async || (room_of(&node, &run).await == new).then_some(())).await;
        let next = node.submit_as(own()).await;
        assert_eq!(room_of(&node, &next).await, new);
        node.stop().await;
        // The room of runs that may be started is heard also where there is none yet.
        let node = place.node(&flags).await;
        hears(&node, &new).await;
        node.stop().await;
    });
}

#[test]
fn runs_follow_a_room_that_was_replaced_more_than_once_while_the_node_was_away() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, ASKS).await;
        place.asked(&run).await;
        node.leave().await;
        let second = place.server.replace(&place.room, ANN);
        let third = place.server.replace(&second, ANN);
        let node = place.node(&[]).await;
        let (_, item) = asked_in(&place.server, &third, &run).await;
        hears(&node, &third).await;
        place.server.writes(&third, ANN, &format!("!cis answer {item} y"));
        let ended = node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(ended.run.room, Some(third));
        is_well(&node).await;
        node.stop().await;
    });
}
