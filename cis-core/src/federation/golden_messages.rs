//! Golden texts of what nodes send to each other directly: an envelope a line, as the version of that file signed it. A later version
//! has to read these lines, and may only add keys to what it writes.
//!
//! The files never change. Where a message gets a key that matters, its example goes to a new file next to them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use ulid::Ulid;

use super::control::{Control, ControlOutcome, ControlRequest, ControlResponse, Verb};
use super::direct::{self, Progress, RemoteSpec, TaskPayload};
use super::envelope::{Carrier, Draft, Verified, verify};
use super::link::Position;
use super::protocol::groups::message::{GroupMessage, GroupPlaces, GroupReport};
use super::protocol::message::{Grant, Granted, HeldRecord, HeldState, Message};
use super::protocol::voters::VoterMessage;
use super::sample::{holds, key, run_id, session, task};
use super::session_news::SessionNews;
use crate::api::{
    Answer, AnswerReceipt, AnswerWith, Decide, Problem, ProblemKind, Program, Refusal, Report, RunView,
    TaskSpec,
};
use crate::event::{
    AnswerRecord, ArtifactRecord, AskRecord, AskType, AttemptOutcome, ExecutionMode, ExitStatus,
    FailureCause, FileReaders, LostOutput, OutputRecord, PromptKind, PromptRecord, RetryScope, RunState,
    SaidKind, SaidRecord, Uploaded, Urgency,
};
use crate::identity::Standing;
use crate::ids::{AttemptId, BlobId, InboxId, InputId};
use crate::scheduler::placement::{Ahead, NodeOffer};

const ROOM: &str = "!room:example.org";
const SENDER: &str = "@node:example.org";

/// See the module.
const DIRECT: &str = include_str!("golden/direct-v1.txt");
/// Heartbeats and grants with `commit`.
const DIRECT_COMMIT: &str = include_str!("golden/direct-v2.txt");
/// A refusal for lack of a slot.
const DIRECT_FULL: &str = include_str!("golden/direct-v3.txt");
const VOTES: &str = include_str!("golden/votes-v1.txt");
const CONTROL: &str = include_str!("golden/control-v1.txt");

fn uploaded() -> Uploaded {
    Uploaded { sha256: BlobId("ab".repeat(32)), size: 12, media: json!({ "url": "mxc://example.org/abc" }) }
}

fn spec() -> TaskSpec {
    TaskSpec {
        program: Program::Argv(vec!["make".into(), "test".into()]),
        env: BTreeMap::from([("CI".into(), "1".into())]),
        base_env: None,
        umask: None,
        cwd: String::new(),
        tty: true,
        secrets: BTreeMap::new(),
        run_secrets: Vec::new(),
        sensitive: vec!["hunter2".into()],
        timeout_ms: Some(60_000),
        idle_ms: Some(30_000),
        grace_ms: 10_000,
        keeps_log: true,
        log_limit_bytes: 1 << 20,
        outputs: BTreeMap::new(),
        artifacts: vec!["target/*.bin".into()],
        cache: None,
        context: None,
        profile: Some("claude".into()),
        inputs: BTreeMap::from([("in.txt".into(), BlobId("cd".repeat(32)))]),
    }
}

fn offer() -> NodeOffer {
    NodeOffer {
        name: "builder".into(),
        version: "0.1.0".into(),
        tags: ["gpu".to_owned()].into(),
        agents: ["claude".to_owned()].into(),
        slots: 4,
        sessions: 3,
        others: Some(1),
        ahead: Some(Ahead { run: run_id(), count: 8 }),
        load_permille: 250,
        files: true,
        secrets: true,
        commits: false,
        draining: true,
        paused: true,
        policy: 2,
        ..NodeOffer::default()
    }
}

