//! What the model lacks is asked for, each thing once however often it was missed meanwhile.
//!
//! One thing at a time, what waits for a person first. Each thing has a pause of its own: what is slow, or fails,
//! keeps nothing else waiting, and nothing that is wanted is forgotten.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cis_client::{Client, ClientError};
use cis_core::api::{ListInbox, ProblemKind};
use cis_core::ids::RunId;
use tokio::time::Instant;

use super::{Shared, problem};
use crate::model::{Tone, Update, Want};

/// Before the same is asked for again at least so long.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// And at most so long, where it came.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The inbox is what a person waits for.
const PAUSE_INBOX: Duration = Duration::from_millis(100);
/// What is only looked at now and then, and changes with all that happens.
const PAUSE_SLOW: Duration = Duration::from_secs(2);
/// Of the time at most a fourth is spent with asking for the same.
const PAUSE_TIMES: u32 = 3;
/// After the first failure; twice as long after each other one.
const PAUSE_FAILED: Duration = Duration::from_millis(500);
/// But not longer.
const PAUSE_FAILED_MAX: Duration = Duration::from_secs(30);
/// Pauses that are known, about.
const PACES_MAX: usize = 4_096;

/// Serves the model's wants, for ever.
pub(super) async fn serve(client: Arc<Client>, shared: Arc<Shared>) {
    let mut queue = Queue::default();
    loop {
        let (wants, looked_at) = shared.take_wants();
        queue.add(wants, looked_at);
        if shared.take_back() {
            queue.calm();
        }
        let want = match queue.turn(Instant::now()) {
            Turn::Ask(want) => want,
            Turn::Wait(until) => {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = shared.wanted.notified() => {}
                }
                continue;
            }
            Turn::Idle => {
                shared.wanted.notified().await;
                continue;
            }
        };
        let began = Instant::now();
        // Before the request goes out: what happens from now on may not be in the answer.
        shared.model().taken(want);
        let answer = ask(&client, want).await;
        let now = Instant::now();
        match answer {
            Ok(update) => {
                queue.done(want, began, now);
                shared.apply(update);
            }
            Err(error) => match (fate(&error), want) {
                (Fate::Gone, Want::Run(run)) => {
                    queue.done(want, began, now);
                    shared.apply(Update::RunGone(run));
                }
                (Fate::Refused, Want::Run(run)) => {
                    queue.done(want, began, now);
                    shared.apply(Update::RunRefused(run, Box::new(problem(error))));
                }
                (Fate::Away, _) => {
                    shared.model().missed(want);
                    queue.failed(want, now);
                    queue.hold = Some(now + PAUSE_FAILED);
                }
                (Fate::Later, _) => {
                    shared.model().missed(want);
                    queue.failed(want, now);
                }
                (Fate::Gone | Fate::Refused, _) => {
                    if queue.failed(want, now) {
                        let why = problem(error);
                        shared.note(Tone::Bad, why.detail, why.hint);
                    }
                }
            },
        }
    }
}

/// What becomes of something that did not come.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// There is none.
    Gone,
    /// It will not come when it is asked for again.
    Refused,
    /// Nothing else would come either.
    Away,
    /// It is asked for again.
    Later,
}

fn fate(error: &ClientError) -> Fate {
    match error {
        ClientError::Problem(problem) => match problem.kind {
            ProblemKind::NotFound => Fate::Gone,
            ProblemKind::Unavailable | ProblemKind::Internal => Fate::Later,
            _ => Fate::Refused,
        },
        ClientError::Protocol { .. } | ClientError::TooLarge { .. } => Fate::Refused,
        // That it is slow with one thing says nothing of others.
        ClientError::Timeout { .. } => Fate::Later,
        _ => Fate::Away,
    }
}

async fn ask(client: &Client, want: Want) -> Result<Update, ClientError> {
    Ok(match want {
        Want::Inbox => Update::Inbox(client.whole_inbox(ListInbox::default()).await?),
        Want::Run(run) => Update::Run(Box::new(client.run(&run.to_string()).await?)),
        Want::Sessions => Update::Sessions(super::sessions(client).await?),
        Want::Node => Update::Node(Box::new(client.node().await?)),
        Want::Groups => Update::Groups(client.groups().await?.items),
    })
}

/// What is wanted, and when each of it may be asked for.
#[derive(Debug, Default)]
struct Queue {
    wants: BTreeSet<Want>,
    /// Runs that somebody looks at.
    looked_at: BTreeSet<RunId>,
    paces: BTreeMap<Want, Pace>,
    /// Nothing is asked for before.
    hold: Option<Instant>,
}

