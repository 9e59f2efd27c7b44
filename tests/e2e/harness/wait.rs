//! Waiting for what cannot be awaited: a condition is looked at until it holds or the deadline is over.

use std::time::{Duration, Instant};

/// Nothing that works takes so long, also on a loaded machine.
pub const LONG: Duration = Duration::from_secs(100);

/// Between two looks at the beginning.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Between two looks after some time. A look often starts a program: what is waited for needs the processor more.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The value that `look` gives as soon as it gives one; panics with `what` after [`LONG`].
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(LONG, what, look)
}

/// The same with another deadline.
#[track_caller]
pub fn eventually_within<T>(limit: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_or(limit, look, || what.to_owned())
}

/// The same, where what is said depends on how it stands when the time is over.
#[track_caller]
pub fn eventually_or<T>(
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
    what: impl FnOnce() -> String,
) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        if begin.elapsed() >= limit {
            panic!("within {limit:?} it did not come true that {}", what());
        }
        pause((begin.elapsed() / 10).clamp(PAUSE_MIN, PAUSE_MAX));
    }
}

/// Lets time pass where time itself is what is tested (a moment of a kill, an idle node).
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Whether we are uid 0, as mounting and changing uid need.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a test cannot run here, for the caller to return.
///
/// # Panics
/// `CIS_TEST_ALL` is set, as `cargo xtask test-all` does: there every test has to run.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CIS_TEST_ALL").is_none(), "cannot run: {why}");
    eprintln!("skipped: {why}");
}

/// Random numbers that can be had again: the seed is printed, and `E2E_SEED` sets it.
pub struct Seeded(u64);

impl Seeded {
    /// A fresh seed, or that of the environment.
    pub fn new() -> Self {
        let given = std::env::var("E2E_SEED").ok().and_then(|text| text.parse().ok());
        let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let seed = given.unwrap_or(u64::try_from(clock % u128::from(u64::MAX)).unwrap()).max(1);
        eprintln!("seed: E2E_SEED={seed}");
        Self(seed)
    }

    /// A number below `limit` (xorshift64*, Vigna 2016).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}
