//! Checks what a run keeps beside its tasks against the tasks themselves, for tests.

use super::index::Index;
use super::state::Run;
use super::task::{Stand, Tally, Waits};
use crate::event::TaskState;

impl Run {
    /// Checks what is derived against the tasks themselves.
    ///
    /// # Errors
    /// The first difference, in words.
    pub fn audit(&self) -> Result<(), String> {
        let mut expected = Index::default();
        for lane in self.index.lanes() {
            if let Some(group) = &lane.group {
                expected.add_lane(group, lane.own);
            }
        }
        for i in 0..self.len() {
            let entry = self.entry(i);
            expected.entered(entry.state);
            let mut tally = Tally::default();
            for need in &self.spec(i).needs {
                let state = self.task(need).ok_or_else(|| format!("{need} is gone"))?.1.state;
                tally.add(state);
            }
            if tally != entry.needs {
                return Err(format!("{}: needs {:?}, counted {tally:?}", self.spec(i).id, entry.needs));
            }
            if entry.state.is_active() != entry.live.is_some() {
                return Err(format!("{}: {} with live {:?}", self.spec(i).id, entry.state, entry.live));
            }
            if entry.live.is_some() {
                expected.live.insert(i);
            }
            let blocked = entry.live.as_ref().is_some_and(|live| live.is_away());
            expected.blocked += u32::from(blocked);
            let seat = self.seat(i);
            expected.load(seat.lane, |load| {
                load.live += u32::from(entry.live.is_some());
                load.blocked += u32::from(blocked);
            });
            expected.arm(i, self.prompt_due(i).map(|(at_ms, _)| at_ms));
            if entry.state == TaskState::Queued {
                let woken = entry.not_before_ms().is_some_and(|at| !self.index.timers.contains(&(at, i)));
                let waits = if woken { Waits::Turn } else { entry.waits() };
                expected.enqueue(seat, waits);
            }
            self.audit_items(i)?;
        }
        if self.index.agrees(&expected) {
            Ok(())
        } else {
            Err(format!("indexes are {:?}, should be {expected:?}", self.index))
        }
    }

    fn audit_items(&self, index: u32) -> Result<(), String> {
        let Some(expansion) = self.entry(index).expansion() else { return Ok(()) };
        let id = &self.spec(index).id;
        let mut stand = Stand::default();
        for (number, item) in (1..).zip(&expansion.items) {
            let known = self.item_of(*item).map(|(of, item)| (of, item.number));
            if known != Some((index, number)) {
                return Err(format!("{id}: item {number} is {known:?}"));
            }
            if number <= expansion.count {
                stand.add(self.entry(*item).state);
            }
        }
        if stand == expansion.stand {
            Ok(())
        } else {
            Err(format!("{id}: items stand {stand:?}, counted {:?}", expansion.stand))
        }
    }
}
