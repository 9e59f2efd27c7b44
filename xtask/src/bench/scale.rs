//! Many tasks: what each costs node and host, and whether that stays so when there are ten times as many.

use std::path::Path;
use std::process::Stdio;

use super::cis::Cis;
use super::report::{Report, Row};
use super::stats::median;
use super::usage::{cpu_ms, peak_kb};
use super::work::{Scratch, Shape, Terminal, write_dag};
use crate::Outcome;

const FEW: u32 = 10_000;
const MANY: u32 = 100_000;
const VALIDATIONS: u32 = 3;

/// Processor time per task, memory of the node, and how long a large file takes to be checked.
pub(crate) fn measure(binary: &Path, scratch: &Scratch, report: &mut Report) -> Outcome {
    let few = one(binary, scratch, FEW)?;
    report.add(few.row(FEW));
    let many = one(binary, scratch, MANY)?;
    report.add(many.row(MANY));
    report.add(Row::ratio(
        &format!("the same, {MANY} tasks / {FEW} tasks"),
        many.cpu_ms / few.cpu_ms,
        (1.3, 1.1),
        format!("{:.3} ms / {:.3} ms", many.cpu_ms, few.cpu_ms),
    ));
    report.add(Row::figure(
        &format!("most memory of a node that runs {MANY} tasks"),
        many.node_mb,
        "MB",
        (500.0, 250.0),
        format!("{:.0} MB with {FEW}; session host {:.0} MB", few.node_mb, many.host_mb),
    ));
    validated(binary, scratch, report)
}

/// What a run of many tasks took.
struct Taken {
    /// Node and host, per task.
    cpu_ms: f64,
    node_cpu_ms: f64,
    node_mb: f64,
    host_mb: f64,
}

impl Taken {
    fn row(&self, tasks: u32) -> Row {
        Row::figure(
            &format!("processor time of node and host per task, {tasks} tasks, tty = false"),
            self.cpu_ms,
            "ms",
            (0.25, 0.12),
            format!("node {:.3} ms, host {:.3} ms", self.node_cpu_ms, self.cpu_ms - self.node_cpu_ms),
        )
    }
}

/// Runs so many in a home of their own.
fn one(binary: &Path, scratch: &Scratch, tasks: u32) -> Outcome<Taken> {
    let home = scratch.path().join(format!("scale{tasks}"));
    let cis = Cis::start(binary, &home)?;
    let file = write_dag(&home, Shape::Wide(tasks), Terminal::Pipes)?;
    let (node, host) = (cis.node_number("pid")?, cis.node_number("host_pid")?);
    let before = (cpu_ms(&[node])?, cpu_ms(&[host])?);
    cis.dag_run_ms(&file)?;
    let per_task = |after: f64, before: f64| (after - before) / f64::from(tasks);
    let node_cpu_ms = per_task(cpu_ms(&[node])?, before.0);
    let taken = Taken {
        cpu_ms: node_cpu_ms + per_task(cpu_ms(&[host])?, before.1),
        node_cpu_ms,
        node_mb: peak_kb(&[node])? / 1e3,
        host_mb: peak_kb(&[host])? / 1e3,
    };
    cis.stop()?;
    std::fs::remove_dir_all(&home).map_err(|e| format!("cannot remove {}: {e}", home.display()))?;
    Ok(taken)
}

fn validated(binary: &Path, scratch: &Scratch, report: &mut Report) -> Outcome {
    let cis = Cis::new(binary, &scratch.path().join("validate"))?;
    let file = write_dag(scratch.path(), Shape::Chain(MANY), Terminal::Pipes)?;
    let mut seconds = Vec::new();
    for _ in 0..VALIDATIONS {
        let mut command = cis.command(["dag".as_ref(), "validate".as_ref(), file.as_os_str()]);
        seconds.push(cis.time(command.stdout(Stdio::null()))? / 1e3);
    }
    report.add(Row::figure(
        &format!("`cis dag validate` of a chain of {MANY} tasks"),
        median(&seconds),
        "s",
        (3.0, 1.0),
        format!("{VALIDATIONS} samples"),
    ));
    Ok(())
}
