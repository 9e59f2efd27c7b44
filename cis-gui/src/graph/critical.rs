//! The way through a run that took longest: what has to be faster for the run to be faster.

use cis_core::api::TaskView;
use cis_core::ids::TimestampMs;

use super::Shape;

/// The longest way, first task first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Critical {
    /// Places of its tasks; each needs the one before it, or is an item of a list that does.
    pub tasks: Vec<usize>,
    /// How long they took together, ms.
    pub ms: i64,
}

/// The ways through a run: made once for its shape, asked whenever times have changed.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// Tasks, each after all that it waits for.
    order: Vec<usize>,
    /// For each task in that order where what it waits for ends in `waits`.
    ends: Vec<usize>,
    waits: Vec<usize>,
    /// Lists take what their items take.
    is_list: Vec<bool>,
}

impl Ways {
    /// Those of a shape. An item waits for what its list needs, the list for its items; of a circle, which no DAG
    /// has, only a part is there.
    #[must_use]
    pub fn of(shape: &Shape) -> Self {
        let count = shape.len();
        let mut is_list = vec![false; count];
        let mut needs = shape.needs.clone();
        for (item, list) in shape.list.iter().enumerate() {
            if let Some(list) = list {
                is_list[*list] = true;
                needs[item].extend(shape.needs[*list].iter().filter(|need| **need != item));
                needs[*list].push(item);
            }
        }
        let mut after = vec![Vec::new(); count];
        let mut open = vec![0_usize; count];
        for (task, needs) in needs.iter_mut().enumerate() {
            needs.sort_unstable();
            needs.dedup();
            open[task] = needs.len();
            for need in needs {
                after[*need].push(task);
            }
        }
        let mut order: Vec<usize> = (0..count).filter(|task| open[*task] == 0).collect();
        let mut at = 0;
        while let Some(task) = order.get(at).copied() {
            for next in &after[task] {
                open[*next] -= 1;
                if open[*next] == 0 {
                    order.push(*next);
                }
            }
            at += 1;
        }
        let mut waits = Vec::new();
        let ends = order
            .iter()
            .map(|task| {
                waits.extend(&needs[*task]);
                waits.len()
            })
            .collect();
        Self { order, ends, waits, is_list }
    }

    /// The way that took longest, where `took` says what each task took, ms; of equal ones that through the
    /// earliest tasks of the file. It begins and ends with tasks that took something.
    #[must_use]
    pub fn longest(&self, took: impl Fn(usize) -> i64) -> Critical {
        const NONE: usize = usize::MAX;
        // Until the end of each task, and through which one.
        let mut until = vec![(0_i64, NONE); self.is_list.len()];
        let mut from = 0;
        let mut last = (0_i64, NONE);
        for (task, end) in self.order.iter().zip(&self.ends) {
            let mut best = (0_i64, NONE);
            for need in &self.waits[from..*end] {
                let ms = until[*need].0;
                if ms > best.0 {
                    best = (ms, *need);
                }
            }
            from = *end;
            let own = if self.is_list[*task] { 0 } else { took(*task).max(0) };
            until[*task] = (best.0.saturating_add(own), best.1);
            let ms = until[*task].0;
            if own > 0 && (ms > last.0 || (ms == last.0 && *task < last.1)) {
                last = (ms, *task);
            }
        }
        let mut tasks = Vec::new();
        let mut at = last.1;
        while at != NONE {
            tasks.push(at);
            at = until[at].1;
        }
        tasks.reverse();
        Critical { tasks, ms: last.0 }
    }
}