fn report() -> Report {
    let output = OutputRecord { value: json!("9"), hash: "00".into(), blob: None, hidden: true };
    let file = ArtifactRecord {
        path: "target/a.bin".into(),
        blob: BlobId("f00d".repeat(16)),
        size: 3,
        executable: true,
        readers: FileReaders::default(),
    };
    let cause = FailureCause::Exit { status: ExitStatus::Code(2) };
    Report {
        exit: Some(ExitStatus::Code(2)),
        outputs: BTreeMap::from([("answer".into(), output)]),
        artifacts: vec![file],
        files: Some(uploaded()),
        log_bytes: 70,
        lost_output: Some(LostOutput { bytes: 3, cause: "the disk is full".into() }),
        ..Report::bare(AttemptOutcome::Failed { cause }, Some(1_700_000_000_001), 1_700_000_000_002)
    }
}

fn news() -> Vec<SessionNews> {
    let (input, item) = (InputId::from_parts(1, 7), InboxId::of_prompt(session(1), 2));
    let ask = InboxId::of_ask(session(1), input);
    let answer = AnswerRecord {
        option: Some("1".into()),
        text: "yes".into(),
        reason: Some("it is fine".into()),
        by: "uid:1000".into(),
        bytes: 4,
    };
    let said = SaidRecord {
        kind: SaidKind::Progress,
        text: "halfway".into(),
        urgency: Urgency::High,
        percent: Some(50),
        thread: Some(ask.clone()),
    };
    let asked = AskRecord {
        item: ask.clone(),
        ask: input,
        ask_type: AskType::Clarification,
        text: "Which one?".into(),
        options: Vec::new(),
        urgency: Urgency::Medium,
        thread: ask.clone(),
        waits: true,
    };
    let prompt = PromptRecord {
        hash: "0123456789abcdef".into(),
        question: "Go on?".into(),
        screen: "Go on? [y/n]".into(),
        waited_ms: 5,
        ..PromptRecord::bare(session(1), 2, PromptKind::Question)
    };
    vec![
        SessionNews::Blocked { prompt: Box::new(prompt) },
        SessionNews::Recovered { episode: 2 },
        SessionNews::Asked { ask: Box::new(asked) },
        SessionNews::AskWithdrawn { item: ask, detail: "its session ended".into() },
        SessionNews::Answered { item: item.clone(), input, answer: Box::new(answer) },
        SessionNews::AnswerVoid { item, input, detail: "the prompt moved".into() },
        SessionNews::Said { input, said: Box::new(said) },
        SessionNews::HandedIn { input, text: Some("done".into()) },
        SessionNews::LoggedOut { account: "claude".into(), retryable: true, detail: "401".into() },
    ]
}

/// Every message, with every key that it can have.
fn messages() -> Vec<Message<TaskPayload>> {
    let (run, epoch) = (run_id(), 3);
    let attempt = AttemptId { run, task: task(1), number: 2 };
    let granted = Granted { attempt, fence: crate::fence::next(0, epoch) };
    let tags = vec!["gpu".to_owned()];
    let spec = RemoteSpec {
        slots: 2,
        files: Some(uploaded()),
        tags: Some(tags),
        commit: false,
        spec: Box::new(spec()),
        sealed: None,
    };
    let held = [HeldState::Working, HeldState::Frozen, HeldState::Ended].map(|state| HeldRecord {
        granted: granted.clone(),
        session: session(1),
        state,
    });
    let refused = |reason| Message::Refused { granted: granted.clone(), reason };
    let mut progress = vec![Progress::Started { at_ms: 1_700_000_000_001 }];
    progress.extend(news().into_iter().map(|news| Progress::Session { news }));
    progress.push(Progress::Collecting {});
    let group = "gpu".to_owned();
    let reported = GroupReport { uses: 1, holds: 2, waiting: 3 };
    let places = GroupPlaces { places: 1, taken: 2, fair: 1 };
    vec![
        Message::Heartbeat { nonce: 7, status: offer() },
        Message::Alive {},
        Message::Grant {
            epoch,
            nonce: 7,
            lease_ms: 60_000,
            grant: Grant { granted: granted.clone(), session: session(1), spec },
        },
        Message::Renew { run, epoch, nonce: 8, lease_ms: 60_000, grants: vec![granted.clone()] },
        Message::Cancel { epoch, granted: granted.clone(), grace_ms: 10_000, keep: true },
        Message::Noted { epoch, granted: granted.clone(), next: 4 },
        Message::Recorded { epoch, granted: granted.clone() },
        Message::Forget { epoch, granted: granted.clone() },
        Message::Recover { run, epoch },
        Message::Holding { run, epoch, held: held.to_vec() },
        Message::Claimed { granted: granted.clone() },
        refused(Refusal::Resources { detail: "no PTY is left".into() }),
        refused(Refusal::Withdrawn { full: false }),
        refused(Refusal::Policy { detail: "rule 1".into() }),
        Message::Unknown { granted: granted.clone() },
        Message::Progress { granted: granted.clone(), first: 1, progress },
        Message::Result { granted: granted.clone(), report: report() },
        Message::Groups {
            of: GroupMessage::Report { epoch, nonce: 9, groups: [(group.clone(), reported)].into() },
        },
        Message::Groups {
            of: GroupMessage::Quotas { epoch, nonce: 9, lease_ms: 20_000, groups: [(group, places)].into() },
        },
        Message::Groups { of: GroupMessage::Recover { epoch } },
    ]
}

