//! Tasks and results that are larger than an event of Matrix.

use crate::federation::{execute, member};
use crate::harness::room::Room;
use crate::harness::synapse::Synapse;
use crate::matrix::logged_in;

/// A task whose script has about so many bytes, with outputs of 120,000 bytes.
fn text(script_bytes: usize) -> String {
    format!(
        r#"
version = 1
[dag]
id = "large"
[[tasks]]
id = "a"
tty = false
nodes = ["builder"]
script = '''
for name in one two; do echo "$name=$(head -c 60000 /dev/zero | tr '\0' '"')" >> "$CIS_OUTPUT"; done
# {}
'''
outputs = {{ one = {{ type = "string" }}, two = {{ type = "string" }} }}
"#,
        "x".repeat(script_bytes)
    )
}

/// Encrypted, a message is larger still.
#[test]
fn large_tasks_and_results_go_from_node_to_node() {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let made = cis.json(&["matrix", "create-room", "vault", "--encrypted", "--invite", &ann.id]);
    let room = Room::joined(&ann, made["room_id"].as_str().unwrap());
    let _builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let run = execute(&cis, &room, &text(100_000));
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "a")["attempts"], 1);
    assert_eq!(cis.task(&run, "a")["node"]["name"], "builder");
    let run = execute(&cis, &room, &text((1 << 20) - 150));
    cis.wait_run(&run, "failed");
    let reason = cis.task(&run, "a")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("at most 1 MiB goes to another node"), "{reason}");
}
