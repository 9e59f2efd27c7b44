//! What stands between a run's tasks, by their places: all that a drawing of it, or a way through it, needs.

use std::collections::HashMap;

use cis_core::api::TaskView;

/// Which tasks need which, and which are items of a list. Two runs with equal shapes have one drawing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// For each task the places of those that it needs, sorted.
    pub needs: Vec<Vec<usize>>,
    /// For each task that of the list whose item it is (`deploy.1` of `deploy`), where it is one.
    pub list: Vec<Option<usize>>,
}

impl Shape {
    /// That of these tasks. Needs that are not among them are left out.
    #[must_use]
    pub fn of(tasks: &[TaskView]) -> Self {
        let index: HashMap<&str, usize> =
            tasks.iter().enumerate().map(|(at, task)| (task.id.as_str(), at)).collect();
        let needs = tasks.iter().map(|task| {
            let mut needs: Vec<usize> =
                task.needs.iter().filter_map(|need| index.get(need.as_str())).copied().collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        });
        let list = |task: &TaskView| {
            let (stem, number) = task.id.as_str().rsplit_once('.')?;
            number.parse::<u32>().ok()?;
            index.get(stem).copied()
        };
        Self { needs: needs.collect(), list: tasks.iter().map(list).collect() }
    }

    /// How many tasks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }
}
