//! Who needs whom, by small numbers: adjacency, an order in which everything comes after its needs,
//! and what follows from a task. Grows at run time. Nothing here recurses, so depth does not matter.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use indexmap::IndexSet;
use petgraph::Direction;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::Dfs;

use super::model::Task;
use crate::ids::TaskId;

/// Why tasks do not make a graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A name is taken.
    #[error("there is already a task `{0}`: give the new one another id")]
    Duplicate(TaskId),
    /// A need is no task.
    #[error("task `{task}` needs `{need}`, which is no task")]
    Missing {
        /// Who needs it.
        task: TaskId,
        /// What is not there.
        need: TaskId,
    },
    /// Tasks wait for each other. The first is not repeated at the end.
    #[error("tasks form a dependency cycle: {}", cycle_text(.0))]
    Cycle(Vec<TaskId>),
}

/// The tasks of a run, numbered in the order in which they were given.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    ids: IndexSet<TaskId>,
    edges: Edges,
    order: Vec<u32>,
}

impl Graph {
    /// # Errors
    /// [`GraphError`]; a checked [`super::Dag`] has none.
    pub fn new(tasks: &[Task]) -> Result<Self, GraphError> {
        let mut graph = Self::default();
        graph.extend(tasks)?;
        Ok(graph)
    }

    /// Adds tasks, which may need those before and each other. Their numbers follow the old ones,
    /// and so do their places in [`Graph::order`].
    ///
    /// # Errors
    /// [`GraphError`]; the graph is then as it was.
    pub fn extend(&mut self, tasks: &[Task]) -> Result<(), GraphError> {
        let before = self.ids.len();
        let result = self.try_extend(tasks);
        if result.is_err() {
            self.ids.truncate(before);
            self.edges.truncate(before);
        }
        result
    }

    fn try_extend(&mut self, tasks: &[Task]) -> Result<(), GraphError> {
        let first = number(self.ids.len());
        for task in tasks {
            if !self.ids.insert(task.id.clone()) {
                return Err(GraphError::Duplicate(task.id.clone()));
            }
            self.edges.add_task();
        }
        for (task, index) in tasks.iter().zip(first..) {
            for need in &task.needs {
                let found = self.index(need);
                let missing = || GraphError::Missing { task: task.id.clone(), need: need.clone() };
                self.edges.add_need(index, found.ok_or_else(missing)?);
            }
        }
        match self.edges.order_from(first) {
            Ok(order) => self.order.extend(order),
            Err(mut cycles) => {
                let cycle = cycles.swap_remove(0);
                return Err(GraphError::Cycle(
                    cycle.into_iter().map(|i| self.ids[i as usize].clone()).collect(),
                ));
            }
        }
        Ok(())
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// No task at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of a task.
    #[must_use]
    pub fn index(&self, id: &TaskId) -> Option<u32> {
        self.ids.get_index_of(id).map(number)
    }

    /// Name of a task; none where there are not so many.
    #[must_use]
    pub fn id(&self, index: u32) -> Option<&TaskId> {
        self.ids.get_index(index as usize)
    }

    /// What a task needs, each once, in no particular order.
    pub fn needs(&self, index: u32) -> impl Iterator<Item = u32> {
        self.edges.needs(index)
    }

    /// Who needs a task, each once, in no particular order.
    pub fn dependents(&self, index: u32) -> impl Iterator<Item = u32> {
        self.edges.dependents(index)
    }

    /// All tasks, each after everything that it needs; otherwise in the order in which they were given.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Everything that needs this task, directly or through others, by number; not the task itself.
    #[must_use]
    pub fn descendants(&self, index: u32) -> Vec<u32> {
        self.edges.descendants(index)
    }
}

/// Adjacency without names. An edge leads from a need to who needs it.
#[derive(Debug, Clone, Default)]
pub(super) struct Edges(DiGraph<(), (), u32>);

impl Edges {
    /// The next number.
    pub(super) fn add_task(&mut self) {
        self.0.add_node(());
    }

    /// Both numbers must be those of tasks. The caller gives each pair once, or pays a little memory.
    pub(super) fn add_need(&mut self, task: u32, need: u32) {
        self.0.add_edge(NodeIndex::new(need as usize), NodeIndex::new(task as usize), ());
    }

