//! What is to be looked at, and when: often while something happens, hardly ever while nothing does.

use super::cells::Cells;
use super::kernel::Kernel;
use crate::ids::TimestampMs;
use crate::monitor::verdict::Want;

/// After so long without a change the kernel is asked, ms; then every [`KERNEL_EVERY_MS`].
const LADDER_MS: [i64; 8] = [1000, 1300, 2500, 5000, 10_000, 20_000, 40_000, 60_000];
/// A still session is looked at this often.
const KERNEL_EVERY_MS: i64 = 60_000;
/// After this long without a change, looks are at whole seconds, so that those at many sessions come together.
const TOGETHER_MS: i64 = 20_000;
/// While output flows, terminals inside are looked at this often.
const FLOWING_MS: i64 = 1000;
/// Output this young means that it flows.
const FLOWS_MS: i64 = 1000;
/// The screen is looked at this often while bytes trickle, and while they pour.
const TRICKLES_MS: i64 = 250;
const POURS_MS: i64 = 1000;
/// The first bytes bring more with them: so long is waited for these.
const SETTLES_MS: i64 = 60;
/// The same when it is urgent.
const HURRY_MS: i64 = 20;
/// After something was typed, who reads is asked so much later, and again.
const TYPED_MS: [i64; 2] = [150, 600];
/// A prompt that seems gone is looked at again after so long.
const GONE_MS: i64 = 300;
/// What was asked for and does not come is asked for again.
const AGAIN_MS: i64 = 500;

/// When what is due.
#[derive(Debug, Clone, Default)]
pub(super) struct Schedule {
    wake_ms: Option<TimestampMs>,
    urgent: bool,
    /// The screen of this very moment is wanted.
    at_once: bool,
    typed_ms: Option<TimestampMs>,
    screen_asked_ms: Option<TimestampMs>,
    kernel_asked_ms: Option<TimestampMs>,
}

impl Schedule {
    /// The first look is due at once.
    pub(super) fn from(now: TimestampMs) -> Self {
        Self { wake_ms: Some(now + 1), ..Self::default() }
    }

    pub(super) fn hurry(&mut self) {
        self.urgent = true;
    }

    pub(super) fn look_now(&mut self) {
        self.at_once = true;
    }

    pub(super) fn typed(&mut self, now: TimestampMs) {
        self.typed_ms = Some(now);
        self.urgent = true;
    }

    pub(super) fn screen_came(&mut self) {
        self.screen_asked_ms = None;
        (self.urgent, self.at_once) = (false, false);
    }

    pub(super) fn kernel_came(&mut self) {
        self.kernel_asked_ms = None;
    }

    pub(super) fn wake_ms(&self) -> Option<TimestampMs> {
        self.wake_ms
    }

    /// `standing`: it waits; inside, since when its prompt seems gone. `ready`: when a candidate counts.
    pub(super) fn want(
        &mut self,
        cells: &Cells,
        kernel: &Kernel,
        standing: Option<Option<TimestampMs>>,
        ready: Option<TimestampMs>,
        now: TimestampMs,
    ) -> Want {
        let screen_ms = self.screen_due(cells);
        let kernel_ms = self.kernel_due(cells, kernel, standing, now);
        let open = |asked: Option<TimestampMs>| asked.is_some_and(|at| now - at < AGAIN_MS);
        let mut want = Want::default();
        let mut wake = kernel_ms.min(ready.unwrap_or(i64::MAX)).min(screen_ms.unwrap_or(i64::MAX));
        if screen_ms.is_some_and(|due| due <= now) && !open(self.screen_asked_ms) {
            want.screen = true;
            self.screen_asked_ms = Some(now);
        }
        if kernel_ms <= now && !open(self.kernel_asked_ms) {
            want.kernel = true;
            self.kernel_asked_ms = Some(now);
        }
        if wake <= now {
            // What is due is asked for; it brings the next call with it, or is asked for again.
            wake = now + AGAIN_MS;
            wake = wake.min(ready.filter(|at| *at > now).unwrap_or(i64::MAX));
        }
        self.wake_ms = Some(wake.max(now + 1));
        want
    }

    fn screen_due(&self, cells: &Cells) -> Option<TimestampMs> {
        let dirty = cells.dirty_ms?;
        if self.at_once {
            return Some(dirty);
        }
        let every = if cells.pours() { POURS_MS } else { TRICKLES_MS };
        let seen = cells.seen_ms.unwrap_or(i64::MIN / 2);
        Some(if self.urgent { dirty.max(seen + HURRY_MS) } else { (dirty + SETTLES_MS).max(seen + every) })
    }

    fn kernel_due(
        &self,
        cells: &Cells,
        kernel: &Kernel,
        standing: Option<Option<TimestampMs>>,
        now: TimestampMs,
    ) -> TimestampMs {
        let still = cells.still_since();
        let seen = kernel.at_ms.unwrap_or(i64::MIN / 2);
        let steps = LADDER_MS.iter().map(|step| still + step);
        let mut due = steps.clone().find(|at| *at > seen).unwrap_or(seen + KERNEL_EVERY_MS);
        if due - still >= TOGETHER_MS {
            due += (-due).rem_euclid(1000);
        }
        if now - cells.last_output_ms < FLOWS_MS {
            // At the moment of its output a program writes, and waits for nothing: one that writes once a second is not looked at
            // then each time.
            let settles = |dirty| if dirty - seen < 2 * FLOWING_MS { dirty + SETTLES_MS } else { dirty };
            due = due.min((seen + FLOWING_MS).max(cells.dirty_ms.map_or(now, settles)));
        }
        if let Some(typed) = self.typed_ms {
            // Without a prompt, nobody waits to hear soon that it is over.
            let steps = if standing.is_some() { &TYPED_MS[..] } else { &TYPED_MS[1..] };
            let after = steps.iter().map(|ms| typed + ms).find(|at| *at > seen);
            due = due.min(after.unwrap_or(i64::MAX));
        }
        if kernel.is_awake() {
            due = due.min(seen + AGAIN_MS);
        }
        if let Some(Some(gone)) = standing
            && seen < gone + GONE_MS
        {
            due = due.min(gone + GONE_MS);
        }
        due
    }
}
