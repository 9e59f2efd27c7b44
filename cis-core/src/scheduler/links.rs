//! Who waits for whom, by index: compressed rows for the tasks of the file, and a small map for those
//! that were added while the run runs. Knows nothing of states.

use std::collections::BTreeMap;

/// Dependents of every task. The tasks of the file cost 4 bytes each and 4 per edge.
#[derive(Debug, Clone)]
pub(super) struct Links {
    /// Where the row of a task begins in `rows`; one more than there are tasks in the file.
    starts: Box<[u32]>,
    rows: Box<[u32]>,
    /// Dependents that came later.
    added: BTreeMap<u32, Vec<u32>>,
}

impl Links {
    /// From `(need, dependent)` pairs among `count` tasks.
    pub(super) fn new(count: usize, edges: &[(u32, u32)]) -> Self {
        let mut starts = vec![0u32; count + 1];
        for (need, _) in edges {
            starts[*need as usize + 1] += 1;
        }
        for i in 0..count {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut rows = vec![0u32; edges.len()];
        for (need, dependent) in edges {
            let place = &mut next[*need as usize];
            rows[*place as usize] = *dependent;
            *place += 1;
        }
        Self { starts: starts.into(), rows: rows.into(), added: BTreeMap::new() }
    }

    /// A later task needs `need`.
    pub(super) fn add(&mut self, need: u32, dependent: u32) {
        self.added.entry(need).or_default().push(dependent);
    }

    /// Those that need `task`.
    pub(super) fn dependents(&self, task: u32) -> impl Iterator<Item = u32> + '_ {
        let row = match self.starts.get(task as usize..task as usize + 2) {
            Some([from, to]) => &self.rows[*from as usize..*to as usize],
            _ => &[],
        };
        let added = if self.added.is_empty() { None } else { self.added.get(&task) };
        row.iter().copied().chain(added.into_iter().flatten().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::Links;

    #[test]
    fn rows_and_additions_are_one_list() {
        let mut links = Links::new(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        links.add(0, 4);
        links.add(4, 5);
        let all: Vec<Vec<u32>> = (0..6).map(|i| links.dependents(i).collect()).collect();
        assert_eq!(all, [vec![1, 2, 4], vec![3], vec![3], vec![], vec![5], vec![]]);
    }
}
