//! What a task gets of those that it needs: values for its templates, and its [`TaskContext`].
//!
//! Reads runs, blobs and logs; starts nothing. All that one task gets is bounded: what is over is left
//! out, and the context says so.

mod hidden;
mod upstream;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::Value;

use super::logs;
use cis_core::api::{NeedContext, TaskContext};
use cis_core::dag::template::SecretValues;
use cis_core::dag::{Task, template};
use cis_core::event::{EndReason, UploadedLog};
use cis_core::ids::{AttemptId, TaskId};
use cis_core::policy::redact::{SECRET_BYTES_MAX, SECRETS_BYTES_MAX};
use cis_core::scheduler::{Ended, Output, Run, TaskEntry};
use cis_local::Home;
use cis_store::Blobs;

use self::upstream::{is_hidden, item_value, needs, real};

/// The end of a log that a task gets, bytes.
pub(super) const TAIL_BYTES: usize = 64 << 10;

/// The ends of all logs in one context together, bytes.
const TAILS_BYTES_MAX: usize = 1 << 20;

/// So many logs are read for one context.
const TAILS_MAX: usize = 256;

/// Of a task with `foreach` the logs of its last items are read, so many at most.
const ITEMS_MAX: usize = 64;

/// Outputs and names of artifacts in one context together, bytes.
const VALUES_BYTES_MAX: usize = 4 << 20;

/// Values that hold secrets, which nobody asked for by name, in one context: they leave most of what a
/// redactor takes to the task's own secrets, bytes.
const HIDDEN_BYTES_MAX: usize = SECRETS_BYTES_MAX / 4;

/// Values for the templates of a task, and what among them must not be seen.
pub(super) struct Given {
    pub(super) outputs: BTreeMap<TaskId, BTreeMap<String, Value>>,
    pub(super) tails: BTreeMap<TaskId, String>,
    pub(super) item: Option<Value>,
    pub(super) sensitive: Vec<String>,
    /// Which of the values above hold a secret.
    pub(super) secret: SecretValues,
}

/// Where values and logs are read, and for whom.
#[derive(Clone, Copy)]
struct Places<'a> {
    home: &'a Home,
    blobs: &'a Blobs,
    /// This node coordinates the run.
    is_own: bool,
}

/// What the texts of `task` refer to, as far as it exists.
///
/// # Errors
/// The real value of an output cannot be read.
pub(super) fn given(run: &Run, task: &Task, home: &Home, blobs: &Blobs) -> Result<Given, String> {
    let mut given = Given {
        outputs: BTreeMap::new(),
        tails: BTreeMap::new(),
        item: None,
        sensitive: Vec::new(),
        secret: SecretValues::default(),
    };
    for (need, name) in template::referenced_outputs(task) {
        if let Some(output) = run.output(&need, &name) {
            let value = real(&output, blobs)?;
            if is_hidden(&output) {
                hidden::parts(&value, &output.redacted(), &mut given.sensitive);
                given.secret.outputs.insert((need.clone(), name.clone()));
            }
            given.outputs.entry(need).or_default().insert(name, value);
        }
    }
    for need in template::referenced_tails(task) {
        let places = Places { home, blobs, is_own: true };
        if let Some(tail) = tail_of(run, &need, places, TAIL_BYTES).flatten() {
            given.tails.insert(need, tail);
        }
    }
    if let Some(item) = &task.item {
        let value = item_value(run, item, blobs)?;
        hidden::parts(&value, &item.value, &mut given.sensitive);
        given.secret.item = value != item.value;
        given.item = Some(value);
    }
    Ok(given)
}

/// Whose values a context has.
pub(super) enum Values<'a> {
    /// For the task itself; what must not be seen is added to the list.
    Real(&'a mut Vec<String>),
    /// For whoever looks: secrets replaced.
    Shown,
}

/// The context of `task`, of a run that this node coordinates, as it is now; none: it needs nothing.
pub(super) fn context(
    run: &Run,
    task: &Task,
    (home, blobs): (&Home, &Blobs),
    values: Values<'_>,
) -> Option<TaskContext> {
    context_of(run, task, Places { home, blobs, is_own: true }, values)
}

