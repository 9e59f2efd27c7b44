//! One line for each task. What a task needs leads to it through columns to the left of its name; tasks
//! that need the same and are needed by the same stand below each other in one column.

use std::collections::BTreeMap;

use super::Net;

/// More columns are not drawn: the needs stand in words beside the names.
const COLUMNS_MAX: usize = 24;

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which.
    pub task: usize,
    /// What is drawn to the left of its mark.
    pub before: String,
    /// What is drawn to its right; as wide as the drawing is.
    pub after: String,
}

/// Tasks that need the same and are needed by the same.
#[derive(Debug, Default)]
struct Group {
    members: Vec<usize>,
    needs: Vec<usize>,
    dependents: Vec<usize>,
}

/// The lines, each task after all that it needs. Where there are too many columns they are empty.
#[must_use]
pub fn lines(net: &Net) -> Vec<Line> {
    let groups = groups(net);
    let order = order(&groups);
    draw(&groups, &order).unwrap_or_else(|| {
        let bare = |task| Line { task, before: String::new(), after: String::new() };
        net.order.iter().copied().map(bare).collect()
    })
}

fn groups(net: &Net) -> Vec<Group> {
    let mut by_edges: BTreeMap<(&[usize], &[usize]), usize> = BTreeMap::new();
    let mut of_task = vec![0; net.len()];
    let mut groups: Vec<Group> = Vec::new();
    for task in net.order.iter().copied() {
        let (needs, dependents) = (net.needs(task), net.dependents(task));
        // What stands alone has nothing in common with others that do.
        let alone = needs.is_empty();
        let group = match by_edges.get(&(needs, dependents)).filter(|_| !alone) {
            Some(group) => *group,
            None => {
                groups.push(Group::default());
                by_edges.insert((needs, dependents), groups.len() - 1);
                groups.len() - 1
            }
        };
        groups[group].members.push(task);
        of_task[task] = group;
    }
    for group in &mut groups {
        let Some(first) = group.members.first().copied() else { continue };
        group.needs = mapped(net.needs(first), &of_task);
        group.dependents = mapped(net.dependents(first), &of_task);
    }
    groups
}

