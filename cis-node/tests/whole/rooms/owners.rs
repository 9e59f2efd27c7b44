//! Tests of rooms with owners: who is let in, who is revoked, and who takes a run over.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use cis_core::api::{
    AdmitNode, CancelRun, InboxItem, ListInbox, ProblemKind, RetryRun, RevokeNode, RoomNodeState, paths,
};
use cis_core::event::{NodeRule, RetryScope, RuleEffect, RunState, TaskState};
use cis_core::federation::envelope::{Draft, SIZE_MAX};
use cis_core::federation::export;
use cis_core::federation::membership::{JoinCode, Owners};
use cis_core::identity::{NodeKey, Right};
use cis_core::ids::NodeDid;
use cis_matrix::{MatrixError, RoomEvent};
use serde_json::{Value, json};
use ulid::Ulid;

use super::heard::EVE;
use super::nodes::{CARL, JOURNAL, is_told, listed, member, observer, reads, shared_in};
use super::{ANN, BOB, CIS, content, warns};
use crate::harness::{Node, SLOTS, eventually, lines, on_a_runtime, problem_of, task};
use crate::homeserver::Server;
use crate::shared::{node_of, says_why, waiting_task};
use crate::wire::post;

/// What a node says of itself.
const INFO: &str = "cis.dag.node.info";

/// What owners of a room say.
const TRUST: &str = "cis.dag.trust";

/// Lets a node into a room that another one owns.
async fn let_in(owner: &Node, node: &Node, room: &str, right: Right) {
    let code = owner.client.invite_nodes(room).await.unwrap().code;
    node.client.join_nodes(&code).await.unwrap();
    let (room, did) = (room.to_owned(), node.did.clone());
    let admit = AdmitNode { room, did, name: None, may: [right].into(), tags: [].into() };
    owner.client.admit_node(&admit).await.unwrap();
}

#[test]
fn an_owner_lets_nodes_into_its_room_and_revokes_them() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN]);
        server.invite(&room, BOB);
        let owner = member(&scratch.path().join("c"), (&server, &room), CIS, "coordinator").await;
        let unowned = problem_of(
            owner
                .client
                .revoke_node(&RevokeNode {
                    room: room.clone(),
                    did: NodeDid("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".to_owned()),
                })
                .await,
        );
        assert_eq!(unowned.kind, ProblemKind::Conflict, "{unowned:?}");
        // The homeserver limits the rate of the account meanwhile.
        server.fail("send_state", MatrixError::RateLimited { retry_after: Duration::from_millis(20) });
        let invitation = owner.client.invite_nodes(&room).await.unwrap();
        assert_eq!(invitation.owners, std::slice::from_ref(&owner.did));
        let worker = member(&scratch.path().join("w"), (&server, &room), BOB, "worker").await;
        let bad = problem_of(worker.client.join_nodes("cis-nothing").await);
        assert_eq!(bad.kind, ProblemKind::BadInput, "{bad:?}");
        let joined = worker.client.join_nodes(&invitation.code).await.unwrap();
        assert_eq!((&joined.room_id, &joined.did), (&room, &worker.did));
        let pending = listed(&owner, &worker.did, |node| node.user_id.is_some()).await;
        assert_eq!((pending.state, pending.user_id.as_deref()), (RoomNodeState::Pending, Some(BOB)));
        let admit = AdmitNode {
            room: room.clone(),
            did: worker.did.clone(),
            name: Some("builder".to_owned()),
            may: [Right::Execute].into(),
            tags: ["gpu".to_owned()].into(),
        };
        let denied = problem_of(worker.client.admit_node(&admit).await);
        assert_eq!(denied.kind, ProblemKind::Denied, "{denied:?}");
        let nodes = owner.client.admit_node(&admit).await.unwrap().items;
        let view = nodes.iter().find(|node| node.did == worker.did).unwrap();
        assert_eq!((view.name.as_str(), &view.may, &view.only_tags), ("builder", &admit.may, &admit.tags));
        assert!(nodes.iter().any(|node| node.did == owner.did && node.owner));
        listed(&owner, &worker.did, |node| node.slots == SLOTS).await;
        let tasks = "[[tasks]]\nid = \"a\"\ntags = [\"gpu\"]\nscript = \"true\"\n";
        let run = owner.submit_as(shared_in(&room, scratch.path(), tasks)).await;
        let detail = owner.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").node.as_ref().map(|node| &node.did), Some(&worker.did));
        // What owners said is in the proof, also where it was said before what can be read of the room.
        is_told(&owner, &room, &run).await;
        let owners = Owners::one(owner.did.clone());
        for is_cut in [false, true] {
            if is_cut {
                for event in server
                    .events(&room)
                    .iter()
                    .filter(|event| event.kind == "m.room.create" || event.kind == TRUST)
                {
                    server.remove(&event.id);
                }
            }
            let file = owner.client.run_export(&run).await.unwrap();
            assert_eq!(file.contains("\"state 1\""), is_cut);
            let verdict = export::verify(&file, &owners).unwrap();
            assert!(verdict.holds(), "{:?}", verdict.wrong);
            assert_eq!((verdict.statements, verdict.name_of(&worker.did)), (2, Some("builder")));
        }
        let own = RevokeNode { room: room.clone(), did: owner.did.clone() };
        assert_eq!(problem_of(owner.client.revoke_node(&own).await).kind, ProblemKind::BadInput);
        let revoke = RevokeNode { room: room.clone(), did: worker.did.clone() };
        owner.client.revoke_node(&revoke).await.unwrap();
        assert_eq!(listed(&owner, &worker.did, |_| true).await.state, RoomNodeState::Revoked);
        worker.stop().await;
        owner.stop().await;
    });
}

