//! Answers as people read them. Pure: values and the time in, text out.

mod audit;
mod bound;
mod context;
mod explain;
mod history;
mod identity;
mod inbox;
mod matrix;
mod nodes;
mod policy;
mod room_event;
mod tokens;
mod verdict;
mod verification;
mod work;

use std::fmt::Write as _;

use cis_core::api::{NodeView, RunDetail, RunView, SessionView, TaskCounts, TaskNodeView, TaskView, WhyView};
use cis_core::event::{PromptKind, SessionState, TaskState};
use cis_core::ids::TimestampMs;
use cis_core::text;

use super::clean::{clean, clean_lines, in_one_line};
use super::style::{self, ATTENTION, BOLD, DIM};
use super::table::{Table, cell, plain};

pub(crate) use self::identity::identity;
pub(crate) use audit::audited;
pub(crate) use bound::bound_tasks;
pub(crate) use context::context;
pub(crate) use explain::explain;
pub(crate) use history::{actor, history, moment, recent_history};
pub(crate) use inbox::{inbox, inbox_details, inbox_item, screen};
pub(crate) use matrix::{matrix_account, matrix_login, matrix_room, matrix_rooms, recovered, warning};
pub(crate) use nodes::{room_node, room_nodes};
pub(crate) use policy::{policy, policy_check};
pub(crate) use room_event::matrix_event;
pub(crate) use tokens::tokens;
pub(crate) use verdict::verdict;
pub(crate) use verification::{emoji, standing};
pub(crate) use work::{groups, sum, times};

/// A value in a table is cut after so many characters, and all of a row's note after these.
const VALUE_CHARS_MAX: usize = 80;
const NOTE_CHARS_MAX: usize = 200;

/// Between two times, in words; never negative, as clocks are set.
pub(crate) fn span(from: TimestampMs, to: TimestampMs) -> String {
    text::duration(u64::try_from(to - from).unwrap_or(0))
}

fn took(started: Option<TimestampMs>, ended: Option<TimestampMs>, now: TimestampMs) -> String {
    started.map_or_else(String::new, |started| span(started, ended.unwrap_or(now)))
}

fn done_of(counts: &TaskCounts) -> String {
    let done: u32 = counts.iter().filter(|(state, _)| state.is_terminal()).map(|(_, count)| count).sum();
    format!("{done}/{}", counts.values().sum::<u32>())
}

/// `cis dag list`.
pub(crate) fn runs(runs: &[RunView], now: TimestampMs) -> String {
    if runs.is_empty() {
        return "No runs. `cis dag run FILE` starts one.\n".to_owned();
    }
    let mut table = Table::new(&["RUN", "DAG", "STATE", "DONE", "TOOK", "CREATED", "NOTE"]);
    for run in runs {
        table.row(vec![
            cell(run.id.short(), BOLD),
            plain(&run.dag),
            cell(run.state.as_str(), style::run(run.state)),
            plain(done_of(&run.counts)),
            plain(took(run.runs_since_ms(), run.ended_ms, now)),
            plain(span(run.created_ms, now) + " ago"),
            plain(run_note(run)),
        ]);
    }
    table.render()
}

fn run_note(run: &RunView) -> String {
    if run.cancelling && !run.state.is_terminal() {
        return "being cancelled".to_owned();
    }
    if let [first, rest @ ..] = run.approvals.as_slice() {
        let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
        return format!("waits for approval{more}: cis dag approve {} {first}", run.id.short());
    }
    run.detail.clone().unwrap_or_default()
}

