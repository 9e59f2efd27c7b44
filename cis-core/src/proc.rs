//! What files of Linux's /proc say (proc(5)). Pure: it is given their bytes.

use std::str::SplitAsciiWhitespace;

/// Returns the fields of `/proc/PID/stat` behind the name, from field 3, the state (proc_pid_stat(5)). The name may hold
/// any character, `)` too.
#[must_use]
pub fn stat_fields(stat: &[u8]) -> Option<SplitAsciiWhitespace<'_>> {
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    Some(std::str::from_utf8(&stat[close + 1..]).ok()?.split_ascii_whitespace())
}

/// Of `/proc/PID/limits`, the hard limit in the line of RLIMIT_RTTIME (proc_pid_limits(5)), µs.
#[must_use]
pub fn hard_realtime_limit(limits: &[u8]) -> Option<u64> {
    let limits = std::str::from_utf8(limits).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max realtime timeout"))?;
    match line.split_ascii_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{hard_realtime_limit, stat_fields};

    #[test]
    fn the_fields_of_a_process_begin_behind_its_name() {
        let fields = |stat: &'static [u8]| stat_fields(stat).map(Iterator::collect::<Vec<_>>);
        assert_eq!(fields(b"7 (a) R (b)) S 1 7\n"), Some(vec!["S", "1", "7"]));
        assert_eq!(fields(b"7 (a)"), Some(vec![]));
        assert_eq!(fields(b""), None);
    }

    #[test]
    fn the_hard_limit_is_the_second_number() {
        let limits = b"Limit  Soft Limit  Hard Limit  Units\nMax realtime priority 0 0\nMax realtime timeout      9     12    us\n";
        assert_eq!(hard_realtime_limit(limits), Some(12));
        assert_eq!(hard_realtime_limit(b"Max realtime timeout  9  unlimited  us\n"), Some(u64::MAX));
        assert_eq!(hard_realtime_limit(b"Max realtime timeout  9"), None);
        assert_eq!(hard_realtime_limit(b""), None);
    }
}
