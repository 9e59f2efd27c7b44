//! The nodes of a room: what each knows of the others, whom it trusts, and to which of them tasks go.

use cis_core::api::{
    AdmitNode, CreateRun, GroupPlace, ListRuns, ProblemKind, RevokeNode, RoomNodeState, RoomNodeView,
};
use cis_core::dag::Group;
use cis_core::event::{ExecutionMode, RunState, TaskState};
use cis_core::identity::Right;
use cis_core::ids::NodeDid;
use cis_node::RoomsInMemory;

use crate::harness::{
    Node, ROOM, Room, SLOTS, eventually, let_work, lines, on_a_runtime, problem_of, request, shared, start,
    task,
};
use crate::shared::{dag, node_of, waiting_task};

/// What a node knows of another one, once that fits.
async fn listed(at: &Node, of: &NodeDid, fits: impl Fn(&RoomNodeView) -> bool) -> RoomNodeView {
    eventually("the node is listed so", async || {
        let nodes = at.client.nodes(Some(ROOM)).await.unwrap().items;
        nodes.into_iter().find(|node| node.did == *of && fits(node))
    })
    .await
}

#[test]
fn a_node_lists_what_the_others_offer_and_what_they_work_on() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let coordinator = &room.coordinator;
        let more = ["federation.name=gpu-box", r#"federation.tags=["gpu"]"#];
        let builder = start(&scratch.path().join("b"), "worker", &more, &room.rooms).await;
        let pending = listed(coordinator, &builder.did, |node| !node.name.is_empty()).await;
        assert_eq!((pending.state, pending.name.as_str()), (RoomNodeState::Pending, "gpu-box"));
        assert!(pending.may.is_empty(), "{pending:?}");
        let_work(&builder, coordinator).await;
        let online = listed(coordinator, &builder.did, |node| node.slots == SLOTS).await;
        assert_eq!((online.state, online.sessions), (RoomNodeState::Online, 0));
        assert_eq!(online.tags, ["gpu".to_owned()].into());
        assert_eq!(online.may, [Right::Execute].into());
        assert!(
            !online.version.is_empty() && online.heard_ms_ago.is_some_and(|ms| ms < 60_000),
            "{online:?}"
        );
        let own = listed(coordinator, &coordinator.did, |_| true).await;
        assert_eq!((own.state, own.slots), (RoomNodeState::Here, 0));
        let tasks =
            waiting_task("a", scratch.path()).replace("id = \"a\"\n", "id = \"a\"\ntags = [\"gpu\"]\n");
        let run = coordinator.submit_as(shared(&dag(&tasks))).await;
        let busy = listed(coordinator, &builder.did, |node| !node.tasks.is_empty()).await;
        assert_eq!(
            (busy.tasks[0].run.to_string(), busy.tasks[0].task.to_string()),
            (run.clone(), "a".to_owned())
        );
        builder.client.drain_node(true).await.unwrap();
        assert_eq!(listed(&builder, &builder.did, |_| true).await.state, RoomNodeState::Draining);
        listed(coordinator, &builder.did, |node| node.state == RoomNodeState::Draining).await;
        builder.client.pause_node(true).await.unwrap();
        listed(coordinator, &builder.did, |node| node.state == RoomNodeState::Paused).await;
        assert!(coordinator.client.nodes(Some("!other:memory")).await.unwrap().items.is_empty());
        std::fs::write(scratch.path().join("go"), "").unwrap();
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").node.as_ref().map(|node| node.label()), Some("gpu-box"));
        listed(coordinator, &builder.did, |node| node.tasks.is_empty()).await;
        builder.stop().await;
        room.stop().await;
    });
}

#[test]
fn a_coordinator_that_also_works_executes_its_own_tasks() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = start(&scratch.path().join("n"), "both", &[], &RoomsInMemory::default()).await;
        std::fs::write(scratch.path().join("in"), "read\n").unwrap();
        let tasks = r#"
            [[tasks]]
            id = "a"
            inputs = ["in"]
            artifacts = ["out"]
            script = "ls > out"
            [[tasks]]
            id = "b"
            needs = ["a"]
            outputs = { out = { type = "string" } }
            script = 'echo "out=$(tr "\n" " " < out)" >> "$CIS_OUTPUT"'
        "#;
        let workdir = scratch.path().to_str().unwrap().to_owned();
        let run = node.submit_as(CreateRun { workdir, ..shared(&dag(tasks)) }).await;
        let detail = node.reaches(&run, RunState::Succeeded).await;
        for id in ["a", "b"] {
            assert_eq!(node_of(&detail, id).as_ref(), Some(&node.did), "{id}");
        }
        // Its directory is not that of the run.
        assert_eq!(task(&detail, "b").outputs["out"], "in out ");
        assert!(!scratch.path().join("out").exists());
        node.stop().await;
    });
}

