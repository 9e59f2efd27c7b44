//! What people are told of one session, step by step.

use super::*;
use cis_core::event::{AskType, LABEL_CHARS_MAX, Layer, OPTIONS_MAX, PromptKind, SCREEN_CHARS_MAX};
use cis_core::ids::InboxId;

const NOW: TimestampMs = 1_000_000;

fn session() -> SessionId {
    SessionId::from_parts(1, 1)
}

fn verdict(episode: u32, hash: &str) -> Verdict {
    Verdict {
        episode,
        since_ms: 1,
        kind: PromptKind::Question,
        layer: Layer::Kernel,
        confidence: 95,
        hash: hash.to_owned(),
        question: format!("question {hash}?"),
        options: Vec::new(),
        waited_ms: 0,
        at_shell: false,
    }
}

fn ask(n: u128) -> AskRecord {
    let ask = InputId::from_parts(1, n);
    let item = InboxId::of_ask(session(), ask);
    AskRecord {
        thread: item.clone(),
        item,
        ask,
        ask_type: AskType::Permission,
        text: format!("ask {n}"),
        options: Vec::new(),
        urgency: Urgency::Medium,
        waits: true,
    }
}

/// The steps in words.
fn steps(attention: &mut Attention) -> Vec<String> {
    let word = |step| match step {
        Step::Blocked(prompt) => format!("{} {}", prompt.episode, prompt.question),
        Step::Over { episode } => format!("{episode} over"),
    };
    attention.settle(session(), NOW).into_iter().map(word).collect()
}

#[test]
fn a_verdict_is_told_once_and_its_end_too() {
    let mut attention = Attention::default();
    assert!(steps(&mut attention).is_empty());
    attention.waits(verdict(1, "a"), "$ ".to_owned());
    assert_eq!(steps(&mut attention), ["1 question a?"]);
    assert!(steps(&mut attention).is_empty());
    assert_eq!(attention.told().unwrap().prompt.item, InboxId::of_prompt(session(), 1));
    attention.is_over(1);
    assert_eq!(steps(&mut attention), ["1 over"]);
    // The next one comes before the end of this one was seen.
    attention.waits(verdict(2, "b"), String::new());
    assert_eq!(steps(&mut attention), ["2 question b?"]);
    attention.waits(verdict(3, "c"), String::new());
    attention.is_over(2);
    assert_eq!(steps(&mut attention), ["2 over", "3 question c?"]);
}

#[test]
fn an_ask_comes_before_the_screen_and_counts_on() {
    let mut attention = Attention::default();
    attention.waits(verdict(1, "a"), String::new());
    assert_eq!(steps(&mut attention), ["1 question a?"]);
    attention.asks(ask(1));
    attention.asks(ask(1));
    attention.asks(ask(2));
    assert_eq!(steps(&mut attention), ["1 over", "2 ask 1"]);
    let told = attention.told().unwrap();
    assert_eq!((&told.prompt.item, told.prompt.ask), (&ask(1).item, Some(ask(1).ask)));
    attention.is_over(1);
    attention.waits(verdict(2, "b"), String::new());
    assert!(steps(&mut attention).is_empty(), "held back");
    attention.asked(ask(1).ask);
    assert_eq!(steps(&mut attention), ["2 over", "3 ask 2"]);
    attention.asked(ask(2).ask);
    assert_eq!(steps(&mut attention), ["3 over", "4 question b?"]);
    // The monitor counts its own way.
    assert_eq!(attention.told().unwrap().source, Source::Screen(2));
    attention.is_over(2);
    assert_eq!(steps(&mut attention), ["4 over"]);
}

