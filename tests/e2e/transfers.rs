//! Files of tasks between nodes: inputs of the submitter, artifacts of tasks, and those who read them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::federation::{execute, member};
use crate::harness::eventually_within;
use crate::harness::synapse::Synapse;
use crate::matrix::logged_in;
use crate::rooms::{SLOW, room_of};

/// Inputs go to `builder`, what it makes of them to `tester` and back to the submitter's directory.
const TEXT: &str = r#"
version = 1
[dag]
id = "moved"
[[tasks]]
id = "build"
nodes = ["builder"]
inputs = ["src/**"]
artifacts = ["out/**"]
tty = false
script = '''
test "$(find . -type f | sort | tr '\n' ' ')" = './src/a.txt ./src/big ./src/empty ./src/tool ' || { find . -type f; exit 3; }
mkdir -p out/deep
./src/tool > out/deep/made
cp src/big out/big
cp src/tool out/tool
'''
[[tasks]]
id = "test"
nodes = ["tester"]
needs = ["build"]
tty = false
artifacts = ["report"]
script = '''
test ! -e src
cmp -s out/big out/big && test -x out/tool && cat out/deep/made > report
'''
[[tasks]]
id = "here"
needs = ["test", "build"]
tty = false
cwd = "."
script = 'cmp out/big src/big && test "$(cat report out/deep/made | tr "\\n" .)" = "from a.from a."'
"#;

#[test]
fn files_go_with_tasks_from_node_to_node_and_come_back() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (cis, _) = logged_in(&synapse);
    let room = room_of(&cis, &ann);
    let builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let tester = member(&synapse, &room, &ann, &cis, ("tester", "worker", "execute"));
    let guest = member(&synapse, &room, &ann, &cis, ("guest", "observer", "submit"));
    let src = cis.work().join("src");
    fs::create_dir(&src).unwrap();
    fs::write(src.join("a.txt"), "from a\n").unwrap();
    let big: Vec<u8> = (0..9_000_001_u64).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    fs::write(src.join("big"), &big).unwrap();
    fs::write(src.join("empty"), "").unwrap();
    fs::write(src.join("tool"), "#!/bin/sh\ncat src/a.txt\n").unwrap();
    fs::set_permissions(src.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();

    let run = execute(&cis, &room, TEXT);
    cis.ok(["dag", "execute", "--run-id", &run]);

    // They are read at the coordinator, from a node that has nothing to do with them, and after their nodes have gone.
    builder.ok(["node", "stop"]);
    tester.ok(["node", "stop"]);
    eventually_within(SLOW, "the guest knows the end", || {
        let shown = guest.run(["dag", "show", &run]);
        shown.stdout.contains("succeeded").then_some(())
    });
    for node in [&cis, &guest] {
        let to = node.work().join("to");
        node.ok(["dag", "artifacts", "build", "--run", &run, "--to", to.to_str().unwrap()]);
        assert_eq!(fs::read(to.join("out/big")).unwrap(), big);
        assert_eq!(fs::read_to_string(to.join("out/deep/made")).unwrap(), "from a\n");
        let is_tool = |name: &str| fs::metadata(to.join(name)).unwrap().permissions().mode() & 0o100 != 0;
        assert!(is_tool("out/tool") && !is_tool("out/big"));
    }
}