/// The statements of owners in a room: their numbers and events.
fn statements(server: &Server, room: &str) -> Vec<(u64, String)> {
    let events = server.events(room).into_iter().filter(|event| event.kind == TRUST);
    events.map(|event| (content(&event)["body"]["n"].as_u64().unwrap(), event.id)).collect()
}

#[test]
fn what_owners_said_counts_after_a_redaction_and_if_the_homeserver_leaves_it_out() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB, CARL]);
        let home = |name: &str| scratch.path().join(name);
        let owner = member(&home("c"), (&server, &room), CIS, "coordinator").await;
        let thief = member(&home("t"), (&server, &room), BOB, "worker").await;
        let worker = member(&home("w"), (&server, &room), CARL, "worker").await;
        let_in(&owner, &thief, &room, Right::Execute).await;
        let_in(&owner, &worker, &room, Right::Execute).await;
        let revoke = RevokeNode { room: room.clone(), did: thief.did.clone() };
        owner.client.revoke_node(&revoke).await.unwrap();
        thief.stop().await;
        listed(&worker, &revoke.did, |node| node.state == RoomNodeState::Revoked).await;
        owner.stop().await;
        worker.stop().await;
        let said = statements(&server, &room);
        let numbers: Vec<u64> = said.iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        server.forge(&said[0].1, &json!({}));
        server.remove(&said[3].1);
        let owner = member(&home("c"), (&server, &room), CIS, "coordinator").await;
        let worker = member(&home("w"), (&server, &room), CARL, "worker").await;
        for node in [&owner, &worker] {
            let revocation = format!("4 (revocation of {}", revoke.did);
            warns(node, &[&room, "are missing", "1 (rights of", &revocation]).await;
            let found = listed(node, &revoke.did, |_| true).await;
            assert_eq!((found.state, found.may.len()), (RoomNodeState::Revoked, 0), "{found:?}");
            listed(node, &worker.did, |node| node.may == [Right::Execute].into()).await;
            listed(node, &owner.did, |node| node.owner && node.may.len() == 3).await;
        }
        // What the owner says next follows on what it said.
        let (did, may) = (worker.did.clone(), [Right::Submit].into());
        let admit = AdmitNode { room: room.clone(), did, name: None, may, tags: [].into() };
        owner.client.admit_node(&admit).await.unwrap();
        listed(&worker, &worker.did, |node| node.may == admit.may).await;
        worker.stop().await;
        owner.stop().await;
    });
}

