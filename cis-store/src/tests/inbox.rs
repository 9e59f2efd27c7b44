//! What waits for a human: prompts, asks, approvals; answers; threads; and an older store's approvals.

use rusqlite::Connection;

use super::support::{
    Home, assert_sound, assigned, created, draft, run_id, seeds_of_dag, session_id, succeeded, task, ulid,
};
use crate::schema::{MIGRATIONS, WORKS_FROM, migrate};
use crate::{InboxFilter, StoreError, Writer};
use cis_core::api::{InboxItem, Page};
use cis_core::event::{
    AnswerRecord, AskRecord, AskType, EndReason, EventBody, PromptKind, PromptOption, PromptRecord,
    QueueReason, SaidKind, SaidRecord, TaskChange, TaskState, Urgency,
};
use cis_core::ids::{InboxId, InputId};

/// A run whose task `a` is at work, and what appends to it.
struct Story {
    home: Home,
    writer: Writer,
    next: u128,
    at_ms: i64,
}

impl Story {
    fn new() -> Self {
        let home = Home::new();
        let writer = home.writer();
        let mut story = Self { home, writer, next: 1, at_ms: 0 };
        let run = draft(Some(run_id(1)), 1, created("d", 3));
        story.writer.append_run(&run, ulid(1), &seeds_of_dag()).unwrap();
        story.add(EventBody::RunStarted {});
        story.add(assigned("a", 1, session_id(1)));
        story
    }

    fn add(&mut self, body: EventBody) {
        self.next += 1;
        self.at_ms += 10;
        self.writer.append(&draft(Some(run_id(1)), self.at_ms, body), ulid(self.next)).unwrap();
        self.writer.commit().unwrap();
    }

    fn open(&self) -> Vec<InboxItem> {
        self.home.readers().get().unwrap().inbox(InboxFilter::default(), None, None).unwrap().items
    }

    fn item(&self, id: &InboxId) -> InboxItem {
        self.home.readers().get().unwrap().item(&id.0).unwrap().item
    }

    /// What is projected is what the events say.
    fn check(self) {
        drop(self.writer);
        assert_sound(&self.home.path());
    }
}

fn prompt(episode: u32) -> PromptRecord {
    let mut prompt = PromptRecord::bare(session_id(1), episode, PromptKind::Permission);
    prompt.question = format!("Run it? {episode}");
    prompt.options = PromptOption::of_permissions();
    prompt.hash = "0123456789abcdef".into();
    prompt
}

fn blocked(prompt: PromptRecord) -> EventBody {
    EventBody::SessionBlocked { session: session_id(1), task: Some(task("a")), prompt: Box::new(prompt) }
}

fn recovered(episode: u32) -> EventBody {
    EventBody::SessionRecovered { session: session_id(1), task: Some(task("a")), episode }
}

fn answered(item: &InboxId, input: u128) -> EventBody {
    let answer = AnswerRecord {
        option: Some("allow".into()),
        text: "allow".into(),
        reason: Some("looks right".into()),
        by: "uid:7".into(),
        bytes: 2,
    };
    EventBody::SessionAnswered {
        session: session_id(1),
        task: Some(task("a")),
        item: item.clone(),
        input: InputId(ulid(input)),
        answer: Box::new(answer),
    }
}

fn ask(n: u128, thread: Option<InboxId>) -> AskRecord {
    let ask = InputId(ulid(n));
    let item = InboxId::of_ask(session_id(1), ask);
    AskRecord {
        thread: thread.unwrap_or_else(|| item.clone()),
        item,
        ask,
        ask_type: AskType::Permission,
        text: format!("May I? {n}"),
        options: PromptOption::of_permissions(),
        urgency: Urgency::High,
        waits: true,
    }
}

fn asked(ask: &AskRecord) -> EventBody {
    EventBody::SessionAsked { session: session_id(1), task: Some(task("a")), ask: Box::new(ask.clone()) }
}

