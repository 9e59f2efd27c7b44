//! Looks for an order of requests that their responses and the story of the run allow, as Wing and Gong do, with the memory of Lowe.
//!
//! Not the tester of `stateright`: it has no memory and copies all that is left of the history with each step, so that a
//! history which is wrong would not come to an end.

use std::collections::HashSet;

use cis_core::api::RunView;
use cis_core::federation::control::Verb;

use crate::history::{Moment, Seen};
use crate::model::Stand;

/// Something that has a place in a term.
#[derive(Debug, Clone)]
pub(crate) struct Step<'a> {
    pub(crate) from: Moment,
    /// None: it may also have no place.
    pub(crate) until: Option<Moment>,
    pub(crate) what: What<'a>,
}

#[derive(Debug, Clone)]
pub(crate) enum What<'a> {
    /// It took effect; with an end: it was said to be done.
    Done(&'a Verb, String),
    Refused(&'a Verb, &'a str),
    /// A look at the run, after that request.
    View(&'a RunView, usize),
}

/// See the module.
pub(crate) struct Search<'a> {
    seen: &'a [(Moment, Seen)],
    steps: Vec<Step<'a>>,
    /// What was tried: so much of the story, with these steps, and this yet to be shown. The same steps may leave different things
    /// to be shown: a run that is resumed because it takes too long is not one that is resumed to be cancelled.
    tried: HashSet<(usize, Vec<bool>, Vec<Seen>)>,
    /// How far it came, and what was in the way there.
    farthest: (usize, String),
}

impl<'a> Search<'a> {
    pub(crate) fn new(seen: &'a [(Moment, Seen)], steps: Vec<Step<'a>>) -> Self {
        Self { seen, steps, tried: HashSet::new(), farthest: (0, String::new()) }
    }

    /// Whether there is an order, from this state on.
    pub(crate) fn from(mut self, stand: Stand) -> Result<(), String> {
        let placed = vec![false; self.steps.len()];
        if self.goes_on(0, placed, stand) { Ok(()) } else { Err(self.farthest.1) }
    }

    /// What comes next begins before this.
    fn limit(&self, next: usize, placed: &[bool]) -> Moment {
        let left = self.steps.iter().zip(placed).filter(|(_, placed)| !**placed);
        let ends = left.filter_map(|(step, _)| step.until);
        ends.chain(self.seen.get(next).map(|(at, _)| *at)).min().unwrap_or(Moment::MAX)
    }