/// It forgets that whenever it ends, and knows nobody before it has read what the owners said.
#[test]
fn a_coordinator_that_starts_again_is_told_at_once_what_the_members_of_its_room_offer() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN]);
        server.invite(&room, BOB);
        let home = scratch.path().join("c");
        let mut owner = member(&home, (&server, &room), CIS, "coordinator").await;
        // By itself, it does not say that again.
        let worker = super::nodes::quiet_worker(&scratch.path().join("w"), (&server, &room), BOB).await;
        let_in(&owner, &worker, &room, Right::Execute).await;
        listed(&owner, &worker.did, |node| node.slots == SLOTS).await;
        for _ in 0..5 {
            owner.stop().await;
            owner = member(&home, (&server, &room), CIS, "coordinator").await;
            listed(&owner, &worker.did, |node| node.slots == SLOTS).await;
        }
        worker.stop().await;
        owner.stop().await;
    });
}

/// Somebody writes to a node at which device another node is, and gives its key.
async fn introduces(server: &Server, room: &str, user: &str, seed: u8) -> NodeDid {
    let key = NodeKey::from_seed(&[seed; 32]);
    let body = json!({ "device": "CIS", "name": "builder", "version": "1.0.0", "works": true });
    let draft = Draft::of_room(INFO, body, Ulid::new(), room, user);
    let content = draft.sign(&key, SIZE_MAX).unwrap().into_content();
    let account = server.account(user, "CIS");
    account.homeserver.send_to_device(CIS, "CIS", INFO, &content).await.unwrap();
    key.did()
}

#[test]
fn a_node_without_rights_is_listed_only_if_its_account_is_in_the_room() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB]);
        server.invite(&room, CARL);
        let owner = member(&scratch.path().join("c"), (&server, &room), CIS, "coordinator").await;
        server.event(&room, INFO, |_| true).await;
        let mut strangers = Vec::new();
        for (user, seed) in [(EVE, 7), (CARL, 8)] {
            // It is asked about an account once more only when what was heard of it before is decided on.
            let stranger = eventually("what a stranger says is decided on", async || {
                let stranger = introduces(&server, &room, user, seed).await;
                (server.asked_about(user) > 1).then_some(stranger)
            });
            strangers.push(stranger.await);
        }
        let there = introduces(&server, &room, BOB, 9).await;
        let pending = listed(&owner, &there, |_| true).await;
        assert_eq!((pending.state, pending.name.as_str()), (RoomNodeState::Pending, "builder"));
        let nodes = owner.client.nodes(None).await.unwrap().items;
        assert!(!nodes.iter().any(|node| strangers.contains(&node.did)), "{nodes:?}");
        owner.stop().await;
    });
}

#[test]
fn a_node_obeys_the_owners_whose_join_code_it_took_and_refuses_others() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", ANN, &[CIS, BOB, CARL]);
        // No node may set state there: statements of owners go into the timeline.
        let owner = member(&scratch.path().join("c"), (&server, &room), CIS, "coordinator").await;
        let code = owner.client.invite_nodes(&room).await.unwrap().code;
        let (statement, _) = server.event(&room, TRUST, |_| true).await;
        assert_eq!(statement.state_key, None);
        // The same again says nothing new.
        assert_eq!(owner.client.invite_nodes(&room).await.unwrap().code, code);
        let said = server.events(&room).iter().filter(|event| event.kind == TRUST).count();
        assert_eq!(said, 1);
        let other = member(&scratch.path().join("o"), (&server, &room), CARL, "coordinator").await;
        // It has no say in a room of others.
        let owned = problem_of(other.client.invite_nodes(&room).await);
        assert_eq!(owned.kind, ProblemKind::Conflict, "{owned:?}");
        assert!(owned.detail.contains(&owner.did.0), "{owned:?}");
        assert!(owned.hint.is_some_and(|hint| hint.contains("cis node join")));
        let said = server.events(&room).iter().filter(|event| event.kind == TRUST).count();
        assert_eq!(said, 1, "the owner's");
        let owners = Owners::one(other.did.clone());
        let others = JoinCode { room: room.clone(), via: vec!["tests".to_owned()], owners }.to_string();
        let worker = member(&scratch.path().join("w"), (&server, &room), BOB, "worker").await;
        worker.client.join_nodes(&code).await.unwrap();
        let refused = problem_of(worker.client.join_nodes(&others).await);
        assert_eq!(refused.kind, ProblemKind::Conflict, "{refused:?}");
        assert!(refused.detail.contains(&owner.did.0), "{refused:?}");
        let admit = AdmitNode {
            room: room.clone(),
            did: worker.did.clone(),
            name: None,
            may: [Right::Execute].into(),
            tags: [].into(),
        };
        owner.client.admit_node(&admit).await.unwrap();
        // It counts on the other side as well: the worker obeys the owner, and not who says to own the room.
        listed(&worker, &owner.did, |node| node.may.contains(&Right::Coordinate)).await;
        let stranger = listed(&worker, &other.did, |_| true).await;
        assert!(stranger.may.is_empty() && !stranger.owner, "{stranger:?}");
        // The homeserver refuses the next statement: rights stay as they are.
        server.fail("send_state", MatrixError::Forbidden { detail: "no".to_owned() });
        server.fail("send", MatrixError::Forbidden { detail: "no".to_owned() });
        let revoke = RevokeNode { room: room.clone(), did: worker.did.clone() };
        let denied = problem_of(owner.client.revoke_node(&revoke).await);
        assert_eq!(denied.kind, ProblemKind::Denied, "{denied:?}");
        let view = listed(&owner, &worker.did, |_| true).await;
        assert_eq!(view.may, [Right::Execute].into());
        for node in [worker, other, owner] {
            node.stop().await;
        }
    });
}

