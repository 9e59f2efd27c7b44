//! What it costs to read a DAG file: time and memory, for files of many tasks.
//!
//! `cargo run --release -p cis-core --example parse_cost [TASKS [plain | chain | layers]]`

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement")]

use std::fmt::Write;

use cis_core::dag::{Dag, Task, parse};

const HEAD: &str =
    "version = 1\n[dag]\nid = \"many\"\nparams = { p = { type = \"string\", default = \"x\" } }\n";

fn main() {
    let count = std::env::args().nth(1).map_or(100_000, |count| count.parse().unwrap());
    println!("a Task: {} bytes", size_of::<Task>());
    let plain = |n: u32| format!("[[tasks]]\nid = \"t{n}\"\ncommand = [\"true\"]\ntty = false\n");
    measure("plain", count, plain);
    measure("chain, with outputs, templates and conditions", count, |n| {
        let before = n.saturating_sub(1);
        let mut text = format!("[[tasks]]\nid = \"t{n}\"\noutputs = {{ n = {{ type = \"integer\" }} }}\n");
        if n == 0 {
            text.push_str("script = 'echo n=1 >> \"$CIS_OUTPUT\"'\n");
        } else {
            write!(
                text,
                "needs = [\"t{before}\"]\nif = \"tasks.t{before}.outputs.n > 0\"\n\
                 script = 'echo n={{{{ tasks.t{before}.outputs.n + 1 }}}} {{{{ params.p }}}} {{{{ tasks.t0.outputs.n }}}}'\n\
                 env = {{ A = \"{{{{ run.id }}}}\" }}\n"
            )
            .unwrap();
        }
        text
    });
    measure("layers of 20, each needing all of the layer before", count, |n| {
        let layer = n / 20;
        let needs: Vec<String> =
            (0..if layer == 0 { 0 } else { 20 }).map(|i| format!("\"t{}\"", (layer - 1) * 20 + i)).collect();
        format!("[[tasks]]\nid = \"t{n}\"\nneeds = [{}]\ncommand = [\"true\"]\n", needs.join(","))
    });
}

fn measure(what: &str, count: u32, task: impl Fn(u32) -> String) {
    if std::env::args().nth(2).is_some_and(|wanted| !what.starts_with(&wanted)) {
        return;
    }
    let mut text = HEAD.to_owned();
    (0..count).for_each(|n| text.push_str(&task(n)));
    let before = resident_kb("VmRSS:");
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let started = on_cpu_ms();
    let dag = parse(text.as_bytes(), "many.toml").unwrap();
    let took = on_cpu_ms() - started;
    let peak = resident_kb("VmHWM:");
    // What parsing has freed is used again first; then each copy takes what it needs.
    let mut copies: Vec<Dag> = (0..4).map(|_| dag.clone()).collect();
    let some = resident_kb("VmRSS:");
    copies.extend((0..4).map(|_| dag.clone()));
    let each = resident_kb("VmRSS:").saturating_sub(some) / 4;
    println!(
        "{what}: {} tasks, {} KiB of text, {} ms of CPU, at most {} KiB, {each} KiB of tasks",
        dag.tasks.len(),
        text.len() / 1024,
        took,
        peak.saturating_sub(before),
    );
}

fn resident_kb(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Of this thread; other processes do not count.
fn on_cpu_ms() -> u64 {
    let ns = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    ns.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1_000_000
}