#[test]
fn a_prompt_outlives_the_node() {
    let mut before = Attention::default();
    for n in 1..=3 {
        before.waits(verdict(n, "a"), String::new());
        before.settle(session(), NOW);
    }
    let told = (*before.told().unwrap().prompt).clone();
    let mut after = Attention::restored(3, Some(told.clone()));
    assert!(steps(&mut after).is_empty());
    assert_eq!(after.seed(), Seed { episode: 3, waiting: Some("a".to_owned()), ..Seed::default() });
    assert_eq!(after.told().unwrap().prompt.item, told.item);
    // The monitor says nothing as long as it is the same one, and then that it is over.
    after.is_over(3);
    assert_eq!(steps(&mut after), ["3 over"]);
    // Or another one is seen.
    let mut other = Attention::restored(3, Some(told));
    other.waits(verdict(4, "b"), String::new());
    assert_eq!(steps(&mut other), ["3 over", "4 question b?"]);
    // An ask is the same one as before.
    let mut asking = Attention::default();
    asking.asks(ask(1));
    asking.settle(session(), NOW);
    let told = (*asking.told().unwrap().prompt).clone();
    let mut after = Attention::restored(1, Some(told));
    after.asks(ask(1));
    assert_eq!(after.seed(), Seed { episode: 1, ..Seed::default() });
    assert!(steps(&mut after).is_empty());
}

#[test]
fn what_is_told_is_bounded() {
    let mut attention = Attention::default();
    let long = Verdict {
        question: "ä".repeat(QUESTION_CHARS_MAX + 1),
        options: (0..100)
            .map(|n| cis_core::event::PromptOption {
                id: n.to_string(),
                label: "x".repeat(LABEL_CHARS_MAX + 1),
                meaning: None,
                keys: String::new(),
            })
            .collect(),
        ..verdict(1, "a")
    };
    attention.waits(long, "y".repeat(SCREEN_CHARS_MAX + 1));
    attention.settle(session(), NOW);
    let prompt = &attention.told().unwrap().prompt;
    assert_eq!(prompt.question.chars().count(), QUESTION_CHARS_MAX);
    assert_eq!(prompt.screen.len(), SCREEN_CHARS_MAX);
    assert_eq!(prompt.options.len(), OPTIONS_MAX);
    assert!(prompt.options.iter().all(|option| option.label.len() == LABEL_CHARS_MAX));
    let heard = (0..100_000).filter(|ms| attention.admits_marker(1_000_000 + ms)).count();
    assert!((20..=60).contains(&heard), "{heard}");
}

#[test]
fn a_question_does_not_tell_how_long_a_secret_is() {
    let mut attention = Attention::default();
    let shown = Verdict {
        question: "Use the key ************?".to_owned(),
        options: vec![cis_core::event::PromptOption {
            id: "1".to_owned(),
            label: "Yes, ************".to_owned(),
            meaning: None,
            keys: "1".to_owned(),
        }],
        ..verdict(1, "a")
    };
    attention.waits(shown, String::new());
    attention.settle(session(), NOW);
    let prompt = &attention.told().unwrap().prompt;
    assert_eq!(prompt.question, "Use the key ***?");
    assert_eq!((&*prompt.options[0].label, &*prompt.options[0].keys), ("Yes, ***", "1"));
    assert_eq!(prompt.hash, "a", "what is compared with the screen stays");
}

/// What a noisy session comes to in so many ms: another prompt every 100 ms, each gone after 50.
fn noise(attention: &mut Attention, from: TimestampMs, ms: i64) -> usize {
    let mut told = 0;
    for n in 0..ms / 100 {
        let (at, episode) = (from + n * 100, u32::try_from(n + 1).unwrap());
        attention.waits(verdict(episode, "a"), String::new());
        told +=
            attention.settle(session(), at).iter().filter(|step| matches!(step, Step::Blocked(_))).count();
        attention.is_over(episode);
        attention.settle(session(), at + 50);
    }
    told
}

