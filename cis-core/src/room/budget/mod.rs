//! The account's allowance of messages: what may be sent when.
//!
//! A homeserver lets an account send so many events at once (its burst), and then so many a second: one
//! bucket for messages, edits, reactions and state of all rooms. This is our picture of that bucket. It owns
//! which class goes next and when; what is sent, and the queues, are the caller's.
//!
//! ```text
//!   next(now, heads) ──▶ Send(class)  ──▶ the caller sends the head of that class, then tells:
//!        ▲                                  accepted(now) · refused(now, retry_after)
//!        │                                  unsent(now) · spared(now)
//!        └── Wait { until, why } · Idle
//! ```
//!
//! - What a human waits for goes first; a part of the burst is kept back for it. Journals come next, as programs wait for
//!   them; replies to commands, announcements and edits of cards leave another part to them. The end of a run may use
//!   all but one message of what is kept back: a room is complete soon after the run, and a human still is not kept waiting.
//! - `retry_after` of a refusal says when the next one is taken, and bounds the rate.
//! - Where nothing is refused although the bucket is empty, the homeserver is more generous than thought (an
//!   administrator lifted the limit), and the rate grows. It is tried rarely: by a message that a human waits
//!   for, which would wait anyway; by others only after a long shortage, as it spends what is kept back.
//!
//! All figures are integers: times in ms, tokens in millionths.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::TimestampMs;

/// A whole token.
const TOKEN: i64 = 1_000_000;
/// Kept back for what a human waits for, tokens.
const KEPT_FOR_HUMANS: i64 = 3 * TOKEN;
/// What the end of a run leaves of that.
const KEPT_AT_ENDS: i64 = TOKEN;
/// Kept back by replies, announcements and card edits for journals and the ends of tasks, besides.
const KEPT_FOR_ENDS: i64 = 2 * TOKEN;
/// A refused message is tried again so much later than said, ms: clocks and ways differ.
const MARGIN_MS: i64 = 50;
/// The slowest rate that is believed, millionths of a token a ms: one message in 17 minutes.
const RATE_MIN: i64 = 1;
/// The fastest: 200 a second.
const RATE_MAX: i64 = 200_000;
/// From this rate on the allowance is no reason to wait for more changes before they are told: 2 a second.
const RATE_AMPLE: i64 = 2_000;
/// A rate below the configured one is forgotten so long after the last refusal, ms.
const SLOW_MS: i64 = 10 * 60_000;
/// Others than humans' messages try the limit after so long a shortage, ms.
const PROBE_AFTER_MS: i64 = 120_000;
/// After a try that was refused the next one comes so much later, ms, and then twice as late each time.
const PROBE_PAUSE_MS: i64 = 10 * 60_000;
/// But never later than this, ms.
const PROBE_PAUSE_MAX_MS: i64 = 4 * 3_600_000;
/// A refusal that says no time stands for so long, ms.
const RETRY_UNSAID_MS: i64 = 5_000;
/// Nor is a longer one believed, ms.
const RETRY_MAX_MS: i64 = 15 * 60_000;

/// What a message is to the allowance, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A human waits for it.
    Human,
    /// What completes the journal and the card of a run that has ended.
    End,
    /// Journals: what the room has of a run.
    Journal,
    /// Ends of tasks, and summaries, for people.
    Terminal,
    /// Replies to commands: that they were taken is known by their receipts.
    Reply,
    /// Small events that say in brief what the journal says.
    Announcement,
    /// Card edits.
    Progress,
}

impl Class {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 7] = [
        Self::Human,
        Self::End,
        Self::Journal,
        Self::Terminal,
        Self::Reply,
        Self::Announcement,
        Self::Progress,
    ];

    /// Whether waiting for long is a reason to try the limit. Replies and announcements may wait, and what is kept back is not for them.
    fn tries_after_shortage(self) -> bool {
        !matches!(self, Self::Human | Self::Reply | Self::Announcement)
    }
}

/// When the first of each class is due, Unix ms; a class that is missing has nothing to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heads(BTreeMap<Class, TimestampMs>);

impl Heads {
    /// There is something of this class, due then.
    pub fn add(&mut self, class: Class, due: TimestampMs) {
        let first = self.0.entry(class).or_insert(due);
        *first = due.min(*first);
    }

    /// When the first of all is due.
    #[must_use]
    pub fn first(&self) -> Option<TimestampMs> {
        self.0.values().copied().min()
    }

    /// When the first of a class is due; none: there is nothing of it.
    #[must_use]
    pub fn of(&self, class: Class) -> Option<TimestampMs> {
        self.0.get(&class).copied()
    }
}

