//! Tests of how replies are shared by people.

use super::heard::{EVE, Place, WAITS};
use super::{ANN, BOB};
use crate::harness::on_a_runtime;

#[test]
fn one_person_leaves_replies_to_others() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        place.run(&node, WAITS).await;
        (0..10).for_each(|_| drop(place.writes(BOB, "!cis status")));
        let ann = place.writes(ANN, "!cis status");
        place.answer_to(&ann).await;
        node.stop().await;
    });
}

#[test]
fn who_asks_too_often_by_commands_with_replies_is_told_so() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        place.run(&node, WAITS).await;
        (0..10).for_each(|_| drop(place.writes(BOB, "!cis status")));
        let often = place.writes(BOB, "!cis status");
        assert!(place.answer_to(&often).await.contains("you ask faster than I can answer"));
        node.stop().await;
    });
}

#[test]
fn a_command_that_nobody_answers_does_not_use_up_what_somebody_is_told_once() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        place.run(&node, WAITS).await;
        place.writes(EVE, "!cis nodes");
        let help = place.writes(EVE, "!cis help");
        place.all_is_heard().await;
        assert_eq!(place.answers_to(&help).len(), 1);
        node.stop().await;
    });
}
