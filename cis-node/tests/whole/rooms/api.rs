//! Tests of rooms through the API: making, joining, inviting, reading, and the rooms that runs get.

use std::fs;
use std::time::Duration;

use cis_core::api::{
    CreateMatrixRoom, CreateRun, InviteToMatrixRoom, MatrixRoomView, ProblemKind, ReadMatrixRoom, RecoverRuns,
};
use cis_core::event::ExecutionMode;
use cis_matrix::MatrixError;

use super::heard::hears;
use super::nodes::{SHORT, join, offline};
use super::{ANN, ASKS, BOB, CIS, followed, room_of_ann};
use crate::harness::{Node, eventually, on_a_runtime, problem_of, request};
use crate::homeserver::Server;

/// What comes in a room after `since`.
fn after(since: &str, wait_ms: u64) -> ReadMatrixRoom {
    ReadMatrixRoom { since: Some(since.to_owned()), wait_ms: Some(wait_ms) }
}

#[test]
fn a_node_makes_rooms_lists_them_and_invites_people_into_them() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::default();
        let node = Node::with_account(dir.path(), &[], server.account(CIS, "CIS")).await;
        let account = node.client.matrix_account().await.unwrap();
        assert_eq!((account.user_id.as_str(), account.device_id.as_str()), (CIS, "CIS"));
        assert_eq!((account.other_devices, account.away), (Some(0), None));
        drop(server.account(CIS, "PHONE"));
        assert_eq!(node.client.matrix_account().await.unwrap().other_devices, Some(1));
        let wanted = CreateMatrixRoom {
            name: "vault".to_owned(),
            topic: Some("secrets".to_owned()),
            encrypted: true,
            invite: vec![ANN.to_owned()],
        };
        let made = node.client.create_matrix_room(&wanted).await.unwrap();
        let theirs = server.room("theirs", ANN, &[]);
        server.set_alias(&theirs, "#theirs:tests");
        server.invite(&theirs, CIS);
        let rooms = node.client.matrix_rooms().await.unwrap().items;
        let by_id = |id: &str| rooms.iter().find(|room| room.room_id == id).cloned().unwrap();
        let expected = MatrixRoomView {
            room_id: made.room_id.clone(),
            name: "vault".to_owned(),
            alias: None,
            topic: Some("secrets".to_owned()),
            encrypted: Some(true),
            invited: false,
            members: 1,
        };
        assert_eq!(by_id(&made.room_id), expected);
        let invited = by_id(&theirs);
        assert!(invited.invited && invited.alias.as_deref() == Some("#theirs:tests"), "{invited:?}");
        assert_eq!(rooms.len(), 2);
        let link = format!("https://matrix.to/#/{theirs}?via=tests");
        let joined = node.client.join_matrix_room(&join(&link)).await.unwrap();
        assert!(!joined.invited && joined.members == 2, "{joined:?}");
        // By its alias, which only the homeserver knows.
        let users = vec![BOB.to_owned(), "@carl:tests".to_owned()];
        node.client.invite_to_matrix_room("#theirs:tests", &InviteToMatrixRoom { users }).await.unwrap();
        let invited = |user: &str| {
            let events = server.events(&theirs);
            events.iter().any(|event| {
                event.state_key.as_deref() == Some(user) && event.content.get().contains("invite")
            })
        };
        assert!(invited(BOB) && invited("@carl:tests"));
        node.stop().await;
    });
}

