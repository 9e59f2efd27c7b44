//! Secrets of tasks that run on the nodes of a room.

use std::fs;

use crate::federation::{execute, member};
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, eventually};
use crate::matrix::{holds, login_at};
use crate::rooms::room_of;

const VALUE: &str = "s3cret-Value-71";

/// `make` gets a secret, `use` an output that holds it, and `other` neither.
const TEXT: &str = r#"
version = 1
[dag]
id = "sealed"
[dag.defaults]
tty = false
[[tasks]]
id = "make"
nodes = ["one"]
secrets = { TOKEN = { env = "TEST_SECRET" } }
outputs = { mixed = { type = "string" } }
script = '''
test "$TOKEN" = "$TEST_SECRET" && test ${#TOKEN} = 15 || exit 3
echo "said $TOKEN"
echo "mixed=before $TOKEN after" >> "$CIS_OUTPUT"
'''
[[tasks]]
id = "use"
nodes = ["two"]
needs = ["make"]
env = { MIXED = "{{ tasks.make.outputs.mixed }}" }
script = 'case "$MIXED" in "before s3cret-"*"-71 after") echo "got $MIXED" ;; *) exit 4 ;; esac'
[[tasks]]
id = "other"
nodes = ["two"]
script = 'test -z "$TOKEN$TEST_SECRET" && echo no secret'
"#;

#[test]
fn secrets_go_sealed_to_the_node_that_runs_the_task_and_are_removed_there() {
    let synapse = Synapse::own();
    let ann = synapse.register("ann");
    let cis = Cis::new().env("TEST_SECRET", VALUE);
    let user = synapse.register("cis");
    login_at(&cis, synapse.url(), &user, "--token-stdin", &user.token).expect(0);
    let room = room_of(&cis, &ann);
    let one = member(&synapse, &room, &ann, &cis, ("one", "worker", "execute"));
    let two = member(&synapse, &room, &ann, &cis, ("two", "worker", "execute"));
    let run = execute(&cis, &room, TEXT);
    cis.wait_run(&run, "succeeded");
    let log = |task: &str| cis.ok(["dag", "logs", task, "--run", &run]);
    assert_eq!([log("make"), log("use"), log("other")], ["said ***\n", "got ***\n", "no secret\n"]);
    assert_eq!(
        cis.task(&run, "make")["outputs"]["mixed"],
        "before *** after",
        "the text around the secret is known"
    );
    for worker in [&one, &two] {
        eventually("the secrets are removed from the workers", || {
            (!holds(&worker.home(), VALUE)).then_some(())
        });
    }
    // The log on the worker itself is still there, without the secret.
    let own = fs::read_to_string(one.home().join(format!("logs/{run}/make.1.log"))).unwrap();
    assert!(own.contains("said ***"), "{own:?}");
    let written = synapse.written();
    assert!(!written.windows(VALUE.len()).any(|window| window == VALUE.as_bytes()), "the homeserver has it");
}
