use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::*;
use crate::cache::plain_spec;
use crate::secret_file;
use cis_core::api::{CacheUse, Program, Refusal};
use cis_core::dag::{CacheKey, SecretSource};
use cis_core::event::{AttemptOutcome, FailureCause};
use cis_host::protocol::{Exit, Known, Lease, Start, StartFailure};

const TOKEN: &str = "the-token-of-now";

/// A worker with a home of its own, and what wakes it.
struct Bench {
    worker: LocalWorker,
    wake: Arc<OwnedFd>,
    dir: tempfile::TempDir,
}

fn bench(own: &[(&str, &str)]) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let home = Home { dir: dir.path().join("home"), runtime: dir.path().join("run/node") };
    home.make().unwrap();
    let keys = Arc::new(Keys::load_or_make(&home.dir).unwrap());
    let blobs = Arc::new(Blobs::new(&home.dir));
    let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap());
    let settings = Arc::new(Settings::usual());
    let worker = LocalWorker::new(home, keys, blobs, own, Arc::clone(&wake), settings);
    Bench { worker, wake, dir }
}

impl Bench {
    fn spec(&self, script: &str) -> TaskSpec {
        TaskSpec {
            program: Program::Script { shell: "/bin/sh".to_owned(), text: script.to_owned() },
            cwd: self.dir.path().display().to_string(),
            ..plain_spec(&[])
        }
    }

    /// Grants attempt 1 of the task; each grant has a fence and a session of its own.
    fn grant(&mut self, fence: u64, spec: TaskSpec) -> SessionId {
        self.grant_to(attempt(), fence, spec)
    }

    fn grant_to(&mut self, attempt: AttemptId, fence: u64, spec: TaskSpec) -> SessionId {
        let session = SessionId::from_parts(fence, 1);
        let spec = Box::new(spec);
        self.worker.tell(ToWorker::Grant { attempt, session, fence, lease_ms: None, slots: 1, spec });
        session
    }

    fn starts(&mut self) -> Vec<Start> {
        let of_start = |message| if let ToHost::Start(start) = message { Some(*start) } else { None };
        self.worker.to_host.drain(..).filter_map(of_start).collect()
    }

    /// Lets the threads for files end what they do.
    fn wait_found(&mut self) {
        let until = Instant::now() + Duration::from_secs(10);
        while !self.worker.tickets.is_empty() {
            assert!(Instant::now() < until, "nothing is found");
            let mut fds = [PollFd::new(&*self.wake, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 10, tv_nsec: 0 })).unwrap();
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
            self.worker.take_found();
        }
    }

    fn assert_withdrawn(&mut self, fence: u64) {
        let said = std::mem::take(&mut self.worker.said);
        let back =
            FromWorker::Refused { attempt: attempt(), fence, reason: Refusal::Withdrawn { full: false } };
        assert_eq!(said, [back]);
        assert_eq!(self.worker.live_count(), 0);
    }
}

fn run() -> RunId {
    RunId::from_parts(1, 1)
}

fn attempt() -> AttemptId {
    AttemptId { run: run(), task: "task".parse().unwrap(), number: 1 }
}

fn cached(spec: TaskSpec) -> TaskSpec {
    let cache = CacheUse {
        key: CacheKey::Auto,
        inputs: Vec::new(),
        ttl_ms: None,
        refresh: false,
        cwd: ".".to_owned(),
        scope: "dag/task".to_owned(),
        submitter: None,
    };
    TaskSpec { cache: Some(cache), ..spec }
}