/// Its homeserver may have the state of the room, and not what was said there before.
#[test]
fn no_node_makes_itself_the_owner_of_a_room_that_has_one_in_its_state() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB]);
        server.set_level(&room, BOB, 100);
        let owner = member(&scratch.path().join("c"), (&server, &room), CIS, "coordinator").await;
        let code = owner.client.invite_nodes(&room).await.unwrap().code;
        for (_, event) in statements(&server, &room) {
            server.remove(&event);
        }
        let other = member(&scratch.path().join("o"), (&server, &room), BOB, "coordinator").await;
        let owned = problem_of(other.client.invite_nodes(&room).await);
        assert!(owned.kind == ProblemKind::Conflict && owned.detail.contains(&owner.did.0), "{owned:?}");
        assert!(statements(&server, &room).is_empty(), "it says nothing");
        // Nothing is known of owners there: it takes the code of the right one.
        assert_eq!(other.client.join_nodes(&code).await.unwrap().owners, std::slice::from_ref(&owner.did));
        assert_eq!(other.client.invite_nodes(&room).await.unwrap().code, code);
        other.stop().await;
        owner.stop().await;
    });
}

#[test]
fn a_run_that_another_coordinator_took_over_is_read_by_the_one_that_had_it() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB, CARL]);
        let home = |name: &str| scratch.path().join(name);
        let owner = member(&home("c"), (&server, &room), CIS, "coordinator").await;
        let worker = member(&home("w"), (&server, &room), BOB, "worker").await;
        let second = member(&home("s"), (&server, &room), CARL, "coordinator").await;
        let_in(&owner, &worker, &room, Right::Execute).await;
        let_in(&owner, &second, &room, Right::Coordinate).await;
        for node in [&owner, &second] {
            listed(node, &worker.did, |it| it.slots == SLOTS).await;
        }
        let dir = scratch.path().display();
        let tasks = format!(
            "[[tasks]]\nid = \"a\"\nscript = 'echo $$ >> {dir}/pids; until [ -e {dir}/go ]; do sleep 0.05; done'\n"
        );
        let run = owner.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        owner.task_is(&run, "a", TaskState::Running).await;
        reads(&second, &run, RunState::Running).await;
        eventually("the room is read", async || second.client.take_over_run(&run).await.ok()).await;
        for node in [&second, &owner] {
            eventually("the other one coordinates it", async || {
                (node.client.run(&run).await.ok()?.run.node == second.did).then_some(())
            })
            .await;
        }
        fs::write(scratch.path().join("go"), "").unwrap();
        let detail = second.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").attempts, 1);
        reads(&owner, &run, RunState::Succeeded).await;
        assert_eq!(lines(&home("pids")).len(), 1, "nothing ran twice");
        // Also a coordinator that was away meanwhile finds out.
        let log = owner.log_of(&run, "a").await;
        owner.stop().await;
        let greetings = server.letters(BOB, CIS, INFO);
        let owner = member(&home("c"), (&server, &room), CIS, "coordinator").await;
        // The room keeps nothing of where the worker is, so the worker says it again.
        eventually("the worker greets it", async || {
            (server.letters(BOB, CIS, INFO) > greetings).then_some(())
        })
        .await;
        reads(&owner, &run, RunState::Succeeded).await;
        assert_eq!(owner.client.run(&run).await.unwrap().run.node, second.did);
        assert_eq!(owner.log_of(&run, "a").await, log);
        is_told(&second, &room, &run).await;
        let verdict =
            export::verify(&owner.client.run_export(&run).await.unwrap(), &Owners::one(owner.did.clone()));
        let verdict = verdict.unwrap();
        assert!(verdict.holds(), "{:?}", verdict.wrong);
        let coordinators: Vec<_> = verdict.coordinators.iter().map(|it| &it.did).collect();
        assert_eq!(coordinators, [&owner.did, &second.did]);
        for node in [worker, second, owner] {
            node.stop().await;
        }
    });
}

