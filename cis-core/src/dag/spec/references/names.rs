//! Names in texts: that parameters, tasks and outputs are there, come before, and have the type that
//! their place wants.

use std::ops::Range;

use indexmap::IndexMap;

use super::super::super::diagnose::{Mistake, listed, nearest, quoted};
use super::super::super::graph::Edges;
use super::super::super::model::{Param, ValueType};
use super::super::super::template::{self, Checked, Compared, ExprError, Name, Place, Side, Site};
use super::super::action::{DraftAction, DraftPrompt};
use super::super::extras::Items;
use super::super::head::Head;
use super::super::offsets;
use super::super::read::{Placed, Reader};
use super::super::task::Draft;
use super::{Numbers, reach};

/// What a text of a task says of another task.
pub(super) struct Use<'a> {
    user: u32,
    task: String,
    /// None: its log.
    output: Option<String>,
    span: Range<usize>,
    place: Place<'a>,
    guarded: bool,
    whole: bool,
}

/// What the texts of all tasks say of other tasks.
#[derive(Default)]
pub(super) struct Uses<'a> {
    names: Vec<Use<'a>>,
    /// Where each is in the file.
    compared: Vec<(Range<usize>, Compared)>,
}

/// The tasks.
pub(super) struct Known<'a> {
    pub(super) drafts: &'a [Draft],
    pub(super) numbers: &'a Numbers<'a>,
    pub(super) params: &'a IndexMap<String, Param>,
    /// Sorted.
    pub(super) handlers: &'a [u32],
}

/// Checks all texts for what can be said without looking at other tasks; the rest is returned.
pub(super) fn uses<'d>(reader: &mut Reader, text: &str, head: &Head, drafts: &'d [Draft]) -> Uses<'d> {
    let mut uses = Uses::default();
    let mut compiled = template::Compiled::default();
    for (draft, user) in drafts.iter().zip(0u32..) {
        each_text(draft, |placed, place| {
            let braces = matches!(place, Place::Start(_) | Place::Question | Place::Prompt);
            if braces && !template::has_template(&placed.value) && !template::has_block(&placed.value) {
                return;
            }
            let Checked { used, compared, errors } =
                template::check(&placed.value, place, &mut compiled, reader.is_accepted);
            let at = |range: &Range<usize>| offsets::in_file(text, &placed.span, &placed.value, range);
            for ExprError { range, message, help, .. } in errors {
                let mut mistake = Mistake::new(at(&range), message);
                if let Some(help) = help {
                    mistake = mistake.help(help);
                }
                reader.wrong(mistake);
            }
            for template::Used { range, name, guarded, whole } in used {
                let span = at(&range);
                let (task, output) = match name {
                    Name::Output { task, output } => (task, Some(output)),
                    Name::Tail(task) => (task, None),
                    other => {
                        own_name(reader, &other, span, (place, whole), draft, head);
                        continue;
                    }
                };
                uses.names.push(Use { user, task, output, span, place, guarded, whole });
            }
            for compared in compared {
                uses.compared.push((at(&compared.range), compared));
            }
        });
    }
    uses
}

fn each_text<'d>(draft: &'d Draft, mut use_it: impl FnMut(&'d Placed<String>, Place<'d>)) {
    let plain = Place::Start(Site::Plain);
    let texts_of = |action: &'d Option<DraftAction>,
                    use_it: &mut dyn FnMut(&'d Placed<String>, Place<'d>)| match action {
        Some(DraftAction::Command(argv)) => {
            let sites = template::argument_sites(argv.iter().map(|argument| argument.value.as_str()));
            argv.iter().zip(sites).for_each(|(argument, site)| use_it(argument, Place::Start(site)));
        }
        Some(DraftAction::Script(script)) => use_it(script, Place::Start(Site::Script(draft.shell()))),
        Some(DraftAction::Agent { prompt: DraftPrompt::Text(text) | DraftPrompt::File(text), .. }) => {
            use_it(text, plain);
        }
        None => {}
    };
    texts_of(&draft.action, &mut use_it);
    draft.layer.env.values().chain(&draft.layer.cwd).for_each(|placed| use_it(placed, plain));
    let blocked = &draft.layer.on_blocked;
    let said = blocked.notify.iter().flatten().chain(&blocked.default);
    said.for_each(|placed| use_it(placed, Place::Prompt));
    texts_of(&blocked.run, &mut use_it);
    let Some(extras) = &draft.extras else { return };
    if let Some(condition) = &extras.condition {
        use_it(condition, Place::Condition);
    }
    if let Some(Placed { value: Items::Expression(expression), .. }) = &extras.foreach {
        use_it(expression, Place::List);
    }
    if let Some(approval) = &extras.approval {
        use_it(&approval.prompt, Place::Question);
    }
    if let Some(key) = extras.cache.as_ref().and_then(|cache| cache.key.as_ref()) {
        use_it(key, plain);
    }
    extras.artifacts.iter().for_each(|glob| use_it(glob, plain));
}

