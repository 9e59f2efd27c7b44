//! Tests of runs that a node takes out of a room.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cis_client::ClientError;
use cis_core::api::{CancelRun, Decide, HereAs, ProblemKind, RecoverReport, RecoverRuns};
use cis_core::event::RunState;
use cis_core::federation::export;
use cis_core::federation::membership::Owners;
use cis_core::ids::NodeDid;
use cis_matrix::MatrixError;

use super::nodes::{APPROVED, JOURNAL, SHORT, is_told, observer, offline, reads, teller, told};
use super::{BOB, CIS, followed, generous, room_of_ann};
use crate::harness::{Node, on_a_runtime, problem_of, task};
use crate::homeserver::Server;

/// Takes the runs of a room into the store of a node.
async fn recover(node: &Node, room: &str, workdir: &Path) -> Result<RecoverReport, ClientError> {
    let how = RecoverRuns { workdir: workdir.to_str().unwrap().to_owned() };
    node.client.recover_runs(room, &how).await
}

/// A node of `BOB` that trusts another one.
async fn trusting(dir: &Path, server: &Server, did: &NodeDid) -> Node {
    let node = Node::with_account(dir, &[], server.account(BOB, "CIS")).await;
    node.client.trust(&did.0, None, None).await.unwrap();
    node
}

/// A run whose results, once there is the file `go`, are too large for an event: they go into a file.
fn large(dir: &Path) -> String {
    let go = dir.join("go");
    format!(
        r#"
version = 1
[dag]
id = "large"
[[tasks]]
id = "a"
tty = false
script = '''
until [ -e {} ]; do sleep 0.05; done
for name in one two; do echo "$name=$(head -c 60000 /dev/zero | tr '\0' x)" >> "$CIS_OUTPUT"; done
'''
outputs = {{ one = {{ type = "string" }}, two = {{ type = "string" }} }}
"#,
        go.display()
    )
}

#[test]
fn an_empty_store_gets_the_runs_of_nodes_that_it_trusts_out_of_their_room() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room, node) = told(dir.path()).await;
        let ended = node.submit_as(followed(SHORT, &room)).await;
        node.reaches(&ended, RunState::Succeeded).await;
        let open = node.submit_as(followed(APPROVED, &room)).await;
        node.question(&open).await;
        for run in [&ended, &open] {
            is_told(&node, &room, run).await;
        }
        let other = Node::with_account(&dir.path().join("o"), &[], server.account(BOB, "CIS")).await;
        let strange = recover(&other, &room, dir.path()).await.unwrap();
        assert!(strange.runs.is_empty() && strange.refused == 0 && strange.unreadable == 0, "{strange:?}");
        let [unknown] = &strange.unknown[..] else { panic!("{strange:?}") };
        assert!(unknown.did == node.did && unknown.envelopes >= 2, "{unknown:?}");
        other.client.trust(&node.did.0, None, None).await.unwrap();
        let report = recover(&other, &room, dir.path()).await.unwrap();
        assert_eq!(report.events, server.events(&room).len() as u64);
        let found: Vec<_> = report.runs.iter().map(|run| (run.run.to_string(), run.state)).collect();
        assert_eq!(found[0], (ended.clone(), Some(RunState::Succeeded)));
        assert_eq!(found[1].0, open);
        assert!(report.runs.iter().all(|run| run.recovered && run.lacks.is_empty()), "{report:?}");
        let view = other.client.run(&ended).await.unwrap().run;
        assert_eq!((&view.node, view.source), (&node.did, format!("room {room}")));
        let audit = other.client.audit_matrix_room(&room).await.unwrap();
        assert!(audit.runs.iter().all(|run| run.here == Some(HereAs::Same)), "{audit:?}");
        // Once.
        let again = recover(&other, &room, dir.path()).await.unwrap();
        assert!(again.runs.len() == 2 && again.runs.iter().all(|run| !run.recovered), "{again:?}");
        let cancelled = problem_of(other.client.cancel_run(&open, CancelRun::default()).await);
        assert!(cancelled.detail.contains("coordinated by"), "{cancelled:?}");
        other.stop().await;
        node.stop().await;
    });
}