/// What coordinators at several homeservers say to each other.
fn votes() -> Vec<Message<TaskPayload>> {
    let run = run_id();
    let after = Position::start(run).after(run, 3, "an entry");
    let epoch = 4;
    let candidate = |trial| VoterMessage::Candidate { run, epoch, after, of: key(2).did(), trial };
    let all = [
        VoterMessage::Ask { nonce: 7, runs: vec![(run, after)], lost: vec![run] },
        VoterMessage::Follow { nonce: 7, except: vec![(run, 4)], read: vec![(run, after)] },
        candidate(true),
        candidate(false),
        VoterMessage::Vote { run, epoch, trial: false, granted: true },
        VoterMessage::GaveWay { run, epoch },
    ];
    all.map(|of| Message::Voters { of }).into()
}

/// Every request and response.
fn control() -> Vec<Control> {
    let id = InputId::from_parts(1_700_000_000_000, 7);
    let request = |verb| Control::Request(ControlRequest { id, run: run_id(), verb, by: "uid:1000".into() });
    let response = |outcome| Control::Response(ControlResponse { id, outcome });
    let item = InboxId::of_prompt(session(1), 2);
    let answer = |with| {
        let (reason, hash, again) = (Some("it is fine".into()), Some("0123456789abcdef".into()), Some(5));
        let answer = Box::new(Answer { with, reason, hash, again, input: InputId::from_parts(1, 2) });
        let beside = Some(InputId::from_parts(1, 1));
        request(Verb::Answer { session: session(1), item: item.clone(), answer, beside, by_default: true })
    };
    let run = RunView {
        id: run_id(),
        dag: "sample".into(),
        state: RunState::Paused,
        mode: ExecutionMode::Matrix,
        room: Some(ROOM.into()),
        node: key(1).did(),
        source: "sample.toml".into(),
        created_ms: 1,
        started_ms: Some(2),
        retried_ms: None,
        ended_ms: None,
        counts: BTreeMap::new(),
        detail: None,
        cancelling: true,
        approvals: vec![task(1)],
        last_offset: 9,
    };
    let receipt = AnswerReceipt {
        bytes: 4,
        output_offset: Some(100),
        repeated: true,
        ..AnswerReceipt::new(item.clone(), "uid:1000".into(), "yes".into())
    };
    let why = Problem::new(ProblemKind::Conflict, "it has ended").hint("retry it");
    vec![
        request(Verb::Start {}),
        request(Verb::Pause {}),
        request(Verb::Resume {}),
        request(Verb::Cancel { now: true }),
        request(Verb::Retry { of: RetryScope::Failed }),
        request(Verb::Retry { of: RetryScope::All }),
        request(Verb::Retry { of: RetryScope::From { task: task(1), also: vec![] } }),
        request(Verb::Decide {
            task: task(1),
            decision: Decide { approve: false, reason: Some("not today".into()) },
        }),
        request(Verb::Kill { session: session(1), grace_ms: Some(5) }),
        answer(AnswerWith::Option { option: "id:1".into() }),
        answer(AnswerWith::Text { text: "yes".into() }),
        answer(AnswerWith::Keys { data: vec![27], names: "Esc".into() }),
        response(ControlOutcome::Done { run: Box::new(run) }),
        response(ControlOutcome::Answered { receipt: Box::new(receipt) }),
        response(ControlOutcome::Refused { why: Box::new(why) }),
    ]
}

