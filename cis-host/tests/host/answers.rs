//! Many answers at once, through the hub, while prompts change by themselves: each is typed once, into the
//! prompt that it is for, or not at all. What was typed where is read from the session's own output up to
//! the moment when the host took the answer, and from the terminal's echo.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cis_core::api::TermSize;
use cis_core::ids::{InputId, SessionId};
use cis_core::monitor::{Change, Profile, Seed, Verdict};
use cis_core::policy::redact::Redactor;
use cis_host::hub::{Answer, Hub, HubError, HubNews, Monitoring, SessionInfo, Sighting};
use cis_host::protocol::Role;

use crate::support::{Host, until};

const SESSIONS: usize = 20;
const PROMPTS: u32 = 5;
const RACERS: u128 = 12;

/// Asks; the question changes by itself around the time when it is noticed, or not at all.
const SCRIPT: &str = r#"
n=0
while [ $n -lt 5 ]; do
  n=$((n+1))
  printf 'question %s? ' $n
  ( sleep 1.0$((RANDOM % 10)); [ $((RANDOM % 3)) != 0 ] && printf '\nquestion %s changed? ' $n ) &
  read -r answer
  kill $! 2>/dev/null; wait $! 2>/dev/null
  printf 'got %s\n' "$answer"
done
"#;

/// What became of the answers to one prompt of one session.
#[derive(Debug, Default)]
struct Fate {
    question: String,
    /// With the output there was when it was taken.
    typed: Vec<(String, u64)>,
    refused: usize,
}

type Fates = Arc<Mutex<BTreeMap<(SessionId, u32), Fate>>>;

/// Sends many answers to one prompt at about the same time.
fn race(hub: &Hub, session: SessionId, verdict: &Verdict, fates: &Fates) {
    for racer in 0..RACERS {
        let token = format!("e{}r{racer}z", verdict.episode);
        let answer = Answer {
            session,
            episode: verdict.episode,
            hash: verdict.hash.clone(),
            input: InputId::from_parts(u64::from(verdict.episode), racer),
            bytes: format!("{token}\r").into_bytes(),
            is_line: false,
            again: false,
            repeated: false,
            by_default: false,
        };
        let (hub, fates, key) = (hub.clone(), Arc::clone(fates), (session, verdict.episode));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis((racer as u64 * 7) % 40)).await;
            let outcome = hub.answer(answer).await;
            let mut fates = fates.lock().unwrap();
            let fate = fates.entry(key).or_default();
            match outcome {
                Ok(receipt) => fate.typed.push((token, receipt.output_offset)),
                Err(
                    HubError::PromptMoved { .. } | HubError::Answered { .. } | HubError::NoSuchSession { .. },
                ) => {
                    fate.refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        });
    }
}

/// Every token of an answer in what was written, with the question that stood before it.
fn echoes(log: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in log.split(['\n', '\r']).filter(|line| !line.starts_with("got ")) {
        let mut rest = line;
        while let Some(at) = rest.find("question ") {
            let end = rest[at..].find('?').map_or(rest.len(), |mark| at + mark + 1);
            let question = rest[at..end].to_owned();
            rest = &rest[end..];
            // Behind it stands the echo, or nothing, or what the program says of an answer to an earlier one.
            let token = rest.trim_start().split_once('z').map(|(token, _)| format!("{token}z"));
            found.extend(token.filter(|token| token.starts_with('e')).map(|token| (question, token)));
        }
    }
    found
}

#[test]
#[ignore = "takes a minute"]
fn alone_racing_answers_are_typed_once_and_into_their_prompt() {
    let host = Host::start();
    let mut control = host.connect(Role::Control);
    let starts: Vec<_> = (0..SESSIONS)
        .map(|_| {
            let mut start = host.shell_on_pty(SCRIPT);
            start.argv[0] = "bash".to_owned();
            start
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fates = Fates::default();
    let (seen, sightings) = std::sync::mpsc::channel();
    let watcher = Arc::new(move |news| {
        if let HubNews::Seen(sighting) = news {
            drop(seen.send(sighting));
        }
    });
    let hub = Hub::spawn(runtime.handle(), host.path("socket"), watcher);
    for start in &starts {
        control.start(start);
        hub.open(SessionInfo {
            id: start.session,
            tty: true,
            size: TermSize::default(),
            log: host.log_path(start.session),
            live_from: Some(0),
            redactor: Arc::new(Redactor::default()),
            monitor: Some(Monitoring { profile: Profile::plain(), seed: Seed::default() }),
        });
    }
    let racing = (hub.clone(), Arc::clone(&fates), runtime.handle().clone());
    let racer = std::thread::spawn(move || {
        let (hub, fates, runtime) = racing;
        let _entered = runtime.enter();
        while let Ok(Sighting { session, change, .. }) = sightings.recv() {
            if let Change::Blocked(verdict) = change {
                fates.lock().unwrap().entry((session, verdict.episode)).or_default().question =
                    verdict.question.clone();
                race(&hub, session, &verdict, &fates);
            }
        }
    });
    for start in &starts {
        control.exit(start.session);
    }
    let sent = fates.lock().unwrap().len() * RACERS as usize;
    until("every answer has its outcome", || {
        let fates = fates.lock().unwrap();
        fates.values().map(|fate| fate.typed.len() + fate.refused).sum::<usize>() == sent
    });
    drop(hub);
    drop(runtime);
    racer.join().unwrap();
    let fates = fates.lock().unwrap();
    // Echoed behind a question that came between the write and the echo, which the kernel makes later.
    let (mut typed, mut late) = (0, 0);
    for start in &starts {
        let log = host.log(start.session);
        let mut echoed = echoes(&log);
        assert_eq!(echoed.len(), PROMPTS as usize, "{log}");
        for ((session, episode), fate) in fates.iter().filter(|((session, _), _)| *session == start.session) {
            assert!(fate.typed.len() <= 1, "episode {episode} of {session}: {fate:?}");
            for (token, offset) in &fate.typed {
                let before = &log[..usize::try_from(*offset).unwrap()];
                let last = before.rsplit("question ").next().unwrap();
                let shown = format!("question {}", last.trim_end());
                assert!(fate.question.ends_with(&shown), "{token} for {:?} at {shown}: {log}", fate.question);
                let at = echoed.iter().position(|(_, echo)| echo == token);
                let (question, _) = echoed.remove(at.unwrap_or_else(|| panic!("{token} is not in {log}")));
                late += usize::from(!fate.question.contains(&question));
                typed += 1;
            }
        }
        assert!(echoed.is_empty(), "typed though refused: {echoed:?} in {log}");
    }
    let changed = fates.values().filter(|fate| fate.typed.is_empty()).count();
    eprintln!(
        "{sent} answers to {} prompts, {typed} typed; {changed} prompts went away first, {late} echoes were late",
        fates.len()
    );
    assert!(late * 20 <= typed, "{late} of {typed} answers stand behind another question");
    assert!(sent >= 1000, "only {sent} answers raced");
}
