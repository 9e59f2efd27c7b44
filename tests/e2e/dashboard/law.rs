//! What a client folds out of events is what the API shows, at every point of a run that somebody looks at.

use std::collections::BTreeMap;
use std::time::Duration;

use cis_client::{Client, Followed};
use cis_core::api::RunDetail;
use cis_core::event::Event;
use cis_core::ids::{Offset, RunId};
use cis_core::live::{Applied, LiveRun};

use crate::harness::{Cis, eventually};

const EVERYTHING: &str = r#"version = 1
[dag]
id = "all"
max_parallel = 3
[[tasks]]
id = "flaky"
script = 'test -e "$E2E_WORK/again" || { touch "$E2E_WORK/again"; exit 1; }'
retries = { count = 2, delay = "50ms" }
[[tasks]]
id = "never"
needs = ["flaky"]
if = "1 > 2"
script = "true"
[[tasks]]
id = "each"
needs = ["flaky"]
foreach = ["a", "b", "c"]
script = 'echo {{ item }}'
[[tasks]]
id = "soft"
needs = ["flaky"]
allow_failure = true
script = "exit 3"
[[tasks]]
id = "ask"
needs = ["each"]
script = '''"$E2E_CIS" task progress "halfway" --percent 50; printf 'Go on? [y/n] '; read -r x; echo "x=$x" >> "$CIS_OUTPUT"'''
outputs = { x = { type = "string" } }
[[tasks]]
id = "gate"
needs = ["each"]
approval = { prompt = "Deploy?" }
script = "true"
[[tasks]]
id = "broken"
needs = ["ask", "gate"]
script = "exit 1"
[[tasks]]
id = "after"
needs = ["broken"]
script = "true"
"#;

/// The fold of a run, with all that it was.
#[derive(Default)]
struct Folding {
    live: Option<LiveRun>,
    was: BTreeMap<Offset, RunDetail>,
    /// Newer than what the fold has, or from before it knew: compared as soon as that can be done.
    shown: BTreeMap<Offset, RunDetail>,
    events: Vec<Event>,
    compared: usize,
    asked: usize,
}

impl Folding {
    fn event(&mut self, event: Event) {
        if let Some(live) = &mut self.live {
            match live.apply(&event) {
                Applied::Ask => {
                    self.asked += 1;
                    self.live = None;
                }
                Applied::Folded | Applied::Known => {
                    self.was.insert(live.offset(), live.detail().clone());
                }
            }
        }
        self.events.push(event);
        self.compare();
    }

    fn see(&mut self, shown: RunDetail) {
        if self.live.is_none() {
            let mut live = LiveRun::new(shown);
            let whole = self.events.iter().all(|event| {
                let applied = live.apply(event);
                self.was.insert(live.offset(), live.detail().clone());
                applied != Applied::Ask
            });
            // Else it is from before the event that asked.
            self.live = whole.then_some(live);
            return;
        }
        self.shown.insert(shown.run.last_offset, shown);
        self.compare();
    }

    fn compare(&mut self) {
        let Some(newest) = self.live.as_ref().map(LiveRun::offset) else { return };
        let later = self.shown.split_off(&(newest + 1));
        for (offset, shown) in std::mem::replace(&mut self.shown, later) {
            // A fold that had to ask in between has no such point.
            let Some(folded) = self.was.get(&offset) else { continue };
            assert_eq!(*folded, shown, "at offset {offset}");
            self.compared += 1;
        }
    }
}

#[test]
fn a_run_that_is_folded_is_what_the_api_shows_while_it_goes() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let socket = cis.status()["socket"].as_str().unwrap().to_owned();
    let id = cis.start(EVERYTHING);
    let run: RunId = id.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new(std::path::PathBuf::from(socket), None);
    let mut folding = Folding::default();
    std::thread::scope(|threads| {
        let person = threads.spawn(|| {
            eventually("both wait", || (cis.json(&["inbox"])["items"].as_array()?.len() == 2).then_some(()));
            cis.ok(["dag", "pause", &id]);
            let items = cis.json(&["inbox"])["items"].clone();
            for item in items.as_array().unwrap() {
                let name = item["id"].as_str().unwrap();
                let approval = item["kind"] == "approval";
                cis.ok(if approval {
                    vec!["answer", name, "approve"]
                } else {
                    vec!["answer", name, "--text", "y"]
                });
            }
            cis.ok(["dag", "resume", &id]);
            cis.wait_run(&id, "failed");
            cis.ok(["dag", "retry", &id, "--failed"]);
            cis.wait_run(&id, "failed");
        });
        runtime.block_on(async {
            let mut stream = client.events(Some(&id), None).await.unwrap();
            while !person.is_finished() {
                let frame = tokio::time::timeout(Duration::from_millis(5), stream.next()).await;
                if let Ok(Ok(Followed::Frame(frame))) = frame {
                    for event in frame.events().unwrap() {
                        folding.event(event);
                    }
                }
                folding.see(client.run(&run.to_string()).await.unwrap());
            }
        });
        person.join().unwrap();
    });
    assert!(
        folding.compared > 30 && folding.asked < folding.events.len() / 2,
        "{} {}",
        folding.compared,
        folding.asked
    );
}