    /// The need that was added last comes first, as petgraph has it.
    pub(super) fn needs(&self, task: u32) -> impl Iterator<Item = u32> {
        self.0
            .neighbors_directed(NodeIndex::new(task as usize), Direction::Incoming)
            .map(|n| number(n.index()))
    }

    fn dependents(&self, task: u32) -> impl Iterator<Item = u32> {
        self.0
            .neighbors_directed(NodeIndex::new(task as usize), Direction::Outgoing)
            .map(|n| number(n.index()))
    }

    pub(super) fn descendants(&self, task: u32) -> Vec<u32> {
        let start = NodeIndex::new(task as usize);
        if self.0.node_weight(start).is_none() {
            return Vec::new();
        }
        let mut search = Dfs::new(&self.0, start);
        let mut found = Vec::new();
        while let Some(node) = search.next(&self.0) {
            if node != start {
                found.push(number(node.index()));
            }
        }
        found.sort_unstable();
        found
    }

    fn truncate(&mut self, count: usize) {
        // From the end: removing the last node of this kind of graph renumbers nothing.
        while self.0.node_count() > count {
            self.0.remove_node(NodeIndex::new(self.0.node_count() - 1));
        }
    }

    /// The tasks from number `first` on, each after its needs and the lowest number first; or one
    /// cycle for each knot of tasks that wait for each other.
    pub(super) fn order_from(&self, first: u32) -> Result<Vec<u32>, Vec<Vec<u32>>> {
        let count = number(self.0.node_count());
        let new_needs = |task: u32| self.needs(task).filter(|need| *need >= first).count();
        let mut waiting: Vec<usize> = (first..count).map(new_needs).collect();
        let is_free = |task: &u32| waiting[(*task - first) as usize] == 0;
        let mut ready: BinaryHeap<Reverse<u32>> = (first..count).filter(is_free).map(Reverse).collect();
        let mut order = Vec::with_capacity((count - first) as usize);
        while let Some(Reverse(task)) = ready.pop() {
            order.push(task);
            for dependent in self.dependents(task) {
                let left = &mut waiting[(dependent - first) as usize];
                *left -= 1;
                if *left == 0 {
                    ready.push(Reverse(dependent));
                }
            }
        }
        if order.len() == waiting.len() { Ok(order) } else { Err(self.cycles()) }
    }

    fn cycles(&self) -> Vec<Vec<u32>> {
        let mut group = vec![u32::MAX; self.0.node_count()];
        let mut starts = Vec::new();
        for (knot, members) in kosaraju_scc(&self.0).into_iter().enumerate() {
            for node in &members {
                group[node.index()] = number(knot);
            }
            if let Some(start) = members.iter().map(|node| number(node.index())).min()
                && (members.len() > 1 || self.needs(start).any(|need| need == start))
            {
                starts.push(start);
            }
        }
        starts.sort_unstable();
        starts.into_iter().map(|start| self.shortest_cycle(start, &group)).collect()
    }

