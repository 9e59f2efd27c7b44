//! Names of tasks: that what is named is there, and that no tasks wait for each other.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::super::diagnose::{Mistake, listed, nearest, quoted};
use super::super::graph::{Edges, cycle_text};
use super::head::Head;
use super::read::{Placed, Reader};
use super::task::{Draft, is_id};

mod finish;
mod handlers;
mod names;
mod reach;

/// Task numbers by id as written.
type Numbers<'d> = IndexMap<&'d str, u32>;

/// Checks needs, handlers and templates, and puts the tasks in their place. None where something is wrong.
pub(super) fn resolve(reader: &mut Reader, text: &str, head: &mut Head, drafts: Vec<Draft>) -> Option<()> {
    let numbers = numbers(reader, &drafts);
    let edges = edges(reader, &drafts, &numbers);
    let handlers = handlers::numbers(reader, head, &drafts, &numbers);
    let uses = names::uses(reader, text, head, &drafts);
    let graph = edges.and_then(|edges| order(reader, &drafts, &edges).map(|order| (edges, order)));
    let known =
        names::Known { drafts: &drafts, numbers: &numbers, params: &head.dag.params, handlers: &handlers };
    names::check(reader, &known, &uses, graph.as_ref());
    if !reader.mistakes.is_empty() {
        return None;
    }
    let (edges, _) = graph?;
    head.dag.on = handlers::named(&head.on)?;
    head.dag.tasks = finish::all(drafts, &edges)?;
    Some(())
}

fn numbers<'d>(reader: &mut Reader, drafts: &'d [Draft]) -> Numbers<'d> {
    let mut numbers = IndexMap::with_capacity(drafts.len());
    for (draft, number) in drafts.iter().zip(0u32..) {
        let Some(id) = &draft.id else { continue };
        match numbers.entry(id.value.as_str()) {
            Entry::Vacant(entry) => drop(entry.insert(number)),
            Entry::Occupied(entry) => {
                let first = drafts[*entry.get() as usize].id.as_ref().map(|first| first.span.clone());
                reader.wrong(
                    Mistake::new(id.span.clone(), format!("two tasks have the id {}", quoted(&id.value)))
                        .label("give this one another id")
                        .also(first.unwrap_or_default(), "the first one is here"),
                );
            }
        }
    }
    numbers
}

/// Who needs whom; none where a need is no task.
fn edges(reader: &mut Reader, drafts: &[Draft], numbers: &Numbers<'_>) -> Option<Edges> {
    let mut edges = Edges::default();
    drafts.iter().for_each(|_| edges.add_task());
    let mut complete = numbers.len() == drafts.len();
    let mut once = BTreeSet::new();
    for (draft, number) in drafts.iter().zip(0u32..) {
        once.clear();
        for need in &draft.needs {
            match numbers.get(need.value.as_str()) {
                Some(needed) if once.insert(*needed) => edges.add_need(number, *needed),
                Some(_) => {}
                None => {
                    complete = false;
                    missing_need(reader, need, numbers);
                }
            }
        }
    }
    complete.then_some(edges)
}

fn missing_need(reader: &mut Reader, need: &Placed<String>, numbers: &Numbers<'_>) {
    let mut mistake = Mistake::new(need.span.clone(), format!("no task has the id {}", quoted(&need.value)));
    if !reader.mistakes.is_full() {
        mistake = match nearest(&need.value, numbers.keys().copied()) {
            Some(near) => mistake.label(format!("did you mean \"{near}\"?")),
            None if numbers.len() <= 10 => {
                mistake.help(format!("there are {}", listed(numbers.keys().copied().filter(|id| is_id(id)))))
            }
            None => mistake,
        };
    }
    reader.wrong(mistake);
}

/// Tasks after their needs; none where they form a dependency cycle.
fn order(reader: &mut Reader, drafts: &[Draft], edges: &Edges) -> Option<Vec<u32>> {
    let cycles = match edges.order_from(0) {
        Ok(order) => return Some(order),
        Err(cycles) => cycles,
    };
    let id = |number: u32| drafts[number as usize].id.as_ref().map_or("?", |id| id.value.as_str());
    for cycle in cycles {
        let names: Vec<&str> = cycle.iter().map(|number| id(*number)).collect();
        let next = cycle.get(1).copied().unwrap_or(cycle[0]);
        let needs = &drafts[cycle[0] as usize].needs;
        let span = needs.iter().find(|need| need.value == id(next)).map(|need| need.span.clone());
        let mistake = if names.len() == 1 {
            Mistake::new(span.unwrap_or_default(), format!("task {} needs itself", quoted(names[0])))
                .label("leave it out")
        } else {
            Mistake::new(
                span.unwrap_or_default(),
                format!("tasks form a dependency cycle: {}", cycle_text(&names)),
            )
            .label("none of them could ever start")
            .help("leave out one of these needs")
        };
        reader.wrong(mistake);
    }
    None
}
