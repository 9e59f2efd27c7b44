//! Random files, with everything that the language has.

use std::collections::BTreeMap;

use cis_core::dag::{
    Action, Approval, Backoff, BlockedAction, Dag, Foreach, Group, Handlers, OnBlocked, RetryOn, RetryPolicy,
    Task, Trigger, ValueType,
};
use cis_core::event::PromptKind;
use cis_core::ids::TaskId;
use serde_json::Value;

use crate::rng::Rng;

/// A group that every file makes, and one that the node has.
pub(crate) const OWN: &str = "own";
pub(crate) const SHARED: &str = "shared";

pub(crate) const ACCOUNTS: [&str; 2] = ["acme", "other"];

/// What sessions wait for.
pub(crate) const PROMPTS: [PromptKind; 5] = [
    PromptKind::Question,
    PromptKind::Permission,
    PromptKind::Password,
    PromptKind::Stalled,
    PromptKind::RateLimit,
];

pub(crate) fn random(rng: &mut Rng) -> Dag {
    let count = rng.between(1, 14);
    let mut tasks: Vec<Task> = Vec::new();
    for n in 0..count {
        let mut needs: Vec<TaskId> = Vec::new();
        for _ in 0..rng.below(4) {
            let need = id(&format!("t{}", rng.below(n)));
            if n > 0 && !needs.contains(&need) {
                needs.push(need);
            }
        }
        let mut task = task(rng, id(&format!("t{n}")), needs);
        decide(rng, &mut task, &tasks);
        tasks.push(task);
    }
    let on = if rng.percent(30) { handlers(rng, &mut tasks) } else { Handlers::default() };
    let timeout_ms = rng.percent(20).then(|| rng.between(500, 20_000));
    let groups = BTreeMap::from([(OWN.to_owned(), group(rng))]);
    Dag { id: "random".into(), timeout_ms, groups, on, tasks, ..Dag::default() }
}

fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

pub(crate) fn group(rng: &mut Rng) -> Group {
    Group { limit: u32::try_from(rng.between(1, 3)).unwrap(), frees_when_blocked: rng.percent(50) }
}

pub(crate) fn task(rng: &mut Rng, id: TaskId, needs: Vec<TaskId>) -> Task {
    let triggers = [Trigger::AllSuccess, Trigger::AllDone, Trigger::OneFailed, Trigger::Always];
    let backoff = *rng.pick(&[Backoff::Fixed, Backoff::Exponential]).unwrap();
    let group = [None, Some(OWN), Some(SHARED)][rng.weighted(&[70, 15, 15])];
    let on = [
        vec![],
        vec![RetryOn::Exit(1)],
        vec![RetryOn::Timeout, RetryOn::Error],
        vec![RetryOn::Blocked, RetryOn::Login],
        vec![RetryOn::RateLimit],
    ];
    let limit = rng.percent(50).then(|| rng.between(500, 8000));
    let approval = Approval { prompt: "Go on with {{ task.id }}?".into(), timeout_ms: limit, allowed: None };
    Task {
        needs,
        trigger: triggers[rng.weighted(&[60, 14, 13, 13])],
        tty: rng.percent(50),
        grace_ms: rng.below(1000),
        retries: RetryPolicy {
            count: u32::try_from(rng.weighted(&[50, 30, 20])).unwrap(),
            backoff,
            delay_ms: rng.below(3000),
            max_delay_ms: 4000,
            jitter: rng.percent(50),
            on: on[rng.weighted(&[70, 8, 8, 8, 6])].clone(),
        },
        allow_failure: rng.percent(15),
        retry_lost: rng.percent(85),
        priority: i32::try_from(rng.weighted(&[70, 15, 15])).unwrap() - 1,
        group: group.map(str::to_owned),
        approval: rng.percent(8).then_some(approval),
        on_blocked: rng.percent(45).then(|| Box::new(on_blocked(rng))),
        account: rng.percent(25).then(|| (*rng.pick(&ACCOUNTS).unwrap()).to_owned()),
        outputs: if rng.percent(15) {
            BTreeMap::from([("pid".into(), ValueType::Integer)])
        } else {
            BTreeMap::new()
        },
        artifacts: if rng.percent(8) { vec!["out".into()] } else { Vec::new() },
        ..Task::new(id, Action::Command(vec!["true".into()]))
    }
}

fn on_blocked(rng: &mut Rng) -> OnBlocked {
    let command = || BlockedAction::Run(Action::Command(vec!["tell".into()]));
    let action = match rng.weighted(&[60, 12, 14, 14]) {
        0 => BlockedAction::Ask,
        1 => BlockedAction::Skip,
        2 => BlockedAction::Fail,
        _ => command(),
    };
    let kinds: Vec<PromptKind> = match rng.weighted(&[60, 20, 20]) {
        0 => Vec::new(),
        1 => PROMPTS.to_vec(),
        _ => vec![*rng.pick(&PROMPTS).unwrap()],
    };
    let deadline_ms = rng.percent(60).then(|| rng.between(200, 6000));
    OnBlocked {
        action,
        kinds,
        notify: if rng.percent(20) { vec!["@ann".into()] } else { Vec::new() },
        escalate_after_ms: rng.percent(40).then(|| rng.between(100, 4000)),
        deadline_ms,
        default: (deadline_ms.is_some() && rng.percent(60)).then(|| "yes".into()),
    }
}

/// `if` and `foreach`, some of them over what a need left.
fn decide(rng: &mut Rng, task: &mut Task, earlier: &[Task]) {
    let need = rng.pick(&task.needs).cloned();
    let need = need.and_then(|need| earlier.iter().find(|task| task.id == need));
    if rng.percent(15) {
        task.condition = Some(match need {
            Some(need) if need.foreach.is_some() => format!("(tasks.{}.outputs.pid | length) > 1", need.id),
            Some(need) => format!("tasks.{}.outputs.pid % 2 == 0", need.id),
            None => (*rng.pick(&["1 == 1", "1 == 2"]).unwrap()).to_owned(),
        });
    }
    if rng.percent(15) {
        task.foreach = Some(match need {
            Some(need) if need.foreach.is_none() => {
                Foreach::Expression(format!("range(tasks.{}.outputs.pid % 4)", need.id))
            }
            _ => Foreach::Items((0..rng.below(4)).map(Value::from).collect()),
        });
    }
}

fn handlers(rng: &mut Rng, tasks: &mut Vec<Task>) -> Handlers {
    let mut some = |name: &str| {
        rng.percent(70).then(|| {
            let task =
                Task { approval: None, trigger: Trigger::AllSuccess, ..task(rng, id(name), Vec::new()) };
            tasks.push(task);
            id(name)
        })
    };
    let (success, failure, cancel, always) = (some("good"), some("bad"), some("stop"), some("last"));
    let blocked = some("told");
    Handlers { success, failure, cancel, always, blocked }
}
