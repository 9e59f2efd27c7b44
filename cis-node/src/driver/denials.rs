//! How many refusals are recorded: a program that asks again and again fills neither store nor log.
//!
//! Owns the counting by who asked; knows neither the store nor the clock.

use std::collections::BTreeMap;

use cis_core::event::Actor;
use cis_core::ids::TimestampMs;

/// Refusals of one actor that are recorded one by one in each [`WINDOW_MS`].
const RECORDED_MAX: u32 = 20;

/// What is over is counted for so long, ms, and becomes one event then.
const WINDOW_MS: i64 = 1000;

struct Window {
    until_ms: TimestampMs,
    recorded: u32,
    withheld: u64,
    /// The newest of those that were withheld.
    last: Option<(Actor, String)>,
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
pub(super) struct Denials(BTreeMap<String, Window>);

impl Denials {
    /// Whether this refusal is recorded by itself; where not, it is counted.
    pub(super) fn admit(&mut self, actor: &Actor, action: &str, now: TimestampMs) -> bool {
        let window = self.window(actor, now);
        if window.recorded < RECORDED_MAX {
            window.recorded += 1;
            return true;
        }
        self.withhold(actor, action, now);
        false
    }

    /// Counts one without recording it.
    pub(super) fn withhold(&mut self, actor: &Actor, action: &str, now: TimestampMs) {
        let window = self.window(actor, now);
        window.withheld += 1;
        window.last = Some((actor.clone(), action.to_owned()));
    }

    fn window(&mut self, actor: &Actor, now: TimestampMs) -> &mut Window {
        // Each process without a session's token is somebody else by its pid: together they are one.
        let key = if actor.name.starts_with("pid:") { "pid:" } else { &actor.name };
        let fresh = Window { until_ms: now + WINDOW_MS, recorded: 0, withheld: 0, last: None };
        self.0.entry(key.to_owned()).or_insert(fresh)
    }

    /// When [`Self::close`] has something to say.
    pub(super) fn poll_timeout(&self) -> Option<TimestampMs> {
        self.0.values().filter(|window| window.withheld > 0).map(|window| window.until_ms).min()
    }

    /// Ends the windows whose time is over, and gives what was counted in them.
    pub(super) fn close(&mut self, now: TimestampMs) -> Vec<Withheld> {
        // A clock that was set back ends them, too.
        let over =
            self.0.extract_if(.., |_, window| !(window.until_ms - WINDOW_MS..window.until_ms).contains(&now));
        over.filter_map(|(_, window)| {
            let (actor, action) = window.last?;
            Some(Withheld { actor, action, count: window.withheld })
        })
        .collect()
    }
}

impl Withheld {
    /// As the event says it.
    pub(super) fn detail(&self) -> String {
        format!("… and {} more requests refused within a second, the last of them this", self.count)
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
        assert_eq!(denials.poll_timeout(), Some(11_000));
        assert_eq!(denials.close(10_999), []);
        let told = denials.close(11_000);
        assert_eq!(told, [Withheld { actor: sly.clone(), action: "See".to_owned(), count: 4980 }]);
        assert!(told[0].detail().contains("4980 more"));
        assert_eq!(denials.poll_timeout(), None);
        assert!(denials.admit(&sly, "See", 11_001), "a new second");
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