impl FromIterator<(Class, TimestampMs)> for Heads {
    fn from_iter<I: IntoIterator<Item = (Class, TimestampMs)>>(all: I) -> Self {
        let mut heads = Self::default();
        all.into_iter().for_each(|(class, due)| heads.add(class, due));
        heads
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The head of this class is sent now: its token is taken.
    Send(Class),
    /// Nothing before then (Unix ms), unless a queue changes.
    Wait {
        /// When to ask again.
        until: TimestampMs,
        /// What is waited for.
        why: Why,
    },
    /// There is nothing to be sent.
    Idle,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The head is not due.
    Due,
    /// The allowance.
    Allowance,
    /// The homeserver said so.
    Refused,
}

/// What was learned of an account's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Messages in 1,000 seconds.
    pub per_1000_s: u32,
    /// Not before then it is tried again whether more is taken, Unix ms.
    pub try_again_ms: TimestampMs,
}

/// Our picture of the account's bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    burst: i64,
    /// As configured: what is gone back to.
    rate_set: i64,
    rate: i64,
    tokens: i64,
    /// When `tokens` was right.
    at: TimestampMs,
    /// Nothing is sent before: the homeserver said so.
    closed_until: TimestampMs,
    /// A message beyond the allowance is under way.
    probing: bool,
    /// The last try was taken: more may be.
    eager: bool,
    /// When the homeserver had one token, by its own word, and how many it took since: a second refusal then
    /// tells the rate.
    mark: Option<(TimestampMs, i64)>,
    /// A rate below the configured one is believed until then: another program may have used the account.
    slow_until: TimestampMs,
    /// Since when others than humans' messages wait for the allowance.
    short_since: Option<TimestampMs>,
    /// The next try is not before.
    probe_at: TimestampMs,
    probe_pause_ms: i64,
}

impl Budget {
    /// A full bucket with the limits of a homeserver as it comes: 10 at once, then one in 5 seconds.
    #[must_use]
    pub fn new(now: TimestampMs) -> Self {
        Self::with(10, 200, now)
    }

    /// A full bucket of `burst` messages, and `per_1000_s` more in 1,000 seconds.
    #[must_use]
    pub fn with(burst: u32, per_1000_s: u32, now: TimestampMs) -> Self {
        let burst = i64::from(burst.max(1)) * TOKEN;
        let rate = i64::from(per_1000_s).clamp(RATE_MIN, RATE_MAX);
        Self {
            burst,
            rate_set: rate,
            rate,
            tokens: burst,
            at: now,
            closed_until: TimestampMs::MIN,
            probing: false,
            eager: false,
            mark: None,
            slow_until: now,
            short_since: None,
            probe_at: TimestampMs::MIN,
            probe_pause_ms: PROBE_PAUSE_MS,
        }
    }

    /// The same, with what an earlier life of the node learned of this account.
    #[must_use]
    pub fn remembering(mut self, learned: Learned) -> Self {
        self.rate = i64::from(learned.per_1000_s).clamp(RATE_MIN, RATE_MAX);
        self.slow_until = self.at.saturating_add(SLOW_MS);
        self.probe_at = learned.try_again_ms.min(self.at.saturating_add(PROBE_PAUSE_MAX_MS));
        self
    }

    /// What is worth being kept for the next life of the node.
    #[must_use]
    pub fn learned(&self) -> Learned {
        Learned { per_1000_s: u32::try_from(self.rate).unwrap_or(u32::MAX), try_again_ms: self.probe_at }
    }

    /// What is to be done at `now`. Of [`Next::Send`] the outcome is told before this is asked again.
    pub fn next(&mut self, now: TimestampMs, heads: &Heads) -> Next {
        self.fill(now);
        let mut soonest: Option<(TimestampMs, Why)> = None;
        let mut short = false;
        for class in Class::ALL {
            let Some(due) = heads.of(class) else { continue };
            let (at, why) = self.sendable(class, due, now);
            if at <= now {
                self.take();
                return Next::Send(class);
            }
            short |= class.tries_after_shortage() && due <= now && why == Why::Allowance;
            if soonest.is_none_or(|(known, _)| at < known) {
                soonest = Some((at, why));
            }
            // Nothing passes what a human waits for already.
            if class == Class::Human && due <= now {
                break;
            }
        }
        self.short_since = if short { self.short_since.or(Some(now)) } else { None };
        soonest.map_or(Next::Idle, |(until, why)| Next::Wait { until, why })
    }

    /// The message that was sent last was taken.
    pub fn accepted(&mut self, now: TimestampMs) {
        self.fill(now);
        if let Some((_, taken)) = &mut self.mark {
            *taken += 1;
        }
        if std::mem::take(&mut self.probing) {
            self.rate = (self.rate * 2).min(RATE_MAX);
            self.tokens = self.tokens.max(0);
            self.eager = true;
            self.probe_pause_ms = PROBE_PAUSE_MS;
        }
    }