#[test]
fn secrets_of_a_grant_that_was_taken_back_are_not_those_of_the_next_one() {
    let mut bench = bench(&[("FROM", TOKEN)]);
    let given = |bench: &Bench, value: &str| {
        let secrets = [("TOKEN".to_owned(), SecretSource::Env("FROM".to_owned()))].into();
        let sensitive = vec![value.to_owned()];
        TaskSpec { secrets, sensitive, ..bench.spec("echo") }
    };
    let log = bench.worker.home.attempt_log(run(), &attempt().task, 1);
    let first = given(&bench, "of-the-first-run");
    let session = bench.grant(1, first.clone());
    assert_eq!(bench.starts()[0].env["TOKEN"], TOKEN);
    assert_eq!(secret_file::try_load(&log).unwrap().unwrap().sensitive, ["of-the-first-run"]);
    bench.worker.start_failed(session, StartFailure::Withdrawn {});
    bench.assert_withdrawn(1);
    assert_eq!(secret_file::try_load(&log).unwrap(), None, "a secret is left of what never ran");
    // Also where the node died before it could remove them.
    let old = secret_file::Secrets { sensitive: first.sensitive, ..secret_file::Secrets::default() };
    secret_file::keep(&log, &old).unwrap();
    let session = bench.grant(2, given(&bench, "of-the-second-run"));
    assert_eq!(bench.starts()[0].env["TOKEN"], TOKEN);
    let redactor = Arc::clone(&bench.worker.live[&session].redactor);
    assert_eq!(redactor.redact("of-the-second-run and the-token-of-now"), "*** and ***");
    assert_eq!(secret_file::try_load(&log).unwrap().unwrap().sensitive, ["of-the-second-run"]);
}

#[test]
fn what_is_looked_up_in_the_cache_is_taken_back_too() {
    let mut bench = bench(&[]);
    let spec = cached(bench.spec("echo"));
    bench.grant(1, spec.clone());
    bench.worker.withdraw(run());
    bench.wait_found();
    bench.assert_withdrawn(1);
    assert_eq!(bench.starts().len(), 0, "it waits at the host behind others");
    bench.grant(2, spec);
    bench.wait_found();
    assert_eq!((bench.starts().len(), bench.worker.said.len()), (1, 0), "its next grant starts it");
}

#[test]
fn what_a_session_left_is_kept_as_soon_as_a_thread_can_be_started() {
    for comes in [true, false] {
        let mut bench = bench(&[]);
        std::fs::write(bench.dir.path().join("out"), "made").unwrap();
        let artifacts = vec!["out".to_owned()];
        let session = bench.grant(1, TaskSpec { artifacts, ..bench.spec("true") });
        bench.worker.started(session, 1);
        bench.worker.chores.refuse_threads(true);
        bench.worker.exited(session, &exit());
        bench.wait_found();
        assert_eq!(bench.worker.said, [], "it has succeeded");
        bench.worker.chores.refuse_threads(!comes);
        let report = loop {
            let next = bench.worker.poll_timeout().expect("it is tried again");
            bench.worker.set_now(next);
            bench.worker.come_of_age();
            bench.wait_found();
            let result = |said| match said {
                FromWorker::Result { report, .. } => Some(report),
                _ => None,
            };
            if let Some(report) = bench.worker.said.drain(..).find_map(result) {
                break report;
            }
        };
        assert_eq!(report.exit, Some(exit().status), "the process has ended well");
        assert_eq!(report.outcome == AttemptOutcome::Succeeded, comes, "{:?}", report.outcome);
        assert_eq!(report.artifacts.len(), usize::from(comes));
    }
}

/// Two sessions where there is one slot: the second one waits at the host. When it is taken back, in ms of the first one's life.
fn taken_back_at(of_room: bool, shown_at_once: bool) -> (TimestampMs, Vec<RunId>) {
    let mut bench = bench(&[]);
    for number in 1..=2 {
        let attempt = AttemptId { number, ..attempt() };
        let (session, fence) = (SessionId::from_parts(number.into(), 1), number.into());
        let spec = bench.spec("true");
        if of_room {
            let (key, lease) = ((&attempt, fence), Lease { until_ms: u64::MAX, keep_ms: None });
            bench.worker.grant_for_room(key, session, 1, spec, BTreeMap::new(), lease);
        } else {
            bench.grant_to(attempt, fence, spec);
        }
    }
    let [first, second] = &bench.starts()[..] else { panic!("both are at the host") };
    bench.worker.started(first.session, 1);
    let is_back =
        |message: &ToHost| matches!(message, ToHost::Withdraw { session } if *session == second.session);
    if shown_at_once {
        bench.worker.expose(first.session);
    }
    let began = bench.worker.now_ms;
    while !bench.worker.to_host.iter().any(is_back) {
        let next = bench.worker.poll_timeout().expect("it is taken back at some time");
        bench.worker.set_now(next);
        bench.worker.come_of_age();
    }
    (bench.worker.now_ms - began, bench.worker.slowed)
}

