//! What processes have used: processor time and memory, as the kernel counts them.

use crate::Outcome;

/// `/proc/PID/stat` counts in these (`sysconf(_SC_CLK_TCK)`, 100 on every Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of all of them so far, their children left out, ms.
pub(crate) fn cpu_ms(pids: &[u32]) -> Outcome<f64> {
    let mut ticks = 0.0;
    for pid in pids {
        let text = proc_file(*pid, "stat")?;
        // The name, in parentheses, may hold anything; fields 14 and 15 are utime and stime (proc_pid_stat(5)).
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        for field in [11, 12] {
            ticks += fields.get(field).and_then(|f| f.parse::<f64>().ok()).unwrap_or_default();
        }
    }
    Ok(ticks / TICKS_PER_SECOND * 1e3)
}

/// Memory that all of them have to themselves, and their share of the rest (PSS), kB.
pub(crate) fn proportional_kb(pids: &[u32]) -> Outcome<f64> {
    sum(pids, "smaps_rollup", "Pss:")
}

/// Resident memory of all of them, kB.
pub(crate) fn resident_kb(pids: &[u32]) -> Outcome<f64> {
    sum(pids, "status", "VmRSS:")
}

/// The most that was ever resident, all of them together, kB.
pub(crate) fn peak_kb(pids: &[u32]) -> Outcome<f64> {
    sum(pids, "status", "VmHWM:")
}

/// Lets the most that is resident be counted anew from now on.
pub(crate) fn forget_peak(pid: u32) -> Outcome {
    // 5 resets the peak (proc_pid_clear_refs(5)).
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").map_err(|e| why(pid, &e))
}

fn sum(pids: &[u32], file: &str, name: &str) -> Outcome<f64> {
    let mut total = 0.0;
    for pid in pids {
        let text = proc_file(*pid, file)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        total += line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(f64::NAN);
    }
    Ok(total)
}

fn proc_file(pid: u32, name: &str) -> Outcome<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(|e| why(pid, &e))
}

/// Words the error of a memory reading. Node and host are closed to processes of their own user.
fn why(pid: u32, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            format!("cannot read the memory of process {pid}: {error}; run this as root")
        }
        _ => format!("process {pid} is gone: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_use_is_seen() {
        let own = [std::process::id()];
        let before = cpu_ms(&own).unwrap();
        let mut n = 0_u64;
        while cpu_ms(&own).unwrap() < before + 20.0 {
            n = std::hint::black_box(n + 1);
        }
        let resident = resident_kb(&own).unwrap();
        assert!(resident > 100.0 && resident <= peak_kb(&own).unwrap());
        assert!(proportional_kb(&own).unwrap() > 0.0);
        assert!(cpu_ms(&[u32::MAX]).is_err());
    }
}