    fn goes_on(&mut self, next: usize, mut placed: Vec<bool>, stand: Stand) -> bool {
        if stand.due().is_empty() {
            while let Some(still) = self.changes_nothing(next, &placed, &stand) {
                placed[still] = true;
            }
        }
        let is_open = |(step, placed): (&Step<'_>, &bool)| step.until.is_some() && !placed;
        if next == self.seen.len() && stand.due().is_empty() && !self.steps.iter().zip(&placed).any(is_open) {
            return true;
        }
        if !self.tried.insert((next, placed.clone(), stand.due().iter().cloned().collect())) {
            return false;
        }
        let limit = self.limit(next, &placed);
        let mut why = "what is left has no place".to_owned();
        if let Some((at, seen)) = self.seen.get(next).filter(|(at, _)| *at <= limit) {
            let mut then = stand.clone();
            match then.see(seen) {
                Ok(()) if self.goes_on(next + 1, placed.clone(), then) => return true,
                Ok(()) => {}
                Err(wrong) => why = format!("{at}: {seen:?}: {wrong}"),
            }
        }
        for index in 0..self.steps.len() {
            if let Some(shows) = self.is_done(index, next, limit, &placed, &stand) {
                let (mut placed, mut then) = (placed.clone(), stand.clone());
                placed[index] = true;
                then.carry_out(shows);
                if self.goes_on(next, placed, then) {
                    return true;
                }
            }
        }
        if next >= self.farthest.0 {
            let left = self.steps.iter().zip(&placed).filter(|(_, placed)| !**placed).map(|(step, _)| step);
            let left: Vec<_> = left.filter(|step| step.from < limit).collect();
            let told = self.seen[..next].iter().rev().take(8).rev().collect::<Vec<_>>();
            let wrong = format!("{why}\nafter {told:?}\nthe run is {stand:?}\nno place has {left:#?}");
            self.farthest = (next, wrong);
        }
        false
    }

    /// A step that can stand here and never changes anything: where one can, it is not wrong to put it there.
    fn changes_nothing(&self, next: usize, placed: &[bool], stand: &Stand) -> Option<usize> {
        let limit = self.limit(next, placed);
        let can = |index: &usize| {
            let step = &self.steps[*index];
            let fits = match &step.what {
                What::Refused(verb, said) => stand.refuses(verb, said),
                What::View(view, after) => placed[*after] && stand.is_shown_by(view),
                What::Done(..) => false,
            };
            !placed[*index] && step.from < limit && fits
        };
        (0..self.steps.len()).find(can)
    }

    /// What a step shows if it is done here, where the story shows that next.
    fn is_done(
        &self,
        index: usize,
        next: usize,
        limit: Moment,
        placed: &[bool],
        stand: &Stand,
    ) -> Option<Vec<Seen>> {
        let step = &self.steps[index];
        let What::Done(verb, by) = &step.what else { return None };
        if placed[index] || step.from >= limit || !stand.due().is_empty() {
            return None;
        }
        // What needs no place needs none where it shows nothing.
        let shows = stand.invoke(verb, by).ok().filter(|shows| step.until.is_some() || !shows.is_empty())?;
        let story = self.seen.get(next..next + shows.len())?;
        // "Done" is said of what is durable.
        let is_durable = step.until.is_none_or(|until| story.iter().all(|(at, _)| *at < until));
        let is_shown = shows.iter().zip(story).all(|(due, (_, seen))| Stand::is_shown(due, seen));
        (is_durable && is_shown).then_some(shows)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cis_core::event::{RetryScope, RunState};

    use super::*;

    const BY: &str = "uid:1";

    fn step(from: Moment, until: Option<Moment>, what: What<'_>) -> Step<'_> {
        Step { from, until, what }
    }

    fn found(seen: &[(Moment, Seen)], steps: Vec<Step<'_>>) -> bool {
        Search::new(seen, steps).from(Stand::new(BTreeSet::new())).is_ok()
    }

    #[test]
    fn each_request_takes_effect_once_between_its_beginning_and_its_response() {
        let pause = || What::Done(&Verb::Pause {}, BY.to_owned());
        let paused = [(5, Seen::Paused)];
        assert!(found(&paused, vec![step(1, Some(9), pause())]));
        assert!(found(&paused, vec![step(1, None, pause())]), "nobody knows what became of it");
        assert!(found(&[], vec![step(1, None, pause())]));
        assert!(!found(&[], vec![step(1, Some(9), pause())]), "it was said to be done");
        assert!(!found(&paused, vec![]), "nobody asked for it");
        assert!(!found(&paused, vec![step(6, Some(9), pause())]), "before anybody asked for it");
        assert!(
            !found(&paused, vec![step(1, Some(4), pause())]),
            "it was not durable when it was said to be"
        );
        let twice = [(5, Seen::Paused), (6, Seen::Resumed), (7, Seen::Paused)];
        let resume = || What::Done(&Verb::Resume {}, BY.to_owned());
        assert!(!found(&twice, vec![step(1, None, pause()), step(1, None, resume())]));
        assert!(found(&twice, vec![step(1, None, pause()), step(1, None, resume()), step(2, None, pause())]));
    }

    /// A dead end is remembered with what is yet to be shown there, or it would hide a way that has the same requests behind it.
    #[test]
    fn a_dead_end_hides_no_other_way_to_the_same_place() {
        let (pause, cancel) = (Verb::Pause {}, Verb::Cancel { now: false });
        let retry = Verb::Retry { of: RetryScope::All };
        let done = |verb, from, until| step(from, Some(until), What::Done(verb, BY.to_owned()));
        let story = [
            (3, Seen::Cancelling { by_time: false }),
            (10, Seen::Ended(RunState::Cancelled)),
            (12, Seen::Retried(RetryScope::All, BTreeSet::new())),
            (15, Seen::Paused),
            (18, Seen::Resumed),
            (19, Seen::Cancelling { by_time: false }),
        ];
        let steps = vec![
            // It ended the second time; where it is tried first it has no effect.
            done(&cancel, 2, 20),
            done(&cancel, 1, 4),
            // It has no effect, as the run is being cancelled, and has to stand before the end.
            done(&cancel, 2, 6),
            done(&retry, 11, 13),
            done(&pause, 14, 16),
        ];
        assert!(found(&story, steps));
    }

    #[test]
    fn a_refusal_is_true_at_some_moment() {
        let paused = [(5, Seen::Paused)];
        let refused = |from, until| {
            step(from, Some(until), What::Refused(&Verb::Pause {}, "run 1 is paused: only a running one"))
        };
        let pause = || step(1, Some(8), What::Done(&Verb::Pause {}, BY.to_owned()));
        assert!(found(&paused, vec![pause(), refused(2, 9)]));
        assert!(!found(&paused, vec![pause(), refused(2, 4)]), "it was not paused yet");
        let resumed = [(5, Seen::Paused), (6, Seen::Resumed)];
        let resume = step(1, Some(7), What::Done(&Verb::Resume {}, BY.to_owned()));
        assert!(!found(&resumed, vec![pause(), resume, refused(8, 9)]), "it was not paused any more");
    }
}