/// A line of a golden file.
fn line(draft: &Draft) -> String {
    let content = draft.sign(&key(1), usize::MAX).unwrap().into_content();
    json!({ "type": draft.type_name, "content": content }).to_string()
}

/// The envelope that stands in a line. Its signature holds.
fn envelope(line: &str) -> Verified {
    let event: Value = serde_json::from_str(line).unwrap();
    let type_name = event["type"].as_str().unwrap();
    let carrier = Carrier { room: ROOM, type_name, sender: Some(SENDER) };
    verify(&event["content"], carrier, |_| Standing::Trusted).unwrap()
}

/// Compares a golden file with what this version writes of the same messages, and reads.
fn check<M: PartialEq + std::fmt::Debug>(
    golden: &str,
    messages: Vec<M>,
    draft: impl Fn(&M) -> Draft,
    read: impl Fn(Verified) -> M,
) {
    let written: Vec<String> = messages.iter().map(|message| line(&draft(message))).collect();
    assert_eq!(golden.lines().count(), written.len(), "this version writes:\n{}", written.join("\n"));
    for ((then, now), message) in golden.lines().zip(&written).zip(messages) {
        let (then, now): (_, Value) = (envelope(then), serde_json::from_str(now).unwrap());
        assert_eq!(now["type"], then.type_name());
        assert!(holds(&now["content"]["body"], then.body()), "{now}\nwas {}", then.body());
        assert_eq!(read(then), message);
    }
}

#[test]
fn messages_between_nodes_are_read_and_written_as_they_were() {
    let draft = |message: &_| direct::draft(message, Ulid::from_parts(1, 1), ROOM, SENDER);
    check(DIRECT, messages(), draft, |envelope| direct::read(envelope).unwrap().remove(0));
}

#[test]
fn tasks_that_wait_for_the_room_are_told_as_they_were() {
    let draft = |message: &_| direct::draft(message, Ulid::from_parts(1, 1), ROOM, SENDER);
    let with_key = messages().into_iter().filter_map(|mut message| {
        match &mut message {
            Message::Heartbeat { status, .. } => status.commits = true,
            Message::Grant { grant, .. } => grant.spec.commit = true,
            _ => return None,
        }
        Some(message)
    });
    check(DIRECT_COMMIT, with_key.collect(), draft, |envelope| direct::read(envelope).unwrap().remove(0));
}

#[test]
fn a_refusal_for_lack_of_a_slot_is_told_as_it_was() {
    let draft = |message: &_| direct::draft(message, Ulid::from_parts(1, 1), ROOM, SENDER);
    let refused = messages().into_iter().filter_map(|message| match message {
        Message::Refused { granted, reason: Refusal::Withdrawn { .. } } => {
            Some(Message::Refused { granted, reason: Refusal::Withdrawn { full: true } })
        }
        _ => None,
    });
    check(DIRECT_FULL, refused.collect(), draft, |envelope| direct::read(envelope).unwrap().remove(0));
}

#[test]
fn votes_are_read_and_written_as_they_were() {
    let draft = |message: &_| direct::draft(message, Ulid::from_parts(1, 1), ROOM, SENDER);
    check(VOTES, votes(), draft, |envelope| direct::read(envelope).unwrap().remove(0));
}

#[test]
fn control_requests_are_read_and_written_as_they_were() {
    let draft = |said: &Control| said.draft(ROOM, SENDER);
    check(CONTROL, control(), draft, |envelope| Control::read(&envelope).unwrap().unwrap());
}
