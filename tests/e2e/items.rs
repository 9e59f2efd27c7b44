//! `foreach` with empty lists, artifacts of items, and `allow_failure`.

use serde_json::json;

use super::harness::Cis;

#[test]
fn an_empty_list_leaves_empty_lists_as_outputs() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "empty"
params = { names = { type = "list", default = [] } }
[[tasks]]
id = "each"
foreach = "params.names"
tty = false
script = 'echo "url=https://"{{ item }} >> "$CIS_OUTPUT"; echo n=1 >> "$CIS_OUTPUT"'
outputs = { url = { type = "string" }, n = { type = "integer" } }
[[tasks]]
id = "again"
needs = ["each"]
foreach = "tasks.each.outputs.url"
tty = false
command = ["echo", "{{ item }}"]
outputs = { x = { type = "string" } }
[[tasks]]
id = "end"
needs = ["each", "again"]
if = "(tasks.each.outputs.n | length) == (params.names | length)"
tty = false
command = ["echo", "{{ tasks.each.outputs.url }} {{ tasks.again.outputs.x | length }}"]
"#;
    cis.dag(text, &[]).expect(0);
    let shown = cis.json(&["dag", "show"]);
    let run = shown["run"]["id"].as_str().unwrap().to_owned();
    assert_eq!(cis.ok(["dag", "logs", "end"]).trim(), "[] 0");
    let each = cis.task(&run, "each");
    assert_eq!(
        (&each["state"], &each["outputs"]),
        (&"completed".into(), &json!({ "url": [], "n": [] })),
        "{each}"
    );
    assert_eq!(
        cis.json(&["dag", "context", "end"])["needs"]["each"]["outputs"],
        json!({ "url": [], "n": [] })
    );
    // Outputs of an older list are gone, and the tables match the events.
    cis.stop();
    cis.ok(["store", "rebuild"]);
    assert_eq!(cis.task(&run, "each"), each);
    cis.dag(text, &["--param", r#"names=["a"]"#]).expect(1);
}

#[test]
fn artifacts_of_items_name_the_item() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "files"
[[tasks]]
id = "each"
foreach = ["eu", "a*b", "x [1]"]
tty = false
script = '''
mkdir -p "out/"{{ item }} other/{{ task.id }}
echo {{ item }} > "out/"{{ item }}"/log"
echo {{ item }} > other/{{ task.id }}/log
echo no > "out/axxb"
'''
artifacts = ["out/{{ item }}/**", "other/{{ task.id }}/*"]
"#;
    cis.dag(text, &[]).expect(0);
    let shown = cis.json(&["dag", "show"]);
    let run = shown["run"]["id"].as_str().unwrap().to_owned();
    for (number, item) in [(1, "eu"), (2, "a*b"), (3, "x [1]")] {
        let task = cis.task(&run, &format!("each.{number}"));
        let paths: Vec<&str> =
            task["artifacts"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
        assert_eq!(paths, [format!("other/each.{number}/log"), format!("out/{item}/log")], "{task}");
    }
    // A value cannot lead out of the directory.
    let text = text.replace(r#"["eu", "a*b", "x [1]"]"#, r#"["../secret"]"#);
    let failed = cis.dag(&text, &[]).expect(1).stderr;
    assert!(failed.contains("artifacts[0]") && failed.contains("leaves the task's directory"), "{failed}");
}

#[test]
fn allow_failure_covers_a_missing_program_or_directory() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "allowed"
[dag.defaults]
tty = false
allow_failure = true
[[tasks]]
id = "program"
command = ["there-is-no-such-program"]
[[tasks]]
id = "directory"
cwd = "there/is/none"
command = ["true"]
[[tasks]]
id = "after"
needs = ["program", "directory"]
command = ["echo", "went on"]
"#;
    cis.dag(text, &[]).expect(0);
    let shown = cis.json(&["dag", "show"]);
    let run = shown["run"]["id"].as_str().unwrap().to_owned();
    for task in ["program", "directory"] {
        let task = cis.task(&run, task);
        let reason = task["reason"].as_str().unwrap();
        assert!(task["state"] == "completed" && reason.starts_with("failure allowed: "), "{task}");
    }
    assert_eq!(cis.ok(["dag", "logs", "after"]).trim(), "went on");
    cis.dag(&text.replace("allow_failure = true", ""), &[]).expect(3);
}
