//! Actions that the user may not do are disabled, with the reason.

use cis_core::event::RunState;

use super::*;
use crate::model::Caller;

impl Stage {
    fn is_enabled(&self, label: &str) -> bool {
        use egui_kittest::kittest::NodeT as _;
        !self.harness.get_by_label(label).accesskit_node().is_disabled()
    }
}

fn caller(role: &str) -> Update {
    let (name, acts) = ("token:ann".to_owned(), role != "viewer");
    Update::Caller(Some(Caller { name, role: role.to_owned(), acts }))
}

#[test]
fn a_viewer_sees_disabled_actions_with_the_reason() {
    let mut stage = stage();
    let options = json!([{ "id": "1", "label": "red" }]);
    stage.shared.apply(Update::Inbox(vec![question("question", &options)]));
    stage.shared.apply(Update::Run(Box::new(detail(1, &["compile"]))));
    stage.gets(caller("viewer"));
    assert!(stage.shows("token:ann is a viewer on this node"));
    for label in ["red", "Send"] {
        assert!(!stage.is_enabled(label), "{label}");
    }
    stage.click("red");
    stage.press_with(Modifiers::CTRL, Key::Num2);
    for label in ["Start a run", "Pause", "Cancel"] {
        assert!(!stage.is_enabled(label), "{label}");
        stage.click(label);
    }
    let sent = stage.sent();
    // A click beside an enabled button opens the run.
    assert!(sent.iter().all(|command| matches!(command, Command::Look(_))), "{sent:?}");
    // The rights may change with the token.
    stage.gets(caller("operator"));
    assert!(!stage.shows("is a viewer") && stage.is_enabled("Pause"));
    stage.click("Pause");
    assert!(matches!(stage.sent()[..], [Command::Steer(_, Verb::Pause)]));
}

#[test]
fn a_viewer_cannot_retry() {
    let mut stage = stage();
    let mut run = detail(1, &["compile"]);
    run.run.state = RunState::Failed;
    run.tasks[0].state = cis_core::event::TaskState::Failed;
    let id = run.run.id;
    stage.shared.apply(caller("viewer"));
    stage.go(Go::Run(id));
    stage.gets(Update::Run(Box::new(run)));
    assert!(!stage.is_enabled("Retry failed"));
    stage.click("Tasks");
    stage.click("compile");
    stage.sent();
    assert!(!stage.is_enabled("Retry from here"));
    stage.click("Retry from here");
    assert!(stage.sent().is_empty());
}
