//! The pause between two tries to reach a homeserver.
//!
//! Owns how long it is and how it grows. Knows nothing of what is tried.

use std::time::Duration;

use cis_matrix::MatrixError;

/// The first pause.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause while the homeserver cannot be reached. A try costs no more than a refused connection, and people wait
/// for the rooms to be heard again.
const UNREACHABLE_MAX: Duration = Duration::from_secs(2);
/// The longest pause after any other failure.
const MAX: Duration = Duration::from_secs(30);

/// Pauses that grow from failure to failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The pause after a request that failed with `error`.
    pub fn after(&mut self, error: &MatrixError) -> Duration {
        match error {
            MatrixError::Offline { .. } => self.grow(UNREACHABLE_MAX),
            MatrixError::RateLimited { retry_after } => self.grow(MAX).max(*retry_after),
            MatrixError::Unauthorized { .. } => self.longest(),
            _ => self.grow(MAX),
        }
    }

    /// The pause after a failure that is not the homeserver's.
    pub fn after_own_failure(&mut self) -> Duration {
        self.grow(MAX)
    }

    /// A request succeeded: the next failure begins with the shortest pause.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn longest(&mut self) -> Duration {
        self.next = MAX;
        MAX
    }

    fn grow(&mut self, max: Duration) -> Duration {
        let pause = self.next.min(max);
        self.next = (pause * 2).min(MAX);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offline() -> MatrixError {
        MatrixError::Offline { detail: "Connection refused".to_owned(), reached: false }
    }

    #[test]
    fn a_homeserver_that_cannot_be_reached_is_tried_every_two_seconds() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..6).map(|_| backoff.after(&offline()).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 2000, 2000, 2000]);
        backoff.reset();
        assert_eq!(backoff.after(&offline()), FIRST);
    }

    #[test]
    fn other_failures_slow_down_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let other = MatrixError::Other { status: Some(500), detail: "broken".to_owned() };
        let pauses: Vec<u64> = (0..8).map(|_| backoff.after(&other).as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
        // The homeserver can be reached again, or not at all: both are worth a look soon.
        assert_eq!(backoff.after(&offline()), UNREACHABLE_MAX);
        let limited = MatrixError::RateLimited { retry_after: Duration::from_secs(90) };
        assert_eq!(backoff.after(&limited), Duration::from_secs(90));
        let gone = MatrixError::Unauthorized { detail: "logged out".to_owned() };
        assert_eq!(Backoff::default().after(&gone), MAX);
    }
}