    /// From `start` along its needs back to itself, inside its knot.
    fn shortest_cycle(&self, start: u32, group: &[u32]) -> Vec<u32> {
        let mut came_from = std::collections::BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(task) = queue.pop_front() {
            for need in self.needs(task) {
                if need == start {
                    let mut path = vec![task];
                    while let Some(before) = path.last().and_then(|last| came_from.get(last)) {
                        path.push(*before);
                    }
                    path.reverse();
                    return path;
                }
                if group[need as usize] == group[start as usize] && !came_from.contains_key(&need) {
                    came_from.insert(need, task);
                    queue.push_back(need);
                }
            }
        }
        vec![start]
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// `a → b → a`, the middle left out where it is long.
pub(super) fn cycle_text<T: std::fmt::Display>(path: &[T]) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<String> = path.iter().take(SHOWN).map(T::to_string).collect();
    if path.len() > SHOWN {
        names.push(format!("… ({} more)", path.len() - SHOWN));
    }
    names.extend(path.first().map(T::to_string));
    names.join(" → ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dag::Action;

    fn task(id: &str, needs: &[&str]) -> Task {
        Task {
            needs: needs.iter().map(|need| TaskId::new(need).unwrap()).collect(),
            ..Task::new(TaskId::new(id).unwrap(), Action::Command(vec!["true".into()]))
        }
    }

    fn names(graph: &Graph, list: &[u32]) -> String {
        list.iter().map(|i| graph.id(*i).unwrap().as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn order_is_that_of_the_file_where_needs_allow_it() {
        let tasks =
            [task("d", &["b", "c"]), task("a", &[]), task("c", &["a"]), task("b", &["a"]), task("e", &[])];
        let graph = Graph::new(&tasks).unwrap();
        assert_eq!(names(&graph, graph.order()), "a c b d e");
        let a = graph.index(&TaskId::new("a").unwrap()).unwrap();
        assert_eq!(names(&graph, &graph.descendants(a)), "d c b");
        assert_eq!(graph.needs(0).count(), 2);
        assert_eq!(graph.dependents(a).count(), 2);
    }

    #[test]
    fn tasks_are_added_while_it_runs_or_not_at_all() {
        let mut graph = Graph::new(&[task("a", &[]), task("b", &["a"])]).unwrap();
        graph.extend(&[task("d", &["c"]), task("c", &["b"])]).unwrap();
        assert_eq!(names(&graph, graph.order()), "a b c d");

        let wrong = [
            (
                vec![task("e", &[]), task("a", &[])],
                "there is already a task `a`: give the new one another id",
            ),
            (vec![task("e", &["f"])], "task `e` needs `f`, which is no task"),
            (
                vec![task("e", &["d", "f"]), task("f", &["g"]), task("g", &["e"])],
                "tasks form a dependency cycle: e → f → g → e",
            ),
        ];
        for (tasks, said) in wrong {
            assert_eq!(graph.extend(&tasks).unwrap_err().to_string(), said);
            assert_eq!((graph.len(), graph.order().len()), (4, 4));
            assert!(graph.descendants(2).is_empty());
        }
        graph.extend(&[task("e", &["d"])]).unwrap();
        assert_eq!(names(&graph, graph.order()), "a b c d e");
    }

    #[test]
    fn depth_does_not_overflow_the_stack() {
        let ids: Vec<String> = (0..100_000).map(|i| format!("t{i}")).collect();
        let mut tasks: Vec<Task> = vec![task("t0", &[])];
        tasks.extend(ids.windows(2).map(|pair| task(&pair[1], &[&pair[0]])));
        let graph = Graph::new(&tasks).unwrap();
        assert_eq!(graph.descendants(0).len(), 99_999);

        tasks[0].needs.push(TaskId::new("t99999").unwrap());
        let said = Graph::new(&tasks).unwrap_err().to_string();
        assert_eq!(
            said,
            "tasks form a dependency cycle: t0 → t99999 → t99998 → t99997 → t99996 → t99995 → t99994 → \
             t99993 → … (99992 more) → t0"
        );
    }

    proptest! {
        #[test]
        fn order_and_descendants_agree_with_a_plain_search(pairs in prop::collection::vec((0..20u32, 0..20u32), 0..40)) {
            let mut edges = Edges::default();
            (0..20).for_each(|_| edges.add_task());
            for (a, b) in &pairs {
                edges.add_need(*a, *b);
            }
            let mut reach = [[false; 20]; 20];
            for (task, need) in &pairs {
                reach[*need as usize][*task as usize] = true;
            }
            for k in 0..20 { for i in 0..20 { for j in 0..20 {
                reach[i][j] |= reach[i][k] && reach[k][j];
            }}}
            match edges.order_from(0) {
                Ok(order) => {
                    prop_assert!((0..20).all(|i| !reach[i][i]));
                    let at = |task: u32| order.iter().position(|o| *o == task).unwrap();
                    prop_assert!(pairs.iter().all(|(task, need)| at(*need) < at(*task)));
                }
                Err(cycles) => {
                    for cycle in &cycles {
                        let next = cycle.iter().cycle().skip(1);
                        prop_assert!(cycle.iter().zip(next).all(|(a, b)| pairs.contains(&(*a, *b))));
                    }
                    prop_assert!(!cycles.is_empty());
                }
            }
            for task in 0..20 {
                let expected: Vec<u32> = (0..20).filter(|j| *j != task && reach[task as usize][*j as usize]).collect();
                prop_assert_eq!(edges.descendants(task), expected);
            }
        }
    }
}