/// A name that is no other task's.
fn own_name(
    reader: &mut Reader,
    name: &Name,
    span: Range<usize>,
    (place, whole): (Place<'_>, bool),
    draft: &Draft,
    head: &Head,
) {
    let ty = match name {
        Name::Param(name) => match head.dag.params.get(name) {
            Some(param) => param.ty,
            None => return reader.wrong(unknown_param(name, span, head)),
        },
        Name::Item => {
            if matches!(place, Place::Start(_) | Place::Prompt) && !has_items(draft) {
                reader.wrong(
                    Mistake::new(span, "this task has no `item`").help("add foreach = [\"a\", \"b\"] to it"),
                );
            }
            return;
        }
        Name::RunId | Name::DagId | Name::TaskId => ValueType::String,
        _ => return,
    };
    wrong_type(reader, span, ty, (place, whole));
}

fn wrong_type(reader: &mut Reader, span: Range<usize>, ty: ValueType, (place, whole): (Place<'_>, bool)) {
    if whole && let Some(message) = template::mismatch(ty, place) {
        reader.wrong(Mistake::new(span, message));
    }
}

fn has_items(draft: &Draft) -> bool {
    draft.extras.as_ref().is_some_and(|extras| extras.foreach.is_some())
}

fn unknown_param(name: &str, span: Range<usize>, head: &Head) -> Mistake {
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

/// Checks what texts say of other tasks.
pub(super) fn check(
    reader: &mut Reader,
    known: &Known<'_>,
    uses: &Uses<'_>,
    graph: Option<&(Edges, Vec<u32>)>,
) {
    let mut pairs = Vec::new();
    let mut ordinary = Vec::new();
    if !reader.is_accepted {
        for (span, compared) in &uses.compared {
            comparable(reader, known, span, compared);
        }
    }
    for used in &uses.names {
        let Some(source) = known.numbers.get(used.task.as_str()).copied() else {
            reader.wrong(unknown_task(used, known, reader.mistakes.is_full()));
            continue;
        };
        if source != used.user {
            declared(reader, used, &known.drafts[source as usize]);
        }
        if known.handlers.binary_search(&used.user).is_err() || source == used.user {
            pairs.push((source, used.user));
            ordinary.push(used);
        } else if !used.guarded {
            reader.wrong(
                Mistake::new(used.span.clone(), "the other task may not have run")
                    .label("this task is named in [dag.on]")
                    .help("add what holds then: … | default(\"none\")"),
            );
        }
    }
    let Some((edges, order)) = graph else { return };
    let after = reach::all_after(edges, order, &pairs);
    for (used, _) in ordinary.into_iter().zip(after).filter(|(_, is_after)| !is_after) {
        reader.wrong(not_needed(used, known.drafts));
    }
}

fn unknown_task(used: &Use<'_>, known: &Known<'_>, is_full: bool) -> Mistake {
    let mistake = Mistake::new(used.span.clone(), format!("no task has the id {}", quoted(&used.task)));
    match nearest(&used.task, known.numbers.keys().copied().filter(|_| !is_full)) {
        Some(near) => mistake.label(format!("did you mean `tasks.{near}`?")),
        None => mistake,
    }
}

/// That two values can be compared, as far as the file says their types.
fn comparable(reader: &mut Reader, known: &Known<'_>, span: &Range<usize>, compared: &Compared) {
    let type_of = |side: &Side| match side {
        Side::Type(ty) => Some(*ty),
        Side::Name(Name::Param(name)) => known.params.get(name).map(|param| param.ty),
        Side::Name(Name::Output { task, output }) => {
            let source = &known.drafts[known.numbers.get(task.as_str()).copied()? as usize];
            let ty = source.outputs.get(output).copied()?;
            Some(if has_items(source) { ValueType::List } else { ty })
        }
        Side::Name(Name::RunId | Name::DagId | Name::TaskId) => Some(ValueType::String),
        Side::Name(Name::Attempt) => Some(ValueType::Integer),
        Side::Name(Name::Item | Name::Tail(_)) => None,
    };
    let [left, right] = &compared.sides;
    if let (Some(left), Some(right)) = (type_of(left), type_of(right))
        && let Some((message, help)) = template::incomparable(&compared.operator, left, right)
    {
        reader.wrong(Mistake::new(span.clone(), message).help(help));
    }
}

/// That the other task has what is named.
fn declared(reader: &mut Reader, used: &Use<'_>, source: &Draft) {
    let Some(output) = &used.output else {
        if has_items(source) {
            let title = format!("task {} has items, and each has a log of its own", quoted(&used.task));
            reader.wrong(Mistake::new(used.span.clone(), title).help(format!(
                "use an output: tasks.{}.outputs.NAME is the list of its items' values",
                used.task
            )));
        }
        return;
    };
    match source.outputs.get(output) {
        // Of a task with items it is the list of their values.
        Some(_) if has_items(source) => {
            wrong_type(reader, used.span.clone(), ValueType::List, (used.place, used.whole));
        }
        Some(ty) => wrong_type(reader, used.span.clone(), *ty, (used.place, used.whole)),
        None => reader.wrong(undeclared(used, output, source)),
    }
}

fn undeclared(used: &Use<'_>, output: &str, source: &Draft) -> Mistake {
    let (task, span) = (&used.task, used.span.clone());
    let title = format!("task {} declares no output {}", quoted(task), quoted(output));
    let mistake = Mistake::new(span, title);
    match nearest(output, source.outputs.keys().map(String::as_str)) {
        Some(near) => mistake.label(format!("did you mean `tasks.{task}.outputs.{near}`?")),
        None => {
            mistake.help(format!("add outputs = {{ {output} = {{ type = \"string\" }} }} to task `{task}`"))
        }
    }
}

fn not_needed(used: &Use<'_>, drafts: &[Draft]) -> Mistake {
    let user = &drafts[used.user as usize];
    let id = user.id.as_ref().map_or("?", |id| id.value.as_str());
    let what = if used.output.is_some() { "outputs" } else { "output" };
    if id == used.task {
        return Mistake::new(used.span.clone(), format!("task {} cannot use its own {what}", quoted(id)));
    }
    let mistake =
        Mistake::new(used.span.clone(), format!("task {} does not come after `{}`", quoted(id), used.task))
            .label(format!("its {what} may not be there yet"));
    if user.needs.is_empty() {
        mistake.help(format!("add needs = [\"{}\"] to task `{id}`", used.task))
    } else {
        mistake.help(format!("add \"{}\" to the needs of task `{id}`", used.task))
    }
}
