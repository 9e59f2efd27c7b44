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
/// For how long their processor time is counted: one that is quiet is looked at once in it.
const SPAN: Duration = Duration::from_mins(1);
/// From then on they are quiet: in the minute after its last output a session is looked at eight times.
const QUIET: Duration = Duration::from_secs(65);
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
    let made = Instant::now();
    let at_once = (proportional_kb(&pids)? - proportional) / f64::from(SESSIONS);
    let settled = settled(&pids)?;
    let each = (proportional_kb(&pids)? - proportional) / f64::from(SESSIONS);
    let resident = (resident_kb(&pids)? - resident) / f64::from(SESSIONS);
    let node = resident_kb(&pids[..1])? / 1e3;
    let (early, from) = (cpu_ms(&pids)?, Instant::now());
    std::thread::sleep(QUIET.saturating_sub(made.elapsed()));
    let before = cpu_ms(&pids)?;
    let until_quiet = (before - early) / (from.elapsed().as_secs_f64() * 1e3) * 100.0;
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
        (1.0, 0.5),
        format!(
            "over {} s, from {} s after the last output on; {until_quiet:.1} % before that",
            SPAN.as_secs(),
            QUIET.as_secs()
        ),
    ));
    drop(first);
    report.add(Row::figure(
        &format!("`cis node stop --kill-sessions` with {SESSIONS} idle sessions, until the host is gone"),
        stopped_after(cis, pids[1])?.as_secs_f64(),
        "s",
        (10.0, 2.0),
        "each is sent SIGTERM, and waited for".to_owned(),
    ));
    Ok(())
}

/// How long it takes until node, sessions and host have ended.
fn stopped_after(cis: &Cis, host: u32) -> Outcome<Duration> {
    let began = Instant::now();
    cis.stop()?;
    // Also gone is what nobody has waited for yet.
    while cpu_ms(&[host]).is_ok() && !is_zombie(host) {
        if began.elapsed() > PATIENCE {
            return Err(format!("the session host {host} did not end within {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(began.elapsed())
}

fn is_zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
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
