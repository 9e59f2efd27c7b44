//! What a session costs: the time to create one, memory and processor time of those that wait.

use std::time::{Duration, Instant};

use super::cis::Cis;
use super::report::{Report, Row};
use super::stats::percentile;
use super::usage::{cpu_ms, resident_kb};
use crate::Outcome;

/// Sessions that are alive together.
const SESSIONS: u32 = 100;
/// For how long their processor time is counted.
const SPAN: Duration = Duration::from_secs(5);

/// Creates them, looks at node and host, and ends them.
pub(crate) fn measure(cis: &Cis, report: &mut Report) -> Outcome {
    let (mut times, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..SESSIONS {
        let began = Instant::now();
        ids.push(cis.session(&["cat"])?);
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let pids = [cis.node_number("pid")?, cis.node_number("host_pid")?];
    let before = cpu_ms(&pids)?;
    std::thread::sleep(SPAN);
    let percent = (cpu_ms(&pids)? - before) / (SPAN.as_secs_f64() * 1e3) * 100.0 / f64::from(SESSIONS);
    let megabytes = resident_kb(&pids)? / 1e3 / f64::from(SESSIONS);
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