/// The grant is in no journal: its coordinator ended before the room had it.
#[test]
fn a_node_that_executes_no_tasks_any_more_is_asked_for_the_one_that_it_still_has() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB, CARL, EVE]);
        let home = |name: &str| scratch.path().join(name);
        let owner = member(&home("c"), (&server, &room), CIS, "coordinator").await;
        let worker = member(&home("w"), (&server, &room), BOB, "worker").await;
        let other = member(&home("o"), (&server, &room), EVE, "worker").await;
        let second = member(&home("s"), (&server, &room), CARL, "coordinator").await;
        let_in(&owner, &second, &room, Right::Coordinate).await;
        for node in [&worker, &other] {
            let_in(&owner, node, &room, Right::Execute).await;
            node.client.drain_node(true).await.unwrap();
            listed(&owner, &node.did, |it| it.state == RoomNodeState::Draining).await;
        }
        let tasks = waiting_task("a", scratch.path());
        let run = owner.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        reads(&second, &run, RunState::Running).await;
        second.task_is(&run, "a", TaskState::Queued).await;
        server.hold(JOURNAL);
        worker.client.drain_node(false).await.unwrap();
        let pids = home("pids");
        eventually("its session works", async || (lines(&pids).len() == 1).then_some(())).await;
        worker.leave().await;
        let set = |key: &str, value: &str| format!("federation.{key}={value}");
        let flags = [set("room", &room), set("role", "coordinator"), set("name", "later")];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let worker = Node::with_account(&home("w"), &flags, server.account(BOB, "CIS")).await;
        listed(&second, &worker.did, |it| it.name == "later").await;
        other.client.drain_node(false).await.unwrap();
        listed(&second, &other.did, |it| it.state == RoomNodeState::Online && it.slots == SLOTS).await;
        owner.leave().await;
        server.release(JOURNAL);
        let given = eventually("the task of the run that was taken over is at a node", async || {
            node_of(&second.client.run(&run).await.ok()?, "a")
        })
        .await;
        assert_eq!(given, worker.did, "another node got a task that is at work");
        fs::write(home("go"), "").unwrap();
        let detail = second.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").attempts, 1);
        assert_eq!(lines(&pids).len(), 1, "nothing ran twice");
        for node in [worker, other, second] {
            node.stop().await;
        }
    });
}

/// Its worker waits until it has read the grant in the room.
#[test]
fn a_rule_that_comes_while_a_task_waits_for_the_room_holds_for_that_task() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB, CARL]);
        let home = |name: &str| scratch.path().join(name);
        let owner = member(&home("c"), (&server, &room), CIS, "coordinator").await;
        let second = member(&home("s"), (&server, &room), CARL, "coordinator").await;
        let_in(&owner, &second, &room, Right::Coordinate).await;
        let worker = member(&home("w"), (&server, &room), BOB, "worker").await;
        let_in(&owner, &worker, &room, Right::Execute).await;
        // Without another coordinator nothing waits for the room.
        listed(&worker, &second.did, |it| it.may.contains(&Right::Coordinate)).await;
        worker.client.drain_node(true).await.unwrap();
        listed(&owner, &worker.did, |it| it.state == RoomNodeState::Draining).await;
        let ran = home("ran");
        let tasks =
            format!("[[tasks]]\nid = \"a\"\ncommit = \"room\"\nscript = 'echo ran >> {}'\n", ran.display());
        let run = owner.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        // The room has all that comes before the grant, and does not get the grant.
        says_why(&owner, &run, "a", "takes no new tasks (draining)").await;
        server.hold(JOURNAL);
        worker.client.drain_node(false).await.unwrap();
        listed(&worker, &worker.did, |it| !it.tasks.is_empty()).await;
        let rule = NodeRule { command: Some("echo *".to_owned()), ..NodeRule::new(RuleEffect::Deny) };
        let added = worker.client.add_policy_rule(&rule).await.unwrap();
        server.release(JOURNAL);
        says_why(&owner, &run, "a", "rule 1 of the node's policy denies it").await;
        assert!(lines(&ran).is_empty());
        worker.client.remove_policy_rule(added.number).await.unwrap();
        owner.reaches(&run, RunState::Succeeded).await;
        assert_eq!(lines(&ran), ["ran"]);
        for node in [worker, second, owner] {
            node.stop().await;
        }
    });
}

