//! What people do and what goes wrong, drawn at random; and the quiet time after it.

use cis_core::api::FromWorker;
use cis_core::event::{ExecutionMode, PromptRecord, RetryScope, RunState};
use cis_core::ids::{AttemptId, RunId, TaskId};
use cis_core::scheduler::{InputKind, Run};

use crate::dags;
use crate::world::{Crash, Step, World};

/// After the faults every run ends within so many steps.
const QUIET_STEPS_MAX: u32 = 4000;

/// At most so many runs in one world.
const RUNS_MAX: usize = 4;

pub(crate) fn step(world: &mut World) -> Step {
    if world.rng.percent(3) {
        let crashes = [Crash::BeforeStore, Crash::BeforeEffects, Crash::BetweenEffects];
        world.crash = world.rng.pick(&crashes).copied();
    }
    match world.rng.weighted(&[50, 24, 5, 6, 7, 1, 2, 4, 2, 1, 7, 3, 5]) {
        0 => world.deliver(10),
        1 => world.pass_time(),
        2 if world.run_count() < RUNS_MAX => world.submit(),
        2 | 3 => person(world),
        4 => prompt(world),
        5 => world.lose_host(),
        6 => lose_session(world),
        7 => nonsense(world),
        8 => child(world),
        10 => wish(world),
        11 => hand_in(world),
        12 => login(world),
        _ => {
            let count = u32::try_from(world.rng.below(3)).unwrap();
            world.feed(InputKind::ForeignSessions { count })
        }
    }
}

fn some_run(world: &mut World) -> Option<RunId> {
    let ids = world.run_ids();
    world.rng.pick(&ids).copied()
}

fn some_task(world: &mut World, run: RunId) -> TaskId {
    let names: Vec<TaskId> =
        world.machine.run(&run).unwrap().tasks().map(|(spec, _)| spec.id.clone()).collect();
    world.rng.pick(&names).unwrap().clone()
}

fn some_live(world: &mut World) -> Option<AttemptId> {
    let live: Vec<AttemptId> = world.machine.live_attempts().map(|live| live.attempt).collect();
    world.rng.pick(&live).cloned()
}

fn person(world: &mut World) -> Step {
    let Some(run) = some_run(world) else { return world.submit() };
    let kind = match world.rng.weighted(&[20, 20, 15, 8, 25, 10, 4, 25, 5]) {
        0 => InputKind::Pause { run },
        1 => InputKind::Resume { run },
        2 => InputKind::Start { run },
        3 => InputKind::Cancel { run, now: world.rng.below(10) < 3 },
        4 => {
            let scope = match world.rng.below(3) {
                0 => RetryScope::All,
                1 => RetryScope::Failed,
                _ => RetryScope::From { task: some_task(world, run), also: vec![] },
            };
            InputKind::Retry { run, scope }
        }
        5 => {
            let Some(attempt) = some_live(world) else { return Ok(()) };
            InputKind::KillTask { attempt, grace_ms: world.rng.percent(50).then_some(5) }
        }
        7 => {
            let task = match asked(world, run) {
                Some(task) if world.rng.percent(80) => task,
                _ => some_task(world, run),
            };
            let approve = world.rng.percent(70);
            InputKind::Decide { run, task, approve, reason: Some("x".into()) }
        }
        8 => {
            let group = Some(dags::group(&mut world.rng));
            InputKind::SetGroup { name: dags::SHARED.to_owned(), group }
        }
        _ => InputKind::ModeChanged { run, mode: ExecutionMode::Hybrid, room: Some("!r:example.org".into()) },
    };
    world.feed(kind)
}

/// A task that waits for approval.
fn asked(world: &mut World, run: RunId) -> Option<TaskId> {
    let waiting: Vec<TaskId> = world
        .machine
        .run(&run)?
        .tasks()
        .filter(|(_, entry)| entry.waits_for_approval())
        .map(|(spec, _)| spec.id.clone())
        .collect();
    world.rng.pick(&waiting).cloned()
}

