//! Real agents against a model server of ours: they start, stop at their own prompts, are answered by what an
//! option means, and leave what they said.

use serde_json::Value;

use crate::harness::{Cis, Model, Reply, eventually};

/// The open item of a task.
#[track_caller]
fn waiting(cis: &Cis, task: &str) -> Value {
    eventually(&format!("task {task} waits in the inbox"), || {
        let inbox = cis.json(&["inbox"]);
        inbox["items"].as_array()?.iter().find(|item| item["task"] == task).cloned()
    })
}

fn meanings(item: &Value) -> Vec<&str> {
    item["options"].as_array().into_iter().flatten().filter_map(|option| option["meaning"].as_str()).collect()
}

/// What a later task gets of the task `work`.
const READER: &str = "[[tasks]]\nid = \"reader\"\nneeds = [\"work\"]\nscript = \"printf %s {{ tasks.work.output }} > got\"\n";

#[test]
fn agents_llm_asks_is_allowed_by_meaning_and_its_answer_reaches_the_next_task() {
    let model = Model::start(|turn| match turn.results.as_slice() {
        [] => Reply::Run("touch made; echo of-the-command".to_owned()),
        [result, ..] => Reply::Text(format!("The tool said {}.", result.trim())),
    });
    let cis = Cis::new();
    cis.set_up_llm(&model);
    let run = cis.start(&format!(
        "version = 1\n[dag]\nid = \"agents\"\n[[tasks]]\nid = \"work\"\nagent = \"llm\"\nprompt = \"--make; it $(id)\"\n{READER}"
    ));
    let item = waiting(&cis, "work");
    assert_eq!(item["kind"], "permission", "{item}");
    assert!(item["question"].as_str().unwrap().contains("Approve tool call?"), "{item}");
    assert!(meanings(&item).contains(&"allow_once") && meanings(&item).contains(&"deny"), "{item}");
    assert!(!cis.work().join("made").exists(), "nothing runs before it is allowed");
    cis.ok(["answer", item["id"].as_str().unwrap(), "allow_once"]);
    cis.wait_run(&run, "succeeded");
    assert!(cis.work().join("made").exists());
    assert!(cis.read("got").contains("The tool said of-the-command."), "{}", cis.read("got"));
    assert_eq!(model.turns()[0].user, "--make; it $(id)", "the prompt came as it was written");
}
