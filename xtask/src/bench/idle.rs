//! Sessions that wait: memory and processor time of node and host for each.

use std::time::{Duration, Instant};

use super::cis::Cis;
use super::report::{Report, Row};
use super::usage::{cpu_ms, proportional_kb, resident_kb};
use crate::Outcome;

/// Sessions that are alive together.
const SESSIONS: u32 = 1_000;
/// What they show before they wait, as a shell shows its prompt.
const WAITING: &[&str] = &["sh", "-c", "printf 'what next? '; exec cat"];
/// For how long their processor time is counted.
const SPAN: Duration = Duration::from_secs(30);
/// Memory is looked at until it has not become less for so long.
const SETTLED: Duration = Duration::from_secs(10);
/// And no longer than this.
const PATIENCE: Duration = Duration::from_secs(180);

/// Creates them in a node that has nothing else, and looks at what node and host have more than before.
pub(crate) fn measure(cis: &Cis, report: &mut Report) -> Outcome {
    // Whatever the first session brings with it is not the price of one more.
    let first = cis.session(WAITING)?;
    let pids = [cis.node_number("pid")?, cis.node_number("host_pid")?];
    let (proportional, resident) = (proportional_kb(&pids)?, resident_kb(&pids)?);
    for _ in 0..SESSIONS {
        cis.session(WAITING)?;
    }
    let at_once = (proportional_kb(&pids)? - proportional) / f64::from(SESSIONS);
    let settled = settled(&pids)?;
    let each = (proportional_kb(&pids)? - proportional) / f64::from(SESSIONS);
    let resident = (resident_kb(&pids)? - resident) / f64::from(SESSIONS);
    let node = resident_kb(&pids[..1])? / 1e3;
    let before = cpu_ms(&pids)?;
    std::thread::sleep(SPAN);
    let percent = (cpu_ms(&pids)? - before) / (SPAN.as_secs_f64() * 1e3) * 100.0;
    report.add(Row::figure(
        &format!("memory of node and host (PSS) for each of {SESSIONS} idle sessions"),
        each,
        "kB",
        (100.0, 32.0),
        format!(
            "resident {resident:.0} kB each, node {node:.0} MB in all; {at_once:.0} kB right after they were made, \
             {:.0} s before",
            settled.as_secs_f64()
        ),
    ));
    report.add(Row::figure(
        &format!("processor time of node and host for {SESSIONS} idle sessions, of a core"),
        percent,
        "%",
        (2.0, 0.5),
        format!("over {} s", SPAN.as_secs()),
    ));
    drop(first);
    Ok(())
}

/// Waits until memory is not given back any more. Says how long that took.
fn settled(pids: &[u32]) -> Outcome<Duration> {
    let began = Instant::now();
    let (mut least, mut since) = (proportional_kb(pids)?, Instant::now());
    while since.elapsed() < SETTLED && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(500));
        let now = proportional_kb(pids)?;
        if now < least * 0.99 {
            (least, since) = (now, Instant::now());
        }
    }
    Ok(since.duration_since(began))
}
