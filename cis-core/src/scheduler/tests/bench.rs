//! Builders, and a driver that writes down what the machine says in short lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{FromWorker, Refusal, Report};
use crate::dag::{Action, Dag, RetryPolicy, Task, Trigger};
use crate::event::{
    AttemptOutcome, EndReason, EventBody, EventDraft, ExitStatus, FailureCause, OutputRecord, PromptKind,
    PromptRecord, QueueReason, RunCreated, SessionState, TaskChange,
};
use crate::ids::{AttemptId, BlobId, HostInstance, InputId, NodeDid, RunId, SessionId, TaskId, TimestampMs};
use crate::scheduler::{Effect, IdSource, Input, InputKind, Machine, Rejected, Run};

/// When every test begins.
pub(super) const START_MS: TimestampMs = 1_000_000;

pub(super) fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

/// A task `NAME`, or `NAME: NEED NEED`.
pub(super) fn task(text: &str) -> Task {
    let (name, needs) = text.split_once(':').unwrap_or((text, ""));
    Task {
        needs: needs.split_whitespace().map(id).collect(),
        tty: false,
        grace_ms: 5000,
        ..Task::new(id(name), Action::Command(vec!["true".into()]))
    }
}

pub(super) fn when(trigger: Trigger, text: &str) -> Task {
    Task { trigger, ..task(text) }
}

pub(super) fn retried(count: u32, text: &str) -> Task {
    Task { retries: RetryPolicy { count, jitter: false, ..RetryPolicy::default() }, ..task(text) }
}

pub(super) fn dag(tasks: Vec<Task>) -> Dag {
    Dag { id: "test".into(), tasks, ..Dag::default() }
}

pub(super) fn run_id(n: u128) -> RunId {
    RunId::from_parts(1, n)
}

pub(super) fn host(n: u128) -> HostInstance {
    HostInstance::from_parts(2, n)
}

pub(super) fn node() -> NodeDid {
    NodeDid("did:key:here".into())
}

pub(super) fn facts(dag: &Dag, max_parallel: u32) -> RunCreated {
    RunCreated { max_parallel, ..RunCreated::sample(&dag.id, dag.tasks.len(), node()) }
}

struct Count(u128);

impl IdSource for Count {
    fn session_id(&mut self, _: TimestampMs) -> SessionId {
        self.0 += 1;
        session(self.0)
    }
}

pub(super) fn session(n: u128) -> SessionId {
    SessionId::from_parts(3, n)
}

pub(super) fn exit(code: i32) -> AttemptOutcome {
    match code {
        0 => AttemptOutcome::Succeeded,
        _ => AttemptOutcome::Failed { cause: FailureCause::Exit { status: ExitStatus::Code(code) } },
    }
}

pub(super) fn report(outcome: AttemptOutcome) -> Report {
    Report::bare(outcome, None, 0)
}

fn plain(value: serde_json::Value) -> OutputRecord {
    OutputRecord { value, hash: "00".into(), blob: None, hidden: false }
}

/// A machine, a clock that the test moves, and all events so far.
pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) now: TimestampMs,
    ids: Count,
    pub(super) dags: BTreeMap<RunId, Arc<Dag>>,
    pub(super) stored: Vec<EventDraft>,
    fresh: Vec<String>,
}

impl Bench {
    pub(super) fn new(max_sessions: u32) -> Self {
        let mut machine = Machine::new(node(), max_sessions);
        machine.set_host(Some(host(1)));
        let (dags, stored, fresh) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { machine, now: START_MS, ids: Count(0), dags, stored, fresh }
    }

    /// Run 1 of `tasks`, started, with `max_parallel` 10. What it said is read.
    pub(super) fn started(tasks: Vec<Task>) -> Self {
        let mut bench = Self::new(100);
        bench.submit(1, dag(tasks), 10);
        bench
    }

    pub(super) fn submit(&mut self, n: u128, dag: Dag, max_parallel: u32) -> Vec<String> {
        let (facts, dag, run) = (Box::new(facts(&dag, max_parallel)), Arc::new(dag), run_id(n));
        self.does(InputKind::Submit { run, facts, dag, start: true })
    }

    pub(super) fn submission(&self, n: u128, dag: Dag) -> InputKind {
        InputKind::Submit {
            run: run_id(n),
            facts: Box::new(facts(&dag, 10)),
            dag: Arc::new(dag),
            start: true,
        }
    }

