//! A worker whose disk has no space for the files of its task.

use std::fs;

use crate::federation::{execute, make_member};
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, LONG, eventually_or};
use crate::matrix::logged_in;
use crate::rooms::room_of;
use crate::storage::Mounted;

const TEXT: &str = r#"
version = 1
[dag]
id = "large"
[[tasks]]
id = "a"
nodes = ["builder"]
tty = false
inputs = ["large"]
script = 'test "$(wc -c < large)" = 20000000'
"#;

#[test]
fn a_task_waits_until_its_worker_has_space_for_its_files() {
    let worker = Cis::new();
    let Some(_mounted) = Mounted::at(&worker.home(), "64m") else { return };
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    make_member(&worker, &synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let ballast = worker.home().join("ballast");
    fs::write(&ballast, vec![b'x'; 32_000_000]).unwrap();
    fs::write(cis.work().join("large"), vec![b'y'; 20_000_000]).unwrap();
    let run = execute(&cis, &room, TEXT);
    let why = || cis.ok(["dag", "why", "a", "--run", &run]);
    let says = || (why().contains("no space left") && why().contains("builder")).then_some(());
    eventually_or(LONG, says, || format!("people are told what it waits for: {}", why()));
    assert_eq!(cis.show(&run)["run"]["state"], "running");
    fs::remove_file(ballast).unwrap();
    cis.wait_run(&run, "succeeded");
    // Before its home is unmounted.
    worker.stop();
}