/// `cis dag show`.
pub(crate) fn run(detail: &RunDetail, now: TimestampMs) -> String {
    let RunDetail { run, params, tasks } = detail;
    let (state, mut out) = (style::run(run.state), String::new());
    let _ = write!(out, "{BOLD}{}{BOLD:#} {state}{}{state:#}", clean(&run.dag), run.state);
    let took = took(run.runs_since_ms(), run.ended_ms, now);
    if !took.is_empty() {
        let _ = write!(out, " ({took})");
    }
    let note = run_note(run);
    if !note.is_empty() {
        let _ = write!(out, ": {}", clean(&note));
    }
    let _ = writeln!(out, "\n  run     {} {DIM}(short: {}){DIM:#}", run.id, run.id.short());
    let _ = writeln!(out, "  source  {} {DIM}({}){DIM:#}", clean(&run.source), run.mode);
    if let Some(room) = &run.room {
        let _ = writeln!(out, "  room    {}", clean(room));
    }
    let _ = writeln!(out, "  created {} ago", span(run.created_ms, now));
    for (name, value) in params {
        let value = cut(&value.to_string(), NOTE_CHARS_MAX);
        let _ = writeln!(out, "  param   {} = {}", clean(name), clean(&value));
    }
    out.push('\n');
    let with_agents = tasks.iter().any(|task| task.agent.is_some());
    let agent: &[&str] = if with_agents { &["AGENT"] } else { &[] };
    let with_nodes = tasks.iter().any(|task| task.node.is_some());
    let node: &[&str] = if with_nodes { &["NODE"] } else { &[] };
    let mut table = Table::new(&[&["TASK"], agent, node, &["STATE", "TRIES", "TOOK", "NOTE"]].concat());
    for task in tasks {
        let agent = with_agents.then(|| plain(task.agent.as_deref().unwrap_or_default()));
        let mut row = vec![plain(task.id.as_str())];
        row.extend(agent);
        let node = task.node.as_ref().map_or("", TaskNodeView::label);
        row.extend(with_nodes.then(|| plain(node)));
        row.extend([
            cell(task.state.as_str(), style::task(task.state)),
            plain(if task.attempts == 0 { String::new() } else { task.attempts.to_string() }),
            plain(self::took(task.started_ms, task.ended_ms, now)),
            plain(task_note(run, task)),
        ]);
        table.row(row);
    }
    out + table.render().as_str()
}

/// That a session waits for a human: for what, and the command by which they go on.
pub(crate) fn waits_for_human(kind: PromptKind, question: &str, item: &str, task: &str) -> String {
    let question = match question.lines().next() {
        Some(line) if !line.is_empty() => format!(": {line}"),
        _ => String::new(),
    };
    let answer = match kind {
        PromptKind::Password | PromptKind::Editor => format!("cis dag attach {task}"),
        // A pager takes keys alone: `cis answer` asks for no words there.
        PromptKind::Pager => format!("cis answer {item} --keys q"),
        _ => format!("cis answer {item}"),
    };
    format!("waits for a human ({kind}){question} ({answer})")
}

fn task_note(run: &RunView, task: &TaskView) -> String {
    if let Some(approval) = &task.approval {
        let (run, id) = (run.id.short(), &task.id);
        return format!("waits for approval: {} (cis dag approve {run} {id})", in_one_line(&approval.prompt));
    }
    if let Some(waits) = &task.waits {
        return waits_for_human(waits.kind, &waits.question, &waits.item.0, task.id.as_str());
    }
    if run.state.is_terminal() && !task.state.is_terminal() {
        // A rebuild of the store ended the run.
        return "its end is not recorded".to_owned();
    }
    if let Some(reason) = &task.reason {
        return reason.clone();
    }
    if let Some(said) = task.said.as_ref().filter(|_| task.state.is_active()) {
        let percent = said.percent.map(|percent| format!("{percent} % ")).unwrap_or_default();
        return percent + said.text.lines().next().unwrap_or_default();
    }
    match task.state {
        TaskState::Pending if !task.needs.is_empty() => {
            let needs: Vec<&str> = task.needs.iter().map(|need| need.as_str()).collect();
            format!("needs {}", needs.join(", "))
        }
        _ => outputs(task),
    }
}

/// The outputs of a task, as much of them as a row of a table holds.
fn outputs(task: &TaskView) -> String {
    if task.outputs_omitted {
        return "outputs are too large for this list".to_owned();
    }
    let one = |(name, value): (&String, &serde_json::Value)| {
        format!("{name}={}", cut(&value.to_string(), VALUE_CHARS_MAX))
    };
    cut(&task.outputs.iter().map(one).collect::<Vec<_>>().join(" "), NOTE_CHARS_MAX)
}

