//! What people are told of one session, step by step.

use super::*;
use crate::event::{AskType, PromptKind};

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
    attention.settle(session()).into_iter().map(word).collect()
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
        before.settle(session());
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
    asking.settle(session());
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
            .map(|n| crate::event::PromptOption {
                id: n.to_string(),
                label: "x".repeat(LABEL_CHARS_MAX + 1),
                meaning: None,
                keys: String::new(),
            })
            .collect(),
        ..verdict(1, "a")
    };
    attention.waits(long, "y".repeat(SCREEN_CHARS_MAX + 1));
    attention.settle(session());
    let prompt = &attention.told().unwrap().prompt;
    assert_eq!(prompt.question.chars().count(), QUESTION_CHARS_MAX);
    assert_eq!(prompt.screen.len(), SCREEN_CHARS_MAX);
    assert_eq!(prompt.options.len(), OPTIONS_MAX);
    assert!(prompt.options.iter().all(|option| option.label.len() == LABEL_CHARS_MAX));
    let heard = (0..100_000).filter(|ms| attention.admits_marker(1_000_000 + ms)).count();
    assert!((20..=60).contains(&heard), "{heard}");
}