fn context_of(run: &Run, task: &Task, places: Places<'_>, mut values: Values<'_>) -> Option<TaskContext> {
    let needs = needs(run, task);
    if needs.is_empty() {
        return None;
    }
    let mut left =
        Left { values: VALUES_BYTES_MAX, hidden: HIDDEN_BYTES_MAX, tails: TAILS_MAX, log: TAILS_BYTES_MAX };
    let mut all = BTreeMap::new();
    for need in needs {
        let Some((_, entry)) = run.task(need) else { continue };
        let mut of = NeedContext {
            state: entry.state,
            outputs: BTreeMap::new(),
            output: String::new(),
            artifacts: Vec::new(),
            incomplete: false,
        };
        for name in run.output_names(need) {
            if let Some(output) = run.output(need, name) {
                add_output(&mut of, name, &output, places.blobs, &mut values, &mut left);
            }
        }
        let items = run.items(need).unwrap_or_default();
        let of_items = items.iter().flat_map(|item| run.entry(*item).artifacts());
        for artifact in entry.artifacts().iter().chain(of_items) {
            if left.take_value(artifact.path.len()) {
                of.artifacts.push(artifact.path.clone());
            } else {
                of.incomplete = true;
            }
        }
        add_tail(&mut of, run, need, places, &mut left);
        all.insert(need.clone(), of);
    }
    let (run_id, dag) = (run.id().to_string(), run.facts().dag.clone());
    Some(TaskContext { run: run_id, dag, task: task.id.clone(), needs: all })
}

/// The context of `task` as people and programs see it: secrets replaced. `is_own`: this node coordinates the run.
pub(super) fn shown(run: &Run, task: &Task, (home, blobs): (&Home, &Blobs), is_own: bool) -> TaskContext {
    let places = Places { home, blobs, is_own };
    context_of(run, task, places, Values::Shown).unwrap_or_else(|| TaskContext {
        run: run.id().to_string(),
        dag: run.facts().dag.clone(),
        task: task.id.clone(),
        needs: BTreeMap::new(),
    })
}

/// What there is still room for.
struct Left {
    values: usize,
    hidden: usize,
    tails: usize,
    log: usize,
}

impl Left {
    fn take_value(&mut self, bytes: usize) -> bool {
        let left = self.values.checked_sub(bytes);
        self.values = left.unwrap_or(self.values);
        left.is_some()
    }
}

fn add_output(
    of: &mut NeedContext,
    name: &str,
    output: &Output<'_>,
    blobs: &Blobs,
    values: &mut Values<'_>,
    left: &mut Left,
) {
    let shown = output.redacted();
    let value = match values {
        Values::Real(sensitive) if is_hidden(output) => match real(output, blobs) {
            Ok(real) if hide(&real, &shown, sensitive, left) => real,
            _ => {
                of.incomplete = true;
                shown
            }
        },
        _ => shown,
    };
    if left.take_value(size_of(&value)) {
        of.outputs.insert(name.to_owned(), value);
    } else {
        of.incomplete = true;
    }
}

/// About how many bytes its JSON has.
fn size_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(_) | Value::Object(_) => value.to_string().len(),
        _ => 8,
    }
}

/// Adds what must not be seen of a value, where a redactor takes it.
fn hide(real: &Value, shown: &Value, sensitive: &mut Vec<String>, left: &mut Left) -> bool {
    let mut parts = Vec::new();
    hidden::parts(real, shown, &mut parts);
    let bytes: usize = parts.iter().map(String::len).sum();
    if bytes > left.hidden || parts.iter().any(|part| part.len() > SECRET_BYTES_MAX) {
        return false;
    }
    left.hidden -= bytes;
    sensitive.append(&mut parts);
    true
}

fn add_tail(of: &mut NeedContext, run: &Run, need: &TaskId, places: Places<'_>, left: &mut Left) {
    let Some((_, entry)) = run.task(need) else { return };
    let logs = log_count(run, need, entry, places.is_own);
    if logs == 0 {
        return;
    }
    if left.tails < logs || left.log < TAIL_BYTES {
        of.incomplete = true;
        return;
    }
    left.tails -= logs;
    match tail_of(run, need, places, TAIL_BYTES) {
        Some(Some(tail)) => {
            left.log = left.log.saturating_sub(tail.len());
            of.output = tail;
        }
        Some(None) => of.incomplete = true,
        None => {}
    }
}

/// How many logs the end of a task's output is read from.
fn log_count(run: &Run, task: &TaskId, entry: &TaskEntry, is_own: bool) -> usize {
    match run.items(task) {
        Some(items) => items.len().min(ITEMS_MAX),
        None => usize::from(has_words(entry) || log_of(run, task, entry, is_own).is_some()),
    }
}

/// It handed in its result in words, which stand for its log.
fn has_words(entry: &TaskEntry) -> bool {
    entry.last.as_ref().is_some_and(|last| last.handed_in.is_some())
}

