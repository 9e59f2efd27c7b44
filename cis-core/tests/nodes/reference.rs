//! The same run on one node alone: what its tasks have to come to, however many nodes share it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cis_core::api::FromWorker;
use cis_core::event::{EventDraft, ExecutionMode, TaskState};
use cis_core::ids::{HostInstance, SessionId, TaskId, TimestampMs};
use cis_core::scheduler::{Effect, IdSource, Input, InputKind, Machine, Run};
use serde_json::Value;

use crate::dags;
use crate::plan::{Plan, did, run};

const STEPS_MAX: u32 = 5000;

struct Ids(u128);

impl IdSource for Ids {
    fn session_id(&mut self, _: TimestampMs) -> SessionId {
        self.0 += 1;
        SessionId::from_parts(1, self.0)
    }
}

/// What a run came to: its tasks with their states and outputs.
type Outcome = BTreeMap<TaskId, (TaskState, BTreeMap<String, Value>)>;

fn outcome(run: &Run) -> Outcome {
    let of = |entry: &cis_core::scheduler::TaskEntry| {
        let outputs = entry.outputs.iter().map(|(name, output)| (name.clone(), output.value.clone()));
        (entry.state, outputs.collect())
    };
    run.tasks().map(|(spec, entry)| (spec.id.clone(), of(entry))).collect()
}

pub(crate) fn check(plan: &Plan, shared: &Run) -> Result<(), String> {
    let alone = alone(plan)?;
    let (expected, found) = (outcome(&alone), outcome(shared));
    if alone.state() == shared.state() && expected == found {
        return Ok(());
    }
    let differs: Vec<String> = expected
        .iter()
        .filter(|(id, state)| found.get(*id) != Some(*state))
        .map(|(id, state)| {
            let why = |run: &Run| run.task(id).map(|(_, entry)| (entry.end.clone(), entry.last.clone()));
            let (here, there) = (why(shared), why(&alone));
            format!("{id} is {:?} by {here:?}, and alone {state:?} by {there:?}", found.get(id))
        })
        .collect();
    Err(format!("the run is {}, and alone {}: {}", shared.state(), alone.state(), differs.join("; ")))
}

fn alone(plan: &Plan) -> Result<Run, String> {
    let (mut machine, mut ids, mut now) = (Machine::new(did(0), 40), Ids(0), 1_000_000);
    machine.restore_groups(BTreeMap::from([(dags::SHARED.to_owned(), plan.shared)]));
    machine.set_host(Some(HostInstance::from_parts(1, 1)));
    let facts = Box::new(plan.facts(ExecutionMode::Local, did(0)));
    let mut inputs = vec![InputKind::Submit { run: run(), facts, dag: Arc::clone(&plan.dag), start: true }];
    for _ in 0..STEPS_MAX {
        let input = inputs.pop().unwrap_or(InputKind::Tick);
        let taken = machine.handle(Input::internal(input), now, &mut ids).and(machine.take_failure());
        taken.map_err(|rejected| rejected.to_string())?;
        machine.drain_events().for_each(|_: EventDraft| ());
        let effects: Vec<Effect> = machine.drain_effects().collect();
        let known = machine.run(&run()).ok_or("no run")?;
        if known.state().is_terminal() {
            return Ok(known.clone());
        }
        for effect in effects {
            if let Effect::Grant { attempt, fence, .. } = effect {
                let failures = known.task(&attempt.task).map_or(0, |(_, entry)| entry.failures);
                let report = Box::new(plan.report(&attempt.task, failures, (now, now)));
                inputs.push(InputKind::Worker(FromWorker::Result { attempt, fence, report }));
            }
        }
        if inputs.is_empty() {
            match known.tasks().find(|(_, entry)| entry.waits_for_approval()) {
                Some((spec, _)) => {
                    let (task, approve) = (spec.id.clone(), plan.approves(&spec.id));
                    inputs.push(InputKind::Decide { run: run(), task, approve, reason: None });
                }
                None => now = machine.poll_timeout().map_or(now + 1, |(at, _)| at),
            }
        }
    }
    Err(format!("alone it does not end: {:?}", machine.run(&run())))
}
