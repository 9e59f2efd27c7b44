//! How often one session may do something: so many times at once, then once in so many ms.
//!
//! Owns the counting alone. Times come in; whoever counts keeps a [`Bucket`] for each session and each kind
//! of thing, and says what becomes of that for which there is no room.

use crate::ids::TimestampMs;

/// So many at once, and one more each time so much has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    at_once: TimestampMs,
    every_ms: TimestampMs,
}

impl Rate {
    /// `at_once`, at least one; then one in `every_ms`.
    #[must_use]
    pub const fn new(at_once: u16, every_ms: u32) -> Self {
        Self { at_once: if at_once == 0 { 1 } else { at_once as i64 }, every_ms: every_ms as i64 }
    }

    /// How many at once.
    #[must_use]
    pub fn at_once(self) -> i64 {
        self.at_once
    }

    /// After these one in so many ms.
    #[must_use]
    pub fn every_ms(self) -> TimestampMs {
        self.every_ms
    }
}

/// What is left of a rate. A new one is full; of two of the same rate the lesser has more left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// With the time until then everything is paid that was taken.
    paid_ms: TimestampMs,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { paid_ms: TimestampMs::MIN }
    }
}

impl Bucket {
    /// Takes one.
    ///
    /// # Errors
    /// There is none left; when there will be.
    pub fn take(&mut self, rate: Rate, now: TimestampMs) -> Result<(), TimestampMs> {
        // A clock that was set back must not stop it for so long.
        self.paid_ms = self.paid_ms.min(now);
        let paid = self.paid_ms.max(now - rate.at_once * rate.every_ms) + rate.every_ms;
        if paid > now {
            return Err(paid);
        }
        self.paid_ms = paid;
        Ok(())
    }

    /// Whether nothing is missing of it.
    #[must_use]
    pub fn is_full(&self, rate: Rate, now: TimestampMs) -> bool {
        self.paid_ms <= now - rate.at_once * rate.every_ms
    }

    /// Puts one back.
    pub fn give_back(&mut self, rate: Rate) {
        self.paid_ms = self.paid_ms.saturating_sub(rate.every_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::new(3, 100);

    #[test]
    fn some_at_once_and_then_one_each_time() {
        for now in [0, 1_000_000] {
            let mut bucket = Bucket::default();
            let taken: Vec<_> = (0..5).map(|_| bucket.take(RATE, now)).collect();
            assert_eq!(taken, [Ok(()), Ok(()), Ok(()), Err(now + 100), Err(now + 100)]);
            assert_eq!(bucket.take(RATE, now + 99), Err(now + 100));
            assert_eq!(bucket.take(RATE, now + 100), Ok(()));
            assert_eq!(bucket.take(RATE, now + 100), Err(now + 200));
            let later = (0..5).filter(|_| bucket.take(RATE, now + 10_000).is_ok()).count();
            assert_eq!(later, 3, "no more than at once, however long it rested");
        }
    }

    #[test]
    fn what_is_put_back_can_be_taken_and_no_more_than_there_was() {
        let mut bucket = Bucket::default();
        (0..3).for_each(|_| bucket.take(RATE, 50).unwrap());
        bucket.give_back(RATE);
        assert_eq!((bucket.take(RATE, 50), bucket.take(RATE, 50)), (Ok(()), Err(150)));
        (0..20).for_each(|_| bucket.give_back(RATE));
        assert_eq!((0..20).filter(|_| bucket.take(RATE, 50).is_ok()).count(), 3);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nobody_for_long() {
        let mut bucket = Bucket::default();
        (0..3).for_each(|_| bucket.take(RATE, 1_000_000).unwrap());
        assert_eq!(bucket.take(RATE, 500), Err(600));
        assert_eq!((bucket.take(RATE, 600), bucket.take(RATE, 600)), (Ok(()), Err(700)));
    }
}