/// The end of what a task wrote, as text. Outer none: it did not run; inner none: it must not be shown.
fn tail_of(run: &Run, task: &TaskId, places: Places<'_>, bytes: usize) -> Option<Option<String>> {
    let (spec, entry) = run.task(task)?;
    let Some(items) = run.items(task) else {
        return own_tail(run, spec, entry, places, bytes);
    };
    // The last items, as many as there is room for.
    let (mut parts, mut left) = (Vec::new(), bytes);
    for item in items.iter().rev().take(ITEMS_MAX) {
        if let Some(tail) = own_tail(run, run.spec(*item), run.entry(*item), places, left).flatten() {
            left = left.saturating_sub(tail.len());
            parts.push(tail);
        }
        if left == 0 {
            break;
        }
    }
    parts.reverse();
    Some(Some(parts.concat()))
}

fn own_tail(
    run: &Run,
    spec: &Task,
    entry: &TaskEntry,
    Places { home, blobs, is_own }: Places<'_>,
    bytes: usize,
) -> Option<Option<String>> {
    let last = entry.last.as_ref()?;
    if let Some(text) = &last.handed_in {
        return Some(Some(logs::end_of(text, bytes).to_owned()));
    }
    let Some((attempt, total)) = log_of(run, &spec.id, entry, is_own) else {
        return Some(Some(String::new()));
    };
    let log = home.attempt_log(attempt.run, &attempt.task, attempt.number);
    if let Some(copy) = copy_of(last, &log) {
        let kept = logs::kept_copy(blobs, copy).ok().flatten();
        return Some(kept.map(|copy| logs::tail_of_copy(&copy, bytes)));
    }
    // A cached result is one of another run of the same task.
    let declares =
        if attempt.run == run.id() { !run.secret_sources().is_empty() } else { !spec.secrets.is_empty() };
    Some(logs::tail(&log, total, bytes, || declares))
}

/// The copy of the log of an attempt that another node uploaded. `None`: the log is here, or there is no copy.
fn copy_of<'a>(last: &'a Ended, log: &Path) -> Option<&'a UploadedLog> {
    last.log.as_deref().filter(|_| fs::symlink_metadata(log).is_err())
}

/// Logs on other nodes to whose ends the texts of a task refer, as far as they are not here. This node coordinates the run.
///
/// # Errors
/// The node of a log did not upload it.
pub(super) fn logs_elsewhere(
    run: &Run,
    task: &Task,
    (home, blobs): (&Home, &Blobs),
) -> Result<Vec<UploadedLog>, String> {
    let mut wanted = Vec::new();
    for need in template::referenced_tails(task) {
        let Some((spec, entry)) = run.task(&need) else { continue };
        let Some(last) = entry.last.as_ref().filter(|last| last.handed_in.is_none()) else { continue };
        let Some((attempt, _)) = log_of(run, &spec.id, entry, true) else { continue };
        let log = home.attempt_log(attempt.run, &attempt.task, attempt.number);
        match copy_of(last, &log) {
            Some(copy) if matches!(logs::kept_copy(blobs, copy), Ok(Some(_))) => {}
            Some(copy) => wanted.push(copy.clone()),
            None if fs::symlink_metadata(&log).is_ok() => {}
            // The attempt that made it wrote nothing, or its log is not kept any more.
            None if matches!(entry.end, Some(EndReason::CacheHit { .. })) => {}
            None => {
                return Err(format!(
                    "the output of task `{}` is on another node, which did not upload its log (`logs = \"keep\"`, or a lost upload)",
                    spec.id
                ));
            }
        }
    }
    Ok(wanted)
}

/// The attempt whose log it is, and how much it wrote where that is known: of a cached result, the
/// attempt that made it. None: it wrote nothing. `is_own`: this node coordinates the run.
fn log_of(run: &Run, task: &TaskId, entry: &TaskEntry, is_own: bool) -> Option<(AttemptId, Option<u64>)> {
    let last = entry.last.as_deref();
    let of_this_run = |last: &Ended| AttemptId { run: run.id(), task: task.clone(), number: last.attempt };
    match &entry.end {
        Some(EndReason::CacheHit { from }) if is_own && run.is_recorded_by_owner(entry) => {
            Some((from.parse().ok()?, None))
        }
        // Another node may name an attempt of any run that has logs here. Only what it uploaded counts.
        Some(EndReason::CacheHit { .. }) => {
            last.filter(|last| last.log.is_some()).map(|last| (of_this_run(last), None))
        }
        _ => last.filter(|last| last.log_bytes > 0).map(|last| (of_this_run(last), Some(last.log_bytes))),
    }
}