#[derive(Debug)]
struct Pace {
    due: Instant,
    failed: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Ask(Want),
    Wait(Instant),
    Idle,
}

impl Queue {
    fn add(&mut self, mut wants: BTreeSet<Want>, mut looked_at: BTreeSet<RunId>) {
        for run in &looked_at {
            // A person who looks does not wait for what failed before.
            self.paces.remove(&Want::Run(*run));
            wants.insert(Want::Run(*run));
        }
        self.wants.append(&mut wants);
        self.looked_at.append(&mut looked_at);
    }

    /// What is asked for now; it is wanted no more.
    fn turn(&mut self, now: Instant) -> Turn {
        if self.wants.is_empty() {
            return Turn::Idle;
        }
        if let Some(hold) = self.hold.filter(|hold| *hold > now) {
            return Turn::Wait(hold);
        }
        let due = |want: &Want| self.paces.get(want).map_or(now, |pace| pace.due);
        let ready = self.wants.iter().filter(|want| due(want) <= now);
        if let Some(want) = ready.min_by_key(|want| self.rank(**want)).copied() {
            self.wants.remove(&want);
            if let Want::Run(run) = want {
                self.looked_at.remove(&run);
            }
            return Turn::Ask(want);
        }
        self.wants.iter().map(due).min().map_or(Turn::Idle, Turn::Wait)
    }

    /// What waits for a person first, then what one looks at; of runs the newest first.
    fn rank(&self, want: Want) -> (u8, Reverse<Option<RunId>>) {
        match want {
            Want::Inbox => (0, Reverse(None)),
            Want::Run(run) if self.looked_at.contains(&run) => (1, Reverse(Some(run))),
            Want::Sessions | Want::Node | Want::Groups => (2, Reverse(None)),
            Want::Run(run) => (3, Reverse(Some(run))),
        }
    }

    /// It came, or will not.
    fn done(&mut self, want: Want, began: Instant, now: Instant) {
        let pause = ((now - began) * PAUSE_TIMES).max(PAUSE_MIN);
        let pause = match want {
            Want::Inbox => pause.min(PAUSE_INBOX),
            Want::Run(_) => pause.min(PAUSE_MAX),
            Want::Sessions | Want::Node | Want::Groups => PAUSE_SLOW,
        };
        if self.paces.len() >= PACES_MAX {
            self.paces.retain(|_, pace| pace.due > now);
        }
        self.paces.insert(want, Pace { due: now + pause, failed: 0 });
    }

    /// It did not come, and is wanted again after a while; whether it is the first time.
    fn failed(&mut self, want: Want, now: Instant) -> bool {
        self.wants.insert(want);
        let pace = self.paces.entry(want).or_insert(Pace { due: now, failed: 0 });
        let pause = PAUSE_FAILED * 2_u32.saturating_pow(pace.failed.min(16));
        pace.due = now + pause.min(PAUSE_FAILED_MAX);
        pace.failed += 1;
        pace.failed == 1
    }

    /// The node is back: what failed while it was away is asked for at once.
    fn calm(&mut self) {
        self.hold = None;
        self.paces.retain(|_, pace| pace.failed == 0);
    }
}

#[cfg(test)]
mod tests {
    use cis_core::api::Problem;
    use cis_core::ids::SessionId;
    use serde_json::{Value, json};

    use super::*;

    fn run(n: u64) -> Want {
        Want::Run(RunId::from_parts(n, 1))
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_question_does_not_wait_for_the_runs_that_are_loaded() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let mut now = start;
        queue.add((0..500).map(run).collect(), BTreeSet::new());
        let mut loaded = 0;
        let mut asked = Vec::new();
        loop {
            match queue.turn(now) {
                Turn::Ask(want) => {
                    let began = now;
                    now += ms(50);
                    queue.done(want, began, now);
                    if want == Want::Inbox {
                        asked.push(now - start);
                    } else {
                        loaded += 1;
                    }
                    if loaded == 20 {
                        queue.add([Want::Inbox].into(), BTreeSet::new());
                    }
                }
                Turn::Wait(until) => now = until,
                Turn::Idle => break,
            }
        }
        assert_eq!(loaded, 500);
        assert!(asked[0] <= ms(1_100), "{asked:?}");
        assert!(now - start < Duration::from_secs(27), "without pauses between runs: {:?}", now - start);
    }