/// At most so many characters, and a sign where there were more; `--json` has all of them.
fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// `cis dag sessions`, `cis session list`.
pub(crate) fn sessions(sessions: &[SessionView], now: TimestampMs) -> String {
    if sessions.is_empty() {
        return "No live sessions.\n".to_owned();
    }
    let mut table = Table::new(&["SESSION", "TASK", "RUN", "STATE", "PID", "AGE", "COMMAND"]);
    for session in sessions {
        table.row(vec![
            cell(session.id.short(), BOLD),
            plain(session_name(session)),
            plain(session.run.map(|run| run.short()).unwrap_or_default()),
            cell(session_state(session), style::session(session.state)),
            plain(session.pid.map(|pid| pid.to_string()).unwrap_or_default()),
            plain(span(session.created_ms, session.ended_ms.unwrap_or(now))),
            plain(&session.command),
        ]);
    }
    table.render()
}

fn session_state(session: &SessionView) -> String {
    match (session.exit_code, &session.detail) {
        (_, Some(why)) if session.task.is_none() && session.state == SessionState::Terminated => {
            format!("{} ({why})", session.state)
        }
        (Some(code), _) if code != 0 => format!("{} ({code})", session.state),
        _ => session.state.to_string(),
    }
}

/// What a person calls it: its name, or its task with the try.
pub(crate) fn session_name(session: &SessionView) -> String {
    match (&session.name, &session.task, session.attempt) {
        (Some(name), _, _) => clean(name).into_owned(),
        (None, Some(task), Some(attempt)) if attempt > 1 => format!("{task}#{attempt}"),
        (None, Some(task), _) => task.to_string(),
        (None, None, _) => String::new(),
    }
}

/// `cis dag why`.
pub(crate) fn why(why: &WhyView) -> String {
    let (state, mut out) = (style::task(why.state), String::new());
    let _ = writeln!(out, "{BOLD}{}{BOLD:#} is {state}{}{state:#}", why.task, why.state);
    for sentence in &why.because {
        let _ = writeln!(out, "  {}", clean_lines(sentence));
    }
    if !why.try_this.is_empty() {
        let _ = writeln!(out, "You can:");
        for sentence in &why.try_this {
            let _ = writeln!(out, "  {}", clean_lines(sentence));
        }
    }
    out
}

/// `cis node status`.
pub(crate) fn node(node: &NodeView, now: TimestampMs) -> String {
    let mut out = String::new();
    match node.pid.filter(|_| node.running) {
        Some(pid) => {
            let up =
                node.started_ms.map(|started| format!(", up {}", span(started, now))).unwrap_or_default();
            let stays = if node.stays { "stays" } else { "ends when there is nothing to do" };
            let _ = writeln!(out, "{BOLD}node{BOLD:#} running, pid {pid}{up} ({stays})");
            if node.paused {
                let _ = writeln!(out, "  {ATTENTION}paused{ATTENTION:#}   no task starts: cis node resume");
            }
        }
        None => {
            let _ = writeln!(out, "{BOLD}node{BOLD:#} not running; commands that need one start it");
        }
    }
    let _ = writeln!(out, "  version  {}", clean(&node.version));
    let _ = writeln!(out, "  home     {}", clean(&node.home));
    let _ = writeln!(out, "  socket   {}", clean(&node.socket));
    if let Some(did) = &node.did {
        let _ = writeln!(out, "  identity {}", clean(did));
    }
    if node.running {
        if let Some(host) = node.host_pid {
            let _ = writeln!(out, "  host     pid {host}");
        }
        let _ = writeln!(out, "  runs     {} open", node.open_runs);
        let _ = writeln!(out, "  sessions {} live, at most {}", node.live_sessions, node.max_sessions);
        if let Some(remote) = &node.remote {
            let _ = writeln!(
                out,
                "  url      {}, fingerprint {}",
                clean(&remote.url),
                clean(&remote.fingerprint)
            );
        }
        for room in &node.rooms {
            let _ = writeln!(out, "  room     {} is heard", clean(room));
        }
        for room in &node.observes {
            let _ = writeln!(out, "  room     {} is read", clean(room));
        }
        if node.outbox > 0 {
            let (s, verb) = if node.outbox == 1 { ("", "waits") } else { ("s", "wait") };
            let _ = writeln!(out, "  outbox   {} message{s} {verb} to be sent", node.outbox);
        }
    }
    for warning in &node.warnings {
        let _ = writeln!(out, "{ATTENTION}warning{ATTENTION:#}: {}", clean(warning));
    }
    out
}

#[cfg(test)]
mod tests;