#[test]
fn what_cannot_be_asked_of_a_homeserver_is_refused_before_it_is_asked() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = Node::with_account(dir.path(), &[], server.account(CIS, "CIS")).await;
        let client = &node.client;
        let named = |name: &str| CreateMatrixRoom { name: name.to_owned(), ..CreateMatrixRoom::default() };
        let long = "x".repeat(1025);
        let crowd = vec![ANN.to_owned(); 101];
        let topic = CreateMatrixRoom { topic: Some(long.clone()), ..named("a") };
        let crowded = CreateMatrixRoom { invite: crowd.clone(), ..named("a") };
        for request in [named(" "), named(&long), topic, crowded] {
            let problem = problem_of(client.create_matrix_room(&request).await);
            assert_eq!(problem.kind, ProblemKind::BadInput, "{problem:?}");
        }
        let invite = InviteToMatrixRoom { users: crowd };
        assert_eq!(
            problem_of(client.invite_to_matrix_room(&room, &invite).await).kind,
            ProblemKind::BadInput
        );
        let names_none = problem_of(client.join_matrix_room(&join("builds")).await);
        assert!(names_none.detail.contains("take an id"), "{names_none:?}");
        let relative = RecoverRuns { workdir: "here".to_owned() };
        let problem = problem_of(client.recover_runs(&room, &relative).await);
        assert!(problem.detail.contains("not absolute"), "{problem:?}");
        assert_eq!(client.matrix_rooms().await.unwrap().items.len(), 1, "none was made");
        node.stop().await;
    });
}

#[test]
fn an_error_of_the_homeserver_is_a_problem_of_its_kind() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = Node::with_account(dir.path(), &[], server.account(CIS, "CIS")).await;
        let client = &node.client;
        let detail = || "the test".to_owned();
        let request = CreateMatrixRoom { name: "a".to_owned(), ..CreateMatrixRoom::default() };
        for (error, kind) in [
            (MatrixError::RateLimited { retry_after: Duration::from_secs(9) }, ProblemKind::Unavailable),
            (offline(), ProblemKind::Unavailable),
            (MatrixError::Forbidden { detail: detail() }, ProblemKind::Denied),
            (MatrixError::TooLarge { detail: detail() }, ProblemKind::BadInput),
            (MatrixError::NotFound { what: detail() }, ProblemKind::NotFound),
            (MatrixError::Unsigned, ProblemKind::Conflict),
            (MatrixError::Unauthorized { detail: detail() }, ProblemKind::Conflict),
            (MatrixError::Other { status: Some(500), detail: detail() }, ProblemKind::Internal),
        ] {
            server.fail("create_room", error.clone());
            let problem = problem_of(client.create_matrix_room(&request).await);
            assert_eq!((problem.kind, &problem.detail), (kind, &error.to_string()));
        }
        let strange = server.room("strange", ANN, &[]);
        let denied = problem_of(client.join_matrix_room(&join(&strange)).await);
        assert_eq!(denied.kind, ProblemKind::Denied, "{denied:?}");
        let outside = problem_of(client.audit_matrix_room(&strange).await);
        assert_eq!(outside.kind, ProblemKind::NotFound);
        assert!(outside.hint.unwrap().contains("cis matrix list-rooms"));
        let unknown = problem_of(client.nodes(Some("#none:tests")).await);
        assert_eq!(unknown.kind, ProblemKind::NotFound, "{unknown:?}");
        // A login that was ended elsewhere.
        server.fail("whoami", MatrixError::Unauthorized { detail: detail() });
        let over = problem_of(client.matrix_account().await);
        assert!(over.kind == ProblemKind::Conflict && over.hint.unwrap().contains("cis matrix login"));
        assert_eq!(client.nodes(Some(&room)).await.unwrap().items, []);
        node.stop().await;
    });
}