#[test]
fn what_waits_for_a_long_session_is_taken_back_later_where_the_way_is_long() {
    assert_eq!(taken_back_at(false, false), (20, Vec::new()));
    assert_eq!(taken_back_at(true, false), (80, vec![run()]));
    assert_eq!(taken_back_at(true, true), (80, vec![run()]), "somebody looks at it, or it asks");
}

/// Task `n` of a run with a secret from the file `n` of 14 KiB each.
fn with_file(bench: &Bench, n: u64, files: u64) -> (AttemptId, TaskSpec) {
    let file = |n: u64| SecretSource::File(bench.dir.path().join(n.to_string()).display().to_string());
    let line = format!("    certificate-authority-data: {n:06} of it\n");
    std::fs::write(bench.dir.path().join(n.to_string()), line.repeat((14 << 10) / line.len())).unwrap();
    let attempt = AttemptId { run: run(), task: format!("task{n}").parse().unwrap(), number: 1 };
    let secrets = [("KUBE".to_owned(), file(n))].into();
    let spec = TaskSpec { secrets, run_secrets: (1..=files).map(file).collect(), ..bench.spec("echo") };
    (attempt, spec)
}

#[test]
fn large_secrets_of_several_tasks_fail_none_of_them() {
    let mut bench = bench(&[]);
    let tasks: Vec<_> = (1..=5).map(|n| with_file(&bench, n, 5)).collect();
    for (fence, (attempt, spec)) in (1..).zip(tasks) {
        let session = bench.grant_to(attempt, fence, spec);
        assert_eq!(bench.worker.said, [], "it is refused");
        let redactor = Arc::clone(&bench.worker.live[&session].redactor);
        for n in 1..=5 {
            let line = format!("certificate-authority-data: {n:06} of it");
            assert_eq!(redactor.redact(&line), "***");
        }
    }
    assert_eq!(bench.starts().len(), 5);
}

#[test]
fn of_too_many_secrets_only_the_tasks_that_have_those_too_many_fail() {
    let mut bench = bench(&[]);
    let tasks: Vec<_> = (1..=20).map(|n| with_file(&bench, n, 20)).collect();
    let plain = AttemptId { task: "plain".parse().unwrap(), ..attempt() };
    let spec = TaskSpec { run_secrets: tasks[0].1.run_secrets.clone(), ..bench.spec("echo") };
    bench.grant_to(plain, 100, spec);
    assert_eq!(bench.worker.said, [], "it declares none");
    for (fence, (attempt, spec)) in (1..).zip(tasks) {
        bench.grant_to(attempt, fence, spec);
    }
    let failed = std::mem::take(&mut bench.worker.said);
    assert_eq!((bench.starts().len(), failed.len()), (19, 2), "18 of them have less than 256 KiB");
    for said in failed {
        let FromWorker::Result { report, .. } = said else { panic!("{said:?}") };
        assert!(format!("{:?}", report.outcome).contains("256 KiB"), "{:?}", report.outcome);
    }
}

#[test]
fn a_secret_that_becomes_known_is_hidden_in_sessions_that_have_values_of_their_own() {
    let mut bench = bench(&[]);
    let (later, spec) = with_file(&bench, 1, 1);
    std::fs::remove_file(bench.dir.path().join("1")).unwrap();
    let sensitive = vec!["of-an-earlier-task".to_owned()];
    let first = TaskSpec { sensitive, run_secrets: spec.run_secrets.clone(), ..bench.spec("echo") };
    let session = bench.grant(1, first);
    bench.worker.started(session, 1);
    bench.worker.expose(session);
    with_file(&bench, 1, 1);
    bench.grant_to(later, 2, spec);
    let (_, told) = bench.worker.redactors.pop().unwrap();
    let shown = Arc::clone(&bench.worker.exposed[0].redactor);
    for redactor in [&bench.worker.live[&session].redactor, &told, &shown] {
        let said = "of-an-earlier-task: certificate-authority-data: 000001 of it";
        assert_eq!(redactor.redact(said), "***: ***");
    }
}