/// Writes the file behind `CIS_CONTEXT`: new, and ours alone.
pub(super) fn write_file(path: &Path, context: &TaskContext) -> io::Result<()> {
    let text = serde_json::to_vec(context).map_err(io::Error::other)?;
    let open = || fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match open() {
        // Of a start that a node did not live to see.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()?
        }
        opened => opened?,
    };
    file.write_all(&text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use cis_core::dag::{Action, Dag};
    use cis_core::event::{
        AttemptOutcome, AttemptResult, EventBody, ExecutionMode, GrantRecord, QueueReason, RunCreated,
        TaskChange, TaskState,
    };
    use cis_core::ids::{BlobId, NodeDid, RunId, SessionId};

    fn did(name: &str) -> NodeDid {
        NodeDid(format!("did:key:{name}"))
    }

    fn taken_over(owner: &str, epoch: u32) -> EventBody {
        EventBody::RunTakenOver { owner: did(owner), epoch, cut: 1, forced: false, voted: false, lost: false }
    }

    /// A run of node `a` with one task, which ended with a cached result of another run.
    fn cached(log: Option<UploadedLog>) -> (Run, TaskId, AttemptId) {
        let (id, task) = (RunId::from_parts(1, 1), TaskId::new("t").unwrap());
        let from = AttemptId { run: RunId::from_parts(1, 2), task: task.clone(), number: 3 };
        let dag = Dag {
            id: "d".to_owned(),
            tasks: vec![Task::new(task.clone(), Action::Command(vec!["true".to_owned()]))],
            ..Dag::default()
        };
        let (mode, room) = (ExecutionMode::Matrix, Some("!r:x".to_owned()));
        let facts = RunCreated { mode, room, ..RunCreated::sample("d", 1, did("a")) };
        let session = SessionId::from_parts(1, 1);
        let queued = TaskChange {
            task: task.clone(),
            state: TaskState::Queued,
            end: None,
            queued: Some(QueueReason::Slot),
        };
        let grant = GrantRecord {
            task: task.clone(),
            attempt: 1,
            fence: 1,
            session,
            node: did("a"),
            host: None,
            lease_ms: None,
            ahead: false,
        };
        let result = AttemptResult {
            task: task.clone(),
            attempt: 1,
            fence: 1,
            session,
            outcome: AttemptOutcome::Succeeded,
            exit: None,
            started_ms: None,
            ended_ms: 1,
            outputs: BTreeMap::new(),
            artifacts: Vec::new(),
            files: None,
            cached: Some(from.to_string()),
            not_cached: None,
            cache_key: None,
            log_bytes: 0,
            lost_output: None,
            log,
            counts: false,
            state: TaskState::Completed,
            end: Some(EndReason::CacheHit { from: from.to_string() }),
            queued: None,
        };
        let mut run = Run::new(id, &facts, Arc::new(dag), 0).unwrap();
        for body in [
            EventBody::RunStarted {},
            EventBody::TaskStatus { changes: vec![queued] },
            EventBody::TaskAssigned(grant),
            EventBody::TaskResult(Box::new(result)),
        ] {
            run.apply(&body, 1).unwrap();
        }
        (run, task, from)
    }

    fn log_in(run: &Run, task: &TaskId, is_own: bool) -> Option<AttemptId> {
        let (_, entry) = run.task(task).unwrap();
        log_of(run, task, entry, is_own).map(|(attempt, _)| attempt)
    }

    #[test]
    fn a_cached_result_names_a_log_of_this_node_only_if_this_node_recorded_it() {
        let (mut run, task, from) = cached(None);
        assert_eq!(log_in(&run, &task, true), Some(from.clone()));
        assert_eq!(log_in(&run, &task, false), None, "another node coordinates the run");
        run.apply(&taken_over("b", 1), 2).unwrap();
        assert_eq!(log_in(&run, &task, true), None, "another node recorded the result");
        run.apply(&taken_over("a", 2), 3).unwrap();
        assert_eq!(log_in(&run, &task, true), Some(from), "it is back where it was recorded");
    }

    #[test]
    fn of_a_result_that_another_node_recorded_the_uploaded_log_counts() {
        let (sha256, media) = (BlobId("00".repeat(32)), Value::Null);
        let uploaded = UploadedLog { sha256, size: 1, start: 0, of: 1, media };
        let (mut run, task, _) = cached(Some(uploaded));
        run.apply(&taken_over("b", 1), 2).unwrap();
        let own = AttemptId { run: run.id(), task: task.clone(), number: 1 };
        assert_eq!(log_in(&run, &task, true), Some(own));
    }
}