fn approval(prompt: &str) -> EventBody {
    let queued = Some(QueueReason::Approval { prompt: prompt.into(), until_ms: Some(99) });
    let change = TaskChange { task: task("b"), state: TaskState::Queued, end: None, queued };
    EventBody::TaskStatus { changes: vec![change] }
}

#[test]
fn a_prompt_waits_until_it_is_gone_and_an_answer_stays_with_it() {
    let mut story = Story::new();
    story.add(blocked(prompt(1)));
    let first = story.open().pop().unwrap();
    assert_eq!((first.kind, first.question.as_str()), (PromptKind::Permission, "Run it? 1"));
    assert_eq!((first.since, first.episode, first.options.len()), (30, Some(1), 2));
    assert_eq!((first.run, first.task.clone()), (Some(run_id(1)), Some(task("a"))));
    story.add(answered(&first.id, 77));
    assert_eq!(story.open()[0].answered_by.as_deref(), Some("uid:7"), "it stays");
    let void = |input| EventBody::AnswerVoid {
        session: session_id(1),
        task: None,
        item: first.id.clone(),
        input: InputId(ulid(input)),
        detail: "moved".into(),
    };
    let answered_ms = story.open()[0].answered_ms;
    assert_eq!(answered_ms, Some(story.at_ms));
    for again in [79, 80] {
        story.add(answered(&first.id, again));
        assert!(story.open()[0].answered_ms > answered_ms);
        story.add(void(again));
        let open = story.open().pop().unwrap();
        assert_eq!(
            (open.answered_by.as_deref(), open.answered_ms),
            (Some("uid:7"), answered_ms),
            "the first counts"
        );
    }
    story.add(void(77));
    assert_eq!((story.open()[0].answered_by.clone(), story.open()[0].answered_ms), (None, None));
    story.add(answered(&first.id, 78));
    story.add(recovered(1));
    assert!(story.open().is_empty());
    let closed = story.item(&first.id).closed.unwrap();
    assert_eq!((closed.how.as_str(), closed.by.as_deref()), ("answered", Some("uid:7")));
    // The same question again is another item.
    story.add(blocked(prompt(2)));
    let second = story.open().pop().unwrap();
    assert_ne!(second.id, first.id);
    story.add(recovered(2));
    assert_eq!(story.item(&second.id).closed.unwrap().how, "recovered");
    story.check();
}

