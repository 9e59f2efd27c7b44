//! A DAG as a drawing: lines of text with box-drawing characters, or an SVG.
//!
//! Owns where things stand. Knows nothing of runs, colours of terminals or files: whoever asks says what
//! each task is called and looks like.

mod lanes;
mod layered;
mod svg;

use std::collections::BTreeMap;

pub use lanes::{Line, lines};
pub use layered::{TooLarge, layers};
pub use svg::{Drawn, Look, svg};

/// Who needs whom, by small numbers. What is no need of the list, or would close a cycle, is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Net {
    needs: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
    /// Each after all that it needs; otherwise in the order in which they were given.
    order: Vec<usize>,
}

impl Net {
    /// From names and the names that each needs.
    #[must_use]
    pub fn new<'a>(tasks: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) -> Self {
        let tasks: Vec<_> = tasks.into_iter().collect();
        let index: BTreeMap<&str, usize> = tasks.iter().enumerate().map(|(n, (id, _))| (*id, n)).collect();
        let needs = tasks.iter().enumerate().map(|(n, (_, needs))| {
            let mut found: Vec<usize> =
                needs.iter().filter_map(|need| index.get(need)).copied().filter(|need| *need != n).collect();
            found.sort_unstable();
            found.dedup();
            found
        });
        let mut net = Self { needs: needs.collect(), ..Self::default() };
        net.order = net.sorted();
        net.drop_cycles();
        net.dependents = vec![Vec::new(); net.needs.len()];
        for (task, needs) in net.needs.iter().enumerate() {
            for need in needs {
                net.dependents[*need].push(task);
            }
        }
        net
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }

    /// What a task needs.
    #[must_use]
    pub fn needs(&self, task: usize) -> &[usize] {
        self.needs.get(task).map_or(&[], Vec::as_slice)
    }

    fn dependents(&self, task: usize) -> &[usize] {
        self.dependents.get(task).map_or(&[], Vec::as_slice)
    }

    /// Layer by layer; a checked file has no cycles, and what is in one comes last.
    fn sorted(&self) -> Vec<usize> {
        let mut dependents = vec![Vec::new(); self.needs.len()];
        let mut missing: Vec<usize> = self.needs.iter().map(Vec::len).collect();
        for (task, needs) in self.needs.iter().enumerate() {
            for need in needs {
                dependents[*need].push(task);
            }
        }
        let mut order: Vec<usize> = (0..self.needs.len()).filter(|task| missing[*task] == 0).collect();
        let mut at = 0;
        while let Some(task) = order.get(at).copied() {
            for dependent in &dependents[task] {
                missing[*dependent] -= 1;
                if missing[*dependent] == 0 {
                    order.push(*dependent);
                }
            }
            at += 1;
        }
        order.extend((0..self.needs.len()).filter(|task| missing[*task] > 0));
        order
    }

    fn drop_cycles(&mut self) {
        let mut place = vec![0; self.needs.len()];
        for (at, task) in self.order.iter().enumerate() {
            place[*task] = at;
        }
        for (task, needs) in self.needs.iter_mut().enumerate() {
            needs.retain(|need| place[*need] < place[task]);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::Net;

    /// `a b<a c<a,b` as a net.
    pub(in crate::dag::drawing) fn net(text: &str) -> (Net, Vec<&str>) {
        let tasks: Vec<(&str, Vec<&str>)> = text
            .split_whitespace()
            .map(|task| match task.split_once('<') {
                Some((id, needs)) => (id, needs.split(',').collect()),
                None => (task, Vec::new()),
            })
            .collect();
        let names = tasks.iter().map(|(id, _)| *id).collect();
        (Net::new(tasks), names)
    }

    #[test]
    fn what_is_no_need_or_closes_a_cycle_is_left_out() {
        let (net, _) = net("a<b,c,nobody b<a c c2<c,c,c2");
        assert_eq!((net.needs(0), net.needs(1), net.needs(3)), (&[2][..], &[0][..], &[2][..]));
        assert_eq!((net.len(), net.is_empty(), net.needs(99)), (4, false, &[][..]));
    }
}