/// A session begins or ceases to wait for a human.
fn prompt(world: &mut World) -> Step {
    let running: Vec<_> =
        world.host.sessions.iter().filter(|(_, s)| s.is_running()).map(|(id, _)| *id).collect();
    let Some(id) = world.rng.pick(&running).copied() else { return Ok(()) };
    turn_prompt(world, id)
}

fn turn_prompt(world: &mut World, id: cis_core::ids::SessionId) -> Step {
    let Some(session) = world.host.sessions.get_mut(&id) else { return Ok(()) };
    let attempt = session.attempt.clone();
    session.blocked = !session.blocked;
    if session.blocked {
        session.episode += 1;
        session.kind = dags::PROMPTS[world.rng.weighted(&[40, 25, 10, 15, 10])];
        let prompt = Box::new(PromptRecord::bare(id, session.episode, session.kind));
        return world.feed(InputKind::Blocked { attempt, prompt });
    }
    session.ends_ms = session.ends_ms.max(world.now);
    let episode = session.episode;
    world.feed(InputKind::Unblocked { attempt, episode })
}

/// A session hands in its result; or one tries that is over, or never was.
fn hand_in(world: &mut World) -> Step {
    let Some(attempt) = some_live(world) else { return Ok(()) };
    let known = world.host.sessions.values().any(|s| s.attempt == attempt && s.is_running());
    if !known {
        return Ok(());
    }
    let text = world.rng.percent(50).then(|| "all is done".to_owned());
    world.feed(InputKind::HandIn { attempt, text })
}

/// A program finds itself logged out, or logged in.
fn login(world: &mut World) -> Step {
    if world.rng.percent(15) {
        let account = (*world.rng.pick(&dags::ACCOUNTS).unwrap()).to_owned();
        return world.feed(InputKind::LoginWorked { account });
    }
    let running = world.host.sessions.values().filter(|s| s.is_running()).map(|s| s.attempt.clone());
    let of_account = |attempt: &AttemptId| {
        let run = world.machine.run(&attempt.run)?;
        run.task(&attempt.task)?.0.account.clone().map(|account| (attempt.clone(), account))
    };
    let found: Vec<(AttemptId, String)> = running.filter_map(|attempt| of_account(&attempt)).collect();
    let Some((attempt, account)) = world.rng.pick(&found).cloned() else { return Ok(()) };
    let (retryable, detail) = (world.rng.percent(85), "log in".to_owned());
    world.feed(InputKind::LoggedOut { attempt, account, retryable, detail })
}

fn lose_session(world: &mut World) -> Step {
    let Some(id) = world.host.sessions.iter().find(|(_, s)| s.is_running()).map(|(id, _)| *id) else {
        return Ok(());
    };
    let gone = world.host.sessions.remove(&id).unwrap();
    let run = gone.attempt.run;
    world.lines.vanished(&gone.attempt);
    world.feed(InputKind::AttemptLost { attempt: gone.attempt, detail: "gone".into() })?;
    world.go_on(run)
}

/// The worker wants more or less of a run ahead; where it wants none, it takes back what waits.
fn wish(world: &mut World) -> Step {
    let Some(run) = some_run(world) else { return Ok(()) };
    let most = *world.rng.pick(&[0, 3, 64]).unwrap();
    let count = u32::try_from(world.rng.between(0, most)).unwrap();
    world.wire.push(FromWorker::Ahead { run, count });
    if count == 0 {
        let withdrawn = world.host.withdraw(run);
        world.wire.extend(withdrawn);
    }
    Ok(())
}

