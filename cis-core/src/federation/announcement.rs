//! Announcements: small signed events beside a run's journal, each of a type of its own, so that programs find by its type
//! alone what they look for.
//!
//! Owns which events of a run are announced, and what is said of them. The journal stays what counts: an announcement
//! names the entry that says the same, has no number of its own, and changes nothing where it is lost.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::envelope_type::{EnvelopeType, Way};
use super::fact::Fact;
use super::link::Position;
use super::packed::pack;
use crate::event::{Category, EventBody, PromptOption, PromptRecord, TaskState};
use crate::ids::{SessionId, TaskId, TimestampMs};

/// Longer questions and reasons are cut, characters: the journal has all of them.
const WORDS_CHARS_MAX: usize = 500;
/// The same of what an option says.
const LABEL_CHARS_MAX: usize = 100;
/// So many tasks are named in one announcement.
const TASKS_MAX: usize = 400;

const fn announced(name: &'static str, category: Category) -> EnvelopeType {
    EnvelopeType { name, v: 1, category, way: Way::Beside }
}

const TASK_STATUS: EnvelopeType = announced("cis.dag.task.status", Category::Task);

/// What can be announced, by its type. All but the last are by default (`[dag.matrix] events`).
pub const ANNOUNCED: &[EnvelopeType] = &[
    announced("cis.dag.run.created", Category::Run),
    announced("cis.dag.run.completed", Category::Run),
    announced("cis.dag.run.failed", Category::Run),
    announced("cis.dag.run.error", Category::Run),
    announced("cis.dag.run.cancelled", Category::Run),
    announced("cis.dag.session.blocked", Category::Session),
    announced("cis.dag.session.recovered", Category::Session),
    TASK_STATUS,
];

/// The type of that name, where it can be announced.
#[must_use]
pub fn announced_type(name: &str) -> Option<EnvelopeType> {
    ANNOUNCED.iter().find(|kind| kind.name == name).copied()
}

/// One of them, ready to be signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// Its type.
    pub kind: EnvelopeType,
    /// What it says.
    pub body: Value,
}

/// Makes the announcements of one run of what is written into its journal.
#[derive(Debug, Clone)]
pub struct Announcer {
    dag: String,
    wanted: BTreeSet<&'static str>,
    made: Vec<Announcement>,
    /// The newest state of each task, and of when and of which entry that is.
    tasks: BTreeMap<TaskId, TaskState>,
    tasks_at: Option<(TimestampMs, Position)>,
}

impl Announcer {
    /// Of a run of the DAG `dag`; of the types in `wanted`. Unknown ones are passed over.
    #[must_use]
    pub fn new(dag: &str, wanted: &[String]) -> Self {
        let wanted = wanted.iter().filter_map(|name| announced_type(name)).map(|kind| kind.name).collect();
        Self { dag: dag.to_owned(), wanted, made: Vec::new(), tasks: BTreeMap::new(), tasks_at: None }
    }

    /// Takes what the entry `at` of the journal says.
    pub fn hear(&mut self, fact: &Fact, at: Position) {
        self.states(fact, at);
        let Some(kind) = announced_type(fact.body.type_name()) else { return };
        if let (true, Some(says)) = (self.wanted.contains(kind.name), says(&fact.body)) {
            let body = self.body(fact.at_ms, at, says);
            self.made.push(Announcement { kind, body });
        }
    }

    /// What is announced of all that was heard, in its order.
    #[must_use]
    pub fn announcements(mut self) -> Vec<Announcement> {
        if let Some((at_ms, at)) = self.tasks_at {
            let more = self.tasks.len().saturating_sub(TASKS_MAX);
            let tasks: BTreeMap<&TaskId, &TaskState> = self.tasks.iter().take(TASKS_MAX).collect();
            let mut says = json!({ "tasks": tasks });
            if more > 0 {
                says["more"] = more.into();
            }
            let body = self.body(at_ms, at, says);
            self.made.push(Announcement { kind: TASK_STATUS, body });
        }
        self.made
    }

    fn states(&mut self, fact: &Fact, at: Position) {
        if !self.wanted.contains(TASK_STATUS.name) {
            return;
        }
        match &fact.body {
            EventBody::TaskStatus { changes } | EventBody::RunRetried { changes, .. } => {
                self.tasks.extend(changes.iter().map(|change| (change.task.clone(), change.state)));
            }
            EventBody::TaskAssigned(grant) => drop(self.tasks.insert(grant.task.clone(), TaskState::Running)),
            EventBody::TaskResult(result) => drop(self.tasks.insert(result.task.clone(), result.state)),
            _ => return,
        }
        self.tasks_at = Some((fact.at_ms, at));
    }

    fn body(&self, at_ms: TimestampMs, at: Position, mut says: Value) -> Value {
        says["dag"] = self.dag.as_str().into();
        says["at_ms"] = at_ms.into();
        says["entry"] = json!({ "n": at.n, "hash": at.head });
        pack(says)
    }
}