    /// The machine dies; another one folds what is stored.
    pub(super) fn restart(&mut self) {
        let runs: Vec<Run> = self.dags.keys().map(|run| self.folded(*run)).collect();
        self.machine = Machine::new(node(), 100);
        self.machine.set_host(Some(host(1)));
        runs.into_iter().for_each(|run| self.machine.restore(run));
    }

    /// Gives the input, which must be taken, and returns what was said: events, then effects.
    pub(super) fn does(&mut self, kind: InputKind) -> Vec<String> {
        if let InputKind::Submit { run, dag, .. } = &kind {
            self.dags.insert(*run, Arc::clone(dag));
        }
        let said = self.tries(kind).unwrap();
        self.check();
        said
    }

    pub(super) fn tries(&mut self, kind: InputKind) -> Result<Vec<String>, Rejected> {
        self.gives(Input::internal(kind))
    }

    pub(super) fn gives(&mut self, input: Input) -> Result<Vec<String>, Rejected> {
        let taken = self.machine.handle(input, self.now, &mut self.ids).and(self.machine.take_failure());
        for event in self.machine.drain_events() {
            self.fresh.push(brief(&event.body));
            self.stored.push(event);
        }
        self.fresh.extend(self.machine.drain_effects().map(|effect| brief_effect(&effect)));
        let said = std::mem::take(&mut self.fresh);
        taken.map(|()| said)
    }

    /// A rejected input: the reason, and what was said nevertheless.
    pub(super) fn refused(&mut self, kind: InputKind) -> (Rejected, Vec<String>) {
        let rejected = self.machine.handle(Input::internal(kind), self.now, &mut self.ids).unwrap_err();
        self.machine.take_failure().unwrap();
        assert_eq!(self.machine.drain_events().count(), 0, "a rejected input makes no event");
        (rejected, self.machine.drain_effects().map(|effect| brief_effect(&effect)).collect())
    }

    /// Folding all events gives the machine's runs, and the indexes fit.
    pub(super) fn check(&self) {
        for run in self.dags.keys() {
            let folded = self.folded(*run);
            assert_eq!(Some(&folded), self.machine.run(run));
            folded.audit().unwrap();
            self.machine.run(run).unwrap().audit().unwrap();
        }
    }

    pub(super) fn folded(&self, run: RunId) -> Run {
        let mut folded: Option<Run> = None;
        for event in self.stored.iter().filter(|event| event.run == Some(run)) {
            match (&mut folded, &event.body) {
                (None, EventBody::RunCreated(facts)) => {
                    folded = Some(Run::new(run, facts, Arc::clone(&self.dags[&run]), event.at_ms).unwrap());
                }
                (Some(run), body) => run.apply(body, event.at_ms).unwrap(),
                (None, body) => panic!("{} before the run was created", body.type_name()),
            }
        }
        folded.unwrap()
    }

    pub(super) fn run(&self) -> &Run {
        self.machine.run(&run_id(1)).unwrap()
    }

    pub(super) fn attempt(&self, task: &str) -> AttemptId {
        self.attempt_of(1, task)
    }

    pub(super) fn attempt_of(&self, run: u128, task: &str) -> AttemptId {
        let (_, entry) = self.machine.run(&run_id(run)).unwrap().task(&id(task)).unwrap();
        AttemptId { run: run_id(run), task: id(task), number: entry.attempts }
    }

    /// Of the attempt under way.
    pub(super) fn session(&self, task: &str) -> SessionId {
        self.run().task(&id(task)).unwrap().1.live.as_ref().unwrap().session
    }

    pub(super) fn fence(&self, attempt: &AttemptId) -> u64 {
        self.machine.run(&attempt.run).unwrap().task(&attempt.task).unwrap().1.fence
    }

    /// The result of the newest attempt of `task`.
    pub(super) fn result(&self, task: &str, outcome: AttemptOutcome) -> InputKind {
        self.result_of(self.attempt(task), outcome)
    }

    pub(super) fn result_of(&self, attempt: AttemptId, outcome: AttemptOutcome) -> InputKind {
        let fence = self.fence(&attempt);
        InputKind::Worker(FromWorker::Result { attempt, fence, report: Box::new(report(outcome)) })
    }

    /// The newest attempt of `task` ends.
    pub(super) fn ends(&mut self, task: &str, outcome: AttemptOutcome) -> Vec<String> {
        self.does(self.result(task, outcome))
    }

    pub(super) fn ends_with(&mut self, task: &str, outcome: AttemptOutcome, key: &str) -> Vec<String> {
        self.ends_leaving(task, outcome, key, plain(key.into()))
    }