/// The coordinator was just started, so it knows the run of its store, and not yet where the journal of the run stands.
#[test]
fn a_takeover_is_possible_once_the_room_was_read() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, CARL]);
        let home = |name: &str| scratch.path().join(name);
        let owner = member(&home("c"), (&server, &room), CIS, "coordinator").await;
        let second = member(&home("s"), (&server, &room), CARL, "coordinator").await;
        let_in(&owner, &second, &room, Right::Coordinate).await;
        let tasks = "[[tasks]]\nid = \"a\"\nscript = 'true'\napproval = { prompt = \"Deploy?\" }\n";
        let run = owner.submit_as(shared_in(&room, scratch.path(), tasks)).await;
        reads(&second, &run, RunState::Running).await;
        second.stop().await;
        server.hold("forward");
        let second = member(&home("s"), (&server, &room), CARL, "coordinator").await;
        let early = problem_of(second.client.take_over_run(&run).await);
        assert_eq!(early.kind, ProblemKind::Unavailable, "{early:?}");
        assert!(early.detail.contains("still reads room"), "{early:?}");
        server.release("forward");
        eventually("it is taken over", async || second.client.take_over_run(&run).await.ok()).await;
        assert_eq!(second.client.run(&run).await.unwrap().run.node, second.did);
        second.client.cancel_run(&run, CancelRun::default()).await.unwrap();
        second.reaches(&run, RunState::Cancelled).await;
        for node in [second, owner] {
            node.stop().await;
        }
    });
}

#[test]
fn why_names_the_worker_that_a_run_waits_for_after_a_takeover() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB, CARL]);
        let home = |name: &str| scratch.path().join(name);
        let owner = member(&home("c"), (&server, &room), CIS, "coordinator").await;
        let worker = member(&home("w"), (&server, &room), BOB, "worker").await;
        let second = member(&home("s"), (&server, &room), CARL, "coordinator").await;
        let_in(&owner, &worker, &room, Right::Execute).await;
        let_in(&owner, &second, &room, Right::Coordinate).await;
        for node in [&owner, &second] {
            listed(node, &worker.did, |it| it.slots == SLOTS).await;
        }
        let never = "[[tasks]]\nid = \"never\"\ntags = [\"no-such-tag\"]\nscript = 'true'\n";
        let tasks = waiting_task("a", scratch.path()) + never;
        let run = owner.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        owner.task_is(&run, "a", TaskState::Running).await;
        reads(&second, &run, RunState::Running).await;
        let did = worker.did.clone();
        worker.leave().await;
        eventually("the second one coordinates it", async || second.client.take_over_run(&run).await.ok())
            .await;
        let waits = "grants no task of the run before it knows what these nodes have of the run";
        eventually("why names the worker", async || {
            let why = second.client.why(&run, "never").await.unwrap();
            why.because
                .iter()
                .any(|because| because.contains(waits) && because.contains(&did.0))
                .then_some(())
        })
        .await;
        let worker = member(&home("w"), (&server, &room), BOB, "worker").await;
        eventually("it knows what the worker has", async || {
            let why = second.client.why(&run, "never").await.unwrap();
            (!why.because.iter().any(|because| because.contains(waits))).then_some(())
        })
        .await;
        fs::write(scratch.path().join("go"), "").unwrap();
        second.task_is(&run, "a", TaskState::Succeeded).await;
        assert_eq!(lines(&home("pids")).len(), 1, "nothing ran twice");
        second.client.cancel_run(&run, CancelRun::default()).await.unwrap();
        second.reaches(&run, RunState::Cancelled).await;
        for node in [worker, second, owner] {
            node.stop().await;
        }
    });
}

