//! Names of tasks, parameters and outputs: that what is named is there, and comes before.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::super::diagnose::{Mistake, listed, nearest, quoted};
use super::super::graph::{Edges, circle};
use super::super::model::{Action, DEFAULT_GRACE_MS, Task, ValueType};
use super::super::template::{self, ExprError, Name, Reference, Site};
use super::read::{Placed, Reader};
use super::task::{Draft, DraftAction, is_id};
use super::{Head, offsets};
use crate::ids::TaskId;

mod reach;

/// Task numbers by id as written.
type Numbers<'d> = IndexMap<&'d str, u32>;

/// Checks needs and templates, and makes the tasks. None where something is wrong.
pub(super) fn resolve(reader: &mut Reader, text: &str, head: &Head, drafts: Vec<Draft>) -> Option<Vec<Task>> {
    let numbers = numbers(reader, &drafts);
    let edges = edges(reader, &drafts, &numbers);
    let sites = template_sites(reader, text, head, &drafts);
    let reachable = edges.and_then(|edges| order(reader, &drafts, &edges).map(|order| (edges, order)));
    check_outputs(reader, &drafts, &numbers, &sites, reachable.as_ref());
    if !reader.mistakes.is_empty() {
        return None;
    }
    drafts.into_iter().map(finished).collect()
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

/// Tasks after their needs; none where they go in circles.
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
                format!("tasks need each other in a circle: {}", circle(&names)),
            )
            .label("none of them could ever start")
            .help("leave out one of these needs")
        };
        reader.wrong(mistake);
    }
    None
}

/// `tasks.X.outputs.Y` in a task.
struct OutputUse {
    user: u32,
    task: String,
    output: String,
    span: std::ops::Range<usize>,
}

/// Checks all templates for what can be said without looking at other tasks; the rest is returned.
fn template_sites(reader: &mut Reader, text: &str, head: &Head, drafts: &[Draft]) -> Vec<OutputUse> {
    let mut uses = Vec::new();
    for (draft, user) in drafts.iter().zip(0u32..) {
        let mut check = |placed: &Placed<String>, site: Site<'_>| {
            if !template::has_template(&placed.value) && !template::has_block(&placed.value) {
                return;
            }
            let (references, errors) = template::check(&placed.value, site);
            let place =
                |range: &std::ops::Range<usize>| offsets::in_file(text, &placed.span, &placed.value, range);
            for ExprError { range, message, help, .. } in errors {
                let mut mistake = Mistake::new(place(&range), message);
                if let Some(help) = help {
                    mistake = mistake.help(help);
                }
                reader.wrong(mistake);
            }
            for Reference { range, name } in references {
                match name {
                    Name::Output { task, output } => {
                        uses.push(OutputUse { user, task, output, span: place(&range) })
                    }
                    Name::Param(name) if !head.dag.params.contains_key(&name) => {
                        reader.wrong(unknown_param(&name, place(&range), head));
                    }
                    _ => {}
                }
            }
        };
        match &draft.action {
            Some(DraftAction::Command(argv)) => argv.iter().for_each(|argument| check(argument, Site::Plain)),
            Some(DraftAction::Script(script)) => check(script, Site::Script(draft.shell())),
            None => {}
        }
        draft.layer.env.values().chain(&draft.layer.cwd).for_each(|placed| check(placed, Site::Plain));
    }
    uses
}

fn unknown_param(name: &str, span: std::ops::Range<usize>, head: &Head) -> Mistake {
    let names = || head.dag.params.keys().map(String::as_str);
    let mistake = Mistake::new(span, format!("no parameter {}", quoted(name)));
    match nearest(name, names()) {
        Some(near) => mistake.label(format!("did you mean `params.{near}`?")),
        None if head.dag.params.is_empty() => {
            mistake.help(format!("add params = {{ {name} = {{ type = \"string\" }} }} to [dag]"))
        }
        None => mistake.help(format!("[dag] params has {}", listed(names()))),
    }
}