    /// It was refused: too many (429). It stays at the head of its queue.
    pub fn refused(&mut self, now: TimestampMs, retry_after_ms: Option<u64>) {
        self.fill(now);
        let said = retry_after_ms.map_or(RETRY_UNSAID_MS, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
        let wait = said.clamp(1, RETRY_MAX_MS);
        self.eager = false;
        self.short_since = None;
        self.probe_at = now.saturating_add(self.probe_pause_ms);
        if std::mem::take(&mut self.probing) {
            // It was no more than a try: the picture was right.
            self.probe_pause_ms = (self.probe_pause_ms * 2).min(PROBE_PAUSE_MAX_MS);
        } else if self.rate > self.rate_set {
            self.rate = (self.rate / 2).max(self.rate_set);
        }
        // A refusal without a time tells nothing of the rate.
        if retry_after_ms.is_some() {
            // One token comes within that time at the latest.
            self.rate = self.rate.min(TOKEN / wait);
            if let Some((at, taken)) = self.mark.filter(|(_, taken)| *taken > 0) {
                let passed = now.saturating_sub(at).saturating_add(wait).max(1);
                self.rate = taken.saturating_mul(TOKEN) / passed;
            }
            self.rate = self.rate.clamp(RATE_MIN, RATE_MAX);
            self.mark = Some((now.saturating_add(wait), 0));
            self.slow_until = now.saturating_add(SLOW_MS);
        }
        self.closed_until = now.saturating_add(wait + MARGIN_MS);
        // At that time there is one token, and no more.
        self.tokens = TOKEN - self.rate * (wait + MARGIN_MS);
    }

    /// It was not sent, or nobody knows (no connection): whether the homeserver counted it is left to time.
    pub fn unsent(&mut self, now: TimestampMs) {
        self.fill(now);
        if std::mem::take(&mut self.probing) {
            self.tokens += TOKEN;
        }
    }

    /// Nothing was to be sent after all: the homeserver was not asked, and the token is there for the next one.
    pub fn spared(&mut self, now: TimestampMs) {
        self.fill(now);
        self.probing = false;
        self.tokens = self.tokens.saturating_add(TOKEN).min(self.burst);
    }

    /// Whether cards and batches should wait for more before they are sent.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.rate < RATE_AMPLE
    }

    /// What is left now, whole messages.
    #[must_use]
    pub fn left(&self) -> u32 {
        u32::try_from(self.tokens / TOKEN).unwrap_or(0)
    }

    /// When the head of a class may be sent that is due then.
    fn sendable(&self, class: Class, due: TimestampMs, now: TimestampMs) -> (TimestampMs, Why) {
        let from = due.max(self.closed_until).max(now);
        let tries = self.tries(class, now);
        let needs = TOKEN + if tries { 0 } else { self.kept(class) };
        let at = if tries && self.tokens < TOKEN / 2 {
            now
        } else {
            now.saturating_add(ceil_div((needs - self.tokens).max(0), self.rate))
        };
        if at > from {
            (at, Why::Allowance)
        } else if self.closed_until > due.max(now) {
            (from, Why::Refused)
        } else {
            (from, Why::Due)
        }
    }

    /// Whether this class may find out now if the bucket is really empty.
    fn tries(&self, class: Class, now: TimestampMs) -> bool {
        let long = class.tries_after_shortage()
            && self.short_since.is_some_and(|since| now.saturating_sub(since) >= PROBE_AFTER_MS);
        now >= self.probe_at && (class == Class::Human || self.eager || long)
    }

    fn take(&mut self) {
        self.probing = self.tokens < TOKEN;
        self.tokens = (self.tokens - TOKEN).max(-TOKEN);
    }

    fn fill(&mut self, now: TimestampMs) {
        let passed = now.saturating_sub(self.at);
        if passed < 0 {
            // The clock was set back: what was to come comes as much earlier.
            let times = [&mut self.closed_until, &mut self.probe_at, &mut self.slow_until];
            for time in times.into_iter().chain(self.short_since.as_mut()) {
                *time = time.saturating_add(passed);
            }
            self.mark = None;
        }
        let more = self.rate.saturating_mul(passed.max(0));
        self.tokens = self.tokens.saturating_add(more).min(self.burst);
        // A bucket that may be full tells nothing more of its rate.
        if self.tokens > self.burst / 2 {
            self.mark = None;
        }
        if self.rate < self.rate_set && now >= self.slow_until {
            self.rate = self.rate_set;
            self.mark = None;
        }
        self.at = now;
    }

    fn kept(&self, class: Class) -> i64 {
        let kept = match class {
            Class::Human => 0,
            Class::End => KEPT_AT_ENDS,
            Class::Journal | Class::Terminal => KEPT_FOR_HUMANS,
            Class::Reply | Class::Announcement | Class::Progress => KEPT_FOR_HUMANS + KEPT_FOR_ENDS,
        };
        // A small burst is not kept back whole.
        kept.min(self.burst - TOKEN)
    }
}

fn ceil_div(a: i64, b: i64) -> i64 {
    a / b + i64::from(a % b != 0)
}

#[cfg(test)]
mod tests;
