//! Names that people type, and pages of listings.

use super::support::{Home, assigned, created, draft, run_id, seeds, session_id, succeeded, ulid};
use crate::{Reader, StoreError, Writer};
use cis_core::api::{ListRuns, Problem, ProblemKind};
use cis_core::event::EventBody;
use cis_core::ids::{HostInstance, RunId};

fn run(writer: &mut Writer, n: u128, dag: &str, ended: bool) {
    let id = Some(run_id(n));
    let tasks = seeds(&[("ask", &[]), (&format!("only{n}"), &[])]);
    writer.append_run(&draft(id, 1, created(dag, 2)), ulid(n), &tasks).unwrap();
    writer.append(&draft(id, 2, EventBody::RunStarted {}), ulid(n + 1)).unwrap();
    writer.append(&draft(id, 3, assigned("ask", 1, session_id(n))), ulid(n + 2)).unwrap();
    if ended {
        writer.append(&draft(id, 4, succeeded("ask", 1, session_id(n), 4)), ulid(n + 3)).unwrap();
        writer.append(&draft(id, 5, EventBody::RunCompleted {}), ulid(n + 4)).unwrap();
    }
    writer.commit().unwrap();
}

fn found(reader: &Reader, name: &str) -> Result<RunId, usize> {
    match reader.find_run(name) {
        Ok(run) => Ok(run.id),
        Err(StoreError::NotFound { .. }) => Err(0),
        Err(StoreError::Ambiguous { candidates, .. }) => Err(candidates.len()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn runs_are_found_by_every_name_they_have() {
    let home = Home::new();
    let mut writer = home.writer();
    run(&mut writer, 1, "ship", true);
    run(&mut writer, 2, "ship", false);
    run(&mut writer, 3, "check", true);
    run(&mut writer, 4, "check", true);
    let reader = home.readers().get().unwrap();
    for n in 1..=4 {
        let id = run_id(n);
        let text = id.to_string();
        for name in
            [&text, &text.to_lowercase(), &text[..20], &id.short(), &id.short().to_uppercase(), &text[15..]]
        {
            assert_eq!(found(&reader, name), Ok(id), "{name}");
        }
    }
    assert_eq!(found(&reader, "ship"), Ok(run_id(2)), "the open one");
    assert_eq!(found(&reader, "check"), Err(2), "two ended ones");
    let common = run_id(1).to_string();
    assert_eq!(found(&reader, &common[..8]), Err(4), "the beginning of all");
    for none in [
        "",
        "zzzzzz",
        "nothing",
        "01",
        "%",
        "'",
        "ship ",
        "🦀🦀🦀🦀🦀🦀",
        &"Z".repeat(26),
        &"x".repeat(10_000),
    ] {
        assert_eq!(found(&reader, none), Err(0), "{none}");
    }
}

#[test]
fn an_ambiguous_name_is_answered_with_what_it_fits() {
    let home = Home::new();
    let mut writer = home.writer();
    for n in 1..=20 {
        run(&mut writer, n, "ship", false);
    }
    let error = home.readers().get().unwrap().find_run("ship").unwrap_err();
    let StoreError::Ambiguous { candidates, .. } = &error else { panic!("{error}") };
    assert_eq!(candidates.len(), 9);
    assert!(candidates[0].contains("(ship, running)"), "{candidates:?}");
    assert_eq!(candidates[8], "…");
    assert_eq!(Problem::from(&error).kind, ProblemKind::Ambiguous);
}

#[test]
fn sessions_are_found_by_every_name_they_have() {
    let home = Home::new();
    let mut writer = home.writer();
    run(&mut writer, 1, "ship", true);
    run(&mut writer, 2, "ship", false);
    for (n, name) in [(11, "shell"), (12, "old")] {
        let body = EventBody::SessionCreated {
            session: session_id(n),
            argv: vec!["bash".to_owned()],
            name: Some(name.to_owned()),
            host: HostInstance(ulid(5)),
        };
        writer.append(&draft(None, 1, body), ulid(100 + n)).unwrap();
    }
    let body = EventBody::SessionEnded {
        session: session_id(12),
        exit: None,
        detail: None,
        ended_ms: 2,
        log_bytes: 0,
    };
    writer.append(&draft(None, 2, body), ulid(200)).unwrap();
    writer.commit().unwrap();
    let reader = home.readers().get().unwrap();
    let is = |name: &str, n: u128| assert_eq!(reader.find_session(name).unwrap().id, session_id(n), "{name}");
    for n in [1, 2, 11, 12] {
        let text = session_id(n).to_string();
        for name in [&text, &text.to_lowercase(), &text[..20], &session_id(n).short()] {
            is(name, n);
        }
    }
    is("ask", 2);
    is("ship/ask", 2);
    is(&format!("{}/ask", run_id(1).short()), 1);
    is("shell", 11);
    is("old", 12);
    for none in ["only1", "only2", "ship/only2", "ship", "nope/ask", "/", "ship/", "/ask"] {
        assert!(matches!(reader.find_session(none), Err(StoreError::NotFound { .. })), "{none}");
    }
    run(&mut writer, 3, "other", false);
    assert!(matches!(reader.find_session("ask"), Err(StoreError::Ambiguous { .. })));
    is("other/ask", 3);
}

#[test]
fn listings_come_in_pages_newest_first() {
    let home = Home::new();
    let mut writer = home.writer();
    for n in 1..=7 {
        run(&mut writer, n, "ship", n % 2 == 0);
    }
    let reader = home.readers().get().unwrap();
    for (open, expected) in [(false, vec![7, 6, 5, 4, 3, 2, 1]), (true, vec![7, 5, 3, 1])] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page =
                reader.list_runs(&ListRuns { open, limit: Some(2), after, ..ListRuns::default() }).unwrap();
            assert!(page.items.len() <= 2 && !page.items.is_empty());
            seen.extend(page.items.iter().map(|run| run.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected.into_iter().map(run_id).collect::<Vec<_>>());
    }
    let bad = ListRuns { after: Some("x".to_owned()), ..ListRuns::default() };
    assert!(reader.list_runs(&bad).is_err());
}