/// It would begin at the first of them, and say nothing.
#[test]
fn a_retry_from_several_tasks_is_not_sent_to_a_coordinator_of_an_earlier_version() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB]);
        let home = |name: &str| scratch.path().join(name);
        let owner = member(&home("c"), (&server, &room), CIS, "both").await;
        let guest = observer(&home("g"), &server, &room).await;
        let_in(&owner, &guest, &room, Right::Submit).await;
        let task_of = |id: &str| format!("[[tasks]]\nid = \"{id}\"\nscript = 'true'\n");
        let tasks: String = ["a", "b", "c"].map(task_of).concat();
        let run = owner.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        owner.reaches(&run, RunState::Succeeded).await;
        reads(&guest, &run, RunState::Succeeded).await;
        guest.stop().await;
        // What the coordinator says of itself is what an earlier version says.
        let key = <[u8; 32]>::try_from(fs::read(owner.home.identity_key()).unwrap()).unwrap();
        let of_owner = |event: &RoomEvent| event.kind == INFO && event.sender == CIS;
        let info = server.events(&room).into_iter().rfind(of_owner).unwrap();
        let mut content: Value = serde_json::from_str(info.content.get()).unwrap();
        let mut body = content["body"].take();
        assert_eq!(body.as_object_mut().unwrap().remove("retries_several"), Some(json!(true)));
        let draft = Draft::of_room(INFO, body, Ulid::new(), &room, CIS);
        let signed = draft.sign(&NodeKey::from_seed(&key), SIZE_MAX).unwrap();
        server.forge(&info.id, &signed.into_content());
        let guest = observer(&home("g"), &server, &room).await;
        let scope = RetryScope::From { task: "a".parse().unwrap(), also: vec!["b".parse().unwrap()] };
        let retry = RetryRun { scope };
        let why = eventually("it is refused for that", async || {
            let problem = problem_of(guest.client.retry_run(&run, &retry).await);
            problem.detail.contains("may begin at `a` alone").then_some(problem)
        })
        .await;
        assert_eq!(why.kind, ProblemKind::Conflict, "{why:?}");
        let detail = owner.client.run(&run).await.unwrap();
        assert!(detail.tasks.iter().all(|task| task.attempts == 1), "{detail:?}");
        // It is updated.
        owner.stop().await;
        let owner = member(&home("c"), (&server, &room), CIS, "both").await;
        eventually("the guest knows that", async || guest.client.retry_run(&run, &retry).await.ok()).await;
        let detail = owner.reaches(&run, RunState::Succeeded).await;
        let attempts = |id: &str| task(&detail, id).attempts;
        assert_eq!((attempts("a"), attempts("b"), attempts("c")), (2, 2, 1));
        for node in [guest, owner] {
            node.stop().await;
        }
    });
}

#[test]
fn a_node_lists_of_itself_what_the_owners_of_the_room_gave_it() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB]);
        let owner = member(&scratch.path().join("c"), (&server, &room), CIS, "coordinator").await;
        let worker = member(&scratch.path().join("w"), (&server, &room), BOB, "worker").await;
        let code = owner.client.invite_nodes(&room).await.unwrap().code;
        worker.client.join_nodes(&code).await.unwrap();
        listed(&worker, &worker.did, |node| node.may.is_empty()).await;
        for may in [BTreeSet::from([Right::Execute]), BTreeSet::new()] {
            let (room, did) = (room.clone(), worker.did.clone());
            let admit = AdmitNode { room, did, name: None, may: may.clone(), tags: [].into() };
            owner.client.admit_node(&admit).await.unwrap();
            let own = listed(&worker, &worker.did, |node| node.may == may).await;
            assert_eq!((own.state, own.owner), (RoomNodeState::Here, false));
        }
        let own = listed(&owner, &owner.did, |node| node.may.len() == 3).await;
        assert!(own.owner, "{own:?}");
        worker.stop().await;
        owner.stop().await;
    });
}

