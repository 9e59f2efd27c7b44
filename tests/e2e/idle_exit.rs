//! Commands that meet a node while it ends because it has nothing to do.

use std::time::Duration;

use super::harness::Cis;

const TINY: &str = r#"
version = 1
[dag]
id = "tiny"
[[tasks]]
id = "a"
command = ["echo", "done"]
"#;

#[test]
fn a_command_that_meets_a_node_at_its_idle_exit_is_done_by_the_next_one() {
    let cis = Cis::new().env("CIS_NODE_IDLE_EXIT", "150ms");
    let file = cis.write("tiny.toml", TINY);
    let run = ["dag", "run", "-q", file.to_str().unwrap()];
    cis.ok(run);
    let commands: [&[&str]; 4] = [
        &run,
        &["dag", "logs", "a"],
        &["store", "gc", "--older-than", "30d"],
        &["group", "set", "g", "--limit", "2"],
    ];
    for round in 0..100_u64 {
        // The end of the node cannot be awaited without missing it, so commands come at all times around it.
        std::thread::sleep(Duration::from_millis(110 + round * 7 % 60));
        let command = commands[usize::try_from(round).unwrap() % commands.len()];
        let out = cis.run(command);
        assert_eq!(out.code, Some(0), "round {round}: {command:?}: {out:?}");
    }
    cis.stop();
}