    pub(super) fn ends_with_value(&mut self, task: &str, key: &str, value: serde_json::Value) -> Vec<String> {
        self.ends_leaving(task, exit(0), key, plain(value))
    }

    pub(super) fn ends_with_secret(&mut self, task: &str, key: &str) -> Vec<String> {
        let blob = Some(BlobId("01".into()));
        let output = OutputRecord { value: "***".into(), hash: "00".into(), blob, hidden: true };
        self.ends_leaving(task, exit(0), key, output)
    }

    fn ends_leaving(
        &mut self,
        task: &str,
        outcome: AttemptOutcome,
        key: &str,
        output: OutputRecord,
    ) -> Vec<String> {
        let outputs = BTreeMap::from([(key.to_owned(), output)]);
        let attempt = self.attempt(task);
        let (fence, report) = (self.fence(&attempt), Report { outputs, ..report(outcome) });
        self.does(InputKind::Worker(FromWorker::Result { attempt, fence, report: Box::new(report) }))
    }

    pub(super) fn refuses(&mut self, task: &str, reason: Refusal) -> Vec<String> {
        let attempt = self.attempt(task);
        let fence = self.fence(&attempt);
        self.does(InputKind::Worker(FromWorker::Refused { attempt, fence, reason }))
    }

    pub(super) fn short_of_ptys(&mut self, task: &str) -> Vec<String> {
        self.refuses(task, Refusal::Resources { detail: "no PTY is left".into() })
    }

    pub(super) fn comes_up(&mut self, task: &str, pid: u32) -> Vec<String> {
        let attempt = self.attempt(task);
        let (fence, state) = (self.fence(&attempt), SessionState::Working);
        self.does(InputKind::Worker(FromWorker::Session { attempt, fence, state, pid: Some(pid) }))
    }

    pub(super) fn has_child(&mut self, parent: &str, task: Task) -> Vec<String> {
        let attempt = self.attempt(parent);
        let fence = self.fence(&attempt);
        self.does(InputKind::Worker(FromWorker::Child { attempt, fence, task: Box::new(task) }))
    }

    pub(super) fn blocks(&mut self, task: &str, episode: u32) -> Vec<String> {
        let prompt = PromptRecord::bare(self.session(task), episode, PromptKind::Question);
        self.does(InputKind::Blocked { attempt: self.attempt(task), prompt: Box::new(prompt) })
    }

    /// It had waited for so long before.
    pub(super) fn blocks_again(&mut self, task: &str, episode: u32, waited_ms: i64) -> Vec<String> {
        let bare = PromptRecord::bare(self.session(task), episode, PromptKind::Question);
        let prompt = Box::new(PromptRecord { waited_ms, ..bare });
        self.does(InputKind::Blocked { attempt: self.attempt(task), prompt })
    }

    pub(super) fn blocks_as(&mut self, task: &str, episode: u32, kind: PromptKind) -> Vec<String> {
        let bare = PromptRecord::bare(self.session(task), episode, kind);
        let prompt = Box::new(PromptRecord { question: "Run\n  it?".into(), ..bare });
        self.does(InputKind::Blocked { attempt: self.attempt(task), prompt })
    }

    /// It waits for an ask of its own.
    pub(super) fn waits_for(&mut self, task: &str, episode: u32, ask: u128) -> Vec<String> {
        let bare = PromptRecord::bare(self.session(task), episode, PromptKind::Question);
        let prompt = Box::new(PromptRecord { ask: Some(InputId::from_parts(1, ask)), ..bare });
        self.does(InputKind::Blocked { attempt: self.attempt(task), prompt })
    }

    pub(super) fn unblocks(&mut self, task: &str, episode: u32) -> Vec<String> {
        self.does(InputKind::Unblocked { attempt: self.attempt(task), episode })
    }

    pub(super) fn ticks_after(&mut self, ms: i64) -> Vec<String> {
        self.now += ms;
        self.does(InputKind::Tick)
    }

    /// `a=running b=pending`
    pub(super) fn states(&self) -> String {
        let each = self.run().tasks().map(|(spec, entry)| format!("{}={}", spec.id, entry.state));
        each.collect::<Vec<_>>().join(" ")
    }
}

