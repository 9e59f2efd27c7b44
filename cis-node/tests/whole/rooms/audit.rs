//! Tests of audits and exports: what was forged, and what was removed.

use cis_core::api::{HereAs, ProblemKind};
use cis_core::event::RunState;
use cis_core::federation::export;
use cis_core::federation::membership::Owners;
use serde_json::{Value, json};

use super::nodes::{JOURNAL, SHORT, is_told, observer, reads, teller, told};
use super::told::all_is_told;
use super::{ANN, ASKS, CIS, followed, room_of_ann};
use crate::harness::{on_a_runtime, problem_of};
use crate::shared::text;

#[test]
fn an_audit_names_what_was_forged_and_what_was_removed() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        let node = teller(&dir.path().join("n"), &server).await;
        let audit = async || node.client.audit_matrix_room(&room).await.unwrap();
        let run = node.submit_as(followed(ASKS, &room)).await;
        let asked = node.question(&run).await;
        is_told(&node, &room, &run).await;
        let (first, content) = server.event(&room, JOURNAL, |_| true).await;
        node.client.answer(&asked.name(), &text("y")).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        is_told(&node, &room, &run).await;
        all_is_told(&node).await;
        let whole = audit().await;
        assert!(whole.is_whole() && whole.refused_count == 0, "{whole:?}");
        let envelopes = whole.nodes[0].envelopes;
        // Ann sends it again, and something else in the name of the node.
        server.says(&room, ANN, (JOURNAL, content.clone()));
        let mut other = content.clone();
        other["body"] = json!({});
        let forged = server.says(&room, CIS, (JOURNAL, other));
        // The node itself sent it twice.
        server.says(&room, CIS, (JOURNAL, content));
        let report = audit().await;
        assert!(report.is_whole(), "it decides nothing: {report:?}");
        assert_eq!((report.refused_count, report.nodes[0].copies), (2, 1));
        assert_eq!(report.nodes[0].envelopes, envelopes);
        assert!(report.refused[0].sender == ANN && report.refused[1].event == forged, "{report:?}");
        assert!(report.refused[0].why.contains("for another sender"), "{report:?}");
        // A part of the run is taken away, then its end.
        let events = server.events(&room).into_iter();
        let journal: Vec<_> = events.filter(|it| it.kind == JOURNAL && it.transaction.is_some()).collect();
        assert!(journal.len() > 2 && journal[0].id == first.id, "{journal:?}");
        server.remove(&journal[1].id);
        let report = audit().await;
        assert!(!report.is_whole() && report.nodes[0].missing == 1, "{report:?}");
        assert!(report.runs[0].lacks[0].contains("not in the room"), "{report:?}");
        server.remove(&journal.last().unwrap().id);
        assert_eq!(audit().await.runs[0].here, Some(HereAs::Ahead));
        // Also its beginning is another one now.
        server.forge(&first.id, &json!({ "body": {} }));
        let report = audit().await;
        assert!(report.refused.iter().any(|refused| refused.event == first.id), "{report:?}");
        node.stop().await;
    });
}

#[test]
fn the_export_of_a_run_proves_it_and_has_nothing_that_was_forged() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room, node) = told(dir.path()).await;
        let other_run = node.submit_as(followed(ASKS, &room)).await;
        let run = node.submit_as(followed(SHORT, &room)).await;
        node.reaches(&run, RunState::Succeeded).await;
        is_told(&node, &room, &run).await;
        let of_run = |content: &Value| content["run"] == run.as_str();
        let (_, mut content) = server.event(&room, JOURNAL, of_run).await;
        content["body"] = json!({});
        let forged = server.says(&room, CIS, (JOURNAL, content));
        let reader = observer(&dir.path().join("o"), &server, &room).await;
        reader.client.trust(&node.did.0, None, None).await.unwrap();
        reads(&reader, &run, RunState::Succeeded).await;
        let owners = Owners::one(node.did.clone());
        // Who reads it can prove it as well.
        for client in [&node.client, &reader.client] {
            let file = client.run_export(&run).await.unwrap();
            let verdict = export::verify(&file, &owners).unwrap();
            assert!(verdict.holds(), "{:?}", verdict.wrong);
            assert_eq!((verdict.state, verdict.tasks.len()), (Some(RunState::Succeeded), 2));
            assert_eq!((&verdict.room, verdict.run.to_string()), (&room, run.clone()));
            assert!(!file.contains(&forged) && !file.contains(&other_run), "{file}");
        }
        let stranger =
            export::verify(&node.client.run_export(&run).await.unwrap(), &Owners::one(reader.did.clone()));
        assert!(!stranger.is_ok_and(|verdict| verdict.holds()));
        let local = node.submit(SHORT).await;
        let none = problem_of(node.client.run_export(&local).await);
        assert!(none.hint.unwrap().contains("--hybrid"));
        // The room has nothing of it any more.
        for event in server.events(&room) {
            if event.kind.starts_with("cis.dag.run.") {
                server.remove(&event.id);
            }
        }
        let gone = problem_of(node.client.run_export(&run).await);
        assert_eq!(gone.kind, ProblemKind::NotFound, "{gone:?}");
        reader.stop().await;
        node.stop().await;
    });
}
