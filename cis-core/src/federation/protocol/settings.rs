//! The times of the protocol.

/// A point in time on the clock of one machine that also runs while it sleeps (CLOCK_BOOTTIME), ms. Such times of
/// different machines have nothing in common.
pub type BootMs = i64;

/// How long things last. All nodes of a room use the same `lease_ms` and `drift_permille`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How long a worker may work on a grant without a renewal, counted from a heartbeat of its own, ms.
    pub lease_ms: i64,
    /// Between two heartbeats of a worker whose last one was answered, ms.
    pub heartbeat_ms: i64,
    /// A message that was not answered is sent again after so long, ms.
    pub resend_ms: i64,
    /// Between two signs of life of a coordinator, ms.
    pub alive_ms: i64,
    /// A coordinator that gave no sign of life for so long may be replaced, ms. Voters after the first one wait as long
    /// again for each place that they have in the list.
    pub suspect_ms: i64,
    /// After an outage of the homeserver nobody is replaced, and no task is given to another worker, for so much longer, ms.
    pub grace_ms: i64,
    /// For so long a coordinator waits for what is missing of a run's journal, before it takes the run over without that, ms.
    pub missing_ms: i64,
    /// How much faster or slower a clock may be than another, in thousandths.
    pub drift_permille: i64,
    /// How long it may take a session host to stop a session whose lease ended, ms.
    pub freeze_ms: i64,
    /// A frozen session whose lease nobody renewed is killed after so long, ms.
    pub lost_keep_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_ms: 60_000,
            heartbeat_ms: 20_000,
            resend_ms: 2_000,
            alive_ms: 1_000,
            suspect_ms: 3_500,
            grace_ms: 10_000,
            missing_ms: 600_000,
            drift_permille: 5,
            freeze_ms: 500,
            lost_keep_ms: 3_600_000,
        }
    }
}

impl Settings {
    /// After so long on any clock a lease that began at most now is over on every other one, its session frozen, ms.
    #[must_use]
    pub fn lease_bound_ms(&self) -> i64 {
        // Both clocks may drift, in opposite directions.
        self.lease_ms + self.lease_ms * 2 * self.drift_permille / 1000 + self.freeze_ms
    }

    /// How long the places in groups of a room last that their keeper gives, counted from a report, ms. Shorter than a worker's
    /// lease: nothing is frozen while another keeper begins.
    #[must_use]
    pub fn group_lease_ms(&self) -> i64 {
        self.lease_ms / 3
    }

    /// Between two reports of a coordinator to that keeper, ms.
    #[must_use]
    pub fn group_report_ms(&self) -> i64 {
        self.lease_ms / 12
    }

    /// After so long on any clock such places are over that were given for a report that was sent at most now, and the sessions
    /// frozen that were started or renewed by them, ms.
    #[must_use]
    pub fn group_bound_ms(&self) -> i64 {
        let lease_ms = self.group_lease_ms();
        lease_ms + lease_ms * 2 * self.drift_permille / 1000 + self.lease_bound_ms()
    }
}