#[test]
fn two_coordinators_share_a_worker_and_know_nothing_of_the_runs_of_each_other() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let (first, worker) = (&room.coordinator, &room.workers[0]);
        let second = start(&scratch.path().join("s"), "coordinator", &[], &room.rooms).await;
        let_work(worker, &second).await;
        listed(&second, &worker.did, |node| node.slots == SLOTS).await;
        let log = scratch.path().join("log");
        let text = |name: &str| {
            let task = |n: usize| {
                let log = log.display();
                let script = format!("echo \"+ {name}\" >> {log}; sleep 0.1; echo \"- {name}\" >> {log}");
                format!("[[tasks]]\nid = \"t{n}\"\nscript = '{script}'\n")
            };
            dag(&(0..6).map(task).collect::<String>())
        };
        let (one, other) =
            (first.submit_as(shared(&text("1"))).await, second.submit_as(shared(&text("2"))).await);
        first.reaches(&one, RunState::Succeeded).await;
        second.reaches(&other, RunState::Succeeded).await;
        // Both give their tasks at the same moment, and know nothing of each other's yet: the slots count for each of them.
        for name in ["1", "2"] {
            let (mut now, mut begun) = (0, 0);
            for line in lines(&log).iter().filter(|line| line.ends_with(name)) {
                now = if line.starts_with('+') { now + 1 } else { now - 1 };
                begun += u32::from(line.starts_with('+'));
                assert!(now <= SLOTS, "more than it has slots: {:?}", lines(&log));
            }
            assert_eq!(begun, 6, "each of them once");
        }
        // Of the runs of the other one, neither knows anything.
        assert_eq!(problem_of(first.client.run(&other).await).kind, ProblemKind::NotFound);
        assert_eq!(problem_of(second.client.take_over_run(&one).await).kind, ProblemKind::NotFound);
        second.stop().await;
        room.stop().await;
    });
}

#[test]
fn packed_tasks_fill_a_node_before_the_next_one_gets_any() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let rooms = RoomsInMemory::default();
        let pack = ["federation.placement=pack"];
        let coordinator = start(&scratch.path().join("c"), "coordinator", &pack, &rooms).await;
        let mut workers = Vec::new();
        for name in ["a", "b"] {
            let worker = start(&scratch.path().join(name), "worker", &[], &rooms).await;
            let_work(&worker, &coordinator).await;
            listed(&coordinator, &worker.did, |node| node.slots == SLOTS).await;
            workers.push(worker);
        }
        let first = coordinator.submit_as(shared(&dag(&waiting_task("a", scratch.path())))).await;
        coordinator.task_is(&first, "a", TaskState::Running).await;
        // By itself, so that the next one finds a full node.
        let second = coordinator.submit_as(shared(&dag(&waiting_task("b", scratch.path())))).await;
        coordinator.task_is(&second, "b", TaskState::Running).await;
        let third = coordinator.submit_as(shared(&dag(&waiting_task("c", scratch.path())))).await;
        let pids = scratch.path().join("pids");
        eventually("all of them work", async || (lines(&pids).len() == 3).then_some(())).await;
        std::fs::write(scratch.path().join("go"), "").unwrap();
        let first = coordinator.reaches(&first, RunState::Succeeded).await;
        let second = coordinator.reaches(&second, RunState::Succeeded).await;
        let third = coordinator.reaches(&third, RunState::Succeeded).await;
        let [a, b, c] = [node_of(&first, "a"), node_of(&second, "b"), node_of(&third, "c")];
        assert!(a == b && b != c, "{a:?} {b:?} {c:?}");
        for worker in workers {
            worker.stop().await;
        }
        coordinator.stop().await;
    });
}