pub(super) fn brief(body: &EventBody) -> String {
    match body {
        EventBody::RunCancelling { reason } => format!("cancelling: {reason}"),
        EventBody::RunFailed { detail } => format!("run failed: {detail}"),
        EventBody::RunErrored { detail } => format!("run error: {detail}"),
        EventBody::RunRetried { changes, .. } => format!("retried {}", brief_changes(changes)),
        EventBody::TaskStatus { changes } => format!("status {}", brief_changes(changes)),
        EventBody::TaskAssigned(g) => format!("assigned {}#{} f{}", g.task, g.attempt, g.fence),
        EventBody::TaskResult(r) => format!(
            "result {}#{} {}: {}{}",
            r.task,
            r.attempt,
            r.outcome.word(),
            brief_state(r.state, r.end.as_ref(), r.queued.as_ref()),
            if r.counts { " counted" } else { "" }
        ),
        EventBody::TasksAdded { parent, tasks } => {
            format!("added {parent}: {}", tasks.iter().map(|t| t.id.as_str()).collect::<Vec<_>>().join(" "))
        }
        EventBody::TaskExpanded { task, items } => format!("expanded {task} into {}", items.len()),
        EventBody::TaskApproved { task, by, .. } => format!("approved {task} by {by}"),
        EventBody::SessionStarted { task, pid, .. } => {
            format!("session of {} is {pid}", task.as_ref().unwrap())
        }
        EventBody::SessionBlocked { task, prompt, .. } => {
            format!("blocked {} {}", task.as_ref().unwrap(), prompt.episode)
        }
        EventBody::SessionEscalated { task, after_ms, .. } => {
            format!("escalated {} after {after_ms}", task.as_ref().unwrap())
        }
        EventBody::TaskHandedIn { task, text, .. } => format!("handed in {task}: {text:?}"),
        EventBody::SessionRecovered { task, episode, .. } => {
            format!("recovered {} {episode}", task.as_ref().unwrap())
        }
        other => other.type_name().trim_start_matches("cis.dag.").replace('.', " "),
    }
}

fn brief_changes(changes: &[TaskChange]) -> String {
    let each = changes
        .iter()
        .map(|c| format!("{}={}", c.task, brief_state(c.state, c.end.as_ref(), c.queued.as_ref())));
    each.collect::<Vec<_>>().join(" ")
}

fn brief_state(
    state: crate::event::TaskState,
    end: Option<&EndReason>,
    queued: Option<&QueueReason>,
) -> String {
    let why = match (end, queued) {
        (Some(end), _) => format!("({end})"),
        (None, Some(QueueReason::RetryAt { at_ms, .. })) => format!("(again at +{})", at_ms - START_MS),
        (None, Some(QueueReason::Resources { at_ms, .. })) => {
            format!("(short, again at +{})", at_ms - START_MS)
        }
        (None, Some(QueueReason::Withdrawn)) => "(withdrawn)".to_owned(),
        (None, Some(QueueReason::Lost { .. })) => "(lost)".to_owned(),
        (None, Some(QueueReason::Group { name })) => format!("(group {name})"),
        (None, Some(QueueReason::Approval { .. })) => "(approval)".to_owned(),
        (None, Some(QueueReason::Items { count })) => format!("({count} items)"),
        (None, Some(QueueReason::Account { name, until_ms })) => {
            format!("(account {name} until +{})", until_ms - START_MS)
        }
        (None, Some(QueueReason::Slot) | None) => String::new(),
    };
    format!("{state}{why}")
}

fn brief_effect(effect: &Effect) -> String {
    let name = |attempt: &AttemptId| format!("{}#{}", attempt.task, attempt.number);
    match effect {
        Effect::Grant { attempt, fence, .. } => format!("> grant {} f{fence}", name(attempt)),
        Effect::Cancel { attempt, fence, grace_ms, keep: true } => {
            format!("> finish {} f{fence} {grace_ms}", name(attempt))
        }
        Effect::Answer { attempt, answer, .. } => format!("> answer {}: {answer}", attempt.task),
        Effect::Escalate { attempt, notify, .. } => {
            format!("> escalate {} to [{}]", attempt.task, notify.join(" "))
        }
        Effect::RunCommand { attempt, prompt, .. } => {
            format!("> run for {} {}", attempt.task, prompt.episode)
        }
        Effect::Cancel { attempt, fence, grace_ms, .. } => {
            format!("> cancel {} f{fence} {grace_ms}", name(attempt))
        }
        Effect::Withdraw { .. } => "> withdraw".to_owned(),
        Effect::AwaitRoom { number, .. } => format!("> await room {number}"),
        Effect::Ack { attempt, fence } => format!("> ack {} f{fence}", name(attempt)),
    }
}
