//! `[dag.on]`: that each names a task of its own, which stands apart from the others.

use super::super::super::diagnose::{Mistake, nearest, quoted};
use super::super::super::model::Handlers;
use super::super::head::{Head, Kind};
use super::super::read::{Placed, Reader};
use super::super::task::Draft;
use super::Numbers;
use crate::ids::TaskId;

/// Numbers of the tasks that are handlers, sorted.
pub(super) fn numbers(reader: &mut Reader, head: &Head, drafts: &[Draft], numbers: &Numbers<'_>) -> Vec<u32> {
    let mut found: Vec<(u32, &Placed<String>)> = Vec::with_capacity(head.on.len());
    for (_, name) in &head.on {
        let Some(number) = numbers.get(name.value.as_str()).copied() else {
            let mut mistake =
                Mistake::new(name.span.clone(), format!("no task has the id {}", quoted(&name.value)));
            if let Some(near) = nearest(&name.value, numbers.keys().copied()) {
                mistake = mistake.label(format!("did you mean \"{near}\"?"));
            }
            reader.wrong(mistake);
            continue;
        };
        match found.iter().find(|(other, _)| *other == number) {
            Some((_, first)) => reader.wrong(
                Mistake::new(
                    name.span.clone(),
                    format!("task {} is named twice in [dag.on]", quoted(&name.value)),
                )
                .label("a task is for one of these")
                .also(first.span.clone(), "the first one is here")
                .help("name it in `always` alone, or add a task that does the same"),
            ),
            None => {
                stands_apart(reader, name, &drafts[number as usize]);
                found.push((number, name));
            }
        }
    }
    if let (true, Some((_, name))) = (found.len() == drafts.len(), found.first()) {
        let title = "there are no tasks but those of [dag.on]";
        reader.wrong(Mistake::new(name.span.clone(), title).help("add a task that does the work"));
    }
    let mut handlers: Vec<u32> = found.into_iter().map(|(number, _)| number).collect();
    handlers.sort_unstable();
    if !handlers.is_empty() {
        not_needed(reader, drafts, numbers, &handlers);
    }
    handlers
}

/// It runs at the end, once, by itself.
fn stands_apart(reader: &mut Reader, name: &Placed<String>, draft: &Draft) {
    let mut wrong = |span: std::ops::Range<usize>, key: &str| {
        let title = format!("task {} of [dag.on] cannot have {key}", quoted(&name.value));
        reader.wrong(
            Mistake::new(span, title)
                .label("it runs by itself, not after others")
                .also(name.span.clone(), "it is named here")
                .help("leave it out"),
        );
    };
    if let Some(need) = draft.needs.first() {
        wrong(need.span.clone(), "needs");
    }
    let Some(extras) = &draft.extras else { return };
    if let Some(foreach) = &extras.foreach {
        wrong(foreach.span.clone(), "foreach");
    }
    if let Some(approval) = &extras.approval {
        wrong(approval.prompt.span.clone(), "an approval");
    }
}

fn not_needed(reader: &mut Reader, drafts: &[Draft], numbers: &Numbers<'_>, handlers: &[u32]) {
    for need in drafts.iter().flat_map(|draft| &draft.needs) {
        let number = numbers.get(need.value.as_str());
        if number.is_some_and(|number| handlers.binary_search(number).is_ok()) {
            let title = format!("no task can need {}", quoted(&need.value));
            reader.wrong(
                Mistake::new(need.span.clone(), title)
                    .label("[dag.on] names it: it runs by itself")
                    .help("leave this need out"),
            );
        }
    }
}

/// The handlers by kind; none where a name is no id.
pub(super) fn named(on: &[(Kind, Placed<String>)]) -> Option<Handlers> {
    let mut handlers = Handlers::default();
    for (kind, name) in on {
        let place = match kind {
            Kind::Success => &mut handlers.success,
            Kind::Failure => &mut handlers.failure,
            Kind::Cancel => &mut handlers.cancel,
            Kind::Always => &mut handlers.always,
            Kind::Blocked => &mut handlers.blocked,
        };
        *place = Some(TaskId::new(&name.value).ok()?);
    }
    Some(handlers)
}