fn check_outputs(
    reader: &mut Reader,
    drafts: &[Draft],
    numbers: &Numbers<'_>,
    uses: &[OutputUse],
    graph: Option<&(Edges, Vec<u32>)>,
) {
    let mut pairs = Vec::new();
    for used in uses {
        let Some(source) = numbers.get(used.task.as_str()).copied() else {
            let mut mistake =
                Mistake::new(used.span.clone(), format!("no task has the id {}", quoted(&used.task)));
            if !reader.mistakes.is_full()
                && let Some(near) = nearest(&used.task, numbers.keys().copied())
            {
                mistake = mistake.label(format!("did you mean `tasks.{near}`?"));
            }
            reader.wrong(mistake);
            continue;
        };
        let declared = &drafts[source as usize].outputs;
        if !declared.contains_key(&used.output) && source != used.user {
            reader.wrong(undeclared(used, declared));
        }
        pairs.push((source, used.user));
    }
    let Some((edges, order)) = graph else { return };
    let after = reach::all_after(edges, order, &pairs);
    let known = uses.iter().filter(|used| numbers.contains_key(used.task.as_str()));
    for (used, is_after) in known.zip(after) {
        if !is_after {
            reader.wrong(not_needed(used, drafts));
        }
    }
}

fn undeclared(used: &OutputUse, declared: &BTreeMap<String, ValueType>) -> Mistake {
    let OutputUse { task, output, span, .. } = used;
    let mistake =
        Mistake::new(span.clone(), format!("task {} declares no output {}", quoted(task), quoted(output)));
    match nearest(output, declared.keys().map(String::as_str)) {
        Some(near) => mistake.label(format!("did you mean `tasks.{task}.outputs.{near}`?")),
        None => {
            mistake.help(format!("add outputs = {{ {output} = {{ type = \"string\" }} }} to task `{task}`"))
        }
    }
}

fn not_needed(used: &OutputUse, drafts: &[Draft]) -> Mistake {
    let user = &drafts[used.user as usize];
    let id = user.id.as_ref().map_or("?", |id| id.value.as_str());
    if id == used.task {
        return Mistake::new(used.span.clone(), format!("task {} cannot use its own outputs", quoted(id)));
    }
    let mistake =
        Mistake::new(used.span.clone(), format!("task {} does not come after `{}`", quoted(id), used.task))
            .label("its outputs may not be there yet");
    if user.needs.is_empty() {
        mistake.help(format!("add needs = [\"{}\"] to task `{id}`", used.task))
    } else {
        mistake.help(format!("add \"{}\" to the needs of task `{id}`", used.task))
    }
}

impl Draft {
    fn shell(&self) -> &str {
        self.layer.shell.as_ref().map_or("sh", |shell| shell.value.as_str())
    }
}

/// The task. All names in it are checked by now; none where they were not.
fn finished(draft: Draft) -> Option<Task> {
    let shell = draft.shell().to_owned();
    let id = draft.id.filter(|id| is_id(&id.value))?;
    let mut needs: Vec<TaskId> = Vec::with_capacity(draft.needs.len());
    let mut once = BTreeSet::new();
    for need in &draft.needs {
        if once.insert(need.value.as_str()) {
            needs.push(TaskId::new(&need.value).ok()?);
        }
    }
    let action = match draft.action? {
        DraftAction::Command(argv) => {
            Action::Command(argv.into_iter().map(|argument| argument.value).collect())
        }
        DraftAction::Script(script) => Action::Script { text: script.value, shell },
    };
    let layer = draft.layer;
    Some(Task {
        needs,
        trigger: layer.trigger.map(|trigger| trigger.value).unwrap_or_default(),
        env: layer.env.into_iter().map(|(name, placed)| (name, placed.value)).collect(),
        cwd: layer.cwd.map(|cwd| cwd.value),
        tty: layer.tty.unwrap_or(true),
        secrets: layer.secrets.into_iter().map(|(name, placed)| (name, placed.value)).collect(),
        timeout_ms: layer.timeout_ms,
        grace_ms: layer.grace_ms.unwrap_or(DEFAULT_GRACE_MS),
        retries: layer.retries.policy(),
        allow_failure: layer.allow_failure.unwrap_or(false),
        outputs: draft.outputs,
        retry_lost: layer.retry_lost.unwrap_or(true),
        ..Task::new(TaskId::new(&id.value).ok()?, action)
    })
}