    #[test]
    fn the_same_is_asked_for_with_a_pause_and_nothing_else_waits_for_it() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.done(run(1), now, now + Duration::from_secs(10));
        let now = now + Duration::from_secs(10);
        queue.add([run(1), run(0)].into(), BTreeSet::new());
        assert_eq!(queue.turn(now), Turn::Ask(run(0)));
        assert_eq!(queue.turn(now), Turn::Wait(now + PAUSE_MAX));
        assert_eq!(queue.turn(now + PAUSE_MAX), Turn::Ask(run(1)));
        queue.done(Want::Node, now, now);
        queue.add([Want::Node].into(), BTreeSet::new());
        assert_eq!(queue.turn(now), Turn::Wait(now + PAUSE_SLOW));
    }

    #[test]
    fn who_looks_is_served_before_what_is_only_kept_up_to_date() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add((0..9).map(run).collect(), [RunId::from_parts(4, 1)].into());
        assert_eq!(queue.turn(now), Turn::Ask(run(4)));
        assert_eq!(queue.turn(now), Turn::Ask(run(8)), "the newest first");
    }

    #[test]
    fn what_failed_is_asked_for_again_and_ever_more_seldom() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add([run(1)].into(), BTreeSet::new());
        let mut pauses = Vec::new();
        for n in 0..40 {
            let Turn::Ask(want) = queue.turn(now) else { panic!("it is forgotten after {n} failures") };
            assert_eq!(queue.failed(want, now), n == 0);
            let Turn::Wait(until) = queue.turn(now) else { panic!("without a pause") };
            pauses.push(until - now);
            now = until;
        }
        assert_eq!(pauses[..3], [ms(500), ms(1_000), ms(2_000)]);
        assert_eq!(pauses.last(), Some(&PAUSE_FAILED_MAX));
        assert!(matches!(queue.turn(now), Turn::Ask(_)));
        queue.failed(run(1), now);
        queue.calm();
        assert_eq!(queue.turn(now), Turn::Ask(run(1)), "the node is back");
    }

    #[test]
    fn nothing_that_may_come_later_is_given_up() {
        let told = |kind| fate(&ClientError::Problem(Box::new(Problem::new(kind, "no"))));
        assert_eq!(told(ProblemKind::NotFound), Fate::Gone);
        assert_eq!(told(ProblemKind::Denied), Fate::Refused);
        assert_eq!(told(ProblemKind::Internal), Fate::Later);
        assert_eq!(told(ProblemKind::Unavailable), Fate::Later);
        assert_eq!(fate(&ClientError::Timeout { seconds: 10 }), Fate::Later);
        assert_eq!(fate(&ClientError::NotRunning { socket: "/s".into() }), Fate::Away);
    }

    /// Answers a request at a socket with each of these bodies; gives the paths that were asked for.
    async fn node(listener: tokio::net::UnixListener, status: &str, bodies: Vec<String>) -> Vec<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut paths = Vec::new();
        for body in bodies {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            paths.push(head.split(' ').nth(1).unwrap_or_default().to_owned());
            let length = body.len();
            let text =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
        paths
    }

    #[tokio::test]
    async fn a_node_that_fails_once_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let shared = Shared::new(Arc::new(|| {}));
        shared.want([run(1)].into());
        let client = Arc::new(Client::new(&path, None));
        let loader = tokio::spawn(serve(client, Arc::clone(&shared)));
        let answers = node(listener, "500 Broken", vec!["{}".to_owned(); 2]);
        let asked = tokio::time::timeout(Duration::from_secs(20), answers).await;
        loader.abort();
        let asked = asked.expect("it is wanted still");
        assert!(asked[0].starts_with("/v1/runs/") && asked[0] == asked[1], "{asked:?}");
    }

    #[tokio::test]
    async fn all_pages_of_live_sessions_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let page = |n: u128, state: &str, next: Value| {
            let session = json!({ "id": SessionId::from_parts(7, n), "run": null, "task": null, "attempt": null,
                "name": null, "state": state, "pid": null, "tty": true, "size": null, "command": "bash",
                "created_ms": 1, "ended_ms": null, "exit_code": null });
            json!({ "items": [session], "next": next }).to_string()
        };
        let pages = vec![
            page(3, "ready", "more".into()),
            page(2, "ready", Value::Null),
            page(1, "exited", "older".into()),
        ];
        let node = tokio::spawn(node(listener, "200 OK", pages));
        let listed = crate::feed::sessions(&Client::new(&path, None)).await.unwrap();
        let ids: Vec<SessionId> = listed.iter().map(|session| session.id).collect();
        assert_eq!(ids, [3, 2, 1].map(|n| SessionId::from_parts(7, n)));
        let asked = node.await.unwrap();
        assert!(asked[1].contains("after=more"), "{asked:?}");
    }
}
