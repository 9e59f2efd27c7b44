//! Long use: what a node holds does not grow with what it has done.

use super::harness::{Cis, resident_kb};

/// Tasks of one run.
const TASKS: u32 = 300;

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
#[ignore = "12,000 tasks take minutes: cargo xtask test-all"]
fn alone_forty_runs_leave_node_and_host_as_small_as_ten() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let mut text = "version = 1\n[dag]\nid = \"soak\"\nmax_parallel = 4\n".to_owned();
    for n in 0..TASKS {
        let tty = n % 2 == 0;
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\ntty = {tty}\nscript = 'echo a line of output of {n}'\n"
        ));
    }
    let pids = [cis.node_pid().unwrap(), cis.host_pid().unwrap()];
    let mut at_ten = None;
    for round in 1..=40 {
        cis.dag(&text, &[]).expect(0);
        let now = pids.map(|pid| (resident_kb(pid).unwrap(), descriptors(pid)));
        eprintln!("after {round} runs: {now:?}");
        if round == 10 {
            at_ten = Some(now);
        }
    }
    for (before, pid) in at_ten.unwrap().into_iter().zip(pids) {
        let (kilobytes, open) = (resident_kb(pid).unwrap(), descriptors(pid));
        assert!(kilobytes < before.0 + 30_000, "process {pid} grew from {} to {kilobytes} KB", before.0);
        assert!(open <= before.1 + 2, "process {pid} had {} descriptors, and has {open}", before.1);
    }
}
