//! What files of Linux's /proc say (proc(5)). Pure: it is given their bytes.

use std::str::SplitAsciiWhitespace;

/// Returns the fields of `/proc/PID/stat` behind the name, from field 3, the state (proc_pid_stat(5)). The name may hold
/// any character, `)` too.
#[must_use]
pub fn stat_fields(stat: &[u8]) -> Option<SplitAsciiWhitespace<'_>> {
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    Some(std::str::from_utf8(&stat[close + 1..]).ok()?.split_ascii_whitespace())
}

/// Fields of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Field 3: `R`, `S`, `T`, `Z` …
    pub state: char,
    /// Field 4: the parent's pid.
    pub parent: u32,
    /// Field 6: the session id (setsid(2)).
    pub sid: u32,
    /// Field 22: the start, clock ticks since boot.
    pub started: u64,
}

impl Stat {
    /// Reads the content of the file.
    #[must_use]
    pub fn parse(stat: &[u8]) -> Option<Self> {
        let mut fields = stat_fields(stat)?;
        Some(Self {
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            sid: fields.nth(1)?.parse().ok()?,
            started: fields.nth(15)?.parse().ok()?,
        })
    }
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
    use super::{Stat, hard_realtime_limit, stat_fields};

    #[test]
    fn the_fields_of_a_process_begin_behind_its_name() {
        let fields = |stat: &'static [u8]| stat_fields(stat).map(Iterator::collect::<Vec<_>>);
        assert_eq!(fields(b"7 (a) R (b)) S 1 7\n"), Some(vec!["S", "1", "7"]));
        assert_eq!(fields(b"7 (a)"), Some(vec![]));
        assert_eq!(fields(b""), None);
    }

    #[test]
    fn the_wanted_fields_are_found_by_their_numbers() {
        let line = b"7 (a b) S 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n";
        assert_eq!(Stat::parse(line), Some(Stat { state: 'S', parent: 3, sid: 5, started: 21 }));
        assert_eq!(Stat::parse(b"7 (a b) S 3 4 5"), None);
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
