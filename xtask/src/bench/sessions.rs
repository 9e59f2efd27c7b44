//! What a session costs: the time to create one, memory and processor time of those that wait.

use std::time::{Duration, Instant};

use super::cis::Cis;
use super::report::{Report, Row};
use super::stats::percentile;
use crate::Outcome;

/// Sessions that are alive together.
const SESSIONS: u32 = 100;
/// For how long their processor time is counted.
const SPAN: Duration = Duration::from_secs(5);
/// `/proc/PID/stat` counts in these (`sysconf(_SC_CLK_TCK)`, 100 on every Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// Creates them, looks at node and host, and ends them.
pub(crate) fn measure(cis: &Cis, report: &mut Report) -> Outcome {
    let (mut times, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..SESSIONS {
        let began = Instant::now();
        ids.push(cis.session(&["cat"])?);
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let pids = [cis.node_number("pid")?, cis.node_number("host_pid")?];
    let before = ticks(pids)?;
    std::thread::sleep(SPAN);
    let percent =
        (ticks(pids)? - before) / TICKS_PER_SECOND / SPAN.as_secs_f64() * 100.0 / f64::from(SESSIONS);
    let megabytes = (resident_mb(pids[0])? + resident_mb(pids[1])?) / f64::from(SESSIONS);
    for id in ids {
        cis.run(["session", "terminate", &id])?;
    }
    let p95 = percentile(&times, 95.0);
    report.add(Row::limit("`cis session create`, p95", p95, "ms", (2000.0, 100.0), SESSIONS));
    report.add(Row::limit(
        "memory of node and host per idle session",
        megabytes,
        "MB",
        (50.0, 2.0),
        SESSIONS,
    ));
    report.add(Row::limit(
        "processor time of node and host per idle session",
        percent,
        "%",
        (5.0, 0.1),
        SESSIONS,
    ));
    Ok(())
}

/// Processor time of both so far.
fn ticks(pids: [u32; 2]) -> Outcome<f64> {
    let mut total = 0.0;
    for pid in pids {
        let text = proc_file(pid, "stat")?;
        // The name, in parentheses, may hold anything; fields 14 and 15 are utime and stime (proc_pid_stat(5)).
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        for field in [11, 12] {
            total += fields.get(field).and_then(|f| f.parse::<f64>().ok()).unwrap_or_default();
        }
    }
    Ok(total)
}

fn resident_mb(pid: u32) -> Outcome<f64> {
    let text = proc_file(pid, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kilobytes: f64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(f64::NAN);
    Ok(kilobytes / 1e3)
}

fn proc_file(pid: u32, name: &str) -> Outcome<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(|e| format!("process {pid} is gone: {e}"))
}