#[test]
fn a_node_that_lost_its_store_goes_on_with_its_run_out_of_the_room() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = teller(&dir.path().join("n"), &server).await;
        let run = node.submit_as(followed(APPROVED, &room)).await;
        node.question(&run).await;
        is_told(&node, &room, &run).await;
        let (did, key) = (node.did.clone(), fs::read(node.home.identity_key()).unwrap());
        node.stop().await;
        let home = dir.path().join("again");
        generous(&home, CIS);
        let mut file = fs::OpenOptions::new();
        let mut file = file.write(true).create(true).mode(0o600).open(home.join("identity.key")).unwrap();
        file.write_all(&key).unwrap();
        let node = teller(&home, &server).await;
        assert_eq!(node.did, did);
        let report = recover(&node, &room, dir.path()).await.unwrap();
        assert!(report.runs.len() == 1 && report.runs[0].recovered && report.runs[0].lacks.is_empty());
        node.stop().await;
        let node = teller(&home, &server).await;
        let approval = node.question(&run).await;
        let decide = Decide { approve: true, reason: None };
        node.client.decide(&run, &approval.task.unwrap().to_string(), &decide).await.unwrap();
        let detail = node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").attempts, 1, "what was done is not done again");
        is_told(&node, &room, &run).await;
        let audit = node.client.audit_matrix_room(&room).await.unwrap();
        assert!(audit.is_whole() && audit.nodes.len() == 1 && audit.nodes[0].doubled == 0, "{audit:?}");
        assert_eq!(audit.runs[0].here, Some(HereAs::Same));
        node.stop().await;
    });
}

#[test]
fn a_large_journal_is_read_out_of_files_and_what_is_gone_is_named() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room, node) = told(dir.path()).await;
        let run = node.submit_as(followed(&large(dir.path()), &room)).await;
        server.event(&room, JOURNAL, |content| content.to_string().contains("large")).await;
        fs::write(dir.path().join("go"), "").unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        is_told(&node, &room, &run).await;
        assert!(server.files() > 0, "{:?}", server.events(&room));
        let first = trusting(&dir.path().join("first"), &server, &node.did).await;
        // A homeserver that is away may give it later, and one that is wrong with itself at once.
        server.fail("download", offline());
        let away = problem_of(recover(&first, &room, dir.path()).await);
        assert_eq!(away.kind, ProblemKind::Unavailable, "{away:?}");
        server.fail("download", MatrixError::Other { status: Some(500), detail: "broken".to_owned() });
        let report = recover(&first, &room, dir.path()).await.unwrap();
        assert!(report.runs[0].recovered && report.runs[0].lacks.is_empty(), "{report:?}");
        let outputs = task(&first.client.run(&run).await.unwrap(), "a").outputs.clone();
        assert_eq!(outputs["two"].as_str().map(str::len), Some(60_000));
        first.stop().await;
        let larger = trusting(&dir.path().join("second"), &server, &node.did).await;
        server.fail("download", MatrixError::FileTooLarge { bytes_max: 9 });
        let report = recover(&larger, &room, dir.path()).await.unwrap();
        assert!(report.runs[0].lacks[0].contains("larger than the 9 bytes"), "{report:?}");
        assert_eq!(report.runs[0].state, Some(RunState::Running));
        larger.stop().await;
        server.forget_files();
        let third = trusting(&dir.path().join("third"), &server, &node.did).await;
        let gone = recover(&third, &room, dir.path()).await.unwrap();
        assert!(gone.runs[0].recovered && !gone.runs[0].lacks.is_empty(), "{gone:?}");
        assert!(!third.client.audit_matrix_room(&room).await.unwrap().is_whole());
        third.stop().await;
        let file = node.client.run_export(&run).await.unwrap();
        assert!(!export::verify(&file, &Owners::one(node.did.clone())).unwrap().holds());
        node.stop().await;
    });
}