#[test]
fn a_room_is_read_from_a_place_or_an_event_on_and_what_comes_is_waited_for() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = Node::with_account(dir.path(), &[], server.account(CIS, "CIS")).await;
        let client = &node.client;
        let first = server.writes(&room, ANN, "one");
        let now = client.read_matrix_room(&room, &ReadMatrixRoom::default()).await.unwrap();
        assert!(now.items.is_empty());
        let none = client.read_matrix_room(&room, &after(&now.next, 0)).await.unwrap();
        assert!(none.items.is_empty() && none.next == now.next, "{none:?}");
        let second = server.writes(&room, ANN, "two");
        let sealed = server.writes_sealed(&room, ANN, "three");
        for since in [&now.next, &first] {
            let read = client.read_matrix_room(&room, &after(since, 0)).await.unwrap();
            let ids: Vec<&String> = read.items.iter().map(|item| &item.id).collect();
            assert_eq!(ids, [&second, &sealed], "after {since}");
            assert_eq!((read.items[0].sender.as_str(), read.items[0].kind.as_str()), (ANN, "m.room.message"));
            assert!(read.items[0].content.get().contains("two"));
            assert_eq!(read.items[1].kind, "m.room.encrypted");
        }
        let end = client.read_matrix_room(&room, &after(&sealed, 0)).await.unwrap().next;
        // It comes while somebody waits, and what happens in another room is not it.
        let waiting = after(&end, 20_000);
        let (read, third) = tokio::join!(client.read_matrix_room(&room, &waiting), async {
            let other = server.room("other", ANN, &[CIS]);
            server.writes(&other, ANN, "elsewhere");
            server.writes(&room, ANN, "four")
        });
        let read = read.unwrap();
        assert_eq!(read.items.iter().map(|item| &item.id).collect::<Vec<_>>(), [&third]);
        let unknown = problem_of(client.read_matrix_room(&room, &after("$none", 0)).await);
        assert_eq!(unknown.kind, ProblemKind::NotFound, "{unknown:?}");
        // Somebody removes the account meanwhile.
        let waiting = after(&read.next, 20_000);
        let (left, ()) = tokio::join!(client.read_matrix_room(&room, &waiting), async {
            server.until(&room, "the room", |_| Some(())).await;
            server.leave(&room, CIS);
        });
        assert_eq!(problem_of(left).kind, ProblemKind::NotFound);
        node.stop().await;
    });
}

#[test]
fn a_homeserver_that_is_away_is_named_and_what_it_tells_later_is_read() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = Node::with_account(dir.path(), &[], server.account(CIS, "CIS")).await;
        let client = &node.client;
        let known = server.writes(&room, ANN, "known");
        server.set_away(true);
        let account = client.matrix_account().await.unwrap();
        assert!(account.away.unwrap().contains("does not answer") && account.other_devices.is_none());
        server.set_away(false);
        // The place of an event, or a page of the room, is asked for again.
        let mut since = known;
        for method in ["place_after", "forward"] {
            server.fail(method, offline());
            let waiting = after(&since, 20_000);
            let (read, said) = tokio::join!(client.read_matrix_room(&room, &waiting), async {
                eventually("it has failed", async || (!server.has_failures()).then_some(())).await;
                server.writes(&room, ANN, "at last")
            });
            let read = read.unwrap();
            assert_eq!(read.items.iter().map(|item| &item.id).collect::<Vec<_>>(), [&said], "{method}");
            assert_eq!(read.away, None);
            since = read.next;
        }
        node.stop().await;
    });
}