/// Messages that nobody should believe: old ones repeated, wrong fences, unknown attempts.
fn nonsense(world: &mut World) -> Step {
    let Some(run) = some_run(world) else { return Ok(()) };
    let task = some_task(world, run);
    let known = world.machine.run(&run).unwrap().task(&task).unwrap().1;
    let (attempts, fence) = (known.attempts, known.fence);
    let number = u32::try_from(world.rng.below(u64::from(attempts) + 3)).unwrap();
    let attempt = AttemptId { run, task, number };
    let live = world.machine.live_attempts().any(|live| live.attempt == attempt);
    let fence = if live { fence + 1 + world.rng.below(2) } else { world.rng.below(fence + 3) };
    let outcome = cis_core::event::AttemptOutcome::Succeeded;
    let report = cis_core::api::Report::bare(outcome, None, world.now);
    let stale = match world.rng.below(3) {
        0 => FromWorker::Result { attempt, fence, report: Box::new(report) },
        1 => FromWorker::Claimed { attempt, fence },
        _ => {
            let (state, pid) = (cis_core::event::SessionState::Working, Some(1));
            FromWorker::Session { attempt, fence, state, pid }
        }
    };
    let before = world.stored();
    let crash = world.crash.take();
    world.feed(InputKind::Worker(stale.clone()))?;
    world.crash = crash;
    if world.stored() == before { Ok(()) } else { Err(format!("{stale:?} was believed")) }
}

/// A session asks for more work below its task.
fn child(world: &mut World) -> Step {
    let live: Vec<_> = world.machine.live_attempts().collect();
    let Some(live) = world.rng.pick(&live).cloned() else { return Ok(()) };
    let run = live.attempt.run;
    if world.machine.run(&run).unwrap().len() > 40 {
        return Ok(());
    }
    let need = some_task(world, run);
    let needs = if world.rng.percent(50) { vec![need] } else { Vec::new() };
    let task = dags::task(&mut world.rng, TaskId::new("x").unwrap(), needs);
    let (attempt, fence) = (live.attempt, live.fence);
    world.feed(InputKind::Worker(FromWorker::Child { attempt, fence, task: Box::new(task) }))
}

/// No more faults, and people do what they are asked to: now everything has to end.
pub(crate) fn quiet_until_all_end(world: &mut World) -> Step {
    world.crash = None;
    world.host.short_percent = 0;
    world.feed(InputKind::ForeignSessions { count: 0 })?;
    for _ in 0..QUIET_STEPS_MAX {
        if let Some(id) = world.host.sessions.iter().find(|(_, s)| s.blocked).map(|(id, _)| *id) {
            turn_prompt(world, id)?;
        }
        if let Some(kind) = world.seen.pop() {
            world.feed(kind)?;
        }
        let waiting: Vec<(RunId, RunState)> =
            world.machine.open_runs().map(|run| (run.id(), run.state())).collect();
        for (run, state) in waiting {
            if let Some(task) = asked(world, run) {
                let approve = world.rng.percent(70);
                world.feed(InputKind::Decide { run, task, approve, reason: None })?;
            }
            let cancelled = world.machine.run(&run).is_some_and(|run| run.cancelling().is_some());
            match state {
                _ if cancelled => {}
                RunState::Created => world.feed(InputKind::Start { run })?,
                RunState::Paused => world.feed(InputKind::Resume { run })?,
                _ => {}
            }
        }
        if world.wire.is_empty() {
            if world.machine.open_runs().next().is_none() && world.host.is_idle() {
                return all_ended(world);
            }
            world.pass_time()?;
        } else {
            world.deliver(0)?;
        }
    }
    let open: Vec<String> = world.machine.open_runs().map(|run| format!("{run:?}")).collect();
    Err(format!(
        "after {QUIET_STEPS_MAX} quiet steps {} sessions are left, and {open:#?}",
        world.host.sessions.len()
    ))
}

fn all_ended(world: &mut World) -> Step {
    if world.machine.poll_timeout().is_some() || world.machine.live_attempts().next().is_some() {
        return Err("something is left to do after all runs have ended".to_owned());
    }
    // What ended stays ended, also for a node that starts again.
    world.restart()?;
    let forgotten: Vec<_> = world.machine.forget_ended().iter().map(Run::id).collect();
    if forgotten == world.run_ids() { Ok(()) } else { Err(format!("forgot {forgotten:?}")) }
}