#[test]
fn an_owner_of_a_room_keeps_its_key() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN]);
        let node = member(scratch.path(), (&server, &room), CIS, "coordinator").await;
        node.client.invite_nodes(&room).await.unwrap();
        let refused = problem_of(node.client.rotate_identity(node.did.clone()).await);
        assert_eq!(refused.kind, ProblemKind::Conflict, "{refused:?}");
        assert!(refused.detail.contains(&format!("owns room {room}")), "{refused:?}");
        assert_eq!(node.client.identity().await.unwrap().did, node.did);
        node.stop().await;
    });
}

#[test]
fn a_node_with_a_new_key_owns_no_room_before_its_restart() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN]);
        let node = member(scratch.path(), (&server, &room), CIS, "coordinator").await;
        node.client.rotate_identity(node.did.clone()).await.unwrap();
        let refused = problem_of(node.client.invite_nodes(&room).await);
        assert_eq!(refused.kind, ProblemKind::Conflict, "{refused:?}");
        assert!(refused.detail.contains("the key was rotated"), "{refused:?}");
        node.stop().await;
        let node = member(scratch.path(), (&server, &room), CIS, "coordinator").await;
        let invitation = node.client.invite_nodes(&room).await.unwrap();
        assert_eq!(invitation.owners, std::slice::from_ref(&node.did));
        node.stop().await;
    });
}

#[test]
fn why_says_that_the_node_of_a_task_may_not_execute_any_more() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB]);
        let owner = member(&scratch.path().join("c"), (&server, &room), CIS, "coordinator").await;
        let worker = member(&scratch.path().join("w"), (&server, &room), BOB, "worker").await;
        let_in(&owner, &worker, &room, Right::Execute).await;
        listed(&owner, &worker.did, |it| it.slots == SLOTS).await;
        let tasks = waiting_task("a", scratch.path());
        let run = owner.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        owner.task_is(&run, "a", TaskState::Running).await;
        let why = owner.client.why(&run, "a").await.unwrap();
        assert!(!why.because.iter().any(|because| because.contains("may not execute")), "{why:?}");
        let (did, may) = (worker.did.clone(), [].into());
        let admit = AdmitNode { room: room.clone(), did, name: None, may, tags: [].into() };
        owner.client.admit_node(&admit).await.unwrap();
        says_why(&owner, &run, "a", &format!("node {} may not execute tasks", worker.did)).await;
        worker.stop().await;
        owner.stop().await;
    });
}

#[test]
fn an_approval_of_another_nodes_run_with_a_key_counts_once_and_for_one_item() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", CIS, &[ANN, BOB]);
        let owner = member(&scratch.path().join("c"), (&server, &room), CIS, "coordinator").await;
        let guest = observer(&scratch.path().join("g"), &server, &room).await;
        let_in(&owner, &guest, &room, Right::Submit).await;
        let gate = |id: &str| {
            format!(
                "[[tasks]]\nid = \"{id}\"\nscript = \"true\"\napproval = {{ prompt = \"Deploy {id}?\" }}\n"
            )
        };
        let run =
            owner.submit_as(shared_in(&room, scratch.path(), &format!("{}{}", gate("a"), gate("b")))).await;
        let items = eventually("the guest reads both questions", async || {
            let mut items = guest.client.inbox(&ListInbox::default()).await.unwrap().items;
            items.sort_by(|one, other| one.question.cmp(&other.question));
            (items.len() == 2).then_some(items)
        })
        .await;
        let approve = async |item: &InboxItem| {
            let path = paths::fill(paths::INBOX_ANSWER, &[&item.name()]);
            let body = json!({ "with": "option", "option": "approve" });
            post(&guest, &path, &[("idempotency-key", "deploy")], &body).await
        };
        let wait = async || {
            let run = owner.client.run(&run).await.unwrap().run;
            run.approvals.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let first = approve(&items[0]).await;
        assert_eq!(first.status, 200, "{first:?}");
        assert_eq!(wait().await, ["b"]);
        let again = approve(&items[0]).await;
        assert_eq!(again.status, 200, "{again:?}");
        // Also when the guest knows that it is decided.
        eventually("the guest reads the decision", async || {
            guest.client.inbox_item(&items[0].name()).await.unwrap().closed
        })
        .await;
        assert_eq!(approve(&items[0]).await.json()["repeated"], true);
        assert_eq!(approve(&items[1]).await.problem(), (409, "key-reused".to_owned()));
        assert_eq!(wait().await, ["b"], "nobody has decided it");
        for node in [guest, owner] {
            node.stop().await;
        }
    });
}