#[test]
fn outputs_that_are_wrong_are_the_tasks_fault_whatever_it_makes_beside_them() {
    let mut bench = bench(&[]);
    let outputs = [("n".to_owned(), ValueType::Integer)].into();
    let session = bench.grant(1, TaskSpec { outputs, ..bench.spec("echo") });
    bench.worker.started(session, 1);
    let output = bench.worker.home.output_file(session);
    std::fs::create_dir_all(output.parent().unwrap()).unwrap();
    std::fs::write(&output, "n=many\n").unwrap();
    std::fs::write(output.with_extension("probe"), "").unwrap();
    bench.worker.exited(session, &exit());
    let FromWorker::Result { report, .. } = bench.worker.said.pop().unwrap() else { panic!("no result") };
    let AttemptOutcome::Failed { cause: FailureCause::Outputs { detail } } = report.outcome else {
        panic!("{:?}", report.outcome)
    };
    assert!(!detail.contains("disk"), "{detail}");
}

#[test]
fn a_limit_before_the_hand_in_decides_and_one_after_it_does_not() {
    let (early, late) = (Some(1), Some(TimestampMs::MAX));
    let limits = |exit: Exit| [Exit { timed_out: true, ..exit.clone() }, Exit { idle: true, ..exit }];
    // The hand-in asks the host to end the session, so the exit says that as well.
    for (limit_ms, killed, wins) in [
        (early, true, true),
        (early, false, true),
        (None, true, true),
        (late, true, false),
        (late, false, false),
    ] {
        for exit in limits(Exit { limit_ms, killed, ..exit() }) {
            let outcome = ends_after_hand_in(&exit);
            let is_limit = matches!(
                outcome,
                AttemptOutcome::Failed { cause: FailureCause::Timeout { .. } | FailureCause::Idle { .. } }
            );
            assert_eq!(is_limit, wins, "{exit:?}: {outcome:?}");
            assert_eq!(outcome == AttemptOutcome::Succeeded, !wins, "{exit:?}: {outcome:?}");
        }
    }
    assert_eq!(ends_after_hand_in(&Exit { killed: true, ..exit() }), AttemptOutcome::Succeeded);
}

#[test]
fn a_limit_after_a_hand_in_to_an_earlier_node_does_not_decide() {
    let exit = Exit { timed_out: true, killed: true, limit_ms: Some(2000), ..exit() };
    for (handed_in_ms, succeeds) in [(1000, true), (3000, false)] {
        let mut bench = bench(&[]);
        let (session, spec) = (SessionId::from_parts(1, 1), bench.spec("true"));
        let known = Known {
            session,
            label: "task".to_owned(),
            pid: 1,
            started_ms: 1,
            born_ms: None,
            exit: Some(exit.clone()),
        };
        bench.worker.adopt(&attempt(), session, 1, 1, spec, &known);
        bench.worker.was_handed_in(session, handed_in_ms);
        bench.worker.tell(ToWorker::Cancel { attempt: attempt(), fence: 1, grace_ms: 1000, keep: true });
        bench.worker.exited(session, &exit);
        let FromWorker::Result { report, .. } = bench.worker.said.pop().unwrap() else { panic!("no result") };
        assert_eq!(report.outcome == AttemptOutcome::Succeeded, succeeds, "{:?}", report.outcome);
    }
}

/// Returns the outcome of a task that hands in its result and whose session then ends in this way.
fn ends_after_hand_in(exit: &Exit) -> AttemptOutcome {
    let mut bench = bench(&[]);
    let session = bench.grant(1, bench.spec("true"));
    bench.worker.tell(ToWorker::Cancel { attempt: attempt(), fence: 1, grace_ms: 1000, keep: true });
    bench.worker.exited(session, exit);
    let FromWorker::Result { report, .. } = bench.worker.said.pop().unwrap() else { panic!("no result") };
    report.outcome
}

fn exit() -> Exit {
    Exit::with_code(0)
}