#[test]
fn a_hybrid_run_without_a_room_is_followed_by_one_that_the_node_makes_once() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::default();
        let invite = format!("dag.matrix.invite=[\"{ANN}\"]");
        let flags = [
            "dag.matrix.auto_create_room=true",
            "dag.matrix.room_name=own",
            &invite,
            "dag.matrix.encrypted=true",
        ];
        let own = || CreateRun { mode: ExecutionMode::Hybrid, ..request(SHORT) };
        let node = Node::with_account(dir.path(), &flags, server.account(CIS, "CIS")).await;
        // Two at once make one room.
        let (one, two) = (own(), own());
        let (one, two) = tokio::join!(node.client.create_run(&one), node.client.create_run(&two));
        let room = one.unwrap().room.unwrap();
        assert_eq!(two.unwrap().room.as_ref(), Some(&room));
        let [made] = &node.client.matrix_rooms().await.unwrap().items[..] else { panic!("more than one") };
        assert_eq!((made.name.as_str(), made.encrypted), ("own", Some(true)));
        let invited = server.events(&room).iter().any(|event| event.state_key.as_deref() == Some(ANN));
        assert!(invited, "{:?}", server.events(&room));
        node.stop().await;
        let node = Node::with_account(dir.path(), &flags, server.account(CIS, "CIS")).await;
        assert_eq!(node.client.create_run(&own()).await.unwrap().room.as_ref(), Some(&room), "kept");
        node.stop().await;
        // Another account has another one.
        let node = Node::with_account(dir.path(), &flags, server.account(BOB, "CIS")).await;
        let other = node.client.create_run(&own()).await.unwrap().room.unwrap();
        assert_ne!(other, room);
        let kept = node.home.own_room();
        fs::write(&kept, "{").unwrap();
        let damaged = problem_of(node.client.create_run(&own()).await);
        assert_eq!(damaged.kind, ProblemKind::Unavailable, "{damaged:?}");
        assert!(damaged.detail.contains(kept.to_str().unwrap()), "{damaged:?}");
        node.stop().await;
    });
}

#[test]
fn a_run_without_a_usable_room_is_refused_with_what_to_do() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        server.set_alias(&room, "#builds:tests");
        let flags = ["dag.matrix.auto_create_room=false"];
        let node = Node::with_account(&dir.path().join("a"), &flags, server.account(CIS, "CIS")).await;
        let strange = server.room("strange", ANN, &[]);
        let of =
            |mode, room: Option<&str>| CreateRun { mode, room: room.map(str::to_owned), ..request(SHORT) };
        for (mode, named, kind, hint) in [
            (ExecutionMode::Local, Some(room.as_str()), ProblemKind::BadInput, "--hybrid"),
            (ExecutionMode::Hybrid, None, ProblemKind::BadInput, "auto_create_room"),
            (ExecutionMode::Matrix, None, ProblemKind::BadInput, "--room ROOM"),
            (ExecutionMode::Hybrid, Some("builds"), ProblemKind::BadInput, "#builds:example.org"),
            (ExecutionMode::Hybrid, Some(&strange), ProblemKind::Denied, "--local"),
        ] {
            let problem = problem_of(node.client.create_run(&of(mode, named)).await);
            assert_eq!(problem.kind, kind, "{problem:?}");
            assert!(problem.hint.as_ref().is_some_and(|it| it.contains(hint)), "{problem:?}");
        }
        let run = node.client.create_run(&of(ExecutionMode::Hybrid, Some(&room))).await.unwrap();
        assert_eq!(run.room, Some(room));
        node.stop().await;
        let flags = ["dag.matrix.enabled=false"];
        let node = Node::with_account(&dir.path().join("b"), &flags, server.account(BOB, "CIS")).await;
        let problem = problem_of(node.client.create_run(&of(ExecutionMode::Hybrid, None)).await);
        assert!(
            problem.kind == ProblemKind::Conflict && problem.hint.unwrap().contains("dag.matrix.enabled")
        );
        node.stop().await;
    });
}

#[test]
fn a_room_that_was_just_made_is_listed_by_its_name() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = Node::with_account(dir.path(), &[], server.account(CIS, "CIS")).await;
        let run = node.submit_as(followed(ASKS, &room)).await;
        node.question(&run).await;
        hears(&node, &room).await;
        for n in 0..5 {
            let (name, topic, encrypted) = (format!("room {n}"), None, false);
            let wanted = CreateMatrixRoom { name: name.clone(), topic, encrypted, invite: Vec::new() };
            let made = node.client.create_matrix_room(&wanted).await.unwrap();
            let rooms = node.client.matrix_rooms().await.unwrap().items;
            let listed = rooms.into_iter().find(|room| room.room_id == made.room_id);
            assert_eq!(listed.map(|room| room.name), Some(name));
        }
        node.stop().await;
    });
}