/// What a task took, ms: its newest try, until now where it has not ended; nothing where it never began.
#[must_use]
pub fn took(task: &TaskView, now: TimestampMs) -> i64 {
    let Some(from) = task.started_ms else { return 0 };
    let until = match task.ended_ms {
        Some(ended) => ended,
        None if task.state.is_active() => now,
        None => return 0,
    };
    (until - from).max(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(needs: &[&[usize]]) -> Shape {
        Shape { needs: needs.iter().map(|needs| needs.to_vec()).collect(), list: vec![None; needs.len()] }
    }

    fn longest(shape: &Shape, took: &[i64]) -> (Vec<usize>, i64) {
        let Critical { tasks, ms } = Ways::of(shape).longest(|task| took[task]);
        (tasks, ms)
    }

    #[test]
    fn the_slower_side_of_a_diamond_is_the_critical_one() {
        let diamond = shape(&[&[], &[0], &[0], &[1, 2]]);
        assert_eq!(longest(&diamond, &[5, 10, 20, 5]), (vec![0, 2, 3], 30));
        assert_eq!(longest(&diamond, &[5, 20, 20, 5]), (vec![0, 1, 3], 30), "of equal ones the first");
        assert_eq!(longest(&diamond, &[5, 3, 0, 0]), (vec![0, 1], 8), "what has not begun is not on it");
        assert_eq!(longest(&diamond, &[0, 0, 0, 0]), (Vec::new(), 0));
        assert_eq!(longest(&shape(&[]), &[]), (Vec::new(), 0));
    }

    #[test]
    fn a_list_takes_what_its_slowest_item_takes() {
        // plan, deploy with two items, end.
        let shape = Shape {
            needs: vec![vec![], vec![0], vec![1], vec![], vec![]],
            list: vec![None, None, None, Some(1), Some(1)],
        };
        assert_eq!(longest(&shape, &[1, 30, 2, 10, 20]), (vec![0, 4, 1, 2], 23));
    }

    #[test]
    fn a_circle_ends() {
        assert_eq!(longest(&shape(&[&[1], &[0], &[]]), &[1, 1, 7]), (vec![2], 7));
    }

    #[test]
    fn what_runs_is_counted_until_now() {
        let view = |state: &str, started: Option<i64>, ended: Option<i64>| -> TaskView {
            let view = serde_json::json!({ "id": "a", "state": state, "needs": [], "attempts": 1,
                "session": null, "started_ms": started, "ended_ms": ended, "exit_code": null });
            serde_json::from_value(view).unwrap()
        };
        assert_eq!(took(&view("running", Some(10), None), 50), 40);
        assert_eq!(took(&view("succeeded", Some(10), Some(30)), 50), 20);
        assert_eq!(took(&view("queued", Some(10), None), 50), 0, "granted, and not begun");
        assert_eq!(took(&view("pending", None, None), 50), 0);
        assert_eq!(took(&view("running", Some(60), None), 50), 0, "clocks of two machines");
    }

    /// Tasks that need earlier ones, under names in any order.
    fn graphs() -> impl Strategy<Value = (Shape, Vec<i64>)> {
        (1_usize..9).prop_flat_map(|count| {
            let needs =
                prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), count);
            let took = prop::collection::vec(0_i64..6, count);
            let names = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
            (needs, took, names).prop_map(move |(picks, took, names)| {
                let mut needs = vec![Vec::new(); count];
                for (at, picks) in picks.iter().enumerate().skip(1) {
                    let mut some: Vec<usize> = picks.iter().map(|pick| names[pick.index(at)]).collect();
                    some.sort_unstable();
                    some.dedup();
                    needs[names[at]] = some;
                }
                (Shape { list: vec![None; count], needs }, took)
            })
        })
    }

    /// All ways that end with a task, the slow way.
    fn slowly(shape: &Shape, took: &[i64], task: usize) -> i64 {
        let before = shape.needs[task].iter().map(|need| slowly(shape, took, *need)).max().unwrap_or(0);
        before + took[task]
    }

    proptest! {
        #[test]
        fn no_way_is_longer_and_it_is_one((shape, took) in graphs()) {
            let (tasks, ms) = longest(&shape, &took);
            let most = (0..shape.len()).map(|task| slowly(&shape, &took, task)).max().unwrap_or(0);
            prop_assert_eq!(ms, most);
            prop_assert_eq!(tasks.iter().map(|task| took[*task]).sum::<i64>(), ms);
            for pair in tasks.windows(2) {
                prop_assert!(shape.needs[pair[1]].contains(&pair[0]));
            }
            prop_assert!(tasks.first().is_none_or(|first| took[*first] > 0));
            prop_assert!(tasks.last().is_none_or(|last| took[*last] > 0));
        }
    }
}
