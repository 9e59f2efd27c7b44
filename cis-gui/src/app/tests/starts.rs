//! A run that is asked for: once, whatever becomes of the answer and wherever somebody looks meanwhile.

use std::path::Path;

use cis_core::api::RunView;
use cis_core::ids::InputId;

use super::*;
use crate::command::Slot;
use crate::draft::NewRun;

const SHIP: &str = "version = 1\n[dag]\nid = \"ship\"\n[dag.params]\nbranch = { type = \"string\", default = \"main\" }\n\
    [[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n";

/// Reads what the view asks for in a folder. Returns the runs that were asked for.
fn served(stage: &mut Stage, dir: &Path) -> Vec<(Box<NewRun>, Slot<RunView>)> {
    let mut submitted = Vec::new();
    for command in stage.sent() {
        match command {
            Command::Browse(_, slot) => slot.fill(files::browse(dir)),
            Command::Read(path, slot) => slot.fill(files::read(&path)),
            Command::Submit(new, slot) => submitted.push((new, slot)),
            other => panic!("{other:?}"),
        }
    }
    stage.steps();
    submitted
}

/// Opens the form of a file.
fn form(stage: &mut Stage, dir: &Path) {
    std::fs::write(dir.join("ship.toml"), SHIP).unwrap();
    stage.go(Go::Start);
    served(stage, dir);
    stage.click("ship.toml");
    served(stage, dir);
}

/// Clicks Start. Returns the id of the request, and the place for its answer.
fn start(stage: &mut Stage, dir: &Path) -> (InputId, Slot<RunView>) {
    stage.click("Start");
    let mut sent = served(stage, dir);
    assert_eq!(sent.len(), 1, "{sent:?}");
    let (new, slot) = sent.remove(0);
    (new.input, slot)
}

fn fail(stage: &mut Stage, slot: &Slot<RunView>, kind: ProblemKind) {
    slot.fill(Err(Problem::new(kind, "it did not work").hint("look at the node")));
    stage.steps();
}

#[test]
fn a_form_that_is_sent_again_after_a_lost_answer_has_the_same_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage();
    form(&mut stage, dir.path());
    let (first, slot) = start(&mut stage, dir.path());
    fail(&mut stage, &slot, ProblemKind::Unavailable);
    assert!(stage.shows("it did not work"));
    let (again, slot) = start(&mut stage, dir.path());
    assert_eq!(again, first, "its run may have been made");
    fail(&mut stage, &slot, ProblemKind::Unavailable);
    stage.write("Value of branch", "next");
    let (changed, slot) = start(&mut stage, dir.path());
    assert_ne!(changed, first, "another form is another run");
    fail(&mut stage, &slot, ProblemKind::Denied);
    let (after_refusal, slot) = start(&mut stage, dir.path());
    assert_ne!(after_refusal, changed, "the node has made no run");
    let run = detail(1, &["a"]).run;
    slot.fill(Ok(run.clone()));
    stage.steps();
    assert!(matches!(&stage.sent()[..], [Command::Look(id)] if *id == run.id), "its run is opened");
}

#[test]
fn a_run_that_is_asked_for_stays_so_in_other_views_and_its_outcome_is_noted_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage();
    form(&mut stage, dir.path());
    let (_, slot) = start(&mut stage, dir.path());
    stage.go(Go::Runs);
    stage.go(Go::Start);
    assert!(stage.shows("Starting…"), "the request is still on its way");
    stage.go(Go::Runs);
    fail(&mut stage, &slot, ProblemKind::Denied);
    assert!(stage.shows("it did not work") && stage.shows("look at the node"));
    stage.go(Go::Start);
    let (_, slot) = start(&mut stage, dir.path());
    stage.go(Go::Runs);
    slot.fill(Ok(detail(1, &["a"]).run));
    stage.steps();
    assert!(stage.shows("Run created: build"));
    assert!(stage.sent().is_empty(), "nobody is taken to another view");
    stage.go(Go::Start);
    assert!(stage.shows("Choose a DAG file"), "the form is for the next run");
}
