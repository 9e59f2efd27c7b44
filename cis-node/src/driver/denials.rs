//! How many refusals are recorded: a program that asks again and again fills neither store nor log.
//!
//! Owns the counting by who asked; knows neither the store nor the clock.

use std::collections::BTreeMap;

use cis_core::event::Actor;
use cis_core::ids::TimestampMs;
use cis_core::rate::{Bucket, Rate};

/// Refusals of one actor that are recorded one by one.
const RECORDED: Rate = Rate::new(20, 10_000);

/// What is not recorded is counted for so long, ms, and becomes one event then.
const SOON_MS: i64 = 1000;

/// Such events of one actor are so far apart, ms.
const SUMMARY_MS: i64 = 60_000;

/// The refusals of one actor.
#[derive(Default)]
struct Refusals {
    recorded: Bucket,
    /// Those that were not recorded since the last summary.
    withheld: Option<Pending>,
    /// When that was; none: never.
    summary_ms: Option<TimestampMs>,
}

struct Pending {
    since_ms: TimestampMs,
    until_ms: TimestampMs,
    count: u64,
    /// The newest of them.
    actor: Actor,
    action: String,
}

/// Refusals that were not recorded one by one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Withheld {
    pub(super) actor: Actor,
    /// What was asked for last.
    pub(super) action: String,
    pub(super) count: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Denials(BTreeMap<String, Refusals>);

impl Denials {
    /// Whether this refusal is recorded by itself; where not, it is counted.
    pub(super) fn admit(&mut self, actor: &Actor, action: &str, now: TimestampMs) -> bool {
        if self.refusals(actor).recorded.take(RECORDED, now).is_ok() {
            return true;
        }
        self.withhold(actor, action, now);
        false
    }

    /// Counts one without recording it.
    pub(super) fn withhold(&mut self, actor: &Actor, action: &str, now: TimestampMs) {
        let refusals = self.refusals(actor);
        // A clock that was set back must not delay it for long.
        let apart = refusals.summary_ms.map_or(now, |last| last.min(now) + SUMMARY_MS);
        let (since_ms, until_ms, count) = match &refusals.withheld {
            Some(known) => (known.since_ms, known.until_ms, known.count),
            None => (now, apart.max(now + SOON_MS), 0),
        };
        let (actor, action) = (actor.clone(), action.to_owned());
        refusals.withheld = Some(Pending { since_ms, until_ms, count: count + 1, actor, action });
    }

    fn refusals(&mut self, actor: &Actor) -> &mut Refusals {
        // Each process without a session's token is somebody else by its pid: together they are one.
        let key = if actor.name.starts_with("pid:") { "pid:" } else { &actor.name };
        self.0.entry(key.to_owned()).or_default()
    }

    /// When [`Self::close`] has something to say.
    pub(super) fn poll_timeout(&self) -> Option<TimestampMs> {
        self.0.values().filter_map(|refusals| Some(refusals.withheld.as_ref()?.until_ms)).min()
    }

    /// Gives what was counted until its time was over, and forgets actors that nothing is counted of.
    pub(super) fn close(&mut self, now: TimestampMs) -> Vec<Withheld> {
        let mut told = Vec::new();
        self.0.retain(|_, refusals| {
            // A clock that was set back ends it, too.
            let is_over = |of: &mut Pending| !(of.since_ms..of.until_ms).contains(&now);
            if let Some(Pending { actor, action, count, .. }) = refusals.withheld.take_if(is_over) {
                told.push(Withheld { actor, action, count });
                refusals.summary_ms = Some(now);
            }
            refusals.withheld.is_some() || !refusals.recorded.is_full(RECORDED, now)
        });
        told
    }
}

impl Withheld {
    /// As the event says it.
    pub(super) fn detail(&self) -> String {
        format!("… and {} more requests refused within a minute, the last of them this", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::event::{ActorKind, Via};

    fn actor(name: &str) -> Actor {
        Actor { kind: ActorKind::Session, name: name.to_owned(), via: Via::Socket }
    }

    #[test]
    fn a_flood_is_counted_and_told_once() {
        let mut denials = Denials::default();
        let sly = actor("01SLY");
        let recorded = (0..5000).filter(|n| denials.admit(&sly, "See", 10_000 + n / 10)).count();
        assert_eq!(recorded, 20);
        assert_eq!(denials.poll_timeout(), Some(11_002));
        assert_eq!(denials.close(11_001), []);
        let told = denials.close(11_002);
        assert_eq!(told, [Withheld { actor: sly.clone(), action: "See".to_owned(), count: 4980 }]);
        assert!(told[0].detail().contains("4980 more"));
        assert_eq!(denials.poll_timeout(), None);
        assert!(!denials.admit(&sly, "See", 11_003));
        assert_eq!(denials.poll_timeout(), Some(71_002), "the next number comes a minute later");
        assert!(denials.admit(&sly, "See", 20_000), "later, some are recorded again");
    }

    #[test]
    fn who_goes_on_for_hours_fills_no_store() {
        let mut denials = Denials::default();
        let sly = actor("01SLY");
        let (mut recorded, mut told, mut withheld) = (0_u64, 0_u64, 0_u64);
        // Twenty in each second of an hour.
        for n in 0..72_000_i64 {
            recorded += u64::from(denials.admit(&sly, "See", n * 50));
            for of in denials.close(n * 50) {
                told += 1;
                withheld += of.count;
            }
        }
        assert!((370..=390).contains(&recorded) && told <= 61, "{recorded} {told}");
        withheld += denials.close(4_000_000).iter().map(|of| of.count).sum::<u64>();
        assert_eq!(recorded + withheld, 72_000, "each is counted");
        assert!(denials.0.is_empty(), "an actor that is quiet is forgotten");
    }

    #[test]
    fn others_are_recorded_meanwhile_and_strays_count_together() {
        let mut denials = Denials::default();
        let strays = (0..100).filter(|pid| denials.admit(&actor(&format!("pid:{pid}")), "See", 5)).count();
        assert_eq!(strays, 20);
        assert!(denials.admit(&actor("01OTHER"), "See", 5));
        assert_eq!(denials.close(2).len(), 1, "the clock was set back");
    }
}
