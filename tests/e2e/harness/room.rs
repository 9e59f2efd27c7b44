//! A room as somebody in it sees it, over plain HTTP; and what a node makes of what stands there.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cis_core::dag;
use cis_core::event::{Event, EventBody};
use cis_core::federation::canonical::Fold;
use cis_core::federation::envelope::{Carrier, Verified, verify};
use cis_core::federation::journal::{Batch, Fact, Reader, Told};
use cis_core::federation::outgoing::{JOURNAL, SNAPSHOT, SnapshotTold};
use cis_core::federation::room_event::{Entry, to_facts};
use cis_core::identity::Standing;
use cis_core::ids::{NodeDid, RunId};
use cis_core::scheduler::Run;
use cis_local::Home;
use cis_store::Readers;
use serde_json::Value;

use super::synapse::{User, encoded};

/// A room, seen by one who is in it.
pub struct Room<'a> {
    user: &'a User,
    pub id: String,
}

/// What a node reads of a run in a room.
pub struct Followed {
    /// What the run's journal folds to, canonical JSON.
    pub state: String,
    /// Whether the journal begins with a snapshot.
    pub from_snapshot: bool,
    /// Envelopes that it takes.
    pub envelopes: usize,
}

impl<'a> Room<'a> {
    /// `user` joins it.
    #[track_caller]
    pub fn joined(user: &'a User, id: &str) -> Self {
        user.join(id);
        Self { user, id: id.to_owned() }
    }

    /// Everything in it, oldest first.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut from = String::new();
        loop {
            let path = format!("/rooms/{}/messages?dir=f&limit=200{from}", encoded(&self.id));
            let page = self.user.ok("GET", &path, None);
            all.extend(page["chunk"].as_array().unwrap().iter().cloned());
            let Some(end) = page["end"].as_str() else { return all };
            from = format!("&from={}", encoded(end));
        }
    }

    /// Messages that carry this beside their words, without edits: `cis.dag.card`, `cis.dag.question`.
    #[track_caller]
    pub fn messages(&self, beside: &str, run: &str) -> Vec<Value> {
        let of_run = |event: &Value| {
            event["type"] == "m.room.message"
                && event["content"][beside]["run"] == run
                && event["content"]["m.relates_to"]["rel_type"] != "m.replace"
        };
        self.events().into_iter().filter(of_run).collect()
    }

    /// What a message says by now, and how often it was edited.
    #[track_caller]
    pub fn now(&self, message: &Value) -> (Value, usize) {
        let edits = self.related("m.replace", message);
        let newest = edits.last().map_or(&message["content"], |edit| &edit["content"]["m.new_content"]);
        (newest.clone(), edits.len())
    }

    /// What is said in the thread of a message.
    #[track_caller]
    pub fn thread(&self, root: &Value) -> Vec<Value> {
        self.related("m.thread", root)
    }

    fn related(&self, how: &str, to: &Value) -> Vec<Value> {
        let relates = |event: &Value| {
            let relation = &event["content"]["m.relates_to"];
            relation["rel_type"] == how && relation["event_id"] == to["event_id"]
        };
        self.events().into_iter().filter(relates).collect()
    }

    /// Reads a run as another node does that trusts the one with this DID. None: entries are missing.
    #[track_caller]
    pub fn follow(&self, run: &str, by: &str, text: &str) -> Option<Followed> {
        let (run, by) = (run.parse::<RunId>().unwrap(), NodeDid(by.to_owned()));
        let (mut reader, mut facts) = (Reader::new(run), Vec::new());
        let (mut seqs, mut from_snapshot, mut envelopes) = (BTreeSet::new(), false, 0);
        for event in self.events() {
            let kind = event["type"].as_str().unwrap_or_default();
            if event["content"]["run"] != run.to_string() || ![JOURNAL.name, SNAPSHOT.name].contains(&kind) {
                continue;
            }
            let envelope = self.checked(&event, &by);
            let seq = envelope.seq().expect("the timeline is numbered");
            assert!(seqs.insert((seq.incarnation, seq.n)), "{seq:?} came twice: {event}");
            envelopes += 1;
            let entries = if kind == SNAPSHOT.name {
                let SnapshotTold::Whole(snapshot) = SnapshotTold::read(&envelope).unwrap() else {
                    panic!("a small one goes as it is")
                };
                assert!(facts.is_empty(), "it comes first");
                from_snapshot = true;
                let before: Vec<Fact> =
                    snapshot.entries.iter().flat_map(|entry| facts_of(entry, &by)).collect();
                assert!(snapshot.is_state_of(&fold(run, &before, text)), "{snapshot:?}");
                facts = before;
                reader.begin_after(snapshot.at, by.clone()).entries
            } else {
                let Told::Batch(batch) = Batch::read(&envelope).unwrap() else {
                    panic!("a small one goes as it is")
                };
                let taken = reader.take(batch);
                assert!(taken.reports.is_empty() && taken.cut.is_none(), "{:?}", taken.reports);
                taken.entries
            };
            facts.extend(entries.iter().flat_map(|placed| facts_of(&placed.entry, &placed.by)));
        }
        if facts.is_empty() || !reader.missing().is_empty() {
            return None;
        }
        Some(Followed { state: fold(run, &facts, text).canonical(), from_snapshot, envelopes })
    }

    /// An envelope, its signature, place and sender checked.
    #[track_caller]
    pub fn checked(&self, event: &Value, by: &NodeDid) -> Verified {
        let carrier = Carrier {
            room: &self.id,
            type_name: event["type"].as_str().unwrap(),
            sender: event["sender"].as_str(),
        };
        let standing = |did: &NodeDid| if did == by { Standing::Trusted } else { Standing::Unknown };
        verify(&event["content"], carrier, standing).unwrap_or_else(|why| panic!("{why}: {event}"))
    }
}

/// What the node of this home knows of a run, canonical JSON.
#[track_caller]
pub fn own_state(home: &Path, run: &str, text: &str) -> String {
    let run = run.parse::<RunId>().unwrap();
    fold(run, &own_facts(home, run), text).canonical()
}

/// What the node of this home knows to have happened to a run.
#[track_caller]
pub fn own_facts(home: &Path, run: RunId) -> Vec<Fact> {
    let home = Home { dir: home.to_owned(), runtime: home.join("run") };
    let events =
        Readers::open(&home.database()).unwrap().get().unwrap().events(0, Some(run), 100_000).unwrap();
    let fact = |event: &Event| Fact {
        at_ms: event.at_ms,
        actor: event.actor.clone(),
        cause: event.cause,
        body: event.decode().unwrap(),
    };
    events.iter().map(fact).collect()
}

fn facts_of(entry: &Entry, by: &NodeDid) -> Vec<Fact> {
    to_facts(entry, by).unwrap()
}

/// A run as these facts make it.
pub fn fold(run: RunId, facts: &[Fact], text: &str) -> Fold {
    let EventBody::RunCreated(created) = &facts[0].body else { panic!("{:?}", facts[0]) };
    let dag = Arc::new(dag::parse(text.as_bytes(), "x.toml").unwrap());
    let mut fold = Fold::new(Run::new(run, created, dag, facts[0].at_ms).unwrap());
    facts[1..].iter().for_each(|fact| fold.apply(fact).unwrap());
    fold
}