#[test]
fn a_run_of_which_nothing_can_be_read_is_named() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = teller(&dir.path().join("n"), &server).await;
        fs::write(dir.path().join("go"), "").unwrap();
        // Its whole journal goes at once.
        server.set_away(true);
        let run = node.submit_as(followed(&large(dir.path()), &room)).await;
        node.reaches(&run, RunState::Succeeded).await;
        server.set_away(false);
        is_told(&node, &room, &run).await;
        server.forget_files();
        let audit = node.client.audit_matrix_room(&room).await.unwrap();
        assert!(!audit.is_whole() && audit.runs.len() == 1, "{audit:?}");
        assert_eq!((audit.runs[0].run.to_string(), audit.runs[0].state), (run, None));
        let report = recover(&node, &room, dir.path()).await.unwrap();
        assert!(!report.runs[0].recovered && !report.runs[0].lacks.is_empty(), "{report:?}");
        node.stop().await;
    });
}

#[test]
fn a_journal_goes_on_under_the_new_key_of_its_node() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room, node) = told(dir.path()).await;
        let run = node.submit_as(followed(APPROVED, &room)).await;
        node.question(&run).await;
        is_told(&node, &room, &run).await;
        let old = node.did.clone();
        let new = node.client.rotate_identity(old.clone()).await.unwrap().did;
        assert_ne!(new, old);
        node.stop().await;
        let node = teller(&dir.path().join("n"), &server).await;
        assert_eq!(node.did, new);
        let approval = node.question(&run).await;
        let decide = Decide { approve: true, reason: None };
        node.client.decide(&run, &approval.task.unwrap().to_string(), &decide).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        is_told(&node, &room, &run).await;
        let report = node.client.audit_matrix_room(&room).await.unwrap();
        assert!(report.is_whole() && report.runs[0].node == new, "{report:?}");
        let standings: Vec<_> =
            report.nodes.iter().map(|it| (it.did.clone(), it.standing.as_str(), it.counts)).collect();
        assert!(standings.contains(&(new, "own", true)), "{standings:?}");
        assert!(standings.contains(&(old.clone(), "replaced", true)), "{standings:?}");
        // Who knows the old key alone believes the new one.
        let other = trusting(&dir.path().join("o"), &server, &old).await;
        let report = recover(&other, &room, dir.path()).await.unwrap();
        assert!(report.unknown.is_empty() && report.runs[0].lacks.is_empty(), "{report:?}");
        assert_eq!(report.runs[0].state, Some(RunState::Succeeded));
        let file = other.client.run_export(&run).await.unwrap();
        let verdict = export::verify(&file, &Owners::one(old)).unwrap();
        assert!(verdict.holds(), "{:?}", verdict.wrong);
        other.stop().await;
        node.stop().await;
    });
}

#[test]
fn a_run_that_a_node_began_with_a_later_key_is_its_own() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room, node) = told(dir.path()).await;
        let first = node.submit_as(followed(SHORT, &room)).await;
        node.reaches(&first, RunState::Succeeded).await;
        is_told(&node, &room, &first).await;
        let old = node.did.clone();
        let (mut node, mut run) = (node, first);
        for _ in 0..2 {
            node.client.rotate_identity(node.did.clone()).await.unwrap();
            node.stop().await;
            node = teller(&dir.path().join("n"), &server).await;
            run = node.submit_as(followed(SHORT, &room)).await;
            node.reaches(&run, RunState::Succeeded).await;
            is_told(&node, &room, &run).await;
        }
        let report = node.client.audit_matrix_room(&room).await.unwrap();
        assert!(report.is_whole() && report.runs.len() == 3, "{report:?}");
        let other = trusting(&dir.path().join("o"), &server, &old).await;
        let report = recover(&other, &room, dir.path()).await.unwrap();
        assert_eq!(report.runs.len(), 3);
        assert!(report.runs.iter().all(|run| run.recovered && run.lacks.is_empty()), "{report:?}");
        other.stop().await;
        let reader = observer(&dir.path().join("r"), &server, &room).await;
        reader.client.trust(&old.0, None, None).await.unwrap();
        reads(&reader, &run, RunState::Succeeded).await;
        assert_eq!(reader.client.run(&run).await.unwrap().run.node, node.did);
        reader.stop().await;
        node.stop().await;
    });
}
