//! The slots of a worker that several coordinators of a room give tasks to.

use std::path::Path;

use cis_core::event::RunState;

use crate::harness::{Node, Room, SLOTS, eventually, let_work, lines, on_a_runtime, shared, start};
use crate::shared::dag;

/// So many tasks that last for this time, in s, and leave a line in a file when they begin and end.
fn counted(tasks: usize, seconds: &str, log: &Path) -> String {
    let task = |n| {
        let log = log.display();
        format!("[[tasks]]\nid = \"t{n}\"\nscript = 'echo + >> {log}; sleep {seconds}; echo - >> {log}'\n")
    };
    dag(&(0..tasks).map(task).collect::<String>())
}

/// How many of these tasks ran at one time at most, and how many ran.
fn most_at_a_time(log: &Path) -> (u32, usize) {
    let (mut now, mut most, mut begun) = (0_u32, 0, 0);
    for line in lines(log) {
        if line == "+" {
            (now, begun) = (now + 1, begun + 1);
            most = most.max(now);
        } else {
            now -= 1;
        }
    }
    (most, begun)
}

/// Waits until a coordinator knows what a worker offers.
async fn knows(coordinator: &Node, worker: &Node) {
    eventually("the worker offers slots", async || {
        let nodes = coordinator.client.nodes(None).await.unwrap().items;
        nodes.iter().any(|node| node.did == worker.did && node.slots == SLOTS).then_some(())
    })
    .await;
}

#[test]
fn two_coordinators_never_use_more_than_the_slots_of_a_worker_and_both_runs_end() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let other = start(&scratch.path().join("d"), "coordinator", &[], &room.rooms).await;
        let worker = &room.workers[0];
        let_work(worker, &other).await;
        knows(&other, worker).await;
        let log = scratch.path().join("log");
        let text = counted(6, "0.2", &log);
        let (one, two) =
            tokio::join!(room.coordinator.submit_as(shared(&text)), other.submit_as(shared(&text)));
        room.coordinator.reaches(&one, RunState::Succeeded).await;
        other.reaches(&two, RunState::Succeeded).await;
        assert_eq!(most_at_a_time(&log), (SLOTS, 12));
        other.stop().await;
        room.stop().await;
    });
}

/// Returns once the run of one coordinator, which has work for long, has left slots to the short run of another one.
async fn gives_way(long: &Node, short: &Node, scratch: &Path) {
    let log = scratch.join("log");
    let first = long.submit_as(shared(&counted(60, "0.1", &log))).await;
    eventually("it has all slots", async || (lines(&log).len() > 4).then_some(())).await;
    let second = short.submit_as(shared(&counted(3, "0.1", &log))).await;
    short.reaches(&second, RunState::Succeeded).await;
    let detail = long.client.run(&first).await.unwrap();
    assert!(!detail.run.state.is_terminal(), "the short run had to wait for all of the long one");
    long.reaches(&first, RunState::Succeeded).await;
    assert_eq!(most_at_a_time(&log), (SLOTS, 63));
}

#[test]
fn a_coordinator_with_much_work_leaves_slots_to_another_one() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let other = start(&scratch.path().join("d"), "coordinator", &[], &room.rooms).await;
        let_work(&room.workers[0], &other).await;
        knows(&other, &room.workers[0]).await;
        gives_way(&room.coordinator, &other, scratch.path()).await;
        other.stop().await;
        room.stop().await;
    });
}

#[test]
fn a_node_leaves_slots_to_the_runs_of_others_and_they_to_its_own() {
    on_a_runtime(async {
        for is_own_long in [true, false] {
            let scratch = tempfile::tempdir().unwrap();
            let room = Room::of(scratch.path(), 0).await;
            let node = start(&scratch.path().join("b"), "both", &[], &room.rooms).await;
            let_work(&node, &room.coordinator).await;
            knows(&room.coordinator, &node).await;
            let (long, short) =
                if is_own_long { (&node, &room.coordinator) } else { (&room.coordinator, &node) };
            gives_way(long, short, scratch.path()).await;
            node.stop().await;
            room.stop().await;
        }
    });
}
