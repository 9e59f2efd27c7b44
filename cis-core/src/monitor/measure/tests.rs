use super::*;
use crate::event::PromptKind;
use crate::monitor::ScreenView;
use crate::monitor::recording::{Header, Label, Moment, Recording, What};

fn labels(labels: &[(u64, Label)], end_ms: u64) -> Recording {
    let mut moments: Vec<Moment> =
        labels.iter().map(|(at_ms, label)| Moment { at_ms: *at_ms, what: What::Label(*label) }).collect();
    moments.push(Moment { at_ms: end_ms, what: What::Exit(0) });
    Recording { header: Header::default(), moments }
}

fn span(from_ms: u64, to_ms: Option<u64>) -> Span {
    Span { from_ms, to_ms, kind: Some(PromptKind::Question), layer: None }
}

const WAITING: Label = Label::Waiting(PromptKind::Question);

/// Work to 1 s, a prompt to 9 s, answered; work from 10 s to 20 s.
fn usual() -> Vec<Episode> {
    episodes(&labels(
        &[(0, Label::Working), (1000, WAITING), (9000, Label::Open), (10_000, Label::Working)],
        20_000,
    ))
}

#[test]
fn stretches_end_where_the_next_label_is() {
    let found: Vec<(u64, u64)> = usual().iter().map(|one| (one.from_ms, one.to_ms)).collect();
    assert_eq!(found, [(0, 1000), (1000, 9000), (10_000, 20_000)]);
}

#[test]
fn a_prompt_that_is_called_once_and_in_time_is_found() {
    let judged = judge(&usual(), &[span(1700, Some(9000))]);
    assert!(judged.iter().all(Judgement::is_right), "{judged:?}");
    let found = judged[1].found.expect("found");
    assert_eq!((found.delay.ms, found.kind_right), (700, true));
}

#[test]
fn a_call_that_is_taken_back_before_the_answer_did_not_find_it() {
    let judged = judge(&usual(), &[span(1700, Some(5000))]);
    assert_eq!(judged[1].found, None);
}

#[test]
fn calling_again_is_a_false_call_and_the_delay_is_that_of_the_first() {
    let judged = judge(&usual(), &[span(1700, Some(3000)), span(4000, Some(9000))]);
    assert_eq!((judged[1].found.map(|found| found.delay.ms), judged[1].false_calls), (Some(700), 1));
}

#[test]
fn calls_in_work_are_false_and_so_is_one_that_does_not_end() {
    let judged = judge(&usual(), &[span(500, Some(800)), span(1700, Some(14_000)), span(15_000, None)]);
    assert_eq!(judged.iter().map(|one| one.false_calls).collect::<Vec<_>>(), [1, 0, 2]);
}

#[test]
fn an_old_call_does_not_find_the_next_prompt() {
    let two = episodes(&labels(&[(0, WAITING), (5000, Label::Open), (5100, WAITING)], 9000));
    let judged = judge(&two, &[span(300, None)]);
    assert!(judged[0].found.is_some() && judged[1].found.is_none(), "{judged:?}");
}

#[test]
fn what_is_counted_adds_up() {
    let mut totals = Totals::default();
    totals.add(&judge(&usual(), &[span(1700, Some(9000))]));
    totals.add(&judge(&usual(), &[span(15_000, Some(16_000))]));
    assert_eq!((totals.recordings, totals.waiting, totals.found, totals.false_working), (2, 2, 1, 1));
    assert_eq!(totals.precision(), Rate { hits: 1, of: 2 });
    assert_eq!(totals.recall(), Rate { hits: 1, of: 2 });
    // 22 s of work.
    assert_eq!(totals.false_per_hour().map(f64::round), Some(164.0));
    assert_eq!(totals.delays_of(Class::Poll), [700]);
}

#[test]
fn wilsons_interval_is_the_published_one() {
    // Newcombe 1998, table I: 81 of 263, and 0 of 20.
    let one = wilson(81, 263);
    assert_eq!((format!("{:.4}", one.low), format!("{:.4}", one.high)), ("0.2553".into(), "0.3662".into()));
    let none = wilson(0, 20);
    assert_eq!((format!("{:.4}", none.low), format!("{:.4}", none.high)), ("0.0000".into(), "0.1611".into()));
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let hundred: Vec<u64> = (1..=100).collect();
    assert_eq!((percentile(&hundred, 50), percentile(&hundred, 95)), (Some(50), Some(95)));
    assert_eq!((percentile(&[7], 95), percentile(&[], 95)), (Some(7), None));
}

#[test]
fn the_baselines_do_what_they_are_known_for() {
    let view = |text: &str| ScreenView { lines: vec![text.to_owned()], ..ScreenView::default() };
    let mut all = Baseline::all();
    let mut at = |at_ms, text: &str| all.each_mut().map(|one| one.waits(at_ms, &view(text)));
    assert_eq!(at(0, "compiling"), [false, false, false]);
    assert_eq!(at(1750, "compiling"), [false, false, false]);
    assert_eq!(at(2000, "compiling"), [true, false, false]);
    assert_eq!(at(2250, "Do you want to Continue"), [false, false, true]);
    assert_eq!(at(2500, "❯ Yes, allow once"), [false, true, true]);
}