#[test]
fn of_ever_new_prompts_some_are_told_and_the_newest_when_there_is_room() {
    let mut attention = Attention::default();
    assert_eq!(noise(&mut attention, NOW, 60_000), 15, "10 at once, then one in 10 s");
    assert_eq!(attention.waiting().held_ms, None, "it waits at nothing");
    let (end, room) = (NOW + 60_000, NOW + 60_000);
    attention.waits(verdict(1000, "real"), "its screen".to_owned());
    let steps = attention.settle(session(), end - 1);
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(attention.waiting().held_ms, Some(room));
    // What it shows next takes its place.
    attention.waits(verdict(1001, "newest"), "its screen".to_owned());
    assert!(attention.settle(session(), end - 1).is_empty());
    let steps = attention.settle(session(), room);
    assert!(matches!(&steps[..], [Step::Blocked(prompt)] if prompt.hash == "newest"), "{steps:?}");
    assert_eq!((attention.waiting().held_ms, attention.told().unwrap().prompt.episode), (None, 16));
    attention.is_over(1001);
    assert_eq!(attention.settle(session(), room), [Step::Over { episode: 16 }], "an end is told at once");
}

#[test]
fn what_a_person_answers_and_what_the_session_asks_by_itself_is_told_at_once() {
    let mut attention = Attention::default();
    for n in 1..=100 {
        attention.waits(verdict(n, "a"), String::new());
        assert_eq!(attention.settle(session(), NOW).len(), if n == 1 { 1 } else { 2 }, "{n}");
        attention.was_answered();
    }
    noise(&mut attention, NOW, 10_000);
    attention.waits(verdict(1000, "b"), String::new());
    attention.settle(session(), NOW + 9_999);
    assert!(attention.waiting().held_ms.is_some());
    attention.asks(ask(1));
    let steps = attention.settle(session(), NOW + 9_999);
    assert!(matches!(&steps[..], [Step::Blocked(prompt)] if prompt.ask.is_some()), "{steps:?}");
}

#[test]
fn what_is_held_back_is_looked_at_again_in_time() {
    let (mut all, quiet) = (Attentions::default(), SessionId::from_parts(1, 2));
    noise(all.change(session()), NOW, 10_000);
    let held = NOW + 10_000;
    all.change(session()).waits(verdict(1000, "a"), String::new());
    all.change(quiet).waits(verdict(1, "a"), String::new());
    let due = all.due(held - 1);
    assert_eq!(due, [session(), quiet].into());
    assert!(all.settle(session(), held - 1).is_empty());
    assert_eq!(all.settle(quiet, held - 1).len(), 1, "no other session is held back");
    assert_eq!((all.poll_timeout(), all.due(held - 1)), (Some(held), BTreeSet::new()));
    assert_eq!(all.due(held), [session()].into());
    assert_eq!(all.settle(session(), held).len(), 1);
    assert_eq!(all.poll_timeout(), None);
    all.change(session()).waits(verdict(1001, "a"), String::new());
    all.settle(session(), held);
    assert!(all.poll_timeout().is_some());
    all.forget(session());
    assert_eq!(all.poll_timeout(), None);
}

#[test]
fn who_stops_waiting_for_an_ask_and_begins_again_is_told_of_at_a_rate() {
    let mut attention = Attention::default();
    let blocked = |steps: Vec<Step>| steps.iter().any(|step| matches!(step, Step::Blocked(_)));
    let toggles = |attention: &mut Attention, n| {
        let told = (0..100).filter(|_| {
            attention.asks(ask(n));
            let told = blocked(attention.settle(session(), NOW));
            attention.left(ask(n).ask);
            attention.settle(session(), NOW);
            told
        });
        told.count()
    };
    assert_eq!(toggles(&mut attention, 1), 11, "once for the ask, then as a prompt on the screen");
    assert_eq!(toggles(&mut attention, 2), 1, "another ask was counted where it was asked");
    attention.asks(ask(1));
    assert!(!blocked(attention.settle(session(), NOW)));
    let room = attention.waiting().held_ms.unwrap();
    assert!(blocked(attention.settle(session(), room)), "it goes on waiting, and is told");
    attention.asked(ask(1).ask);
    attention.settle(session(), room);
    assert!(!attention.asked.contains(&ask(1).ask), "nothing is kept of what is over");
}
