//! Nodes of a room that share no file: what another node needs has to be carried to it.
//!
//! Other tests have all homes in one file system, which would hide a path that one node reads and another one wrote.

use std::fs;

use crate::federation::{did, execute, make_member, switch_off};
use crate::harness::synapse::Synapse;
use crate::harness::{Cis, eventually_within, skip};
use crate::matrix::log_in;
use crate::rooms::{SLOW, room_of, waits};

/// SUBMITTER is the submitter's directory, which no other node has.
const TEXT: &str = r#"
version = 1
[dag]
id = "apart"
[[tasks]]
id = "build"
nodes = ["builder"]
inputs = ["src/**"]
artifacts = ["out/**"]
script = "test ! -e SUBMITTER && mkdir out && tr a-z A-Z < src/text > out/text && echo built"
[[tasks]]
id = "release"
nodes = ["tester"]
needs = ["build"]
artifacts = ["report"]
script = "test ! -e SUBMITTER && printf 'Release %s? [y/N] ' $(cat out/text) && read answer && echo $answer $(cat out/text) > report"
[[tasks]]
id = "last"
nodes = ["builder"]
needs = ["build", "release"]
artifacts = ["final"]
script = "test ! -e SUBMITTER && cat out/text report > final"
"#;

#[test]
fn nodes_that_share_no_file_finish_the_run_of_one_that_is_switched_off() {
    let Some(cis) = Cis::apart() else {
        skip("nodes in mount namespaces need root");
        return;
    };
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    log_in(&cis, &synapse, &synapse.register("cis"));
    let room = room_of(&cis, &ann);
    let join = |name: &str, role: &str, may: &str| {
        let member = Cis::apart().unwrap();
        make_member(&member, &synapse, &room, &ann, &cis, (name, role, may));
        member
    };
    let builder = join("builder", "worker", "execute");
    let _tester = join("tester", "worker", "execute");
    let next = join("next", "coordinator", "submit,coordinate");
    fs::create_dir(cis.work().join("src")).unwrap();
    fs::write(cis.work().join("src/text"), "version-7\n").unwrap();
    let here = next.program("ls").arg(cis.work()).output().unwrap();
    assert!(!here.status.success(), "a node sees the files of another one: {here:?}");

    let run = execute(&cis, &room, &TEXT.replace("SUBMITTER", cis.work().to_str().unwrap()));
    let question = waits(&next, "Release VERSION-7? [y/N]");
    switch_off(&cis);
    eventually_within(SLOW, "the other coordinator goes on with the run", || {
        let node = &next.show(&run)["run"]["node"];
        (node.as_str() == Some(&did(&next))).then_some(())
    });
    eventually_within(SLOW, "the answer arrives", || {
        let said = next.run(["answer", &question, "y"]);
        (said.code == Some(0) || said.stderr.contains("answered by")).then_some(())
    });
    next.wait_run(&run, "succeeded");

    // What was made is read after the nodes that made it have gone, also at the node that submitted the run.
    builder.ok(["node", "stop"]);
    cis.ok(["node", "start", "--detach"]);
    cis.wait_run(&run, "succeeded");
    for node in [&next, &cis] {
        let to = node.work().join("to");
        node.ok(["dag", "artifacts", "last", "--run", &run, "--to", to.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(to.join("final")).unwrap(), "VERSION-7\ny VERSION-7\n");
        assert_eq!(node.ok(["dag", "logs", "build", "--run", &run]).trim(), "built");
    }
}