fn mapped(tasks: &[usize], of_task: &[usize]) -> Vec<usize> {
    let mut groups: Vec<usize> = tasks.iter().map(|task| of_task[*task]).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// What was begun is followed to its end before something else is: so lines stay short.
fn order(groups: &[Group]) -> Vec<usize> {
    let mut missing: Vec<usize> = groups.iter().map(|group| group.needs.len()).collect();
    let mut ready: Vec<usize> = (0..groups.len()).rev().filter(|group| missing[*group] == 0).collect();
    let mut order = Vec::with_capacity(groups.len());
    while let Some(group) = ready.pop() {
        order.push(group);
        for dependent in groups[group].dependents.iter().rev() {
            missing[*dependent] -= 1;
            if missing[*dependent] == 0 {
                ready.push(*dependent);
            }
        }
    }
    order
}

/// A column in use.
#[derive(Debug, Clone, Copy)]
struct Lane {
    group: usize,
    /// Groups that it still leads to.
    left: usize,
}

/// None: it would be too wide.
fn draw(groups: &[Group], order: &[usize]) -> Option<Vec<Line>> {
    let mut lanes: Vec<Option<Lane>> = Vec::new();
    let mut lines = Vec::new();
    for at in order {
        let group = &groups[*at];
        let comes: Vec<usize> = (0..lanes.len())
            .filter(|x| lanes[*x].is_some_and(|lane| group.needs.contains(&lane.group)))
            .collect();
        let ends: Vec<usize> =
            comes.iter().copied().filter(|x| lanes[*x].is_some_and(|lane| lane.left == 1)).collect();
        let column = column(&lanes, &comes, &ends, group.members.len());
        if column >= COLUMNS_MAX {
            return None;
        }
        if column >= lanes.len() {
            lanes.resize(column + 1, None);
        }
        for (n, task) in group.members.iter().enumerate() {
            let last = n + 1 == group.members.len();
            let ending = if last { ends.as_slice() } else { &[] };
            lines.push(row(&lanes, &comes, ending, column, *task));
        }
        for x in comes {
            lanes[x] = lanes[x].filter(|lane| lane.left > 1).map(|lane| Lane { left: lane.left - 1, ..lane });
        }
        let left = group.dependents.len();
        lanes[column] = (left > 0).then_some(Lane { group: *at, left });
    }
    let width = lines.iter().map(|line| line.before.chars().count() + line.after.chars().count()).max();
    for line in &mut lines {
        let drawn = line.before.chars().count() + line.after.chars().count();
        line.after.push_str(&" ".repeat(width.unwrap_or(0) - drawn));
    }
    Some(lines)
}

/// Straight on below what ends here; else in the first free one to the right of what it comes from.
fn column(lanes: &[Option<Lane>], comes: &[usize], ends: &[usize], members: usize) -> usize {
    if let (Some(first), 1) = (ends.first(), members) {
        return *first;
    }
    // Several stand below each other, and what they come from goes on beside them.
    let from = comes.first().map_or(0, |first| first + 1);
    (from..).find(|x| lanes.get(*x).is_none_or(Option::is_none)).unwrap_or(lanes.len())
}

fn row(lanes: &[Option<Lane>], comes: &[usize], ends: &[usize], column: usize, task: usize) -> Line {
    let low = comes.first().copied().unwrap_or(column).min(column);
    let high = comes.last().copied().unwrap_or(column).max(column);
    let mut line = Line { task, before: String::new(), after: String::new() };
    for (x, lane) in lanes.iter().enumerate() {
        let across = low < x && x < high;
        let drawn = match (comes.contains(&x), ends.contains(&x)) {
            (true, false) if x == low && x < column => '├',
            (true, false) if x == high && x > column => '┤',
            (true, false) => '┼',
            (true, true) if x == low && x < column => '╰',
            (true, true) if x == high && x > column => '╯',
            (true, true) => '┴',
            (false, _) if lane.is_some() => '│',
            (false, _) if across => '─',
            (false, _) => ' ',
        };
        let beside = if low <= x && x < high { '─' } else { ' ' };
        if x < column {
            line.before.push(drawn);
            line.before.push(beside);
        } else if x == column {
            line.after.push(beside);
        } else {
            line.after.push(drawn);
            line.after.push(beside);
        }
    }
    let end = line.after.trim_end().len();
    line.after.truncate(end);
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::net;
    use super::*;

    fn drawn(text: &str) -> String {
        let (net, names) = net(text);
        lines(&net)
            .into_iter()
            .map(|line| {
                format!("{}o{} {}", line.before, line.after, names[line.task]).trim_end().to_owned() + "\n"
            })
            .collect()
    }

    #[test]
    fn drawings_of_small_nets() {
        let nets = [
            "a b<a c<b",
            "fetch lint<fetch build<fetch test<build ship<lint,test",
            "s t1<s t2<s t3<s end<t1,t2,t3 x<s,end",
            "a b c<a d<a,b e<b,c f<d,e g",
        ];
        let all: Vec<String> = nets.iter().map(|net| format!("{net}\n{}", drawn(net))).collect();
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn what_would_be_too_wide_is_only_listed() {
        let mut text = String::from("end<");
        let names: Vec<String> = (0..40).map(|n| format!("r{n}")).collect();
        text += names.join(",").as_str();
        for (n, name) in names.iter().enumerate() {
            text += format!(" {name} x{n}<{name}").as_str();
        }
        assert!(drawn(&text).lines().all(|line| line.starts_with("o ")));
    }

    proptest! {
        #[test]
        fn every_task_has_a_line_after_those_that_it_needs_and_lines_are_equally_wide(
            edges in prop::collection::vec((0usize..30, 0usize..30), 0..60),
        ) {
            let names: Vec<String> = (0..30).map(|n| n.to_string()).collect();
            let needs = |task: usize| {
                edges.iter().filter(|(from, to)| *to == task && from < to).map(|(from, _)| names[*from].as_str()).collect()
            };
            let net = Net::new((0..30).map(|task| (names[task].as_str(), needs(task))));
            let lines = lines(&net);
            let mut seen = Vec::new();
            let width = |line: &Line| line.before.chars().count() + line.after.chars().count();
            for line in &lines {
                prop_assert!(net.needs(line.task).iter().all(|need| seen.contains(need)));
                prop_assert_eq!(width(line), width(&lines[0]));
                seen.push(line.task);
            }
            prop_assert_eq!(seen.len(), 30);
        }
    }
}