/// What is said of an event beside when it happened; none: it is not announced.
fn says(body: &EventBody) -> Option<Value> {
    let ended = |state: &str| json!({ "state": state });
    let failed =
        |state: &str, detail: &str| json!({ "state": state, "detail": cut(detail, WORDS_CHARS_MAX) });
    Some(match body {
        EventBody::RunCreated(created) => json!({ "tasks": created.tasks }),
        EventBody::RunCompleted {} => ended("succeeded"),
        EventBody::RunFailed { detail } => failed("failed", detail),
        EventBody::RunErrored { detail } => failed("error", detail),
        EventBody::RunCancelled {} => ended("cancelled"),
        EventBody::SessionBlocked { session, task, prompt } => blocked(*session, task.as_ref(), prompt),
        EventBody::SessionRecovered { session, task, episode } => {
            json!({ "session": session, "task": task, "episode": episode })
        }
        _ => return None,
    })
}

fn blocked(session: SessionId, task: Option<&TaskId>, prompt: &PromptRecord) -> Value {
    // What is typed for an option stays on its machine.
    let option = |option: &PromptOption| json!({ "id": option.id, "label": cut(&option.label, LABEL_CHARS_MAX), "meaning": option.meaning });
    let options: Vec<Value> = prompt.options.iter().map(option).collect();
    json!({
        "session": session,
        "task": task,
        "episode": prompt.episode,
        "item": prompt.item,
        "kind": prompt.kind,
        "question": cut(&prompt.question, WORDS_CHARS_MAX),
        "options": options,
    })
}

fn cut(words: &str, chars_max: usize) -> String {
    words.chars().take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{PromptKind, TaskChange};
    use crate::federation::sample;
    use crate::ids::RunId;

    fn all() -> Vec<String> {
        ANNOUNCED.iter().map(|kind| kind.name.to_owned()).collect()
    }

    fn at(n: u64) -> Position {
        Position { n, ..Position::start(RunId::from_parts(1, 2)) }
    }

    fn fact(body: EventBody) -> Fact {
        Fact { at_ms: 7, actor: None, cause: None, body }
    }

    fn announced(facts: &[Fact], wanted: &[String]) -> Vec<Announcement> {
        let mut announcer = Announcer::new("ship", wanted);
        (1..).zip(facts).for_each(|(n, fact)| announcer.hear(fact, at(n)));
        announcer.announcements()
    }

    #[test]
    fn what_is_announced_names_its_entry_and_keeps_keys_and_screens_back() {
        let session = SessionId::from_parts(1, 1);
        let option =
            PromptOption { id: "1".into(), label: "Yes".into(), meaning: None, keys: "typed".into() };
        let prompt = PromptRecord {
            question: "x".repeat(9_000),
            options: vec![option],
            screen: "$ secret place".into(),
            ..PromptRecord::bare(session, 3, PromptKind::Permission)
        };
        let blocked = EventBody::SessionBlocked { session, task: None, prompt: Box::new(prompt) };
        let facts = [fact(blocked), fact(EventBody::RunFailed { detail: "`lint` failed".into() })];
        let [asked, ended] = &announced(&facts, &all())[..] else { panic!("two") };
        assert_eq!((asked.kind.name, &asked.body["entry"]["n"]), ("cis.dag.session.blocked", &json!(1)));
        assert_eq!((&asked.body["episode"], &asked.body["dag"]), (&json!(3), &json!("ship")));
        let text = asked.body.to_string();
        assert!(!text.contains("typed") && !text.contains("secret place") && text.len() < 2_000, "{text}");
        assert_eq!((ended.kind.name, &ended.body["state"]), ("cis.dag.run.failed", &json!("failed")));
        assert_eq!((&ended.body["detail"], &ended.body["at_ms"]), (&json!("`lint` failed"), &json!(7)));
    }

    #[test]
    fn only_what_is_wanted_is_announced_and_states_of_tasks_together() {
        let task = |n: usize| TaskId::new(&format!("t{n}")).unwrap();
        let change = |n, state| TaskChange { task: task(n), state, end: None, queued: None };
        let changes = (0..TASKS_MAX + 5).map(|n| change(n, TaskState::Queued)).collect();
        let facts = [
            fact(EventBody::TaskStatus { changes }),
            fact(EventBody::TaskStatus { changes: vec![change(0, TaskState::Cancelled)] }),
            fact(EventBody::RunCompleted {}),
        ];
        assert!(announced(&facts, &["cis.dag.run.failed".to_owned(), "nothing".to_owned()]).is_empty());
        let made = announced(&facts, &all());
        assert_eq!(
            made.iter().map(|one| one.kind.name).collect::<Vec<_>>(),
            ["cis.dag.run.completed", "cis.dag.task.status"]
        );
        let says = &made[1].body;
        assert_eq!((&says["tasks"]["t0"], &says["more"]), (&json!("cancelled"), &json!(5)));
        assert_eq!(says["entry"]["n"], 2, "of the newest change");
    }

    #[test]
    fn every_type_is_one_that_a_journal_has_too() {
        for kind in ANNOUNCED {
            assert_eq!((announced_type(kind.name), kind.way), (Some(*kind), Way::Beside));
        }
        let created = sample::created(3, &sample::key(1).did());
        let made = announced(&[fact(EventBody::RunCreated(Box::new(created)))], &all());
        let text = made[0].body.to_string();
        assert_eq!(
            (made.len(), made[0].kind.name, &made[0].body["tasks"]),
            (1, "cis.dag.run.created", &json!(3))
        );
        assert!(!text.contains("secret-project"), "{text}");
    }
}
