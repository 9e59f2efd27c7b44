//! What users see of wrong files, and what comes out of right ones.

use serde_json::json;

use super::parse;
use crate::dag::{Action, Backoff, Commit, Dag, Param, RetryPolicy, SecretSource, Trigger, ValueType};

mod agents;
mod blocked;
mod head;
mod keys;
mod language;
mod names;
mod text;
mod wrong_expressions;
mod wrong_values;

const HEAD: &str = "version = 1\n[dag]\nid = \"d\"\n";

/// What is said about the keys of a task, below a right head.
fn task(keys: &str) -> String {
    file(&format!("{HEAD}[[tasks]]\nid = \"t\"\n{keys}\n"))
}

fn file(text: &str) -> String {
    parse(text.as_bytes(), "x.toml").unwrap_err().to_string()
}

fn right(text: &str) -> Dag {
    parse(text.as_bytes(), "x.toml").unwrap_or_else(|wrong| panic!("{wrong}"))
}

#[test]
fn a_file_with_everything_is_read() {
    let dag = right(
        r#"
version = 1

[dag]
id = "Ship.it-2"
params = { zone = { type = "string" }, count = { type = "integer", default = 0x10, description = "how many" }, all = { type = "boolean", default = false }, share = { type = "number", default = 1 } }
max_parallel = 8
timeout = "2h"
env = { A = "dag", B = "dag", C = "dag" }
cwd = "work"

[dag.defaults]
env = { B = "defaults", C = "defaults" }
secrets = { TOKEN = { env = "TOKEN" }, S = { env = "S" } }
retries = { count = 1, delay = "2m" }
shell = "bash"
tty = false
grace = "0s"
trigger = "all_done"

[[tasks]]
id = "test"
script = "./test.sh {{ params.zone }}"
allow_failure = true
outputs = { failed = { type = "integer" }, list = { type = "json" } }
timeout = "30m"
env = { C = "task", S = "open" }
retries = 3

[[tasks]]
id = "fix-1"
needs = ["test", "test"]
trigger = "one_failed"
command = ["fix", "{{ tasks.test.outputs.failed }}", ""]
cwd = "{{ params.zone }}"
secrets = { B = { file = "b.txt" } }
tty = true
grace = "1m 30s"
retries = { backoff = "fixed", jitter = false, max_delay = "3m" }
retry_lost = false
commit = "room"
"#,
    );
    assert_eq!((dag.id.as_str(), dag.max_parallel, dag.timeout_ms), ("Ship.it-2", Some(8), Some(7_200_000)));
    assert_eq!(dag.params.keys().collect::<Vec<_>>(), ["zone", "count", "all", "share"]);
    let count =
        Param { ty: ValueType::Integer, default: Some(json!(16)), description: Some("how many".into()) };
    assert_eq!(dag.params["count"], count);

    let [test, fix] = &dag.tasks[..] else { panic!("two tasks") };
    let shell = "bash".to_owned();
    assert_eq!(test.action, Action::Script { text: "./test.sh {{ params.zone }}".into(), shell });
    assert_eq!(json!(test.env), json!({ "A": "dag", "B": "defaults", "C": "task", "S": "open" }));
    assert_eq!(test.secrets.keys().collect::<Vec<_>>(), ["TOKEN"]);
    assert_eq!(
        (test.trigger, test.tty, test.grace_ms, test.cwd.as_deref()),
        (Trigger::AllDone, false, 0, Some("work"))
    );
    let retries =
        RetryPolicy { count: 3, delay_ms: 120_000, max_delay_ms: 120_000, ..RetryPolicy::default() };
    assert_eq!(test.retries, retries);
    assert!(test.allow_failure && test.retry_lost && test.timeout_ms == Some(1_800_000));

    assert_eq!(fix.needs.len(), 1);
    assert_eq!(json!(fix.env), json!({ "A": "dag", "C": "defaults" }));
    assert_eq!(fix.secrets["B"], SecretSource::File("b.txt".into()));
    let retries = RetryPolicy {
        count: 1,
        backoff: Backoff::Fixed,
        delay_ms: 120_000,
        max_delay_ms: 180_000,
        jitter: false,
        on: Vec::new(),
    };
    assert_eq!(fix.retries, retries);
    assert_eq!((fix.trigger, fix.tty, fix.grace_ms), (Trigger::OneFailed, true, 90_000));
    assert_eq!((test.commit, fix.commit), (Commit::Coordinator, Commit::Room));
    assert!(!fix.retry_lost && !fix.allow_failure && fix.timeout_ms.is_none());
}

#[test]
fn the_smallest_file_has_the_defaults_of_the_format() {
    let dag = right(&format!("{HEAD}[[tasks]]\nid = \"t\"\nscript = \"true\"\n"));
    let task = &dag.tasks[0];
    assert_eq!(task.action, Action::Script { text: "true".into(), shell: "sh".into() });
    assert_eq!((task.tty, task.grace_ms, task.trigger), (true, 10_000, Trigger::AllSuccess));
    assert_eq!(task.retries, RetryPolicy::default());
    assert!(task.retry_lost);
}