#[test]
fn the_list_of_trusted_nodes_says_what_was_set_and_survives_a_restart() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let rooms = RoomsInMemory::default();
        let node = start(&scratch.path().join("n"), "coordinator", &[], &rooms).await;
        let other = start(&scratch.path().join("o"), "worker", &[], &rooms).await;
        let did = &other.did.0;
        let may = Some(vec![Right::Execute, Right::Submit]);
        node.client.trust(did, Some("builder".to_owned()), may).await.unwrap();
        // What is not said stays as it is.
        let identity = node.client.trust(did, None, None).await.unwrap();
        let [trusted] = &identity.trusted[..] else { panic!("{identity:?}") };
        assert_eq!((&trusted.did, trusted.name.as_deref()), (&other.did, Some("builder")));
        assert_eq!(trusted.may.len(), 2, "{trusted:?}");
        let wrong = problem_of(node.client.trust("did:key:zNoKey", None, None).await);
        assert_eq!(wrong.kind, ProblemKind::BadInput, "{wrong:?}");
        node.leave().await;
        let node = start(&scratch.path().join("n"), "coordinator", &[], &rooms).await;
        assert_eq!(node.client.identity().await.unwrap(), identity);
        assert!(node.client.untrust(did).await.unwrap().trusted.is_empty());
        let unknown = problem_of(node.client.untrust(did).await);
        assert_eq!(unknown.kind, ProblemKind::NotFound, "{unknown:?}");
        let revoked = node.client.revoke(did).await.unwrap();
        assert_eq!(revoked.revoked.len(), 1, "{revoked:?}");
        let own = problem_of(node.client.revoke(&node.did.0).await);
        assert!(matches!(own.kind, ProblemKind::Conflict | ProblemKind::BadInput), "{own:?}");
        other.stop().await;
        node.stop().await;
    });
}

#[test]
fn what_needs_a_homeserver_is_refused_without_one_and_changes_nothing() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let (client, worker) = (&room.coordinator.client, &room.workers[0]);
        let admit = AdmitNode {
            room: ROOM.to_owned(),
            did: worker.did.clone(),
            name: None,
            may: [Right::Coordinate].into(),
            tags: [].into(),
        };
        let revoke = RevokeNode { room: ROOM.to_owned(), did: worker.did.clone() };
        let place = GroupPlace { room: Some(ROOM.to_owned()) };
        let group = Group { limit: 1, frees_when_blocked: false };
        let refused = [
            problem_of(client.invite_nodes(ROOM).await),
            problem_of(client.admit_node(&admit).await),
            problem_of(client.revoke_node(&revoke).await),
            problem_of(client.set_group("press", &group, &place).await),
            problem_of(client.remove_group("press", &place).await),
        ];
        for problem in refused {
            assert!(matches!(problem.kind, ProblemKind::Conflict | ProblemKind::Denied), "{problem:?}");
        }
        let damaged = problem_of(worker.client.join_nodes("cis1Zm9v").await);
        assert_eq!(damaged.kind, ProblemKind::BadInput, "{damaged:?}");
        assert!(client.groups().await.unwrap().items.is_empty());
        assert_eq!(listed(&room.coordinator, &worker.did, |_| true).await.may, [Right::Execute].into());
        room.stop().await;
    });
}

#[test]
fn a_run_whose_room_and_mode_do_not_fit_is_refused() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let (text, rooms) = (dag("[[tasks]]\nid = \"a\"\nscript = \"true\"\n"), RoomsInMemory::default());
        let node = Node::start(&scratch.path().join("n"), &[], Some(&rooms)).await;
        let wrong = [
            (ExecutionMode::Local, Some(ROOM), "a local run has no room"),
            (ExecutionMode::Matrix, None, "needs a room"),
            (ExecutionMode::Matrix, Some("builds"), "`builds` names no room"),
            (ExecutionMode::Hybrid, None, "needs a room that follows it"),
        ];
        for (mode, room, words) in wrong {
            let run = CreateRun { mode, room: room.map(str::to_owned), ..request(&text) };
            let problem = problem_of(node.client.create_run(&run).await);
            assert_eq!(problem.kind, ProblemKind::BadInput, "{problem:?}");
            assert!(problem.detail.contains(words) && problem.hint.is_some(), "{problem:?}");
        }
        assert!(node.client.runs(&ListRuns::default()).await.unwrap().items.is_empty());
        node.stop().await;
    });
}

#[test]
fn a_shared_run_without_a_room_goes_to_the_configured_one_and_waits_for_nodes_that_it_names() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let of_room = format!("dag.room_id={ROOM}");
        let node = start(&scratch.path().join("n"), "both", &[&of_room], &RoomsInMemory::default()).await;
        let text = dag("[[tasks]]\nid = \"a\"\nnodes = [\"nobody\"]\nscript = \"true\"\n");
        let run = node.submit_as(CreateRun { room: None, ..shared(&text) }).await;
        assert_eq!(node.client.run(&run).await.unwrap().run.room.as_deref(), Some(ROOM));
        node.task_is(&run, "a", TaskState::Queued).await;
        // A node that takes over what it coordinates changes nothing.
        assert_eq!(node.client.take_over_run(&run).await.unwrap().node, node.did);
        assert_eq!(node.client.task(&run, "a").await.unwrap().attempts, 0);
        node.stop().await;
    });
}
