//! Random files.

use cis_core::dag::{Action, Backoff, Dag, RetryPolicy, Task, Trigger};
use cis_core::ids::TaskId;

use crate::rng::Rng;

pub(crate) fn random(rng: &mut Rng) -> Dag {
    let count = rng.between(1, 14);
    let tasks = (0..count)
        .map(|n| {
            let id = TaskId::new(&format!("t{n}")).unwrap();
            let mut needs: Vec<TaskId> = Vec::new();
            for _ in 0..rng.below(4) {
                let need = TaskId::new(&format!("t{}", rng.below(n))).unwrap();
                if n > 0 && !needs.contains(&need) {
                    needs.push(need);
                }
            }
            task(rng, id, needs)
        })
        .collect();
    let timeout_ms = rng.percent(20).then(|| rng.between(500, 20_000));
    Dag { id: "random".into(), timeout_ms, tasks, ..Dag::default() }
}

pub(crate) fn task(rng: &mut Rng, id: TaskId, needs: Vec<TaskId>) -> Task {
    let triggers = [Trigger::AllSuccess, Trigger::AllDone, Trigger::OneFailed, Trigger::Always];
    let backoff = *rng.pick(&[Backoff::Fixed, Backoff::Exponential]).unwrap();
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
            on: Vec::new(),
        },
        allow_failure: rng.percent(15),
        retry_lost: rng.percent(85),
        ..Task::new(id, Action::Command(vec!["true".into()]))
    }
}