#[test]
fn an_ask_is_one_item_also_while_its_session_waits_for_it() {
    let mut story = Story::new();
    let asks = [ask(50, None), ask(51, Some(ask(50, None).item)), ask(52, None)];
    story.add(asked(&asks[0]));
    let mut waits = prompt(1);
    (waits.item, waits.ask) = (asks[0].item.clone(), Some(asks[0].ask));
    story.add(blocked(waits));
    let item = story.open().pop().unwrap();
    assert_eq!((item.id.clone(), item.episode, item.urgency), (asks[0].item.clone(), Some(1), Urgency::High));
    story.add(recovered(1));
    assert_eq!(story.open().len(), 1, "that it waits no more does not answer it");
    let view = |story: &Story, n: usize| {
        story.home.readers().get().unwrap().ask(session_id(1), &asks[n].item).unwrap()
    };
    assert_eq!((view(&story, 0).answer, view(&story, 0).withdrawn), (None, None));
    story.add(answered(&asks[0].item, 60));
    let answer = view(&story, 0).answer.unwrap();
    assert_eq!((answer.option.as_deref(), answer.reason.as_deref()), (Some("allow"), Some("looks right")));
    story.add(asked(&asks[1]));
    let said = SaidRecord {
        kind: SaidKind::Progress,
        text: "half".into(),
        urgency: Urgency::Low,
        percent: Some(50),
        thread: Some(asks[0].item.clone()),
    };
    let say = |said| EventBody::SessionSaid { session: session_id(1), task: None, said: Box::new(said) };
    story.add(say(said.clone()));
    story.add(say(SaidRecord {
        kind: SaidKind::Notice,
        text: "on".into(),
        percent: None,
        thread: None,
        ..said
    }));
    let withdrawn = EventBody::AskWithdrawn {
        session: session_id(1),
        task: None,
        item: asks[1].item.clone(),
        detail: "nobody waits".into(),
    };
    story.add(withdrawn);
    assert_eq!(view(&story, 1).withdrawn.as_deref(), Some("nobody waits"));
    let reader = story.home.readers().get().unwrap();
    let messages = reader.thread(session_id(1), &asks[0].item).unwrap();
    let what: Vec<&str> = messages.iter().map(|message| message.what.as_str()).collect();
    assert_eq!(what, ["asked", "answered", "asked", "progress", "withdrawn"]);
    assert_eq!((messages[1].by.as_str(), messages[1].text.as_str()), ("uid:7", "allow: looks right"));
    let (mut page, mut seen) = (Page { limit: Some(2), after: None }, Vec::new());
    loop {
        let listing = reader.thread_page(session_id(1), &asks[0].item, &page).unwrap();
        seen.extend(listing.items);
        page.after = listing.next;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(seen, messages, "page by page it is the same");
    let told = reader.run_detail(run_id(1)).unwrap().tasks[0].said.clone().unwrap();
    assert_eq!((told.text.as_str(), told.percent), ("on", Some(50)));
    drop(reader);
    story.add(asked(&asks[2]));
    story.add(succeeded("a", 1, session_id(1), 500));
    assert!(story.open().is_empty(), "its session ended");
    assert_eq!(view(&story, 2).withdrawn.as_deref(), Some("its session has ended"));
    story.check();
}

#[test]
fn threads_of_two_sessions_are_two_also_where_their_letters_are_the_same() {
    let mut story = Story::new();
    let own = ask(50, None);
    story.add(asked(&own));
    // Another session asks, and (forced here) gets the same letters.
    let twin = AskRecord { ask: InputId(ulid(51)), text: "Something else?".into(), ..own.clone() };
    let other = session_id(2);
    story.add(assigned("c", 1, other));
    story.add(EventBody::SessionAsked { session: other, task: Some(task("c")), ask: Box::new(twin) });
    story.add(answered(&own.item, 60));
    let said = SaidRecord {
        kind: SaidKind::Notice,
        text: "of the other".into(),
        urgency: Urgency::Low,
        percent: None,
        thread: Some(own.item.clone()),
    };
    story.add(EventBody::SessionSaid { session: other, task: None, said: Box::new(said) });
    let texts = |story: &Story, session| -> Vec<String> {
        let reader = story.home.readers().get().unwrap();
        reader.thread(session, &own.item).unwrap().into_iter().map(|message| message.text).collect()
    };
    let expected = [vec!["May I? 50", "allow: looks right"], vec!["Something else?", "of the other"]];
    assert_eq!([texts(&story, session_id(1)), texts(&story, other)], expected);
    // A store of version 3 knew their letters alone.
    let Story { home, writer, .. } = story;
    drop(writer);
    let conn = Connection::open(home.path()).unwrap();
    conn.execute_batch(
        "DROP INDEX thread_messages_of; ALTER TABLE thread_messages DROP COLUMN session;
         CREATE INDEX thread_messages_thread ON thread_messages (thread);
         ALTER TABLE inbox DROP COLUMN waited;
         DROP TABLE room_runs; DROP TABLE room_messages; DROP TABLE rooms; DROP TABLE held; DROP TABLE lost_events; DROP TABLE policy_rules;
         DROP TABLE room_sealed; DROP TABLE left_journals; ALTER TABLE runs DROP COLUMN retried_ms;
         DROP INDEX sessions_standalone;
         ALTER TABLE events DROP COLUMN sum; PRAGMA user_version=3",
    )
    .unwrap();
    drop(conn);
    drop(home.writer());
    let reader = home.readers().get().unwrap();
    let of_other: Vec<String> =
        reader.thread(other, &own.item).unwrap().into_iter().map(|message| message.text).collect();
    assert_eq!(of_other, expected[1]);
    assert_sound(&home.path());
}

#[test]
fn an_ask_made_without_waiting_is_what_its_session_waits_at_only_while_it_does() {
    let mut story = Story::new();
    let later = AskRecord { waits: false, ..ask(50, None) };
    story.add(asked(&later));
    let waited = |story: &Story| {
        let reader = story.home.readers().get().unwrap();
        let known = reader.item(&later.item.0).unwrap();
        (known.waited, known.item.episode, reader.waited().unwrap()[&session_id(1)].newest)
    };
    assert_eq!(waited(&story), (false, None, 0));
    let waits = PromptRecord { item: later.item.clone(), ask: Some(later.ask), ..prompt(1) };
    story.add(blocked(waits));
    assert_eq!(waited(&story), (true, Some(1), 1));
    story.add(recovered(1));
    assert_eq!(waited(&story), (false, None, 1), "its number is not used again");
    assert_eq!(story.open().len(), 1);
    story.check();
}

#[test]
fn approvals_are_items_that_close_with_their_decision() {
    let mut story = Story::new();
    story.add(approval("Deploy?"));
    let first = story.open().pop().unwrap();
    assert_eq!((first.kind, first.until_ms, first.session), (PromptKind::Approval, Some(99), None));
    story.add(EventBody::TaskApproved { task: task("b"), by: "uid:1".into(), comment: Some("go".into()) });
    let closed = story.item(&first.id).closed.unwrap();
    assert_eq!((closed.by.as_deref(), closed.text.as_deref()), (Some("uid:1"), Some("approve")));
    story.add(approval("Again?"));
    let second = story.open().pop().unwrap();
    assert_ne!(first.id, second.id);
    let end = Some(EndReason::Rejected { by: "uid:2".into(), reason: "no".into() });
    let change = TaskChange { task: task("b"), state: TaskState::Failed, end, queued: None };
    story.add(EventBody::TaskStatus { changes: vec![change] });
    assert_eq!(story.item(&second.id).closed.unwrap().by.as_deref(), Some("uid:2"));
    story.add(approval("A third time?"));
    story.add(EventBody::RunCancelled {});
    assert!(story.open().is_empty());
    story.check();
}

#[test]
fn an_item_is_found_by_the_first_of_its_letters() {
    let mut story = Story::new();
    let (first, second) = (ask(1, None), ask(2, None));
    story.add(asked(&first));
    story.add(asked(&second));
    let find =
        |story: &Story, name: &str| story.home.readers().get().unwrap().item(name).map(|known| known.item.id);
    for ask in [&first, &second] {
        assert_eq!(find(&story, &ask.item.0.to_uppercase()).unwrap(), ask.item);
    }
    let own = first.item.0.chars().zip(second.item.0.chars()).take_while(|(a, b)| a == b).count() + 1;
    assert_eq!(find(&story, &first.item.0[..own]).unwrap(), first.item);
    for bad in ["", "0", "abcdefg", "zz'", &"ä".repeat(200)] {
        assert!(matches!(find(&story, bad), Err(StoreError::NotFound { .. })), "{bad}");
    }
    // The same letters twice (forced here) need more to be told apart.
    let mut twin = ask(3, None);
    twin.item = first.item.clone();
    story.add(asked(&twin));
    let Err(StoreError::Ambiguous { candidates, .. }) = find(&story, &first.item.0) else {
        panic!("not told")
    };
    let other_name = format!("{}:a", run_id(1).short());
    assert!(
        candidates.len() == 2 && candidates.iter().all(|one| one.contains(&other_name)),
        "{candidates:?}"
    );
    assert_eq!(find(&story, &format!("{}@{}", second.item, session_id(1))).unwrap(), second.item);
    assert!(find(&story, &format!("{}@{}", second.item, session_id(2))).is_err());
    // By its task: what it does not go on without, where there is one.
    assert!(matches!(find(&story, &other_name), Err(StoreError::Ambiguous { .. })));
    story.add(blocked(prompt(1)));
    assert_eq!(find(&story, &other_name).unwrap(), InboxId::of_prompt(session_id(1), 1));
    assert!(matches!(find(&story, "d:b"), Err(StoreError::NotFound { .. })));
    story.add(answered(&second.item, 9));
    assert!(find(&story, &second.item.0[..5]).is_err() && find(&story, &second.item.0).is_ok());
}

#[test]
fn a_task_that_waits_no_more_names_what_it_waited_at_last() {
    let mut story = Story::new();
    let (first, second) = (ask(1, None), ask(2, None));
    let name = format!("{}:a", run_id(1).short());
    let find = |story: &Story, name: &str| story.home.readers().get().unwrap().item(name);
    assert!(matches!(find(&story, &name), Err(StoreError::NotFound { .. })), "it never waited");
    for ask in [&first, &second] {
        story.add(asked(ask));
        story.add(answered(&ask.item, 9));
    }
    let session = session_id(1).to_string();
    for name in [&name, &session] {
        let last = find(&story, name).unwrap().item;
        assert_eq!((&last.id, last.closed.unwrap().how.as_str()), (&second.item, "answered"), "{name}");
    }
    let third = ask(3, None);
    story.add(asked(&third));
    assert_eq!(find(&story, &name).unwrap().item.id, third.item, "it waits again");
}

#[test]
fn an_older_store_gets_the_approvals_that_wait_in_it() {
    let mut story = Story::new();
    story.add(approval("Deploy?"));
    let expected = story.open();
    let home = story.home;
    drop(story.writer);
    // As version 2 had it: the same events, no inbox.
    let conn = Connection::open(home.path()).unwrap();
    conn.execute_batch(
        "DROP TABLE inbox; DROP TABLE thread_messages; DROP TABLE session_said;
         DROP TABLE room_runs; DROP TABLE room_messages; DROP TABLE rooms; DROP TABLE held; DROP TABLE lost_events; DROP TABLE policy_rules;
         DROP TABLE room_sealed; DROP TABLE left_journals; ALTER TABLE runs DROP COLUMN retried_ms;
         DROP INDEX sessions_standalone;
         ALTER TABLE events DROP COLUMN sum; PRAGMA user_version=2",
    )
    .unwrap();
    drop(conn);
    drop(home.writer());
    assert_eq!(
        home.readers().get().unwrap().inbox(InboxFilter::default(), None, None).unwrap().items,
        expected
    );
    assert_sound(&home.path());
    let mut conn = Connection::open(home.path()).unwrap();
    migrate(&home.path(), &mut conn, MIGRATIONS, WORKS_FROM).unwrap();
}

#[test]
fn the_inbox_is_read_page_by_page() {
    let mut story = Story::new();
    let asks: Vec<AskRecord> = (1..=5).map(|n| ask(n, None)).collect();
    asks.iter().for_each(|ask| story.add(asked(ask)));
    let wanted: Vec<InboxId> = asks.iter().map(|ask| ask.item.clone()).collect();
    let reader = story.home.readers().get().unwrap();
    let page = |limit, after: Option<&str>| {
        let page = reader.inbox(InboxFilter::default(), Some(limit), after).unwrap();
        (page.items.into_iter().map(|item| item.id).collect::<Vec<_>>(), page.next)
    };
    for limit in [1, 2, 4, 5, 6] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (items, next) = page(limit, after.as_deref());
            assert_eq!(items.len(), (limit as usize).min(5 - seen.len()), "no page is empty or short");
            seen.extend(items);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, wanted, "{limit}");
    }
    // What is over meanwhile moves nothing.
    let (_, next) = page(2, None);
    story.add(answered(&wanted[0], 91));
    assert_eq!(page(2, next.as_deref()).0, wanted[2..4]);
    let none = InboxFilter { session: Some(session_id(2)), ..InboxFilter::default() };
    assert!(reader.inbox(none, Some(2), None).unwrap().items.is_empty());
    assert!(matches!(
        reader.inbox(InboxFilter::default(), None, Some("x")),
        Err(StoreError::NoSuchPage { .. })
    ));
    drop(reader);
    story.check();
}
